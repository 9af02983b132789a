//! `plumb audit`: the log of what was done, checked as it lies on the disk. Reads only, also while
//! the service runs.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use serde::Serialize;

use super::output::{Output, UsageError};
use crate::audit::checkpoint::CHECKPOINTS_FILE;
use crate::audit::{Checkpoint, Key, Signing};
use crate::config::Config;
use crate::store::inspect::{self, AuditReport};

#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Say whether every row is as it was written, and name each that is not.
    Verify(Verify),
}

#[derive(clap::Args)]
struct Verify {
    /// A checkpoint that was kept elsewhere (a file of one, or of one a line); may be repeated.
    /// The data directory's own checkpoints are always used.
    #[arg(long = "checkpoint", value_name = "FILE")]
    checkpoints: Vec<PathBuf>,
    /// The service's configuration: it names the data directory.
    #[arg(long, value_name = "FILE", default_value = "plumb.toml")]
    config: PathBuf,
    /// The data directory itself, for a copy of it elsewhere.
    #[arg(long, value_name = "DIR", conflicts_with = "config")]
    data_dir: Option<PathBuf>,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// Runs the command. Fails when the log or a checkpoint cannot be read.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let Command::Verify(args) = &args.command;
    let data_dir = match &args.data_dir {
        Some(data_dir) => data_dir.clone(),
        None => {
            let config = Config::read(&args.config);
            config
                .map_err(|error| UsageError(error.to_string()))?
                .data_dir
        }
    };
    let checkpoints = checkpoints(&data_dir, &args.checkpoints)?;
    // Without the key file (a copy elsewhere) any key may have signed.
    let keys: Vec<String> = Signing::ALL
        .into_iter()
        .filter_map(|signing| Key::open(&data_dir, signing).ok())
        .map(|key| key.public())
        .collect();
    let runtime = tokio::runtime::Runtime::new().context("cannot start the async runtime")?;
    let report = inspect::inspect(&data_dir, &checkpoints, &keys);
    let report = runtime.block_on(report)?;
    let mut out = Output::stdout();
    if args.json {
        out.json(&Record {
            record: "audit",
            whole: report.findings.is_empty(),
            report: &report,
        })?;
    } else {
        tell(&report, &mut out)?;
    }
    out.flush()?;
    Ok(if report.findings.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

#[derive(Serialize)]
struct Record<'a> {
    record: &'static str,
    whole: bool,
    #[serde(flatten)]
    report: &'a AuditReport,
}

fn tell(report: &AuditReport, out: &mut Output) -> anyhow::Result<()> {
    for finding in &report.findings {
        out.line(&format!("FAIL  {finding}"))?;
    }
    let verdict = if report.findings.is_empty() {
        "ok    every row is as it was written"
    } else {
        "FAIL  the log is not as it was written"
    };
    let (rows, last) = (report.rows, report.last_seq);
    out.line(&format!(
        "{verdict}: {rows} rows, the last is {last}, {} checkpoints fit",
        report.checkpoints
    ))?;
    if report.checkpoints == 0 {
        out.line("note  without a checkpoint kept elsewhere, a log that was made anew as a whole looks whole")?;
    }
    Ok(())
}

fn checkpoints(data_dir: &Path, given: &[PathBuf]) -> anyhow::Result<Vec<Checkpoint>> {
    let own = data_dir.join(CHECKPOINTS_FILE);
    let older = own.with_extension("jsonl.old");
    let own = [older, own].into_iter().filter(|path| path.exists());
    let mut checkpoints = Vec::new();
    for path in own.chain(given.iter().cloned()) {
        let read = Checkpoint::read_all(&path);
        let read = read.with_context(|| format!("cannot read checkpoints of {}", path.display()));
        checkpoints.extend(read?);
    }
    Ok(checkpoints)
}
