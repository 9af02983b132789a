//! The one replay that runs: how far it is, and that it is to end. It must never be taken for another's.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// The replay that runs, if one does.
#[derive(Debug, Default)]
pub(super) struct Replays(Mutex<Option<Arc<Running>>>);

#[derive(Debug)]
pub(super) struct Running {
    id: i64,
    pub(super) cancelled: AtomicBool,
    pub(super) permille: AtomicU32,
}

impl Replays {
    fn slot(&self) -> std::sync::MutexGuard<'_, Option<Arc<Running>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn begin(&self, id: i64) -> Arc<Running> {
        let running = Arc::new(Running {
            id,
            cancelled: AtomicBool::new(false),
            permille: AtomicU32::new(0),
        });
        *self.slot() = Some(Arc::clone(&running));
        running
    }

    /// Frees the slot of a replay that has ended. Whoever saw that it has may have begun the next one
    /// already: that one's slot stays.
    pub(super) fn end(&self, id: i64) {
        self.slot().take_if(|other| other.id == id);
    }

    /// Returns how far the replay is, 0..1; none when it does not run.
    pub(super) fn progress(&self, id: i64) -> Option<f64> {
        let slot = self.slot();
        let running = slot.as_ref().filter(|running| running.id == id)?;
        Some(f64::from(running.permille.load(Ordering::Relaxed)) / 1000.0)
    }

    /// Ends the replay soon. Returns whether it runs.
    pub(super) fn cancel(&self, id: i64) -> bool {
        let slot = self.slot();
        let running = slot.as_ref().filter(|running| running.id == id);
        running.is_some_and(|running| {
            running.cancelled.store(true, Ordering::Relaxed);
            true
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replay_that_has_ended_leaves_the_slot_of_the_next_alone() {
        let replays = Replays::default();
        replays.begin(1);
        // The store knows that the first has ended, so the next begins before the first's thread is done.
        let next = replays.begin(2);
        replays.end(1);
        assert_eq!(replays.progress(1), None);
        assert_eq!(replays.progress(2), Some(0.0));
        assert!(replays.cancel(2), "it can still be cancelled");
        assert!(next.cancelled.load(Ordering::Relaxed));
        replays.end(2);
        assert_eq!(replays.progress(2), None);
        assert!(!replays.cancel(2));
    }
}
