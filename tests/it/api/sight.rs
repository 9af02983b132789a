//! What is hidden from whom, by every way in which a picture leaves the service.

use plumb::decode::{Decoder, Frame};
use plumb::evidence::{picture, rendition};
use plumb::source::file::Recording;
use plumb::store::{EvidenceFile, EvidenceReport, EvidenceState};
use reqwest::Response;
use serde_json::json;

use super::*;

const FOLDER: &str = "2026-01-31/one";
pub(super) const LEFT_HALF: [[f64; 2]; 4] = [[0.0, 0.0], [0.5, 0.0], [0.5, 1.0], [0.0, 1.0]];

/// Attaches a clip of three seconds of a moving test picture, and a snapshot full of detail.
async fn with_evidence(service: &Service, new: &NewAlarm) -> AlarmId {
    let id = service.raise(new).await;
    let home = service.evidence_root().join(FOLDER);
    std::fs::create_dir_all(&home).expect("a folder");
    crate::evidence::record_clip(&home, "clip.mp4", 3);
    let chess = |x: u32, y: u32| image::Rgb([if (x + y).is_multiple_of(2) { 250 } else { 5 }; 3]);
    let snapshot = picture::jpeg(&image::RgbImage::from_fn(160, 140, chess)).expect("a JPEG");
    std::fs::write(home.join("snapshot.jpg"), snapshot).expect("writable");
    let file = |name: &str, media_type: &str| {
        let bytes = std::fs::read(home.join(name)).expect("it was written");
        EvidenceFile {
            name: name.to_owned(),
            media_type: media_type.to_owned(),
            size_bytes: bytes.len() as u64,
            sha256: write_evidence(&service.evidence_root(), FOLDER, name, &bytes),
        }
    };
    let report = EvidenceReport {
        state: EvidenceState::Ready,
        folder: Some(FOLDER.to_owned()),
        files: vec![
            file("clip.mp4", "video/mp4"),
            file("snapshot.jpg", "image/jpeg"),
        ],
        reason: None,
    };
    let attached = service.store.attach_evidence(id, &report).await;
    attached.expect("it is committed");
    id
}

pub(super) async fn draw_mask(service: &Service, corners: &[[f64; 2]]) {
    let path = "/api/v1/cameras/north/scene";
    let scene = service.get(path).send().await.expect("an answer");
    let drawn = json!({ "facade": { "floors": 6, "masks": [corners] } });
    let change = service.request(Method::PUT, path);
    let change = change.header("if-match", scene.headers()["etag"].clone());
    let changed = change.json(&drawn).send().await.expect("an answer");
    assert_eq!(changed.status(), StatusCode::OK);
}

/// Asks until the copy is made, and returns it.
pub(super) async fn made(service: &Service, path: &str, token: &str) -> Response {
    let asking = async {
        loop {
            let url = format!("{}{path}", service.url);
            let answer = service.stranger.get(url).bearer_auth(token).send().await;
            let answer = answer.expect("an answer");
            if answer.status() != StatusCode::SERVICE_UNAVAILABLE {
                return answer;
            }
            let body: Value = answer.json().await.expect("a problem");
            assert_eq!(body["type"], "urn:plumb:problem:being-prepared");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, asking)
        .await
        .expect("it is made")
}

pub(super) fn frames(folder: &Path, clip: &[u8]) -> Vec<Frame> {
    let path = folder.join("shown.mp4");
    std::fs::write(&path, clip).expect("writable");
    let mut recording = Recording::open(&path).expect("a recording");
    let mut decoder = Decoder::open(recording.info()).expect("a decoder");
    let mut frames = Vec::new();
    while let Some(packet) = recording.next_packet().expect("whole") {
        decoder.push(&packet, |frame| frames.push(frame));
    }
    decoder.finish(|frame| frames.push(frame));
    frames
}

/// Returns the brightest pixel between two columns.
pub(super) fn brightest(frame: &Frame, columns: std::ops::Range<usize>) -> u8 {
    let luma = frame.luma();
    let rows = (0..frame.height_px() as usize).map(|y| luma.row(y));
    let pixels = rows.flat_map(|row| row[columns.clone()].iter());
    pixels.copied().max().unwrap_or(0)
}

#[tokio::test]
async fn a_clip_is_shown_with_its_masks_in_black_and_the_original_stays_as_it_was() {
    let service = Service::start().await;
    let id = with_evidence(&service, &fall(MORNING_MS)).await;
    let path = format!("/api/v1/alarms/{id}/evidence/clip.mp4");
    let original = service.get(&path).send().await.expect("an answer");
    assert!(
        original.headers().get("x-hidden").is_none(),
        "nothing is masked yet"
    );
    let etag = original.headers()["etag"].clone();
    let original = original.bytes().await.expect("a body");

    draw_mask(&service, &LEFT_HALF).await;
    let problem = refusal(service.get(&path), 503, "being-prepared").await;
    assert!(
        problem["detail"]
            .as_str()
            .expect("words")
            .contains("made ready")
    );
    let shown = made(&service, &path, &service.token).await;
    assert_eq!(shown.status(), StatusCode::OK);
    assert_eq!(shown.headers()["x-hidden"], "masks");
    assert_ne!(shown.headers()["etag"], etag);
    let own_etag = shown.headers()["etag"].clone();
    let clip = shown.bytes().await.expect("a body");
    let seen = frames(service.folder.path(), &clip);
    assert_eq!(seen.len(), frames(service.folder.path(), &original).len());
    for frame in &seen {
        let half = frame.width_px() as usize / 2;
        // A block at the edge holds both, and the encoder smears a little.
        assert!(brightest(frame, 0..half - 16) < 40);
        assert!(brightest(frame, half + 16..2 * half) > 150);
    }

    // It can be wound, asked for by its digest, and is no other after another look.
    let part = service
        .get(&path)
        .header("range", "bytes=100-199")
        .send()
        .await;
    let part = part.expect("an answer");
    assert_eq!(part.status(), StatusCode::PARTIAL_CONTENT);
    assert_eq!(part.headers()["x-hidden"], "masks");
    assert_eq!(part.bytes().await.expect("a body"), clip[100..200]);
    let known = service
        .get(&path)
        .header("if-none-match", own_etag)
        .send()
        .await;
    assert_eq!(known.expect("an answer").status(), StatusCode::NOT_MODIFIED);
    let kept = std::fs::read(service.evidence_root().join(FOLDER).join("clip.mp4"));
    assert_eq!(kept.expect("the evidence"), original);

    // Another mask, another copy; what was masked when it happened stays so.
    draw_mask(&service, &[[0.5, 0.0], [1.0, 0.0], [1.0, 1.0]]).await;
    refusal(service.get(&path), 503, "being-prepared").await;
    let rows = service.store.audit_after(0, 100).await.expect("rows");
    let looks = rows.iter().filter(|row| row.action == "evidence.seen");
    assert_eq!(looks.count(), 1, "a refusal is no look");
}

#[tokio::test]
async fn a_picture_that_was_drawn_without_its_masks_shows_nothing_of_them() {
    let service = Service::start().await;
    let id = with_evidence(&service, &fall(MORNING_MS)).await;
    draw_mask(&service, &LEFT_HALF).await;
    let path = format!("/api/v1/alarms/{id}/evidence/snapshot.jpg");
    let shown = service.get(&path).send().await.expect("an answer");
    assert_eq!(shown.headers()["x-hidden"], "masks");
    let bytes = shown.bytes().await.expect("a body");
    // It has no manifest to be drawn anew by: all of it is in blocks.
    let shown = image::load_from_memory(&bytes).expect("a JPEG").to_luma8();
    let (one, other) = (shown.get_pixel(100, 60).0[0], shown.get_pixel(101, 60).0[0]);
    assert!(one.abs_diff(other) < 20, "{one} {other}");

    // One that says that it was drawn with them is shown as it was recorded.
    let masks = [plumb::geometry::Polygon {
        corners: LEFT_HALF.map(Into::into).to_vec(),
    }];
    let drawn = picture::jpeg_masked(&image::RgbImage::new(160, 140), &masks).expect("a JPEG");
    let sha256 = write_evidence(&service.evidence_root(), FOLDER, "snapshot.jpg", &drawn);
    let report = EvidenceReport {
        state: EvidenceState::Ready,
        folder: Some(FOLDER.to_owned()),
        files: vec![EvidenceFile {
            name: "snapshot.jpg".to_owned(),
            media_type: "image/jpeg".to_owned(),
            size_bytes: drawn.len() as u64,
            sha256: sha256.clone(),
        }],
        reason: None,
    };
    let other = service.raise(&fall(MORNING_MS + 1)).await;
    let attached = service.store.attach_evidence(other, &report).await;
    attached.expect("it is committed");
    let path = format!("/api/v1/alarms/{other}/evidence/snapshot.jpg");
    let shown = service.get(&path).send().await.expect("an answer");
    assert!(shown.headers().get("x-hidden").is_none());
    assert_eq!(shown.headers()["etag"], format!("\"{sha256}\""));
}

#[tokio::test]
async fn people_are_in_blocks_for_a_role_without_the_right_to_see_them() {
    let privacy = Privacy {
        see_people: vec![Role::Manager],
        ..Privacy::default()
    };
    let service = Service::start_with(
        Limits::default(),
        Arc::new(SystemClock::new()),
        SignIn::default(),
        privacy,
    )
    .await;
    let auditor = add_token(&service.store, "auditor", Role::Auditor).await;
    let id = with_evidence(&service, &ebike(MORNING_MS)).await;
    let files = format!("/api/v1/alarms/{id}/evidence");
    let luma: Vec<u8> = (0..320 * 240)
        .map(|at: u32| if at.is_multiple_of(2) { 0 } else { 220 })
        .collect();
    let now = Frame::from_luma(StreamTime::ZERO, 320, 240, luma);
    service
        .latest
        .put(&CameraId::parse("lift-2").expect("an id"), &now);

    for path in [format!("{files}/clip.mp4"), format!("{files}/snapshot.jpg")] {
        let own = service.get(&path).send().await.expect("an answer");
        assert!(own.headers().get("x-hidden").is_none(), "a manager may");
        let shown = made(&service, &path, &auditor).await;
        assert_eq!(shown.headers()["x-hidden"], "people", "{path}");
        assert_ne!(shown.headers()["etag"], own.headers()["etag"]);
    }
    let still = |path: String, token: String| {
        let service = &service;
        async move {
            let bytes = made(service, &path, &token).await.bytes().await;
            image::load_from_memory(&bytes.expect("a body"))
                .expect("a JPEG")
                .to_luma8()
        }
    };
    for path in [
        format!("{files}/snapshot.jpg"),
        "/api/v1/cameras/lift-2/snapshot.jpg".to_owned(),
        "/api/v1/cameras/lift-2/snapshot.jpg?width=320".to_owned(),
    ] {
        let step = |picture: &image::GrayImage| {
            let at = |x| picture.get_pixel(x, 50).0[0];
            (40..120)
                .map(|x| u32::from(at(x).abs_diff(at(x + 1))))
                .sum::<u32>()
        };
        let sharp = step(&still(path.clone(), service.token.clone()).await);
        let blocks = step(&still(path.clone(), auditor.clone()).await);
        assert!(blocks * 20 < sharp, "{path}: {blocks} of {sharp}");
    }
    let clip = made(&service, &format!("{files}/clip.mp4"), &auditor).await;
    let clip = clip.bytes().await.expect("a body");
    let shown = frames(service.folder.path(), &clip);
    // Blocks of 8 on a picture 160 wide: within one all is alike but for the encoder's noise.
    let row = shown[10].luma().row(53).to_vec();
    assert!(
        row.chunks(8).all(|block| block[2].abs_diff(block[5]) < 12),
        "{row:?}"
    );
}

#[tokio::test]
async fn a_copy_is_made_of_what_was_recorded_alone_and_anew_where_it_is_gone() {
    let service = Service::start().await;
    let id = with_evidence(&service, &fall(MORNING_MS)).await;
    draw_mask(&service, &LEFT_HALF).await;
    let path = format!("/api/v1/alarms/{id}/evidence/clip.mp4");
    assert_eq!(
        made(&service, &path, &service.token).await.status(),
        StatusCode::OK
    );
    assert!(rendition::used_bytes(&service.evidence_root()) > 0);
    rendition::remove(&service.evidence_root(), FOLDER).expect("removed");
    assert_eq!(rendition::used_bytes(&service.evidence_root()), 0);

    // An original that was changed is not copied.
    let clip = service.evidence_root().join(FOLDER).join("clip.mp4");
    let mut bytes = std::fs::read(&clip).expect("a clip");
    bytes[1000] ^= 1;
    std::fs::write(&clip, bytes).expect("writable");
    let shown = made(&service, &path, &service.token).await;
    assert_eq!(shown.status(), StatusCode::GONE);
    let problem: Value = shown.json().await.expect("a problem");
    assert_eq!(problem["type"], "urn:plumb:problem:evidence-changed");
}

/// Returns whether there is a whole clip below the folder.
fn holds_a_clip(folder: &Path) -> bool {
    let entries = std::fs::read_dir(folder).into_iter().flatten();
    entries.filter_map(Result::ok).any(|entry| {
        let path = entry.path();
        path.extension().is_some_and(|ending| ending == "mp4") || holds_a_clip(&path)
    })
}

#[tokio::test]
async fn a_falls_copy_is_made_before_anybody_looks_while_somebody_follows_the_alarms() {
    let service = Service::start().await;
    draw_mask(&service, &LEFT_HALF).await;
    let board = service.get("/api/v1/alarms/stream").send().await;
    let board = board.expect("an answer");
    assert_eq!(board.status(), StatusCode::OK);
    let id = with_evidence(&service, &fall(MORNING_MS)).await;
    let copies = rendition::root(&service.evidence_root());
    let made = async {
        while !holds_a_clip(&copies) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let made = tokio::time::timeout(PATIENCE, made).await;
    made.expect("the copy is there, and nobody asked for it");
    let path = format!("/api/v1/alarms/{id}/evidence/clip.mp4");
    let shown = service.get(&path).send().await.expect("an answer");
    assert_eq!(shown.status(), StatusCode::OK);
    assert_eq!(shown.headers()["x-hidden"], "masks");
    drop(board);
}
