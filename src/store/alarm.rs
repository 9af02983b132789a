//! Alarms as they are kept, and how they are found again. The commands that change them are in
//! `lifecycle`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sqlx::sqlite::{SqliteConnection, SqliteRow};
use sqlx::{QueryBuilder, Row, Sqlite};

use super::delivery::DeliveryRecord;
use super::error::Fault;
use super::escalation::EscalationRecord;
use super::evidence::{EvidenceFile, EvidenceState};
use super::handling::NoteRecord;
use super::retention::{Deletion, Hold};
use super::row::{json_or_none, parsed, word, word_or_none};
use super::{PAGE_ROWS_MAX, Store, StoreError};
use crate::alarm::{AlarmKind, Origin, TrackPoint};
use crate::clock::StreamTime;
use crate::id::{AlarmId, CameraId, SiteId};

/// How far people are with an alarm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum AlarmState {
    Raised,
    Acknowledged,
    Closed,
}

impl AlarmState {
    /// Returns the name used in JSON and SQL.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Raised => "raised",
            Self::Acknowledged => "acknowledged",
            Self::Closed => "closed",
        }
    }
}

/// What a person found an alarm to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Disposition {
    Confirmed,
    FalseAlarm,
    Technical,
    Test,
}

impl Disposition {
    /// Returns the name used in JSON and SQL.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Confirmed => "confirmed",
            Self::FalseAlarm => "false_alarm",
            Self::Technical => "technical",
            Self::Test => "test",
        }
    }
}

/// How the end of an alarm became known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum EndReason {
    /// The camera saw it end.
    Observed,
    /// The service stopped while it lasted; nobody saw it end.
    Restart,
}

impl EndReason {
    /// Returns the name used in JSON and SQL.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Observed => "observed",
            Self::Restart => "restart",
        }
    }
}

/// One alarm, without its track.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct AlarmRecord {
    #[schema(value_type = String)]
    pub id: AlarmId,
    #[schema(value_type = String)]
    pub camera: CameraId,
    #[schema(value_type = String)]
    pub site: SiteId,
    /// Name of the building or elevator.
    pub place: String,
    pub kind: AlarmKind,
    pub state: AlarmState,
    /// 0..1.
    pub score: f64,
    /// Wall times, Unix milliseconds.
    pub started_at_ms: i64,
    pub raised_at_ms: i64,
    /// None while it lasts.
    pub ended_at_ms: Option<i64>,
    pub end_reason: Option<EndReason>,
    /// The same moments in seconds since the first frame of the stream's timeline.
    pub started_at_s: f64,
    pub raised_at_s: f64,
    pub ended_at_s: Option<f64>,
    pub origin: Option<Origin>,
    /// SHA-256 of the scene it was judged by; none where the camera has no scene.
    pub scene_sha256: Option<String>,
    pub evidence: EvidenceState,
    /// Why the evidence, or a part of it, is missing.
    pub evidence_reason: Option<String>,
    /// Why its evidence must not be deleted, where that is so.
    pub hold: Option<Hold>,
    /// When its evidence was deleted, and by what rule.
    pub evidence_deleted: Option<Deletion>,
    pub acknowledged_at_ms: Option<i64>,
    pub acknowledged_by: Option<String>,
    /// The account in whose hands it is, where somebody gave it to them.
    pub assigned_to: Option<String>,
    /// When further endpoints were told that nobody had acknowledged it, the last time.
    #[serde(default)]
    pub escalated_at_ms: Option<i64>,
    /// The shelf under which it was raised, if it was.
    #[serde(default)]
    pub shelf: Option<i64>,
    /// It is kept, and announced to nobody.
    #[serde(default)]
    pub shelved: bool,
    pub closed_at_ms: Option<i64>,
    pub closed_by: Option<String>,
    pub disposition: Option<Disposition>,
    pub note: Option<String>,
}

/// One alarm with all that belongs to it.
#[derive(Clone, Debug, PartialEq)]
pub struct AlarmDetail {
    pub alarm: AlarmRecord,
    pub track: Vec<TrackPoint>,
    /// The folder of its files below the evidence root.
    pub evidence_folder: Option<String>,
    pub files: Vec<EvidenceFile>,
    /// Oldest first.
    pub notes: Vec<NoteRecord>,
    /// The steps of escalation that were taken, oldest first.
    pub escalations: Vec<EscalationRecord>,
    /// In the order of the events, each with its attempts.
    pub deliveries: Vec<DeliveryRecord>,
}

/// Which alarms are wanted; what is none does not matter.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AlarmFilter {
    pub site: Option<SiteId>,
    pub camera: Option<CameraId>,
    pub shelved: Option<bool>,
    /// Building or elevator, by its name.
    pub place: Option<String>,
    /// The floor of origin.
    pub floor: Option<i32>,
    /// Events that this account has not looked through.
    pub unreviewed_by: Option<String>,
    pub disposition: Option<Disposition>,
    pub kind: Option<AlarmKind>,
    pub state: Option<AlarmState>,
    /// Raised at or after, Unix milliseconds.
    pub from_ms: Option<i64>,
    /// Raised before, Unix milliseconds.
    pub to_ms: Option<i64>,
    pub min_score: Option<f64>,
}

/// Where the next page begins. Its text is opaque to those who pass it on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor {
    raised_at_ms: i64,
    id: AlarmId,
}

/// A text that is not a cursor.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{0:?} is not a cursor: pass on `next` of the page before, unchanged")]
pub struct BadCursor(pub String);

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}_{}", self.raised_at_ms, self.id)
    }
}

impl FromStr for Cursor {
    type Err = BadCursor;

    fn from_str(text: &str) -> Result<Self, BadCursor> {
        let bad = || BadCursor(text.to_owned());
        let (raised_at_ms, id) = text.split_once('_').ok_or_else(bad)?;
        Ok(Self {
            raised_at_ms: raised_at_ms.parse().map_err(|_| bad())?,
            id: id.parse().map_err(|_| bad())?,
        })
    }
}

/// Some rows of an answer, and where the others begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T> {
    pub items: Vec<T>,
    /// None on the last page.
    pub next: Option<Cursor>,
}

/// Every column of an alarm but its track.
const COLUMNS: &str = "id, camera, site, place, kind, state, score, started_at_ms, raised_at_ms, \
    ended_at_ms, end_reason, stream_started_us, stream_raised_us, stream_ended_us, origin, \
    scene_sha256, evidence, evidence_reason, acknowledged_at_ms, acknowledged_by, closed_at_ms, \
    closed_by, disposition, note, assigned_to, escalated_at_ms, held_at_ms, held_by, held_reason, \
     evidence_deleted_at_ms, evidence_deleted_by, shelf, shelved";

impl Store {
    /// Returns at most `limit` (1..=[`PAGE_ROWS_MAX`]) alarms, newest first, beginning after
    /// `after`. A page is stable: alarms raised meanwhile do not move into later ones.
    pub async fn alarms(
        &self,
        filter: &AlarmFilter,
        after: Option<Cursor>,
        limit: u32,
    ) -> Result<Page<AlarmRecord>, StoreError> {
        self.named(self.alarm_page(filter, after, limit).await)
    }

    /// Returns how the database finds the list, a line a step: for whoever asks why it is slow.
    pub async fn plan_of(&self, filter: &AlarmFilter) -> Result<Vec<String>, StoreError> {
        let query = page_query(filter, None, PAGE_ROWS_MAX);
        let explain = format!("EXPLAIN QUERY PLAN {}", query.sql().as_str());
        let rows = sqlx::query(sqlx::AssertSqlSafe(explain))
            .fetch_all(&self.0.readers)
            .await;
        let steps = rows.and_then(|rows| rows.iter().map(|row| row.try_get("detail")).collect());
        self.named(steps.map_err(Fault::from))
    }

    /// Returns the alarm with its track, files, deliveries and attempts; none where there is no
    /// such alarm.
    pub async fn alarm(&self, id: AlarmId) -> Result<Option<AlarmDetail>, StoreError> {
        self.named(self.alarm_detail(id).await)
    }

    async fn alarm_page(
        &self,
        filter: &AlarmFilter,
        after: Option<Cursor>,
        limit: u32,
    ) -> Result<Page<AlarmRecord>, Fault> {
        let limit = limit.clamp(1, PAGE_ROWS_MAX);
        let mut query = page_query(filter, after, limit);
        let rows = query.build().fetch_all(&self.0.readers).await?;
        let wanted = usize::try_from(limit).unwrap_or(usize::MAX);
        let items = rows
            .iter()
            .take(wanted)
            .map(record_of)
            .collect::<Result<Vec<_>, _>>()?;
        let next = match items.last() {
            Some(last) if rows.len() > wanted => Some(Cursor {
                raised_at_ms: last.raised_at_ms,
                id: last.id,
            }),
            _ => None,
        };
        Ok(Page { items, next })
    }

    async fn alarm_detail(&self, id: AlarmId) -> Result<Option<AlarmDetail>, Fault> {
        // One transaction: all parts are of the same moment.
        let mut tx = self.0.readers.begin().await?;
        let Some(mut detail) = read(&mut tx, id).await? else {
            return Ok(None);
        };
        detail.notes = super::handling::notes_of(&mut tx, id).await?;
        detail.escalations = super::escalation::of_alarm(&mut tx, id).await?;
        detail.deliveries = super::delivery::of_alarm(&mut tx, id).await?;
        Ok(Some(detail))
    }
}

/// Returns the alarm with track and files, without its notes and deliveries.
pub(super) async fn read(
    connection: &mut SqliteConnection,
    id: AlarmId,
) -> Result<Option<AlarmDetail>, sqlx::Error> {
    let mut query = QueryBuilder::<Sqlite>::new("SELECT track, evidence_folder, ");
    query.push(COLUMNS).push(" FROM alarm WHERE id = ");
    query.push_bind(id.to_string());
    let Some(row) = query.build().fetch_optional(&mut *connection).await? else {
        return Ok(None);
    };
    Ok(Some(AlarmDetail {
        alarm: record_of(&row)?,
        track: json_or_none(&row, "track")?.unwrap_or_default(),
        evidence_folder: row.try_get("evidence_folder")?,
        files: super::evidence::of_alarm(connection, id).await?,
        notes: Vec::new(),
        escalations: Vec::new(),
        deliveries: Vec::new(),
    }))
}

/// Returns the query for a page. Each filter has an index in the order of the list, so that nothing is
/// sorted and reading ends with the page.
fn page_query(filter: &AlarmFilter, after: Option<Cursor>, limit: u32) -> QueryBuilder<Sqlite> {
    let mut query = QueryBuilder::<Sqlite>::new("SELECT ");
    query.push(COLUMNS).push(" FROM alarm WHERE 1 = 1");
    narrow(&mut query, filter);
    if let Some(after) = after {
        query.push(" AND (raised_at_ms, id) < (");
        query.push_bind(after.raised_at_ms).push(", ");
        query.push_bind(after.id.to_string()).push(")");
    }
    // One more than wanted tells whether there is a next page.
    query.push(" ORDER BY raised_at_ms DESC, id DESC LIMIT ");
    query.push_bind(limit + 1);
    query
}

fn narrow(query: &mut QueryBuilder<Sqlite>, filter: &AlarmFilter) {
    if let Some(site) = &filter.site {
        query
            .push(" AND site = ")
            .push_bind(site.as_str().to_owned());
    }
    if let Some(camera) = &filter.camera {
        query
            .push(" AND camera = ")
            .push_bind(camera.as_str().to_owned());
    }
    let sign = super::review::sign(filter);
    if let Some(kind) = filter.kind {
        let kind_is = format!(" AND {sign}kind = ");
        query.push(kind_is).push_bind(kind.as_str());
    }
    if let Some(state) = filter.state {
        let state_is = format!(" AND {sign}state = ");
        query.push(state_is).push_bind(state.as_str());
    }
    // As the partial indexes have it: they are not used with a bound value.
    match filter.shelved {
        Some(true) => _ = query.push(" AND shelved = 1"),
        Some(false) => _ = query.push(" AND shelved = 0"),
        None => {}
    }
    if let Some(from_ms) = filter.from_ms {
        query.push(" AND raised_at_ms >= ").push_bind(from_ms);
    }
    if let Some(to_ms) = filter.to_ms {
        query.push(" AND raised_at_ms < ").push_bind(to_ms);
    }
    if let Some(min_score) = filter.min_score {
        query.push(" AND score >= ").push_bind(min_score);
    }
    super::review::narrow_further(query, filter);
}

/// Narrows a query over `alarm` by the filter.
pub(super) fn narrow_by(query: &mut QueryBuilder<Sqlite>, filter: &AlarmFilter) {
    narrow(query, filter);
}

fn record_of(row: &SqliteRow) -> Result<AlarmRecord, sqlx::Error> {
    let seconds = |column| {
        row.try_get::<Option<i64>, _>(column)
            .map(|us| us.map(|us| StreamTime::from_micros(us).as_secs_f64()))
    };
    Ok(AlarmRecord {
        id: parsed(row, "id")?,
        camera: parsed(row, "camera")?,
        site: parsed(row, "site")?,
        place: row.try_get("place")?,
        kind: word(row, "kind")?,
        state: word(row, "state")?,
        score: row.try_get("score")?,
        started_at_ms: row.try_get("started_at_ms")?,
        raised_at_ms: row.try_get("raised_at_ms")?,
        ended_at_ms: row.try_get("ended_at_ms")?,
        end_reason: word_or_none(row, "end_reason")?,
        started_at_s: seconds("stream_started_us")?.unwrap_or(0.0),
        raised_at_s: seconds("stream_raised_us")?.unwrap_or(0.0),
        ended_at_s: seconds("stream_ended_us")?,
        origin: json_or_none(row, "origin")?,
        scene_sha256: row.try_get("scene_sha256")?,
        evidence: word(row, "evidence")?,
        evidence_reason: row.try_get("evidence_reason")?,
        hold: hold_of(row)?,
        evidence_deleted: deletion_of(row)?,
        acknowledged_at_ms: row.try_get("acknowledged_at_ms")?,
        acknowledged_by: row.try_get("acknowledged_by")?,
        assigned_to: row.try_get("assigned_to")?,
        shelf: row.try_get("shelf")?,
        shelved: row.try_get("shelved")?,
        escalated_at_ms: row.try_get("escalated_at_ms")?,
        closed_at_ms: row.try_get("closed_at_ms")?,
        closed_by: row.try_get("closed_by")?,
        disposition: word_or_none(row, "disposition")?,
        note: row.try_get("note")?,
    })
}

fn hold_of(row: &SqliteRow) -> Result<Option<Hold>, sqlx::Error> {
    let Some(at_ms) = row.try_get("held_at_ms")? else {
        return Ok(None);
    };
    Ok(Some(Hold {
        at_ms,
        by: row.try_get("held_by")?,
        reason: row.try_get("held_reason")?,
    }))
}

fn deletion_of(row: &SqliteRow) -> Result<Option<Deletion>, sqlx::Error> {
    let Some(at_ms) = row.try_get("evidence_deleted_at_ms")? else {
        return Ok(None);
    };
    Ok(Some(Deletion {
        at_ms,
        rule: word(row, "evidence_deleted_by")?,
    }))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use sqlx::AssertSqlSafe;

    use super::*;
    use crate::clock::SystemClock;

    async fn plan(store: &Store, filter: &AlarmFilter, after: Option<Cursor>) -> String {
        let sql = page_query(filter, after, 50).sql().to_owned();
        let explained = format!("EXPLAIN QUERY PLAN {}", sql.as_str());
        let rows = sqlx::query(AssertSqlSafe(explained))
            .fetch_all(&store.0.readers)
            .await;
        let rows = rows.expect("SQLite explains");
        let steps = rows.iter().map(|row| row.get::<String, _>("detail"));
        steps.collect::<Vec<_>>().join("; ")
    }

    #[tokio::test]
    async fn every_list_is_read_along_an_index_and_nothing_is_sorted() {
        let store = Store::open_volatile(Vec::new(), Arc::new(SystemClock::new())).await;
        let store = store.expect("a store in memory");
        let any = AlarmFilter::default;
        let filters = [
            any(),
            AlarmFilter {
                site: SiteId::parse("a").ok(),
                ..any()
            },
            AlarmFilter {
                camera: CameraId::parse("a").ok(),
                ..any()
            },
            AlarmFilter {
                kind: Some(AlarmKind::Shake),
                ..any()
            },
            AlarmFilter {
                state: Some(AlarmState::Raised),
                ..any()
            },
            AlarmFilter {
                from_ms: Some(1),
                to_ms: Some(2),
                ..any()
            },
            AlarmFilter {
                site: SiteId::parse("a").ok(),
                state: Some(AlarmState::Raised),
                ..any()
            },
            AlarmFilter {
                min_score: Some(0.5),
                ..any()
            },
        ];
        let after = Cursor {
            raised_at_ms: 5,
            id: AlarmId::new(jiff::Timestamp::UNIX_EPOCH),
        };
        for filter in &filters {
            for after in [None, Some(after)] {
                let plan = plan(&store, filter, after).await;
                assert!(
                    plan.contains("USING INDEX alarm_newest"),
                    "{filter:?}: {plan}"
                );
                assert!(!plan.contains("TEMP B-TREE"), "{filter:?}: {plan}");
            }
        }
    }
}
