//! What can go wrong with the store, in words that name the path and what to do about it.

use std::io;
use std::path::{Path, PathBuf};

use super::alarm::AlarmState;
use super::delivery::DeliveryId;
use super::ticket::TicketId;
use crate::id::{AccountId, AlarmId, EndpointId, TokenId};

/// Why the store did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error(
        "another plumb runs on the data directory {path}: stop it, or give this one a data directory of its own"
    )]
    InUse { path: PathBuf },
    #[error(
        "the data directory {path} cannot be written: make it a folder that this user may write to"
    )]
    Unwritable { path: PathBuf, source: io::Error },
    #[error("{path} is read-only: give it back its write permission or remount its disk")]
    ReadOnly { path: PathBuf, source: sqlx::Error },
    #[error("there is no room to write {path}: free space on its disk")]
    Full { path: PathBuf, source: sqlx::Error },
    #[error(
        "{path} is damaged or is no database: restore it from a backup, or move it away to begin an empty one"
    )]
    Corrupt { path: PathBuf, source: sqlx::Error },
    #[error("another program holds {path}: close whatever has it open")]
    Busy { path: PathBuf, source: sqlx::Error },
    #[error("{path} cannot be read or written: look at its disk")]
    Disk { path: PathBuf, source: sqlx::Error },
    #[error(
        "{path} was written by a newer plumb (schema {found}, this one knows up to {known}): use that version, or another data directory"
    )]
    Newer {
        path: PathBuf,
        found: i64,
        known: i64,
    },
    #[error(
        "the tables of {path} cannot be brought up to date: use the plumb version that wrote it, and report this"
    )]
    Migrate {
        path: PathBuf,
        source: sqlx::migrate::MigrateError,
    },
    #[error("{path} did not answer as it should: report this")]
    Sql { path: PathBuf, source: sqlx::Error },
    #[error("alarms are kept in memory only: put the data directory right and start plumb again")]
    NoDisk,
    #[error("there is no alarm {0}")]
    UnknownAlarm(AlarmId),
    #[error("there is no delivery {0}")]
    UnknownDelivery(DeliveryId),
    #[error("there is no endpoint {0} in the configuration")]
    UnknownEndpoint(EndpointId),
    #[error("alarm {alarm} is {} already and cannot be {}", state.as_str(), wanted.as_str())]
    WrongState {
        alarm: AlarmId,
        state: AlarmState,
        wanted: AlarmState,
    },
    #[error("alarm {alarm} is in the hands of {by} already")]
    Taken {
        alarm: AlarmId,
        by: String,
        name: String,
    },
    #[error("the evidence of alarm {0} is deleted already: there is nothing to hold")]
    EvidenceDeleted(AlarmId),
    #[error("the evidence of alarm {0} is not held")]
    NotHeld(AlarmId),
    #[error("there is no ticket {0}")]
    UnknownTicket(TicketId),
    #[error("nobody decides on their own ticket: {0} is for another manager")]
    OwnTicket(TicketId),
    #[error("ticket {0} is decided already")]
    Decided(TicketId),
    #[error("the bundle of ticket {0} is for whoever asked for it")]
    OthersTicket(TicketId),
    #[error("ticket {0} has no bundle to download: it is not made yet, or its time is over")]
    NoBundle(TicketId),
    #[error("nothing lies in this scope: there is nothing to export")]
    EmptyScope,
    #[error("replay {0} runs: one at a time, wait for it or cancel it")]
    ReplayRuns(i64),
    #[error("delivery {0} is not dead: only a dead letter can be sent again")]
    NotDead(DeliveryId),
    #[error("there is no shelf {0}")]
    UnknownShelf(i64),
    #[error("there is no account {0}")]
    UnknownAccount(AccountId),
    #[error("there is no token {0}")]
    UnknownToken(TokenId),
    #[error("the name {0:?} is taken")]
    NameTaken(String),
    #[error("there are {limit} {what} already: remove one first")]
    TooMany { what: &'static str, limit: i64 },
    #[error(
        "{0} is the only account that can look after accounts: give another one the role admin first"
    )]
    LastAdmin(AccountId),
    #[error("nobody changes their own roles or disables themselves: ask another admin")]
    OwnAccount,
    #[error("the sign-in was refused")]
    SignInRefused,
    #[error("the account {0} has a second factor already: remove it first")]
    FactorInForce(AccountId),
    #[error("the account {0} has no second factor")]
    NoFactor(AccountId),
}

impl StoreError {
    /// Returns whether the disk is at fault, not the request: the same call may succeed once the
    /// disk is back, and an alarm must go out another way until then.
    pub fn is_disk(&self) -> bool {
        !matches!(
            self,
            Self::InUse { .. }
                | Self::Newer { .. }
                | Self::Migrate { .. }
                | Self::UnknownAlarm(_)
                | Self::UnknownDelivery(_)
                | Self::UnknownEndpoint(_)
                | Self::WrongState { .. }
                | Self::Taken { .. }
                | Self::EvidenceDeleted(_)
                | Self::NotHeld(_)
                | Self::UnknownTicket(_)
                | Self::OwnTicket(_)
                | Self::Decided(_)
                | Self::OthersTicket(_)
                | Self::NoBundle(_)
                | Self::EmptyScope
                | Self::NotDead(_)
                | Self::UnknownShelf(_)
                | Self::ReplayRuns(_)
                | Self::UnknownAccount(_)
                | Self::UnknownToken(_)
                | Self::NameTaken(_)
                | Self::TooMany { .. }
                | Self::LastAdmin(_)
                | Self::OwnAccount
                | Self::SignInRefused
                | Self::FactorInForce(_)
                | Self::NoFactor(_)
        )
    }

    /// Returns the error for what SQLite said about the database at `path`.
    pub(super) fn of_sql(path: &Path, source: sqlx::Error) -> Self {
        // SQLite's primary result codes stand in the low byte: sqlite.org/rescode.html.
        const BUSY: u32 = 5;
        const LOCKED: u32 = 6;
        const READONLY: u32 = 8;
        const IOERR: u32 = 10;
        const CORRUPT: u32 = 11;
        const FULL: u32 = 13;
        const CANTOPEN: u32 = 14;
        const NOTADB: u32 = 26;
        let code = source
            .as_database_error()
            .and_then(|error| error.code())
            .and_then(|code| code.parse::<u32>().ok());
        let path = path.to_owned();
        match code.map(|code| code & 0xff) {
            Some(BUSY | LOCKED) => Self::Busy { path, source },
            Some(READONLY) => Self::ReadOnly { path, source },
            Some(CORRUPT | NOTADB) => Self::Corrupt { path, source },
            Some(FULL) => Self::Full { path, source },
            Some(IOERR | CANTOPEN) => Self::Disk { path, source },
            _ => Self::Sql { path, source },
        }
    }
}

/// What a step of an operation met: SQL, whose error still lacks the path, or a refusal.
#[derive(Debug)]
pub(super) enum Fault {
    Sql(sqlx::Error),
    Refused(StoreError),
}

impl From<sqlx::Error> for Fault {
    fn from(error: sqlx::Error) -> Self {
        Self::Sql(error)
    }
}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Self {
        Self::Refused(error)
    }
}
