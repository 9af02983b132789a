//! An alarm's evidence files. A name from the client is only ever compared with the names in the
//! store; the path that is opened is made of the store's rows alone.

use std::path::Path as FilePath;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use tower_http::services::ServeFile;
use utoipa::IntoParams;

use super::alarms;
use crate::evidence::room::below;
use crate::evidence::{CLIP, Hidden, SNAPSHOT, STROBE, picture, rendition};
use crate::http::access::Principal;
use crate::http::error::ApiError;
use crate::http::openapi::NotFound;
use crate::http::problem::Problem;
use crate::http::query::{Given, Parameters, Query, shortened};
use crate::http::{Service, renditions, sight};
use crate::store::{EvidenceFile, EvidenceState};

/// A browser that shows a clip or a picture by itself may load that, and nothing else.
const MEDIA_ONLY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; img-src 'self'; media-src 'self'; frame-ancestors 'self'",
);

/// What is hidden in a copy: `masks` or `people`.
const HIDDEN: HeaderName = HeaderName::from_static("x-hidden");

/// Revalidated each time (the digest makes that cheap), and kept by no shared cache.
const REVALIDATE: HeaderValue = HeaderValue::from_static("private, no-cache");

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
    request: Request,
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
    let headers = request.headers();
    let mut response = match &etag {
        Some(etag) if lists(headers, header::IF_NONE_MATCH, etag) => {
            StatusCode::NOT_MODIFIED.into_response()
        }
        _ => {
            send(
                &path,
                &file,
                plain(request.method(), headers, etag.as_deref()),
            )
            .await?
        }
    };
    // A range outside the file is answered with a problem, which is no evidence.
    if !response.status().is_client_error() {
        add_headers(response.headers_mut(), &file, etag.as_deref());
        if let Some(hides) = hides {
            response.headers_mut().insert(HIDDEN, hides);
        }
    }
    Ok(response)
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

/// Returns the request that the file server gets: only a range that counts for this file.
fn plain(method: &Method, headers: &HeaderMap, etag: Option<&str>) -> Request {
    let mut request = Request::new(Body::empty());
    *request.method_mut() = method.clone();
    let same_file = match etag {
        _ if !headers.contains_key(header::IF_RANGE) => true,
        Some(etag) => lists(headers, header::IF_RANGE, etag),
        None => false,
    };
    let range = headers
        .get(header::RANGE)
        .filter(|range| same_file && is_one_range(range));
    if let Some(range) = range {
        request.headers_mut().insert(header::RANGE, range.clone());
    }
    request
}

/// Returns whether it is `bytes=` and one range. Others may be ignored (RFC 9110, 14.2), and are.
fn is_one_range(range: &HeaderValue) -> bool {
    let range = range
        .to_str()
        .ok()
        .and_then(|range| range.strip_prefix("bytes="));
    let Some((first, last)) = range.and_then(|range| range.split_once('-')) else {
        return false;
    };
    let digits = |text: &str| text.len() < 20 && text.bytes().all(|byte| byte.is_ascii_digit());
    digits(first) && digits(last) && !(first.is_empty() && last.is_empty())
}

fn lists(headers: &HeaderMap, name: header::HeaderName, etag: &str) -> bool {
    let values = headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok());
    let mut tags = values.flat_map(|value| value.split(',')).map(str::trim);
    tags.any(|tag| tag == etag || tag == "*")
}

async fn send(
    path: &FilePath,
    file: &EvidenceFile,
    request: Request,
) -> Result<Response, ApiError> {
    let sent = ServeFile::new(path).try_call(request).await;
    let response = sent.map_err(|error| ApiError::internal("reading an evidence file", &error))?;
    if response.status() == StatusCode::NOT_FOUND {
        return Err(ApiError::EvidenceGone {
            name: file.name.clone(),
        });
    }
    Ok(response.map(Body::new))
}

fn add_headers(headers: &mut HeaderMap, file: &EvidenceFile, etag: Option<&str>) {
    let media_type = HeaderValue::from_str(&file.media_type)
        .unwrap_or(HeaderValue::from_static("application/octet-stream"));
    headers.insert(header::CONTENT_TYPE, media_type);
    headers.remove(header::ETAG);
    if let Some(Ok(etag)) = etag.map(HeaderValue::from_str) {
        headers.insert(header::ETAG, etag);
    }
    if let Ok(inline) = HeaderValue::from_str(&format!("inline; filename=\"{}\"", file.name)) {
        headers.insert(header::CONTENT_DISPOSITION, inline);
    }
    headers.remove(header::LAST_MODIFIED);
    headers.insert(header::CACHE_CONTROL, REVALIDATE);
    headers.insert(header::CONTENT_SECURITY_POLICY, MEDIA_ONLY);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_plain_range_counts() {
        for one in ["bytes=0-1", "bytes=5-", "bytes=-7"] {
            assert!(is_one_range(&HeaderValue::from_static(one)), "{one}");
        }
        for other in [
            "bytes=0-1,4-5",
            "bytes=-",
            "bytes=a-b",
            "lines=0-1",
            "bytes=5",
        ] {
            assert!(!is_one_range(&HeaderValue::from_static(other)), "{other}");
        }
    }
}
