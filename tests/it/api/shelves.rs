//! Shelving over the API: who may shelve what, what is refused, and what the board and the list show.

use super::*;
use serde_json::json;

#[tokio::test]
async fn a_camera_is_shelved_shown_on_the_board_and_unshelved() {
    let service = Service::start().await;
    let body = json!({ "camera": "lift-2", "minutes": 60, "reason": "Inspection <b>" });
    let answer = service.post("/api/v1/shelves").json(&body).send().await;
    let shelf: Value = answer.expect("an answer").json().await.expect("JSON");
    assert_eq!(
        (&shelf["camera"], &shelf["begun_by"]),
        (&json!("lift-2"), &json!("token:tests"))
    );
    let id = service.raise(&ebike(MORNING_MS)).await;

    let page = |path: &'static str| async {
        let answer = service.get(path).send().await.expect("an answer");
        answer.text().await.expect("a page")
    };
    let board = page("/board").await;
    assert!(!board.contains(&id.to_string()), "it is not announced");
    assert!(board.contains("Elevator 2</strong>") && board.contains("Inspection &#60;b&#62;"));
    assert!(page("/alarms?shelved=yes").await.contains(&id.to_string()));
    assert!(!page("/alarms?shelved=no").await.contains(&id.to_string()));
    assert_eq!(
        service.json("/api/v1/alarms?shelved=true").await["alarms"][0]["shelf"],
        shelf["id"]
    );
    assert_eq!(
        service.json("/api/v1/shelves").await["open"][0]["alarms"],
        1
    );

    let path = format!("/api/v1/shelves/{}/end", shelf["id"]);
    let ended = service.post(&path).send().await.expect("an answer");
    assert_eq!(ended.status(), StatusCode::OK);
    let board = page("/board").await;
    assert!(board.contains(&id.to_string()), "it still goes on");
    assert!(!board.contains("Elevator 2</strong>"));
    let shelves = service.json("/api/v1/shelves").await;
    assert_eq!(shelves["ended"][0]["ended_by"], "token:tests");
    let events = service.store.events_after(0, 100).await.expect("events");
    let kinds: Vec<_> = events.iter().map(|event| event.kind.as_str()).collect();
    assert_eq!(
        kinds,
        [
            "shelf.begun",
            "alarm.raised",
            "alarm.unshelved",
            "shelf.ended"
        ]
    );
}

#[tokio::test]
async fn only_a_manager_shelves_a_kind_everywhere() {
    let service = Service::start().await;
    let token = add_token(&service.store, "desk", Role::Operator).await;
    let kind = json!({ "kind": "falling_object", "minutes": 15, "reason": "drill" });
    let path = format!("{}/api/v1/shelves", service.url);
    let ask = |body: &Value| service.stranger.post(&path).bearer_auth(&token).json(body);
    refusal(ask(&kind), 403, "not-allowed").await;
    let own =
        json!({ "camera": "north", "kind": "falling_object", "minutes": 15, "reason": "drill" });
    assert_eq!(
        ask(&own).send().await.expect("an answer").status(),
        StatusCode::OK
    );
    let manager = service.post("/api/v1/shelves").json(&kind);
    assert_eq!(
        manager.send().await.expect("an answer").status(),
        StatusCode::OK
    );
}

#[tokio::test]
async fn a_shelf_without_an_end_a_reason_or_a_thing_is_refused() {
    let service = Service::start().await;
    let post = |body: Value| service.post("/api/v1/shelves").json(&body);
    let wrong = [
        json!({ "minutes": 15, "reason": "x" }),
        json!({ "camera": "north", "minutes": 0, "reason": "x" }),
        json!({ "camera": "north", "minutes": 481, "reason": "x" }),
        json!({ "camera": "north", "minutes": u64::MAX, "reason": "x" }),
        json!({ "camera": "north", "minutes": 15, "reason": "  " }),
        json!({ "camera": "north", "minutes": 15, "reason": "x".repeat(201) }),
        json!({ "camera": "north", "minutes": 15 }),
        json!({ "camera": "north", "minutes": 15, "reason": "x", "for_good": true }),
    ];
    for body in wrong {
        refusal(post(body), 400, "bad-body").await;
    }
    let unknown = json!({ "camera": "nowhere", "minutes": 15, "reason": "x" });
    refusal(post(unknown), 404, "not-found").await;
    refusal(service.post("/api/v1/shelves/7/end"), 404, "not-found").await;
    refusal(service.post("/api/v1/shelves/x/end"), 400, "bad-id").await;
    refusal(
        service.get("/api/v1/alarms?shelved=maybe"),
        400,
        "bad-parameter",
    )
    .await;
}
