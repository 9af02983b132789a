//! Version 1 of the API, a file a noun.

pub(super) mod accounts;
pub(super) mod alarms;
pub(super) mod audit;
pub(super) mod cameras;
pub(super) mod checks;
pub(super) mod deliveries;
pub(super) mod evidence;
pub(super) mod exports;
pub(super) mod footage;
pub(super) mod holds;
pub(super) mod reports;
pub(super) mod reviews;
pub(super) mod replays;
pub(super) mod scene;
pub(super) mod session;
pub(super) mod shelves;
pub(super) mod live;
pub(super) mod snapshot;
pub(super) mod stream;
pub(super) mod tokens;
