//! Watches a facade: motion, tracks, the physics judge, the verifier, looking back, alarms.
//!
//! The same frames give the same changes, always. Keeps the newest frames (shared, not copied)
//! within a bound of bytes and time; allocates nothing for a frame on which nothing moves.

use super::kept::{Kept, look_back};
use super::pictures::{Pictures, frames_along};
use super::tracks_file::{Judged, TracksFile};
use super::{Condition, Watch};
use crate::alarm::falling::judge::Judge;
use crate::alarm::falling::verdict::Verdict;
use crate::alarm::falling::{Falling, Joined, Raising, Scale, origin};
use crate::alarm::{Alarm, AlarmChange, AlarmKey};
use crate::clock::StreamTime;
use crate::decode::{Frame, Past};
use crate::detect::motion::{Candidate, Look, Motion};
use crate::geometry::Point;
use crate::scene::Scene;
use crate::scene::facade::FacadeScene;
use crate::track::accelerating::{Track, TrackId, Tracker};
use crate::verify::{Verifier, cut_patches};

/// How often a track the verifier turned down may come back, and after how many more sightings.
const SECOND_LOOKS: u32 = 4;
const SECOND_LOOK_AFTER: usize = 4;

/// How much what lacks evidence of gravity must look like a fall.
const LIKELY_LOOKS_MIN: f64 = 0.7;

/// Share of the picture's width to either side within which other movers cast doubt on a fall.
const PART_OF_PICTURE: f64 = 0.2;

/// How much another's speed may differ from a fall's, as a share of the fall's own, to cast doubt on it.
const SPEED_ALIKE: f64 = 0.6;

/// Time over which flooding is averaged, seconds: a bird at the lens is no flood.
const FLOOD_S: f64 = 2.0;

/// Watches one facade.
pub struct FacadeWatch {
    scene: Option<FacadeScene>,
    verifier: Option<Verifier>,
    ignore_surprise: bool,
    motion: Motion,
    candidates: Vec<Candidate>,
    kept: Kept,
    stage: Option<Stage>,
    flooded_share: f64,
    shake_px: f64,
    tracks_file: Option<TracksFile>,
}

/// What depends on the picture's size.
struct Stage {
    size_px: (u32, u32),
    tracker: Tracker,
    judge: Judge,
    falling: Falling,
    dossiers: Vec<Dossier>,
    falls: Vec<(usize, Verdict)>,
    /// Whether one of the tracks just judged may be a fall within the next moments.
    near: bool,
    movers: Vec<Mover>,
    pictures: Vec<Pictures>,
}

/// Something that moves so that it could be judged.
#[derive(Clone, Copy, PartialEq)]
struct Mover {
    place: Point,
    speed_px_s: (f64, f64),
}

impl Mover {
    fn of(track: &Track) -> Self {
        Self {
            place: track.last().area.centre(),
            speed_px_s: track.speed_px_s(),
        }
    }
}

/// What was decided about a live track so far.
struct Dossier {
    id: TrackId,
    judged_at: usize,
    /// How often the verifier turned down what the judge took for a fall, and whether it turned it down
    /// at all.
    turned_down: u32,
    refused: bool,
    /// After how many sightings the verifier turned down what was merely likely.
    looked_at: usize,
    written: Written,
}

/// What of a track stands in the tracks file: how long it was, and whether it fell.
#[derive(Clone, Copy, Default)]
struct Written {
    sightings: usize,
    falling: bool,
}

impl Written {
    /// Returns whether the track has grown by half or come to fall since, and remembers it if so.
    fn is_due(&mut self, track: &Track, verdict: &Verdict) -> bool {
        let sightings = track.sightings.len();
        let grown = 2 * sightings >= 3 * self.sightings;
        let fell = verdict.is_fall() && !self.falling;
        if grown || fell {
            self.sightings = sightings;
            self.falling |= verdict.is_fall();
        }
        grown || fell
    }
}

impl FacadeWatch {
    /// Returns a watch over a facade; without a scene the whole picture is watched and floors are
    /// unknown.
    pub fn new(scene: Option<FacadeScene>, verifier: Verifier) -> Self {
        Self {
            verifier: Some(verifier),
            ..Self::unverified(scene)
        }
    }

    /// Returns a watch that raises whatever the physics judge lets through, to gather tracks that a
    /// verifier can be trained on and to measure what the verifier earns. No service may use it.
    pub fn unverified(scene: Option<FacadeScene>) -> Self {
        let masks = scene
            .as_ref()
            .map_or_else(Vec::new, |scene| scene.masks.clone());
        Self {
            scene,
            verifier: None,
            ignore_surprise: false,
            motion: Motion::new(masks),
            candidates: Vec::new(),
            kept: Kept::default(),
            stage: None,
            flooded_share: 0.0,
            shake_px: 0.0,
            tracks_file: None,
        }
    }

    /// Also judges tracks that may be chance, to measure what the surprise score earns. No service
    /// may use it.
    pub fn ignore_surprise(&mut self) {
        self.ignore_surprise = true;
    }

    /// Also writes every judged track and its patches to `file`, for training the verifier.
    pub fn write_tracks(&mut self, file: TracksFile) {
        self.tracks_file = Some(file);
    }

    fn stage_for(&mut self, frame: &Frame, changes: &mut Vec<AlarmChange>) {
        let size_px = (frame.width_px(), frame.height_px());
        if self
            .stage
            .as_ref()
            .is_some_and(|stage| stage.size_px != size_px)
        {
            self.restart(changes);
        }
        if self.stage.is_none() {
            let map = self
                .scene
                .as_ref()
                .and_then(|scene| scene.map(size_px.0, size_px.1));
            let scale = if map.is_some() {
                Scale::Mapped
            } else {
                Scale::Guessed
            };
            let mut judge = Judge::new(size_px.0, size_px.1, map);
            if self.ignore_surprise {
                judge.ignore_surprise();
            }
            self.stage = Some(Stage {
                size_px,
                tracker: Tracker::new(size_px.0, size_px.1),
                judge,
                falling: Falling::new(size_px.0, size_px.1, scale),
                dossiers: Vec::new(),
                falls: Vec::new(),
                near: false,
                movers: Vec::new(),
                pictures: Vec::new(),
            });
        }
    }

    /// Forgets the tracks, and ends what is raised.
    fn end_stage(&mut self, changes: &mut Vec<AlarmChange>) {
        if let Some(mut stage) = self.stage.take() {
            let mut pictures = std::mem::take(&mut stage.pictures);
            stage
                .falling
                .restart(|key, alarm| changes.push(ended(key, alarm, &mut pictures)));
        }
    }

    fn take(&mut self, look: Look, now: StreamTime, changes: &mut Vec<AlarmChange>) {
        let share = (look.step_s / FLOOD_S).clamp(0.0, 1.0);
        self.flooded_share += share * (f64::from(u8::from(look.flooded)) - self.flooded_share);
        self.shake_px = look.shake_px;
        let Some(stage) = &mut self.stage else { return };
        stage.tracker.take(look.at, look.step_s, &self.candidates);
        stage.find_falls(&self.kept, self.tracks_file.as_mut());
        if stage.near {
            // Looking back takes a while, and nobody should wait for it once the fall is sure.
            self.kept.recall();
        }
        stage.settle_falls(&mut self.kept, self.verifier.as_mut(), now, changes);
        stage.follow(&self.kept, look.at, changes);
    }
}

impl Watch for FacadeWatch {
    fn push(&mut self, frame: &Frame, changes: &mut Vec<AlarmChange>) {
        self.stage_for(frame, changes);
        self.kept.push(frame);
        self.motion.push(frame);
        while let Some(look) = self.motion.look(&mut self.candidates) {
            self.take(look, frame.at, changes);
        }
    }

    fn look_back_by(&mut self, past: Past) {
        // Whoever gathers tracks wants all of every track's frames.
        if self.tracks_file.is_none() {
            self.kept.look_back_by(past);
        }
    }

    fn set_scene(&mut self, scene: Scene, changes: &mut Vec<AlarmChange>) {
        self.end_stage(changes);
        let masks = scene.facade.as_ref().map(|facade| facade.masks.clone());
        self.motion.set_masks(masks.unwrap_or_default());
        self.scene = scene.facade;
    }

    fn restart(&mut self, changes: &mut Vec<AlarmChange>) {
        self.end_stage(changes);
        self.motion.restart();
        self.kept.clear();
        self.flooded_share = 0.0;
        self.shake_px = 0.0;
    }

    fn condition(&self) -> Condition {
        Condition {
            flooded: self.flooded_share > 0.5,
            shake_px: self.shake_px,
        }
    }
}

impl Stage {
    /// Judges the tracks that were just seen, and lists those that fall, the heaviest first.
    fn find_falls(&mut self, kept: &Kept, mut file: Option<&mut TracksFile>) {
        self.falls.clear();
        self.near = false;
        self.find_movers();
        let tracks = self.tracker.tracks();
        self.dossiers
            .retain(|dossier| tracks.iter().any(|track| track.id == dossier.id));
        for (index, track) in tracks.iter().enumerate() {
            let settled =
                self.falling.knows(track.id) && self.falling.better_teller(track).is_none();
            if !track.is_seen_now() || settled || !self.judge.may_fall(track) {
                continue;
            }
            let dossier = dossier(&mut self.dossiers, track.id);
            let grown = track.sightings.len().saturating_sub(dossier.judged_at);
            let pause = if dossier.refused {
                SECOND_LOOK_AFTER
            } else {
                1 + track.sightings.len() / 16
            };
            if grown < pause || dossier.turned_down > SECOND_LOOKS {
                continue;
            }
            dossier.judged_at = track.sightings.len();
            let others = others_near(Mover::of(track), &self.movers, self.size_px.0);
            let Some(verdict) = self.judge.judge(track, others) else {
                continue;
            };
            tracing::trace!(
                track = track.id.0,
                sightings = track.sightings.len(),
                surprise = track.surprise,
                ?verdict,
                "judged"
            );
            if let Some(file) = file.as_deref_mut()
                && dossier.written.is_due(track, &verdict)
            {
                file.write(
                    Judged {
                        track,
                        verdict: &verdict,
                    },
                    |at| kept.at(at),
                );
            }
            self.near |= verdict.is_near();
            let looked_again = track.sightings.len() >= dossier.looked_at + SECOND_LOOK_AFTER;
            if verdict.is_fall() || verdict.likely && looked_again {
                self.falls.push((index, verdict));
            }
        }
        self.falls.sort_by(|(a, _), (b, _)| {
            let mass =
                |index: &usize| crate::alarm::falling::typical_mass(&tracks[*index].sightings);
            mass(b).total_cmp(&mass(a)).then(a.cmp(b))
        });
    }

    /// Lists the places of the things that move so that they could be judged and belong to no event.
    /// Twins that end in one candidate are one thing.
    fn find_movers(&mut self) {
        self.movers.clear();
        let movers = self
            .tracker
            .tracks()
            .iter()
            .filter(|track| track.is_seen_now() && self.judge.may_fall(track))
            .filter(|track| !self.falling.knows(track.id))
            .map(Mover::of);
        self.movers.extend(movers);
        self.movers.sort_unstable_by(|a, b| {
            let across = a.place.x.total_cmp(&b.place.x);
            across.then(a.place.y.total_cmp(&b.place.y))
        });
        self.movers.dedup_by(|a, b| a.place == b.place);
    }

    /// Makes alarms of the falls, or adds them to the events they belong to.
    fn settle_falls(
        &mut self,
        kept: &mut Kept,
        mut verifier: Option<&mut Verifier>,
        now: StreamTime,
        changes: &mut Vec<AlarmChange>,
    ) {
        for (index, verdict) in std::mem::take(&mut self.falls) {
            let track = &self.tracker.tracks()[index];
            let id = track.id;
            let joined = match self.falling.better_teller(track) {
                Some(key) => Joined::Better(key),
                None => self.falling.join(track, &verdict),
            };
            if joined == Joined::Member {
                self.tracker.pin(id);
                continue;
            }
            kept.recall();
            let Some(looks) = look_at(track, &verdict, kept, verifier.as_deref_mut()) else {
                let dossier = dossier(&mut self.dossiers, id);
                // It may still turn out to be a fall, for which nobody must wait.
                match verdict.is_fall() {
                    true => {
                        (dossier.refused, dossier.turned_down) = (true, dossier.turned_down + 1)
                    }
                    false => dossier.looked_at = track.sightings.len(),
                }
                continue;
            };
            let raising = raising(track, &verdict, &self.judge, kept, now, looks);
            match joined {
                Joined::Better(key) => self.falling.retell(key, raising),
                _ => {
                    let frames = frames_along(track, kept);
                    let (key, alarm) = self.falling.raise(raising);
                    self.pictures.push(Pictures::new(key));
                    changes.push(AlarmChange::Raised { key, alarm, frames });
                }
            }
            self.tracker.pin(id);
        }
    }

    fn follow(&mut self, kept: &Kept, at: StreamTime, changes: &mut Vec<AlarmChange>) {
        let tracks = self.tracker.tracks();
        for (key, area) in self.falling.live(tracks) {
            let pictures = self.pictures.iter_mut().find(|p| p.key == key);
            let pictures = pictures.filter(|pictures| pictures.wants(at));
            if let (Some(pictures), Some(frame)) = (pictures, kept.at(at)) {
                pictures.push(frame, area);
            }
        }
        let pictures = &mut self.pictures;
        self.falling.follow(tracks, at, |key, alarm| {
            changes.push(ended(key, alarm, pictures));
        });
    }
}

/// Returns how many of the movers move in the thing's part of the picture as it does: snow falls
/// everywhere, a tree beside the building says nothing of what falls before it, nor does what is
/// much slower or faster.
fn others_near(thing: Mover, movers: &[Mover], width_px: u32) -> usize {
    let reach_px = PART_OF_PICTURE * f64::from(width_px);
    let (across_px_s, down_px_s) = thing.speed_px_s;
    let speed_px_s = across_px_s.hypot(down_px_s);
    let alike = |mover: &&Mover| {
        let away_px_s = (mover.speed_px_s.0 - across_px_s).hypot(mover.speed_px_s.1 - down_px_s);
        mover.place != thing.place
            && (mover.place.x - thing.place.x).abs() <= reach_px
            && away_px_s <= SPEED_ALIKE * speed_px_s
    };
    movers.iter().filter(alike).count()
}

fn dossier(dossiers: &mut Vec<Dossier>, id: TrackId) -> &mut Dossier {
    let index = dossiers.iter().position(|dossier| dossier.id == id);
    let index = index.unwrap_or_else(|| {
        dossiers.push(Dossier {
            id,
            judged_at: 0,
            turned_down: 0,
            refused: false,
            looked_at: 0,
            written: Written::default(),
        });
        dossiers.len() - 1
    });
    &mut dossiers[index]
}

fn ended(key: AlarmKey, alarm: Alarm, pictures: &mut Vec<Pictures>) -> AlarmChange {
    let index = pictures.iter().position(|pictures| pictures.key == key);
    let frames = index.map_or_else(Vec::new, |index| pictures.swap_remove(index).into_frames());
    AlarmChange::Ended { key, alarm, frames }
}

/// Asks the verifier. Returns how much it looks like a fall, 0..1, or none if it turns it down.
fn look_at(
    track: &Track,
    verdict: &Verdict,
    kept: &Kept,
    verifier: Option<&mut Verifier>,
) -> Option<f64> {
    let patches = cut_patches(&track.sightings[verdict.first..], |at| kept.at(at));
    let (Some(patches), Some(verifier)) = (patches, verifier) else {
        // Nobody says that what is merely likely looks like a fall.
        return verdict.is_fall().then_some(1.0);
    };
    let (confirmed, looks) = verifier.confirms(&patches);
    let falls = looks.map_or(1.0, |looks| looks.falls());
    (confirmed && (verdict.is_fall() || falls >= LIKELY_LOOKS_MIN)).then_some(falls)
}

fn raising<'t>(
    track: &'t Track,
    verdict: &'t Verdict,
    judge: &Judge,
    kept: &Kept,
    now: StreamTime,
    looks: f64,
) -> Raising<'t> {
    let earlier = look_back(track, verdict, kept);
    let first = crate::alarm::falling::point(&track.sightings[verdict.first]);
    let earliest = *earlier.first().unwrap_or(&first);
    Raising {
        track,
        verdict,
        earlier,
        origin: origin::origin(verdict, &earliest, judge.map()),
        now,
        score: (verdict.score(track.surprise) * looks)
            .sqrt()
            .clamp(0.0, 1.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_moves_alike_casts_doubt_on_a_fall() {
        let mover = |x, y, across_px_s, down_px_s| Mover {
            place: Point::new(x, y),
            speed_px_s: (across_px_s, down_px_s),
        };
        let thing = mover(500.0, 300.0, 10.0, 200.0);
        let movers = [
            thing,
            mover(420.0, 100.0, 30.0, 150.0),
            // Slow snow, a bird on its way across, the same flake at the picture's other side.
            mover(510.0, 280.0, 5.0, 30.0),
            mover(480.0, 310.0, 220.0, 40.0),
            mover(900.0, 300.0, 10.0, 200.0),
        ];
        assert_eq!(others_near(thing, &movers, 960), 1);
    }
}
