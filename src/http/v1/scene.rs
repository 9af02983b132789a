//! A camera's scene: read, judged, changed, and the picture on which it is drawn.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{FromRequest, Path, Request, State};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::{cameras, snapshot};
use crate::evidence::Hidden;
use crate::http::access::Principal;
use crate::http::body::refusal;
use crate::http::error::ApiError;
use crate::http::openapi::{BadBody, BadScene, Conflict, NotFound};
use crate::http::query::NoQuery;
use crate::http::{CameraInfo, CameraScene, SceneInForce, Service, sight};
use crate::scene::coverage::Coverage;
use crate::scene::{Kind, Scene};

/// A scene of the largest facade with all its windows stays below half of this.
pub(in crate::http) const SCENE_BYTES_MAX: usize = 256 * 1024;

/// Stands for the digest of a camera that has no scene.
const NO_SCENE: &str = "none";

/// A camera's scene and what it covers.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct SceneRecord {
    #[serde(flatten)]
    pub camera: CameraInfo,
    /// As the scene file holds it: `facade` or `elevator`.
    #[schema(value_type = Object)]
    pub scene: Scene,
    /// SHA-256 of the scene file; none without one.
    pub sha256: Option<String>,
    /// When it was last changed, Unix milliseconds, and by whom.
    pub changed_at_ms: Option<i64>,
    pub changed_by: Option<String>,
    /// What pages call them.
    pub changed_by_name: Option<String>,
    pub coverage: Coverage,
}

/// What a scene would be worth.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct SceneJudgement {
    /// None where the scene can be.
    pub problem: Option<SceneProblem>,
    /// None where it cannot.
    pub coverage: Option<Coverage>,
}

/// What is wrong with a scene.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct SceneProblem {
    /// E.g. `facade.floor_lines[1].left`.
    pub key: String,
    /// In English.
    pub problem: String,
    /// The same as a word that stays, e.g. `line_below`.
    pub reason: &'static str,
    /// What the sentence names, in its order.
    pub values: Vec<String>,
}

/// Takes a scene as JSON, with the keys of the scene file.
pub(crate) struct SceneBody(Scene);

impl FromRequest<Arc<Service>> for SceneBody {
    type Rejection = ApiError;

    async fn from_request(request: Request, service: &Arc<Service>) -> Result<Self, ApiError> {
        let read: Result<Json<Scene>, JsonRejection> = Json::from_request(request, service).await;
        read.map(|Json(scene)| Self(scene))
            .map_err(|rejection| refusal(&rejection, SCENE_BYTES_MAX))
    }
}

/// The camera's scene in force, with what it covers; its `ETag` is what a change must name.
#[utoipa::path(
    get,
    operation_id = "camera_scene",
    path = "/api/v1/cameras/{id}/scene",
    tag = "cameras",
    params(("id" = String, Path, description = "The camera's id in the config")),
    responses((status = 200, description = "The scene", body = SceneRecord), NotFound)
)]
pub(crate) async fn read(
    State(service): State<Arc<Service>>,
    Path(id): Path<String>,
    _: NoQuery,
) -> Result<Response, ApiError> {
    let camera = cameras::find(&service.api, &id)?;
    let scene = slot(&service, camera)?.current();
    record(&service, camera, &scene).await
}

/// Gives the camera another scene. The header `If-Match` must be the `ETag` of the scene it was drawn
/// over. The camera judges by it from the next frame on; the file is written.
#[utoipa::path(
    put,
    operation_id = "change_camera_scene",
    path = "/api/v1/cameras/{id}/scene",
    tag = "cameras",
    params(
        ("id" = String, Path, description = "The camera's id in the config"),
        ("If-Match" = Option<String>, Header, description = "The `ETag` of the scene in force")
    ),
    request_body(content = Object, description = "The scene, with the keys of the scene file"),
    responses(
        (status = 200, description = "The scene as it is kept", body = SceneRecord),
        BadScene, BadBody, NotFound, Conflict
    )
)]
pub(crate) async fn change(
    State(service): State<Arc<Service>>,
    who: Principal,
    Path(id): Path<String>,
    _: NoQuery,
    headers: HeaderMap,
    SceneBody(scene): SceneBody,
) -> Result<Response, ApiError> {
    let camera = cameras::find(&service.api, &id)?;
    let known = known(&headers)?;
    let store = &service.api.store;
    let slot = slot(&service, camera)?;
    let changed = slot
        .replace(camera, &scene, known, store, &who.actor)
        .await?;
    record(&service, camera, &changed).await
}

/// What a scene would cover, or what is wrong with it. Changes nothing.
#[utoipa::path(
    post,
    operation_id = "check_camera_scene",
    path = "/api/v1/cameras/{id}/scene/check",
    tag = "cameras",
    params(("id" = String, Path, description = "The camera's id in the config")),
    request_body(content = Object, description = "The scene, with the keys of the scene file"),
    responses(
        (status = 200, description = "The judgement", body = SceneJudgement),
        BadBody, NotFound
    )
)]
pub(crate) async fn check(
    State(service): State<Arc<Service>>,
    Path(id): Path<String>,
    _: NoQuery,
    SceneBody(scene): SceneBody,
) -> Result<Json<SceneJudgement>, ApiError> {
    let camera = cameras::find(&service.api, &id)?;
    Ok(Json(match scene.check_for(camera.kind) {
        Ok(()) => SceneJudgement {
            problem: None,
            coverage: Some(scene.coverage()),
        },
        Err(error) => SceneJudgement {
            problem: Some(SceneProblem {
                problem: error.problem.to_string(),
                reason: error.problem.reason.as_str(),
                values: error.problem.values,
                key: error.key,
            }),
            coverage: None,
        },
    }))
}

/// The camera's newest picture to draw its scene on. Who may not see what cameras saw gets an
/// elevator's in coarse blocks, in which a car can be made out and no person.
#[utoipa::path(
    get,
    operation_id = "camera_scene_picture",
    path = "/api/v1/cameras/{id}/scene.jpg",
    tag = "cameras",
    params(("id" = String, Path, description = "The camera's id in the config")),
    responses(
        (status = 200, description = "The picture", body = Vec<u8>, content_type = "image/jpeg"),
        NotFound
    )
)]
pub(crate) async fn picture(
    State(service): State<Arc<Service>>,
    who: Principal,
    Path(id): Path<String>,
    _: NoQuery,
) -> Result<Response, ApiError> {
    let camera = cameras::find(&service.api, &id)?;
    // A facade's is shown whole: masks are drawn on it.
    let hidden = match camera.kind {
        Kind::Elevator if !sight::sees_people(&service, &who) => Hidden::People,
        Kind::Facade | Kind::Elevator => Hidden::Nothing,
    };
    let bytes = snapshot::of(&service, camera, None, hidden).await?.1;
    Ok(([(header::CONTENT_TYPE, "image/jpeg")], bytes).into_response())
}

/// Returns the camera's scene in force.
pub(in crate::http) fn slot<'a>(
    service: &'a Service,
    camera: &CameraInfo,
) -> Result<&'a SceneInForce, ApiError> {
    let found = service.api.scenes.get(&camera.id);
    found.ok_or_else(|| ApiError::NotFound {
        what: "scene of camera",
        id: camera.id.to_string(),
    })
}

async fn record(
    service: &Service,
    camera: &CameraInfo,
    scene: &CameraScene,
) -> Result<Response, ApiError> {
    let change = service.api.store.scene_change(&camera.id).await?;
    let mut response = Json(SceneRecord {
        camera: camera.clone(),
        scene: scene.scene.clone(),
        sha256: scene.sha256.clone(),
        changed_at_ms: change.as_ref().map(|change| change.at_ms),
        changed_by_name: change
            .as_ref()
            .map(|change| service.api.store.name_of(&change.who)),
        changed_by: change.map(|change| change.who),
        coverage: scene.scene.coverage(),
    })
    .into_response();
    let etag = format!("\"{}\"", scene.sha256.as_deref().unwrap_or(NO_SCENE));
    if let Ok(etag) = HeaderValue::from_str(&etag) {
        response.headers_mut().insert(header::ETAG, etag);
    }
    Ok(response)
}

/// Returns the digest of the scene over which was drawn; none where there was none.
fn known(headers: &HeaderMap) -> Result<Option<String>, ApiError> {
    let given = headers.get(header::IF_MATCH);
    let given = given.ok_or(ApiError::NoPrecondition)?;
    let text = given.to_str().unwrap_or_default().trim();
    let digest = text
        .strip_prefix('"')
        .and_then(|text| text.strip_suffix('"'));
    match digest {
        Some(NO_SCENE) => Ok(None),
        Some(digest) => Ok(Some(digest.to_owned())),
        None => Err(ApiError::BadHeader {
            name: "If-Match",
            allowed: "one ETag of the scene, in quotes",
        }),
    }
}
