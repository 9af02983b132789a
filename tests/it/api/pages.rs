//! The console's pages as they leave the service, and what stands behind their buttons. How they
//! behave in a browser is `browser`'s.

use serde_json::json;

use super::*;

impl Service {
    async fn page(&self, path: &str) -> String {
        let request = self.get(path).header("accept-language", "en");
        let response = request.send().await.expect("an answer");
        let status = response.status();
        let body = response.text().await.expect("text");
        assert_eq!(status, StatusCode::OK, "{path}: {body}");
        body
    }

    /// Makes an account, and a client with a token that acts beside it.
    async fn operator(&self, name: &str) -> String {
        let (account, who) = (name.parse().expect("an id"), Actor::service());
        let roles = Roles::only(Role::Operator);
        let added = self.store.add_account(&account, &roles, "no hash", &who);
        added.await.expect("it is committed");
        add_token(&self.store, name, Role::Operator).await
    }

    fn act(&self, token: &str, id: AlarmId, act: &str, body: Value) -> RequestBuilder {
        let url = format!("{}/api/v1/alarms/{id}/{act}", self.url);
        self.stranger.post(url).bearer_auth(token).json(&body)
    }
}

#[tokio::test]
async fn two_cannot_both_take_an_alarm_and_the_second_is_told_who_has_it() {
    let service = Service::start().await;
    let (li, wang) = (service.operator("li").await, service.operator("wang").await);
    let id = service.raise(&fall(MORNING_MS)).await;
    let take = |token: &str| service.act(token, id, "acknowledge", json!({}));
    for _ in 0..2 {
        let taken = take(&li).send().await.expect("an answer");
        assert_eq!(taken.status(), StatusCode::OK);
    }
    let refused = refusal(take(&wang), 409, "taken").await;
    assert_eq!(refused["holder"], "token:li");
    assert_eq!(
        refused["holder_name"], "token:li",
        "nobody has said otherwise"
    );
    let given = service
        .act(&li, id, "assign", json!({ "to": "wang" }))
        .send();
    let given: Value = given.await.expect("an answer").json().await.expect("JSON");
    assert_eq!(given["assigned_to"], "wang");
    assert_eq!(
        given["acknowledged_by"], "token:li",
        "who took it first stays known"
    );
    let refused = refusal(take(&li), 409, "taken").await;
    assert_eq!(refused["holder"], "wang");
    let account = "wang".parse().expect("an id");
    let admin = Actor::service();
    let called = service
        .store
        .set_display_name(&account, Some("王芳"), &admin);
    called.await.expect("committed");
    let refused = refusal(take(&li), 409, "taken").await;
    assert_eq!(
        (&refused["holder"], &refused["holder_name"]),
        (&json!("wang"), &json!("王芳"))
    );
    assert_eq!(refused["detail"], "王芳 has taken the alarm already.");
    refusal(
        service.act(&li, id, "assign", json!({ "to": "nobody" })),
        404,
        "not-found",
    )
    .await;
    let close = json!({ "disposition": "test" });
    service
        .act(&li, id, "close", close)
        .send()
        .await
        .expect("an answer");
    refusal(
        service.act(&li, id, "assign", json!({ "to": "li" })),
        409,
        "conflict",
    )
    .await;
}

#[tokio::test]
async fn assigning_takes_an_alarm_and_only_who_handles_alarms_can_have_one() {
    let service = Service::start().await;
    let li = service.operator("li").await;
    let auditor = ("chen".parse().expect("an id"), Roles::only(Role::Auditor));
    let added = service
        .store
        .add_account(&auditor.0, &auditor.1, "no hash", &Actor::service())
        .await;
    added.expect("it is committed");
    let id = service.raise(&fall(MORNING_MS)).await;
    refusal(
        service.act(&li, id, "assign", json!({ "to": "chen" })),
        404,
        "not-found",
    )
    .await;
    let given = service.act(&li, id, "assign", json!({ "to": "li" })).send();
    let given: Value = given.await.expect("an answer").json().await.expect("JSON");
    assert_eq!(given["state"], "acknowledged");
    let events = service.store.events_after(0, 10).await.expect("readable");
    let kinds: Vec<_> = events.iter().map(|event| event.kind.as_str()).collect();
    assert_eq!(
        kinds,
        ["alarm.raised", "alarm.acknowledged", "alarm.assigned"]
    );
    let detail = service
        .store
        .alarm(id)
        .await
        .expect("readable")
        .expect("an alarm");
    let told: Vec<_> = detail
        .deliveries
        .iter()
        .map(|delivery| delivery.event.as_str())
        .collect();
    assert_eq!(
        told,
        ["alarm.raised", "alarm.acknowledged"],
        "webhooks hear no talk"
    );
}

#[tokio::test]
async fn notes_are_kept_in_order_and_shown_as_text() {
    let service = Service::start().await;
    let li = service.operator("li").await;
    let id = service.raise(&fall(MORNING_MS)).await;
    for text in [" first ", "<script>alert(1)</script> & \"two\""] {
        let noted = service
            .act(&li, id, "notes", json!({ "text": text }))
            .send();
        assert_eq!(noted.await.expect("an answer").status(), StatusCode::OK);
    }
    for text in ["", "   ", &"梯".repeat(2001)] {
        refusal(
            service.act(&li, id, "notes", json!({ "text": text })),
            400,
            "bad-body",
        )
        .await;
    }
    let alarm = service.json(&format!("/api/v1/alarms/{id}")).await;
    assert_eq!(alarm["notes"][0]["text"], "first");
    assert_eq!(alarm["notes"].as_array().expect("a list").len(), 2);
    let page = service.page(&format!("/alarms/{id}")).await;
    assert!(!page.contains("<script>alert"), "{page}");
    assert!(page.contains("alert(1)"), "{page}");
}

#[tokio::test]
async fn the_board_shows_what_nobody_has_taken_before_camera_faults() {
    let service = Service::start().await;
    let first = service.raise(&fall(MORNING_MS)).await;
    let mut fault = fall(MORNING_MS + 10);
    fault.alarm.kind = AlarmKind::Shake;
    let fault = service.raise(&fault).await;
    let taken = service.raise(&ebike(MORNING_MS + 20)).await;
    let acknowledged = service
        .post(&format!("/api/v1/alarms/{taken}/acknowledge"))
        .send();
    acknowledged.await.expect("an answer");
    let board = service.page("/board").await;
    let at = |id: AlarmId| board.find(&format!("id=\"alarm-{id}\"")).expect("a card");
    assert!(at(first) < at(fault) && at(fault) < at(taken));
    assert!(board.contains("Floor 14 (13 to 15)") && board.contains("3号楼北面"));
    assert!(
        board.contains("data-seq=\"4\""),
        "the stream goes on from here"
    );
    let card = service.page(&format!("/board/alarms/{taken}")).await;
    assert!(
        card.starts_with("<article") && card.contains("token:tests"),
        "{card}"
    );
}

#[tokio::test]
async fn the_list_takes_what_a_form_sends_and_leafs_on() {
    let service = Service::start().await;
    for number in 0..60 {
        service.raise(&fall(MORNING_MS + number)).await;
    }
    service.raise(&ebike(MORNING_MS)).await;
    let list = service
        .page("/alarms?kind=falling_object&state=&site=&camera=&from=&to=")
        .await;
    assert_eq!(list.matches("<tr class=\"event\">").count(), 50);
    let next = list
        .split("href=\"/alarms?kind=falling_object&#38;cursor=")
        .nth(1);
    let next = next.or_else(|| {
        list.split("href=\"/alarms?kind=falling_object&amp;cursor=")
            .nth(1)
    });
    let cursor = next
        .expect("a next page")
        .split('"')
        .next()
        .expect("its end");
    let rest = service
        .page(&format!("/alarms?kind=falling_object&cursor={cursor}"))
        .await;
    assert_eq!(rest.matches("<tr class=\"event\">").count(), 10);
    let day = service
        .page("/alarms?from=2026-01-30&to=2026-02-01&camera=lift-2")
        .await;
    assert_eq!(day.matches("<tr class=\"event\">").count(), 1);
    assert!(
        service
            .page("/alarms?from=2027-01-01")
            .await
            .contains("No alarm fits")
    );
    for query in [
        "?from=yesterday",
        "?kind=fire",
        "?camra=north",
        "?cursor=%27",
    ] {
        let refused = service
            .get(&format!("/alarms{query}"))
            .header("accept", "text/html");
        let refused = refused.send().await.expect("an answer");
        assert_eq!(refused.status(), StatusCode::BAD_REQUEST, "{query}");
        assert_eq!(
            refused.headers()["content-type"],
            "text/html; charset=utf-8"
        );
    }
}

#[tokio::test]
async fn scripts_and_styles_are_sent_once() {
    let service = Service::start().await;
    let script = service
        .stranger
        .get(format!("{}/assets/board.js", service.url));
    let script = script.send().await.expect("an answer");
    assert_eq!(
        script.headers()["content-type"],
        "text/javascript; charset=utf-8"
    );
    let etag = script.headers()["etag"].clone();
    let again = service
        .stranger
        .get(format!("{}/assets/board.js", service.url));
    let again = again
        .header("if-none-match", etag)
        .send()
        .await
        .expect("an answer");
    assert_eq!(again.status(), StatusCode::NOT_MODIFIED);
    for path in ["nothing.js", "..%2F..%2FCargo.toml", "%2Fetc%2Fpasswd"] {
        let none = service
            .stranger
            .get(format!("{}/assets/{path}", service.url));
        refusal(none, 404, "not-found").await;
    }
}

#[tokio::test]
async fn a_display_name_is_shown_and_the_account_is_written_down() {
    let service = Service::start().await;
    let li = service.operator("li").await;
    service.operator("wang").await;
    let admin = add_token(&service.store, "admin", Role::Admin).await;
    let name = |account: &str, name: Value| {
        let url = format!("{}/api/v1/accounts/{account}/display-name", service.url);
        let request = service.stranger.post(url).bearer_auth(&admin);
        request.json(&json!({ "display_name": name }))
    };
    let named = name("li", json!(" 李娜 ")).send().await.expect("an answer");
    let named: Value = named.json().await.expect("JSON");
    let accounts = named["accounts"].as_array().expect("a list");
    let found = accounts.iter().find(|account| account["name"] == "li");
    assert_eq!(found.expect("it is there")["display_name"], "李娜");
    // Nobody looks like somebody else, or like nothing.
    refusal(name("wang", json!("李娜")), 409, "conflict").await;
    refusal(name("wang", json!("LI")), 409, "conflict").await;
    refusal(name("wang", json!("a\u{202E}b")), 400, "bad-body").await;
    refusal(name("wang", json!("x".repeat(65))), 400, "bad-body").await;
    refusal(name("nobody", json!("x")), 404, "not-found").await;

    let id = service.raise(&fall(MORNING_MS)).await;
    let given = service.act(&li, id, "assign", json!({ "to": "li" })).send();
    let given: Value = given.await.expect("an answer").json().await.expect("JSON");
    assert_eq!(given["assigned_to"], "li", "programs go by the account");
    let page = service.page("/board").await;
    assert!(
        page.contains("李娜") && page.contains("<option value=\"li\">李娜</option>"),
        "{page}"
    );
    let rows = service.store.audit_after(0, 100).await.expect("readable");
    let row = rows.iter().find(|row| row.action == "account.named");
    let row = row.expect("it is written down");
    assert_eq!(
        (row.object.as_str(), row.detail.as_deref()),
        ("li", Some("\"李娜\""))
    );
    let taken = name("li", Value::Null).send().await.expect("an answer");
    assert_eq!(taken.status(), StatusCode::OK);
    assert!(!service.page("/board").await.contains("李娜"));
}
