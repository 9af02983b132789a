//! The page of footage: a camera's day as a strip on which one sees what there is and what happened, and
//! a player that goes on from segment to segment. The video itself is the API's, so that each look is
//! written down there.

use std::fmt::Write;
use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use jiff::civil::{Date, Time};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};

use super::filter::begin_ms;
use super::language::Language;
use super::texts::footage::Texts;
use super::view::AlarmView;
use super::{Frame, page};
use crate::auth::Role;
use crate::evidence::Hidden;
use crate::http::access::Principal;
use crate::http::error::ApiError;
use crate::http::query::{Given, Parameters, Query};
use crate::http::{Api, CameraInfo, Service, sight};
use crate::id::CameraId;
use crate::store::{AlarmFilter, AlarmRecord, FootageUse, Span};

/// Alarms of a day that are shown; with more of them the oldest are left to the review.
const ALARMS: u32 = 100;
/// The strip's width: a minute of most days is one.
const WIDTH: f64 = 1440.0;
const HEIGHT: f64 = 10.0;
/// What is shorter would not be seen.
const LEAST: f64 = 2.0;

#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "its fields are the names that are known")]
pub(crate) struct FootageQuery {
    camera: Option<String>,
    /// In this machine's zone.
    day: Option<String>,
    /// A time of the day.
    time: Option<String>,
    /// A moment in the place of both, Unix milliseconds.
    at_ms: Option<String>,
}

/// The checked parameters of [`FootageQuery`].
pub(crate) struct Wanted {
    camera: Option<CameraId>,
    day: Option<Date>,
    time: Option<Time>,
    at: Option<Timestamp>,
}

impl Parameters for Wanted {
    type Named = FootageQuery;

    fn read(given: &Given) -> Result<Self, ApiError> {
        const ID: &str = "1 to 64 letters, digits, '.', '_' or '-'";
        let given = given.without_empty();
        Ok(Self {
            camera: given.value("camera", ID)?,
            day: given.value("day", "a day such as 2026-01-31")?,
            time: given.value("time", "a time such as 18:00:00")?,
            at: given.checked("at_ms", "Unix milliseconds", |text| {
                Timestamp::from_millisecond(text.parse().ok()?).ok()
            })?,
        })
    }
}

#[derive(Template)]
#[template(path = "footage.html", config = "src/http/ui/askama.toml")]
struct FootagePage {
    frame: Frame,
    f: &'static Texts,
    /// Those that keep footage, or have some left.
    cameras: Vec<(String, String)>,
    camera: String,
    camera_name: String,
    day: String,
    time: String,
    earlier: String,
    later: Option<String>,
    from_ms: i64,
    to_ms: i64,
    /// What is chosen; none where the day has nothing.
    at_ms: Option<i64>,
    /// SVG; none where the day has nothing.
    strip: Option<String>,
    /// SVG: the alarms on it.
    marks: String,
    /// The oldest there is of the camera, with the way to it.
    oldest: Option<(i64, String)>,
    alarms: Vec<AlarmView>,
    may_replay: bool,
    /// What is hidden in what is shown.
    hidden_text: Option<&'static str>,
}

/// The page.
pub(crate) async fn show(
    State(service): State<Arc<Service>>,
    who: Principal,
    language: Language,
    Query(wanted): Query<Wanted>,
) -> Result<Response, ApiError> {
    let (api, f) = (&service.api, language.footage());
    let used = api.store.footage_use().await?;
    let cameras = cameras(api, &used);
    let chosen = wanted.camera.as_ref().map(CameraId::as_str);
    let camera = cameras
        .iter()
        .find(|(id, _)| chosen.is_none_or(|chosen| chosen == id))
        .or(cameras.first());
    let (camera, camera_name) = camera.cloned().unwrap_or_default();
    let zone = TimeZone::system();
    let moment = wanted.at.unwrap_or_else(|| api.clock.now());
    let local = moment.to_zoned_datetime(zone.clone());
    let day = match (wanted.at, wanted.day) {
        (None, Some(day)) => day,
        _ => local.date(),
    };
    let span = span_of(day);
    let at = wanted.at.or_else(|| {
        let at = day
            .to_datetime(wanted.time?)
            .to_zoned_datetime(zone.clone())
            .ok()?;
        Some(at.timestamp())
    });
    let day_of = Day::read(api, &camera, span).await?;
    let at_ms = at.map(Timestamp::as_millisecond);
    let at_ms = at_ms.or_else(|| {
        day_of
            .spans
            .last()
            .map(|last| last.from_ms.max(span.from_ms))
    });
    let own = used.iter().find(|used| used.camera.as_str() == camera);
    let address = |day: Date| format!("/footage?camera={camera}&day={day}");
    let other = |moved: Result<Date, jiff::Error>| moved.map_or_else(|_| address(day), address);
    let today = api.clock.now().to_zoned_datetime(zone.clone()).date();
    let frame = Frame::of(language, &path_of(&camera, day, at), &who);
    page(&FootagePage {
        may_replay: frame.is(&[Role::Auditor]),
        hidden_text: hidden_text(&service, &who, language, &camera),
        frame,
        time: at.map_or_else(String::new, |at| {
            at.to_zoned_datetime(zone.clone())
                .strftime("%H:%M:%S")
                .to_string()
        }),
        earlier: other(day.checked_sub(1.day())),
        later: (day < today).then(|| other(day.checked_add(1.day()))),
        day: day.to_string(),
        from_ms: span.from_ms,
        to_ms: span.to_ms,
        at_ms: at_ms.filter(|_| !day_of.spans.is_empty()),
        strip: (!day_of.spans.is_empty()).then(|| day_of.strip(span)),
        marks: day_of.marks(f, span, language),
        oldest: own.map(|own| {
            let at = format!("/footage?camera={camera}&at_ms={}", own.oldest_ms);
            (own.oldest_ms, at)
        }),
        alarms: day_of
            .alarms
            .iter()
            .map(|alarm| AlarmView::new(api, language.texts(), alarm))
            .collect(),
        f,
        cameras,
        camera,
        camera_name,
    })
}

/// Returns what the page says of what it does not show.
fn hidden_text(
    service: &Service,
    who: &Principal,
    language: Language,
    camera: &str,
) -> Option<&'static str> {
    let mut cameras = service.api.cameras.iter();
    let camera = cameras.find(|known| known.id.as_str() == camera)?;
    match sight::of_camera(service, who, camera) {
        Hidden::Nothing => None,
        Hidden::Masks(_) => Some(language.sight().masks_hidden),
        Hidden::People => Some(language.sight().people_hidden),
    }
}

/// Returns the way to the footage of a camera at a moment; none where there is none.
pub(super) async fn way_to(
    api: &Api,
    camera: &CameraId,
    at_ms: i64,
) -> Result<Option<String>, ApiError> {
    let then = (at_ms, at_ms.saturating_add(1));
    let found = api.store.footage(camera, then, None, 1).await?;
    Ok((!found.is_empty()).then(|| format!("/footage?camera={camera}&at_ms={at_ms}")))
}

fn path_of(camera: &str, day: Date, at: Option<Timestamp>) -> String {
    match at {
        _ if camera.is_empty() => "/footage".to_owned(),
        Some(at) => format!("/footage?camera={camera}&at_ms={}", at.as_millisecond()),
        None => format!("/footage?camera={camera}&day={day}"),
    }
}

/// Returns the cameras that keep footage, or have some left, with their names.
fn cameras(api: &Api, used: &[FootageUse]) -> Vec<(String, String)> {
    let has_some = |camera: &&CameraInfo| {
        camera.keeps_footage || used.iter().any(|used| used.camera == camera.id)
    };
    let known = api.cameras.iter().filter(has_some);
    let mut all: Vec<(String, String)> = known
        .map(|camera| (camera.id.to_string(), camera.name.clone()))
        .collect();
    // Of cameras that are configured no more there may be footage all the same.
    for used in used {
        let id = used.camera.to_string();
        if !all.iter().any(|(known, _)| *known == id) {
            all.push((id.clone(), id));
        }
    }
    all
}

fn span_of(day: Date) -> Span {
    let next = day.checked_add(1.day()).unwrap_or(day);
    Span {
        from_ms: begin_ms(day).unwrap_or(0),
        to_ms: begin_ms(next).unwrap_or(0),
    }
}

/// What a camera's day holds.
#[derive(Default)]
struct Day {
    spans: Vec<Span>,
    alarms: Vec<AlarmRecord>,
}

impl Day {
    async fn read(api: &Api, camera: &str, span: Span) -> Result<Self, ApiError> {
        let Ok(camera) = CameraId::parse(camera) else {
            return Ok(Self::default());
        };
        let bounds = (span.from_ms, span.to_ms);
        let spans = api.store.footage_spans(&camera, bounds).await?;
        let filter = AlarmFilter {
            camera: Some(camera),
            from_ms: Some(span.from_ms),
            to_ms: Some(span.to_ms),
            ..AlarmFilter::default()
        };
        let alarms = api.store.alarms(&filter, None, ALARMS).await?.items;
        Ok(Self { spans, alarms })
    }

    /// Draws the day: what there is, and the hours.
    fn strip(&self, day: Span) -> String {
        let mut svg = format!(
            "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" preserveAspectRatio=\"none\" aria-hidden=\"true\">\
             <rect class=\"gap\" width=\"{WIDTH}\" height=\"{HEIGHT}\"/>"
        );
        for span in &self.spans {
            let (from, to) = (x(day, span.from_ms), x(day, span.to_ms));
            let width = (to - from).max(LEAST);
            let _ = write!(
                svg,
                "<rect class=\"kept\" x=\"{from:.2}\" width=\"{width:.2}\" height=\"{HEIGHT}\"/>"
            );
        }
        for hour in 1..24 {
            let at = WIDTH * f64::from(hour) / 24.0;
            let _ = write!(
                svg,
                "<line x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"0\" y2=\"{HEIGHT}\"/>"
            );
        }
        svg + "</svg>"
    }

    /// Draws a mark for each alarm, that leads to it.
    fn marks(&self, f: &Texts, day: Span, language: Language) -> String {
        let mut svg = format!(
            "<svg class=\"marks\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" preserveAspectRatio=\"none\">"
        );
        let t = language.texts();
        for alarm in &self.alarms {
            let (at, kind) = (x(day, alarm.raised_at_ms), t.kind_of(alarm.kind));
            let tone = match alarm.kind.is_fault() {
                true => "fault",
                false => "event",
            };
            let _ = write!(
                svg,
                "<a href=\"/alarms/{}\" aria-label=\"{}: {kind}\"><title>{kind}</title>\
                 <line class=\"{tone}\" x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"0\" y2=\"{HEIGHT}\"/></a>",
                alarm.id, f.alarm_key
            );
        }
        svg + "</svg>"
    }
}

/// Returns where a moment stands on the day's strip.
fn x(day: Span, at_ms: i64) -> f64 {
    let lasts_ms = (day.to_ms - day.from_ms).max(1) as f64;
    let share = (at_ms - day.from_ms) as f64 / lasts_ms;
    share.clamp(0.0, 1.0) * WIDTH
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_strip_shows_what_there_is_and_where_nothing_is() {
        let hour = 3_600_000;
        let span = |from: i64, to: i64| Span {
            from_ms: from * hour,
            to_ms: to * hour,
        };
        let day = Day {
            spans: vec![span(-1, 6), span(12, 18)],
            alarms: Vec::new(),
        };
        let svg = day.strip(span(0, 24));
        assert_eq!(svg.matches("class=\"kept\"").count(), 2);
        // From midnight, not from before it.
        assert!(svg.contains("x=\"0.00\" width=\"360.00\""), "{svg}");
        assert!(svg.contains("x=\"720.00\" width=\"360.00\""), "{svg}");
        assert_eq!(svg.matches("<line").count(), 23);
        assert!(!svg.contains("style"), "the page's policy forbids it");
    }
}
