//! Exports by ticket: ask, decide, download. Each sees what they may: operators their own tickets,
//! managers and auditors all.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::response::Response;

use super::language::Language;
use super::texts::lacks::lack;
use super::view::camera_name;
use super::{Frame, page};
use crate::auth::Role;
use crate::http::access::Principal;
use crate::http::error::ApiError;
use crate::http::query::NoQuery;
use crate::http::v1::exports::seen_by;
use crate::http::{Api, Service};
use crate::store::{Scope, TicketRecord, TicketState};

#[derive(Template)]
#[template(path = "exports.html", config = "src/http/ui/askama.toml")]
struct ExportsPage {
    frame: Frame,
    may_ask: bool,
    cameras: Vec<(String, String)>,
    tickets: Vec<TicketView>,
}

struct TicketView {
    number: String,
    id: i64,
    reason: String,
    scope: String,
    span: Option<(i64, i64)>,
    /// None where footage is asked for.
    alarms: Option<usize>,
    treatment: &'static str,
    is_plain: bool,
    asked_by: String,
    asked_at_ms: i64,
    tone: &'static str,
    is_making: bool,
    state: &'static str,
    decided: Option<(String, i64)>,
    note: Option<String>,
    failure: Option<String>,
    expires_at_ms: Option<i64>,
    size: Option<String>,
    sha256: Option<String>,
    downloads: i64,
    may_decide: bool,
    may_download: bool,
}

/// The page.
pub(crate) async fn show(
    State(service): State<Arc<Service>>,
    who: Principal,
    language: Language,
    _: NoQuery,
) -> Result<Response, ApiError> {
    let api = &service.api;
    let frame = Frame::of(language, "/exports", &who);
    let tickets = seen_by(&service, &who).await?;
    let is_manager = frame.is(&[Role::Manager]);
    let view = |ticket| TicketView::new(api, language, ticket, who.actor.as_str(), is_manager);
    page(&ExportsPage {
        may_ask: frame.is(&[Role::Operator, Role::Manager]),
        cameras: api
            .cameras
            .iter()
            .map(|camera| (camera.id.to_string(), camera.name.clone()))
            .collect(),
        tickets: tickets.into_iter().map(view).collect(),
        frame,
    })
}

impl TicketView {
    fn new(
        api: &Api,
        language: Language,
        ticket: TicketRecord,
        own: &str,
        is_manager: bool,
    ) -> Self {
        let (r, f) = (language.records(), language.footage());
        let is_own = ticket.asked_by == own;
        let holds = api.store.holds(&ticket);
        let is_making = ticket.state == TicketState::Making;
        let (state, tone) = match ticket.state {
            TicketState::Asked => (r.ticket_asked, "warn"),
            TicketState::Refused => (r.ticket_refused, "bad"),
            TicketState::Making => (r.ticket_making, "warn"),
            TicketState::Ready => (r.ticket_ready, "good"),
            TicketState::Failed => (r.ticket_failed, "bad"),
            TicketState::Expired => (r.ticket_expired, "closed"),
        };
        let (scope, span) = match &ticket.scope {
            Scope::Alarms(_) => (r.scope_alarms.to_owned(), None),
            Scope::Camera {
                camera,
                from_ms,
                to_ms,
            } => (camera_name(api, camera), Some((*from_ms, *to_ms))),
            Scope::Footage {
                camera,
                from_ms,
                to_ms,
            } => (
                format!("{}: {}", f.footage, camera_name(api, camera)),
                Some((*from_ms, *to_ms)),
            ),
        };
        let is_plain = ticket.treatment == crate::evidence::Treatment::Plain;
        Self {
            number: ticket.id.to_string(),
            id: ticket.id.0,
            scope,
            span,
            alarms: (!ticket.alarms.is_empty()).then_some(ticket.alarms.len()),
            treatment: if is_plain {
                r.treatment_plain
            } else {
                r.treatment_protected
            },
            is_plain,
            tone,
            is_making,
            state,
            decided: ticket
                .decided_by
                .map(|by| api.store.name_of(&by))
                .zip(ticket.decided_at_ms),
            note: ticket.decision_note,
            failure: (ticket.failure.as_deref()).map(|kept| lack(language, kept)),
            expires_at_ms: ticket.expires_at_ms,
            size: ticket
                .size_bytes
                .map(|bytes| format!("{:.1} MB", bytes as f64 / 1e6)),
            sha256: ticket.sha256,
            downloads: ticket.downloads,
            may_decide: is_manager && !is_own && ticket.state == TicketState::Asked,
            may_download: is_own && holds && ticket.state == TicketState::Ready,
            reason: ticket.reason,
            asked_by: api.store.name_of(&ticket.asked_by),
            asked_at_ms: ticket.asked_at_ms,
        }
    }
}
