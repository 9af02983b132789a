//! Cameras with their health, and what waits to be delivered: the maintainer's page. Pictures are
//! for those who may see alarms.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::response::Response;

use super::language::Language;
use super::texts::lacks::lack;
use super::view::{DeliveryView, FootageView, HealthView, site_name};
use super::{Frame, READERS, page};
use crate::auth::Role;
use crate::health::CameraHealth;
use crate::http::access::Principal;
use crate::http::error::ApiError;
use crate::http::query::NoQuery;
use crate::http::{Api, CameraInfo, Service};
use crate::scene::Kind;
use crate::store::OutboxCount;

/// Dead letters that the page shows; send them again, and the next ones come into view.
const DEAD_MAX: u32 = 50;

#[derive(Template)]
#[template(path = "cameras.html", config = "src/http/ui/askama.toml")]
struct CamerasPage {
    frame: Frame,
    online: usize,
    cameras: Vec<CameraView>,
    may_see: bool,
    may_mend: bool,
    may_draw: bool,
    outbox: Vec<OutboxCount>,
    dead: Vec<DeliveryView>,
}

struct CameraView {
    id: String,
    name: String,
    site: String,
    place: String,
    health: HealthView,
    error: Option<String>,
    format: String,
    dropped: u64,
    /// None for a facade, whose every frame is looked at.
    skipped: Option<u64>,
    reconnects: u64,
    last_frame_at_ms: Option<i64>,
    footage: Option<FootageView>,
}

impl CameraView {
    fn new(api: &Api, language: Language, camera: &CameraInfo, health: CameraHealth) -> Self {
        let t = language.texts();
        let format = match &health.codec {
            Some(codec) => format!("{codec} {}×{}", health.width_px, health.height_px),
            None => "–".to_owned(),
        };
        Self {
            id: camera.id.to_string(),
            name: camera.name.clone(),
            site: site_name(api, &camera.site),
            place: camera.place.clone(),
            health: HealthView::new(t, &health),
            error: health.error.map(|why| lack(language, &why)),
            format,
            dropped: health.frames_dropped,
            skipped: (camera.kind == Kind::Elevator).then_some(health.looks_skipped),
            reconnects: health.reconnects,
            last_frame_at_ms: health.last_frame_at_ms,
            footage: None,
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
    let mut health = api.board.snapshot();
    let used = api.store.footage_use().await?;
    let cameras: Vec<_> = api
        .cameras
        .iter()
        .map(|camera| {
            let health = health.remove(&camera.id).unwrap_or_default();
            CameraView {
                footage: FootageView::of(camera, &used),
                ..CameraView::new(api, language, camera, health)
            }
        })
        .collect();
    let frame = Frame::of(language, "/cameras", &who);
    let dead = api.store.dead_letters(DEAD_MAX).await?;
    page(&CamerasPage {
        online: cameras
            .iter()
            .filter(|camera| camera.health.link_text == t.online)
            .count(),
        cameras,
        may_see: frame.is(&READERS),
        may_mend: frame.is(&[Role::Manager, Role::Maintainer]),
        may_draw: frame.is(&[Role::Manager, Role::Auditor, Role::Maintainer]),
        outbox: api.store.outbox_counts().await?,
        dead: dead
            .into_iter()
            .map(|delivery| DeliveryView::new(language, delivery))
            .collect(),
        frame,
    })
}
