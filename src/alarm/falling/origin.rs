//! Where a fall began: the highest place it was seen or must have been, and the floor. Pure.

use super::fall::GRAVITY;
use super::verdict::Verdict;
use crate::alarm::{Origin, TrackPoint};
use crate::scene::facade::FacadeMap;

/// How far before the facade things fall, metres, two standard deviations: balconies, a throw. A
/// camera that looks up sees them that much higher, times the tangent of its view.
const BEFORE_FACADE_M: f64 = 1.2;

/// Uncertainty of the earliest sighting, pixels, two standard deviations.
const SEEN_PX: f64 = 3.0;

/// Returns the origin of a fall whose earliest point is `earliest` and whose speed there, downwards,
/// is what the verdict's fall says.
pub(crate) fn origin(verdict: &Verdict, earliest: &TrackPoint, map: Option<&FacadeMap>) -> Origin {
    let place = earliest.area.centre();
    let mut origin = Origin {
        x_px: (place.x * 10.0).round() / 10.0,
        y_px: (place.y * 10.0).round() / 10.0,
        floor: None,
        floor_min: None,
        floor_max: None,
    };
    let Some(map) = map else {
        return origin;
    };
    let seen_m = map.height_m(place);
    let speed_m_s = speed_at(verdict, earliest);
    // What it fell before it was first seen: all of it if it was let go, none if it was thrown down.
    let unseen_m = speed_m_s.max(0.0).powi(2) / (2.0 * GRAVITY);
    let slack_m = SEEN_PX / map.px_per_m(place);
    let likely_m = seen_m + unseen_m.min(map.storey_height_m() * 2.0);
    let top = map.floors();
    let floor = |height_m: f64| whole_floor(map.floor_of(height_m), top);
    // Only looking up puts what is before the facade higher; how steeply, perspective tells.
    let steep = (map.convergence_per_m(place).abs() * 20.0).min(1.5);
    origin.floor = Some(floor(likely_m));
    origin.floor_min = Some(floor(seen_m - slack_m - BEFORE_FACADE_M * steep));
    origin.floor_max = Some(floor(seen_m + unseen_m * 1.3 + slack_m));
    origin
}

fn speed_at(verdict: &Verdict, point: &TrackPoint) -> f64 {
    let t_s = point.at.secs_since(verdict.reference);
    let step_s = 0.02;
    (verdict.fall.fallen_m(t_s + step_s) - verdict.fall.fallen_m(t_s - step_s)) / (2.0 * step_s)
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "clamped to the building's floors"
)]
fn whole_floor(floor: f64, top: i32) -> i32 {
    floor.floor().clamp(1.0, f64::from(top)) as i32
}
