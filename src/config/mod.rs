//! The configuration, checked.

mod scene;

pub use scene::{SceneFileError, read_scene};
