//! How long to wait before the next attempt: longer after each failure, and never in step with the
//! other cameras of a switch that came back.

use std::time::Duration;

/// The bounds of the waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retry {
    /// The wait after the first failure; doubles with each that follows.
    pub first: Duration,
    /// The longest wait.
    pub most: Duration,
    /// A connection that delivered for this long makes the next failure the first again.
    pub good_after: Duration,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            first: Duration::from_secs(1),
            most: Duration::from_secs(60),
            good_after: Duration::from_secs(30),
        }
    }
}

/// Counts failures in a row.
#[derive(Debug)]
pub(super) struct Backoff {
    retry: Retry,
    failures: u32,
}

impl Backoff {
    pub(super) fn new(retry: Retry) -> Self {
        Self { retry, failures: 0 }
    }

    /// Returns the next wait, after a connection that delivered for `delivered`. `jitter`, 0..1,
    /// spreads it over a quarter on either side.
    pub(super) fn after(&mut self, delivered: Duration, jitter: f64) -> Duration {
        if delivered >= self.retry.good_after {
            self.failures = 0;
        }
        let doubled = self.retry.first.saturating_mul(1 << self.failures.min(16));
        self.failures = self.failures.saturating_add(1);
        self.spread(doubled, jitter)
    }

    /// Returns the longest wait, for failures that a retry makes worse: cameras lock an account
    /// after a few wrong passwords.
    pub(super) fn longest(&mut self, jitter: f64) -> Duration {
        self.failures = self.failures.saturating_add(1);
        self.spread(self.retry.most, jitter)
    }

    fn spread(&self, wait: Duration, jitter: f64) -> Duration {
        let spread = wait
            .min(self.retry.most)
            .mul_f64(0.75 + jitter.clamp(0.0, 1.0) / 2.0);
        spread.clamp(self.retry.first, self.retry.most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_from_one_second_to_sixty_and_begins_again_after_a_good_while() {
        let mut backoff = Backoff::new(Retry::default());
        let middle = 0.5;
        let waits: Vec<u64> = (0..8)
            .map(|_| backoff.after(Duration::ZERO, middle).as_secs())
            .collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(backoff.after(Duration::from_secs(31), middle).as_secs(), 1);
    }

    #[test]
    fn jitter_stays_within_the_bounds() {
        let retry = Retry::default();
        let mut backoff = Backoff::new(retry);
        for failure in 0..1_000_000_u32 {
            let wait = backoff.after(Duration::ZERO, f64::from(failure % 11) / 10.0);
            assert!((retry.first..=retry.most).contains(&wait));
            if failure > 40 {
                break;
            }
        }
        assert!(backoff.after(Duration::ZERO, 0.0) < backoff.after(Duration::ZERO, 1.0));
    }
}
