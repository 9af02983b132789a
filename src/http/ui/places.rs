//! Places where it happens again: the same window of a facade, the same elevator, ranked.
//!
//! A window is a camera, a floor, and a place across the facade, measured in the facade's own plane by
//! the scene that the fall was judged by, so that it stays the same when the scene is drawn anew.

use std::collections::BTreeMap;
use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::response::Response;

use super::language::Language;
use super::period::{CHOICES, Period};
use super::texts::fill;
use super::view::{camera_name, moment};
use super::{Frame, page};
use crate::http::access::Principal;
use crate::http::error::ApiError;
use crate::http::query::Query;
use crate::http::{Api, Service};
use crate::id::CameraId;
use crate::scene::Scene;
use crate::scene::facade::FacadeScene;
use crate::store::OriginRecord;

/// Falls this close to each other across the facade came from one window, as a share of its width: a
/// window is 1.5 to 2 m wide, a facade 25 to 40 m.
const WINDOW_SHARE: f64 = 0.06;
/// A place at which it happened so often has happened again.
const AGAIN: usize = 2;
const PLACES_MAX: usize = 50;
/// Alarms that are linked for each place; the rest is in the list.
const LINKS_MAX: usize = 3;

#[derive(Template)]
#[template(path = "places.html", config = "src/http/ui/askama.toml")]
struct PlacesPage {
    frame: Frame,
    period: Period,
    choices: [u32; 3],
    sites: Vec<(String, String)>,
    windows: Vec<WindowView>,
    elevators: Vec<ElevatorView>,
}

struct WindowView {
    camera: String,
    place: String,
    floor: String,
    /// Percent across the facade, for people; none without floor lines.
    across: Option<String>,
    /// The same on a drawing 100 wide.
    across_x: String,
    count: usize,
    alarms: Vec<(String, i64, String)>,
    address: String,
}

struct ElevatorView {
    camera: String,
    place: String,
    count: u32,
    newest_at_ms: i64,
    newest: String,
    address: String,
}

/// Falls that came from one place.
#[derive(Debug, PartialEq)]
struct Window<'a> {
    camera: &'a CameraId,
    floor: Option<i32>,
    /// The middle of them, 0..1 across the facade; none without floor lines.
    across: Option<f64>,
    /// Newest first.
    falls: Vec<&'a OriginRecord>,
}

/// A camera's floor, and whether places across it are known.
type Storey<'a> = (&'a CameraId, Option<i32>, bool);
/// A fall and how far across the facade it came from.
type Placed<'a> = (&'a OriginRecord, f64);

/// The page.
pub(crate) async fn show(
    State(service): State<Arc<Service>>,
    who: Principal,
    language: Language,
    Query(period): Query<Period>,
) -> Result<Response, ApiError> {
    let (api, t) = (&service.api, language.texts());
    let span = period.whole(api.clock.now());
    let site = period.site.as_ref();
    let falls = api.store.origins(site, span).await?;
    let scenes = scenes_of(api, &falls).await?;
    let placed: Vec<(&OriginRecord, Option<f64>)> = falls
        .iter()
        .map(|fall| (fall, across(api, &scenes, fall)))
        .collect();
    let rides = api.store.ride_counts(site, span).await?;
    let elevators = rides.into_iter().take(PLACES_MAX).map(|ride| ElevatorView {
        address: format!("/review?kind=ebike_in_elevator&camera={}", ride.camera),
        camera: camera_name(api, &ride.camera),
        place: ride.place,
        count: ride.count,
        newest_at_ms: ride.newest_at_ms,
        newest: moment(ride.newest_at_ms),
    });
    let windows = windows(&placed);
    let windows = windows.iter().take(PLACES_MAX).map(|window| {
        let camera = api
            .cameras
            .iter()
            .find(|camera| camera.id == *window.camera);
        let link = |fall: &&OriginRecord| {
            let address = format!("/alarms/{}{}", fall.id, narrowed(window));
            (address, fall.raised_at_ms, moment(fall.raised_at_ms))
        };
        WindowView {
            camera: camera_name(api, window.camera),
            place: camera.map_or_else(String::new, |camera| camera.place.clone()),
            floor: window
                .floor
                .map_or_else(|| "–".to_owned(), |floor| fill(t.floor_exact, &[&floor])),
            across: window.across.map(|share| format!("{:.0}", share * 100.0)),
            across_x: format!(
                "{:.1}",
                window.across.unwrap_or(0.0).clamp(0.0, 1.0) * 100.0
            ),
            count: window.falls.len(),
            alarms: window.falls.iter().take(LINKS_MAX).map(link).collect(),
            address: format!("/review{}", narrowed(window)),
        }
    });
    let sites = api.sites.iter();
    page(&PlacesPage {
        windows: windows.collect(),
        elevators: elevators.collect(),
        frame: Frame::of(language, "/review/places", &who),
        choices: CHOICES,
        sites: sites
            .map(|site| (site.id.to_string(), site.name.clone()))
            .collect(),
        period,
    })
}

/// Returns the query that finds the window's camera and floor in the review.
fn narrowed(window: &Window<'_>) -> String {
    let floor = window
        .floor
        .map_or_else(String::new, |floor| format!("&floor={floor}"));
    format!("?kind=falling_object&camera={}{floor}", window.camera)
}

/// Returns the facades by which the falls were judged, by digest.
async fn scenes_of(
    api: &Api,
    falls: &[OriginRecord],
) -> Result<BTreeMap<String, FacadeScene>, ApiError> {
    let mut digests: Vec<&String> = falls
        .iter()
        .filter_map(|fall| fall.scene_sha256.as_ref())
        .collect();
    digests.sort_unstable();
    digests.dedup();
    let mut scenes = BTreeMap::new();
    for sha256 in digests {
        let text = api.store.scene_text(sha256).await?;
        let scene = text.and_then(|text| toml::from_str::<Scene>(&text).ok());
        if let Some(facade) = scene.and_then(|scene| scene.facade) {
            scenes.insert(sha256.clone(), facade);
        }
    }
    Ok(scenes)
}

/// Returns how far across the facade the fall came from, 0..1; none where no scene tells.
fn across(api: &Api, scenes: &BTreeMap<String, FacadeScene>, fall: &OriginRecord) -> Option<f64> {
    let facade = scenes.get(fall.scene_sha256.as_ref()?)?;
    let width_px = api.board.camera(&fall.camera)?.width_px;
    let (left, right) = facade.reach(f64::from(fall.floor?))?;
    let x = fall.x_px / f64::from(width_px.max(1));
    (width_px > 0 && right > left).then(|| (x - left) / (right - left))
}

/// Returns the places at which it happened again, the most frequent first. Falls without a place
/// across the facade, or without a floor, are told apart by camera and floor alone.
fn windows<'a>(falls: &[(&'a OriginRecord, Option<f64>)]) -> Vec<Window<'a>> {
    let mut groups: BTreeMap<Storey<'_>, Vec<Placed<'a>>> = BTreeMap::new();
    for (fall, across) in falls {
        let key = (&fall.camera, fall.floor, across.is_some());
        let place = (*fall, across.unwrap_or(0.0));
        groups.entry(key).or_default().push(place);
    }
    let mut windows = Vec::new();
    for ((camera, floor, is_placed), mut group) in groups {
        group.sort_by(|a, b| a.1.total_cmp(&b.1));
        let mut rest = group.as_slice();
        while let Some(first) = rest.first() {
            let end = rest.partition_point(|fall| fall.1 - first.1 <= WINDOW_SHARE);
            let (own, further) = rest.split_at(end);
            rest = further;
            if own.len() < AGAIN {
                continue;
            }
            let middle = own.iter().map(|fall| fall.1).sum::<f64>() / own.len() as f64;
            let mut falls: Vec<&OriginRecord> = own.iter().map(|fall| fall.0).collect();
            falls.sort_by_key(|fall| std::cmp::Reverse(fall.raised_at_ms));
            windows.push(Window {
                camera,
                floor,
                across: is_placed.then_some(middle),
                falls,
            });
        }
    }
    let newest = |window: &Window<'_>| window.falls[0].raised_at_ms;
    windows.sort_by_key(|window| std::cmp::Reverse((window.falls.len(), newest(window))));
    windows
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::AlarmId;

    fn fall(camera: &str, floor: i32, raised_at_ms: i64) -> OriginRecord {
        OriginRecord {
            id: AlarmId::new(jiff::Timestamp::UNIX_EPOCH),
            camera: CameraId::parse(camera).expect("an id"),
            raised_at_ms,
            floor: Some(floor),
            x_px: 0.0,
            y_px: 0.0,
            scene_sha256: None,
        }
    }

    #[test]
    fn the_window_from_which_most_fell_comes_first_and_once_is_no_repeat() {
        let falls: Vec<_> = (0..7).map(|at_ms| fall("north", 12, at_ms)).collect();
        let other = fall("south", 12, 3);
        let mut placed: Vec<_> = falls
            .iter()
            .zip([0.30, 0.71, 0.32, 0.31, 0.90, 0.72, 0.33])
            .map(|(fall, across)| (fall, Some(across)))
            .collect();
        placed.push((&other, Some(0.31)));
        let found = windows(&placed);
        let counts: Vec<usize> = found.iter().map(|window| window.falls.len()).collect();
        assert_eq!(counts, [4, 2]);
        assert!((found[0].across.expect("known") - 0.315).abs() < 1e-9);
        assert_eq!(found[0].falls[0].raised_at_ms, 6, "newest first");
    }

    #[test]
    fn floors_are_told_apart_and_what_has_no_place_goes_by_its_floor() {
        let falls = [
            fall("north", 3, 1),
            fall("north", 4, 2),
            fall("north", 4, 3),
        ];
        let placed: Vec<_> = falls.iter().map(|fall| (fall, None)).collect();
        let found = windows(&placed);
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].floor, found[0].across), (Some(4), None));
    }
}
