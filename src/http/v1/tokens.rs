//! Tokens of programs, for the admin. A token is told once, to whoever made it.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use serde::{Deserialize, Serialize};

use crate::auth::Roles;
use crate::auth::secret::ClientSecret;
use crate::http::Service;
use crate::http::access::Principal;
use crate::http::body::JsonBody;
use crate::http::error::ApiError;
use crate::http::openapi::{BadBody, Conflict, NotFound};
use crate::http::query::{NoQuery, shortened};
use crate::id::TokenId;
use crate::store::TokenRecord;

const DAY_MS: i64 = 24 * 3600 * 1000;

/// All tokens.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct TokenList {
    /// By name.
    pub tokens: Vec<TokenRecord>,
}

/// A token to be made.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewToken {
    /// 1 to 64 letters, digits, '.', '_' or '-'; what the program is for.
    #[schema(value_type = String)]
    pub name: TokenId,
    /// Roles that do not conflict: one, or manager and admin.
    pub roles: Roles,
    /// Days until it is over; left out, it holds until it is revoked.
    #[schema(minimum = 1, maximum = 3650)]
    pub days: Option<u16>,
}

/// A token that is told this once.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct TokenTold {
    #[schema(value_type = String)]
    pub name: TokenId,
    /// For the header `Authorization: Bearer`.
    pub token: String,
}

/// All tokens, also revoked ones, without their secrets.
#[utoipa::path(
    get,
    operation_id = "list_tokens",
    path = "/api/v1/tokens",
    tag = "people",
    responses((status = 200, description = "By name", body = TokenList))
)]
pub(crate) async fn list(
    State(service): State<Arc<Service>>,
    _: NoQuery,
) -> Result<Json<TokenList>, ApiError> {
    let tokens = service.api.store.tokens().await?;
    Ok(Json(TokenList { tokens }))
}

/// Makes a token, which is told this once.
#[utoipa::path(
    post,
    operation_id = "add_token",
    path = "/api/v1/tokens",
    tag = "people",
    request_body = NewToken,
    responses((status = 200, description = "The token", body = TokenTold), BadBody, Conflict)
)]
pub(crate) async fn add(
    State(service): State<Arc<Service>>,
    who: Principal,
    _: NoQuery,
    JsonBody(new): JsonBody<NewToken>,
) -> Result<Json<TokenTold>, ApiError> {
    if new.days.is_some_and(|days| !(1..=3650).contains(&days)) {
        let reason = "days is a number from 1 to 3650".to_owned();
        return Err(ApiError::BadBody { reason });
    }
    let secret = ClientSecret::new_token();
    let now_ms = service.api.clock.now().as_millisecond();
    let expires_at_ms = new.days.map(|days| now_ms + i64::from(days) * DAY_MS);
    let (store, digest) = (&service.api.store, secret.digest());
    store
        .add_token(&new.name, &new.roles, &digest, expires_at_ms, &who.actor)
        .await?;
    Ok(Json(TokenTold {
        name: new.name,
        token: secret.reveal().to_owned(),
    }))
}

/// Revokes a token: it opens nothing any more. A second time changes nothing.
#[utoipa::path(
    post,
    operation_id = "revoke_token",
    path = "/api/v1/tokens/{name}/revoke",
    tag = "people",
    params(("name" = String, Path, description = "The token's name")),
    responses((status = 200, description = "All tokens", body = TokenList), NotFound)
)]
pub(crate) async fn revoke(
    State(service): State<Arc<Service>>,
    who: Principal,
    Path(name): Path<String>,
    query: NoQuery,
) -> Result<Json<TokenList>, ApiError> {
    let name: TokenId = name.parse().map_err(|_| ApiError::BadId {
        what: "a token",
        text: shortened(&name),
        allowed: "1 to 64 letters, digits, '.', '_' or '-'",
    })?;
    service.api.store.revoke_token(&name, &who.actor).await?;
    list(State(service), query).await
}
