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
