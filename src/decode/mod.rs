//! From encoded packets to frames whose planes are shared, never copied.

pub mod ffmpeg;
pub mod frame;

pub use ffmpeg::{DecodeError, Decoder};
pub use frame::{Frame, Plane};
