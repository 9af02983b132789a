//! Exports over the API: asked for, decided by a person, downloaded by whoever asked.

use plumb::store::{AuditOutcome, Decision, TicketId};
use tokio_util::sync::CancellationToken;

use super::*;

fn asking(id: AlarmId) -> Value {
    serde_json::json!({ "reason": "police, case 7", "scope": { "alarms": [id.to_string()] } })
}

#[tokio::test]
async fn what_is_asked_for_wrongly_is_refused_with_what_to_do() {
    let service = Service::start().await;
    let id = service.raise(&fall(MORNING_MS)).await;
    let ask = |change: &dyn Fn(&mut Value)| {
        let mut body = asking(id);
        change(&mut body);
        service.post("/api/v1/exports").json(&body)
    };
    refusal(ask(&|body| body["reason"] = " ".into()), 400, "bad-body").await;
    refusal(ask(&|body| body["days"] = 31.into()), 400, "bad-body").await;
    refusal(
        ask(&|body| body["treatment"] = "none".into()),
        400,
        "bad-body",
    )
    .await;
    let none = ask(&|body| body["scope"] = serde_json::json!({ "alarms": [] }));
    refusal(none, 409, "conflict").await;
    let scope = serde_json::json!({ "camera": { "camera": "north", "from_ms": 5, "to_ms": 5 } });
    refusal(ask(&|body| body["scope"] = scope.clone()), 400, "bad-body").await;
    let other = AlarmId::new(Timestamp::UNIX_EPOCH).to_string();
    let unknown = ask(&|body| body["scope"] = serde_json::json!({ "alarms": [other] }));
    refusal(unknown, 404, "not-found").await;
    refusal(service.get("/api/v1/exports/x/bundle"), 400, "bad-id").await;
    refusal(service.get("/api/v1/exports/9/bundle"), 404, "not-found").await;
    assert_eq!(
        service.json("/api/v1/exports").await["tickets"],
        serde_json::json!([])
    );
}

#[tokio::test]
async fn a_bundle_is_downloaded_by_its_asker_alone_and_until_it_expires() {
    let clock = crate::store::clock();
    let service = Service::start_on(Limits::default(), Arc::clone(&clock) as _).await;
    let folder = service.folder.path();
    let new = crate::exports::alarm_with_clip(&service.store, folder, &clock).await;
    let asked = service.post("/api/v1/exports").json(&asking(new.id));
    let asked: Value = asked
        .send()
        .await
        .expect("an answer")
        .json()
        .await
        .expect("JSON");
    assert_eq!(
        (&asked["state"], &asked["treatment"]),
        (&"asked".into(), &"protected".into())
    );
    let number = asked["id"].as_i64().expect("a number");
    // A program decides on nothing: its token may be somebody's second name.
    let approve = service.post(&format!("/api/v1/exports/{number}/approve"));
    refusal(approve.json(&serde_json::json!({})), 409, "conflict").await;

    let boss = Actor::account("wang");
    let approved = service
        .store
        .decide(TicketId(number), Decision::Approved, None, &boss);
    approved.await.expect("it is committed");
    let bundle = format!("/api/v1/exports/{number}/bundle");
    refusal(service.get(&bundle), 409, "conflict").await;
    let bundler = crate::exports::bundler(folder, &clock, &service.store);
    let made = bundler.turn(&CancellationToken::new()).await;
    made.expect("the store works");

    let other = add_token(&service.store, "other", Role::Manager).await;
    let other = client(Some(&other)).get(format!("{}{bundle}", service.url));
    refusal(other, 409, "conflict").await;
    let own = service.get(&bundle).send().await.expect("an answer");
    assert_eq!(own.status(), StatusCode::OK);
    assert_eq!(own.headers()["content-type"], "application/zip");
    let named = format!("attachment; filename=\"plumb-E-{number}.zip\"");
    assert_eq!(own.headers()["content-disposition"], named.as_str());
    let digest = own.headers()["etag"].to_str().expect("text").to_owned();
    let bytes = own.bytes().await.expect("a body");
    let listed = service.json("/api/v1/exports").await;
    let ticket = &listed["tickets"][0];
    assert_eq!(ticket["size_bytes"], bytes.len());
    assert_eq!(
        digest,
        format!("\"{}\"", ticket["sha256"].as_str().expect("text"))
    );
    assert_eq!(ticket["downloads"], 1);
    let deeds = service.store.audit_after(0, 500).await.expect("readable");
    let downloads = deeds.iter().filter(|row| row.action == "export.downloaded");
    let downloads: Vec<_> = downloads
        .map(|row| (row.who.as_str(), row.outcome))
        .collect();
    assert_eq!(
        downloads,
        [
            ("token:other", AuditOutcome::Refused),
            ("token:tests", AuditOutcome::Done)
        ]
    );

    clock.advance(Duration::from_secs(8 * 24 * 3600));
    refusal(service.get(&bundle), 409, "conflict").await;
}

#[tokio::test]
async fn an_operator_sees_their_own_tickets_and_a_manager_all() {
    let service = Service::start().await;
    let id = service.raise(&fall(MORNING_MS)).await;
    for _ in 0..2 {
        let asked = service
            .post("/api/v1/exports")
            .json(&asking(id))
            .send()
            .await;
        assert_eq!(asked.expect("an answer").status(), StatusCode::OK);
    }
    let operator = add_token(&service.store, "guard", Role::Operator).await;
    let seen = client(Some(&operator)).get(format!("{}/api/v1/exports", service.url));
    let seen: Value = seen
        .send()
        .await
        .expect("an answer")
        .json()
        .await
        .expect("JSON");
    assert_eq!(seen["tickets"], serde_json::json!([]));
    let all = service.json("/api/v1/exports").await;
    assert_eq!(all["tickets"].as_array().map(Vec::len), Some(2));
}
