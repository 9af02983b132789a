//! Whether the service lives, whether it can do its work, and its figures.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use serde::Serialize;
use tokio::sync::Mutex;

use super::error::ApiError;
use super::problem::Problem;
use super::query::NoQuery;
use super::{Api, Service};
use crate::store::{Durability, StoreError};

/// That the service lives, or is ready.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct Status {
    /// `alive` or `ready`.
    pub status: &'static str,
    pub version: &'static str,
}

/// Whether the process answers.
#[utoipa::path(
    get,
    operation_id = "healthz",
    path = "/healthz",
    tag = "service",
    responses((status = 200, description = "The process is alive", body = Status))
)]
pub(super) async fn healthz(_: NoQuery) -> Json<Status> {
    status("alive")
}

/// Whether the service can do its work: the store takes writes (its tables are up to date, or it
/// would not have opened), and every thread of the pipeline is alive.
#[utoipa::path(
    get,
    operation_id = "readyz",
    path = "/readyz",
    tag = "service",
    responses(
        (status = 200, description = "Ready", body = Status),
        (status = 503, description = "Not ready; `reasons` names everything that is not",
         body = Problem, content_type = "application/problem+json")
    )
)]
pub(super) async fn readyz(
    State(service): State<Arc<Service>>,
    _: NoQuery,
) -> Result<Json<Status>, ApiError> {
    let reasons = reasons(&service).await;
    if reasons.is_empty() {
        Ok(status("ready"))
    } else {
        let reasons = reasons.iter().map(NotReady::to_string).collect();
        Err(ApiError::NotReady { reasons })
    }
}

/// Why the service cannot do its work; in English as it stands here, and without any path, for a probe
/// may come from anyone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum NotReady {
    Stopping,
    Unwritable(Unwritable),
    /// The thread of that name.
    Dead(String),
}

/// Why the store takes no writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unwritable {
    InMemory,
    Silent,
    Full,
    ReadOnly,
    Damaged,
    Held,
    Other,
}

impl fmt::Display for NotReady {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Stopping => "the service is stopping",
            Self::Dead(name) => return write!(f, "the thread of {name} has died"),
            Self::Unwritable(why) => match why {
                Unwritable::InMemory => {
                    "the data directory took nothing at the start: alarms are in memory only"
                }
                Unwritable::Silent => "the store cannot be written: its disk does not answer",
                Unwritable::Full => "the store cannot be written: there is no room on its disk",
                Unwritable::ReadOnly => "the store cannot be written: it is read-only",
                Unwritable::Damaged => "the store cannot be written: it is damaged",
                Unwritable::Held => "the store cannot be written: another program holds it",
                Unwritable::Other => "the store cannot be written; the log says why",
            },
        })
    }
}

/// Returns why the service cannot do its work; none when it can.
pub(super) async fn reasons(service: &Service) -> Vec<NotReady> {
    let mut reasons = Vec::new();
    if service.stop.is_cancelled() {
        reasons.push(NotReady::Stopping);
    }
    let unwritable = service.writable.problem(&service.api).await;
    reasons.extend(unwritable.map(NotReady::Unwritable));
    let dead = service.api.threads.dead().into_iter();
    reasons.extend(dead.map(|name| NotReady::Dead(name.clone())));
    reasons
}

/// Everything Plumb counts, for Prometheus.
#[utoipa::path(
    get,
    operation_id = "metrics",
    path = "/metrics",
    tag = "service",
    responses(
        (status = 200, description = "Prometheus' text format, version 0.0.4", body = String,
         content_type = "text/plain; version=0.0.4")
    )
)]
pub(super) async fn metrics(
    State(service): State<Arc<Service>>,
    _: NoQuery,
) -> Result<impl IntoResponse, ApiError> {
    let text = super::figures::render(&service.api).await?;
    let media_type = "text/plain; version=0.0.4; charset=utf-8";
    Ok(([(header::CONTENT_TYPE, media_type)], text))
}

/// What the last try to write to the store showed. Shared, because a try costs an fsync and probes
/// come as often as anyone likes.
#[derive(Default)]
pub(super) struct Writable {
    last: Mutex<Option<(Duration, Option<Unwritable>)>>,
}

impl Writable {
    const FRESH: Duration = Duration::from_secs(2);
    /// A healthy disk needs milliseconds.
    const PATIENCE: Duration = Duration::from_secs(3);

    /// Returns why the store takes no writes; none when it does.
    async fn problem(&self, api: &Api) -> Option<Unwritable> {
        if api.store.durability() == Durability::Volatile {
            return Some(Unwritable::InMemory);
        }
        // Held over the try: those who ask meanwhile get its answer.
        let mut last = self.last.lock().await;
        let now = api.clock.monotonic();
        if let Some((at, problem)) = *last
            && now.saturating_sub(at) < Self::FRESH
        {
            return problem;
        }
        let problem = match tokio::time::timeout(Self::PATIENCE, api.store.probe()).await {
            Ok(Ok(())) => None,
            Ok(Err(error)) => {
                tracing::warn!(%error, "the store takes no writes");
                Some(Unwritable::of(&error))
            }
            Err(_) => Some(Unwritable::Silent),
        };
        *last = Some((now, problem));
        problem
    }
}

fn status(status: &'static str) -> Json<Status> {
    Json(Status {
        status,
        version: env!("CARGO_PKG_VERSION"),
    })
}

impl Unwritable {
    fn of(error: &StoreError) -> Self {
        match error {
            StoreError::Full { .. } => Self::Full,
            StoreError::ReadOnly { .. } => Self::ReadOnly,
            StoreError::Corrupt { .. } => Self::Damaged,
            StoreError::Busy { .. } => Self::Held,
            _ => Self::Other,
        }
    }
}
