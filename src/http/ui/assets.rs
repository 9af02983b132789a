//! The pages' scripts and their style sheet, as they were when the program was built.

use axum::extract::Path;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use crate::http::error::ApiError;
use crate::http::query::{NoQuery, shortened};

struct Asset {
    name: &'static str,
    media_type: &'static str,
    text: &'static str,
}

const fn script(name: &'static str, text: &'static str) -> Asset {
    Asset {
        name,
        media_type: "text/javascript; charset=utf-8",
        text,
    }
}

const ASSETS: &[Asset] = &[
    Asset {
        name: "plumb.css",
        media_type: "text/css; charset=utf-8",
        text: include_str!("assets/plumb.css"),
    },
    script("accounts.js", include_str!("assets/accounts.js")),
    script("alarm.js", include_str!("assets/alarm.js")),
    script("board.js", include_str!("assets/board.js")),
    script("cameras.js", include_str!("assets/cameras.js")),
    script("exports.js", include_str!("assets/exports.js")),
    script("footage.js", include_str!("assets/footage.js")),
    script("handle.js", include_str!("assets/handle.js")),
    script("live.js", include_str!("assets/live.js")),
    script("page.js", include_str!("assets/page.js")),
    script("review.js", include_str!("assets/review.js")),
    script("replay.js", include_str!("assets/replay.js")),
    script("reports.js", include_str!("assets/reports.js")),
    script("scene.js", include_str!("assets/scene.js")),
    script("scene-drawing.js", include_str!("assets/scene-drawing.js")),
    script("scene-fields.js", include_str!("assets/scene-fields.js")),
    script("shelves.js", include_str!("assets/shelves.js")),
    script("sound.js", include_str!("assets/sound.js")),
    script("stream.js", include_str!("assets/stream.js")),
    script("wall.js", include_str!("assets/wall.js")),
];

/// One asset; a browser asks whether it has changed and is mostly told that it has not.
pub(crate) async fn serve(
    Path(name): Path<String>,
    _: NoQuery,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let asset = ASSETS.iter().find(|asset| asset.name == name);
    let asset = asset.ok_or_else(|| ApiError::NotFound {
        what: "asset",
        id: shortened(&name),
    })?;
    let etag = etag(asset);
    let known = headers.get(header::IF_NONE_MATCH);
    let is_known = known.is_some_and(|known| known.as_bytes() == etag.as_bytes());
    let mut response = if is_known {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        asset.text.into_response()
    };
    let media_type = HeaderValue::from_static(asset.media_type);
    let revalidate = HeaderValue::from_static("no-cache");
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, media_type);
    response
        .headers_mut()
        .insert(header::CACHE_CONTROL, revalidate);
    if let Ok(etag) = HeaderValue::from_str(&etag) {
        response.headers_mut().insert(header::ETAG, etag);
    }
    Ok(response)
}

fn etag(asset: &Asset) -> String {
    use sha2::Digest;
    let digest = sha2::Sha256::digest(asset.text.as_bytes());
    let start: String = digest[..8]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("\"{start}\"")
}
