//! Shelving: alarms of a camera or of a kind that are kept and counted for a time, and announced to
//! nobody.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::{Path, State};
use serde::{Deserialize, Serialize};

use super::cameras;
use crate::alarm::AlarmKind;
use crate::auth::Role;
use crate::http::Service;
use crate::http::access::Principal;
use crate::http::body::JsonBody;
use crate::http::error::ApiError;
use crate::http::openapi::{BadBody, Conflict, NotFound};
use crate::http::query::{NoQuery, shortened};
use crate::store::{NewShelf, SHELF_MAX, ShelfRecord};

/// Shelves that have ended, as many as a list shows.
pub(in crate::http) const ENDED_MAX: u32 = 50;
const REASON_CHARS_MAX: usize = 200;

/// Who may shelve a kind for every camera: that can silence a whole compound.
pub(in crate::http) const EVERYWHERE: &[Role] = &[Role::Manager];

/// What is and was shelved.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct ShelfList {
    /// What holds, the one that ends first at the top.
    pub open: Vec<ShelfRecord>,
    /// The newest that have ended.
    pub ended: Vec<ShelfRecord>,
}

/// What is to be shelved: a camera, a kind, or a kind of one camera.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Shelving {
    /// A camera of the config; left out, every camera, which only a manager may.
    #[serde(default)]
    pub camera: Option<String>,
    /// Left out, every kind.
    #[serde(default)]
    pub kind: Option<AlarmKind>,
    /// It ends by itself after this time.
    #[schema(minimum = 1, maximum = 480)]
    pub minutes: u64,
    /// Why; stands on the board and in the audit log.
    #[schema(min_length = 1, max_length = 200)]
    pub reason: String,
}

/// What is shelved, by whom, why and until when, and what has ended lately.
#[utoipa::path(
    get,
    operation_id = "list_shelves",
    path = "/api/v1/shelves",
    tag = "shelves",
    responses((status = 200, description = "What holds and what has ended", body = ShelfList))
)]
pub(crate) async fn list(
    State(service): State<Arc<Service>>,
    _: NoQuery,
) -> Result<Json<ShelfList>, ApiError> {
    let store = &service.api.store;
    Ok(Json(ShelfList {
        open: store.open_shelves().await?,
        ended: store.ended_shelves(ENDED_MAX).await?,
    }))
}

/// Shelves alarms. Those that are raised while it holds are kept and counted, and neither shown on
/// the board nor sent to receivers (but to those with `shelved = true`); alarms of before stay.
/// When it ends, what is still going on is announced.
#[utoipa::path(
    post,
    operation_id = "shelve",
    path = "/api/v1/shelves",
    tag = "shelves",
    request_body = Shelving,
    responses(
        (status = 200, description = "What is shelved", body = ShelfRecord),
        BadBody, NotFound, Conflict
    )
)]
pub(crate) async fn shelve(
    State(service): State<Arc<Service>>,
    who: Principal,
    _: NoQuery,
    JsonBody(given): JsonBody<Shelving>,
) -> Result<Json<ShelfRecord>, ApiError> {
    let bad = |reason: String| ApiError::BadBody { reason };
    let camera = match &given.camera {
        Some(id) => Some(cameras::find(&service.api, id)?.id.clone()),
        None => None,
    };
    if camera.is_none() && given.kind.is_none() {
        return Err(bad("give a camera, a kind or both".to_owned()));
    }
    if camera.is_none() && !who.roles.any_of(EVERYWHERE) {
        return Err(ApiError::NotAllowed { roles: EVERYWHERE });
    }
    let lasts = Duration::from_secs(given.minutes.saturating_mul(60));
    if lasts.is_zero() || lasts > SHELF_MAX {
        let most = SHELF_MAX.as_secs() / 60;
        return Err(bad(format!("minutes is a number from 1 to {most}")));
    }
    let reason = given.reason.trim();
    if reason.is_empty() || reason.chars().count() > REASON_CHARS_MAX {
        return Err(bad(format!("reason is 1 to {REASON_CHARS_MAX} characters")));
    }
    let new = NewShelf {
        camera,
        kind: given.kind,
        lasts,
        reason: reason.to_owned(),
    };
    Ok(Json(service.api.store.shelve(&new, &who.actor).await?))
}

/// Ends a shelf before its time; what is still going on is announced. A second time changes nothing.
#[utoipa::path(
    post,
    operation_id = "unshelve",
    path = "/api/v1/shelves/{id}/end",
    tag = "shelves",
    params(("id" = i64, Path, description = "The shelf's number")),
    responses((status = 200, description = "What was shelved", body = ShelfRecord), NotFound)
)]
pub(crate) async fn unshelve(
    State(service): State<Arc<Service>>,
    who: Principal,
    Path(id): Path<String>,
    _: NoQuery,
) -> Result<Json<ShelfRecord>, ApiError> {
    let number = id.parse().map_err(|_| ApiError::BadId {
        what: "a shelf",
        text: shortened(&id),
        allowed: "a number such as 12",
    })?;
    Ok(Json(service.api.store.unshelve(number, &who.actor).await?))
}
