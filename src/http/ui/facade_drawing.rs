//! A drawing of the facade on the alarm page: every floor, which of them the scene watches, its
//! openings, the way of the fall, and the floor of origin with its interval. As seen from the front,
//! whatever the camera's angle; every number is written here.

use std::fmt::Write;

use super::texts::Texts;
use crate::alarm::{Origin, TrackPoint};
use crate::geometry::Point;
use crate::scene::facade::{FacadeMap, FacadeScene, FloorLine};

const WIDTH: f64 = 640.0;
const LEFT: f64 = 150.0;
const RIGHT: f64 = 490.0;
const TOP: f64 = 20.0;
const BOTTOM: f64 = 20.0;
/// Of the whole building, where the floors are neither too thin nor too high for it.
const BUILDING: f64 = 440.0;

const GROUND: &str = "#66788a";
const WATCHED: &str = "#2c3641";
const UNWATCHED: &str = "#161c23";
const OPENING: &str = "#8fc4ff";
const SEEN: &str = "#ffd34d";
const ALARM: &str = "#ff6b5e";
const INTERVAL: &str = "#8a3b34";

/// Returns the drawing; none where the floor is unknown or the scene has no floor lines.
pub(super) fn draw(
    t: &Texts,
    origin: &Origin,
    track: &[TrackPoint],
    facade: &FacadeScene,
    size_px: (u32, u32),
) -> Option<String> {
    let floor = origin.floor?;
    let map = facade.map(size_px.0, size_px.1)?;
    let front = Front::new(facade, map, size_px)?;
    let (min, max) = (
        origin.floor_min.unwrap_or(floor),
        origin.floor_max.unwrap_or(floor),
    );
    let mut svg = format!(
        "<svg viewBox=\"0 0 {WIDTH} {:.0}\" role=\"img\" aria-label=\"{}\">",
        front.ground() + BOTTOM,
        t.floor_chart
    );
    front.floors(&mut svg, (min, floor, max));
    front.openings(&mut svg, facade);
    front.labels(&mut svg, t, (min, floor, max));
    front.fall(&mut svg, track);
    let (x, y) = front.place(Point::new(origin.x_px, origin.y_px));
    let _ = write!(
        svg,
        "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"7\" fill=\"none\" stroke=\"{ALARM}\" stroke-width=\"3\"/>\
         <line x1=\"0\" y1=\"{ground:.1}\" x2=\"{WIDTH}\" y2=\"{ground:.1}\" stroke=\"{GROUND}\" stroke-width=\"2\"/></svg>",
        ground = front.ground()
    );
    Some(svg)
}

/// The facade as seen from the front.
struct Front {
    map: FacadeMap,
    size_px: (f64, f64),
    /// By floor, lowest first.
    lines: Vec<FloorLine>,
    floors: i32,
    storey_m: f64,
    /// Of one floor in the drawing.
    high: f64,
}

impl Front {
    fn new(facade: &FacadeScene, map: FacadeMap, size_px: (u32, u32)) -> Option<Self> {
        let mut lines = facade.floor_lines.clone();
        lines.sort_by_key(|line| line.floor);
        let floors = facade.floors.max(1);
        (!lines.is_empty()).then_some(Self {
            map,
            size_px: (f64::from(size_px.0), f64::from(size_px.1)),
            lines,
            floors,
            storey_m: facade.storey_height_m,
            high: (BUILDING / f64::from(floors)).clamp(5.0, 26.0),
        })
    }

    fn ground(&self) -> f64 {
        TOP + f64::from(self.floors) * self.high
    }

    /// Returns where the bottom edge of a floor is drawn.
    fn bottom(&self, floor: i32) -> f64 {
        self.ground() - f64::from(floor - 1) * self.high
    }

    /// Returns where a point of the picture is drawn.
    fn place(&self, at: Point) -> (f64, f64) {
        let (x, y) = (at.x / self.size_px.0, at.y / self.size_px.1);
        let (left, right) = self.edges_at(y);
        let share = ((x - left) / (right - left)).clamp(-0.2, 1.2);
        let floors = self.map.height_m(at) / self.storey_m;
        let drawn_y = self.ground() - floors * self.high;
        (
            LEFT + share * (RIGHT - LEFT),
            drawn_y.clamp(2.0, self.ground()),
        )
    }

    /// Returns the facade's left and right edge at that height of the picture, relative.
    fn edges_at(&self, y: f64) -> (f64, f64) {
        let middle = |line: &FloorLine| f64::midpoint(line.left.y, line.right.y);
        let above = self.lines.iter().position(|line| middle(line) <= y);
        let (low, high) = match above {
            Some(0) | None if self.lines.len() == 1 => (0, 0),
            Some(0) => (0, 1),
            Some(index) => (index - 1, index),
            None => (self.lines.len() - 2, self.lines.len() - 1),
        };
        let (low, high) = (&self.lines[low], &self.lines[high]);
        let span = middle(high) - middle(low);
        let share = if span.abs() < 1e-9 {
            0.0
        } else {
            (y - middle(low)) / span
        };
        let between = |from: f64, to: f64| from + share * (to - from);
        let left = between(low.left.x, high.left.x);
        let right = between(low.right.x, high.right.x);
        (left, right.max(left + 0.01))
    }

    fn floors(&self, svg: &mut String, (min, floor, max): (i32, i32, i32)) {
        let lowest = self.lines.first().map_or(1, |line| line.floor);
        let highest = self.lines.last().map_or(1, |line| line.floor);
        for number in 1..=self.floors {
            let fill = match number {
                number if number == floor => ALARM,
                number if (min..=max).contains(&number) => INTERVAL,
                number if (lowest..=highest).contains(&number) => WATCHED,
                _ => UNWATCHED,
            };
            let _ = write!(
                svg,
                "<rect x=\"{LEFT}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{:.1}\" fill=\"{fill}\" stroke=\"#06090c\"/>",
                self.bottom(number + 1),
                RIGHT - LEFT,
                self.high
            );
        }
        for line in &self.lines {
            let y = self.bottom(line.floor);
            let _ = write!(
                svg,
                "<line x1=\"{:.1}\" y1=\"{y:.1}\" x2=\"{:.1}\" y2=\"{y:.1}\" stroke=\"{GROUND}\"/>",
                LEFT - 8.0,
                RIGHT + 8.0
            );
        }
    }

    fn openings(&self, svg: &mut String, facade: &FacadeScene) {
        for opening in &facade.openings {
            let corners = opening.corners.iter().map(|corner| {
                let at = Point::new(corner.x * self.size_px.0, corner.y * self.size_px.1);
                let (x, y) = self.place(at);
                format!("{x:.1},{y:.1}")
            });
            let _ = write!(
                svg,
                "<polygon points=\"{}\" fill=\"none\" stroke=\"{OPENING}\" stroke-opacity=\"0.6\"/>",
                corners.collect::<Vec<_>>().join(" ")
            );
        }
    }

    /// Writes the floors' numbers on the left and the interval's on the right.
    fn labels(&self, svg: &mut String, t: &Texts, (min, floor, max): (i32, i32, i32)) {
        let middle =
            |number: i32| f64::midpoint(self.bottom(number), self.bottom(number + 1)) + 4.5;
        // Every number where there is room for it, else every fifth.
        let every = if self.high >= 14.0 { 1 } else { 5 };
        for number in (1..=self.floors).filter(|n| *n == 1 || *n == self.floors || n % every == 0) {
            let _ = write!(
                svg,
                "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{number}</text>",
                LEFT - 14.0,
                middle(number)
            );
        }
        let text = match (min, max) {
            (min, max) if min < max => super::texts::fill(t.floor_between, &[&floor, &min, &max]),
            _ => super::texts::fill(t.floor_exact, &[&floor]),
        };
        let _ = write!(
            svg,
            "<text x=\"{:.1}\" y=\"{:.1}\">◀ {text}</text>",
            RIGHT + 14.0,
            middle(floor.clamp(1, self.floors))
        );
    }

    fn fall(&self, svg: &mut String, track: &[TrackPoint]) {
        for point in track {
            let (x, y) = self.place(Point::new(point.area.x_px, point.area.y_px));
            let _ = write!(
                svg,
                "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"2\" fill=\"{SEEN}\"/>"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::Polygon;
    use crate::http::ui::texts::EN;

    /// A picture of 1000 x 1000 px: 20 floors of 40 px from y = 900 up, 200 to 800 px across.
    fn facade() -> FacadeScene {
        let line = |floor: i32| {
            let y = 0.9 - f64::from(floor - 1) * 0.04;
            FloorLine {
                floor,
                left: Point::new(0.2, y),
                right: Point::new(0.8, y),
            }
        };
        FacadeScene {
            floors: 20,
            storey_height_m: 3.0,
            floor_lines: vec![line(3), line(20), line(10)],
            masks: Vec::new(),
            openings: vec![Polygon {
                corners: vec![
                    Point::new(0.3, 0.5),
                    Point::new(0.35, 0.5),
                    Point::new(0.35, 0.52),
                ],
            }],
        }
    }

    fn origin(floor: Option<i32>) -> Origin {
        Origin {
            x_px: 500.0,
            y_px: 360.0,
            floor,
            floor_min: Some(13),
            floor_max: Some(15),
        }
    }

    fn drawn(scene: &FacadeScene) -> String {
        let drawn = draw(&EN, &origin(Some(14)), &[], scene, (1000, 1000));
        drawn.expect("all is known")
    }

    #[test]
    fn shows_each_floor_the_watched_ones_and_the_interval() {
        let svg = drawn(&facade());
        assert_eq!(svg.matches("<rect").count(), 20);
        assert_eq!(svg.matches(INTERVAL).count(), 2);
        assert_eq!(
            svg.matches(UNWATCHED).count(),
            2,
            "floors 1 and 2 have no line"
        );
        assert_eq!(svg.matches("<polygon").count(), 1);
        assert!(svg.contains("Floor 14 (13 to 15)"), "{svg}");
    }

    #[test]
    fn the_origin_stands_on_its_floor_in_the_middle_of_the_facade() {
        let scene = facade();
        let map = scene.map(1000, 1000).expect("lines");
        let front = Front::new(&scene, map, (1000, 1000)).expect("lines");
        let (x, y) = front.place(Point::new(500.0, 360.0));
        assert!((x - f64::midpoint(LEFT, RIGHT)).abs() < 1.0, "{x}");
        // 540 px above the ground are 13.5 floors.
        assert!(y < front.bottom(14) && y > front.bottom(15), "{y}");
        let (left, _) = front.place(Point::new(200.0, 100.0));
        assert!((left - LEFT).abs() < 1.0);
    }

    #[test]
    fn without_a_floor_or_lines_there_is_no_drawing() {
        let mut scene = facade();
        assert!(draw(&EN, &origin(None), &[], &scene, (1000, 1000)).is_none());
        scene.floor_lines.clear();
        assert!(draw(&EN, &origin(Some(14)), &[], &scene, (1000, 1000)).is_none());
    }
}
