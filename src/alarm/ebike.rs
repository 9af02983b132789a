//! The rides of e-bikes in one elevator car: seen at the door, inside, gone. Pure.
//!
//! A thing becomes a ride when the evidence that it is an e-bike, gathered look by look from the
//! door on, is strong enough and it stands inside: one false look can not raise an alarm, one missed
//! look cannot prevent it. Looks at something that stands still say nearly the same thing again, so
//! they weigh little; bicycle, pram and the rest, where they score higher, weigh against it. A ride
//! ends when nothing of it was seen inside for 5 s. It must never be begun anew by people who hide the
//! machine for some seconds, by doors that open, or by a light that goes off.
//!
//! Two machines at once are one ride unless they are seen side by side in three looks at least.

mod thing;

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Alarm, AlarmKey, AlarmKind, TrackPoint};
use crate::clock::StreamTime;
use crate::detect::ebike::{Class, Detection, Thresholds};
use crate::geometry::BoxPx;
use crate::scene::elevator::ElevatorScene;
use crate::track::overlap::{OverlapTracks, TrackId};
use thing::{MISS, Thing, sightings};

/// How long it must be absent to be gone (the community standard's figure).
const GONE: Duration = Duration::from_secs(5);
/// How long a thing that was an e-bike may be called something else and still hold its ride.
const OTHERWISE_CALLED_MAX: Duration = Duration::from_secs(10);
/// Looks that show two machines side by side before the second is a ride of its own.
const BESIDE_MIN: u32 = 3;
/// How long a dark car, or a picture in which nothing changes, can keep a ride alive without a
/// single sight of the machine.
const UNSEEN_MAX: Duration = Duration::from_secs(600);
/// How long people before it can keep a ride alive, and the share of its place they must cover. The
/// ride is told to have ended when it was last seen, however long this waits.
const HIDDEN_MAX: Duration = Duration::from_secs(12);
const HIDDEN_SHARE: f64 = 0.6;
/// Share of the smaller box below which two boxes are apart.
const APART_SHARE: f64 = 0.3;

/// One look into the car.
pub struct Look<'a> {
    pub at: StreamTime,
    pub width_px: u32,
    pub height_px: u32,
    /// From the classes' `track` thresholds on.
    pub detections: &'a [Detection],
    /// Whether it is too dark to see anything.
    pub dark: bool,
    /// Tells whether that area of the picture is as it was when a ride was last seen there.
    pub unchanged: &'a dyn Fn(AlarmKey, &BoxPx) -> bool,
}

/// What a look means. `shown_at` names the frames that show it, oldest first, the best one last.
#[derive(Clone, Debug, PartialEq)]
pub enum RideChange {
    Raised {
        key: AlarmKey,
        alarm: Alarm,
        shown_at: Vec<StreamTime>,
    },
    Ended {
        key: AlarmKey,
        alarm: Alarm,
        shown_at: Vec<StreamTime>,
    },
}

/// One car's state.
#[derive(Debug)]
pub struct Car {
    scene: Option<ElevatorScene>,
    ebike: Thresholds,
    tracks: OverlapTracks,
    things: BTreeMap<TrackId, Thing>,
    rides: Vec<Ride>,
    next_key: u64,
}

/// An e-bike inside, from alarm to end.
#[derive(Clone, Debug)]
struct Ride {
    key: AlarmKey,
    track: TrackId,
    /// Where it was on earlier tracks.
    earlier: Vec<(StreamTime, BoxPx)>,
    started_at: StreamTime,
    raised_at: StreamTime,
    score: f64,
    /// When it was last seen inside, and where; and when it was last seen there as an e-bike.
    seen_at: StreamTime,
    area: BoxPx,
    ebike_at: StreamTime,
    /// When it was last taken to be inside: seen, or nothing changed, or too dark to say.
    present_at: StreamTime,
    /// The highest e-bike score since it was raised, and its moment.
    best: Option<(f64, StreamTime)>,
}

impl Car {
    /// Returns an empty car; `ebike` are the detector's thresholds of that class. Without a scene
    /// whatever is in the picture is inside.
    pub fn new(scene: Option<ElevatorScene>, ebike: Thresholds) -> Self {
        Self {
            scene,
            ebike,
            tracks: OverlapTracks::default(),
            things: BTreeMap::new(),
            rides: Vec::new(),
            next_key: 0,
        }
    }

    /// Judges by this floor from the next look on. What stands in the car goes on being followed, and
    /// a ride that is raised goes on.
    pub fn set_scene(&mut self, scene: Option<ElevatorScene>) {
        self.scene = scene;
    }

    /// Takes one look. `changes` takes what it means.
    pub fn look(&mut self, look: &Look<'_>, changes: &mut Vec<RideChange>) {
        let seen = self.follow(look);
        self.count_beside(&seen);
        self.carry_rides(look, &seen);
        self.raise_rides(look.at, &seen, changes);
        self.advance(look.at, changes);
    }

    /// Lets time pass without a look: ends the rides that are gone.
    pub fn advance(&mut self, at: StreamTime, changes: &mut Vec<RideChange>) {
        let tracks = &mut self.tracks;
        self.rides.retain(|ride| {
            let present = ride.present_at + GONE > at;
            if !present {
                changes.push(ride.ended(tracks));
                // Should it come back, that is a ride and a track of its own.
                tracks.forget(ride.track);
            }
            present
        });
        self.tracks.expire(at, GONE, |id| {
            self.rides.iter().any(|ride| ride.track == id)
        });
        self.things.retain(|id, _| self.tracks.get(*id).is_some());
    }

    /// Forgets the timeline: ends every ride.
    pub fn restart(&mut self, changes: &mut Vec<RideChange>) {
        for ride in self.rides.drain(..) {
            changes.push(ride.ended(&self.tracks));
        }
        self.tracks.clear();
        self.things.clear();
    }

    /// Returns whether something young may be an e-bike, so that looking more often decides soon.
    /// At most 3 s of each thing: what has not been decided then does not get surer.
    pub fn is_undecided(&self, at: StreamTime) -> bool {
        let young = |id: &TrackId| {
            let first_at = self.tracks.get(*id).map(|track| track.first_at());
            first_at.is_some_and(|first_at| first_at + Duration::from_secs(3) > at)
        };
        self.things
            .iter()
            .any(|(id, thing)| !thing.top.is_empty() && !self.is_riding(*id) && young(id))
    }

    /// Returns the rides and where each was last seen.
    pub fn rides(&self) -> impl Iterator<Item = (AlarmKey, StreamTime, BoxPx)> {
        self.rides
            .iter()
            .map(|ride| (ride.key, ride.seen_at, ride.area))
    }

    /// Returns the moments whose frames may yet be asked for in a change.
    pub fn wanted(&self) -> impl Iterator<Item = StreamTime> {
        let of_things = self
            .things
            .iter()
            .filter(|(_, thing)| !thing.top.is_empty());
        let of_things = of_things.flat_map(|(id, thing)| {
            let first_at = self.tracks.get(*id).map(|track| track.first_at());
            first_at.into_iter().chain([thing.best_at, thing.seen_at])
        });
        let of_rides = self.rides.iter().flat_map(Ride::shown_at);
        of_things.chain(of_rides)
    }

    /// Puts what is seen onto tracks; returns the tracks seen in this look.
    fn follow(&mut self, look: &Look<'_>) -> Vec<TrackId> {
        let sightings = sightings(look.detections);
        let areas: Vec<BoxPx> = sightings.iter().map(|sighting| sighting.area).collect();
        let seen = self.tracks.update(look.at, &areas);
        for (id, sighting) in seen.iter().zip(&sightings) {
            let inside = self
                .scene
                .as_ref()
                .is_none_or(|scene| scene.holds(&sighting.area, look.width_px, look.height_px));
            let thing = self
                .things
                .entry(*id)
                .or_insert_with(|| Thing::new(look.at, sighting.area));
            thing.see(look.at, sighting, inside, self.ebike);
        }
        for (_, thing) in self.things.iter_mut().filter(|(id, _)| !seen.contains(id)) {
            thing.judge(look.at, MISS);
        }
        seen
    }

    /// Counts for everything that is no ride the looks that show it as an e-bike apart from a ride's
    /// machine. Boxes that overlap may be two views of one machine and count for nothing.
    fn count_beside(&mut self, seen: &[TrackId]) {
        let shown: Vec<(TrackId, BoxPx)> = seen
            .iter()
            .filter(|id| self.things.get(id).is_some_and(|t| self.surely_shows(t)))
            .filter_map(|id| self.tracks.get(*id).map(|track| (*id, track.area())))
            .collect();
        let (riding, others): (Vec<_>, Vec<_>) =
            shown.into_iter().partition(|(id, _)| self.is_riding(*id));
        for (id, area) in others {
            let apart = |ride: &(TrackId, BoxPx)| are_apart(&ride.1, &area);
            if !riding.is_empty()
                && riding.iter().all(apart)
                && let Some(thing) = self.things.get_mut(&id)
            {
                thing.beside_ride += 1;
            }
        }
    }

    /// Keeps each ride alive that is seen, found again under another track, or cannot have left.
    fn carry_rides(&mut self, look: &Look<'_>, seen: &[TrackId]) {
        for index in 0..self.rides.len() {
            if let Some(found) = self.found_again(&self.rides[index], look.at, seen) {
                let old = self.tracks.get(self.rides[index].track);
                let points = old.map(|track| track.points().to_vec()).unwrap_or_default();
                self.rides[index].earlier.extend(points);
                self.rides[index].track = found;
            }
            let holds = self.holds(&self.rides[index], look.at);
            let may_hide = !self.is_seen_outside(self.rides[index].seen_at);
            let ride = &mut self.rides[index];
            let unseen = look.at.secs_since(ride.seen_at);
            if holds
                && let (Some(thing), Some(track)) =
                    (self.things.get(&ride.track), self.tracks.get(ride.track))
            {
                if thing.ebike >= self.ebike.track {
                    ride.ebike_at = look.at;
                }
                ride.see(look.at, thing, track.area());
            } else if unseen <= UNSEEN_MAX.as_secs_f64()
                && (look.dark || (look.unchanged)(ride.key, &ride.area))
                || unseen <= HIDDEN_MAX.as_secs_f64() && may_hide && is_hidden(look, &ride.area)
            {
                ride.present_at = look.at;
            }
        }
    }

    /// Returns whether the look at `at` shows the ride's machine inside: as an e-bike, or called
    /// something else for a while.
    fn holds(&self, ride: &Ride, at: StreamTime) -> bool {
        let called = ride.ebike_at + OTHERWISE_CALLED_MAX >= at;
        self.things.get(&ride.track).is_some_and(|thing| {
            thing.seen_at == at && thing.inside && (called || thing.ebike >= self.ebike.track)
        })
    }

    /// Returns the track inside that may be the machine of a ride whose own track does not show it, or
    /// shows it unsurely: the surest one. Elsewhere than where it was last seen, and against a track
    /// that still holds, it takes a score that makes alarms.
    fn found_again(&self, ride: &Ride, at: StreamTime, seen: &[TrackId]) -> Option<TrackId> {
        let holds = self.holds(ride, at);
        let own = self.things.get(&ride.track);
        if holds && own.is_some_and(|thing| thing.ebike >= self.ebike.alarm) {
            return None;
        }
        let fits = |id: &&TrackId| {
            let (Some(thing), Some(track)) = (self.things.get(id), self.tracks.get(**id)) else {
                return false;
            };
            let here = !holds && !are_apart(&track.area(), &ride.area);
            let least = if here {
                self.ebike.track
            } else {
                self.ebike.alarm
            };
            self.shows_ebike(thing) && thing.ebike >= least && thing.beside_ride < BESIDE_MIN
        };
        let free = seen.iter().filter(|id| !self.is_riding(**id)).filter(fits);
        let score = |id: &&TrackId| self.things.get(id).map_or(0.0, |thing| thing.ebike);
        free.max_by(|a, b| score(a).total_cmp(&score(b))).copied()
    }

    /// Returns whether an e-bike was seen outside after `since`: what left is not hidden.
    fn is_seen_outside(&self, since: StreamTime) -> bool {
        self.things
            .values()
            .any(|thing| thing.seen_at > since && !thing.inside && thing.ebike >= self.ebike.track)
    }

    fn is_riding(&self, id: TrackId) -> bool {
        self.rides.iter().any(|ride| ride.track == id)
    }

    fn surely_shows(&self, thing: &Thing) -> bool {
        self.shows_ebike(thing) && thing.ebike >= self.ebike.alarm
    }

    /// Returns whether the newest look at a thing shows an e-bike inside.
    fn shows_ebike(&self, thing: &Thing) -> bool {
        thing.inside && thing.ebike >= self.ebike.track && thing.ebike > thing.rival
    }

    fn raise_rides(&mut self, at: StreamTime, seen: &[TrackId], changes: &mut Vec<RideChange>) {
        for id in seen {
            if self.is_riding(*id) {
                continue;
            }
            let (Some(thing), Some(track)) = (self.things.get(id), self.tracks.get(*id)) else {
                continue;
            };
            let another = self.rides.is_empty() || thing.beside_ride >= BESIDE_MIN;
            if !another || !thing.is_ebike_inside(at) {
                continue;
            }
            let ride = Ride {
                key: AlarmKey(self.next_key),
                track: *id,
                earlier: Vec::new(),
                started_at: track.first_at(),
                raised_at: at,
                score: thing.score(),
                seen_at: at,
                area: track.area(),
                ebike_at: at,
                present_at: at,
                best: None,
            };
            self.next_key += 1;
            let mut shown_at = vec![track.first_at(), at];
            shown_at.retain(|moment| *moment != thing.best_at);
            shown_at.push(thing.best_at);
            changes.push(RideChange::Raised {
                key: ride.key,
                alarm: ride.alarm(&self.tracks, None),
                shown_at,
            });
            self.rides.push(ride);
        }
    }
}

impl Ride {
    fn see(&mut self, at: StreamTime, thing: &Thing, area: BoxPx) {
        (self.seen_at, self.present_at, self.area) = (at, at, area);
        self.score = self.score.max(thing.score());
        if at > self.raised_at && self.best.is_none_or(|(score, _)| thing.ebike > score) {
            self.best = Some((thing.ebike, at));
        }
    }

    /// Returns the moments that show it since it was raised, the best last.
    fn shown_at(&self) -> Vec<StreamTime> {
        let best_at = self.best.map(|(_, at)| at);
        let last = Some(self.seen_at).filter(|at| Some(*at) != best_at && best_at.is_some());
        last.into_iter().chain(best_at).collect()
    }

    fn ended(&self, tracks: &OverlapTracks) -> RideChange {
        RideChange::Ended {
            key: self.key,
            alarm: self.alarm(tracks, Some(self.seen_at)),
            shown_at: self.shown_at(),
        }
    }

    fn alarm(&self, tracks: &OverlapTracks, ended_at: Option<StreamTime>) -> Alarm {
        let points = tracks
            .get(self.track)
            .map_or(&[][..], |track| track.points());
        let whole = self.earlier.iter().chain(points);
        let until = ended_at.unwrap_or(self.seen_at);
        let track = whole
            .filter(|(at, _)| *at <= until)
            .map(|&(at, area)| TrackPoint { at, area })
            .collect();
        Alarm {
            kind: AlarmKind::EbikeInElevator,
            started_at: self.started_at,
            raised_at: self.raised_at,
            ended_at,
            score: self.score,
            track,
            origin: None,
        }
    }
}

/// Returns whether people cover most of an area; where they overlap each other it counts twice.
fn is_hidden(look: &Look<'_>, area: &BoxPx) -> bool {
    let people = look.detections.iter().filter(|d| d.class == Class::Person);
    let covered: f64 = people.map(|person| person.area.overlap_px2(area)).sum();
    covered >= HIDDEN_SHARE * area.area_px2()
}

/// Returns whether two boxes overlap so little that they cannot be one machine.
fn are_apart(a: &BoxPx, b: &BoxPx) -> bool {
    let smaller = a.area_px2().min(b.area_px2());
    a.overlap_px2(b) < APART_SHARE * smaller
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::Polygon;

    const ALARM: f64 = 0.4;
    const LOOK_S: f64 = 0.2;

    /// A car whose floor is the lower half of a picture of 1000 x 1000.
    struct Script {
        car: Car,
        now_s: f64,
        changes: Vec<RideChange>,
    }

    impl Script {
        fn new() -> Self {
            let corners = [[0.0, 0.5], [1.0, 0.5], [1.0, 1.0], [0.0, 1.0]];
            let scene = ElevatorScene {
                car_floor: Polygon {
                    corners: corners.map(Into::into).to_vec(),
                },
            };
            let thresholds = Thresholds {
                alarm: ALARM,
                track: 0.2,
            };
            Self {
                car: Car::new(Some(scene), thresholds),
                now_s: 0.0,
                changes: Vec::new(),
            }
        }

        fn look(&mut self, detections: &[Detection], dark: bool, unchanged: bool) {
            let look = Look {
                at: StreamTime::from_secs_f64(self.now_s),
                width_px: 1000,
                height_px: 1000,
                detections,
                dark,
                unchanged: &|_, _| unchanged,
            };
            self.car.look(&look, &mut self.changes);
            self.now_s += LOOK_S;
        }

        fn show(&mut self, seconds: f64, detections: &[Detection]) -> &mut Self {
            let end_s = self.now_s + seconds;
            while self.now_s < end_s - 1e-9 {
                self.look(detections, false, false);
            }
            self
        }

        fn raised(&self) -> Vec<&Alarm> {
            let changes = self.changes.iter();
            changes
                .filter_map(|change| match change {
                    RideChange::Raised { alarm, .. } => Some(alarm),
                    RideChange::Ended { .. } => None,
                })
                .collect()
        }

        fn ended(&self) -> Vec<&Alarm> {
            let changes = self.changes.iter();
            changes
                .filter_map(|change| match change {
                    RideChange::Ended { alarm, .. } => Some(alarm),
                    RideChange::Raised { .. } => None,
                })
                .collect()
        }
    }

    fn thing(class: Class, score: f64, left: f64, top: f64) -> Detection {
        Detection {
            class,
            score,
            area: BoxPx::from_corners(left, top, left + 250.0, top + 300.0),
        }
    }

    fn inside(score: f64) -> Detection {
        thing(Class::Ebike, score, 300.0, 600.0)
    }

    fn at_door(score: f64) -> Detection {
        thing(Class::Ebike, score, 300.0, 100.0)
    }

    #[test]
    fn a_ride_is_one_alarm_from_the_door_to_the_end() {
        let mut script = Script::new();
        script.show(2.0, &[]).show(1.0, &[at_door(0.7)]);
        for step in 0..5 {
            let top = 100.0 + 100.0 * f64::from(step + 1);
            script.show(LOOK_S, &[thing(Class::Ebike, 0.7, 300.0, top)]);
        }
        script.show(20.0, &[inside(0.8)]).show(6.0, &[]);
        let (raised, ended) = (script.raised(), script.ended());
        assert_eq!((raised.len(), ended.len()), (1, 1));
        assert_eq!(raised[0].started_at, StreamTime::from_secs_f64(2.0));
        // Half of it was inside at 3.6 s.
        assert!(
            raised[0].raised_at <= StreamTime::from_secs_f64(5.6),
            "{}",
            raised[0].raised_at
        );
        assert_eq!(ended[0].ended_at, Some(StreamTime::from_secs_f64(23.8)));
        assert_eq!(ended[0].track.len(), 110);
        assert!(raised[0].score > 0.6 && ended[0].score >= raised[0].score);
    }

    #[test]
    fn one_at_the_door_that_stays_outside_raises_nothing() {
        let mut script = Script::new();
        script.show(30.0, &[at_door(0.9)]).show(6.0, &[]);
        assert_eq!(script.changes, []);
    }

    #[test]
    fn bicycles_prams_and_wheelchairs_raise_nothing() {
        for class in [
            Class::Bicycle,
            Class::Pram,
            Class::Wheelchair,
            Class::Other,
            Class::Person,
        ] {
            let mut script = Script::new();
            script
                .show(20.0, &[thing(class, 0.8, 300.0, 600.0)])
                .show(6.0, &[]);
            assert_eq!(script.changes, [], "{class}");
        }
    }

    #[test]
    fn a_bicycle_that_is_half_an_ebike_to_the_model_raises_nothing() {
        let mut script = Script::new();
        let both = [thing(Class::Bicycle, 0.6, 300.0, 600.0), inside(0.5)];
        script.show(20.0, &both).show(6.0, &[]);
        assert_eq!(script.changes, []);
    }

    #[test]
    fn single_false_looks_raise_nothing() {
        let mut script = Script::new();
        for _ in 0..30 {
            script.show(LOOK_S, &[inside(0.95)]).show(1.8, &[]);
        }
        assert_eq!(script.changes, []);
    }

    #[test]
    fn every_second_look_missed_still_raises_within_two_seconds_and_once() {
        let mut script = Script::new();
        // Pushed in over 1.6 s, the middle past the sill at 1.0 s; then it stands.
        for step in 0..50 {
            let top = 200.0 + 100.0 * f64::from(step.min(4));
            script.show(LOOK_S, &[thing(Class::Ebike, 0.45, 300.0, top)]);
            script.show(LOOK_S, &[]);
        }
        script.show(6.0, &[]);
        assert_eq!((script.raised().len(), script.ended().len()), (1, 1));
        assert!(
            script.raised()[0].raised_at <= StreamTime::from_secs_f64(3.0),
            "{}",
            script.raised()[0].raised_at
        );
    }

    #[test]
    fn what_stands_there_from_the_first_look_on_is_raised_too() {
        let mut script = Script::new();
        script.show(2.0, &[inside(0.6)]);
        assert_eq!(script.raised().len(), 1, "surely an e-bike");
        let mut script = Script::new();
        for _ in 0..30 {
            script.show(LOOK_S, &[inside(0.45)]).show(LOOK_S, &[]);
        }
        assert_eq!(script.raised().len(), 1, "in the end");
    }

    #[test]
    fn a_bicycle_that_flickers_to_an_ebike_raises_nothing() {
        let mut script = Script::new();
        for step in 0..40 {
            let left = 300.0 + 60.0 * f64::from(step % 3);
            let bicycle = thing(Class::Bicycle, 0.6, left, 600.0);
            script.show(3.0 * LOOK_S, &[bicycle]);
            script.show(LOOK_S, &[thing(Class::Ebike, 0.7, left, 600.0)]);
        }
        assert_eq!(script.changes, []);
    }

    #[test]
    fn somebody_taken_for_an_ebike_raises_nothing_but_a_rider_does_not_hide_one() {
        let mut script = Script::new();
        let person = thing(Class::Person, 0.8, 310.0, 610.0);
        script.show(20.0, &[person, inside(0.65)]).show(6.0, &[]);
        assert_eq!(script.changes, []);
        let rider = thing(Class::Person, 0.9, 330.0, 450.0);
        script.show(3.0, &[rider, inside(0.65)]);
        assert_eq!(script.raised().len(), 1);
    }

    #[test]
    fn a_pram_that_looks_like_an_ebike_through_the_door_raises_nothing() {
        let mut script = Script::new();
        script.show(3.0, &[at_door(0.8)]);
        for step in 0..5 {
            let top = 200.0 + 100.0 * f64::from(step);
            let pram = thing(Class::Pram, 0.6, 300.0, top);
            script.show(LOOK_S, &[pram, thing(Class::Ebike, 0.4, 300.0, top)]);
        }
        script.show(10.0, &[thing(Class::Pram, 0.7, 300.0, 600.0), inside(0.45)]);
        assert_eq!(script.changes, []);
    }

    #[test]
    fn what_was_called_a_bicycle_at_the_door_can_still_be_an_ebike() {
        let mut script = Script::new();
        script.show(1.0, &[thing(Class::Bicycle, 0.5, 300.0, 100.0)]);
        for step in 0..5 {
            let top = 200.0 + 100.0 * f64::from(step);
            script.show(LOOK_S, &[thing(Class::Ebike, 0.7, 300.0, top)]);
        }
        script.show(3.0, &[inside(0.7)]);
        assert_eq!(script.raised().len(), 1);
    }

    #[test]
    fn what_is_left_behind_does_not_hold_the_ride_of_one_that_left() {
        let mut script = Script::new();
        script.show(3.0, &[inside(0.8)]);
        // It left; a suitcase stands where it stood.
        script.show(30.0, &[thing(Class::Other, 0.6, 300.0, 600.0)]);
        assert_eq!((script.raised().len(), script.ended().len()), (1, 1));
    }

    #[test]
    fn scores_that_only_keep_a_track_alive_raise_nothing_but_hold_a_ride() {
        let mut script = Script::new();
        script.show(10.0, &[inside(0.3)]);
        assert_eq!(script.changes, []);
        script.show(3.0, &[inside(0.6)]).show(20.0, &[inside(0.25)]);
        assert_eq!((script.raised().len(), script.ended().len()), (1, 0));
    }

    #[test]
    fn an_ebike_hidden_by_people_is_the_same_ride_also_when_it_reappears_elsewhere() {
        let mut script = Script::new();
        script
            .show(3.0, &[inside(0.7)])
            .show(4.0, &[])
            .show(3.0, &[inside(0.7)]);
        let elsewhere = thing(Class::Ebike, 0.7, 700.0, 650.0);
        script.show(4.0, &[]).show(3.0, &[elsewhere]).show(6.0, &[]);
        assert_eq!((script.raised().len(), script.ended().len()), (1, 1));
        assert_eq!(
            script.ended()[0].ended_at,
            Some(StreamTime::from_secs_f64(16.8))
        );
        let track = &script.ended()[0].track;
        assert!(track.windows(2).all(|pair| pair[0].at < pair[1].at));
    }

    #[test]
    fn people_before_it_hide_it_for_a_while_but_not_for_ever() {
        let mut script = Script::new();
        let person = thing(Class::Person, 0.8, 320.0, 560.0);
        script.show(3.0, &[inside(0.7)]).show(9.0, &[person]);
        script.show(3.0, &[inside(0.7)]);
        assert_eq!((script.raised().len(), script.ended().len()), (1, 0));
        script.show(20.0, &[person]);
        assert_eq!(script.ended().len(), 1, "somebody stands where it stood");
        let ended_at = script.ended()[0].ended_at.expect("it ended");
        assert_eq!(ended_at, StreamTime::from_secs_f64(14.8), "as last seen");
        let mut script = Script::new();
        script.show(3.0, &[inside(0.7)]).show(0.4, &[at_door(0.7)]);
        script.show(5.4, &[person]);
        assert_eq!(script.ended().len(), 1, "it was seen to leave");
    }

    #[test]
    fn the_next_ride_is_the_next_alarm() {
        let mut script = Script::new();
        for _ in 0..3 {
            script
                .show(4.0, &[inside(0.7)])
                .show(2.0, &[at_door(0.7)])
                .show(6.0, &[]);
        }
        assert_eq!((script.raised().len(), script.ended().len()), (3, 3));
        let starts: Vec<_> = script
            .raised()
            .iter()
            .map(|alarm| alarm.started_at)
            .collect();
        let ends: Vec<_> = script
            .ended()
            .iter()
            .filter_map(|alarm| alarm.ended_at)
            .collect();
        assert!(starts[1] > ends[0] && starts[2] > ends[1]);
    }

    #[test]
    fn a_light_that_goes_off_does_not_end_a_ride() {
        let mut script = Script::new();
        script.show(3.0, &[inside(0.7)]);
        for _ in 0..100 {
            script.look(&[], true, false);
        }
        script.show(3.0, &[inside(0.7)]);
        assert_eq!((script.raised().len(), script.ended().len()), (1, 0));
    }

    #[test]
    fn a_picture_in_which_nothing_changes_does_not_end_a_ride() {
        let mut script = Script::new();
        script.show(3.0, &[inside(0.7)]);
        for _ in 0..100 {
            script.look(&[], false, true);
        }
        assert_eq!((script.raised().len(), script.ended().len()), (1, 0));
        for _ in 0..4000 {
            script.look(&[], false, true);
        }
        assert_eq!(script.ended().len(), 1, "not for ever");
    }

    #[test]
    fn two_side_by_side_are_two_rides() {
        let mut script = Script::new();
        let second = thing(Class::Ebike, 0.7, 650.0, 600.0);
        script
            .show(5.0, &[inside(0.7)])
            .show(5.0, &[inside(0.7), second])
            .show(6.0, &[]);
        assert_eq!((script.raised().len(), script.ended().len()), (2, 2));
    }

    #[test]
    fn a_second_box_that_flickers_is_no_second_ride() {
        let mut script = Script::new();
        let second = thing(Class::Ebike, 0.7, 650.0, 600.0);
        script
            .show(5.0, &[inside(0.7)])
            .show(2.0 * LOOK_S, &[inside(0.7), second]);
        script.show(5.0, &[inside(0.7)]);
        assert_eq!(script.raised().len(), 1);
    }

    #[test]
    fn two_boxes_of_one_machine_keep_one_ride() {
        let mut script = Script::new();
        script.show(3.0, &[inside(0.7)]);
        // The model splits it: one half is called a pram and stays on the ride's track.
        let halves = |left: f64, right: f64| {
            let (class, other) = (Class::Ebike, Class::Pram);
            [
                thing(class, 0.7, 300.0 + left, 700.0),
                thing(other, 0.4, 300.0 - right, 550.0),
            ]
        };
        for _ in 0..15 {
            script.show(LOOK_S, &halves(70.0, 0.0));
            script.show(LOOK_S, &halves(60.0, 30.0));
        }
        script.show(10.0, &halves(90.0, 60.0)).show(6.0, &[]);
        assert_eq!((script.raised().len(), script.ended().len()), (1, 1));
        let ended_at = script.ended()[0].ended_at.expect("it ended");
        assert!(ended_at >= StreamTime::from_secs_f64(18.0), "{ended_at}");
    }

    #[test]
    fn a_weak_second_box_does_not_take_the_ride_and_leave_the_machine_to_another() {
        let mut script = Script::new();
        script.show(3.0, &[inside(0.8)]);
        let weak = thing(Class::Ebike, 0.25, 380.0, 650.0);
        script.show(2.0, &[weak]);
        let away = thing(Class::Ebike, 0.25, 600.0, 680.0);
        for _ in 0..20 {
            script.show(LOOK_S, &[weak, thing(Class::Ebike, 0.6, 250.0, 560.0)]);
            script.show(LOOK_S, &[away, thing(Class::Ebike, 0.6, 250.0, 560.0)]);
        }
        assert_eq!((script.raised().len(), script.ended().len()), (1, 0));
    }

    #[test]
    fn a_restart_ends_what_is_raised() {
        let mut script = Script::new();
        script.show(3.0, &[inside(0.7)]);
        script.car.restart(&mut script.changes);
        assert_eq!((script.raised().len(), script.ended().len()), (1, 1));
        assert_eq!(script.car.wanted().count(), 0);
    }

    #[test]
    fn the_best_picture_is_the_last_one_shown_and_still_wanted_before() {
        let mut script = Script::new();
        script
            .show(0.4, &[inside(0.6)])
            .show(LOOK_S, &[inside(0.9)]);
        let best_at = StreamTime::from_secs_f64(0.4);
        assert!(script.car.wanted().any(|at| at == best_at));
        script.show(2.0, &[inside(0.6)]);
        let RideChange::Raised { shown_at, .. } = &script.changes[0] else {
            panic!("raised first")
        };
        assert_eq!(shown_at.last(), Some(&best_at));
    }
}
