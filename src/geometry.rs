//! Points, boxes and polygons, in pixels or in relative coordinates. Pure arithmetic, no pictures.

use serde::{Deserialize, Serialize};

/// A place on a picture. The unit is the caller's: pixels (`_px`) or relative 0..1 (`_rel`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(from = "[f64; 2]", into = "[f64; 2]")]
pub struct Point {
    pub x: f64,
    pub y: f64,
}

impl Point {
    /// Returns the point at `x`, `y`.
    pub const fn new(x: f64, y: f64) -> Self {
        Self { x, y }
    }

    /// Returns this relative point in pixels of a picture of the given size.
    pub fn to_px(self, width_px: u32, height_px: u32) -> Self {
        Self::new(self.x * f64::from(width_px), self.y * f64::from(height_px))
    }

    /// Returns the distance to `other`, in the points' own unit.
    pub fn distance(self, other: Self) -> f64 {
        (self.x - other.x).hypot(self.y - other.y)
    }
}

impl From<[f64; 2]> for Point {
    fn from([x, y]: [f64; 2]) -> Self {
        Self { x, y }
    }
}

impl From<Point> for [f64; 2] {
    fn from(point: Point) -> Self {
        [point.x, point.y]
    }
}

/// An upright box by its centre and size, in full-resolution pixels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct BoxPx {
    pub x_px: f64,
    pub y_px: f64,
    pub width_px: f64,
    pub height_px: f64,
}

impl BoxPx {
    /// Returns the box between the corners (`left`, `top`) and (`right`, `bottom`).
    pub fn from_corners(left: f64, top: f64, right: f64, bottom: f64) -> Self {
        Self {
            x_px: f64::midpoint(left, right),
            y_px: f64::midpoint(top, bottom),
            width_px: right - left,
            height_px: bottom - top,
        }
    }

    /// Returns the centre.
    pub fn centre(&self) -> Point {
        Point::new(self.x_px, self.y_px)
    }

    /// Returns the left edge.
    pub fn left(&self) -> f64 {
        self.x_px - self.width_px / 2.0
    }

    /// Returns the right edge.
    pub fn right(&self) -> f64 {
        self.x_px + self.width_px / 2.0
    }

    /// Returns the upper edge.
    pub fn top(&self) -> f64 {
        self.y_px - self.height_px / 2.0
    }

    /// Returns the lower edge.
    pub fn bottom(&self) -> f64 {
        self.y_px + self.height_px / 2.0
    }

    /// Returns the area in square pixels.
    pub fn area_px2(&self) -> f64 {
        self.width_px.max(0.0) * self.height_px.max(0.0)
    }

    /// Returns the area shared with `other`, in square pixels.
    pub fn overlap_px2(&self, other: &Self) -> f64 {
        let width = self.right().min(other.right()) - self.left().max(other.left());
        let height = self.bottom().min(other.bottom()) - self.top().max(other.top());
        width.max(0.0) * height.max(0.0)
    }

    /// Returns the smallest box that holds this one and `other`.
    pub fn with(&self, other: &Self) -> Self {
        Self::from_corners(
            self.left().min(other.left()),
            self.top().min(other.top()),
            self.right().max(other.right()),
            self.bottom().max(other.bottom()),
        )
    }

    /// Returns intersection over union with `other`, 0..1; 0 when both are empty.
    pub fn iou(&self, other: &Self) -> f64 {
        let overlap = self.overlap_px2(other);
        let union = self.area_px2() + other.area_px2() - overlap;
        if union > 0.0 { overlap / union } else { 0.0 }
    }
}

/// A closed polygon; the last corner joins the first.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Polygon {
    pub corners: Vec<Point>,
}

impl Polygon {
    /// Returns whether `point` lies inside (even-odd rule; the edge itself may go either way).
    pub fn contains(&self, point: Point) -> bool {
        let mut inside = false;
        let mut previous = match self.corners.last() {
            Some(last) => *last,
            None => return false,
        };
        for corner in &self.corners {
            let crosses = (corner.y > point.y) != (previous.y > point.y);
            if crosses {
                let share = (point.y - corner.y) / (previous.y - corner.y);
                if point.x < corner.x + share * (previous.x - corner.x) {
                    inside = !inside;
                }
            }
            previous = *corner;
        }
        inside
    }

    /// Returns the corners in pixels of a picture of the given size.
    pub fn to_px(&self, width_px: u32, height_px: u32) -> Self {
        Self {
            corners: self
                .corners
                .iter()
                .map(|c| c.to_px(width_px, height_px))
                .collect(),
        }
    }

    /// Returns the share of `area` that lies inside, 0..1, sampled on an 8 x 8 grid.
    pub fn share_of(&self, area: &BoxPx) -> f64 {
        const STEPS: u32 = 8;
        let mut inside = 0_u32;
        for row in 0..STEPS {
            for column in 0..STEPS {
                let x = area.left() + area.width_px * (f64::from(column) + 0.5) / f64::from(STEPS);
                let y = area.top() + area.height_px * (f64::from(row) + 0.5) / f64::from(STEPS);
                inside += u32::from(self.contains(Point::new(x, y)));
            }
        }
        f64::from(inside) / f64::from(STEPS * STEPS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn iou_of_half_overlapping_boxes_is_a_third() {
        let a = BoxPx::from_corners(0.0, 0.0, 2.0, 1.0);
        let b = BoxPx::from_corners(1.0, 0.0, 3.0, 1.0);
        assert!((a.iou(&b) - 1.0 / 3.0).abs() < 1e-12);
    }

    #[test]
    fn polygon_contains_its_inside_only() {
        let triangle = Polygon {
            corners: vec![[0.0, 0.0].into(), [4.0, 0.0].into(), [0.0, 4.0].into()],
        };
        assert!(triangle.contains(Point::new(1.0, 1.0)));
        assert!(!triangle.contains(Point::new(3.0, 3.0)));
        assert!(!Polygon::default().contains(Point::new(0.0, 0.0)));
    }

    #[test]
    fn share_of_a_box_across_the_edge_is_half() {
        let left_half = Polygon {
            corners: vec![
                [0.0, 0.0].into(),
                [5.0, 0.0].into(),
                [5.0, 10.0].into(),
                [0.0, 10.0].into(),
            ],
        };
        assert!((left_half.share_of(&BoxPx::from_corners(1.0, 1.0, 9.0, 9.0)) - 0.5).abs() < 1e-9);
    }
}
