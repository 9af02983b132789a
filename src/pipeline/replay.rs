//! Runs a recording through decoder and watch as fast as they go: what `plumb replay` prints, and
//! what an auditor's replay of an alarm's evidence is made of. The same recording, models and scene
//! give the same alarms, always.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::Watch;
use super::decoding::Decoding;
use crate::alarm::{Alarm, AlarmChange, AlarmKey};
use crate::clock::{Clock, StreamTime, SystemClock};
use crate::decode::{DecodeError, Frame};
use crate::scene::Kind;
use crate::source::file::{FileError, Recording};

/// Why a recording cannot be replayed.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    #[error(transparent)]
    Recording(#[from] FileError),
    #[error("cannot decode {path}")]
    Decode { path: PathBuf, source: DecodeError },
}

/// An alarm that is over.
#[derive(Clone, Debug)]
pub struct Told {
    /// As it was when it was raised.
    pub raised: Alarm,
    /// As it was when it was over.
    pub alarm: Alarm,
    /// It lasted when the recording ended, which ended it.
    pub cut: bool,
}

/// A recording on its way through the stages.
pub struct Replay {
    recording: Recording,
    decoding: Decoding,
    clock: SystemClock,
    /// Stream time of the recording's first picture.
    starts_at: Duration,
    /// In the order they were raised; the front is told as soon as it has ended.
    open: VecDeque<(AlarmKey, Told)>,
    frames: u64,
    last_at: StreamTime,
    frame_time: Duration,
    decode_time: Duration,
}

impl Replay {
    /// Opens a recording of a camera that looks at `kind`. Fails when it cannot be read, or holds
    /// nothing that can be decoded.
    pub fn open(path: &Path, kind: Kind) -> Result<Self, ReplayError> {
        let recording = Recording::open(path)?;
        let decoding = Decoding::open(recording.info(), kind);
        let decoding = decoding.map_err(|source| ReplayError::Decode {
            path: path.to_path_buf(),
            source,
        })?;
        Ok(Self {
            recording,
            decoding,
            clock: SystemClock::new(),
            starts_at: Duration::ZERO,
            open: VecDeque::new(),
            frames: 0,
            last_at: StreamTime::ZERO,
            frame_time: Duration::ZERO,
            decode_time: Duration::ZERO,
        })
    }

    /// Puts the first picture at this stream time: a clip then tells the times of the stream that
    /// it was cut from.
    pub fn starting_at(mut self, starts_at: StreamTime) -> Self {
        let micros = u64::try_from(starts_at.as_micros()).unwrap_or(0);
        self.starts_at = Duration::from_micros(micros);
        self.last_at = StreamTime::ZERO + self.starts_at;
        self
    }

    /// Reads the recording to its end, or to where it cannot be read any further, and gives `tell`
    /// what happened after each packet: the alarms that are over, often none. Fails when `tell`
    /// does, or when the recording breaks off; what there was has been told then.
    pub fn run<E: From<FileError>>(
        &mut self,
        watch: &mut dyn Watch,
        mut tell: impl FnMut(&Self, Vec<Told>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut frames = Vec::new();
        if let Some(past) = self.decoding.past() {
            watch.look_back_by(past.clone());
        }
        let read = loop {
            let mut packet = match self.recording.next_packet() {
                Ok(Some(packet)) => packet,
                Ok(None) => break Ok(()),
                Err(error) => break Err(error),
            };
            packet.at = packet.at + self.starts_at;
            packet.decode_at = packet.decode_at + self.starts_at;
            let began = self.clock.monotonic();
            self.decoding.push(&packet, &*watch, &mut frames);
            self.decode_time += self.clock.monotonic() - began;
            let told = self.look(watch, &mut frames);
            tell(self, told)?;
        };
        self.decoding.finish(&mut frames);
        let told = self.look(watch, &mut frames);
        tell(self, told)?;
        let mut changes = Vec::new();
        watch.restart(&mut changes);
        let told = self.take(changes, true);
        tell(self, told)?;
        Ok(read?)
    }

    fn look(&mut self, watch: &mut dyn Watch, frames: &mut Vec<Frame>) -> Vec<Told> {
        let mut told = Vec::new();
        for frame in frames.drain(..) {
            self.frames += 1;
            if frame.at > self.last_at {
                self.frame_time = Duration::from_secs_f64(frame.at.secs_since(self.last_at));
                self.last_at = frame.at;
            }
            let mut changes = Vec::new();
            watch.push(&frame, &mut changes);
            told.append(&mut self.take(changes, false));
        }
        told
    }

    fn take(&mut self, changes: Vec<AlarmChange>, at_the_end: bool) -> Vec<Told> {
        for change in changes {
            match change {
                AlarmChange::Raised { key, alarm, .. } => {
                    let raised = alarm.clone();
                    let told = Told {
                        raised,
                        alarm,
                        cut: false,
                    };
                    self.open.push_back((key, told));
                }
                AlarmChange::Ended { key, alarm, .. } => {
                    if let Some((_, told)) = self.open.iter_mut().find(|entry| entry.0 == key) {
                        told.cut = at_the_end;
                        told.alarm = alarm;
                        // Set even when the watch left it open, so that the front can go out.
                        told.alarm.ended_at.get_or_insert(self.last_at);
                    }
                }
            }
        }
        let mut over = Vec::new();
        while let Some((_, told)) = self
            .open
            .pop_front_if(|(_, told)| told.alarm.ended_at.is_some())
        {
            over.push(told);
        }
        over
    }

    /// Returns how long the recording says it is, in seconds, if it says so.
    pub fn expected_s(&self) -> Option<f64> {
        self.recording.duration_s()
    }

    /// Returns how many frames there were: those that were looked at, and those of an idle car that
    /// were let go.
    pub fn frames(&self) -> u64 {
        self.frames + self.decoding.skipped()
    }

    /// Returns the stream time of the newest frame.
    pub fn last_at(&self) -> StreamTime {
        self.last_at
    }

    /// Returns how much of the recording was looked at, in seconds: from its beginning to the end
    /// of the newest frame.
    pub fn duration_s(&self) -> f64 {
        if self.frames == 0 {
            return 0.0;
        }
        let begin = StreamTime::ZERO + self.starts_at;
        self.last_at.secs_since(begin) + self.frame_time.as_secs_f64()
    }

    /// Returns time since the recording was opened.
    pub fn wall(&self) -> Duration {
        self.clock.monotonic()
    }

    /// Returns how much of it went into decoding.
    pub fn decode_time(&self) -> Duration {
        self.decode_time
    }
}
