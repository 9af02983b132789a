//! The programs around the service in the demo: the RTSP server and the receiver. Each ends with
//! the demo, also when that is killed: its standard input closes.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail};
use base64::Engine;
use serde::Deserialize;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

use crate::cli::fixtures::Fixture;

/// How long a peer may take to be ready; GStreamer's first start builds its plugin registry.
const READY: Duration = Duration::from_secs(60);

/// A program that printed the port it listens on.
pub(super) struct Peer {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    pub(super) port: u16,
}

impl Peer {
    /// Starts the RTSP server with one camera per fixture. Fails when it does not become ready.
    pub(super) async fn cameras<'a>(
        folder: &Path,
        cameras: impl Iterator<Item = (&'a str, &'a Fixture)>,
    ) -> anyhow::Result<Self> {
        // Debian's GStreamer bindings belong to Debian's Python.
        let mut command = Command::new("/usr/bin/python3");
        command
            .arg(folder.join("rtsp/serve.py"))
            .arg("--until-stdin-closes");
        for (id, fixture) in cameras {
            command.arg(format!("{id}={}", fixture.clip.display()));
        }
        Self::start(command, "the RTSP server").await
    }

    /// Starts the receiver. Fails when it does not become ready.
    pub(super) async fn receiver(folder: &Path, secret: &str) -> anyhow::Result<Self> {
        let mut command = Command::new("python3");
        command
            .arg(folder.join("receive.py"))
            .args(["--until-stdin-closes", "--secret", secret]);
        Self::start(command, "the receiver").await
    }

    async fn start(mut command: Command, what: &str) -> anyhow::Result<Self> {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot start {what}; `make deps` installs what it needs"))?;
        let stdout = child.stdout.take().context("a piped standard output")?;
        let mut lines = BufReader::new(stdout).lines();
        let line = tokio::time::timeout(READY, lines.next_line())
            .await
            .with_context(|| format!("{what} was not ready within {READY:?}"))??;
        let port = line
            .as_deref()
            .and_then(|line| line.strip_prefix("listening "));
        let Some(port) = port.and_then(|port| port.trim().parse().ok()) else {
            bail!("{what} did not say where it listens; `make deps` installs what it needs");
        };
        Ok(Self { child, lines, port })
    }

    /// Returns the next line it prints. Fails when it has ended.
    pub(super) async fn next_line(&mut self) -> anyhow::Result<String> {
        self.lines
            .next_line()
            .await?
            .context("the receiver has ended")
    }

    /// Ends it.
    pub(super) async fn stop(&mut self) {
        // Fails only when it has ended already.
        self.child.kill().await.ok();
    }
}

/// Returns a fresh signing secret.
pub(super) fn new_secret() -> String {
    let key: [u8; 32] = rand::random();
    format!(
        "whsec_{}",
        base64::engine::general_purpose::STANDARD.encode(key)
    )
}

/// What the receiver says of one webhook.
#[derive(Debug, Deserialize)]
pub(super) struct Delivery {
    /// Unix seconds.
    pub(super) received_at: f64,
    pub(super) valid: bool,
    pub(super) event: Option<Event>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Event {
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) data: Data,
}

#[derive(Debug, Deserialize)]
pub(super) struct Data {
    pub(super) id: String,
    pub(super) camera: String,
    pub(super) place: String,
    pub(super) kind: String,
    pub(super) score: f64,
    pub(super) raised_at_ms: i64,
    pub(super) raised_at_s: f64,
    pub(super) origin: Option<crate::alarm::Origin>,
    pub(super) evidence: String,
}

impl Delivery {
    pub(super) fn is_of(&self, camera: &str) -> bool {
        self.valid
            && self
                .event
                .as_ref()
                .is_some_and(|event| event.data.camera == camera)
    }

    /// Returns the seconds from the deciding frame's capture to the receiver.
    pub(super) fn delay_s(&self, data: &Data) -> f64 {
        self.received_at - data.raised_at_ms as f64 / 1e3
    }

    /// Returns one line for people.
    pub(super) fn sentence(&self) -> String {
        let Some(Event { kind, data }) = &self.event else {
            return "a webhook that is not one of ours".to_owned();
        };
        let signature = if self.valid { "" } else { "  WRONG SIGNATURE" };
        let detail = match kind.as_str() {
            "alarm.raised" => format!(
                "{}{}, {:.2} s after the deciding frame",
                data.kind,
                floor(data),
                self.delay_s(data)
            ),
            "alarm.evidence" => format!("{}: evidence {}", data.kind, data.evidence),
            _ => data.kind.clone(),
        };
        format!(
            "webhook  {kind:15} {:8} score {:.2}  {detail}{signature}",
            data.place, data.score
        )
    }
}

/// Returns ", floor 12 (11 to 13)" where the floor is known.
pub(super) fn floor(data: &Data) -> String {
    match data.origin {
        Some(crate::alarm::Origin {
            floor: Some(floor),
            floor_min: Some(min),
            floor_max: Some(max),
            ..
        }) => {
            format!(", floor {floor} ({min} to {max})")
        }
        _ => String::new(),
    }
}
