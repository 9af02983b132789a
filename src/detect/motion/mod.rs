//! Motion candidates: what is somewhere for one moment alone, at full resolution and full rate.
//!
//! Each frame is compared with one a little before and one a little after ([`difference`]); blocks
//! that differ more than their own flicker ([`noise`]) grow regions ([`region`]): once at full size
//! for what is small and fast ([`stage`]), once at half the size ([`half`]) and over longer gaps for
//! what is large, faint or slow. The frame's own movement is taken out first ([`shake`]). The answer
//! comes one long gap late, for the middle frame.
//! Everything has a bound, spread over the picture so that rain in one corner blinds no other, and
//! whatever exceeds it is reported, never dropped in silence. No judgement of what moves: that is
//! for tracks, which are far more specific than any threshold on pixels.

mod difference;
mod half;
mod noise;
pub mod recall;
mod region;
mod same;
mod shake;
mod stage;

use std::collections::VecDeque;

use crate::clock::StreamTime;
use crate::decode::{Frame, Plane};
use crate::geometry::Polygon;
use difference::{BLOCK_PX, Shifted, Triple};
use half::Half;
pub use region::Candidate;
use same::Same;
use shake::Profile;
use stage::Stage;

/// Candidates a frame may have. More than a track can be told from in any case.
pub const CANDIDATES_MAX: usize = 512;

/// Time between the compared frames, seconds: two frames at 25 and 30 a second. Something 0.3 m
/// wide that began to fall 0.25 s ago has just left its own outline in this time.
const GAP_S: f64 = 0.058;

/// The same at half the size, to the frame before and to the one after. What is large, or slow on the
/// picture, stands over its own place of a moment ago: 0.158 s after its release nothing has left its
/// outline. The frame before may be long ago; every alarm waits for the one after.
const LONG_BEFORE_S: f64 = 0.4;
const LONG_AFTER_S: f64 = 0.158;

/// Frames further apart than this are not compared: too much else changes.
const GAP_MAX_S: f64 = 0.35;

/// Frames kept for comparing: the long gaps at 120 frames a second.
const FRAMES_MAX: usize = 72;

/// Largest thing whose pieces give way to the whole, pixels: objects are 3 to 50 px wide.
const WHOLE_MAX_PX: f64 = 64.0;

/// What one look found out besides its candidates.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Look {
    /// The frame that was looked at.
    pub at: StreamTime,
    /// Time since the frame looked at before, seconds.
    pub step_s: f64,
    /// Whether the bounds were exceeded: there was more motion than candidates.
    pub flooded: bool,
    /// How far the picture moved since the frame before, pixels.
    pub shake_px: f64,
}

struct Held {
    at: StreamTime,
    /// None once no look can need it at full size: it is six times as large as the rest.
    frame: Option<Frame>,
    half: Half,
    profile: Profile,
    /// Against the frame before, where that was looked at.
    same: Same,
}

impl Held {
    fn frame(&self) -> &Frame {
        let frame = self.frame.as_ref();
        frame.expect("it is kept while a look can need it, which only goes on")
    }
}

/// The frames that one frame is compared with, as indices.
#[derive(Clone, Copy)]
struct Around {
    before: usize,
    now: usize,
    after: usize,
}

struct Stages {
    fine: Stage,
    coarse: Stage,
}

/// Share of the blocks that must be still for it to be worth while to look for them, and for how many
/// frames nobody does where they are not: looking costs a fifth of what it may save.
const STILL_SHARE_MIN: f64 = 0.25;
const STILL_PAUSE: u32 = 50;

/// Where a frame is known to differ in nothing from one of those that it is compared with.
#[derive(Default)]
struct Still {
    /// 1 for each such block at full size, and at half the size; 0 for the others.
    blocks: Vec<u8>,
    halves: Vec<u8>,
    side: Vec<u8>,
    /// Frames that need not be held against the one before.
    pause: u32,
}

impl Still {
    /// Returns whether the next frame should be held against the one before.
    fn is_worth_it(&mut self) -> bool {
        let paused = self.pause > 0;
        self.pause = self.pause.saturating_sub(1);
        !paused
    }

    /// Finds the blocks at full size, `count` of them.
    fn find(&mut self, frames: &VecDeque<Held>, near: Around, triple: &Triple<'_>, count: usize) {
        self.blocks.clear();
        self.blocks.resize(count, 0);
        let mut known = true;
        for (side, from, to) in [
            (&triple.before, near.before, near.now),
            (&triple.after, near.now, near.after),
        ] {
            if !side.is_shifted() {
                known &= self.find_between(frames, from, to, count);
                for (block, side) in self.blocks.iter_mut().zip(&self.side) {
                    *block |= side;
                }
            }
        }
        let found: usize = self.blocks.iter().map(|&still| usize::from(still)).sum();
        if known && (found as f64) < STILL_SHARE_MIN * count as f64 {
            self.pause = STILL_PAUSE;
        }
    }

    /// Finds the blocks at half the size. Over the long time before hardly any is still.
    fn find_coarse(
        &mut self,
        frames: &VecDeque<Held>,
        far: Around,
        triple: &Triple<'_>,
        across: usize,
        (count, halves_across): (usize, usize),
    ) {
        self.halves.clear();
        self.halves.resize(count, 0);
        if !triple.after.is_shifted() {
            self.find_between(frames, far.now, far.after, self.blocks.len());
            same::halve(&self.side, across, &mut self.halves, halves_across);
        }
    }

    /// Puts into `side` which blocks are the same on all frames from `from` up to `to`. Returns whether
    /// that is known.
    fn find_between(
        &mut self,
        frames: &VecDeque<Held>,
        from: usize,
        to: usize,
        count: usize,
    ) -> bool {
        self.side.clear();
        self.side.resize(count, 1);
        let mut steps = frames.range(from + 1..=to);
        let known = steps.all(|held| held.same.narrow(&mut self.side));
        if !known {
            self.side.fill(0);
        }
        known
    }
}

/// Finds motion candidates in one stream.
#[derive(Default)]
pub struct Motion {
    frames: VecDeque<Held>,
    /// Index into `frames` of the next frame to look at.
    next: usize,
    spares: Vec<(Half, Profile, Same)>,
    coarse: Vec<Candidate>,
    still: Still,
    last_look: Option<StreamTime>,
    stages: Option<Stages>,
    masks: Vec<Polygon>,
}

impl Motion {
    /// Returns a detector that ignores the blocks whose middle lies in one of `masks`, which are in
    /// relative coordinates.
    pub fn new(masks: Vec<Polygon>) -> Self {
        Self {
            masks,
            ..Self::default()
        }
    }

    /// Ignores what lies in these masks from the next look on. What was learnt of each block's
    /// flicker is learnt anew where they differ from the ones before; no frame is forgotten.
    pub fn set_masks(&mut self, masks: Vec<Polygon>) {
        if masks != self.masks {
            self.masks = masks;
            self.stages = None;
        }
    }

    /// Takes the next frame of the stream. Ask [`Motion::look`] until it has nothing more.
    pub fn push(&mut self, frame: &Frame) {
        let resized = self.frames.back().is_some_and(|held| {
            let before = held.frame();
            (before.width_px(), before.height_px()) != (frame.width_px(), frame.height_px())
        });
        let backwards = self.frames.back().is_some_and(|held| held.at >= frame.at);
        if resized || backwards {
            self.restart();
        }
        let (mut half, mut profile, mut same) = self.spares.pop().unwrap_or_default();
        let (plane, before) = (
            frame.luma(),
            self.frames.back().map(|held| held.frame().luma()),
        );
        let compares = self.still.is_worth_it();
        same.clear();
        half.begin(&plane);
        profile.begin(&plane);
        // By strips, so that each is read while it is near.
        for top in (0..plane.height_px).step_by(BLOCK_PX) {
            let rows = top..(top + BLOCK_PX).min(plane.height_px);
            if let Some(before) = before.as_ref().filter(|_| compares) {
                same.read_strip(&plane, before, top);
            }
            half.read_rows(&plane, rows.clone());
            profile.read_rows(&plane, rows);
        }
        profile.end();
        // A doubled frame says nothing new, and would give a moving thing two times at one place.
        let doubled = match &before {
            Some(_) if compares => same.is_all(),
            Some(before) => is_same_picture(before, &plane),
            None => false,
        };
        if doubled {
            self.spares.push((half, profile, same));
            return;
        }
        self.frames.push_back(Held {
            at: frame.at,
            frame: Some(frame.clone()),
            half,
            profile,
            same,
        });
        if self.frames.len() > FRAMES_MAX {
            self.drop_oldest();
        }
    }

    /// Forgets all frames and what was learnt: the next frame may show anything.
    pub fn restart(&mut self) {
        while !self.frames.is_empty() {
            self.drop_oldest();
        }
        self.next = 0;
        self.last_look = None;
        self.stages = None;
    }

    /// Looks at the next frame that has frames enough around it, and puts its candidates into
    /// `candidates`. Returns none until more frames come.
    pub fn look(&mut self, candidates: &mut Vec<Candidate>) -> Option<Look> {
        candidates.clear();
        loop {
            let now = self.next;
            self.frames.get(now)?;
            // The far one is there: so is the near one.
            let far_after = self.after(now, LONG_AFTER_S)?;
            let near_after = self.after(now, GAP_S)?;
            self.next += 1;
            let Some(near_before) = self.before(now, GAP_S) else {
                continue;
            };
            let near = Around {
                before: near_before,
                now,
                after: near_after,
            };
            if self.span_s(near) > 2.0 * GAP_MAX_S || self.frames[now].frame().damaged {
                continue;
            }
            let far = self
                .before(now, LONG_BEFORE_S)
                .map(|before| Around {
                    before,
                    now,
                    after: far_after,
                })
                .filter(|&far| self.span_s(far) <= 2.0 * GAP_MAX_S);
            let look = self.look_at(near, far, candidates);
            for held in self.frames.iter_mut().take(near.before) {
                held.frame = None;
            }
            for _ in 0..far.map_or(0, |far| far.before) {
                self.drop_oldest();
            }
            return Some(look);
        }
    }

    /// Returns the first frame that is at least `gap_s` later.
    fn after(&self, now: usize, gap_s: f64) -> Option<usize> {
        let now_at = self.frames[now].at;
        self.frames
            .iter()
            .position(|held| held.at.secs_since(now_at) >= gap_s)
    }

    /// Returns the last frame that is at least `gap_s` earlier.
    fn before(&self, now: usize, gap_s: f64) -> Option<usize> {
        let now_at = self.frames[now].at;
        self.frames
            .iter()
            .take(now)
            .rposition(|held| now_at.secs_since(held.at) >= gap_s)
    }

    fn span_s(&self, around: Around) -> f64 {
        let (before, after) = (&self.frames[around.before], &self.frames[around.after]);
        after.at.secs_since(before.at)
    }

    fn look_at(
        &mut self,
        near: Around,
        far: Option<Around>,
        candidates: &mut Vec<Candidate>,
    ) -> Look {
        let frames = &self.frames;
        let held = &frames[near.now];
        let at = held.at;
        let stages = self.stages.get_or_insert_with(|| Stages {
            fine: Stage::new(&held.frame().luma(), &self.masks),
            coarse: Stage::new(&held.half.plane(), &self.masks),
        });
        let step_s = self.last_look.map_or(0.04, |last| at.secs_since(last));
        let shift = |index: usize| held.profile.shift_to(&frames[index].profile);
        let fine = |index: usize| {
            let shift = shift(index);
            Shifted {
                plane: frames[index].frame().luma(),
                dx: whole(shift.dx),
                dy: whole(shift.dy),
            }
        };
        let still = &mut self.still;
        let triple = Triple {
            before: fine(near.before),
            now: held.frame().luma(),
            after: fine(near.after),
        };
        let (blocks, across) = stages.fine.blocks();
        still.find(frames, near, &triple, blocks);
        let mut flooded = stages.fine.find(&triple, &still.blocks, step_s, candidates);
        if let Some(far) = far {
            let coarse = |index: usize| {
                let shift = shift(index);
                Shifted {
                    plane: frames[index].half.plane(),
                    dx: whole(shift.dx / 2.0),
                    dy: whole(shift.dy / 2.0),
                }
            };
            let triple = Triple {
                before: coarse(far.before),
                now: held.half.plane(),
                after: coarse(far.after),
            };
            self.coarse.clear();
            still.find_coarse(frames, far, &triple, across, stages.coarse.blocks());
            flooded |= stages
                .coarse
                .find(&triple, &still.halves, step_s, &mut self.coarse);
            add_whole(candidates, &self.coarse);
        }
        let shake = near.now.checked_sub(1).map(shift).unwrap_or_default();
        self.last_look = Some(at);
        Look {
            at,
            step_s,
            flooded,
            shake_px: shake.dx.hypot(shake.dy),
        }
    }

    fn drop_oldest(&mut self) {
        if let Some(held) = self.frames.pop_front() {
            self.spares.push((held.half, held.profile, held.same));
            self.next = self.next.saturating_sub(1);
        }
    }
}

/// Adds what was found at half the size, save what stands there at full size already: the same thing
/// twice would be two tracks. Where full size shows but pieces of a thing, the whole takes their place.
fn add_whole(candidates: &mut Vec<Candidate>, coarse: &[Candidate]) {
    let mut fine = candidates.len();
    for half in coarse {
        let whole = half.doubled();
        let side_px = whole.area.width_px.max(whole.area.height_px);
        let is_same = |candidate: &Candidate| {
            let reach_px = 2.0 + 0.25 * side_px;
            // The cheap half first: in the rain some hundred are held against some hundred.
            (candidate.area.y_px - whole.area.y_px).abs() < reach_px
                && candidate.mass > 0.5 * whole.mass
                && candidate.area.centre().distance(whole.area.centre()) < reach_px
        };
        if candidates[..fine].iter().any(is_same) {
            continue;
        }
        let is_piece = |candidate: &Candidate| {
            let (piece, area) = (candidate.area, whole.area);
            (piece.x_px - area.x_px).abs() < 0.5 * area.width_px + 1.0
                && (piece.y_px - area.y_px).abs() < 0.5 * area.height_px + 1.0
        };
        let pieces = candidates[..fine].iter().filter(|piece| is_piece(piece));
        let mass: f32 = pieces.map(|piece| piece.mass).sum();
        if mass < 0.5 * whole.mass && side_px <= WHOLE_MAX_PX {
            let (mut index, count) = (0, candidates.len());
            candidates.retain(|candidate| {
                index += 1;
                index > fine || !is_piece(candidate)
            });
            fine -= count - candidates.len();
        }
        if candidates.len() < CANDIDATES_MAX {
            candidates.push(whole);
        }
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "shifts are within the search's reach"
)]
fn whole(shift: f64) -> isize {
    shift.round() as isize
}

fn is_same_picture(a: &Plane<'_>, b: &Plane<'_>) -> bool {
    (0..a.height_px).all(|y| a.row(y) == b.row(y))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::BoxPx;

    const WIDTH_PX: u32 = 320;
    const HEIGHT_PX: u32 = 240;

    /// A wall of two grey levels with a dark square of `side` whose upper edge is at `top`.
    fn picture(number: u32, side: usize, top: usize) -> Frame {
        let (width, height) = (WIDTH_PX as usize, HEIGHT_PX as usize);
        let mut luma = vec![120_u8; width * height];
        for (index, byte) in luma.iter_mut().enumerate() {
            let grain = index * 7919 + number as usize * 104_729;
            *byte += u8::from(grain.is_multiple_of(13));
        }
        for y in top..(top + side).min(height) {
            luma[y * width + 150..y * width + 150 + side].fill(60);
        }
        Frame::from_luma(
            StreamTime::from_micros(i64::from(number) * 40_000),
            WIDTH_PX,
            HEIGHT_PX,
            luma,
        )
    }

    #[test]
    fn what_still_covers_its_own_place_is_found_over_a_longer_gap() {
        let mut motion = Motion::default();
        let (mut candidates, mut seen) = (Vec::new(), 0);
        for number in 0..50_u32 {
            let top = 20 + 3 * number as usize;
            motion.push(&picture(number, 40, top));
            while let Some(look) = motion.look(&mut candidates) {
                let top = 20.0 + 3.0 * look.at.as_secs_f64() / 0.04;
                seen += usize::from(candidates.iter().any(|candidate| {
                    let area = candidate.area;
                    area.width_px > 30.0 && (top..top + 40.0).contains(&area.y_px)
                }));
            }
        }
        assert!(seen > 20, "{seen}");
    }

    fn candidate(x_px: f64, side_px: f64, mass: f32) -> Candidate {
        Candidate {
            area: BoxPx {
                x_px,
                y_px: 50.0,
                width_px: side_px,
                height_px: side_px,
            },
            mass,
            contrast: 10.0,
            strength: 2.0,
            pixels: 9,
        }
    }

    #[test]
    fn pieces_give_way_to_the_whole_and_nothing_is_there_twice() {
        let mut half = candidate(50.0, 10.0, 500.0);
        half.area.y_px = 25.0;
        // Two edges of the thing that half the size shows whole, and another thing.
        let pieces = [candidate(92.0, 3.0, 90.0), candidate(108.0, 3.0, 80.0)];
        let mut candidates = vec![pieces[0], candidate(160.0, 4.0, 70.0), pieces[1]];
        add_whole(&mut candidates, &[half]);
        let places: Vec<f64> = candidates.iter().map(|c| c.area.x_px).collect();
        assert_eq!(places, [160.0, 100.0]);
        let mut candidates = vec![candidate(101.0, 18.0, 1800.0)];
        add_whole(&mut candidates, &[half]);
        assert_eq!(candidates.len(), 1);
    }
}
