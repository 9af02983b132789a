//! A camera's newest picture.

use plumb::decode::Frame;

use super::*;

#[tokio::test]
async fn the_newest_picture_comes_as_a_jpeg_of_its_size() {
    let service = Service::start().await;
    let camera = CameraId::parse("north").expect("an id");
    let grey = |luma| Frame::from_luma(StreamTime::ZERO, 64, 48, vec![luma; 64 * 48]);
    service.latest.put(&camera, &grey(20));
    service.latest.put(&camera, &grey(200));
    let response = service
        .get("/api/v1/cameras/north/snapshot.jpg")
        .send()
        .await;
    let response = response.expect("an answer");
    assert_eq!(response.headers()["content-type"], "image/jpeg");
    assert_eq!(response.headers()["x-captured-at"], "1970-01-01T00:00:00Z");
    let bytes = response.bytes().await.expect("a body");
    let picture = image::load_from_memory(&bytes)
        .expect("a picture")
        .to_luma8();
    assert_eq!(picture.dimensions(), (64, 48));
    assert!(picture.get_pixel(30, 30).0[0] > 150, "it is the newest one");
}

#[tokio::test]
async fn what_the_scene_masks_is_black_on_the_wall() {
    let service = Service::start().await;
    let camera = CameraId::parse("north").expect("an id");
    let frame = Frame::from_luma(StreamTime::ZERO, 64, 48, vec![200; 64 * 48]);
    service.latest.put(&camera, &frame);
    let scene = service.get("/api/v1/cameras/north/scene").send().await;
    let etag = scene.expect("an answer").headers()["etag"].clone();
    let drawn = serde_json::json!({ "facade": {
        "floors": 6,
        "masks": [[[0.0, 0.0], [0.5, 0.0], [0.5, 1.0], [0.0, 1.0]]],
    } });
    let change = service.request(Method::PUT, "/api/v1/cameras/north/scene");
    let change = change.header("if-match", etag).json(&drawn).send().await;
    assert_eq!(change.expect("an answer").status(), StatusCode::OK);
    let shown = service
        .get("/api/v1/cameras/north/snapshot.jpg")
        .send()
        .await;
    let bytes = shown.expect("an answer").bytes().await.expect("a body");
    let picture = image::load_from_memory(&bytes)
        .expect("a picture")
        .to_luma8();
    assert!(picture.get_pixel(10, 30).0[0] < 30, "masked");
    assert!(picture.get_pixel(54, 30).0[0] > 150, "not masked");
}
