//! How an elevator's camera gives way when there is more to do than the machine can: it looks into the
//! car less often, and its thread yields to the facades', whose every frame counts.
//!
//! Only live cameras have a pace. A replay looks as often as the rules say, however long it takes, so
//! that the same recording gives the same alarms on any machine.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::Clock;
use crate::health::Board;
use crate::id::CameraId;

/// A look, with its wait for a session, may take one of so many parts of the time between two: the rest
/// is for decoding, so that no picture is lost, and for the looks of others.
const LOOK_PARTS: u32 = 4;
/// Between two looks at the most while something moves: an e-bike's ride takes many of them.
const SLOWEST: Duration = Duration::from_secs(1);
/// An elevator's thread, and one that writes evidence, gets about a third of what a facade's gets where there is not enough for both
/// (man 7 sched: each step is worth a quarter).
const NICE_STEPS: i32 = 5;
/// The lowest priority there is.
const NICE_MAX: i32 = 19;

/// The pace of one live camera.
#[derive(Clone)]
pub(super) struct Pace {
    clock: Arc<dyn Clock>,
    board: Board,
    camera: CameraId,
    /// How long the last look took, with its wait.
    took: Duration,
}

impl Pace {
    /// Returns the pace of a camera that has not looked yet.
    pub(super) fn new(clock: &Arc<dyn Clock>, board: &Board, camera: &CameraId) -> Self {
        Self {
            clock: Arc::clone(clock),
            board: board.clone(),
            camera: camera.clone(),
            took: Duration::ZERO,
        }
    }

    /// Looks, counts it, and notes how long it took.
    pub(super) fn timed<T>(&mut self, look: impl FnOnce() -> T) -> T {
        let began = self.clock.monotonic();
        let seen = look();
        self.took = self.clock.monotonic().saturating_sub(began);
        self.board.update(&self.camera, |health| health.looks += 1);
        seen
    }

    /// Returns how long to wait from the last look to the next where `wanted` would be right.
    pub(super) fn stretched(&self, wanted: Duration) -> Duration {
        wanted.max(self.took.saturating_mul(LOOK_PARTS).min(SLOWEST))
    }

    /// Counts a look that was due and is left out.
    pub(super) fn skip(&self) {
        self.board
            .update(&self.camera, |health| health.looks_skipped += 1);
    }
}

/// Lets this thread yield to the facades' threads.
pub(super) fn yield_to_facades() {
    // On Linux a thread has a priority of its own: man 2 setpriority, "Linux-specific".
    let own = Some(rustix::thread::gettid());
    let lowered = rustix::process::getpriority_process(own).and_then(|nice| {
        let nice = (nice + NICE_STEPS).min(NICE_MAX);
        rustix::process::setpriority_process(own, nice)
    });
    if let Err(error) = lowered {
        tracing::warn!(%error, "a thread that should yield to the facades' runs with their priority");
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::clock::DrivenClock;

    const WANTED: Duration = Duration::from_millis(200);

    fn camera() -> CameraId {
        CameraId::parse("car").expect("an id")
    }

    /// Returns the interval that is kept instead of `wanted` after a look of so many milliseconds.
    fn kept(look_ms: u64, wanted: Duration) -> Duration {
        let clock = Arc::new(DrivenClock::new(Timestamp::UNIX_EPOCH));
        let driven: Arc<dyn Clock> = clock.clone();
        let mut pace = Pace::new(&driven, &Board::default(), &camera());
        pace.timed(|| clock.advance(Duration::from_millis(look_ms)));
        pace.stretched(wanted)
    }

    #[test]
    fn long_looks_are_taken_less_often_and_never_less_than_once_a_second() {
        assert_eq!(kept(13, WANTED), WANTED);
        assert_eq!(kept(100, WANTED), Duration::from_millis(400));
        assert_eq!(kept(5_000, WANTED), Duration::from_secs(1));
    }

    #[test]
    fn a_quiet_car_is_not_looked_into_more_often() {
        let quiet = Duration::from_secs(2);
        assert_eq!(kept(5_000, quiet), quiet);
    }

    #[test]
    fn looks_taken_and_left_out_stand_on_the_board() {
        let board = Board::default();
        let clock: Arc<dyn Clock> = Arc::new(DrivenClock::new(Timestamp::UNIX_EPOCH));
        let mut pace = Pace::new(&clock, &board, &camera());
        pace.timed(|| ());
        pace.skip();
        pace.skip();
        let health = board
            .camera(&camera())
            .expect("it appears with its first figure");
        assert_eq!((health.looks, health.looks_skipped), (1, 2));
    }

    #[test]
    fn a_thread_that_yields_has_a_lower_priority_and_no_other_has() {
        let nice = || rustix::process::getpriority_process(Some(rustix::thread::gettid()));
        let before = nice().expect("it can be asked for");
        let lowered = std::thread::spawn(move || {
            yield_to_facades();
            nice().expect("it can be asked for")
        });
        let lowered = lowered.join().expect("it ends");
        assert_eq!(lowered, (before + NICE_STEPS).min(NICE_MAX));
        assert_eq!(nice().expect("it can be asked for"), before);
    }
}
