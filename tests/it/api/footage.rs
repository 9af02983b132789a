//! Footage over the API: what a ring holds, one segment with ranges, what is hidden in it from whom, and
//! that each look is written down.

use super::sight::{LEFT_HALF, brightest, draw_mask, frames, made};
use super::*;
use plumb::footage::Segment;
use plumb::store::FootageRecord;

/// Puts a segment of two seconds of a moving test picture into the ring.
pub(super) async fn with_segment(
    service: &Service,
    camera: &str,
    starts_at_ms: i64,
) -> FootageRecord {
    let (camera, folder) = (
        CameraId::parse(camera).expect("an id"),
        format!("{camera}/2026-01-31"),
    );
    let root = service.folder.path().join("footage");
    let name = format!("{starts_at_ms}.mp4");
    std::fs::create_dir_all(root.join(&folder)).expect("writable");
    crate::evidence::record_clip(&root.join(&folder), &name, 2);
    let bytes = std::fs::read(root.join(&folder).join(&name)).expect("it was made");
    let segment = Segment {
        camera: camera.clone(),
        starts_at_ms,
        ends_at_ms: starts_at_ms + 2_000,
        scene_sha256: None,
        path: format!("{folder}/{name}"),
        size_bytes: bytes.len() as u64,
        sha256: write_evidence(&root, &folder, &name, &bytes),
        codec: "h264",
        pictures: 50,
    };
    service
        .store
        .add_footage(&segment)
        .await
        .expect("committed");
    let then = (starts_at_ms, starts_at_ms + 1);
    let found = service.store.footage(&camera, then, None, 1).await;
    found.expect("readable").pop().expect("the segment")
}

async fn looks(service: &Service) -> Vec<(String, String)> {
    let rows = service.store.audit_after(0, 500).await.expect("rows");
    let looks = rows.into_iter().filter(|row| row.action == "footage.seen");
    looks.map(|row| (row.who, row.object)).collect()
}

#[tokio::test]
async fn what_a_ring_holds_of_a_time_comes_in_pages() {
    let service = Service::start().await;
    let path = "/api/v1/cameras/north/footage";
    let empty = service.json(path).await;
    assert_eq!(empty["segments"], serde_json::json!([]));
    assert_eq!(empty["is_kept"], true);
    assert_eq!(empty["days"], 30);
    assert!(empty["oldest_at_ms"].is_null());
    for number in 0..3 {
        with_segment(&service, "north", MORNING_MS + number * 2_000).await;
    }
    with_segment(&service, "lift-2", MORNING_MS).await;
    let at = |from: i64, to: i64| {
        format!(
            "{path}?from_ms={}&to_ms={}",
            MORNING_MS + from,
            MORNING_MS + to
        )
    };
    let begins = |list: &Value| -> Vec<i64> {
        let segments = list["segments"].as_array().expect("a list").iter();
        segments
            .map(|segment| segment["starts_at_ms"].as_i64().expect("a time") - MORNING_MS)
            .collect()
    };
    let all = service.json(&at(-60_000, 60_000)).await;
    assert_eq!(begins(&all), [0, 2_000, 4_000]);
    assert_eq!(all["oldest_at_ms"], MORNING_MS);
    assert!(all["next_after_ms"].is_null());
    let first = &all["segments"][0];
    assert!(first["path"].is_null(), "no path leaves: {first}");
    assert_eq!(first["codec"], "h264");
    // One that reaches into the time counts.
    assert_eq!(begins(&service.json(&at(3_000, 3_001)).await), [2_000]);
    assert_eq!(begins(&service.json(&at(6_000, 7_000)).await), [0_i64; 0]);
    let page = service.json(&format!("{}&limit=2", at(0, 60_000))).await;
    assert_eq!(begins(&page), [0, 2_000]);
    let after = page["next_after_ms"].as_i64().expect("a further page");
    let next = format!("{}&limit=2&after_ms={after}", at(0, 60_000));
    assert_eq!(begins(&service.json(&next).await), [4_000]);
    refusal(
        service.get(&format!("{path}?from_ms=yesterday")),
        400,
        "bad-parameter",
    )
    .await;
    refusal(
        service.get("/api/v1/cameras/nowhere/footage"),
        404,
        "not-found",
    )
    .await;
}

#[tokio::test]
async fn a_segment_comes_with_ranges_to_those_with_the_right_and_is_written_down() {
    let service = Service::start().await;
    let record = with_segment(&service, "north", MORNING_MS).await;
    let path = format!("/api/v1/footage/{}", record.id);
    let bytes = std::fs::read(service.folder.path().join("footage").join(&record.path));
    let bytes = bytes.expect("the file");
    let operator = add_token(&service.store, "operator", Role::Operator).await;
    let get = |token: &str| {
        let url = format!("{}{path}", service.url);
        service.stranger.get(url).bearer_auth(token)
    };
    let whole = get(&operator).send().await.expect("an answer");
    assert_eq!(whole.status(), StatusCode::OK);
    assert_eq!(whole.headers()["content-type"], "video/mp4");
    assert_eq!(whole.headers()["etag"], format!("\"{}\"", record.sha256));
    assert!(whole.headers().get("x-hidden").is_none());
    assert_eq!(whole.bytes().await.expect("a body"), bytes);
    let part = get(&operator).header("range", "bytes=100-199").send().await;
    let part = part.expect("an answer");
    assert_eq!(part.status(), StatusCode::PARTIAL_CONTENT);
    assert_eq!(part.bytes().await.expect("a body"), bytes[100..200]);
    let object = format!("footage/{}", record.id);
    assert_eq!(
        looks(&service).await,
        [("token:operator".to_owned(), object)],
        "one look for both"
    );
    for role in [Role::Maintainer, Role::Admin] {
        let token = add_token(&service.store, &format!("a-{role}"), role).await;
        refusal(get(&token), 403, "not-allowed").await;
        let list = format!("{}/api/v1/cameras/north/footage", service.url);
        let list = service.stranger.get(list).bearer_auth(&token);
        refusal(list, 403, "not-allowed").await;
    }
    assert_eq!(looks(&service).await.len(), 1, "a refusal is no look");

    // What is not as it was recorded, or is gone, is not served.
    let file = service.folder.path().join("footage").join(&record.path);
    std::fs::write(&file, &bytes[1..]).expect("writable");
    refusal(get(&operator), 410, "footage-gone").await;
    std::fs::remove_file(&file).expect("removed");
    refusal(get(&operator), 410, "footage-gone").await;
    refusal(service.get("/api/v1/footage/4711"), 404, "not-found").await;
    refusal(service.get("/api/v1/footage/..%2Fx"), 400, "bad-id").await;
}

#[tokio::test]
async fn a_facades_masks_are_black_in_its_footage() {
    let service = Service::start().await;
    let record = with_segment(&service, "north", MORNING_MS).await;
    draw_mask(&service, &LEFT_HALF).await;
    let path = format!("/api/v1/footage/{}", record.id);
    refusal(service.get(&path), 503, "being-prepared").await;
    assert!(looks(&service).await.is_empty(), "nothing was shown");
    let shown = made(&service, &path, &service.token).await;
    assert_eq!(shown.status(), StatusCode::OK);
    assert_eq!(shown.headers()["x-hidden"], "masks");
    assert_ne!(shown.headers()["etag"], format!("\"{}\"", record.sha256));
    let copy = shown.bytes().await.expect("a body");
    let seen = frames(service.folder.path(), &copy);
    assert_eq!(seen.len() as u64, record.pictures);
    for frame in &seen {
        let half = frame.width_px() as usize / 2;
        assert!(brightest(frame, 0..half - 16) < 40);
        assert!(brightest(frame, half + 16..2 * half) > 150);
    }
    assert_eq!(looks(&service).await.len(), 1);
}

#[tokio::test]
async fn masks_that_were_taken_away_since_stay_in_footage_of_their_time() {
    let service = Service::start().await;
    draw_mask(&service, &LEFT_HALF).await;
    let scene = service.json("/api/v1/cameras/north").await;
    assert_eq!(scene["id"], "north");
    let etag = service.get("/api/v1/cameras/north/scene").send().await;
    let etag = etag.expect("an answer").headers()["etag"].clone();
    let sha256 = etag.to_str().expect("text").trim_matches('"').to_owned();
    let mut record = with_segment(&service, "north", MORNING_MS).await;
    let segment = Segment {
        camera: record.camera.clone(),
        starts_at_ms: record.starts_at_ms,
        ends_at_ms: record.ends_at_ms,
        scene_sha256: Some(sha256),
        path: format!("{}.copy", record.path),
        size_bytes: record.size_bytes,
        sha256: record.sha256.clone(),
        codec: "h264",
        pictures: record.pictures,
    };
    let root = service.folder.path().join("footage");
    std::fs::copy(root.join(&record.path), root.join(&segment.path)).expect("writable");
    service
        .store
        .add_footage(&segment)
        .await
        .expect("committed");
    record.id += 1;
    draw_mask(&service, &[[0.9, 0.9], [1.0, 0.9], [1.0, 1.0]]).await;
    let path = format!("/api/v1/footage/{}", record.id);
    let shown = made(&service, &path, &service.token).await;
    let copy = shown.bytes().await.expect("a body");
    let seen = frames(service.folder.path(), &copy);
    let half = seen[0].width_px() as usize / 2;
    assert!(brightest(&seen[0], 0..half - 16) < 40);
}

#[tokio::test]
async fn people_in_an_elevators_footage_are_in_blocks_for_who_may_not_see_them() {
    let privacy = Privacy {
        see_people: vec![Role::Manager],
        ..Privacy::default()
    };
    let (limits, clock) = (Limits::default(), Arc::new(SystemClock::new()));
    let service = Service::start_with(limits, clock, SignIn::default(), privacy).await;
    let auditor = add_token(&service.store, "auditor", Role::Auditor).await;
    let record = with_segment(&service, "lift-2", MORNING_MS).await;
    let path = format!("/api/v1/footage/{}", record.id);
    let own = service.get(&path).send().await.expect("an answer");
    assert!(own.headers().get("x-hidden").is_none(), "a manager may");
    let shown = made(&service, &path, &auditor).await;
    assert_eq!(shown.headers()["x-hidden"], "people");
}
