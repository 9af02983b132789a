//! The OpenAPI document: the table of routes in words that programs read.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use bytes::Bytes;
use utoipa::openapi::path::Operation;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{ContentBuilder, Ref, RefOr, Response, ResponseBuilder};
use utoipa::{IntoResponses, Modify, OpenApi};

use super::problem::Problem;
use super::query::NoQuery;
use super::{Access, Service, Shows, routes, status, v1};
use crate::store::AlarmSnapshot;

/// Returns the document.
pub fn document() -> utoipa::openapi::OpenApi {
    let mut document = Described::openapi();
    for route in routes()
        .into_iter()
        .filter(|route| route.shows == Shows::Data)
    {
        let Some(item) = document.paths.paths.get_mut(route.path) else {
            continue;
        };
        let operation = match route.method {
            "POST" => item.post.as_mut(),
            "PUT" => item.put.as_mut(),
            _ => item.get.as_mut(),
        };
        if let Some(operation) = operation {
            add_common(operation, route.access);
        }
    }
    document
}

/// The document's text; it never changes while the program runs.
pub(super) fn document_bytes() -> Bytes {
    serde_json::to_vec(&document())
        .expect("it is made of texts and numbers")
        .into()
}

/// This document.
#[utoipa::path(
    get,
    operation_id = "openapi",
    path = "/openapi.json",
    tag = "service",
    responses((status = 200, description = "OpenAPI 3.1", body = Object))
)]
pub(super) async fn serve(State(service): State<Arc<Service>>, _: NoQuery) -> impl IntoResponse {
    (
        [(header::CONTENT_TYPE, "application/json")],
        service.document.clone(),
    )
}

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Plumb",
        description = "Alarms of falling objects and of e-bikes in elevators. Times that end in \
            `_at_ms` are Unix milliseconds, those that end in `_at_s` seconds since the stream's \
            first frame; coordinates are pixels of the full picture. Programs show a token in the \
            header `Authorization: Bearer`; `x-roles` names the roles of which it must have one."
    ),
    modifiers(&Token),
    paths(
        status::healthz,
        status::readyz,
        status::metrics,
        serve,
        v1::alarms::list,
        v1::stream::stream,
        v1::shelves::list,
        v1::shelves::shelve,
        v1::shelves::unshelve,
        v1::alarms::one,
        v1::alarms::acknowledge,
        v1::alarms::close,
        v1::alarms::assign,
        v1::alarms::note,
        v1::holds::hold,
        v1::holds::release,
        v1::reports::acceptance,
        v1::reports::acceptance_csv,
        v1::exports::list,
        v1::exports::ask,
        v1::exports::approve,
        v1::exports::refuse,
        v1::exports::bundle,
        v1::evidence::file,
        v1::cameras::list,
        v1::cameras::one,
        v1::snapshot::newest,
        v1::footage::list,
        v1::footage::segment,
        v1::reviews::mark,
        v1::live::watch,
        v1::scene::read,
        v1::scene::change,
        v1::scene::check,
        v1::scene::picture,
        v1::deliveries::list,
        v1::deliveries::retry,
        v1::session::own,
        v1::session::code,
        v1::audit::list,
        v1::audit::checkpoint,
        v1::checks::check,
        v1::replays::list,
        v1::replays::begin,
        v1::replays::one,
        v1::replays::cancel,
        v1::replays::recordings,
        v1::accounts::list,
        v1::accounts::add,
        v1::accounts::set_roles,
        v1::accounts::set_display_name,
        v1::accounts::reset_password,
        v1::accounts::remove_second_factor,
        v1::accounts::disable,
        v1::accounts::enable,
        v1::tokens::list,
        v1::tokens::add,
        v1::tokens::revoke,
    ),
    components(schemas(Problem, AlarmSnapshot)),
    tags(
        (name = "alarms", description = "What happened, its evidence, and what people did about it"),
        (name = "reports", description = "Figures that a community hands in"),
        (name = "shelves", description = "Alarms that are kept and not announced for a time"),
        (name = "exports", description = "Evidence that leaves the house, by ticket"),
        (name = "footage", description = "The cameras' ordinary video, where it is kept"),
        (name = "cameras", description = "The cameras and their health"),
        (name = "deliveries", description = "Webhooks that wait or were given up"),
        (name = "audit", description = "What was done by whom, and proof of it"),
        (name = "people", description = "Accounts, roles and tokens"),
        (name = "service", description = "Probes, metrics, this document")
    )
)]
struct Described;

/// Says how a program shows who it is.
struct Token;

impl Modify for Token {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let bearer = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
        let components = document.components.get_or_insert_default();
        components.add_security_scheme("token", bearer);
    }
}

/// Adds what holds for every route: the roles, and the failures that any request can meet.
fn add_common(operation: &mut Operation, access: Access) {
    let roles_json = serde_json::to_value(access).expect("roles are words");
    let extensions = operation.extensions.get_or_insert_default();
    extensions.insert("x-roles".to_owned(), roles_json);
    let mut common = vec![
        (
            "400",
            "A parameter, header, id or body that does not fit, or an unknown one",
        ),
        (
            "500",
            "Something failed inside; the log tells more under the request_id",
        ),
        (
            "503",
            "Too busy, too slow, or stopping: try again after Retry-After",
        ),
    ];
    if access != Access::Anyone {
        operation.security = Some(vec![SecurityRequirement::new::<_, _, String>("token", [])]);
        common.push(("401", "Neither a token nor a session that holds"));
        common.push((
            "403",
            "The roles do not suffice, or a page of another origin or of an old session asks",
        ));
        common.push(("421", "The Host header names another service"));
    }
    let responses = &mut operation.responses.responses;
    for (status, description) in common {
        let known = responses.contains_key(status);
        if !known {
            responses.insert(status.to_owned(), problem(description));
        }
    }
}

fn problem(description: &str) -> RefOr<Response> {
    let content = ContentBuilder::new()
        .schema(Some(Ref::from_schema_name("Problem")))
        .build();
    let response = ResponseBuilder::new().description(description);
    response
        .content("application/problem+json", content)
        .build()
        .into()
}

macro_rules! problem_response {
    ($(#[$doc:meta])* $name:ident, $([$status:literal, $description:literal]),+) => {
        $(#[$doc])*
        pub(super) struct $name;

        impl IntoResponses for $name {
            fn responses() -> BTreeMap<String, RefOr<Response>> {
                [$(($status.to_owned(), problem($description))),+].into()
            }
        }
    };
}

problem_response!(
    /// Of routes with an id.
    NotFound,
    ["404", "There is no such thing"]
);
problem_response!(
    /// Of routes that change a state.
    Conflict,
    ["409", "Its state does not allow it"]
);
problem_response!(
    /// Of the change of a scene.
    BadScene,
    ["412", "Somebody else has changed the scene meanwhile"],
    ["422", "The scene cannot be; `key` names the field"],
    ["428", "The header If-Match is missing"]
);
problem_response!(
    /// Of routes that take a second factor's code.
    WrongCode,
    ["422", "The code is wrong, was used before, or the account is locked"],
    ["429", "Too many failed tries from this address"]
);
problem_response!(
    /// Of routes that take a JSON body.
    BadBody,
    ["413", "The body is too large"],
    ["415", "The body is not application/json"]
);
