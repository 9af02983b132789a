//! The log of what was done, for auditors, and signed checkpoints of it to keep elsewhere.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::IntoParams;

use crate::audit::Checkpoint;
use crate::http::Service;
use crate::http::error::ApiError;
use crate::http::openapi::NotFound;
use crate::http::query::{Given, NoQuery, Parameters, Query};
use crate::store::{AuditFilter, AuditRecord};

const LIMIT_DEFAULT: u32 = 100;
const LIMIT_MAX: u32 = 500;
const TEXT_CHARS_MAX: usize = 200;

/// Which rows are wanted; what is left out does not matter.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(
    dead_code,
    reason = "its fields are what OpenAPI names; `Wanted` holds the checked values"
)]
pub(crate) struct AuditQuery {
    /// Done by this account, or by `token:` and a token's name.
    who: Option<String>,
    /// E.g. `alarm.closed`.
    action: Option<String>,
    /// Done to this: an id or a name.
    object: Option<String>,
    /// Rows before this one.
    #[param(minimum = 1)]
    before: Option<i64>,
    /// Rows a page.
    #[param(minimum = 1, maximum = 500, default = 100)]
    limit: Option<u32>,
}

/// The checked parameters of [`AuditQuery`].
pub(crate) struct Wanted {
    pub(crate) filter: AuditFilter,
    pub(crate) limit: u32,
}

impl Parameters for Wanted {
    type Named = AuditQuery;

    fn read(given: &Given) -> Result<Self, ApiError> {
        let text = |name| {
            given.checked(name, "at most 200 characters", |text| {
                (text.chars().count() <= TEXT_CHARS_MAX).then(|| text.to_owned())
            })
        };
        let limit = given.checked("limit", "a number from 1 to 500", |text| {
            text.parse()
                .ok()
                .filter(|limit| (1..=LIMIT_MAX).contains(limit))
        })?;
        Ok(Self {
            filter: AuditFilter {
                who: text("who")?,
                action: text("action")?,
                object: text("object")?,
                before: given.checked("before", "the seq of a row", |text| {
                    text.parse().ok().filter(|seq| *seq > 0)
                })?,
            },
            limit: limit.unwrap_or(LIMIT_DEFAULT),
        })
    }
}

/// Some rows, newest first.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct AuditList {
    pub rows: Vec<AuditRecord>,
    /// Give it as `before` for the next page; none on the last one.
    pub next_before: Option<i64>,
}

/// What was done, newest first.
#[utoipa::path(
    get,
    operation_id = "list_audit",
    path = "/api/v1/audit",
    tag = "audit",
    params(AuditQuery),
    responses((status = 200, description = "A page", body = AuditList))
)]
pub(crate) async fn list(
    State(service): State<Arc<Service>>,
    Query(wanted): Query<Wanted>,
) -> Result<Json<AuditList>, ApiError> {
    let Wanted { filter, limit } = wanted;
    let rows = service.api.store.audit_page(&filter, limit).await?;
    let is_full = rows.len() == usize::try_from(limit).unwrap_or(usize::MAX);
    let oldest = rows.last().map(|row| row.seq).filter(|seq| *seq > 1);
    Ok(Json(AuditList {
        next_before: oldest.filter(|_| is_full),
        rows,
    }))
}

/// A checkpoint of the log as it is now, signed. Kept elsewhere, it shows later that a row up to it
/// was changed or cut off: `plumb audit verify --checkpoint FILE`.
#[utoipa::path(
    get,
    operation_id = "audit_checkpoint",
    path = "/api/v1/audit/checkpoint",
    tag = "audit",
    responses((status = 200, description = "The checkpoint", body = Checkpoint), NotFound)
)]
pub(crate) async fn checkpoint(
    State(service): State<Arc<Service>>,
    _: NoQuery,
) -> Result<Json<Checkpoint>, ApiError> {
    let none = || ApiError::NotFound {
        what: "audit log on a disk, or key to sign it with, for checkpoint",
        id: "now".to_owned(),
    };
    let key = service.api.audit_key.as_ref().ok_or_else(none)?;
    let signed = service.api.store.checkpoint(key).await?;
    Ok(Json(signed.ok_or_else(none)?))
}
