//! Joins one camera's stages, from source to alarm, with named bounds.

pub mod elevator;
pub mod facade;
pub mod fault;
pub mod tracks_file;

mod stir;

use crate::alarm::AlarmChange;
use crate::decode::Frame;

/// Looks at one stream's frames and says what happened. Runs on the camera's own thread, so that
/// replay and service do the same; it must not wait for anything but its own arithmetic.
pub trait Watch: Send {
    /// Looks at the next frame. `changes` takes what it means, in order.
    fn push(&mut self, frame: &Frame, changes: &mut Vec<AlarmChange>);

    /// Forgets the timeline: the next frame may show anything at any time. Ends what is raised.
    fn restart(&mut self, changes: &mut Vec<AlarmChange>);

    /// Returns what makes the watch itself blind at the moment, for the camera's health.
    fn condition(&self) -> Condition {
        Condition::default()
    }
}

/// What keeps a watch from seeing, as of its newest frame.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Condition {
    /// More motion than it can tell a fall from.
    pub flooded: bool,
    /// The camera's own movement since the frame before, pixels.
    pub shake_px: f64,
}
