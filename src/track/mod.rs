//! The same thing over time. Pure: no I/O, no clock, no async; time comes with the frames.

pub mod accelerating;
mod clutter;
mod nearby;
mod seed;
mod state;
mod usual;
pub mod overlap;
