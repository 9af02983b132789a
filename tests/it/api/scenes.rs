//! Scenes over the API: read, judged, changed by two at once, written down.

use std::collections::BTreeMap;

use plumb::http::{CameraScene, SceneInForce};
use plumb::scene::Scene;
use serde_json::json;

use super::*;

/// The elevator's scene, as its installer wrote it.
const CAR: &str = "# Seen from the corner above the buttons.\n[elevator]\n\
    car_floor = [[0.2, 0.5], [0.80, 0.5], [0.9, 1.0], [0.1, 1.0]] # without the sill\n";

/// The facade's camera has no scene yet, the elevator's has one of its installer; where they are kept.
pub(super) fn in_force(folder: &Path) -> BTreeMap<CameraId, SceneInForce> {
    let scenes = folder.join("scenes");
    let slot = |camera: CameraInfo| {
        let file = scenes.join(format!("{}.toml", camera.id));
        let scene = match camera.kind {
            scene::Kind::Facade => CameraScene::default(),
            scene::Kind::Elevator => written(&file),
        };
        (camera.id, SceneInForce::new(scene, file))
    };
    cameras().into_iter().map(slot).collect()
}

fn written(file: &Path) -> CameraScene {
    let folder = file.parent().expect("a folder");
    std::fs::create_dir_all(folder).expect("writable");
    std::fs::write(file, CAR).expect("writable");
    let (scene, sha256) = plumb::config::read_scene(file).expect("a scene");
    CameraScene {
        scene,
        sha256: Some(sha256),
        text: Some(CAR.to_owned()),
    }
}

const SCENE: &str = "/api/v1/cameras/north/scene";

fn facade() -> Value {
    json!({ "facade": { "floors": 12, "storey_height_m": 2.9, "floor_lines": [
        { "floor": 3, "left": [0.1, 0.8], "right": [0.9, 0.8] },
        { "floor": 9, "left": [0.1, 0.2], "right": [0.9, 0.2000004] },
    ], "masks": [[[0.0, 0.0], [0.05, 0.0], [0.05, 1.0]]] } })
}

impl Service {
    fn draw(&self, etag: &str, scene: &Value) -> RequestBuilder {
        let put = self.request(Method::PUT, SCENE);
        put.header("if-match", etag).json(scene)
    }

    fn scene_file(&self) -> std::path::PathBuf {
        self.folder.path().join("scenes/north.toml")
    }

    async fn etag(&self) -> String {
        let answer = self.get(SCENE).send().await.expect("an answer");
        let etag = answer.headers()["etag"].to_str().expect("text");
        etag.to_owned()
    }
}

#[tokio::test]
async fn a_drawn_scene_is_kept_in_its_file_measured_and_written_down() {
    let service = Service::start().await;
    assert_eq!(service.etag().await, "\"none\"");
    let drawn = service.draw("\"none\"", &facade()).send().await;
    let drawn = drawn.expect("an answer");
    assert_eq!(drawn.status(), StatusCode::OK);
    let etag = drawn.headers()["etag"].to_str().expect("text").to_owned();
    let record: Value = drawn.json().await.expect("JSON");
    let text = std::fs::read_to_string(service.scene_file()).expect("it is written");
    let kept: Scene = toml::from_str(&text).expect("a scene");
    assert_eq!(record["scene"], serde_json::to_value(&kept).expect("JSON"));
    assert_eq!(record["scene"]["facade"]["floor_lines"][1]["right"][1], 0.2);
    let (_, sha256) = plumb::config::read_scene(&service.scene_file()).expect("a scene");
    assert_eq!(record["sha256"], sha256);
    assert_eq!(etag, format!("\"{sha256}\""));
    assert_eq!(record["changed_by"], "token:tests");
    assert_eq!(record["coverage"]["gaps"][0]["reason"], "outside_picture");
    let stored = service.store.scene_text(&sha256).await.expect("readable");
    assert_eq!(stored, Some(text));
    let rows = service.store.audit_after(0, 100).await.expect("readable");
    let row = rows.last().expect("a row");
    assert_eq!(
        (row.action.as_str(), row.object.as_str()),
        ("scene.changed", "north")
    );
    assert_eq!(
        row.detail.as_deref(),
        Some(&*format!("from none to {sha256}"))
    );
    // The same again changes nothing, and is no deed.
    let again = service
        .draw(&etag, &facade())
        .send()
        .await
        .expect("an answer");
    assert_eq!(again.status(), StatusCode::OK);
    let after = service.store.audit_after(0, 100).await.expect("readable");
    assert_eq!(after.len(), rows.len());
    // Nothing half-written stays behind.
    let left = std::fs::read_dir(service.folder.path().join("scenes")).expect("a folder");
    assert_eq!(left.count(), 2, "one a camera");
}

#[tokio::test]
async fn what_a_person_wrote_beside_a_scene_stays_when_it_is_drawn_anew() {
    let service = Service::start().await;
    let path = "/api/v1/cameras/lift-2/scene";
    let read = service.get(path).send().await.expect("an answer");
    let etag = read.headers()["etag"].to_str().expect("text").to_owned();
    let mut scene = read.json::<Value>().await.expect("JSON")["scene"].take();
    scene["elevator"]["car_floor"][1] = json!([0.85, 0.55]);
    let put = service.request(Method::PUT, path).header("if-match", etag);
    let drawn = put.json(&scene).send().await.expect("an answer");
    assert_eq!(drawn.status(), StatusCode::OK);
    let kept = service.folder.path().join("scenes/lift-2.toml");
    let kept = std::fs::read_to_string(kept).expect("it is written");
    assert_eq!(kept, CAR.replace("[0.80, 0.5]", "[0.85, 0.55]"));
}

#[tokio::test]
async fn of_two_who_draw_at_once_the_second_overwrites_nothing() {
    let service = Service::start().await;
    let mut other = facade();
    other["facade"]["floors"] = json!(13);
    let draw = |scene: &Value| service.draw("\"none\"", scene).send();
    let (one, two) = tokio::join!(draw(&facade()), draw(&other));
    let mut statuses = [one, two].map(|answer| answer.expect("an answer").status().as_u16());
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 412]);
    refusal(service.draw("\"none\"", &other), 412, "scene-changed").await;
    let blind = service.request(Method::PUT, SCENE).json(&other);
    refusal(blind, 428, "no-precondition").await;
    refusal(service.draw("none", &other), 400, "bad-header").await;
    let etag = service.etag().await;
    std::fs::write(service.scene_file(), "# by hand\n").expect("writable");
    // Unlike both: drawing what is in force already changes nothing.
    other["facade"]["floors"] = json!(14);
    let problem = refusal(service.draw(&etag, &other), 409, "conflict").await;
    let detail = problem["detail"].as_str().expect("text");
    assert!(detail.contains("changed on the disk"), "{detail}");
    let text = std::fs::read_to_string(service.scene_file()).expect("readable");
    assert_eq!(text, "# by hand\n");
}

#[tokio::test]
async fn a_scene_that_cannot_be_is_refused_by_the_name_of_its_field() {
    let service = Service::start().await;
    let mut crossing = facade();
    crossing["facade"]["floor_lines"][1]["left"] = json!([0.1, 0.9]);
    let mut unknown = facade();
    unknown["facade"]["flors"] = json!(3);
    let elevator = json!({ "elevator": { "car_floor": [[0.1, 0.1], [0.9, 0.1], [0.5, 0.9]] } });
    for (scene, key) in [
        (&crossing, "facade.floor_lines[1]"),
        (&elevator, "elevator"),
    ] {
        let problem = refusal(service.draw("\"none\"", scene), 422, "bad-scene").await;
        assert_eq!(problem["key"], key, "{problem}");
        let judged = service
            .post(&format!("{SCENE}/check"))
            .json(scene)
            .send()
            .await;
        let judged: Value = judged.expect("an answer").json().await.expect("JSON");
        assert_eq!(judged["problem"]["key"], key, "{judged}");
        let reason = judged["problem"]["reason"].as_str().expect("a word");
        assert!(
            !reason.is_empty() && judged["problem"]["values"].is_array(),
            "{judged}"
        );
        assert_eq!(judged["coverage"], Value::Null);
    }
    let problem = refusal(service.draw("\"none\"", &unknown), 400, "bad-body").await;
    assert!(
        problem["detail"].as_str().expect("text").contains("flors"),
        "{problem}"
    );
    let huge = json!({ "facade": { "floors": 9, "openings": vec![vec![[0.1, 0.1]; 40]; 2000] } });
    let problem = refusal(service.draw("\"none\"", &huge), 413, "body-too-large").await;
    assert!(
        problem["detail"].as_str().expect("text").contains("262144"),
        "{problem}"
    );
    let many = json!({ "facade": { "floors": 9,
        "openings": vec![[[0.1, 0.1], [0.2, 0.1], [0.2, 0.2]]; 1001] } });
    let problem = refusal(service.draw("\"none\"", &many), 422, "bad-scene").await;
    assert_eq!(problem["key"], "facade.openings");
    assert!(!service.scene_file().exists());
}

#[tokio::test]
async fn a_folder_that_takes_nothing_is_told_and_changes_nothing() {
    let service = Service::start().await;
    let scenes = service.folder.path().join("scenes");
    std::fs::remove_dir_all(&scenes).expect("it is there");
    std::fs::write(&scenes, "no folder").expect("writable");
    refusal(service.draw("\"none\"", &facade()), 409, "scene-unwritable").await;
    assert_eq!(service.etag().await, "\"none\"");
    let rows = service.store.audit_after(0, 100).await.expect("readable");
    assert!(
        rows.iter().all(|row| row.action != "scene.changed"),
        "{rows:?}"
    );
}

#[tokio::test]
async fn who_may_see_no_person_gets_an_elevator_in_blocks() {
    let service = Service::start().await;
    // Every second pixel is black.
    let luma: Vec<u8> = (0..320 * 240)
        .map(|at: u32| if at.is_multiple_of(2) { 0 } else { 220 })
        .collect();
    let frame = plumb::decode::Frame::from_luma(StreamTime::ZERO, 320, 240, luma);
    for camera in cameras() {
        service.latest.put(&camera.id, &frame);
    }
    let maintainer = add_token(&service.store, "maintainer", Role::Maintainer).await;
    let contrast = |camera: &'static str, token: String| {
        let url = format!("{}/api/v1/cameras/{camera}/scene.jpg", service.url);
        let request = service.stranger.get(url).bearer_auth(token);
        async move {
            let bytes = request.send().await.expect("an answer").bytes().await;
            let picture = image::load_from_memory(&bytes.expect("a body")).expect("a picture");
            let picture = picture.to_luma8();
            let luma = |x| picture.get_pixel(x, 100).0[0];
            luma(101).abs_diff(luma(102))
        }
    };
    assert!(contrast("lift-2", service.token.clone()).await > 150);
    assert!(contrast("lift-2", maintainer.clone()).await < 5);
    assert!(contrast("north", maintainer).await > 150);
}
