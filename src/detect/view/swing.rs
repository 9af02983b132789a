//! How far the whole picture swings about its place, from profiles of its rows and columns.
//!
//! Compared with the same profiles for ten seconds, not with the frame before: a pole that sways
//! once a second moves little from frame to frame and far in all. Six bands each way have a vote,
//! since some see only sky, or the clock and name that the camera writes and that never move.

use std::collections::VecDeque;

use super::{DOWN, ROWS_PER_AREA, SampledRows};
use crate::clock::StreamTime;
use crate::decode::{Frame, Plane};

/// How far a swing is searched, pixels each way.
const REACH_PX: usize = 12;

/// Bands across the picture, for its columns; strips down it, for its rows; a strip's width.
const BANDS: usize = 6;
const BAND_ROWS: usize = DOWN * ROWS_PER_AREA / BANDS;
const STRIP_PX: usize = 32;

/// Looks that are compared with the same profiles: 10 s, in which light changes little.
const ANCHORED: u32 = 50;

/// Sums that run side by side, so that the compiler can use whole registers.
const LANES: usize = 16;

/// Seconds of looks that the root mean square is taken over, and their number at least.
const WINDOW_S: f64 = 2.4;
const WINDOW_MIN: usize = 8;

/// A place must fit this much better than others to be one: flat bands fit everywhere.
const CLEARLY: f32 = 0.7;

/// What matches must be alike as well, and not just less unlike: correlation at the best place.
const ALIKE: f32 = 0.3;

/// Mean squared step of a band that has edges; on a covered lens the encoder's own are far below.
const EDGES: f32 = 0.5;

/// Votes that make a place.
const VOTES_MIN: usize = 2;

/// A picture's swing so far.
#[derive(Debug, Default)]
pub(super) struct Swing {
    across: Axis,
    down: Axis,
    /// At most the looks of `WINDOW_S`.
    places: VecDeque<(StreamTime, f64, f64)>,
}

/// One direction: a profile a band, as steps from one pixel to the next (light leaves those alone).
#[derive(Debug, Default)]
struct Axis {
    anchors: [Vec<f32>; BANDS],
    seen: [Vec<f32>; BANDS],
    /// Where the picture stood when the anchors were taken.
    stood_at: f64,
    looks: u32,
    sums: Vec<u32>,
}

impl Swing {
    /// Takes in a picture and returns the root mean square of its swing, once enough were seen.
    pub(super) fn rms_px(
        &mut self,
        rows: &SampledRows,
        frame: &Frame,
        now: StreamTime,
    ) -> Option<f64> {
        let width = rows.width_px.max(1);
        for band in 0..BANDS {
            let part = &rows.bytes[band * BAND_ROWS * width..][..BAND_ROWS * width];
            self.across.sum_columns(band, part, width);
            self.down.sum_rows(band, &frame.luma());
        }
        self.places
            .push_back((now, self.across.place(), self.down.place()));
        while let Some((at, _, _)) = self.places.front()
            && now.secs_since(*at) > WINDOW_S
        {
            self.places.pop_front();
        }
        (self.places.len() >= WINDOW_MIN).then(|| self.spread_px())
    }

    fn spread_px(&self) -> f64 {
        let count = self.places.len() as f64;
        let mean = |pick: fn(&(StreamTime, f64, f64)) -> f64| {
            self.places.iter().map(pick).sum::<f64>() / count
        };
        let (mean_x, mean_y) = (mean(|place| place.1), mean(|place| place.2));
        let off2 = |place: &(StreamTime, f64, f64)| {
            (place.1 - mean_x).powi(2) + (place.2 - mean_y).powi(2)
        };
        (self.places.iter().map(off2).sum::<f64>() / count).sqrt()
    }
}

impl Axis {
    fn sum_columns(&mut self, band: usize, bytes: &[u8], width: usize) {
        self.sums.clear();
        self.sums.resize(width, 0);
        for row in bytes.chunks_exact(width) {
            for (sum, byte) in self.sums.iter_mut().zip(row) {
                *sum += u32::from(*byte);
            }
        }
        self.take_steps(band, BAND_ROWS);
    }

    fn sum_rows(&mut self, band: usize, luma: &Plane<'_>) {
        let width = STRIP_PX.min(luma.width_px);
        let middle = (2 * band + 1) * luma.width_px / (2 * BANDS);
        let start = middle.saturating_sub(width / 2).min(luma.width_px - width);
        self.sums.clear();
        for y in 0..luma.height_px {
            let strip = &luma.row(y)[start..start + width];
            self.sums
                .push(strip.iter().map(|byte| u32::from(*byte)).sum());
        }
        self.take_steps(band, width);
    }

    #[expect(clippy::cast_precision_loss, reason = "sums of some hundred bytes")]
    fn take_steps(&mut self, band: usize, count: usize) {
        let share = 1.0 / count.max(1) as f32;
        let seen = &mut self.seen[band];
        seen.clear();
        let steps = self.sums.windows(2);
        seen.extend(steps.map(|two| (two[1] as f32 - two[0] as f32) * share));
    }

    /// Returns where the picture stands relative to the first one, pixels.
    fn place(&mut self) -> f64 {
        let pairs = self.anchors.iter().zip(&self.seen);
        let mut votes: Vec<f64> = pairs
            .filter_map(|(anchor, seen)| shift(anchor, seen))
            .collect();
        votes.sort_by(f64::total_cmp);
        let lost = votes.len() < VOTES_MIN;
        let moved = if lost {
            0.0
        } else {
            let (low, high) = ((votes.len() - 1) / 2, votes.len() / 2);
            f64::midpoint(votes[low], votes[high])
        };
        let place = self.stood_at + moved;
        self.looks += 1;
        // A picture that cannot be told from the anchors' is not the one they were taken of.
        if lost || self.looks >= ANCHORED {
            std::mem::swap(&mut self.anchors, &mut self.seen);
            self.stood_at = place;
            self.looks = 0;
        }
        place
    }
}

/// Returns the shift that lays `seen` over `anchor` best, to a fraction of a pixel; none where the
/// band cannot tell.
#[expect(clippy::cast_precision_loss, reason = "a picture's width in pixels")]
fn shift(anchor: &[f32], seen: &[f32]) -> Option<f64> {
    if anchor.len() != seen.len() || anchor.len() < 8 * REACH_PX {
        return None;
    }
    let middle = &anchor[REACH_PX..anchor.len() - REACH_PX];
    let mut costs = [0.0_f32; 2 * REACH_PX + 1];
    for (offset, cost) in costs.iter_mut().enumerate() {
        *cost = difference(middle, &seen[offset..offset + middle.len()]);
    }
    let best = (0..costs.len()).min_by(|a, b| costs[*a].total_cmp(&costs[*b]))?;
    if best == 0 || best == costs.len() - 1 {
        return None;
    }
    let rival = if best == REACH_PX {
        costs[REACH_PX - 3].min(costs[REACH_PX + 3])
    } else {
        costs[REACH_PX]
    };
    let (of_anchor, of_seen) = (energy(anchor), energy(seen));
    if of_anchor.min(of_seen) < EDGES * anchor.len() as f32 {
        return None;
    }
    let both = of_anchor + of_seen;
    if costs[best] > CLEARLY * rival || costs[best] > (1.0 - ALIKE) * both {
        return None;
    }
    let (left, here, right) = (costs[best - 1], costs[best], costs[best + 1]);
    let bend = left - 2.0 * here + right;
    let part = if bend > 0.0 {
        (0.5 * (left - right) / bend).clamp(-0.5, 0.5)
    } else {
        0.0
    };
    Some(best as f64 - REACH_PX as f64 + f64::from(part))
}

fn energy(a: &[f32]) -> f32 {
    a.iter().map(|step| step * step).sum()
}

/// Returns the sum of squared differences.
fn difference(a: &[f32], b: &[f32]) -> f32 {
    let mut lanes = [0.0_f32; LANES];
    for (a, b) in a.chunks_exact(LANES).zip(b.chunks_exact(LANES)) {
        for ((lane, a), b) in lanes.iter_mut().zip(a).zip(b) {
            *lane += (a - b) * (a - b);
        }
    }
    lanes.iter().sum()
}
