//! What every request passes besides the guard (`access`): an id and a span, a limit on the wait, and the
//! way out (problem bodies, headers, metrics). The order stands in `router` in the parent module.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tracing::Instrument;

use super::error::ApiError;
use super::ui::{OWN_REFERRER, language::Language, problem_page};
use super::{Service, Transport};

/// Names the request in the log and in a problem's `request_id`.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Nothing here is a page: it may load nothing, run nothing and be framed by nobody.
const NO_CONTENT_SOURCES: HeaderValue =
    HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'");

/// Outermost: gives the request its id and span, and its answer a body, headers and metrics.
pub(super) async fn finish(
    State(service): State<Arc<Service>>,
    request: Request,
    next: Next,
) -> Response {
    let clock = &service.api.clock;
    let (started, id) = (clock.monotonic(), format!("{:016x}", rand::random::<u64>()));
    let path = request.uri().path().to_owned();
    let reader = reader(request.headers());
    let matched = request.extensions().get::<MatchedPath>().cloned();
    // Not the path that was asked for: a label's values must be few.
    let route = matched.map_or_else(|| "none".to_owned(), |matched| matched.as_str().to_owned());
    let span = tracing::info_span!(
        "request",
        request.id = %id,
        http.method = %request.method(),
        http.route = %route,
    );
    let response = next.run(request).instrument(span.clone()).await;
    let elapsed = clock.monotonic().saturating_sub(started);
    let mut response = with_problem(response, &path, &id, reader);
    add_headers(response.headers_mut(), &id, service.api.sign_in.transport);
    let status = response.status().as_u16();
    tracing::debug!(parent: &span, http.status = status, elapsed_ms = elapsed.as_millis(), "answered");
    record(route, status, elapsed);
    response
}

/// Returns the language of a person who waits for a page; none for a program.
fn reader(headers: &HeaderMap) -> Option<Language> {
    let accepted = headers.get(header::ACCEPT)?.to_str().ok()?;
    accepted
        .contains("text/html")
        .then(|| Language::of(headers))
}

/// Writes the body of a failed answer: a problem document, or a page for a person.
fn with_problem(
    mut response: Response,
    path: &str,
    id: &str,
    reader: Option<Language>,
) -> Response {
    let error = match response.extensions_mut().remove::<ApiError>() {
        Some(error) => error,
        // A page that says no by itself, such as that of a wrong password.
        None if response
            .headers()
            .contains_key(header::CONTENT_SECURITY_POLICY) =>
        {
            return response;
        }
        None => match ApiError::of_bare_status(response.status()) {
            Some(error) => error,
            None => return response,
        },
    };
    let (mut head, _) = response.into_parts();
    head.headers.remove(header::CONTENT_LENGTH);
    if let Some((page, sources)) = reader.and_then(|reader| problem_page(reader, &error, id)) {
        let media_type = HeaderValue::from_static("text/html; charset=utf-8");
        head.headers.insert(header::CONTENT_TYPE, media_type);
        head.headers
            .insert(header::CONTENT_SECURITY_POLICY, sources);
        head.headers.insert(header::REFERRER_POLICY, OWN_REFERRER);
        return Response::from_parts(head, Body::from(page));
    }
    let problem = error.problem(path, id);
    let body = serde_json::to_vec(&problem).expect("a problem is plain text and numbers");
    let media_type = HeaderValue::from_static("application/problem+json");
    head.headers.insert(header::CONTENT_TYPE, media_type);
    Response::from_parts(head, Body::from(body))
}

fn add_headers(headers: &mut HeaderMap, id: &str, transport: Transport) {
    let default = |headers: &mut HeaderMap, name: HeaderName, value: HeaderValue| {
        headers.entry(name).or_insert(value);
    };
    default(
        headers,
        header::CACHE_CONTROL,
        HeaderValue::from_static("no-store"),
    );
    default(headers, header::CONTENT_SECURITY_POLICY, NO_CONTENT_SOURCES);
    default(
        headers,
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    default(
        headers,
        header::REFERRER_POLICY,
        HeaderValue::from_static("no-referrer"),
    );
    let same_origin = HeaderValue::from_static("same-origin");
    default(
        headers,
        HeaderName::from_static("cross-origin-resource-policy"),
        same_origin,
    );
    default(
        headers,
        HeaderName::from_static("cross-origin-opener-policy"),
        HeaderValue::from_static("same-origin"),
    );
    default(
        headers,
        HeaderName::from_static("permissions-policy"),
        HeaderValue::from_static("camera=(), microphone=(), geolocation=()"),
    );
    if transport == Transport::Tls {
        let year = HeaderValue::from_static("max-age=31536000");
        default(headers, header::STRICT_TRANSPORT_SECURITY, year);
    }
    let id = HeaderValue::from_str(id).expect("an id is hexadecimal");
    headers.insert(REQUEST_ID, id);
}

fn record(route: String, status: u16, elapsed: Duration) {
    metrics::histogram!("plumb_http_request_seconds", "route" => route.clone()).record(elapsed);
    let status = status.to_string();
    metrics::counter!("plumb_http_requests_total", "route" => route, "status" => status)
        .increment(1);
}

/// Before every handler: an end to its patience.
pub(super) async fn hurry(
    State(service): State<Arc<Service>>,
    request: Request,
    next: Next,
) -> Response {
    let limit = service.api.limits.request;
    match tokio::time::timeout(limit, next.run(request)).await {
        Ok(response) => response,
        Err(_) => ApiError::Timeout { limit }.into_response(),
    }
}
