//! The acceptance table as a page that prints well, over a time that is chosen and stands in the
//! page's address.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};

use super::filter::begin_ms;
use super::language::Language;
use super::texts::fill;
use super::{Frame, page_with};
use crate::http::Service;
use crate::http::access::Principal;
use crate::http::error::ApiError;
use crate::http::query::{Given, Parameters, Query};
use crate::http::v1::reports::{DAYS_MAX, Period, table};
use crate::report::Acceptance;
use crate::store::Span;

/// Times that nobody watched which the page lists; the file for spreadsheets has them all.
const UNWATCHED_MAX: usize = 20;

#[derive(Template)]
#[template(path = "reports.html", config = "src/http/ui/askama.toml")]
struct ReportsPage {
    frame: Frame,
    choice: Choice,
    /// The first day and the last one, as their fields show them.
    from: String,
    to: String,
    today: String,
    /// None where the days that were chosen make no period.
    shown: Option<Shown>,
}

struct Shown {
    table: Acceptance,
    /// The same moments for the file's address, in UTC.
    from: String,
    to: String,
    unwatched: Vec<Span>,
    /// That there are more; none where there are not.
    unwatched_more: Option<String>,
}

/// What time the form asks for.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "its fields are the names that are known")]
pub(crate) struct ReportQuery {
    /// `this_month`, `last_month`, `last_30_days` or `days`.
    period: Option<String>,
    /// The first day, for `days`.
    from: Option<String>,
    /// The last day, for `days`.
    to: Option<String>,
}

/// The checked parameters of [`ReportQuery`].
pub(crate) struct Chosen {
    choice: Choice,
    from: Option<Date>,
    to: Option<Date>,
}

/// A period by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Choice {
    ThisMonth,
    LastMonth,
    Last30Days,
    Days,
}

impl Choice {
    const ALL: [Self; 4] = [
        Self::ThisMonth,
        Self::LastMonth,
        Self::Last30Days,
        Self::Days,
    ];

    fn word(self) -> &'static str {
        match self {
            Self::ThisMonth => "this_month",
            Self::LastMonth => "last_month",
            Self::Last30Days => "last_30_days",
            Self::Days => "days",
        }
    }

    /// Whether it is `other`; templates compare by reference.
    fn is(self, other: &Self) -> bool {
        self == *other
    }

    fn text(self, language: &Language) -> &'static str {
        let r = language.records();
        match self {
            Self::ThisMonth => r.report_this_month,
            Self::LastMonth => r.report_last_month,
            Self::Last30Days => r.report_last_30_days,
            Self::Days => r.report_days,
        }
    }
}

impl Parameters for Chosen {
    type Named = ReportQuery;

    fn read(given: &Given) -> Result<Self, ApiError> {
        const DAY: &str = "a day such as 2026-01-31";
        let given = given.without_empty();
        let (from, to) = (given.value("from", DAY)?, given.value("to", DAY)?);
        let named = given.checked(
            "period",
            "this_month, last_month, last_30_days or days",
            |text| Choice::ALL.into_iter().find(|choice| choice.word() == text),
        )?;
        let unnamed = if from.is_some() || to.is_some() {
            Choice::Days
        } else {
            Choice::Last30Days
        };
        let choice = named.unwrap_or(unnamed);
        Ok(Self { choice, from, to })
    }
}

impl Chosen {
    /// Returns the first day and the last one; today is the last at the latest.
    fn days(&self, today: Date) -> (Date, Date) {
        let before = |days: i64| today.checked_sub(days.days()).unwrap_or(today);
        match self.choice {
            Choice::ThisMonth => (today.first_of_month(), today),
            Choice::LastMonth => {
                let last = today.first_of_month().yesterday().unwrap_or(today);
                (last.first_of_month(), last)
            }
            Choice::Last30Days => (before(29), today),
            Choice::Days => {
                let to = self.to.unwrap_or(today);
                (self.from.unwrap_or(to.first_of_month()), to)
            }
        }
    }
}

/// Returns the moments from the first day's beginning to the last one's end; none where they make no
/// period that the table takes.
fn period(from: Date, to: Date, today: Date) -> Option<Period> {
    let days = (to - from).get_days();
    if from > to || from > today || i64::from(days) >= DAYS_MAX {
        return None;
    }
    Some(Period {
        from_ms: Some(begin_ms(from)?),
        to_ms: Some(begin_ms(to.tomorrow().ok()?)?),
    })
}

/// The page.
pub(crate) async fn show(
    State(service): State<Arc<Service>>,
    who: Principal,
    language: Language,
    Query(chosen): Query<Chosen>,
) -> Result<Response, ApiError> {
    let now = service.api.clock.now();
    let today = now.to_zoned_datetime(TimeZone::system()).date();
    let (from, to) = chosen.days(today);
    let shown = match period(from, to, today) {
        Some(period) => Some(shown(language, table(&service.api, period).await?)),
        None => None,
    };
    let status = match shown {
        Some(_) => StatusCode::OK,
        None => StatusCode::UNPROCESSABLE_ENTITY,
    };
    let query = format!("period={}&from={from}&to={to}", chosen.choice.word());
    let page = ReportsPage {
        frame: Frame::of(language, &format!("/reports?{query}"), &who),
        choice: chosen.choice,
        from: from.to_string(),
        to: to.to_string(),
        today: today.to_string(),
        shown,
    };
    page_with(status, &page)
}

fn shown(language: Language, table: Acceptance) -> Shown {
    let moment = |at_ms| {
        Timestamp::from_millisecond(at_ms).map_or_else(|_| String::new(), |at| at.to_string())
    };
    let mut longest = table.unwatched.clone();
    longest.sort_by_key(|span| span.from_ms - span.to_ms);
    longest.truncate(UNWATCHED_MAX);
    longest.sort_by_key(|span| span.from_ms);
    let more = table.unwatched.len() - longest.len();
    let more_text = fill(language.records().report_unwatched_more, &[&more]);
    Shown {
        from: moment(table.from_ms),
        to: moment(table.to_ms),
        unwatched_more: (more > 0).then_some(more_text),
        unwatched: longest,
        table,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(text: &str) -> Date {
        text.parse().expect("a day")
    }

    #[test]
    fn a_name_is_a_first_and_a_last_day() {
        let today = day("2026-03-04");
        let of = |choice| {
            let chosen = Chosen {
                choice,
                from: Some(day("2026-01-05")),
                to: Some(day("2026-02-06")),
            };
            let (from, to) = chosen.days(today);
            format!("{from} {to}")
        };
        assert_eq!(of(Choice::ThisMonth), "2026-03-01 2026-03-04");
        assert_eq!(of(Choice::LastMonth), "2026-02-01 2026-02-28");
        assert_eq!(of(Choice::Last30Days), "2026-02-03 2026-03-04");
        assert_eq!(of(Choice::Days), "2026-01-05 2026-02-06");
    }

    #[test]
    fn days_that_make_no_period_are_none() {
        let today = day("2026-03-04");
        let is_some = |from, to| period(day(from), day(to), today).is_some();
        assert!(is_some("2026-03-04", "2026-03-04"));
        assert!(is_some("2026-03-01", "2026-12-31"), "cut off at now");
        assert!(is_some("2025-01-01", "2026-01-01"));
        assert!(!is_some("2026-03-05", "2026-03-06"), "not begun");
        assert!(!is_some("2026-02-02", "2026-02-01"));
        assert!(!is_some("2025-01-01", "2026-01-02"), "more than 366 days");
    }
}
