//! What a thing usually looks like, and so how much a sighting tells of where it is. Pure.

use super::state::Measured;
use crate::detect::motion::Candidate;

/// Share of a thing's usual mass under which only a piece of it was seen: where its middle is, the
/// piece tells no better than within so many of the whole's sides.
const PIECE_MASS: f64 = 0.4;
const PIECE_OFF: f64 = 0.3;

/// How fast what is usual follows what is seen, a share for each sighting.
const USUAL_SHARE: f64 = 0.2;

/// What a thing usually looks like: a running mean over its sightings.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Usual {
    pub(crate) mass: f64,
    width_px: f64,
    height_px: f64,
}

impl Usual {
    /// Returns the looks of what was seen once.
    pub(crate) fn of(candidate: &Candidate) -> Self {
        Self {
            mass: f64::from(candidate.mass),
            width_px: candidate.area.width_px,
            height_px: candidate.area.height_px,
        }
    }

    /// Takes in one more sighting.
    pub(crate) fn follow(&mut self, candidate: &Candidate) {
        let new = Self::of(candidate);
        self.mass += USUAL_SHARE * (new.mass - self.mass);
        self.width_px += USUAL_SHARE * (new.width_px - self.width_px);
        self.height_px += USUAL_SHARE * (new.height_px - self.height_px);
    }

    /// Returns the candidate's place on both axes: the bigger it is, the less its centre says, and a
    /// piece says less than the whole.
    pub(crate) fn measured(&self, candidate: &Candidate) -> (Measured, Measured) {
        let (mut x, mut y) = measured(candidate);
        if f64::from(candidate.mass) < PIECE_MASS * self.mass {
            x.variance_px2 += (PIECE_OFF * self.width_px).powi(2);
            y.variance_px2 += (PIECE_OFF * self.height_px).powi(2);
        }
        (x, y)
    }
}

/// Returns a candidate's place on both axes; the bigger it is, the less its centre says.
pub(crate) fn measured(candidate: &Candidate) -> (Measured, Measured) {
    let area = &candidate.area;
    let axis = |px: f64, size_px: f64| Measured {
        px,
        variance_px2: (0.6 + 0.12 * size_px).powi(2),
    };
    (
        axis(area.x_px, area.width_px),
        axis(area.y_px, area.height_px),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::BoxPx;

    #[test]
    fn a_piece_says_less_of_the_place_than_the_whole() {
        let seen = |side_px: f64, mass: f32| Candidate {
            area: BoxPx {
                x_px: 10.0,
                y_px: 10.0,
                width_px: side_px,
                height_px: side_px,
            },
            mass,
            contrast: 10.0,
            strength: 2.0,
            pixels: 9,
        };
        let usual = Usual::of(&seen(20.0, 2000.0));
        let (whole, _) = usual.measured(&seen(20.0, 1500.0));
        let (piece, _) = usual.measured(&seen(4.0, 100.0));
        assert!(piece.variance_px2 > 2.0 * whole.variance_px2);
        let alone = Usual::of(&seen(4.0, 100.0));
        assert!(alone.measured(&seen(4.0, 100.0)).0.variance_px2 < whole.variance_px2);
    }
}
