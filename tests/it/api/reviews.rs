//! The review over the API and its pages: marks, filters, and what they refuse.

use serde_json::json;

use super::*;

#[tokio::test]
async fn marks_are_counted_and_nonsense_is_refused() {
    let service = Service::start().await;
    let fall_id = service.raise(&fall(MORNING_MS)).await;
    let ride_id = service.raise(&ebike(MORNING_MS + 1000)).await;
    let mark = |alarms: Value| {
        service
            .post("/api/v1/reviews")
            .json(&json!({ "alarms": alarms }))
    };
    let marked = mark(json!([fall_id])).send().await.expect("an answer");
    let marked: Value = marked.json().await.expect("JSON");
    assert_eq!(marked, json!({ "marked": 1, "unreviewed": 1 }));
    let again = mark(json!([fall_id, ride_id]))
        .send()
        .await
        .expect("an answer");
    let again: Value = again.json().await.expect("JSON");
    assert_eq!(again, json!({ "marked": 1, "unreviewed": 0 }));
    let unknown = mark(json!(["019a0b1c-7d2e-7f00-8a00-0123456789ab"]));
    refusal(unknown, 404, "not-found").await;
    refusal(mark(json!(["x"])), 400, "bad-body").await;
    refusal(mark(json!(vec![fall_id; 201])), 400, "bad-body").await;
}

#[tokio::test]
async fn lists_are_narrowed_by_place_floor_and_disposition() {
    let service = Service::start().await;
    let id = service.raise(&fall(MORNING_MS)).await;
    service.raise(&ebike(MORNING_MS + 1000)).await;
    let closing = json!({ "disposition": "false_alarm" });
    let closed = service
        .post(&format!("/api/v1/alarms/{id}/close"))
        .json(&closing);
    assert_eq!(
        closed.send().await.expect("an answer").status(),
        StatusCode::OK
    );
    for (query, count) in [
        ("place=Building%203", 1),
        ("place=Building%203%27%20OR%201=1--", 0),
        ("floor=14", 1),
        ("floor=13", 0),
        ("disposition=false_alarm", 1),
        ("disposition=confirmed", 0),
        ("place=Elevator%202&kind=ebike_in_elevator", 1),
    ] {
        let found = service.json(&format!("/api/v1/alarms?{query}")).await;
        let alarms = found["alarms"].as_array().expect("a list");
        assert_eq!(alarms.len(), count, "{query}");
        let page = service.get(&format!("/review?{query}")).send().await;
        let page = page.expect("an answer").text().await.expect("text");
        assert_eq!(
            page.matches("<tr class=\"event").count(),
            count,
            "{query}: {page}"
        );
    }
    refusal(
        service.get("/api/v1/alarms?floor=top"),
        400,
        "bad-parameter",
    )
    .await;
    refusal(
        service.get("/api/v1/alarms?disposition=maybe"),
        400,
        "bad-parameter",
    )
    .await;
}

#[tokio::test]
async fn the_alarm_page_leads_to_its_neighbours_within_the_filter() {
    let service = Service::start().await;
    let old = service.raise(&fall(MORNING_MS)).await;
    service.raise(&ebike(MORNING_MS + 1000)).await;
    let new = service.raise(&fall(MORNING_MS + 2000)).await;
    let page = |path: String| {
        let request = service.get(&path).header("accept-language", "en");
        async {
            let answer = request.send().await.expect("an answer");
            answer.text().await.expect("text")
        }
    };
    let narrow = page(format!("/alarms/{new}?kind=falling_object")).await;
    assert!(
        narrow.contains(&format!("href=\"/alarms/{old}?kind=falling_object\"")),
        "{narrow}"
    );
    assert!(
        !narrow.contains("id=\"newer\"") && narrow.contains("href=\"/review?kind=falling_object\"")
    );
    let wide = page(format!("/alarms/{old}")).await;
    assert!(
        wide.contains("id=\"newer\"") && !wide.contains("id=\"older\""),
        "{wide}"
    );
    for path in [
        "/review?month=2026-02",
        "/review/places?days=90",
        "/review/trends?days=365&site=garden",
    ] {
        let shown = service.get(path).send().await.expect("an answer");
        assert_eq!(shown.status(), StatusCode::OK, "{path}");
    }
    for path in [
        "/review?month=2026-13",
        "/review/trends?days=31",
        "/review?kind=fire",
    ] {
        let refused = service.get(path).send().await.expect("an answer");
        assert_eq!(refused.status(), StatusCode::BAD_REQUEST, "{path}");
    }
}
