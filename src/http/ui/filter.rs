//! Which alarms a page is about: the filter of the review, which its links carry on to the alarm's own
//! page and back, so that next and previous stay within it.

use jiff::ToSpan;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use crate::http::error::ApiError;
use crate::http::query::{Given, Parameters};
use crate::store::{AlarmFilter, Cursor};

/// What the review's form asks for: a field that is left empty does not matter.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "its fields are the names that are known")]
pub(crate) struct ReviewQuery {
    kind: Option<String>,
    state: Option<String>,
    disposition: Option<String>,
    site: Option<String>,
    /// Building or elevator.
    place: Option<String>,
    floor: Option<String>,
    camera: Option<String>,
    /// `open`: only what the reader has not looked through.
    review: Option<String>,
    /// The first day, in this machine's zone.
    from: Option<String>,
    /// The last day.
    to: Option<String>,
    /// The calendar's month, e.g. 2026-01.
    month: Option<String>,
    cursor: Option<String>,
}

/// The fields that choose alarms; month and cursor only say what of them is shown.
const NAMES: [&str; 10] = [
    "kind",
    "state",
    "disposition",
    "site",
    "place",
    "floor",
    "camera",
    "review",
    "from",
    "to",
];

/// The checked parameters of [`ReviewQuery`], and their texts to be shown again.
pub(crate) struct Chosen {
    filter: AlarmFilter,
    is_open_only: bool,
    pub(super) after: Option<Cursor>,
    /// The calendar's month, where one was asked for.
    pub(super) month: Option<Date>,
    /// The first day, where one was asked for.
    pub(super) from: Option<Date>,
    texts: Vec<(&'static str, String)>,
}

impl Chosen {
    /// Returns the filter, for a reader of that name.
    pub(super) fn filter(&self, reader: &str) -> AlarmFilter {
        AlarmFilter {
            unreviewed_by: self.is_open_only.then(|| reader.to_owned()),
            ..self.filter.clone()
        }
    }

    /// Returns a field's text; empty where it does not matter.
    pub(super) fn text(&self, name: &str) -> &str {
        let found = self.texts.iter().find(|(known, _)| *known == name);
        found.map_or("", |(_, text)| text)
    }

    /// Returns whether anything was chosen at all.
    pub(super) fn is_narrow(&self) -> bool {
        self.texts.iter().any(|(_, text)| !text.is_empty())
    }

    /// Returns `path` with these fields, and with `changed` in the place of those of their names.
    pub(super) fn address(&self, path: &str, changed: &[(&str, &str)]) -> String {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        let kept = self.texts.iter().map(|(name, text)| (*name, text.as_str()));
        let kept = kept.filter(|(name, _)| !changed.iter().any(|(other, _)| other == name));
        for (name, text) in kept.chain(changed.iter().copied()) {
            if !text.is_empty() {
                query.append_pair(name, text);
            }
        }
        match query.finish() {
            query if query.is_empty() => path.to_owned(),
            query => format!("{path}?{query}"),
        }
    }
}

impl Parameters for Chosen {
    type Named = ReviewQuery;

    fn read(given: &Given) -> Result<Self, ApiError> {
        const ID: &str = "1 to 64 letters, digits, '.', '_' or '-'";
        const DAY: &str = "a day such as 2026-01-31";
        // An empty field of a form is no choice.
        let given = given.without_empty();
        let text = |name| given.text(name);
        let texts = NAMES.map(|name| (name, text(name).unwrap_or("").to_owned()));
        let (from, to) = (given.value::<Date>("from", DAY)?, given.value("to", DAY)?);
        let month = given.checked("month", "a month such as 2026-01", |text| {
            format!("{text}-01").parse().ok()
        })?;
        let is_open_only =
            given.checked("review", "open", |text| (text == "open").then_some(()))?;
        let after = text("cursor").map(str::parse).transpose();
        Ok(Self {
            filter: AlarmFilter {
                kind: given.word("kind", "a kind of alarm")?,
                state: given.word("state", "raised, acknowledged or closed")?,
                disposition: given.word("disposition", "what an alarm was found to be")?,
                site: given.value("site", ID)?,
                place: text("place").map(str::to_owned),
                floor: given.value("floor", "a floor's number")?,
                camera: given.value("camera", ID)?,
                from_ms: from.and_then(begin_ms),
                to_ms: to.and_then(|last: Date| begin_ms(last.checked_add(1.day()).ok()?)),
                ..AlarmFilter::default()
            },
            is_open_only: is_open_only.is_some(),
            after: after.map_err(|_| ApiError::BadCursor)?,
            month,
            from,
            texts: texts.into(),
        })
    }
}

/// Returns the beginning of the day in this machine's zone.
pub(super) fn begin_ms(day: Date) -> Option<i64> {
    let begins = day.to_zoned_datetime(TimeZone::system()).ok()?;
    Some(begins.timestamp().as_millisecond())
}
