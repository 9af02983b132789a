//! Delivery: what a receiver gets, in which order, and what happens when it misbehaves.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use hmac::{Hmac, KeyInit, Mac};
use plumb::alarm::AlarmKind;
use plumb::clock::{Clock, DrivenClock, SystemClock};
use plumb::deliver::webhook::BODY_SIZE_BYTES_MAX;
use plumb::deliver::{Alarms, Client, Delivering, EndpointConfig, Kept, Outbox, send_test};
use plumb::id::EndpointId;
use plumb::store::{
    Actor, AlarmFilter, DeliveryState, Disposition, EventKind, EvidenceReport, EvidenceState, Store,
};
use serde_json::Value;
use sqlx::{Connection, SqliteConnection};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use wiremock::matchers::{body_string_contains, method, path};
use wiremock::{Mock, MockServer, Request, ResponseTemplate};

use crate::store::{clock, end_of, fall, full_store, large};

const KEY: &[u8; 24] = b"a key of 24 secret bytes";

pub(crate) fn endpoint(id: &str, url: &str) -> EndpointConfig {
    let secret = format!(
        "whsec_{}",
        base64::engine::general_purpose::STANDARD.encode(KEY)
    );
    EndpointConfig {
        id: EndpointId::parse(id).expect("an id"),
        url: url.parse().expect("a URL"),
        secrets: vec![secret.parse().expect("a secret")],
        kinds: Vec::new(),
        sites: Vec::new(),
        min_score: 0.0,
        hears: plumb::store::Hears::Alarms,
        shelved: plumb::store::Shelved::Held,
        timeout: Duration::from_secs(2),
    }
}

pub(crate) fn delivering(endpoints: Vec<EndpointConfig>, clock: Arc<dyn Clock>) -> Delivering {
    Delivering {
        endpoints: endpoints.into(),
        client: Client::open(Arc::clone(&clock)).expect("a client"),
        public_url: "https://plumb.example/".parse().expect("a URL"),
        clock,
    }
}

/// A store with its outbox running, and the clock that both go by.
struct Service {
    store: Store,
    delivering: Delivering,
    clock: Arc<DrivenClock>,
    _outbox: Outbox,
    _folder: tempfile::TempDir,
}

async fn service(endpoints: Vec<EndpointConfig>) -> Service {
    let folder = tempfile::tempdir().expect("a folder");
    let clock = clock();
    let delivering = delivering(endpoints, Arc::clone(&clock) as _);
    let store = Store::open(folder.path(), delivering.routes(), Arc::clone(&clock) as _)
        .await
        .expect("a store");
    let outbox = Outbox::start(&store, &delivering);
    Service {
        store,
        delivering,
        clock,
        _outbox: outbox,
        _folder: folder,
    }
}

impl Service {
    async fn raise(&self, camera: &str) -> plumb::id::AlarmId {
        let new = fall(camera, self.clock.now());
        self.store.raise(&new).await.expect("a committed alarm")
    }

    /// Waits until the alarm's deliveries are in these states.
    async fn until_states(&self, alarm: plumb::id::AlarmId, states: &[DeliveryState]) {
        until(&format!("deliveries in {states:?}"), async || {
            let detail = self
                .store
                .alarm(alarm)
                .await
                .expect("a read")
                .expect("the alarm");
            detail
                .deliveries
                .iter()
                .map(|d| d.state)
                .collect::<Vec<_>>()
                == states
        })
        .await;
    }

    /// Waits until the alarm's only delivery was tried `attempts` times.
    async fn until_attempts(&self, alarm: plumb::id::AlarmId, attempts: usize) {
        until(&format!("{attempts} attempts"), async || {
            let detail = self
                .store
                .alarm(alarm)
                .await
                .expect("a read")
                .expect("the alarm");
            detail.deliveries[0].log.len() >= attempts
        })
        .await;
    }
}

/// Looks until it is so; fails the test after 20 s.
async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let looking = async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), looking)
        .await
        .unwrap_or_else(|_| panic!("waited too long for {what}"));
}

async fn receiver(status: u16) -> MockServer {
    let server = MockServer::start().await;
    Mock::given(method("POST"))
        .respond_with(ResponseTemplate::new(status))
        .mount(&server)
        .await;
    server
}

async fn received(server: &MockServer) -> Vec<Request> {
    server.received_requests().await.expect("recording is on")
}

fn text<'a>(request: &'a Request, header: &str) -> &'a str {
    request
        .headers
        .get(header)
        .expect("the header")
        .to_str()
        .expect("text")
}

fn json(request: &Request) -> Value {
    serde_json::from_slice(&request.body).expect("a JSON body")
}

#[tokio::test]
async fn an_alarm_arrives_signed_with_links_to_its_pictures() {
    let server = receiver(204).await;
    let service = service(vec![endpoint("desk", &server.uri())]).await;
    let id = service.raise("facade-1").await;
    service.until_states(id, &[DeliveryState::Delivered]).await;
    let requests = received(&server).await;
    assert_eq!(requests.len(), 1);
    let request = &requests[0];

    let signed = format!(
        "{}.{}.{}",
        text(request, "webhook-id"),
        text(request, "webhook-timestamp"),
        String::from_utf8_lossy(&request.body)
    );
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(KEY).unwrap();
    mac.update(signed.as_bytes());
    let expected = base64::engine::general_purpose::STANDARD.encode(mac.finalize().into_bytes());
    assert_eq!(text(request, "webhook-signature"), format!("v1,{expected}"));
    assert_eq!(text(request, "content-type"), "application/json");

    let body = json(request);
    assert_eq!(body["type"], "alarm.raised");
    assert_eq!(body["timestamp"], "2026-01-01T00:00:00.000Z");
    let data = &body["data"];
    assert_eq!(data["id"], id.to_string());
    assert_eq!(data["kind"], "falling_object");
    assert_eq!(data["place"], "Building 7");
    assert_eq!(data["origin"]["floor_min"], 11);
    assert_eq!(data["stored"], true);
    assert_eq!(data["evidence"], "pending");
    let base = format!("https://plumb.example/api/v1/alarms/{id}");
    assert_eq!(data["links"]["alarm"], base);
    assert_eq!(
        data["links"]["strobe"],
        format!("{base}/evidence/strobe.jpg")
    );
    assert_eq!(data["links"]["clip"], format!("{base}/evidence/clip.mp4"));
}

#[tokio::test]
async fn no_message_exceeds_its_bound() {
    let server = receiver(200).await;
    let service = service(vec![endpoint("desk", &server.uri())]).await;
    let mut new = fall("facade-1", service.clock.now());
    let point = new.alarm.track[0];
    new.alarm.track = vec![point; 20_000];
    new.place = "栋".repeat(64);
    service.store.raise(&new).await.unwrap();
    let report = EvidenceReport {
        state: EvidenceState::Missing,
        folder: None,
        files: Vec::new(),
        reason: Some("no picture ".repeat(1000)),
    };
    service
        .store
        .attach_evidence(new.id, &report)
        .await
        .unwrap();
    let note = "很长 ".repeat(5000);
    let who = Actor::account("wang");
    service
        .store
        .close_alarm(new.id, &who, Disposition::Test, Some(&note))
        .await
        .unwrap();
    service
        .until_states(new.id, &[DeliveryState::Delivered; 3])
        .await;
    let requests = received(&server).await;
    for request in &requests {
        assert!(
            request.body.len() < BODY_SIZE_BYTES_MAX,
            "{} bytes",
            request.body.len()
        );
        assert_eq!(json(request)["data"]["id"], new.id.to_string());
    }
    assert_eq!(
        json(&requests[0])["data"]["track"].as_array().map(Vec::len),
        Some(32)
    );
}

#[tokio::test]
async fn a_failing_receiver_is_tried_on_schedule_with_one_id() {
    let server = MockServer::start().await;
    Mock::given(method("POST"))
        .respond_with(ResponseTemplate::new(500).set_body_string("out of\norder"))
        .up_to_n_times(4)
        .mount(&server)
        .await;
    Mock::given(method("POST"))
        .respond_with(ResponseTemplate::new(200))
        .mount(&server)
        .await;
    let service = service(vec![endpoint("desk", &server.uri())]).await;
    let id = service.raise("facade-1").await;
    for (attempt, wait_s) in [2_u64, 5, 15, 60].into_iter().enumerate() {
        service.until_attempts(id, attempt + 1).await;
        let detail = service.store.alarm(id).await.unwrap().unwrap();
        let wait_ms = detail.deliveries[0].next_at_ms - service.clock.now().as_millisecond();
        let planned_ms = i64::try_from(wait_s * 1000).unwrap();
        assert!(
            (planned_ms..=planned_ms * 11 / 10).contains(&wait_ms),
            "{wait_ms} ms"
        );
        service
            .clock
            .advance(Duration::from_millis(u64::try_from(wait_ms).unwrap()));
    }
    service.until_states(id, &[DeliveryState::Delivered]).await;
    let requests = received(&server).await;
    assert_eq!(requests.len(), 5);
    let first = text(&requests[0], "webhook-id").to_owned();
    assert!(
        requests
            .iter()
            .all(|request| text(request, "webhook-id") == first)
    );
    let log = service
        .store
        .alarm(id)
        .await
        .unwrap()
        .unwrap()
        .deliveries
        .remove(0)
        .log;
    assert_eq!(log[0].status, Some(500));
    let error = log[0].error.as_deref().unwrap();
    assert_eq!(error, "answered 500 Internal Server Error: out of order");
    assert_eq!(log[4].error, None);
}

#[tokio::test]
async fn a_receiver_that_asks_for_time_gets_it() {
    let server = MockServer::start().await;
    Mock::given(method("POST"))
        .respond_with(ResponseTemplate::new(429).insert_header("retry-after", "120"))
        .mount(&server)
        .await;
    let service = service(vec![endpoint("desk", &server.uri())]).await;
    let id = service.raise("facade-1").await;
    service.until_attempts(id, 1).await;
    let delivery = service
        .store
        .alarm(id)
        .await
        .unwrap()
        .unwrap()
        .deliveries
        .remove(0);
    assert_eq!(
        delivery.next_at_ms,
        service.clock.now().as_millisecond() + 120_000
    );
}

#[tokio::test]
async fn an_endpoint_that_is_gone_is_disabled_and_others_go_on() {
    let gone = receiver(410).await;
    let there = receiver(200).await;
    let endpoints = vec![
        endpoint("gone", &gone.uri()),
        endpoint("there", &there.uri()),
    ];
    let service = service(endpoints).await;
    let first = service.raise("facade-1").await;
    until("the endpoint to be disabled", async || {
        let endpoints = service.store.endpoints().await.unwrap();
        endpoints[0].disabled_reason.is_some()
    })
    .await;
    service
        .until_states(first, &[DeliveryState::Dead, DeliveryState::Delivered])
        .await;
    let second = service.raise("facade-1").await;
    service
        .until_states(second, &[DeliveryState::Delivered])
        .await;
    assert_eq!(received(&gone).await.len(), 1);
    assert_eq!(received(&there).await.len(), 2);
    let events = service.store.events_after(0, 10).await.unwrap();
    assert!(
        events
            .iter()
            .any(|event| event.kind == EventKind::EndpointDisabled)
    );
    let audit = service.store.audit_after(0, 10).await.unwrap();
    assert!(
        audit
            .iter()
            .any(|row| row.action == "endpoint.disabled" && row.object == "gone")
    );
}

#[tokio::test]
async fn a_redirect_is_refused_and_said_so() {
    let elsewhere = receiver(200).await;
    let server = MockServer::start().await;
    let moved = ResponseTemplate::new(307).insert_header("location", elsewhere.uri());
    Mock::given(method("POST"))
        .respond_with(moved)
        .mount(&server)
        .await;
    let service = service(vec![endpoint("desk", &server.uri())]).await;
    let id = service.raise("facade-1").await;
    service.until_attempts(id, 1).await;
    let delivery = service
        .store
        .alarm(id)
        .await
        .unwrap()
        .unwrap()
        .deliveries
        .remove(0);
    assert_eq!(delivery.state, DeliveryState::Pending);
    let error = delivery.last_error.expect("a reason");
    assert!(error.contains("redirects are refused"), "{error}");
    assert!(error.contains(&elsewhere.uri()), "{error}");
    assert_eq!(received(&elsewhere).await.len(), 0);
}

#[tokio::test]
async fn a_refused_message_holds_back_its_camera_only() {
    let server = MockServer::start().await;
    Mock::given(method("POST"))
        .and(body_string_contains("\"camera\":\"facade-1\""))
        .respond_with(ResponseTemplate::new(503))
        .up_to_n_times(1)
        .mount(&server)
        .await;
    Mock::given(method("POST"))
        .respond_with(ResponseTemplate::new(200))
        .mount(&server)
        .await;
    let service = service(vec![endpoint("desk", &server.uri())]).await;
    let first = service.raise("facade-1").await;
    service.until_attempts(first, 1).await;
    let second = service.raise("facade-1").await;
    let other = service.raise("facade-2").await;
    service
        .until_states(other, &[DeliveryState::Delivered])
        .await;
    service
        .until_states(second, &[DeliveryState::Pending])
        .await;
    service.clock.advance(Duration::from_secs(2));
    service
        .until_states(second, &[DeliveryState::Delivered])
        .await;
    let order: Vec<String> = received(&server)
        .await
        .iter()
        .map(|request| {
            json(request)["data"]["id"]
                .as_str()
                .expect("an id")
                .to_owned()
        })
        .collect();
    let expected = [first, other, first, second].map(|id| id.to_string());
    assert_eq!(order, expected);
}

/// Accepts connections and never answers; returns its URL.
async fn silent_receiver() -> String {
    let listener = TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a local port");
    let url = format!("http://{}/", listener.local_addr().expect("a local port"));
    tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((stream, _)) = listener.accept().await {
            held.push(stream);
        }
    });
    url
}

#[tokio::test]
async fn an_endpoint_that_never_answers_delays_no_other() {
    let there = receiver(200).await;
    let mut silent = endpoint("a-silent", &silent_receiver().await);
    silent.timeout = Duration::from_secs(600);
    let service = service(vec![silent, endpoint("there", &there.uri())]).await;
    for camera in 0..20 {
        let id = service.raise(&format!("camera-{camera}")).await;
        until("the other endpoint", async || {
            let detail = service.store.alarm(id).await.unwrap().unwrap();
            detail.deliveries[1].state == DeliveryState::Delivered
        })
        .await;
    }
}

#[tokio::test]
async fn an_attempt_ends_at_its_deadline() {
    let mut silent = endpoint("silent", &silent_receiver().await);
    silent.timeout = Duration::from_millis(200);
    let service = service(vec![silent]).await;
    let id = service.raise("facade-1").await;
    service.until_attempts(id, 1).await;
    let delivery = service
        .store
        .alarm(id)
        .await
        .unwrap()
        .unwrap()
        .deliveries
        .remove(0);
    let error = delivery.last_error.expect("a reason");
    assert!(error.contains("no answer before the deadline"), "{error}");
}

#[tokio::test]
async fn an_answer_without_end_counts_by_its_status() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut taken = [0; 4096];
        assert!(stream.read(&mut taken).await.unwrap() > 0);
        stream
            .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n")
            .await
            .unwrap();
        while stream.write_all(&[b'x'; 4096]).await.is_ok() {}
    });
    let service = service(vec![endpoint("endless", &url)]).await;
    let id = service.raise("facade-1").await;
    service.until_states(id, &[DeliveryState::Delivered]).await;
}

#[tokio::test]
async fn a_dead_letter_can_be_sent_again() {
    let server = MockServer::start().await;
    Mock::given(method("POST"))
        .respond_with(ResponseTemplate::new(500))
        .up_to_n_times(2)
        .mount(&server)
        .await;
    Mock::given(method("POST"))
        .respond_with(ResponseTemplate::new(200))
        .mount(&server)
        .await;
    let service = service(vec![endpoint("desk", &server.uri())]).await;
    let id = service.raise("facade-1").await;
    service.until_attempts(id, 1).await;
    service.clock.advance(Duration::from_secs(24 * 3600));
    service.until_states(id, &[DeliveryState::Dead]).await;
    let dead = service.store.dead_letters(10).await.unwrap();
    assert_eq!(dead.len(), 1);
    service
        .store
        .requeue(&dead[0].id, &Actor::account("li"))
        .await
        .unwrap();
    service.until_states(id, &[DeliveryState::Delivered]).await;
    let audit = service.store.audit_after(0, 10).await.unwrap();
    assert!(
        audit
            .iter()
            .any(|row| row.action == "delivery.requeued" && row.who == "li")
    );
}

#[tokio::test]
async fn a_test_message_says_what_is_wrong_with_an_endpoint() {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let client = Client::open(Arc::clone(&clock)).unwrap();
    let good = receiver(200).await;
    let told = send_test(&client, &endpoint("desk", &good.uri()), clock.as_ref()).await;
    assert!(
        told.as_ref()
            .is_ok_and(|text| text.contains("answered 200")),
        "{told:?}"
    );
    assert_eq!(json(&received(&good).await[0])["type"], "plumb.test");

    let wrong = MockServer::start().await;
    let missing = endpoint("desk", &format!("{}/hook?key=hidden", wrong.uri()));
    let told = send_test(&client, &missing, clock.as_ref())
        .await
        .expect_err("404");
    assert!(told.contains("404"), "{told}");
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let closed = format!("http://{}/?key=hidden", listener.local_addr().unwrap());
    drop(listener);
    let told = send_test(&client, &endpoint("desk", &closed), clock.as_ref()).await;
    let told = told.expect_err("nobody listens");
    assert!(told.contains("no connection"), "{told}");
    assert!(!told.contains("hidden"), "{told}");
}

/// Holds the database's write lock, as a backup program would, until it is dropped.
async fn lock_out(folder: &Path) -> SqliteConnection {
    let url = format!("sqlite://{}", folder.join("plumb.sqlite").display());
    let mut shell = SqliteConnection::connect(&url).await.expect("a free lock");
    sqlx::query("BEGIN IMMEDIATE")
        .execute(&mut shell)
        .await
        .expect("a free lock");
    shell
}

#[tokio::test]
async fn alarms_go_out_from_memory_while_the_disk_fails_and_are_on_it_afterwards() {
    let server = receiver(200).await;
    let service = service(vec![endpoint("desk", &server.uri())]).await;
    let alarms = Alarms::new(service.store.clone(), service.delivering.clone());
    let before = fall("facade-1", service.clock.now());
    assert_eq!(alarms.raise(&before).await.unwrap(), Kept::OnDisk);
    service
        .until_states(before.id, &[DeliveryState::Delivered])
        .await;

    let lock = lock_out(service._folder.path()).await;
    let new = fall("facade-1", service.clock.now());
    assert_eq!(alarms.raise(&new).await.unwrap(), Kept::InMemory);
    assert_eq!(
        alarms.end(&end_of(&new, 600)).await.unwrap(),
        Kept::InMemory
    );
    assert_eq!(
        alarms.end(&end_of(&before, 900)).await.unwrap(),
        Kept::InMemory
    );
    until("three messages without the disk", async || {
        received(&server).await.len() == 4
    })
    .await;
    let requests = received(&server).await;
    let data = json(&requests[1])["data"].clone();
    assert_eq!(data["id"], new.id.to_string());
    assert_eq!(data["stored"], false);
    assert_eq!(data["evidence"], "missing");
    assert_eq!(data["links"].as_object().map(serde_json::Map::len), Some(1));
    assert!(alarms.trouble().borrow().is_some());

    lock.close().await.unwrap();
    until("the disk to be back", async || {
        alarms.trouble().borrow().is_none()
    })
    .await;
    service
        .until_states(new.id, &[DeliveryState::Delivered; 2])
        .await;
    service
        .until_states(before.id, &[DeliveryState::Delivered; 2])
        .await;
    let detail = service.store.alarm(before.id).await.unwrap().unwrap();
    assert_eq!(detail.alarm.ended_at_ms, Some(before.raised_at_ms + 900));
    let later = fall("facade-1", service.clock.now());
    assert_eq!(alarms.raise(&later).await.unwrap(), Kept::OnDisk);
    service
        .until_states(later.id, &[DeliveryState::Delivered])
        .await;
    assert_eq!(received(&server).await.len(), 5, "nothing was sent twice");
}

#[tokio::test]
async fn alarms_go_out_on_a_full_disk() {
    let server = receiver(200).await;
    let clock = clock();
    let mut desk = endpoint("desk", &server.uri());
    desk.kinds = vec![AlarmKind::EbikeInElevator];
    let delivering = delivering(vec![desk], Arc::clone(&clock) as _);
    let store = full_store(delivering.routes(), &clock).await;
    let alarms = Alarms::new(store.clone(), delivering);
    let mut new = large(fall("car-1", clock.now()));
    new.alarm.kind = AlarmKind::EbikeInElevator;
    assert_eq!(alarms.raise(&new).await.unwrap(), Kept::InMemory);
    let missing = EvidenceReport {
        state: EvidenceState::Missing,
        folder: None,
        files: Vec::new(),
        reason: Some("the disk is full".to_owned()),
    };
    alarms.attach_evidence(new.id, &missing).await.unwrap();
    until("the alarm and its evidence", async || {
        received(&server).await.len() == 2
    })
    .await;
    let requests = received(&server).await;
    assert_eq!(json(&requests[0])["data"]["stored"], false);
    assert_eq!(json(&requests[1])["type"], "alarm.evidence");
    assert_eq!(
        json(&requests[1])["data"]["evidence_reason"],
        "the disk is full"
    );
    let trouble = alarms.trouble().borrow().clone().expect("trouble");
    assert!(trouble.contains("no room"), "{trouble}");
}

#[tokio::test]
async fn what_was_sent_is_not_sent_again_when_it_cannot_be_written_down() {
    let server = receiver(200).await;
    let service = service(vec![endpoint("desk", &server.uri())]).await;
    let first = service.raise("facade-1").await;
    service
        .until_states(first, &[DeliveryState::Delivered])
        .await;
    // The next one is committed, and then the disk is gone before it is sent.
    let url = format!(
        "sqlite://{}",
        service._folder.path().join("plumb.sqlite").display()
    );
    let second = service.raise("facade-1").await;
    let third = service.raise("facade-1").await;
    let mut shell = SqliteConnection::connect(&url).await.unwrap();
    sqlx::query("BEGIN IMMEDIATE")
        .execute(&mut shell)
        .await
        .unwrap();
    until("all three", async || received(&server).await.len() >= 3).await;
    shell.close().await.unwrap();
    service
        .until_states(second, &[DeliveryState::Delivered])
        .await;
    service
        .until_states(third, &[DeliveryState::Delivered])
        .await;
    assert_eq!(received(&server).await.len(), 3);
}

#[tokio::test]
async fn a_clock_that_is_set_back_delays_no_alarm() {
    let server = receiver(500).await;
    let service = service(vec![endpoint("guard", &server.uri())]).await;
    let first = service.raise("north").await;
    service.until_attempts(first, 1).await;
    server.reset().await;
    Mock::given(method("POST"))
        .respond_with(ResponseTemplate::new(204))
        .mount(&server)
        .await;
    // The next attempt is in two seconds of a clock that now needs an hour to get there.
    service.clock.set_back(Duration::from_secs(3600));
    let second = service.raise("north").await;
    service
        .until_states(first, &[DeliveryState::Delivered])
        .await;
    service
        .until_states(second, &[DeliveryState::Delivered])
        .await;
    let seen = received(&server).await;
    let ids: Vec<_> = seen
        .iter()
        .map(|request| json(request)["data"]["id"].clone())
        .collect();
    assert_eq!(
        ids,
        [first.to_string(), second.to_string()],
        "in their order"
    );
}

#[tokio::test]
async fn a_clock_that_is_set_forward_gives_no_receiver_up() {
    let server = receiver(500).await;
    let service = service(vec![endpoint("guard", &server.uri())]).await;
    let id = service.raise("north").await;
    service.until_attempts(id, 1).await;
    service
        .clock
        .set_forward(Duration::from_secs(400 * 24 * 3600));
    service.until_attempts(id, 2).await;
    server.reset().await;
    Mock::given(method("POST"))
        .respond_with(ResponseTemplate::new(204))
        .mount(&server)
        .await;
    service.clock.advance(Duration::from_secs(60));
    service.until_states(id, &[DeliveryState::Delivered]).await;
}

#[tokio::test]
async fn endpoints_are_told_apart_by_their_path() {
    let server = MockServer::start().await;
    let mut seen = HashMap::new();
    for name in ["a", "b"] {
        Mock::given(method("POST"))
            .and(path(format!("/{name}")))
            .respond_with(ResponseTemplate::new(200))
            .mount(&server)
            .await;
    }
    let endpoints = ["a", "b"]
        .map(|name| endpoint(name, &format!("{}/{name}", server.uri())))
        .to_vec();
    let service = service(endpoints).await;
    let id = service.raise("facade-1").await;
    service
        .until_states(id, &[DeliveryState::Delivered; 2])
        .await;
    for request in received(&server).await {
        let id = text(&request, "webhook-id").to_owned();
        assert_eq!(
            seen.insert(id, request.url.path().to_owned()),
            None,
            "one id an endpoint"
        );
    }
    assert_eq!(seen.len(), 2);
    let all = service
        .store
        .alarms(&AlarmFilter::default(), None, 10)
        .await
        .unwrap();
    assert_eq!(all.items.len(), 1);
}
