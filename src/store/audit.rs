//! Who did what: rows that no statement can change or remove (triggers in the schema see to it).
//!
//! An audit row is written by the transaction that does the deed, never beside it.

use serde::{Deserialize, Serialize};
use sqlx::Row;
use sqlx::sqlite::SqliteConnection;

use super::error::Fault;
use super::row::word;
use super::{PAGE_ROWS_MAX, Store, StoreError};

/// Who acts: a person's account, a program's token, or the service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Actor(String);

impl Actor {
    /// The service's own name, which no account may have.
    pub const SERVICE: &str = "plumb";

    /// Returns the service itself.
    pub fn service() -> Self {
        Self(Self::SERVICE.to_owned())
    }

    /// Returns whoever has not signed in. No account can have this name, nor that of a token or
    /// of the command line: ids hold no colon and no brackets.
    pub fn nobody() -> Self {
        Self("(nobody)".to_owned())
    }

    /// Returns the program with the token of that name.
    pub fn token(name: &str) -> Self {
        Self(format!("token:{name}"))
    }

    /// Returns whoever uses the command line on the service's own machine.
    pub fn command_line() -> Self {
        Self("(command line)".to_owned())
    }

    /// Returns the account of that name.
    pub fn account(name: &str) -> Self {
        Self(name.to_owned())
    }

    /// Returns the name that is kept.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Whether what was asked for was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum AuditOutcome {
    Done,
    Refused,
}

impl AuditOutcome {
    /// Returns the name used in JSON and SQL.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Refused => "refused",
        }
    }
}

/// One deed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct AuditRecord {
    pub seq: i64,
    pub at_ms: i64,
    pub who: String,
    /// E.g. `alarm.closed`.
    pub action: String,
    /// What it was done to: an id.
    pub object: String,
    pub outcome: AuditOutcome,
    pub detail: Option<String>,
}

/// A deed to be written down.
pub(super) struct Deed<'a> {
    pub(super) who: &'a Actor,
    pub(super) action: &'a str,
    pub(super) object: String,
    pub(super) outcome: AuditOutcome,
    pub(super) detail: Option<String>,
}

impl Store {
    /// Returns at most `limit` (1..=[`PAGE_ROWS_MAX`]) audit rows after `seq`, oldest first.
    pub async fn audit_after(&self, seq: i64, limit: u32) -> Result<Vec<AuditRecord>, StoreError> {
        self.named(self.audit_rows(seq, limit).await)
    }

    async fn audit_rows(&self, seq: i64, limit: u32) -> Result<Vec<AuditRecord>, Fault> {
        let rows = sqlx::query(
            "SELECT seq, at_ms, who, action, object, outcome, detail FROM audit WHERE seq > ? \
             ORDER BY seq LIMIT ?",
        )
        .bind(seq)
        .bind(limit.clamp(1, PAGE_ROWS_MAX))
        .fetch_all(&self.0.readers)
        .await?;
        let records = rows.iter().map(|row| {
            Ok(AuditRecord {
                seq: row.try_get("seq")?,
                at_ms: row.try_get("at_ms")?,
                who: row.try_get("who")?,
                action: row.try_get("action")?,
                object: row.try_get("object")?,
                outcome: word(row, "outcome")?,
                detail: row.try_get("detail")?,
            })
        });
        records.collect()
    }
}

/// Writes the deed down.
pub(super) async fn append(
    connection: &mut SqliteConnection,
    deed: Deed<'_>,
    at_ms: i64,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO audit (at_ms, who, action, object, outcome, detail) VALUES (?, ?, ?, ?, ?, ?)",
    )
    .bind(at_ms)
    .bind(deed.who.as_str())
    .bind(deed.action)
    .bind(deed.object)
    .bind(deed.outcome.as_str())
    .bind(deed.detail)
    .execute(connection)
    .await?;
    Ok(())
}
