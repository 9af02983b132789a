//! Plumb watches residential communities through the cameras they already have, and raises an
//! alarm when an object falls from a high-rise or an e-bike is taken into an elevator car.
//!
//! Data flows one way; a stage owns the type it emits, and `use` points upstream only:
//!
//! ```text
//! source    Packet     RTSP or a recording
//! decode    Frame      YUV planes, shared, with their capture time
//! detect    Detection  what is on one frame (or on a few consecutive ones)
//! track     Track      the same thing over time          (pure)
//! scene     Scene      what the camera looks at          (pure)
//! verify    Verdict    the falling-object model over a live track
//! alarm     Alarm      what happened: rules              (pure)
//! evidence  Evidence   clip, pictures, manifest
//! footage   Segment    ordinary video, in a ring on the disk
//! store     rows       SQLite, one transaction an alarm
//! export    Bundle     what leaves the house by a ticket
//! report    Acceptance figures that a community hands in           (pure)
//! deliver   Attempt    durable outbox, signed webhooks
//! http      JSON/pages API, events, metrics, the operators' console
//! ```
//!
//! `auth` knows roles, passwords and secrets, before the store that keeps them; `http` judges each
//! request by them. `audit` makes the log of what was done a chain.
//!
//! `pipeline` joins the stages of one camera; `cli` holds one file a command.

// Base: no stage, usable by all of them.
pub mod clock;
pub mod geometry;
pub mod health;
pub mod id;
pub mod memory;
pub mod metrics;
mod polynomial;

// Who may do what; no stage of the stream.
pub mod auth;
pub mod audit;

// The stream, in its order.
pub mod source;
pub mod decode;
pub mod detect;
pub mod track;
pub mod scene;
pub mod verify;
pub mod alarm;
pub mod evidence;
pub mod footage;
pub mod store;
pub mod export;
pub mod report;
pub mod deliver;
pub mod http;

// What joins them.
pub mod config;
pub mod pipeline;
pub mod cli;
