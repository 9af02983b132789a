//! One binary for all integration tests: real parts, one module an area.

mod cameras;
mod decode;
mod evidence;
mod models;
mod rtsp;
mod tidy;
