//! Legal hold: a manager keeps an alarm's evidence from being deleted, with a reason, and lets go of
//! it the same way.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use serde::Deserialize;

use super::alarms::{parse_id, text};
use crate::http::Service;
use crate::http::access::Principal;
use crate::http::body::JsonBody;
use crate::http::error::ApiError;
use crate::http::openapi::{BadBody, Conflict, NotFound};
use crate::http::query::NoQuery;
use crate::store::AlarmRecord;

/// Why.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Reason {
    #[schema(min_length = 1, max_length = 2000)]
    pub reason: String,
}

impl Reason {
    /// Returns the reason without the blanks around it. Fails when nothing is left.
    pub(super) fn checked(&self) -> Result<&str, ApiError> {
        text("reason", &self.reason)?.ok_or_else(|| ApiError::BadBody {
            reason: "reason is empty".to_owned(),
        })
    }
}

/// Holds the alarm's evidence: no rule deletes it until it is released. A second time changes
/// nothing; the first reason stands.
#[utoipa::path(
    post,
    operation_id = "hold_alarm",
    path = "/api/v1/alarms/{id}/hold",
    tag = "alarms",
    params(("id" = String, Path, description = "The alarm's id, a UUID")),
    request_body = Reason,
    responses(
        (status = 200, description = "The alarm", body = AlarmRecord),
        BadBody, NotFound, Conflict
    )
)]
pub(crate) async fn hold(
    State(service): State<Arc<Service>>,
    who: Principal,
    Path(id): Path<String>,
    _: NoQuery,
    JsonBody(given): JsonBody<Reason>,
) -> Result<Json<AlarmRecord>, ApiError> {
    let (id, reason) = (parse_id(&id)?, given.checked()?);
    let held = service.api.store.hold(id, reason, &who.actor);
    Ok(Json(held.await?))
}

/// Releases the alarm's evidence: it is kept as any other's again.
#[utoipa::path(
    post,
    operation_id = "release_alarm",
    path = "/api/v1/alarms/{id}/release",
    tag = "alarms",
    params(("id" = String, Path, description = "The alarm's id, a UUID")),
    request_body = Reason,
    responses(
        (status = 200, description = "The alarm", body = AlarmRecord),
        BadBody, NotFound, Conflict
    )
)]
pub(crate) async fn release(
    State(service): State<Arc<Service>>,
    who: Principal,
    Path(id): Path<String>,
    _: NoQuery,
    JsonBody(given): JsonBody<Reason>,
) -> Result<Json<AlarmRecord>, ApiError> {
    let (id, reason) = (parse_id(&id)?, given.checked()?);
    let released = service.api.store.release(id, reason, &who.actor);
    Ok(Json(released.await?))
}
