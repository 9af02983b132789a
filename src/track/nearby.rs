//! Finds the candidates of one frame that lie in a window, without looking at all the others.

use crate::clock::StreamTime;
use crate::detect::motion::Candidate;

/// Side of a cell, pixels: about the reach of a track's gate.
const CELL_PX: f64 = 64.0;

/// One frame's candidates, sorted into cells.
#[derive(Clone, Debug, Default)]
pub(crate) struct Nearby {
    pub(crate) at: StreamTime,
    pub(crate) candidates: Vec<Candidate>,
    across: usize,
    down: usize,
    /// Where each cell's candidates begin in `order`; one more than there are cells.
    starts: Vec<u16>,
    order: Vec<u16>,
}

/// A window on the picture, pixels.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window {
    pub(crate) left: f64,
    pub(crate) right: f64,
    pub(crate) top: f64,
    pub(crate) bottom: f64,
}

impl Nearby {
    /// Takes in a frame's candidates (at most 65535), reusing the buffers.
    pub(crate) fn read(&mut self, at: StreamTime, candidates: &[Candidate], size_px: (f64, f64)) {
        self.at = at;
        self.candidates.clear();
        self.candidates
            .extend(candidates.iter().take(usize::from(u16::MAX)));
        self.across = cells(size_px.0);
        self.down = cells(size_px.1);
        self.starts.clear();
        self.starts.resize(self.across * self.down + 1, 0);
        for candidate in &self.candidates {
            let cell = self.cell_of(candidate);
            self.starts[cell + 1] += 1;
        }
        for cell in 1..self.starts.len() {
            self.starts[cell] += self.starts[cell - 1];
        }
        self.order.clear();
        self.order.resize(self.candidates.len(), 0);
        for index in (0..self.candidates.len()).rev() {
            let cell = self.cell_of(&self.candidates[index]);
            // Filled from behind: afterwards every start stands at its cell's first.
            self.starts[cell + 1] -= 1;
            let place = usize::from(self.starts[cell + 1]);
            self.order[place] = u16::try_from(index).unwrap_or(u16::MAX);
        }
        // Filling moved every end down to its cell's start; shift them back by one cell.
        let total = u16::try_from(self.candidates.len()).unwrap_or(u16::MAX);
        self.starts.remove(0);
        self.starts.push(total);
    }

    /// Calls `visit` with the index of each candidate whose centre is in `window`.
    pub(crate) fn visit(&self, window: Window, mut visit: impl FnMut(usize, &Candidate)) {
        if self.candidates.is_empty() {
            return;
        }
        let columns = column(window.left, self.across)..=column(window.right, self.across);
        for row in column(window.top, self.down)..=column(window.bottom, self.down) {
            for column in columns.clone() {
                let cell = row * self.across + column;
                let range = usize::from(self.starts[cell])..usize::from(self.starts[cell + 1]);
                for &index in &self.order[range] {
                    let candidate = &self.candidates[usize::from(index)];
                    let (x, y) = (candidate.area.x_px, candidate.area.y_px);
                    let inside = (window.left..=window.right).contains(&x)
                        && (window.top..=window.bottom).contains(&y);
                    if inside {
                        visit(usize::from(index), candidate);
                    }
                }
            }
        }
    }

    fn cell_of(&self, candidate: &Candidate) -> usize {
        column(candidate.area.y_px, self.down) * self.across
            + column(candidate.area.x_px, self.across)
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "pictures are at most some ten thousand pixels wide"
)]
fn cells(size_px: f64) -> usize {
    (size_px / CELL_PX).ceil().max(1.0) as usize
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "clamped to the cells"
)]
fn column(px: f64, count: usize) -> usize {
    ((px / CELL_PX).max(0.0) as usize).min(count - 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::BoxPx;

    #[test]
    fn finds_exactly_what_a_full_search_finds() {
        let candidate = |n: u32| Candidate {
            area: BoxPx {
                x_px: f64::from(n * 7919 % 1280),
                y_px: f64::from(n * 104_729 % 720),
                width_px: 4.0,
                height_px: 4.0,
            },
            mass: 10.0,
            contrast: 5.0,
            strength: 1.0,
            pixels: 4,
        };
        let all: Vec<Candidate> = (0..300).map(candidate).collect();
        let mut nearby = Nearby::default();
        for _ in 0..2 {
            nearby.read(StreamTime::ZERO, &all, (1280.0, 720.0));
        }
        let window = Window {
            left: 300.0,
            right: 520.0,
            top: 100.0,
            bottom: 333.0,
        };
        let mut found = Vec::new();
        nearby.visit(window, |index, _| found.push(index));
        found.sort_unstable();
        let expected: Vec<usize> = (0..all.len())
            .filter(|&index| {
                let area = all[index].area;
                (300.0..=520.0).contains(&area.x_px) && (100.0..=333.0).contains(&area.y_px)
            })
            .collect();
        assert!(!expected.is_empty());
        assert_eq!(found, expected);
    }
}
