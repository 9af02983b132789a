//! `plumb check`: tries everything that `plumb run` will need, and says per line what is wrong and
//! what to do. Changes nothing; webhook endpoints get one signed test event each.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;

use super::output::{self, Output, UsageError};
use crate::clock::SystemClock;
use crate::config::{self, Config};
use crate::http::{Checked, Finding};
use crate::pipeline::checks::Checks;

#[derive(clap::Args)]
pub struct Args {
    /// The configuration to check.
    #[arg(long, value_name = "FILE", default_value = "plumb.toml")]
    config: PathBuf,
    /// Print the documented default configuration instead, to begin with.
    #[arg(long)]
    print_default: bool,
}

/// Runs the command. Fails, as wrong usage, when the configuration cannot be used.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let mut out = Output::stdout();
    if args.print_default {
        out.line(config::DEFAULT.trim_end())?;
        out.flush()?;
        return Ok(ExitCode::SUCCESS);
    }
    let config = Config::read(&args.config).map_err(|error| UsageError(error.to_string()))?;
    let runtime = tokio::runtime::Runtime::new().context("cannot start the async runtime")?;
    let checks = Checks::of(&config, Arc::new(SystemClock::new()));
    let findings = runtime.block_on(findings(&checks));
    let mut failed = 0;
    out.line(&format!("ok    config {}", args.config.display()))?;
    for advice in &config.advice {
        let line = advice.line.unwrap_or(1);
        out.line(&format!("note  config line {line}: {}", advice.message))?;
    }
    for finding in &findings {
        failed += usize::from(finding.result.is_err());
        out.line(&line(&config, finding))?;
    }
    out.line(&format!("{} checked, {failed} failed", findings.len() + 1))?;
    out.flush()?;
    Ok(if failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

async fn findings(checks: &Checks) -> Vec<Finding> {
    let bar = output::progress(checks.count() as u64, "check");
    if std::io::stderr().is_terminal() {
        bar.enable_steady_tick(Duration::from_millis(200));
    }
    let findings = checks.findings(None, &|| bar.inc(1)).await;
    bar.finish_and_clear();
    findings
}

fn line(config: &Config, finding: &Finding) -> String {
    let what = match &finding.what {
        Checked::DataDir => format!("data_dir {}", config.data_dir.display()),
        Checked::Footage => format!("footage {}", config.footage.dir.display()),
        what => what.to_string(),
    };
    match &finding.result {
        Ok(well) => format!("ok    {what}: {well}"),
        Err(bad) => format!("FAIL  {what}: {}", bad.detail),
    }
}
