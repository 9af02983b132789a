//! The store: alarms, the log of their changes, and the outbox, in one SQLite file.
//!
//! What holds here, and must go on holding:
//! - An alarm's change, its event, its deliveries and its audit row are ONE transaction. When a
//!   command returns, they are on the disk (WAL, `synchronous=FULL`: one fsync a commit).
//! - One writer: one process (a lock on the data directory) with one writing connection, so that
//!   no command ever waits for a lock. Readers have their own connections and never block it.
//! - An audit row carries a digest over itself and the row before; `inspect` finds what was changed.
//! - Every command may be repeated: the second time it changes nothing.
//! - Only this module names SQL. It sends nothing, and knows no secret but those of second factors:
//!   of passwords, sessions, tokens and recovery codes it holds hashes and digests.

pub mod account;
pub mod alarm;
pub mod attempt;
pub mod audit;
pub mod count;
pub mod delivery;
pub mod endpoint;
pub mod error;
pub mod escalation;
pub mod event;
pub mod evidence;
pub mod footage;
pub mod handling;
pub mod inspect;
pub mod lifecycle;
pub mod name;
mod open;
pub mod policy;
pub mod report;
pub mod replay;
mod reserve;
pub mod retention;
pub mod review;
mod row;
pub mod run;
pub mod scene;
pub mod second_factor;
pub mod session;
pub mod shelving;
pub mod steady;
pub mod ticket;
pub mod token;
pub mod transfer;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicI64;

use sqlx::sqlite::SqlitePool;
use sqlx::{Sqlite, Transaction};
use tokio::sync::watch;

pub use account::{AccountRecord, Credentials, Due, PasswordKind};
pub use alarm::{
    AlarmDetail, AlarmFilter, AlarmRecord, AlarmState, Cursor, Disposition, EndReason, Page,
};
pub use attempt::{Attempt, AttemptRecord, Head, Outcome};
pub use audit::{Actor, AuditFilter, AuditOutcome, AuditRecord};
pub use count::{DispositionCount, KindCounts, OriginRecord, RideCount, Span};
pub use delivery::{DeliveryId, DeliveryRecord, DeliveryState, OutboxCount};
pub use endpoint::{EndpointRecord, Hears, Route, Shelved};
pub use error::StoreError;
pub use escalation::{Escalation, EscalationRecord};
pub use event::{AlarmSnapshot, EventKind, EventRecord};
pub use evidence::{EvidenceFile, EvidenceReport, EvidenceState};
pub use footage::{FootageGoes, FootageGone, FootageRecord, FootageRemoval, FootageUse};
pub use handling::NoteRecord;
pub use lifecycle::{AlarmEnd, NewAlarm, Recovered};
pub use replay::{
    ReplayAlarm, ReplayBefore, ReplayEnd, ReplayModel, ReplayOf, ReplayRecord, ReplayResult,
    ReplayState,
};
pub use report::FaultSpan;
pub use retention::{Deletable, Deletion, DeletionRule, EvidenceUse, Hold, Removal};
pub use review::Beside;
pub use run::RunId;
pub use scene::{SceneChange, SceneText};
pub use second_factor::SecondFactor;
pub use session::{SessionLimits, SessionRecord};
pub use shelving::{NewShelf, SHELF_MAX, ShelfRecord};
pub use steady::ClockLeap;
pub use ticket::{
    ALARMS_MAX, Decision, FOOTAGE_MAX, Made, NewTicket, Scope, TicketId, TicketRecord, TicketState,
};
pub use token::{TokenGrant, TokenRecord};
pub use transfer::{AlarmCopy, Arrival};

use crate::clock::Clock;
use error::Fault;

/// Rows of one read at the most; longer answers come in pages.
pub const PAGE_ROWS_MAX: u32 = 500;

/// A handle on the store; clones share it.
#[derive(Clone, Debug)]
pub struct Store(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    durability: Durability,
    /// One connection: commands take turns.
    writer: SqlitePool,
    readers: SqlitePool,
    /// An unused connection that keeps a store in memory alive while another is replaced.
    keeper: Option<SqlitePool>,
    routes: Vec<Route>,
    clock: Arc<dyn Clock>,
    /// What ages are counted by; a store in memory shares the disk's.
    steady: Arc<steady::Watch>,
    /// What pages call people.
    names: name::Names,
    /// The newest event's seq.
    newest: watch::Sender<i64>,
    /// The oldest event's seq; 0 where there is none.
    oldest: AtomicI64,
    /// Counts changes of the outbox that its workers did not make themselves.
    outbox: watch::Sender<u64>,
    /// Held as long as the store is open.
    _lock: Option<std::fs::File>,
}

/// Whether what is committed outlives the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    Disk,
    /// In memory only: the way out when the disk fails.
    Volatile,
}

type Tx = Transaction<'static, Sqlite>;

impl Store {
    /// Returns whether what is committed here outlives the process.
    pub fn durability(&self) -> Durability {
        self.0.durability
    }

    /// Returns the database's path, for messages.
    pub fn path(&self) -> &std::path::Path {
        &self.0.path
    }

    /// Returns the newest event's seq, now and whenever it grows.
    pub fn newest_seq(&self) -> watch::Receiver<i64> {
        self.0.newest.subscribe()
    }

    /// Returns a signal that changes when there may be something new to send.
    pub fn outbox_changes(&self) -> watch::Receiver<u64> {
        self.0.outbox.subscribe()
    }

    /// Closes the store after the commands that run, and releases the data directory.
    pub async fn close(&self) {
        self.0.readers.close().await;
        self.0.writer.close().await;
        if let Some(keeper) = &self.0.keeper {
            keeper.close().await;
        }
    }

    fn now_ms(&self) -> i64 {
        self.0.clock.now().as_millisecond()
    }

    async fn begin(&self) -> Result<Tx, Fault> {
        // IMMEDIATE: takes the write lock at once instead of failing half-way.
        Ok(self.0.writer.begin_with("BEGIN IMMEDIATE").await?)
    }

    /// Names the database in what went wrong.
    fn named<T>(&self, result: Result<T, Fault>) -> Result<T, StoreError> {
        result.map_err(|fault| match fault {
            Fault::Sql(source) => StoreError::of_sql(&self.0.path, source),
            Fault::Refused(error) => error,
        })
    }

    fn event_was_committed(&self, seq: i64) {
        self.0.newest.send_if_modified(|newest| {
            let grew = seq > *newest;
            *newest = seq.max(*newest);
            grew
        });
        self.outbox_has_changed();
    }

    fn outbox_has_changed(&self) {
        self.0.outbox.send_modify(|count| *count += 1);
    }
}
