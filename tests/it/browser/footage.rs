//! Footage: an operator finds an alarm's moment on the day's strip and plays it, and the player goes on.

use super::driver::{Browser, Driver};
use super::{add, shoot_here, shoot_named, sign_in_first};
use crate::service::{Home, file_camera};

#[tokio::test]
async fn an_operator_finds_a_moment_on_the_strip_and_plays_on_from_it() {
    let keeping = format!(
        "{}name = \"3号楼北面\"\nfootage = true\n",
        file_camera("mirror", "facade_mirror")
    );
    let home = Home::new(&[keeping, file_camera("yard", "facade_mirror")], &[]);
    let li = add(&home, "li.na", "operator");
    let service = home.run();
    let site = format!("http://{}/", service.address);
    let driver = Driver::start();
    let browser = driver.browser().await;
    sign_in_first(&browser, &site, "li.na", &li).await;
    browser.open(&format!("{site}footage")).await;
    shoot_here(&browser, "footage-first", "en").await;

    // A fall whose moment is on the disk, and something after it.
    browser
        .run(
            "window.found = undefined; window.looking = setInterval(async () => { \
             const get = async (path) => (await fetch(path)).json(); \
             const { alarms } = await get('/api/v1/alarms?camera=mirror&kind=falling_object'); \
             const { segments } = await get('/api/v1/cameras/mirror/footage'); \
             const first = alarms.at(-1); \
             const at = segments.findIndex((s) => first && s.starts_at_ms <= first.raised_at_ms && s.ends_at_ms > first.raised_at_ms); \
             if (at >= 0 && segments.length > at + 1) window.found = first.id; }, 500)",
        )
        .await;
    browser.wait_for("window.found !== undefined").await;
    let id = browser.run("return window.found").await;
    let id = id.as_str().expect("an id").to_owned();
    browser.open(&format!("{site}alarms/{id}")).await;
    browser.wait_for("document.querySelector('#footage')").await;
    browser.click("#footage").await;
    browser.wait_for("location.pathname === '/footage'").await;
    plays(&browser).await;
    let strip = "return document.querySelectorAll('#strip .kept').length > 0";
    assert_eq!(browser.run(strip).await, true, "it shows what there is");
    let marked = format!("document.querySelector('.marks a[href=\"/alarms/{id}\"]')");
    browser.wait_for(&marked).await;
    let cameras = browser
        .run("return [...document.querySelectorAll('select[name=camera] option')].map((o) => o.value)")
        .await;
    assert_eq!(
        cameras,
        serde_json::json!(["mirror"]),
        "those that keep footage"
    );

    goes_on(&browser).await;
    by_keyboard(&browser).await;
    shoot_here(&browser, "footage", "zh").await;
    shoot_here(&browser, "footage", "en").await;
    browser.open(&format!("{site}footage?day=2020-01-31")).await;
    browser
        .wait_for("document.querySelector('#no-footage a')")
        .await;
    let named = |name: &str, path: &str| (name.to_owned(), path.to_owned());
    let pages = [
        named("footage-empty", "footage?day=2020-01-31"),
        named("footage-alarm", &format!("alarms/{id}")),
        named("footage-wall", "wall"),
        named("footage-cameras", "cameras"),
    ];
    shoot_named(&browser, &site, &pages).await;
    assert_eq!(service.stop(), Some(0));
}

/// Waits until the video plays.
async fn plays(browser: &Browser) {
    browser
        .run("document.querySelector('#video').muted = true")
        .await;
    browser
        .wait_for("document.querySelector('#video').readyState >= 2")
        .await;
    let before = browser
        .run("return document.querySelector('#video').currentTime")
        .await;
    // A browser that nobody has clicked in plays nothing with sound.
    browser.run("document.querySelector('#video').play()").await;
    browser
        .wait_for(&format!(
            "document.querySelector('#video').currentTime > {before} + 0.3"
        ))
        .await;
    browser
        .wait_for("/^\\d\\d:\\d\\d:\\d\\d$/.test(document.querySelector('#clock').textContent)")
        .await;
}

/// At a segment's end the next one plays by itself.
async fn goes_on(browser: &Browser) {
    let source = browser
        .run("return document.querySelector('#video').src")
        .await;
    browser
        .run("const video = document.querySelector('#video'); video.currentTime = video.duration - 0.3; video.play()")
        .await;
    browser
        .wait_for(&format!(
            "document.querySelector('#video').src !== {source} && document.querySelector('#video').currentTime > 0.2"
        ))
        .await;
    let download = browser
        .run("return document.querySelector('#download').href === document.querySelector('#video').src")
        .await;
    assert_eq!(download, true);
}

/// The strip is a slider: arrows choose a minute, Enter plays what there is.
async fn by_keyboard(browser: &Browser) {
    let now = "return Number(document.querySelector('#strip').getAttribute('aria-valuenow'))";
    browser
        .run("document.querySelector('#video').pause(); document.querySelector('#strip').focus()")
        .await;
    let before = browser.run(now).await.as_i64().expect("a number");
    browser.press("\u{E012}").await;
    let after = browser.run(now).await.as_i64().expect("a number");
    assert_eq!(before - after, 60, "a minute back");
    browser.press("\u{E007}").await;
    // A minute back nothing was kept yet: the page says so, and goes on with the next there is.
    browser
        .wait_for("document.querySelector('#told').textContent.length > 10")
        .await;
    plays(browser).await;
}
