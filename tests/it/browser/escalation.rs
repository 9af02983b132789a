//! What nobody acknowledges reaches the further receiver, and the pages say so by themselves.

use std::fs;

use super::*;
use crate::service::Receiver;

#[tokio::test]
async fn an_alarm_that_nobody_takes_goes_further_and_its_page_says_to_whom() {
    let clip = fixture("facade_mirror").with_extension("mp4");
    let cameras = Cameras::serve(&[format!("mirror={}", clip.display())], &[]);
    let (guard, chief) = (Receiver::start(0), Receiver::start(0));
    let scene = fixture("facade_mirror").with_extension("scene.toml");
    let camera = rtsp_camera("mirror", "facade", &cameras.url("", "mirror"), &scene);
    let home = Home::new(&[camera], &[guard.port]);
    let config = fs::read_to_string(home.config()).expect("it was written");
    let further = format!(
        "[[endpoint]]\nid = \"chief\"\nurl = \"http://127.0.0.1:{}/\"\nsecret_file = \"secret\"\n\
         escalations_only = true\n[[escalation]]\nid = \"nobody-there\"\nafter_s = 10\n\
         endpoints = [\"chief\"]\nkinds = [\"falling_object\"]\n",
        chief.port
    );
    fs::write(home.config(), config + &further).expect("writable");
    let li = add(&home, "li.na", "operator");
    let service = home.run();
    let site = format!("http://{}/", service.address);
    let driver = Driver::start();
    let browser = driver.browser().await;
    sign_in_first(&browser, &site, "li.na", &li).await;
    browser.wait_for("location.pathname === '/board'").await;
    let falling = "document.querySelector('#raised article[data-kind=falling_object]')";
    browser.wait_for(falling).await;
    let id = browser.run(&format!("return {falling}.dataset.id")).await;
    let id = id.as_str().expect("an id").to_owned();

    // The open board hears of it.
    let card = format!("document.querySelector('#alarm-{id}')");
    browser
        .wait_for(&format!("{card}.innerText.includes('Escalated')"))
        .await;
    let told = chief.wait_for("alarm.escalated", |data| data["id"] == json!(id));
    assert_eq!(told["kind"], "falling_object", "{told}");
    guard.wait_for("alarm.raised", |data| data["id"] == json!(id));

    browser.open(&format!("{site}alarms/{id}")).await;
    browser
        .wait_for("document.querySelector('.alarm-page dl')")
        .await;
    let page = browser.text(".alarm-page dl").await;
    assert!(
        page.contains("chief") && page.contains("(nobody-there)"),
        "{page}"
    );
    for language in ["zh", "en"] {
        shoot_here(&browser, "alarm-escalated", language).await;
    }
    // The rest is told to the further receiver, too.
    browser
        .run(&format!(
            "import('/assets/page.js').then((m) => m.change('/api/v1/alarms/{id}/acknowledge'))"
        ))
        .await;
    chief.wait_for("alarm.acknowledged", |data| data["id"] == json!(id));
    assert_eq!(service.stop(), Some(0));
}
