//! A camera's newest picture, encoded when somebody asks for it.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::{HeaderName, header};
use axum::response::IntoResponse;

use super::cameras;
use crate::decode::Frame;
use crate::evidence::picture;
use crate::http::Service;
use crate::http::error::ApiError;
use crate::http::openapi::NotFound;
use crate::http::query::NoQuery;

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
    let captured_at = frame.captured_at.to_string();
    let bytes = encode(frame).await?;
    Ok((
        [
            (header::CONTENT_TYPE, "image/jpeg".to_owned()),
            (CAPTURED_AT, captured_at),
        ],
        bytes,
    ))
}

async fn encode(frame: Frame) -> Result<Vec<u8>, ApiError> {
    // Some 10 ms for a 1080p picture: not on a thread that serves others.
    let encoded = tokio::task::spawn_blocking(move || picture::jpeg(&picture::colour(&frame)));
    match encoded.await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(error)) => Err(ApiError::internal("encoding a picture", &error)),
        Err(error) => Err(ApiError::internal(
            "the thread that encodes a picture",
            &error,
        )),
    }
}
