//! Over what time and which site a page of figures goes.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};

use super::filter::begin_ms;
use crate::http::error::ApiError;
use crate::http::query::{Given, Parameters};
use crate::id::SiteId;
use crate::store::Span;

/// What the forms of figures ask for.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "its fields are the names that are known")]
pub(crate) struct PeriodQuery {
    site: Option<String>,
    /// 30, 90 or 365 days until today.
    days: Option<u32>,
}

/// The checked parameters of [`PeriodQuery`].
pub(crate) struct Period {
    pub(super) site: Option<SiteId>,
    pub(super) days: u32,
}

impl Parameters for Period {
    type Named = PeriodQuery;

    fn read(given: &Given) -> Result<Self, ApiError> {
        const ID: &str = "1 to 64 letters, digits, '.', '_' or '-'";
        let given = given.without_empty();
        let days = given.checked("days", "30, 90 or 365", |text| {
            text.parse().ok().filter(|days| CHOICES.contains(days))
        })?;
        Ok(Self {
            site: given.value("site", ID)?,
            days: days.unwrap_or(CHOICES[0]),
        })
    }
}

/// Days that can be chosen.
pub(super) const CHOICES: [u32; 3] = [30, 90, 365];
/// Beyond this many days a chart counts by weeks.
const DAYS_APART_MAX: u32 = 31;

impl Period {
    /// Returns the site's id as text; empty for all.
    pub(super) fn site_text(&self) -> &str {
        self.site.as_ref().map_or("", SiteId::as_str)
    }

    /// Returns whether its charts count by weeks.
    pub(super) fn is_by_week(&self) -> bool {
        self.days > DAYS_APART_MAX
    }

    /// Returns the first day of each step up to today's, oldest first: days, or weeks from Monday.
    pub(super) fn steps(&self, now: Timestamp) -> Vec<Date> {
        let today = now.to_zoned_datetime(TimeZone::system()).date();
        let (last, step, count) = if self.is_by_week() {
            let past = i64::from(today.weekday().to_monday_zero_offset());
            (today.checked_sub(past.days()), 7, self.days.div_ceil(7))
        } else {
            (Ok(today), 1, self.days)
        };
        let last = last.unwrap_or(today);
        let back = |number: u32| {
            let days = i64::from(number) * step;
            last.checked_sub(days.days()).unwrap_or(last)
        };
        (0..count).rev().map(back).collect()
    }

    /// Returns the spans of the steps, to be counted.
    pub(super) fn spans(&self, steps: &[Date]) -> Vec<Span> {
        let length = if self.is_by_week() { 7 } else { 1 };
        let span = |first: &Date| {
            let next = first.checked_add(i64::from(length).days());
            Span {
                from_ms: begin_ms(*first).unwrap_or(0),
                to_ms: begin_ms(next.unwrap_or(*first)).unwrap_or(0),
            }
        };
        steps.iter().map(span).collect()
    }

    /// Returns the whole time.
    pub(super) fn whole(&self, now: Timestamp) -> Span {
        let spans = self.spans(&self.steps(now));
        Span {
            from_ms: spans.first().map_or(0, |span| span.from_ms),
            to_ms: spans.last().map_or(0, |span| span.to_ms),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_reach_from_the_first_to_today_without_a_gap() {
        let now: Timestamp = "2026-03-04T05:06:07Z".parse().expect("a moment");
        for (days, count) in [(30, 30), (90, 13), (365, 53)] {
            let period = Period { site: None, days };
            let spans = period.spans(&period.steps(now));
            assert_eq!(spans.len(), count);
            assert!(
                spans
                    .windows(2)
                    .all(|pair| pair[0].to_ms == pair[1].from_ms)
            );
            let whole = period.whole(now);
            let now_ms = now.as_millisecond();
            assert!(whole.from_ms < now_ms && now_ms < whole.to_ms);
        }
    }
}
