//! One binary for all integration tests: real parts, one module an area.

mod api;
mod cameras;
mod evidence;
mod ebike;
mod fault;
mod models;
mod rtsp;
mod scripted;
mod service;
mod config;
mod decode;
mod tidy;
