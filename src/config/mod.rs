//! The configuration, checked: typed ids, resolved paths, read scenes and secrets.
//! What is wrong is told all at once, each with its line; nothing here opens a connection.

mod check;
mod file;
mod policy;
mod scene;

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use url::Url;

use crate::audit::{Algorithm, Signing};
use crate::auth::Role;
use crate::decode::Hardware;
use crate::deliver::EndpointConfig;
use crate::detect::Inference;
use crate::http::Privacy;
use crate::id::{CameraId, SiteId};
use crate::report::inventory::Inventory;
use crate::scene::{Kind, Scene};
use crate::source::rtsp::RtspCamera;
use crate::store::{Escalation, SessionLimits};

pub use file::DEFAULT;
pub use scene::{SceneFileError, read_scene};

/// Everything the service is told.
#[derive(Debug)]
pub struct Config {
    pub data_dir: PathBuf,
    pub http: Http,
    pub log: LogFormat,
    pub retention: Retention,
    pub footage: Footage,
    pub privacy: Privacy,
    /// What reports count.
    pub inventory: Inventory,
    pub models_dir: Option<PathBuf>,
    pub runtime: Option<PathBuf>,
    pub inference: Inference,
    pub decode: Decode,
    pub audit: Audit,
    pub auth: Auth,
    /// The folder whose recordings auditors may replay.
    pub recordings_dir: Option<PathBuf>,
    pub sites: Vec<Site>,
    pub cameras: Vec<Camera>,
    pub endpoints: Vec<EndpointConfig>,
    /// In the order of the file.
    pub escalations: Vec<Escalation>,
    /// What works and should be changed all the same.
    pub advice: Vec<Problem>,
}

#[derive(Clone, Debug)]
pub struct Http {
    pub listen: SocketAddr,
    /// What links begin with; none means the address that is listened on.
    pub public_url: Option<Url>,
    pub tls: Option<TlsFiles>,
    /// Proxies whose word about the client's address is taken.
    pub proxies: Vec<IpAddr>,
    pub sessions: SessionLimits,
}

/// How the audit log is chained and its checkpoints are signed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Audit {
    pub digest: Algorithm,
    pub signing: Signing,
}

/// How cameras' pictures are decoded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Decode {
    pub hardware: Hardware,
}

/// What people must show to sign in.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Auth {
    /// Who has one of these must have a second factor.
    pub second_factor_roles: Vec<Role>,
}

/// Where the certificate chain and its key are, PEM.
#[derive(Clone, Debug)]
pub struct TlsFiles {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

impl Http {
    /// Returns whether browsers reach the service by https.
    pub fn is_encrypted(&self) -> bool {
        let public = self.public_url.as_ref();
        self.tls.is_some() || public.is_some_and(|url| url.scheme() == "https")
    }

    /// Returns what links begin with when the service listens on `address`.
    pub fn links_from(&self, address: SocketAddr) -> Url {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        let own = || Url::parse(&format!("{scheme}://{address}/")).expect("an address makes a URL");
        self.public_url.clone().unwrap_or_else(own)
    }
}

/// How long things are kept, and how much room they may take.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Retention {
    pub evidence: Duration,
    /// None: what the disk has.
    pub evidence_budget_bytes: Option<u64>,
    pub min_free_bytes: u64,
    /// Shares of the room, 0..1.
    pub warn_share: f64,
    pub full_share: f64,
    pub reserve_bytes: u64,
    pub events: Duration,
}

/// How the cameras' ordinary video is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Footage {
    pub kept: Duration,
    /// None: what the disk has.
    pub budget_bytes: Option<u64>,
    pub dir: PathBuf,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    #[default]
    Text,
    Json,
}

/// A residential compound.
#[derive(Clone, Debug)]
pub struct Site {
    pub id: SiteId,
    pub name: String,
}

/// One camera and what it looks at.
#[derive(Clone, Debug)]
pub struct Camera {
    pub id: CameraId,
    pub name: String,
    pub site: SiteId,
    /// Both may be empty.
    pub building: String,
    pub elevator: String,
    /// What people call the building or the elevator; empty where nobody has said.
    pub place: String,
    pub kind: Kind,
    pub input: Input,
    pub scene: Scene,
    /// SHA-256 of the scene file, for the manifest; none without one.
    pub scene_sha256: Option<String>,
    /// The scene file's text; none without one.
    pub scene_text: Option<String>,
    /// Where the scene is kept, or will be once somebody draws one.
    pub scene_file: PathBuf,
    /// Whether its ordinary video is kept.
    pub footage: bool,
}

/// Where a camera's packets come from.
#[derive(Clone, Debug)]
pub enum Input {
    Rtsp(Box<RtspCamera>),
    /// A recording, played over and over at its own pace.
    File(PathBuf),
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    pub line: Option<usize>,
    pub message: String,
}

impl Problem {
    fn new(line: Option<usize>, message: String) -> Self {
        Self { line, message }
    }
}

/// All that is wrong with a configuration.
#[derive(Debug, thiserror::Error)]
pub struct ConfigError {
    pub path: PathBuf,
    pub problems: Vec<Problem>,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            let separator = if index == 0 { "" } else { "\n" };
            let line = problem
                .line
                .map(|line| format!(":{line}"))
                .unwrap_or_default();
            write!(
                f,
                "{separator}{}{line}: {}",
                self.path.display(),
                problem.message
            )?;
        }
        Ok(())
    }
}

/// Returns the data directory that a configuration file names, and looks at nothing else in it: its
/// cameras, scenes and secrets may be missing. Fails when it is no TOML.
pub fn read_data_dir(path: &Path) -> Result<PathBuf, ConfigError> {
    let failed = |line, message: String| ConfigError {
        path: path.to_path_buf(),
        problems: vec![Problem::new(line, message)],
    };
    let text = std::fs::read_to_string(path)
        .map_err(|error| failed(None, format!("cannot be read: {error}")))?;
    let data_dir =
        file::data_dir(&text).map_err(|problem| failed(problem.line, problem.message))?;
    Ok(path.parent().unwrap_or(Path::new("")).join(data_dir))
}

impl Config {
    /// Reads and checks a configuration file. Fails with all its problems.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let failed = |problems| ConfigError {
            path: path.to_path_buf(),
            problems,
        };
        let text = std::fs::read_to_string(path).map_err(|error| {
            failed(vec![Problem::new(None, format!("cannot be read: {error}"))])
        })?;
        let folder = path.parent().unwrap_or(Path::new("")).to_path_buf();
        Self::parse(&text, &folder).map_err(failed)
    }

    /// Checks a configuration's text; `folder` is what its paths are relative to.
    pub fn parse(text: &str, folder: &Path) -> Result<Self, Vec<Problem>> {
        let file = file::parse(text)?;
        let named = file.replay.recordings_dir.as_ref();
        let line = named.map(|named| file::line_of(text, named.span().start));
        let config = check::config(file, text, folder)?;
        match &config.recordings_dir {
            Some(dir) if !dir.is_dir() => {
                let message = format!("replay.recordings_dir: {} is not a folder", dir.display());
                Err(vec![Problem::new(line, message)])
            }
            _ => Ok(config),
        }
    }
}
