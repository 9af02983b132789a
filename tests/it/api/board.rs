//! The board in a browser, over a service that the test holds in its hand.

use super::*;
use crate::browser::driver::Driver;
use crate::browser::sign_in_first;

/// Lets no card through until the test says so, as a service under load may, and counts what was asked.
const HOLD_CARDS: &str = "window.refused = 0; const real = window.fetch; \
    window.fetch = (what, ...rest) => { \
        if (window.areOpen || !String(what).startsWith('/board/alarms/')) return real(what, ...rest); \
        window.refused += 1; \
        return Promise.resolve(new Response('', { status: 503 })); \
    };";

#[tokio::test]
async fn an_alarm_whose_card_could_not_be_loaded_comes_all_the_same() {
    let service = Service::start().await;
    let told = service.add("li.na", "operator").await;
    let driver = Driver::start();
    let browser = driver.browser().await;
    let site = format!("{}/", service.url);
    sign_in_first(&browser, &site, "li.na", &told).await;
    browser
        .wait_for("document.querySelector('#link').textContent === 'Live'")
        .await;
    browser.run(HOLD_CARDS).await;
    // Nothing follows this event that could bring the card by itself.
    let id = service.raise(&fall(MORNING_MS)).await;
    browser.wait_for("window.refused > 0").await;
    let card = format!("document.getElementById('alarm-{id}')");
    assert_eq!(browser.run(&format!("return {card}")).await, Value::Null);
    browser.run("window.areOpen = true").await;
    browser.wait_for(&card).await;
    browser
        .wait_for("document.getElementById('raised-count').textContent === '1'")
        .await;
}
