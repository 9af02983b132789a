//! A facade: floor lines, masks, and the way between the picture and the facade's plane. Pure.

use serde::Deserialize;

use crate::geometry::{Point, Polygon};

/// A facade as the scene file gives it.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FacadeScene {
    /// Floors of the building, 1..200.
    pub floors: i32,
    /// Height of one storey in metres, 2..6.
    #[serde(default = "default_storey_height_m")]
    pub storey_height_m: f64,
    /// Bottom edges of floors, at least two to know heights.
    #[serde(default)]
    pub floor_lines: Vec<FloorLine>,
    /// Ignored: trees, road.
    #[serde(default)]
    pub masks: Vec<Polygon>,
}

/// The bottom edge of one floor, from its left to its right end.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FloorLine {
    pub floor: i32,
    pub left: Point,
    pub right: Point,
}

fn default_storey_height_m() -> f64 {
    3.0
}
