//! An elevator car: its floor. Pure.

use serde::Deserialize;

use crate::geometry::Polygon;

/// An elevator car as the scene file gives it.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ElevatorScene {
    /// Where an e-bike counts as inside.
    pub car_floor: Polygon,
}
