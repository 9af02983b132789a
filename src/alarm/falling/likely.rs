//! What lacks evidence of gravity, and is a fall all the same if it looks like one to the verifier. Pure.
//!
//! What has reached its terminal speed shows no gravity any more, a shirt after one storey: where floor
//! lines tell speeds, coming down fast, far and straight before the facade speaks for a fall. Without
//! them it is the perspective that gravity is mistaken for: what comes nearer at an even speed gains
//! speed on the picture as well, the more so what enters it from above, already fast.

use super::verdict::Verdict;
use crate::scene::facade::FacadeMap;
use crate::track::accelerating::Sighting;

/// The least evidence of a thing that may be a fall of which too little was seen: what is written for
/// training says so of it.
pub(super) const DOUBTFUL_MIN: f64 = 6.0;

/// What comes down before the facade by so many metres at such a mean speed, no further aside than this
/// share of it, and as surely one thing, is swift: drifting bags and paper are slower (1 to 4 m/s), flakes
/// and drops are seldom followed so surely for so long. Cars and their mirror images are as fast and as
/// steady; mostly they gain no speed, and look like cars to the verifier.
const SWIFT_M: f64 = 9.0;
const SWIFT_M_S: f64 = 6.0;
const SWIFT_ASIDE_MAX: f64 = 0.4;
const SWIFT_SURPRISE_MIN: f64 = 40.0;
const SWIFT_EVIDENCE_MIN: f64 = 0.0;

/// Without floor lines it must have come down by such a share of the picture's height, straight, and be
/// as surely one thing.
const DOWN_SHARE: f64 = 0.2;
const UNMAPPED_MISFIT_MAX: f64 = 1.0;
const UNMAPPED_SURPRISE_MIN: f64 = 30.0;
/// What may be a fall by its acceleration lacks no more than this.
const UNMAPPED_LACK_MAX: f64 = 40.0;

/// What enters the picture from above begins in this share of it, crosses it within such a time, and in
/// the last third comes down so much faster than in the first: a bottle that has fallen 12 m goes on from
/// 15 to 21 m/s within 10 more. What keeps its speed (drones, drops on the lens) does not.
const ENTERS_SHARE: f64 = 0.12;
const ENTERS_S_MAX: f64 = 2.5;
const ENTERS_GAIN_MIN: f64 = 1.3;

/// No matter what, it lacks no more evidence than this, and no more things move as it does.
const LACK_MAX: f64 = 60.0;
const MOVERS_MAX: usize = 2;

/// Returns the least surprise of a track that is likely a fall.
pub(super) fn surprise_min(map: Option<&FacadeMap>) -> f64 {
    match map {
        Some(_) => SWIFT_SURPRISE_MIN,
        None => UNMAPPED_SURPRISE_MIN,
    }
}

/// Returns whether a verdict that nothing speaks against is a fall if it looks like one as well.
/// `sightings` are those that it is about.
pub(super) fn is_likely(
    verdict: &Verdict,
    sightings: &[Sighting],
    movers: usize,
    map: Option<&FacadeMap>,
) -> bool {
    let (Some(start), Some(end)) = (sightings.first(), sightings.last()) else {
        return false;
    };
    if verdict.lack() > LACK_MAX || movers > MOVERS_MAX {
        return false;
    }
    match map {
        Some(map) => is_swift(verdict, (start, end), map),
        None => {
            is_straight(verdict, (start, end))
                && (may_accelerate(verdict) || enters(verdict, sightings))
        }
    }
}

/// Returns whether it came down fast, far and straight before the facade, gaining speed if anything.
fn is_swift(verdict: &Verdict, (start, end): (&Sighting, &Sighting), map: &FacadeMap) -> bool {
    let lasted_s = end.at.secs_since(start.at);
    let came_px = end.area.y_px - start.area.y_px;
    let aside_px = (end.area.x_px - start.area.x_px).abs();
    verdict.seen_m >= SWIFT_M
        && verdict.seen_m / lasted_s >= SWIFT_M_S
        && aside_px <= SWIFT_ASIDE_MAX * came_px
        && map.height_m(end.area.centre()) > 0.0
        && verdict.evidence >= SWIFT_EVIDENCE_MIN
}

fn is_straight(verdict: &Verdict, (start, end): (&Sighting, &Sighting)) -> bool {
    let came_px = end.area.y_px - start.area.y_px;
    came_px >= DOWN_SHARE * verdict.fall.height_px
        && verdict.misfit.max(verdict.misfit_across) <= UNMAPPED_MISFIT_MAX
}

fn may_accelerate(verdict: &Verdict) -> bool {
    verdict.evidence >= DOUBTFUL_MIN && verdict.lack() <= UNMAPPED_LACK_MAX
}

fn enters(verdict: &Verdict, sightings: &[Sighting]) -> bool {
    let (start, end) = (&sightings[0], &sightings[sightings.len() - 1]);
    let top_px = start.area.y_px - start.area.height_px / 2.0;
    top_px <= ENTERS_SHARE * verdict.fall.height_px
        && end.at.secs_since(start.at) <= ENTERS_S_MAX
        && gain(sightings) >= ENTERS_GAIN_MIN
}

/// Returns by what factor it came down faster in the last third of the sightings than in the first.
fn gain(sightings: &[Sighting]) -> f64 {
    let third = sightings.len() / 3;
    let speed_px_s = |part: &[Sighting]| {
        let (start, end) = (&part[0], &part[part.len() - 1]);
        (end.area.y_px - start.area.y_px) / end.at.secs_since(start.at).max(1e-3)
    };
    let last = &sightings[sightings.len() - 1 - third..];
    speed_px_s(last) / speed_px_s(&sightings[..=third]).max(1.0)
}
