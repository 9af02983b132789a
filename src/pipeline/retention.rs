//! Keeps the disk from filling: evidence that is old enough goes, then what the room does not hold,
//! then old events. Raises an alarm when room runs out, and when the machine's clock leaps: ages are
//! counted by steady time, so that a wrong clock deletes nothing.
//!
//! Classes, in the order in which they go: evidence older than it is kept; then the oldest of the
//! rest, when it takes more than its room; never what is held, nor what is still being gathered. The
//! room is the configured budget, or what the disk has when evidence leaves `min_free` of it free,
//! whichever is less: so another program that fills the disk narrows it as well.
//!
//! Footage goes first of all, and what it takes on the evidence's disk counts as room (`footage::keeper`).
//!
//! Renditions (`evidence::rendition`) count with the evidence, and go before any of it; at most
//! [`RENDITIONS_SHARE`] of the room is theirs.
//!
//! It must never delete a file whose row still names it (see `store::retention`), nor hold the
//! writer for longer than a batch.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::footage::keeper::FootageKeeper;
use crate::alarm::{Alarm, AlarmKind};
use crate::clock::{Clock, StreamTime};
use crate::config::Retention;
use crate::deliver::Alarms;
use crate::evidence::rendition;
use crate::evidence::room::{Disk, below};
use crate::id::{AlarmId, CameraId, SERVICE, SiteId};
use crate::store::{
    AlarmEnd, Deletable, DeletionRule, EvidenceReport, EvidenceState, NewAlarm, Store, StoreError,
};

/// Looks this often; a camera's evidence grows by some 10 MB an alarm.
const EVERY: Duration = Duration::from_secs(30);
/// Alarms whose evidence is deleted before it looks at the room again.
const BATCH: u32 = 50;
/// Batches in one turn: further ones have to wait for the next, so that nothing hangs on it.
const BATCHES_MAX: usize = 40;
/// Events removed by one transaction: some milliseconds of the writer's time.
const EVENTS: u32 = 500;
/// Renditions may take this share of the room: what was looked at lately.
const RENDITIONS_SHARE: f64 = 0.1;
/// For how long a leap of the machine's clock is told: a person on duty should have seen it by then.
const LEAP_TOLD: Duration = Duration::from_secs(24 * 3600);
/// An alarm ends when the share is this far below the one at which it was raised.
const SLACK: f64 = 0.05;

/// Keeps one data directory.
#[derive(Debug)]
pub struct Keeper {
    pub store: Store,
    pub alarms: Alarms,
    pub evidence_root: PathBuf,
    pub rules: Retention,
    pub disk: Arc<dyn Disk>,
    pub clock: Arc<dyn Clock>,
    pub footage: Option<FootageKeeper>,
    /// What is raised now.
    pub raised: BTreeMap<AlarmKind, (AlarmId, Alarm)>,
}

impl Keeper {
    /// Works until `stop`.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        let mut tick = tokio::time::interval(EVERY);
        while stop.run_until_cancelled(tick.tick()).await.is_some() {
            if let Err(error) = self.turn().await {
                error!(
                    error = &error as &dyn std::error::Error,
                    "what is old could not be deleted; it is tried again"
                );
            }
        }
    }

    /// Does all that is due now. Fails when the store does; what was not done is done next time.
    pub async fn turn(&mut self) -> Result<(), StoreError> {
        self.let_footage_go().await;
        let made_room = self.make_room().await;
        if let Some(share) = used_share(&made_room) {
            self.judge(share).await;
        }
        self.judge_clock().await;
        made_room?;
        self.prune_events().await?;
        self.keep_reserve();
        Ok(())
    }

    /// Makes room of footage first; evidence is kept also where that fails.
    async fn let_footage_go(&mut self) {
        if let Some(footage) = &mut self.footage
            && let Err(error) = footage.turn().await
        {
            error!(
                error = &error as &dyn std::error::Error,
                "old footage could not be deleted; it is tried again"
            );
        }
    }

    /// Deletes what is to go, and returns what share of the room the rest takes.
    async fn make_room(&self) -> Result<f64, StoreError> {
        self.remove_folders().await?;
        self.delete_old().await?;
        self.delete_what_has_no_room().await
    }

    async fn delete_old(&self) -> Result<(), StoreError> {
        let before_ms = self.ago_ms(self.rules.evidence);
        let days = self.rules.evidence.as_secs() / (24 * 3600);
        let why = format!("deleted: older than the {days} days for which evidence is kept");
        for _ in 0..BATCHES_MAX {
            let old = Deletable::Before(before_ms);
            let old = self.store.deletable_evidence(old, BATCH).await?;
            if old.is_empty() {
                return Ok(());
            }
            for (id, _) in old {
                self.store
                    .delete_evidence(id, DeletionRule::Age, &why)
                    .await?;
            }
            self.remove_folders().await?;
        }
        Ok(())
    }

    /// Deletes the oldest evidence until the rest has room, and returns what share of the room is
    /// used; more than 1 where what is held alone does not fit.
    async fn delete_what_has_no_room(&self) -> Result<f64, StoreError> {
        self.trim_renditions().await?;
        for _ in 0..BATCHES_MAX {
            let (used_bytes, room_bytes) = self.measure().await?;
            let most_bytes = room_bytes as f64 * self.rules.full_share;
            let mut over_bytes = used_bytes as f64 - most_bytes;
            if over_bytes <= 0.0 {
                break;
            }
            let oldest = self.store.deletable_evidence(Deletable::Any, BATCH).await?;
            if oldest.is_empty() {
                break;
            }
            let why = format!(
                "deleted: evidence took {} of the {} MiB that it may take, and this was the oldest",
                used_bytes >> 20,
                room_bytes >> 20
            );
            for (id, size_bytes) in oldest {
                if over_bytes <= 0.0 {
                    break;
                }
                let deleted = self.store.delete_evidence(id, DeletionRule::Room, &why);
                if deleted.await? {
                    over_bytes -= size_bytes as f64;
                    warn!(alarm.id = %id, "evidence was deleted before its time: there is no room");
                }
            }
            self.remove_folders().await?;
        }
        let (used_bytes, room_bytes) = self.measure().await?;
        if room_bytes == 0 {
            // Something else has filled the disk: with nothing left to delete it is as full as can be.
            return Ok(1.0);
        }
        Ok(used_bytes as f64 / room_bytes as f64)
    }

    /// Returns how many bytes evidence takes, and how many it may take.
    async fn measure(&self) -> Result<(u64, u64), StoreError> {
        let used = self.store.evidence_use().await?;
        let data_dir = self.evidence_root.parent().unwrap_or(Path::new("."));
        let renditions_bytes = self.renditions(rendition::used_bytes).await;
        let used_bytes = used.bytes + renditions_bytes;
        let yielded = match &self.footage {
            Some(footage) => footage.yields_bytes().await?,
            None => 0,
        };
        let of_disk = match self.disk.free_bytes(data_dir) {
            Ok(free) => (used_bytes + yielded + free).saturating_sub(self.rules.min_free_bytes),
            Err(error) => {
                warn!(%error, "the disk does not tell how much room it has");
                u64::MAX
            }
        };
        let room_bytes = of_disk.min(self.rules.evidence_budget_bytes.unwrap_or(u64::MAX));
        metrics::gauge!("plumb_evidence_used_bytes").set(used.bytes as f64);
        metrics::gauge!("plumb_evidence_renditions_bytes").set(renditions_bytes as f64);
        metrics::gauge!("plumb_evidence_held_bytes").set(used.held_bytes as f64);
        metrics::gauge!("plumb_evidence_room_bytes").set(room_bytes as f64);
        Ok((used_bytes, room_bytes))
    }

    /// Deletes the oldest renditions: all that have no room beside the evidence, and all beyond their
    /// share.
    async fn trim_renditions(&self) -> Result<(), StoreError> {
        let (used_bytes, room_bytes) = self.measure().await?;
        let most = room_bytes as f64 * self.rules.full_share;
        let renditions_bytes = self.renditions(rendition::used_bytes).await;
        let beside = most - used_bytes.saturating_sub(renditions_bytes) as f64;
        let most = beside.min(room_bytes as f64 * RENDITIONS_SHARE).max(0.0);
        let most_bytes = whole(most);
        if renditions_bytes > most_bytes {
            self.renditions(move |root| rendition::trim(root, most_bytes))
                .await;
        }
        Ok(())
    }

    async fn renditions(&self, work: impl FnOnce(&Path) -> u64 + Send + 'static) -> u64 {
        let root = self.evidence_root.clone();
        let done = tokio::task::spawn_blocking(move || work(&root)).await;
        done.unwrap_or(0)
    }

    /// Removes the folders of which the rows say that they are to go.
    async fn remove_folders(&self) -> Result<(), StoreError> {
        for removal in self.store.removals().await? {
            let Some(path) = below(&self.evidence_root, [removal.folder.as_str()]) else {
                error!(alarm.id = %removal.alarm, "the folder of deleted evidence lies elsewhere: it is left alone");
                self.store.was_removed(removal.alarm).await?;
                continue;
            };
            let (root, folder) = (self.evidence_root.clone(), removal.folder);
            let removed = tokio::task::spawn_blocking(move || {
                remove(&path)?;
                rendition::remove(&root, &folder)
            });
            let removed = removed.await;
            match removed.unwrap_or_else(|panic| Err(io::Error::other(panic))) {
                Ok(()) => self.store.was_removed(removal.alarm).await?,
                Err(error) => {
                    warn!(alarm.id = %removal.alarm, %error, "a folder of deleted evidence cannot be removed; it is tried again");
                }
            }
        }
        Ok(())
    }

    async fn judge(&mut self, share: f64) {
        let thresholds = [
            (AlarmKind::DiskFilling, self.rules.warn_share),
            // Deleting stops at the threshold: standing at it is to be told as well.
            (AlarmKind::DiskFull, self.rules.full_share - 0.01),
        ];
        for (kind, raise_at) in thresholds {
            let is_raised = self.raised.contains_key(&kind);
            if !is_raised && share >= raise_at {
                let why = format!("evidence takes {:.0} % of its room", share * 100.0);
                self.raise(kind, why).await;
            } else if is_raised && share < raise_at - SLACK {
                self.end(kind).await;
            }
        }
    }

    async fn judge_clock(&mut self) {
        let kind = AlarmKind::ClockLeapt;
        let leap = self.store.clock_leap().filter(|leap| leap.ago < LEAP_TOLD);
        match leap {
            Some(leap) if !self.raised.contains_key(&kind) => {
                let hours = leap.by_ms as f64 / 3_600_000.0;
                let why = format!(
                    "the machine's clock leapt by {hours:+.1} h; the age of evidence is not counted by it"
                );
                self.raise(kind, why).await;
            }
            None if self.raised.contains_key(&kind) => self.end(kind).await,
            _ => {}
        }
    }

    async fn raise(&mut self, kind: AlarmKind, why: String) {
        let now = self.clock.now();
        let id = AlarmId::new(now);
        let alarm = Alarm {
            kind,
            started_at: StreamTime::ZERO,
            raised_at: StreamTime::ZERO,
            ended_at: None,
            score: 1.0,
            track: Vec::new(),
            origin: None,
        };
        let new = NewAlarm {
            id,
            camera: CameraId::parse(SERVICE).expect("it is an id"),
            site: SiteId::parse(SERVICE).expect("it is an id"),
            place: String::new(),
            started_at_ms: now.as_millisecond(),
            raised_at_ms: now.as_millisecond(),
            alarm: alarm.clone(),
            scene_sha256: None,
        };
        if let Err(error) = self.alarms.raise(&new).await {
            error!(
                error = &error as &dyn std::error::Error,
                "an alarm of the service itself could neither be stored nor sent"
            );
            return;
        }
        let report = EvidenceReport {
            state: EvidenceState::Missing,
            folder: None,
            files: Vec::new(),
            reason: Some(why),
        };
        if let Err(error) = self.alarms.attach_evidence(id, &report).await {
            warn!(%error, "what an alarm of the service itself says could not be noted");
        }
        self.raised.insert(kind, (id, alarm));
    }

    async fn end(&mut self, kind: AlarmKind) {
        let Some((id, mut alarm)) = self.raised.remove(&kind) else {
            return;
        };
        alarm.ended_at = Some(StreamTime::ZERO);
        let end = AlarmEnd {
            id,
            ended_at_ms: self.clock.now().as_millisecond(),
            alarm,
        };
        if let Err(error) = self.alarms.end(&end).await {
            error!(%error, "the end of an alarm of the service itself could not be stored");
        }
    }

    async fn prune_events(&self) -> Result<(), StoreError> {
        let before_ms = self.ago_ms(self.rules.events);
        for _ in 0..BATCHES_MAX {
            let pruned = self.store.prune_events(before_ms, EVENTS).await?;
            if pruned > 0 {
                info!(events.pruned = pruned, "old events were removed");
            }
            if pruned < u64::from(EVENTS) {
                break;
            }
        }
        Ok(())
    }

    /// Makes the database's reserve anew where it was spent and there is room again.
    fn keep_reserve(&self) {
        let data_dir = self.evidence_root.parent().unwrap_or(Path::new("."));
        let free = self.disk.free_bytes(data_dir);
        if free.is_ok_and(|free| free < self.rules.reserve_bytes.saturating_mul(2)) {
            return;
        }
        if let Err(error) = self.store.keep_reserve(self.rules.reserve_bytes) {
            warn!(%error, "the database has no reserve");
        }
    }

    /// Returns the moment of steady time that lies `age` back.
    fn ago_ms(&self, age: Duration) -> i64 {
        let age_ms = i64::try_from(age.as_millis()).unwrap_or(i64::MAX);
        self.store.steady_ms().saturating_sub(age_ms)
    }
}

/// Returns what share of the room is used; none where nobody knows. A disk that has no room for a row
/// that says what is deleted is as full as can be.
pub fn used_share(made_room: &Result<f64, StoreError>) -> Option<f64> {
    match made_room {
        Ok(share) => Some(*share),
        Err(StoreError::Full { .. }) => Some(1.0),
        Err(_) => None,
    }
}

#[expect(clippy::cast_possible_truncation, reason = "a float cast saturates")]
fn whole(bytes: f64) -> u64 {
    bytes as u64
}

/// Removes the folder, and the day's when that is empty now. A folder that is gone is removed.
fn remove(folder: &Path) -> io::Result<()> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    if let Some(day) = folder.parent() {
        // Fails while other alarms of that day have evidence, as it should.
        std::fs::remove_dir(day).ok();
    }
    Ok(())
}
