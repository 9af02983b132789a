//! Tickets: who asked for evidence to leave the house, and why; who allowed it; what became of it.
//!
//! Nobody decides on their own ticket: the command looks, and so does the table. A ticket holds from
//! the approval until it expires; then its bundle is deleted. Every step is an audit row, each
//! download too.

mod scope;

use serde::{Deserialize, Serialize};
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use super::audit::{self, Actor, AuditOutcome, Deed};
use super::error::Fault;
use super::row::{json_or_none, to_json, word};
use super::{PAGE_ROWS_MAX, Store, StoreError, Tx};
use crate::evidence::Treatment;
use crate::id::AlarmId;
use scope::alarms_of;
pub use scope::{ALARMS_MAX, FOOTAGE_MAX, Scope};

/// Tickets that may wait for a decision.
const ASKED_MAX: i64 = 200;
const DAY_MS: i64 = 24 * 3600 * 1000;

/// Names a ticket; people read it as `E-17`.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema,
)]
#[serde(transparent)]
pub struct TicketId(pub i64);

impl std::fmt::Display for TicketId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "E-{}", self.0)
    }
}

/// A ticket that is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewTicket {
    pub reason: String,
    pub scope: Scope,
    pub treatment: Treatment,
    /// Days for which the bundle can be downloaded once it is approved.
    pub days: i64,
}

/// How far a ticket is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum TicketState {
    /// Waits for somebody else's decision.
    Asked,
    Refused,
    /// Approved; its bundle is being made.
    Making,
    /// Its bundle can be downloaded.
    Ready,
    /// Its bundle could not be made.
    Failed,
    /// Its time is over, and its bundle deleted.
    Expired,
}

/// One ticket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct TicketRecord {
    pub id: TicketId,
    pub reason: String,
    pub scope: Scope,
    /// The alarms that it covers.
    #[schema(value_type = Vec<String>)]
    pub alarms: Vec<AlarmId>,
    pub treatment: Treatment,
    pub days: i64,
    pub asked_by: String,
    pub asked_at_ms: i64,
    pub state: TicketState,
    pub decided_by: Option<String>,
    pub decided_at_ms: Option<i64>,
    pub decision_note: Option<String>,
    pub expires_at_ms: Option<i64>,
    /// The same by steady time.
    #[serde(skip)]
    #[schema(ignore)]
    pub holds_until_ms: Option<i64>,
    pub size_bytes: Option<i64>,
    /// Of the bundle.
    pub sha256: Option<String>,
    /// Why there is no bundle.
    pub failure: Option<String>,
    pub downloads: i64,
}

/// What was decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    Approved,
    Refused,
}

/// What became of a bundle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Made {
    Ready { size_bytes: u64, sha256: String },
    Failed(String),
}

const COLUMNS: &str = "SELECT id, reason, treatment, scope, alarms, days, asked_by, asked_at_ms, \
    state, decided_by, decided_at_ms, decision_note, expires_at_ms, holds_until_ms, size_bytes, \
    sha256, failure, downloads FROM ticket ";

impl Store {
    /// Commits that `who` asks, and returns the ticket. Fails when the scope holds nothing, an
    /// unknown alarm, or more than [`ALARMS_MAX`] alarms or [`FOOTAGE_MAX`] segments.
    pub async fn ask(&self, new: &NewTicket, who: &Actor) -> Result<TicketRecord, StoreError> {
        self.named(self.ask_row(new, who).await)
    }

    /// Commits the decision of `who`, and returns the ticket. Fails on one's own ticket and on one
    /// that is decided.
    pub async fn decide(
        &self,
        id: TicketId,
        decision: Decision,
        note: Option<&str>,
        who: &Actor,
    ) -> Result<TicketRecord, StoreError> {
        self.named(self.decide_row(id, decision, note, who).await)
    }

    /// Returns at most `limit` tickets, newest first.
    pub async fn tickets(&self, limit: u32) -> Result<Vec<TicketRecord>, StoreError> {
        self.named(self.ticket_rows(limit).await)
    }

    /// Returns one ticket; none where there is no such number.
    pub async fn ticket(&self, id: TicketId) -> Result<Option<TicketRecord>, StoreError> {
        self.named(self.ticket_row(id).await)
    }

    /// Returns the oldest ticket whose bundle is to be made.
    pub async fn ticket_to_make(&self) -> Result<Option<TicketRecord>, StoreError> {
        let found = self.one("WHERE state = 'making' ORDER BY id LIMIT 1").await;
        self.named(found)
    }

    /// Commits what became of the ticket's bundle.
    pub async fn bundle_made(&self, id: TicketId, made: &Made) -> Result<(), StoreError> {
        self.named(self.made_row(id, made).await)
    }

    /// Commits that tickets whose time is over have expired, and returns those whose bundle is to
    /// be deleted.
    pub async fn expire_tickets(&self) -> Result<Vec<TicketId>, StoreError> {
        self.named(self.expire_rows().await)
    }

    /// Returns whether the ticket's time is not over.
    pub fn holds(&self, ticket: &TicketRecord) -> bool {
        let end = ticket.holds_until_ms;
        end.is_some_and(|end_ms| self.steady_ms() < end_ms)
    }

    /// Commits that `who` downloads the bundle, and returns its ticket; call it before a byte
    /// leaves. Fails unless it is their own, ready, and not expired.
    pub async fn download(&self, id: TicketId, who: &Actor) -> Result<TicketRecord, StoreError> {
        self.named(self.download_row(id, who).await)
    }

    async fn ask_row(&self, new: &NewTicket, who: &Actor) -> Result<TicketRecord, Fault> {
        let now_ms = self.now_ms();
        let mut tx = self.begin().await?;
        let waiting: i64 = sqlx::query_scalar("SELECT count(*) FROM ticket WHERE state = 'asked'")
            .fetch_one(&mut *tx)
            .await?;
        if waiting >= ASKED_MAX {
            return Err(too_many("tickets that wait for a decision", ASKED_MAX));
        }
        let alarms = alarms_of(&mut tx, &new.scope).await?;
        let id: i64 = sqlx::query_scalar(
            "INSERT INTO ticket (reason, treatment, scope, alarms, days, asked_by, asked_at_ms, \
             state) VALUES (?, ?, ?, ?, ?, ?, ?, 'asked') RETURNING id",
        )
        .bind(&new.reason)
        .bind(new.treatment.as_str())
        .bind(to_json(&new.scope)?)
        .bind(to_json(&alarms)?)
        .bind(new.days)
        .bind(who.as_str())
        .bind(now_ms)
        .fetch_one(&mut *tx)
        .await?;
        let detail = format!(
            "{} alarms, {}, {} days: {}",
            alarms.len(),
            new.treatment.as_str(),
            new.days,
            new.reason
        );
        note(
            &mut tx,
            who,
            "export.asked",
            TicketId(id),
            Some(detail),
            now_ms,
        )
        .await?;
        let record = known(&mut tx, TicketId(id)).await?;
        tx.commit().await?;
        Ok(record)
    }

    async fn decide_row(
        &self,
        id: TicketId,
        decision: Decision,
        why: Option<&str>,
        who: &Actor,
    ) -> Result<TicketRecord, Fault> {
        let now_ms = self.now_ms();
        let mut tx = self.begin().await?;
        let ticket = known(&mut tx, id).await?;
        if ticket.asked_by == who.as_str() || made_asker(&mut tx, &ticket, who).await? {
            return Err(StoreError::OwnTicket(id).into());
        }
        if ticket.state != TicketState::Asked {
            return Err(StoreError::Decided(id).into());
        }
        let (state, action) = match decision {
            Decision::Approved => ("making", "export.approved"),
            Decision::Refused => ("refused", "export.refused"),
        };
        let lasts_ms = (decision == Decision::Approved).then_some(ticket.days * DAY_MS);
        sqlx::query(
            "UPDATE ticket SET state = ?, decided_by = ?, decided_at_ms = ?, decision_note = ?, \
             expires_at_ms = ?, holds_until_ms = ? WHERE id = ?",
        )
        .bind(state)
        .bind(who.as_str())
        .bind(now_ms)
        .bind(why)
        .bind(lasts_ms.map(|lasts_ms| now_ms + lasts_ms))
        .bind(lasts_ms.map(|lasts_ms| self.steady_ms() + lasts_ms))
        .bind(id.0)
        .execute(&mut *tx)
        .await?;
        note(&mut tx, who, action, id, why.map(str::to_owned), now_ms).await?;
        let record = known(&mut tx, id).await?;
        tx.commit().await?;
        self.outbox_has_changed();
        Ok(record)
    }

    async fn ticket_rows(&self, limit: u32) -> Result<Vec<TicketRecord>, Fault> {
        let sql = format!("{COLUMNS} ORDER BY id DESC LIMIT ?");
        // Made of this file's constants only.
        let rows = sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(limit.clamp(1, PAGE_ROWS_MAX))
            .fetch_all(&self.0.readers)
            .await?;
        Ok(rows.iter().map(record_of).collect::<Result<_, _>>()?)
    }

    async fn ticket_row(&self, id: TicketId) -> Result<Option<TicketRecord>, Fault> {
        let mut tx = self.0.readers.begin().await?;
        match known(&mut tx, id).await {
            Ok(record) => Ok(Some(record)),
            Err(Fault::Refused(StoreError::UnknownTicket(_))) => Ok(None),
            Err(fault) => Err(fault),
        }
    }

    async fn one(&self, which: &'static str) -> Result<Option<TicketRecord>, Fault> {
        let sql = format!("{COLUMNS} {which}");
        let row = sqlx::query(sqlx::AssertSqlSafe(sql))
            .fetch_optional(&self.0.readers)
            .await?;
        Ok(row.as_ref().map(record_of).transpose()?)
    }

    async fn made_row(&self, id: TicketId, made: &Made) -> Result<(), Fault> {
        let now_ms = self.now_ms();
        let mut tx = self.begin().await?;
        if known(&mut tx, id).await?.state != TicketState::Making {
            return Ok(());
        }
        let (state, size_bytes, sha256, failure) = match made {
            Made::Ready { size_bytes, sha256 } => {
                let size_bytes = i64::try_from(*size_bytes).unwrap_or(i64::MAX);
                ("ready", Some(size_bytes), Some(sha256), None)
            }
            Made::Failed(why) => ("failed", None, None, Some(why)),
        };
        sqlx::query(
            "UPDATE ticket SET state = ?, size_bytes = ?, sha256 = ?, failure = ? WHERE id = ?",
        )
        .bind(state)
        .bind(size_bytes)
        .bind(sha256)
        .bind(failure)
        .bind(id.0)
        .execute(&mut *tx)
        .await?;
        let action = match made {
            Made::Ready { .. } => "export.made",
            Made::Failed(_) => "export.failed",
        };
        let detail = sha256.or(failure).cloned();
        note(&mut tx, &Actor::service(), action, id, detail, now_ms).await?;
        tx.commit().await?;
        Ok(())
    }

    async fn expire_rows(&self) -> Result<Vec<TicketId>, Fault> {
        let now_ms = self.now_ms();
        let mut tx = self.begin().await?;
        let over: Vec<i64> = sqlx::query_scalar(
            "SELECT id FROM ticket WHERE state IN ('making', 'ready', 'failed') \
             AND holds_until_ms <= ? ORDER BY id",
        )
        .bind(self.steady_ms())
        .fetch_all(&mut *tx)
        .await?;
        for id in &over {
            sqlx::query("UPDATE ticket SET state = 'expired' WHERE id = ?")
                .bind(id)
                .execute(&mut *tx)
                .await?;
            let (who, id) = (Actor::service(), TicketId(*id));
            note(&mut tx, &who, "export.expired", id, None, now_ms).await?;
        }
        tx.commit().await?;
        Ok(over.into_iter().map(TicketId).collect())
    }

    async fn download_row(&self, id: TicketId, who: &Actor) -> Result<TicketRecord, Fault> {
        let now_ms = self.now_ms();
        let mut tx = self.begin().await?;
        let ticket = known(&mut tx, id).await?;
        if ticket.asked_by != who.as_str() {
            return Err(StoreError::OthersTicket(id).into());
        }
        if ticket.state != TicketState::Ready || !self.holds(&ticket) {
            return Err(StoreError::NoBundle(id).into());
        }
        sqlx::query("UPDATE ticket SET downloads = downloads + 1 WHERE id = ?")
            .bind(id.0)
            .execute(&mut *tx)
            .await?;
        note(
            &mut tx,
            who,
            "export.downloaded",
            id,
            ticket.sha256.clone(),
            now_ms,
        )
        .await?;
        tx.commit().await?;
        Ok(ticket)
    }
}

fn too_many(what: &'static str, limit: i64) -> Fault {
    StoreError::TooMany { what, limit }.into()
}

/// Returns whether a program has asked whose token `who` has made: then both are one person's.
async fn made_asker(tx: &mut Tx, ticket: &TicketRecord, who: &Actor) -> Result<bool, Fault> {
    let Some(name) = ticket.asked_by.strip_prefix("token:") else {
        return Ok(false);
    };
    let made: i64 =
        sqlx::query_scalar("SELECT count(*) FROM token WHERE name = ? AND created_by = ?")
            .bind(name)
            .bind(who.as_str())
            .fetch_one(&mut **tx)
            .await?;
    Ok(made > 0)
}

async fn known(tx: &mut Tx, id: TicketId) -> Result<TicketRecord, Fault> {
    let sql = format!("{COLUMNS} WHERE id = ?");
    let row = sqlx::query(sqlx::AssertSqlSafe(sql))
        .bind(id.0)
        .fetch_optional(&mut **tx)
        .await?;
    let row = row.ok_or(StoreError::UnknownTicket(id))?;
    Ok(record_of(&row)?)
}

async fn note(
    tx: &mut Tx,
    who: &Actor,
    action: &'static str,
    id: TicketId,
    detail: Option<String>,
    now_ms: i64,
) -> Result<(), Fault> {
    let deed = Deed {
        who,
        action,
        object: id.to_string(),
        outcome: AuditOutcome::Done,
        detail,
    };
    Ok(audit::append(tx, deed, now_ms).await?)
}

fn record_of(row: &SqliteRow) -> Result<TicketRecord, sqlx::Error> {
    let missing = |column: &str| sqlx::Error::ColumnNotFound(column.to_owned());
    Ok(TicketRecord {
        id: TicketId(row.try_get("id")?),
        reason: row.try_get("reason")?,
        scope: json_or_none(row, "scope")?.ok_or_else(|| missing("scope"))?,
        alarms: json_or_none(row, "alarms")?.ok_or_else(|| missing("alarms"))?,
        treatment: word(row, "treatment")?,
        days: row.try_get("days")?,
        asked_by: row.try_get("asked_by")?,
        asked_at_ms: row.try_get("asked_at_ms")?,
        state: word(row, "state")?,
        decided_by: row.try_get("decided_by")?,
        decided_at_ms: row.try_get("decided_at_ms")?,
        decision_note: row.try_get("decision_note")?,
        expires_at_ms: row.try_get("expires_at_ms")?,
        holds_until_ms: row.try_get("holds_until_ms")?,
        size_bytes: row.try_get("size_bytes")?,
        sha256: row.try_get("sha256")?,
        failure: row.try_get("failure")?,
        downloads: row.try_get("downloads")?,
    })
}
