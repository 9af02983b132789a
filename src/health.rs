//! What each camera's stages report of themselves, for the API, the metrics and the operator.
//!
//! A board, not a judge: whether a state is an alarm is decided in `alarm::fault`.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Serialize;

use crate::id::CameraId;

/// Whether a camera delivers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Link {
    /// Not connected yet since the start.
    #[default]
    Connecting,
    /// Packets arrive.
    Online,
    /// Waiting to try again after a failure.
    Offline,
}

/// The newest figures of one camera. Counters count from the service's start.
#[derive(Clone, Debug, Default, PartialEq, Serialize, utoipa::ToSchema)]
pub struct CameraHealth {
    pub link: Link,
    /// Why the camera is offline, in words that say what to do.
    pub error: Option<String>,
    pub codec: Option<String>,
    pub width_px: u32,
    pub height_px: u32,
    /// Frames a second over the last few seconds.
    pub fps: f64,
    pub packets: u64,
    pub frames: u64,
    /// Frames that were decodable but thrown away because a stage was full.
    pub frames_dropped: u64,
    /// Looks of the detector into an elevator's car.
    pub looks: u64,
    /// Looks into an elevator's car that were left out because looks took long.
    pub looks_skipped: u64,
    /// Packets or frames that could not be decoded.
    pub decode_errors: u64,
    /// RTP packets that never arrived.
    pub packets_lost: u64,
    pub reconnects: u64,
    /// The camera's clock less ours, milliseconds, by its newest RTCP sender report.
    pub clock_offset_ms: Option<i64>,
    /// How fast that offset grows, millionths (100 is 8.6 s a day).
    pub clock_drift_ppm: Option<f64>,
    /// Failures by cause: `connect_timeout`, `stalled`, `unauthorized`, `refused`, `protocol`, …
    pub failures: BTreeMap<String, u64>,
    /// Wall time of the newest frame, Unix milliseconds.
    pub last_frame_at_ms: Option<i64>,
    /// Camera faults that are raised now: `no_picture`, `shake`, …
    pub faults: Vec<String>,
}

/// All cameras' newest figures, shared by the stages that write and the API that reads.
#[derive(Clone, Debug, Default)]
pub struct Board {
    cameras: Arc<Mutex<BTreeMap<CameraId, CameraHealth>>>,
}

impl Board {
    /// Changes one camera's figures; the camera appears with its first change.
    pub fn update(&self, camera: &CameraId, change: impl FnOnce(&mut CameraHealth)) {
        let mut cameras = self.lock();
        if let Some(health) = cameras.get_mut(camera) {
            change(health);
        } else {
            change(cameras.entry(camera.clone()).or_default());
        }
    }

    /// Returns one camera's newest figures.
    pub fn camera(&self, camera: &CameraId) -> Option<CameraHealth> {
        self.lock().get(camera).cloned()
    }

    /// Returns all cameras' newest figures, by id.
    pub fn snapshot(&self) -> BTreeMap<CameraId, CameraHealth> {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<CameraId, CameraHealth>> {
        // A panic while holding it leaves figures, not invariants: they stay usable.
        self.cameras.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The threads that must live as long as the service does, so that `/readyz` can name a dead one.
#[derive(Clone, Debug, Default)]
pub struct Threads {
    living: Arc<Mutex<BTreeMap<String, bool>>>,
}

impl Threads {
    /// Notes that the thread `name` runs. It counts as dead as soon as the guard is dropped, also
    /// by a panic: keep the guard on the thread's own stack.
    pub fn enter(&self, name: &str) -> ThreadGuard {
        self.set(name, true);
        ThreadGuard {
            threads: self.clone(),
            name: name.to_owned(),
        }
    }

    /// Returns the names of the threads that ran once and do not now.
    pub fn dead(&self) -> Vec<String> {
        let living = self.living.lock().unwrap_or_else(PoisonError::into_inner);
        let dead = living.iter().filter(|(_, lives)| !**lives);
        dead.map(|(name, _)| name.clone()).collect()
    }

    fn set(&self, name: &str, lives: bool) {
        let mut living = self.living.lock().unwrap_or_else(PoisonError::into_inner);
        living.insert(name.to_owned(), lives);
    }
}

/// A thread's sign of life; see [`Threads::enter`].
#[derive(Debug)]
#[must_use = "the thread counts as dead once this is dropped"]
pub struct ThreadGuard {
    threads: Threads,
    name: String,
}

impl Drop for ThreadGuard {
    fn drop(&mut self) {
        self.threads.set(&self.name, false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_a_thread_that_panicked() {
        let threads = Threads::default();
        let _living = threads.enter("deliver");
        let inside = threads.clone();
        let camera = std::thread::spawn(move || {
            let _guard = inside.enter("camera north");
            panic!("the thread of this test dies on purpose");
        });
        assert!(camera.join().is_err());
        assert_eq!(threads.dead(), ["camera north"]);
    }
}
