//! A facade: floor lines, masks, and the way between the picture and the facade's plane. Pure.
//!
//! Heights are metres above the bottom edge of floor 1. Along any vertical of the picture, height and
//! y are bound by a one-dimensional projective map, fitted to the floor lines; what the lines say
//! beyond that (a taller ground floor, a lens) is interpolated on top. Never invents a scale: with
//! fewer than two floor lines there is no map.

use std::fmt::Display;

use serde::{Deserialize, Serialize};

use super::{Reason, SceneError};
use crate::geometry::{Point, Polygon};

/// Masks a facade may have, and openings: every look at motion is held against the masks, and the
/// largest facade that was drawn has some 40 floors of 20 windows.
const MASKS_MAX: usize = 64;
const OPENINGS_MAX: usize = 1000;

/// A facade as the scene file gives it.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
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
    /// Windows, balconies and other openings, by which it is told what is covered.
    #[serde(default)]
    pub openings: Vec<Polygon>,
}

/// The bottom edge of one floor, from its left to its right end.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct FloorLine {
    pub floor: i32,
    pub left: Point,
    pub right: Point,
}

/// Where the file does not say.
pub(super) const STOREY_HEIGHT_M: f64 = 3.0;

fn default_storey_height_m() -> f64 {
    STOREY_HEIGHT_M
}

impl FloorLine {
    /// Returns the line's y at `x`, going on straight beyond its ends.
    fn y_at(&self, x: f64) -> f64 {
        let share = (x - self.left.x) / (self.right.x - self.left.x);
        self.left.y + share * (self.right.y - self.left.y)
    }

    fn width(&self) -> f64 {
        self.left.distance(self.right)
    }
}

impl FacadeScene {
    /// Checks that this facade can be: sizes in range, lines inside the picture, one for a floor,
    /// higher floors higher up, none crossing; polygons inside the picture with three corners.
    pub fn check(&self) -> Result<(), SceneError> {
        if !(1..=200).contains(&self.floors) {
            return Err(wrong("facade.floors", Reason::Floors, &[&self.floors]));
        }
        if !(2.0..=6.0).contains(&self.storey_height_m) {
            let height_m = self.storey_height_m;
            return Err(wrong(
                "facade.storey_height_m",
                Reason::StoreyHeight,
                &[&height_m],
            ));
        }
        if self.floor_lines.len() == 1 {
            return Err(wrong("facade.floor_lines", Reason::OneLine, &[]));
        }
        for (index, line) in self.floor_lines.iter().enumerate() {
            self.check_line(index, line)?;
        }
        self.check_order()?;
        check_count("facade.masks", self.masks.len(), MASKS_MAX)?;
        for (index, mask) in self.masks.iter().enumerate() {
            let key = format!("facade.masks[{index}]");
            check_polygon(&key, mask)?;
        }
        check_count("facade.openings", self.openings.len(), OPENINGS_MAX)?;
        for (index, opening) in self.openings.iter().enumerate() {
            super::check_polygon(&format!("facade.openings[{index}]"), opening)?;
        }
        Ok(())
    }

    fn check_line(&self, index: usize, line: &FloorLine) -> Result<(), SceneError> {
        let key = format!("facade.floor_lines[{index}]");
        if !(1..=self.floors + 1).contains(&line.floor) {
            let roof = self.floors + 1;
            return Err(wrong(&key, Reason::LineFloor, &[&line.floor, &roof]));
        }
        for (end, point) in [("left", line.left), ("right", line.right)] {
            check_point(&format!("{key}.{end}"), point)?;
        }
        if line.right.x - line.left.x < 0.01 {
            return Err(wrong(&key, Reason::LineShort, &[]));
        }
        Ok(())
    }

    /// Checks that each higher floor's line stands above the lower one's over their common width.
    fn check_order(&self) -> Result<(), SceneError> {
        let mut order: Vec<usize> = (0..self.floor_lines.len()).collect();
        order.sort_by_key(|&index| self.floor_lines[index].floor);
        for pair in order.windows(2) {
            let (lower, upper) = (&self.floor_lines[pair[0]], &self.floor_lines[pair[1]]);
            let key = format!("facade.floor_lines[{}]", pair[1]);
            if lower.floor == upper.floor {
                return Err(wrong(&key, Reason::LineTwice, &[&upper.floor]));
            }
            let from = lower.left.x.min(upper.left.x);
            let to = lower.right.x.max(upper.right.x);
            let above = |x: f64| upper.y_at(x) < lower.y_at(x);
            let reason = match (above(from), above(to)) {
                (true, true) => continue,
                (false, false) => Reason::LineBelow,
                _ => Reason::LinesCross,
            };
            let floors: [&dyn Display; 2] = match reason {
                Reason::LineBelow => [&upper.floor, &lower.floor],
                _ => [&lower.floor, &upper.floor],
            };
            return Err(wrong(&key, reason, &floors));
        }
        Ok(())
    }

    /// Returns how far the drawn lines reach to the left and right at a height of `floor` (whole at
    /// its bottom edge), between and beyond them in proportion; none with fewer than two lines.
    pub fn reach(&self, floor: f64) -> Option<(f64, f64)> {
        let mut lines: Vec<&FloorLine> = self.floor_lines.iter().collect();
        lines.sort_by_key(|line| line.floor);
        let above = lines
            .iter()
            .position(|line| f64::from(line.floor) >= floor)
            .unwrap_or(lines.len());
        let upper = above.clamp(1, lines.len().checked_sub(1).filter(|last| *last > 0)?);
        let (low, high) = (lines[upper - 1], lines[upper]);
        let share = (floor - f64::from(low.floor)) / f64::from(high.floor - low.floor);
        let between = |low: f64, high: f64| low + share * (high - low);
        Some((
            between(low.left.x, high.left.x),
            between(low.right.x, high.right.x),
        ))
    }

    /// Returns the way between picture and facade for pictures of the given size; none with fewer
    /// than two floor lines.
    pub fn map(&self, width_px: u32, height_px: u32) -> Option<FacadeMap> {
        FacadeMap::new(self, width_px, height_px)
    }
}

fn wrong(key: &str, reason: Reason, values: &[&dyn Display]) -> SceneError {
    SceneError::new(key, reason, values)
}

fn check_count(key: &str, count: usize, most: usize) -> Result<(), SceneError> {
    if count <= most {
        return Ok(());
    }
    Err(wrong(key, Reason::TooMany, &[&count, &most]))
}

fn check_point(key: &str, point: Point) -> Result<(), SceneError> {
    let inside = (0.0..=1.0).contains(&point.x) && (0.0..=1.0).contains(&point.y);
    if inside {
        return Ok(());
    }
    Err(wrong(key, Reason::Outside, &[&point.x, &point.y]))
}

fn check_polygon(key: &str, polygon: &Polygon) -> Result<(), SceneError> {
    if polygon.corners.len() < 3 {
        return Err(wrong(key, Reason::FewCorners, &[&polygon.corners.len()]));
    }
    for (index, corner) in polygon.corners.iter().enumerate() {
        check_point(&format!("{key}[{index}]"), *corner)?;
    }
    Ok(())
}

/// Between two columns of the map, pixels: lines are straight, so interpolating is exact enough.
const COLUMN_PX: f64 = 32.0;

/// The way between pixels of one picture size and heights on the facade.
#[derive(Clone, Debug)]
pub struct FacadeMap {
    storey_height_m: f64,
    floors: i32,
    columns: Vec<Column>,
}

/// y = (a + b h) / (1 + c h) along one vertical, h in metres, and what the lines say beyond it.
#[derive(Clone, Debug)]
struct Column {
    a: f64,
    b: f64,
    c: f64,
    /// (height by the map, height by the line), ascending: corrections at the lines.
    at_lines: Vec<(f64, f64)>,
}

impl FacadeMap {
    fn new(scene: &FacadeScene, width_px: u32, height_px: u32) -> Option<Self> {
        let mut lines: Vec<FloorLine> = scene
            .floor_lines
            .iter()
            .map(|line| FloorLine {
                floor: line.floor,
                left: line.left.to_px(width_px, height_px),
                right: line.right.to_px(width_px, height_px),
            })
            .collect();
        lines.sort_by_key(|line| line.floor);
        if lines.len() < 2 {
            return None;
        }
        let heights: Vec<f64> = lines
            .iter()
            .map(|line| f64::from(line.floor - 1) * scene.storey_height_m)
            .collect();
        let mut columns = Vec::new();
        let mut x = 0.0;
        while x < f64::from(width_px) + COLUMN_PX {
            let ys: Vec<f64> = lines.iter().map(|line| line.y_at(x)).collect();
            columns.push(Column::fit(&heights, &ys, convergence(&lines, &heights)));
            x += COLUMN_PX;
        }
        Some(Self {
            storey_height_m: scene.storey_height_m,
            floors: scene.floors,
            columns,
        })
    }

    /// Returns the height of one storey, metres.
    pub fn storey_height_m(&self) -> f64 {
        self.storey_height_m
    }

    /// Returns the number of floors.
    pub fn floors(&self) -> i32 {
        self.floors
    }

    /// Returns the height on the facade seen at `place` (pixels), metres above floor 1's bottom.
    pub fn height_m(&self, place: Point) -> f64 {
        let (left, right, share) = self.columns_at(place.x);
        let low = left.height_m(place.y);
        low + share * (right.height_m(place.y) - low)
    }

    /// Returns pixels a metre of height at `place` (pixels), above 0.
    pub fn px_per_m(&self, place: Point) -> f64 {
        let up = self.height_m(Point::new(place.x, place.y - 2.0));
        let down = self.height_m(Point::new(place.x, place.y + 2.0));
        4.0 / (up - down).max(1e-3)
    }

    /// Returns how fast the scale changes on the way down from `place`: `c` of
    /// y = y0 + px_per_m * z / (1 + c z), z metres fallen.
    pub fn convergence_per_m(&self, place: Point) -> f64 {
        let (left, right, share) = self.columns_at(place.x);
        let at = |column: &Column| {
            let h = column.plain_height_m(place.y);
            -column.c / (1.0 + column.c * h)
        };
        at(left) + share * (at(right) - at(left))
    }

    /// Returns the floor that `height_m` belongs to, as a number whose whole part is the floor
    /// (its bottom edge is .0, the next floor's is the next whole number). Not clamped.
    pub fn floor_of(&self, height_m: f64) -> f64 {
        1.0 + height_m / self.storey_height_m
    }

    fn columns_at(&self, x: f64) -> (&Column, &Column, f64) {
        let last = self.columns.len() - 1;
        let place = (x / COLUMN_PX).clamp(0.0, last as f64);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "clamped to the columns"
        )]
        let index = (place as usize).min(last.saturating_sub(1));
        let right = (index + 1).min(last);
        (
            &self.columns[index],
            &self.columns[right],
            place - index as f64,
        )
    }
}

impl Column {
    /// Fits the map to lines at `heights` seen at `ys`. Two lines say nothing of perspective: then
    /// `convergence` does.
    fn fit(heights: &[f64], ys: &[f64], convergence: f64) -> Self {
        let (a, b, c) = if heights.len() > 2 {
            least_squares(heights, ys)
        } else {
            through_two(heights, ys, convergence)
        };
        let mut column = Self {
            a,
            b,
            c,
            at_lines: Vec::new(),
        };
        column.at_lines = heights
            .iter()
            .zip(ys)
            .map(|(&height, &y)| (column.plain_height_m(y), height))
            .collect();
        // A map that is not monotone over its own lines (lines drawn badly) cannot correct itself.
        if column
            .at_lines
            .windows(2)
            .any(|pair| pair[0].0 >= pair[1].0)
        {
            column.at_lines.clear();
        }
        column
    }

    fn plain_height_m(&self, y: f64) -> f64 {
        let slope = self.c * y - self.b;
        (self.a - y) / if slope.abs() < 1e-9 { 1e-9 } else { slope }
    }

    fn height_m(&self, y: f64) -> f64 {
        let plain = self.plain_height_m(y);
        let (Some(first), Some(last)) = (self.at_lines.first(), self.at_lines.last()) else {
            return plain;
        };
        if plain <= first.0 {
            return plain + first.1 - first.0;
        }
        for pair in self.at_lines.windows(2) {
            let (low, high) = (pair[0], pair[1]);
            if plain <= high.0 {
                let share = (plain - low.0) / (high.0 - low.0);
                return low.1 + share * (high.1 - low.1);
            }
        }
        plain + last.1 - last.0
    }
}

/// Returns `c` as the lines' widths tell it, where their ends follow the building's edges: widths
/// shrink as 1 / (1 + c h). 0 where the widths contradict themselves.
fn convergence(lines: &[FloorLine], heights: &[f64]) -> f64 {
    let last = lines.len() - 1;
    let ratio = lines[0].width() / lines[last].width();
    let (low, high) = (heights[0], heights[last]);
    let c = (ratio - 1.0) / (high - low * ratio).max(1.0);
    if (0.33..=3.0).contains(&ratio) {
        c
    } else {
        0.0
    }
}

fn through_two(heights: &[f64], ys: &[f64], c: f64) -> (f64, f64, f64) {
    let (low, high) = (heights[0], heights[1]);
    let (y_low, y_high) = (ys[0] * (1.0 + c * low), ys[1] * (1.0 + c * high));
    let b = (y_high - y_low) / (high - low);
    (y_low - b * low, b, c)
}

/// Solves y = a + b h - c h y for a, b, c by least squares; a straight map where that is ill-posed.
fn least_squares(heights: &[f64], ys: &[f64]) -> (f64, f64, f64) {
    let h_scale = heights.iter().fold(1.0_f64, |most, h| most.max(h.abs()));
    let y_scale = ys.iter().fold(1.0_f64, |most, y| most.max(y.abs()));
    let mut matrix = [[0.0_f64; 4]; 3];
    for (&h, &y) in heights.iter().zip(ys) {
        let (h, y) = (h / h_scale, y / y_scale);
        let row = [1.0, h, -h * y];
        for i in 0..3 {
            for j in 0..3 {
                matrix[i][j] += row[i] * row[j];
            }
            matrix[i][3] += row[i] * y;
        }
    }
    // A whisper of straightness keeps nearly parallel data from inventing perspective.
    matrix[2][2] += 1e-6 * heights.len() as f64;
    let [a, b, c] = solve(matrix);
    (a * y_scale, b * y_scale / h_scale, c / h_scale)
}

fn solve(mut m: [[f64; 4]; 3]) -> [f64; 3] {
    for pivot in 0..3 {
        let best = (pivot..3)
            .max_by(|&i, &j| m[i][pivot].abs().total_cmp(&m[j][pivot].abs()))
            .unwrap_or(pivot);
        m.swap(pivot, best);
        let head = m[pivot];
        let divisor = if head[pivot].abs() < 1e-12 {
            1e-12
        } else {
            head[pivot]
        };
        for row in (0..3).filter(|&row| row != pivot) {
            let factor = m[row][pivot] / divisor;
            for column in pivot..4 {
                m[row][column] -= factor * head[column];
            }
        }
    }
    std::array::from_fn(|row| m[row][3] / m[row][row])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(floor: i32, left: [f64; 2], right: [f64; 2]) -> FloorLine {
        FloorLine {
            floor,
            left: left.into(),
            right: right.into(),
        }
    }

    fn scene(floor_lines: Vec<FloorLine>) -> FacadeScene {
        FacadeScene {
            floors: 24,
            storey_height_m: 3.0,
            floor_lines,
            masks: Vec::new(),
            openings: Vec::new(),
        }
    }

    /// A camera on the ground that looks up: y of height h, and half the width of the building.
    fn looking_up(h: f64) -> (f64, f64) {
        let depth = 30.0 * 0.9 + h * 0.436;
        let up = h * 0.9 - 30.0 * 0.436;
        (0.5 - 0.9 * up / depth, 9.0 / depth)
    }

    fn seen(floor: i32) -> FloorLine {
        let (y, half) = looking_up(f64::from(floor - 1) * 3.0);
        line(floor, [0.5 - half, y], [0.5 + half, y])
    }

    #[test]
    fn heights_between_and_beyond_the_lines_follow_perspective() {
        for floors in [vec![3, 6, 9], vec![3, 9], vec![2, 3, 4, 5, 6, 7, 8, 9, 10]] {
            let map = scene(floors.iter().map(|&floor| seen(floor)).collect())
                .map(1920, 1080)
                .expect("lines enough");
            for h in [1.0, 7.5, 14.0, 20.0, 28.0] {
                let place = Point::new(0.47, looking_up(h).0).to_px(1920, 1080);
                let found = map.height_m(place);
                assert!(
                    (found - h).abs() < 0.3,
                    "{floors:?}: {h} m was read as {found}"
                );
            }
        }
    }

    #[test]
    fn scale_and_convergence_describe_the_way_down() {
        let map = scene(vec![seen(2), seen(5), seen(9), seen(12)])
            .map(1920, 1080)
            .expect("lines enough");
        let start = Point::new(0.5, looking_up(24.0).0).to_px(1920, 1080);
        let (scale, c) = (map.px_per_m(start), map.convergence_per_m(start));
        let end_y = looking_up(12.0).0 * 1080.0;
        let described = start.y + scale * 12.0 / (1.0 + c * 12.0);
        assert!((described - end_y).abs() < 3.0, "{described} for {end_y}");
    }

    #[test]
    fn a_good_scene_passes_and_bad_ones_name_their_key() {
        assert_eq!(scene(vec![seen(2), seen(7)]).check(), Ok(()));
        let crossing = vec![
            line(3, [0.1, 0.6], [0.9, 0.4]),
            line(4, [0.1, 0.5], [0.9, 0.5]),
        ];
        let upside_down = vec![
            line(3, [0.1, 0.2], [0.9, 0.2]),
            line(4, [0.1, 0.5], [0.9, 0.5]),
        ];
        let outside = vec![line(3, [0.1, 1.2], [0.9, 0.2]), seen(5)];
        let lonely = vec![seen(5)];
        let beyond = vec![seen(5), line(40, [0.1, 0.1], [0.9, 0.1])];
        for (lines, key, word) in [
            (crossing, "facade.floor_lines[1]", "cross"),
            (upside_down, "facade.floor_lines[1]", "below"),
            (outside, "facade.floor_lines[0].left", "outside"),
            (lonely, "facade.floor_lines", "at least two"),
            (beyond, "facade.floor_lines[1]", "not 1 to"),
        ] {
            let error = scene(lines).check().expect_err("a bad scene");
            assert_eq!(error.key, key);
            assert!(error.problem.to_string().contains(word), "{error}");
        }
        let mut masked = scene(Vec::new());
        masked.masks = vec![Polygon {
            corners: vec![[0.0, 0.0].into(), [0.5, 0.0].into(), [0.5, -0.1].into()],
        }];
        assert_eq!(
            masked.check().expect_err("outside").key,
            "facade.masks[0][2]"
        );
    }
}
