//! Time: the wall clock behind a trait, and the stream's own time.
//!
//! Nothing else in Plumb may read the system's clock: replay and tests drive this one.

use std::fmt;
use std::ops::{Add, Sub};
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use jiff::Timestamp;

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
    /// By how much the wall clock was set back.
    back_us: AtomicI64,
}

impl DrivenClock {
    /// Returns a clock that shows `start`.
    pub fn new(start: Timestamp) -> Self {
        Self {
            start,
            elapsed_us: AtomicI64::new(0),
            back_us: AtomicI64::new(0),
        }
    }

    /// Sets the wall clock back by `step`, as somebody or a time server may; monotonic time goes on.
    pub fn set_back(&self, step: Duration) {
        self.back_us.fetch_add(micros(step), Ordering::SeqCst);
    }

    /// Moves the clock on by `step`.
    pub fn advance(&self, step: Duration) {
        self.elapsed_us.fetch_add(micros(step), Ordering::SeqCst);
    }
}

impl Clock for DrivenClock {
    fn now(&self) -> Timestamp {
        let back = Duration::from_micros(self.back_us.load(Ordering::SeqCst).unsigned_abs());
        let on = self.start.checked_add(self.monotonic());
        on.and_then(|on| on.checked_sub(back))
            .unwrap_or(Timestamp::MAX)
    }

    fn monotonic(&self) -> Duration {
        let elapsed_us = self.elapsed_us.load(Ordering::SeqCst);
        Duration::from_micros(u64::try_from(elapsed_us).unwrap_or(0))
    }
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

    #[test]
    fn stream_time_keeps_microseconds() {
        let at = StreamTime::from_secs_f64(7.007) + Duration::from_micros(1);
        assert_eq!(at.as_micros(), 7_007_001);
        assert_eq!((at - Duration::from_secs(8)).as_micros(), -992_999);
    }
}
