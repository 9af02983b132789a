//! A manager whose role asks for a second factor sets it up, signs in with it, loses the phone, and is
//! helped by the admin.

use std::fs;

use plumb::auth::totp::{TotpSecret, step_at};
use plumb::clock::{Clock, SystemClock};
use plumb::id::AccountId;
use plumb::store::{SecondFactor, Store};

use super::*;

/// The code that the phone shows next: the one of now may have counted already.
fn code(secret: &TotpSecret, ahead: i64) -> String {
    let now_ms = SystemClock::new().now().as_millisecond();
    secret.code_of(step_at(now_ms) + ahead)
}

/// Reads the secret that waits, as the phone's camera does.
async fn begun(home: &Home, name: &str) -> TotpSecret {
    let clock = std::sync::Arc::new(SystemClock::new());
    let store = Store::open_beside(&home.path("data"), clock).await;
    let store = store.expect("the service lets others read");
    let account = AccountId::parse(name).expect("an id");
    let found = store.second_factor(&account).await.expect("readable");
    store.close().await;
    match found {
        SecondFactor::Begun(secret) => secret,
        other => panic!("{other:?}"),
    }
}

async fn sign_in(browser: &Browser, site: &str, name: &str) {
    browser.click("#sign-out").await;
    browser.wait_for("location.pathname === '/sign-in'").await;
    browser.open(site).await;
    browser.fill("input[name=name]", name).await;
    browser.fill("input[name=password]", PASSWORD).await;
    browser.click("button.main").await;
    browser.wait_for("location.pathname !== '/sign-in'").await;
}

#[tokio::test]
async fn a_role_that_asks_for_a_second_factor_is_led_through_it() {
    let scene = fixture("facade_mirror").with_extension("scene.toml");
    let camera = rtsp_camera("mirror", "facade", "rtsp://127.0.0.1:9/mirror", &scene);
    let home = Home::new(&[camera], &[]);
    let config = fs::read_to_string(home.config()).expect("it was written");
    let config = format!("{config}\n[auth]\nsecond_factor_roles = [\"manager\"]\n");
    fs::write(home.config(), config).expect("writable");
    let (mei, boss) = (add(&home, "mei", "manager"), add(&home, "boss", "admin"));
    let service = home.run();
    let site = format!("http://{}/", service.address);
    let driver = Driver::start();
    let browser = driver.browser().await;

    sign_in_first(&browser, &site, "mei", &mei).await;
    browser.wait_for("location.pathname === '/account'").await;
    let links = "return document.querySelectorAll('nav a').length";
    assert_eq!(browser.run(links).await, 0, "nothing else can be opened");
    browser.open(&format!("{site}board")).await;
    browser.wait_for("location.pathname === '/account'").await;
    shoot_all(&browser, &site, &["account"], "").await;
    let (secret, first) = turned_on(&browser, &home).await;
    shoot_all(&browser, &site, &["account"], "").await;
    let path = "return location.pathname";
    browser.open(&site).await;
    browser.wait_for("location.pathname === '/board'").await;

    sign_in(&browser, &site, "mei").await;
    assert_eq!(browser.run(path).await, "/sign-in/code");
    browser.open(&format!("{site}alarms")).await;
    browser
        .wait_for("location.pathname === '/sign-in/code'")
        .await;
    for language in ["zh", "en"] {
        shoot_here(&browser, "code", language).await;
    }
    browser.fill("input[name=code]", "000000").await;
    browser.click("button.main").await;
    browser.wait_for("document.querySelector('.refusal')").await;
    browser.fill("input[name=code]", &code(&secret, 1)).await;
    browser.click("button.main").await;
    browser.wait_for("location.pathname === '/board'").await;
    // The phone is gone.
    sign_in(&browser, &site, "mei").await;
    browser.fill("input[name=code]", &first).await;
    browser.click("button.main").await;
    browser.wait_for("location.pathname === '/board'").await;

    helped(&browser, &site, &boss).await;
    sign_in(&browser, &site, "mei").await;
    assert_eq!(
        browser.run(path).await,
        "/account",
        "it is to be set up anew"
    );
    turned_on(&browser, &home).await;
    removed_on_the_machine(&home, "mei");
    browser.open(&format!("{site}board")).await;
    browser.wait_for("location.pathname === '/sign-in'").await;
    assert_eq!(service.stop(), Some(0));
}

/// Turns the second factor on; returns its secret and the first of its recovery codes.
async fn turned_on(browser: &Browser, home: &Home) -> (TotpSecret, String) {
    browser.click("#factor button.main").await;
    browser
        .wait_for("document.querySelector('svg.qr path')")
        .await;
    let secret = begun(home, "mei").await;
    let shown = browser.text("#totp-secret").await.replace(' ', "");
    assert_eq!(shown, secret.base32());
    for width_px in [1440, 390] {
        browser.resize(width_px).await;
        let scanned = scanned(&browser.seen().await);
        assert!(scanned.starts_with("otpauth://totp/"), "{scanned}");
        let url = reqwest::Url::parse(&scanned).expect("a URL");
        let said: std::collections::HashMap<_, _> = url.query_pairs().collect();
        assert_eq!(said["secret"], secret.base32());
        assert!(url.path().contains("mei"), "{scanned}");
    }
    browser.resize(1440).await;
    for language in ["zh", "en"] {
        shoot_here(browser, "account-qr", language).await;
    }
    browser.fill("input[name=code]", &code(&secret, 0)).await;
    browser.click("#factor button.main").await;
    browser
        .wait_for("document.querySelectorAll('.codes li').length === 10")
        .await;
    for width_px in [1440, 390] {
        browser.resize(width_px).await;
        shoot(browser, "account-recovery", width_px, "en").await;
    }
    browser.resize(1440).await;
    let first = browser.text(".codes li").await;
    browser.click("#recovery a").await;
    browser.wait_for("!document.querySelector('.codes')").await;
    (secret, first)
}

/// Reads the one QR code on a page, as an authenticator app's scanner does.
fn scanned(page: &[u8]) -> String {
    let page = image::load_from_memory(page).expect("a PNG").to_luma8();
    let (width, height) = (page.width() as usize, page.height() as usize);
    let mut page = rqrr::PreparedImage::prepare_from_greyscale(width, height, |x, y| {
        page.as_raw()[y * width + x]
    });
    let codes = page.detect_grids();
    assert_eq!(codes.len(), 1, "one code is found");
    codes[0].decode().expect("it can be read").1
}

/// The way back where no admin is at hand.
fn removed_on_the_machine(home: &Home, name: &str) {
    let (config, mut said) = (home.config(), Vec::new());
    for arguments in [&["list"][..], &["remove-factor", name], &["list"]] {
        let ran = plumb(&[&["user"], arguments, &["--config", &config]].concat());
        assert!(ran.status.success(), "{ran:?}");
        said.push(String::from_utf8_lossy(&ran.stdout).into_owned());
    }
    assert!(said[0].contains("has a second factor"), "{}", said[0]);
    assert!(said[1].contains("with the password alone"), "{}", said[1]);
    assert!(!said[2].contains("has a second factor"), "{}", said[2]);
    let again = plumb(&["user", "remove-factor", name, "--config", &config]);
    assert_eq!(again.status.code(), Some(1), "{again:?}");
}

/// The admin takes the second factor of somebody else away.
async fn helped(browser: &Browser, site: &str, told: &str) {
    browser.click("#sign-out").await;
    browser.wait_for("location.pathname === '/sign-in'").await;
    sign_in_first(browser, site, "boss", told).await;
    browser.wait_for("location.pathname === '/accounts'").await;
    shoot_all(browser, site, &["accounts"], "").await;
    browser.run("window.confirm = () => true").await;
    let button = "tr[data-name=mei] [data-do='second-factor/remove']";
    browser.click(button).await;
    browser
        .wait_for(&format!("!document.querySelector(\"{button}\")"))
        .await;
}
