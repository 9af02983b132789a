//! Who asks: so that a program can try its token, and a page knows what to show.

use axum::Json;
use serde::Serialize;

use crate::auth::Roles;
use crate::http::access::Principal;
use crate::http::query::NoQuery;

/// Who asks.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct Own {
    /// An account's name, or `token:` and a token's.
    pub name: String,
    pub roles: Roles,
    /// The password is a one-time one and opens nothing but the page on which it is changed.
    pub must_change_password: bool,
}

/// Whoever shows this session or token.
#[utoipa::path(
    get,
    operation_id = "session",
    path = "/api/v1/session",
    tag = "people",
    responses((status = 200, description = "Who asks", body = Own))
)]
pub(crate) async fn own(who: Principal, _: NoQuery) -> Json<Own> {
    let session = who.session.as_ref();
    Json(Own {
        name: who.actor.as_str().to_owned(),
        must_change_password: session.is_some_and(|session| session.must_change_password),
        roles: who.roles,
    })
}
