//! A month as weeks of days, each with its count and the way to it.

use jiff::ToSpan;
use jiff::civil::Date;

use super::filter::{Chosen, begin_ms};
use crate::store::Span;

/// One month.
pub(super) struct Calendar {
    /// E.g. 2026-01.
    pub(super) month: String,
    pub(super) earlier: String,
    pub(super) later: String,
    pub(super) weeks: Vec<Vec<Day>>,
    pub(super) total: u32,
}

/// One day; those of other months fill up the first and the last week.
pub(super) struct Day {
    pub(super) number: i8,
    pub(super) date: String,
    pub(super) is_of_month: bool,
    pub(super) is_chosen: bool,
    pub(super) count: u32,
    /// 0 to 4: how much it is against the month's fullest day.
    pub(super) shade: u32,
    pub(super) address: String,
}

/// Returns the days that the calendar of the month shows: whole weeks, from Monday.
pub(super) fn days_of(month: Date) -> Vec<Date> {
    let first = month.first_of_month();
    let before = i64::from(first.weekday().to_monday_zero_offset());
    let begin = first.checked_sub(before.days()).unwrap_or(first);
    let length = before + i64::from(month.days_in_month());
    let weeks = (length + 6) / 7;
    let day = |number: i64| begin.checked_add(number.days()).unwrap_or(begin);
    (0..weeks * 7).map(day).collect()
}

/// Returns the spans of the days, to be counted.
pub(super) fn spans_of(days: &[Date]) -> Vec<Span> {
    let span = |day: &Date| {
        let next = day.checked_add(1.day()).unwrap_or(*day);
        Span {
            from_ms: begin_ms(*day).unwrap_or(0),
            to_ms: begin_ms(next).unwrap_or(0),
        }
    };
    days.iter().map(span).collect()
}

impl Calendar {
    /// Returns the month with `counts`, one for each of [`days_of`] it.
    pub(super) fn new(chosen: &Chosen, path: &str, month: Date, counts: &[u32]) -> Self {
        let days = days_of(month);
        let is_of_month = |day: &Date| (day.year(), day.month()) == (month.year(), month.month());
        let counted = || days.iter().zip(counts.iter().copied());
        let own = || counted().filter(|(day, _)| is_of_month(day));
        let most = own().map(|(_, count)| count).max().unwrap_or(0).max(1);
        let name = |month: Date| month.strftime("%Y-%m").to_string();
        let other = |moved: Result<Date, jiff::Error>| {
            let moved = name(moved.unwrap_or(month));
            chosen.address(path, &[("month", &moved), ("from", ""), ("to", "")])
        };
        let day = |(day, count): (&Date, u32)| {
            let date = day.to_string();
            Day {
                number: day.day(),
                is_of_month: is_of_month(day),
                is_chosen: chosen.text("from") == date && chosen.text("to") == date,
                count,
                shade: (4 * count).div_ceil(most).min(4),
                address: chosen.address(path, &[("from", &date), ("to", &date)]),
                date,
            }
        };
        let all: Vec<Day> = counted().map(day).collect();
        let mut weeks: Vec<Vec<Day>> = Vec::new();
        for day in all {
            match weeks.last_mut() {
                Some(week) if week.len() < 7 => week.push(day),
                _ => weeks.push(vec![day]),
            }
        }
        Self {
            earlier: other(month.first_of_month().checked_sub(1.month())),
            later: other(month.first_of_month().checked_add(1.month())),
            total: own().map(|(_, count)| count).sum(),
            month: name(month),
            weeks,
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;

    #[test]
    fn a_month_is_shown_in_whole_weeks_from_monday() {
        // 2026-02-01 is a Sunday; the month ends with a Saturday.
        let days = days_of(date(2026, 2, 14));
        assert_eq!(days.len(), 35);
        assert_eq!(days[0], date(2026, 1, 26));
        assert_eq!(days[34], date(2026, 3, 1));
        // Six weeks.
        assert_eq!(days_of(date(2026, 8, 1)).len(), 42);
    }

    #[test]
    fn days_follow_each_other_without_a_gap() {
        let spans = spans_of(&days_of(date(2026, 3, 1)));
        assert!(
            spans
                .windows(2)
                .all(|pair| pair[0].to_ms == pair[1].from_ms)
        );
    }
}
