//! `plumb verify`: checks an alarm's evidence against its manifest, offline and without a config.
//! Changes nothing in the folder.

use std::path::PathBuf;
use std::process::ExitCode;

use serde::Serialize;

use super::output::Output;
use crate::alarm::AlarmKind;
use crate::evidence::manifest::{self, Finding, Report, State};
use crate::id::{AlarmId, CameraId};

#[derive(clap::Args)]
pub struct Args {
    /// The alarm's evidence folder, the one that holds manifest.json.
    bundle: PathBuf,
    /// Print JSON lines.
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
#[serde(tag = "record", rename_all = "snake_case")]
enum Record<'a> {
    File(&'a Finding),
    Summary {
        alarm: AlarmId,
        kind: AlarmKind,
        camera: &'a CameraId,
        files: usize,
        intact: bool,
    },
}

/// Runs the command: exit code 0 when every file is as its manifest says, 1 when one is not.
/// Fails when the folder or its manifest cannot be read.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let report = manifest::verify(&args.bundle)?;
    let mut out = Output::stdout();
    if args.json {
        print_json(&report, &mut out)?;
    } else {
        print_lines(&report, &mut out)?;
    }
    out.flush()?;
    Ok(if report.all_match() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn print_json(report: &Report, out: &mut Output) -> anyhow::Result<()> {
    for finding in &report.findings {
        out.json(&Record::File(finding))?;
    }
    out.json(&Record::Summary {
        alarm: report.manifest.alarm.id,
        kind: report.manifest.alarm.kind,
        camera: &report.manifest.camera,
        files: report.findings.len(),
        intact: report.all_match(),
    })
}

fn print_lines(report: &Report, out: &mut Output) -> anyhow::Result<()> {
    for finding in &report.findings {
        let state = match finding.state {
            State::Ok => "ok",
            State::Altered => "altered",
            State::Missing => "missing",
            State::Extra => "extra",
        };
        out.line(&format!("{state:<8} {}", finding.name))?;
    }
    let manifest = &report.manifest;
    let verdict = if report.all_match() {
        "every file is as it was when the manifest was written"
    } else {
        "this is not the evidence that was written"
    };
    out.line(&format!(
        "{} {} of camera {}: {verdict}",
        manifest.alarm.kind.as_str(),
        manifest.alarm.id,
        manifest.camera,
    ))
}
