//! `plumb replay`: runs a recording through the very stages that serve cameras, as fast as they
//! go. The same clip, models and scene print the same alarms, byte for byte.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use serde::Serialize;

use super::output::{self, Output};
use crate::alarm::{Alarm, Origin, TrackPoint};
use crate::clock::StreamTime;
use crate::pipeline::facade::FacadeWatch;
use crate::pipeline::replay::Replay;
use crate::pipeline::tracks_file::TracksFile;
use crate::pipeline::{Detectors, Watch};
use crate::scene::Kind;

#[derive(clap::Args)]
pub struct Args {
    /// The recording: any container and codec that FFmpeg reads.
    clip: PathBuf,
    /// What the camera looks at.
    #[arg(long, value_enum)]
    kind: Kind,
    /// The scene file: floor lines and masks, or the car's floor.
    #[arg(long, value_name = "FILE.toml")]
    scene: Option<PathBuf>,
    /// Print JSON lines.
    #[arg(long)]
    json: bool,
    /// Also write the judged tracks of a facade and their patches into this folder, for training
    /// the verifier. It has no say then: the alarms are those of the physics judge alone.
    #[arg(long, value_name = "FOLDER")]
    dump_tracks: Option<PathBuf>,
    /// For development: leave a part of the facade watch out, to measure what it earns. May be given
    /// more than once. (Leaving out --scene leaves out the floor lines.)
    #[arg(long, value_enum, value_name = "PART", value_delimiter = ',')]
    without: Vec<Part>,
}

/// A part of the facade watch that can be left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    /// The falling-object model: whatever the physics judge lets through is raised.
    Verifier,
    /// The demand that a track be unlikely to be chance.
    Surprise,
}

/// Runs the command. Fails when the clip cannot be opened or read to its end.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let scene = args
        .scene
        .as_deref()
        .map(output::read_scene)
        .transpose()?
        .unwrap_or_default();
    let mut watch = open_watch(args, scene)?;
    let mut replay = Replay::open(&args.clip, args.kind)?;
    let mut printed = Printed {
        out: Output::stdout(),
        json: args.json,
        alarms: 0,
    };
    let read = read(&mut replay, watch.as_mut(), &mut printed);
    printed.summary(&replay)?;
    read?;
    Ok(ExitCode::SUCCESS)
}

fn open_watch(args: &Args, scene: crate::scene::Scene) -> anyhow::Result<Box<dyn Watch>> {
    if args.dump_tracks.is_none() && args.without.is_empty() {
        return Ok(Detectors::load(None, None)?.watch(args.kind, scene));
    }
    anyhow::ensure!(
        args.kind == Kind::Facade,
        "--dump-tracks and --without need --kind facade"
    );
    let mut watch = if args.dump_tracks.is_some() || args.without.contains(&Part::Verifier) {
        FacadeWatch::unverified(scene.facade)
    } else {
        let verifier = Detectors::load(None, None)?.verifier().clone();
        FacadeWatch::new(scene.facade, verifier)
    };
    if args.without.contains(&Part::Surprise) {
        watch.ignore_surprise();
    }
    if let Some(folder) = &args.dump_tracks {
        let file = TracksFile::open(folder)
            .with_context(|| format!("cannot write tracks into {}", folder.display()))?;
        watch.write_tracks(file);
    }
    Ok(Box::new(watch))
}

/// Reads the recording and prints each alarm as soon as it is over.
fn read(replay: &mut Replay, watch: &mut dyn Watch, printed: &mut Printed) -> anyhow::Result<()> {
    let micros = |at: StreamTime| at.as_micros().unsigned_abs();
    let seconds = replay.expected_s().unwrap_or(0.0);
    let bar = output::progress(micros(StreamTime::from_secs_f64(seconds)), "replay");
    replay.run(watch, |replay, told| {
        bar.set_position(micros(replay.last_at()));
        told.iter().try_for_each(|told| printed.alarm(&told.alarm))
    })?;
    bar.finish_and_clear();
    Ok(())
}

/// What goes to standard output.
struct Printed {
    out: Output,
    json: bool,
    alarms: u64,
}

impl Printed {
    fn alarm(&mut self, alarm: &Alarm) -> anyhow::Result<()> {
        let record = AlarmRecord::new(alarm);
        self.alarms += 1;
        if self.json {
            self.out.json(&record)
        } else {
            self.out.line(&record.sentence())
        }
    }

    fn summary(&mut self, replay: &Replay) -> anyhow::Result<()> {
        let summary = Summary {
            record: "summary",
            frames: replay.frames(),
            duration_s: round(replay.duration_s()),
            wall_s: round(replay.wall().as_secs_f64()),
            decode_s: round(replay.decode_time().as_secs_f64()),
            alarms: self.alarms,
        };
        if self.json {
            self.out.json(&summary)?;
        } else {
            let Summary {
                frames,
                duration_s,
                wall_s,
                alarms,
                ..
            } = &summary;
            self.out.line(&format!(
                "{alarms} alarms in {frames} frames ({duration_s} s), read in {wall_s} s"
            ))?;
        }
        self.out.flush()
    }
}

#[derive(Serialize)]
struct AlarmRecord<'a> {
    record: &'static str,
    kind: &'static str,
    started_at_s: f64,
    raised_at_s: f64,
    ended_at_s: Option<f64>,
    score: f64,
    track: &'a [TrackPoint],
    origin: Option<Origin>,
}

impl<'a> AlarmRecord<'a> {
    fn new(alarm: &'a Alarm) -> Self {
        Self {
            record: "alarm",
            kind: alarm.kind.as_str(),
            started_at_s: alarm.started_at.as_secs_f64(),
            raised_at_s: alarm.raised_at.as_secs_f64(),
            ended_at_s: alarm.ended_at.map(StreamTime::as_secs_f64),
            score: round(alarm.score),
            track: &alarm.track,
            origin: alarm.origin,
        }
    }

    fn sentence(&self) -> String {
        let floor = match self.origin {
            Some(Origin {
                floor: Some(floor),
                floor_min: Some(min),
                floor_max: Some(max),
                ..
            }) => {
                format!(", from floor {floor} ({min} to {max})")
            }
            _ => String::new(),
        };
        format!(
            "{} at {:.2} s, raised at {:.2} s, score {:.2}{floor}",
            self.kind, self.started_at_s, self.raised_at_s, self.score
        )
    }
}

#[derive(Serialize)]
struct Summary {
    record: &'static str,
    frames: u64,
    duration_s: f64,
    wall_s: f64,
    decode_s: f64,
    alarms: u64,
}

fn round(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}
