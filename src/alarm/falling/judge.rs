//! The physics judge: whether a track is something that fell, and how sure that is. Pure.
//!
//! Asks of a track what gravity demands of it: that a fall explains it well, and much better than
//! steady motion does; that scale, size, speed and way are those of things at facades; and that it
//! has come down at least two storeys. Knows nothing of pixels: the verifier looks at those.

use super::fall::{self, Belief, Beliefs, Fall, Sample};
use crate::clock::StreamTime;
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

/// How much better a fall must explain the track than steady motion, in squared deviations.
const EVIDENCE_MIN: f64 = 16.0;

/// Largest thing that falls, metres: a door, a mattress.
const SIZE_MAX_M: f64 = 2.5;

/// Fastest throw sideways, m/s.
const ASIDE_MAX_M_S: f64 = 12.0;

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
}

/// The way across the picture: linear in time (thrown) and in y (a leaning vertical).
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Across {
    pub(crate) x0_px: f64,
    pub(crate) y0_px: f64,
    pub(crate) per_s: f64,
    pub(crate) per_px: f64,
}

impl Across {
    pub(crate) fn x_px(&self, t_s: f64, y_px: f64) -> f64 {
        self.x0_px + self.per_s * t_s + self.per_px * (y_px - self.y0_px)
    }
}

impl Verdict {
    /// Returns whether it is a fall of two storeys or more.
    pub(crate) fn is_fall(&self) -> bool {
        self.against.is_none()
    }

    /// Returns where the object is, or was, at `at`.
    pub(crate) fn place(&self, at: StreamTime) -> Point {
        let t_s = at.secs_since(self.reference);
        let y = self.fall.y_px(t_s);
        Point::new(self.across.x_px(t_s, y), y)
    }

    /// Returns how sure it is, 0..1, from the evidence and the fit.
    pub(crate) fn score(&self, surprise: f64) -> f64 {
        let evidence = 1.0 - (-self.evidence / 40.0).exp();
        let fit = (-(self.misfit.max(self.misfit_across) - 1.0).max(0.0) / 4.0).exp();
        let chance = 1.0 - (-surprise / 25.0).exp();
        evidence * fit * chance
    }
}

/// Judges tracks of one camera.
#[derive(Debug)]
pub(crate) struct Judge {
    size_px: (f64, f64),
    map: Option<FacadeMap>,
}

impl Judge {
    /// Returns a judge for pictures of the given size, with the facade's map where there is one.
    pub(crate) fn new(width_px: u32, height_px: u32, map: Option<FacadeMap>) -> Self {
        Self {
            size_px: (f64::from(width_px), f64::from(height_px)),
            map,
        }
    }

    pub(crate) fn map(&self) -> Option<&FacadeMap> {
        self.map.as_ref()
    }

    /// Returns whether the track is worth judging: surprising and long enough.
    pub(crate) fn may_fall(track: &Track) -> bool {
        track.surprise >= SURPRISE_MIN && track.sightings.len() >= SIGHTINGS_MIN
    }

    /// Returns the verdict on the track: on the longest part of it, up to now, that is a fall, or on
    /// the whole of it. None where it is too short or too slow to be worth the arithmetic.
    pub(crate) fn judge(&self, track: &Track) -> Option<Verdict> {
        let sightings = &track.sightings;
        if !Self::may_fall(track) {
            return None;
        }
        let count = sightings.len();
        let mut whole = None;
        // What came before the fall (a hand, a curtain) may have become part of the track.
        for first in [0, count / 6, count / 3, count / 2] {
            if count - first < SIGHTINGS_MIN || (first > 0 && first < 2) {
                continue;
            }
            let Some(verdict) = self.judge_part(sightings, first) else {
                continue;
            };
            if verdict.is_fall() {
                return Some(verdict);
            }
            whole.get_or_insert(verdict);
        }
        whole
    }

    fn judge_part(&self, all: &[Sighting], first: usize) -> Option<Verdict> {
        let sightings = &all[first..];
        let (start, end) = (sightings.first()?, sightings.last()?);
        let height_px = self.size_px.1;
        let came_px = end.area.y_px - start.area.y_px;
        let lasted_s = end.at.secs_since(start.at);
        // Cheap gates: 150 m fill a picture at most; two storeys take 0.2 s at 30 m/s.
        if came_px < height_px * 0.6 * 6.0 / 150.0 || lasted_s < 0.2 {
            return None;
        }
        let samples: Vec<Sample> = sightings
            .iter()
            .map(|s| Sample {
                t_s: s.at.secs_since(start.at),
                px: s.area.y_px,
                sigma_px: 0.7 + 0.1 * s.area.height_px,
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
            misfit: fitted.misfit / samples.len() as f64,
            misfit_across,
            seen_m,
            fallen_m: seen_m + before_m.min(seen_m),
            gravities: (fallen.ln_scale - beliefs.ln_scale.mean).exp(),
            across,
            against: None,
        };
        verdict.against = self.objection(&verdict, sightings, lasted_s, fitted.strain);
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
        let aside_px =
            (verdict.across.x_px(lasted_s, fall.y_px(lasted_s)) - verdict.across.x0_px).abs();
        let demands = [
            (verdict.evidence >= EVIDENCE_MIN, "no acceleration"),
            (verdict.misfit <= 3.0, "not ballistic"),
            (verdict.misfit_across <= 3.0, "winding"),
            (strain <= 12.0, "not gravity"),
            (size_m <= SIZE_MAX_M, "too big"),
            (
                verdict.across.per_s.abs() / scale <= ASIDE_MAX_M_S,
                "too fast across",
            ),
            (aside_px <= 1.0 * came_px, "not downwards"),
            (
                verdict.fallen_m >= STOREYS_MIN * storey_m
                    && verdict.seen_m >= 0.6 * STOREYS_MIN * storey_m,
                "not two storeys",
            ),
        ];
        demands
            .into_iter()
            .find(|(met, _)| !met)
            .map(|(_, name)| name)
    }
}

/// Returns the middle one of the sightings' larger sides.
fn typical_size_px(sightings: &[Sighting]) -> f64 {
    let mut sides: Vec<f64> = sightings
        .iter()
        .map(|s| s.area.width_px.min(s.area.height_px))
        .collect();
    sides.sort_by(f64::total_cmp);
    sides[sides.len() / 2]
}

/// Fits the way across, robustly in two rounds. Returns it with the mean squared deviation.
fn fit_across(sightings: &[Sighting], reference: StreamTime) -> (Across, f64) {
    let y0_px = sightings[0].area.y_px;
    let rows: Vec<([f64; 3], f64, f64)> = sightings
        .iter()
        .map(|s| {
            let t_s = s.at.secs_since(reference);
            let sigma = 0.7 + 0.1 * s.area.width_px;
            ([1.0, t_s, s.area.y_px - y0_px], s.area.x_px, sigma)
        })
        .collect();
    let mut solved = [sightings[0].area.x_px, 0.0, 0.0];
    for round in 0..3 {
        let mut matrix = [[0.0; 4]; 3];
        for (row, x, sigma) in &rows {
            let away = (x - dot(row, &solved)) / sigma;
            let weight = if round == 0 {
                1.0
            } else {
                (1.0 + away * away / 9.0).powi(-2)
            } / (sigma * sigma);
            for i in 0..3 {
                for j in 0..3 {
                    matrix[i][j] += weight * row[i] * row[j];
                }
                matrix[i][3] += weight * row[i] * x;
            }
        }
        // A slight preference for straight down settles what time and y say alike.
        matrix[1][1] += 1e-3;
        matrix[2][2] += 4.0;
        solved = solve(matrix);
    }
    let sum: f64 = rows
        .iter()
        .map(|(row, x, sigma)| {
            let squared = ((x - dot(row, &solved)) / sigma).powi(2);
            squared / (1.0 + squared / 12.0)
        })
        .sum();
    let across = Across {
        x0_px: solved[0],
        y0_px,
        per_s: solved[1],
        per_px: solved[2],
    };
    (across, sum / rows.len() as f64)
}

fn dot(a: &[f64; 3], b: &[f64; 3]) -> f64 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

fn solve(mut m: [[f64; 4]; 3]) -> [f64; 3] {
    for pivot in 0..3 {
        let best = (pivot..3)
            .max_by(|&i, &j| m[i][pivot].abs().total_cmp(&m[j][pivot].abs()))
            .unwrap_or(pivot);
        m.swap(pivot, best);
        let head = m[pivot];
        let divisor = if head[pivot].abs() < 1e-12 {
            1e-12
        } else {
            head[pivot]
        };
        for row in (0..3).filter(|&row| row != pivot) {
            let factor = m[row][pivot] / divisor;
            for column in pivot..4 {
                m[row][column] -= factor * head[column];
            }
        }
    }
    std::array::from_fn(|row| {
        m[row][3]
            / if m[row][row].abs() < 1e-12 {
                1e-12
            } else {
                m[row][row]
            }
    })
}
