//! Accounts and tokens: the admin's page. Auditors read it.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::response::Response;

use super::language::Language;
use super::texts::{Texts, fill};
use super::{Frame, page};
use crate::auth::{Role, Roles};
use crate::http::Service;
use crate::http::access::Principal;
use crate::http::error::ApiError;
use crate::http::query::NoQuery;
use crate::store::{AccountRecord, TokenRecord};

#[derive(Template)]
#[template(path = "accounts.html", config = "src/http/ui/askama.toml")]
struct AccountsPage {
    frame: Frame,
    may_change: bool,
    accounts: Vec<AccountView>,
    tokens: Vec<TokenView>,
}

struct AccountView {
    name: String,
    display_name: String,
    /// As a choice's word: `manager+admin`.
    roles: String,
    roles_text: String,
    state_text: &'static str,
    is_disabled: bool,
    is_own: bool,
    has_second_factor: bool,
    /// What is asked before it is taken away.
    factor_sure: String,
    signed_in_at_ms: Option<i64>,
}

struct TokenView {
    name: String,
    roles_text: String,
    expires_at_ms: Option<i64>,
    state_text: &'static str,
    /// It can still be revoked.
    is_in_use: bool,
}

/// The page.
pub(crate) async fn show(
    State(service): State<Arc<Service>>,
    who: Principal,
    language: Language,
    _: NoQuery,
) -> Result<Response, ApiError> {
    let store = &service.api.store;
    let frame = Frame::of(language, "/accounts", &who);
    let accounts = store.accounts().await?;
    let tokens = store.tokens().await?;
    page(&AccountsPage {
        may_change: frame.is(&[Role::Admin]),
        frame,
        accounts: accounts
            .into_iter()
            .map(|account| account_view(language, account, &who))
            .collect(),
        tokens: tokens
            .into_iter()
            .map(|token| token_view(language, token))
            .collect(),
    })
}

fn account_view(language: Language, account: AccountRecord, who: &Principal) -> AccountView {
    let t = language.texts();
    let state_text = match (account.disabled_at_ms, account.locked_until_ms) {
        (Some(_), _) => t.account_disabled,
        (None, Some(_)) => t.account_locked,
        (None, None) if account.must_change_password => t.account_one_time,
        (None, None) => t.in_use,
    };
    let words: Vec<&str> = account
        .roles
        .as_slice()
        .iter()
        .map(|role| role.as_str())
        .collect();
    AccountView {
        is_own: who.actor.as_str() == account.name.as_str(),
        name: account.name.to_string(),
        display_name: account.display_name.unwrap_or_default(),
        roles: words.join("+"),
        roles_text: roles_text(t, &account.roles),
        state_text,
        is_disabled: account.disabled_at_ms.is_some(),
        has_second_factor: account.has_second_factor,
        factor_sure: fill(language.account().factor_remove_sure, &[&account.name]),
        signed_in_at_ms: account.signed_in_at_ms,
    }
}

fn token_view(language: Language, token: TokenRecord) -> TokenView {
    let t = language.texts();
    TokenView {
        name: token.name.to_string(),
        roles_text: roles_text(t, &token.roles),
        expires_at_ms: token.expires_at_ms,
        state_text: match (token.revoked_at_ms, token.is_over) {
            (Some(_), _) => t.revoked,
            (None, true) => language.account().token_over,
            (None, false) => t.in_use,
        },
        is_in_use: token.revoked_at_ms.is_none() && !token.is_over,
    }
}

pub(super) fn roles_text(t: &'static Texts, roles: &Roles) -> String {
    let names: Vec<&str> = roles.as_slice().iter().map(|role| t.role(role)).collect();
    names.join(" + ")
}
