//! The review: what happened, found by filter and by day, and what the reader has not looked through.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use jiff::tz::TimeZone;

use super::calendar::{Calendar, days_of, spans_of};
use super::filter::Chosen;
use super::language::Language;
use super::view::AlarmView;
use super::{Frame, page};
use crate::auth::Role;
use crate::http::access::Principal;
use crate::http::error::ApiError;
use crate::http::query::Query;
use crate::http::{Api, Service};
use crate::id::AlarmId;
use crate::scene::Kind;

const ROWS: u32 = 50;
const PATH: &str = "/review";

#[derive(Template)]
#[template(path = "review.html", config = "src/http/ui/askama.toml")]
struct ReviewPage {
    frame: Frame,
    chosen: Chosen,
    choices: Choices,
    calendar: Calendar,
    rows: Vec<Row>,
    may_mark: bool,
    /// The way to older ones.
    next: Option<String>,
}

/// What the filter's lists offer.
pub(super) struct Choices {
    pub(super) sites: Vec<(String, String)>,
    pub(super) buildings: Vec<String>,
    pub(super) elevators: Vec<String>,
    pub(super) cameras: Vec<(String, String)>,
}

impl Choices {
    pub(super) fn new(api: &Api) -> Self {
        let places = |kind: Kind| {
            let cameras = api.cameras.iter();
            let of_kind = cameras.filter(|camera| camera.kind == kind && !camera.place.is_empty());
            let mut places: Vec<String> = of_kind.map(|camera| camera.place.clone()).collect();
            places.sort();
            places.dedup();
            places
        };
        let sites = api.sites.iter();
        let cameras = api.cameras.iter();
        Self {
            sites: sites
                .map(|site| (site.id.to_string(), site.name.clone()))
                .collect(),
            buildings: places(Kind::Facade),
            elevators: places(Kind::Elevator),
            cameras: cameras
                .map(|camera| (camera.id.to_string(), camera.name.clone()))
                .collect(),
        }
    }
}

/// One alarm of the list.
struct Row {
    alarm: AlarmView,
    address: String,
    /// A picture of it, shown while the row is pointed at.
    preview: String,
    is_event: bool,
    is_reviewed: bool,
}

/// The page.
pub(crate) async fn show(
    State(service): State<Arc<Service>>,
    who: Principal,
    language: Language,
    Query(chosen): Query<Chosen>,
) -> Result<Response, ApiError> {
    let (api, t) = (&service.api, language.texts());
    let reader = who.actor.as_str();
    let filter = chosen.filter(reader);
    let found = api.store.alarms(&filter, chosen.after, ROWS).await?;
    let ids: Vec<AlarmId> = found.items.iter().map(|alarm| alarm.id).collect();
    let reviewed = api.store.reviewed_of(&ids, reader).await?;
    let today = api.clock.now().to_zoned_datetime(TimeZone::system()).date();
    let month = chosen.month.or(chosen.from).unwrap_or(today);
    let spans = spans_of(&days_of(month));
    let counts = api.store.alarm_counts(&filter, &spans).await?;
    let next = found.next.map(|cursor| cursor.to_string());
    let next = next.map(|cursor| chosen.address(PATH, &[("cursor", &cursor)]));
    let row = |alarm| {
        let view = AlarmView::new(api, t, alarm);
        Row {
            address: chosen.address(&format!("/alarms/{}", alarm.id), &[]),
            preview: format!("/api/v1/alarms/{}/evidence/snapshot.jpg", alarm.id),
            is_event: !alarm.kind.is_fault(),
            is_reviewed: reviewed.contains(&alarm.id),
            alarm: view,
        }
    };
    let frame = Frame::of(language, &chosen.address(PATH, &[]), &who);
    page(&ReviewPage {
        may_mark: frame.is(&[Role::Manager]),
        frame,
        choices: Choices::new(api),
        calendar: Calendar::new(&chosen, PATH, month, &counts),
        rows: found.items.iter().map(row).collect(),
        next,
        chosen,
    })
}
