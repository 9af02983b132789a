//! Time: the wall clock behind a trait, and the stream's own time.
//!
//! Nothing else in Plumb may read the system's clock: replay and tests drive this one.

use std::fmt;
use std::ops::{Add, Sub};
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

/// A moment on one stream's timeline: microseconds since its first frame, by presentation time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamTime(i64);

impl StreamTime {
    /// The first frame of a timeline.
    pub const ZERO: Self = Self(0);

    /// Returns the moment `micros` microseconds after the first frame (before it when negative).
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// Returns the moment nearest to `seconds` after the first frame.
    #[expect(clippy::cast_possible_truncation, reason = "a float cast saturates")]
    pub fn from_secs_f64(seconds: f64) -> Self {
        Self((seconds * 1e6).round() as i64)
    }

    /// Returns microseconds since the first frame.
    pub const fn as_micros(self) -> i64 {
        self.0
    }

    /// Returns seconds since the first frame.
    pub fn as_secs_f64(self) -> f64 {
        self.0 as f64 / 1e6
    }

    /// Returns the seconds from `earlier` to `self`, negative when `earlier` is later.
    pub fn secs_since(self, earlier: Self) -> f64 {
        (self.0 - earlier.0) as f64 / 1e6
    }
}

impl Add<Duration> for StreamTime {
    type Output = Self;

    fn add(self, later: Duration) -> Self {
        Self(self.0.saturating_add(micros(later)))
    }
}

impl Sub<Duration> for StreamTime {
    type Output = Self;

    fn sub(self, earlier: Duration) -> Self {
        Self(self.0.saturating_sub(micros(earlier)))
    }
}

impl fmt::Display for StreamTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3} s", self.as_secs_f64())
    }
}

/// Where the time comes from.
pub trait Clock: Send + Sync + fmt::Debug {
    /// Returns the wall time, for records and people.
    fn now(&self) -> Timestamp;

    /// Returns time since some fixed start that never goes back, for deadlines and ages.
    fn monotonic(&self) -> Duration;
}

/// The machine's own clock.
#[derive(Debug)]
pub struct SystemClock {
    started: std::time::Instant,
}

impl SystemClock {
    /// Returns a clock whose monotonic time begins now.
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the one place that reads it"
    )]
    pub fn new() -> Self {
        Self {
            started: std::time::Instant::now(),
        }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    fn monotonic(&self) -> Duration {
        self.started.elapsed()
    }
}

/// A clock that stands still until it is driven: for replay and tests.
#[derive(Debug)]
pub struct DrivenClock {
    start: Timestamp,
    elapsed_us: AtomicI64,
    /// By how much the wall clock was set; negative back.
    set_us: AtomicI64,
}

impl DrivenClock {
    /// Returns a clock that shows `start`.
    pub fn new(start: Timestamp) -> Self {
        Self {
            start,
            elapsed_us: AtomicI64::new(0),
            set_us: AtomicI64::new(0),
        }
    }

    /// Sets the wall clock back by `step`, as somebody or a time server may; monotonic time goes on.
    pub fn set_back(&self, step: Duration) {
        self.set_us.fetch_sub(micros(step), Ordering::SeqCst);
    }

    /// Sets the wall clock forward by `step`; monotonic time goes on.
    pub fn set_forward(&self, step: Duration) {
        self.set_us.fetch_add(micros(step), Ordering::SeqCst);
    }

    /// Moves the clock on by `step`.
    pub fn advance(&self, step: Duration) {
        self.elapsed_us.fetch_add(micros(step), Ordering::SeqCst);
    }
}

impl Clock for DrivenClock {
    fn now(&self) -> Timestamp {
        let set = SignedDuration::from_micros(self.set_us.load(Ordering::SeqCst));
        let on = self.start.checked_add(self.monotonic());
        on.and_then(|on| on.checked_add(set))
            .unwrap_or(Timestamp::MAX)
    }

    fn monotonic(&self) -> Duration {
        let elapsed_us = self.elapsed_us.load(Ordering::SeqCst);
        Duration::from_micros(u64::try_from(elapsed_us).unwrap_or(0))
    }
}

/// A wall clock that moves by more than this while the service runs was set: by a person, a time server,
/// a dead battery.
const LEAP_RUNNING: Duration = Duration::from_secs(3600);
/// The same between two runs. A machine that was off for longer is seldom; then ages grow more slowly.
const LEAP_STOPPED: Duration = Duration::from_secs(3 * 24 * 3600);

/// Steady time, in milliseconds: the wall clock as far as it can be believed. Ages are counted by it, so
/// that a clock that is set delays nothing and ends nothing early.
///
/// It never goes back. It goes on at least as the monotonic clock does, and follows the wall clock
/// forwards by a small step. A leap of the wall clock, in either direction, leaves it alone: from there
/// on the two differ, which is why it is no time of day and only differences of it mean anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Steady {
    /// As it was at the last look.
    pub at_ms: i64,
    /// How far the wall clock is ahead of it.
    pub lag_ms: i64,
}

/// What lies between two looks at the clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Between {
    /// The service ran, for so long by the monotonic clock.
    Running(Duration),
    /// It did not, for nobody knows how long.
    Stopped,
}

impl Steady {
    /// Returns the steady time of a service that never ran before.
    pub const fn new(wall_ms: i64) -> Self {
        Self {
            at_ms: wall_ms,
            lag_ms: 0,
        }
    }

    /// Takes a look at the wall clock. Returns by how many milliseconds it leapt where it did; negative
    /// backwards.
    pub fn look(&mut self, wall_ms: i64, between: Between) -> Option<i64> {
        let (passed, leap) = match between {
            Between::Running(passed) => (passed, LEAP_RUNNING),
            Between::Stopped => (Duration::ZERO, LEAP_STOPPED),
        };
        let expected_ms = self.at_ms.saturating_add(millis(passed));
        let ahead_ms = wall_ms - self.lag_ms - expected_ms;
        if ahead_ms.saturating_abs() > millis(leap) {
            self.at_ms = expected_ms;
            self.lag_ms += ahead_ms;
            return Some(ahead_ms);
        }
        self.at_ms = expected_ms + ahead_ms.max(0);
        None
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn driven_clock_moves_only_when_driven() {
        let clock = DrivenClock::new(Timestamp::UNIX_EPOCH);
        assert_eq!(clock.now(), Timestamp::UNIX_EPOCH);
        clock.advance(Duration::from_millis(1500));
        assert_eq!(clock.now().as_millisecond(), 1500);
        assert_eq!(clock.monotonic(), Duration::from_millis(1500));
    }

    const HOUR_MS: i64 = 3_600_000;
    const DAY_MS: i64 = 24 * HOUR_MS;

    fn running(ms: i64) -> Between {
        Between::Running(Duration::from_millis(ms.unsigned_abs()))
    }

    #[test]
    fn steady_time_is_the_wall_clock_while_that_can_be_believed() {
        let mut steady = Steady::new(1_000);
        assert_eq!(steady.look(6_000, running(5_000)), None);
        // A time server's step forward, and a night in which the machine was off.
        assert_eq!(steady.look(20_000, running(1_000)), None);
        assert_eq!(steady.look(20_000 + DAY_MS, Between::Stopped), None);
        assert_eq!((steady.at_ms, steady.lag_ms), (20_000 + DAY_MS, 0));
    }

    #[test]
    fn a_clock_set_back_does_not_stop_steady_time() {
        let mut steady = Steady::new(10 * HOUR_MS);
        for minute in 1..=90 {
            // Half an hour back, and on from there.
            let wall_ms = 10 * HOUR_MS + (minute - 30) * 60_000;
            assert_eq!(steady.look(wall_ms, running(60_000)), None);
            assert_eq!(steady.at_ms, 10 * HOUR_MS + minute * 60_000);
        }
        // Set right again: no leap, and nothing is counted twice.
        assert_eq!(steady.look(12 * HOUR_MS, running(30 * 60_000)), None);
        assert_eq!((steady.at_ms, steady.lag_ms), (12 * HOUR_MS, 0));
    }

    #[test]
    fn a_leap_and_the_leap_back_leave_steady_time_where_it_was() {
        let year_ms = 365 * DAY_MS;
        let mut steady = Steady::new(0);
        assert_eq!(steady.look(year_ms, running(0)), Some(year_ms));
        assert_eq!(steady.look(year_ms + 5_000, running(5_000)), None);
        assert_eq!(steady.look(6_000, running(1_000)), Some(-year_ms));
        assert_eq!((steady.at_ms, steady.lag_ms), (6_000, 0));
        // A dead battery: the machine wakes in 1970, and a time server sets it right.
        let mut steady = Steady::new(50 * year_ms);
        assert_eq!(steady.look(0, Between::Stopped), Some(-50 * year_ms));
        assert_eq!(
            steady.look(50 * year_ms + 7_000, running(7_000)),
            Some(50 * year_ms)
        );
        assert_eq!((steady.at_ms, steady.lag_ms), (50 * year_ms + 7_000, 0));
    }

    #[test]
    fn stream_time_keeps_microseconds() {
        let at = StreamTime::from_secs_f64(7.007) + Duration::from_micros(1);
        assert_eq!(at.as_micros(), 7_007_001);
        assert_eq!((at - Duration::from_secs(8)).as_micros(), -992_999);
    }
}
