//! Steady time ([`crate::clock::Steady`]) over restarts: what escalation, shelves and retention count ages
//! by. Each question is a look at the clocks; the heartbeat keeps the answer on the disk.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use sqlx::Row;

use super::Store;
use super::error::Fault;
use super::event::When;
use crate::clock::{Between, Clock, Steady};

/// That the wall clock was set, by a person, a time server or a dead battery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockLeap {
    /// Negative where it was set back.
    pub by_ms: i64,
    /// For how long the clock has been steady since.
    pub ago: Duration,
}

/// The clocks as they were at the last look.
#[derive(Debug)]
pub(super) struct Watch(Mutex<Looked>);

#[derive(Debug)]
struct Looked {
    steady: Steady,
    /// Monotonic.
    at: Duration,
    /// The newest leap, and when it was seen (monotonic).
    leap: Option<(i64, Duration)>,
}

impl Watch {
    /// Returns the watch of a service that never ran before.
    pub(super) fn new(clock: &dyn Clock) -> Self {
        Self(Mutex::new(Looked {
            steady: Steady::new(clock.now().as_millisecond()),
            at: clock.monotonic(),
            leap: None,
        }))
    }

    fn look(&self, clock: &dyn Clock) -> (Steady, Option<ClockLeap>) {
        let mut looked = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = clock.monotonic();
        let passed = Between::Running(now.saturating_sub(looked.at));
        looked.take(clock.now().as_millisecond(), passed, now);
        let leap = looked.leap.map(|(by_ms, at)| ClockLeap {
            by_ms,
            ago: now.saturating_sub(at),
        });
        (looked.steady, leap)
    }

    /// Goes on from where the last run was.
    fn go_on(&self, clock: &dyn Clock, last: Steady) {
        let mut looked = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        looked.steady = last;
        let now = clock.monotonic();
        looked.take(clock.now().as_millisecond(), Between::Stopped, now);
    }
}

impl Looked {
    fn take(&mut self, wall_ms: i64, between: Between, now: Duration) {
        let leap = self.steady.look(wall_ms, between);
        self.at = now;
        if let Some(by_ms) = leap {
            self.leap = Some((by_ms, now));
            tracing::warn!(
                clock.leapt_s = by_ms / 1000,
                "the machine's clock leapt: look after its time server; nothing is deleted, escalated or delayed by it"
            );
        }
    }
}

impl Store {
    /// Returns the newest leap of the wall clock in this run, or at its beginning; none where it never
    /// leapt.
    pub fn clock_leap(&self) -> Option<ClockLeap> {
        self.0.steady.look(self.0.clock.as_ref()).1
    }

    /// Returns steady time, milliseconds.
    pub fn steady_ms(&self) -> i64 {
        self.steady().at_ms
    }

    /// Returns this moment, at which the wall clock shows `at_ms`, as events carry it.
    pub(super) fn when(&self, at_ms: i64) -> When {
        let steady_ms = self.steady_ms();
        When { at_ms, steady_ms }
    }

    pub(super) fn steady(&self) -> Steady {
        self.0.steady.look(self.0.clock.as_ref()).0
    }

    /// Goes on from where the last run kept it.
    pub(super) async fn read_steady(&self) -> Result<(), Fault> {
        let row = sqlx::query("SELECT at_ms, lag_ms FROM steady_time")
            .fetch_optional(&self.0.readers)
            .await?;
        if let Some(row) = row {
            let last = Steady {
                at_ms: row.try_get("at_ms")?,
                lag_ms: row.try_get("lag_ms")?,
            };
            self.0.steady.go_on(self.0.clock.as_ref(), last);
        }
        Ok(())
    }

    /// Commits where steady time is, for the next run.
    pub(super) async fn keep_steady(&self) -> Result<(), Fault> {
        let steady = self.steady();
        sqlx::query("INSERT OR REPLACE INTO steady_time (id, at_ms, lag_ms) VALUES (1, ?, ?)")
            .bind(steady.at_ms)
            .bind(steady.lag_ms)
            .execute(&self.0.writer)
            .await?;
        Ok(())
    }
}
