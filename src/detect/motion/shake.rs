//! How far the whole picture moved between two frames: the camera's own shake.
//!
//! Brightness is summed along every row and every column; the two profiles of one picture laid
//! over those of another give the shift. A falling object is too small to move a profile. Never
//! reports more than its search reaches.

use std::ops::Range;

use crate::decode::Plane;

/// How far it looks in each direction, pixels.
const REACH_PX: usize = 12;

/// Every how many-th row and column is summed: an eighth keeps it under 2 % of the frame's budget.
const STEP: usize = 8;

/// Mean squared difference of two profiles, squared grey levels, under which nothing moved: noise of 4
/// grey levels leaves so much between two means of 135 pixels, half a pixel's shift of a facade about
/// ten times as much. Saves the search on most frames.
const STILL: f64 = 0.25;

/// A picture's brightness along its rows and columns.
#[derive(Clone, Debug, Default)]
pub(crate) struct Profile {
    columns: Vec<f32>,
    rows: Vec<f32>,
    sums: Vec<u32>,
}

/// A shift of the whole picture, pixels.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Shift {
    pub(crate) dx: f64,
    pub(crate) dy: f64,
}

impl Profile {
    /// Begins a picture, reusing the buffers.
    pub(crate) fn begin(&mut self, plane: &Plane<'_>) {
        self.sums.clear();
        self.sums.resize(plane.width_px, 0);
        self.rows.clear();
    }

    /// Takes in the next rows of the picture.
    #[expect(clippy::cast_possible_truncation, reason = "means of bytes")]
    pub(crate) fn read_rows(&mut self, plane: &Plane<'_>, rows: Range<usize>) {
        for y in rows {
            let row = plane.row(y);
            if y % STEP == 0 {
                for (sum, &byte) in self.sums.iter_mut().zip(row) {
                    *sum += u32::from(byte);
                }
            }
            // One 16-byte run in eight of the row: a row's sum must see its detail, not its alias.
            let sum: u32 = row
                .chunks_exact(16)
                .step_by(STEP)
                .map(|run| run.iter().map(|&byte| u32::from(byte)).sum::<u32>())
                .sum();
            let count = (plane.width_px / 16).div_ceil(STEP).max(1) * 16;
            self.rows.push((f64::from(sum) / count as f64) as f32);
        }
    }

    /// Ends the picture, whose rows all were read.
    #[expect(clippy::cast_possible_truncation, reason = "means of bytes")]
    pub(crate) fn end(&mut self) {
        let count = self.rows.len().div_ceil(STEP).max(1);
        self.columns.clear();
        self.columns.extend(
            self.sums
                .iter()
                .map(|&sum| (f64::from(sum) / count as f64) as f32),
        );
    }

    /// Returns where this picture's content stands in `other`, relative to here.
    /// 0 where the pictures hold too little detail to tell.
    pub(crate) fn shift_to(&self, other: &Self) -> Shift {
        Shift {
            dx: shift(&self.columns, &other.columns),
            dy: shift(&self.rows, &other.rows),
        }
    }
}

/// Returns the shift that lays `there` over `here` best, to a fraction of a pixel.
fn shift(here: &[f32], there: &[f32]) -> f64 {
    let reach = REACH_PX;
    if here.len() != there.len() || here.len() < 8 * reach {
        return 0.0;
    }
    let middle = &here[reach..here.len() - reach];
    if difference(middle, &there[reach..reach + middle.len()]) < STILL {
        return 0.0;
    }
    let mut costs = [0.0_f64; 2 * REACH_PX + 1];
    for (offset, cost) in costs.iter_mut().enumerate() {
        *cost = difference(middle, &there[offset..offset + middle.len()]);
    }
    let best = (0..costs.len())
        .min_by(|&a, &b| costs[a].total_cmp(&costs[b]))
        .unwrap_or(reach);
    // Standing still wins unless moving is clearly better: flat pictures fit everywhere.
    if costs[best] > 0.7 * costs[reach] || best == 0 || best == costs.len() - 1 {
        return 0.0;
    }
    let (left, here, right) = (costs[best - 1], costs[best], costs[best + 1]);
    let curve = left - 2.0 * here + right;
    let part = if curve > 0.0 {
        (0.5 * (left - right) / curve).clamp(-0.5, 0.5)
    } else {
        0.0
    };
    best as f64 - reach as f64 + part
}

/// Returns the mean squared difference of two profiles, after taking out their mean difference
/// (a change of light is no shift).
fn difference(here: &[f32], there: &[f32]) -> f64 {
    let count = here.len() as f64;
    let (mut sum, mut squares) = (0.0_f32, 0.0_f32);
    for (&a, &b) in here.iter().zip(there) {
        let away = a - b;
        sum += away;
        squares += away * away;
    }
    let mean = f64::from(sum) / count;
    f64::from(squares) / count - mean * mean
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(dx: usize, dy: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        for y in 0..200_usize {
            for x in 0..200_usize {
                let (x, y) = (x + dx, y + dy);
                bytes.push(if (x / 13) % 2 == (y / 17) % 3 {
                    200
                } else {
                    60
                });
            }
        }
        bytes
    }

    fn profile(bytes: &[u8]) -> Profile {
        let mut profile = Profile::default();
        let plane = Plane {
            data: bytes,
            stride: 200,
            width_px: 200,
            height_px: 200,
        };
        profile.begin(&plane);
        profile.read_rows(&plane, 0..200);
        profile.end();
        profile
    }

    #[test]
    fn finds_how_far_the_picture_moved() {
        let (still, moved) = (profile(&picture(20, 20)), profile(&picture(23, 18)));
        let shift = still.shift_to(&moved);
        assert!((shift.dx + 3.0).abs() < 0.4, "{shift:?}");
        assert!((shift.dy - 2.0).abs() < 0.4, "{shift:?}");
        let none = still.shift_to(&still);
        assert!(none.dx.hypot(none.dy) < 0.1, "{none:?}");
    }

    #[test]
    fn an_empty_wall_does_not_move() {
        let wall = profile(&[90; 200 * 200]);
        assert_eq!(wall.shift_to(&profile(&[93; 200 * 200])), Shift::default());
    }
}
