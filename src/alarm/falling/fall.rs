//! The physics of a fall as a camera sees it, and how to fit it to a track. Pure arithmetic.
//!
//! z metres after the start of the track the object stands at y = y0 + s z / (1 + c z): s pixels a
//! metre there, c the perspective along the vertical. z follows gravity with quadratic drag from a
//! starting speed. Without floor lines s and c are free within what facade cameras see; with them
//! they are nearly fixed. That is what makes gravity a judge.

/// Standard gravity, m/s².
pub(crate) const GRAVITY: f64 = 9.80665;

/// A track's place down the picture at one moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample {
    /// Seconds since the track's reference time.
    pub(crate) t_s: f64,
    pub(crate) px: f64,
    pub(crate) sigma_px: f64,
}

/// What is believed of a parameter beforehand: mean and standard deviation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Belief {
    pub(crate) mean: f64,
    pub(crate) sigma: f64,
}

/// What is believed of the scale beforehand, and the picture's height.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Beliefs {
    /// Logarithm of pixels a metre at the track's start.
    pub(crate) ln_scale: Belief,
    /// Perspective: c times the metres that would fill the picture at the starting scale.
    pub(crate) bend: Belief,
    pub(crate) height_px: f64,
    /// Terminal speeds a thing may have, m/s. Scale and drag bend a track alike: with neither known
    /// nearly every curve would be some fall.
    pub(crate) terminals_m_s: &'static [f64],
}

/// Terminal speeds: none, a bottle, a bag with something in it, a shirt, a light bag.
const TERMINALS_M_S: [f64; 5] = [f64::INFINITY, 25.0, 14.0, 9.0, 6.0];

/// Those that hardly matter over two storeys.
const DENSE_TERMINALS_M_S: [f64; 3] = [f64::INFINITY, 25.0, 14.0];

impl Beliefs {
    /// Returns what is known without floor lines: 8 to 157 m fill the picture (two standard
    /// deviations around 35 m), and cameras more often look up than down.
    pub(crate) fn of_any_facade(height_px: f64) -> Self {
        Self {
            ln_scale: Belief {
                mean: (height_px / 35.0).ln(),
                sigma: 0.75,
            },
            bend: Belief {
                mean: -0.15,
                sigma: 0.35,
            },
            height_px,
            terminals_m_s: &DENSE_TERMINALS_M_S,
        }
    }

    /// Returns what floor lines say: the scale within 12 % (objects fall up to some metres before
    /// the facade), the perspective within a tenth of the picture.
    pub(crate) fn of_scene(height_px: f64, px_per_m: f64, convergence_per_m: f64) -> Self {
        Self {
            ln_scale: Belief {
                mean: px_per_m.ln(),
                sigma: 0.12,
            },
            bend: Belief {
                mean: convergence_per_m * height_px / px_per_m,
                sigma: 0.1,
            },
            height_px,
            terminals_m_s: &TERMINALS_M_S,
        }
    }
}

/// A fall: where, at which scale, how fast at the start, with which drag.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Fall {
    pub(crate) y0_px: f64,
    pub(crate) ln_scale: f64,
    pub(crate) bend: f64,
    /// Speed at the reference time, m/s, downwards.
    pub(crate) speed_m_s: f64,
    /// Terminal speed, m/s; infinite without drag.
    pub(crate) terminal_m_s: f64,
    pub(crate) height_px: f64,
}

impl Fall {
    /// Returns when its speed was nought, seconds after the reference time: before it when it falls
    /// already.
    pub(crate) fn apex_s(&self) -> f64 {
        -self.speed_m_s / GRAVITY
    }

    /// Returns pixels a metre at the reference time.
    pub(crate) fn px_per_m(&self) -> f64 {
        self.ln_scale.exp()
    }

    /// Returns the metres fallen since the reference time.
    pub(crate) fn fallen_m(&self, t_s: f64) -> f64 {
        Descent::new(self.speed_m_s, self.terminal_m_s).fallen_m(t_s)
    }

    /// Returns the y at `t_s`.
    pub(crate) fn y_px(&self, t_s: f64) -> f64 {
        let course = FallCourse::of(self);
        course.px(course.way(t_s))
    }

    /// Returns pixels a metre after `z_m` metres.
    pub(crate) fn px_per_m_after(&self, z_m: f64) -> f64 {
        let scale = self.px_per_m();
        let convergence = self.bend * scale / self.height_px;
        scale / (1.0 + convergence * z_m).max(0.1).powi(2)
    }

    fn parameters(&self) -> [f64; 4] {
        [self.y0_px, self.ln_scale, self.bend, self.speed_m_s]
    }

    fn with(mut self, [y0_px, ln_scale, bend, speed_m_s]: [f64; 4]) -> Self {
        self.y0_px = y0_px;
        self.ln_scale = ln_scale.clamp(-2.0, 7.0);
        self.bend = bend.clamp(-2.0, 4.0);
        self.speed_m_s = speed_m_s.clamp(-15.0, 60.0);
        self
    }
}

/// Metres fallen from a starting speed (negative: upwards), with what all moments share worked out: a fit
/// asks for thousands.
struct Descent {
    speed_m_s: f64,
    drag: Option<Drag>,
}

struct Drag {
    /// How long it rises, and how high.
    rising_s: f64,
    risen_m: f64,
    /// Speed over terminal speed as a hyperbolic tangent's argument: at the start, and its growth.
    start: f64,
    ln_cosh_start: f64,
    per_s: f64,
    /// Terminal speed squared over gravity.
    reach_m: f64,
}

impl Descent {
    fn new(speed_m_s: f64, terminal_m_s: f64) -> Self {
        let drag = || {
            let start = (speed_m_s.max(0.0) / terminal_m_s).min(0.995).atanh();
            Drag {
                rising_s: (-speed_m_s / GRAVITY).max(0.0),
                risen_m: 0.5 * speed_m_s.min(0.0).powi(2) / GRAVITY,
                start,
                ln_cosh_start: ln_cosh(start),
                per_s: GRAVITY / terminal_m_s,
                reach_m: terminal_m_s * terminal_m_s / GRAVITY,
            }
        };
        Self {
            speed_m_s,
            drag: terminal_m_s.is_finite().then(drag),
        }
    }

    /// Returns the metres fallen in `t_s`; below 0 where it was before.
    fn fallen_m(&self, t_s: f64) -> f64 {
        let free = self.speed_m_s * t_s + 0.5 * GRAVITY * t_s * t_s;
        let Some(drag) = &self.drag else {
            return free;
        };
        if t_s <= drag.rising_s && self.speed_m_s <= 0.0 {
            return free;
        }
        let now = drag.per_s * (t_s - drag.rising_s) + drag.start;
        if now < 0.0 {
            // Before it began to fall it rose or rested: without drag that is where it was.
            return free;
        }
        drag.reach_m * (ln_cosh(now) - drag.ln_cosh_start) - drag.risen_m
    }
}

fn ln_cosh(x: f64) -> f64 {
    x.abs() + (-2.0 * x.abs()).exp().ln_1p() - std::f64::consts::LN_2
}

/// A model fitted to samples, and how well.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fitted<M> {
    pub(crate) model: M,
    /// Robust sum of squared deviations of the samples, in their standard deviations.
    pub(crate) misfit: f64,
    /// The same for the beliefs.
    pub(crate) strain: f64,
}

impl<M> Fitted<M> {
    pub(crate) fn cost(&self) -> f64 {
        self.misfit + self.strain
    }
}

/// Returns the fall that explains the samples best. They must be in order of time, at least three.
pub(crate) fn fit_fall(samples: &[Sample], beliefs: &Beliefs) -> Fitted<Fall> {
    let first = samples.first().copied().unwrap_or(Sample {
        t_s: 0.0,
        px: 0.0,
        sigma_px: 1.0,
    });
    let start = Fall {
        y0_px: first.px,
        ln_scale: beliefs.ln_scale.mean,
        bend: beliefs.bend.mean,
        speed_m_s: 2.0,
        terminal_m_s: f64::INFINITY,
        height_px: beliefs.height_px,
    };
    let priors = [
        None,
        Some(beliefs.ln_scale),
        Some(beliefs.bend),
        Some(Belief {
            mean: 2.0,
            sigma: 7.0,
        }),
    ];
    let mut best: Option<Fitted<Fall>> = None;
    let mut from = start;
    for &terminal_m_s in beliefs.terminals_m_s {
        from.terminal_m_s = terminal_m_s;
        let course = |p: &[f64; 4]| FallCourse::of(&from.with(*p));
        let (parameters, misfit, strain) = fit(from.parameters(), &priors, samples, course);
        // Every step away from falling freely costs a little: most things are dense.
        let drag = (-terminal_m_s / 12.0).exp() * 12.0;
        let fitted = Fitted {
            model: from.with(parameters),
            misfit,
            strain: strain + drag,
        };
        if terminal_m_s.is_infinite() {
            from = fitted.model;
        }
        if best.is_none_or(|best| fitted.cost() < best.cost()) {
            best = Some(fitted);
        }
    }
    best.expect("at least one terminal speed is tried")
}

/// Something that keeps its speed, under the same perspective: what a fall is weighed against.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Steady {
    pub(crate) y0_px: f64,
    pub(crate) speed_px_s: f64,
    pub(crate) bend: f64,
}

/// Returns the steady motion that explains the samples best, with the same beliefs about perspective.
pub(crate) fn fit_steady(samples: &[Sample], beliefs: &Beliefs, bend: Belief) -> Fitted<Steady> {
    let (Some(first), Some(last)) = (samples.first(), samples.last()) else {
        let model = Steady {
            y0_px: 0.0,
            speed_px_s: 0.0,
            bend: 0.0,
        };
        return Fitted {
            model,
            misfit: 0.0,
            strain: 0.0,
        };
    };
    let height_px = beliefs.height_px;
    let priors = [None, None, Some(bend), None];
    let course = |p: &[f64; 4]| SteadyCourse {
        y0_px: p[0],
        speed_px_s: p[1],
        bend: p[2].clamp(-2.0, 4.0),
        height_px,
    };
    let speed_px_s = (last.px - first.px) / (last.t_s - first.t_s).max(1e-3);
    let start = [first.px, speed_px_s, bend.mean, 0.0];
    let (p, misfit, strain) = fit(start, &priors, samples, course);
    Fitted {
        model: Steady {
            y0_px: p[0],
            speed_px_s: p[1],
            bend: p[2],
        },
        misfit,
        strain,
    }
}

/// Where a model with given parameters is when, in two steps: the way it has come, and where that is on
/// the picture.
trait Course {
    /// The only parameter that the way hangs on.
    const WAY_BY: usize;

    fn way(&self, t_s: f64) -> f64;
    fn px(&self, way: f64) -> f64;
}

/// A fall's way is in metres.
struct FallCourse {
    descent: Descent,
    y0_px: f64,
    px_per_m: f64,
    convergence_per_m: f64,
}

impl FallCourse {
    fn of(fall: &Fall) -> Self {
        let px_per_m = fall.px_per_m();
        Self {
            descent: Descent::new(fall.speed_m_s, fall.terminal_m_s),
            y0_px: fall.y0_px,
            px_per_m,
            convergence_per_m: fall.bend * px_per_m / fall.height_px,
        }
    }
}

impl Course for FallCourse {
    const WAY_BY: usize = 3;

    fn way(&self, t_s: f64) -> f64 {
        self.descent.fallen_m(t_s)
    }

    fn px(&self, way: f64) -> f64 {
        self.y0_px + self.px_per_m * way / (1.0 + self.convergence_per_m * way).max(0.1)
    }
}

/// A steady thing's way is in pixels at the starting scale.
struct SteadyCourse {
    y0_px: f64,
    speed_px_s: f64,
    bend: f64,
    height_px: f64,
}

impl Course for SteadyCourse {
    const WAY_BY: usize = 1;

    fn way(&self, t_s: f64) -> f64 {
        self.speed_px_s * t_s
    }

    fn px(&self, way: f64) -> f64 {
        self.y0_px + way / (1.0 + self.bend * way / self.height_px).max(0.1)
    }
}

/// A deviation counts at most this many squared standard deviations: a wrong sighting, not physics.
const OUTLIER: f64 = 12.0;

fn robust(squared: f64) -> f64 {
    // Geman-McClure: quadratic near 0, bounded by OUTLIER.
    squared / (1.0 + squared / OUTLIER)
}

/// Fits four parameters by damped Gauss-Newton on robust deviations and beliefs. Returns them with
/// the samples' misfit and the beliefs' strain.
fn fit<C: Course>(
    start: [f64; 4],
    priors: &[Option<Belief>; 4],
    samples: &[Sample],
    course: impl Fn(&[f64; 4]) -> C,
) -> ([f64; 4], f64, f64) {
    let costs = |p: &[f64; 4]| {
        let course = course(p);
        let px = |t_s: f64| course.px(course.way(t_s));
        let misfit: f64 = samples
            .iter()
            .map(|s| robust(((px(s.t_s) - s.px) / s.sigma_px).powi(2)))
            .sum();
        let strain: f64 = priors
            .iter()
            .zip(p)
            .filter_map(|(belief, value)| {
                belief.map(|belief| ((value - belief.mean) / belief.sigma).powi(2))
            })
            .sum();
        (misfit, strain)
    };
    let mut parameters = start;
    let mut now = costs(&parameters);
    let mut damping = 1e-3;
    for _ in 0..15 {
        let (matrix, right) = normal_equations(&parameters, priors, samples, &course);
        let Some(step) = solve(matrix, right, damping) else {
            damping *= 10.0;
            continue;
        };
        let next: [f64; 4] = std::array::from_fn(|index| parameters[index] + step[index]);
        let then = costs(&next);
        let gained = now.0 + now.1 - then.0 - then.1;
        if gained > 0.0 {
            parameters = next;
            now = then;
            damping = (damping * 0.2).max(1e-9);
            if gained < 1e-4 {
                break;
            }
        } else {
            damping *= 8.0;
            if damping > 1e7 {
                break;
            }
        }
    }
    (parameters, now.0, now.1)
}

type Matrix = [[f64; 4]; 4];

fn normal_equations<C: Course>(
    parameters: &[f64; 4],
    priors: &[Option<Belief>; 4],
    samples: &[Sample],
    course: &impl Fn(&[f64; 4]) -> C,
) -> (Matrix, [f64; 4]) {
    const STEPS: [f64; 4] = [0.01, 1e-4, 1e-4, 1e-3];
    let mut matrix = [[0.0; 4]; 4];
    let mut right = [0.0; 4];
    let moved: [C; 4] = std::array::from_fn(|index| {
        let mut moved = *parameters;
        moved[index] += STEPS[index];
        course(&moved)
    });
    let course = course(parameters);
    for sample in samples {
        let way = course.way(sample.t_s);
        let other_way = moved[C::WAY_BY].way(sample.t_s);
        let here = course.px(way);
        let slope: [f64; 4] = std::array::from_fn(|index| {
            let way = if index == C::WAY_BY { other_way } else { way };
            (moved[index].px(way) - here) / STEPS[index]
        });
        let away = sample.px - here;
        let squared = (away / sample.sigma_px).powi(2);
        // The weight whose least squares has the robust cost's slope.
        let weight = (1.0 + squared / OUTLIER).powi(-2) / sample.sigma_px.powi(2);
        for i in 0..4 {
            right[i] += weight * slope[i] * away;
            for j in 0..4 {
                matrix[i][j] += weight * slope[i] * slope[j];
            }
        }
    }
    for (index, belief) in priors.iter().enumerate() {
        if let Some(belief) = belief {
            let weight = belief.sigma.powi(-2);
            matrix[index][index] += weight;
            right[index] += weight * (belief.mean - parameters[index]);
        }
    }
    (matrix, right)
}

fn solve(mut matrix: Matrix, mut right: [f64; 4], damping: f64) -> Option<[f64; 4]> {
    for (index, row) in matrix.iter_mut().enumerate() {
        row[index] = row[index] * (1.0 + damping) + 1e-12;
    }
    for pivot in 0..4 {
        let best = (pivot..4)
            .max_by(|&i, &j| matrix[i][pivot].abs().total_cmp(&matrix[j][pivot].abs()))?;
        matrix.swap(pivot, best);
        right.swap(pivot, best);
        let head = matrix[pivot];
        if head[pivot].abs() < 1e-15 {
            return None;
        }
        for row in (0..4).filter(|&row| row != pivot) {
            let factor = matrix[row][pivot] / head[pivot];
            for column in pivot..4 {
                matrix[row][column] -= factor * head[column];
            }
            right[row] -= factor * right[pivot];
        }
    }
    let step = std::array::from_fn(|index| right[index] / matrix[index][index]);
    step.iter().all(|value| value.is_finite()).then_some(step)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(of: impl Fn(f64) -> f64) -> Vec<Sample> {
        (0..35)
            .map(|step| {
                let t_s = f64::from(step) * 0.04;
                let noise = f64::from((step * 7919) % 11 - 5) * 0.1;
                Sample {
                    t_s,
                    px: of(t_s) + noise,
                    sigma_px: 0.8,
                }
            })
            .collect()
    }

    #[test]
    fn a_fall_seen_from_below_is_measured_in_metres() {
        let truth = Fall {
            y0_px: 120.0,
            ln_scale: 25.0_f64.ln(),
            bend: -0.5,
            speed_m_s: 1.0,
            terminal_m_s: f64::INFINITY,
            height_px: 1080.0,
        };
        let beliefs = Beliefs::of_any_facade(1080.0);
        let samples = samples(|t| truth.y_px(t));
        let fall = fit_fall(&samples, &beliefs);
        assert!(fall.misfit < 35.0, "{fall:?}");
        let steady = fit_steady(&samples, &beliefs, beliefs.bend);
        assert!(steady.cost() > fall.cost() + 100.0, "{steady:?} {fall:?}");
        let known = Beliefs::of_scene(1080.0, 25.0, -0.5 * 25.0 / 1080.0);
        let known = fit_fall(&samples, &known).model;
        assert!(
            (known.fallen_m(1.36) - truth.fallen_m(1.36)).abs() < 0.8,
            "{known:?}"
        );
    }

    #[test]
    fn what_keeps_its_speed_is_no_fall() {
        let beliefs = Beliefs::of_scene(1080.0, 25.0, 0.0);
        let samples = samples(|t| 50.0 + 300.0 * t);
        let fall = fit_fall(&samples, &beliefs);
        let steady = fit_steady(&samples, &beliefs, beliefs.bend);
        assert!(fall.cost() > steady.cost() + 5.0, "{fall:?} {steady:?}");
    }

    #[test]
    fn drag_brings_speed_to_an_end() {
        let fallen_m = |speed, terminal, t_s| Descent::new(speed, terminal).fallen_m(t_s);
        let early = fallen_m(0.0, 6.0, 0.2);
        assert!((early - 0.5 * GRAVITY * 0.04).abs() < 0.02, "{early}");
        let last_second = fallen_m(0.0, 6.0, 5.0) - fallen_m(0.0, 6.0, 4.0);
        assert!((last_second - 6.0).abs() < 0.05, "{last_second}");
        let thrown_up = fallen_m(-5.0, 9.0, 0.2);
        assert!(thrown_up < -0.7, "{thrown_up}");
    }
}
