//! The outbox: which event still has to reach which endpoint. Nothing here sends.
//!
//! The rows are the queue: a delivery is queued by the transaction that writes its event, and its
//! attempts (`attempt`) settle it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use sqlx::sqlite::{SqliteConnection, SqliteRow};
use sqlx::{QueryBuilder, Row, Sqlite};

use super::alarm::AlarmRecord;
use super::attempt::{self, AttemptRecord};
use super::audit::{self, Actor, AuditOutcome, Deed};
use super::error::Fault;
use super::event::EventKind;
use super::row::{parsed, word};
use super::{PAGE_ROWS_MAX, Route, Store, StoreError, Tx};
use crate::id::{AlarmId, EndpointId, EscalationId};

/// A delivery, for ever: the `webhook-id` that every attempt carries, so that a receiver can tell
/// a repetition. It follows from alarm, event and endpoint, so that it is the same even when the
/// delivery was first made without the disk.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DeliveryId(String);

/// A text that is not a delivery's id.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{0:?} is not a delivery's id: \"msg_\" and 32 hexadecimal digits")]
pub struct BadDeliveryId(pub String);

impl DeliveryId {
    const PREFIX: &str = "msg_";

    fn new(alarm: AlarmId, kind: EventKind, endpoint: &EndpointId) -> Self {
        Self::of_parts(&[&alarm.to_string(), kind.as_str(), endpoint.as_str()])
    }

    /// Returns the id of what a step of escalation tells: an endpoint may stand in several steps.
    fn of_step(alarm: AlarmId, step: &EscalationId, endpoint: &EndpointId) -> Self {
        let kind = EventKind::AlarmEscalated.as_str();
        Self::of_parts(&[&alarm.to_string(), kind, endpoint.as_str(), step.as_str()])
    }

    fn of_parts(parts: &[&str]) -> Self {
        let mut digest = Sha256::new();
        for part in parts {
            digest.update(part);
            digest.update([0]);
        }
        let hex = digest.finalize()[..16]
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect::<String>();
        Self(format!("{}{hex}", Self::PREFIX))
    }

    /// Returns the id's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for DeliveryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for DeliveryId {
    type Err = BadDeliveryId;

    fn from_str(text: &str) -> Result<Self, BadDeliveryId> {
        let hex = text.strip_prefix(Self::PREFIX).unwrap_or_default();
        if hex.len() == 32 && hex.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            Ok(Self(text.to_owned()))
        } else {
            Err(BadDeliveryId(text.to_owned()))
        }
    }
}

impl TryFrom<String> for DeliveryId {
    type Error = BadDeliveryId;

    fn try_from(text: String) -> Result<Self, BadDeliveryId> {
        text.parse()
    }
}

impl From<DeliveryId> for String {
    fn from(id: DeliveryId) -> Self {
        id.0
    }
}

/// How far a delivery is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DeliveryState {
    /// Waits for its turn or its next attempt.
    Pending,
    /// An attempt runs, or ran when the process died.
    Sending,
    Delivered,
    /// Given up; can be sent again.
    Dead,
    /// The endpoint is disabled or gone.
    Cancelled,
}

/// One event on its way to one endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct DeliveryRecord {
    #[schema(value_type = String)]
    pub id: DeliveryId,
    #[schema(value_type = String)]
    pub endpoint: EndpointId,
    #[schema(value_type = String)]
    pub alarm: AlarmId,
    pub event_seq: i64,
    pub event: EventKind,
    pub state: DeliveryState,
    /// Since it was queued or sent again.
    pub attempts: u32,
    pub created_at_ms: i64,
    /// When it is tried next, while it is pending.
    pub next_at_ms: i64,
    pub settled_at_ms: Option<i64>,
    pub last_error: Option<String>,
    /// Oldest first; empty in lists.
    pub log: Vec<AttemptRecord>,
}

/// How full the outbox is for one endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct OutboxCount {
    #[schema(value_type = String)]
    pub endpoint: EndpointId,
    /// Deliveries that are neither delivered nor given up.
    pub pending: u64,
    /// Age of the oldest of them; 0 where there is none.
    pub oldest_age_ms: u64,
    pub dead: u64,
}

const COLUMNS: &str = "d.id, d.endpoint, d.alarm, d.event_seq, e.kind, d.state, d.attempts, \
    d.created_at_ms, d.next_at_ms, d.settled_at_ms, d.last_error";

const REOPEN: &str = "UPDATE delivery SET state = 'pending' WHERE state = 'sending'";

impl Store {
    /// Returns how full the outbox is, an entry per endpoint of the configuration.
    pub async fn outbox_counts(&self) -> Result<Vec<OutboxCount>, StoreError> {
        self.named(self.count_rows().await)
    }

    /// Returns at most `limit` (1..=[`PAGE_ROWS_MAX`]) dead letters, longest dead first, without
    /// their attempts.
    pub async fn dead_letters(&self, limit: u32) -> Result<Vec<DeliveryRecord>, StoreError> {
        self.named(self.dead_rows(limit).await)
    }

    /// Commits that a dead letter is sent again, with the whole schedule before it.
    pub async fn requeue(&self, id: &DeliveryId, who: &Actor) -> Result<(), StoreError> {
        self.named(self.requeue_row(id, who).await)
    }

    /// Makes pending what was being sent when a worker was stopped.
    pub(crate) async fn reopen_deliveries(&self) -> Result<(), StoreError> {
        let reopened = sqlx::query(REOPEN).execute(&self.0.writer).await;
        self.named(reopened.map(|_| ()).map_err(Fault::from))
    }

    async fn count_rows(&self) -> Result<Vec<OutboxCount>, Fault> {
        let now_ms = self.now_ms();
        let mut counts = Vec::with_capacity(self.0.routes.len());
        for route in &self.0.routes {
            let row = sqlx::query(
                "SELECT count(*) AS pending, coalesce(min(created_at_ms), ?2) AS oldest_ms, \
                 (SELECT count(*) FROM delivery WHERE endpoint = ?1 AND state = 'dead') AS dead \
                 FROM delivery WHERE endpoint = ?1 AND state IN ('pending', 'sending')",
            )
            .bind(route.endpoint.as_str())
            .bind(now_ms)
            .fetch_one(&self.0.readers)
            .await?;
            let oldest_ms: i64 = row.try_get("oldest_ms")?;
            counts.push(OutboxCount {
                endpoint: route.endpoint.clone(),
                pending: count(row.try_get("pending")?),
                oldest_age_ms: count(now_ms - oldest_ms),
                dead: count(row.try_get("dead")?),
            });
        }
        Ok(counts)
    }

    async fn dead_rows(&self, limit: u32) -> Result<Vec<DeliveryRecord>, Fault> {
        let mut query = QueryBuilder::<Sqlite>::new("SELECT ");
        query.push(COLUMNS).push(
            " FROM delivery d JOIN event e ON e.seq = d.event_seq WHERE d.state = 'dead' \
             ORDER BY d.settled_at_ms, d.id LIMIT ",
        );
        query.push_bind(limit.clamp(1, PAGE_ROWS_MAX));
        let rows = query.build().fetch_all(&self.0.readers).await?;
        Ok(rows.iter().map(record_of).collect::<Result<_, _>>()?)
    }

    async fn requeue_row(&self, id: &DeliveryId, who: &Actor) -> Result<(), Fault> {
        let now_ms = self.now_ms();
        let mut tx = self.begin().await?;
        let state: Option<String> = sqlx::query_scalar("SELECT state FROM delivery WHERE id = ?")
            .bind(id.as_str())
            .fetch_optional(&mut *tx)
            .await?;
        match state.as_deref() {
            None => return Err(StoreError::UnknownDelivery(id.clone()).into()),
            Some("dead") => {}
            Some(_) => return Err(StoreError::NotDead(id.clone()).into()),
        }
        sqlx::query(
            "UPDATE delivery SET state = 'pending', attempts = 0, tried_from_ms = NULL, \
             next_at_ms = ?, settled_at_ms = NULL WHERE id = ?",
        )
        .bind(now_ms)
        .bind(id.as_str())
        .execute(&mut *tx)
        .await?;
        let deed = Deed {
            who,
            action: "delivery.requeued",
            object: id.to_string(),
            outcome: AuditOutcome::Done,
            detail: None,
        };
        audit::append(&mut tx, deed, now_ms).await?;
        tx.commit().await?;
        self.outbox_has_changed();
        Ok(())
    }
}

/// Returns the endpoints that want a new alarm.
pub(super) async fn wanting(
    tx: &mut Tx,
    routes: &[Route],
    alarm: &AlarmRecord,
) -> Result<Vec<EndpointId>, Fault> {
    let mut wanting = Vec::new();
    for route in routes.iter().filter(|route| route.wants(alarm)) {
        if in_use(tx, &route.endpoint).await? {
            wanting.push(route.endpoint.clone());
        }
    }
    Ok(wanting)
}

/// Returns which of these endpoints are configured and in use.
pub(super) async fn in_use_of(
    tx: &mut Tx,
    routes: &[Route],
    wanted: &[EndpointId],
) -> Result<Vec<EndpointId>, Fault> {
    let mut found = Vec::new();
    for endpoint in wanted {
        let is_known = routes.iter().any(|route| route.endpoint == *endpoint);
        if is_known && in_use(tx, endpoint).await? {
            found.push(endpoint.clone());
        }
    }
    Ok(found)
}

/// Returns the endpoints that were told of the alarm, when it was raised or by escalation, or will
/// be.
pub(super) async fn told(
    tx: &mut Tx,
    routes: &[Route],
    alarm: AlarmId,
) -> Result<Vec<EndpointId>, Fault> {
    let mut told = Vec::new();
    for route in routes {
        let known: i64 =
            sqlx::query_scalar("SELECT count(*) FROM delivery WHERE alarm = ? AND endpoint = ?")
                .bind(alarm.to_string())
                .bind(route.endpoint.as_str())
                .fetch_one(&mut **tx)
                .await?;
        if known > 0 && in_use(tx, &route.endpoint).await? {
            told.push(route.endpoint.clone());
        }
    }
    Ok(told)
}

/// Queues an event for an endpoint.
pub(super) async fn queue(
    tx: &mut Tx,
    event_seq: i64,
    kind: EventKind,
    alarm: &AlarmRecord,
    endpoint: &EndpointId,
    now_ms: i64,
) -> Result<(), sqlx::Error> {
    let id = DeliveryId::new(alarm.id, kind, endpoint);
    insert(tx, &id, event_seq, alarm, endpoint, now_ms).await
}

/// Queues the event of a step of escalation for an endpoint.
pub(super) async fn queue_step(
    tx: &mut Tx,
    event_seq: i64,
    step: &EscalationId,
    alarm: &AlarmRecord,
    endpoint: &EndpointId,
    now_ms: i64,
) -> Result<(), sqlx::Error> {
    let id = DeliveryId::of_step(alarm.id, step, endpoint);
    insert(tx, &id, event_seq, alarm, endpoint, now_ms).await
}

async fn insert(
    tx: &mut Tx,
    id: &DeliveryId,
    event_seq: i64,
    alarm: &AlarmRecord,
    endpoint: &EndpointId,
    now_ms: i64,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO delivery (id, event_seq, alarm, endpoint, camera, state, created_at_ms, \
         next_at_ms) VALUES (?1, ?2, ?3, ?4, ?5, 'pending', ?6, ?6)",
    )
    .bind(id.as_str())
    .bind(event_seq)
    .bind(alarm.id.to_string())
    .bind(endpoint.as_str())
    .bind(alarm.camera.as_str())
    .bind(now_ms)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Makes pending what was being sent when the process died, and returns how many.
pub(super) async fn reopen(tx: &mut Tx) -> Result<u64, sqlx::Error> {
    let reopened = sqlx::query(REOPEN).execute(&mut **tx).await?;
    Ok(reopened.rows_affected())
}

/// Returns an alarm's deliveries with their attempts, in the order of the events.
pub(super) async fn of_alarm(
    connection: &mut SqliteConnection,
    alarm: AlarmId,
) -> Result<Vec<DeliveryRecord>, sqlx::Error> {
    let mut query = QueryBuilder::<Sqlite>::new("SELECT ");
    query.push(COLUMNS);
    query.push(" FROM delivery d JOIN event e ON e.seq = d.event_seq WHERE d.alarm = ");
    query.push_bind(alarm.to_string());
    query.push(" ORDER BY d.event_seq, d.endpoint");
    let rows = query.build().fetch_all(&mut *connection).await?;
    let mut records = Vec::with_capacity(rows.len());
    for row in &rows {
        let mut record = record_of(row)?;
        record.log = attempt::of_delivery(connection, &record.id).await?;
        records.push(record);
    }
    Ok(records)
}

async fn in_use(tx: &mut Tx, endpoint: &EndpointId) -> Result<bool, sqlx::Error> {
    let in_use: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM endpoint WHERE id = ? AND disabled_reason IS NULL",
    )
    .bind(endpoint.as_str())
    .fetch_one(&mut **tx)
    .await?;
    Ok(in_use > 0)
}

fn record_of(row: &SqliteRow) -> Result<DeliveryRecord, sqlx::Error> {
    Ok(DeliveryRecord {
        id: parsed(row, "id")?,
        endpoint: parsed(row, "endpoint")?,
        alarm: parsed(row, "alarm")?,
        event_seq: row.try_get("event_seq")?,
        event: word(row, "kind")?,
        state: word(row, "state")?,
        attempts: row.try_get("attempts")?,
        created_at_ms: row.try_get("created_at_ms")?,
        next_at_ms: row.try_get("next_at_ms")?,
        settled_at_ms: row.try_get("settled_at_ms")?,
        last_error: row.try_get("last_error")?,
        log: Vec::new(),
    })
}

fn count(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}
