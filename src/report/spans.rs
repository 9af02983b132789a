//! Lists of times: joined, cut and measured. Pure; a list is in order and without overlaps.

use crate::store::Span;

/// Returns the times, cut to `within`, in order, those that touch joined.
pub(super) fn joined(spans: impl IntoIterator<Item = Span>, within: Span) -> Vec<Span> {
    let cut = |span: Span| Span {
        from_ms: span.from_ms.max(within.from_ms),
        to_ms: span.to_ms.min(within.to_ms),
    };
    let mut cut: Vec<Span> = spans.into_iter().map(cut).collect();
    cut.retain(|span| span.from_ms < span.to_ms);
    cut.sort_unstable_by_key(|span| span.from_ms);
    let mut joined: Vec<Span> = Vec::new();
    for span in cut {
        match joined.last_mut() {
            Some(last) if span.from_ms <= last.to_ms => last.to_ms = last.to_ms.max(span.to_ms),
            _ => joined.push(span),
        }
    }
    joined
}

/// Returns what is in `whole` and not in `taken`.
pub(super) fn without(whole: &[Span], taken: &[Span]) -> Vec<Span> {
    let mut left = Vec::new();
    for span in whole {
        let mut from_ms = span.from_ms;
        let within = taken
            .iter()
            .filter(|cut| cut.to_ms > span.from_ms && cut.from_ms < span.to_ms);
        for cut in within {
            if cut.from_ms > from_ms {
                let to_ms = cut.from_ms;
                left.push(Span { from_ms, to_ms });
            }
            from_ms = from_ms.max(cut.to_ms);
        }
        if from_ms < span.to_ms {
            let to_ms = span.to_ms;
            left.push(Span { from_ms, to_ms });
        }
    }
    left
}

/// Returns how long the times are together, milliseconds.
pub(super) fn length_ms(spans: &[Span]) -> i64 {
    spans.iter().map(|span| span.to_ms - span.from_ms).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(from_ms: i64, to_ms: i64) -> Span {
        Span { from_ms, to_ms }
    }

    #[test]
    fn overlaps_are_joined_and_what_is_outside_is_cut() {
        let given = [
            span(50, 70),
            span(-5, 10),
            span(10, 20),
            span(60, 65),
            span(90, 200),
            span(300, 400),
        ];
        let found = joined(given, span(0, 100));
        assert_eq!(found, [span(0, 20), span(50, 70), span(90, 100)]);
        assert_eq!(length_ms(&found), 50);
    }

    #[test]
    fn what_is_left_and_what_is_taken_make_the_whole() {
        let whole = [span(0, 40), span(60, 100)];
        let taken = [span(-10, 5), span(10, 20), span(30, 70), span(99, 120)];
        let left = without(&whole, &taken);
        assert_eq!(left, [span(5, 10), span(20, 30), span(70, 99)]);
        assert_eq!(without(&whole, &[]), whole);
        assert_eq!(without(&whole, &[span(0, 100)]), []);
    }
}
