//! Version 1 of the API: one file a noun.

pub(super) mod alarms;
pub(super) mod cameras;
pub(super) mod deliveries;
pub(super) mod evidence;
pub(super) mod snapshot;
pub(super) mod stream;
