//! When the service itself ran. While it did not, no fault of a camera could be noticed, and reports
//! must not take such hours for good ones.

use std::time::Duration;

use sqlx::Row;

use super::count::Span;
use super::error::Fault;
use super::{Store, StoreError};

/// How often a run's end is moved on: a commit costs an fsync, and a crash loses no more than this.
pub const BEAT: Duration = Duration::from_secs(60);

/// Runs that one report looks at, at the most: one every 50 min of a year.
const RUNS_MAX: i64 = 10_000;

/// One run of the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunId(i64);

impl Store {
    /// Commits that a run has begun.
    pub async fn begin_run(&self) -> Result<RunId, StoreError> {
        let now_ms = self.now_ms();
        let begun =
            sqlx::query("INSERT INTO service_run (started_at_ms, seen_at_ms) VALUES (?1, ?1)")
                .bind(now_ms)
                .execute(&self.0.writer)
                .await;
        let begun = begun.map(|done| RunId(done.last_insert_rowid()));
        let begun = self.named(begun.map_err(Fault::from))?;
        self.named(self.keep_steady().await)?;
        Ok(begun)
    }

    /// Commits that the run goes on, and where steady time is. A clock that was set back takes nothing away from it.
    pub async fn beat(&self, run: RunId) -> Result<(), StoreError> {
        let beaten =
            sqlx::query("UPDATE service_run SET seen_at_ms = max(seen_at_ms, ?) WHERE id = ?")
                .bind(self.now_ms())
                .bind(run.0)
                .execute(&self.0.writer)
                .await;
        self.named(beaten.map(|_| ()).map_err(Fault::from))?;
        self.named(self.keep_steady().await)
    }

    /// Returns the runs that reach into the time from `from_ms` to `to_ms`, oldest first. One that was
    /// seen within two beats goes on now.
    pub async fn runs(&self, from_ms: i64, to_ms: i64) -> Result<Vec<Span>, StoreError> {
        self.named(self.run_rows(from_ms, to_ms).await)
    }

    async fn run_rows(&self, from_ms: i64, to_ms: i64) -> Result<Vec<Span>, Fault> {
        let now_ms = self.now_ms();
        let fresh_ms = i64::try_from(2 * BEAT.as_millis()).unwrap_or(0);
        let rows = sqlx::query(
            "SELECT started_at_ms, seen_at_ms FROM service_run \
             WHERE seen_at_ms >= ? AND started_at_ms < ? ORDER BY seen_at_ms LIMIT ?",
        )
        .bind(from_ms - fresh_ms)
        .bind(to_ms)
        .bind(RUNS_MAX)
        .fetch_all(&self.0.readers)
        .await?;
        let span = |row: &sqlx::sqlite::SqliteRow| -> Result<Span, sqlx::Error> {
            let seen_at_ms: i64 = row.try_get("seen_at_ms")?;
            let is_on = now_ms - seen_at_ms <= fresh_ms;
            Ok(Span {
                from_ms: row.try_get("started_at_ms")?,
                to_ms: if is_on { now_ms } else { seen_at_ms },
            })
        };
        Ok(rows.iter().map(span).collect::<Result<_, _>>()?)
    }
}
