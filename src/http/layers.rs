//! What every request passes: an id and a span, the guard before the handler, and the way out
//! (problem bodies, headers, metrics). The order stands in `router` in the parent module.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tracing::Instrument;

use super::Service;
use super::error::ApiError;

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
    let mut response = with_problem(response, &path, &id);
    add_headers(response.headers_mut(), &id);
    let status = response.status().as_u16();
    tracing::debug!(parent: &span, http.status = status, elapsed_ms = elapsed.as_millis(), "answered");
    record(route, status, elapsed);
    response
}

/// Writes the problem body of a failed answer.
fn with_problem(mut response: Response, path: &str, id: &str) -> Response {
    let error = match response.extensions_mut().remove::<ApiError>() {
        Some(error) => error,
        None => match ApiError::of_bare_status(response.status()) {
            Some(error) => error,
            None => return response,
        },
    };
    let (mut head, _) = response.into_parts();
    let problem = error.problem(path, id);
    let body = serde_json::to_vec(&problem).expect("a problem is plain text and numbers");
    let media_type = HeaderValue::from_static("application/problem+json");
    head.headers.insert(header::CONTENT_TYPE, media_type);
    head.headers.remove(header::CONTENT_LENGTH);
    Response::from_parts(head, Body::from(body))
}

fn add_headers(headers: &mut HeaderMap, id: &str) {
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
    let id = HeaderValue::from_str(id).expect("an id is hexadecimal");
    headers.insert(REQUEST_ID, id);
}

fn record(route: String, status: u16, elapsed: Duration) {
    metrics::histogram!("plumb_http_request_seconds", "route" => route.clone()).record(elapsed);
    let status = status.to_string();
    metrics::counter!("plumb_http_requests_total", "route" => route, "status" => status)
        .increment(1);
}

/// Before the handlers of routes that are not for anyone: who may ask, and how many at once.
pub(super) async fn guard(
    State(service): State<Arc<Service>>,
    request: Request,
    next: Next,
) -> Response {
    let headers = request.headers();
    if let Err(error) = check_host(headers, &service.api.hosts) {
        return error.into_response();
    }
    if let Err(error) = check_origin(request.method(), headers) {
        return error.into_response();
    }
    // Full: refused at once rather than queued, so that an answer is never older than its timeout.
    match service.requests.try_acquire() {
        Ok(_permit) => next.run(request).await,
        Err(_) => ApiError::Busy { what: "requests" }.into_response(),
    }
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

/// Refuses a name that is not the service's: a page elsewhere can make a name of its own resolve
/// to this machine (DNS rebinding), but it cannot make the browser send another one. An address
/// cannot be rebound, and a program that sends no Host is no browser.
fn check_host(headers: &HeaderMap, hosts: &[String]) -> Result<(), ApiError> {
    let Some(host) = headers.get(header::HOST) else {
        return Ok(());
    };
    let host = host.to_str().unwrap_or("?");
    let authority: Option<Authority> = host.parse().ok();
    let name = authority.as_ref().map_or("?", Authority::host);
    let is_address = name.trim_matches(['[', ']']).parse::<IpAddr>().is_ok();
    let is_named = hosts.iter().any(|own| own.eq_ignore_ascii_case(name));
    if is_address || is_named || name.eq_ignore_ascii_case("localhost") {
        return Ok(());
    }
    Err(ApiError::ForeignHost {
        host: super::query::shortened(host),
    })
}

/// Refuses a change that a page of another origin asks for. A program sends no Origin.
fn check_origin(method: &Method, headers: &HeaderMap) -> Result<(), ApiError> {
    let Some(origin) = headers.get(header::ORIGIN).filter(|_| !method.is_safe()) else {
        return Ok(());
    };
    let origin = origin.to_str().unwrap_or("?");
    let authority = origin.split_once("://").map(|(_, authority)| authority);
    let host = headers
        .get(header::HOST)
        .and_then(|host| host.to_str().ok());
    if authority.is_some() && authority == host {
        Ok(())
    } else {
        Err(ApiError::ForeignOrigin)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(HeaderName, &'static str)]) -> HeaderMap {
        let pairs = pairs.iter().cloned();
        pairs
            .map(|(name, value)| (name, HeaderValue::from_static(value)))
            .collect()
    }

    #[test]
    fn a_name_that_could_be_rebound_is_refused() {
        let own = ["plumb.example".to_owned()];
        for host in [
            "localhost",
            "LOCALHOST:8080",
            "127.0.0.1:1",
            "[::1]:80",
            "Plumb.example",
        ] {
            assert!(
                check_host(&headers(&[(header::HOST, host)]), &own).is_ok(),
                "{host}"
            );
        }
        for host in [
            "evil.example",
            "localhost.evil.example",
            "127.0.0.1.evil.example:80",
            "",
        ] {
            assert!(
                check_host(&headers(&[(header::HOST, host)]), &own).is_err(),
                "{host}"
            );
        }
        assert!(check_host(&HeaderMap::new(), &own).is_ok());
    }

    #[test]
    fn only_the_own_origin_may_change_anything() {
        let from = |origin| headers(&[(header::HOST, "localhost:80"), (header::ORIGIN, origin)]);
        assert!(check_origin(&Method::POST, &from("http://localhost:80")).is_ok());
        assert!(check_origin(&Method::POST, &HeaderMap::new()).is_ok());
        for other in ["http://evil.example", "null", "http://localhost:81"] {
            assert!(
                check_origin(&Method::POST, &from(other)).is_err(),
                "{other}"
            );
            assert!(check_origin(&Method::GET, &from(other)).is_ok(), "{other}");
        }
    }
}
