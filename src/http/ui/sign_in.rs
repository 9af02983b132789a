//! Signing in and out. The answer to a refused sign-in does not tell whether there is such an
//! account, nor whether it is locked or disabled; nor does the time it takes.

use std::sync::Arc;
use std::time::Duration;

use askama::Template;
use axum::Form;
use axum::extract::State;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::Response;
use serde::Deserialize;

use super::language::Language;
use super::{Frame, go, page, page_with};
use crate::auth::password;
use crate::auth::secret::ClientSecret;
use crate::http::access::{ClientAddress, Principal, session_cookie};
use crate::http::error::ApiError;
use crate::http::query::NoQuery;
use crate::http::v1::accounts::hashing;
use crate::http::{Service, Transport};
use crate::id::AccountId;
use crate::store::{Credentials, Due, StoreError};

#[derive(Template)]
#[template(path = "sign_in.html", config = "src/http/ui/askama.toml")]
struct SignInPage {
    frame: Frame,
    name: String,
    /// Why the last try failed.
    refusal: Option<Refusal>,
}

enum Refusal {
    Wrong,
    TooMany { minutes: u64 },
}

/// What was typed in.
#[derive(Deserialize)]
pub(crate) struct Typed {
    name: String,
    password: String,
}

/// The page on which people sign in.
pub(crate) async fn show(language: Language, _: NoQuery) -> Result<Response, ApiError> {
    page(&SignInPage {
        frame: Frame::open(language, "/sign-in"),
        name: String::new(),
        refusal: None,
    })
}

/// Begins a session for whoever knows the password.
pub(crate) async fn sign_in(
    State(service): State<Arc<Service>>,
    ClientAddress(client): ClientAddress,
    language: Language,
    _: NoQuery,
    Form(typed): Form<Typed>,
) -> Result<Response, ApiError> {
    let now = || service.api.clock.monotonic();
    if let Some(wait) = service.throttle.wait(client, now()) {
        return refused(language, &typed.name, Some(wait));
    }
    let name = typed.name.trim().to_owned();
    let checked = check(&service, &name, typed.password).await?;
    let secret = ClientSecret::new_session();
    let store = &service.api.store;
    let begun = match &checked {
        Some(checked) => {
            let (digest, limits) = (secret.digest(), service.api.sign_in.sessions);
            let begun = store.sign_in(checked, &digest, client, limits);
            match begun.await {
                Err(StoreError::SignInRefused) => false,
                other => other.map(|()| true)?,
            }
        }
        None => false,
    };
    if !begun {
        service.throttle.failed(client, now());
        store.refuse_sign_in(&known_part(&name), client).await?;
        return refused(language, &name, None);
    }
    let is_code_due = checked.is_some_and(|checked| checked.due == Due::Code);
    let to = if is_code_due { "/sign-in/code" } else { "/" };
    if !is_code_due {
        service.throttle.succeeded(client);
    }
    let mut response = go(to);
    set_session(&service, &mut response, Some(&secret));
    Ok(response)
}

/// Ends the session.
pub(crate) async fn sign_out(
    State(service): State<Arc<Service>>,
    who: Principal,
    _: NoQuery,
) -> Result<Response, ApiError> {
    if let Some(session) = &who.session {
        service.api.store.sign_out(&session.secret.digest()).await?;
    }
    let mut response = go("/sign-in");
    set_session(&service, &mut response, None);
    // What the browser kept of the session's pages goes with it.
    let kept = HeaderName::from_static("clear-site-data");
    let cache = HeaderValue::from_static("\"cache\"");
    response.headers_mut().insert(kept, cache);
    Ok(response)
}

/// Returns the credentials that the password fits; none when it fits none.
async fn check(
    service: &Service,
    name: &str,
    typed: String,
) -> Result<Option<Credentials>, ApiError> {
    let found = match AccountId::parse(name) {
        Ok(name) => service.api.store.credentials(&name).await?,
        Err(_) => None,
    };
    hashing(service, move || match found {
        Some(found) => {
            let is_right = password::matches(&typed, &found.password);
            (is_right && !found.is_closed).then_some(found)
        }
        None => {
            password::matches_nothing(&typed);
            None
        }
    })
    .await
}

/// Returns what the log keeps of a name that was refused. Anything else than an id may be a
/// password that was typed into the wrong field.
fn known_part(name: &str) -> String {
    AccountId::parse(name).map_or_else(|_| "(not a name)".to_owned(), |name| name.to_string())
}

fn refused(language: Language, name: &str, wait: Option<Duration>) -> Result<Response, ApiError> {
    let (status, refusal) = match wait {
        None => (StatusCode::UNAUTHORIZED, Refusal::Wrong),
        Some(wait) => {
            let minutes = wait.as_secs().div_ceil(60);
            (StatusCode::TOO_MANY_REQUESTS, Refusal::TooMany { minutes })
        }
    };
    let name = AccountId::parse(name).map_or_else(|_| String::new(), |name| name.to_string());
    let frame = Frame::open(language, "/sign-in");
    let refusal = Some(refusal);
    let mut response = page_with(
        status,
        &SignInPage {
            frame,
            name,
            refusal,
        },
    )?;
    if let Some(wait) = wait {
        let seconds = HeaderValue::from(wait.as_secs());
        response.headers_mut().insert(header::RETRY_AFTER, seconds);
    }
    Ok(response)
}

/// Gives the browser the session's cookie, or takes it away.
pub(super) fn set_session(
    service: &Service,
    response: &mut Response,
    secret: Option<&ClientSecret>,
) {
    let transport = service.api.sign_in.transport;
    let name = session_cookie(transport);
    let secure = match transport {
        Transport::Plain => "",
        Transport::Tls => "; Secure",
    };
    // No Max-Age: it goes with the browser's own session, and the store ends it before that.
    let value = match secret {
        Some(secret) => format!(
            "{name}={}; Path=/; HttpOnly; SameSite=Strict{secure}",
            secret.reveal()
        ),
        None => format!("{name}=; Path=/; Max-Age=0; HttpOnly; SameSite=Strict{secure}"),
    };
    let mut value = HeaderValue::from_str(&value).expect("a secret is letters, digits, - and _");
    value.set_sensitive(true);
    response.headers_mut().append(header::SET_COOKIE, value);
}
