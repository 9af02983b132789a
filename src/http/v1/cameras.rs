//! Cameras: what the config says of them, and how they are now.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use serde::Serialize;

use crate::health::CameraHealth;
use crate::http::error::ApiError;
use crate::http::openapi::NotFound;
use crate::http::query::{NoQuery, shortened};
use crate::http::{Api, CameraInfo, Service};
use crate::store::{AlarmFilter, AlarmRecord};

/// All cameras.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct CameraList {
    /// In the order of the config.
    pub cameras: Vec<CameraRecord>,
}

/// A camera and how it is now.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct CameraRecord {
    #[serde(flatten)]
    pub camera: CameraInfo,
    pub health: CameraHealth,
}

/// A camera, how it is now, and its newest alarm.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct CameraDetail {
    #[serde(flatten)]
    pub camera: CameraInfo,
    pub health: CameraHealth,
    pub last_alarm: Option<AlarmRecord>,
}

/// All configured cameras with their health.
#[utoipa::path(
    get,
    operation_id = "list_cameras",
    path = "/api/v1/cameras",
    tag = "cameras",
    responses((status = 200, description = "In the order of the config", body = CameraList))
)]
pub(crate) async fn list(State(service): State<Arc<Service>>, _: NoQuery) -> Json<CameraList> {
    let mut health = service.api.board.snapshot();
    let cameras = service.api.cameras.iter().map(|camera| CameraRecord {
        camera: camera.clone(),
        health: health.remove(&camera.id).unwrap_or_default(),
    });
    Json(CameraList {
        cameras: cameras.collect(),
    })
}

/// One camera with its health, faults, counters and newest alarm.
#[utoipa::path(
    get,
    operation_id = "camera",
    path = "/api/v1/cameras/{id}",
    tag = "cameras",
    params(("id" = String, Path, description = "The camera's id in the config")),
    responses((status = 200, description = "The camera", body = CameraDetail), NotFound)
)]
pub(crate) async fn one(
    State(service): State<Arc<Service>>,
    Path(id): Path<String>,
    _: NoQuery,
) -> Result<Json<CameraDetail>, ApiError> {
    let camera = find(&service.api, &id)?.clone();
    let filter = AlarmFilter {
        camera: Some(camera.id.clone()),
        ..AlarmFilter::default()
    };
    let newest = service.api.store.alarms(&filter, None, 1).await?;
    Ok(Json(CameraDetail {
        health: service.api.board.camera(&camera.id).unwrap_or_default(),
        last_alarm: newest.items.into_iter().next(),
        camera,
    }))
}

/// Returns the configured camera of that id.
pub(in crate::http) fn find<'a>(api: &'a Api, id: &str) -> Result<&'a CameraInfo, ApiError> {
    let found = api.cameras.iter().find(|camera| camera.id.as_str() == id);
    found.ok_or_else(|| ApiError::NotFound {
        what: "camera",
        id: shortened(id),
    })
}
