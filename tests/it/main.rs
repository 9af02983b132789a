//! One binary for all integration tests: real parts, one module an area.

mod models;

mod tidy;
