//! What reports are made of: when cameras had faults, and which elevators' e-bikes raised alarms.

use std::collections::BTreeMap;

use sqlx::Row;

use super::error::Fault;
use super::row::{parsed, word};
use super::{Store, StoreError};
use crate::alarm::AlarmKind;
use crate::id::CameraId;

/// Faults that one report looks at, at the most: a hundred cameras with a hundred a day for weeks.
const FAULTS_MAX: i64 = 200_000;

/// A time in which a camera had a fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FaultSpan {
    pub camera: CameraId,
    pub kind: AlarmKind,
    pub started_at_ms: i64,
    /// None while it lasts.
    pub ended_at_ms: Option<i64>,
}

impl Store {
    /// Returns the faults that reach into the time from `from_ms` to `to_ms`.
    pub async fn fault_spans(
        &self,
        from_ms: i64,
        to_ms: i64,
    ) -> Result<Vec<FaultSpan>, StoreError> {
        self.named(self.fault_rows(from_ms, to_ms).await)
    }

    /// Returns the newest e-bike's alarm of each camera since `from_ms`, Unix milliseconds. What a
    /// person found to be false is left out.
    pub async fn newest_rides(&self, from_ms: i64) -> Result<BTreeMap<CameraId, i64>, StoreError> {
        self.named(self.newest_ride_rows(from_ms).await)
    }

    async fn fault_rows(&self, from_ms: i64, to_ms: i64) -> Result<Vec<FaultSpan>, Fault> {
        let rows = sqlx::query(
            "SELECT camera, kind, started_at_ms, ended_at_ms FROM alarm \
             WHERE kind NOT IN ('falling_object', 'ebike_in_elevator') AND started_at_ms < ? \
             AND coalesce(ended_at_ms, ?) > ? ORDER BY started_at_ms LIMIT ?",
        )
        .bind(to_ms)
        .bind(i64::MAX)
        .bind(from_ms)
        .bind(FAULTS_MAX)
        .fetch_all(&self.0.readers)
        .await?;
        let span = |row| {
            Ok(FaultSpan {
                camera: parsed(row, "camera")?,
                kind: word(row, "kind")?,
                started_at_ms: row.try_get("started_at_ms")?,
                ended_at_ms: row.try_get("ended_at_ms")?,
            })
        };
        Ok(rows.iter().map(span).collect::<Result<_, sqlx::Error>>()?)
    }

    async fn newest_ride_rows(&self, from_ms: i64) -> Result<BTreeMap<CameraId, i64>, Fault> {
        let rows = sqlx::query(
            "SELECT camera, max(raised_at_ms) AS newest FROM alarm \
             WHERE kind = 'ebike_in_elevator' AND raised_at_ms >= ? \
             AND coalesce(disposition, '') <> 'false_alarm' GROUP BY camera",
        )
        .bind(from_ms)
        .fetch_all(&self.0.readers)
        .await?;
        let ride = |row| Ok((parsed(row, "camera")?, row.try_get("newest")?));
        Ok(rows.iter().map(ride).collect::<Result<_, sqlx::Error>>()?)
    }
}
