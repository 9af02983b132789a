//! The auditor's replays: what was replayed, and one replay with old beside new.

use std::sync::Arc;

use askama::Template;
use axum::Form;
use axum::extract::{Path, State};
use axum::response::Response;
use serde::Deserialize;

use super::language::Language;
use super::texts::lacks::lack;
use super::texts::{Texts, fill};
use super::{Frame, charts, go, page};
use crate::alarm::comparison::{Agreement, ReplayPart, ReplayRow, ReplayVerdict};
use crate::http::access::Principal;
use crate::http::error::ApiError;
use crate::http::query::{NoQuery, Query};
use crate::http::replays::RecordingFile;
use crate::http::v1::replays::{ReplayWanted, Wanted, find, known_recordings, start};
use crate::http::{Api, Service};
use crate::id::CameraId;
use crate::store::{ReplayAlarm, ReplayRecord, ReplayResult, ReplayState};

#[derive(Template)]
#[template(path = "replays.html", config = "src/http/ui/askama.toml")]
struct ListPage {
    frame: Frame,
    recordings: Vec<RecordingFile>,
    has_folder: bool,
    cameras: Vec<(String, String)>,
    rows: Vec<RowView>,
}

struct RowView {
    id: i64,
    of: String,
    camera: String,
    who: String,
    at_ms: i64,
    word: &'static str,
    tone: &'static str,
}

impl RowView {
    fn new(api: &Api, t: &'static Texts, replay: &ReplayRecord) -> Self {
        let (word, tone) = outcome(t, replay);
        let alarm = replay.alarm.map(|id| id.to_string());
        Self {
            id: replay.id,
            of: alarm
                .or_else(|| replay.recording.clone())
                .unwrap_or_default(),
            camera: super::view::camera_name(api, &replay.camera),
            who: api.store.name_of(&replay.asked_by),
            at_ms: replay.asked_at_ms,
            word,
            tone,
        }
    }
}

#[derive(Template)]
#[template(path = "replay.html", config = "src/http/ui/askama.toml")]
struct ReplayPage {
    frame: Frame,
    id: i64,
    row: RowView,
    alarm: Option<String>,
    is_running: bool,
    percent: u8,
    reason: Option<String>,
    verdict: Option<VerdictView>,
    lines: Vec<LineView>,
    others: Vec<String>,
    chart: Option<String>,
    facts: Vec<(&'static str, String)>,
}

struct VerdictView {
    tone: &'static str,
    text: &'static str,
}

/// A value, old and new.
struct LineView {
    name: &'static str,
    old: String,
    new: String,
    tolerance: String,
    tone: &'static str,
    agreement: &'static str,
}

/// The list, with what can be replayed.
pub(crate) async fn list(
    State(service): State<Arc<Service>>,
    who: Principal,
    language: Language,
    Query(wanted): Query<Wanted>,
) -> Result<Response, ApiError> {
    let (api, t) = (&service.api, language.texts());
    let replays = api.store.replays(wanted.alarm, wanted.limit).await?;
    let named = |camera: &crate::http::CameraInfo| (camera.id.to_string(), camera.name.clone());
    page(&ListPage {
        frame: Frame::of(language, "/replays", &who),
        recordings: known_recordings(api).await?,
        has_folder: api.recordings_dir.is_some(),
        cameras: api.cameras.iter().map(named).collect(),
        rows: replays
            .iter()
            .map(|row| RowView::new(api, t, row))
            .collect(),
    })
}

/// What the forms send.
#[derive(Deserialize)]
pub(crate) struct Typed {
    alarm: Option<String>,
    recording: Option<String>,
    camera: Option<String>,
    /// A segment of footage.
    footage: Option<i64>,
}

/// Begins a replay and leads to its page.
pub(crate) async fn begin(
    State(service): State<Arc<Service>>,
    who: Principal,
    _: NoQuery,
    Form(typed): Form<Typed>,
) -> Result<Response, ApiError> {
    let wrong = |reason: &str| ApiError::BadBody {
        reason: reason.to_owned(),
    };
    let alarm = typed.alarm.map(|id| id.parse()).transpose();
    let camera = typed.camera.map(|id| CameraId::parse(&id)).transpose();
    let wanted = ReplayWanted {
        alarm: alarm.map_err(|_| wrong("alarm is not an id"))?,
        recording: typed.recording,
        camera: camera.map_err(|_| wrong("camera is not an id"))?,
        footage: typed.footage,
    };
    let id = start(&service, wanted, &who.actor).await?;
    Ok(go(&format!("/replays/{id}")))
}

/// One replay.
pub(crate) async fn one(
    State(service): State<Arc<Service>>,
    who: Principal,
    language: Language,
    Path(id): Path<String>,
    _: NoQuery,
) -> Result<Response, ApiError> {
    let (api, t) = (&service.api, language.texts());
    let found = find(&service, &id).await?;
    let replay = found.replay;
    let share = found.progress.unwrap_or(0.0).clamp(0.0, 1.0);
    let result = replay.result.as_ref();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "0 to 100"
    )]
    let percent = (share * 100.0) as u8;
    page(&ReplayPage {
        frame: Frame::of(language, &format!("/replays/{}", replay.id), &who),
        id: replay.id,
        row: RowView::new(api, t, &replay),
        alarm: replay.alarm.map(|id| id.to_string()),
        is_running: replay.state == ReplayState::Running,
        percent,
        reason: (replay.reason.as_deref()).map(|kept| lack(language, kept)),
        verdict: result.map(|result| verdict(t, &replay, result)),
        lines: result.map_or_else(Vec::new, |result| lines(t, result)),
        others: result.map_or_else(Vec::new, |result| others(t, result)),
        chart: result.and_then(|result| chart(t, result)),
        facts: result.map_or_else(Vec::new, |result| facts(t, result)),
    })
}

/// Returns the word for how a replay is or what came of it, and its tone.
fn outcome(t: &'static Texts, replay: &ReplayRecord) -> (&'static str, &'static str) {
    match (replay.state, replay.verdict) {
        (ReplayState::Running, _) => (t.replay_running, "warn"),
        (ReplayState::Failed, _) => (t.replay_failed, "bad"),
        (ReplayState::Cancelled, _) => (t.replay_cancelled, ""),
        (ReplayState::Done, Some(ReplayVerdict::Same)) => (t.replay_same, "good"),
        (ReplayState::Done, Some(ReplayVerdict::WithinTolerance)) => (t.replay_within, "good"),
        (ReplayState::Done, Some(ReplayVerdict::Differs)) => (t.replay_differs, "bad"),
        (ReplayState::Done, Some(ReplayVerdict::NotFound)) => (t.replay_not_found, "bad"),
        (ReplayState::Done, None) => (t.replay_first, ""),
    }
}

fn verdict(t: &'static Texts, replay: &ReplayRecord, result: &ReplayResult) -> VerdictView {
    let tone = outcome(t, replay).1;
    let text = match (replay.verdict, &result.comparison) {
        (Some(ReplayVerdict::Same), Some(_)) => t.replay_same_long,
        (Some(ReplayVerdict::WithinTolerance), _) => t.replay_within_long,
        (Some(ReplayVerdict::Differs), Some(_)) => t.replay_differs_long,
        (Some(ReplayVerdict::NotFound), _) => t.replay_not_found_long,
        (Some(ReplayVerdict::Same), None) => t.replay_recording_same,
        (Some(ReplayVerdict::Differs), None) => t.replay_recording_differs,
        (None, _) => t.replay_recording_first,
    };
    VerdictView { tone, text }
}

fn lines(t: &'static Texts, result: &ReplayResult) -> Vec<LineView> {
    let rows = result.comparison.iter().flat_map(|found| &found.rows);
    rows.map(|row| line(t, row)).collect()
}

fn line(t: &'static Texts, row: &ReplayRow) -> LineView {
    let (name, unit, digits) = match row.part {
        ReplayPart::StartedAtS => (t.replay_started, " s", 3),
        ReplayPart::RaisedAtS => (t.raised_at, " s", 3),
        ReplayPart::EndedAtS => (t.ended, " s", 3),
        ReplayPart::Score => (t.score, "", 3),
        ReplayPart::Floor => (t.floor_word, "", 0),
        ReplayPart::FloorMin => (t.replay_floor_min, "", 0),
        ReplayPart::FloorMax => (t.replay_floor_max, "", 0),
        ReplayPart::TrackPoints => (t.replay_points, "", 0),
        ReplayPart::TrackApartPx => (t.replay_apart, " px", 1),
    };
    let text = |value: Option<f64>| {
        value.map_or_else(|| "–".to_owned(), |value| format!("{value:.digits$}{unit}"))
    };
    let (tone, agreement) = match row.agreement {
        Agreement::Same => ("good", t.replay_row_same),
        Agreement::WithinTolerance => ("good", t.replay_row_within),
        Agreement::Beyond => ("bad", t.replay_row_beyond),
        Agreement::NotInClip => ("", t.replay_row_not_in_clip),
    };
    let is_apart = row.part == ReplayPart::TrackApartPx;
    LineView {
        name,
        old: if is_apart {
            "–".to_owned()
        } else {
            text(row.recorded)
        },
        new: text(row.replayed),
        tolerance: format!("± {:.*}{unit}", digits.min(2), row.tolerance),
        tone,
        agreement,
    }
}

/// Returns what else the replay raised: other alarms have their own rows in the list of alarms.
fn others(t: &'static Texts, result: &ReplayResult) -> Vec<String> {
    let own = |index: &usize| Some(*index) != result.matched;
    let indexed = result.replayed.iter().enumerate();
    indexed
        .filter(|(index, _)| own(index))
        .map(|(_, alarm)| sentence(t, alarm))
        .collect()
}

fn sentence(t: &'static Texts, alarm: &ReplayAlarm) -> String {
    let kind = t.kind_of(alarm.kind);
    let (raised, score) = (
        format!("{:.2}", alarm.raised_at_s),
        format!("{:.2}", alarm.score),
    );
    fill(t.replay_other, &[&kind, &raised, &score])
}

/// Returns the recorded track and the replayed one in one drawing.
fn chart(t: &'static Texts, result: &ReplayResult) -> Option<String> {
    let recorded = result.recorded.as_ref()?;
    let replayed = result.matched.and_then(|index| result.replayed.get(index));
    let none = Vec::new();
    charts::two_tracks(
        t,
        &recorded.track,
        replayed.map_or(&none, |alarm| &alarm.track),
    )
}

fn facts(t: &'static Texts, result: &ReplayResult) -> Vec<(&'static str, String)> {
    let mut facts = vec![(
        t.replay_read,
        fill(
            t.replay_read_value,
            &[
                &result.frames,
                &format!("{:.1}", result.duration_s),
                &format!("{:.1}", result.wall_s),
            ],
        ),
    )];
    for model in &result.models {
        facts.push((t.replay_model, format!("{} {}", model.name, model.sha256)));
    }
    let scene = result.scene_sha256.clone();
    facts.push((t.replay_scene, scene.unwrap_or_else(|| "–".to_owned())));
    let then = result
        .recorded_version
        .as_ref()
        .filter(|then| **then != result.version);
    facts.push((
        t.replay_version,
        match then {
            Some(then) => format!("{then} → {}", result.version),
            None => result.version.clone(),
        },
    ));
    facts.push((t.replay_output, result.output_sha256.clone()));
    if let Some(before) = &result.before {
        let text = if before.same {
            t.replay_before_same
        } else {
            t.replay_before_differs
        };
        facts.push((t.replay_before, fill(text, &[&before.id])));
    }
    facts
}
