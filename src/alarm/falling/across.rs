//! The way of a falling thing across the picture, and how to fit it to a track. Pure arithmetic.

use crate::clock::StreamTime;
use crate::track::accelerating::Sighting;

/// Steepest lean of a vertical on a picture, pixels a pixel: at the edge of a wide view.
const LEAN_MAX: f64 = 0.4;

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

/// Fits the way across, robustly. Returns it with the mean squared deviation.
pub(crate) fn fit_across(sightings: &[Sighting], reference: StreamTime) -> (Across, f64) {
    let y0_px = sightings[0].area.y_px;
    let rows: Vec<Row> = sightings
        .iter()
        .map(|s| Row {
            t_s: s.at.secs_since(reference),
            y_px: s.area.y_px - y0_px,
            x_px: s.area.x_px,
            sigma_px: 0.7 + 0.1 * s.area.width_px,
        })
        .collect();
    let mut solved = [sightings[0].area.x_px, 0.0, 0.0];
    for round in 0..3 {
        solved = solve_across(&rows, &solved, round, None);
    }
    if solved[2].abs() > LEAN_MAX {
        // No camera's verticals lean like that: time must explain it, or nothing does.
        let lean = solved[2].clamp(-LEAN_MAX, LEAN_MAX);
        for round in 0..3 {
            solved = solve_across(&rows, &solved, round, Some(lean));
        }
    }
    let sum: f64 = rows
        .iter()
        .map(|row| {
            let squared = row.deviation(&solved).powi(2);
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

struct Row {
    t_s: f64,
    y_px: f64,
    x_px: f64,
    sigma_px: f64,
}

impl Row {
    fn deviation(&self, solved: &[f64; 3]) -> f64 {
        (self.x_px - solved[0] - solved[1] * self.t_s - solved[2] * self.y_px) / self.sigma_px
    }
}

/// Solves x = a + b t + c y by weighted least squares, the first round without weights; with the
/// given `lean` for c where there is one.
fn solve_across(rows: &[Row], before: &[f64; 3], round: u32, lean: Option<f64>) -> [f64; 3] {
    let mut matrix = [[0.0; 4]; 3];
    for row in rows {
        let robust = if round == 0 {
            1.0
        } else {
            (1.0 + row.deviation(before).powi(2) / 9.0).powi(-2)
        };
        let weight = robust / row.sigma_px.powi(2);
        let terms = [1.0, row.t_s, row.y_px];
        for i in 0..3 {
            for j in 0..3 {
                matrix[i][j] += weight * terms[i] * terms[j];
            }
            matrix[i][3] += weight * terms[i] * row.x_px;
        }
    }
    // A slight preference for straight down settles what time and y say alike.
    matrix[1][1] += 1e-3;
    matrix[2][2] += 1.0;
    if let Some(lean) = lean {
        matrix[2] = [0.0, 0.0, 1.0, lean];
    }
    solve(matrix)
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
