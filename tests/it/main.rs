//! One binary for all integration tests: real parts, one module an area.

mod cameras;

mod models;
mod rtsp;
mod tidy;
