//! The console: pages made here, with small scripts that are embedded in the program. They load
//! nothing from anywhere else, and are dark for a control room.
//!
//! A page is a template (`templates/`), its texts stand in one file a language (`texts/`), its
//! scripts and its one style sheet in `assets/`. A page works without its script wherever it can.

pub(super) mod account;
pub(super) mod accounts;
pub(super) mod alarm;
pub(super) mod alarms;
pub(super) mod assets;
pub(super) mod audit;
pub(super) mod board;
mod calendar;
pub(super) mod cameras;
mod charts;
pub(super) mod code;
mod facade_drawing;
mod filter;
pub(super) mod exports;
pub(super) mod footage;
pub(super) mod language;
pub(super) mod password;
pub(super) mod reports;
mod period;
pub(super) mod places;
mod qr;
pub(super) mod review;
pub(super) mod replays;
pub(super) mod scene;
pub(super) mod service;
pub(super) mod shelves;
pub(super) mod sign_in;
pub(super) mod texts;
pub(super) mod trends;
mod view;
pub(super) mod wall;

use askama::Template;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};

use super::access::{Principal, Session};
use super::error::ApiError;
use super::query::NoQuery;
use crate::auth::{Role, Roles};
use language::Language;
use texts::Texts;

/// A page loads its own script, style, pictures and events from this service, and nothing else
/// from anywhere; it sends forms nowhere else and is framed by nobody.
const PAGE_SOURCES: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; media-src 'self' blob:; \
     connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
);

/// Others learn nothing from a page's links; but under `no-referrer` a browser also sends `Origin:
/// null` with the page's own forms, which the guard takes for another's.
pub(super) const OWN_REFERRER: HeaderValue = HeaderValue::from_static("same-origin");

/// Who may see alarms and what cameras saw.
const READERS: [Role; 3] = [Role::Operator, Role::Manager, Role::Auditor];

/// Who may see how the service itself is.
const OVERSEERS: [Role; 3] = [Role::Manager, Role::Auditor, Role::Maintainer];

/// What every page shows around its own part.
pub(crate) struct Frame {
    pub(crate) t: &'static Texts,
    pub(crate) language: Language,
    /// The path of this page, to come back to after the language was chosen.
    pub(crate) path: String,
    /// Who has signed in; none on the page on which they do.
    pub(crate) who: Option<Who>,
}

/// Who has signed in, as pages show it.
pub(crate) struct Who {
    pub(crate) name: String,
    /// The account's name, as the store knows it.
    pub(crate) login: String,
    pub(crate) roles: Roles,
    /// The session's CSRF text.
    pub(crate) csrf: String,
    /// Nothing may be opened until the password is changed.
    pub(crate) must_change_password: bool,
    /// Nothing may be opened until that, or something else, is done.
    pub(crate) is_shut: bool,
    /// Alarms that a reviewer has not looked through; none for others.
    pub(crate) unreviewed: Option<u32>,
}

impl Frame {
    /// Returns the frame for nobody in particular.
    pub(crate) fn open(language: Language, path: &str) -> Self {
        Self {
            t: language.texts(),
            language,
            path: path.to_owned(),
            who: None,
        }
    }

    /// Returns the frame for whoever has signed in.
    pub(crate) fn of(language: Language, path: &str, who: &Principal) -> Self {
        let session = who.session.as_ref();
        Self {
            who: Some(Who {
                name: who.name.clone(),
                login: who.actor.as_str().to_owned(),
                roles: who.roles.clone(),
                csrf: session.map_or_else(String::new, |session| session.secret.csrf()),
                must_change_password: session.is_some_and(|s| s.must_change_password),
                is_shut: session.is_some_and(Session::is_shut),
                unreviewed: who.unreviewed,
            }),
            ..Self::open(language, path)
        }
    }

    /// Returns whether whoever has signed in has one of these roles.
    pub(crate) fn is(&self, roles: &[Role]) -> bool {
        let who = self.who.as_ref();
        who.is_some_and(|who| !who.is_shut && who.roles.any_of(roles))
    }

    /// Returns the pages that whoever has signed in may open, with their names.
    pub(crate) fn links(&self) -> Vec<(&'static str, &'static str)> {
        let t = self.t;
        let keepers = [
            Role::Operator,
            Role::Manager,
            Role::Auditor,
            Role::Maintainer,
        ];
        let all: [(&[Role], &'static str, &'static str); 13] = [
            (&READERS, "/board", t.board),
            (&READERS, "/alarms", t.alarms),
            (&READERS, "/shelves", t.shelves),
            (&READERS, "/review", t.review),
            (&READERS, "/wall", t.wall),
            (&READERS, "/footage", self.language.footage().footage),
            (&keepers, "/cameras", t.cameras),
            (&OVERSEERS, "/service", t.service),
            (
                &[Role::Manager, Role::Auditor],
                "/reports",
                self.language.records().reports,
            ),
            (&READERS, "/exports", self.language.records().exports),
            (&[Role::Auditor], "/audit", t.audit),
            (&[Role::Auditor], "/replays", t.replays),
            (&[Role::Admin, Role::Auditor], "/accounts", t.accounts),
        ];
        let own = all.into_iter().filter(|(roles, ..)| self.is(roles));
        own.map(|(_, path, name)| (path, name)).collect()
    }

    /// Returns the pages of the review, with their names.
    pub(crate) fn review_tabs(&self) -> [(&'static str, &'static str); 3] {
        let t = self.t;
        [
            ("/review", t.review_events),
            ("/review/places", t.places),
            ("/review/trends", t.trends),
        ]
    }

    /// Returns how many alarms the reader has not looked through, where that is asked of them.
    pub(crate) fn unreviewed(&self) -> Option<u32> {
        self.who.as_ref().and_then(|who| who.unreviewed)
    }

    /// Returns whether this page is the one at `path` or one below it.
    pub(crate) fn is_at(&self, path: &str) -> bool {
        let own = self.path.split('?').next().unwrap_or_default();
        let below = own.strip_prefix(path);
        below.is_some_and(|below| below.is_empty() || below.starts_with('/'))
    }

    /// Returns whether this page is the one at `path`.
    pub(crate) fn is_just(&self, path: &str) -> bool {
        self.path.split('?').next() == Some(path)
    }

    /// Returns the session's CSRF text.
    pub(crate) fn csrf(&self) -> &str {
        self.who.as_ref().map_or("", |who| &who.csrf)
    }
}

/// Returns the page as an answer.
pub(crate) fn page(template: &impl Template) -> Result<Response, ApiError> {
    page_with(StatusCode::OK, template)
}

/// Returns the page as an answer with this status.
pub(crate) fn page_with(
    status: StatusCode,
    template: &impl Template,
) -> Result<Response, ApiError> {
    let text = template
        .render()
        .map_err(|error| ApiError::internal("a page", &error))?;
    let mut response = (status, Html(text)).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, PAGE_SOURCES);
    headers.insert(header::REFERRER_POLICY, OWN_REFERRER);
    Ok(response)
}

/// Returns the way to another page of this service.
pub(crate) fn go(to: &str) -> Response {
    (StatusCode::SEE_OTHER, [(header::LOCATION, to)]).into_response()
}

#[derive(Template)]
#[template(path = "problem.html", config = "src/http/ui/askama.toml")]
struct ProblemPage<'a> {
    frame: Frame,
    status: u16,
    text: &'a str,
    /// In English; none where the text says as much in the reader's own language.
    detail: Option<&'a str>,
    request_id: &'a str,
}

/// Returns the page that tells what went wrong; none when it cannot even be made.
pub(super) fn problem_page(
    language: Language,
    error: &ApiError,
    request_id: &str,
) -> Option<(String, HeaderValue)> {
    let (status, ..) = error.class();
    let frame = Frame::open(language, "/");
    let text = match status {
        StatusCode::FORBIDDEN => frame.t.problem_forbidden,
        StatusCode::NOT_FOUND | StatusCode::GONE => frame.t.problem_not_found,
        status if status.is_server_error() => frame.t.problem_server,
        _ => frame.t.problem_request,
    };
    let is_told = status == StatusCode::FORBIDDEN || status.is_server_error();
    let detail = Some(error.to_string()).filter(|_| language == Language::En || !is_told);
    let page = ProblemPage {
        frame,
        status: status.as_u16(),
        text,
        detail: detail.as_deref(),
        request_id,
    };
    Some((page.render().ok()?, PAGE_SOURCES))
}

/// Leads to the first page of whoever has signed in.
pub(super) async fn home(who: Principal, _: NoQuery) -> Response {
    if who.session.as_ref().is_some_and(|s| s.must_change_password) {
        return go("/password");
    }
    if who.session.as_ref().is_some_and(Session::is_shut) {
        return go("/account");
    }
    go(match who.roles.as_slice() {
        roles if roles.iter().any(|role| READERS.contains(role)) => "/board",
        [Role::Maintainer] => "/cameras",
        _ => "/accounts",
    })
}
