//! One binary for all integration tests: real parts, one module an area.

mod api;
mod audit;
mod browser;
mod bundle;
mod cameras;
mod config;
mod decode;
mod deliver;
mod ebike;
mod escalation;
mod evidence;
mod falling;
mod fault;
mod gates;
mod killed;
mod lists;
mod many;
mod models;
mod replay;
mod rtsp;
mod scripted;
mod service;
mod store;
mod tidy;
mod upgrade;
