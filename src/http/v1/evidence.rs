//! An alarm's evidence files. A name from the client is only ever compared with the names in the
//! store; the path that is opened is made of the store's rows alone.

use std::path::Path as FilePath;
use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, Method};
use axum::response::Response;
use utoipa::IntoParams;

use super::alarms;
use crate::evidence::room::below;
use crate::evidence::{CLIP, Hidden, SNAPSHOT, STROBE, picture, rendition};
use crate::http::access::Principal;
use crate::http::error::ApiError;
use crate::http::openapi::NotFound;
use crate::http::problem::Problem;
use crate::http::query::{Given, Parameters, Query, shortened};
use crate::http::served::Served;
use crate::http::{Service, renditions, sight};
use crate::store::{EvidenceFile, EvidenceState};

/// Where a file is shown.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "its field is the name that is known")]
pub(crate) struct ShownQuery {
    /// `board`: the snapshot, among those of all open alarms. The log then has one row for the alarm and
    /// the session.
    #[param(rename = "for")]
    place: Option<String>,
}

/// The checked parameters of [`ShownQuery`]; what follows from them is `looks`' own.
pub(crate) struct Shown;

impl Parameters for Shown {
    type Named = ShownQuery;

    fn read(given: &Given) -> Result<Self, ApiError> {
        given.checked("for", "board", |text| (text == "board").then_some(()))?;
        Ok(Self)
    }
}

/// One file of an alarm's evidence. Takes one range a request (a clip can be wound); its `ETag` is
/// the file's SHA-256. Where something is hidden from whoever asks (a facade's masks, people in an
/// elevator) a copy comes in which it is, with an `ETag` of its own and the header `x-hidden`; of a clip
/// that copy is made at the first look, which takes some seconds.
#[utoipa::path(
    get,
    operation_id = "evidence_file",
    path = "/api/v1/alarms/{id}/evidence/{name}",
    tag = "alarms",
    params(
        ("id" = String, Path, description = "The alarm's id, a UUID"),
        ("name" = String, Path, description = "A name out of the alarm's `files`"),
        ShownQuery,
        ("range" = Option<String>, Header, description = "`bytes=first-last`"),
        ("if-none-match" = Option<String>, Header, description = "An `ETag` that is known"),
        ("if-range" = Option<String>, Header, description = "The `ETag` that `range` is of")
    ),
    responses(
        (status = 200, description = "The whole file, in the media type of the alarm's `files`",
         body = Vec<u8>, content_type = "application/octet-stream"),
        (status = 206, description = "The range", body = Vec<u8>,
         content_type = "application/octet-stream"),
        (status = 304, description = "The file has the `ETag` of if-none-match"),
        (status = 410, description = "The file is no longer in the evidence folder, or is not the \
         one that was recorded", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "A copy of the clip is being made in which is hidden what must be; \
         ask again after Retry-After", body = Problem, content_type = "application/problem+json"),
        (status = 507, description = "The disk has no room for that copy", body = Problem,
         content_type = "application/problem+json"),
        (status = 416, description = "The range lies outside the file", body = Problem,
         content_type = "application/problem+json"),
        NotFound
    )
)]
pub(crate) async fn file(
    State(service): State<Arc<Service>>,
    who: Principal,
    Path((id, name)): Path<(String, String)>,
    _: Query<Shown>,
    method: Method,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let detail = alarms::find(&service, &id).await?;
    let known = detail.files.iter().find(|file| file.name == name).cloned();
    let file = known.ok_or_else(|| ApiError::NotFound {
        what: "evidence file",
        id: shortened(&name),
    })?;
    let gone = || ApiError::EvidenceGone {
        name: file.name.clone(),
    };
    let folder = detail.evidence_folder.as_deref().ok_or_else(gone)?;
    let path = below(&service.api.evidence_root, [folder, &file.name]).ok_or_else(gone)?;
    // Until evidence is complete its pictures give way to better ones: no digest holds for long.
    let settled = detail.alarm.evidence != EvidenceState::Pending;
    if settled {
        check_size(&path, &file).await?;
    }
    let sight = sight::of_alarm(&service, &who, &detail.alarm).await?;
    let hides = hides(&sight.hidden, &path, &file).await;
    let (path, etag) = match hides {
        None => (path, settled.then(|| format!("\"{}\"", file.sha256))),
        Some(_) => {
            let etag = format!("\"{}\"", rendition::key(&file, &sight.hidden));
            let copy = renditions::of(&service, &detail, &file, sight).await?;
            (copy, Some(etag))
        }
    };
    let served = Served {
        path: &path,
        name: &file.name,
        media_type: &file.media_type,
        etag: etag.as_deref(),
        hides,
    };
    let answer = served.answer(&method, &headers).await?;
    answer.ok_or_else(gone)
}

/// Returns what is hidden in the file as it is shown; none where it is shown as it was recorded: it is
/// no picture, nothing is to be hidden, or its masks were black when it was drawn.
async fn hides(hidden: &Hidden, path: &FilePath, file: &EvidenceFile) -> Option<HeaderValue> {
    if ![CLIP, SNAPSHOT, STROBE].contains(&file.name.as_str()) {
        return None;
    }
    match hidden {
        Hidden::Nothing => None,
        Hidden::People => Some(HeaderValue::from_static("people")),
        Hidden::Masks(masks) => {
            let is_picture = file.name != CLIP;
            // One that cannot be read is refused where it is copied.
            let is_drawn = is_picture
                && tokio::fs::read(path)
                    .await
                    .is_ok_and(|jpeg| picture::is_masked(&jpeg, masks));
            (!is_drawn).then_some(HeaderValue::from_static("masks"))
        }
    }
}

/// Refuses a file that is gone or that is not as long as it was: its digest cannot match either.
async fn check_size(path: &FilePath, file: &EvidenceFile) -> Result<(), ApiError> {
    let name = || file.name.clone();
    match tokio::fs::symlink_metadata(path).await {
        Ok(found) if !found.is_file() => Err(ApiError::EvidenceGone { name: name() }),
        Ok(found) if found.len() != file.size_bytes => {
            tracing::error!(file = %file.name, recorded_bytes = file.size_bytes,
                found_bytes = found.len(), "an evidence file is not the one that was recorded");
            Err(ApiError::EvidenceChanged { name: name() })
        }
        Ok(_) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            Err(ApiError::EvidenceGone { name: name() })
        }
        Err(error) => Err(ApiError::internal("looking for an evidence file", &error)),
    }
}
