//! The console for everybody: each page by axe-core in both languages, the way from the sign-in to a
//! closed alarm by the keyboard alone, and a list of ten thousand alarms.

use std::fs;
use std::path::{Path, PathBuf};

use plumb::auth::Role;
use plumb::http::{Access, Shows, routes};
use serde_json::Value;
use sqlx::{Connection, SqliteConnection};

use super::*;
use crate::many;

const ALARMS: u32 = 10_000;
/// One that `many::fill` leaves raised: the fourth.
const RAISED: &str = "00000000-0003-7000-8000-000000000003";

/// A service whose camera nobody answers for, and whose database is full.
struct Full {
    home: Home,
    told: Vec<(Role, String)>,
}

impl Full {
    fn new() -> Self {
        let scene = fixture("facade_mirror").with_extension("scene.toml");
        let camera = rtsp_camera("mirror", "facade", "rtsp://127.0.0.1:9/mirror", &scene);
        let home = Home::new(&[camera], &[]);
        let told = Role::ALL.map(|role| (role, add(&home, &format!("the-{role}"), role.as_str())));
        Self {
            home,
            told: told.to_vec(),
        }
    }

    fn data_dir(&self) -> PathBuf {
        let config = PathBuf::from(self.home.config());
        config.parent().expect("a folder").join("data")
    }

    async fn fill(&self) {
        many::fill(&self.data_dir(), ALARMS).await;
        let url = format!(
            "sqlite://{}",
            self.data_dir().join("plumb.sqlite").display()
        );
        let mut shell = SqliteConnection::connect(&url).await.expect("a database");
        let ran = sqlx::query(
            "INSERT INTO replay (id, alarm, camera, state, asked_by, asked_at_ms, finished_at_ms, \
             reason) VALUES (1, ?, 'mirror', 'failed', 'chen', 1, 2, 'the evidence has no clip')",
        )
        .bind(RAISED)
        .execute(&mut shell)
        .await;
        ran.expect("it is committed");
    }

    fn told(&self, role: Role) -> &str {
        let found = self.told.iter().find(|(known, _)| *known == role);
        &found.expect("every role has an account").1
    }
}

/// axe-core, as `make axe` puts it there.
fn axe() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("lib/axe.min.js");
    fs::read_to_string(path).expect("lib/axe.min.js is there: make axe")
}

/// Asserts that axe-core finds nothing on the page that is open.
async fn assert_accessible(browser: &Browser, axe: &str, page: &str) {
    let script = format!(
        "{axe}; return axe.run(document, {{ resultTypes: ['violations'] }}).then((found) => \
         found.violations.map((v) => `${{v.id}} (${{v.impact}}): ` + v.nodes.slice(0, 3) \
         .map((n) => n.target.join(' ') + ' ' + (n.any[0]?.message ?? n.failureSummary)).join(' | ')))"
    );
    let found = browser.run(&script).await;
    let found: Vec<_> = found.as_array().expect("a list").iter().collect();
    assert!(found.is_empty(), "{page}: {found:#?}");
}

/// The pages of the table of routes that this role may open, with what stands for their ids.
fn pages(role: Role) -> Vec<String> {
    let mut pages = Vec::new();
    for route in routes() {
        let may = match route.access {
            Access::Roles(roles) => roles.contains(&role),
            Access::SignedIn => true,
            Access::Anyone | Access::Begun => false,
        };
        let is_page = route.method == "GET" && route.shows == Shows::Page;
        if !may || !is_page || route.path == "/" {
            continue;
        }
        let path = match route.path {
            // Parts of the board and the wall.
            path if path.starts_with("/board/") || path.starts_with("/wall/") => continue,
            "/alarms/{id}" => route.path.replace("{id}", RAISED),
            "/replays/{id}" => route.path.replace("{id}", "1"),
            path if path.starts_with("/cameras/{id}") => path.replace("{id}", "mirror"),
            path if path.contains('{') => continue,
            path => path.to_owned(),
        };
        pages.push(path);
    }
    assert!(!pages.is_empty(), "{role} may open nothing");
    pages
}

#[tokio::test]
async fn every_page_passes_axe_in_both_languages() {
    let full = Full::new();
    let service = full.home.run();
    full.fill().await;
    let (site, axe) = (format!("http://{}", service.address), axe());
    let driver = Driver::start();
    for role in Role::ALL {
        let browser = driver.browser().await;
        if role == Role::ALL[0] {
            for language in ["zh", "en"] {
                browser.open(&format!("{site}/sign-in")).await;
                speak(&browser, language).await;
                assert_accessible(&browser, &axe, &format!("/sign-in in {language}")).await;
            }
        }
        let name = format!("the-{role}");
        sign_in_first(&browser, &format!("{site}/"), &name, full.told(role)).await;
        for language in ["zh", "en"] {
            for page in pages(role) {
                browser.open(&format!("{site}{page}")).await;
                speak(&browser, language).await;
                let what = format!("{page} for {role} in {language}");
                assert_accessible(&browser, &axe, &what).await;
            }
        }
    }
    assert_eq!(service.stop(), Some(0));
}

/// Presses Tab until what has the focus fits, which must show that it has it.
async fn tab_to(browser: &Browser, css: &str) {
    let fits = format!(
        "const it = document.activeElement; if (!it.matches({})) return false; \
         const style = getComputedStyle(it); \
         return style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) > 0",
        json!(css)
    );
    for _ in 0..40 {
        if browser.run(&fits).await == Value::Bool(true) {
            return;
        }
        browser.press("\u{E004}").await;
    }
    let at = browser.run("return document.activeElement.outerHTML").await;
    panic!("Tab never led to {css}; the focus is at {at}");
}

async fn keys(browser: &Browser, text: &str) {
    for key in text.chars() {
        browser.press(&key.to_string()).await;
    }
}

const ENTER: &str = "\u{E007}";

#[tokio::test]
async fn an_alarm_is_taken_and_closed_by_the_keyboard_alone() {
    let full = Full::new();
    let service = full.home.run();
    full.fill().await;
    let driver = Driver::start();
    let browser = driver.browser().await;
    let told = full.told(Role::Operator);
    browser
        .open(&format!("http://{}/sign-in", service.address))
        .await;
    tab_to(&browser, "input[name=name]").await;
    keys(&browser, "the-operator").await;
    tab_to(&browser, "input[name=password]").await;
    keys(&browser, told).await;
    browser.press(ENTER).await;
    browser.wait_for("location.pathname === '/password'").await;
    for (css, text) in [
        ("input[name=old]", told),
        ("input[name=new]", PASSWORD),
        ("input[name=again]", PASSWORD),
    ] {
        tab_to(&browser, css).await;
        keys(&browser, text).await;
    }
    browser.press(ENTER).await;
    browser.wait_for("location.pathname === '/board'").await;
    let count = "document.querySelectorAll('#raised article').length";
    // Ten of the database, and the camera's own fault.
    browser.wait_for(&format!("{count} >= 10")).await;
    browser.press("j").await;
    browser
        .wait_for("document.activeElement.closest('#raised article')")
        .await;
    let id = browser
        .run("return document.activeElement.closest('article').dataset.id")
        .await;
    let card = format!("#alarm-{}", id.as_str().expect("an id"));
    browser.press("a").await;
    browser
        .wait_for(&format!("document.querySelector('#taken {card}')"))
        .await;
    // The focus has stayed on it. Its page, and from there to the end.
    browser.press(ENTER).await;
    browser
        .wait_for("location.pathname.startsWith('/alarms/')")
        .await;
    browser
        .wait_for("document.querySelector('.alarm-page') && document.readyState === 'complete'")
        .await;
    tab_to(&browser, "[data-act=close]").await;
    browser.press(ENTER).await;
    browser
        .wait_for("document.querySelector('#close-dialog').open")
        .await;
    tab_to(&browser, "#close-dialog input[type=radio]").await;
    browser.press(" ").await;
    tab_to(&browser, "#close-dialog button.main").await;
    browser.press(ENTER).await;
    browser
        .wait_for(&format!(
            "document.querySelector('{card}')?.dataset.state === 'closed'"
        ))
        .await;
    assert_eq!(service.stop(), Some(0));
}

#[tokio::test]
async fn ten_thousand_alarms_are_a_list_that_ends_and_can_be_narrowed() {
    let full = Full::new();
    let service = full.home.run();
    full.fill().await;
    let site = format!("http://{}", service.address);
    let driver = Driver::start();
    let browser = driver.browser().await;
    let told = full.told(Role::Operator);
    sign_in_first(&browser, &format!("{site}/"), "the-operator", told).await;
    browser.open(&format!("{site}/alarms")).await;
    let rows = "return [...document.querySelectorAll('tbody tr a')].map((a) => a.pathname)";
    let mut seen = std::collections::BTreeSet::new();
    // Three pages by the link to older ones: none twice, none left out.
    for page in 1..=3 {
        let links = browser.run(rows).await;
        let links = links.as_array().expect("a list");
        assert!((20..=200).contains(&links.len()), "{} rows", links.len());
        for link in links {
            let link = link.as_str().expect("a path").to_owned();
            assert!(seen.insert(link.clone()), "{link} twice");
        }
        let before = format!(
            "location.href !== {}",
            browser.run("return location.href").await
        );
        browser.click("a[rel=next]").await;
        browser.wait_for(&before).await;
        assert_eq!(seen.len(), page * links.len());
    }
    // Those nobody has closed are few, and stand on one page.
    browser
        .open(&format!("{site}/alarms?state=raised&kind=falling_object"))
        .await;
    let links = browser.run(rows).await;
    assert_eq!(links.as_array().expect("a list").len(), 10);
    for width_px in [1440, 390] {
        browser.resize(width_px).await;
        browser.open(&format!("{site}/alarms")).await;
        browser.shoot(&format!("alarms-10000-{width_px}")).await;
        let wide = browser
            .run("return document.documentElement.scrollWidth")
            .await;
        assert!(wide.as_u64() <= Some(u64::from(width_px)), "{wide} px wide");
    }
    assert_eq!(service.stop(), Some(0));
}
