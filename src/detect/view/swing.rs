//! How far the whole picture swings about its place, from profiles of its rows and columns.
//!
//! Compared with a slow mean of the profiles, not with the frame before: a pole that sways once
//! a second moves little from frame to frame and far in all.

use std::collections::VecDeque;

use super::SampledRows;
use crate::clock::StreamTime;
use crate::decode::Frame;

/// How far a swing is searched, pixels each way.
const REACH_PX: usize = 16;

/// Upright strips whose rows are summed, and their width: two cache lines a row in all.
const STRIPS: usize = 4;
const STRIP_PX: usize = 32;

/// Looks that the mean profile remembers: 10 s.
const MEMORY: f32 = 50.0;

/// Seconds of looks that the root mean square is taken over, and their number at least.
const WINDOW_S: f64 = 2.4;
const WINDOW_MIN: usize = 8;

/// Standing still wins unless a shift fits clearly better: flat pictures fit everywhere.
const CLEARLY: f32 = 0.7;

/// A picture's swing so far.
#[derive(Debug, Default)]
pub(super) struct Swing {
    columns: Profile,
    rows: Profile,
    scratch: Vec<f32>,
    sums: Vec<u32>,
    /// At most the looks of `WINDOW_S`.
    places: VecDeque<(StreamTime, f64, f64)>,
}

/// The mean of a profile's steps from one pixel to the next: light changes leave them alone.
#[derive(Debug, Default)]
struct Profile {
    mean: Vec<f32>,
    looks: f32,
}

impl Swing {
    /// Takes in a picture and returns the root mean square of its swing, once enough were seen.
    pub(super) fn rms_px(
        &mut self,
        rows: &SampledRows,
        frame: &Frame,
        now: StreamTime,
    ) -> Option<f64> {
        self.sum_columns(rows);
        let x = self.columns.place(&self.scratch);
        self.sum_rows(frame);
        let y = self.rows.place(&self.scratch);
        self.places.push_back((now, x, y));
        while let Some((at, _, _)) = self.places.front()
            && now.secs_since(*at) > WINDOW_S
        {
            self.places.pop_front();
        }
        if self.places.len() < WINDOW_MIN {
            return None;
        }
        let count = self.places.len() as f64;
        let mean = |pick: fn(&(StreamTime, f64, f64)) -> f64| {
            self.places.iter().map(pick).sum::<f64>() / count
        };
        let (mean_x, mean_y) = (mean(|place| place.1), mean(|place| place.2));
        let off2 = |place: &(StreamTime, f64, f64)| {
            (place.1 - mean_x).powi(2) + (place.2 - mean_y).powi(2)
        };
        Some((self.places.iter().map(off2).sum::<f64>() / count).sqrt())
    }

    #[expect(clippy::cast_precision_loss, reason = "sums of some hundred bytes")]
    fn sum_columns(&mut self, rows: &SampledRows) {
        self.sums.clear();
        self.sums.resize(rows.width_px, 0);
        let mut count = 0_u32;
        for row in rows.bytes.chunks_exact(rows.width_px.max(1)) {
            for (sum, byte) in self.sums.iter_mut().zip(row) {
                *sum += u32::from(*byte);
            }
            count += 1;
        }
        let share = 1.0 / count.max(1) as f32;
        self.scratch.clear();
        let steps = self.sums.windows(2);
        self.scratch
            .extend(steps.map(|two| (two[1] as f32 - two[0] as f32) * share));
    }

    #[expect(clippy::cast_precision_loss, reason = "sums of some hundred bytes")]
    fn sum_rows(&mut self, frame: &Frame) {
        let luma = frame.luma();
        let width = STRIP_PX.min(luma.width_px);
        let starts: [usize; STRIPS] = std::array::from_fn(|n| {
            ((2 * n + 1) * luma.width_px / (2 * STRIPS)).saturating_sub(width / 2)
        });
        self.sums.clear();
        for y in 0..luma.height_px {
            let row = luma.row(y);
            let strip = |start: &usize| &row[*start..(*start + width).min(row.len())];
            let strips = starts.iter().flat_map(strip);
            self.sums.push(strips.map(|byte| u32::from(*byte)).sum());
        }
        let share = 1.0 / (STRIPS * width).max(1) as f32;
        self.scratch.clear();
        let steps = self.sums.windows(2);
        self.scratch
            .extend(steps.map(|two| (two[1] as f32 - two[0] as f32) * share));
    }
}

impl Profile {
    /// Returns where the profile stands relative to the mean, pixels, and adds it to the mean.
    fn place(&mut self, seen: &[f32]) -> f64 {
        if self.mean.len() != seen.len() {
            self.mean = seen.to_vec();
            self.looks = 1.0;
            return 0.0;
        }
        let shift = shift(&self.mean, seen);
        self.looks = (self.looks + 1.0).min(MEMORY);
        let rate = 1.0 / self.looks;
        for (mean, seen) in self.mean.iter_mut().zip(seen) {
            *mean += (seen - *mean) * rate;
        }
        shift
    }
}

/// Returns the shift that lays `seen` over `mean` best, to a fraction of a pixel; 0 where none does.
fn shift(mean: &[f32], seen: &[f32]) -> f64 {
    if mean.len() < 8 * REACH_PX {
        return 0.0;
    }
    let middle = &mean[REACH_PX..mean.len() - REACH_PX];
    let mut costs = [0.0_f32; 2 * REACH_PX + 1];
    for (offset, cost) in costs.iter_mut().enumerate() {
        let there = &seen[offset..offset + middle.len()];
        *cost = middle
            .iter()
            .zip(there)
            .map(|(a, b)| (a - b) * (a - b))
            .sum();
    }
    let best = (0..costs.len())
        .min_by(|a, b| costs[*a].total_cmp(&costs[*b]))
        .unwrap_or(REACH_PX);
    if costs[best] > CLEARLY * costs[REACH_PX] || best == 0 || best == costs.len() - 1 {
        return 0.0;
    }
    let (left, here, right) = (costs[best - 1], costs[best], costs[best + 1]);
    let bend = left - 2.0 * here + right;
    let part = if bend > 0.0 {
        (0.5 * (left - right) / bend).clamp(-0.5, 0.5)
    } else {
        0.0
    };
    best as f64 - REACH_PX as f64 + f64::from(part)
}
