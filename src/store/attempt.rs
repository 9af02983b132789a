//! Attempts: what is to be tried next, and what was tried.
//!
//! Order: within one camera and one endpoint, a delivery is a head, and may be tried, only when
//! all earlier ones are settled (delivered, dead or cancelled).

use serde::Serialize;
use sqlx::sqlite::{SqliteConnection, SqliteRow};
use sqlx::{QueryBuilder, Row, Sqlite};

use super::delivery::DeliveryId;
use super::error::Fault;
use super::event::{self, EventRecord};
use super::row::parsed;
use super::{Store, StoreError, Tx};
use crate::id::{CameraId, EndpointId};

/// One attempt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct AttemptRecord {
    pub at_ms: i64,
    pub duration_ms: i64,
    /// HTTP status; none where no answer came.
    pub status: Option<u16>,
    /// None when it was delivered.
    pub error: Option<String>,
}

/// The delivery that a camera's queue to one endpoint begins with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    pub id: DeliveryId,
    pub camera: CameraId,
    pub event_seq: i64,
    pub created_at_ms: i64,
    /// Attempts that were begun since it was queued or sent again.
    pub attempts: u32,
    /// Steady: when the first of them began.
    pub tried_from_ms: Option<i64>,
    pub next_at_ms: i64,
}

/// An attempt that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    pub delivery: DeliveryId,
    pub at_ms: i64,
    pub duration_ms: i64,
    pub status: Option<u16>,
    pub error: Option<String>,
    pub outcome: Outcome,
}

/// What follows from an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Delivered,
    /// To be tried again at this time, Unix milliseconds.
    Again {
        next_at_ms: i64,
    },
    Dead,
}

/// One seek a camera into the index `delivery_open`, however long the queues are.
const CAMERAS: &str = "WITH RECURSIVE waiting (camera) AS ( \
    SELECT min(camera) FROM delivery WHERE endpoint = ?1 AND state IN ('pending', 'sending') \
    UNION ALL \
    SELECT (SELECT min(camera) FROM delivery WHERE endpoint = ?1 \
        AND state IN ('pending', 'sending') AND camera > waiting.camera) \
    FROM waiting WHERE waiting.camera IS NOT NULL) \
    SELECT camera FROM waiting WHERE camera IS NOT NULL LIMIT 10000";

impl Store {
    /// Returns the head of each camera's queue to `endpoint`, none twice, as if the deliveries in
    /// `settled` were settled (their attempts are made, but could not be written yet).
    pub async fn heads(
        &self,
        endpoint: &EndpointId,
        settled: &[DeliveryId],
    ) -> Result<Vec<Head>, StoreError> {
        self.named(self.head_rows(endpoint, settled).await)
    }

    /// Returns the event of that seq, to be sent.
    pub async fn event(&self, seq: i64) -> Result<Option<EventRecord>, StoreError> {
        self.named(self.event_row(seq).await)
    }

    /// Commits that an attempt begins, so that a restart knows of it.
    pub async fn begin_attempt(&self, id: &DeliveryId) -> Result<(), StoreError> {
        self.named(self.begin_attempt_row(id).await)
    }

    /// Commits an attempt and what follows from it. A delivery that was cancelled meanwhile stays
    /// so, unless the attempt delivered it.
    pub async fn finish_attempt(&self, attempt: &Attempt) -> Result<(), StoreError> {
        self.named(self.finish_attempt_row(attempt).await)
    }

    async fn head_rows(
        &self,
        endpoint: &EndpointId,
        settled: &[DeliveryId],
    ) -> Result<Vec<Head>, Fault> {
        let mut tx = self.0.readers.begin().await?;
        let cameras: Vec<String> = sqlx::query_scalar(CAMERAS)
            .bind(endpoint.as_str())
            .fetch_all(&mut *tx)
            .await?;
        let mut heads = Vec::with_capacity(cameras.len());
        for camera in &cameras {
            let mut query = QueryBuilder::<Sqlite>::new(
                "SELECT id, camera, event_seq, created_at_ms, attempts, tried_from_ms, \
                 next_at_ms FROM delivery WHERE state IN ('pending', 'sending') AND endpoint = ",
            );
            query.push_bind(endpoint.as_str().to_owned());
            query.push(" AND camera = ").push_bind(camera.clone());
            if !settled.is_empty() {
                query.push(" AND id NOT IN (");
                let mut ids = query.separated(", ");
                for id in settled {
                    ids.push_bind(id.as_str().to_owned());
                }
                query.push(")");
            }
            query.push(" ORDER BY event_seq LIMIT 1");
            if let Some(row) = query.build().fetch_optional(&mut *tx).await? {
                heads.push(head_of(&row)?);
            }
        }
        Ok(heads)
    }

    async fn event_row(&self, seq: i64) -> Result<Option<EventRecord>, Fault> {
        let mut connection = self.0.readers.acquire().await?;
        Ok(event::read(&mut connection, seq).await?)
    }

    async fn begin_attempt_row(&self, id: &DeliveryId) -> Result<(), Fault> {
        sqlx::query(
            "UPDATE delivery SET state = 'sending', attempts = attempts + 1, \
             tried_from_ms = coalesce(tried_from_ms, ?1) \
             WHERE id = ?2 AND state IN ('pending', 'sending')",
        )
        .bind(self.steady_ms())
        .bind(id.as_str())
        .execute(&self.0.writer)
        .await?;
        Ok(())
    }

    async fn finish_attempt_row(&self, attempt: &Attempt) -> Result<(), Fault> {
        let now_ms = self.now_ms();
        let mut tx = self.begin().await?;
        log(&mut tx, attempt).await?;
        let (state, settled_at_ms, next_at_ms) = match attempt.outcome {
            Outcome::Delivered => ("delivered", Some(now_ms), None),
            Outcome::Again { next_at_ms } => ("pending", None, Some(next_at_ms)),
            Outcome::Dead => ("dead", Some(now_ms), None),
        };
        sqlx::query(
            "UPDATE delivery SET state = ?1, settled_at_ms = ?2, \
             next_at_ms = coalesce(?3, next_at_ms), last_error = ?4 \
             WHERE id = ?5 AND (state IN ('pending', 'sending') OR ?1 = 'delivered')",
        )
        .bind(state)
        .bind(settled_at_ms)
        .bind(next_at_ms)
        .bind(attempt.error.as_deref())
        .bind(attempt.delivery.as_str())
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(())
    }
}

pub(super) async fn of_delivery(
    connection: &mut SqliteConnection,
    id: &DeliveryId,
) -> Result<Vec<AttemptRecord>, sqlx::Error> {
    let rows = sqlx::query(
        "SELECT at_ms, duration_ms, status, error FROM attempt WHERE delivery = ? ORDER BY id",
    )
    .bind(id.as_str())
    .fetch_all(connection)
    .await?;
    rows.iter()
        .map(|row| {
            Ok(AttemptRecord {
                at_ms: row.try_get("at_ms")?,
                duration_ms: row.try_get("duration_ms")?,
                status: row.try_get("status")?,
                error: row.try_get("error")?,
            })
        })
        .collect()
}

async fn log(tx: &mut Tx, attempt: &Attempt) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO attempt (delivery, at_ms, duration_ms, status, error) VALUES (?, ?, ?, ?, ?)",
    )
    .bind(attempt.delivery.as_str())
    .bind(attempt.at_ms)
    .bind(attempt.duration_ms)
    .bind(attempt.status)
    .bind(attempt.error.as_deref())
    .execute(&mut **tx)
    .await?;
    Ok(())
}

fn head_of(row: &SqliteRow) -> Result<Head, sqlx::Error> {
    Ok(Head {
        id: parsed(row, "id")?,
        camera: parsed(row, "camera")?,
        event_seq: row.try_get("event_seq")?,
        created_at_ms: row.try_get("created_at_ms")?,
        attempts: row.try_get("attempts")?,
        tried_from_ms: row.try_get("tried_from_ms")?,
        next_at_ms: row.try_get("next_at_ms")?,
    })
}
