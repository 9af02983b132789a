//! What the judge found a track to be, and what follows from it. Pure.

use super::across::Across;
use super::fall::Fall;
use crate::clock::StreamTime;
use crate::geometry::Point;

/// What has come down by so many metres with this share of the evidence that is needed may be a fall within
/// the next moments, if nothing but time speaks against it. Of 119 falls of crowded development clips half
/// were so 8 sightings before they were falls; of 1,671 other tracks 64 were so.
const NEAR_M: f64 = 2.5;
const NEAR_EVIDENCE_SHARE: f64 = 0.3;

/// What a verdict has against a fall, and more of the fall mends.
pub(super) const TOO_SLOW: &str = "too slow";
pub(super) const TOO_SHORT: &str = "not two storeys";

/// What the judge found a falling track to be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Verdict {
    /// The fall itself; its reference time is `reference`.
    pub(crate) fall: Fall,
    pub(crate) reference: StreamTime,
    /// Index of the first sighting that belongs to it.
    pub(crate) first: usize,
    /// Squared deviations by which a fall explains the track better than steady motion.
    pub(crate) evidence: f64,
    /// How much of it such a track needs to be a fall by itself.
    pub(crate) needed: f64,
    /// Mean squared deviation of a sighting from the fall, and across it.
    pub(crate) misfit: f64,
    pub(crate) misfit_across: f64,
    /// Metres seen fallen, and metres fallen in all with those the starting speed tells of.
    pub(crate) seen_m: f64,
    pub(crate) fallen_m: f64,
    /// Measured acceleration in units of gravity, by the scale that is believed.
    pub(crate) gravities: f64,
    /// How it moves across: x = x0 + per_s t + per_px (y - y0).
    pub(crate) across: Across,
    /// What it fails on, if anything.
    pub(crate) against: Option<&'static str>,
    /// Whether it is a fall if it looks like one as well, though it lacks evidence.
    pub(crate) likely: bool,
}

impl Verdict {
    /// Returns whether it is a fall of two storeys or more.
    pub(crate) fn is_fall(&self) -> bool {
        self.against.is_none() && self.evidence >= self.needed
    }

    /// Returns whether it lacks nothing but evidence.
    pub(crate) fn is_doubtful(&self) -> bool {
        self.against.is_none() && self.evidence < self.needed
    }

    /// Returns whether it may be a fall within the next moments.
    pub(crate) fn is_near(&self) -> bool {
        matches!(self.against, None | Some(TOO_SLOW | TOO_SHORT))
            && self.seen_m >= NEAR_M
            && self.evidence >= NEAR_EVIDENCE_SHARE * self.needed
    }

    /// Returns how much evidence it lacks; below 0 where it has more than it needs.
    pub(crate) fn lack(&self) -> f64 {
        self.needed - self.evidence
    }

    /// Returns when it began to fall: when its speed downwards was nought.
    pub(crate) fn apex(&self) -> StreamTime {
        let apex_s = self.reference.as_secs_f64() + self.fall.apex_s();
        StreamTime::from_secs_f64(apex_s)
    }

    /// Returns where the object is, or was, at `at`.
    pub(crate) fn place(&self, at: StreamTime) -> Point {
        let t_s = at.secs_since(self.reference);
        let y = self.fall.y_px(t_s);
        Point::new(self.across.x_px(t_s, y), y)
    }

    /// Returns how sure it is, 0..1, from the evidence and the fit. Being likely stands for the evidence
    /// that is needed.
    pub(crate) fn score(&self, surprise: f64) -> f64 {
        let told = if self.likely {
            self.evidence.max(self.needed)
        } else {
            self.evidence
        };
        let evidence = 1.0 - (-told / 40.0).exp();
        let fit = (-(self.misfit.max(self.misfit_across) - 1.0).max(0.0) / 4.0).exp();
        let chance = 1.0 - (-surprise / 25.0).exp();
        evidence * fit * chance
    }
}
