//! The log of changes: what server-sent events replay and what webhooks carry.
//!
//! An event's body is the alarm as it was at that moment, so that it reads the same however late
//! it is sent. An event is never changed.

use serde::{Deserialize, Serialize};
use sqlx::Row;
use sqlx::sqlite::{SqliteConnection, SqliteRow};

use super::alarm::{AlarmDetail, AlarmRecord};
use super::error::Fault;
use super::evidence::{EvidenceFile, EvidenceState};
use super::row::{parsed, to_json, word};
use super::{Durability, PAGE_ROWS_MAX, Store, StoreError};
use crate::alarm::{TrackPoint, TrackPointRecord};
use crate::id::AlarmId;

/// Points of a track in an event at the most: enough to draw a fall, and bounded in bytes.
pub const TRACK_POINTS_MAX: usize = 32;

/// Why an alarm in memory has no evidence.
const NO_DISK: &str = "the data directory cannot be written";

/// What changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
pub enum EventKind {
    #[serde(rename = "alarm.raised")]
    AlarmRaised,
    #[serde(rename = "alarm.ended")]
    AlarmEnded,
    #[serde(rename = "alarm.evidence")]
    AlarmEvidence,
    #[serde(rename = "alarm.acknowledged")]
    AlarmAcknowledged,
    #[serde(rename = "alarm.closed")]
    AlarmClosed,
    /// Somebody has it in hand; may come again. Told to pages, not to webhooks.
    #[serde(rename = "alarm.assigned")]
    AlarmAssigned,
    /// Somebody wrote a note; may come again. Told to pages, not to webhooks.
    #[serde(rename = "alarm.noted")]
    AlarmNoted,
    /// Nobody has acknowledged it in time, and further endpoints are told; may come again.
    #[serde(rename = "alarm.escalated")]
    AlarmEscalated,
    /// It was raised under a shelf that has ended, is still going on, and is announced now.
    #[serde(rename = "alarm.unshelved")]
    AlarmUnshelved,
    /// Somebody shelved alarms. Concerns no alarm; told to pages, as is its end.
    #[serde(rename = "shelf.begun")]
    ShelfBegun,
    #[serde(rename = "shelf.ended")]
    ShelfEnded,
    /// An endpoint answered 410 and gets nothing more. Concerns no alarm and is not delivered.
    #[serde(rename = "endpoint.disabled")]
    EndpointDisabled,
}

impl EventKind {
    /// Returns the name used in JSON, SQL and as the type of a webhook.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AlarmRaised => "alarm.raised",
            Self::AlarmEnded => "alarm.ended",
            Self::AlarmEvidence => "alarm.evidence",
            Self::AlarmAcknowledged => "alarm.acknowledged",
            Self::AlarmClosed => "alarm.closed",
            Self::AlarmAssigned => "alarm.assigned",
            Self::AlarmNoted => "alarm.noted",
            Self::AlarmEscalated => "alarm.escalated",
            Self::AlarmUnshelved => "alarm.unshelved",
            Self::ShelfBegun => "shelf.begun",
            Self::ShelfEnded => "shelf.ended",
            Self::EndpointDisabled => "endpoint.disabled",
        }
    }
}

/// One change, as it was committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventRecord {
    /// Grows by commit; gaps mean nothing.
    pub seq: i64,
    pub at_ms: i64,
    pub kind: EventKind,
    /// None for an event that concerns no alarm.
    pub alarm: Option<AlarmId>,
    /// JSON: an [`AlarmSnapshot`] for the `alarm.*` events.
    pub body: String,
}

/// An alarm as an event tells it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct AlarmSnapshot {
    #[serde(flatten)]
    pub alarm: AlarmRecord,
    /// At most [`TRACK_POINTS_MAX`] points, evenly chosen, first and last included.
    #[schema(value_type = Vec<TrackPointRecord>)]
    pub track: Vec<TrackPoint>,
    pub files: Vec<EvidenceFile>,
    /// False where the disk took nothing at that moment: the alarm is in memory only, and may be
    /// missing from lists until the disk is back.
    pub stored: bool,
}

impl AlarmSnapshot {
    fn of(detail: &AlarmDetail, durability: Durability) -> Self {
        let mut alarm = detail.alarm.clone();
        if durability == Durability::Volatile && alarm.evidence == EvidenceState::Pending {
            alarm.evidence = EvidenceState::Missing;
            alarm.evidence_reason = Some(NO_DISK.to_owned());
        }
        Self {
            alarm,
            track: thinned(&detail.track, TRACK_POINTS_MAX),
            files: detail.files.clone(),
            stored: durability == Durability::Disk,
        }
    }
}

impl Store {
    /// Returns at most `limit` (1..=[`PAGE_ROWS_MAX`]) events after `seq`, oldest first. Begin
    /// with 0 for all, or with [`Store::newest_seq`] for none but new ones.
    pub async fn events_after(&self, seq: i64, limit: u32) -> Result<Vec<EventRecord>, StoreError> {
        self.named(self.event_rows(seq, limit).await)
    }

    async fn event_rows(&self, seq: i64, limit: u32) -> Result<Vec<EventRecord>, Fault> {
        let rows = sqlx::query(
            "SELECT seq, at_ms, kind, alarm, body FROM event WHERE seq > ? ORDER BY seq LIMIT ?",
        )
        .bind(seq)
        .bind(limit.clamp(1, PAGE_ROWS_MAX))
        .fetch_all(&self.0.readers)
        .await?;
        Ok(rows.iter().map(event_of).collect::<Result<_, _>>()?)
    }
}

/// Returns one event; none where there is no such seq.
pub(super) async fn read(
    connection: &mut SqliteConnection,
    seq: i64,
) -> Result<Option<EventRecord>, sqlx::Error> {
    let row = sqlx::query("SELECT seq, at_ms, kind, alarm, body FROM event WHERE seq = ?")
        .bind(seq)
        .fetch_optional(connection)
        .await?;
    row.as_ref().map(event_of).transpose()
}

/// When an event happens: for people, and for its age.
#[derive(Clone, Copy, Debug)]
pub(super) struct When {
    pub(super) at_ms: i64,
    pub(super) steady_ms: i64,
}

/// Writes the event that tells how `detail` is now, and returns its seq.
pub(super) async fn append(
    connection: &mut SqliteConnection,
    kind: EventKind,
    detail: &AlarmDetail,
    when: When,
    durability: Durability,
) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar(
        "INSERT INTO event (at_ms, aged_from_ms, kind, alarm, camera, site, body) \
         VALUES (?, ?, ?, ?, ?, ?, ?) RETURNING seq",
    )
    .bind(when.at_ms)
    .bind(when.steady_ms)
    .bind(kind.as_str())
    .bind(detail.alarm.id.to_string())
    .bind(detail.alarm.camera.as_str())
    .bind(detail.alarm.site.as_str())
    .bind(to_json(&AlarmSnapshot::of(detail, durability))?)
    .fetch_one(connection)
    .await
}

fn event_of(row: &SqliteRow) -> Result<EventRecord, sqlx::Error> {
    let alarm = match row.try_get::<Option<&str>, _>("alarm")? {
        Some(_) => Some(parsed(row, "alarm")?),
        None => None,
    };
    Ok(EventRecord {
        seq: row.try_get("seq")?,
        at_ms: row.try_get("at_ms")?,
        kind: word(row, "kind")?,
        alarm,
        body: row.try_get("body")?,
    })
}

fn thinned(track: &[TrackPoint], points_max: usize) -> Vec<TrackPoint> {
    if track.len() <= points_max {
        return track.to_vec();
    }
    let last = track.len() - 1;
    let steps = points_max - 1;
    (0..points_max)
        .map(|step| track[step * last / steps])
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::StreamTime;
    use crate::geometry::BoxPx;

    fn track(points: i64) -> Vec<TrackPoint> {
        (0..points)
            .map(|point| TrackPoint {
                at: StreamTime::from_micros(point),
                area: BoxPx::default(),
            })
            .collect()
    }

    #[test]
    fn a_short_track_is_told_whole() {
        assert_eq!(thinned(&track(32), 32), track(32));
    }

    #[test]
    fn a_long_track_keeps_its_ends_and_no_more_points_than_allowed() {
        let thin = thinned(&track(1000), 32);
        assert_eq!(thin.len(), 32);
        assert_eq!(thin[0].at.as_micros(), 0);
        assert_eq!(thin[31].at.as_micros(), 999);
        assert!(thin.windows(2).all(|pair| pair[0].at < pair[1].at));
    }
}
