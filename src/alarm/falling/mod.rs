//! Falls: from tracks that gravity explains to alarms, one for each event. Pure.
//!
//! A fall latches: it is raised once, and ends when the object has left view. Whatever falls beside
//! it and began to at the same time (its mirror image in a glass facade, its parts), goes on where it
//! was lost or springs from where it struck belongs to it and never makes an alarm of its own. What
//! began at another time is another thing: two bottles thrown one after the other are two alarms.

pub(crate) mod across;
pub(crate) mod fall;
pub(crate) mod verdict;
mod likely;
pub(crate) mod judge;
pub(crate) mod origin;

use std::time::Duration;

use crate::alarm::{Alarm, AlarmKey, AlarmKind, Origin, TrackPoint};
use crate::clock::StreamTime;
use crate::geometry::{BoxPx, Point};
use crate::track::accelerating::{Sighting, Track, TrackId};
use verdict::Verdict;

/// Time after an event within which something falling beside it belongs to it.
const AFTERMATH: Duration = Duration::from_millis(2500);

/// Time between the beginnings of a thing and of its mirror image on the picture: either may be
/// hidden at first.
const TOGETHER: Duration = Duration::from_millis(1000);

/// Time an event stays open after any of its tracks was last seen.
const LINGER: Duration = Duration::from_millis(1200);

/// Share of the picture's width within which two things that began to fall at once are one event: a
/// mirror image stands as far behind the glass as the thing before it, some metres. Measured on two
/// real falls before glass in 46 variants: one alarm each, as with 0.12, which took eight of 59 drawn
/// falls into another's event that 0.05 leaves apart.
const BESIDE: f64 = 0.05;

/// Time between the beginnings of two falls, as their curves tell it, up to which they are one, and
/// what it grows by for each second that a fall had lasted when first seen.
const SAME_APEX_S: f64 = 0.35;
const SAME_APEX_PER_S: f64 = 0.25;

/// The same for a thing and its mirror image below it: what flies away from the wall comes nearer a
/// camera below, and seems to hang, while its image goes further and seems to sink. Measured on a
/// real bottle, whose image's curve begins 1.1 s earlier.
const IMAGE_APEX_S: f64 = 1.2;

/// How far apart a thing and its mirror image may seem to begin, metres: twice as far as it was held
/// from the glass, times the tangent of the view. What began further apart was let go elsewhere. Where
/// floor lines tell the scale that is less than a storey. Where it is only guessed, two real falls
/// before glass had 3.3 to 5.1 m; drawn falls from other windows that began as near in time, 7 to 43.
const IMAGE_APART_M: f64 = 2.5;
const IMAGE_APART_UNMAPPED_M: f64 = 6.0;

/// Share of the picture's height within which a track goes on where the event's fall leads, or
/// springs from where it was last seen.
const SAME_PLACE: f64 = 0.06;

/// Events remembered at most, live ones and past ones; beyond it the oldest are forgotten.
const EVENTS_MAX: usize = 32;

/// Share of its greatest speed under which what a track shows is no longer what fell.
const SLOWED: f64 = 0.5;

/// How much heavier a companion must be to take an event over from a track.
const HEAVIER: f64 = 1.5;

/// How much of the telling track's mass a companion above it must have to be the thing itself: a
/// mirror image stands behind the glass, further away, and so lower for a camera that looks up.
const LIGHTER: f64 = 0.6;

/// One event and the track that tells it.
#[derive(Debug)]
struct Event {
    key: AlarmKey,
    main: TrackId,
    members: Vec<TrackId>,
    mass: f64,
    /// What the judge said of the track that tells it.
    verdict: Verdict,
    alarm: Alarm,
    /// When the newest sighting of any member was.
    last_at: StreamTime,
    /// How fast the track that tells it came down at most, pixels a second.
    fastest_px_s: f64,
}

/// Where the scale of a camera's picture comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scale {
    /// From floor lines.
    Mapped,
    /// From what the falls themselves look like.
    Guessed,
}

/// The events of one camera.
#[derive(Debug)]
pub(crate) struct Falling {
    size_px: (f64, f64),
    image_apart_m: f64,
    events: Vec<Event>,
    next_key: u64,
}

/// What is needed to raise an alarm.
pub(crate) struct Raising<'a> {
    pub(crate) track: &'a Track,
    pub(crate) verdict: &'a Verdict,
    /// What looking back found before the track's first sighting, in order.
    pub(crate) earlier: Vec<TrackPoint>,
    pub(crate) origin: Origin,
    /// The newest frame's time.
    pub(crate) now: StreamTime,
    pub(crate) score: f64,
}

impl Falling {
    /// Returns no events, for pictures of the given size.
    pub(crate) fn new(width_px: u32, height_px: u32, scale: Scale) -> Self {
        Self {
            image_apart_m: match scale {
                Scale::Mapped => IMAGE_APART_M,
                Scale::Guessed => IMAGE_APART_UNMAPPED_M,
            },
            size_px: (f64::from(width_px), f64::from(height_px)),
            events: Vec::new(),
            next_key: 0,
        }
    }

    /// Returns whether the track belongs to an event already.
    pub(crate) fn knows(&self, id: TrackId) -> bool {
        self.events.iter().any(|event| event.members.contains(&id))
    }

    /// Adds a falling track to the event that it belongs to, if there is one. Returns that event if
    /// the track shows it so much better that it should tell it.
    pub(crate) fn join(&mut self, track: &Track, verdict: &Verdict) -> Joined {
        let began = verdict.reference;
        let mass = typical_mass(&track.sightings[verdict.first..]);
        let (size_px, image_apart_m) = (self.size_px, self.image_apart_m);
        let event = self.events.iter_mut().rev().find(|event| {
            let in_time = began <= event.last_at + AFTERMATH;
            in_time && event.owns(track, verdict, size_px, image_apart_m)
        });
        let Some(event) = event else {
            return Joined::None;
        };
        event.members.push(track.id);
        event.last_at = event.last_at.max(track.last().at);
        if event.should_pass_to(track, began, mass) {
            Joined::Better(event.key)
        } else {
            Joined::Member
        }
    }

    /// Returns the event that the track is a member of and should tell from now on, if there is one.
    pub(crate) fn better_teller(&self, track: &Track) -> Option<AlarmKey> {
        let event = self
            .events
            .iter()
            .find(|event| event.main != track.id && event.members.contains(&track.id))?;
        let began = track.sightings.first()?.at;
        let mass = typical_mass(&track.sightings);
        event
            .should_pass_to(track, began, mass)
            .then_some(event.key)
    }

    /// Raises an alarm.
    pub(crate) fn raise(&mut self, raising: Raising<'_>) -> (AlarmKey, Alarm) {
        self.next_key += 1;
        let key = AlarmKey(self.next_key);
        let mut alarm = Alarm {
            kind: AlarmKind::FallingObject,
            started_at: raising.verdict.reference,
            raised_at: raising.now,
            ended_at: None,
            score: raising.score,
            track: Vec::new(),
            origin: Some(raising.origin),
        };
        let track = raising.track;
        let verdict = *raising.verdict;
        let mass = typical_mass(&track.sightings[verdict.first..]);
        tell(&mut alarm, raising);
        if self.events.len() >= EVENTS_MAX {
            self.events.remove(0);
        }
        self.events.push(Event {
            key,
            main: track.id,
            members: vec![track.id],
            mass,
            verdict,
            alarm: alarm.clone(),
            last_at: track.last().at,
            fastest_px_s: 0.0,
        });
        (key, alarm)
    }

    /// Lets another track tell the event from now on.
    pub(crate) fn retell(&mut self, key: AlarmKey, raising: Raising<'_>) {
        if let Some(event) = self.events.iter_mut().find(|event| event.key == key) {
            tracing::debug!(track = raising.track.id.0, "another track tells the event");
            event.main = raising.track.id;
            event.fastest_px_s = 0.0;
            event.verdict = *raising.verdict;
            event.mass = typical_mass(&raising.track.sightings[raising.verdict.first..]);
            event.alarm.score = event.alarm.score.max(raising.score);
            event.alarm.origin = Some(raising.origin);
            event.alarm.started_at = raising.verdict.reference;
            tell(&mut event.alarm, raising);
        }
    }

    /// Takes in what became of the tracks. Calls `ended` with each event that is over.
    pub(crate) fn follow(
        &mut self,
        tracks: &[Track],
        now: StreamTime,
        mut ended: impl FnMut(AlarmKey, Alarm),
    ) {
        for event in &mut self.events {
            for track in tracks {
                if !event.members.contains(&track.id) {
                    continue;
                }
                if track.id == event.main && event.has_lost(track) {
                    continue;
                }
                event.last_at = event.last_at.max(track.last().at);
                if track.id == event.main {
                    event.alarm.append(&track.sightings);
                }
            }
            // What shows the event better may only just have been found: it gets time to pass.
            let over = now > event.last_at + LINGER;
            if over && event.alarm.ended_at.is_none() {
                event.alarm.end();
                ended(event.key, event.alarm.clone());
            }
        }
        self.events.retain(|event| {
            event.alarm.ended_at.is_none() || now <= event.last_at + AFTERMATH + AFTERMATH
        });
    }

    /// Ends and forgets everything.
    pub(crate) fn restart(&mut self, mut ended: impl FnMut(AlarmKey, Alarm)) {
        for mut event in self.events.drain(..) {
            if event.alarm.ended_at.is_none() {
                event.alarm.end();
                ended(event.key, event.alarm);
            }
        }
    }

    /// Returns the events that last and whose object was just seen: their keys, and where that is with
    /// all that belongs to it and was seen as well.
    pub(crate) fn live<'a>(
        &'a self,
        tracks: &'a [Track],
    ) -> impl Iterator<Item = (AlarmKey, BoxPx)> + 'a {
        self.events
            .iter()
            .filter(|event| event.alarm.ended_at.is_none())
            .filter_map(|event| {
                let is_member = |track: &&Track| event.members.contains(&track.id);
                let seen = tracks.iter().filter(|track| track.is_seen_now());
                let members = seen.filter(is_member);
                let main = members.clone().find(|track| track.id == event.main)?;
                let area = members.fold(main.last().area, |area, track| {
                    area.with(&track.last().area)
                });
                Some((event.key, area))
            })
    }
}

/// What joining an event came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Joined {
    /// There is no event it belongs to.
    None,
    /// It is one more track of an event.
    Member,
    /// It is, and shows the event better than the track that tells it.
    Better(AlarmKey),
}

impl Event {
    /// Returns whether the track that tells it goes on with something else: what falls does not slow
    /// down.
    fn has_lost(&mut self, track: &Track) -> bool {
        let (_, down_px_s) = track.speed_px_s();
        self.fastest_px_s = self.fastest_px_s.max(down_px_s);
        down_px_s < SLOWED * self.fastest_px_s
    }

    /// Returns whether the track, of a thing that began to fall at `began`, shows the event better
    /// than the one that tells it: the thing itself rather than its mirror image or a part of it.
    fn should_pass_to(&self, track: &Track, began: StreamTime, mass: f64) -> bool {
        let live = self.alarm.ended_at.is_none();
        let together = began <= self.alarm.raised_at + TOGETHER;
        let above_px = self.above_px(track);
        let clear_px = track.last().area.height_px;
        let higher = above_px > clear_px && mass > LIGHTER * self.mass;
        let heavier = above_px > -clear_px && mass > HEAVIER * self.mass;
        // A teller that was lost early leaves the event to whoever was seen for longer.
        let lost = track.last().at > self.told_to() + TOGETHER
            && track.sightings.len() > self.alarm.track.len();
        live && together && (heavier || higher || lost)
    }

    /// Returns whether the falling track shows this event: the thing itself, its mirror image, or a
    /// part of it.
    fn owns(
        &self,
        track: &Track,
        verdict: &Verdict,
        (width_px, height_px): (f64, f64),
        image_apart_m: f64,
    ) -> bool {
        let sightings = &track.sightings[verdict.first..];
        let (Some(first), last) = (sightings.first(), track.last()) else {
            return false;
        };
        let near_px = SAME_PLACE * height_px;
        let goes_on = [first, last].into_iter().all(|sighting| {
            let expected = self.seen_or_expected(sighting.at);
            expected.distance(sighting.area.centre()) < near_px
        });
        let springs = self.alarm.track.last().is_some_and(|point| {
            let later = first.at >= point.at;
            later && point.area.centre().distance(first.area.centre()) < near_px
        });
        let later_s = verdict.apex().secs_since(self.verdict.apex());
        let late_s = first
            .at
            .secs_since(verdict.apex())
            .max(self.verdict.reference.secs_since(self.verdict.apex()));
        // Of a thing and its image the upper one seems to begin later.
        let above_px = self.seen_or_expected(last.at).y - last.area.y_px;
        let image = above_px * later_s > 0.0;
        let same_s = if image { IMAGE_APEX_S } else { SAME_APEX_S };
        let together = later_s.abs() <= same_s + SAME_APEX_PER_S * late_s.max(0.0)
            && self.distance_px(track) < BESIDE * width_px
            && self.starts_apart_m(verdict) < image_apart_m;
        goes_on || springs || together
    }

    /// Returns where the event's thing was seen at about `at`, or where its fall leads then.
    fn seen_or_expected(&self, at: StreamTime) -> Point {
        let seen = self
            .alarm
            .track
            .iter()
            .find(|point| point.at.secs_since(at).abs() < 0.03);
        seen.map_or_else(|| self.verdict.place(at), |point| point.area.centre())
    }

    /// Returns how far apart the two began, metres: where their curves were at the moment between
    /// their beginnings. Coming nearer the camera, a thing seems to begin as much later as its image,
    /// which goes away from it, seems to begin earlier.
    fn starts_apart_m(&self, verdict: &Verdict) -> f64 {
        let (a, b) = (self.verdict.apex(), verdict.apex());
        let between = StreamTime::from_secs_f64(f64::midpoint(a.as_secs_f64(), b.as_secs_f64()));
        let apart_px = self.verdict.place(between).distance(verdict.place(between));
        let px_per_m = f64::midpoint(self.verdict.fall.px_per_m(), verdict.fall.px_per_m());
        apart_px / px_per_m
    }

    fn told_to(&self) -> StreamTime {
        self.alarm
            .track
            .last()
            .map_or(self.alarm.raised_at, |point| point.at)
    }

    /// Returns how far the track's thing is above the event's, at the track's newest sighting; 0
    /// where the event was not seen about then.
    fn above_px(&self, track: &Track) -> f64 {
        let newest = track.last();
        let same_time = self
            .alarm
            .track
            .iter()
            .min_by_key(|point| (point.at.as_micros() - newest.at.as_micros()).abs());
        same_time
            .filter(|point| newest.at.secs_since(point.at).abs() < 0.5)
            .map_or(0.0, |point| point.area.y_px - newest.area.y_px)
    }

    /// Returns how far the track's way is from the event's, across the picture.
    fn distance_px(&self, track: &Track) -> f64 {
        let distance =
            |sighting: &Sighting, point: &TrackPoint| (sighting.area.x_px - point.area.x_px).abs();
        let nearest = |sighting: &Sighting| {
            self.alarm
                .track
                .iter()
                .min_by_key(|point| (point.at.as_micros() - sighting.at.as_micros()).abs())
                .map_or(f64::INFINITY, |point| distance(sighting, point))
        };
        let ends = [track.sightings.first(), track.sightings.last()];
        ends.into_iter()
            .flatten()
            .map(nearest)
            .fold(f64::INFINITY, f64::min)
    }
}

impl Alarm {
    fn append(&mut self, sightings: &[Sighting]) {
        let last_at = self.track.last().map(|point| point.at);
        let newer = sightings
            .iter()
            .filter(|s| last_at.is_none_or(|last_at| s.at > last_at));
        self.track.extend(newer.map(point));
    }

    fn end(&mut self) {
        let last = self.track.last().map_or(self.raised_at, |point| point.at);
        self.ended_at = Some(last.max(self.raised_at));
    }
}

fn tell(alarm: &mut Alarm, raising: Raising<'_>) {
    alarm.track = raising.earlier;
    if let Some(first) = alarm.track.first() {
        alarm.started_at = first.at;
    }
    alarm.started_at = alarm.started_at.min(alarm.raised_at);
    alarm.append(&raising.track.sightings[raising.verdict.first..]);
}

pub(crate) fn point(sighting: &Sighting) -> TrackPoint {
    TrackPoint {
        at: sighting.at,
        area: sighting.area,
    }
}

/// Returns the middle one of the newest sightings' masses.
pub(crate) fn typical_mass(sightings: &[Sighting]) -> f64 {
    let newest = sightings.len().saturating_sub(12);
    let mut masses: Vec<f32> = sightings[newest..].iter().map(|s| s.mass).collect();
    masses.sort_by(f32::total_cmp);
    masses.get(masses.len() / 2).copied().map_or(0.0, f64::from)
}
