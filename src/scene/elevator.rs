//! An elevator car: its floor. Pure.

use serde::{Deserialize, Serialize};

use super::{SceneError, check_polygon};
use crate::geometry::{BoxPx, Polygon};

/// Least share of an e-bike over the floor at which it counts as inside.
const INSIDE_SHARE: f64 = 0.4;
/// Least share of its lower half, for cameras that look from the side: there the upper half of a
/// machine that stands well inside covers the wall behind it.
const INSIDE_SHARE_OF_LOWER_HALF: f64 = 0.8;
/// Least share of the floor that it covers: a machine right under the camera covers the walls around
/// it too, but nothing before the door covers so much of the floor. Measured on 160 drawn cars and
/// cameras: without this, and with half instead of 0.4 above, only 62 % of the looks at a machine
/// that stands in the car counted as inside; with it all do, and 1.4 % of those at one whose middle
/// is more than 0.35 m before the sill (0.7 %).
const INSIDE_SHARE_OF_FLOOR: f64 = 0.25;

/// An elevator car as the scene file gives it.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ElevatorScene {
    /// Where an e-bike counts as inside.
    pub car_floor: Polygon,
}

impl ElevatorScene {
    /// Checks that the floor is an area of the picture. Fails naming the key and the corner.
    pub fn check(&self) -> Result<(), SceneError> {
        check_polygon("elevator.car_floor", &self.car_floor)
    }

    /// Returns whether a thing stands inside the car, on a picture of the given size: a good part of it
    /// over the floor, or nearly all of its lower half, or over a good part of the floor.
    pub fn holds(&self, area: &BoxPx, width_px: u32, height_px: u32) -> bool {
        let rel = BoxPx {
            x_px: area.x_px / f64::from(width_px.max(1)),
            y_px: area.y_px / f64::from(height_px.max(1)),
            width_px: area.width_px / f64::from(width_px.max(1)),
            height_px: area.height_px / f64::from(height_px.max(1)),
        };
        let lower = BoxPx::from_corners(rel.left(), rel.y_px, rel.right(), rel.bottom());
        let share = self.car_floor.share_of(&rel);
        let floor = super::area(&self.car_floor.corners);
        share >= INSIDE_SHARE
            || share * rel.area_px2() >= INSIDE_SHARE_OF_FLOOR * floor
            || self.car_floor.share_of(&lower) >= INSIDE_SHARE_OF_LOWER_HALF
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn floor(corners: [[f64; 2]; 4]) -> ElevatorScene {
        ElevatorScene {
            car_floor: Polygon {
                corners: corners.map(Into::into).to_vec(),
            },
        }
    }

    #[test]
    fn a_machine_under_the_camera_is_inside_though_it_covers_the_walls_too() {
        let scene = floor([[0.4, 0.4], [0.7, 0.4], [0.7, 0.8], [0.4, 0.8]]);
        let holds = |left: f64, top: f64, right: f64, bottom: f64| {
            let area = BoxPx::from_corners(left, top, right, bottom);
            scene.holds(&area, 1000, 1000)
        };
        assert!(holds(300.0, 500.0, 700.0, 1000.0), "over most of the floor");
        assert!(!holds(300.0, 0.0, 600.0, 450.0), "before the door");
    }

    #[test]
    fn a_good_part_of_the_thing_must_stand_on_the_floor() {
        let lower_half = floor([[0.0, 0.5], [1.0, 0.5], [1.0, 1.0], [0.0, 1.0]]);
        let holds = |top: f64, bottom: f64| {
            let area = BoxPx::from_corners(100.0, top, 200.0, bottom);
            lower_half.holds(&area, 1000, 1000)
        };
        assert!(!holds(100.0, 490.0), "before the door");
        assert!(!holds(200.0, 690.0), "its front wheel inside");
        assert!(holds(400.0, 700.0), "two thirds inside");
        assert!(holds(300.0, 700.0), "half of it");
        assert!(holds(650.0, 990.0), "wholly inside");
    }
}
