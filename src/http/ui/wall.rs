//! The camera wall: what every camera shows, and how it is. Pictures are new each second, live video
//! comes on demand; both are the API's, so that each look is written down there.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::response::Response;

use super::language::Language;
use super::texts::{Texts, footage};
use super::view::{AlarmView, FootageView, HealthView, site_name};
use super::{Frame, page};
use crate::http::access::Principal;
use crate::http::error::ApiError;
use crate::http::query::NoQuery;
use crate::http::{CameraInfo, Service, sight};
use crate::store::AlarmFilter;

#[derive(Template)]
#[template(path = "wall.html", config = "src/http/ui/askama.toml")]
struct WallPage {
    frame: Frame,
    f: &'static footage::Texts,
    tiles: Vec<Tile>,
}

#[derive(Template)]
#[template(path = "wall_facts.html", config = "src/http/ui/askama.toml")]
struct FactsPart {
    t: &'static Texts,
    f: &'static footage::Texts,
    tiles: Vec<Tile>,
}

/// One camera.
struct Tile {
    id: String,
    name: String,
    site: String,
    place: String,
    health: HealthView,
    /// Whether its video can be shown, as it is or encoded anew; others are asked for pictures.
    is_live: bool,
    codec: String,
    last_alarm: Option<AlarmView>,
    footage: Option<FootageView>,
}

/// The page.
pub(crate) async fn show(
    State(service): State<Arc<Service>>,
    who: Principal,
    language: Language,
    _: NoQuery,
) -> Result<Response, ApiError> {
    page(&WallPage {
        frame: Frame::of(language, "/wall", &who),
        f: language.footage(),
        tiles: tiles(&service, &who, language.texts()).await?,
    })
}

/// What changes below the pictures, of all cameras at once.
pub(crate) async fn facts(
    State(service): State<Arc<Service>>,
    who: Principal,
    language: Language,
    _: NoQuery,
) -> Result<Response, ApiError> {
    let t = language.texts();
    let tiles = tiles(&service, &who, t).await?;
    let f = language.footage();
    page(&FactsPart { t, f, tiles })
}

async fn tiles(
    service: &Service,
    who: &Principal,
    t: &'static Texts,
) -> Result<Vec<Tile>, ApiError> {
    let mut tiles = Vec::with_capacity(service.api.cameras.len());
    let used = service.api.store.footage_use().await?;
    for camera in &service.api.cameras {
        let mut tile = tile(service, who, t, camera).await?;
        tile.footage = FootageView::of(camera, &used);
        tiles.push(tile);
    }
    Ok(tiles)
}

async fn tile(
    service: &Service,
    who: &Principal,
    t: &'static Texts,
    camera: &CameraInfo,
) -> Result<Tile, ApiError> {
    let api = &service.api;
    let health = api.board.camera(&camera.id).unwrap_or_default();
    let filter = AlarmFilter {
        camera: Some(camera.id.clone()),
        ..AlarmFilter::default()
    };
    let last = api.store.alarms(&filter, None, 1).await?.items;
    Ok(Tile {
        id: camera.id.to_string(),
        name: camera.name.clone(),
        site: site_name(api, &camera.site),
        place: camera.place.clone(),
        health: HealthView::new(t, &health),
        is_live: match health.codec.as_deref() {
            Some("h264") if !sight::hides_any(service, who, camera) => true,
            // Encoded anew.
            Some(_) => api.privacy.live_encodings > 0,
            None => false,
        },
        codec: health.codec.unwrap_or_else(|| "–".to_owned()),
        footage: None,
        last_alarm: last.first().map(|alarm| AlarmView::new(api, t, alarm)),
    })
}
