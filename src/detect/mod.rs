//! What is on a frame, or on a few consecutive ones.

mod inference;
mod pool;
mod wide;
pub mod session;
pub mod models;
pub mod tensor;
pub mod view;
pub mod boxes;
pub mod ebike;
pub mod motion;

pub use inference::{Inference, Provider};
pub use models::Models;
pub use session::{Runtime, Session, SessionError};
