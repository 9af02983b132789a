//! Who asks: so that a program can try its token, and a page knows what to show.

use std::net::IpAddr;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};

use crate::auth::Roles;
use crate::http::Service;
use crate::http::access::Principal;
use crate::http::body::JsonBody;
use crate::http::error::ApiError;
use crate::http::openapi::{BadBody, WrongCode};
use crate::http::query::NoQuery;
use crate::store::StoreError;

/// Who asks.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct Own {
    /// An account's name, or `token:` and a token's.
    pub name: String,
    pub roles: Roles,
    /// The password is a one-time one and opens nothing but the page on which it is changed.
    pub must_change_password: bool,
    /// The second factor's code is due: until it is shown nothing else is opened.
    pub must_show_code: bool,
    /// A role asks for a second factor: until it is turned on nothing else is opened.
    pub must_add_second_factor: bool,
}

/// What an app shows, or a recovery code.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ShownCode {
    #[schema(max_length = 64)]
    pub code: String,
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
        must_show_code: session.is_some_and(|session| session.must_show_code),
        must_add_second_factor: session.is_some_and(|session| session.must_add_second_factor),
        roles: who.roles,
    })
}

/// Shows the second factor's code, for a session that begins with the password.
#[utoipa::path(
    post,
    operation_id = "show_code",
    path = "/api/v1/session/code",
    tag = "people",
    request_body = ShownCode,
    responses((status = 200, description = "Who asks", body = Own), BadBody, WrongCode)
)]
pub(crate) async fn code(
    State(service): State<Arc<Service>>,
    mut who: Principal,
    query: NoQuery,
    JsonBody(shown): JsonBody<ShownCode>,
) -> Result<Json<Own>, ApiError> {
    show(&service, &who, &shown.code).await?;
    if let Some(session) = &mut who.session {
        session.must_show_code = false;
    }
    Ok(own(who, query).await)
}

/// Shows the code, where one is due. A wrong one counts against the account and the client.
pub(in crate::http) async fn show(
    service: &Service,
    who: &Principal,
    typed: &str,
) -> Result<(), ApiError> {
    let session = who.own_session()?;
    if !session.must_show_code {
        return Ok(());
    }
    let digest = session.secret.digest();
    let store = &service.api.store;
    let shown = store.show_code(&digest, &session.account, typed, who.client);
    tried(service, who.client, shown).await
}

/// Returns what comes of a code that a client shows. Fails at once where it failed too often, and
/// counts it where it is wrong.
pub(in crate::http) async fn tried<T>(
    service: &Service,
    client: IpAddr,
    shown: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, ApiError> {
    let now = service.api.clock.monotonic();
    if let Some(wait) = service.throttle.wait(client, now) {
        return Err(ApiError::TooManyTries { wait });
    }
    match shown.await {
        Err(StoreError::SignInRefused) => {
            service.throttle.failed(client, now);
            Err(ApiError::WrongCode)
        }
        Err(error) => Err(error.into()),
        Ok(done) => {
            service.throttle.succeeded(client);
            Ok(done)
        }
    }
}
