//! What a person has looked through.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};

use crate::http::Service;
use crate::http::access::Principal;
use crate::http::body::JsonBody;
use crate::http::error::ApiError;
use crate::http::openapi::{BadBody, NotFound};
use crate::http::query::NoQuery;
use crate::id::AlarmId;

/// As many as a page of a list holds.
const ALARMS_MAX: usize = 200;

/// What was looked through.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewReview {
    #[schema(value_type = Vec<String>, max_items = 200)]
    pub alarms: Vec<AlarmId>,
}

/// What is left.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct ReviewStanding {
    /// Alarms of the request that were not marked before.
    pub marked: u32,
    /// Events that whoever asks has not looked through.
    pub unreviewed: u32,
}

/// Marks alarms as looked through by whoever asks. A second time changes nothing; camera faults are
/// not reviewed.
#[utoipa::path(
    post,
    operation_id = "mark_reviewed",
    path = "/api/v1/reviews",
    tag = "alarms",
    request_body = NewReview,
    responses(
        (status = 200, description = "What is left", body = ReviewStanding),
        BadBody, NotFound
    )
)]
pub(crate) async fn mark(
    State(service): State<Arc<Service>>,
    who: Principal,
    _: NoQuery,
    JsonBody(new): JsonBody<NewReview>,
) -> Result<Json<ReviewStanding>, ApiError> {
    if new.alarms.len() > ALARMS_MAX {
        let reason = format!("alarms holds more than {ALARMS_MAX} ids");
        return Err(ApiError::BadBody { reason });
    }
    let store = &service.api.store;
    let marked = store.mark_reviewed(&new.alarms, &who.actor).await?;
    let unreviewed = store.unreviewed(who.actor.as_str()).await?;
    Ok(Json(ReviewStanding { marked, unreviewed }))
}
