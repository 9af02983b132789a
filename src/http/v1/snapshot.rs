//! A camera's newest picture, encoded when somebody asks for it.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::{HeaderName, header};
use axum::response::IntoResponse;

use super::cameras;
use crate::decode::Frame;
use crate::evidence::picture;
use crate::http::error::ApiError;
use crate::http::openapi::NotFound;
use crate::http::query::NoQuery;
use crate::http::{CameraInfo, Service};

/// When the picture was taken, by RFC 3339.
const CAPTURED_AT: HeaderName = HeaderName::from_static("x-captured-at");

/// The camera's newest picture.
#[utoipa::path(
    get,
    operation_id = "camera_snapshot",
    path = "/api/v1/cameras/{id}/snapshot.jpg",
    tag = "cameras",
    params(("id" = String, Path, description = "The camera's id in the config")),
    responses(
        (status = 200, description = "In full resolution; the header `x-captured-at` says when it \
         was taken", body = Vec<u8>, content_type = "image/jpeg"),
        NotFound
    )
)]
pub(crate) async fn newest(
    State(service): State<Arc<Service>>,
    Path(id): Path<String>,
    _: NoQuery,
) -> Result<impl IntoResponse, ApiError> {
    let camera = cameras::find(&service.api, &id)?;
    let (captured_at, bytes) = of(&service, camera, Detail::Full).await?;
    Ok((
        [
            (header::CONTENT_TYPE, "image/jpeg".to_owned()),
            (CAPTURED_AT, captured_at),
        ],
        bytes,
    ))
}

/// How much of a picture is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Detail {
    Full,
    /// So many blocks across and no more.
    Blocks(u32),
}

/// Returns when the camera's newest picture was taken, by RFC 3339, and its JPEG.
pub(super) async fn of(
    service: &Service,
    camera: &CameraInfo,
    detail: Detail,
) -> Result<(String, Vec<u8>), ApiError> {
    let no_picture = || ApiError::NoPicture {
        camera: camera.id.to_string(),
    };
    // Waits for its turn; the limit on requests bounds how many do, the timeout how long.
    let _turn = service
        .encoders
        .acquire()
        .await
        .map_err(|_| ApiError::Stopping)?;
    let frame = service
        .api
        .latest
        .frame(&camera.id)
        .ok_or_else(no_picture)?;
    Ok((frame.captured_at.to_string(), encode(frame, detail).await?))
}

async fn encode(frame: Frame, detail: Detail) -> Result<Vec<u8>, ApiError> {
    // Some 10 ms for a 1080p picture: not on a thread that serves others.
    let encoded = tokio::task::spawn_blocking(move || {
        let full = picture::colour(&frame);
        match detail {
            Detail::Full => picture::jpeg(&full),
            Detail::Blocks(across) => picture::jpeg(&picture::blocks(&full, across)),
        }
    });
    match encoded.await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(error)) => Err(ApiError::internal("encoding a picture", &error)),
        Err(error) => Err(ApiError::internal(
            "the thread that encodes a picture",
            &error,
        )),
    }
}
