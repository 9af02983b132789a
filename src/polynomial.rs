//! Polynomials through points by least squares. Pure.

/// Fits `value = terms[0] + terms[1] at + terms[2] at^2 + ...` to samples of (at, value). None when no
/// one polynomial fits best: fewer points than terms, or all at one time.
pub(crate) fn fit<const TERMS: usize>(samples: &[(f64, f64)]) -> Option<[f64; TERMS]> {
    let mut rows = [[0.0; TERMS]; TERMS];
    let mut wanted = [0.0; TERMS];
    for (at, value) in samples {
        let mut power = 1.0;
        let powers: [f64; TERMS] = std::array::from_fn(|_| {
            let this = power;
            power *= at;
            this
        });
        for ((row, sum), power) in rows.iter_mut().zip(&mut wanted).zip(powers) {
            for (cell, other) in row.iter_mut().zip(powers) {
                *cell += power * other;
            }
            *sum += power * value;
        }
    }
    // The normal equations, solved by elimination with pivots.
    for column in 0..TERMS {
        let pivot = (column..TERMS)
            .max_by(|a, b| rows[*a][column].abs().total_cmp(&rows[*b][column].abs()))?;
        rows.swap(column, pivot);
        wanted.swap(column, pivot);
        let (lead, lead_wanted) = (rows[column], wanted[column]);
        if lead[column].abs() < 1e-12 {
            return None;
        }
        for index in (0..TERMS).filter(|index| *index != column) {
            let share = rows[index][column] / lead[column];
            for (cell, above) in rows[index].iter_mut().zip(lead) {
                *cell -= share * above;
            }
            wanted[index] -= share * lead_wanted;
        }
    }
    Some(std::array::from_fn(|row| wanted[row] / rows[row][row]))
}

#[cfg(test)]
mod tests {
    use super::fit;

    #[test]
    fn finds_the_polynomial_that_made_the_points() {
        let samples: Vec<(f64, f64)> = [0.0, 0.5, 1.0, 2.0, 3.0]
            .map(|at: f64| (at, 7.0 - 2.0 * at + 4.0 * at * at))
            .to_vec();
        let terms: [f64; 3] = fit(&samples).expect("five points");
        for (term, wanted) in terms.into_iter().zip([7.0, -2.0, 4.0]) {
            assert!((term - wanted).abs() < 1e-9, "{terms:?}");
        }
    }

    #[test]
    fn finds_none_where_many_would_fit() {
        assert!(fit::<3>(&[(0.0, 1.0), (1.0, 2.0)]).is_none());
        assert!(fit::<2>(&[(1.0, 1.0), (1.0, 2.0), (1.0, 3.0)]).is_none());
    }
}
