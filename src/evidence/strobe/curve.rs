//! The path of a fall as a polynomial in time, by least squares. Pure.

use crate::alarm::TrackPoint;
use crate::geometry::Point;
use crate::polynomial;

/// x and y as cubic polynomials of time: free fall is quadratic, drag adds the cubic term.
#[derive(Debug)]
pub(super) struct Curve {
    x: [f64; TERMS],
    y: [f64; TERMS],
}

const TERMS: usize = 4;

impl Curve {
    /// Fits the curve; none with fewer than five points, through which a cubic would run blindly.
    pub(super) fn fit(track: &[TrackPoint]) -> Option<Self> {
        let (first, last) = (track.first()?, track.last()?);
        let seconds = last.at.secs_since(first.at);
        if track.len() <= TERMS || seconds <= 0.0 {
            return None;
        }
        // Time runs from 0 to 1 so that the powers stay of one size.
        let share = |point: &TrackPoint| point.at.secs_since(first.at) / seconds;
        let samples = |pick: fn(&TrackPoint) -> f64| {
            track
                .iter()
                .map(|point| (share(point), pick(point)))
                .collect::<Vec<_>>()
        };
        Some(Self {
            x: polynomial::fit(&samples(|point| point.area.x_px))?,
            y: polynomial::fit(&samples(|point| point.area.y_px))?,
        })
    }

    /// Returns `steps` + 1 points of the curve, evenly in time.
    pub(super) fn points(&self, steps: u32) -> Vec<Point> {
        (0..=steps)
            .map(|step| {
                let at = f64::from(step) / f64::from(steps.max(1));
                Point::new(value(&self.x, at), value(&self.y, at))
            })
            .collect()
    }
}

fn value(terms: &[f64; TERMS], at: f64) -> f64 {
    terms.iter().rev().fold(0.0, |sum, term| sum * at + term)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::StreamTime;
    use crate::geometry::BoxPx;

    fn falling(count: i32) -> Vec<TrackPoint> {
        (0..count)
            .map(|n| {
                let at_s = f64::from(n) / 25.0;
                let y_px = 10.0 + 300.0 * at_s * at_s;
                TrackPoint {
                    at: StreamTime::from_secs_f64(at_s),
                    area: BoxPx::from_corners(98.0, y_px - 2.0, 102.0, y_px + 2.0),
                }
            })
            .collect()
    }

    #[test]
    fn follows_a_free_fall_exactly() {
        let curve = Curve::fit(&falling(26)).expect("26 points");
        let points = curve.points(2);
        assert!((points[1].y - 85.0).abs() < 1e-3 && (points[1].x - 100.0).abs() < 1e-6);
        assert!((points[2].y - 310.0).abs() < 1e-3);
    }

    #[test]
    fn draws_nothing_through_too_few_points() {
        assert!(Curve::fit(&falling(4)).is_none());
        assert!(Curve::fit(&[]).is_none());
    }
}
