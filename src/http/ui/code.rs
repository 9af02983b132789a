//! The second step of signing in: the code of the second factor.

use std::sync::Arc;

use askama::Template;
use axum::Form;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;

use super::language::Language;
use super::{Frame, go, page_with};
use crate::http::Service;
use crate::http::access::Principal;
use crate::http::error::ApiError;
use crate::http::query::NoQuery;
use crate::http::v1::session;

#[derive(Template)]
#[template(path = "code.html", config = "src/http/ui/askama.toml")]
struct CodePage {
    frame: Frame,
    refusal: Option<&'static str>,
}

/// What was typed in.
#[derive(Deserialize)]
pub(crate) struct Typed {
    code: String,
}

/// The page that asks for the code.
pub(crate) async fn show(
    who: Principal,
    language: Language,
    _: NoQuery,
) -> Result<Response, ApiError> {
    if !who.own_session()?.must_show_code {
        return Ok(go("/"));
    }
    asked(language, &who, None)
}

/// Begins the session for whoever shows the code.
pub(crate) async fn enter(
    State(service): State<Arc<Service>>,
    who: Principal,
    language: Language,
    _: NoQuery,
    Form(typed): Form<Typed>,
) -> Result<Response, ApiError> {
    match session::show(&service, &who, &typed.code).await {
        Ok(()) => Ok(go("/")),
        Err(error) => match refusal(language, &error) {
            Some(refusal) => asked(language, &who, Some(refusal)),
            None => Err(error),
        },
    }
}

/// Returns what the page says to a code that was refused; none where something else went wrong.
pub(super) fn refusal(language: Language, error: &ApiError) -> Option<&'static str> {
    match error {
        ApiError::WrongCode => Some(language.account().code_wrong),
        ApiError::TooManyTries { .. } => Some(language.texts().sign_in_too_many),
        _ => None,
    }
}

fn asked(
    language: Language,
    who: &Principal,
    refusal: Option<&'static str>,
) -> Result<Response, ApiError> {
    let status = match refusal {
        None => StatusCode::OK,
        Some(_) => StatusCode::UNPROCESSABLE_ENTITY,
    };
    let frame = Frame::of(language, "/sign-in/code", who);
    page_with(status, &CodePage { frame, refusal })
}
