//! Alarms: lists, pages, filters, the whole of one, and what people do with them.

use std::collections::BTreeSet;

use serde_json::json;

use super::*;

#[tokio::test]
async fn a_thousand_alarms_come_in_pages_each_once_newest_first() {
    let service = Service::start().await;
    let mut raised = BTreeSet::new();
    for number in 0..1000 {
        // Ten alarms share each moment: only the id can tell them apart.
        let id = service.raise(&fall(MORNING_MS + number / 10)).await;
        raised.insert(id.to_string());
    }
    let (mut seen, mut times, mut path) = (BTreeSet::new(), Vec::new(), "?limit=70".to_owned());
    for page in 0.. {
        let body = service.json(&format!("/api/v1/alarms{path}")).await;
        for alarm in body["alarms"].as_array().expect("a list") {
            assert!(
                seen.insert(alarm["id"].as_str().expect("an id").to_owned()),
                "{alarm} twice"
            );
            times.push(alarm["raised_at_ms"].as_i64().expect("a time"));
        }
        // Alarms that are raised while somebody leafs do not move the pages.
        service.raise(&fall(MORNING_MS + 10_000 + page)).await;
        let Some(cursor) = body["next_cursor"].as_str() else {
            assert_eq!(page, 14, "1000 alarms are 15 pages of 70");
            break;
        };
        path = format!("?limit=70&cursor={cursor}");
    }
    assert_eq!(seen, raised);
    assert!(times.is_sorted_by(|newer, older| newer >= older));
}

#[tokio::test]
async fn filters_find_what_they_name() {
    let service = Service::start().await;
    let fallen = service.raise(&fall(MORNING_MS)).await.to_string();
    let ridden = service.raise(&ebike(MORNING_MS + 60_000)).await.to_string();
    service
        .post(&format!("/api/v1/alarms/{ridden}/acknowledge"))
        .send()
        .await
        .expect("an answer");
    let cases: [(&str, &[&str]); 13] = [
        ("", &[&ridden, &fallen]),
        ("?camera=north", &[&fallen]),
        ("?site=garden", &[&ridden, &fallen]),
        ("?site=elsewhere", &[]),
        ("?kind=ebike_in_elevator", &[&ridden]),
        ("?state=raised", &[&fallen]),
        ("?state=acknowledged", &[&ridden]),
        ("?min_score=0.7", &[&fallen]),
        ("?from=2026-01-31T10:00:00Z", &[&ridden, &fallen]),
        ("?from=2026-01-31T18:01:00%2B08:00", &[&ridden]),
        ("?to=2026-01-31T10:00:00Z", &[]),
        ("?to=2026-01-31T10:00:00.001Z", &[&fallen]),
        ("?kind=falling_object&camera=lift-2", &[]),
    ];
    for (query, expected) in cases {
        let body = service.json(&format!("/api/v1/alarms{query}")).await;
        let found = body["alarms"].as_array().expect("a list").iter();
        let found: Vec<&str> = found
            .map(|alarm| alarm["id"].as_str().expect("an id"))
            .collect();
        assert_eq!(found, expected, "{query}");
    }
}

#[tokio::test]
async fn one_alarm_is_told_whole() {
    let service = Service::start().await;
    let id = service.raise(&fall(MORNING_MS)).await;
    let alarm = service.json(&format!("/api/v1/alarms/{id}")).await;
    assert_eq!(alarm["kind"], "falling_object");
    assert_eq!(alarm["origin"]["floor"], 14);
    assert_eq!(alarm["track"][0]["at_s"], 7.1);
    assert_eq!(alarm["track"][0]["height_px"], 11.0);
    assert_eq!(alarm["raised_at_ms"], MORNING_MS);
    assert_eq!(alarm["deliveries"][0]["endpoint"], "pager");
    assert_eq!(alarm["deliveries"][0]["event"], "alarm.raised");
    assert_eq!(alarm["evidence"], "pending");
}

#[tokio::test]
async fn an_alarm_is_acknowledged_and_then_closed_once() {
    let service = Service::start().await;
    let id = service.raise(&fall(MORNING_MS)).await;
    let path = |verb: &str| format!("/api/v1/alarms/{id}/{verb}");
    for _ in 0..2 {
        let response = service
            .post(&path("acknowledge"))
            .send()
            .await
            .expect("an answer");
        let alarm: Value = response.json().await.expect("JSON");
        assert_eq!(alarm["state"], "acknowledged");
        assert_eq!(alarm["acknowledged_by"], "token:tests");
    }
    let closing = json!({ "disposition": "false_alarm", "note": " a bird \n" });
    let response = service
        .post(&path("close"))
        .json(&closing)
        .send()
        .await
        .expect("an answer");
    let alarm: Value = response.json().await.expect("JSON");
    assert_eq!(alarm["state"], "closed");
    assert_eq!(alarm["disposition"], "false_alarm");
    assert_eq!(alarm["note"], "a bird");
    let other = json!({ "disposition": "confirmed" });
    let problem = refusal(service.post(&path("close")).json(&other), 409, "conflict").await;
    assert!(
        problem["detail"]
            .as_str()
            .expect("text")
            .contains("closed already"),
        "{problem}"
    );
    refusal(service.post(&path("acknowledge")), 409, "conflict").await;
}

#[tokio::test]
async fn cameras_come_with_their_health_and_last_alarm() {
    let service = Service::start().await;
    let camera = CameraId::parse("north").expect("an id");
    service.board.update(&camera, |health| {
        health.link = plumb::health::Link::Online;
        health.faults = vec!["shake".to_owned()];
    });
    service.raise(&fall(MORNING_MS)).await;
    let newest = service.raise(&fall(MORNING_MS + 5)).await;
    let list = service.json("/api/v1/cameras").await;
    assert_eq!(list["cameras"][0]["id"], "north");
    assert_eq!(list["cameras"][0]["name"], "3号楼北面");
    assert_eq!(list["cameras"][0]["health"]["link"], "online");
    // Configured and not heard of yet.
    assert_eq!(list["cameras"][1]["health"]["link"], "connecting");
    let one = service.json("/api/v1/cameras/north").await;
    assert_eq!(one["health"]["faults"], json!(["shake"]));
    assert_eq!(one["last_alarm"]["id"], newest.to_string());
    assert_eq!(
        service.json("/api/v1/cameras/lift-2").await["last_alarm"],
        Value::Null
    );
}

#[tokio::test]
async fn a_dead_letter_is_listed_and_sent_again() {
    use plumb::store::{Attempt, Outcome};
    let service = Service::start().await;
    service.raise(&fall(MORNING_MS)).await;
    let heads = service
        .store
        .heads(&pager().endpoint, &[])
        .await
        .expect("readable");
    let id = heads[0].id.clone();
    let retry = format!("/api/v1/deliveries/{id}/retry");
    refusal(service.post(&retry), 409, "conflict").await;
    let dead = Attempt {
        delivery: id.clone(),
        at_ms: MORNING_MS + 10,
        duration_ms: 3,
        status: Some(500),
        error: Some("the endpoint answered 500".to_owned()),
        outcome: Outcome::Dead,
    };
    service
        .store
        .finish_attempt(&dead)
        .await
        .expect("it is committed");
    let list = service.json("/api/v1/deliveries?state=dead").await;
    assert_eq!(list["deliveries"][0]["id"], id.as_str());
    assert_eq!(
        list["deliveries"][0]["last_error"],
        "the endpoint answered 500"
    );
    assert_eq!(list["outbox"][0]["dead"], 1);
    let response = service.post(&retry).send().await.expect("an answer");
    assert_eq!(
        response.json::<Value>().await.expect("JSON")["state"],
        "pending"
    );
    let list = service.json("/api/v1/deliveries").await;
    assert_eq!(list["deliveries"], json!([]));
    assert_eq!(list["outbox"][0]["pending"], 1);
}
