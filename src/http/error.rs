//! What can go wrong with a request, and how it is said: problem details (RFC 9457).
//!
//! The only place that picks the status of a failure. A detail says what to do; it never holds a
//! secret, a path of this machine, or the text of an error from inside.

use std::time::Duration;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use crate::auth::Role;
use crate::scene::SceneError;
use crate::store::StoreError;

/// Why a request was not served. Its text is the answer's detail: sentences that say what to do.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum ApiError {
    #[error("There is no query parameter {name:?}{}", hint(.nearest.as_deref(), .known))]
    UnknownParameter {
        name: String,
        nearest: Option<String>,
        known: Vec<String>,
    },
    #[error("Query parameter {name:?} is given more than once; give it once.")]
    RepeatedParameter { name: String },
    #[error("Query parameter {name:?} cannot be {value:?}: give {allowed}.")]
    BadParameter {
        name: &'static str,
        value: String,
        allowed: &'static str,
    },
    #[error(
        "The cursor is not one that this service gave. Use next_cursor of the page before, or \
         leave it out to begin with the newest."
    )]
    BadCursor,
    #[error("{text:?} cannot be the id of {what}: it is {allowed}.")]
    BadId {
        what: &'static str,
        text: String,
        allowed: &'static str,
    },
    #[error("Header {name} must be {allowed}.")]
    BadHeader {
        name: &'static str,
        allowed: &'static str,
    },
    #[error("The body does not fit: {reason}.")]
    BadBody { reason: String },
    #[error("Send a JSON body with the header Content-Type: application/json.")]
    WrongContentType,
    #[error("Send a body of at most {limit_bytes} bytes.")]
    BodyTooLarge { limit_bytes: usize },
    #[error("The request could not be read; see /openapi.json for what the route takes.")]
    Unreadable,
    #[error("There is no {what} {id:?}. Take ids from the lists.")]
    NotFound { what: &'static str, id: String },
    #[error("There is nothing under this path. /openapi.json lists all routes.")]
    NoRoute,
    #[error("Use a method that the Allow header of this answer names.")]
    MethodNotAllowed,
    #[error(
        "{name:?} was recorded with the alarm, but the file is no longer in the evidence folder: \
         retention or somebody removed it."
    )]
    EvidenceGone { name: String },
    #[error(
        "{name:?} is in the evidence folder, but not as it was recorded with the alarm. plumb \
         verify tells what differs; restore the file from a backup."
    )]
    EvidenceChanged { name: String },
    #[error(
        "Segment {id} of the footage is no longer on the disk as it was recorded: the ring has gone on, or \
         somebody removed it."
    )]
    FootageGone { id: i64 },
    #[error(
        "The clip is being made ready to be shown: what nobody is to see is hidden in it. Ask again in \
         a moment."
    )]
    BeingPrepared,
    #[error(
        "What nobody is to see cannot be hidden in a copy of it: {reason}. Make room on the disk, and \
         ask again."
    )]
    NoRoom { reason: String },
    #[error("The range lies outside the file; Content-Range names its size.")]
    RangeNotSatisfiable,
    #[error(
        "Camera {camera:?} shows no picture at the moment. Its health is at \
         /api/v1/cameras/{camera}."
    )]
    NoPicture { camera: String },
    #[error("The scene cannot be: {}.", .0)]
    BadScene(SceneError),
    #[error(
        "Somebody else has changed the scene since it was read. Load it again and draw on that one."
    )]
    SceneChanged,
    #[error(
        "The scene file cannot be written ({reason}). Make its folder writable for the service, or \
         leave `scene` out of the camera's configuration: then it is kept in the data directory."
    )]
    SceneUnwritable { reason: String },
    #[error("Send the header If-Match with the ETag of the scene that you have read.")]
    NoPrecondition,
    #[error("{name} has taken the alarm already.")]
    Taken { by: String, name: String },
    #[error("{detail}")]
    Conflict { detail: String },
    #[error(
        "The Host header names {host:?}, which is not this service. Use its address or localhost, \
         or make it http.public_url in the config."
    )]
    ForeignHost { host: String },
    #[error("A page of another origin may not change anything here.")]
    ForeignOrigin,
    #[error(
        "Sign in, or send a token that holds in the header Authorization: Bearer. An admin gives \
         tokens to programs; plumb token add does so on the service's own machine."
    )]
    NotSignedIn,
    #[error("This is for {} only. An admin gives roles.", list(.roles))]
    NotAllowed { roles: &'static [Role] },
    #[error("{0}")]
    First(First),
    #[error("The code is wrong, was used before, or the account is locked for a while.")]
    WrongCode,
    #[error("Too many failed tries from this address. Try again in {} s.", .wait.as_secs())]
    TooManyTries { wait: Duration },
    #[error("Only a person who has signed in can do this; a program's token cannot.")]
    NoPerson,
    #[error("The page is of a session that is over. Load it again.")]
    BadCsrf,
    #[error("Not ready: {}.", .reasons.join("; "))]
    NotReady { reasons: Vec<String> },
    #[error("Too many {what} at once. Try again in a moment.")]
    Busy { what: &'static str },
    #[error(
        "The store cannot be read or written at the moment: /readyz says why. Alarms are still \
         raised and sent meanwhile."
    )]
    StoreDown,
    #[error("No answer within {} s. Try again, or ask for less.", .limit.as_secs())]
    Timeout { limit: Duration },
    #[error("The service is stopping. Try again after its start.")]
    Stopping,
    /// The cause is logged where it is handled; the client learns only that it was not its fault.
    #[error("Something failed inside the service. Its log tells more under this request_id.")]
    Internal,
}

/// What a person must do before anything else is opened.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum First {
    #[error("The password is a one-time one. Change it on /password first.")]
    ChangePassword,
    #[error(
        "The code of the second factor is due: send it to /api/v1/session/code, or type it in on \
         /sign-in/code."
    )]
    ShowCode,
    #[error("Your role asks for a second factor. Turn it on on /account first.")]
    AddSecondFactor,
}

impl First {
    /// Returns the page on which it is done.
    pub(crate) fn page(self) -> &'static str {
        match self {
            Self::ChangePassword => "/password",
            Self::ShowCode => "/sign-in/code",
            Self::AddSecondFactor => "/account",
        }
    }

    fn slug(self) -> &'static str {
        match self {
            Self::ChangePassword => "must-change-password",
            Self::ShowCode => "must-show-code",
            Self::AddSecondFactor => "must-add-second-factor",
        }
    }

    fn title(self) -> &'static str {
        match self {
            Self::ChangePassword => "The password must be changed",
            Self::ShowCode => "A code is due",
            Self::AddSecondFactor => "A second factor is asked for",
        }
    }
}

impl ApiError {
    /// Returns the error for something inside that failed, and logs its whole chain, once.
    pub(crate) fn internal(what: &'static str, error: &(dyn std::error::Error + 'static)) -> Self {
        let mut chain = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            chain.push_str(": ");
            chain.push_str(&cause.to_string());
            source = cause.source();
        }
        tracing::error!(error = %chain, "{what} failed while a request was served");
        Self::Internal
    }

    /// Returns status, slug of the type, and title.
    pub(super) fn class(&self) -> (StatusCode, &'static str, &'static str) {
        use StatusCode as S;
        match self {
            Self::UnknownParameter { .. } => (
                S::BAD_REQUEST,
                "unknown-parameter",
                "Unknown query parameter",
            ),
            Self::RepeatedParameter { .. } => (
                S::BAD_REQUEST,
                "repeated-parameter",
                "Repeated query parameter",
            ),
            Self::BadParameter { .. } => (S::BAD_REQUEST, "bad-parameter", "Bad query parameter"),
            Self::BadCursor => (S::BAD_REQUEST, "bad-cursor", "Bad cursor"),
            Self::BadId { .. } => (S::BAD_REQUEST, "bad-id", "Bad id"),
            Self::BadHeader { .. } => (S::BAD_REQUEST, "bad-header", "Bad header"),
            Self::BadBody { .. } => (S::BAD_REQUEST, "bad-body", "Bad body"),
            Self::Unreadable => (S::BAD_REQUEST, "unreadable", "Unreadable request"),
            Self::WrongContentType => (
                S::UNSUPPORTED_MEDIA_TYPE,
                "wrong-content-type",
                "Wrong content type",
            ),
            Self::BodyTooLarge { .. } => (S::PAYLOAD_TOO_LARGE, "body-too-large", "Body too large"),
            Self::NotFound { .. } => (S::NOT_FOUND, "not-found", "Not found"),
            Self::NoRoute => (S::NOT_FOUND, "no-route", "No such route"),
            Self::MethodNotAllowed => (
                S::METHOD_NOT_ALLOWED,
                "method-not-allowed",
                "Method not allowed",
            ),
            Self::EvidenceGone { .. } => (S::GONE, "evidence-gone", "Evidence is gone"),
            Self::EvidenceChanged { .. } => (S::GONE, "evidence-changed", "Evidence was changed"),
            Self::FootageGone { .. } => (S::GONE, "footage-gone", "Footage is gone"),
            Self::NoRoom { .. } => (S::INSUFFICIENT_STORAGE, "no-room", "No room on the disk"),
            Self::RangeNotSatisfiable => (
                S::RANGE_NOT_SATISFIABLE,
                "range-not-satisfiable",
                "Range not satisfiable",
            ),
            Self::NoPicture { .. } => (S::NOT_FOUND, "no-picture", "No picture"),
            Self::BadScene(_) => (S::UNPROCESSABLE_ENTITY, "bad-scene", "Bad scene"),
            Self::SceneChanged => (S::PRECONDITION_FAILED, "scene-changed", "Scene has changed"),
            Self::SceneUnwritable { .. } => {
                let title = "Scene file cannot be written";
                (S::CONFLICT, "scene-unwritable", title)
            }
            Self::NoPrecondition => {
                let title = "If-Match is missing";
                (S::PRECONDITION_REQUIRED, "no-precondition", title)
            }
            Self::Taken { .. } => (S::CONFLICT, "taken", "Taken already"),
            Self::Conflict { .. } => (S::CONFLICT, "conflict", "Conflict"),
            Self::ForeignHost { .. } => (S::MISDIRECTED_REQUEST, "foreign-host", "Foreign host"),
            Self::ForeignOrigin => (S::FORBIDDEN, "foreign-origin", "Foreign origin"),
            Self::NotSignedIn => (S::UNAUTHORIZED, "not-signed-in", "Not signed in"),
            Self::NotAllowed { .. } => (S::FORBIDDEN, "not-allowed", "Not allowed"),
            Self::First(first) => (S::FORBIDDEN, first.slug(), first.title()),
            Self::WrongCode => (S::UNPROCESSABLE_ENTITY, "wrong-code", "Wrong code"),
            Self::TooManyTries { .. } => (S::TOO_MANY_REQUESTS, "too-many-tries", "Too many tries"),
            Self::NoPerson => (S::FORBIDDEN, "no-person", "For people only"),
            Self::BadCsrf => (S::FORBIDDEN, "bad-csrf", "Outdated page"),
            Self::BeingPrepared => (S::SERVICE_UNAVAILABLE, "being-prepared", "Being made ready"),
            Self::NotReady { .. } => (S::SERVICE_UNAVAILABLE, "not-ready", "Not ready"),
            Self::Busy { .. } => (S::SERVICE_UNAVAILABLE, "busy", "Busy"),
            Self::StoreDown => (S::SERVICE_UNAVAILABLE, "store-down", "Store out of order"),
            Self::Timeout { .. } => (S::SERVICE_UNAVAILABLE, "timeout", "Timeout"),
            Self::Stopping => (S::SERVICE_UNAVAILABLE, "stopping", "Stopping"),
            Self::Internal => (S::INTERNAL_SERVER_ERROR, "internal", "Internal error"),
        }
    }

    fn retry_after_s(&self) -> Option<u16> {
        match self {
            Self::Busy { .. } | Self::Timeout { .. } => Some(1),
            Self::TooManyTries { wait } => u16::try_from(wait.as_secs()).ok(),
            Self::BeingPrepared => Some(2),
            Self::NotReady { .. } | Self::StoreDown | Self::Stopping => Some(5),
            _ => None,
        }
    }

    /// Returns the error for a failure that a library answered with a bare status, if it is one.
    pub(crate) fn of_bare_status(status: StatusCode) -> Option<Self> {
        match status {
            StatusCode::NOT_FOUND => Some(Self::NoRoute),
            StatusCode::METHOD_NOT_ALLOWED => Some(Self::MethodNotAllowed),
            StatusCode::RANGE_NOT_SATISFIABLE => Some(Self::RangeNotSatisfiable),
            status if status.is_client_error() => Some(Self::Unreadable),
            status if status.is_server_error() => Some(Self::Internal),
            _ => None,
        }
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        match &error {
            StoreError::UnknownAlarm(id) => Self::NotFound {
                what: "alarm",
                id: id.to_string(),
            },
            StoreError::UnknownTicket(id) => Self::NotFound {
                what: "ticket",
                id: id.to_string(),
            },
            StoreError::UnknownDelivery(id) => Self::NotFound {
                what: "delivery",
                id: id.to_string(),
            },
            StoreError::UnknownEndpoint(id) => Self::NotFound {
                what: "endpoint",
                id: id.to_string(),
            },
            StoreError::WrongState { state, .. } => Self::Conflict {
                detail: format!("The alarm is {} already.", state.as_str()),
            },
            StoreError::Taken { by, name, .. } => Self::Taken {
                by: by.clone(),
                name: name.clone(),
            },
            StoreError::NotDead(_) => Self::Conflict {
                detail: "The delivery is no dead letter; only those can be sent again.".to_owned(),
            },
            StoreError::UnknownShelf(id) => Self::NotFound {
                what: "shelf",
                id: id.to_string(),
            },
            StoreError::UnknownAccount(name) => Self::NotFound {
                what: "account",
                id: name.to_string(),
            },
            StoreError::UnknownToken(name) => Self::NotFound {
                what: "token",
                id: name.to_string(),
            },
            StoreError::ReplayRuns(id) => Self::Conflict {
                detail: format!("Replay {id} runs: one at a time. Wait for it, or cancel it."),
            },
            StoreError::NameTaken(_)
            | StoreError::TooMany { .. }
            | StoreError::LastAdmin(_)
            | StoreError::EvidenceDeleted(_)
            | StoreError::NotHeld(_)
            | StoreError::OwnTicket(_)
            | StoreError::Decided(_)
            | StoreError::OthersTicket(_)
            | StoreError::NoBundle(_)
            | StoreError::EmptyScope
            | StoreError::FactorInForce(_)
            | StoreError::NoFactor(_)
            | StoreError::OwnAccount => Self::Conflict {
                detail: sentence(&error.to_string()),
            },
            error if error.is_disk() => {
                Self::internal("the store", error);
                Self::StoreDown
            }
            error => Self::internal("the store", error),
        }
    }
}

impl IntoResponse for ApiError {
    /// Returns the status and headers; the outermost layer writes the body (it knows the path and
    /// the request's id).
    fn into_response(self) -> Response {
        let mut response = self.class().0.into_response();
        if let Some(seconds) = self.retry_after_s() {
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if matches!(self, Self::NotSignedIn) {
            let scheme = HeaderValue::from_static("Bearer realm=\"plumb\"");
            response
                .headers_mut()
                .insert(header::WWW_AUTHENTICATE, scheme);
        }
        response.extensions_mut().insert(self);
        response
    }
}

/// Returns "operator, manager and auditor".
fn list(roles: &[Role]) -> String {
    let names: Vec<&str> = roles.iter().map(|role| role.as_str()).collect();
    match names.as_slice() {
        [] => String::new(),
        [one] => (*one).to_owned(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

/// Returns an error's text as a sentence.
fn sentence(text: &str) -> String {
    let mut characters = text.chars();
    let first = characters.next().into_iter().flat_map(char::to_uppercase);
    first.chain(characters).chain(['.']).collect()
}

/// Ends the sentence about an unknown parameter.
fn hint(nearest: Option<&str>, known: &[String]) -> String {
    match nearest {
        Some(nearest) => format!("; did you mean {nearest:?}?"),
        None if known.is_empty() => ": this route takes none.".to_owned(),
        None => format!("; there are {}.", known.join(", ")),
    }
}
