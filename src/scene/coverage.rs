//! What of a building a scene covers: each floor's share that is in the picture and outside the
//! masks, each opening with its floor, and the gaps. Pure.
//!
//! Never guesses: without two floor lines no floor is known, and nothing counts as covered.

use serde::Serialize;

use super::Scene;
use super::facade::{FacadeMap, FacadeScene};
use crate::geometry::{BoxPx, Point, Polygon};

/// The lowest floor whose windows and openings all must be watched (indicator 14 of the acceptance
/// table).
pub const LOWEST_FLOOR: i32 = 3;

/// Least share of a floor in the picture and outside the masks at which it counts as watched.
const WATCHED_SHARE: f64 = 0.9;
/// Most of an opening that a mask may hide while it counts as watched.
const HIDDEN_SHARE: f64 = 0.1;
/// A floor is looked at in this many columns and rows.
const COLUMNS: u32 = 24;
const ROWS: u32 = 6;
/// The picture's size on which it is computed; shares do not depend on it.
const WIDTH_PX: u32 = 1600;
const HEIGHT_PX: u32 = 900;

/// What a scene covers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, utoipa::ToSchema)]
pub struct Coverage {
    /// From the first floor on; empty where floors are unknown.
    pub floors: Vec<FloorCoverage>,
    /// Openings on floor 3 and above, and how many of them are watched.
    pub openings: usize,
    pub openings_watched: usize,
    /// What is missing on floor 3 and above, from below.
    pub gaps: Vec<Gap>,
    /// The car floor's share of the picture, 0..1; 0 where none is drawn.
    pub car_floor_share: f64,
}

/// One floor.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, utoipa::ToSchema)]
pub struct FloorCoverage {
    pub floor: i32,
    /// Shares of the floor, 0..1: inside the picture, and of those also outside the masks.
    pub in_picture: f64,
    pub watched: f64,
    pub openings: usize,
}

/// Floors in a row that lack the same.
#[derive(Clone, Debug, PartialEq, Serialize, utoipa::ToSchema)]
pub struct Gap {
    pub reason: GapReason,
    pub from_floor: i32,
    pub to_floor: i32,
    /// The openings that are hidden, as numbers in the scene's list, from 0.
    pub openings: Vec<usize>,
}

/// Why something is not covered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum GapReason {
    /// The floor lies outside the picture.
    OutsidePicture,
    /// Masks hide the floor.
    Masked,
    /// Openings are drawn, but none on this floor.
    NoOpenings,
    /// A mask hides an opening.
    OpeningMasked,
    /// There are fewer than two floor lines.
    NoFloorLines,
}

impl Scene {
    /// Returns what this scene covers. The scene has been checked.
    pub fn coverage(&self) -> Coverage {
        match (&self.facade, &self.elevator) {
            (Some(facade), _) => of_facade(facade),
            (None, Some(elevator)) => Coverage {
                car_floor_share: super::area(&elevator.car_floor.corners),
                ..Coverage::default()
            },
            (None, None) => Coverage::default(),
        }
    }
}

fn of_facade(facade: &FacadeScene) -> Coverage {
    let Some(map) = facade.map(WIDTH_PX, HEIGHT_PX) else {
        let gap = gap(
            GapReason::NoFloorLines,
            LOWEST_FLOOR.min(facade.floors),
            facade.floors,
        );
        return Coverage {
            gaps: vec![gap],
            ..Coverage::default()
        };
    };
    let openings: Vec<Opening> = facade
        .openings
        .iter()
        .map(|opening| Opening::new(facade, &map, opening))
        .collect();
    let on = |floor: i32| {
        openings
            .iter()
            .filter(move |opening| opening.floor == floor)
    };
    let floors: Vec<FloorCoverage> = (1..=facade.floors)
        .map(|floor| floor_coverage(facade, &map, floor, on(floor).count()))
        .collect();
    let wanted = || {
        openings
            .iter()
            .filter(|opening| opening.floor >= LOWEST_FLOOR)
    };
    Coverage {
        openings: wanted().count(),
        openings_watched: wanted().filter(|opening| opening.is_watched).count(),
        gaps: gaps(&floors, &openings),
        floors,
        car_floor_share: 0.0,
    }
}

struct Opening {
    floor: i32,
    is_watched: bool,
}

impl Opening {
    fn new(facade: &FacadeScene, map: &FacadeMap, opening: &Polygon) -> Self {
        let area = around(opening);
        let middle = area.centre().to_px(WIDTH_PX, HEIGHT_PX);
        let floor = map.floor_of(map.height_m(middle)).floor();
        let hidden: f64 = facade.masks.iter().map(|mask| mask.share_of(&area)).sum();
        Self {
            #[expect(
                clippy::cast_possible_truncation,
                reason = "clamped to the floors there are"
            )]
            floor: floor.clamp(1.0, f64::from(facade.floors)) as i32,
            is_watched: hidden <= HIDDEN_SHARE,
        }
    }
}

/// Returns the upright box around a polygon.
fn around(polygon: &Polygon) -> BoxPx {
    let start = (f64::MAX, f64::MAX, f64::MIN, f64::MIN);
    let (left, top, right, bottom) = polygon.corners.iter().fold(start, |all, corner| {
        (
            all.0.min(corner.x),
            all.1.min(corner.y),
            all.2.max(corner.x),
            all.3.max(corner.y),
        )
    });
    BoxPx::from_corners(left, top, right, bottom)
}

/// Looks at a grid of places on one floor.
fn floor_coverage(
    facade: &FacadeScene,
    map: &FacadeMap,
    floor: i32,
    openings: usize,
) -> FloorCoverage {
    let (mut in_picture, mut watched) = (0_u32, 0_u32);
    for row in 0..ROWS {
        let level = f64::from(floor) + (f64::from(row) + 0.5) / f64::from(ROWS);
        let Some((left, right)) = facade.reach(level) else {
            continue;
        };
        for column in 0..COLUMNS {
            let share = (f64::from(column) + 0.5) / f64::from(COLUMNS);
            let x = left + share * (right - left);
            let Some(y) = y_of(map, x, level) else {
                continue;
            };
            in_picture += 1;
            let place = Point::new(x, y);
            watched += u32::from(!facade.masks.iter().any(|mask| mask.contains(place)));
        }
    }
    let all = f64::from(ROWS * COLUMNS);
    FloorCoverage {
        floor,
        in_picture: f64::from(in_picture) / all,
        watched: f64::from(watched) / all,
        openings,
    }
}

/// Returns the relative y at which `level` is seen at the relative `x`; none outside the picture.
fn y_of(map: &FacadeMap, x: f64, level: f64) -> Option<f64> {
    if !(0.0..=1.0).contains(&x) {
        return None;
    }
    let at = |y: f64| map.floor_of(map.height_m(Point::new(x, y).to_px(WIDTH_PX, HEIGHT_PX)));
    let (mut high, mut low) = (0.0, 1.0);
    if level > at(high) || level < at(low) {
        return None;
    }
    // Heights fall with y over the picture: 10 halvings find it to a pixel.
    for _ in 0..10 {
        let middle = f64::midpoint(high, low);
        if at(middle) > level {
            high = middle;
        } else {
            low = middle;
        }
    }
    Some(f64::midpoint(high, low))
}

fn gaps(floors: &[FloorCoverage], openings: &[Opening]) -> Vec<Gap> {
    let mut gaps: Vec<Gap> = Vec::new();
    for floor in floors.iter().filter(|floor| floor.floor >= LOWEST_FLOOR) {
        let hidden = openings.iter().enumerate();
        let hidden: Vec<usize> = hidden
            .filter(|(_, opening)| opening.floor == floor.floor && !opening.is_watched)
            .map(|(index, _)| index)
            .collect();
        let outside = 1.0 - floor.in_picture;
        let masked = floor.in_picture - floor.watched;
        let reason = if floor.watched < WATCHED_SHARE {
            if outside >= masked {
                GapReason::OutsidePicture
            } else {
                GapReason::Masked
            }
        } else if !hidden.is_empty() {
            GapReason::OpeningMasked
        } else if !openings.is_empty() && floor.openings == 0 {
            GapReason::NoOpenings
        } else {
            continue;
        };
        match gaps.last_mut() {
            Some(last) if last.reason == reason && last.to_floor == floor.floor - 1 => {
                last.to_floor = floor.floor;
                last.openings.extend(hidden);
            }
            _ => gaps.push(Gap {
                openings: hidden,
                ..gap(reason, floor.floor, floor.floor)
            }),
        }
    }
    gaps
}

fn gap(reason: GapReason, from_floor: i32, to_floor: i32) -> Gap {
    Gap {
        reason,
        from_floor,
        to_floor,
        openings: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scene::facade::FloorLine;

    /// Ten floors, each a tenth of the picture, over its whole width.
    fn scene() -> FacadeScene {
        let line = |floor: i32| {
            let y = 1.0 - f64::from(floor - 1) / 10.0;
            FloorLine {
                floor,
                left: Point::new(0.1, y),
                right: Point::new(0.9, y),
            }
        };
        FacadeScene {
            floors: 10,
            storey_height_m: 3.0,
            floor_lines: vec![line(1), line(5), line(10)],
            masks: Vec::new(),
            openings: Vec::new(),
        }
    }

    fn block(left: f64, top: f64, right: f64, bottom: f64) -> Polygon {
        let corners = [[left, top], [right, top], [right, bottom], [left, bottom]];
        Polygon {
            corners: corners.map(Into::into).to_vec(),
        }
    }

    fn coverage(facade: FacadeScene) -> Coverage {
        let scene = Scene {
            facade: Some(facade),
            elevator: None,
        };
        assert_eq!(scene.check(), Ok(()));
        scene.coverage()
    }

    #[test]
    fn a_facade_that_fills_the_picture_is_covered_whole() {
        let found = coverage(scene());
        assert_eq!(found.floors.len(), 10);
        assert!(found.floors.iter().all(|floor| floor.watched > 0.95));
        assert_eq!(found.gaps, []);
    }

    #[test]
    fn floors_beyond_the_picture_and_under_masks_are_named() {
        let mut higher = scene();
        higher.floors = 14;
        // A tree before floors 3 and 4.
        higher.masks = vec![block(0.0, 0.6, 0.7, 0.8)];
        let found = coverage(higher);
        assert_eq!(
            found.gaps,
            [
                gap(GapReason::Masked, 3, 4),
                gap(GapReason::OutsidePicture, 11, 14)
            ]
        );
        let third = found.floors[2];
        assert!((third.watched - 0.25).abs() < 0.05, "{third:?}");
    }

    #[test]
    fn each_opening_belongs_to_a_floor_and_a_mask_that_hides_it_is_told() {
        let mut windows = scene();
        for floor in 1..=9 {
            let top = 1.0 - f64::from(floor) / 10.0 + 0.02;
            windows.openings.push(block(0.3, top, 0.35, top + 0.05));
        }
        windows.masks = vec![block(0.29, 0.5, 0.36, 0.6)];
        let found = coverage(windows);
        assert_eq!((found.openings, found.openings_watched), (7, 6));
        let hidden = Gap {
            openings: vec![4],
            ..gap(GapReason::OpeningMasked, 5, 5)
        };
        assert_eq!(found.gaps, [hidden, gap(GapReason::NoOpenings, 10, 10)]);
    }

    #[test]
    fn without_floor_lines_nothing_is_known() {
        let mut blank = scene();
        blank.floor_lines.clear();
        let found = coverage(blank);
        assert_eq!(found.floors, []);
        assert_eq!(found.gaps, [gap(GapReason::NoFloorLines, 3, 10)]);
    }
}
