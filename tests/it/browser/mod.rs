//! The console in a browser, on the running service with real camera streams. Pictures of each page
//! land in `screenshots/` (ignored by git) for people to look at.

mod accessible;
pub(crate) mod driver;
mod escalation;
mod footage;
mod review;
mod exports;
mod operator;
mod scenes;
mod second_factor;
mod sight;

use serde_json::json;

use self::driver::{Browser, Driver};
use crate::cameras::Cameras;
use crate::service::{Home, fixture, plumb, rtsp_camera};

const PASSWORD: &str = "a good pass phrase";

/// Makes an account as its admin would, and returns its one-time password.
fn add(home: &Home, name: &str, role: &str) -> String {
    let config = home.config();
    let made = plumb(&["user", "add", name, "--role", role, "--config", &config]);
    let said = String::from_utf8_lossy(&made.stdout).into_owned();
    let told = said.trim().rsplit(' ').next().expect("a password");
    assert!(made.status.success(), "{made:?}");
    told.to_owned()
}

/// Signs in for the first time: the one-time password must be changed.
pub(crate) async fn sign_in_first(browser: &Browser, site: &str, name: &str, told: &str) {
    browser.open(site).await;
    browser.fill("input[name=name]", name).await;
    browser.fill("input[name=password]", told).await;
    browser.click("button.main").await;
    browser.wait_for("location.pathname === '/password'").await;
    browser.fill("input[name=old]", told).await;
    browser.fill("input[name=new]", PASSWORD).await;
    browser.fill("input[name=again]", PASSWORD).await;
    browser.click("button.main").await;
    browser.wait_for("location.pathname !== '/password'").await;
}

/// A facade where something falls and an elevator into which an e-bike is taken, over and over.
fn two_cameras() -> Cameras {
    let clip = |name: &str| fixture(name).with_extension("mp4").display().to_string();
    let clips = [
        format!("mirror={}", clip("facade_mirror")),
        format!("lift={}", clip("elevator_ebike_ride")),
    ];
    Cameras::serve(&clips, &[])
}

fn home(cameras: &Cameras) -> Home {
    let scene = |name: &str| fixture(name).with_extension("scene.toml");
    let named = |camera: String, name: &str, place: &str| {
        format!("{camera}name = {name:?}\nplace = {place:?}\n")
    };
    let mirror = rtsp_camera(
        "mirror",
        "facade",
        &cameras.url("", "mirror"),
        &scene("facade_mirror"),
    );
    let lift = rtsp_camera(
        "lift",
        "elevator",
        &cameras.url("", "lift"),
        &scene("elevator_ebike_ride"),
    );
    let long = "滨河花园二期 12 号楼南立面高空抛物监测摄像机（东侧杆，三层以上全部窗口）";
    Home::new(
        &[
            named(mirror, long, "12 号楼"),
            named(lift, "Lift 2 of tower 5", "Tower 5, lift 2"),
        ],
        &[],
    )
}

#[tokio::test]
async fn an_alarm_is_handled_by_two_operators_in_two_browsers() {
    let cameras = two_cameras();
    let home = home(&cameras);
    let (li, wang) = (
        add(&home, "li.na", "operator"),
        add(&home, "wang", "operator"),
    );
    let (chen, zhao) = (
        add(&home, "chen", "auditor"),
        add(&home, "zhao", "maintainer"),
    );
    let boss = add(&home, "boss", "admin");
    let service = home.run();
    let site = format!("http://{}/", service.address);
    let driver = Driver::start();

    // The board is open before anything happens.
    let (one, other) = (driver.browser().await, driver.browser().await);
    one.open(&site).await;
    one.shoot("sign-in").await;
    sign_in_first(&one, &site, "li.na", &li).await;
    one.wait_for("location.pathname === '/board'").await;
    sign_in_first(&other, &site, "wang", &wang).await;
    one.wait_for("document.querySelector('#link').textContent === 'Live'")
        .await;
    let falling = "#raised article[data-kind=falling_object]";
    one.wait_for(&format!("document.querySelector('{falling}')"))
        .await;
    one.wait_for("document.title.startsWith('(')").await;
    let id = one
        .run(&format!(
            "return document.querySelector('{falling}').dataset.id"
        ))
        .await;
    let id = id.as_str().expect("an id").to_owned();
    let card = format!("#alarm-{id}");
    other
        .wait_for(&format!("document.querySelector('{card}')"))
        .await;

    two_hands(&one, &other, &id).await;
    see_the_clip(&one, &site, &id).await;
    close(&one, &id).await;
    shoot_all(&one, &site, &["board", "alarms", "cameras"], &id).await;
    other
        .wait_for(&format!("!document.querySelector('{card}')"))
        .await;
    sign_out(&one, &site).await;
    // The other's session is no business of this one's.
    assert_eq!(other.run("return location.pathname").await, "/board");
    audited(&other, &site, &id, &chen).await;
    maintained(&other, &site, &zhao).await;
    administered(&other, &site, &boss).await;
    assert_eq!(service.stop(), Some(0));
}

/// One takes the alarm with the keyboard; the other's board shows who has it, and refuses a second
/// hand.
async fn two_hands(one: &Browser, other: &Browser, id: &str) {
    let card = format!("#alarm-{id}");
    one.run(&format!("document.querySelector('{card}').focus()"))
        .await;
    one.press("a").await;
    for browser in [one, other] {
        browser
            .wait_for(&format!("document.querySelector('#taken {card} .holder')"))
            .await;
        assert!(
            browser
                .text(&format!("{card} .holder"))
                .await
                .contains("li.na")
        );
    }
    let second = format!(
        "import('/assets/handle.js').then((m) => m.handle('acknowledge', '{id}', () => {{}}))"
    );
    other.run(&second).await;
    other
        .wait_for("document.querySelector('#message').textContent.includes('li.na has taken')")
        .await;
}

async fn sign_out(browser: &Browser, site: &str) {
    browser.open(&format!("{site}board")).await;
    browser.click("#sign-out").await;
    browser.wait_for("location.pathname === '/sign-in'").await;
    browser.open(&format!("{site}board")).await;
    browser.wait_for("location.pathname === '/sign-in'").await;
}

/// Opens the alarm's page, waits for its evidence and plays the clip with the track over it.
async fn see_the_clip(browser: &Browser, site: &str, id: &str) {
    let url = format!("{site}alarms/{id}");
    browser.open(&url).await;
    // The page says when the evidence has come.
    browser
        .wait_for(
            "document.querySelector('#clip') || \
             (!document.querySelector('#changed').hidden && (location.reload(), false))",
        )
        .await;
    browser
        .wait_for("document.querySelector('#clip').readyState >= 2")
        .await;
    browser.click("#to-event").await;
    browser
        .run("const clip = document.querySelector('#clip'); clip.muted = true; clip.play()")
        .await;
    browser
        .wait_for(
            "(() => { const canvas = document.querySelector('#track'); \
             const pen = canvas.getContext('2d'); \
             return pen.getImageData(0, 0, canvas.width, canvas.height).data.some((v) => v > 0); })()",
        )
        .await;
    let before = browser
        .run("return document.querySelector('#clip').currentTime")
        .await;
    browser
        .wait_for(&format!(
            "document.querySelector('#clip').currentTime > {before} + 0.2"
        ))
        .await;
    browser.run("document.querySelector('#clip').pause()").await;
    let page = browser.text("main").await;
    assert!(
        page.contains("Falling object") && page.contains("Floor "),
        "{page}"
    );
    assert!(page.contains("fitted gravity"), "{page}");
    assert_eq!(
        browser
            .run("return document.querySelectorAll('.chart svg').length")
            .await,
        2
    );
}

/// Writes a note and closes the alarm, with the keyboard and the dialogs.
async fn close(browser: &Browser, id: &str) {
    browser.press("n").await;
    browser
        .fill("#note-dialog textarea", "A flower pot; nobody was hurt.")
        .await;
    browser.click("#note-dialog button.main").await;
    browser
        .wait_for("document.querySelector('.notes').innerText.includes('flower pot')")
        .await;
    browser.press("c").await;
    browser.click("#close-dialog input[value=confirmed]").await;
    browser.shoot("close-dialog").await;
    browser.click("#close-dialog button.main").await;
    let closed = format!("document.querySelector('#alarm-{id}').dataset.state === 'closed'");
    browser.wait_for(&closed).await;
}

/// The auditor finds who looked and who closed, and can change nothing.
async fn audited(browser: &Browser, site: &str, id: &str, told: &str) {
    browser.open(&format!("{site}board")).await;
    browser.click("#sign-out").await;
    browser.wait_for("location.pathname === '/sign-in'").await;
    sign_in_first(browser, site, "chen", told).await;
    browser.open(&format!("{site}alarms/{id}")).await;
    browser
        .wait_for("document.querySelector('.alarm-page')")
        .await;
    assert_eq!(
        browser
            .run("return document.querySelectorAll('[data-act]').length")
            .await,
        0
    );
    browser.open(&format!("{site}audit?who=li.na")).await;
    browser.wait_for("document.querySelector('table')").await;
    let log = browser.text("main").await;
    for action in [
        "session.begun",
        "session.ended",
        "evidence.seen",
        "alarm.noted",
        "alarm.closed",
    ] {
        assert!(log.contains(action), "{action} is missing in {log}");
    }
    shoot_all(browser, site, &["audit"], id).await;
}

/// The maintainer sees how cameras are, and no picture.
async fn maintained(browser: &Browser, site: &str, told: &str) {
    browser.click("#sign-out").await;
    browser.wait_for("location.pathname === '/sign-in'").await;
    sign_in_first(browser, site, "zhao", told).await;
    browser.wait_for("location.pathname === '/cameras'").await;
    let page = browser.text("main").await;
    assert!(
        page.contains("2 / 2 online") && page.contains("Lift 2 of tower 5"),
        "{page}"
    );
    assert_eq!(
        browser
            .run("return document.querySelectorAll('main img').length")
            .await,
        0
    );
}

/// The admin makes an account; its password is shown once.
async fn administered(browser: &Browser, site: &str, told: &str) {
    browser.click("#sign-out").await;
    browser.wait_for("location.pathname === '/sign-in'").await;
    sign_in_first(browser, site, "boss", told).await;
    browser.wait_for("location.pathname === '/accounts'").await;
    browser.fill("#add-account input[name=name]", "sun").await;
    browser.click("#add-account button").await;
    browser
        .wait_for("document.querySelector('#secret').value.length === 23")
        .await;
    browser.click("#told button").await;
    browser
        .wait_for("document.querySelector('tr[data-name=sun]')")
        .await;
    shoot_all(browser, site, &["accounts"], "").await;
}

/// Makes the pages speak a language.
async fn speak(browser: &Browser, language: &str) {
    let chosen = browser.run("return document.documentElement.lang").await;
    if !chosen.as_str().expect("a language").starts_with(language) {
        browser.click("[name=language]").await;
        let condition = format!("document.documentElement.lang.startsWith('{language}')");
        browser.wait_for(&condition).await;
    }
}

/// Takes a picture of the page as it stands, which must not be wider than the window.
async fn shoot(browser: &Browser, name: &str, width_px: u32, language: &str) {
    browser
        .shoot(&format!("{name}-{width_px}-{language}"))
        .await;
    let wide = browser
        .run("return document.documentElement.scrollWidth")
        .await;
    assert!(
        wide.as_u64() <= Some(u64::from(width_px)),
        "{name} is {wide} px wide in a window of {width_px}"
    );
}

/// Takes pictures of the page as it stands, wide and as on a phone, in a language.
async fn shoot_here(browser: &Browser, name: &str, language: &str) {
    speak(browser, language).await;
    for width_px in [1440, 390] {
        browser.resize(width_px).await;
        shoot(browser, name, width_px, language).await;
    }
    browser.resize(1440).await;
}

/// Takes pictures of pages, wide and as on a phone, in both languages; leaves them in English.
async fn shoot_all(browser: &Browser, site: &str, pages: &[&str], id: &str) {
    let mut named: Vec<(String, String)> = pages
        .iter()
        .map(|page| (page.replace('/', "-"), (*page).to_owned()))
        .collect();
    if pages.contains(&"alarms") {
        named.push(("alarm".to_owned(), format!("alarms/{id}")));
    }
    shoot_named(browser, site, &named).await;
}

/// Takes pictures of pages, each with the name of its pictures and its path, as [`shoot_all`] does.
async fn shoot_named(browser: &Browser, site: &str, pages: &[(String, String)]) {
    for language in ["zh", "en"] {
        browser.open(&format!("{site}{}", pages[0].1)).await;
        speak(browser, language).await;
        for width_px in [1440, 390] {
            browser.resize(width_px).await;
            for (name, path) in pages {
                browser.open(&format!("{site}{path}")).await;
                browser
                    .wait_for("[...document.images].every((i) => i.complete && (i.src || i.hidden || i.classList.contains('none')) || i.getBoundingClientRect().top >= innerHeight)")
                    .await;
                shoot(browser, name, width_px, language).await;
            }
        }
        browser.resize(1440).await;
    }
}
