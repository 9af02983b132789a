//! Makes renditions of evidence and of footage for whoever must not see all of it: pictures while they
//! wait, a clip or a segment beside, one at a time and with a low priority, for it takes a core for seconds.
//!
//! Bounds: [`WAITING_MAX`] clips wait, further ones are refused and asked for again; a clip that could
//! not be made is not tried again for [`FAILED_FOR`]. Who waits is told so by 503 and Retry-After.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::error::ApiError;
use super::replays::yield_to_cameras;
use super::sight::{self, Sight};
use super::{Api, Service};
use crate::alarm::AlarmKind;
use crate::evidence::copy::{CopyError, Copyist};
use crate::evidence::room::below;
use crate::evidence::{CLIP, Hidden, part_path, rendition};
use crate::id::AlarmId;
use crate::scene::facade::FacadeScene;
use crate::store::{AlarmDetail, EventKind, EvidenceFile, FootageRecord};

/// Clips that wait to be made.
const WAITING_MAX: usize = 16;
/// For so long a clip that could not be made is not tried again.
const FAILED_FOR: Duration = Duration::from_secs(60);
/// Events that are looked at at a time.
const EVENTS: u32 = 100;
/// Clips that failed and are remembered; with more all are forgotten, and tried again.
const FAILED_MAX: usize = 256;

/// The renditions that are being made.
#[derive(Debug)]
pub(super) struct Renditions {
    orders: mpsc::Sender<Order>,
    known: Mutex<HashMap<PathBuf, State>>,
}

/// How far one is that is not there.
#[derive(Clone, Debug)]
enum State {
    Waits,
    Failed { at: Duration, why: ApiError },
}

/// A rendition that is wanted: everything that it is made of.
#[derive(Debug)]
struct Order {
    original: Original,
    file: EvidenceFile,
    /// In which the file lies.
    folder: PathBuf,
    hidden: Hidden,
    made: PathBuf,
}

/// What it is a rendition of.
#[derive(Debug)]
enum Original {
    Evidence {
        detail: Box<AlarmDetail>,
        facade: Option<FacadeScene>,
    },
    /// A segment of that number.
    Footage(i64),
}

impl Original {
    /// Returns its name for the log.
    fn name(&self) -> String {
        match self {
            Self::Evidence { detail, .. } => format!("alarm {}", detail.alarm.id),
            Self::Footage(segment) => format!("footage {segment}"),
        }
    }
}

impl Renditions {
    /// Returns an empty place, and what [`work`] takes its orders from.
    pub(super) fn open() -> (Self, Orders) {
        let (orders, ordered) = mpsc::channel(WAITING_MAX);
        let renditions = Self {
            orders,
            known: Mutex::default(),
        };
        (renditions, Orders(ordered))
    }

    fn known(&self) -> MutexGuard<'_, HashMap<PathBuf, State>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn failed(&self, made: PathBuf, at: Duration, why: ApiError) {
        let mut known = self.known();
        if known.len() >= FAILED_MAX {
            known.retain(|_, state| matches!(state, State::Waits));
        }
        known.insert(made, State::Failed { at, why });
    }
}

/// What is still to be made.
pub(super) struct Orders(mpsc::Receiver<Order>);

/// Returns where the file's rendition lies, made now where it is a picture. Fails with
/// [`ApiError::BeingPrepared`] where it is a clip that is still to be made.
pub(super) async fn of(
    service: &Service,
    detail: &AlarmDetail,
    file: &EvidenceFile,
    sight: Sight,
) -> Result<PathBuf, ApiError> {
    let gone = || ApiError::EvidenceGone {
        name: file.name.clone(),
    };
    let root = &service.api.evidence_root;
    let folder_name = detail.evidence_folder.as_deref().ok_or_else(gone)?;
    let folder = below(root, [folder_name]).ok_or_else(gone)?;
    let made = rendition::path(root, folder_name, file, &sight.hidden).ok_or_else(gone)?;
    if tokio::fs::try_exists(&made).await.unwrap_or(false) {
        return Ok(made);
    }
    let order = Order {
        original: Original::Evidence {
            detail: Box::new(detail.clone()),
            facade: sight.facade,
        },
        file: file.clone(),
        folder,
        hidden: sight.hidden,
        made: made.clone(),
    };
    if file.name == CLIP {
        return Err(wait_for(service, order));
    }
    check_room(&service.api)?;
    let _turn = service
        .encoders
        .acquire()
        .await
        .map_err(|_| ApiError::Stopping)?;
    let name = file.name.clone();
    let made_it = tokio::task::spawn_blocking(move || order.make(&|| true)).await;
    match made_it {
        Ok(Ok(())) => Ok(made),
        Ok(Err(error)) => Err(told(&name, &error)),
        Err(panic) => Err(ApiError::internal(
            "the thread that hides in a picture",
            &panic,
        )),
    }
}

/// Returns where the rendition of a segment of footage lies; `path` is the segment's own. Fails with
/// [`ApiError::BeingPrepared`] where it is still to be made.
pub(super) async fn of_footage(
    service: &Service,
    record: &FootageRecord,
    path: PathBuf,
    hidden: &Hidden,
) -> Result<PathBuf, ApiError> {
    let gone = || ApiError::FootageGone { id: record.id };
    let (file, folder) = (record.file(), rendition::footage_folder(record.id));
    let root = &service.api.evidence_root;
    let made = rendition::path(root, &folder, &file, hidden).ok_or_else(gone)?;
    if tokio::fs::try_exists(&made).await.unwrap_or(false) {
        return Ok(made);
    }
    let order = Order {
        original: Original::Footage(record.id),
        folder: path.parent().ok_or_else(gone)?.to_path_buf(),
        file,
        hidden: hidden.clone(),
        made,
    };
    Err(wait_for(service, order))
}

/// Returns whether the file's rendition is there.
pub(super) async fn is_there(api: &Api, detail: &AlarmDetail, name: &str, hidden: &Hidden) -> bool {
    let file = detail.files.iter().find(|file| file.name == name);
    let both = file.zip(detail.evidence_folder.as_deref());
    let made =
        both.and_then(|(file, folder)| rendition::path(&api.evidence_root, folder, file, hidden));
    match made {
        Some(made) => tokio::fs::try_exists(&made).await.unwrap_or(false),
        None => false,
    }
}

/// Puts the order into the queue unless it is there, and returns what whoever asks is told.
fn wait_for(service: &Service, order: Order) -> ApiError {
    let now = service.api.clock.monotonic();
    let mut known = service.renditions.known();
    match known.get(&order.made) {
        Some(State::Waits) => return ApiError::BeingPrepared,
        Some(State::Failed { at, why }) if now.saturating_sub(*at) < FAILED_FOR => {
            return why.clone();
        }
        _ => {}
    }
    let made = order.made.clone();
    match service.renditions.orders.try_send(order) {
        Ok(()) => {
            known.insert(made, State::Waits);
            ApiError::BeingPrepared
        }
        Err(mpsc::error::TrySendError::Full(_)) => ApiError::Busy {
            what: "clips that are made ready",
        },
        Err(mpsc::error::TrySendError::Closed(_)) => ApiError::Stopping,
    }
}

/// Orders the copy of each fall's clip as soon as the clip is there, until `stop`: whoever opens the alarm
/// then need not wait. With more falls than can wait, the rest is made when somebody looks, and so is
/// all of it while nobody follows the alarms: a copy takes a core for some ten seconds.
pub(super) async fn foresee(service: Arc<Service>, stop: CancellationToken) {
    let store = &service.api.store;
    let mut newest = store.newest_seq();
    let mut seen = *newest.borrow_and_update();
    while let Some(Ok(())) = stop.run_until_cancelled(newest.changed()).await {
        newest.borrow_and_update();
        loop {
            let Ok(events) = store.events_after(seen, EVENTS).await else {
                // The copy is made when somebody looks.
                break;
            };
            let Some(last) = events.last() else { break };
            seen = last.seq;
            for event in events {
                let alarm = event
                    .alarm
                    .filter(|_| event.kind == EventKind::AlarmEvidence);
                if let Some(id) = alarm
                    && is_followed(&service)
                    && let Err(error) = order_clip(&service, id).await
                {
                    tracing::warn!(alarm.id = %id, %error, "the clip's copy is not made before somebody looks");
                }
            }
        }
    }
}

/// Returns whether anybody follows the alarms: a board that is open, or a program.
fn is_followed(service: &Service) -> bool {
    service.stream_clients.available_permits() < service.api.limits.stream_clients
}

async fn order_clip(service: &Service, id: AlarmId) -> Result<(), ApiError> {
    let Some(detail) = service.api.store.alarm(id).await? else {
        return Ok(());
    };
    let is_fall = detail.alarm.kind == AlarmKind::FallingObject;
    let clip = detail.files.iter().find(|file| file.name == CLIP).cloned();
    let Some(clip) = clip.filter(|_| is_fall) else {
        return Ok(());
    };
    let sight = sight::of_facade(service, &detail.alarm).await?;
    if sight.hidden != Hidden::Nothing {
        match of(service, &detail, &clip, sight).await {
            Ok(_) | Err(ApiError::BeingPrepared) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Makes what is ordered, one after the other, until `stop`.
pub(super) async fn work(service: Arc<Service>, mut orders: Orders, stop: CancellationToken) {
    while let Some(Some(order)) = stop.run_until_cancelled(orders.0.recv()).await {
        let (name, made, of) = (
            order.file.name.clone(),
            order.made.clone(),
            order.original.name(),
        );
        let done = match check_room(&service.api) {
            Ok(()) => run(order, stop.clone()).await,
            Err(error) => Err(error),
        };
        match done {
            Ok(()) => {
                service.renditions.known().remove(&made);
            }
            Err(ApiError::Stopping) => return,
            Err(why) => {
                tracing::warn!(rendition.of = of, file = %name, reason = %why, "what is hidden from people could not be hidden in a file; it is not shown");
                let now = service.api.clock.monotonic();
                service.renditions.failed(made, now, why);
            }
        }
    }
}

async fn run(order: Order, stop: CancellationToken) -> Result<(), ApiError> {
    let (name, (done, made)) = (order.file.name.clone(), tokio::sync::oneshot::channel());
    // A thread of its own: its priority goes with it.
    let spawned = std::thread::Builder::new()
        .name("rendition".to_owned())
        .spawn(move || {
            yield_to_cameras();
            // Nobody waits any more where the service stops.
            done.send(order.make(&|| !stop.is_cancelled())).ok();
        });
    if let Err(error) = spawned {
        return Err(ApiError::internal(
            "starting the thread that hides in a clip",
            &error,
        ));
    }
    match made.await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(told(&name, &error)),
        Err(gone) => Err(ApiError::internal("the thread that hides in a clip", &gone)),
    }
}

impl Order {
    fn make(self, goes_on: &dyn Fn() -> bool) -> Result<(), CopyError> {
        if let Some(folder) = self.made.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let (detail, facade) = match self.original {
            Original::Evidence { detail, facade } => (Some(detail), facade),
            Original::Footage(_) => (None, None),
        };
        let copyist = Copyist {
            folder: self.folder,
            track: detail.as_ref().map_or(&[], |detail| &detail.track),
            raised_at_s: detail
                .as_ref()
                .map_or(0.0, |detail| detail.alarm.raised_at_s),
            hidden: self.hidden,
            facade,
            watermark: None,
            goes_on,
        };
        let copied = match &detail {
            Some(_) => copyist.copy(&self.file, &self.made),
            None => copyist.copy_video(&self.file, &self.made),
        };
        if copied.is_err() {
            // Best effort: what is left over goes with the oldest.
            std::fs::remove_file(part_path(&self.made)).ok();
        }
        copied
    }
}

/// Refuses where evidence could not be written either: the database needs what is left.
fn check_room(api: &Api) -> Result<(), ApiError> {
    match api.room.lacks(&rendition::root(&api.evidence_root)) {
        Some(reason) => Err(ApiError::NoRoom { reason }),
        None => Ok(()),
    }
}

fn told(name: &str, error: &CopyError) -> ApiError {
    let name = || name.to_owned();
    match error {
        CopyError::Changed => ApiError::EvidenceChanged { name: name() },
        CopyError::Gone => ApiError::EvidenceGone { name: name() },
        CopyError::Stopped => ApiError::Stopping,
        _ => ApiError::internal("hiding in evidence what is not to be seen", error),
    }
}
