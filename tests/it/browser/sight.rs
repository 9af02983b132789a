//! What is hidden, as people meet it: a clip that is made ready while they look, and an elevator in
//! blocks for who may not see people.

use std::path::Path;

use super::driver::{Browser, Driver};
use super::{add, sign_in_first};
use crate::cameras::Cameras;
use crate::service::{Home, fixture, rtsp_camera};

#[tokio::test]
async fn a_clip_is_made_ready_and_plays_with_its_masks_in_black() {
    let clip = |name: &str| fixture(name).with_extension("mp4").display().to_string();
    let cameras = Cameras::serve(
        &[
            format!("mirror={}", clip("facade_mirror")),
            format!("lift={}", clip("elevator_ebike_ride")),
        ],
        &[],
    );
    let folder = tempfile::tempdir().expect("a folder");
    let home = masked_home(&cameras, folder.path());
    let li = add(&home, "li.na", "operator");
    let chen = add(&home, "chen", "auditor");
    let service = home.run();
    let site = format!("http://{}/", service.address);
    let driver = Driver::start();
    let browser = driver.browser().await;
    sign_in_first(&browser, &site, "li.na", &li).await;

    let fall = raised(&browser, &site, "falling_object").await;
    plays(&browser).await;
    let hidden = browser.text("#hidden").await;
    assert!(hidden.contains("masks are black"), "{hidden}");
    assert!(brightest(&browser, 0.02, 0.2).await < 40, "under the mask");
    assert!(brightest(&browser, 0.4, 0.6).await > 80, "beside it");
    shoot(&browser, &site, &fall, "alarm-masked").await;

    // Of the ride an operator of this house sees the car in blocks, an auditor all of it.
    let ride = raised(&browser, &site, "ebike_in_elevator").await;
    plays(&browser).await;
    let hidden = browser.text("#hidden").await;
    assert!(hidden.contains("may not see people"), "{hidden}");
    shoot(&browser, &site, &ride, "alarm-blocks").await;
    browser.click("#sign-out").await;
    browser.wait_for("location.pathname === '/sign-in'").await;
    sign_in_first(&browser, &site, "chen", &chen).await;
    browser.open(&format!("{site}alarms/{ride}")).await;
    plays(&browser).await;
    let hidden = browser
        .run("return document.querySelector('#hidden') === null")
        .await;
    assert_eq!(hidden, true);
    assert_eq!(service.stop(), Some(0));
}

/// A house in which the left quarter of the facade is masked, and operators may not see people.
fn masked_home(cameras: &Cameras, folder: &Path) -> Home {
    let scene = |name: &str| fixture(name).with_extension("scene.toml");
    let text = std::fs::read_to_string(scene("facade_mirror")).expect("a scene");
    let masks = "masks = [[[0, 0], [0.25, 0], [0.25, 1], [0, 1]],";
    let masked = folder.join("masked.scene.toml");
    std::fs::write(&masked, text.replace("masks = [", masks)).expect("writable");
    let home = Home::new(
        &[
            rtsp_camera("mirror", "facade", &cameras.url("", "mirror"), &masked),
            rtsp_camera(
                "lift",
                "elevator",
                &cameras.url("", "lift"),
                &scene("elevator_ebike_ride"),
            ),
        ],
        &[],
    );
    let config = std::fs::read_to_string(home.path("plumb.toml")).expect("it was written");
    let privacy = format!("{config}[privacy]\nsee_people = [\"auditor\"]\n");
    std::fs::write(home.path("plumb.toml"), privacy).expect("writable");
    home
}

/// Waits for an alarm of that kind, and opens its page once its clip is there.
async fn raised(browser: &Browser, site: &str, kind: &str) -> String {
    browser.open(&format!("{site}board")).await;
    let card = format!("article[data-kind={kind}]");
    browser
        .wait_for(&format!("document.querySelector('{card}')"))
        .await;
    let id = format!("return document.querySelector('{card}').dataset.id");
    let id = browser.run(&id).await;
    let id = id.as_str().expect("an id").to_owned();
    browser.open(&format!("{site}alarms/{id}")).await;
    browser
        .wait_for(
            "document.querySelector('#clip') || \
             (!document.querySelector('#changed').hidden && (location.reload(), false))",
        )
        .await;
    browser.shoot(&format!("alarm-waits-{kind}")).await;
    id
}

/// Waits until the player has its clip.
async fn plays(browser: &Browser) {
    let clip = "document.querySelector('#clip')";
    browser
        .wait_for(&format!("{clip}.readyState >= 2 || {clip}.error"))
        .await;
    let error = browser
        .run(&format!("return {clip}.error && {clip}.error.message"))
        .await;
    assert!(error.is_null(), "{error}");
    let waits = "return document.querySelector('#clip-waits') === null";
    assert_eq!(browser.run(waits).await, true, "it says nothing any more");
}

/// Returns the brightest value of the clip's picture between two shares of its width.
async fn brightest(browser: &Browser, from: f64, to: f64) -> u64 {
    let script = format!(
        "const clip = document.querySelector('#clip'); const canvas = document.createElement('canvas'); \
         const [w, h] = [clip.videoWidth, clip.videoHeight]; Object.assign(canvas, {{ width: w, height: h }}); \
         const pen = canvas.getContext('2d'); pen.drawImage(clip, 0, 0); \
         const data = pen.getImageData(w * {from}, 0, w * ({to} - {from}), h).data; \
         let most = 0; for (let at = 0; at < data.length; at += 4) most = Math.max(most, data[at + 1]); return most"
    );
    let found = browser.run(&script).await;
    found.as_u64().expect("a number")
}

async fn shoot(browser: &Browser, site: &str, id: &str, name: &str) {
    for language in ["zh", "en"] {
        let other = browser
            .run("return document.querySelector('[name=language]').value")
            .await;
        if other == language {
            browser.click("[name=language]").await;
            let lang = format!("document.documentElement.lang.startsWith('{language}')");
            browser.wait_for(&lang).await;
        }
        for width_px in [1440, 390] {
            browser.resize(width_px).await;
            browser.open(&format!("{site}alarms/{id}")).await;
            plays(browser).await;
            browser
                .shoot(&format!("{name}-{width_px}-{language}"))
                .await;
            let wide = browser
                .run("return document.documentElement.scrollWidth")
                .await;
            assert!(wide.as_u64() <= Some(u64::from(width_px)), "{name}");
        }
        browser.resize(1440).await;
    }
}
