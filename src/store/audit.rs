//! Who did what: rows that no statement can change or remove (triggers in the schema see to it),
//! each with a digest that covers it and all rows before it (`crate::audit`).
//!
//! An audit row is written by the transaction that does the deed, never beside it; if it cannot be
//! written, the deed is not done. Rows of before the chain have no digest of their own; the first
//! row after them covers them all the same.

use serde::{Deserialize, Serialize};
use sqlx::sqlite::{SqliteConnection, SqliteRow};
use sqlx::{QueryBuilder, Row, Sqlite};

use super::error::Fault;
use super::row::word;
use super::{Durability, PAGE_ROWS_MAX, Store, StoreError};
use crate::audit::{self, Algorithm, Checkpoint, GENESIS, Key};

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

/// Which deeds are wanted; what is none does not matter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditFilter {
    pub who: Option<String>,
    pub action: Option<String>,
    pub object: Option<String>,
    /// Only rows before this one.
    pub before: Option<i64>,
}

impl Store {
    /// Returns at most `limit` (1..=[`PAGE_ROWS_MAX`]) audit rows after `seq`, oldest first.
    pub async fn audit_after(&self, seq: i64, limit: u32) -> Result<Vec<AuditRecord>, StoreError> {
        let rows = sqlx::query(
            "SELECT seq, at_ms, who, action, object, outcome, detail FROM audit WHERE seq > ? \
             ORDER BY seq LIMIT ?",
        )
        .bind(seq)
        .bind(limit.clamp(1, PAGE_ROWS_MAX))
        .fetch_all(&self.0.readers)
        .await;
        let records = rows.and_then(|rows| rows.iter().map(record_of).collect());
        self.named(records.map_err(Fault::from))
    }

    /// Returns at most `limit` (1..=[`PAGE_ROWS_MAX`]) audit rows that fit, newest first.
    pub async fn audit_page(
        &self,
        filter: &AuditFilter,
        limit: u32,
    ) -> Result<Vec<AuditRecord>, StoreError> {
        let mut query = QueryBuilder::<Sqlite>::new(
            "SELECT seq, at_ms, who, action, object, outcome, detail FROM audit WHERE 1 = 1",
        );
        let texts = [
            (" AND who = ", &filter.who),
            (" AND action = ", &filter.action),
            (" AND object = ", &filter.object),
        ];
        for (sql, wanted) in texts {
            if let Some(wanted) = wanted {
                query.push(sql).push_bind(wanted.clone());
            }
        }
        if let Some(before) = filter.before {
            query.push(" AND seq < ").push_bind(before);
        }
        query.push(" ORDER BY seq DESC LIMIT ");
        query.push_bind(limit.clamp(1, PAGE_ROWS_MAX));
        let rows = query.build().fetch_all(&self.0.readers).await;
        let records = rows.and_then(|rows| rows.iter().map(record_of).collect());
        self.named(records.map_err(Fault::from))
    }

    /// Commits that `who` looked at something, or was refused.
    pub async fn note(
        &self,
        who: &Actor,
        action: &str,
        object: &str,
        outcome: AuditOutcome,
        detail: Option<String>,
    ) -> Result<(), StoreError> {
        let deed = Deed {
            who,
            action,
            object: object.to_owned(),
            outcome,
            detail,
        };
        self.named(self.note_row(deed).await)
    }

    /// Returns a checkpoint of the log as it is now; none while it is empty.
    pub async fn checkpoint(&self, key: &Key) -> Result<Option<Checkpoint>, StoreError> {
        let read = async {
            let mut connection = self.0.readers.acquire().await?;
            head(&mut connection).await
        };
        let head = self.named(read.await.map_err(Fault::from))?;
        let signed = key.sign(head.seq, &head.sha256, self.now_ms());
        Ok((head.seq > 0).then_some(signed))
    }

    /// Makes the chain go on with `algorithm`, and `key` sign its checkpoints; where that is another
    /// than before, rows say so. Call it once, before anything else is done.
    pub async fn chain_with(&self, algorithm: Algorithm, key: &Key) -> Result<(), StoreError> {
        self.named(self.chain_with_rows(algorithm, key).await)
    }

    async fn chain_with_rows(&self, algorithm: Algorithm, key: &Key) -> Result<(), Fault> {
        let now_ms = self.now_ms();
        let mut tx = self.begin().await?;
        let who = Actor::service();
        let deed = |action, detail| Deed {
            who: &who,
            action,
            object: "audit".to_owned(),
            outcome: AuditOutcome::Done,
            detail: Some(detail),
        };
        if head(&mut tx).await?.next != algorithm {
            let change = deed(audit::CHANGE, algorithm.as_str().to_owned());
            append(&mut tx, change, now_ms).await?;
        }
        let known: Option<Option<String>> = sqlx::query_scalar(
            "SELECT detail FROM audit WHERE action = 'audit.key' ORDER BY seq DESC LIMIT 1",
        )
        .fetch_optional(&mut *tx)
        .await?;
        let own = format!("{} {}", key.signing().as_str(), key.public());
        if known.flatten().as_ref() != Some(&own) {
            append(&mut tx, deed("audit.key", own), now_ms).await?;
        }
        Ok(tx.commit().await?)
    }

    async fn note_row(&self, deed: Deed<'_>) -> Result<(), Fault> {
        let now_ms = self.now_ms();
        let mut tx = self.begin().await?;
        append(&mut tx, deed, now_ms).await?;
        Ok(tx.commit().await?)
    }

    /// Begins the chain where the last row has no digest, so that from now on no row of before can
    /// be changed unseen.
    pub(super) async fn begin_chain(&self) -> Result<(), Fault> {
        if self.0.durability == Durability::Volatile {
            return Ok(());
        }
        let last: Option<Option<String>> =
            sqlx::query_scalar("SELECT sha256 FROM audit ORDER BY seq DESC LIMIT 1")
                .fetch_optional(&self.0.readers)
                .await?;
        if last != Some(None) {
            return Ok(());
        }
        self.note_row(Deed {
            who: &Actor::service(),
            action: "audit.chained",
            object: "audit".to_owned(),
            outcome: AuditOutcome::Done,
            detail: None,
        })
        .await
    }
}

/// Writes the deed down, after all that was written before.
pub(super) async fn append(
    connection: &mut SqliteConnection,
    deed: Deed<'_>,
    at_ms: i64,
) -> Result<(), sqlx::Error> {
    // The transaction holds the write lock: no other row comes between.
    let head = head(&mut *connection).await?;
    let row = audit::Row {
        seq: head.seq + 1,
        at_ms,
        who: deed.who.as_str(),
        action: deed.action,
        object: &deed.object,
        outcome: deed.outcome.as_str(),
        detail: deed.detail.as_deref(),
    };
    sqlx::query(
        "INSERT INTO audit (seq, at_ms, who, action, object, outcome, detail, previous_sha256, \
         sha256) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(row.seq)
    .bind(row.at_ms)
    .bind(row.who)
    .bind(row.action)
    .bind(row.object)
    .bind(row.outcome)
    .bind(row.detail)
    .bind(&head.sha256)
    .bind(audit::digest(head.next, &head.sha256, &row))
    .execute(connection)
    .await?;
    Ok(())
}

/// Writes down deeds that another store has kept (JSON rows), as far as they are not known.
pub(super) async fn append_moved(
    connection: &mut SqliteConnection,
    rows: &str,
) -> Result<(), sqlx::Error> {
    let new = sqlx::query(
        "SELECT value ->> 'at_ms' AS at_ms, value ->> 'who' AS who, value ->> 'action' AS action, \
         value ->> 'object' AS object, value ->> 'outcome' AS outcome, \
         value ->> 'detail' AS detail FROM json_each(?1) WHERE NOT EXISTS \
         (SELECT 1 FROM audit a WHERE a.object = value ->> 'object' \
         AND a.action = value ->> 'action' AND a.at_ms = value ->> 'at_ms') ORDER BY key",
    )
    .bind(rows.to_owned())
    .fetch_all(&mut *connection)
    .await?;
    for row in &new {
        let (who, action): (String, String) = (row.try_get("who")?, row.try_get("action")?);
        let deed = Deed {
            who: &Actor(who),
            action: &action,
            object: row.try_get("object")?,
            outcome: word(row, "outcome")?,
            detail: row.try_get("detail")?,
        };
        append(&mut *connection, deed, row.try_get("at_ms")?).await?;
    }
    Ok(())
}

/// The last row.
struct Head {
    /// 0 where there is none.
    seq: i64,
    sha256: String,
    /// How the row after it is digested.
    next: Algorithm,
}

async fn head(connection: &mut SqliteConnection) -> Result<Head, sqlx::Error> {
    let last =
        sqlx::query("SELECT seq, sha256, action, detail FROM audit ORDER BY seq DESC LIMIT 1")
            .fetch_optional(&mut *connection)
            .await?;
    let Some(last) = last else {
        return Ok(Head {
            seq: 0,
            sha256: GENESIS.to_owned(),
            next: Algorithm::default(),
        });
    };
    let seq = last.try_get("seq")?;
    let sha256: Option<String> = last.try_get("sha256")?;
    let sha256 = match sha256 {
        Some(sha256) => sha256,
        None => digest_of_unchained(connection).await?,
    };
    let (action, detail): (String, Option<String>) =
        (last.try_get("action")?, last.try_get("detail")?);
    // A digest that nothing known has made: `plumb audit verify` names the row.
    let next = Algorithm::after(&sha256, &action, detail.as_deref()).unwrap_or_default();
    Ok(Head { seq, sha256, next })
}

/// Returns the digest that the last of the rows of before the chain would have: once, at the first
/// start after the upgrade.
async fn digest_of_unchained(connection: &mut SqliteConnection) -> Result<String, sqlx::Error> {
    let (mut sha256, mut after) = (GENESIS.to_owned(), 0);
    loop {
        let rows = sqlx::query(
            "SELECT seq, at_ms, who, action, object, outcome, detail FROM audit WHERE seq > ? \
             ORDER BY seq LIMIT ?",
        )
        .bind(after)
        .bind(PAGE_ROWS_MAX)
        .fetch_all(&mut *connection)
        .await?;
        let Some(last) = rows.last() else {
            return Ok(sha256);
        };
        after = last.try_get("seq")?;
        for row in &rows {
            let record = record_of(row)?;
            sha256 = audit::digest(
                Algorithm::Sha256,
                &sha256,
                &audit::Row {
                    seq: record.seq,
                    at_ms: record.at_ms,
                    who: &record.who,
                    action: &record.action,
                    object: &record.object,
                    outcome: record.outcome.as_str(),
                    detail: record.detail.as_deref(),
                },
            );
        }
    }
}

fn record_of(row: &SqliteRow) -> Result<AuditRecord, sqlx::Error> {
    Ok(AuditRecord {
        seq: row.try_get("seq")?,
        at_ms: row.try_get("at_ms")?,
        who: row.try_get("who")?,
        action: row.try_get("action")?,
        object: row.try_get("object")?,
        outcome: word(row, "outcome")?,
        detail: row.try_get("detail")?,
    })
}
