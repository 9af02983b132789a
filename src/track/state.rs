//! Where a thing is, how fast, and how it accelerates: a Kalman filter for each axis.
//!
//! Down the picture the acceleration is a state of its own, whose drift covers perspective and drag;
//! across it the speed merely drifts. All in pixels and seconds; knows nothing of scores.

/// Noise and expectations, derived from the picture's height alone: a facade camera shows 8 to
/// 120 m in its height, so gravity is 0.08 to 1.2 heights a second squared.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Motion {
    pub(crate) height_px: f64,
}

impl Motion {
    /// Standard deviation of the acceleration's change in 0.3 s, heights/s²: perspective.
    const JERK: f64 = 0.15;
    /// Standard deviation of the sideways speed's change in 0.3 s, heights/s: wind, spin.
    const DRIFT: f64 = 0.025;

    fn jerk_density(self) -> f64 {
        (Self::JERK * self.height_px).powi(2) / 0.3
    }

    fn drift_density(self) -> f64 {
        (Self::DRIFT * self.height_px).powi(2) / 0.3
    }
}

/// One axis of a measurement.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Measured {
    pub(crate) px: f64,
    pub(crate) variance_px2: f64,
}

/// Position, speed, acceleration of one axis and their covariance.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Axis {
    pub(crate) mean: [f64; 3],
    covariance: [[f64; 3]; 3],
    /// Spectral densities of the noise on speed (px²/s³) and on acceleration (px²/s⁵).
    speed_noise: f64,
    acceleration_noise: f64,
}

impl Axis {
    /// Returns the axis down the picture for something first measured at `first`: falling, any
    /// speed, gravity of any plausible scale.
    pub(crate) fn down(motion: Motion, first: Measured) -> Self {
        let height = motion.height_px;
        Self {
            mean: [first.px, 0.3 * height, 0.4 * height],
            covariance: diagonal([
                first.variance_px2,
                (0.5 * height).powi(2),
                (0.35 * height).powi(2),
            ]),
            speed_noise: 0.0,
            acceleration_noise: motion.jerk_density(),
        }
    }

    /// Returns the axis across the picture for something first measured at `first`.
    pub(crate) fn across(motion: Motion, first: Measured) -> Self {
        let height = motion.height_px;
        Self {
            mean: [first.px, 0.0, 0.0],
            covariance: diagonal([first.variance_px2, (0.15 * height).powi(2), 0.0]),
            speed_noise: motion.drift_density(),
            acceleration_noise: 0.0,
        }
    }

    /// Returns the axis `step_s` later.
    pub(crate) fn predicted(&self, step_s: f64) -> Self {
        let t = step_s;
        let half = 0.5 * t * t;
        let [p, v, a] = self.mean;
        let mut next = *self;
        next.mean = [p + v * t + a * half, v + a * t, a];
        let transition = [[1.0, t, half], [0.0, 1.0, t], [0.0, 0.0, 1.0]];
        next.covariance = sandwich(&transition, &self.covariance);
        let (q, j) = (self.speed_noise, self.acceleration_noise);
        let c = &mut next.covariance;
        c[0][0] += q * t.powi(3) / 3.0 + j * t.powi(5) / 20.0;
        c[1][1] += q * t + j * t.powi(3) / 3.0;
        c[2][2] += j * t;
        let place_speed = q * t * t / 2.0 + j * t.powi(4) / 8.0;
        let place_acceleration = j * t.powi(3) / 6.0;
        let speed_acceleration = j * t * t / 2.0;
        for (row, column, value) in [
            (0, 1, place_speed),
            (0, 2, place_acceleration),
            (1, 2, speed_acceleration),
        ] {
            c[row][column] += value;
            c[column][row] += value;
        }
        next
    }

    /// Returns the variance of a measurement's distance from the predicted place, px².
    pub(crate) fn spread_px2(&self, variance_px2: f64) -> f64 {
        self.covariance[0][0] + variance_px2
    }

    /// Takes in a measurement made at this very time.
    pub(crate) fn update(&mut self, measured: Measured) {
        let spread = self.spread_px2(measured.variance_px2);
        let away = measured.px - self.mean[0];
        let gain: [f64; 3] = std::array::from_fn(|row| self.covariance[row][0] / spread);
        let first_row = self.covariance[0];
        for (row, gain) in gain.into_iter().enumerate() {
            self.mean[row] += gain * away;
            for (covariance, first) in self.covariance[row].iter_mut().zip(first_row) {
                *covariance -= gain * first;
            }
        }
    }
}

fn diagonal(values: [f64; 3]) -> [[f64; 3]; 3] {
    let mut matrix = [[0.0; 3]; 3];
    for (index, value) in values.into_iter().enumerate() {
        matrix[index][index] = value;
    }
    matrix
}

/// Returns `f * c * fᵀ`.
fn sandwich(f: &[[f64; 3]; 3], c: &[[f64; 3]; 3]) -> [[f64; 3]; 3] {
    let product = |a: &[[f64; 3]; 3], b: &dyn Fn(usize, usize) -> f64| {
        let mut result = [[0.0; 3]; 3];
        for (row, cells) in result.iter_mut().enumerate() {
            for (column, cell) in cells.iter_mut().enumerate() {
                *cell = (0..3).map(|k| a[row][k] * b(k, column)).sum();
            }
        }
        result
    };
    let left = product(f, &|k, column| c[k][column]);
    product(&left, &|k, column| f[column][k])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn learns_gravity_from_places_alone() {
        let motion = Motion { height_px: 1080.0 };
        let measured = |t: f64| Measured {
            px: 100.0 + 40.0 * t + 0.5 * 500.0 * t * t,
            variance_px2: 0.5,
        };
        let mut axis = Axis::down(motion, measured(0.0));
        for step in 1..=25 {
            axis = axis.predicted(0.04);
            axis.update(measured(f64::from(step) * 0.04));
        }
        let [place, speed, acceleration] = axis.mean;
        assert!((place - 390.0).abs() < 1.0, "{place}");
        assert!((speed - 540.0).abs() < 15.0, "{speed}");
        assert!((acceleration - 500.0).abs() < 60.0, "{acceleration}");
    }

    #[test]
    fn is_less_sure_after_a_gap() {
        let motion = Motion { height_px: 720.0 };
        let first = Measured {
            px: 10.0,
            variance_px2: 1.0,
        };
        let axis = Axis::across(motion, first);
        assert!(axis.predicted(0.3).spread_px2(1.0) > axis.predicted(0.04).spread_px2(1.0));
    }
}
