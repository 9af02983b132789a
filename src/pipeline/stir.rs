//! Whether anything stirs in a picture: a glance that costs microseconds, so that a quiet car costs
//! little. Says nothing of what moves.

use crate::decode::Plane;
use crate::geometry::BoxPx;

/// Cells of the coarse picture.
const COLUMNS: usize = 64;
const ROWS: usize = 36;
/// Pixels looked at in each cell, each way.
const SAMPLES: usize = 4;
/// Change of a cell's mean that counts, in luma steps. The mean of 16 pixels with a noise of 5 steps
/// (a dim car) differs by 1.8 from one glance to the next; this is 3.8 times that.
const CHANGE_MIN: f32 = 7.0;
/// Changed cells that count as motion: a hand; noise alone changes one at most.
const CELLS_MIN: usize = 8;
/// Share of the slow background that is renewed with each glance: it follows in about 4 s.
const RENEWAL: f32 = 0.05;
/// A picture darker than this on average, and flatter, shows nothing.
const DARK_MEAN: f32 = 30.0;
const DARK_SPREAD: f32 = 6.0;
/// Share of the changed cells up to which an area is as it was.
const LIKE_SHARE: f64 = 0.08;

/// A coarse picture of the newest glance, and a slow background of those before.
#[derive(Clone, Debug, Default)]
pub(super) struct Stir {
    /// Mean luma of each cell, row by row; empty before the first glance.
    cells: Vec<f32>,
    background: Vec<f32>,
}

impl Stir {
    /// Looks at the next picture; returns whether anything moved since the last glance or stands
    /// where it did not use to. The first glance counts as motion.
    /// `steps` is the time since then in [`GLANCE`]s.
    pub(super) fn glance(&mut self, luma: Plane<'_>, steps: i32) -> bool {
        let cells = cells(luma);
        let moved = self.is_other(&cells);
        if self.background.is_empty() {
            self.background.clone_from(&cells);
        }
        let share = if steps > 1 {
            1.0 - (1.0 - RENEWAL).powi(steps)
        } else {
            RENEWAL
        };
        for (slow, new) in self.background.iter_mut().zip(&cells) {
            *slow += share * (new - *slow);
        }
        self.cells = cells;
        moved
    }

    /// Returns whether the picture shows what the newest glance and those before it showed.
    pub(super) fn is_still(&self, luma: Plane<'_>) -> bool {
        !self.is_other(&cells(luma))
    }

    fn is_other(&self, cells: &[f32]) -> bool {
        let is_other = |before: &[f32]| {
            let changed = changed(cells, before).filter(|changed| *changed);
            changed.count() >= CELLS_MIN
        };
        self.cells.is_empty() || is_other(&self.cells) || is_other(&self.background)
    }

    /// Returns whether the newest picture is too dark to see anything on it.
    pub(super) fn is_dark(&self) -> bool {
        let mean = mean(&self.cells);
        let spread: f32 = self.cells.iter().map(|cell| (cell - mean).abs()).sum();
        !self.cells.is_empty() && mean < DARK_MEAN && spread < DARK_SPREAD * self.cells.len() as f32
    }

    /// Returns whether an area of the picture is as it was `then`, whatever the light does to the
    /// whole of it.
    pub(super) fn is_like(&self, then: &Self, area: &BoxPx, width_px: u32, height_px: u32) -> bool {
        if self.cells.is_empty() || then.cells.is_empty() {
            return false;
        }
        let cell_width = f64::from(width_px) / COLUMNS as f64;
        let cell_height = f64::from(height_px) / ROWS as f64;
        let (mut inside, mut different) = (0_u32, 0_u32);
        for (index, changed) in changed(&self.cells, &then.cells).enumerate() {
            let x = ((index % COLUMNS) as f64 + 0.5) * cell_width;
            let y = ((index / COLUMNS) as f64 + 0.5) * cell_height;
            if (area.left()..=area.right()).contains(&x)
                && (area.top()..=area.bottom()).contains(&y)
            {
                inside += 1;
                different += u32::from(changed);
            }
        }
        inside > 0 && f64::from(different) <= LIKE_SHARE * f64::from(inside)
    }
}

/// Tells for each cell whether it changed by more than the picture as a whole did.
fn changed<'a>(new: &'a [f32], old: &'a [f32]) -> impl Iterator<Item = bool> + 'a {
    let shift = mean(new) - mean(old);
    let cells = new.iter().zip(old);
    cells.map(move |(new, old)| (new - old - shift).abs() > CHANGE_MIN)
}

fn mean(cells: &[f32]) -> f32 {
    cells.iter().sum::<f32>() / cells.len().max(1) as f32
}

fn cells(luma: Plane<'_>) -> Vec<f32> {
    let place = |index: usize, count: usize, length: usize| (2 * index + 1) * length / (2 * count);
    let mut cells = vec![0.0; COLUMNS * ROWS];
    for sample_row in 0..ROWS * SAMPLES {
        let row = luma.row(place(sample_row, ROWS * SAMPLES, luma.height_px));
        let line = &mut cells[sample_row / SAMPLES * COLUMNS..][..COLUMNS];
        for sample in 0..COLUMNS * SAMPLES {
            let value = row[place(sample, COLUMNS * SAMPLES, luma.width_px)];
            line[sample / SAMPLES] += f32::from(value);
        }
    }
    for cell in &mut cells {
        *cell /= (SAMPLES * SAMPLES) as f32;
    }
    cells
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::StreamTime;
    use crate::decode::Frame;

    /// A picture of 320 x 180 with a pattern, noise of the given seed, a light and a square thing.
    fn picture(seed: u32, light: i32, thing: Option<usize>) -> Frame {
        let mut state = seed.wrapping_mul(2_654_435_761) | 1;
        let mut luma = Vec::with_capacity(320 * 180);
        for index in 0..320 * 180_usize {
            let (x, y) = (index % 320, index / 320);
            // Marsaglia's xorshift.
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            // The sum of four bytes' worth: a standard deviation of about 5.
            let noise = state
                .to_be_bytes()
                .iter()
                .map(|b| i32::from(b % 9) - 4)
                .sum::<i32>();
            let pattern = if (x / 40 + y / 30) % 2 == 0 { 90 } else { 150 };
            let on_thing =
                thing.is_some_and(|left| (left..left + 60).contains(&x) && (80..160).contains(&y));
            let value = if on_thing { 40 } else { pattern };
            luma.push(u8::try_from((value + noise + light).clamp(0, 255)).expect("clamped"));
        }
        Frame::from_luma(StreamTime::ZERO, 320, 180, luma)
    }

    #[test]
    fn noise_and_light_are_no_motion() {
        let mut stir = Stir::default();
        assert!(
            stir.glance(picture(0, 0, None).luma(), 1),
            "the first glance"
        );
        for seed in 1..100 {
            let light = if seed > 50 { 60 } else { 0 };
            assert!(
                !stir.glance(picture(seed, light, None).luma(), 1),
                "glance {seed}"
            );
        }
    }

    #[test]
    fn a_thing_that_appears_stirs_and_settles() {
        let mut stir = Stir::default();
        stir.glance(picture(0, 0, None).luma(), 1);
        assert!(stir.glance(picture(1, 0, Some(100)).luma(), 1));
        assert!(
            stir.glance(picture(2, 0, Some(100)).luma(), 1),
            "it did not use to be there"
        );
        let settled = (3..120).position(|seed| !stir.glance(picture(seed, 0, Some(100)).luma(), 1));
        assert!(settled.is_some(), "within 24 s");
    }

    #[test]
    fn an_area_is_as_it_was_until_the_thing_in_it_leaves() {
        let area = BoxPx::from_corners(100.0, 80.0, 160.0, 160.0);
        let mut then = Stir::default();
        then.glance(picture(0, 0, Some(100)).luma(), 1);
        let mut now = then.clone();
        now.glance(picture(1, 30, Some(100)).luma(), 1);
        assert!(now.is_like(&then, &area, 320, 180), "a lamp more");
        now.glance(picture(2, 0, Some(130)).luma(), 1);
        assert!(!now.is_like(&then, &area, 320, 180), "it moved");
        now.glance(picture(3, 0, None).luma(), 1);
        assert!(!now.is_like(&then, &area, 320, 180), "it left");
    }

    #[test]
    fn only_a_black_picture_is_dark() {
        let mut stir = Stir::default();
        assert!(!stir.is_dark());
        stir.glance(picture(0, 0, None).luma(), 1);
        assert!(!stir.is_dark());
        stir.glance(
            Frame::from_luma(StreamTime::ZERO, 64, 36, vec![18; 64 * 36]).luma(),
            1,
        );
        assert!(stir.is_dark());
    }

    #[test]
    fn the_smallest_picture_is_looked_at() {
        let mut stir = Stir::default();
        assert!(stir.glance(Frame::from_luma(StreamTime::ZERO, 1, 1, vec![50]).luma(), 1));
        assert!(!stir.glance(Frame::from_luma(StreamTime::ZERO, 1, 1, vec![50]).luma(), 1));
    }
}
