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

#[tokio::test]
async fn the_table_counts_stored_faults_and_rides() {
    let clock = crate::store::clock();
    let service = Service::start_on(Limits::default(), Arc::clone(&clock) as _).await;
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
