//! The physics judge: whether a track is something that fell, and how sure that is. Pure.
//!
//! Asks of a track what gravity demands of it: that a fall explains it well, and much better than
//! steady motion does; that scale, size, speed and way are those of things at facades; and that it
//! has come down at least two storeys. What lacks evidence of gravity only may be a fall as well, if the
//! verifier agrees ([`likely`]). Knows nothing of pixels: the verifier looks at those.

use super::across::fit_across;
use super::fall::{self, Belief, Beliefs, Sample};
use super::likely;
use super::verdict::{TOO_SHORT, TOO_SLOW, Verdict};
use crate::geometry::Point;
use crate::scene::facade::FacadeMap;
use crate::track::accelerating::{Sighting, Track};

/// Storeys a thing must have come down (Wenzhou's practice: over two floors).
const STOREYS_MIN: f64 = 2.0;

/// Storey height where the scene does not say, metres.
const STOREY_M: f64 = 3.0;

/// Surprise below which a track may be chance, nats: e^-20 once in some days of a busy camera's
/// candidates (200 a frame at 25 frames a second).
const SURPRISE_MIN: f64 = 20.0;

/// Sightings a track needs: three begin it by choice, so that as many again must confirm it.
const SIGHTINGS_MIN: usize = 6;

/// How much better a fall must explain the track than steady motion, in squared deviations: e^-8 as
/// likely if it kept its speed.
const EVIDENCE_MIN: f64 = 16.0;

/// What is demanded besides for each squared deviation that a sighting has in the mean, down or
/// across: what winds about fits some curve by chance. Measured when falls were first raised: real
/// ones and drawn ones had 0.0 to 0.5 deviations and evidence of 25 to 300, flakes and birds 0.5 to
/// 1.5 and 16 to 31.
const EVIDENCE_PER_MISFIT: f64 = 20.0;

/// What is demanded besides for each other thing that moves so that it could be judged, and for each
/// of the track's squared deviations with it: of a hundred flakes one will seem to accelerate, the
/// longer it winds about the better. So many things count at most.
const EVIDENCE_PER_MOVER: f64 = 2.0;
const EVIDENCE_PER_MOVER_AND_DEVIATION: f64 = 0.4;
const MOVERS_MAX: usize = 10;

/// What is demanded besides of a thing that was seldom seen on its way, for the share of its frames
/// that it misses beyond a half: of a thousand drops some few lie on a fall's curve by chance.
const EVIDENCE_PER_UNSEEN: f64 = 70.0;
const UNSEEN_FREE: f64 = 0.5;

/// What is believed beforehand of the way across and of the size, standard deviations: what is thrown
/// flies aside at a few metres a second, a camera's verticals lean a little, and most of what falls
/// is small. A bird on its way down the picture is none of these. Such doubt adds so much at most.
const ASIDE_M_S: f64 = 2.0;
const LEAN: f64 = 0.15;
const SIZE_M: f64 = 1.2;
const EVIDENCE_OF_DOUBT_MAX: f64 = 40.0;

/// Mean squared deviation that a fall may have: things that tumble in front of a facade stay under
/// 0.7, one wrong sighting in ten adds 1.2 at most.
const MISFIT_MAX: f64 = 1.6;

/// Largest thing that falls, metres across its smaller side: a panel of cladding, a tarpaulin.
const SIZE_MAX_M: f64 = 6.0;

/// How far from where it began to fall a thing may have been seen before, metres: an arm, a window.
const WAITING_REACH_M: f64 = 2.0;

/// Standard deviation of a frame's time, seconds: a recording that went from 30 to 25 frames a second
/// shows each frame up to 17 ms early or late, and so do cameras that stamp what they send.
const TIME_S: f64 = 0.007;

/// Share of the mass of the sightings around it under which a sighting shows but a piece of the thing,
/// and how far from the thing's middle that may be, in the thing's height.
const PIECE_MASS: f32 = 0.3;
const PIECE_OFF: f64 = 0.25;

/// Samples a fit takes at most; longer tracks are thinned out evenly.
const SAMPLES_MAX: usize = 64;

/// How much longer than falling freely a fall may take: 2 is a shirt of 6 m/s after 25 m.
const SLOWER_MAX: f64 = 2.0;

/// Speed that a thing has at least after two storeys, m/s: half that of falling freely. Bags and
/// paper that drift at 1 to 4 m/s are slower.
const END_SPEED_MIN_M_S: f64 = 5.0;

/// How far aside it may have come, as a share of how far down: a throw of 5 m/s comes as far in the
/// first second, 0.5 after two. Where no floor lines tell gravity from a bird's glide it must have
/// come down further; swifts that glide and gain speed had 0.4 to 1.0, real bottles and boxes 0.1 to
/// 0.35.
const ASIDE_SHARE_MAX: f64 = 1.0;
const ASIDE_SHARE_UNMAPPED_MAX: f64 = 0.5;

/// Without floor lines, how far the acceleration may be from that of a picture 35 m high, as a
/// factor: 8 to 157 m, as fall.rs believes.
const UNMAPPED_GRAVITIES_MAX: f64 = 4.5;

/// Fastest throw sideways, m/s.
const ASIDE_MAX_M_S: f64 = 12.0;

/// Judges tracks of one camera.
#[derive(Debug)]
pub(crate) struct Judge {
    size_px: (f64, f64),
    map: Option<FacadeMap>,
    surprise_min: f64,
}

impl Judge {
    /// Returns a judge for pictures of the given size, with the facade's map where there is one.
    pub(crate) fn new(width_px: u32, height_px: u32, map: Option<FacadeMap>) -> Self {
        Self {
            size_px: (f64::from(width_px), f64::from(height_px)),
            map,
            surprise_min: SURPRISE_MIN,
        }
    }

    /// Lets tracks through that may be chance, to measure what the surprise score earns.
    pub(crate) fn ignore_surprise(&mut self) {
        self.surprise_min = f64::NEG_INFINITY;
    }

    pub(crate) fn map(&self) -> Option<&FacadeMap> {
        self.map.as_ref()
    }

    /// Returns whether the track is worth judging: surprising, and sinking for long
    /// enough.
    pub(crate) fn may_fall(&self, track: &Track) -> bool {
        track.surprise >= self.surprise_min
            && track.sightings.len() >= SIGHTINGS_MIN + track.sinks_from
    }

    /// Returns the verdict on the track: on the longest part of it, up to now, that is a fall, or on
    /// the whole of it. None where it is too short or too slow to be worth the arithmetic.
    /// `movers` is how many other things move in its part of the picture that could be judged.
    pub(crate) fn judge(&self, track: &Track, movers: usize) -> Option<Verdict> {
        let sightings = &track.sightings;
        if !self.may_fall(track) {
            return None;
        }
        let count = sightings.len();
        let mut whole = None;
        let mut likely: Option<Verdict> = None;
        let surprise_min = likely::surprise_min(self.map.as_ref());
        let mut doubtful: Option<Verdict> = None;
        // What came before the fall (a hand, a curtain) may have become part of the track.
        let base = track.sinks_from;
        let sinking = count - base;
        for skipped in [0, sinking / 6, sinking / 3, sinking / 2] {
            let first = base + skipped;
            if sinking - skipped < SIGHTINGS_MIN || skipped == 1 {
                continue;
            }
            let Some(mut verdict) = self.judge_part(sightings, first, movers) else {
                continue;
            };
            let waits = waits_at(&sightings[..first], &verdict);
            verdict.likely &= waits && track.surprise >= surprise_min;
            if verdict.likely && likely.is_none() {
                likely = Some(verdict);
            }
            if verdict.against.is_none() && waits {
                if verdict.is_fall() {
                    return Some(verdict);
                }
                let surer = |before: Verdict| verdict.lack() < before.lack();
                if doubtful.is_none_or(surer) {
                    doubtful = Some(verdict);
                }
            }
            whole.get_or_insert(Verdict {
                against: verdict.against.or(Some("came flying")),
                ..verdict
            });
        }
        likely.or(doubtful).or(whole)
    }

    fn judge_part(&self, all: &[Sighting], first: usize, movers: usize) -> Option<Verdict> {
        let sightings = &all[first..];
        let (start, end) = (sightings.first()?, sightings.last()?);
        let height_px = self.size_px.1;
        let came_px = end.area.y_px - start.area.y_px;
        let lasted_s = end.at.secs_since(start.at);
        // Cheap gates: 150 m fill a picture at most; two storeys take 0.2 s at 30 m/s.
        if came_px < height_px * 0.6 * 6.0 / 150.0 || lasted_s < 0.2 {
            return None;
        }
        let count = sightings.len().min(SAMPLES_MAX);
        // Evenly, to the very last: taking every second one of 41 would throw away half of what tells.
        let samples: Vec<Sample> = (0..count)
            .map(|n| n * (sightings.len() - 1) / (count - 1).max(1))
            .map(|index| Sample {
                t_s: sightings[index].at.secs_since(start.at),
                px: sightings[index].area.y_px,
                sigma_px: sigma_px(sightings, index),
            })
            .collect();
        let beliefs = self.beliefs(start.area.centre());
        let fitted = fall::fit_fall(&samples, &beliefs);
        let steady_bend = if self.map.is_some() {
            beliefs.bend
        } else {
            // A road's perspective is stronger than a wall's.
            Belief {
                mean: 0.0,
                sigma: 0.8,
            }
        };
        let steady = fall::fit_steady(&samples, &beliefs, steady_bend);
        let fallen = fitted.model;
        let seen_m = fallen.fallen_m(lasted_s) - fallen.fallen_m(0.0);
        let before_m = fallen.speed_m_s.max(0.0).powi(2) / (2.0 * fall::GRAVITY);
        let (across, misfit_across) = fit_across(sightings, start.at);
        let mut verdict = Verdict {
            fall: fallen,
            reference: start.at,
            first,
            evidence: steady.cost() - fitted.cost(),
            needed: 0.0,
            misfit: fitted.misfit / samples.len() as f64,
            misfit_across,
            seen_m,
            fallen_m: seen_m + before_m.min(seen_m),
            gravities: (fallen.ln_scale - beliefs.ln_scale.mean).exp(),
            across,
            against: None,
            likely: false,
        };
        verdict.needed = evidence_needed(&verdict, sightings, movers);
        let objection = self.objection(&verdict, sightings, lasted_s, fitted.strain);
        verdict.likely = objection.is_none()
            && likely::is_likely(&verdict, sightings, movers, self.map.as_ref());
        verdict.against = if verdict.evidence < likely::DOUBTFUL_MIN {
            Some("no acceleration")
        } else {
            objection
        };
        Some(verdict)
    }

    fn beliefs(&self, place: Point) -> Beliefs {
        let height_px = self.size_px.1;
        self.map.as_ref().map_or_else(
            || Beliefs::of_any_facade(height_px),
            |map| Beliefs::of_scene(height_px, map.px_per_m(place), map.convergence_per_m(place)),
        )
    }

    /// Returns the first demand of gravity that the track fails.
    fn objection(
        &self,
        verdict: &Verdict,
        sightings: &[Sighting],
        lasted_s: f64,
        strain: f64,
    ) -> Option<&'static str> {
        let storey_m = self
            .map
            .as_ref()
            .map_or(STOREY_M, FacadeMap::storey_height_m);
        let fall = &verdict.fall;
        let end_m = fall.fallen_m(lasted_s);
        let scale = fall.px_per_m_after(end_m * 0.5);
        let size_m = typical_size_px(sightings) / scale;
        let came_px = fall.y_px(lasted_s) - fall.y0_px;
        let gravities_max = if self.map.is_some() {
            f64::INFINITY
        } else {
            UNMAPPED_GRAVITIES_MAX
        };
        let aside_max = if self.map.is_some() {
            ASIDE_SHARE_MAX
        } else {
            ASIDE_SHARE_UNMAPPED_MAX
        };
        let aside_px =
            (verdict.across.x_px(lasted_s, fall.y_px(lasted_s)) - verdict.across.x0_px).abs();
        let demands = [
            (verdict.misfit <= MISFIT_MAX, "not ballistic"),
            (verdict.misfit_across <= MISFIT_MAX, "winding"),
            (is_fast_enough(verdict, lasted_s), TOO_SLOW),
            (
                strain <= 12.0 && verdict.gravities.ln().abs() <= gravities_max.ln(),
                "not gravity",
            ),
            (size_m <= SIZE_MAX_M, "too big"),
            (
                verdict.across.per_s.abs() / scale <= ASIDE_MAX_M_S,
                "too fast across",
            ),
            (aside_px <= aside_max * came_px, "not downwards"),
            (
                verdict.fallen_m >= STOREYS_MIN * storey_m
                    && verdict.seen_m >= 0.6 * STOREYS_MIN * storey_m,
                TOO_SHORT,
            ),
        ];
        demands
            .into_iter()
            .find(|(met, _)| !met)
            .map(|(_, name)| name)
    }
}

/// Returns the standard deviation of a sighting's place down the picture: what its size leaves open,
/// and how far it moves within what its time may be wrong by.
fn sigma_px(sightings: &[Sighting], index: usize) -> f64 {
    let near = &sightings[index.saturating_sub(2)..(index + 3).min(sightings.len())];
    let (before, after) = (&near[0], &near[near.len() - 1]);
    let speed_px_s =
        (after.area.y_px - before.area.y_px) / after.at.secs_since(before.at).max(1e-3);
    let sighting = &sightings[index];
    let whole = near
        .iter()
        .max_by(|a, b| a.mass.total_cmp(&b.mass))
        .unwrap_or(sighting);
    let piece_px = if sighting.mass < PIECE_MASS * whole.mass {
        PIECE_OFF * whole.area.height_px
    } else {
        0.0
    };
    (0.7 + 0.1 * sighting.area.height_px)
        .hypot(speed_px_s * TIME_S)
        .hypot(piece_px)
}

/// Returns how much better than steady motion a fall must explain such a track.
fn evidence_needed(verdict: &Verdict, sightings: &[Sighting], movers: usize) -> f64 {
    let times_s: Vec<f64> = sightings.iter().map(|s| s.at.as_secs_f64()).collect();
    let misfit = verdict.misfit.max(verdict.misfit_across);
    let deviations = misfit * sightings.len().min(SAMPLES_MAX) as f64;
    let each = EVIDENCE_PER_MOVER + EVIDENCE_PER_MOVER_AND_DEVIATION * deviations;
    let aside_m_s = verdict.across.per_s / verdict.fall.px_per_m();
    let size_m = typical_size_px(sightings) / verdict.fall.px_per_m();
    let doubt = (aside_m_s / ASIDE_M_S).powi(2)
        + (verdict.across.per_px / LEAN).powi(2)
        + (size_m / SIZE_M).powi(2);
    EVIDENCE_MIN
        + EVIDENCE_PER_UNSEEN * (unseen_share(&times_s) - UNSEEN_FREE).max(0.0)
        + EVIDENCE_PER_MISFIT * misfit
        + each * movers.min(MOVERS_MAX) as f64
        + doubt.min(EVIDENCE_OF_DOUBT_MAX)
}

/// Returns the share of the frames between the first sighting and the last on which the thing was not
/// seen, by the time that usually lies between two sightings. `times_s` are in order.
fn unseen_share(times_s: &[f64]) -> f64 {
    let mut gaps_s: Vec<f64> = times_s.windows(2).map(|pair| pair[1] - pair[0]).collect();
    gaps_s.sort_by(f64::total_cmp);
    let lasted_s: f64 = gaps_s.iter().sum();
    let frame_s = gaps_s.get(gaps_s.len() / 4).copied().unwrap_or(0.0);
    if lasted_s <= 0.0 {
        return 0.0;
    }
    (1.0 - gaps_s.len() as f64 * frame_s / lasted_s).max(0.0)
}

/// Returns whether it came down in a time that a thing of some weight takes: at most twice that of
/// falling freely from rest, the time of a throw upwards not counted.
fn is_fast_enough(verdict: &Verdict, lasted_s: f64) -> bool {
    let rising_s = 2.0 * (-verdict.fall.speed_m_s).max(0.0) / fall::GRAVITY;
    let free_s = (2.0 * verdict.seen_m.max(0.0) / fall::GRAVITY).sqrt();
    let end_m_s = (verdict.fall.fallen_m(lasted_s) - verdict.fall.fallen_m(lasted_s - 0.1)) / 0.1;
    lasted_s - rising_s <= SLOWER_MAX * free_s + 0.1 && end_m_s >= END_SPEED_MIN_M_S
}

/// Returns whether everything seen before the fall was near where it began: what is dropped may have
/// been held out of the window, but it did not come from elsewhere.
fn waits_at(before: &[Sighting], verdict: &Verdict) -> bool {
    let start = verdict.place(verdict.reference);
    let reach_px = 6.0 + WAITING_REACH_M * verdict.fall.px_per_m();
    before
        .iter()
        .all(|sighting| sighting.area.centre().distance(start) <= reach_px)
}

/// Returns the middle one of the sightings' smaller sides.
fn typical_size_px(sightings: &[Sighting]) -> f64 {
    let mut sides: Vec<f64> = sightings
        .iter()
        .map(|s| s.area.width_px.min(s.area.height_px))
        .collect();
    sides.sort_by(f64::total_cmp);
    sides[sides.len() / 2]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::StreamTime;
    use crate::detect::motion::Candidate;
    use crate::geometry::BoxPx;
    use crate::scene::facade::FacadeScene;
    use crate::track::accelerating::Tracker;

    /// A facade of 20 floors, 25 pixels a storey of 3 m, from the picture's bottom up.
    fn scene() -> FacadeScene {
        let lines = (1..=20_i32).step_by(3).map(|floor| {
            let y = 1.0 - f64::from(floor) * 0.045;
            format!("{{ floor = {floor}, left = [0.1, {y}], right = [0.9, {y}] }}")
        });
        let lines: Vec<String> = lines.collect();
        toml::from_str(&format!(
            "floors = 20\nstorey_height_m = 3.0\nfloor_lines = [{}]",
            lines.join(", ")
        ))
        .expect("a scene")
    }

    /// What the judge says of a thing of 20 pixels that tumbles down: `fallen_m` gives metres after
    /// seconds.
    fn verdict_on(map: Option<FacadeMap>, fallen_m: impl Fn(f64) -> f64) -> Verdict {
        verdict_after(70, map, fallen_m)
    }

    /// The same after so many frames of 40 ms.
    fn verdict_after(
        frames: u32,
        map: Option<FacadeMap>,
        fallen_m: impl Fn(f64) -> f64,
    ) -> Verdict {
        let (width_px, height_px, px_per_m) = (960, 540, 8.1);
        let mut tracker = Tracker::new(width_px, height_px);
        for frame in 0..frames {
            let t_s = f64::from(frame) * 0.04;
            // Turns over every few frames: its middle sways by a seventh of its height.
            let sway_px = 3.0 * (f64::from(frame) * 1.3).sin();
            let candidate = Candidate {
                area: BoxPx {
                    x_px: 400.0,
                    y_px: 60.0 + px_per_m * fallen_m(t_s) + sway_px,
                    width_px: 20.0,
                    height_px: 20.0,
                },
                mass: 4000.0,
                contrast: 20.0,
                strength: 4.0,
                pixels: 200,
            };
            tracker.take(StreamTime::from_secs_f64(t_s), 0.04, &[candidate]);
        }
        let judge = Judge::new(width_px, height_px, map);
        let longest = tracker.tracks().iter().max_by_key(|t| t.sightings.len());
        let verdict = judge.judge(longest.expect("a track"), 0);
        verdict.expect("long enough to be judged")
    }

    #[test]
    fn what_falls_at_its_terminal_speed_is_swift_where_speeds_are_known() {
        let map = || scene().map(960, 540);
        // A shirt, from just below its window on.
        let shirt = |t_s: f64| {
            let (terminal, free) = (9.0_f64, fall::GRAVITY / 9.0);
            terminal / free * (free * (t_s + 0.5)).cosh().ln()
        };
        let mapped = verdict_on(map(), shirt);
        assert!(mapped.likely && !mapped.is_fall(), "{mapped:?}");
        // A paper bag, and a car's mirror image at an even speed.
        let bag = verdict_on(map(), |t_s| 3.0 * t_s);
        let car = verdict_on(map(), |t_s| 9.0 * t_s);
        for other in [bag, car] {
            assert!(!other.likely && !other.is_fall(), "{other:?}");
        }
    }

    #[test]
    fn what_enters_from_above_and_gains_speed_is_likely_without_floor_lines() {
        // Fallen for 15 m already: what perspective does to an even speed explains it as well.
        let bottle = |t_s: f64| 17.0 * t_s + fall::GRAVITY / 2.0 * t_s * t_s;
        let entering = verdict_after(28, None, bottle);
        assert!(entering.likely && !entering.is_fall(), "{entering:?}");
        let drone = verdict_after(28, None, |t_s| 22.0 * t_s);
        assert!(!drone.likely && !drone.is_fall(), "{drone:?}");
    }

    #[test]
    fn a_fall_is_near_before_it_is_sure() {
        let map = || scene().map(960, 540);
        let stone = |t_s: f64| fall::GRAVITY / 2.0 * t_s * t_s;
        let early = verdict_after(31, map(), stone);
        assert!(early.is_near() && !early.is_fall(), "{early:?}");
        assert!(verdict_on(map(), stone).is_fall());
        let bag = verdict_after(31, map(), |t_s| 3.5 * t_s);
        assert!(!bag.is_near(), "{bag:?}");
    }

    #[test]
    fn a_thing_seen_on_every_third_frame_was_unseen_on_the_rest() {
        let every: Vec<f64> = (0..30).map(|frame| f64::from(frame) * 0.04).collect();
        assert!(unseen_share(&every) < 1e-9);
        let mut seldom: Vec<f64> = vec![0.0, 0.04, 0.08, 0.12, 0.16];
        seldom.extend((1..11).map(|n| 0.16 + f64::from(n) * 0.12));
        let share = unseen_share(&seldom);
        assert!((share - 20.0 / 34.0).abs() < 1e-6, "{share}");
        assert!(unseen_share(&[1.0]).abs() < 1e-9);
    }
}
