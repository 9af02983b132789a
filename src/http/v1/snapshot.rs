//! A camera's newest picture, encoded when somebody asks for it.

use std::collections::HashMap;
use std::mem;
use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::{Path, State};
use axum::http::{HeaderName, header};
use axum::response::IntoResponse;
use bytes::Bytes;
use jiff::Timestamp;
use utoipa::IntoParams;

use super::cameras;
use crate::decode::Frame;
use crate::evidence::{Hidden, Redactor, picture};
use crate::http::access::Principal;
use crate::http::error::ApiError;
use crate::http::openapi::NotFound;
use crate::http::query::{Given, Parameters, Query};
use crate::http::{CameraInfo, Service, sight};
use crate::id::CameraId;

/// When the picture was taken, by RFC 3339.
const CAPTURED_AT: HeaderName = HeaderName::from_static("x-captured-at");

/// How large a picture is wanted.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(
    dead_code,
    reason = "its fields are what OpenAPI names; `Wanted` holds the checked values"
)]
pub(crate) struct PictureQuery {
    /// 320, 640 or 1280 pixels across; left out, as large as the camera sends it.
    width: Option<u32>,
}

/// The checked parameters of [`PictureQuery`].
pub(crate) struct Wanted {
    width_px: Option<u32>,
}

impl Parameters for Wanted {
    type Named = PictureQuery;

    fn read(given: &Given) -> Result<Self, ApiError> {
        // Few, so that what one has encoded serves the next.
        let width_px = given.checked("width", "320, 640 or 1280", |text| {
            let width = text.parse().ok();
            width.filter(|width| [320, 640, 1280].contains(width))
        })?;
        Ok(Self { width_px })
    }
}

/// The newest encoded picture of each camera in each size: many walls cost one encoding. Holds one
/// picture a camera and size, and nothing older than the camera's newest when it is asked for.
#[derive(Debug, Default)]
pub(in crate::http) struct Encoded(Mutex<HashMap<(CameraId, Detail), Picture>>);

#[derive(Debug)]
struct Picture {
    taken_at: Timestamp,
    hidden: Hidden,
    bytes: Bytes,
}

impl Encoded {
    fn of(
        &self,
        camera: &CameraId,
        detail: Detail,
        at: Timestamp,
        hidden: &Hidden,
    ) -> Option<Bytes> {
        let pictures = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let picture = pictures.get(&(camera.clone(), detail))?;
        (picture.taken_at == at && picture.hidden == *hidden).then(|| picture.bytes.clone())
    }

    fn put(&self, camera: &CameraId, detail: Detail, picture: Picture) {
        let mut pictures = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        pictures.insert((camera.clone(), detail), picture);
    }
}

/// The camera's newest picture.
#[utoipa::path(
    get,
    operation_id = "camera_snapshot",
    path = "/api/v1/cameras/{id}/snapshot.jpg",
    tag = "cameras",
    params(("id" = String, Path, description = "The camera's id in the config"), PictureQuery),
    responses(
        (status = 200, description = "In full resolution or of the width asked for, the scene's masks in black, and an \
         elevator in blocks for who may not see people; the header `x-captured-at` says when it was taken", body = Vec<u8>, content_type = "image/jpeg"),
        NotFound
    )
)]
pub(crate) async fn newest(
    State(service): State<Arc<Service>>,
    who: Principal,
    Path(id): Path<String>,
    Query(wanted): Query<Wanted>,
) -> Result<impl IntoResponse, ApiError> {
    let camera = cameras::find(&service.api, &id)?;
    let hidden = sight::of_camera(&service, &who, camera);
    let (captured_at, bytes) = of(&service, camera, wanted.width_px, hidden).await?;
    Ok((
        [
            (header::CONTENT_TYPE, "image/jpeg".to_owned()),
            (CAPTURED_AT, captured_at),
        ],
        bytes,
    ))
}

/// What an encoded picture is: whether masks or people are hidden in it, and its width where that is
/// not the camera's.
type Detail = (mem::Discriminant<Hidden>, Option<u32>);

/// Returns when the camera's newest picture was taken, by RFC 3339, and its JPEG.
pub(super) async fn of(
    service: &Service,
    camera: &CameraInfo,
    width_px: Option<u32>,
    hidden: Hidden,
) -> Result<(String, Bytes), ApiError> {
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
    let captured_at = frame.captured_at;
    let detail = (mem::discriminant(&hidden), width_px);
    let kept = service
        .pictures
        .of(&camera.id, detail, captured_at, &hidden);
    if let Some(bytes) = kept {
        return Ok((captured_at.to_string(), bytes));
    }
    let bytes: Bytes = encode(frame, width_px, hidden.clone()).await?.into();
    let picture = Picture {
        taken_at: captured_at,
        hidden,
        bytes: bytes.clone(),
    };
    service.pictures.put(&camera.id, detail, picture);
    Ok((captured_at.to_string(), bytes))
}

async fn encode(frame: Frame, width_px: Option<u32>, hidden: Hidden) -> Result<Vec<u8>, ApiError> {
    // Some 10 ms for a 1080p picture: not on a thread that serves others.
    let encoded = tokio::task::spawn_blocking(move || {
        let mut full = picture::colour(&frame);
        let height_px = full.height();
        Redactor::new(hidden).still(&mut full, height_px, None);
        match width_px {
            None => picture::jpeg(&full),
            Some(across) => picture::jpeg(&picture::smaller(&full, across)),
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
