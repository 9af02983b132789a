//! Why a camera does not deliver, in words that say what to do. Holds no password and no secret
//! part of a URL: what others said is scrubbed before it comes in.

use std::io::ErrorKind;
use std::time::Duration;

use tokio::net::{TcpStream, lookup_host};

use super::RtspCamera;

/// What kind of failure; counted by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    ConnectTimeout,
    UnknownHost,
    Refused,
    Unreachable,
    Unauthorized,
    NotFound,
    Rejected,
    NoVideo,
    UnsupportedCodec,
    NoKeyPicture,
    Stalled,
    Closed,
    Protocol,
}

impl Cause {
    /// Returns the name that metrics and health use.
    pub fn name(self) -> &'static str {
        match self {
            Self::ConnectTimeout => "connect_timeout",
            Self::UnknownHost => "unknown_host",
            Self::Refused => "refused",
            Self::Unreachable => "unreachable",
            Self::Unauthorized => "unauthorized",
            Self::NotFound => "not_found",
            Self::Rejected => "rejected",
            Self::NoVideo => "no_video",
            Self::UnsupportedCodec => "unsupported_codec",
            Self::NoKeyPicture => "no_key_picture",
            Self::Stalled => "stalled",
            Self::Closed => "closed",
            Self::Protocol => "protocol",
        }
    }
}

/// One failure of one camera: what happened and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub struct Failure {
    pub cause: Cause,
    what: String,
}

impl Failure {
    pub(super) fn new(cause: Cause, what: impl Into<String>) -> Self {
        let what = what.into();
        Self { cause, what }
    }

    pub(super) fn connect_timeout(camera: &RtspCamera) -> Self {
        let (url, limit) = (&camera.url, seconds(camera.deadlines.connect));
        Self::new(
            Cause::ConnectTimeout,
            format!(
                "no answer from {url} within {limit}; is the camera on, and is this its address?"
            ),
        )
    }

    pub(super) fn stalled(camera: &RtspCamera) -> Self {
        let (url, limit) = (&camera.url, seconds(camera.deadlines.stall));
        let hint = match camera.transport {
            super::Transport::Tcp => "check the camera and the network",
            super::Transport::Udp => {
                "check the camera and the network; a firewall may hold back \
                                      RTP over UDP, then use transport = \"tcp\""
            }
        };
        Self::new(
            Cause::Stalled,
            format!("no picture from {url} for {limit}; {hint}"),
        )
    }

    pub(super) fn closed(camera: &RtspCamera) -> Self {
        let url = &camera.url;
        Self::new(
            Cause::Closed,
            format!("{url} closed the connection; the camera may be restarting"),
        )
    }

    pub(super) fn no_key_picture(camera: &RtspCamera) -> Self {
        let (url, limit) = (&camera.url, seconds(camera.deadlines.key_picture));
        Self::new(
            Cause::NoKeyPicture,
            format!(
                "no key picture from {url} within {limit}; set the camera's I-frame interval to 1 \
                 to 4 seconds"
            ),
        )
    }

    /// Returns what retina's error means. Where it carries no status, one more connection tells
    /// whether the host still listens: retina keeps the reason to itself.
    pub(super) async fn of_session(camera: &RtspCamera, error: &retina::Error) -> Self {
        let said = camera.scrub(&error.to_string());
        if let Some(status) = error.status_code() {
            return Self::of_status(camera, status, &said);
        }
        match unanswered(camera).await {
            Some(failure) => failure,
            None => Self::new(
                Cause::Protocol,
                format!("{} broke off or did not speak RTSP: {said}", camera.url),
            ),
        }
    }

    fn of_status(camera: &RtspCamera, status: u16, said: &str) -> Self {
        let url = &camera.url;
        let (cause, what) = match status {
            401 | 403 if camera.credentials().is_none() => (
                Cause::Unauthorized,
                format!("{url} demands a login ({status}) and none is configured"),
            ),
            401 | 403 => (
                Cause::Unauthorized,
                format!("{url} refuses the user name or password ({status}); check the login"),
            ),
            404 | 410 => (
                Cause::NotFound,
                format!("{url} has no such stream ({status}); check the path of the URL"),
            ),
            461 => (
                Cause::Rejected,
                format!(
                    "{url} refuses RTP over {} (461); try the other transport",
                    camera.transport.name()
                ),
            ),
            453 | 503 => (
                Cause::Rejected,
                format!("{url} has no room for another client ({status}); who else is connected?"),
            ),
            // An answer with success that could not be used: retina says why.
            200..300 => (
                Cause::Protocol,
                format!("{url} answered with something unusable: {said}"),
            ),
            _ => (
                Cause::Rejected,
                format!("{url} rejects the request: {said}"),
            ),
        };
        Self::new(cause, what)
    }
}

/// How long the second look at a host that failed may take.
const SECOND_LOOK: Duration = Duration::from_secs(2);

/// Returns why the camera's host cannot be reached, or none when it can.
async fn unanswered(camera: &RtspCamera) -> Option<Failure> {
    let (url, host, port) = (&camera.url, camera.url.host(), camera.url.port());
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let look = async {
        let addresses: Vec<_> = match lookup_host((bare, port)).await {
            Ok(addresses) => addresses.collect(),
            Err(error) => {
                let what = format!("the name {host} is not known ({error}); check the URL or DNS");
                return Some(Failure::new(Cause::UnknownHost, what));
            }
        };
        let error = TcpStream::connect(addresses.as_slice()).await.err()?;
        Some(match error.kind() {
            ErrorKind::ConnectionRefused => Failure::new(
                Cause::Refused,
                format!("{url} refuses the connection; is RTSP on in the camera, on port {port}?"),
            ),
            _ => Failure::new(
                Cause::Unreachable,
                format!("{url} cannot be reached ({error}); check the address and the network"),
            ),
        })
    };
    match tokio::time::timeout(SECOND_LOOK.min(camera.deadlines.connect), look).await {
        Ok(found) => found,
        Err(_) => Some(Failure::connect_timeout(camera)),
    }
}

fn seconds(limit: Duration) -> String {
    format!("{} s", limit.as_secs_f64())
}
