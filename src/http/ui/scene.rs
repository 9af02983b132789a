//! The scene of one camera, drawn on its current picture. The drawing is the script's; what a scene
//! may be and what it covers is said by the API, so that there is one truth about both.

use std::collections::BTreeMap;
use std::sync::Arc;

use askama::Template;
use axum::extract::{Path, State};
use axum::response::Response;
use serde_json::json;

use super::language::Language;
use super::view::site_name;
use super::{Frame, READERS, page};
use crate::auth::Role;
use crate::http::Service;
use crate::http::access::Principal;
use crate::http::error::ApiError;
use crate::http::query::NoQuery;
use crate::http::v1::cameras::find;
use crate::scene::{Kind, Reason};

#[derive(Template)]
#[template(path = "scene.html", config = "src/http/ui/askama.toml")]
struct ScenePage {
    frame: Frame,
    id: String,
    name: String,
    site: String,
    place: String,
    kind: Kind,
    is_facade: bool,
    may_change: bool,
    is_coarse: bool,
    /// JSON: the texts that the script shows.
    words: String,
}

/// The page.
pub(crate) async fn show(
    State(service): State<Arc<Service>>,
    who: Principal,
    language: Language,
    Path(id): Path<String>,
    _: NoQuery,
) -> Result<Response, ApiError> {
    let camera = find(&service.api, &id)?;
    let frame = Frame::of(language, &format!("/cameras/{}/scene", camera.id), &who);
    let is_facade = camera.kind == Kind::Facade;
    page(&ScenePage {
        id: camera.id.to_string(),
        name: camera.name.clone(),
        site: site_name(&service.api, &camera.site),
        place: camera.place.clone(),
        kind: camera.kind,
        is_facade,
        may_change: frame.is(&[Role::Manager, Role::Maintainer]),
        is_coarse: !is_facade && !frame.is(&READERS),
        words: words(language),
        frame,
    })
}

/// Returns the texts that the script shows, as JSON that can stand in a page.
fn words(language: Language) -> String {
    let (t, why) = (language.texts(), language.reasons());
    let reasons: BTreeMap<_, _> = Reason::ALL
        .iter()
        .map(|reason| (reason.as_str(), why.of(*reason)))
        .collect();
    let words = json!({
        "line": t.scene_line, "mask": t.scene_mask, "opening": t.scene_opening,
        "car_floor": t.scene_car_floor, "floor": t.floor_word,
        "left": t.scene_left, "right": t.scene_right, "corner": t.scene_corner,
        "remove": t.scene_remove, "add": t.scene_add, "repeat": t.scene_repeat,
        "how": { "select": t.scene_how_select, "line": t.scene_how_line,
            "polygon": t.scene_how_polygon },
        "saved": t.scene_saved, "unsaved": t.scene_unsaved, "unchanged": t.scene_unchanged,
        "failed": t.failed, "reasons": reasons,
        // By the kinds of problem that saving meets.
        "refusals": { "scene-changed": why.changed_meanwhile,
            "scene-unwritable": why.file_unwritable },
        "coverage": {
            "floors": t.coverage_floors, "none": t.coverage_none,
            "openings": t.coverage_openings, "no_openings": t.coverage_no_openings,
            "no_gaps": t.coverage_no_gaps, "gap_floor": t.coverage_gap_floor,
            "gap_floors": t.coverage_gap_floors, "car": t.coverage_car,
            "no_car": t.coverage_no_car,
        },
        "gap": {
            "outside_picture": t.coverage_outside_picture, "masked": t.coverage_masked,
            "no_openings": t.coverage_no_openings_here,
            "opening_masked": t.coverage_opening_masked,
            "no_floor_lines": t.coverage_no_floor_lines,
        },
    });
    words.to_string()
}
