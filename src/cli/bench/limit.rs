//! The most streams that a machine bears: doubling, then bisecting, each step a service of its own in
//! a process of its own, so that no step pays for the one before.

use std::ops::ControlFlow;
use std::process::Stdio;
use std::time::Duration;

use anyhow::Context;
use serde::Serialize;

use super::{Args, Figures, print};
use crate::cli::output::{self, Output};

/// What the alarm delay must stay under at its 99th percentile, milliseconds.
const DELAY_MAX_MS: f64 = 500.0;
/// The most streams that are tried where nothing else is said.
const STREAMS_MAX: u32 = 1024;
/// What a step may take besides its seconds: start, bare decoding, stop. A service that takes longer is
/// past its limit.
const BESIDES: Duration = Duration::from_secs(60);

#[derive(Serialize)]
struct Found {
    /// 0 when not even one stream is borne.
    limit_streams: u32,
    /// Whether more were not tried.
    is_bound: bool,
    /// At the limit.
    figures: Option<Figures>,
    steps: Vec<Step>,
}

#[derive(Serialize)]
struct Step {
    streams: u32,
    /// What gave way; none where nothing did.
    too_much: Option<String>,
}

/// Searches the limit and prints it. Fails when a step cannot be run.
pub(super) async fn run(args: &Args) -> anyhow::Result<()> {
    let most = args.streams.unwrap_or(STREAMS_MAX);
    let bar = output::progress(u64::from(most.ilog2()) * 2 + 2, "limit");
    let (mut steps, mut best) = (Vec::new(), None);
    let mut search = Search::up_to(most);
    while let ControlFlow::Continue(streams) = search.next() {
        let (too_much, figures) = step(args, streams).await?;
        search.tell(streams, too_much.is_none());
        if too_much.is_none() {
            best = figures;
        }
        steps.push(Step { streams, too_much });
        bar.inc(1);
    }
    bar.finish_and_clear();
    let found = Found {
        limit_streams: search.borne,
        is_bound: search.borne == most,
        figures: best,
        steps,
    };
    tell(args, &found)
}

fn tell(args: &Args, found: &Found) -> anyhow::Result<()> {
    let mut out = Output::stdout();
    if args.json {
        return out.json(found);
    }
    for Step { streams, too_much } in &found.steps {
        let told = too_much.as_deref().unwrap_or("borne");
        out.line(&format!("{streams} streams: {told}"))?;
    }
    let more = if found.is_bound {
        " (more were not tried)"
    } else {
        ""
    };
    out.line(&format!("limit: {} streams{more}", found.limit_streams))?;
    match &found.figures {
        Some(figures) => print(figures, &mut out),
        None => out.flush(),
    }
}

/// Runs one step and returns what gave way, if anything, and its figures, if it came to any.
async fn step(args: &Args, streams: u32) -> anyhow::Result<(Option<String>, Option<Figures>)> {
    let mut command = tokio::process::Command::new(std::env::current_exe()?);
    command.arg("bench").arg("--json").kill_on_drop(true);
    command.arg("--streams").arg(streams.to_string());
    command.arg("--seconds").arg(args.seconds.to_string());
    command.arg("--activity").arg(args.activity.as_str());
    if let Some(kind) = args.kind {
        command.arg("--kind").arg(kind.to_string());
    }
    for (option, path) in [("--clip", &args.clip), ("--fixtures", &args.fixtures)] {
        if let Some(path) = path {
            command.arg(option).arg(path);
        }
    }
    command.stdin(Stdio::null()).stderr(Stdio::piped());
    let deadline = Duration::from_secs(u64::from(args.seconds)) + BESIDES;
    let Ok(ended) = tokio::time::timeout(deadline, command.output()).await else {
        let late = format!("not over after {} s", deadline.as_secs());
        return Ok((Some(late), None));
    };
    let ended = ended.context("cannot run a step")?;
    anyhow::ensure!(
        ended.status.success(),
        "a step with {streams} streams failed: {}",
        String::from_utf8_lossy(&ended.stderr).trim()
    );
    let figures: Figures =
        serde_json::from_slice(&ended.stdout).context("a step told no figures")?;
    Ok((too_much(&figures), Some(figures)))
}

/// Returns what gave way. Where nothing raised an alarm the frames' own delay stands for it.
fn too_much(figures: &Figures) -> Option<String> {
    if figures.frames_dropped > 0 {
        return Some(format!("{} frames dropped", figures.frames_dropped));
    }
    let (what, p99) = match figures.alarms {
        0 => ("a frame was judged", figures.latency_ms.p99),
        _ => ("an alarm was received", figures.alarm_delay_ms.p99),
    };
    (p99 >= DELAY_MAX_MS).then(|| format!("{what} after {p99} ms (p99)"))
}

/// Which number to try next. At most twice as many steps as the bound has binary digits.
struct Search {
    most: u32,
    /// The most that was borne.
    borne: u32,
    /// The fewest that were not.
    unborne: Option<u32>,
}

impl Search {
    fn up_to(most: u32) -> Self {
        Self {
            most,
            borne: 0,
            unborne: None,
        }
    }

    fn next(&self) -> ControlFlow<(), u32> {
        match self.unborne {
            None if self.borne == self.most => ControlFlow::Break(()),
            None => ControlFlow::Continue((self.borne * 2).clamp(1, self.most)),
            Some(unborne) if unborne - self.borne <= 1 => ControlFlow::Break(()),
            Some(unborne) => ControlFlow::Continue(self.borne.midpoint(unborne)),
        }
    }

    fn tell(&mut self, streams: u32, is_borne: bool) {
        if is_borne {
            self.borne = streams;
        } else {
            self.unborne = Some(streams);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns what a machine that bears `limit` streams is found to bear, and what was tried.
    fn searched(limit: u32, most: u32) -> (u32, Vec<u32>) {
        let (mut search, mut tried) = (Search::up_to(most), Vec::new());
        while let ControlFlow::Continue(streams) = search.next() {
            tried.push(streams);
            search.tell(streams, streams <= limit);
        }
        (search.borne, tried)
    }

    #[test]
    fn doubles_and_then_bisects() {
        assert_eq!(searched(11, 1024), (11, vec![1, 2, 4, 8, 16, 12, 10, 11]));
        assert_eq!(searched(0, 1024), (0, vec![1]));
        assert_eq!(searched(1, 1024), (1, vec![1, 2]));
    }

    #[test]
    fn tries_no_more_than_the_bound() {
        assert_eq!(searched(5000, 24), (24, vec![1, 2, 4, 8, 16, 24]));
        for limit in 0..70 {
            let (found, tried) = searched(limit, 64);
            assert_eq!(found, limit.min(64));
            assert!(tried.len() <= 14, "{tried:?}");
        }
    }
}
