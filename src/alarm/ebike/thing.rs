//! What the looks at one thing in a car say of it: how much speaks for an e-bike, and whether it is
//! inside. Pure; of rides and alarms it knows nothing.

use std::collections::VecDeque;
use std::time::Duration;

use crate::clock::StreamTime;
use crate::detect::ebike::{Class, Detection, Thresholds};
use crate::geometry::BoxPx;

/// How long it must have been inside, and in how many looks on end. The rule asks for an alarm
/// within 2 s.
const HOLD: Duration = Duration::from_millis(400);
const INSIDE_MIN: u32 = 3;
/// Looks with a score of the alarm threshold or more that an alarm needs, and within how long.
const HITS_MIN: usize = 3;
const HITS_WITHIN: Duration = Duration::from_secs(5);
/// Evidence that an alarm needs, in the weight of one look at the alarm threshold.
///
/// Set by drawing 4,000 rides of a made-up detector whose errors hang together over a ride and a
/// pose: at half of the looks found, 0.73 of the rides are raised within 2 s (three looks within
/// 2 s, the rule before, gave 0.67), and of things that reach the threshold in 1 look of 50, 0.046
/// raise an alarm (0.061).
const EVIDENCE_MIN: f64 = 4.0;
/// Bounds of the evidence: what has long been one thing can still turn out to be another.
const EVIDENCE_RANGE: std::ops::RangeInclusive<f64> = -3.0..=12.0;
/// What looks from outside can gather at most: a pram or a bicycle half hidden by the door's edge is
/// often called an e-bike, until more of it shows.
const OUTSIDE_MAX: f64 = 2.5;
/// In how long evidence fades by a factor e while the thing moves.
const FADE_S: f64 = 4.0;
/// What a look weighs at something that stands as it stood before: the same picture, the same error.
const STILL_WEIGHT: f64 = 0.2;
/// Overlap (intersection over union) with an earlier place from which a thing has not moved.
const STILL_IOU: f64 = 0.75;
/// Bounds of what one look says: for it; against it, by a low score and by another class.
const GAIN_MAX: f64 = 2.5;
const LOW_MIN: f64 = -1.0;
const RIVAL_MIN: f64 = -2.5;
/// What a look says that does not show a thing known to be there.
pub(super) const MISS: f64 = -0.4;
/// The score of a class that is not reported.
const LEAST_SCORE: f64 = 0.05;
/// Overlap from which two detections are one thing: intersection over union, or share of the
/// smaller box.
const SAME_IOU: f64 = 0.45;
const SAME_SHARE: f64 = 0.7;
/// Overlap from which a person's box takes the place of the thing's own: somebody in a printed coat,
/// seen from above, passes for a machine under a quilt. Of 3,221 looks at machines on drawn rides,
/// people beside and on them included, 1.4 % overlap a surer person by 0.6, of 232 false ones 43 %.
const PERSON_IOU: f64 = 0.6;
/// Scores whose mean is the alarm's.
const TOP_SCORES: usize = 5;

/// What is known of one track.
#[derive(Clone, Debug)]
pub(super) struct Thing {
    /// Sums of scores over the track, by class.
    totals: [f64; Class::ALL.len()],
    /// How much speaks for an e-bike, see [`EVIDENCE_MIN`].
    evidence: f64,
    /// What the newest look at it said and weighed, and where it was when it last had moved.
    gain: f64,
    weight: f64,
    stood: BoxPx,
    /// When the evidence was last brought up to date.
    judged_at: StreamTime,
    /// The newest looks with a score of the alarm threshold or more, the newest last.
    hits: VecDeque<StreamTime>,
    /// Since when it has been inside, and in how many looks.
    inside_since: Option<StreamTime>,
    inside_looks: u32,
    pub(super) seen_at: StreamTime,
    /// In the newest look: whether inside, and e-bike's and the best other class's or person's score.
    pub(super) inside: bool,
    pub(super) ebike: f64,
    pub(super) rival: f64,
    /// The highest e-bike scores, falling, and the moment of the first of them.
    pub(super) top: Vec<f64>,
    pub(super) best_at: StreamTime,
    /// Looks in which it and a ride's machine were seen apart.
    pub(super) beside_ride: u32,
}

/// What one look shows at one place.
pub(super) struct Sighting {
    pub(super) area: BoxPx,
    scores: [f64; Class::ALL.len()],
    /// The score of a person at the very place.
    person: f64,
}

impl Thing {
    pub(super) fn new(at: StreamTime, area: BoxPx) -> Self {
        Self {
            totals: Default::default(),
            evidence: 0.0,
            gain: 0.0,
            weight: 1.0,
            stood: area,
            judged_at: at,
            hits: VecDeque::with_capacity(HITS_MIN + 1),
            inside_since: None,
            inside_looks: 0,
            seen_at: at,
            inside: false,
            ebike: 0.0,
            rival: 0.0,
            top: Vec::with_capacity(TOP_SCORES + 1),
            best_at: at,
            beside_ride: 0,
        }
    }

    pub(super) fn see(
        &mut self,
        at: StreamTime,
        sighting: &Sighting,
        inside: bool,
        ebike: Thresholds,
    ) {
        let stands = self.was_seen() && self.stood.iou(&sighting.area) >= STILL_IOU;
        self.weight = if stands { STILL_WEIGHT } else { 1.0 };
        if !stands {
            self.stood = sighting.area;
        }
        self.ebike = sighting.scores[Class::Ebike as usize];
        self.rival = rivals(&sighting.scores).max(sighting.person);
        self.gain = gain(self.ebike, self.rival, ebike);
        self.judge(at, self.gain);
        for (total, score) in self.totals.iter_mut().zip(sighting.scores) {
            *total += score;
        }
        if self.ebike >= ebike.track {
            if self.top.first().is_none_or(|best| self.ebike > *best) {
                self.best_at = at;
            }
            self.top.push(self.ebike);
            self.top.sort_by(|a, b| b.total_cmp(a));
            self.top.truncate(TOP_SCORES);
        }
        if self.ebike >= ebike.alarm {
            self.hits.push_back(at);
            if self.hits.len() > HITS_MIN {
                self.hits.pop_front();
            }
        }
        (self.seen_at, self.inside) = (at, inside);
        if inside {
            self.inside_since.get_or_insert(at);
            self.inside_looks = self.inside_looks.saturating_add(1);
        } else {
            (self.inside_since, self.inside_looks) = (None, 0);
            self.evidence = self.evidence.min(OUTSIDE_MAX);
        }
    }

    /// Returns whether it was seen before this look.
    fn was_seen(&self) -> bool {
        self.totals.iter().any(|total| *total > 0.0)
    }

    /// Adds what one look says. What stands still fades as little as it gathers.
    pub(super) fn judge(&mut self, at: StreamTime, gain: f64) {
        let elapsed_s = at.secs_since(self.judged_at).max(0.0);
        let faded = self.evidence * (-self.weight * elapsed_s / FADE_S).exp();
        let sum = faded + self.weight * gain;
        self.evidence = sum.clamp(*EVIDENCE_RANGE.start(), *EVIDENCE_RANGE.end());
        self.judged_at = at;
    }

    pub(super) fn is_ebike_inside(&self, at: StreamTime) -> bool {
        let recent = |first: &StreamTime| *first + HITS_WITHIN >= at;
        self.inside
            && self.inside_since.is_some_and(|since| since + HOLD <= at)
            && self.inside_looks >= INSIDE_MIN
            && self.hits.len() == HITS_MIN
            && self.hits.front().is_some_and(recent)
            && self.evidence >= EVIDENCE_MIN
            && self.gain > 0.0
            && self.totals[Class::Ebike as usize] > rivals(&self.totals)
    }

    /// Returns the mean of its highest scores, less the share that the next best class has in it.
    pub(super) fn score(&self) -> f64 {
        let (total, rival) = (self.totals[Class::Ebike as usize], rivals(&self.totals));
        let mean = self.top.iter().sum::<f64>() / self.top.len().max(1) as f64;
        let share = if total > 0.0 {
            total / (total + rival)
        } else {
            0.0
        };
        (mean * share).clamp(0.0, 1.0)
    }
}

/// Puts detections of one thing by several classes together; people count only against what they
/// are taken for.
pub(super) fn sightings(detections: &[Detection]) -> Vec<Sighting> {
    let mut by_score: Vec<&Detection> = detections
        .iter()
        .filter(|detection| detection.class != Class::Person)
        .collect();
    by_score.sort_by(|a, b| b.score.total_cmp(&a.score));
    let mut found: Vec<Sighting> = Vec::new();
    for detection in by_score {
        let index = found
            .iter()
            .position(|sighting| are_one(&sighting.area, &detection.area))
            .unwrap_or_else(|| {
                found.push(Sighting {
                    area: detection.area,
                    scores: Default::default(),
                    person: person_at(&detection.area, detections),
                });
                found.len() - 1
            });
        let score = &mut found[index].scores[detection.class as usize];
        *score = score.max(detection.score);
    }
    found
}

fn person_at(area: &BoxPx, detections: &[Detection]) -> f64 {
    let there = |d: &&Detection| d.class == Class::Person && d.area.iou(area) >= PERSON_IOU;
    let scores = detections.iter().filter(there).map(|d| d.score);
    scores.fold(0.0, f64::max)
}

fn are_one(a: &BoxPx, b: &BoxPx) -> bool {
    let smaller = a.area_px2().min(b.area_px2());
    a.iou(b) >= SAME_IOU || (smaller > 0.0 && a.overlap_px2(b) >= SAME_SHARE * smaller)
}

/// Returns what one look says: 1 for a score of the alarm threshold, 0 half way down to the track
/// threshold (as logits), less where another class comes near or passes it.
fn gain(ebike: f64, rival: f64, thresholds: Thresholds) -> f64 {
    let alarm = logit(thresholds.alarm);
    // A table may set both thresholds alike.
    let unit = ((alarm - logit(thresholds.track)) / 2.0).max(0.25);
    let by_score = ((logit(ebike) - alarm) / unit + 1.0).clamp(LOW_MIN, GAIN_MAX);
    let by_rival = ((logit(ebike) - logit(rival)) / unit).clamp(RIVAL_MIN, GAIN_MAX);
    by_score.min(by_rival)
}

/// Returns the log odds of a score; scores that no model means are cut off.
fn logit(score: f64) -> f64 {
    let score = score.clamp(LEAST_SCORE, 1.0 - LEAST_SCORE / 5.0);
    (score / (1.0 - score)).ln()
}

/// Returns the highest value among the classes that an e-bike is taken for.
fn rivals(values: &[f64; Class::ALL.len()]) -> f64 {
    [Class::Bicycle, Class::Pram, Class::Wheelchair, Class::Other]
        .into_iter()
        .map(|class| values[class as usize])
        .fold(0.0, f64::max)
}
