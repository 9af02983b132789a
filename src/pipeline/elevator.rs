//! The elevator watch: looks into the car a few times a second while something moves, rarely when
//! nothing does, and hands what the detector sees to the rules of `alarm::ebike`.
//!
//! Holds at most the frames that an alarm may yet want to show. The detector runs on the camera's own
//! thread, and waits there for nothing but its turn (see `detect::session`); when turns are long in
//! coming, a live camera looks less often (see `pace`).

use std::time::Duration;

use super::Watch;
use super::pace::Pace;
use super::stir::Stir;
use crate::alarm::ebike::{Car, Look, RideChange};
use crate::alarm::{AlarmChange, AlarmKey};
use crate::clock::StreamTime;
use crate::decode::{Cutout, Frame};
use crate::detect::ebike::{Class, EbikeDetector, Least, Thresholds};
use crate::geometry::BoxPx;
use crate::scene::Scene;
use crate::scene::elevator::ElevatorScene;

/// Between two glances at whether anything moves, and between two looks while something does.
const BUSY_INTERVAL: Duration = Duration::from_millis(200);
/// Between two looks at an e-bike that stands still.
const RIDE_INTERVAL: Duration = Duration::from_secs(1);
/// Between two looks into a car in which nothing happens.
const QUIET_INTERVAL: Duration = Duration::from_secs(2);
/// How long after the last motion it still looks often.
const SETTLE: Duration = Duration::from_secs(1);
/// How long after the last motion a car counts as idle, and how often it is looked into then: what
/// comes in moves, and what moves is looked at.
const IDLE_AFTER: Duration = Duration::from_secs(5);
const IDLE_INTERVAL: Duration = Duration::from_secs(10);
/// A frame that comes this much early is in time: frames do not come evenly.
const EARLY: Duration = Duration::from_millis(10);
/// Frames kept to be shown at most; the alarm contract allows 16.
const HELD_MAX: usize = 16;
/// How often a detector that keeps failing is logged: once in so many looks.
const FAILURES_PER_LOG: u64 = 300;

/// Watches one elevator car.
pub struct ElevatorWatch {
    car: Car,
    detector: EbikeDetector,
    stir: Stir,
    size_px: (u32, u32),
    glanced_at: Option<StreamTime>,
    looked_at: Option<StreamTime>,
    stirred_at: Option<StreamTime>,
    /// Frames that an alarm may yet want to show, oldest first.
    held: Vec<Frame>,
    /// The picture when each ride was last seen.
    scenes: Vec<(AlarmKey, StreamTime, Stir)>,
    failures: u64,
    rides: Vec<RideChange>,
    /// None in a replay.
    pace: Option<Pace>,
}

impl ElevatorWatch {
    /// Returns a watch over one car. Without a scene whatever is in the picture is inside.
    pub fn new(scene: Option<ElevatorScene>, detector: EbikeDetector) -> Self {
        // The detector refuses a table without thresholds for e-bikes.
        let never = Thresholds {
            alarm: 1.0,
            track: 1.0,
        };
        let ebike = detector.thresholds(Class::Ebike).unwrap_or(never);
        Self {
            car: Car::new(scene, ebike),
            detector,
            stir: Stir::default(),
            size_px: (0, 0),
            glanced_at: None,
            looked_at: None,
            stirred_at: None,
            held: Vec::new(),
            scenes: Vec::new(),
            failures: 0,
            rides: Vec::new(),
            pace: None,
        }
    }

    /// Returns the watch of a live camera, which looks less often while looks take long.
    pub(super) fn at_the_pace_of(self, pace: Pace) -> Self {
        Self {
            pace: Some(pace),
            ..self
        }
    }

    /// Returns how long to wait from one look to the next, given what is going on.
    fn interval(&self, at: StreamTime) -> Duration {
        let stirred = self
            .stirred_at
            .is_some_and(|stirred| stirred + SETTLE >= at);
        if stirred || self.car.is_undecided(at) {
            BUSY_INTERVAL
        } else if self.car.rides().next().is_some() {
            RIDE_INTERVAL
        } else if self.is_idle() {
            IDLE_INTERVAL
        } else {
            QUIET_INTERVAL
        }
    }

    fn look(&mut self, frame: &Frame) {
        let detector = &mut self.detector;
        let mut detect = || detector.detect(frame, Least::Track);
        let detected = match &mut self.pace {
            Some(pace) => pace.timed(detect),
            None => detect(),
        };
        let detections = match detected {
            Ok(detections) => detections,
            Err(error) => {
                if self.failures.is_multiple_of(FAILURES_PER_LOG) {
                    let cause = std::error::Error::source(&error).map(ToString::to_string);
                    tracing::error!(cause, looks.failed = self.failures, "{error}");
                }
                metrics::counter!("plumb_detect_failures_total").increment(1);
                self.failures += 1;
                return;
            }
        };
        let (stir, scenes) = (&self.stir, &self.scenes);
        let (width_px, height_px) = self.size_px;
        let unchanged = |key: AlarmKey, area: &BoxPx| {
            let scene = scenes.iter().find(|scene| scene.0 == key);
            scene.is_some_and(|(_, _, then)| stir.is_like(then, area, width_px, height_px))
        };
        let look = Look {
            at: frame.at,
            width_px,
            height_px,
            detections: &detections,
            dark: self.stir.is_dark(),
            unchanged: &unchanged,
        };
        self.car.look(&look, &mut self.rides);
        self.keep_scenes();
        self.held.push(frame.clone());
    }

    /// Keeps the picture of each ride's last sight, to tell later whether anything changed there.
    fn keep_scenes(&mut self) {
        let (car, scenes) = (&self.car, &mut self.scenes);
        scenes.retain(|scene| car.rides().any(|ride| ride.0 == scene.0));
        for (key, seen_at, _) in car.rides() {
            match scenes.iter_mut().find(|scene| scene.0 == key) {
                Some(scene) if scene.1 == seen_at => {}
                Some(scene) => (scene.1, scene.2) = (seen_at, self.stir.clone()),
                None => scenes.push((key, seen_at, self.stir.clone())),
            }
        }
    }

    /// Hands out what the rules said, with the frames that show it, and lets go of the others.
    fn report(&mut self, changes: &mut Vec<AlarmChange>) {
        for ride in std::mem::take(&mut self.rides) {
            let held = &self.held;
            let frames = |shown_at: &[StreamTime]| {
                let frame = |at: &StreamTime| held.iter().find(|frame| frame.at == *at).cloned();
                let frames = shown_at.iter().filter_map(frame);
                frames.map(Cutout::whole).collect()
            };
            changes.push(match ride {
                RideChange::Raised {
                    key,
                    alarm,
                    shown_at,
                } => AlarmChange::Raised {
                    key,
                    alarm,
                    frames: frames(&shown_at),
                },
                RideChange::Ended {
                    key,
                    alarm,
                    shown_at,
                } => AlarmChange::Ended {
                    key,
                    alarm,
                    frames: frames(&shown_at),
                },
            });
        }
        let wanted: Vec<StreamTime> = self.car.wanted().collect();
        self.held.retain(|frame| wanted.contains(&frame.at));
        if self.held.len() > HELD_MAX {
            // Things come and go in a crowd: the oldest pictures are the least likely to be shown.
            self.held.drain(..self.held.len() - HELD_MAX);
        }
    }
}

impl Watch for ElevatorWatch {
    fn push(&mut self, frame: &Frame, changes: &mut Vec<AlarmChange>) {
        let size_px = (frame.width_px(), frame.height_px());
        if size_px != self.size_px {
            self.restart(changes);
            self.size_px = size_px;
        }
        let at = frame.at;
        let due = |last: Option<StreamTime>, interval: Duration| {
            // A time that went back counts as due: what follows is a new timeline.
            last.is_none_or(|last| at + EARLY >= last + interval || at < last)
        };
        self.car.advance(at, &mut self.rides);
        if due(self.glanced_at, BUSY_INTERVAL) {
            let before = self.glanced_at.replace(at).unwrap_or(at);
            if self.stir.glance(frame.luma(), glances(at, before)) {
                self.stirred_at = Some(at);
            }
            let wanted = self.interval(at);
            let kept = self
                .pace
                .as_ref()
                .map_or(wanted, |pace| pace.stretched(wanted));
            if due(self.looked_at, kept) {
                self.looked_at = Some(at);
                self.look(frame);
            } else if let Some(pace) = &self.pace
                && due(self.looked_at, wanted)
            {
                pace.skip();
            }
        }
        if !self.rides.is_empty() || self.looked_at == Some(at) {
            self.report(changes);
        }
    }

    fn set_scene(&mut self, scene: Scene, _changes: &mut Vec<AlarmChange>) {
        self.car.set_scene(scene.elevator);
    }

    fn is_idle(&self) -> bool {
        let (Some(now), Some(stirred_at)) = (self.glanced_at, self.stirred_at) else {
            return false;
        };
        stirred_at + IDLE_AFTER <= now
            && self.car.rides().next().is_none()
            && !self.car.is_undecided(now)
    }

    fn is_still(&self, frame: &Frame) -> bool {
        let size_px = (frame.width_px(), frame.height_px());
        size_px == self.size_px && self.stir.is_still(frame.luma())
    }

    fn restart(&mut self, changes: &mut Vec<AlarmChange>) {
        self.car.restart(&mut self.rides);
        self.report(changes);
        self.stir = Stir::default();
        self.scenes.clear();
        (self.glanced_at, self.looked_at, self.stirred_at) = (None, None, None);
    }
}

/// Returns how many glances would have been due since the one before, at least one.
fn glances(at: StreamTime, before: StreamTime) -> i32 {
    const MANY: i64 = 1000;
    let interval_us = i64::try_from(BUSY_INTERVAL.as_micros()).unwrap_or(i64::MAX);
    let glances = (at.as_micros() - before.as_micros()) / interval_us;
    i32::try_from(glances.clamp(1, MANY)).unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use jiff::Timestamp;

    use super::*;
    use crate::clock::Clock;
    use crate::health::Board;
    use crate::id::CameraId;
    use crate::pipeline::Detectors;

    /// A clock on which whatever is timed takes `step_ms`.
    #[derive(Debug)]
    struct Slow {
        step_ms: u64,
        now_ms: AtomicU64,
    }

    impl Clock for Slow {
        fn now(&self) -> Timestamp {
            Timestamp::UNIX_EPOCH
        }

        fn monotonic(&self) -> Duration {
            Duration::from_millis(self.now_ms.fetch_add(self.step_ms, Ordering::Relaxed))
        }
    }

    /// Returns how many looks a car in use is spared in four seconds when each takes so long.
    fn skipped(look_ms: u64) -> u64 {
        let clock: Arc<dyn Clock> = Arc::new(Slow {
            step_ms: look_ms,
            now_ms: AtomicU64::new(0),
        });
        let (board, camera) = (Board::default(), CameraId::parse("car").expect("an id"));
        let pace = Pace::new(&clock, &board, &camera);
        let detectors = Detectors::load(None, None).expect("the models are committed");
        let watch = ElevatorWatch::new(None, detectors.ebike().clone());
        let mut watch = watch.at_the_pace_of(pace);
        let mut changes = Vec::new();
        for number in 0..20_u8 {
            let luma = (0..64 * 64_u32).map(|place| {
                let bright = (place / 16 + u32::from(number)).is_multiple_of(2);
                if bright { 200 } else { 40 }
            });
            let at = StreamTime::from_micros(i64::from(number) * 200_000);
            watch.push(&Frame::from_luma(at, 64, 64, luma.collect()), &mut changes);
        }
        let health = board.camera(&camera);
        health.map_or(0, |health| health.looks_skipped)
    }

    #[test]
    fn looks_once_a_second_when_looks_take_long_and_counts_those_left_out() {
        assert_eq!(skipped(10), 0);
        // Four looks of twenty that were due.
        assert_eq!(skipped(5_000), 16);
    }
}
