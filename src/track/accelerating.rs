//! Constant-acceleration tracks on presentation time, scored by how unlikely they are by chance.
//!
//! A track begins with three candidates in a row that could be one thing falling, and goes on with
//! whatever lies where it must be next. Each sighting adds the logarithm of how much likelier it is
//! there because of the track than because of the local clutter; each miss takes some away. That sum
//! is the track's surprise, in nats. Never associates by overlap (a falling object leaves its own
//! box between frames) and never counts frames (they arrive unevenly).

use std::collections::VecDeque;

use super::clutter::Clutter;
use super::nearby::{Nearby, Window};
use super::seed::{SEED_FRAMES, SEED_GAP_S, find_oldest, is_alike, seed_window};
use super::state::{Axis, Motion};
use super::usual::{Usual, measured};
use crate::clock::StreamTime;
use crate::detect::motion::Candidate;
use crate::geometry::{BoxPx, Point};

/// Tracks alive at once at most; the least surprising go first.
pub const TRACKS_MAX: usize = 768;

/// Sightings a track remembers: five seconds at 60 frames a second. The oldest go first.
const SIGHTINGS_MAX: usize = 320;

/// Time a track lives without being seen, seconds: a balcony, a wall of the same brightness, the dark
/// between two lit windows. Each missed frame costs it surprise.
const UNSEEN_MAX_S: f64 = 0.6;

/// Chance that a falling object is seen on a frame: low, because parts of the way may hide it.
const SEEN_CHANCE: f64 = 0.75;

/// Squared distance from the prediction, in standard deviations, up to which a candidate may be it.
const GATE: f64 = 16.0;

/// Sightings up to which a track may take two ways at once; a longer one knows where it goes.
const BRANCH_SIGHTINGS_MAX: usize = 24;

/// Pixels that a falling thing may seem to come up, besides half its height: its centre jumps when a
/// part of it is hidden or something beside it moves.
const RISE_PX: f64 = 6.0;

/// Tracks begun at each candidate at most.
const SEEDS_EACH: usize = 3;

/// Names a track within one tracker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TrackId(pub u64);

/// One sighting of a track.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sighting {
    pub at: StreamTime,
    pub area: BoxPx,
    pub mass: f32,
    pub contrast: f32,
}

/// The same thing over time.
#[derive(Clone, Debug)]
pub struct Track {
    pub id: TrackId,
    /// What was seen of it, in order of time.
    pub sightings: Vec<Sighting>,
    /// How much likelier it is a thing than chance, nats.
    pub surprise: f64,
    /// Index of the sighting since which it has not come up again by more than its own uncertainty:
    /// a fall cannot have begun earlier. What came before tells whether it flew or was held.
    pub sinks_from: usize,
    /// An event hangs on this track: it is not given up for a likelier twin without handing on its id.
    pub pinned: bool,
    x: Axis,
    y: Axis,
    moved_to: StreamTime,
    lowest_px: f64,
    last_candidate: Option<usize>,
    usual: Usual,
}

impl Track {
    /// Returns the newest sighting.
    pub fn last(&self) -> &Sighting {
        self.sightings
            .last()
            .expect("a track begins with three sightings")
    }

    /// Returns speed across and down the picture, pixels a second.
    pub fn speed_px_s(&self) -> (f64, f64) {
        (self.x.mean[1], self.y.mean[1])
    }

    /// Returns whether it was seen on the newest frame.
    pub fn is_seen_now(&self) -> bool {
        self.last_candidate.is_some()
    }
}

/// Follows everything that may be falling on one stream.
#[derive(Debug)]
pub struct Tracker {
    motion: Motion,
    size_px: (f64, f64),
    clutter: Clutter,
    tracks: Vec<Track>,
    recent: VecDeque<Nearby>,
    spare_frames: Vec<Nearby>,
    spare_sightings: Vec<Vec<Sighting>>,
    claimed: Vec<bool>,
    branches: Vec<(usize, usize, f64)>,
    next_id: u64,
}

impl Tracker {
    /// Returns a tracker for pictures of the given size.
    pub fn new(width_px: u32, height_px: u32) -> Self {
        let size_px = (f64::from(width_px), f64::from(height_px));
        Self {
            motion: Motion {
                height_px: size_px.1,
            },
            size_px,
            clutter: Clutter::new(size_px.0, size_px.1),
            tracks: Vec::new(),
            recent: VecDeque::new(),
            spare_frames: Vec::new(),
            spare_sightings: Vec::new(),
            claimed: Vec::new(),
            branches: Vec::new(),
            next_id: 0,
        }
    }

    /// Takes in the candidates of the frame at `at`, `step_s` after the one before.
    pub fn take(&mut self, at: StreamTime, step_s: f64, candidates: &[Candidate]) {
        let mut frame = self.spare_frames.pop().unwrap_or_default();
        frame.read(at, candidates, self.size_px);
        self.extend(&frame);
        self.drop_twins(candidates.len());
        self.drop_dead(at);
        self.begin_new(&frame);
        self.recent.push_back(frame);
        if self.recent.len() > 2 * SEED_FRAMES {
            self.spare_frames.extend(self.recent.pop_front());
        }
        let places = candidates.iter().map(|candidate| candidate.area.centre());
        self.clutter.take(at.as_secs_f64(), step_s, places);
    }

    /// Returns the tracks alive.
    pub fn tracks(&self) -> &[Track] {
        &self.tracks
    }

    /// Marks the track: an event hangs on it now.
    pub fn pin(&mut self, id: TrackId) {
        for track in &mut self.tracks {
            track.pinned |= track.id == id;
        }
    }

    /// Returns the density of clutter around `place`, candidates a square pixel and frame.
    pub fn clutter_per_px2(&self, place: Point) -> f64 {
        self.clutter.density_per_px2(place)
    }

    /// Moves every track to the frame's time and gives it what fits best there.
    fn extend(&mut self, frame: &Nearby) {
        self.branches.clear();
        let room = TRACKS_MAX.saturating_sub(self.tracks.len());
        for index in 0..self.tracks.len() {
            let track = &mut self.tracks[index];
            let step_s = frame.at.secs_since(track.moved_to);
            track.x = track.x.predicted(step_s);
            track.y = track.y.predicted(step_s);
            track.moved_to = frame.at;
            let [best, second] = best_two(track, frame, &self.clutter);
            if let (Some(best), Some(second)) = (best, second)
                && second.1 > best.1 - 2.0
                && track.sightings.len() <= BRANCH_SIGHTINGS_MAX
                && self.branches.len() < room
            {
                self.branches.push((index, second.0, second.1));
            }
        }
        for branch in 0..self.branches.len() {
            let (index, candidate, gain) = self.branches[branch];
            let mut twin = self.copy_of(index);
            twin.see(frame.at, candidate, &frame.candidates[candidate], gain);
            self.tracks.push(twin);
        }
        let old = self.tracks.len() - self.branches.len();
        for track in &mut self.tracks[..old] {
            match best_two(track, frame, &self.clutter)[0] {
                Some((candidate, gain)) => {
                    track.see(frame.at, candidate, &frame.candidates[candidate], gain);
                }
                None => track.miss(),
            }
        }
    }

    fn copy_of(&mut self, index: usize) -> Track {
        let mut sightings = self.spare_sightings.pop().unwrap_or_default();
        sightings.clear();
        let track = &self.tracks[index];
        sightings.extend_from_slice(&track.sightings);
        self.next_id += 1;
        Track {
            id: TrackId(self.next_id),
            sightings,
            pinned: false,
            ..*track
        }
    }

    /// Of the tracks that end in the same candidate, keeps the two most surprising.
    fn drop_twins(&mut self, candidates: usize) {
        // Pinned or surprising first; ids decide ties so that replay is deterministic.
        self.tracks.sort_by(|a, b| {
            let by_surprise = b.surprise.total_cmp(&a.surprise);
            by_surprise.then(a.id.cmp(&b.id))
        });
        self.claimed.clear();
        self.claimed.resize(candidates, false);
        let mut first = 0;
        while first < self.tracks.len() {
            let Some(candidate) = self.tracks[first].last_candidate else {
                first += 1;
                continue;
            };
            let surprise = self.tracks[first].surprise;
            if self.tracks[first].sightings.len() >= 4 && surprise >= 8.0 {
                self.claimed[candidate] = true;
            }
            let mut kept = 1;
            let mut index = first + 1;
            while index < self.tracks.len() {
                if self.tracks[index].last_candidate != Some(candidate) {
                    index += 1;
                    continue;
                }
                let near = self.tracks[index].surprise > surprise - 10.0;
                kept += 1;
                if kept > 2 || !near {
                    let twin = self.tracks.remove(index);
                    if twin.pinned && !self.tracks[first].pinned {
                        self.tracks[first].pinned = true;
                        self.tracks[first].id = twin.id;
                    }
                    self.spare_sightings.push(twin.sightings);
                } else {
                    index += 1;
                }
            }
            first += 1;
        }
    }

    fn drop_dead(&mut self, now: StreamTime) {
        let (width, height) = self.size_px;
        let spare = &mut self.spare_sightings;
        let mut live = 0;
        self.tracks.retain_mut(|track| {
            live += 1;
            let outside = track.y.mean[0] > height + 30.0
                || track.x.mean[0] < -30.0
                || track.x.mean[0] > width + 30.0;
            let unseen = now.secs_since(track.last().at) > UNSEEN_MAX_S;
            let dead = outside || unseen || track.surprise < -1.0 || live > TRACKS_MAX;
            if dead {
                spare.push(std::mem::take(&mut track.sightings));
            }
            !dead
        });
        self.spare_sightings.truncate(TRACKS_MAX);
    }

    /// Begins tracks at candidates that no good track has claimed.
    fn begin_new(&mut self, frame: &Nearby) {
        for (index, newest) in frame.candidates.iter().enumerate() {
            if self.claimed[index] {
                continue;
            }
            let mut begun = 0;
            for middle_frame in self.recent.iter().rev().take(SEED_FRAMES) {
                let gap_s = frame.at.secs_since(middle_frame.at);
                if gap_s > SEED_GAP_S || begun >= SEEDS_EACH {
                    break;
                }
                let window = seed_window(newest, gap_s, self.motion.height_px);
                let mut found = [None; SEEDS_EACH];
                let mut count = 0;
                middle_frame.visit(window, |_, middle| {
                    if count >= SEEDS_EACH || !is_alike(newest, middle) {
                        return;
                    }
                    let oldest = find_oldest(
                        &self.recent,
                        (frame.at, newest),
                        (middle_frame.at, middle),
                        self.motion.height_px,
                    );
                    if let Some(oldest) = oldest {
                        found[count] = Some((oldest, (middle_frame.at, *middle)));
                        count += 1;
                    }
                });
                for (oldest, middle) in found.into_iter().flatten() {
                    if self.tracks.len() >= TRACKS_MAX || begun >= SEEDS_EACH {
                        break;
                    }
                    let mut sightings = self.spare_sightings.pop().unwrap_or_default();
                    sightings.clear();
                    self.next_id += 1;
                    let id = TrackId(self.next_id);
                    let mut track = Track::begin(id, self.motion, sightings, oldest);
                    track.follow(middle, &self.clutter);
                    track.follow((frame.at, *newest), &self.clutter);
                    track.last_candidate = Some(index);
                    if track.surprise > 2.0 {
                        self.tracks.push(track);
                        begun += 1;
                    } else {
                        self.spare_sightings.push(track.sightings);
                    }
                }
            }
        }
    }
}

impl Track {
    fn begin(
        id: TrackId,
        motion: Motion,
        mut sightings: Vec<Sighting>,
        (at, candidate): (StreamTime, Candidate),
    ) -> Self {
        let (x, y) = measured(&candidate);
        sightings.push(sighting(at, &candidate));
        Self {
            id,
            sightings,
            surprise: 0.0,
            sinks_from: 0,
            pinned: false,
            x: Axis::across(motion, x),
            y: Axis::down(motion, y),
            moved_to: at,
            lowest_px: candidate.area.y_px,
            last_candidate: None,
            usual: Usual::of(&candidate),
        }
    }

    /// Moves to the candidate's time and takes it in.
    fn follow(&mut self, (at, candidate): (StreamTime, Candidate), clutter: &Clutter) {
        let step_s = at.secs_since(self.moved_to);
        self.x = self.x.predicted(step_s);
        self.y = self.y.predicted(step_s);
        self.moved_to = at;
        let gain = gain(self, &candidate, clutter).unwrap_or(-5.0);
        self.see(at, 0, &candidate, gain);
    }

    fn see(&mut self, at: StreamTime, index: usize, candidate: &Candidate, gain: f64) {
        let (x, y) = self.usual.measured(candidate);
        self.x.update(x);
        self.y.update(y);
        self.usual.follow(candidate);
        self.surprise += gain;
        self.last_candidate = Some(index);
        self.lowest_px = self.lowest_px.max(candidate.area.y_px);
        let slack_px = RISE_PX + 0.5 * candidate.area.height_px;
        if candidate.area.y_px < self.lowest_px - slack_px {
            self.sinks_from = self.sightings.len();
            self.lowest_px = candidate.area.y_px;
        }
        if self.sightings.len() >= SIGHTINGS_MAX {
            self.sightings.remove(0);
            self.sinks_from = self.sinks_from.saturating_sub(1);
        }
        self.sightings.push(sighting(at, candidate));
    }

    fn miss(&mut self) {
        self.surprise += (1.0 - SEEN_CHANCE).ln();
        self.last_candidate = None;
    }
}

/// Returns the two candidates that gain the track most, if they gain more than a miss.
fn best_two(track: &Track, frame: &Nearby, clutter: &Clutter) -> [Option<(usize, f64)>; 2] {
    let last = track.last().area;
    let reach =
        |axis: &Axis, size_px: f64| (GATE * axis.spread_px2((1.0 + 0.25 * size_px).powi(2))).sqrt();
    let (x, y) = (track.x.mean[0], track.y.mean[0]);
    let (reach_x, reach_y) = (
        reach(&track.x, last.width_px),
        reach(&track.y, last.height_px),
    );
    let window = Window {
        left: x - reach_x,
        right: x + reach_x,
        top: y - reach_y,
        bottom: y + reach_y,
    };
    let mut best: [Option<(usize, f64)>; 2] = [None; 2];
    frame.visit(window, |index, candidate| {
        let Some(gain) = gain(track, candidate, clutter) else {
            return;
        };
        if gain < (1.0 - SEEN_CHANCE).ln() {
            return;
        }
        if best[0].is_none_or(|(_, most)| gain > most) {
            best = [Some((index, gain)), best[0]];
        } else if best[1].is_none_or(|(_, most)| gain > most) {
            best[1] = Some((index, gain));
        }
    });
    best
}

/// Returns how much likelier the candidate is there because of the track than by chance, nats; none
/// outside the gate.
fn gain(track: &Track, candidate: &Candidate, clutter: &Clutter) -> Option<f64> {
    let (x, y) = track.usual.measured(candidate);
    let spread_x = track.x.spread_px2(x.variance_px2);
    let spread_y = track.y.spread_px2(y.variance_px2);
    let away_x = x.px - track.x.mean[0];
    let away_y = y.px - track.y.mean[0];
    let distance = away_x * away_x / spread_x + away_y * away_y / spread_y;
    if distance > GATE {
        return None;
    }
    let density = clutter.density_per_px2(candidate.area.centre());
    let likelihood =
        -0.5 * distance - 0.5 * (spread_x * spread_y).ln() - (2.0 * std::f64::consts::PI).ln();
    let last = track.last();
    // The same thing keeps its mass within a factor of about two from one frame to the next;
    // clutter's masses spread over e^1.3. The difference of the two, bounded.
    let ratio_to = |mass: f64| (f64::from(candidate.mass) / mass.max(1.0)).ln().abs();
    let ratio = ratio_to(f64::from(last.mass)).min(ratio_to(track.usual.mass));
    let mass = (0.9_f64.ln() - ratio.powi(2) / 2.0 * (1.0 / 0.6 - 1.0 / 2.6)).max(-3.0);
    let flipped = candidate.contrast * last.contrast < 0.0;
    let sign = if flipped { -1.0 } else { 0.2 };
    Some(SEEN_CHANCE.ln() + likelihood - density.ln() + mass + sign)
}

fn sighting(at: StreamTime, candidate: &Candidate) -> Sighting {
    Sighting {
        at,
        area: candidate.area,
        mass: candidate.mass,
        contrast: candidate.contrast,
    }
}
