//! The pipeline's one way to tell of alarms, which works with and without the disk.
//!
//! With it: the store commits, the outbox sends. When a commit fails or does not end (the disk is
//! full, read-only, dying), the alarm goes into a second store, in memory, with an outbox of its
//! own: the same signatures, retries and order per camera, and messages that say
//! `"stored": false` and that the evidence is missing. The disk is tried again every few seconds;
//! when it is back, everything moves onto it, and what is still undelivered goes on from there.
//!
//! It must never make an alarm wait for the disk longer than [`COMMIT_MAX`], nor hold more than
//! the volatile store's bound. What memory cannot keep any more is counted and logged.

use std::sync::Arc;
use std::time::Duration;

use metrics::{counter, gauge};
use tokio::sync::{Mutex, watch};

use super::{Delivering, Outbox};
use crate::id::AlarmId;
use crate::store::{AlarmEnd, Arrival, EvidenceReport, NewAlarm, Store, StoreError};

/// Waits no longer for one commit; a healthy disk needs milliseconds.
const COMMIT_MAX: Duration = Duration::from_secs(3);
/// Tries the disk again this often.
const DISK_RETRY: Duration = Duration::from_secs(5);
/// Waits this long for requests under way before their alarms move onto the disk; then they are
/// repeated from there.
const MOVE_GRACE: Duration = Duration::from_secs(2);
/// Alarms moved onto the disk before new ones get a turn.
const MOVE_BATCH: u32 = 20;

/// Where an alarm is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// It outlives the process.
    OnDisk,
    /// The disk takes nothing: it is delivered, and moves onto the disk when that is back.
    InMemory,
}

/// Tells of alarms; clones share it.
#[derive(Clone, Debug)]
pub struct Alarms(Arc<Desk>);

#[derive(Debug)]
struct Desk {
    disk: Store,
    delivering: Delivering,
    /// None while the disk works. Commands take turns at it, so that their order is kept.
    emergency: Mutex<Option<Emergency>>,
    trouble: watch::Sender<Option<String>>,
}

/// The store in memory, and its outbox (none while its alarms move).
#[derive(Debug)]
struct Emergency {
    memory: Store,
    outbox: Option<Outbox>,
}

enum Command<'a> {
    Raise(&'a NewAlarm),
    End(&'a AlarmEnd),
    Evidence(AlarmId, &'a EvidenceReport),
}

impl Alarms {
    /// Returns the way into `disk`, whose outbox runs elsewhere ([`Outbox::start`]).
    pub fn new(disk: Store, delivering: Delivering) -> Self {
        Self(Arc::new(Desk {
            disk,
            delivering,
            emergency: Mutex::new(None),
            trouble: watch::Sender::new(None),
        }))
    }

    /// Tells of a new alarm: it is kept, and will be sent to each endpoint that wants it. Fails
    /// only when neither disk nor memory keeps it.
    pub async fn raise(&self, new: &NewAlarm) -> Result<Kept, StoreError> {
        self.tell(Command::Raise(new)).await
    }

    /// Tells of an alarm's end.
    pub async fn end(&self, end: &AlarmEnd) -> Result<Kept, StoreError> {
        self.tell(Command::End(end)).await
    }

    /// Tells what there is of an alarm's evidence.
    pub async fn attach_evidence(
        &self,
        id: AlarmId,
        report: &EvidenceReport,
    ) -> Result<Kept, StoreError> {
        self.tell(Command::Evidence(id, report)).await
    }

    /// Returns why the disk takes nothing, now and whenever that changes; none while it works.
    pub fn trouble(&self) -> watch::Receiver<Option<String>> {
        self.0.trouble.subscribe()
    }

    /// Stops the outbox in memory, if there is one, after a last try to move its alarms onto the
    /// disk. What cannot move is lost with the process; the log says how many.
    pub async fn stop(&self) {
        let mut emergency = self.0.emergency.lock().await;
        let Some(mut state) = emergency.take() else {
            return;
        };
        if let Some(outbox) = state.outbox.take() {
            outbox.stop(MOVE_GRACE).await;
        }
        while let Ok(moved) = move_some(&state.memory, &self.0.disk).await {
            if moved == 0 {
                return;
            }
        }
        let lost = state
            .memory
            .oldest_alarms(u32::MAX)
            .await
            .map_or(0, |left| left.len());
        tracing::error!(
            alarms.lost = lost,
            "alarms in memory are lost: the disk took none"
        );
    }

    async fn tell(&self, command: Command<'_>) -> Result<Kept, StoreError> {
        let mut emergency = self.0.emergency.lock().await;
        if emergency.is_none() {
            match on_disk(&self.0.disk, &command).await {
                Ok(()) => return Ok(Kept::OnDisk),
                Err(Trouble::Refused(error)) => return Err(error),
                Err(Trouble::Disk(reason)) => *emergency = Some(self.begin(reason).await?),
                Err(Trouble::Full(reason)) => match self.on_reserve(&command).await {
                    true => return Ok(Kept::OnDisk),
                    false => *emergency = Some(self.begin(reason).await?),
                },
            }
        }
        let Some(state) = emergency.as_ref() else {
            unreachable!("it was set where it was none");
        };
        let kept = in_memory(state, &self.0.disk, &command).await;
        if let Err(error) = &kept {
            counter!("plumb_deliver_unkept_total").increment(1);
            tracing::error!(
                alarm.id = %command.alarm(),
                error = error as &dyn std::error::Error,
                "neither disk nor memory keeps this"
            );
        }
        kept.map(|()| Kept::InMemory)
    }

    /// Returns whether the disk took the command once it was given the database's reserve.
    async fn on_reserve(&self, command: &Command<'_>) -> bool {
        if !self.0.disk.spend_reserve() {
            return false;
        }
        tracing::error!("the disk is full: the database lives on its reserve");
        on_disk(&self.0.disk, command).await.is_ok()
    }

    async fn begin(&self, reason: String) -> Result<Emergency, StoreError> {
        tracing::error!(
            store.path = %self.0.disk.path().display(),
            reason,
            "the disk takes no alarms; they are delivered from memory until it does"
        );
        counter!("plumb_store_disk_failures_total").increment(1);
        gauge!("plumb_store_in_memory").set(1.0);
        let memory = self.0.disk.open_volatile_beside().await?;
        let outbox = Some(Outbox::start(&memory, &self.0.delivering));
        self.0.trouble.send_replace(Some(reason));
        tokio::spawn(self.clone().wait_for_disk());
        Ok(Emergency { memory, outbox })
    }

    async fn wait_for_disk(self) {
        loop {
            tokio::time::sleep(DISK_RETRY).await;
            let probe = tokio::time::timeout(COMMIT_MAX, self.0.disk.probe());
            if matches!(probe.await, Ok(Ok(()))) && self.move_all().await {
                return;
            }
        }
    }

    /// Moves everything onto the disk; returns whether there is nothing left to wait for.
    async fn move_all(&self) -> bool {
        let outbox = match self.0.emergency.lock().await.as_mut() {
            Some(state) => state.outbox.take(),
            None => return true,
        };
        if let Some(outbox) = outbox {
            outbox.stop(MOVE_GRACE).await;
        }
        loop {
            // Let go between batches, so that new alarms wait for one batch at the most.
            let mut emergency = self.0.emergency.lock().await;
            let Some(state) = emergency.as_mut() else {
                return true;
            };
            match move_some(&state.memory, &self.0.disk).await {
                Ok(0) => {
                    state.memory.close().await;
                    *emergency = None;
                    self.0.trouble.send_replace(None);
                    gauge!("plumb_store_in_memory").set(0.0);
                    tracing::info!("the disk is back; all alarms are on it");
                    return true;
                }
                Ok(_) => {}
                Err(reason) => {
                    tracing::warn!(reason, "the disk failed again");
                    // Aborted requests left their deliveries half-way.
                    state.memory.reopen_deliveries().await.ok();
                    state.outbox = Some(Outbox::start(&state.memory, &self.0.delivering));
                    return false;
                }
            }
        }
    }
}

/// Why a command did not reach the disk.
enum Trouble {
    Disk(String),
    /// As [`Trouble::Disk`], for want of room.
    Full(String),
    Refused(StoreError),
}

async fn on_disk(disk: &Store, command: &Command<'_>) -> Result<(), Trouble> {
    match tokio::time::timeout(COMMIT_MAX, command.apply(disk)).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error @ StoreError::Full { .. })) => Err(Trouble::Full(reason_of(&error))),
        Ok(Err(error)) if error.is_disk() => Err(Trouble::Disk(reason_of(&error))),
        Ok(Err(error)) => Err(Trouble::Refused(error)),
        // It may still succeed: then the alarm is on both, with the same delivery ids.
        Err(_) => Err(Trouble::Disk(format!(
            "{} did not take a change within {} s",
            disk.path().display(),
            COMMIT_MAX.as_secs()
        ))),
    }
}

async fn in_memory(
    state: &Emergency,
    disk: &Store,
    command: &Command<'_>,
) -> Result<(), StoreError> {
    let memory = &state.memory;
    match command.apply(memory).await {
        Err(StoreError::UnknownAlarm(id)) => {
            // Raised while the disk still worked: reading mostly works when writing does not.
            let Some(copy) = disk.copy_out(id).await? else {
                return Err(StoreError::UnknownAlarm(id));
            };
            memory.copy_in(&copy, Arrival::Borrowed).await?;
            command.apply(memory).await
        }
        Err(StoreError::Full { .. }) => {
            let forgotten = memory.forget_settled().await?;
            counter!("plumb_store_alarms_forgotten_total").increment(forgotten);
            tracing::error!(
                alarms.forgotten = forgotten,
                "memory is full: alarms that were delivered are forgotten"
            );
            command.apply(memory).await
        }
        result => result,
    }
}

/// Moves some alarms onto the disk, and returns how many; 0 when there are none left.
async fn move_some(memory: &Store, disk: &Store) -> Result<usize, String> {
    let ids = memory
        .oldest_alarms(MOVE_BATCH)
        .await
        .map_err(|error| reason_of(&error))?;
    for &id in &ids {
        let moving = async {
            if let Some(copy) = memory.copy_out(id).await? {
                disk.copy_in(&copy, Arrival::Moved).await?;
            }
            memory.forget(id).await
        };
        tokio::time::timeout(COMMIT_MAX, moving)
            .await
            .map_err(|_| "a change did not end in time".to_owned())?
            .map_err(|error| reason_of(&error))?;
    }
    Ok(ids.len())
}

impl Command<'_> {
    async fn apply(&self, store: &Store) -> Result<(), StoreError> {
        match self {
            Self::Raise(new) => store.raise(new).await.map(|_| ()),
            Self::End(end) => store.end(end).await,
            Self::Evidence(id, report) => store.attach_evidence(*id, report).await,
        }
    }

    fn alarm(&self) -> AlarmId {
        match self {
            Self::Raise(new) => new.id,
            Self::End(end) => end.id,
            Self::Evidence(id, _) => *id,
        }
    }
}

fn reason_of(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    text
}
