//! Serves a file that a handler has chosen: ranges, `ETag`, and the headers that all such files have.
//! No path comes from a client.

use std::path::Path;

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use tower_http::services::ServeFile;

use super::error::ApiError;

/// A browser that shows a clip or a picture by itself may load that, and nothing else.
const MEDIA_ONLY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; img-src 'self'; media-src 'self'; frame-ancestors 'self'",
);

/// What is hidden in a copy: `masks` or `people`.
const HIDDEN: HeaderName = HeaderName::from_static("x-hidden");

/// Revalidated each time (the digest makes that cheap), and kept by no shared cache.
const REVALIDATE: HeaderValue = HeaderValue::from_static("private, no-cache");

/// A file, and what is said of it.
pub(super) struct Served<'a> {
    pub(super) path: &'a Path,
    /// What a browser calls it when it is kept.
    pub(super) name: &'a str,
    pub(super) media_type: &'a str,
    /// With its quotes; none while the file may still change.
    pub(super) etag: Option<&'a str>,
    /// What is hidden in it.
    pub(super) hides: Option<HeaderValue>,
}

impl Served<'_> {
    /// Returns the answer to the request; none where the file is not there.
    pub(super) async fn answer(
        self,
        method: &Method,
        headers: &HeaderMap,
    ) -> Result<Option<Response>, ApiError> {
        let mut response = match self.etag {
            Some(etag) if lists(headers, header::IF_NONE_MATCH, etag) => {
                StatusCode::NOT_MODIFIED.into_response()
            }
            _ => {
                let plain = plain(method, headers, self.etag);
                let sent = ServeFile::new(self.path).try_call(plain).await;
                sent.map_err(|error| ApiError::internal("reading a file", &error))?
                    .map(Body::new)
            }
        };
        if response.status() == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        // A range outside the file is answered with a problem, which is no file.
        if !response.status().is_client_error() {
            self.add_headers(response.headers_mut());
        }
        Ok(Some(response))
    }

    fn add_headers(self, headers: &mut HeaderMap) {
        let media_type = HeaderValue::from_str(self.media_type)
            .unwrap_or(HeaderValue::from_static("application/octet-stream"));
        headers.insert(header::CONTENT_TYPE, media_type);
        headers.remove(header::ETAG);
        if let Some(Ok(etag)) = self.etag.map(HeaderValue::from_str) {
            headers.insert(header::ETAG, etag);
        }
        let inline = format!("inline; filename=\"{}\"", self.name);
        if let Ok(inline) = HeaderValue::from_str(&inline) {
            headers.insert(header::CONTENT_DISPOSITION, inline);
        }
        headers.remove(header::LAST_MODIFIED);
        headers.insert(header::CACHE_CONTROL, REVALIDATE);
        headers.insert(header::CONTENT_SECURITY_POLICY, MEDIA_ONLY);
        if let Some(hides) = self.hides {
            headers.insert(HIDDEN, hides);
        }
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
