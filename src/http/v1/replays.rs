//! Replays: an alarm's evidence, or a recording, once more through the stages, and what is
//! different then. For auditors; nothing but the list of replays changes.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::IntoParams;

use super::{alarms, footage};
use crate::http::access::Principal;
use crate::http::body::JsonBody;
use crate::http::error::ApiError;
use crate::http::openapi::{BadBody, Conflict, NotFound};
use crate::http::query::{Given, NoQuery, Parameters, Query, shortened};
use crate::http::replays::{self, RecordingFile, Task};
use crate::http::{Api, SceneInForce, Service};
use crate::id::{AlarmId, CameraId};
use crate::scene::Scene;
use crate::store::{Actor, ReplayOf, ReplayRecord, ReplayState};

const LIMIT_DEFAULT: u32 = 50;
const LIMIT_MAX: u32 = 200;

/// Which replays are wanted.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(
    dead_code,
    reason = "its fields are what OpenAPI names; `Wanted` holds the checked values"
)]
pub(crate) struct ReplayQuery {
    /// Of this alarm.
    alarm: Option<String>,
    /// Replays at the most.
    #[param(minimum = 1, maximum = 200, default = 50)]
    limit: Option<u32>,
}

/// The checked parameters of [`ReplayQuery`].
pub(crate) struct Wanted {
    pub(crate) alarm: Option<AlarmId>,
    pub(crate) limit: u32,
}

impl Parameters for Wanted {
    type Named = ReplayQuery;

    fn read(given: &Given) -> Result<Self, ApiError> {
        let limit = given.checked("limit", "a number from 1 to 200", |text| {
            text.parse()
                .ok()
                .filter(|limit| (1..=LIMIT_MAX).contains(limit))
        })?;
        Ok(Self {
            alarm: given.value::<AlarmId>("alarm", "the id of an alarm")?,
            limit: limit.unwrap_or(LIMIT_DEFAULT),
        })
    }
}

/// Some replays, newest first, without their results.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct ReplayList {
    pub replays: Vec<ReplayRecord>,
}

/// What to replay: an alarm, a recording as it would look to one of the cameras, or a segment of footage.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReplayWanted {
    /// The alarm whose evidence is replayed.
    #[schema(value_type = Option<String>)]
    pub alarm: Option<AlarmId>,
    /// A name out of /api/v1/recordings.
    pub recording: Option<String>,
    /// Whose kind and scene a recording is judged by.
    #[schema(value_type = Option<String>)]
    pub camera: Option<CameraId>,
    /// The segment's id: its camera's kind and the scene of its time judge it.
    pub footage: Option<i64>,
}

/// A replay that has begun.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct ReplayBegun {
    pub id: i64,
}

/// A replay, how far it is and what came of it.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct ReplayWhole {
    #[serde(flatten)]
    pub replay: ReplayRecord,
    /// 0..1 while it runs.
    pub progress: Option<f64>,
}

/// What can be replayed besides alarms.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct RecordingList {
    /// Newest first; empty where no folder is configured.
    pub recordings: Vec<RecordingFile>,
}

/// Replays that were asked for, newest first.
#[utoipa::path(
    get,
    operation_id = "list_replays",
    path = "/api/v1/replays",
    tag = "replays",
    params(ReplayQuery),
    responses((status = 200, description = "Newest first", body = ReplayList))
)]
pub(crate) async fn list(
    State(service): State<Arc<Service>>,
    Query(wanted): Query<Wanted>,
) -> Result<Json<ReplayList>, ApiError> {
    let replays = service
        .api
        .store
        .replays(wanted.alarm, wanted.limit)
        .await?;
    Ok(Json(ReplayList { replays }))
}

/// One replay: how far it is, or what came of it, old beside new.
#[utoipa::path(
    get,
    operation_id = "replay",
    path = "/api/v1/replays/{id}",
    tag = "replays",
    params(("id" = String, Path, description = "The replay's number")),
    responses((status = 200, description = "The replay", body = ReplayWhole), NotFound)
)]
pub(crate) async fn one(
    State(service): State<Arc<Service>>,
    Path(id): Path<String>,
    _: NoQuery,
) -> Result<Json<ReplayWhole>, ApiError> {
    find(&service, &id).await.map(Json)
}

/// Runs the stages once more on an alarm's evidence, with the models and the scene that decided, or
/// on a recording. One at a time; cameras go first.
#[utoipa::path(
    post,
    operation_id = "begin_replay",
    path = "/api/v1/replays",
    tag = "replays",
    request_body = ReplayWanted,
    responses(
        (status = 202, description = "It has begun", body = ReplayBegun),
        BadBody, NotFound, Conflict
    )
)]
pub(crate) async fn begin(
    State(service): State<Arc<Service>>,
    who: Principal,
    _: NoQuery,
    JsonBody(wanted): JsonBody<ReplayWanted>,
) -> Result<(StatusCode, Json<ReplayBegun>), ApiError> {
    let id = start(&service, wanted, &who.actor).await?;
    Ok((StatusCode::ACCEPTED, Json(ReplayBegun { id })))
}

/// Ends a replay that runs.
#[utoipa::path(
    post,
    operation_id = "cancel_replay",
    path = "/api/v1/replays/{id}/cancel",
    tag = "replays",
    params(("id" = String, Path, description = "The replay's number")),
    responses((status = 200, description = "It ends", body = ReplayWhole), NotFound, Conflict)
)]
pub(crate) async fn cancel(
    State(service): State<Arc<Service>>,
    Path(id): Path<String>,
    _: NoQuery,
) -> Result<Json<ReplayWhole>, ApiError> {
    let found = find(&service, &id).await?;
    let runs = found.replay.state == ReplayState::Running;
    if !runs || !service.replays.cancel(found.replay.id) {
        return Err(ApiError::Conflict {
            detail: "The replay does not run any more.".to_owned(),
        });
    }
    Ok(Json(found))
}

/// The recordings that can be replayed: the files in the folder that the config names.
#[utoipa::path(
    get,
    operation_id = "list_recordings",
    path = "/api/v1/recordings",
    tag = "replays",
    responses((status = 200, description = "Newest first", body = RecordingList))
)]
pub(crate) async fn recordings(
    State(service): State<Arc<Service>>,
    _: NoQuery,
) -> Result<Json<RecordingList>, ApiError> {
    let recordings = known_recordings(&service.api).await?;
    Ok(Json(RecordingList { recordings }))
}

/// Returns the replay of that number. Fails when there is none.
pub(crate) async fn find(service: &Service, id: &str) -> Result<ReplayWhole, ApiError> {
    let number: i64 = id.parse().map_err(|_| ApiError::BadId {
        what: "a replay",
        text: shortened(id),
        allowed: "its number",
    })?;
    let replay = service.api.store.replay(number).await?;
    let replay = replay.ok_or_else(|| ApiError::NotFound {
        what: "replay",
        id: shortened(id),
    })?;
    let progress = service.replays.progress(number);
    Ok(ReplayWhole { replay, progress })
}

/// Returns the files in the folder of recordings.
pub(crate) async fn known_recordings(api: &Api) -> Result<Vec<RecordingFile>, ApiError> {
    let Some(folder) = api.recordings_dir.clone() else {
        return Ok(Vec::new());
    };
    let listed = tokio::task::spawn_blocking(move || replays::recordings(&folder)).await;
    listed.map_err(|error| ApiError::internal("listing recordings", &error))
}

/// Begins what is wanted and returns its number.
pub(crate) async fn start(
    service: &Arc<Service>,
    wanted: ReplayWanted,
    who: &Actor,
) -> Result<i64, ApiError> {
    let ReplayWanted {
        alarm,
        recording,
        camera,
        footage,
    } = wanted;
    let (of, camera, task) = match (alarm, recording, camera, footage) {
        (Some(id), None, None, None) => of_alarm(service, id).await?,
        (None, Some(name), Some(camera), None) => of_recording(&service.api, name, &camera).await?,
        (None, None, None, Some(id)) => of_footage(service, id).await?,
        _ => {
            return Err(ApiError::BadBody {
                reason: "give alarm, or recording and camera, or footage".to_owned(),
            });
        }
    };
    let id = service.api.store.begin_replay(&of, &camera, who).await?;
    if let Err(error) = replays::start(service, id, task) {
        let reason = "the machine gave no thread for it".to_owned();
        let end = crate::store::ReplayEnd::Failed(reason);
        service.api.store.finish_replay(id, &end).await?;
        return Err(ApiError::internal("starting a replay", &error));
    }
    Ok(id)
}

async fn of_alarm(service: &Service, id: AlarmId) -> Result<(ReplayOf, CameraId, Task), ApiError> {
    let detail = alarms::find(service, &id.to_string()).await?;
    let camera = detail.alarm.camera.clone();
    let conflict = |detail: &str| ApiError::Conflict {
        detail: detail.to_owned(),
    };
    if replays::kind_of(detail.alarm.kind).is_none() {
        return Err(conflict(
            "A fault cannot be replayed: it rests on the connection and its clock, which a clip does not hold.",
        ));
    }
    let folder = detail.evidence_folder.as_deref();
    let folder = folder.ok_or_else(|| conflict("The alarm has no evidence to replay."))?;
    let folder = crate::evidence::room::below(&service.api.evidence_root, [folder]);
    let folder = folder.ok_or_else(|| conflict("The alarm has no evidence to replay."))?;
    let task = Task::Alarm {
        folder,
        detail: Box::new(detail),
    };
    Ok((ReplayOf::Alarm(id), camera, task))
}

async fn of_footage(service: &Service, id: i64) -> Result<(ReplayOf, CameraId, Task), ApiError> {
    let api = &service.api;
    let record = footage::find(service, &id.to_string()).await?;
    let known = api.cameras.iter().find(|known| known.id == record.camera);
    let known = known.ok_or_else(|| ApiError::NotFound {
        what: "camera",
        id: record.camera.to_string(),
    })?;
    let path = footage::path_of(service, &record);
    let path = path.ok_or(ApiError::FootageGone { id })?;
    let text = match &record.scene_sha256 {
        Some(sha256) => api.store.scene_text(sha256).await?,
        None => None,
    };
    let scene = text.and_then(|text| toml::from_str::<Scene>(&text).ok());
    if record.scene_sha256.is_some() && scene.is_none() {
        return Err(ApiError::Conflict {
            detail: "The scene that was in force then is not known any more.".to_owned(),
        });
    }
    let task = Task::Recording {
        path,
        recorded_sha256: Some(record.sha256.clone()),
        kind: known.kind,
        scene_sha256: record.scene_sha256.clone(),
        scene: scene.unwrap_or_default(),
    };
    let of = ReplayOf::Recording(footage::name_of(&record));
    Ok((of, known.id.clone(), task))
}

async fn of_recording(
    api: &Api,
    name: String,
    camera: &CameraId,
) -> Result<(ReplayOf, CameraId, Task), ApiError> {
    let known = api.cameras.iter().find(|known| known.id == *camera);
    let known = known.ok_or_else(|| ApiError::NotFound {
        what: "camera",
        id: camera.to_string(),
    })?;
    let files = known_recordings(api).await?;
    let file = files.into_iter().find(|file| file.name == name);
    // The path is made of what was listed, never of what was asked for.
    let path = file.as_ref().zip(api.recordings_dir.as_ref());
    let path = path.map(|(file, folder)| folder.join(&file.name));
    let path = path.ok_or_else(|| ApiError::NotFound {
        what: "recording",
        id: shortened(&name),
    })?;
    let scene = api.scenes.get(camera).map(SceneInForce::current);
    let task = Task::Recording {
        path,
        recorded_sha256: None,
        kind: known.kind,
        scene: scene
            .as_ref()
            .map(|scene| scene.scene.clone())
            .unwrap_or_default(),
        scene_sha256: scene.and_then(|scene| scene.sha256.clone()),
    };
    Ok((ReplayOf::Recording(name), known.id.clone(), task))
}
