//! `plumb bench`: N live-paced streams through the service itself, from packets to webhooks on
//! loopback, beside bare decoding of the same packets in the same run; or one model alone.

mod load;
mod model;
mod usage;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use serde::Serialize;

use self::load::{Latencies, Load};
use super::output::{self, Output};
use crate::clock::{Clock, SystemClock};
use crate::pipeline::service::Service;
use crate::scene::Kind;

/// Streams are watched this long before figures count: start-up, first key pictures, noise models.
const WARM_UP: Duration = Duration::from_secs(3);

#[derive(clap::Args)]
pub struct Args {
    /// What the cameras look at.
    #[arg(long, value_enum, required_unless_present = "model")]
    kind: Option<Kind>,
    /// Measure this model of models.toml alone, on one thread, instead of streams.
    #[arg(long, value_name = "NAME", conflicts_with_all = ["kind", "activity", "clip", "fixtures"])]
    model: Option<String>,
    /// Whether anything happens before them.
    #[arg(long, value_enum, default_value_t = Activity::Busy)]
    pub(super) activity: Activity,
    /// The recording that every stream plays over and over; one of the fixtures when left out.
    #[arg(long, value_name = "FILE")]
    pub(super) clip: Option<PathBuf>,
    /// How many streams, 1 to 1024.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub(super) streams: u32,
    /// How long, in seconds, 2 to 86400.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(2..=86_400))]
    pub(super) seconds: u32,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
    /// Folder of the fixtures; beside the program or above it when left out.
    #[arg(long, value_name = "DIR")]
    pub(super) fixtures: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Activity {
    /// Only one group of its pictures, over and over: nothing happens.
    Quiet,
    /// The whole clip.
    Busy,
}

#[derive(Serialize)]
struct Figures {
    streams: u32,
    seconds: f64,
    fps_per_stream: f64,
    frames_dropped: u64,
    cpu_s_per_stream_s: f64,
    decode_cpu_s_per_stream_s: f64,
    cpu_ratio_to_decode: f64,
    latency_ms: Percentiles,
    rss_mib: f64,
}

#[derive(Serialize)]
struct Percentiles {
    p50: f64,
    p95: f64,
    p99: f64,
}

/// Runs the command. Fails when the clip, the models or the service cannot be had.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    if let Some(name) = &args.model {
        model::run(name, args.json)?;
        return Ok(ExitCode::SUCCESS);
    }
    let kind = args.kind.context("--kind is needed")?;
    let load = Load::prepare(args, kind)?;
    let decode = load.decode_cost()?;
    let runtime = tokio::runtime::Runtime::new().context("cannot start the async runtime")?;
    let measured = runtime.block_on(measure(args, &load, decode));
    load.remove();
    let figures = measured?;
    let mut out = Output::stdout();
    if args.json {
        out.json(&figures)?;
    } else {
        print(&figures, &mut out)?;
    }
    Ok(ExitCode::SUCCESS)
}

async fn measure(args: &Args, load: &Load, decode_cpu_s_per_s: f64) -> anyhow::Result<Figures> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let latencies = Arc::new(Latencies::new(Arc::clone(&clock)));
    let observer = Arc::clone(&latencies);
    let service = Service::start_observed(
        load.config().await?,
        Arc::clone(&clock),
        Arc::new(move |captured_at| observer.note(captured_at)),
    )
    .await?;
    tokio::time::sleep(WARM_UP).await;

    latencies.reset();
    let dropped_before = service.frames_dropped();
    let (began, cpu_began) = (clock.monotonic(), usage::process_cpu());
    let bar = output::progress(u64::from(args.seconds), "bench");
    for _ in 0..args.seconds {
        tokio::time::sleep(Duration::from_secs(1)).await;
        bar.inc(1);
    }
    bar.finish_and_clear();
    let seconds = (clock.monotonic() - began).as_secs_f64();
    let cpu_s = (usage::process_cpu() - cpu_began).as_secs_f64();
    let frames_dropped = service.frames_dropped() - dropped_before;
    let [p50, p95, p99] = latencies.percentiles_ms([0.50, 0.95, 0.99]);
    let frames = latencies.frames();
    let rss_mib = usage::resident_mib();
    service.stop().await;

    let stream_seconds = f64::from(args.streams) * seconds;
    let cpu_s_per_stream_s = cpu_s / stream_seconds;
    Ok(Figures {
        streams: args.streams,
        seconds: rounded(seconds),
        fps_per_stream: rounded(frames as f64 / stream_seconds),
        frames_dropped,
        cpu_s_per_stream_s: rounded(cpu_s_per_stream_s),
        decode_cpu_s_per_stream_s: rounded(decode_cpu_s_per_s),
        cpu_ratio_to_decode: rounded(cpu_s_per_stream_s / decode_cpu_s_per_s),
        latency_ms: Percentiles {
            p50: rounded(p50),
            p95: rounded(p95),
            p99: rounded(p99),
        },
        rss_mib: rounded(rss_mib),
    })
}

fn print(figures: &Figures, out: &mut Output) -> anyhow::Result<()> {
    let Figures {
        streams,
        seconds,
        fps_per_stream,
        frames_dropped,
        ..
    } = figures;
    let Percentiles { p50, p95, p99 } = figures.latency_ms;
    out.line(&format!("{streams} streams for {seconds} s at {fps_per_stream} frames a second each, {frames_dropped} dropped"))?;
    out.line(&format!(
        "CPU {} s a stream and second, bare decoding {}: {} times",
        figures.cpu_s_per_stream_s, figures.decode_cpu_s_per_stream_s, figures.cpu_ratio_to_decode
    ))?;
    out.line(&format!(
        "packet to judged frame {p50} ms (p50), {p95} (p95), {p99} (p99); memory {} MiB",
        figures.rss_mib
    ))?;
    out.flush()
}

fn rounded(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}
