//! What is shelved: the page on which alarms are shelved and unshelved, and the strip that the board
//! shows, so that nobody forgets what is not announced.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::response::Response;

use super::board::HANDLERS;
use super::language::Language;
use super::texts::Texts;
use super::view::{camera_name, moment};
use super::{Frame, page};
use crate::http::access::Principal;
use crate::http::error::ApiError;
use crate::http::query::NoQuery;
use crate::http::v1::shelves::{ENDED_MAX, EVERYWHERE};
use crate::http::{Api, Service};
use crate::store::ShelfRecord;

#[derive(Template)]
#[template(path = "shelves.html", config = "src/http/ui/askama.toml")]
struct ShelvesPage {
    frame: Frame,
    may_handle: bool,
    /// Whether they may shelve a kind for every camera.
    may_everywhere: bool,
    cameras: Vec<(String, String)>,
    open: Vec<ShelfView>,
    ended: Vec<ShelfView>,
}

#[derive(Template)]
#[template(path = "shelf_strip.html", config = "src/http/ui/askama.toml")]
struct StripPart {
    t: &'static Texts,
    shelves: Vec<ShelfView>,
}

/// One shelf as pages show it.
pub(super) struct ShelfView {
    pub(super) id: i64,
    pub(super) what: String,
    pub(super) reason: String,
    pub(super) begun_by: String,
    pub(super) until_ms: i64,
    pub(super) until: String,
    pub(super) ended_at_ms: i64,
    pub(super) ended_by: String,
    pub(super) alarms: i64,
}

impl ShelfView {
    fn new(api: &Api, t: &'static Texts, shelf: ShelfRecord) -> Self {
        let kind = shelf.kind.map(|kind| t.kind_of(kind));
        let camera = shelf.camera.as_ref().map(|id| camera_name(api, id));
        let parts = [kind.map(str::to_owned), camera];
        let parts: Vec<_> = parts.into_iter().flatten().collect();
        Self {
            id: shelf.id,
            what: parts.join(" · "),
            reason: shelf.reason,
            begun_by: api.store.name_of(&shelf.begun_by),
            until_ms: shelf.until_ms,
            until: moment(shelf.until_ms),
            ended_at_ms: shelf.ended_at_ms.unwrap_or_default(),
            ended_by: shelf
                .ended_by
                .map(|by| api.store.name_of(&by))
                .unwrap_or_default(),
            alarms: shelf.alarms,
        }
    }
}

/// The page.
pub(crate) async fn show(
    State(service): State<Arc<Service>>,
    who: Principal,
    language: Language,
    _: NoQuery,
) -> Result<Response, ApiError> {
    let (api, t) = (&service.api, language.texts());
    let frame = Frame::of(language, "/shelves", &who);
    let ended = api.store.ended_shelves(ENDED_MAX).await?.into_iter();
    page(&ShelvesPage {
        may_handle: frame.is(&HANDLERS),
        may_everywhere: frame.is(EVERYWHERE),
        cameras: api
            .cameras
            .iter()
            .map(|camera| (camera.id.to_string(), camera.name.clone()))
            .collect(),
        open: open(&service, t).await?,
        ended: ended.map(|shelf| ShelfView::new(api, t, shelf)).collect(),
        frame,
    })
}

/// The board's strip.
pub(crate) async fn strip(
    State(service): State<Arc<Service>>,
    language: Language,
    _: NoQuery,
) -> Result<Response, ApiError> {
    let t = language.texts();
    let shelves = open(&service, t).await?;
    page(&StripPart { t, shelves })
}

/// Returns what is shelved now.
pub(super) async fn open(service: &Service, t: &'static Texts) -> Result<Vec<ShelfView>, ApiError> {
    let open = service.api.store.open_shelves().await?.into_iter();
    let views = open.map(|shelf| ShelfView::new(&service.api, t, shelf));
    Ok(views.collect())
}
