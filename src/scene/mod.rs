//! What a camera looks at, in relative coordinates 0..1, from a scene file. Pure.

pub mod elevator;
pub mod facade;
pub mod coverage;
mod reason;
mod text;

use std::fmt;

use serde::{Deserialize, Serialize};

pub use reason::{Reason, SceneError, SceneProblem};

use crate::geometry::{Point, Polygon};

/// What a camera looks at.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, clap::ValueEnum, utoipa::ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    Facade,
    Elevator,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Facade => "facade",
            Self::Elevator => "elevator",
        })
    }
}

/// A scene file: what one camera looks at.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Scene {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub facade: Option<facade::FacadeScene>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub elevator: Option<elevator::ElevatorScene>,
}

impl Scene {
    /// Checks that the scene can be: polygons inside 0..1, floor lines in order.
    pub fn check(&self) -> Result<(), SceneError> {
        if let Some(facade) = &self.facade {
            facade.check()?;
        }
        if let Some(elevator) = &self.elevator {
            elevator.check()?;
        }
        Ok(())
    }

    /// Checks that the scene is one for a camera of this kind.
    pub fn check_for(&self, kind: Kind) -> Result<(), SceneError> {
        let other = match kind {
            Kind::Facade => self.elevator.as_ref().map(|_| "elevator"),
            Kind::Elevator => self.facade.as_ref().map(|_| "facade"),
        };
        match other {
            Some(key) => Err(SceneError::new(key, Reason::OtherKind, &[&kind])),
            None => self.check(),
        }
    }
}

/// Corners a polygon may have: nobody draws more, and every detection is held against them.
const CORNERS_MAX: usize = 64;

/// Checks that a polygon can be an area of the picture: 3 to 64 corners, all inside 0..1, edges
/// that do not cross. Fails naming `key`, the corner or the edges.
fn check_polygon(key: &str, polygon: &Polygon) -> Result<(), SceneError> {
    let corners = &polygon.corners;
    let count = corners.len();
    if !(3..=CORNERS_MAX).contains(&count) {
        return Err(SceneError::new(
            key,
            Reason::Corners,
            &[&CORNERS_MAX, &count],
        ));
    }
    let outside = |c: &&Point| !((0.0..=1.0).contains(&c.x) && (0.0..=1.0).contains(&c.y));
    if let Some(corner) = corners.iter().find(outside) {
        return Err(SceneError::new(
            key,
            Reason::Outside,
            &[&corner.x, &corner.y],
        ));
    }
    let edge = |index: usize| (corners[index], corners[(index + 1) % count]);
    for first in 0..count {
        // Neighbours share a corner: only edges further on can cross.
        for second in first + 2..count {
            let neighbours = first == 0 && second == count - 1;
            if !neighbours && cross(edge(first), edge(second)) {
                let named: [&dyn fmt::Display; 2] = [&(first + 1), &(second + 1)];
                return Err(SceneError::new(key, Reason::EdgesCross, &named));
            }
        }
    }
    if area(corners) < 1e-6 {
        return Err(SceneError::new(key, Reason::NoArea, &[]));
    }
    Ok(())
}

/// Returns whether two edges meet anywhere but by touching at an end.
fn cross(a: (Point, Point), b: (Point, Point)) -> bool {
    let side = |(from, to): (Point, Point), p: Point| {
        (to.x - from.x) * (p.y - from.y) - (to.y - from.y) * (p.x - from.x)
    };
    side(a, b.0) * side(a, b.1) < 0.0 && side(b, a.0) * side(b, a.1) < 0.0
}

fn area(corners: &[Point]) -> f64 {
    let next = corners.iter().cycle().skip(1);
    let twice: f64 = corners
        .iter()
        .zip(next)
        .map(|(a, b)| a.x * b.y - b.x * a.y)
        .sum();
    twice.abs() / 2.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn polygon(corners: &[[f64; 2]]) -> Polygon {
        Polygon {
            corners: corners.iter().map(|&corner| corner.into()).collect(),
        }
    }

    #[test]
    fn polygons_that_cannot_be_are_refused_by_name() {
        let cases: [(&[[f64; 2]], &str); 5] = [
            (&[[0.1, 0.1], [0.9, 0.9]], "3 to 64 corners, not 2"),
            (&[[0.1, 0.1], [1.2, 0.1], [0.5, 0.9]], "[1.2, 0.1]"),
            (&[[0.1, 0.1], [f64::NAN, 0.1], [0.5, 0.9]], "outside"),
            (
                &[[0.1, 0.1], [0.9, 0.9], [0.9, 0.1], [0.1, 0.9]],
                "corners 1 and 3 cross",
            ),
            (&[[0.1, 0.1], [0.5, 0.5], [0.9, 0.9]], "no area"),
        ];
        for (corners, expected) in cases {
            let error = check_polygon("elevator.car_floor", &polygon(corners)).expect_err(expected);
            let text = error.to_string();
            assert!(
                text.starts_with("elevator.car_floor: ") && text.contains(expected),
                "{text}"
            );
        }
    }

    #[test]
    fn a_star_shaped_floor_is_accepted_either_way_round() {
        let corners = [[0.0, 0.0], [1.0, 0.0], [0.6, 0.5], [1.0, 1.0], [0.0, 1.0]];
        let mut turned = corners;
        turned.reverse();
        for corners in [corners, turned] {
            assert_eq!(
                check_polygon("elevator.car_floor", &polygon(&corners)),
                Ok(())
            );
        }
    }
}
