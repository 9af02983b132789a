//! `plumb verify`: checks an alarm's evidence, or an exported bundle, offline and without a config.
//! Changes nothing in it.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use serde::Serialize;

use super::output::Output;
use crate::alarm::AlarmKind;
use crate::audit::Checkpoint;
use crate::evidence::manifest::{self, Finding, Report, State};
use crate::export::check::{self, BundleReport, SignatureFinding, SignatureState};
use crate::export::manifest::TicketEntry;
use crate::id::{AlarmId, CameraId};

#[derive(clap::Args)]
pub struct Args {
    /// A bundle (the ZIP file, or the folder it was unpacked into), or an alarm's evidence folder,
    /// the one that holds manifest.json.
    bundle: PathBuf,
    /// A checkpoint of the service's audit log: a bundle must then be signed by its key. May be
    /// repeated.
    #[arg(long = "checkpoint", value_name = "FILE")]
    checkpoints: Vec<PathBuf>,
    /// Print JSON lines.
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
#[serde(tag = "record", rename_all = "snake_case")]
enum Record<'a> {
    File(&'a Finding),
    Signature(&'a SignatureFinding),
    Summary {
        alarm: AlarmId,
        kind: AlarmKind,
        camera: &'a CameraId,
        files: usize,
        intact: bool,
    },
    Bundle {
        ticket: &'a TicketEntry,
        alarms: usize,
        files: usize,
        /// None where no checkpoint tells which keys are the service's.
        key_known: Option<bool>,
        intact: bool,
    },
}

/// Runs the command: exit code 0 when every file is as its manifest says (and a bundle is signed), 1
/// when not. Fails when the folder or its manifest cannot be read.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let mut out = Output::stdout();
    let is_intact = if check::is_bundle(&args.bundle) {
        bundle(args, &mut out)?
    } else {
        evidence(args, &mut out)?
    };
    out.flush()?;
    Ok(if is_intact {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn evidence(args: &Args, out: &mut Output) -> anyhow::Result<bool> {
    let report = manifest::verify(&args.bundle)?;
    if args.json {
        print_json(&report, out)?;
    } else {
        print_lines(&report, out)?;
    }
    Ok(report.all_match())
}

fn bundle(args: &Args, out: &mut Output) -> anyhow::Result<bool> {
    let keys = keys(&args.checkpoints)?;
    let report = check::verify(&args.bundle)?;
    let key_known = (!args.checkpoints.is_empty()).then(|| report.is_signed_by(&keys));
    let is_intact = report.is_whole() && key_known != Some(false);
    if args.json {
        for finding in &report.findings {
            out.json(&Record::File(finding))?;
        }
        for signature in &report.signatures {
            out.json(&Record::Signature(signature))?;
        }
        out.json(&Record::Bundle {
            ticket: &report.manifest.ticket,
            alarms: report.manifest.alarms.len(),
            files: report.findings.len(),
            key_known,
            intact: is_intact,
        })?;
    } else {
        tell(&report, key_known, is_intact, out)?;
    }
    Ok(is_intact)
}

/// Returns the keys of checkpoints that are signed.
fn keys(files: &[PathBuf]) -> anyhow::Result<Vec<String>> {
    let mut keys = Vec::new();
    for path in files {
        let read = Checkpoint::read_all(path);
        let read = read.with_context(|| format!("cannot read checkpoints of {}", path.display()));
        let signed = read?.into_iter().filter(Checkpoint::is_signed);
        keys.extend(signed.map(|checkpoint| checkpoint.public_key));
    }
    Ok(keys)
}

fn tell(
    report: &BundleReport,
    key_known: Option<bool>,
    is_intact: bool,
    out: &mut Output,
) -> anyhow::Result<()> {
    print_findings(&report.findings, out)?;
    for signature in &report.signatures {
        let state = match signature.state {
            SignatureState::Holds => "ok",
            SignatureState::Broken => "broken",
            SignatureState::UnknownAlgorithm => "unknown",
        };
        let (algorithm, key) = (&signature.algorithm, &signature.public_key);
        out.line(&format!("{state:<8} signature by {algorithm} {key}"))?;
    }
    match key_known {
        Some(true) => out.line("ok       a checkpoint knows the key")?,
        Some(false) => out.line("foreign  no checkpoint knows the key")?,
        None => out.line(
            "note     whose key it is, a checkpoint of the service tells: give it with --checkpoint",
        )?,
    }
    let ticket = &report.manifest.ticket;
    let verdict = if is_intact {
        "every file is as it was signed"
    } else {
        "this is not the bundle that was signed"
    };
    out.line(&format!(
        "bundle {} for {}, allowed by {}, {} alarms: {verdict}",
        ticket.number,
        ticket.asked_by,
        ticket.approved_by,
        report.manifest.alarms.len()
    ))
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

fn print_findings(findings: &[Finding], out: &mut Output) -> anyhow::Result<()> {
    for finding in findings {
        let state = match finding.state {
            State::Ok => "ok",
            State::Altered => "altered",
            State::Missing => "missing",
            State::Extra => "extra",
        };
        out.line(&format!("{state:<8} {}", finding.name))?;
    }
    Ok(())
}

fn print_lines(report: &Report, out: &mut Output) -> anyhow::Result<()> {
    print_findings(&report.findings, out)?;
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
