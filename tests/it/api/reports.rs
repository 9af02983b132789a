//! The acceptance table over the API and as a file.

use plumb::report::inventory::{CameraEntry, Elevator, Inventory, SiteEntry};

use super::*;

/// Returns a garden with the cameras of all API tests, one elevator of which no camera watches.
pub(super) fn inventory() -> Inventory {
    let site = SiteId::parse("garden").expect("an id");
    let elevator = |id: &str, name: &str| Elevator {
        id: id.to_owned(),
        site: site.clone(),
        name: name.to_owned(),
    };
    let entry = |info: CameraInfo, watches: Option<&str>| CameraEntry {
        id: info.id,
        site: info.site,
        name: info.name,
        kind: info.kind,
        watches: watches.map(str::to_owned),
        code: None,
        place: None,
    };
    let mut cameras = cameras().into_iter();
    let (north, lift) = (cameras.next().expect("one"), cameras.next().expect("two"));
    Inventory {
        sites: vec![SiteEntry {
            id: site.clone(),
            name: "Garden".to_owned(),
            civil_code: None,
        }],
        buildings: Vec::new(),
        elevators: vec![elevator("e2", "Elevator 2"), elevator("e3", "=1+1")],
        cameras: vec![entry(north, None), entry(lift, Some("e2"))],
    }
}

fn figure<'a>(table: &'a Value, figure: &str) -> &'a Value {
    let rates = table["sites"][0]["rates"].as_array().expect("rates");
    let mut rates = rates.iter();
    rates
        .find(|rate| rate["figure"] == figure)
        .expect("it is there")
}

const DAY: Duration = Duration::from_secs(24 * 3600);

#[tokio::test]
async fn the_table_counts_stored_faults_and_rides() {
    let clock = crate::store::clock();
    let service = Service::start_on(Limits::default(), Arc::clone(&clock) as _).await;
    let run = service.store.begin_run().await.expect("committed");
    clock.advance(31 * DAY);
    service.store.beat(run).await.expect("committed");
    let now_ms = clock.now().as_millisecond();
    // A tenth of the last 30 days without a picture.
    let mut blind = fall(now_ms - 10 * 24 * 3_600_000);
    blind.alarm.kind = AlarmKind::NoPicture;
    service.raise(&blind).await;
    let end = crate::store::end_of(&blind, 3 * 24 * 3_600_000);
    service.store.end(&end).await.expect("committed");
    service.raise(&ebike(now_ms - 3_600_000)).await;
    service
        .board
        .update(&CameraId::parse("lift-2").expect("an id"), |health| {
            health.link = plumb::health::Link::Online;
        });

    let table = service.json("/api/v1/reports/acceptance").await;
    let online = figure(&table, "online");
    assert_eq!(online["denominator"], 2.0 * 720.0);
    let numerator = online["numerator"].as_f64().expect("a number");
    assert!((numerator - (720.0 + 648.0)).abs() < 0.1, "{numerator}");
    let elevators = figure(&table, "elevators");
    assert_eq!(elevators["numerator"], 1.0);
    assert_eq!(
        elevators["items"][1]["gaps"],
        serde_json::json!(["no_camera"])
    );
    assert_eq!(table["sites_with_ebike_alarm"], 1);

    let csv = service.get("/api/v1/reports/acceptance.csv");
    let csv = csv
        .header("accept-language", "en")
        .send()
        .await
        .expect("an answer");
    assert_eq!(csv.headers()["content-type"], "text/csv; charset=utf-8");
    let text = csv.text().await.expect("text");
    assert!(
        text.contains("\"Garden\",\"15 Elevators watched and tested\",\"'=1+1\""),
        "{text}"
    );
    let bad = service.get("/api/v1/reports/acceptance?from=2027-01-01T00:00:00Z");
    refusal(bad, 400, "bad-parameter").await;
}

#[tokio::test]
async fn hours_in_which_the_service_did_not_run_are_named_and_not_counted() {
    let clock = crate::store::clock();
    let service = Service::start_on(Limits::default(), Arc::clone(&clock) as _).await;
    let first = service.store.begin_run().await.expect("committed");
    clock.advance(11 * DAY);
    service.store.beat(first).await.expect("committed");
    // Two days off. What is wrong with a camera meanwhile nobody knows.
    clock.advance(2 * DAY);
    let second = service.store.begin_run().await.expect("committed");
    clock.advance(18 * DAY);
    service.store.beat(second).await.expect("committed");
    // Within a beat it goes on.
    clock.advance(Duration::from_secs(50));

    let table = service.json("/api/v1/reports/acceptance").await;
    assert_eq!(table["hours"], 720.0, "{table}");
    assert_eq!(table["watched_hours"], 672.0);
    let unwatched = table["unwatched"].as_array().expect("a list");
    assert_eq!(unwatched.len(), 1);
    let length = |span: &Value| span["to_ms"].as_i64().zip(span["from_ms"].as_i64());
    let length = length(&unwatched[0]).map(|(to, from)| to - from);
    assert_eq!(length, Some(2 * 24 * 3_600_000));
    assert_eq!(figure(&table, "online")["items"][0]["of"], 672.0);

    let english = |path: &str| service.get(path).header("accept-language", "en").send();
    let csv = english("/api/v1/reports/acceptance.csv")
        .await
        .expect("an answer");
    let csv = csv.text().await.expect("text");
    let line = csv.lines().nth(1).expect("a line");
    assert!(
        line.starts_with("\"\",\"Nobody watched\",\"2026-01-") && line.contains("\"48\""),
        "{csv}"
    );

    let page = english("/reports?period=last_30_days")
        .await
        .expect("an answer");
    let page = page.text().await.expect("text");
    assert!(page.contains("In the other 48 h nobody watched"), "{page}");
    // The file is of the same time as the page.
    let csv = page.split("acceptance.csv?").nth(1).expect("a link");
    let csv = csv
        .split('"')
        .next()
        .expect("its address")
        .replace("&amp;", "&")
        .replace("&#38;", "&");
    let same = english(&format!("/api/v1/reports/acceptance.csv?{csv}"))
        .await
        .expect("an answer");
    let same = same.text().await.expect("text");
    assert!(same.contains("Nobody watched"), "{same}");
}

#[tokio::test]
async fn the_page_is_of_the_days_that_were_chosen() {
    let clock = crate::store::clock();
    let service = Service::start_on(Limits::default(), Arc::clone(&clock) as _).await;
    clock.advance(40 * DAY);
    let page = |query: &'static str| {
        let request = service.get(&format!("/reports?{query}"));
        request.header("accept-language", "en").send()
    };
    let month = page("period=last_month").await.expect("an answer");
    assert_eq!(month.status(), StatusCode::OK);
    let month = month.text().await.expect("text");
    assert!(
        month.contains("value=\"2026-01-01\"") && month.contains("value=\"2026-01-31\""),
        "{month}"
    );
    let days = page("from=2026-01-10&to=2026-01-12&period=days")
        .await
        .expect("an answer");
    let days = days.text().await.expect("text");
    assert!(
        days.contains("<option value=\"days\" selected>") && days.contains("value=\"2026-01-12\""),
        "{days}"
    );
    let backwards = page("from=2026-01-12&to=2026-01-10")
        .await
        .expect("an answer");
    assert_eq!(backwards.status(), StatusCode::UNPROCESSABLE_ENTITY);
    let backwards = backwards.text().await.expect("text");
    assert!(backwards.contains("Choose a first day"), "{backwards}");
    let nonsense = page("period=ever").await.expect("an answer");
    assert_eq!(nonsense.status(), StatusCode::BAD_REQUEST);
}
