//! When to try again. Pure: the time and the jitter come from outside.
//!
//! Attempts follow one another after 2, 5, 15 and 60 s, 5 and 15 min, 1 h, and then every 2 to
//! 4 h, until 24 h after the first. A receiver that restarts is reached within seconds; one that
//! is down over night is reached in the morning; one that is gone costs some twenty requests.

use std::time::Duration;

/// Waits after the first, second, … failed attempt, seconds.
const WAITS_S: [u64; 7] = [2, 5, 15, 60, 5 * 60, 15 * 60, 60 * 60];
/// Waits after those lie between these, spread so that receivers are not met by all at once.
const LATE_WAIT_S: (u64, u64) = (2 * 3600, 4 * 3600);
/// No attempt begins later than this after the first.
const HORIZON: Duration = Duration::from_secs(24 * 3600);
/// A receiver's `Retry-After` is honoured up to this; then it is asked all the same.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(6 * 3600);
/// No wait is longer: the longest planned one is shorter than what a receiver may ask for.
pub const WAIT_MAX: Duration = RETRY_AFTER_MAX;
/// Waits from a minute on are longer by up to this share.
const JITTER_SHARE: f64 = 0.1;
const JITTER_FROM: Duration = Duration::from_secs(60);

/// Returns how long to wait after `attempts_made` (1 or more) failed attempts, of which the first
/// began `since_first` ago; none when the delivery is dead. `retry_after` is what the receiver
/// asked for: it lengthens a wait and never shortens one. `jitter` is 0..1.
pub fn wait(
    attempts_made: u32,
    since_first: Duration,
    retry_after: Option<Duration>,
    jitter: f64,
) -> Option<Duration> {
    let asked = retry_after.unwrap_or_default().min(RETRY_AFTER_MAX);
    let wait = planned(attempts_made, jitter.clamp(0.0, 1.0)).max(asked);
    (since_first + wait <= HORIZON).then_some(wait)
}

fn planned(attempts_made: u32, jitter: f64) -> Duration {
    let step = usize::try_from(attempts_made.saturating_sub(1)).unwrap_or(usize::MAX);
    let Some(&wait_s) = WAITS_S.get(step) else {
        let (least_s, most_s) = LATE_WAIT_S;
        return Duration::from_secs(least_s)
            + Duration::from_secs(most_s - least_s).mul_f64(jitter);
    };
    let wait = Duration::from_secs(wait_s);
    if wait < JITTER_FROM {
        wait
    } else {
        wait.mul_f64(1.0 + JITTER_SHARE * jitter)
    }
}

/// Returns the wait that a `Retry-After` header asks for: seconds, or an HTTP date as seen at
/// `now`. None when it is neither, or in the past.
pub fn retry_after(header: &str, now: jiff::Timestamp) -> Option<Duration> {
    let header = header.trim();
    if let Ok(seconds) = header.parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    let at = jiff::fmt::rfc2822::DateTimeParser::new()
        .relaxed_weekday(true)
        .parse_timestamp(header)
        .ok()?;
    Duration::try_from(at.duration_since(now)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(jitter: f64) -> Vec<u64> {
        let mut since_first = Duration::ZERO;
        let mut waits = Vec::new();
        for attempts_made in 1.. {
            let Some(next) = wait(attempts_made, since_first, None, jitter) else {
                break;
            };
            since_first += next;
            waits.push(next.as_secs());
        }
        waits
    }

    #[test]
    fn waits_grow_from_seconds_to_hours() {
        let waits = schedule(0.0);
        assert_eq!(&waits[..8], &[2, 5, 15, 60, 300, 900, 3600, 7200]);
    }

    #[test]
    fn a_receiver_that_is_gone_is_given_up_within_a_day() {
        for jitter in [0.0, 0.3, 1.0] {
            let waits = schedule(jitter);
            let total_s: u64 = waits.iter().sum();
            assert!(total_s <= 24 * 3600, "{total_s} s");
            assert!(total_s > 20 * 3600 - 4 * 3600, "{total_s} s");
            assert!(waits.len() < 20, "{} attempts", waits.len());
        }
    }

    #[test]
    fn late_waits_are_spread_over_two_to_four_hours() {
        let since = Duration::from_secs(7200);
        assert_eq!(wait(9, since, None, 0.0), Some(Duration::from_secs(7200)));
        assert_eq!(wait(9, since, None, 1.0), Some(Duration::from_secs(14400)));
    }

    #[test]
    fn retry_after_lengthens_a_wait_within_bounds() {
        let after = |seconds| wait(1, Duration::ZERO, Some(Duration::from_secs(seconds)), 0.0);
        assert_eq!(after(1), Some(Duration::from_secs(2)));
        assert_eq!(after(120), Some(Duration::from_secs(120)));
        assert_eq!(after(u64::MAX), Some(RETRY_AFTER_MAX));
    }

    #[test]
    fn retry_after_is_read_as_seconds_or_date() {
        let now = "1994-11-06T08:49:07Z".parse().expect("a time");
        let half_a_minute = Some(Duration::from_secs(30));
        assert_eq!(retry_after(" 30 ", now), half_a_minute);
        assert_eq!(
            retry_after("Sun, 06 Nov 1994 08:49:37 GMT", now),
            half_a_minute
        );
        assert_eq!(retry_after("Sun, 06 Nov 1994 08:49:00 GMT", now), None);
        assert_eq!(retry_after("soon", now), None);
    }
}
