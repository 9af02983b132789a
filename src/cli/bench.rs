//! `plumb bench`: N live-paced streams through the service itself, from packets to webhooks on
//! loopback, beside bare decoding of the same packets in the same run; or the most streams that the
//! machine bears; or one model alone.

mod bare;
mod delays;
mod limit;
mod load;
mod model;
mod usage;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use serde::{Deserialize, Serialize};

use self::bare::Bare;
use self::delays::Delays;
use self::load::Load;
use super::output::{self, Output};
use crate::clock::{Clock, SystemClock};
use crate::health::Board;
use crate::http::sink::Sink;
use crate::pipeline::service::Service;
use crate::scene::Kind;

/// Streams are watched this long before figures count: start-up, first key pictures, noise models, and
/// until an elevator in which nothing moves counts as idle.
const WARM_UP: Duration = Duration::from_secs(8);

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
    /// How many streams, 1 to 1024 (4 when left out); with --find-limit the most to try.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub(super) streams: Option<u32>,
    /// Let all streams play the clip at the same moment, so that all that happens happens at once; without
    /// it a fall or a ride comes from one camera after the other.
    #[arg(long, conflicts_with = "model")]
    pub(super) in_step: bool,
    /// Search the most streams at which no frame is dropped and 99 of 100 alarms are received within
    /// 500 ms (frames judged, where there are no alarms), --seconds for each step.
    #[arg(long, conflicts_with = "model")]
    find_limit: bool,
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

impl Activity {
    /// Returns the word on the command line.
    fn as_str(self) -> &'static str {
        match self {
            Self::Quiet => "quiet",
            Self::Busy => "busy",
        }
    }
}

#[derive(Serialize, Deserialize)]
struct Figures {
    streams: u32,
    seconds: f64,
    fps_per_stream: f64,
    frames_dropped: u64,
    /// Looks of the detector into a car, and those left out because looks took long.
    looks_per_stream_s: f64,
    looks_skipped: u64,
    cpu_s_per_stream_s: f64,
    decode_cpu_s_per_stream_s: f64,
    cpu_ratio_to_decode: f64,
    /// Of as many streams at the pace of cameras.
    live_decode_cpu_s_per_stream_s: f64,
    cpu_ratio_to_live_decode: f64,
    /// From a frame's packet to the frame looked at.
    latency_ms: Percentiles,
    /// Alarms that a frame decided and the receiver took.
    alarms: u64,
    /// From the packet of the deciding frame to the receiver's 2xx; 0 without alarms.
    alarm_delay_ms: Percentiles,
    rss_mib: f64,
}

#[derive(Serialize, Deserialize)]
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
    let runtime = tokio::runtime::Runtime::new().context("cannot start the async runtime")?;
    if args.find_limit {
        runtime.block_on(limit::run(args))?;
        return Ok(ExitCode::SUCCESS);
    }
    let load = Load::prepare(args, kind)?;
    let measured = runtime.block_on(measure(args, &load));
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

async fn measure(args: &Args, load: &Load) -> anyhow::Result<Figures> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let streams = args.streams.unwrap_or(load::STREAMS);
    let bare = Arc::new(Bare::of(load.clip())?);
    let decode_s = bare.cpu_s_per_s()?;
    let live_decode_s = bare.live_cpu_s_per_s(streams, &clock).await?;
    drop(bare);
    let frames = Arc::new(Delays::new(Arc::clone(&clock)));
    let alarms = Arc::new(Delays::new(Arc::clone(&clock)));
    let (judged, delivered) = (Arc::clone(&frames), Arc::clone(&alarms));
    let receiver = Sink::start(Arc::new(move |body| delivered.note_message(body))).await;
    let receiver = receiver.context("cannot start the receiver")?;
    let service = Service::start_observed(
        load.config(receiver.address())?,
        Arc::clone(&clock),
        Arc::new(move |captured_at| judged.note(captured_at)),
    )
    .await?;
    tokio::time::sleep(WARM_UP).await;

    frames.reset();
    alarms.reset();
    let before = Counts::of(service.board());
    let (began, cpu_began) = (clock.monotonic(), usage::process_cpu());
    let bar = output::progress(u64::from(args.seconds), "bench");
    for _ in 0..args.seconds {
        tokio::time::sleep(Duration::from_secs(1)).await;
        bar.inc(1);
    }
    bar.finish_and_clear();
    let seconds = (clock.monotonic() - began).as_secs_f64();
    let cpu_s = (usage::process_cpu() - cpu_began).as_secs_f64();
    let counts = Counts::of(service.board());
    let (latency_ms, frames) = (frames.percentiles_ms(), frames.count());
    let (alarm_delay_ms, alarms) = (alarms.percentiles_ms(), alarms.count());
    let rss_mib = usage::resident_mib();
    service.stop().await;

    let stream_seconds = f64::from(streams) * seconds;
    let cpu_s_per_stream_s = cpu_s / stream_seconds;
    Ok(Figures {
        streams,
        seconds: rounded(seconds),
        fps_per_stream: rounded(frames as f64 / stream_seconds),
        frames_dropped: counts.dropped - before.dropped,
        looks_per_stream_s: rounded((counts.looks - before.looks) as f64 / stream_seconds),
        looks_skipped: counts.looks_skipped - before.looks_skipped,
        cpu_s_per_stream_s: rounded(cpu_s_per_stream_s),
        decode_cpu_s_per_stream_s: rounded(decode_s),
        cpu_ratio_to_decode: rounded(cpu_s_per_stream_s / decode_s),
        live_decode_cpu_s_per_stream_s: rounded(live_decode_s),
        cpu_ratio_to_live_decode: rounded(cpu_s_per_stream_s / live_decode_s),
        latency_ms,
        alarms,
        alarm_delay_ms,
        rss_mib: rounded(rss_mib),
    })
}

/// What all cameras have counted since the service's start.
#[derive(Default)]
struct Counts {
    dropped: u64,
    looks: u64,
    looks_skipped: u64,
}

impl Counts {
    fn of(board: &Board) -> Self {
        let mut counts = Self::default();
        for health in board.snapshot().values() {
            counts.dropped += health.frames_dropped;
            counts.looks += health.looks;
            counts.looks_skipped += health.looks_skipped;
        }
        counts
    }
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
        "bare decoding at the pace of cameras {}: {} times",
        figures.live_decode_cpu_s_per_stream_s, figures.cpu_ratio_to_live_decode
    ))?;
    out.line(&format!(
        "packet to judged frame {p50} ms (p50), {p95} (p95), {p99} (p99); memory {} MiB",
        figures.rss_mib
    ))?;
    if figures.looks_per_stream_s > 0.0 {
        out.line(&format!(
            "{} looks of the detector a second and stream, {} left out",
            figures.looks_per_stream_s, figures.looks_skipped
        ))?;
    }
    let Percentiles { p50, p95, p99 } = figures.alarm_delay_ms;
    out.line(&format!(
        "{} alarms, from the deciding frame's packet to the receiver {p50} ms (p50), {p95} (p95), {p99} (p99)",
        figures.alarms
    ))?;
    out.flush()
}

fn rounded(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}
