//! The newest frame of each camera, for whoever wants to look now. It keeps one frame a camera and
//! never a queue, and it copies no pixel.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::Frame;
use crate::id::CameraId;

/// All cameras' newest frames, shared by the threads that decode and the API that shows.
#[derive(Clone, Debug, Default)]
pub struct Latest {
    frames: Arc<Mutex<BTreeMap<CameraId, Frame>>>,
}

impl Latest {
    /// Puts `frame` in the place of the camera's frame before.
    pub fn put(&self, camera: &CameraId, frame: &Frame) {
        let frame = frame.clone();
        // The frame before is dropped outside the lock: giving its buffer back may take time.
        let _before = {
            let mut frames = self.lock();
            match frames.get_mut(camera) {
                Some(newest) => Some(std::mem::replace(newest, frame)),
                None => frames.insert(camera.clone(), frame),
            }
        };
    }

    /// Forgets the camera's frame: it shows what was, not what is.
    pub fn clear(&self, camera: &CameraId) {
        self.lock().remove(camera);
    }

    /// Returns the camera's newest frame, none before its first.
    pub fn frame(&self, camera: &CameraId) -> Option<Frame> {
        self.lock().get(camera).cloned()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<CameraId, Frame>> {
        // Frames have no invariant between them that a panic could leave broken.
        self.frames.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::StreamTime;

    #[test]
    fn keeps_only_the_newest() {
        let latest = Latest::default();
        let camera = CameraId::parse("north").expect("an id");
        assert!(latest.frame(&camera).is_none());
        for second in 0..3 {
            let at = StreamTime::from_secs_f64(f64::from(second));
            latest.put(&camera, &Frame::from_luma(at, 2, 2, vec![0; 4]));
        }
        let newest = latest.frame(&camera).expect("three were put");
        assert_eq!(newest.at.as_micros(), 2_000_000);
        latest.clear(&camera);
        assert!(latest.frame(&camera).is_none());
    }
}
