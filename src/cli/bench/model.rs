//! One model alone: what an inference costs on one thread, without pictures, tracks or rules.

use std::time::Duration;

use anyhow::Context;
use ndarray::{ArrayD, IxDyn};
use serde::Serialize;

use super::{rounded, usage};
use crate::cli::output::{self, Output};
use crate::detect::{Models, Runtime};

/// Inferences before figures count: buffers are made in the first.
const WARM_UP: u64 = 5;
const RUNS: u64 = 100;

#[derive(Serialize)]
struct Figures<'a> {
    model: &'a str,
    sha256: &'a str,
    runs: u64,
    /// Processor time of one inference, milliseconds.
    ms_p50: f64,
    ms_p95: f64,
}

/// Runs the model named in models.toml and prints what an inference costs; an axis of any length
/// gets the length 1. Fails when the model cannot be had or run.
pub(super) fn run(name: &str, json: bool) -> anyhow::Result<()> {
    let models = Models::open(&Runtime::load(None)?, None)?;
    let session = models.session(name)?;
    let (shape, _) = models.shapes(name)?;
    let sides: Vec<usize> = shape
        .iter()
        .map(|side| usize::try_from(*side).unwrap_or(1))
        .collect();
    let mut value = 0.0_f32;
    // Some structure everywhere, 0..255.
    let input = ArrayD::from_shape_simple_fn(IxDyn(&sides), || {
        value = (value + 37.0) % 256.0;
        value
    });
    let bar = output::progress(RUNS, "bench");
    let mut times = Vec::new();
    for number in 0..WARM_UP + RUNS {
        let began = usage::process_cpu();
        session
            .run_with(input.view(), |_| ())
            .with_context(|| format!("cannot run the model {name}"))?;
        if number >= WARM_UP {
            times.push(usage::process_cpu().saturating_sub(began));
            bar.inc(1);
        }
    }
    bar.finish_and_clear();
    times.sort();
    let at = |part: usize| rounded(milliseconds(times[(times.len() - 1) * part / 100]));
    let figures = Figures {
        model: session.model(),
        sha256: session.sha256(),
        runs: RUNS,
        ms_p50: at(50),
        ms_p95: at(95),
    };
    let mut out = Output::stdout();
    if json {
        return out.json(&figures);
    }
    out.line(&format!(
        "{name}: {} ms of processor time an inference (p50), {} (p95)",
        figures.ms_p50, figures.ms_p95
    ))?;
    out.flush()
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}
