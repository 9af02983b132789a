//! The list of alarms with its filters, newest first.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use jiff::ToSpan;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use super::language::Language;
use super::view::AlarmView;
use super::{Frame, page};
use crate::http::Service;
use crate::http::access::Principal;
use crate::http::error::ApiError;
use crate::http::query::{Given, Parameters, Query};
use crate::store::{AlarmFilter, Cursor};

const ROWS: u32 = 50;

#[derive(Template)]
#[template(path = "alarms.html", config = "src/http/ui/askama.toml")]
struct AlarmsPage {
    frame: Frame,
    kind: String,
    state: String,
    shelved: String,
    site: String,
    camera: String,
    from: String,
    to: String,
    sites: Vec<(String, String)>,
    cameras: Vec<(String, String)>,
    alarms: Vec<AlarmView>,
    /// The way to older ones.
    next: Option<String>,
    /// That some are left out.
    is_narrow: bool,
}

/// What a form asks for: a field that is left empty does not matter.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "its fields are the names that are known")]
pub(crate) struct ListQuery {
    kind: Option<String>,
    state: Option<String>,
    /// `yes` or `no`.
    shelved: Option<String>,
    site: Option<String>,
    camera: Option<String>,
    /// The first day, in this machine's zone.
    from: Option<String>,
    /// The last day.
    to: Option<String>,
    cursor: Option<String>,
}

/// The checked parameters of [`ListQuery`], and their texts to be shown again.
pub(crate) struct Wanted {
    filter: AlarmFilter,
    after: Option<Cursor>,
    texts: Vec<(&'static str, String)>,
}

impl Wanted {
    fn text(&self, name: &str) -> String {
        let found = self.texts.iter().find(|(known, _)| *known == name);
        found.map_or_else(String::new, |(_, text)| text.clone())
    }
}

impl Parameters for Wanted {
    type Named = ListQuery;

    fn read(given: &Given) -> Result<Self, ApiError> {
        const ID: &str = "1 to 64 letters, digits, '.', '_' or '-'";
        const DAY: &str = "a day such as 2026-01-31";
        let text = |name| given.text(name).filter(|text| !text.is_empty());
        let names = ["kind", "state", "shelved", "site", "camera", "from", "to"];
        let texts = names.map(|name| (name, text(name).unwrap_or("").to_owned()));
        let day = |name| match text(name) {
            Some(_) => given.value::<Date>(name, DAY),
            None => Ok(None),
        };
        let after = text("cursor").map(str::parse).transpose();
        Ok(Self {
            filter: AlarmFilter {
                kind: text("kind").map_or(Ok(None), |_| given.word("kind", "a kind of alarm"))?,
                state: text("state").map_or(Ok(None), |_| {
                    given.word("state", "raised, acknowledged or closed")
                })?,
                shelved: text("shelved").map_or(Ok(None), |_| {
                    given.checked("shelved", "yes or no", yes_or_no)
                })?,
                site: text("site").map_or(Ok(None), |_| given.value("site", ID))?,
                camera: text("camera").map_or(Ok(None), |_| given.value("camera", ID))?,
                from_ms: day("from")?.and_then(begin_ms),
                to_ms: day("to")?.and_then(|last| begin_ms(last.checked_add(1.day()).ok()?)),
                ..AlarmFilter::default()
            },
            after: after.map_err(|_| ApiError::BadCursor)?,
            texts: texts.into(),
        })
    }
}

fn yes_or_no(text: &str) -> Option<bool> {
    match text {
        "yes" => Some(true),
        "no" => Some(false),
        _ => None,
    }
}

/// Returns the beginning of the day in this machine's zone.
fn begin_ms(day: Date) -> Option<i64> {
    let begins = day.to_zoned_datetime(TimeZone::system()).ok()?;
    Some(begins.timestamp().as_millisecond())
}

/// The list.
pub(crate) async fn show(
    State(service): State<Arc<Service>>,
    who: Principal,
    language: Language,
    Query(wanted): Query<Wanted>,
) -> Result<Response, ApiError> {
    let (api, t) = (&service.api, language.texts());
    let found = api.store.alarms(&wanted.filter, wanted.after, ROWS).await?;
    let next = found
        .next
        .map(|cursor| address(&wanted, Some(&cursor.to_string())));
    let sites = api.sites.iter();
    let cameras = api.cameras.iter();
    page(&AlarmsPage {
        frame: Frame::of(language, &address(&wanted, None), &who),
        kind: wanted.text("kind"),
        state: wanted.text("state"),
        shelved: wanted.text("shelved"),
        site: wanted.text("site"),
        camera: wanted.text("camera"),
        from: wanted.text("from"),
        to: wanted.text("to"),
        sites: sites
            .map(|site| (site.id.to_string(), site.name.clone()))
            .collect(),
        cameras: cameras
            .map(|camera| (camera.id.to_string(), camera.name.clone()))
            .collect(),
        alarms: found
            .items
            .iter()
            .map(|alarm| AlarmView::new(api, t, alarm))
            .collect(),
        next,
        is_narrow: wanted.texts.iter().any(|(_, text)| !text.is_empty()),
    })
}

/// Returns the address of the list with these filters.
fn address(wanted: &Wanted, cursor: Option<&str>) -> String {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    for (name, text) in wanted.texts.iter().filter(|(_, text)| !text.is_empty()) {
        query.append_pair(name, text);
    }
    if let Some(cursor) = cursor {
        query.append_pair("cursor", cursor);
    }
    match query.finish() {
        query if query.is_empty() => "/alarms".to_owned(),
        query => format!("/alarms?{query}"),
    }
}
