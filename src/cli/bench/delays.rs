//! How long things took, from a moment on the wall clock to now: frames, and alarms.

use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use serde::Deserialize;

use super::Percentiles;
use super::rounded;
use crate::alarm::AlarmKind;
use crate::clock::Clock;

/// Delays kept for the percentiles: an hour of 16 streams at 25 frames a second. Later ones are only
/// counted.
const KEPT_MAX: usize = 1_440_000;

/// Delays of one kind, noted by any thread.
pub(super) struct Delays {
    clock: Arc<dyn Clock>,
    noted: Mutex<Noted>,
}

#[derive(Default)]
struct Noted {
    count: u64,
    us: Vec<u32>,
}

impl Delays {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            noted: Mutex::default(),
        }
    }

    /// Notes the time from `since` to now.
    pub(super) fn note(&self, since: Timestamp) {
        let waited = self.clock.now().duration_since(since);
        let waited_us = u32::try_from(waited.as_micros().max(0)).unwrap_or(u32::MAX);
        let mut noted = self.noted.lock().unwrap_or_else(PoisonError::into_inner);
        noted.count += 1;
        if noted.us.len() < KEPT_MAX {
            noted.us.push(waited_us);
        }
    }

    /// Notes a webhook's message if it says that an alarm was raised: the time from the moment at which
    /// the packet of the deciding frame came. Faults of cameras are decided by no frame.
    pub(super) fn note_message(&self, body: &[u8]) {
        let Ok(message) = serde_json::from_slice::<Message>(body) else {
            return;
        };
        let is_seen = matches!(
            message.data.kind,
            AlarmKind::FallingObject | AlarmKind::EbikeInElevator
        );
        if message.kind != "alarm.raised" || !is_seen {
            return;
        }
        if let Ok(raised_at) = Timestamp::from_millisecond(message.data.raised_at_ms) {
            self.note(raised_at);
        }
    }

    /// Forgets what was noted.
    pub(super) fn reset(&self) {
        *self.noted.lock().unwrap_or_else(PoisonError::into_inner) = Noted::default();
    }

    /// Returns how many were noted.
    pub(super) fn count(&self) -> u64 {
        let noted = self.noted.lock().unwrap_or_else(PoisonError::into_inner);
        noted.count
    }

    /// Returns the percentiles in milliseconds; 0 when nothing was noted.
    pub(super) fn percentiles_ms(&self) -> Percentiles {
        let noted = self.noted.lock().unwrap_or_else(PoisonError::into_inner);
        let mut sorted = noted.us.clone();
        drop(noted);
        sorted.sort_unstable();
        let at = |percent: usize| {
            let rank = (sorted.len() * percent).div_ceil(100).max(1) - 1;
            let us = sorted.get(rank).copied().unwrap_or(0);
            rounded(f64::from(us) / 1000.0)
        };
        Percentiles {
            p50: at(50),
            p95: at(95),
            p99: at(99),
        }
    }
}

/// What a message says of an alarm, as far as it matters here.
#[derive(Deserialize)]
struct Message {
    #[serde(rename = "type")]
    kind: String,
    data: Raised,
}

#[derive(Deserialize)]
struct Raised {
    kind: AlarmKind,
    raised_at_ms: i64,
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::clock::DrivenClock;

    fn delays() -> (Arc<DrivenClock>, Delays) {
        let clock = Arc::new(DrivenClock::new(Timestamp::UNIX_EPOCH));
        let delays = Delays::new(clock.clone());
        (clock, delays)
    }

    #[test]
    fn a_percentile_is_a_delay_that_was_noted() {
        let (clock, delays) = delays();
        clock.advance(Duration::from_secs(1));
        for ms in 1..=100 {
            delays.note(Timestamp::from_millisecond(1000 - ms).expect("in range"));
        }
        let Percentiles { p50, p95, p99 } = delays.percentiles_ms();
        assert_eq!((p50, p95, p99), (50.0, 95.0, 99.0));
        delays.reset();
        assert_eq!((delays.count(), delays.percentiles_ms().p99), (0, 0.0));
    }

    #[test]
    fn counts_alarms_that_a_frame_decided_and_nothing_else() {
        let (clock, delays) = delays();
        clock.advance(Duration::from_millis(350));
        for (kind, alarm) in [
            ("alarm.raised", "falling_object"),
            ("alarm.ended", "falling_object"),
            ("alarm.raised", "frozen_picture"),
            ("plumb.test", ""),
        ] {
            let message = serde_json::json!({
                "type": kind, "timestamp": "", "data": { "kind": alarm, "raised_at_ms": 100, "score": 1.0 }
            });
            delays.note_message(message.to_string().as_bytes());
        }
        assert_eq!(delays.count(), 1);
        assert_eq!(delays.percentiles_ms().p50, 250.0);
    }
}
