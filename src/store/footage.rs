//! Footage: a row for each segment of ordinary video on the disk, and its end.
//!
//! A row is written when its file is whole, and deleted before it: one transaction takes rows and notes
//! their files as still to be removed, so that no row ever names a file that is gone, and a crash
//! between leaves a note that is worked off later. A segment a minute is too much for the audit log: what
//! goes is added up, and told once a day by rule.

use std::time::Duration;

use serde::Serialize;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use super::audit::{self, Actor, AuditOutcome, Deed};
use super::count::Span;
use super::error::Fault;
use super::retention::DeletionRule;
use super::row::parsed;
use super::{PAGE_ROWS_MAX, Store, StoreError, Tx};
use crate::evidence::EvidenceFile;
use crate::footage::Segment;
use crate::id::CameraId;

/// Between two rows of the audit log about what went by one rule.
const TOLD_EVERY_MS: i64 = 24 * 3600 * 1000;

/// One segment of a camera's ordinary video.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct FootageRecord {
    pub id: i64,
    #[schema(value_type = String)]
    pub camera: CameraId,
    /// When its first picture was captured.
    pub starts_at_ms: i64,
    /// When its last picture was over; the next segment's begin where nothing is missing between.
    pub ends_at_ms: i64,
    pub size_bytes: u64,
    /// SHA-256 of the whole file, 64 hexadecimal digits.
    pub sha256: String,
    /// `h264` or `h265`.
    pub codec: String,
    pub pictures: u64,
    /// Of the scene in force when it began; none where there was none.
    pub scene_sha256: Option<String>,
    /// Below the folder of footage; for nobody outside.
    #[serde(skip)]
    pub path: String,
}

impl FootageRecord {
    /// Returns the segment as a file of evidence is described: what copies are made of.
    pub fn file(&self) -> EvidenceFile {
        let name = self.path.rsplit('/').next().unwrap_or_default();
        EvidenceFile {
            name: name.to_owned(),
            media_type: "video/mp4".to_owned(),
            size_bytes: self.size_bytes,
            sha256: self.sha256.clone(),
        }
    }
}

/// What one camera has on the disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FootageUse {
    pub camera: CameraId,
    pub segments: u64,
    pub size_bytes: u64,
    /// When the oldest begins, and when the newest ends.
    pub oldest_ms: i64,
    pub newest_ms: i64,
}

/// Which footage is to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FootageGoes {
    /// Written before this moment of steady time, milliseconds: its days are over.
    Before(i64),
    /// The oldest of all cameras, so many bytes at least: there is no room for it.
    Bytes(u64),
}

/// What went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FootageGone {
    pub segments: u64,
    pub size_bytes: u64,
}

/// A file whose row is gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FootageRemoval {
    pub segment: i64,
    /// Below the folder of footage.
    pub path: String,
}

impl Store {
    /// Commits that a segment is on the disk. The same file again is the same row.
    pub async fn add_footage(&self, segment: &Segment) -> Result<(), StoreError> {
        let added = sqlx::query(
            "INSERT INTO footage_segment (camera, starts_at_ms, ends_at_ms, path, size_bytes, sha256, \
             codec, pictures, scene_sha256, aged_from_ms) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) \
             ON CONFLICT (path) DO UPDATE SET ends_at_ms = excluded.ends_at_ms, \
             size_bytes = excluded.size_bytes, sha256 = excluded.sha256, codec = excluded.codec, \
             pictures = excluded.pictures",
        )
        .bind(segment.camera.as_str())
        .bind(segment.starts_at_ms)
        .bind(segment.ends_at_ms)
        .bind(&segment.path)
        .bind(signed(segment.size_bytes))
        .bind(&segment.sha256)
        .bind(segment.codec)
        .bind(signed(segment.pictures))
        .bind(&segment.scene_sha256)
        .bind(self.steady_ms())
        .execute(&self.0.writer)
        .await;
        self.named(added.map(|_| ()).map_err(Fault::from))
    }

    /// Returns the camera's segments that reach into the time from `from_ms` to `to_ms`, oldest first, at
    /// most `limit` (1..=[`PAGE_ROWS_MAX`]) of them that begin after `after_ms`.
    pub async fn footage(
        &self,
        camera: &CameraId,
        (from_ms, to_ms): (i64, i64),
        after_ms: Option<i64>,
        limit: u32,
    ) -> Result<Vec<FootageRecord>, StoreError> {
        let rows = sqlx::query(
            "SELECT * FROM footage_segment WHERE camera = ? AND starts_at_ms < ? AND ends_at_ms > ? \
             AND starts_at_ms > ? ORDER BY starts_at_ms LIMIT ?",
        )
        .bind(camera.as_str())
        .bind(to_ms)
        .bind(from_ms)
        // A segment's length is bounded, so that not all that is older is looked at.
        .bind(after_ms.unwrap_or_else(|| from_ms.saturating_sub(LENGTH_MAX_MS)))
        .bind(limit.clamp(1, PAGE_ROWS_MAX))
        .fetch_all(&self.0.readers)
        .await;
        let records = rows.and_then(|rows| rows.iter().map(record_of).collect());
        self.named(records.map_err(Fault::from))
    }

    /// Returns one segment; none where there is none, or it is gone.
    pub async fn footage_segment(&self, id: i64) -> Result<Option<FootageRecord>, StoreError> {
        let row = sqlx::query("SELECT * FROM footage_segment WHERE id = ?")
            .bind(id)
            .fetch_optional(&self.0.readers)
            .await;
        let record = row.and_then(|row| row.as_ref().map(record_of).transpose());
        self.named(record.map_err(Fault::from))
    }

    /// Returns what each camera has on the disk, by camera; those that have none are not among them.
    pub async fn footage_use(&self) -> Result<Vec<FootageUse>, StoreError> {
        let rows = sqlx::query(
            "SELECT camera, segments, size_bytes, \
             (SELECT min(starts_at_ms) FROM footage_segment WHERE camera = kept.camera) AS oldest, \
             (SELECT ends_at_ms FROM footage_segment WHERE camera = kept.camera \
              ORDER BY starts_at_ms DESC LIMIT 1) AS newest \
             FROM footage_use AS kept WHERE segments > 0 ORDER BY camera",
        )
        .fetch_all(&self.0.readers)
        .await;
        let used = |row: &SqliteRow| {
            Ok(FootageUse {
                camera: parsed(row, "camera")?,
                segments: row.try_get::<i64, _>("segments")?.unsigned_abs(),
                size_bytes: row.try_get::<i64, _>("size_bytes")?.unsigned_abs(),
                oldest_ms: row.try_get("oldest")?,
                newest_ms: row.try_get("newest")?,
            })
        };
        let used = rows.and_then(|rows| rows.iter().map(used).collect());
        self.named(used.map_err(Fault::from))
    }

    /// Returns the times of which the camera has footage between two moments, oldest first: segments that
    /// join are one. Of more segments than [`SPANS_MAX`] the newest are left out.
    pub async fn footage_spans(
        &self,
        camera: &CameraId,
        (from_ms, to_ms): (i64, i64),
    ) -> Result<Vec<Span>, StoreError> {
        let rows = sqlx::query(
            "SELECT starts_at_ms, ends_at_ms FROM footage_segment WHERE camera = ? \
             AND starts_at_ms > ? AND starts_at_ms < ? AND ends_at_ms > ? \
             ORDER BY starts_at_ms LIMIT ?",
        )
        .bind(camera.as_str())
        .bind(from_ms.saturating_sub(LENGTH_MAX_MS))
        .bind(to_ms)
        .bind(from_ms)
        .bind(SPANS_MAX)
        .fetch_all(&self.0.readers)
        .await;
        let span = |row: &SqliteRow| {
            Ok(Span {
                from_ms: row.try_get("starts_at_ms")?,
                to_ms: row.try_get("ends_at_ms")?,
            })
        };
        let spans: Result<Vec<Span>, sqlx::Error> =
            rows.and_then(|rows| rows.iter().map(span).collect());
        let spans = spans.map(|spans| joined(&spans));
        self.named(spans.map_err(Fault::from))
    }

    /// Returns how long ago footage went last before its days were over; none where it never did.
    pub async fn footage_cut(&self) -> Result<Option<Duration>, StoreError> {
        let at_ms = sqlx::query_scalar("SELECT at_ms FROM footage_pruned WHERE rule = ?")
            .bind(DeletionRule::Room.as_str())
            .fetch_optional(&self.0.readers)
            .await;
        let at_ms: Option<i64> = self.named(at_ms.map_err(Fault::from))?;
        let ago_ms = at_ms.map(|at_ms| (self.steady_ms() - at_ms).max(0).unsigned_abs());
        Ok(ago_ms.map(Duration::from_millis))
    }

    /// Commits that footage is deleted, the oldest first, at most [`PAGE_ROWS_MAX`] segments; their files are
    /// then to be removed ([`Store::footage_removals`]). Returns what went.
    pub async fn delete_footage(&self, which: FootageGoes) -> Result<FootageGone, StoreError> {
        self.named(self.delete_footage_rows(which).await)
    }

    /// Returns files that are to be removed, at most [`PAGE_ROWS_MAX`].
    pub async fn footage_removals(&self) -> Result<Vec<FootageRemoval>, StoreError> {
        let rows = sqlx::query("SELECT path, segment FROM footage_removal ORDER BY path LIMIT ?")
            .bind(PAGE_ROWS_MAX)
            .fetch_all(&self.0.readers)
            .await;
        let removal = |row: &SqliteRow| {
            Ok(FootageRemoval {
                segment: row.try_get("segment")?,
                path: row.try_get("path")?,
            })
        };
        let removals = rows.and_then(|rows| rows.iter().map(removal).collect());
        self.named(removals.map_err(Fault::from))
    }

    /// Commits that these files are not on the disk any more.
    pub async fn footage_was_removed(&self, removals: &[FootageRemoval]) -> Result<(), StoreError> {
        self.named(self.forget_footage(removals).await)
    }

    async fn forget_footage(&self, removals: &[FootageRemoval]) -> Result<(), Fault> {
        let mut tx = self.begin().await?;
        for removal in removals {
            sqlx::query("DELETE FROM footage_removal WHERE path = ?")
                .bind(&removal.path)
                .execute(&mut *tx)
                .await?;
        }
        Ok(tx.commit().await?)
    }

    async fn delete_footage_rows(&self, which: FootageGoes) -> Result<FootageGone, Fault> {
        let (before_ms, least_bytes, rule) = match which {
            FootageGoes::Before(at_ms) => (at_ms, u64::MAX, DeletionRule::Age),
            FootageGoes::Bytes(bytes) => (i64::MAX, bytes, DeletionRule::Room),
        };
        let mut tx = self.begin().await?;
        let rows = sqlx::query(
            "SELECT * FROM footage_segment WHERE aged_from_ms < ? ORDER BY aged_from_ms, id LIMIT ?",
        )
        .bind(before_ms)
        .bind(PAGE_ROWS_MAX)
        .fetch_all(&mut *tx)
        .await?;
        let mut gone = Vec::new();
        let mut gone_bytes = 0;
        for row in &rows {
            if gone_bytes >= least_bytes {
                break;
            }
            let record = record_of(row)?;
            gone_bytes += record.size_bytes;
            gone.push(record);
        }
        for record in &gone {
            sqlx::query("DELETE FROM footage_segment WHERE id = ?")
                .bind(record.id)
                .execute(&mut *tx)
                .await?;
            sqlx::query("INSERT OR REPLACE INTO footage_removal (path, segment) VALUES (?, ?)")
                .bind(&record.path)
                .bind(record.id)
                .execute(&mut *tx)
                .await?;
        }
        if !gone.is_empty() {
            self.tell_of_pruned(&mut tx, rule, &gone).await?;
        }
        tx.commit().await?;
        Ok(FootageGone {
            segments: gone.len() as u64,
            size_bytes: gone_bytes,
        })
    }

    /// Adds up what went by the rule; where the audit log was not told for a day it is now.
    async fn tell_of_pruned(
        &self,
        tx: &mut Tx,
        rule: DeletionRule,
        gone: &[FootageRecord],
    ) -> Result<(), Fault> {
        let starts = gone.iter().map(|record| record.starts_at_ms).min();
        let ends = gone.iter().map(|record| record.ends_at_ms).max();
        let bytes: u64 = gone.iter().map(|record| record.size_bytes).sum();
        let row = sqlx::query(
            "INSERT INTO footage_pruned (rule, segments, size_bytes, from_ms, to_ms, at_ms) \
             VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (rule) DO UPDATE SET \
             from_ms = CASE segments WHEN 0 THEN excluded.from_ms ELSE min(from_ms, excluded.from_ms) END, \
             to_ms = CASE segments WHEN 0 THEN excluded.to_ms ELSE max(to_ms, excluded.to_ms) END, \
             segments = segments + excluded.segments, size_bytes = size_bytes + excluded.size_bytes, \
             at_ms = excluded.at_ms RETURNING *",
        )
        .bind(rule.as_str())
        .bind(signed(gone.len() as u64))
        .bind(signed(bytes))
        .bind(starts)
        .bind(ends)
        .bind(self.steady_ms())
        .fetch_one(&mut **tx)
        .await?;
        let told_at_ms: Option<i64> = row.try_get("told_at_ms")?;
        let steady_ms = self.steady_ms();
        if told_at_ms.is_some_and(|at_ms| steady_ms - at_ms < TOLD_EVERY_MS) {
            return Ok(());
        }
        let (segments, bytes): (i64, i64) = (row.try_get("segments")?, row.try_get("size_bytes")?);
        let (from_ms, to_ms): (i64, i64) = (row.try_get("from_ms")?, row.try_get("to_ms")?);
        let why = match rule {
            DeletionRule::Age => "older than the days for which it is kept",
            DeletionRule::Room => "before its days were over, for there was no room",
        };
        let deed = Deed {
            who: &Actor::service(),
            action: "footage.pruned",
            object: "footage".to_owned(),
            outcome: AuditOutcome::Done,
            detail: Some(format!(
                "{segments} segments, {bytes} bytes, captured from {from_ms} to {to_ms}: {why}"
            )),
        };
        audit::append(tx, deed, self.now_ms()).await?;
        sqlx::query(
            "UPDATE footage_pruned SET segments = 0, size_bytes = 0, told_at_ms = ? WHERE rule = ?",
        )
        .bind(steady_ms)
        .bind(rule.as_str())
        .execute(&mut **tx)
        .await?;
        Ok(())
    }
}

/// Segments of a day and more, also of a recording that is played over and over.
const SPANS_MAX: u32 = 20_000;

/// Two segments join when no more lies between them: a picture at ten a second.
const JOIN_MS: i64 = 100;

/// Returns the spans with those in one that join.
fn joined(spans: &[Span]) -> Vec<Span> {
    let mut all: Vec<Span> = Vec::new();
    for span in spans {
        match all.last_mut() {
            Some(last) if span.from_ms - last.to_ms <= JOIN_MS => {
                last.to_ms = last.to_ms.max(span.to_ms);
            }
            _ => all.push(*span),
        }
    }
    all
}

/// No segment lasts longer: five times its length at the most.
const LENGTH_MAX_MS: i64 = 10 * 60 * 1000;

/// Returns how many segments of the camera reach into the time.
pub(super) async fn count(
    tx: &mut Tx,
    camera: &CameraId,
    (from_ms, to_ms): (i64, i64),
) -> Result<i64, Fault> {
    let counted = sqlx::query_scalar(
        "SELECT count(*) FROM footage_segment WHERE camera = ? AND starts_at_ms > ? \
         AND starts_at_ms < ? AND ends_at_ms > ?",
    )
    .bind(camera.as_str())
    .bind(from_ms.saturating_sub(LENGTH_MAX_MS))
    .bind(to_ms)
    .bind(from_ms)
    .fetch_one(&mut **tx)
    .await?;
    Ok(counted)
}

fn record_of(row: &SqliteRow) -> Result<FootageRecord, sqlx::Error> {
    Ok(FootageRecord {
        id: row.try_get("id")?,
        camera: parsed(row, "camera")?,
        starts_at_ms: row.try_get("starts_at_ms")?,
        ends_at_ms: row.try_get("ends_at_ms")?,
        size_bytes: row.try_get::<i64, _>("size_bytes")?.unsigned_abs(),
        sha256: row.try_get("sha256")?,
        codec: row.try_get("codec")?,
        pictures: row.try_get::<i64, _>("pictures")?.unsigned_abs(),
        scene_sha256: row.try_get("scene_sha256")?,
        path: row.try_get("path")?,
    })
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
