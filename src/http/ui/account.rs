//! One's own account: the password, and the second factor. A secret is shown until it is confirmed,
//! recovery codes once.

use std::sync::Arc;

use askama::Template;
use axum::Form;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;

use super::accounts::roles_text;
use super::language::Language;
use super::qr::{self, Qr};
use super::texts::account::Texts;
use super::texts::fill;
use super::{Frame, code, go, page_with};
use crate::http::Service;
use crate::http::access::Principal;
use crate::http::error::ApiError;
use crate::http::query::NoQuery;
use crate::http::v1::session::tried;
use crate::store::{SecondFactor, StoreError};

#[derive(Template)]
#[template(path = "account.html", config = "src/http/ui/askama.toml")]
struct AccountPage {
    frame: Frame,
    a: &'static Texts,
    roles_text: String,
    is_asked: bool,
    factor: Factor,
    /// Shown this once.
    recovery_codes: Vec<String>,
    refusal: Option<&'static str>,
}

/// The second factor as the page shows it.
enum Factor {
    Off,
    Begun {
        secret: String,
        qr: Qr,
    },
    On {
        since_ms: i64,
        recovery_left: String,
    },
}

/// What was typed in.
#[derive(Deserialize)]
pub(crate) struct Typed {
    code: String,
}

/// The page.
pub(crate) async fn show(
    State(service): State<Arc<Service>>,
    who: Principal,
    language: Language,
    _: NoQuery,
) -> Result<Response, ApiError> {
    shown(&service, &who, language, Vec::new(), None).await
}

/// Makes a secret, which the page then shows.
pub(crate) async fn begin(
    State(service): State<Arc<Service>>,
    who: Principal,
    _: NoQuery,
) -> Result<Response, ApiError> {
    let account = &who.own_session()?.account;
    match service.api.store.begin_second_factor(account).await {
        // The page is an old one, and the new one says that it is on.
        Ok(()) | Err(StoreError::FactorInForce(_)) => Ok(go("/account")),
        Err(error) => Err(error.into()),
    }
}

/// Turns the second factor on for whoever shows the secret's code, and shows the recovery codes.
pub(crate) async fn confirm(
    State(service): State<Arc<Service>>,
    who: Principal,
    language: Language,
    _: NoQuery,
    Form(typed): Form<Typed>,
) -> Result<Response, ApiError> {
    let session = who.own_session()?;
    let (digest, store) = (session.secret.digest(), &service.api.store);
    let confirmed = store.confirm_second_factor(&session.account, &typed.code, &digest);
    match confirmed.await? {
        Some(codes) => shown(&service, &who, language, codes, None).await,
        None => {
            let refusal = Some(language.account().code_wrong);
            shown(&service, &who, language, Vec::new(), refusal).await
        }
    }
}

/// Turns the second factor off for whoever shows a code.
pub(crate) async fn remove(
    State(service): State<Arc<Service>>,
    who: Principal,
    language: Language,
    _: NoQuery,
    Form(typed): Form<Typed>,
) -> Result<Response, ApiError> {
    let session = who.own_session()?;
    let store = &service.api.store;
    let removed = store.remove_own_second_factor(&session.account, &typed.code, who.client);
    match tried(&service, who.client, removed).await {
        Ok(()) => Ok(go("/account")),
        Err(error) => told(&service, &who, language, error).await,
    }
}

/// Shows new recovery codes to whoever shows a code.
pub(crate) async fn renew(
    State(service): State<Arc<Service>>,
    who: Principal,
    language: Language,
    _: NoQuery,
    Form(typed): Form<Typed>,
) -> Result<Response, ApiError> {
    let session = who.own_session()?;
    let store = &service.api.store;
    let renewed = store.renew_recovery_codes(&session.account, &typed.code, who.client);
    match tried(&service, who.client, renewed).await {
        Ok(codes) => shown(&service, &who, language, codes, None).await,
        Err(error) => told(&service, &who, language, error).await,
    }
}

async fn told(
    service: &Service,
    who: &Principal,
    language: Language,
    error: ApiError,
) -> Result<Response, ApiError> {
    match code::refusal(language, &error) {
        Some(refusal) => shown(service, who, language, Vec::new(), Some(refusal)).await,
        None => Err(error),
    }
}

async fn shown(
    service: &Service,
    who: &Principal,
    language: Language,
    recovery_codes: Vec<String>,
    refusal: Option<&'static str>,
) -> Result<Response, ApiError> {
    let a = language.account();
    let account = &who.own_session()?.account;
    let factor = match service.api.store.second_factor(account).await? {
        SecondFactor::Off => Factor::Off,
        SecondFactor::Begun(secret) => Factor::Begun {
            qr: qr::of(&secret.address(account.as_str())).ok_or(ApiError::Internal)?,
            secret: in_fours(&secret.base32()),
        },
        SecondFactor::On {
            since_ms,
            recovery_left,
        } => Factor::On {
            since_ms,
            recovery_left: fill(a.recovery_left, &[&recovery_left]),
        },
    };
    let is_off = !matches!(factor, Factor::On { .. });
    let asks = who.roles.any_of(&service.api.sign_in.second_factor_roles);
    let mut frame = Frame::of(language, "/account", who);
    if let Some(own) = frame.who.as_mut().filter(|_| !is_off) {
        // It may have been turned on by this very request.
        own.is_shut = own.must_change_password;
    }
    let page = AccountPage {
        roles_text: roles_text(frame.t, &who.roles),
        frame,
        a,
        is_asked: is_off && asks,
        factor,
        recovery_codes,
        refusal,
    };
    let status = match refusal {
        None => StatusCode::OK,
        Some(_) => StatusCode::UNPROCESSABLE_ENTITY,
    };
    page_with(status, &page)
}

/// Returns a secret in groups, as people read it aloud.
fn in_fours(secret: &str) -> String {
    let letters: Vec<char> = secret.chars().collect();
    let groups = letters.chunks(4).map(|group| group.iter().collect());
    groups.collect::<Vec<String>>().join(" ")
}
