//! The view as it is known: where the picture has edges, learnt over minutes.
//!
//! Edges are taken relative to the brightness around them, so that dusk or an open door changes
//! them little, and with their direction, so that what moves averages out of the reference.

use super::{ACROSS, DOWN, ViewFigures};
use crate::clock::StreamTime;

/// Looks before the reference says anything: 5 s.
const LEARNT_AFTER: u32 = 25;

/// Looks that count alike at first: 20 s.
const ALIKE: f32 = 100.0;

/// Time constant of learning after that, seconds: slow for a passing lorry, fast for dusk.
const LEARN_S: f64 = 90.0;

/// Luma added to an area's brightness before dividing by it: keeps noise in the dark small.
const DARK: f32 = 24.0;

/// Blocks of this many areas in a square are asked whether their structure is still there.
const BLOCK: usize = 6;
const BLOCKS_ACROSS: usize = ACROSS / BLOCK;
const BLOCKS: usize = BLOCKS_ACROSS * (DOWN / BLOCK);

/// A block has structure from this mean relative edge on; sensor noise gives under 0.01.
const STRUCTURED: f32 = 0.03;

/// A block's structure has vanished below this share of what the reference has there.
const VANISHED: f32 = 0.3;

/// With fewer structured blocks than this the reference cannot say that structure is lost.
const STRUCTURED_MIN: usize = BLOCKS / 12;

/// Below this likeness the view is looked for elsewhere.
const LOOK_ELSEWHERE: f64 = 0.6;

/// Seconds between searches, well within the 20 s for which a view must be wrong.
const SEARCH_EVERY_S: f64 = 4.0;

/// How far it is looked for, in areas: a third of the picture each way.
const REACH_X: isize = 32;
const REACH_Y: isize = 18;

/// Relative edges of one picture, to the right and downwards, area by area.
#[derive(Clone, Debug)]
pub(super) struct Structure {
    right: Vec<f32>,
    down: Vec<f32>,
}

impl Default for Structure {
    fn default() -> Self {
        Self {
            right: vec![0.0; ACROSS * DOWN],
            down: vec![0.0; ACROSS * DOWN],
        }
    }
}

impl Structure {
    /// Takes in the means of `ACROSS` x `DOWN` areas.
    pub(super) fn read(&mut self, areas: &[f32]) {
        for y in 1..DOWN - 1 {
            for x in 1..ACROSS - 1 {
                let here = y * ACROSS + x;
                let around = areas[here] + DARK;
                self.right[here] = (areas[here + 1] - areas[here - 1]) / around;
                self.down[here] = (areas[here + ACROSS] - areas[here - ACROSS]) / around;
            }
        }
    }

    /// Returns each block's mean edge.
    fn blocks(&self) -> [f32; BLOCKS] {
        let mut blocks = [0.0; BLOCKS];
        let share = 1.0 / 36.0;
        for (index, (right, down)) in self.right.iter().zip(&self.down).enumerate() {
            let (x, y) = (index % ACROSS, index / ACROSS);
            blocks[y / BLOCK * BLOCKS_ACROSS + x / BLOCK] += (right.abs() + down.abs()) * share;
        }
        blocks
    }
}

/// What is known of the view.
#[derive(Debug, Default)]
pub(super) struct Reference {
    known: Structure,
    looks: u32,
    /// The newest search elsewhere: it costs far more than a look, so it is made seldom.
    searched: Option<(StreamTime, ViewFigures)>,
}

impl Reference {
    /// Learns a picture that came `seconds` after the one before.
    #[expect(clippy::cast_possible_truncation, reason = "a share of 0..1")]
    pub(super) fn learn(&mut self, seen: &Structure, seconds: f64) {
        self.looks = self.looks.saturating_add(1);
        let equal = 1.0 / f64::from(self.looks).min(f64::from(ALIKE));
        let rate = if f64::from(self.looks) < f64::from(ALIKE) {
            equal
        } else {
            seconds / LEARN_S
        };
        let rate = rate as f32;
        let pairs = [
            (&mut self.known.right, &seen.right),
            (&mut self.known.down, &seen.down),
        ];
        for (known, seen) in pairs {
            for (known, seen) in known.iter_mut().zip(seen) {
                *known += (seen - *known) * rate;
            }
        }
    }

    fn is_learnt(&self) -> bool {
        self.looks >= LEARNT_AFTER
    }

    /// Returns the share of structured blocks whose structure has vanished.
    pub(super) fn lost_share(&self, seen: &Structure) -> Option<f64> {
        if !self.is_learnt() {
            return None;
        }
        let (known, seen) = (self.known.blocks(), seen.blocks());
        let structured = || {
            let pairs = known.iter().zip(&seen);
            pairs.filter(|(known, _)| **known >= STRUCTURED)
        };
        let count = structured().count();
        if count < STRUCTURED_MIN {
            return None;
        }
        let lost = structured()
            .filter(|(known, seen)| **seen < **known * VANISHED)
            .count();
        Some(lost as f64 / count as f64)
    }

    /// Returns how the picture lies against the reference.
    pub(super) fn compare(&mut self, seen: &Structure, now: StreamTime) -> Option<ViewFigures> {
        if !self.is_learnt() {
            return None;
        }
        let likeness = likeness(&self.known, seen, 0, 0);
        if likeness >= LOOK_ELSEWHERE {
            self.searched = None;
            return Some(ViewFigures {
                likeness,
                best_likeness: likeness,
                shift_rel: 0.0,
            });
        }
        if let Some((at, found)) = self.searched
            && now.secs_since(at) < SEARCH_EVERY_S
        {
            return Some(ViewFigures { likeness, ..found });
        }
        let found = self.search(seen, likeness);
        self.searched = Some((now, found));
        Some(found)
    }

    /// Looks for the view at every shift: 2,405 of them, about 30 ms.
    fn search(&self, seen: &Structure, likeness_here: f64) -> ViewFigures {
        let mut best = (likeness_here, 0, 0);
        for y in -REACH_Y..=REACH_Y {
            for x in -REACH_X..=REACH_X {
                let found = likeness(&self.known, seen, x, y);
                if found > best.0 {
                    best = (found, x, y);
                }
            }
        }
        let (best_likeness, x, y) = best;
        ViewFigures {
            likeness: likeness_here,
            best_likeness,
            shift_rel: (x as f64).hypot(y as f64) / ACROSS as f64,
        }
    }
}

/// Returns the correlation of what both show where they overlap, with `seen` moved by `x`, `y`.
fn likeness(known: &Structure, seen: &Structure, x: isize, y: isize) -> f64 {
    let range = |shift: isize, size: usize| {
        let low = shift.max(0).unsigned_abs().min(size);
        let high = size - shift.min(0).unsigned_abs().min(size);
        low..high
    };
    let columns = range(x, ACROSS);
    let (mut both, mut of_known, mut of_seen) = (0.0_f32, 0.0_f32, 0.0_f32);
    for row in range(y, DOWN) {
        let known_row = row * ACROSS;
        let seen_row = row.saturating_add_signed(-y) * ACROSS;
        let known_at = known_row + columns.start..known_row + columns.end;
        let seen_start = columns.start.saturating_add_signed(-x);
        let seen_at = seen_row + seen_start..seen_row + seen_start + columns.len();
        for (known, seen) in [(&known.right, &seen.right), (&known.down, &seen.down)] {
            let pairs = known[known_at.clone()].iter().zip(&seen[seen_at.clone()]);
            for (known, seen) in pairs {
                both += known * seen;
                of_known += known * known;
                of_seen += seen * seen;
            }
        }
    }
    let scale = (f64::from(of_known) * f64::from(of_seen)).sqrt();
    if scale > 1e-9 {
        f64::from(both) / scale
    } else {
        0.0
    }
}
