//! Footage: what a camera's ring holds, and one segment of it. Which file is served is the store's row
//! alone.

use std::path::PathBuf;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, Method};
use axum::response::Response;
use jiff::Timestamp;
use serde::Serialize;
use utoipa::IntoParams;

use super::cameras;
use crate::evidence::room::below;
use crate::evidence::{Hidden, rendition};
use crate::http::access::Principal;
use crate::http::error::ApiError;
use crate::http::openapi::NotFound;
use crate::http::problem::Problem;
use crate::http::query::{Given, NoQuery, Parameters, Query, shortened};
use crate::http::served::Served;
use crate::http::{Service, renditions, sight};
use crate::store::FootageRecord;

const LIMIT_DEFAULT: u32 = 200;
const LIMIT_MAX: u32 = 500;
/// What is wanted of a time of which nothing is said: the last hour.
const SPAN_MS: i64 = 3_600_000;

/// Of which time footage is wanted.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(
    dead_code,
    reason = "its fields are what OpenAPI names; `Wanted` holds the checked values"
)]
pub(crate) struct FootageQuery {
    /// From this moment on, Unix milliseconds. Default: an hour before `to_ms`.
    from_ms: Option<i64>,
    /// Before this moment, Unix milliseconds. Default: now.
    to_ms: Option<i64>,
    /// `next_after_ms` of the page before.
    after_ms: Option<i64>,
    /// Segments a page.
    #[param(minimum = 1, maximum = 500, default = 200)]
    limit: Option<u32>,
}

/// The checked parameters of [`FootageQuery`].
pub(crate) struct Wanted {
    from_ms: Option<i64>,
    to_ms: Option<i64>,
    after_ms: Option<i64>,
    limit: u32,
}

impl Parameters for Wanted {
    type Named = FootageQuery;

    fn read(given: &Given) -> Result<Self, ApiError> {
        const MOMENT: &str = "Unix milliseconds, such as 1769853600000";
        let moment_ms = |name| {
            given.checked(name, MOMENT, |text| {
                let at_ms: i64 = text.parse().ok()?;
                Timestamp::from_millisecond(at_ms).ok()?;
                (at_ms >= 0).then_some(at_ms)
            })
        };
        let limit = given.checked("limit", "a number from 1 to 500", |text| {
            text.parse()
                .ok()
                .filter(|limit| (1..=LIMIT_MAX).contains(limit))
        })?;
        Ok(Self {
            from_ms: moment_ms("from_ms")?,
            to_ms: moment_ms("to_ms")?,
            after_ms: moment_ms("after_ms")?,
            limit: limit.unwrap_or(LIMIT_DEFAULT),
        })
    }
}

/// What a camera's ring holds of a time.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct FootageList {
    /// Whether the camera's footage is kept now.
    pub is_kept: bool,
    /// For how many days footage is to be kept.
    pub days: u64,
    /// When the oldest there is begins; none where there is none.
    pub oldest_at_ms: Option<i64>,
    /// Oldest first. What lies between two was not kept. The newest minute is still being written.
    pub segments: Vec<FootageRecord>,
    /// Give it as `after_ms` for the next page; none on the last one.
    pub next_after_ms: Option<i64>,
}

/// The segments of a camera's ordinary video that reach into a time.
#[utoipa::path(
    get,
    operation_id = "list_footage",
    path = "/api/v1/cameras/{id}/footage",
    tag = "footage",
    params(("id" = String, Path, description = "The camera's id in the config"), FootageQuery),
    responses((status = 200, description = "A page, oldest first", body = FootageList), NotFound)
)]
pub(crate) async fn list(
    State(service): State<Arc<Service>>,
    Path(id): Path<String>,
    Query(wanted): Query<Wanted>,
) -> Result<Json<FootageList>, ApiError> {
    let api = &service.api;
    let camera = cameras::find(api, &id)?;
    let to_ms = wanted
        .to_ms
        .unwrap_or_else(|| api.clock.now().as_millisecond());
    let from_ms = wanted.from_ms.unwrap_or(to_ms - SPAN_MS);
    let span = (from_ms, to_ms);
    let listed = api
        .store
        .footage(&camera.id, span, wanted.after_ms, wanted.limit);
    let segments = listed.await?;
    let used = api.store.footage_use().await?;
    let own = used.into_iter().find(|used| used.camera == camera.id);
    let is_full = segments.len() == usize::try_from(wanted.limit).unwrap_or(usize::MAX);
    let last_ms = segments.last().map(|segment| segment.starts_at_ms);
    Ok(Json(FootageList {
        is_kept: camera.keeps_footage,
        days: api.footage.days,
        oldest_at_ms: own.map(|own| own.oldest_ms),
        segments,
        next_after_ms: last_ms.filter(|_| is_full),
    }))
}

/// One segment as MP4. Takes one range a request; its `ETag` is the file's SHA-256. Where something is
/// hidden from whoever asks (a facade's masks, people in an elevator) a copy comes in which it is, with an
/// `ETag` of its own and the header `x-hidden`; that copy is made at the first look, which takes about as
/// long as half of the segment.
#[utoipa::path(
    get,
    operation_id = "footage_segment",
    path = "/api/v1/footage/{id}",
    tag = "footage",
    params(
        ("id" = i64, Path, description = "The segment's id"),
        ("range" = Option<String>, Header, description = "`bytes=first-last`"),
        ("if-none-match" = Option<String>, Header, description = "An `ETag` that is known"),
        ("if-range" = Option<String>, Header, description = "The `ETag` that `range` is of")
    ),
    responses(
        (status = 200, description = "The whole segment", body = Vec<u8>, content_type = "video/mp4"),
        (status = 206, description = "The range", body = Vec<u8>, content_type = "video/mp4"),
        (status = 304, description = "The segment has the `ETag` of if-none-match"),
        (status = 410, description = "The segment is not on the disk, or not as it was recorded",
         body = Problem, content_type = "application/problem+json"),
        (status = 416, description = "The range lies outside the file", body = Problem,
         content_type = "application/problem+json"),
        (status = 503, description = "A copy is being made in which is hidden what must be; ask again \
         after Retry-After", body = Problem, content_type = "application/problem+json"),
        (status = 507, description = "The disk has no room for that copy", body = Problem,
         content_type = "application/problem+json"),
        NotFound
    )
)]
pub(crate) async fn segment(
    State(service): State<Arc<Service>>,
    who: Principal,
    Path(id): Path<String>,
    _: NoQuery,
    method: Method,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let record = find(&service, &id).await?;
    let gone = || ApiError::FootageGone { id: record.id };
    let path = path_of(&service, &record).ok_or_else(gone)?;
    let found = tokio::fs::symlink_metadata(&path).await;
    let is_whole = found.is_ok_and(|found| found.is_file() && found.len() == record.size_bytes);
    if !is_whole {
        return Err(gone());
    }
    let hidden = sight::of_footage(&service, &who, &record).await?;
    let file = record.file();
    let (path, etag, hides) = match &hidden {
        Hidden::Nothing => (path, record.sha256.clone(), None),
        hidden => {
            let copy = renditions::of_footage(&service, &record, path, hidden).await?;
            let hides = match hidden {
                Hidden::People => "people",
                _ => "masks",
            };
            let hides = HeaderValue::from_static(hides);
            (copy, rendition::key(&file, hidden), Some(hides))
        }
    };
    let served = Served {
        path: &path,
        name: &name_of(&record),
        media_type: &file.media_type,
        etag: Some(&format!("\"{etag}\"")),
        hides,
    };
    let answer = served.answer(&method, &headers).await?;
    answer.ok_or_else(gone)
}

/// Returns the segment of that id.
pub(in crate::http) async fn find(service: &Service, id: &str) -> Result<FootageRecord, ApiError> {
    let number: i64 = id.parse().map_err(|_| ApiError::BadId {
        what: "a segment of footage",
        text: shortened(id),
        allowed: "a number",
    })?;
    let found = service.api.store.footage_segment(number).await?;
    found.ok_or_else(|| ApiError::NotFound {
        what: "segment of footage",
        id: shortened(id),
    })
}

/// Returns where the segment lies; none where its row leads elsewhere.
pub(in crate::http) fn path_of(service: &Service, record: &FootageRecord) -> Option<PathBuf> {
    below(&service.api.footage.root, [record.path.as_str()])
}

/// Returns what a browser calls the file: camera and time in UTC.
pub(in crate::http) fn name_of(record: &FootageRecord) -> String {
    record.path.replace('/', "-")
}
