//! Accounts of people, for the admin. A password that is made here is told once, to whoever made
//! it, and must be changed by its owner.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use serde::{Deserialize, Serialize};

use crate::auth::{Roles, password};
use crate::http::Service;
use crate::http::access::Principal;
use crate::http::body::JsonBody;
use crate::http::error::ApiError;
use crate::http::openapi::{BadBody, Conflict, NotFound};
use crate::http::query::{NoQuery, shortened};
use crate::id::AccountId;
use crate::store::name::NAME_CHARS_MAX;
use crate::store::{AccountRecord, PasswordKind};

/// All accounts.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct AccountList {
    /// By name.
    pub accounts: Vec<AccountRecord>,
}

/// An account to be made.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewAccount {
    /// 1 to 64 letters, digits, '.', '_' or '-'.
    #[schema(value_type = String)]
    pub name: AccountId,
    /// Roles that do not conflict: one, or manager and admin.
    pub roles: Roles,
}

/// Other roles for an account.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewRoles {
    pub roles: Roles,
}

/// What people call the owner of an account.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewDisplayName {
    /// None takes it away.
    #[schema(max_length = 64)]
    pub display_name: Option<String>,
}

/// A password that is told this once.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct OneTimePassword {
    #[schema(value_type = String)]
    pub name: AccountId,
    /// Must be changed at the first sign-in.
    pub password: String,
}

/// All accounts, also disabled ones.
#[utoipa::path(
    get,
    operation_id = "list_accounts",
    path = "/api/v1/accounts",
    tag = "people",
    responses((status = 200, description = "By name", body = AccountList))
)]
pub(crate) async fn list(
    State(service): State<Arc<Service>>,
    _: NoQuery,
) -> Result<Json<AccountList>, ApiError> {
    let accounts = service.api.store.accounts().await?;
    Ok(Json(AccountList { accounts }))
}

/// Makes an account and returns its one-time password, which is told this once.
#[utoipa::path(
    post,
    operation_id = "add_account",
    path = "/api/v1/accounts",
    tag = "people",
    request_body = NewAccount,
    responses(
        (status = 200, description = "It is there", body = OneTimePassword), BadBody, Conflict
    )
)]
pub(crate) async fn add(
    State(service): State<Arc<Service>>,
    who: Principal,
    _: NoQuery,
    JsonBody(new): JsonBody<NewAccount>,
) -> Result<Json<OneTimePassword>, ApiError> {
    let (password, hash) = one_time(&service).await?;
    let store = &service.api.store;
    store
        .add_account(&new.name, &new.roles, &hash, &who.actor)
        .await?;
    let name = new.name;
    Ok(Json(OneTimePassword { name, password }))
}

/// Gives the account other roles, and ends its sessions.
#[utoipa::path(
    post,
    operation_id = "set_account_roles",
    path = "/api/v1/accounts/{name}/roles",
    tag = "people",
    params(("name" = String, Path, description = "The account's name")),
    request_body = NewRoles,
    responses(
        (status = 200, description = "All accounts", body = AccountList),
        BadBody, NotFound, Conflict
    )
)]
pub(crate) async fn set_roles(
    State(service): State<Arc<Service>>,
    who: Principal,
    Path(name): Path<String>,
    query: NoQuery,
    JsonBody(new): JsonBody<NewRoles>,
) -> Result<Json<AccountList>, ApiError> {
    let name = parse(&name)?;
    let store = &service.api.store;
    store.set_roles(&name, &new.roles, &who.actor).await?;
    list(State(service), query).await
}

/// Says what pages call the account's owner. The log of what was done goes on naming the account.
#[utoipa::path(
    post,
    operation_id = "set_account_display_name",
    path = "/api/v1/accounts/{name}/display-name",
    tag = "people",
    params(("name" = String, Path, description = "The account's name")),
    request_body = NewDisplayName,
    responses(
        (status = 200, description = "All accounts", body = AccountList),
        BadBody, NotFound, Conflict
    )
)]
pub(crate) async fn set_display_name(
    State(service): State<Arc<Service>>,
    who: Principal,
    Path(name): Path<String>,
    query: NoQuery,
    JsonBody(new): JsonBody<NewDisplayName>,
) -> Result<Json<AccountList>, ApiError> {
    let name = parse(&name)?;
    let wanted = display_name(new.display_name.as_deref().unwrap_or(""))?;
    let store = &service.api.store;
    store.set_display_name(&name, wanted, &who.actor).await?;
    list(State(service), query).await
}

/// Returns the name without the blanks around it; none when nothing is left. Fails when it is long or
/// holds what cannot be seen: a name must read as it is written.
fn display_name(given: &str) -> Result<Option<&str>, ApiError> {
    let given = given.trim();
    let refused = |reason: &str| ApiError::BadBody {
        reason: format!("display_name {reason}"),
    };
    if given.chars().count() > NAME_CHARS_MAX {
        return Err(refused("is longer than 64 characters"));
    }
    let is_hidden = |c: char| {
        c.is_control()
            || matches!(c, '\u{200B}'..='\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2060}'..='\u{2069}' | '\u{FEFF}')
    };
    if given.contains(is_hidden) {
        return Err(refused("holds characters that cannot be seen"));
    }
    Ok((!given.is_empty()).then_some(given))
}

/// Gives the account a one-time password, which is told this once; unlocks it and ends its
/// sessions.
#[utoipa::path(
    post,
    operation_id = "reset_account_password",
    path = "/api/v1/accounts/{name}/password",
    tag = "people",
    params(("name" = String, Path, description = "The account's name")),
    responses((status = 200, description = "Its password", body = OneTimePassword), NotFound)
)]
pub(crate) async fn reset_password(
    State(service): State<Arc<Service>>,
    who: Principal,
    Path(name): Path<String>,
    _: NoQuery,
) -> Result<Json<OneTimePassword>, ApiError> {
    let name = parse(&name)?;
    let (password, hash) = one_time(&service).await?;
    let store = &service.api.store;
    store
        .set_password(&name, &hash, PasswordKind::OneTime, &who.actor)
        .await?;
    Ok(Json(OneTimePassword { name, password }))
}

/// Takes the second factor away from somebody who lost the phone, and ends their sessions.
#[utoipa::path(
    post,
    operation_id = "remove_account_second_factor",
    path = "/api/v1/accounts/{name}/second-factor/remove",
    tag = "people",
    params(("name" = String, Path, description = "The account's name")),
    responses((status = 200, description = "All accounts", body = AccountList), NotFound, Conflict)
)]
pub(crate) async fn remove_second_factor(
    State(service): State<Arc<Service>>,
    who: Principal,
    Path(name): Path<String>,
    query: NoQuery,
) -> Result<Json<AccountList>, ApiError> {
    let name = parse(&name)?;
    let store = &service.api.store;
    store.remove_second_factor(&name, &who.actor).await?;
    list(State(service), query).await
}

/// Closes the account and ends its sessions. Its name stays in the log of what was done.
#[utoipa::path(
    post,
    operation_id = "disable_account",
    path = "/api/v1/accounts/{name}/disable",
    tag = "people",
    params(("name" = String, Path, description = "The account's name")),
    responses((status = 200, description = "All accounts", body = AccountList), NotFound, Conflict)
)]
pub(crate) async fn disable(
    State(service): State<Arc<Service>>,
    who: Principal,
    Path(name): Path<String>,
    query: NoQuery,
) -> Result<Json<AccountList>, ApiError> {
    let name = parse(&name)?;
    service.api.store.disable_account(&name, &who.actor).await?;
    list(State(service), query).await
}

/// Opens a disabled account again, with the password and the roles it had.
#[utoipa::path(
    post,
    operation_id = "enable_account",
    path = "/api/v1/accounts/{name}/enable",
    tag = "people",
    params(("name" = String, Path, description = "The account's name")),
    responses((status = 200, description = "All accounts", body = AccountList), NotFound)
)]
pub(crate) async fn enable(
    State(service): State<Arc<Service>>,
    who: Principal,
    Path(name): Path<String>,
    query: NoQuery,
) -> Result<Json<AccountList>, ApiError> {
    let name = parse(&name)?;
    service.api.store.enable_account(&name, &who.actor).await?;
    list(State(service), query).await
}

/// Returns a one-time password and its hash.
async fn one_time(service: &Service) -> Result<(String, String), ApiError> {
    let password = password::one_time();
    let hash = hash(service, password.clone()).await?;
    Ok((password, hash))
}

/// Returns the password's hash, made where it holds up nobody, in its turn.
pub(in crate::http) async fn hash(service: &Service, text: String) -> Result<String, ApiError> {
    hashing(service, move || password::hash(&text)).await
}

/// Returns what `work` makes, which hashes a password once or twice.
pub(in crate::http) async fn hashing<T: Send + 'static>(
    service: &Service,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, ApiError> {
    let turn = service.hashers.acquire().await;
    let _turn = turn.map_err(|_| ApiError::Stopping)?;
    let made = tokio::task::spawn_blocking(work).await;
    made.map_err(|error| ApiError::internal("hashing a password", &error))
}

fn parse(text: &str) -> Result<AccountId, ApiError> {
    text.parse().map_err(|_| ApiError::BadId {
        what: "an account",
        text: shortened(text),
        allowed: "1 to 64 letters, digits, '.', '_' or '-'",
    })
}
