//! What is looked at is written down, and auditors read it.

use plumb::store::{EvidenceFile, EvidenceReport, EvidenceState};
use serde_json::json;

use super::*;

impl Service {
    async fn alarm_with_evidence(&self) -> AlarmId {
        let id = self.raise(&fall(MORNING_MS)).await;
        let root = self.evidence_root();
        let file = |name: &str, bytes: &[u8]| EvidenceFile {
            name: name.to_owned(),
            media_type: "image/jpeg".to_owned(),
            size_bytes: bytes.len() as u64,
            sha256: write_evidence(&root, "day", name, bytes),
        };
        let report = EvidenceReport {
            state: EvidenceState::Ready,
            folder: Some("day".to_owned()),
            files: vec![file("snapshot.jpg", b"one"), file("strobe.jpg", b"two")],
            reason: None,
        };
        let attached = self.store.attach_evidence(id, &report).await;
        attached.expect("it is committed");
        id
    }

    async fn as_role(&self, role: Role, path: &str) -> reqwest::Response {
        let name = format!("{role}-{}", rand::random::<u32>());
        let token = add_token(&self.store, &name, role).await;
        let request = self.stranger.get(format!("{}{path}", self.url));
        request.bearer_auth(token).send().await.expect("an answer")
    }
}

#[tokio::test]
async fn a_look_at_evidence_is_written_down_once_in_a_while() {
    let service = Service::start().await;
    let id = service.alarm_with_evidence().await;
    let path = |name: &str| format!("/api/v1/alarms/{id}/evidence/{name}");
    for name in ["snapshot.jpg", "snapshot.jpg", "strobe.jpg", "nothing.jpg"] {
        service.get(&path(name)).send().await.expect("an answer");
    }
    let refused = service
        .as_role(Role::Maintainer, &path("snapshot.jpg"))
        .await;
    assert_eq!(refused.status(), StatusCode::FORBIDDEN);
    let list = service
        .as_role(Role::Auditor, "/api/v1/audit?limit=500")
        .await;
    let list: Value = list.json().await.expect("JSON");
    let rows = list["rows"].as_array().expect("a list");
    let seen: Vec<_> = rows
        .iter()
        .filter(|row| row["action"] == "evidence.seen")
        .collect();
    let objects: Vec<_> = seen.iter().map(|row| row["object"].clone()).collect();
    let object = |name: &str| json!(format!("{id}/evidence/{name}"));
    assert_eq!(objects, [object("strobe.jpg"), object("snapshot.jpg")]);
    assert_eq!(seen[0]["who"], "token:tests");
    assert_eq!(seen[0]["detail"], "from 127.0.0.1");
    let refused: Vec<_> = rows
        .iter()
        .filter(|row| row["outcome"] == "refused")
        .collect();
    assert_eq!(refused.len(), 1);
    assert_eq!(refused[0]["object"], path("snapshot.jpg"));
}

#[tokio::test]
async fn a_board_is_one_look_for_an_alarm_and_a_session_and_hides_no_other() {
    let clock = Arc::new(plumb::clock::DrivenClock::new(
        Timestamp::from_millisecond(MORNING_MS).expect("in range"),
    ));
    let service = Service::start_on(Limits::default(), Arc::clone(&clock) as _).await;
    let id = service.alarm_with_evidence().await;
    let told = service.add("li.na", "operator").await;
    let account = "li.na".parse().expect("an id");
    let hash = plumb::auth::password::hash("a good pass phrase");
    let (kind, who) = (plumb::store::PasswordKind::Own, Actor::service());
    let set = service.store.set_password(&account, &hash, kind, &who);
    set.await.expect("committed");
    assert!(!told.is_empty());
    let session = || async {
        let answer = service.sign_in("li.na", "a good pass phrase").await;
        super::people::cookie(&answer)
    };
    let look = |session: String, rest: &'static str| {
        let path = format!("/api/v1/alarms/{id}/evidence/{rest}");
        let service = &service;
        async move { service.with(Method::GET, &path, &session).await.status() }
    };
    let first = session().await;
    // A shift of board: opened again every 20 min.
    for _ in 0..9 {
        let status = look(first.clone(), "snapshot.jpg?for=board").await;
        assert_eq!(status, StatusCode::OK);
        clock.advance(Duration::from_secs(20 * 60));
    }
    let rows = || service.deeds("board.seen");
    assert_eq!(rows().await.len(), 1);
    assert_eq!(rows().await[0].who, "li.na");
    assert_eq!(
        rows().await[0].object,
        format!("{id}/evidence/snapshot.jpg")
    );
    // What somebody means to see is another look, also where a board has shown it, and nothing but the
    // snapshot is for a board.
    look(first.clone(), "snapshot.jpg").await;
    look(first.clone(), "strobe.jpg?for=board").await;
    clock.advance(Duration::from_secs(11 * 60));
    look(first.clone(), "strobe.jpg?for=board").await;
    assert_eq!(service.deeds("evidence.seen").await.len(), 3);
    let nonsense = look(first, "snapshot.jpg?for=fun").await;
    assert_eq!(nonsense, StatusCode::BAD_REQUEST);
    // Who signs in again is written down again.
    let next = session().await;
    look(next, "snapshot.jpg?for=board").await;
    assert_eq!(rows().await.len(), 2);
}

#[tokio::test]
async fn what_cannot_be_written_down_is_not_shown() {
    use sqlx::Connection;
    let service = Service::start().await;
    let id = service.alarm_with_evidence().await;
    let url = format!("sqlite://{}", service.store.path().display());
    let mut other = sqlx::SqliteConnection::connect(&url)
        .await
        .expect("the same file");
    let locked = sqlx::query("BEGIN IMMEDIATE").execute(&mut other).await;
    locked.expect("the write lock");
    let file = service.get(&format!("/api/v1/alarms/{id}/evidence/strobe.jpg"));
    refusal(file, 503, "store-down").await;
}

#[tokio::test]
async fn auditors_leaf_through_the_log_and_take_checkpoints() {
    let service = Service::start().await;
    for number in 0..7 {
        service.raise(&fall(MORNING_MS + number)).await;
    }
    let mut seen = Vec::new();
    let mut path = "/api/v1/audit?action=alarm.raised&limit=3".to_owned();
    for _ in 0..3 {
        let page: Value = service
            .as_role(Role::Auditor, &path)
            .await
            .json()
            .await
            .expect("JSON");
        let rows = page["rows"].as_array().expect("a list");
        seen.extend(
            rows.iter()
                .map(|row| row["seq"].as_i64().expect("a number")),
        );
        let Some(before) = page["next_before"].as_i64() else {
            break;
        };
        path = format!("/api/v1/audit?action=alarm.raised&limit=3&before={before}");
    }
    assert_eq!(seen.len(), 7);
    assert!(seen.is_sorted_by(|newer, older| newer > older), "{seen:?}");
    let signed = service
        .as_role(Role::Auditor, "/api/v1/audit/checkpoint")
        .await;
    let signed: plumb::audit::Checkpoint = signed.json().await.expect("a checkpoint");
    assert!(signed.is_signed() && signed.seq > 7);
    for (query, slug) in [
        ("?before=0", "bad-parameter"),
        ("?limit=501", "bad-parameter"),
        ("?whom=li", "unknown-parameter"),
    ] {
        let token = add_token(&service.store, &format!("q{}", query.len()), Role::Auditor).await;
        let request = service
            .stranger
            .get(format!("{}/api/v1/audit{query}", service.url));
        refusal(request.bearer_auth(token), 400, slug).await;
    }
    let odd = service
        .as_role(Role::Auditor, "/api/v1/audit?who=x%27%20OR%201%3D1--")
        .await;
    let odd: Value = odd.json().await.expect("JSON");
    assert_eq!(odd["rows"], json!([]));
}
