//! Endpoints as the store knows them: where they are, what they want, whether they are disabled.
//! Their secrets are `deliver`'s and never come here.

use serde::Serialize;
use sqlx::Row;

use super::alarm::AlarmRecord;
use super::audit::{self, Actor, AuditOutcome, Deed};
use super::error::Fault;
use super::{Store, StoreError, Tx};
use crate::alarm::AlarmKind;
use crate::id::{EndpointId, SiteId};

/// What an endpoint is told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Hears {
    /// Every alarm that it wants, when it is raised.
    #[default]
    Alarms,
    /// Only what escalates to it.
    Escalations,
}

/// What becomes of shelved alarms at an endpoint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Shelved {
    /// They are not sent.
    #[default]
    Held,
    /// They are sent as all others, and say that they are shelved.
    Sent,
}

/// An endpoint of the configuration, and which alarms it wants.
#[derive(Clone, Debug, PartialEq)]
pub struct Route {
    pub endpoint: EndpointId,
    /// SHA-256 of its URL: tells a new address without keeping what may be a secret.
    pub url_sha256: String,
    /// Wanted kinds; all where it is empty.
    pub kinds: Vec<AlarmKind>,
    /// Wanted sites; all where it is empty.
    pub sites: Vec<SiteId>,
    /// Alarms below this score are not wanted, 0..1.
    pub min_score: f64,
    pub hears: Hears,
    pub shelved: Shelved,
}

impl Route {
    /// Returns whether the endpoint wants this alarm when it is raised.
    pub fn wants(&self, alarm: &AlarmRecord) -> bool {
        let kind = self.kinds.is_empty() || self.kinds.contains(&alarm.kind);
        // What is about the service itself concerns every site.
        let is_own = alarm.site.as_str() == crate::id::SERVICE;
        let site = is_own || self.sites.is_empty() || self.sites.contains(&alarm.site);
        let announced = !alarm.shelved || self.shelved == Shelved::Sent;
        announced && self.hears == Hears::Alarms && kind && site && alarm.score >= self.min_score
    }
}

/// An endpoint and whether anything is sent to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct EndpointRecord {
    #[schema(value_type = String)]
    pub id: EndpointId,
    /// None while it is in use.
    pub disabled_reason: Option<String>,
    pub disabled_at_ms: Option<i64>,
}

impl Store {
    /// Returns the configuration's endpoints, by id.
    pub async fn endpoints(&self) -> Result<Vec<EndpointRecord>, StoreError> {
        self.named(self.endpoint_rows().await)
    }

    /// Commits that nothing more is sent to the endpoint, and cancels what waits for it. It is in
    /// use again when the configuration gives it another URL, or by [`Store::enable_endpoint`].
    pub async fn disable_endpoint(&self, id: &EndpointId, reason: &str) -> Result<(), StoreError> {
        self.named(self.disable(id, reason).await)
    }

    /// Commits that the endpoint is in use again. What was cancelled stays cancelled.
    pub async fn enable_endpoint(&self, id: &EndpointId, who: &Actor) -> Result<(), StoreError> {
        self.named(self.enable(id, who).await)
    }

    async fn endpoint_rows(&self) -> Result<Vec<EndpointRecord>, Fault> {
        let rows =
            sqlx::query("SELECT id, disabled_reason, disabled_at_ms FROM endpoint ORDER BY id")
                .fetch_all(&self.0.readers)
                .await?;
        let mut records = Vec::with_capacity(rows.len());
        for row in &rows {
            let id: EndpointId = super::row::parsed(row, "id")?;
            if self.0.routes.iter().any(|route| route.endpoint == id) {
                records.push(EndpointRecord {
                    id,
                    disabled_reason: row.try_get("disabled_reason")?,
                    disabled_at_ms: row.try_get("disabled_at_ms")?,
                });
            }
        }
        Ok(records)
    }

    async fn disable(&self, id: &EndpointId, reason: &str) -> Result<(), Fault> {
        let now_ms = self.now_ms();
        let mut tx = self.begin().await?;
        let changed = sqlx::query(
            "UPDATE endpoint SET disabled_reason = ?, disabled_at_ms = ? \
             WHERE id = ? AND disabled_reason IS NULL",
        )
        .bind(reason)
        .bind(now_ms)
        .bind(id.as_str())
        .execute(&mut *tx)
        .await?;
        if changed.rows_affected() == 0 {
            return Ok(());
        }
        cancel(&mut tx, id, reason, now_ms).await?;
        let body = serde_json::json!({ "endpoint": id, "reason": reason });
        let seq = sqlx::query_scalar(
            "INSERT INTO event (at_ms, aged_from_ms, kind, body) \
             VALUES (?, ?, 'endpoint.disabled', ?) RETURNING seq",
        )
        .bind(now_ms)
        .bind(self.steady_ms())
        .bind(body.to_string())
        .fetch_one(&mut *tx)
        .await?;
        let service = Actor::service();
        let deed = deed(&service, "endpoint.disabled", id, Some(reason));
        audit::append(&mut tx, deed, now_ms).await?;
        tx.commit().await?;
        self.event_was_committed(seq);
        Ok(())
    }

    async fn enable(&self, id: &EndpointId, who: &Actor) -> Result<(), Fault> {
        if !self.0.routes.iter().any(|route| route.endpoint == *id) {
            return Err(StoreError::UnknownEndpoint(id.clone()).into());
        }
        let now_ms = self.now_ms();
        let mut tx = self.begin().await?;
        let changed = sqlx::query(
            "UPDATE endpoint SET disabled_reason = NULL, disabled_at_ms = NULL \
             WHERE id = ? AND disabled_reason IS NOT NULL",
        )
        .bind(id.as_str())
        .execute(&mut *tx)
        .await?;
        if changed.rows_affected() == 1 {
            audit::append(&mut tx, deed(who, "endpoint.enabled", id, None), now_ms).await?;
            tx.commit().await?;
            self.outbox_has_changed();
        }
        Ok(())
    }

    /// Brings the endpoints of the configuration into the table.
    pub(super) async fn sync_endpoints(&self) -> Result<(), Fault> {
        let mut tx = self.begin().await?;
        for route in &self.0.routes {
            sqlx::query(
                "INSERT INTO endpoint (id, url_sha256) VALUES (?, ?) ON CONFLICT (id) DO UPDATE \
                 SET url_sha256 = excluded.url_sha256, disabled_reason = NULL, \
                 disabled_at_ms = NULL WHERE url_sha256 <> excluded.url_sha256",
            )
            .bind(route.endpoint.as_str())
            .bind(&route.url_sha256)
            .execute(&mut *tx)
            .await?;
        }
        tx.commit().await?;
        Ok(())
    }
}

/// Cancels what waits for endpoints that are not among `routes`, and returns how many deliveries.
pub(super) async fn cancel_removed(
    tx: &mut Tx,
    routes: &[Route],
    now_ms: i64,
) -> Result<u64, sqlx::Error> {
    let waiting: Vec<String> = sqlx::query_scalar(
        "SELECT DISTINCT endpoint FROM delivery WHERE state IN ('pending', 'sending')",
    )
    .fetch_all(&mut **tx)
    .await?;
    let mut cancelled = 0;
    for endpoint in waiting {
        let id =
            EndpointId::parse(&endpoint).map_err(|error| sqlx::Error::Decode(Box::new(error)))?;
        if routes.iter().all(|route| route.endpoint != id) {
            let reason = "the endpoint was taken out of the configuration";
            cancelled += cancel(tx, &id, reason, now_ms).await?;
            let service = Actor::service();
            let deed = deed(&service, "endpoint.removed", &id, Some(reason));
            audit::append(tx, deed, now_ms).await?;
        }
    }
    Ok(cancelled)
}

async fn cancel(
    tx: &mut Tx,
    id: &EndpointId,
    reason: &str,
    now_ms: i64,
) -> Result<u64, sqlx::Error> {
    let cancelled = sqlx::query(
        "UPDATE delivery SET state = 'cancelled', settled_at_ms = ?, last_error = ? \
         WHERE endpoint = ? AND state IN ('pending', 'sending')",
    )
    .bind(now_ms)
    .bind(reason)
    .bind(id.as_str())
    .execute(&mut **tx)
    .await?;
    Ok(cancelled.rows_affected())
}

fn deed<'a>(who: &'a Actor, action: &'a str, id: &EndpointId, detail: Option<&str>) -> Deed<'a> {
    Deed {
        who,
        action,
        object: id.to_string(),
        outcome: AuditOutcome::Done,
        detail: detail.map(str::to_owned),
    }
}
