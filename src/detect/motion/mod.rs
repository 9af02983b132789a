//! Motion candidates: what is somewhere for one moment alone, at full resolution and full rate.
//!
//! Each frame is compared with one a little before and one a little after ([`difference`]); blocks
//! that differ more than their own flicker ([`noise`]) grow regions ([`region`]). The frame's own
//! movement is taken out first ([`shake`]). The answer comes one gap late, for the middle frame.
//! Everything has a bound, spread over the picture so that rain in one corner blinds no other, and
//! whatever exceeds it is reported, never dropped in silence. No judgement of what moves: that is
//! for tracks, which are far more specific than any threshold on pixels.

mod difference;
mod noise;
pub mod recall;
mod region;
mod shake;

use std::collections::VecDeque;

use crate::clock::StreamTime;
use crate::decode::Frame;
use crate::geometry::{Point, Polygon};
use difference::{BLOCK_PX, Shifted, Triple};
use noise::NoiseMap;
pub use region::Candidate;
use region::Regions;
use shake::{Profile, Shift};

/// Candidates a frame may have. More than a track can be told from in any case.
pub const CANDIDATES_MAX: usize = 512;

/// Time between the compared frames, seconds: two frames at 25 and 30 a second. Something 0.3 m
/// wide that began to fall 0.25 s ago has just left its own outline in this time.
const GAP_S: f64 = 0.058;

/// Frames further apart than this are not compared: too much else changes.
const GAP_MAX_S: f64 = 0.35;

/// Frames kept for comparing: four gaps at 120 frames a second.
const FRAMES_MAX: usize = 32;

/// Regions the picture is divided into for its bounds, across and down.
const REGIONS_ACROSS: usize = 8;
const REGIONS_DOWN: usize = 6;
const REGIONS: usize = REGIONS_ACROSS * REGIONS_DOWN;

/// Share of a region's blocks that may move at once. A falling object takes under a tenth.
const MOVING_SHARE_MAX: f64 = 0.2;

/// Raw regions grown at most in one frame, before the fair choice.
const GROWN_MAX: usize = 2048;

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
    frame: Frame,
    profile: Profile,
}

/// Finds motion candidates in one stream.
#[derive(Default)]
pub struct Motion {
    frames: VecDeque<Held>,
    /// Index into `frames` of the next frame to look at.
    next: usize,
    spare_profiles: Vec<Profile>,
    last_look: Option<StreamTime>,
    stage: Option<Stage>,
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

    /// Takes the next frame of the stream. Ask [`Motion::look`] until it has nothing more.
    pub fn push(&mut self, frame: &Frame) {
        let resized = self.frames.back().is_some_and(|held| {
            (held.frame.width_px(), held.frame.height_px()) != (frame.width_px(), frame.height_px())
        });
        let backwards = self
            .frames
            .back()
            .is_some_and(|held| held.frame.at >= frame.at);
        if resized || backwards {
            self.restart();
        }
        // A doubled frame says nothing new, and would give a moving thing two times at one place.
        let doubled = self
            .frames
            .back()
            .is_some_and(|held| is_same_picture(&held.frame, frame));
        if doubled {
            return;
        }
        let mut profile = self.spare_profiles.pop().unwrap_or_default();
        profile.read(&frame.luma());
        self.frames.push_back(Held {
            frame: frame.clone(),
            profile,
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
        self.stage = None;
    }

    /// Looks at the next frame that has frames enough around it, and puts its candidates into
    /// `candidates`. Returns none until more frames come.
    pub fn look(&mut self, candidates: &mut Vec<Candidate>) -> Option<Look> {
        candidates.clear();
        loop {
            let now_at = self.frames.get(self.next)?.frame.at;
            let after = self
                .frames
                .iter()
                .position(|held| held.frame.at.secs_since(now_at) >= GAP_S)?;
            let before = self
                .frames
                .iter()
                .take(self.next)
                .rposition(|held| now_at.secs_since(held.frame.at) >= GAP_S);
            let now = self.next;
            self.next += 1;
            let Some(before) = before else { continue };
            let span_s = self.frames[after]
                .frame
                .at
                .secs_since(self.frames[before].frame.at);
            if span_s > 2.0 * GAP_MAX_S || self.frames[now].frame.damaged {
                continue;
            }
            let look = self.look_at(before, now, after, candidates);
            for _ in 0..before {
                self.drop_oldest();
            }
            return Some(look);
        }
    }

    fn look_at(
        &mut self,
        before: usize,
        now: usize,
        after: usize,
        candidates: &mut Vec<Candidate>,
    ) -> Look {
        let frame = &self.frames[now].frame;
        let stage = match &mut self.stage {
            Some(stage) => stage,
            none => none.insert(Stage::new(frame, &self.masks)),
        };
        let step_s = self
            .last_look
            .map_or(0.04, |last| frame.at.secs_since(last));
        let shift = |index: usize| {
            self.frames[now]
                .profile
                .shift_to(&self.frames[index].profile)
        };
        let neighbour = |index: usize| {
            let shift = shift(index);
            Shifted {
                plane: self.frames[index].frame.luma(),
                dx: whole(shift.dx),
                dy: whole(shift.dy),
            }
        };
        let triple = Triple {
            before: neighbour(before),
            now: frame.luma(),
            after: neighbour(after),
        };
        let shake = if now > 0 {
            shift(now - 1)
        } else {
            Shift::default()
        };
        let flooded = stage.find(&triple, step_s, candidates);
        self.last_look = Some(frame.at);
        Look {
            at: frame.at,
            step_s,
            flooded,
            shake_px: shake.dx.hypot(shake.dy),
        }
    }

    fn drop_oldest(&mut self) {
        if let Some(held) = self.frames.pop_front() {
            self.spare_profiles.push(held.profile);
            self.next = self.next.saturating_sub(1);
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

fn is_same_picture(a: &Frame, b: &Frame) -> bool {
    let (a, b) = (a.luma(), b.luma());
    (0..a.height_px).all(|y| a.row(y) == b.row(y))
}

/// What depends on the picture's size: blocks, regions and their buffers.
struct Stage {
    across: usize,
    down: usize,
    noise: NoiseMap,
    ignored: Vec<bool>,
    region_of: Vec<u8>,
    columns: Vec<u8>,
    maxima: Vec<u8>,
    moving: Vec<(u32, f32)>,
    regions: Regions,
    grown: Vec<(u8, Candidate)>,
}

impl Stage {
    fn new(frame: &Frame, masks: &[Polygon]) -> Self {
        let plane = frame.luma();
        let across = plane.width_px.div_ceil(BLOCK_PX);
        let down = plane.height_px.div_ceil(BLOCK_PX);
        let blocks = across * down;
        let mut stage = Self {
            across,
            down,
            noise: NoiseMap::new(blocks),
            ignored: Vec::with_capacity(blocks),
            region_of: Vec::with_capacity(blocks),
            columns: vec![0; plane.width_px],
            maxima: vec![0; blocks],
            moving: Vec::with_capacity(blocks),
            regions: Regions::new(plane.width_px, plane.height_px),
            grown: Vec::with_capacity(GROWN_MAX),
        };
        for row in 0..down {
            for column in 0..across {
                let x = (column as f64 + 0.5) / across as f64;
                let y = (row as f64 + 0.5) / down as f64;
                let middle = Point::new(x, y);
                stage
                    .ignored
                    .push(masks.iter().any(|mask| mask.contains(middle)));
                let region =
                    row * REGIONS_DOWN / down * REGIONS_ACROSS + column * REGIONS_ACROSS / across;
                stage.region_of.push(u8::try_from(region).unwrap_or(0));
            }
        }
        stage
    }

    /// Finds the candidates and learns the flicker. Returns whether a bound was exceeded.
    fn find(&mut self, triple: &Triple<'_>, step_s: f64, candidates: &mut Vec<Candidate>) -> bool {
        self.measure(triple);
        let mut flooded = false;
        if self.noise.is_settled() {
            flooded |= self.pick_moving();
            flooded |= self.grow(triple);
            choose_fairly(&mut self.grown, candidates);
        }
        self.noise.learn(&self.maxima, step_s);
        flooded
    }

    fn measure(&mut self, triple: &Triple<'_>) {
        let height = triple.now.height_px;
        for row in 0..self.down {
            let top = row * BLOCK_PX;
            triple.column_maxima(top..(top + BLOCK_PX).min(height), &mut self.columns);
            let blocks = &mut self.maxima[row * self.across..(row + 1) * self.across];
            for (block, columns) in blocks.iter_mut().zip(self.columns.chunks(BLOCK_PX)) {
                *block = columns.iter().copied().fold(0, u8::max);
            }
        }
    }

    /// Lists the moving blocks with their thresholds, raised in regions where too many move.
    /// Returns whether any region was.
    fn pick_moving(&mut self) -> bool {
        // Ratios of maximum to threshold, in quarters, as a histogram for each region.
        const RATIOS: usize = 64;
        let mut counts = [[0_u32; RATIOS]; REGIONS];
        let mut totals = [0_u32; REGIONS];
        self.moving.clear();
        for (index, &maximum) in self.maxima.iter().enumerate() {
            let region = usize::from(self.region_of[index]);
            totals[region] += 1;
            let threshold = self.noise.threshold(index);
            if self.ignored[index] || f32::from(maximum) <= threshold {
                continue;
            }
            counts[region][quarter(maximum, threshold).min(RATIOS - 1)] += 1;
            self.moving
                .push((u32::try_from(index).unwrap_or(u32::MAX), threshold));
        }
        let mut factors = [1.0_f32; REGIONS];
        for region in 0..REGIONS {
            let allowed = (f64::from(totals[region]) * MOVING_SHARE_MAX).max(12.0);
            let mut above: u32 = counts[region].iter().sum();
            let mut ratio = 0_u16;
            while f64::from(above) > allowed && usize::from(ratio) < RATIOS - 1 {
                above -= counts[region][usize::from(ratio)];
                ratio += 1;
            }
            factors[region] = f32::from(ratio) / 4.0;
        }
        let raised = factors.iter().filter(|&&factor| factor > 1.0).count();
        let (maxima, region_of) = (&self.maxima, &self.region_of);
        self.moving.retain_mut(|(index, threshold)| {
            let index = *index as usize;
            let factor = factors[usize::from(region_of[index])].max(1.0);
            *threshold *= factor;
            f32::from(maxima[index]) > *threshold
        });
        raised * 4 > REGIONS
    }

    /// Grows regions out of the moving blocks. Returns whether there were too many.
    fn grow(&mut self, triple: &Triple<'_>) -> bool {
        self.regions.begin();
        self.grown.clear();
        let (width, height) = (triple.now.width_px, triple.now.height_px);
        for &(index, threshold) in &self.moving {
            let index = index as usize;
            let (left, top) = (
                index % self.across * BLOCK_PX,
                index / self.across * BLOCK_PX,
            );
            let floor = (threshold * 0.5).max(self.noise.mean(index)).max(3.0);
            for y in top..(top + BLOCK_PX).min(height) {
                for x in left..(left + BLOCK_PX).min(width) {
                    let strong = f32::from(triple.at(x, y).abs()) > threshold;
                    if !strong || self.regions.is_taken(x, y) {
                        continue;
                    }
                    if self.grown.len() >= GROWN_MAX {
                        return true;
                    }
                    #[expect(clippy::cast_possible_truncation, reason = "at most 255")]
                    let floor = floor.min(threshold) as i16;
                    let candidate = self.regions.grow(triple, (x, y), threshold, floor);
                    self.grown.push((self.region_of[index], candidate));
                }
            }
        }
        self.grown.len() > CANDIDATES_MAX
    }
}

/// Returns `maximum / threshold` in whole quarters.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "0 to 1020"
)]
fn quarter(maximum: u8, threshold: f32) -> usize {
    (f32::from(maximum) / threshold * 4.0) as usize
}

/// Moves at most [`CANDIDATES_MAX`] of `grown` to `candidates`: the strongest of each region, and no
/// region gets more while another has some left that it was not asked for.
fn choose_fairly(grown: &mut [(u8, Candidate)], candidates: &mut Vec<Candidate>) {
    if grown.len() <= CANDIDATES_MAX {
        candidates.extend(grown.iter().map(|(_, candidate)| *candidate));
        return;
    }
    let mut counts = [0_usize; REGIONS];
    for (region, _) in grown.iter() {
        counts[usize::from(*region)] += 1;
    }
    let mut quota = 1;
    while counts
        .iter()
        .map(|&count| count.min(quota + 1))
        .sum::<usize>()
        <= CANDIDATES_MAX
    {
        quota += 1;
    }
    grown.sort_unstable_by(|(_, a), (_, b)| {
        b.strength
            .total_cmp(&a.strength)
            .then(a.area.y_px.total_cmp(&b.area.y_px))
            .then(a.area.x_px.total_cmp(&b.area.x_px))
    });
    let mut taken = [0_usize; REGIONS];
    for (region, candidate) in grown.iter() {
        let taken = &mut taken[usize::from(*region)];
        if *taken < quota {
            *taken += 1;
            candidates.push(*candidate);
        }
    }
}
