//! The camera-health watch: frames, silence and clocks in, faults out, each an alarm that ends.
//!
//! Unlike the others it outlives a timeline, since the lack of one is its business: it is not to
//! be restarted at a reconnect, but only when the camera is watched no more. It keeps a time of
//! its own, which runs on through reconnects, and speaks in the newest timeline's: there,
//! something that began before its first frame has a negative stream time.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::{Condition, Watch};
use jiff::Timestamp;

use crate::alarm::fault::{FaultRules, Figures, Turn};
use crate::alarm::{Alarm, AlarmChange, AlarmKey, AlarmKind};
use crate::clock::StreamTime;
use crate::decode::{Cutout, Frame};
use crate::detect::view::View;
use crate::health::CameraHealth;
use crate::scene::{Kind, Scene};

/// The window over which frames are counted.
const RATE_WINDOW_S: f64 = 10.0;

/// Frames counted at most: ten seconds at 120 a second; more is fast enough.
const RATE_FRAMES_MAX: usize = 1_200;

/// A step of the stream's time beyond this is another timeline.
const STEP_MAX: Duration = Duration::from_secs(5);

/// Time constant of the watch's own account of shake.
const JITTER_S: f64 = 1.0;

/// An elevator is not learnt with its light off.
const CAR_LIGHT: f64 = 40.0;

/// One camera's health.
#[derive(Debug)]
pub struct FaultWatch {
    rules: FaultRules,
    view: View,
    time: OwnTime,
    figures: Figures,
    /// Presentation times on our own time, at most [`RATE_FRAMES_MAX`].
    shown: VecDeque<StreamTime>,
    clock: CreepingClock,
    newest: Option<Frame>,
    raised: BTreeMap<AlarmKind, (AlarmKey, Alarm, StreamTime)>,
    next_key: u64,
    turns: Vec<Turn>,
}

impl FaultWatch {
    /// Returns a watch for a camera that looks at `kind`.
    pub fn new(kind: Kind) -> Self {
        let learn_above = match kind {
            Kind::Facade => 0.0,
            Kind::Elevator => CAR_LIGHT,
        };
        Self {
            rules: FaultRules::new(kind),
            view: View::new(learn_above),
            time: OwnTime::default(),
            figures: Figures::default(),
            shown: VecDeque::new(),
            clock: CreepingClock::default(),
            newest: None,
            raised: BTreeMap::new(),
            next_key: 0,
            turns: Vec::new(),
        }
    }

    /// Notes what the camera's other watch says of itself, for the frame pushed next.
    pub fn observe(&mut self, condition: Condition) {
        self.figures.flooded = condition.flooded;
        let share = 1.0 / (JITTER_S * self.figures.fps.unwrap_or(25.0)).max(1.0);
        self.figures.jitter_px += (condition.shake_px - self.figures.jitter_px) * share;
    }

    /// Notes a picture that is held back undecoded: it came, and shows what the newest frame showed.
    pub fn held(&mut self, at: StreamTime, captured_at: Timestamp) {
        self.came(at, captured_at);
    }

    /// Judges what no frame tells: silence and clocks. Call it at least once a second with the
    /// clock's monotonic time, whether frames come or not.
    pub fn tick(
        &mut self,
        now: Duration,
        health: Option<&CameraHealth>,
        changes: &mut Vec<AlarmChange>,
    ) {
        self.figures.silent_s = self.time.tick(now);
        if self.figures.silent_s > 1.0 {
            self.shown.clear();
            self.figures.fps = None;
            self.figures.picture = None;
        }
        let reported = health.and_then(|health| health.clock_offset_ms);
        let offset_s = reported.map(|offset_ms| (offset_ms as f64 / 1_000.0).abs());
        self.figures.clock_off_s = match (offset_s, self.clock.crept_s()) {
            (Some(offset), Some(crept)) => Some(offset.max(crept)),
            (one, other) => one.or(other),
        };
        self.judge(changes);
    }

    /// Returns the faults that are raised now.
    pub fn raised(&self) -> impl Iterator<Item = AlarmKind> + '_ {
        self.raised.keys().copied()
    }

    fn judge(&mut self, changes: &mut Vec<AlarmChange>) {
        let now = self.time.now;
        self.rules.judge(now, &self.figures, &mut self.turns);
        if self.rules.adopt_view(now, &mut self.turns) {
            self.view.forget();
        }
        self.report(changes);
    }

    fn came(&mut self, at: StreamTime, captured_at: Timestamp) {
        if self.time.frame(at) == Step::Jump {
            self.shown.clear();
            self.clock = CreepingClock::default();
        }
        self.figures.silent_s = 0.0;
        self.count(self.time.now);
        self.clock.note(at, captured_at);
    }

    fn count(&mut self, now: StreamTime) {
        if self.shown.len() == RATE_FRAMES_MAX {
            self.shown.pop_front();
        }
        self.shown.push_back(now);
        while let Some(first) = self.shown.front()
            && now.secs_since(*first) > RATE_WINDOW_S
        {
            self.shown.pop_front();
        }
        let span_s = self
            .shown
            .front()
            .map_or(0.0, |first| now.secs_since(*first));
        let full = span_s > RATE_WINDOW_S - 1.0 || self.shown.len() == RATE_FRAMES_MAX;
        let gaps = self.shown.len().saturating_sub(1) as f64;
        self.figures.fps = full.then(|| gaps / span_s.max(1e-6));
    }

    /// Turns the rules' turns into alarms on the newest timeline.
    fn report(&mut self, changes: &mut Vec<AlarmChange>) {
        for turn in std::mem::take(&mut self.turns) {
            match turn {
                Turn::Raised { kind, since } => self.raise(kind, since, changes),
                Turn::Ended { kind } => self.end(kind, changes),
            }
        }
    }

    fn raise(&mut self, kind: AlarmKind, since: StreamTime, changes: &mut Vec<AlarmChange>) {
        let key = AlarmKey(self.next_key);
        self.next_key += 1;
        let since = match kind {
            // The figure went bad when the last frame came, not when that was noticed.
            AlarmKind::NoPicture => self.time.now - seconds(self.figures.silent_s),
            AlarmKind::FrozenPicture => {
                let still_s = self.figures.picture.map_or(0.0, |picture| picture.still_s);
                self.time.now - seconds(still_s)
            }
            _ => since,
        };
        let alarm = Alarm {
            kind,
            started_at: self.time.on_stream(since),
            raised_at: self.time.on_stream(self.time.now),
            ended_at: None,
            score: 1.0,
            track: Vec::new(),
            origin: None,
        };
        let raised_at = self.time.now;
        self.raised.insert(kind, (key, alarm.clone(), raised_at));
        changes.push(AlarmChange::Raised {
            key,
            alarm,
            frames: self.newest.iter().cloned().map(Cutout::whole).collect(),
        });
    }

    fn end(&mut self, kind: AlarmKind, changes: &mut Vec<AlarmChange>) {
        let Some((key, mut alarm, raised_at)) = self.raised.remove(&kind) else {
            return;
        };
        // The timeline may have changed since: all three times move to the newest one.
        let lead_s = alarm.raised_at.secs_since(alarm.started_at);
        alarm.raised_at = self.time.on_stream(raised_at);
        alarm.started_at = alarm.raised_at - seconds(lead_s);
        alarm.ended_at = Some(self.time.on_stream(self.time.now));
        changes.push(AlarmChange::Ended {
            key,
            alarm,
            frames: Vec::new(),
        });
    }
}

impl Watch for FaultWatch {
    fn push(&mut self, frame: &Frame, changes: &mut Vec<AlarmChange>) {
        self.came(frame.at, frame.captured_at);
        let now = self.time.now;
        if let Some(picture) = self.view.look(frame, now, self.rules.may_learn()) {
            self.figures.picture = Some(picture);
            self.newest = Some(frame.clone());
        }
        self.judge(changes);
    }

    /// Faults are of the whole picture: no scene matters to them.
    fn set_scene(&mut self, _: Scene, _: &mut Vec<AlarmChange>) {}

    fn restart(&mut self, changes: &mut Vec<AlarmChange>) {
        self.rules.finish(&mut self.turns);
        self.report(changes);
        self.shown.clear();
        self.clock = CreepingClock::default();
        self.figures = Figures::default();
    }
}

fn seconds(value: f64) -> Duration {
    Duration::try_from_secs_f64(value.max(0.0)).unwrap_or_default()
}

/// Time that never goes back: the stream's while frames come, the machine's while none do.
#[derive(Debug, Default)]
struct OwnTime {
    now: StreamTime,
    /// Our own time less the newest timeline's, microseconds.
    ahead_us: i64,
    newest: Option<StreamTime>,
    frame_came: bool,
    ticked_at: Option<Duration>,
    silent: Duration,
}

#[derive(Debug, PartialEq, Eq)]
enum Step {
    Onward,
    Jump,
}

impl OwnTime {
    fn frame(&mut self, at: StreamTime) -> Step {
        self.frame_came = true;
        self.silent = Duration::ZERO;
        let own = StreamTime::from_micros(at.as_micros().saturating_add(self.ahead_us));
        let newer = self.newest.is_some_and(|newest| at > newest);
        self.newest = Some(at);
        // Some lateness is normal: the machine's time ran on while the frame was on its way.
        if newer && own <= self.now + STEP_MAX && own + STEP_MAX >= self.now {
            self.now = self.now.max(own);
            return Step::Onward;
        }
        self.now = self.now + Duration::from_millis(1);
        self.ahead_us = self.now.as_micros().saturating_sub(at.as_micros());
        Step::Jump
    }

    /// Returns how long no frame has come, in seconds.
    fn tick(&mut self, now: Duration) -> f64 {
        let passed = now.saturating_sub(self.ticked_at.replace(now).unwrap_or(now));
        if std::mem::take(&mut self.frame_came) {
            self.silent = Duration::ZERO;
        } else {
            self.silent += passed;
            self.now = self.now + passed;
        }
        self.silent.as_secs_f64()
    }

    fn on_stream(&self, own: StreamTime) -> StreamTime {
        StreamTime::from_micros(own.as_micros().saturating_sub(self.ahead_us))
    }
}

/// How far capture time has crept away from presentation time since the timeline began: the
/// camera's clock against ours where its sender reports do not say.
#[derive(Debug, Default)]
struct CreepingClock {
    /// Lowest offset of the window being filled, and the frame that opened it: the frame that came
    /// with the least delay tells most.
    window: Option<(StreamTime, i64)>,
    first_us: Option<i64>,
    newest_us: Option<i64>,
}

impl CreepingClock {
    const WINDOW_S: f64 = 30.0;

    fn note(&mut self, at: StreamTime, captured_at: Timestamp) {
        let offset_us = captured_at.as_microsecond().saturating_sub(at.as_micros());
        let (opened, lowest_us) = self.window.get_or_insert((at, offset_us));
        *lowest_us = (*lowest_us).min(offset_us);
        if at.secs_since(*opened) >= Self::WINDOW_S {
            self.first_us.get_or_insert(*lowest_us);
            self.newest_us = Some(*lowest_us);
            self.window = None;
        }
    }

    fn crept_s(&self) -> Option<f64> {
        let crept_us = self.newest_us?.saturating_sub(self.first_us?);
        Some((crept_us as f64 / 1e6).abs())
    }
}
