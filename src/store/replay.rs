//! Replays that auditors asked for, and what came of them. One runs at a time: the table itself
//! refuses a second one. Beginning and end are written down in the audit log.

use serde::{Deserialize, Serialize};
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use super::audit::{self, Actor, AuditOutcome, Deed};
use super::error::Fault;
use super::row::{json_or_none, parsed, to_json, word, word_or_none};
use super::{PAGE_ROWS_MAX, Store, StoreError, Tx};
use crate::alarm::comparison::{Comparison, ReplayVerdict};
use crate::alarm::{Alarm, AlarmKind, Origin, TrackPoint, TrackPointRecord};
use crate::clock::StreamTime;
use crate::id::{AlarmId, CameraId};

/// Replays that are kept; older ones are forgotten, but not by the audit log.
const KEPT_MAX: i64 = 1_000;

/// How far a replay is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ReplayState {
    Running,
    Done,
    /// It could not be made; the reason stands beside it.
    Failed,
    Cancelled,
}

impl ReplayState {
    /// Returns the name used in JSON, SQL and pages.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

/// What is replayed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReplayOf {
    /// An alarm's evidence.
    Alarm(AlarmId),
    /// A file in the folder of recordings, by its name there.
    Recording(String),
}

/// One replay.
#[derive(Clone, Debug, PartialEq, Serialize, utoipa::ToSchema)]
pub struct ReplayRecord {
    pub id: i64,
    /// Whose evidence is replayed; none for a recording.
    #[schema(value_type = Option<String>)]
    pub alarm: Option<AlarmId>,
    /// The recording's name; none for an alarm.
    pub recording: Option<String>,
    #[schema(value_type = String)]
    pub camera: CameraId,
    pub state: ReplayState,
    pub asked_by: String,
    pub asked_at_ms: i64,
    pub finished_at_ms: Option<i64>,
    /// None until it is done, and for the first replay of a recording.
    pub verdict: Option<ReplayVerdict>,
    /// Why it failed.
    pub reason: Option<String>,
    pub result: Option<ReplayResult>,
}

/// What a replay gave.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ReplayResult {
    /// The alarm as its manifest has it; none for a recording.
    pub recorded: Option<ReplayAlarm>,
    /// All alarms that the replay raised, in their order.
    pub replayed: Vec<ReplayAlarm>,
    /// Which of them is the recorded one.
    pub matched: Option<usize>,
    /// Old beside new; none for a recording.
    pub comparison: Option<Comparison>,
    /// Names and SHA-256 of the models: those of the recording, or there would be no replay.
    pub models: Vec<ReplayModel>,
    pub scene_sha256: Option<String>,
    /// The Plumb that raised the alarm, and the one that replayed it.
    pub recorded_version: Option<String>,
    pub version: String,
    pub frames: u64,
    pub duration_s: f64,
    pub wall_s: f64,
    /// SHA-256 of all alarms that came out: the same input gives the same text.
    pub output_sha256: String,
    /// The replay before of the same input, and whether the same came out.
    pub before: Option<ReplayBefore>,
}

/// An alarm as a replay knows it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ReplayAlarm {
    pub kind: AlarmKind,
    /// Seconds on the stream's timeline.
    pub started_at_s: f64,
    pub raised_at_s: f64,
    pub ended_at_s: Option<f64>,
    /// It lasted when the clip ended.
    pub cut: bool,
    pub score: f64,
    pub origin: Option<Origin>,
    #[schema(value_type = Vec<TrackPointRecord>)]
    pub track: Vec<TrackPoint>,
}

impl ReplayAlarm {
    /// Returns the record of an alarm.
    pub fn new(alarm: &Alarm, cut: bool) -> Self {
        Self {
            kind: alarm.kind,
            started_at_s: alarm.started_at.as_secs_f64(),
            raised_at_s: alarm.raised_at.as_secs_f64(),
            ended_at_s: alarm.ended_at.map(StreamTime::as_secs_f64),
            cut,
            score: alarm.score,
            origin: alarm.origin,
            track: alarm.track.clone(),
        }
    }
}

/// A model by its digest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ReplayModel {
    pub name: String,
    pub sha256: String,
}

/// An earlier replay of the same input.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ReplayBefore {
    pub id: i64,
    pub same: bool,
}

/// How a replay ended.
#[derive(Clone, Debug, PartialEq)]
pub enum ReplayEnd {
    Done {
        verdict: Option<ReplayVerdict>,
        input_sha256: String,
        result: Box<ReplayResult>,
    },
    Failed(String),
    Cancelled,
}

const COLUMNS: &str = "id, alarm, recording, camera, state, asked_by, asked_at_ms, finished_at_ms, \
    verdict, reason";

impl Store {
    /// Commits that `who` asked for a replay, and returns its id. Fails while another one runs.
    pub async fn begin_replay(
        &self,
        of: &ReplayOf,
        camera: &CameraId,
        who: &Actor,
    ) -> Result<i64, StoreError> {
        self.named(self.begin_replay_row(of, camera, who).await)
    }

    /// Commits how a replay ended. One that has ended already stays as it is.
    pub async fn finish_replay(&self, id: i64, end: &ReplayEnd) -> Result<(), StoreError> {
        self.named(self.finish_replay_row(id, end).await)
    }

    /// Returns the replay with what came of it; none where there is no such replay.
    pub async fn replay(&self, id: i64) -> Result<Option<ReplayRecord>, StoreError> {
        let row = sqlx::query(sqlx::AssertSqlSafe(format!(
            "SELECT {COLUMNS}, result FROM replay WHERE id = ?"
        )))
        .bind(id)
        .fetch_optional(&self.0.readers)
        .await;
        let record = row.and_then(|row| row.as_ref().map(whole_of).transpose());
        self.named(record.map_err(Fault::from))
    }

    /// Returns at most `limit` (1..=[`PAGE_ROWS_MAX`]) replays, newest first, without their results.
    pub async fn replays(
        &self,
        alarm: Option<AlarmId>,
        limit: u32,
    ) -> Result<Vec<ReplayRecord>, StoreError> {
        let mut query = sqlx::QueryBuilder::<sqlx::Sqlite>::new("SELECT ");
        query.push(COLUMNS).push(" FROM replay");
        if let Some(alarm) = alarm {
            query.push(" WHERE alarm = ").push_bind(alarm.to_string());
        }
        query.push(" ORDER BY id DESC LIMIT ");
        query.push_bind(limit.clamp(1, PAGE_ROWS_MAX));
        let rows = query.build().fetch_all(&self.0.readers).await;
        let records = rows.and_then(|rows| rows.iter().map(record_of).collect());
        self.named(records.map_err(Fault::from))
    }

    /// Returns the newest replay of the same input that was done.
    pub async fn replay_before(
        &self,
        input_sha256: &str,
    ) -> Result<Option<ReplayRecord>, StoreError> {
        let row = sqlx::query(sqlx::AssertSqlSafe(format!(
            "SELECT {COLUMNS}, result FROM replay WHERE input_sha256 = ? AND state = 'done' \
             ORDER BY id DESC LIMIT 1"
        )))
        .bind(input_sha256)
        .fetch_optional(&self.0.readers)
        .await;
        let record = row.and_then(|row| row.as_ref().map(whole_of).transpose());
        self.named(record.map_err(Fault::from))
    }

    async fn begin_replay_row(
        &self,
        of: &ReplayOf,
        camera: &CameraId,
        who: &Actor,
    ) -> Result<i64, Fault> {
        let now_ms = self.now_ms();
        let mut tx = self.begin().await?;
        let running: Option<i64> =
            sqlx::query_scalar("SELECT id FROM replay WHERE state = 'running'")
                .fetch_optional(&mut *tx)
                .await?;
        if let Some(id) = running {
            return Err(StoreError::ReplayRuns(id).into());
        }
        let (alarm, recording) = match of {
            ReplayOf::Alarm(id) => (Some(id.to_string()), None),
            ReplayOf::Recording(name) => (None, Some(name.clone())),
        };
        let object = alarm.clone().or_else(|| recording.clone());
        let id: i64 = sqlx::query_scalar(
            "INSERT INTO replay (alarm, recording, camera, state, asked_by, asked_at_ms) \
             VALUES (?, ?, ?, 'running', ?, ?) RETURNING id",
        )
        .bind(alarm)
        .bind(recording)
        .bind(camera.as_str())
        .bind(who.as_str())
        .bind(now_ms)
        .fetch_one(&mut *tx)
        .await?;
        sqlx::query("DELETE FROM replay WHERE id <= ? AND state <> 'running'")
            .bind(id - KEPT_MAX)
            .execute(&mut *tx)
            .await?;
        let deed = Deed {
            who,
            action: "replay.begun",
            object: object.unwrap_or_default(),
            outcome: AuditOutcome::Done,
            detail: Some(format!("replay {id} of camera {camera}")),
        };
        audit::append(&mut tx, deed, now_ms).await?;
        tx.commit().await?;
        Ok(id)
    }

    async fn finish_replay_row(&self, id: i64, end: &ReplayEnd) -> Result<(), Fault> {
        let mut tx = self.begin().await?;
        if end_in(&mut tx, id, end, self.now_ms()).await? {
            tx.commit().await?;
        }
        Ok(())
    }
}

/// Ends what ran when the process was killed.
pub(super) async fn recover(tx: &mut Tx, now_ms: i64) -> Result<(), Fault> {
    let running: Option<i64> = sqlx::query_scalar("SELECT id FROM replay WHERE state = 'running'")
        .fetch_optional(&mut **tx)
        .await?;
    if let Some(id) = running {
        let end = ReplayEnd::Failed("the service stopped before it was done".to_owned());
        end_in(tx, id, &end, now_ms).await?;
    }
    Ok(())
}

/// Returns whether there was anything to end.
async fn end_in(tx: &mut Tx, id: i64, end: &ReplayEnd, now_ms: i64) -> Result<bool, Fault> {
    let row = sqlx::query(
        "SELECT coalesce(alarm, recording, '') AS object FROM replay WHERE id = ? AND \
         state = 'running'",
    )
    .bind(id)
    .fetch_optional(&mut **tx)
    .await?;
    let Some(row) = row else { return Ok(false) };
    let (state, verdict, reason, input, result) = match end {
        ReplayEnd::Done {
            verdict,
            input_sha256,
            result,
        } => {
            let result = Some(to_json(result)?);
            (
                ReplayState::Done,
                *verdict,
                None,
                Some(input_sha256),
                result,
            )
        }
        ReplayEnd::Failed(reason) => (ReplayState::Failed, None, Some(reason), None, None),
        ReplayEnd::Cancelled => (ReplayState::Cancelled, None, None, None, None),
    };
    sqlx::query(
        "UPDATE replay SET state = ?, finished_at_ms = ?, verdict = ?, reason = ?, \
         input_sha256 = ?, result = ? WHERE id = ?",
    )
    .bind(state.as_str())
    .bind(now_ms)
    .bind(verdict.map(ReplayVerdict::as_str))
    .bind(reason)
    .bind(input)
    .bind(result)
    .bind(id)
    .execute(&mut **tx)
    .await?;
    let came = match (verdict, reason) {
        (Some(verdict), _) => verdict.as_str(),
        (None, Some(reason)) => reason.as_str(),
        (None, None) => state.as_str(),
    };
    let deed = Deed {
        who: &Actor::service(),
        action: "replay.ended",
        object: row.try_get("object")?,
        outcome: AuditOutcome::Done,
        detail: Some(format!("replay {id}: {came}")),
    };
    audit::append(&mut *tx, deed, now_ms).await?;
    Ok(true)
}

fn record_of(row: &SqliteRow) -> Result<ReplayRecord, sqlx::Error> {
    let alarm: Option<String> = row.try_get("alarm")?;
    Ok(ReplayRecord {
        id: row.try_get("id")?,
        alarm: alarm.map(|_| parsed(row, "alarm")).transpose()?,
        recording: row.try_get("recording")?,
        camera: parsed(row, "camera")?,
        state: word(row, "state")?,
        asked_by: row.try_get("asked_by")?,
        asked_at_ms: row.try_get("asked_at_ms")?,
        finished_at_ms: row.try_get("finished_at_ms")?,
        verdict: word_or_none(row, "verdict")?,
        reason: row.try_get("reason")?,
        result: None,
    })
}

fn whole_of(row: &SqliteRow) -> Result<ReplayRecord, sqlx::Error> {
    Ok(ReplayRecord {
        result: json_or_none(row, "result")?,
        ..record_of(row)?
    })
}
