//! Makes the bundles of approved tickets, one at a time, and deletes those whose time is over.
//!
//! A task that takes no input: the rows are its queue, so a bundle that a crash cut off is made anew.
//! Deletion is row first, file second; a file that a crash left is deleted at the next look, as every
//! file in the folder must belong to a ticket that holds.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::audit::Key;
use crate::clock::Clock;
use crate::export::{self, BundleError, FootagePart, Making, View};
use crate::http::{SceneInForce, facade_of, judged_facade, masks_of};
use crate::id::{AlarmId, CameraId};
use crate::scene::Kind;
use crate::scene::facade::FacadeScene;
use crate::store::{AlarmRecord, FOOTAGE_MAX, Made, Scope, Store, StoreError};
use crate::store::{TicketRecord, TicketState};

/// Looks at least this often: time passes without a signal.
const LOOK: Duration = Duration::from_secs(10);

/// Makes bundles.
#[derive(Debug)]
pub struct Bundler {
    pub store: Store,
    pub evidence_root: PathBuf,
    pub footage_root: PathBuf,
    /// Where bundles lie until they expire.
    pub folder: PathBuf,
    pub key: Key,
    pub clock: Arc<dyn Clock>,
    pub kinds: BTreeMap<CameraId, Kind>,
    pub scenes: BTreeMap<CameraId, SceneInForce>,
}

impl Bundler {
    pub(super) async fn run(self, stop: CancellationToken) {
        let bundler = Arc::new(self);
        let mut changes = bundler.store.outbox_changes();
        loop {
            if let Err(error) = Arc::clone(&bundler).turn(&stop).await {
                error!(
                    error = &error as &dyn std::error::Error,
                    "tickets could not be looked at; they are looked at again"
                );
            }
            let changed = tokio::time::timeout(LOOK, changes.changed());
            match stop.run_until_cancelled(changed).await {
                // The store is gone.
                Some(Ok(Err(_))) | None => return,
                Some(_) => {}
            }
        }
    }

    /// Does all that is due now. Fails when the store does.
    pub async fn turn(self: Arc<Self>, stop: &CancellationToken) -> Result<(), StoreError> {
        let expired = self.store.expire_tickets().await?;
        if !expired.is_empty() {
            info!(tickets = expired.len(), "tickets have expired");
        }
        self.delete_strays().await?;
        while let Some(ticket) = self.store.ticket_to_make().await? {
            let id = ticket.id;
            let Some(made) = Arc::clone(&self).make(ticket, stop.clone()).await? else {
                return Ok(());
            };
            self.store.bundle_made(id, &made).await?;
        }
        Ok(())
    }

    /// Makes one ticket's bundle; none where the service stops meanwhile.
    async fn make(
        self: Arc<Self>,
        ticket: TicketRecord,
        stop: CancellationToken,
    ) -> Result<Option<Made>, StoreError> {
        let mut alarms = Vec::with_capacity(ticket.alarms.len());
        let mut judged: BTreeMap<AlarmId, FacadeScene> = BTreeMap::new();
        for id in &ticket.alarms {
            let Some(found) = self.store.alarm(*id).await? else {
                continue;
            };
            let facade = judged_facade(&self.store, &found.alarm).await?;
            judged.extend(facade.map(|facade| (*id, facade)));
            alarms.push(found);
        }
        let footage = self.footage_of(&ticket).await?;
        let id = ticket.id;
        let making = tokio::task::spawn_blocking(move || {
            std::fs::create_dir_all(&self.folder).map_err(|source| BundleError::Write {
                path: self.folder.clone(),
                source,
            })?;
            let making = Making {
                ticket: &ticket,
                alarms: &alarms,
                evidence_root: &self.evidence_root,
                footage: &footage,
                footage_root: &self.footage_root,
                view_of: &|alarm| self.view_of(alarm, judged.get(&alarm.id)),
                key: &self.key,
                now: self.clock.now(),
                goes_on: &|| !stop.is_cancelled(),
            };
            making.write(&export::path_of(&self.folder, ticket.id))
        });
        Ok(match making.await {
            Ok(Ok((size_bytes, sha256))) => Some(Made::Ready { size_bytes, sha256 }),
            Ok(Err(BundleError::Stopped)) => None,
            Ok(Err(error)) => {
                error!(ticket = %id, error = &error as &dyn std::error::Error, "a bundle could not be made");
                // The chain names paths of this machine; whoever asked learns what to do instead.
                Some(Made::Failed(
                    "the bundle could not be written; the service's log says why".to_owned(),
                ))
            }
            Err(panic) => {
                error!(ticket = %id, error = &panic as &dyn std::error::Error, "making a bundle failed");
                Some(Made::Failed(
                    "making it failed inside the program; see its log".to_owned(),
                ))
            }
        })
    }

    /// Returns the segments that the ticket covers, with what is hidden in them.
    async fn footage_of(&self, ticket: &TicketRecord) -> Result<Vec<FootagePart>, StoreError> {
        let Scope::Footage {
            camera,
            from_ms,
            to_ms,
        } = &ticket.scope
        else {
            return Ok(Vec::new());
        };
        let span = (*from_ms, *to_ms);
        let records = self.store.footage(camera, span, None, FOOTAGE_MAX).await?;
        let mut parts = Vec::with_capacity(records.len());
        for record in records {
            let facade = facade_of(&self.store, record.scene_sha256.as_deref()).await?;
            // Of a camera that nobody knows any more, as little as possible is shown.
            let kind = self.kinds.get(camera).copied();
            let kind = kind.unwrap_or(match facade {
                Some(_) => Kind::Facade,
                None => Kind::Elevator,
            });
            let masks = masks_of(self.scenes.get(camera), facade.as_ref());
            let hidden = export::hidden_of(ticket.treatment, kind, masks);
            parts.push(FootagePart { record, hidden });
        }
        Ok(parts)
    }

    fn view_of(&self, alarm: &AlarmRecord, judged: Option<&FacadeScene>) -> Option<View> {
        Some(View {
            kind: *self.kinds.get(&alarm.camera)?,
            masks: masks_of(self.scenes.get(&alarm.camera), judged),
            facade: judged.cloned(),
        })
    }

    /// Deletes files of tickets that do not hold (any more).
    async fn delete_strays(&self) -> Result<(), StoreError> {
        let Ok(entries) = std::fs::read_dir(&self.folder) else {
            return Ok(());
        };
        for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
            let Some(id) = export::ticket_of(&path) else {
                continue;
            };
            let ticket = self.store.ticket(id).await?;
            let holds = ticket.is_some_and(|ticket| {
                matches!(ticket.state, TicketState::Making | TicketState::Ready)
            });
            if !holds {
                remove(&path);
            }
        }
        Ok(())
    }
}

fn remove(path: &Path) {
    let removed = match path.is_dir() {
        true => std::fs::remove_dir_all(path),
        false => std::fs::remove_file(path),
    };
    if let Err(error) = removed {
        warn!(path = %path.display(), %error, "an expired bundle cannot be deleted; it is tried again");
    }
}
