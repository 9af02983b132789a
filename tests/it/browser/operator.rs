//! What an operator does beside taking alarms: shelving, and watching the cameras live.

use super::driver::{Browser, Driver};
use super::{add, shoot_named, sign_in_first};
use crate::cameras::{Cameras, H264, H265, clip};
use crate::service::{Home, fixture, rtsp_camera};

/// Live video is less behind than this; measured on loopback with a busy machine beside it.
const LATENCY_MAX_S: f64 = 2.0;

#[tokio::test]
async fn a_camera_is_watched_live_and_another_by_its_pictures() {
    let folder = tempfile::tempdir().expect("a folder");
    let h264 = clip(folder.path(), "lobby.mp4", "640x360", 20.0, H264);
    let h265 = clip(folder.path(), "gate.mp4", "640x360", 20.0, H265);
    let cameras = Cameras::serve(
        &[
            format!("lobby={}", h264.display()),
            format!("gate={}", h265.display()),
            format!("yard={}", h264.display()),
        ],
        &[],
    );
    let scene = fixture("elevator_ebike_ride").with_extension("scene.toml");
    let camera = |name: &str| {
        let camera = rtsp_camera(name, "elevator", &cameras.url("", name), &scene);
        format!("{camera}building = \"Tower 5\"\nelevator = \"{name}\"\n")
    };
    let masked = folder.path().join("yard.scene.toml");
    let mask = "[facade]\nfloors = 6\nmasks = [[[0, 0], [0.5, 0], [0.5, 1], [0, 1]]]\n";
    std::fs::write(&masked, mask).expect("writable");
    let yard = rtsp_camera("yard", "facade", &cameras.url("", "yard"), &masked);
    let home = Home::new(&[camera("lobby"), camera("gate"), yard], &[]);
    let li = add(&home, "li.na", "operator");
    let chen = add(&home, "chen", "auditor");
    let service = home.run();
    let site = format!("http://{}/", service.address);
    let driver = Driver::start();
    let browser = driver.browser().await;
    sign_in_first(&browser, &site, "li.na", &li).await;
    browser.open(&format!("{site}wall")).await;

    watch_live(&browser, "lobby").await;
    let gate = "document.querySelector('[data-camera=gate]')";
    browser
        .wait_for(&format!("{gate}.querySelector('img').naturalWidth === 640"))
        .await;
    let first = format!("window.first = {gate}.querySelector('img').src");
    browser.run(&first).await;
    browser
        .wait_for(&format!("{gate}.querySelector('img').src !== window.first"))
        .await;
    // H.265 is encoded anew, and a mask is black in what is watched.
    watch_live(&browser, "gate").await;
    masked_live(&browser).await;
    let wall = browser.text("main").await;
    assert!(
        wall.contains("Tower 5, lobby") && wall.contains("frames a second"),
        "{wall}"
    );
    shoot(&browser, &site, "wall").await;

    shelve(&browser, &site).await;
    browser.click("#sign-out").await;
    browser.wait_for("location.pathname === '/sign-in'").await;
    sign_in_first(&browser, &site, "chen", &chen).await;
    audited(&browser, &site).await;
    assert_eq!(service.stop(), Some(0));
}

/// The video goes on, and stays close to what the camera sees now.
async fn watch_live(browser: &Browser, camera: &str) {
    let tile = format!("document.querySelector('[data-camera={camera}]')");
    browser
        .wait_for(&format!("!{tile}.querySelector('[data-watch]').hidden"))
        .await;
    browser
        .click(&format!("[data-camera={camera}] [data-watch]"))
        .await;
    let video = format!("{tile}.querySelector('video')");
    browser
        .wait_for(&format!("!{video}.hidden && {video}.videoWidth === 640"))
        .await;
    browser
        .run(&format!("window.before = {video}.currentTime"))
        .await;
    browser
        .wait_for(&format!("{video}.currentTime > window.before + 2"))
        .await;
    // Settled: it has caught up with the live edge.
    let edge = format!(
        "{video}.buffered.end({video}.buffered.length - 1) - {video}.currentTime < {LATENCY_MAX_S}"
    );
    browser.wait_for(&edge).await;
    let latency = format!("Number({tile}.dataset.latencyS)");
    browser
        .wait_for(&format!("{latency} > 0 && {latency} < {LATENCY_MAX_S}"))
        .await;
    let said = browser
        .text(&format!("[data-camera={camera}] .latency"))
        .await;
    assert!(said.starts_with("Live, "), "{said}");
}

/// The left half of the yard is masked: black in what is watched, and the rest is not.
async fn masked_live(browser: &Browser) {
    watch_live(browser, "yard").await;
    let pixels = "(() => { const video = document.querySelector('[data-camera=yard] video'); \
                  const canvas = document.createElement('canvas'); \
                  Object.assign(canvas, { width: video.videoWidth, height: video.videoHeight }); \
                  const pen = canvas.getContext('2d'); pen.drawImage(video, 0, 0); \
                  const most = (x) => pen.getImageData(x, 0, 200, 360).data.reduce((most, value, i) => i % 4 < 3 ? Math.max(most, value) : most, 0); \
                  return [most(20), most(400)]; })()";
    let seen = browser.run(&format!("return {pixels}")).await;
    assert!(seen[0].as_u64() < Some(40), "{seen}");
    assert!(seen[1].as_u64() > Some(150), "{seen}");
}

/// Shelves a camera, finds it on the board, and ends it.
async fn shelve(browser: &Browser, site: &str) {
    browser.open(&format!("{site}shelves")).await;
    browser
        .fill(
            "#shelve input[name=reason]",
            "The lift is inspected until noon.",
        )
        .await;
    shoot(browser, site, "shelves-empty").await;
    browser.open(&format!("{site}shelves")).await;
    browser
        .fill(
            "#shelve input[name=reason]",
            "The lift is inspected until noon.",
        )
        .await;
    browser.click("#shelve button.main").await;
    browser
        .wait_for("document.querySelector('[data-end]')")
        .await;
    shoot(browser, site, "shelves").await;
    browser.open(&format!("{site}board")).await;
    let strip = "document.querySelector('#shelves').innerText";
    browser
        .wait_for(&format!("{strip}.includes('inspected until noon')"))
        .await;
    shoot(browser, site, "board-shelved").await;
    browser.open(&format!("{site}board")).await;
    browser
        .wait_for("document.querySelector('#link').className.includes('good')")
        .await;
    // Ended elsewhere: the open board hears of it.
    browser
        .run("import('/assets/page.js').then((m) => m.change('/api/v1/shelves/1/end'))")
        .await;
    browser.wait_for(&format!("{strip}.trim() === ''")).await;
}

async fn audited(browser: &Browser, site: &str) {
    browser.open(&format!("{site}audit?who=li.na")).await;
    browser.wait_for("document.querySelector('table')").await;
    let log = browser.text("main").await;
    for action in ["live.seen", "picture.seen", "shelf.begun", "shelf.ended"] {
        assert!(log.contains(action), "{action} is missing in {log}");
    }
    let count = log.matches("picture.seen").count();
    assert!(count <= 4, "a row for each of {count} pictures");
}

/// Takes pictures of the page that is open; leaves it in English.
async fn shoot(browser: &Browser, site: &str, name: &str) {
    let here = browser.run("return location.pathname.slice(1)").await;
    let here = here.as_str().expect("a path").to_owned();
    shoot_named(browser, site, &[(name.to_owned(), here)]).await;
}
