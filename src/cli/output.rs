//! What the commands share towards the person at the terminal: lines, progress, errors.

use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use tracing_subscriber::EnvFilter;

use crate::clock::SystemClock;
use crate::config::{self, LogFormat};
use crate::scene::Scene;
use crate::store::Store;

/// The command was used wrongly, or a file it was given says something wrong: exit code 2.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct UsageError(pub String);

/// Standard output, as lines for people or as JSON lines for programs.
pub struct Output {
    out: io::BufWriter<io::Stdout>,
}

impl Output {
    /// Returns the program's standard output.
    pub fn stdout() -> Self {
        Self {
            out: io::BufWriter::new(io::stdout()),
        }
    }

    /// Writes one line. Fails when the reader has gone.
    pub fn line(&mut self, text: &str) -> anyhow::Result<()> {
        writeln!(self.out, "{text}").context("cannot write to standard output")
    }

    /// Writes one record as a line of JSON, at once. Fails when the reader has gone.
    pub fn json(&mut self, record: &impl Serialize) -> anyhow::Result<()> {
        self.line(&serde_json::to_string(record)?)?;
        self.flush()
    }

    /// Hands over what was written so far. Fails when the reader has gone.
    pub fn flush(&mut self) -> anyhow::Result<()> {
        self.out.flush().context("cannot write to standard output")
    }
}

/// Returns a progress bar of `length` steps on a terminal, and a silent one in a pipe.
pub(super) fn progress(length: u64, what: &'static str) -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{msg} {wide_bar} {percent}% {eta}")
        .unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(length)
        .with_style(style)
        .with_message(what)
}

/// Reads a scene file. Fails, as wrong usage, naming the file, line and key.
pub(super) fn read_scene(path: &Path) -> anyhow::Result<Scene> {
    let (scene, _) = config::read_scene(path).map_err(|error| UsageError(error.to_string()))?;
    Ok(scene)
}

/// Where the data directory is said to be, for commands that need nothing else.
#[derive(clap::Args)]
pub(super) struct DataDir {
    /// The service's configuration: it names the data directory, and nothing else of it matters here.
    #[arg(long, value_name = "FILE", default_value = "plumb.toml", global = true)]
    config: PathBuf,
    /// The data directory itself.
    #[arg(long, value_name = "DIR", conflicts_with = "config", global = true)]
    data_dir: Option<PathBuf>,
}

impl DataDir {
    /// Returns the data directory. Fails, as wrong usage, when the configuration cannot be read.
    fn path(&self) -> anyhow::Result<PathBuf> {
        match &self.data_dir {
            Some(data_dir) => Ok(data_dir.clone()),
            None => Ok(config::read_data_dir(&self.config)
                .map_err(|error| UsageError(error.to_string()))?),
        }
    }

    /// Opens the store for `work`, which writes to the standard output, also while the service runs,
    /// and closes it after. Fails when it cannot be opened, or when `work` does.
    pub(super) fn with_store(
        &self,
        work: impl AsyncFnOnce(&Store, &mut Output) -> anyhow::Result<()>,
    ) -> anyhow::Result<ExitCode> {
        let data_dir = self.path()?;
        let mut out = Output::stdout();
        let runtime = tokio::runtime::Runtime::new().context("cannot start the async runtime")?;
        runtime.block_on(async {
            let clock = Arc::new(SystemClock::new());
            // No endpoints: nothing is sent, and nothing that waits is cancelled.
            let store = Store::open_beside(&data_dir, clock).await?;
            let done = work(&store, &mut out).await;
            store.close().await;
            done
        })?;
        out.flush()?;
        Ok(ExitCode::SUCCESS)
    }
}

/// Sends logs to standard error for a command: warnings, unless `PLUMB_LOG` says otherwise.
pub(super) fn log_to_stderr() {
    // Fails only when a test has set a subscriber already; that one then stays.
    tracing_subscriber::fmt()
        .with_env_filter(log_filter("warn"))
        .with_ansi(io::stderr().is_terminal())
        .with_writer(io::stderr)
        .try_init()
        .ok();
}

/// Sends logs to standard error for the service: what it does, unless `PLUMB_LOG` says otherwise.
pub(super) fn log_service(format: LogFormat) {
    let logs = tracing_subscriber::fmt()
        .with_env_filter(log_filter("info"))
        .with_ansi(io::stderr().is_terminal())
        .with_writer(io::stderr);
    let set = match format {
        LogFormat::Text => logs.try_init(),
        LogFormat::Json => logs.json().try_init(),
    };
    set.ok();
}

fn log_filter(default: &str) -> EnvFilter {
    EnvFilter::try_from_env("PLUMB_LOG").unwrap_or_else(|_| EnvFilter::new(default))
}

/// Prints an error with its causes and returns its exit code.
pub(super) fn report(error: &anyhow::Error) -> ExitCode {
    let mut stderr = io::stderr().lock();
    // Nothing can be told when standard error itself is gone.
    writeln!(stderr, "plumb: {error:#}").ok();
    if error.downcast_ref::<UsageError>().is_some() {
        ExitCode::from(2)
    } else {
        ExitCode::FAILURE
    }
}
