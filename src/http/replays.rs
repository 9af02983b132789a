//! Replays for auditors: an alarm's evidence, or a recording, once more through the stages, on a
//! thread of its own with a low priority, so that live streams hardly ever wait for it.
//!
//! Bounds: one replay at a time (the store's table refuses a second), [`WALL_MAX`] of wall time,
//! [`ALARMS_MAX`] alarms. The stages are `pipeline`'s, downstream of here: they come as a
//! [`Replayer`].

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use serde::Serialize;
use sha2::{Digest, Sha256};
use tokio::runtime::Handle;

use super::Service;
use super::running::Running;
use crate::alarm::comparison::{Comparison, ReplayVerdict, Replayed, compare};
use crate::alarm::{Alarm, AlarmKind};
use crate::clock::StreamTime;
use crate::evidence::manifest::{self, AlarmRecord, Manifest, State};
use crate::evidence::{CLIP, MANIFEST};
use crate::scene::{Kind, Scene};
use crate::store::{
    AlarmDetail, EvidenceState, ReplayAlarm, ReplayBefore, ReplayEnd, ReplayModel, ReplayResult,
};

/// A replay that takes longer is ended: a clip takes seconds, an hour's recording some minutes.
const WALL_MAX: Duration = Duration::from_secs(30 * 60);
/// A replay that raises more than these shows the first ones only.
const ALARMS_MAX: usize = 64;
/// Files of the folder of recordings that are listed at the most.
const RECORDINGS_MAX: usize = 500;

/// Runs recordings through the stages.
pub trait Replayer: Send + Sync + fmt::Debug {
    /// Returns the models that judge for a camera of this kind.
    fn models(&self, kind: Kind) -> Vec<ReplayModel>;

    /// Runs the recording; blocks until it is done. `go_on` is told the share that was read and
    /// says whether to read on. Fails with a sentence for people.
    fn replay(
        &self,
        order: &ReplayOrder,
        go_on: &mut dyn FnMut(f64) -> bool,
    ) -> Result<ReplayOutcome, String>;
}

/// What is to be run.
#[derive(Clone, Debug)]
pub struct ReplayOrder {
    pub clip: PathBuf,
    /// Stream time of its first picture.
    pub starts_at: StreamTime,
    pub kind: Kind,
    pub scene: Scene,
}

/// What came out.
#[derive(Clone, Debug)]
pub struct ReplayOutcome {
    pub alarms: Vec<ReplayedAlarm>,
    pub frames: u64,
    pub duration_s: f64,
    pub wall_s: f64,
    /// Whether it was read to its end; else `go_on` had said no.
    pub is_whole: bool,
}

/// What the replay of an alarm or a recording needs, made from the store's rows and the config.
pub(super) enum Task {
    Alarm {
        folder: PathBuf,
        detail: Box<AlarmDetail>,
    },
    Recording {
        path: PathBuf,
        /// What it must still be, where the store knows it.
        recorded_sha256: Option<String>,
        kind: Kind,
        scene: Scene,
        scene_sha256: Option<String>,
    },
}

/// Said of a segment of footage that was changed since.
const ALTERED: &str = "the segment is not as it was recorded";

/// Starts the thread of a replay that the store has begun.
pub(super) fn start(service: &Arc<Service>, id: i64, task: Task) -> std::io::Result<()> {
    let running = service.replays.begin(id);
    let (own, runtime) = (Arc::clone(service), Handle::current());
    let spawned = thread::Builder::new()
        .name("replay".to_owned())
        .spawn(move || {
            yield_to_cameras();
            let end = run(&own, &runtime, &running, task).unwrap_or_else(ReplayEnd::Failed);
            let finished = runtime.block_on(own.api.store.finish_replay(id, &end));
            if let Err(error) = finished {
                tracing::error!(%error, "what came of a replay could not be stored");
            }
            own.replays.end(id);
        });
    if spawned.is_err() {
        service.replays.end(id);
    }
    spawned.map(|_| ())
}

/// Gives this thread, and the decoder's that it starts, a low priority.
pub(super) fn yield_to_cameras() {
    // A tenth of the share that others get where there is not enough for all (man 7 sched): the lowest
    // priority of all, 19, would let a busy machine starve it.
    const NICE: i32 = 10;
    // On Linux a thread has a priority of its own: man 2 setpriority, "Linux-specific".
    let own = rustix::thread::gettid();
    if let Err(error) = rustix::process::setpriority_process(Some(own), NICE) {
        tracing::warn!(%error, "work beside the stream runs with the priority of the cameras");
    }
}

/// An alarm that came out.
#[derive(Clone, Debug)]
pub struct ReplayedAlarm {
    /// As it was when it was raised, and when it was over.
    pub raised: Alarm,
    pub alarm: Alarm,
    /// It lasted when the recording ended.
    pub cut: bool,
}

/// What is replayed, once it is known to be what was recorded.
struct Prepared {
    order: ReplayOrder,
    recorded: Option<Alarm>,
    recorded_version: Option<String>,
    models: Vec<ReplayModel>,
    scene_sha256: Option<String>,
    input_sha256: String,
}

fn run(
    service: &Service,
    runtime: &Handle,
    running: &Running,
    task: Task,
) -> Result<ReplayEnd, String> {
    let replayer = service.api.replayer.as_ref();
    let replayer = replayer.ok_or("this service has no stages to replay with")?;
    let prepared = match task {
        Task::Alarm { folder, detail } => {
            let kept = match &detail.alarm.scene_sha256 {
                Some(sha256) => runtime.block_on(service.api.store.scene_text(sha256)),
                None => Ok(None),
            };
            let kept = kept.map_err(|error| error.to_string())?;
            prepare_alarm(replayer.as_ref(), &folder, &detail, kept)?
        }
        Task::Recording {
            path,
            recorded_sha256,
            kind,
            scene,
            scene_sha256,
        } => {
            let (_, sha256) =
                crate::evidence::digest_file(&path).map_err(|error| error.to_string())?;
            if recorded_sha256.is_some_and(|recorded| recorded != sha256) {
                return Err(ALTERED.to_owned());
            }
            prepare_recording(replayer.as_ref(), (path, sha256), kind, scene, scene_sha256)
        }
    };
    let clock = &service.api.clock;
    let began = clock.monotonic();
    let is_late = || clock.monotonic().saturating_sub(began) > WALL_MAX;
    let is_cancelled = || running.cancelled.load(Ordering::Relaxed) || service.stop.is_cancelled();
    let outcome = replayer.replay(&prepared.order, &mut |share| {
        let permille = (share.clamp(0.0, 1.0) * 1000.0).round();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "0 to 1000"
        )]
        running.permille.store(permille as u32, Ordering::Relaxed);
        !is_cancelled() && !is_late()
    })?;
    if !outcome.is_whole {
        return Ok(if is_cancelled() {
            ReplayEnd::Cancelled
        } else {
            ReplayEnd::Failed(format!(
                "it took more than {} minutes",
                WALL_MAX.as_secs() / 60
            ))
        });
    }
    let before = runtime.block_on(service.api.store.replay_before(&prepared.input_sha256));
    let before = before.map_err(|error| error.to_string())?;
    let before = before.and_then(|record| Some((record.id, record.result?.output_sha256)));
    Ok(conclude(prepared, &outcome, before))
}

/// Compares, and puts together what is kept.
fn conclude(
    prepared: Prepared,
    outcome: &ReplayOutcome,
    before: Option<(i64, String)>,
) -> ReplayEnd {
    let replayed: Vec<_> = outcome
        .alarms
        .iter()
        .take(ALARMS_MAX)
        .map(|found| ReplayAlarm::new(&found.alarm, found.cut))
        .collect();
    let output = serde_json::to_vec(&replayed).expect("numbers and texts always become JSON");
    let output_sha256 = hex(&Sha256::digest(output));
    let before = before.map(|(id, sha256)| ReplayBefore {
        id,
        same: sha256 == output_sha256,
    });
    let (comparison, matched): (Option<Comparison>, _) = match &prepared.recorded {
        Some(recorded) => {
            let found: Vec<_> = outcome
                .alarms
                .iter()
                .take(ALARMS_MAX)
                .map(|found| Replayed {
                    raised: &found.raised,
                    alarm: &found.alarm,
                    cut: found.cut,
                })
                .collect();
            let (comparison, matched) = compare(recorded, &found);
            (Some(comparison), matched)
        }
        None => (None, None),
    };
    let verdict = match (&comparison, &before) {
        (Some(comparison), _) => Some(comparison.verdict),
        (None, Some(before)) if before.same => Some(ReplayVerdict::Same),
        (None, Some(_)) => Some(ReplayVerdict::Differs),
        (None, None) => None,
    };
    ReplayEnd::Done {
        verdict,
        input_sha256: prepared.input_sha256,
        result: Box::new(ReplayResult {
            recorded: prepared
                .recorded
                .map(|alarm| ReplayAlarm::new(&alarm, false)),
            replayed,
            matched,
            comparison,
            models: prepared.models,
            scene_sha256: prepared.scene_sha256,
            recorded_version: prepared.recorded_version,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            frames: outcome.frames,
            duration_s: outcome.duration_s,
            wall_s: outcome.wall_s,
            output_sha256,
            before,
        }),
    }
}

/// Returns the kind of camera that raises alarms of this kind from its picture alone; none for
/// faults, which rest on the connection and its clock too.
pub(super) fn kind_of(alarm: AlarmKind) -> Option<Kind> {
    match alarm {
        AlarmKind::FallingObject => Some(Kind::Facade),
        AlarmKind::EbikeInElevator => Some(Kind::Elevator),
        _ => None,
    }
}

fn prepare_alarm(
    replayer: &dyn Replayer,
    folder: &Path,
    detail: &AlarmDetail,
    kept_scene: Option<String>,
) -> Result<Prepared, String> {
    let kind = kind_of(detail.alarm.kind)
        .ok_or("faults rest on the connection and its clock, which a clip does not hold")?;
    if detail.alarm.evidence == EvidenceState::Pending {
        return Err("the evidence is still being gathered: try again in a minute".to_owned());
    }
    let manifest = checked_manifest(folder, detail)?;
    let span = manifest.clip.as_ref().ok_or("the evidence has no clip")?;
    let models = same_models(replayer, kind, &manifest)?;
    let order = ReplayOrder {
        clip: folder.join(CLIP),
        starts_at: StreamTime::from_secs_f64(span.starts_at_s),
        kind,
        scene: scene_of(&manifest, kept_scene)?,
    };
    let clip = manifest.files.iter().find(|file| file.name == CLIP);
    let clip_sha256 = clip.map_or("", |file| &file.sha256).to_owned();
    let scene_sha256 = manifest.scene_sha256.clone();
    Ok(Prepared {
        input_sha256: input_of(&clip_sha256, kind, &models, scene_sha256.as_deref()),
        recorded: Some(alarm_of(&manifest.alarm)),
        recorded_version: Some(manifest.plumb_version),
        order,
        models,
        scene_sha256,
    })
}

/// Returns the manifest of a folder that is as it was when the alarm was raised.
fn checked_manifest(folder: &Path, detail: &AlarmDetail) -> Result<Manifest, String> {
    let report = manifest::verify(folder).map_err(|error| error.to_string())?;
    let wrong = report
        .findings
        .iter()
        .find(|found| found.state != State::Ok);
    if let Some(wrong) = wrong {
        let name = &wrong.name;
        return Err(format!("{name} is not as it was when the alarm was raised"));
    }
    let stored = detail.files.iter().find(|file| file.name == MANIFEST);
    let bytes = fs::read(folder.join(MANIFEST)).map_err(|error| error.to_string())?;
    let is_stored = stored.is_some_and(|file| file.sha256 == hex(&Sha256::digest(&bytes)));
    if !is_stored || report.manifest.alarm.id != detail.alarm.id {
        return Err("the manifest is not the one that was recorded with the alarm".to_owned());
    }
    Ok(report.manifest)
}

/// Returns the models if they are those that decided; other ones would answer another question.
fn same_models(
    replayer: &dyn Replayer,
    kind: Kind,
    manifest: &Manifest,
) -> Result<Vec<ReplayModel>, String> {
    let now = replayer.models(kind);
    for model in &now {
        let then = manifest.models.iter().find(|then| then.name == model.name);
        let Some(then) = then else {
            return Err(format!(
                "the manifest does not name the model {}",
                model.name
            ));
        };
        if then.sha256 != model.sha256 {
            return Err(format!(
                "the alarm was decided by the model {} with SHA-256 {}, and this service has {}: \
                 replay it with the models of Plumb {}",
                model.name,
                short(&then.sha256),
                short(&model.sha256),
                manifest.plumb_version
            ));
        }
    }
    Ok(now)
}

/// Returns the scene by which the alarm was judged: the store keeps each that was ever in force.
fn scene_of(manifest: &Manifest, kept: Option<String>) -> Result<Scene, String> {
    let Some(wanted) = &manifest.scene_sha256 else {
        return Ok(Scene::default());
    };
    let text = kept.filter(|text| hex(&Sha256::digest(text)) == *wanted);
    let text = text.ok_or_else(|| {
        let wanted = short(wanted);
        format!("the alarm was judged by a scene with SHA-256 {wanted}, which is not kept here")
    })?;
    let scene: Scene = toml::from_str(&text).map_err(|error| error.to_string())?;
    scene.check().map_err(|error| error.to_string())?;
    Ok(scene)
}

fn prepare_recording(
    replayer: &dyn Replayer,
    (path, sha256): (PathBuf, String),
    kind: Kind,
    scene: Scene,
    scene_sha256: Option<String>,
) -> Prepared {
    let models = replayer.models(kind);
    Prepared {
        input_sha256: input_of(&sha256, kind, &models, scene_sha256.as_deref()),
        order: ReplayOrder {
            clip: path,
            starts_at: StreamTime::ZERO,
            kind,
            scene,
        },
        recorded: None,
        recorded_version: None,
        models,
        scene_sha256,
    }
}

/// Returns the digest of all that decides what comes out.
fn input_of(
    clip_sha256: &str,
    kind: Kind,
    models: &[ReplayModel],
    scene_sha256: Option<&str>,
) -> String {
    let mut text = format!("{clip_sha256}\n{kind}\n{}\n", scene_sha256.unwrap_or("-"));
    for model in models {
        text.push_str(&format!("{} {}\n", model.name, model.sha256));
    }
    text.push_str(env!("CARGO_PKG_VERSION"));
    hex(&Sha256::digest(text))
}

fn alarm_of(record: &AlarmRecord) -> Alarm {
    Alarm {
        kind: record.kind,
        started_at: StreamTime::from_secs_f64(record.started_at_s),
        raised_at: StreamTime::from_secs_f64(record.raised_at_s),
        ended_at: record.ended_at_s.map(StreamTime::from_secs_f64),
        score: record.score,
        track: record.track.clone(),
        origin: record.origin,
    }
}

/// A file in the folder of recordings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub(crate) struct RecordingFile {
    pub name: String,
    pub size_bytes: u64,
    pub modified_at_ms: i64,
}

/// Returns the files of the folder of recordings, newest first. A name from a client is only ever
/// compared with these. Links are left out: they could lead anywhere.
pub(super) fn recordings(folder: &Path) -> Vec<RecordingFile> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    let mut files: Vec<_> = entries
        .filter_map(Result::ok)
        .filter_map(|entry| {
            let metadata = entry.metadata().ok().filter(fs::Metadata::is_file)?;
            let name = entry.file_name().into_string().ok()?;
            let since = metadata.modified().ok()?;
            let since = since.duration_since(std::time::UNIX_EPOCH).ok()?;
            (!name.starts_with('.')).then_some(RecordingFile {
                name,
                size_bytes: metadata.len(),
                modified_at_ms: i64::try_from(since.as_millis()).unwrap_or(i64::MAX),
            })
        })
        .collect();
    files.sort_by(|a, b| {
        let newest = b.modified_at_ms.cmp(&a.modified_at_ms);
        newest.then_with(|| a.name.cmp(&b.name))
    });
    files.truncate(RECORDINGS_MAX);
    files
}

fn short(sha256: &str) -> &str {
    sha256.get(..12).unwrap_or(sha256)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
