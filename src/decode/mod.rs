//! From encoded packets to frames whose planes are shared, never copied.

pub mod cutout;
pub mod ffmpeg;
pub mod frame;
pub mod hardware;
pub mod latest;
pub mod past;
mod turned;

pub use cutout::Cutout;
pub use ffmpeg::device::{Device, DeviceError};
pub use ffmpeg::{DecodeError, Decoder, LoopFilter};
pub use frame::{Frame, Plane};
pub use hardware::Hardware;
pub use latest::Latest;
pub use past::Past;
