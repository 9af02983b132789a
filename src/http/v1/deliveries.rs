//! Deliveries: how full the outbox is, dead letters, and sending them again.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use serde::Serialize;
use utoipa::IntoParams;

use crate::http::Service;
use crate::http::access::Principal;
use crate::http::error::ApiError;
use crate::http::openapi::{Conflict, NotFound};
use crate::http::query::{Given, NoQuery, Parameters, Query, shortened};
use crate::store::{DeliveryId, DeliveryRecord, DeliveryState, EndpointRecord, OutboxCount};

const LIMIT_DEFAULT: u32 = 50;
const LIMIT_MAX: u32 = 200;

/// Which deliveries are wanted.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(
    dead_code,
    reason = "its fields are what OpenAPI names; `Wanted` holds the checked values"
)]
pub(crate) struct DeliveryQuery {
    /// Only `dead`, which is also what is listed without it: the others stand with their alarms.
    #[param(value_type = Option<String>, pattern = "^dead$", example = "dead")]
    state: Option<String>,
    /// Deliveries at the most.
    #[param(minimum = 1, maximum = 200, default = 50)]
    limit: Option<u32>,
}

/// The checked parameters of [`DeliveryQuery`].
pub(crate) struct Wanted {
    limit: u32,
}

impl Parameters for Wanted {
    type Named = DeliveryQuery;

    fn read(given: &Given) -> Result<Self, ApiError> {
        let dead = "dead, or leave it out; an alarm's other deliveries stand with the alarm";
        given.checked("state", dead, |text| (text == "dead").then_some(()))?;
        let limit = given.checked("limit", "a number from 1 to 200", |text| {
            text.parse()
                .ok()
                .filter(|limit| (1..=LIMIT_MAX).contains(limit))
        })?;
        Ok(Self {
            limit: limit.unwrap_or(LIMIT_DEFAULT),
        })
    }
}

/// Dead letters, and how the outbox is.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct DeliveryList {
    /// Dead letters, longest dead first. Send them again, and the next ones come into view.
    pub deliveries: Vec<DeliveryRecord>,
    /// How full the outbox is, an entry per endpoint.
    pub outbox: Vec<OutboxCount>,
    pub endpoints: Vec<EndpointRecord>,
}

/// A delivery that is sent again.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct DeliveryQueued {
    #[schema(value_type = String)]
    pub id: DeliveryId,
    pub state: DeliveryState,
}

/// Dead letters, and how full the outbox is for each endpoint.
#[utoipa::path(
    get,
    operation_id = "list_deliveries",
    path = "/api/v1/deliveries",
    tag = "deliveries",
    params(DeliveryQuery),
    responses((status = 200, description = "Longest dead first", body = DeliveryList))
)]
pub(crate) async fn list(
    State(service): State<Arc<Service>>,
    Query(wanted): Query<Wanted>,
) -> Result<Json<DeliveryList>, ApiError> {
    let store = &service.api.store;
    Ok(Json(DeliveryList {
        deliveries: store.dead_letters(wanted.limit).await?,
        outbox: store.outbox_counts().await?,
        endpoints: store.endpoints().await?,
    }))
}

/// Sends a dead letter again, with the whole schedule of attempts before it.
#[utoipa::path(
    post,
    operation_id = "retry_delivery",
    path = "/api/v1/deliveries/{id}/retry",
    tag = "deliveries",
    params(("id" = String, Path, description = "The delivery's id, as in `webhook-id`")),
    responses(
        (status = 200, description = "It is queued", body = DeliveryQueued),
        NotFound, Conflict
    )
)]
pub(crate) async fn retry(
    State(service): State<Arc<Service>>,
    who: Principal,
    Path(id): Path<String>,
    _: NoQuery,
) -> Result<Json<DeliveryQueued>, ApiError> {
    let id: DeliveryId = id.parse().map_err(|_| ApiError::BadId {
        what: "a delivery",
        text: shortened(&id),
        allowed: "msg_ and 32 hexadecimal digits",
    })?;
    service.api.store.requeue(&id, &who.actor).await?;
    Ok(Json(DeliveryQueued {
        id,
        state: DeliveryState::Pending,
    }))
}
