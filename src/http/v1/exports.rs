//! Exports by ticket: asked for with a reason, decided by somebody else, downloaded by whoever asked.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use tower_http::services::ServeFile;

use super::alarms::text;
use crate::evidence::Treatment;
use crate::export;
use crate::http::access::Principal;
use crate::http::body::JsonBody;
use crate::http::error::ApiError;
use crate::http::openapi::{BadBody, Conflict, NotFound};
use crate::http::query::{NoQuery, shortened};
use crate::http::{Service, looks};
use crate::store::{AuditOutcome, Decision, NewTicket, Scope, StoreError, TicketId, TicketRecord};

/// Tickets that a list shows.
pub(in crate::http) const SHOWN_MAX: u32 = 200;
/// Days for which a bundle can be downloaded, where none are said, and at the most [P].
const DAYS_DEFAULT: i64 = 7;
const DAYS_MAX: i64 = 30;
const SPAN_MAX_MS: i64 = 31 * 24 * 3600 * 1000;

/// Tickets, newest first.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct TicketList {
    pub tickets: Vec<TicketRecord>,
}

/// What is asked for, and why.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Asking {
    #[schema(min_length = 1, max_length = 2000)]
    pub reason: String,
    pub scope: Scope,
    /// `protected` (pixelated and masked) where nothing is said.
    pub treatment: Option<Treatment>,
    /// Days for which the bundle can be downloaded, 1 to 30; 7 where nothing is said.
    #[schema(minimum = 1, maximum = 30)]
    pub days: Option<i64>,
}

/// A decision's words.
#[derive(Debug, Default, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DecisionNote {
    #[schema(max_length = 2000)]
    pub note: Option<String>,
}

/// The newest tickets: whoever asks sees their own, managers and auditors all.
#[utoipa::path(
    get,
    operation_id = "list_exports",
    path = "/api/v1/exports",
    tag = "exports",
    responses((status = 200, description = "At most 200, newest first", body = TicketList))
)]
pub(crate) async fn list(
    State(service): State<Arc<Service>>,
    who: Principal,
    _: NoQuery,
) -> Result<Json<TicketList>, ApiError> {
    let tickets = seen_by(&service, &who).await?;
    Ok(Json(TicketList { tickets }))
}

/// Returns the tickets that `who` may see.
pub(in crate::http) async fn seen_by(
    service: &Service,
    who: &Principal,
) -> Result<Vec<TicketRecord>, ApiError> {
    use crate::auth::Role;
    let mut tickets = service.api.store.tickets(SHOWN_MAX).await?;
    if !who.roles.any_of(&[Role::Manager, Role::Auditor]) {
        tickets.retain(|ticket| ticket.asked_by == who.actor.as_str());
    }
    Ok(tickets)
}

/// Asks for an export: alarms, all alarms of a camera within a time, at most 50, or its footage, at most 30
/// segments.
#[utoipa::path(
    post,
    operation_id = "ask_export",
    path = "/api/v1/exports",
    tag = "exports",
    request_body = Asking,
    responses(
        (status = 200, description = "The ticket", body = TicketRecord),
        BadBody, NotFound, Conflict
    )
)]
pub(crate) async fn ask(
    State(service): State<Arc<Service>>,
    who: Principal,
    _: NoQuery,
    JsonBody(asking): JsonBody<Asking>,
) -> Result<Json<TicketRecord>, ApiError> {
    let bad = |reason: &str| ApiError::BadBody {
        reason: reason.to_owned(),
    };
    let reason = text("reason", &asking.reason)?.ok_or_else(|| bad("reason is empty"))?;
    let days = asking.days.unwrap_or(DAYS_DEFAULT);
    if !(1..=DAYS_MAX).contains(&days) {
        return Err(bad("days is a number from 1 to 30"));
    }
    if let Scope::Camera { from_ms, to_ms, .. } | Scope::Footage { from_ms, to_ms, .. } =
        &asking.scope
    {
        let span_ms = to_ms.checked_sub(*from_ms).unwrap_or(-1);
        if !(1..=SPAN_MAX_MS).contains(&span_ms) {
            return Err(bad("to_ms lies after from_ms, by 31 days at the most"));
        }
    }
    let new = NewTicket {
        reason: reason.to_owned(),
        scope: asking.scope,
        treatment: asking.treatment.unwrap_or(Treatment::Protected),
        days,
    };
    Ok(Json(service.api.store.ask(&new, &who.actor).await?))
}

/// Approves a ticket: its bundle is made. Nobody approves their own, and no program approves.
#[utoipa::path(
    post,
    operation_id = "approve_export",
    path = "/api/v1/exports/{id}/approve",
    tag = "exports",
    params(("id" = String, Path, description = "The ticket's number")),
    request_body = DecisionNote,
    responses(
        (status = 200, description = "The ticket", body = TicketRecord),
        BadBody, NotFound, Conflict
    )
)]
pub(crate) async fn approve(
    State(service): State<Arc<Service>>,
    who: Principal,
    Path(id): Path<String>,
    _: NoQuery,
    JsonBody(given): JsonBody<DecisionNote>,
) -> Result<Json<TicketRecord>, ApiError> {
    decide(&service, &who, &id, Decision::Approved, &given).await
}

/// Refuses a ticket. Nobody refuses their own, and no program refuses.
#[utoipa::path(
    post,
    operation_id = "refuse_export",
    path = "/api/v1/exports/{id}/refuse",
    tag = "exports",
    params(("id" = String, Path, description = "The ticket's number")),
    request_body = DecisionNote,
    responses(
        (status = 200, description = "The ticket", body = TicketRecord),
        BadBody, NotFound, Conflict
    )
)]
pub(crate) async fn refuse(
    State(service): State<Arc<Service>>,
    who: Principal,
    Path(id): Path<String>,
    _: NoQuery,
    JsonBody(given): JsonBody<DecisionNote>,
) -> Result<Json<TicketRecord>, ApiError> {
    decide(&service, &who, &id, Decision::Refused, &given).await
}

async fn decide(
    service: &Service,
    who: &Principal,
    id: &str,
    decision: Decision,
    given: &DecisionNote,
) -> Result<Json<TicketRecord>, ApiError> {
    let id = parse_id(id)?;
    if who.session.is_none() {
        // A token may be its owner's second name.
        return Err(ApiError::Conflict {
            detail: "A person decides on a ticket, not a program: sign in.".to_owned(),
        });
    }
    let note = text("note", given.note.as_deref().unwrap_or(""))?;
    let decided = service.api.store.decide(id, decision, note, &who.actor);
    let action = match decision {
        Decision::Approved => "export.approved",
        Decision::Refused => "export.refused",
    };
    Ok(Json(noted(service, who, action, id, decided.await).await?))
}

/// The bundle, for whoever asked for it, before it expires. Each download is counted and written
/// down before a byte leaves; its `ETag` is the bundle's SHA-256. Takes no ranges.
#[utoipa::path(
    get,
    operation_id = "download_export",
    path = "/api/v1/exports/{id}/bundle",
    tag = "exports",
    params(("id" = String, Path, description = "The ticket's number")),
    responses(
        (status = 200, description = "The bundle", body = Vec<u8>, content_type = "application/zip"),
        NotFound, Conflict
    )
)]
pub(crate) async fn bundle(
    State(service): State<Arc<Service>>,
    who: Principal,
    Path(id): Path<String>,
    _: NoQuery,
) -> Result<Response, ApiError> {
    let id = parse_id(&id)?;
    let path = export::path_of(&export::folder(&service.api.evidence_root), id);
    let downloaded = service.api.store.download(id, &who.actor).await;
    let ticket = noted(&service, &who, "export.downloaded", id, downloaded).await?;
    let sent = ServeFile::new(&path).try_call(Request::new(Body::empty()));
    let sent = sent
        .await
        .map_err(|error| ApiError::internal("reading a bundle", &error))?;
    if !sent.status().is_success() {
        return Err(ApiError::Conflict {
            detail: format!("The bundle of {id} is not on the disk any more: ask anew."),
        });
    }
    let mut response = sent.map(Body::new).into_response();
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/zip"),
    );
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.remove(header::LAST_MODIFIED);
    let named = format!("attachment; filename=\"plumb-{id}.zip\"");
    for (name, value) in [
        (header::CONTENT_DISPOSITION, named),
        (
            header::ETAG,
            format!("\"{}\"", ticket.sha256.unwrap_or_default()),
        ),
    ] {
        if let Ok(value) = HeaderValue::from_str(&value) {
            headers.insert(name, value);
        }
    }
    Ok(response)
}

/// Writes down that somebody tried what only another may do with a ticket, and hands the outcome on.
async fn noted(
    service: &Service,
    who: &Principal,
    action: &'static str,
    id: TicketId,
    outcome: Result<TicketRecord, StoreError>,
) -> Result<TicketRecord, ApiError> {
    if let Err(StoreError::OwnTicket(_) | StoreError::OthersTicket(_)) = &outcome {
        let refused = AuditOutcome::Refused;
        looks::note(service, who, action, &id.to_string(), refused).await?;
    }
    Ok(outcome?)
}

fn parse_id(text: &str) -> Result<TicketId, ApiError> {
    let number = text.strip_prefix("E-").unwrap_or(text);
    let parsed = number.parse().ok().filter(|number| *number > 0);
    parsed.map(TicketId).ok_or_else(|| ApiError::BadId {
        what: "a ticket",
        text: shortened(text),
        allowed: "a number such as 17",
    })
}
