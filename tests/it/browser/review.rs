//! A manager finds an event in two clicks, looks through what is new, and sees where it happens again.

use super::*;

#[tokio::test]
async fn an_event_is_found_in_two_clicks_and_looked_through() {
    let cameras = two_cameras();
    let home = home(&cameras);
    let chen = add(&home, "chen", "manager");
    let service = home.run();
    let site = format!("http://{}/", service.address);
    let driver = Driver::start();
    let browser = driver.browser().await;
    sign_in_first(&browser, &site, "chen", &chen).await;
    // The recordings play over and over: one fall becomes two from the same window.
    let counted = |kind: &str, least: u32| {
        format!("document.querySelectorAll('#raised [data-kind={kind}]').length >= {least}")
    };
    browser.wait_for(&counted("falling_object", 2)).await;
    browser.wait_for(&counted("ebike_in_elevator", 1)).await;

    browser.open(&format!("{site}review")).await;
    browser
        .wait_for("Number(document.querySelector('#unreviewed').textContent) >= 3")
        .await;
    // Two clicks: today, and the fall.
    browser.click("[data-day].shade4").await;
    browser
        .wait_for("document.querySelector('[aria-current=date]')")
        .await;
    preview(&browser).await;
    let fall = "tr.event.open:has(td:nth-child(4):not(:empty))";
    browser
        .wait_for(&format!("document.querySelector('{fall}')"))
        .await;
    browser
        .click("select[name=kind] option[value=falling_object]")
        .await;
    browser.click("form.filters button.main").await;
    browser
        .wait_for("location.search.includes('kind=falling_object')")
        .await;
    let rows = browser
        .run("return document.querySelectorAll('tr[data-id]').length")
        .await;
    browser.click("tr[data-id] a").await;
    browser
        .wait_for("document.querySelector('.alarm-page')")
        .await;

    let first = look_through(&browser).await;
    assert!(rows.as_u64() >= Some(2), "{rows}");

    browser.open(&format!("{site}review/places")).await;
    let page = browser.text("main").await;
    assert!(page.contains("12 号楼") && page.contains(" %"), "{page}");
    browser.open(&format!("{site}review/trends")).await;
    let drawn = "document.querySelectorAll('.chart rect').length";
    assert_eq!(browser.run(&format!("return {drawn}")).await, 90);
    let pages = ["review", "review/places", "review/trends", "alarms"];
    shoot_all(&browser, &site, &pages, &first).await;
    assert_eq!(service.stop(), Some(0));
}

/// Walks from the alarm that is open to the one before, marks it, then all that are left; returns the
/// first one's id.
async fn look_through(browser: &Browser) -> String {
    // To the one before within the filter, without going back.
    let first = browser
        .run("return document.querySelector('.alarm-page').dataset.id")
        .await;
    browser.press("j").await;
    browser
        .wait_for(&format!(
            "document.querySelector('.alarm-page').dataset.id !== {first}"
        ))
        .await;
    let page = browser.text("main").await;
    assert!(page.contains("Falling object"), "{page}");
    browser.press("r").await;
    browser
        .wait_for("document.querySelector('#reviewed')")
        .await;
    browser.click("a[href^='/review?']").await;
    browser
        .wait_for("document.querySelector('#mark-all')")
        .await;
    let open = "document.querySelectorAll('tr.open').length";
    let left = browser.run(&format!("return {open}")).await;
    assert!(
        left.as_u64()
            < browser
                .run("return document.querySelectorAll('tr[data-id]').length")
                .await
                .as_u64()
    );
    browser.click("#mark-all").await;
    browser.wait_for(&format!("{open} === 0")).await;
    first.as_str().expect("an id").to_owned()
}

/// A row in focus shows its picture, once that is written.
async fn preview(browser: &Browser) {
    browser
        .run(
            "const link = document.querySelector('tr.event:last-child [data-preview]'); \
             const again = () => new Promise((later) => setTimeout(later, 100)).then(look); \
             const look = () => fetch(link.dataset.preview) \
             .then((answer) => answer.ok ? link.focus() : again()); \
             return look()",
        )
        .await;
    browser
        .wait_for("!document.querySelector('#preview').hidden && document.querySelector('#preview img').naturalWidth > 0")
        .await;
}
