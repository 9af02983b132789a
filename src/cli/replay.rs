//! `plumb replay`: runs a recording through the very stages that serve cameras, as fast as they
//! go. The same clip, models and scene print the same alarms, byte for byte.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use serde::Serialize;

use super::output::{self, Output};
use crate::alarm::{Alarm, AlarmChange, AlarmKey, Origin, TrackPoint};
use crate::clock::{Clock, StreamTime, SystemClock};
use crate::decode::{Decoder, Frame};
use crate::pipeline::facade::FacadeWatch;
use crate::pipeline::tracks_file::TracksFile;
use crate::pipeline::{Detectors, Watch};
use crate::scene::Kind;
use crate::source::file::Recording;

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
    let mut replay = Replay::open(args)?;
    let read = replay.run(watch.as_mut());
    replay.print_summary(args.json)?;
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

struct Replay {
    recording: Recording,
    decoder: Decoder,
    clock: SystemClock,
    out: Output,
    json: bool,
    /// Alarms in the order they were raised; the front is printed as soon as it has ended.
    open: VecDeque<(AlarmKey, Alarm)>,
    frames: u64,
    last_at: StreamTime,
    frame_time: Duration,
    decode_time: Duration,
    alarms: u64,
}

impl Replay {
    fn open(args: &Args) -> anyhow::Result<Self> {
        let recording = Recording::open(&args.clip)?;
        let decoder = Decoder::open(recording.info())
            .with_context(|| format!("cannot decode {}", args.clip.display()))?;
        Ok(Self {
            recording,
            decoder,
            clock: SystemClock::new(),
            out: Output::stdout(),
            json: args.json,
            open: VecDeque::new(),
            frames: 0,
            last_at: StreamTime::ZERO,
            frame_time: Duration::ZERO,
            decode_time: Duration::ZERO,
            alarms: 0,
        })
    }

    /// Reads the recording to its end, or to where it cannot be read any further.
    fn run(&mut self, watch: &mut dyn Watch) -> anyhow::Result<()> {
        let seconds = self.recording.duration_s().unwrap_or(0.0);
        let bar = output::progress(
            StreamTime::from_secs_f64(seconds)
                .as_micros()
                .unsigned_abs(),
            "replay",
        );
        let mut frames = Vec::new();
        let read = loop {
            let packet = match self.recording.next_packet() {
                Ok(Some(packet)) => packet,
                Ok(None) => break Ok(()),
                Err(error) => break Err(error),
            };
            let began = self.clock.monotonic();
            self.decoder.push(&packet, |frame| frames.push(frame));
            self.decode_time += self.clock.monotonic() - began;
            self.look(watch, &mut frames)?;
            bar.set_position(self.last_at.as_micros().unsigned_abs());
        };
        self.decoder.finish(|frame| frames.push(frame));
        self.look(watch, &mut frames)?;
        let mut changes = Vec::new();
        watch.restart(&mut changes);
        self.take(changes)?;
        bar.finish_and_clear();
        Ok(read?)
    }

    fn look(&mut self, watch: &mut dyn Watch, frames: &mut Vec<Frame>) -> anyhow::Result<()> {
        for frame in frames.drain(..) {
            self.frames += 1;
            if frame.at > self.last_at {
                self.frame_time = Duration::from_secs_f64(frame.at.secs_since(self.last_at));
                self.last_at = frame.at;
            }
            let mut changes = Vec::new();
            watch.push(&frame, &mut changes);
            self.take(changes)?;
        }
        Ok(())
    }

    fn take(&mut self, changes: Vec<AlarmChange>) -> anyhow::Result<()> {
        for change in changes {
            match change {
                AlarmChange::Raised { key, alarm, .. } => self.open.push_back((key, alarm)),
                AlarmChange::Ended { key, alarm, .. } => {
                    if let Some(entry) = self.open.iter_mut().find(|entry| entry.0 == key) {
                        entry.1 = alarm;
                        // Set even when the watch left it open, so that the front can go out.
                        entry.1.ended_at.get_or_insert(self.last_at);
                    }
                }
            }
        }
        while let Some((_, alarm)) = self
            .open
            .front()
            .filter(|(_, alarm)| alarm.ended_at.is_some())
        {
            let record = AlarmRecord::new(alarm);
            if self.json {
                self.out.json(&record)?;
            } else {
                self.out.line(&record.sentence())?;
            }
            self.alarms += 1;
            self.open.pop_front();
        }
        Ok(())
    }

    fn print_summary(&mut self, json: bool) -> anyhow::Result<()> {
        let wall = self.clock.monotonic();
        let summary = Summary {
            record: "summary",
            frames: self.frames,
            duration_s: if self.frames > 0 {
                round(self.last_at.as_secs_f64() + self.frame_time.as_secs_f64())
            } else {
                0.0
            },
            wall_s: round(wall.as_secs_f64()),
            decode_s: round(self.decode_time.as_secs_f64()),
            alarms: self.alarms,
        };
        if json {
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
