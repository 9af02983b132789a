//! What `plumb check` tries, tried anew by the running service for those who look after it. The trying
//! is `pipeline`'s, downstream of here: it comes as a [`Checker`].
//!
//! One check at a time: it connects to every camera and sends every receiver a test message.

use std::fmt;
use std::sync::Arc;

use futures::future::BoxFuture;

use super::Service;
use super::access::Principal;
use super::error::ApiError;
use crate::id::{CameraId, EndpointId};
use crate::store::AuditOutcome;

/// Tries everything that the configuration names.
pub trait Checker: Send + Sync + fmt::Debug {
    /// Returns what each thing came to. Takes seconds, bounded by the deadlines of what is tried.
    fn check(self: Arc<Self>) -> BoxFuture<'static, Vec<Finding>>;
}

/// What one check found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub what: Checked,
    pub result: Result<Well, Bad>,
}

/// What is checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Checked {
    /// A line of the configuration that works and should be changed all the same.
    Config {
        line: usize,
    },
    Models,
    /// What decodes besides the processor.
    Decoding,
    DataDir,
    /// The folder of ordinary video.
    Footage,
    Camera(CameraId),
    Endpoint(EndpointId),
}

/// What is well; in English as it stands here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Well {
    /// Models of these names.
    Loaded {
        names: Vec<String>,
        provider: String,
        threads: usize,
    },
    /// On the engine of this name.
    Decodes {
        hardware: String,
    },
    Writable,
    /// A folder.
    FolderWritable,
    InUse,
    Picture {
        codec: String,
        width_px: u32,
        height_px: u32,
    },
    /// In words of the receiver's answer.
    Answered(String),
    /// Something that should be changed, in English.
    Noted(String),
}

/// What is not well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bad {
    pub why: Why,
    /// The error with its causes, in English. It holds no password.
    pub detail: String,
}

/// What kind of thing went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    Models,
    Decoding,
    DataDir,
    Footage,
    Unreachable,
    NoPicture,
    Refused,
    Late,
}

impl Checked {
    /// Returns the word that JSON uses.
    pub(super) fn word(&self) -> &'static str {
        match self {
            Self::Config { .. } => "config",
            Self::Models => "models",
            Self::Decoding => "decoding",
            Self::DataDir => "data_dir",
            Self::Footage => "footage",
            Self::Camera(_) => "camera",
            Self::Endpoint(_) => "endpoint",
        }
    }

    /// Returns the id of what is checked, where it has one.
    pub(super) fn id(&self) -> Option<&str> {
        match self {
            Self::Camera(id) => Some(id.as_str()),
            Self::Endpoint(id) => Some(id.as_str()),
            Self::Config { .. } | Self::Models | Self::Decoding | Self::DataDir | Self::Footage => {
                None
            }
        }
    }
}

impl fmt::Display for Checked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config { line } => write!(f, "config line {line}"),
            Self::Models => f.write_str("models"),
            Self::Decoding => f.write_str("decoding"),
            Self::DataDir => f.write_str("data_dir"),
            Self::Footage => f.write_str("footage"),
            Self::Camera(id) => write!(f, "camera {id}"),
            Self::Endpoint(id) => write!(f, "endpoint {id}"),
        }
    }
}

impl fmt::Display for Well {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Loaded {
                names,
                provider,
                threads,
            } => write!(
                f,
                "{} loaded, digests as stated; computed on {provider}, up to {threads} at a time each",
                names.join(", ")
            ),
            Self::Decodes { hardware } => write!(f, "{hardware} can be used"),
            Self::Writable => f.write_str("writable, the database is sound"),
            Self::FolderWritable => f.write_str("writable"),
            Self::InUse => f.write_str("in use by a running service"),
            Self::Picture {
                codec,
                width_px,
                height_px,
            } => write!(f, "{codec} {width_px}x{height_px}, a frame was decoded"),
            Self::Answered(text) | Self::Noted(text) => f.write_str(text),
        }
    }
}

/// Checks, and writes down who wanted it. Fails while another check runs, and where there is nothing
/// that could check.
pub(super) async fn run(service: &Service, who: &Principal) -> Result<Vec<Finding>, ApiError> {
    let Some(checker) = service.api.checker.clone() else {
        return Err(ApiError::Conflict {
            detail: "This service has nothing to check.".to_owned(),
        });
    };
    let Ok(_turn) = service.checking.try_acquire() else {
        return Err(ApiError::Busy { what: "checks" });
    };
    let done = AuditOutcome::Done;
    let store = &service.api.store;
    let noted = store.note(&who.actor, "service.checked", "service", done, None);
    noted.await?;
    Ok(checker.check().await)
}
