//! Changing one's own password. It ends all sessions of the account and begins a new one.

use std::sync::Arc;

use askama::Template;
use axum::Form;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;

use super::language::Language;
use super::sign_in::set_session;
use super::{Frame, go, page_with};
use crate::auth::password::{self, BadPassword, CHARS_MAX, CHARS_MIN};
use crate::auth::secret::ClientSecret;
use crate::http::Service;
use crate::http::access::{Principal, Session};
use crate::http::error::ApiError;
use crate::http::query::NoQuery;
use crate::http::v1::accounts::hashing;
use crate::store::{Credentials, Due, PasswordKind, StoreError};

#[derive(Template)]
#[template(path = "password.html", config = "src/http/ui/askama.toml")]
struct PasswordPage {
    frame: Frame,
    refusal: Option<&'static str>,
    chars_min: usize,
    chars_max: usize,
}

/// What was typed in.
#[derive(Deserialize)]
pub(crate) struct Typed {
    old: String,
    new: String,
    again: String,
}

/// The page on which people change their password.
pub(crate) async fn show(
    who: Principal,
    language: Language,
    _: NoQuery,
) -> Result<Response, ApiError> {
    who.own_session()?;
    told(language, &who, None)
}

/// Changes the password of whoever shows the old one.
pub(crate) async fn change(
    State(service): State<Arc<Service>>,
    who: Principal,
    language: Language,
    _: NoQuery,
    Form(typed): Form<Typed>,
) -> Result<Response, ApiError> {
    let session = who.own_session()?;
    let t = language.texts();
    let now = service.api.clock.monotonic();
    if service.throttle.wait(who.client, now).is_some() {
        return told(language, &who, Some(t.sign_in_too_many));
    }
    if typed.new != typed.again {
        return told(language, &who, Some(t.password_not_twice));
    }
    let bad = password::check(session.account.as_str(), &typed.new).err();
    let bad = bad.or_else(|| (typed.new == typed.old).then_some(BadPassword::Same));
    if let Some(bad) = bad {
        return told(language, &who, Some(refusal(t, bad)));
    }
    let store = &service.api.store;
    let found = store.credentials(&session.account).await?;
    let old_hash = found.ok_or(ApiError::NotSignedIn)?.password;
    let Typed { old, new, .. } = typed;
    let hashed = hashing(&service, move || {
        password::matches(&old, &old_hash).then(|| password::hash(&new))
    });
    let Some(hash) = hashed.await? else {
        service.throttle.failed(who.client, now);
        store
            .refuse_sign_in(session.account.as_str(), who.client)
            .await?;
        return told(language, &who, Some(t.password_old_wrong));
    };
    store
        .set_password(&session.account, &hash, PasswordKind::Own, &who.actor)
        .await?;
    begin_again(&service, session, &who).await
}

/// Begins a session in the place of the one that the new password has ended.
async fn begin_again(
    service: &Service,
    session: &Session,
    who: &Principal,
) -> Result<Response, ApiError> {
    let (store, limits) = (&service.api.store, service.api.sign_in.sessions);
    let Some(checked) = store.credentials(&session.account).await? else {
        return Ok(go("/sign-in"));
    };
    // The session that asks has shown the code already, where there is a second factor.
    let checked = Credentials {
        due: Due::Nothing,
        ..checked
    };
    let secret = ClientSecret::new_session();
    let digest = secret.digest();
    let begun = store.sign_in(&checked, &digest, who.client, limits);
    match begun.await {
        Err(StoreError::SignInRefused) => return Ok(go("/sign-in")),
        other => other?,
    }
    let mut response = go("/");
    set_session(service, &mut response, Some(&secret));
    Ok(response)
}

fn refusal(t: &super::Texts, bad: BadPassword) -> &'static str {
    match bad {
        BadPassword::Length => t.password_length,
        BadPassword::HoldsName => t.password_holds_name,
        BadPassword::Same => t.password_same,
        BadPassword::Monotone => t.password_monotone,
    }
}

fn told(
    language: Language,
    who: &Principal,
    refusal: Option<&'static str>,
) -> Result<Response, ApiError> {
    let status = match refusal {
        None => StatusCode::OK,
        Some(_) => StatusCode::UNPROCESSABLE_ENTITY,
    };
    let page = PasswordPage {
        frame: Frame::of(language, "/password", who),
        refusal,
        chars_min: CHARS_MIN,
        chars_max: CHARS_MAX,
    };
    page_with(status, &page)
}
