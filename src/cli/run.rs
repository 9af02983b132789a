//! `plumb run`: the service, until SIGTERM or Ctrl-C. A second one ends it at once.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::{info, warn};

use super::output::{self, Output, UsageError};
use crate::clock::SystemClock;
use crate::config::Config;
use crate::pipeline::service::Service;

#[derive(clap::Args)]
pub struct Args {
    /// The configuration; `plumb check --print-default` prints one to begin with.
    #[arg(long, value_name = "FILE", default_value = "plumb.toml")]
    config: PathBuf,
}

/// Runs the command. Fails, as wrong usage, when the configuration cannot be used.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let config = Config::read(&args.config).map_err(|error| UsageError(error.to_string()))?;
    output::log_service(config.log);
    for advice in &config.advice {
        let line = advice.line.unwrap_or(1);
        warn!("{}:{line}: {}", args.config.display(), advice.message);
    }
    let runtime = tokio::runtime::Runtime::new().context("cannot start the async runtime")?;
    runtime.block_on(serve(config))?;
    Ok(ExitCode::SUCCESS)
}

async fn serve(config: Config) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("cannot wait for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot wait for Ctrl-C")?;
    let cameras = config.cameras.len();
    let service = Service::start(config, Arc::new(SystemClock::new())).await?;
    if let Some(password) = service.first_password() {
        tell_first_password(&service, password)?;
    }
    info!(http.address = %service.address(), cameras, "plumb is running");
    either(&mut terminate, &mut interrupt).await;
    info!("stopping; a second signal stops at once");
    tokio::select! {
        () = service.stop() => info!("stopped"),
        () = either(&mut terminate, &mut interrupt) => warn!("stopped at once; what is stored is sent at the next start"),
    }
    Ok(())
}

/// Tells the person at the terminal, and not the log.
fn tell_first_password(service: &Service, password: &str) -> anyhow::Result<()> {
    let mut out = Output::stdout();
    out.line(&format!(
        "This is the first start. Sign in at http://{}/ as admin with the one-time password\n\n    {password}\n\n\
         It is told this once and must be changed then. Lost: run plumb user passwd admin.",
        service.address()
    ))?;
    out.flush()
}

async fn either(one: &mut Signal, other: &mut Signal) {
    tokio::select! {
        _ = one.recv() => {}
        _ = other.recv() => {}
    }
}
