//! How densely candidates lie here, lately: what a track's luck is measured against.
//!
//! Candidates teach the density only after a delay, so that a fall does not count against itself;
//! what is there this very moment is taken from a coarse count over the last half second, so that a
//! gust or a shower that just began counts at once.

use std::collections::VecDeque;

use crate::geometry::Point;

/// Side of a cell of the long-term density, pixels.
const CELL_PX: f64 = 32.0;

/// Side of a cell of the momentary density, pixels.
const COARSE_PX: f64 = 160.0;

/// Time over which the long-term density fades, seconds.
const MEMORY_S: f64 = 8.0;

/// Time over which the momentary density fades, seconds.
const MOMENT_S: f64 = 0.5;

/// Age at which candidates begin to count in the long-term density, seconds.
const DELAY_S: f64 = 1.5;

/// Places that wait to be counted at most; beyond it the oldest count early.
const WAITING_MAX: usize = 32_768;

/// Density at the quietest, candidates a pixel and frame: one every ten frames on 1080p.
const FLOOR_PER_PX2: f64 = 5e-8;

/// The density of candidates over the picture.
#[derive(Debug)]
pub(crate) struct Clutter {
    fine: Grid,
    coarse: Grid,
    waiting: VecDeque<Arrival>,
    frames_seen: f64,
}

#[derive(Clone, Copy, Debug)]
enum Arrival {
    Frame { at_s: f64, step_s: f64 },
    Place(Point),
}

impl Clutter {
    /// Returns an even floor of density over a picture of the given size.
    pub(crate) fn new(width_px: f64, height_px: f64) -> Self {
        Self {
            fine: Grid::new(width_px, height_px, CELL_PX),
            coarse: Grid::new(width_px, height_px, COARSE_PX),
            waiting: VecDeque::new(),
            frames_seen: 0.0,
        }
    }

    /// Returns the density around `place`, candidates a square pixel and frame.
    pub(crate) fn density_per_px2(&self, place: Point) -> f64 {
        let lately = self.fine.around(place);
        let now = self.coarse.at(place);
        // Before the first delayed counts arrive only the momentary density is known.
        lately.max(0.5 * now).max(FLOOR_PER_PX2)
    }

    /// Takes in one frame's candidates.
    pub(crate) fn take(&mut self, at_s: f64, step_s: f64, places: impl Iterator<Item = Point>) {
        self.coarse.fade(step_s / MOMENT_S);
        self.frames_seen += 1.0;
        self.waiting.push_back(Arrival::Frame { at_s, step_s });
        let share = (step_s / MOMENT_S).min(1.0);
        for place in places {
            self.coarse.add(place, share);
            self.waiting.push_back(Arrival::Place(place));
        }
        self.count_waiting(at_s);
    }

    fn count_waiting(&mut self, now_s: f64) {
        let mut share = 0.0;
        while let Some(&arrival) = self.waiting.front() {
            match arrival {
                Arrival::Frame { at_s, step_s } => {
                    let early = self.waiting.len() > WAITING_MAX;
                    if now_s - at_s < DELAY_S && !early {
                        break;
                    }
                    share = (step_s / MEMORY_S).min(1.0);
                    self.fine.fade(share);
                }
                Arrival::Place(place) => self.fine.add(place, share),
            }
            self.waiting.pop_front();
        }
    }
}

/// Densities in square cells.
#[derive(Debug)]
struct Grid {
    cell_px: f64,
    across: usize,
    down: usize,
    per_px2: Vec<f64>,
}

impl Grid {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "pictures are at most some ten thousand pixels wide"
    )]
    fn new(width_px: f64, height_px: f64, cell_px: f64) -> Self {
        let across = (width_px / cell_px).ceil().max(1.0) as usize;
        let down = (height_px / cell_px).ceil().max(1.0) as usize;
        Self {
            cell_px,
            across,
            down,
            per_px2: vec![0.0; across * down],
        }
    }

    fn fade(&mut self, share: f64) {
        let kept = 1.0 - share.clamp(0.0, 1.0);
        for value in &mut self.per_px2 {
            *value *= kept;
        }
    }

    fn add(&mut self, place: Point, share: f64) {
        let (column, row) = self.cell(place);
        self.per_px2[row * self.across + column] += share / (self.cell_px * self.cell_px);
    }

    fn at(&self, place: Point) -> f64 {
        let (column, row) = self.cell(place);
        self.per_px2[row * self.across + column]
    }

    /// Returns the mean of the cell and its eight neighbours, or the cell's own where it is higher:
    /// clutter does not end at a cell's edge.
    fn around(&self, place: Point) -> f64 {
        let (column, row) = self.cell(place);
        let mut sum = 0.0;
        let mut count = 0.0;
        for near_row in row.saturating_sub(1)..(row + 2).min(self.down) {
            for near_column in column.saturating_sub(1)..(column + 2).min(self.across) {
                sum += self.per_px2[near_row * self.across + near_column];
                count += 1.0;
            }
        }
        (sum / count).max(self.at(place))
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "clamped to the grid"
    )]
    fn cell(&self, place: Point) -> (usize, usize) {
        let column = (place.x / self.cell_px).max(0.0) as usize;
        let row = (place.y / self.cell_px).max(0.0) as usize;
        (column.min(self.across - 1), row.min(self.down - 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_is_dense_and_the_wall_beside_it_is_not() {
        let mut clutter = Clutter::new(1920.0, 1080.0);
        for frame in 0..500_u32 {
            let spot = f64::from(frame % 7) * 4.0;
            let leaves = [
                Point::new(100.0 + spot, 900.0),
                Point::new(110.0, 905.0 + spot),
            ];
            clutter.take(f64::from(frame) * 0.04, 0.04, leaves.into_iter());
        }
        assert!(clutter.density_per_px2(Point::new(112.0, 912.0)) > 5e-4);
        assert!(clutter.density_per_px2(Point::new(1500.0, 200.0)) <= FLOOR_PER_PX2);
    }
}
