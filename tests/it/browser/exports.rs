//! An export from asking to download, with approval by a second person, and a hold.

use super::*;

#[tokio::test]
async fn an_export_is_asked_for_approved_by_another_and_downloaded() {
    let clip = fixture("elevator_ebike_ride").with_extension("mp4");
    let cameras = Cameras::serve(&[format!("lift={}", clip.display())], &[]);
    let scene = fixture("elevator_ebike_ride").with_extension("scene.toml");
    let lift = rtsp_camera("lift", "elevator", &cameras.url("", "lift"), &scene);
    let home = Home::new(
        &[format!("{lift}name = \"Lift 2\"\nplace = \"Lift 2\"\n")],
        &[],
    );
    let li = add(&home, "li.na", "operator");
    let wang = add(&home, "wang", "manager");
    let service = home.run();
    let site = format!("http://{}/", service.address);
    let driver = Driver::start();
    let (asker, boss) = (driver.browser().await, driver.browser().await);
    sign_in_first(&asker, &site, "li.na", &li).await;
    sign_in_first(&boss, &site, "wang", &wang).await;

    let ride = "article[data-kind=ebike_in_elevator]";
    asker
        .wait_for(&format!("document.querySelector('{ride}')"))
        .await;
    let id = asker
        .run(&format!(
            "return document.querySelector('{ride}').dataset.id"
        ))
        .await;
    let id = id.as_str().expect("an id").to_owned();
    asker.open(&format!("{site}alarms/{id}")).await;
    asker
        .wait_for(
            "document.querySelector('#clip') || \
             (!document.querySelector('#changed').hidden && (location.reload(), false))",
        )
        .await;
    ask(&asker).await;

    asker.open(&format!("{site}exports")).await;
    asker
        .wait_for("document.querySelector('#ticket-1 .state.warn')")
        .await;
    let own = "return document.querySelectorAll('[data-decide]').length";
    assert_eq!(asker.run(own).await, 0, "nobody approves their own");
    held(&boss, &site, &id).await;
    boss.open(&format!("{site}exports")).await;
    boss.click("#ticket-1 [data-decide=approve]").await;
    // The page follows by itself while the bundle is being made.
    boss.wait_for("document.querySelector('#ticket-1 .state.good')")
        .await;
    shoot_all(&boss, &site, &["exports", "reports", "service"], "").await;
    reported(&boss, &site).await;
    boss.open(&format!("{site}exports")).await;
    assert_eq!(
        boss.run("return document.querySelectorAll('#ticket-1 a[download]').length")
            .await,
        0,
        "the bundle is its asker's"
    );

    download(&asker, &site).await;
    assert_eq!(service.stop(), Some(0));
}

/// Asks for the export of the alarm that is open.
async fn ask(asker: &Browser) {
    asker.click("[data-act=export]").await;
    asker
        .fill("#export-dialog textarea", "For the police, case 7")
        .await;
    asker.shoot("export-dialog").await;
    // The page is loaded anew once it is done.
    asker.run("window.asked = true").await;
    asker.click("#export-dialog button.main").await;
    asker
        .wait_for("!window.asked && document.querySelector('.alarm-page')")
        .await;
}

/// Downloads the bundle, which is counted.
async fn download(asker: &Browser, site: &str) {
    asker.open(&format!("{site}exports")).await;
    asker
        .run(
            "fetch(document.querySelector('#ticket-1 a[download]').href).then((a) => a.arrayBuffer()) \
             .then((b) => { document.title = new TextDecoder().decode(b.slice(0, 2)) + b.byteLength; })",
        )
        .await;
    asker.wait_for("/^PK[0-9]{5,}$/.test(document.title)").await;
    asker.open(&format!("{site}exports")).await;
    let row = asker.text("#ticket-1").await;
    assert!(row.contains(": 1"), "one download is counted: {row}");
}

/// A manager holds the alarm's evidence, with a reason, and the page says so.
async fn held(boss: &Browser, site: &str, id: &str) {
    boss.open(&format!("{site}alarms/{id}")).await;
    boss.click("[data-act=hold]").await;
    boss.fill("#hold-dialog textarea", "Police, case 7").await;
    boss.click("#hold-dialog button.main").await;
    boss.wait_for(
        "document.querySelector('#held') && \
         document.querySelector('#held').innerText.includes('case 7')",
    )
    .await;
    boss.shoot("held").await;
}

/// Chooses the report's time on the page, which stands in its address and in that of the file, and
/// prints it; checks everything anew.
async fn reported(boss: &Browser, site: &str) {
    boss.open(&format!("{site}reports")).await;
    boss.run(
        "const field = document.querySelector('[name=period]'); field.value = 'last_month'; \
              field.dispatchEvent(new Event('change'))",
    )
    .await;
    boss.wait_for("location.search.includes('period=last_month')")
        .await;
    boss.run(
        "const field = document.querySelector('[name=from]'); field.value = '2026-01-05'; \
              field.dispatchEvent(new Event('change'))",
    )
    .await;
    boss.run("document.querySelector('[name=to]').value = '2026-01-10'")
        .await;
    boss.click("#period button.main").await;
    boss.wait_for(
        "location.search.includes('period=days') && location.search.includes('to=2026-01-10')",
    )
    .await;
    let file =
        "return new URL(document.querySelector('a[download]').href).searchParams.get('from')";
    let from = boss.run(file).await;
    assert!(
        from.as_str().expect("a moment").starts_with("2026-01-0"),
        "{from}"
    );
    for language in ["zh", "en"] {
        boss.open(&format!("{site}reports?period=this_month")).await;
        speak(boss, language).await;
        let pdf = boss.print(&format!("report-{language}")).await;
        assert!(pdf.starts_with(b"%PDF") && pdf.len() > 10_000);
    }
    boss.open(&format!("{site}service")).await;
    boss.click("form.check button").await;
    boss.wait_for("document.querySelectorAll('#found tbody tr').length === 3")
        .await;
    let found = boss.text("#found").await;
    assert!(
        found.contains("In use by this service") && found.contains("a picture was decoded"),
        "{found}"
    );
}
