//! What is on a frame, or on a few consecutive ones.

pub mod boxes;
pub mod ebike;
pub mod motion;
pub mod session;
pub mod tensor;
