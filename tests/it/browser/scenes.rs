//! A manager draws a camera's scene with the mouse and the keyboard, and the next fall has a floor.

use super::*;

/// The camera as an installer leaves it: nobody has drawn its scene.
fn home_without_a_scene(cameras: &Cameras) -> Home {
    let url = cameras.url("", "mirror");
    let camera = format!(
        "[[camera]]\nid = \"mirror\"\nname = \"Building 12, south\"\nsite = \"test\"\n\
         place = \"Building 12\"\nkind = \"facade\"\nurl = \"{url}\"\n"
    );
    Home::new(&[camera], &[])
}

/// Three of the floor lines of the clip, as in its own scene.
const LINES: [(i32, [(f64, f64); 2]); 3] = [
    (7, [(0.3443, 0.8993), (0.6587, 0.9245)]),
    (13, [(0.3677, 0.4374), (0.6506, 0.4660)]),
    (19, [(0.3869, 0.0598), (0.6440, 0.0903)]),
];

#[tokio::test]
async fn a_scene_is_drawn_and_the_next_fall_has_a_floor() {
    let clip = fixture("facade_mirror").with_extension("mp4");
    let cameras = Cameras::serve(&[format!("mirror={}", clip.display())], &[]);
    let home = home_without_a_scene(&cameras);
    let (chen, wang) = (
        add(&home, "chen", "manager"),
        add(&home, "wang", "maintainer"),
    );
    let service = home.run();
    let site = format!("http://{}/", service.address);
    let driver = Driver::start();
    let (one, other) = (driver.browser().await, driver.browser().await);
    sign_in_first(&one, &site, "chen", &chen).await;
    sign_in_first(&other, &site, "wang", &wang).await;
    for browser in [&one, &other] {
        browser.open(&format!("{site}cameras")).await;
        browser.click("a[href='/cameras/mirror/scene']").await;
        browser
            .wait_for("document.querySelector('#picture').naturalWidth > 0")
            .await;
    }
    one.wait_for("document.querySelector('#coverage').innerText.includes('not known')")
        .await;

    draw(&one).await;
    one.click("#save").await;
    one.wait_for("document.querySelector('#scene').dataset.sha256")
        .await;
    let kept = std::fs::read_to_string(home.path("data/scenes/mirror.toml"));
    let kept = kept.expect("the scene is kept");
    assert!(kept.contains("floors = 20\n"), "{kept}");
    assert_eq!(kept.matches("{ floor =").count(), 3, "{kept}");
    assert!(kept.contains("masks = [\n]"), "the mask was undone: {kept}");

    // Whoever began before that overwrites nothing.
    other.click("[data-add=masks]").await;
    other.click("#save").await;
    other
        .wait_for("document.querySelector('#message').textContent.includes('Somebody else')")
        .await;

    // The recording plays on: its next fall is judged by the new scene.
    let digest = one
        .run("return document.querySelector('#scene').dataset.sha256")
        .await;
    refused_in_chinese(&one).await;
    shoot_all(&one, &site, &["cameras/mirror/scene"], "").await;
    one.open(&format!("{site}board")).await;
    one.wait_for("[...document.querySelectorAll('#raised .floor')].some((it) => it.textContent.startsWith('Floor '))")
        .await;
    let judged = one
        .run(
            "return fetch('/api/v1/alarms?kind=falling_object').then((it) => it.json()) \
             .then((it) => it.alarms.find((alarm) => alarm.origin.floor !== null))",
        )
        .await;
    assert_eq!(judged["scene_sha256"], digest);
    // A person sees 17 in the clip; three lines leave a floor of doubt.
    let floor = judged["origin"]["floor"].as_i64().expect("a floor");
    let expected = crate::falling::expectations(&clip).alarm[0].floor;
    assert!((floor - expected).abs() <= 1, "{floor} for {expected}");
    assert_eq!(service.stop(), Some(0));
}

/// Draws the lines with the mouse, types what a mouse cannot say, and takes a mask back.
async fn draw(browser: &Browser) {
    for (floor, ends) in LINES {
        browser.click("[data-tool=line]").await;
        browser.drag("#drawing", &ends).await;
        let index = LINES.iter().position(|line| line.0 == floor).expect("one");
        let field = format!("[data-key=floor_lines-{index}-floor]");
        set(browser, &field, &floor.to_string()).await;
    }
    set(browser, "#floors", "20").await;
    set(browser, "#storey", "3.2").await;
    browser
        .wait_for("document.querySelector('#coverage').innerText.includes('Floors 6 to 19')")
        .await;

    // A tree over the lower floors is a gap, until it is undone.
    browser.click("[data-tool=mask]").await;
    let tree = [(0.2, 0.5), (0.4, 0.7), (0.8, 0.98)];
    browser.drag("#drawing", &tree).await;
    browser
        .wait_for("document.querySelector('#coverage').innerText.includes('hidden by masks')")
        .await;
    browser.click("#undo").await;
    browser
        .wait_for("!document.querySelector('#coverage').innerText.includes('hidden by masks')")
        .await;

    // A point in focus moves by the arrow keys.
    browser.click("[data-tool=select]").await;
    let left = "Number(document.querySelector('[data-key=floor_lines-0-left-x]').value)";
    let before = browser.run(&format!("return {left}")).await;
    browser
        .run("document.querySelector('[data-point=floor_lines-0-0]').focus()")
        .await;
    browser.press("\u{E014}").await;
    browser
        .wait_for(&format!("Math.abs({left} - {before} - 0.002) < 1e-9"))
        .await;

    // What cannot be is told at its field, and is not saved.
    set(browser, "[data-key=floor_lines-1-floor]", "3").await;
    browser
        .wait_for("document.querySelector('#problem').innerText.includes('is drawn below')")
        .await;
    browser
        .wait_for("document.querySelector('[data-row=floor_lines-0] input').ariaInvalid === 'true'")
        .await;
    set(browser, "[data-key=floor_lines-1-floor]", "13").await;
    browser
        .wait_for("document.querySelector('#problem').hidden")
        .await;
}

/// A reader of Chinese is told in Chinese why a scene cannot be.
async fn refused_in_chinese(browser: &Browser) {
    browser.click("[name=language]").await;
    browser
        .wait_for("document.documentElement.lang.startsWith('zh')")
        .await;
    browser
        .wait_for("document.querySelector('[data-key=floor_lines-1-floor]')")
        .await;
    set(browser, "[data-key=floor_lines-1-floor]", "3").await;
    browser
        .wait_for("document.querySelector('#problem').innerText.includes('画在了')")
        .await;
    browser.shoot("scene-refused-1440-zh").await;
    browser.click("#undo").await;
    browser
        .wait_for("document.querySelector('#problem').hidden")
        .await;
    browser.click("[name=language]").await;
}

/// Puts a value into a field as a person does who leaves it then.
async fn set(browser: &Browser, css: &str, value: &str) {
    browser
        .wait_for(&format!("document.querySelector({})", json!(css)))
        .await;
    browser
        .run(&format!(
            "const it = document.querySelector({}); it.focus(); it.value = {}; \
             it.dispatchEvent(new Event('change'))",
            json!(css),
            json!(value)
        ))
        .await;
}
