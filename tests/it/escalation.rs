//! Escalation: what nobody acknowledges goes further, once a step, over restarts, to a real receiver.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use plumb::alarm::AlarmKind;
use plumb::clock::{Clock, DrivenClock};
use plumb::config::Config;
use plumb::deliver::{Delivering, EndpointConfig, Outbox, overdue};
use plumb::id::{AlarmId, EndpointId, EscalationId};
use plumb::store::{Actor, DeliveryState, Disposition, Escalation, EventKind, Hears, Store};
use serde_json::Value;
use tokio_util::sync::CancellationToken;
use wiremock::matchers::method;
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::deliver::{delivering, endpoint};
use crate::store::{clock, end_of, fall};

const AFTER: Duration = Duration::from_secs(120);

fn step(id: &str, after: Duration, endpoints: &[&str]) -> Escalation {
    let named = |id: &&str| EndpointId::parse(id).expect("an id");
    Escalation {
        id: EscalationId::parse(id).expect("an id"),
        after,
        kinds: Vec::new(),
        sites: Vec::new(),
        endpoints: endpoints.iter().map(named).collect(),
    }
}

async fn receiver() -> MockServer {
    let server = MockServer::start().await;
    let answer = ResponseTemplate::new(204);
    Mock::given(method("POST"))
        .respond_with(answer)
        .mount(&server)
        .await;
    server
}

/// Returns the types of what the receiver got, in order.
async fn types(server: &MockServer) -> Vec<String> {
    let requests = server.received_requests().await.expect("recording is on");
    let kind = |body: &[u8]| {
        let body: Value = serde_json::from_slice(body).expect("JSON");
        body["type"].as_str().expect("a type").to_owned()
    };
    requests.iter().map(|request| kind(&request.body)).collect()
}

async fn until_types(server: &MockServer, wanted: &[&str]) {
    let looking = async {
        while types(server).await != wanted {
            tokio::task::yield_now().await;
        }
    };
    let in_time = tokio::time::timeout(Duration::from_secs(20), looking).await;
    if in_time.is_err() {
        panic!("wanted {wanted:?}, got {:?}", types(server).await);
    }
}

/// The guard room hears all alarms, the chief only what escalates.
struct Post {
    guard: MockServer,
    chief: MockServer,
    clock: Arc<DrivenClock>,
    folder: tempfile::TempDir,
}

impl Post {
    async fn new() -> Self {
        Self {
            guard: receiver().await,
            chief: receiver().await,
            clock: clock(),
            folder: tempfile::tempdir().expect("a folder"),
        }
    }

    fn delivering(&self) -> Delivering {
        let chief = EndpointConfig {
            hears: Hears::Escalations,
            ..endpoint("chief", &self.chief.uri())
        };
        let guard = endpoint("guard", &self.guard.uri());
        delivering(vec![guard, chief], Arc::clone(&self.clock) as _)
    }

    async fn open(&self) -> Store {
        let routes = self.delivering().routes();
        let clock = Arc::clone(&self.clock) as _;
        let opened = Store::open(self.folder.path(), routes, clock).await;
        opened.expect("a store")
    }

    async fn was_escalated(&self, store: &Store, id: AlarmId) -> bool {
        let detail = store.alarm(id).await.expect("a read").expect("the alarm");
        !detail.escalations.is_empty()
    }

    async fn raise(&self, store: &Store, camera: &str, kind: AlarmKind) -> AlarmId {
        let mut new = fall(camera, self.clock.now());
        new.alarm.kind = kind;
        store.raise(&new).await.expect("a committed alarm")
    }
}

#[tokio::test]
async fn what_nobody_acknowledges_reaches_the_chief_who_then_hears_the_rest() {
    let post = Post::new().await;
    let store = post.open().await;
    let outbox = Outbox::start(&store, &post.delivering());
    let stop = CancellationToken::new();
    let steps = vec![step("nobody-there", AFTER, &["chief"])];
    let looking = tokio::spawn(overdue::run(store.clone(), steps, stop.clone()));
    let id = post
        .raise(&store, "facade-1", AlarmKind::FallingObject)
        .await;
    until_types(&post.guard, &["alarm.raised"]).await;
    assert!(types(&post.chief).await.is_empty());

    post.clock.advance(AFTER);
    until_types(&post.chief, &["alarm.escalated"]).await;
    let who = Actor::account("li");
    store.acknowledge(id, &who).await.expect("it is taken");
    let closed = store.close_alarm(id, &who, Disposition::Confirmed, None);
    closed.await.expect("it is closed");
    let rest = ["alarm.acknowledged", "alarm.closed"];
    until_types(&post.chief, &["alarm.escalated", rest[0], rest[1]]).await;
    until_types(&post.guard, &["alarm.raised", rest[0], rest[1]]).await;
    stop.cancel();
    looking.await.expect("it ends");
    outbox.stop(Duration::from_secs(1)).await;
}

#[tokio::test]
async fn a_step_is_taken_once_with_its_delivery_and_audit_row_also_after_a_restart() {
    let post = Post::new().await;
    let store = post.open().await;
    let first = step("first", AFTER, &["chief"]);
    let second = step("second", AFTER * 2, &["chief", "guard"]);
    let id = post
        .raise(&store, "facade-1", AlarmKind::FallingObject)
        .await;
    assert_eq!(
        store.escalate(&first).await.expect("a look"),
        0,
        "too early"
    );
    post.clock.advance(AFTER);
    assert_eq!(store.escalate(&first).await.expect("a look"), 1);
    assert_eq!(store.escalate(&first).await.expect("a look"), 0);
    store.close().await;
    drop(store);

    let store = post.open().await;
    store.recover().await.expect("it is put right");
    assert_eq!(store.escalate(&first).await.expect("a look"), 0);
    assert_eq!(store.escalate(&second).await.expect("a look"), 0);
    post.clock.advance(AFTER);
    assert_eq!(store.escalate(&second).await.expect("a look"), 1);

    let detail = store.alarm(id).await.expect("a read").expect("the alarm");
    let steps: Vec<_> = detail.escalations.iter().map(|e| e.step.as_str()).collect();
    assert_eq!(steps, ["first", "second"]);
    assert_eq!(detail.escalations[1].endpoints.len(), 2);
    assert_eq!(
        detail.alarm.escalated_at_ms,
        Some(detail.escalations[1].at_ms)
    );
    let told = |kind: EventKind| {
        let deliveries = detail.deliveries.iter();
        let mut of_kind: Vec<_> = deliveries.filter(|d| d.event == kind).collect();
        of_kind.sort_by(|a, b| a.id.cmp(&b.id));
        of_kind.dedup_by(|a, b| a.id == b.id);
        of_kind.len()
    };
    assert_eq!(
        told(EventKind::AlarmEscalated),
        3,
        "each with an id of its own"
    );
    assert!(
        detail
            .deliveries
            .iter()
            .all(|d| d.state == DeliveryState::Pending)
    );
    let audit = store.audit_after(0, 500).await.expect("rows");
    let deeds = audit.iter().filter(|row| row.action == "alarm.escalated");
    let deeds: Vec<_> = deeds.filter_map(|row| row.detail.as_deref()).collect();
    assert_eq!(
        deeds,
        ["step first to chief", "step second to chief, guard"]
    );
}

#[tokio::test]
async fn what_is_in_hand_or_mended_does_not_escalate() {
    let post = Post::new().await;
    let store = post.open().await;
    let all = step("all", AFTER, &["chief"]);
    let taken = post.raise(&store, "a", AlarmKind::FallingObject).await;
    let who = Actor::account("li");
    store.acknowledge(taken, &who).await.expect("it is taken");
    let mut fault = fall("b", post.clock.now());
    fault.alarm.kind = AlarmKind::NoPicture;
    store.raise(&fault).await.expect("a committed alarm");
    store
        .end(&end_of(&fault, 1000))
        .await
        .expect("it has ended");
    let mut ebike = fall("c", post.clock.now());
    ebike.alarm.kind = AlarmKind::EbikeInElevator;
    store.raise(&ebike).await.expect("a committed alarm");
    store
        .end(&end_of(&ebike, 1000))
        .await
        .expect("it has ended");
    let broken = post.raise(&store, "d", AlarmKind::Occluded).await;
    post.clock.advance(AFTER);

    let mut falls = all.clone();
    falls.kinds = vec![AlarmKind::FallingObject];
    assert_eq!(store.escalate(&falls).await.expect("a look"), 0);
    // The e-bike is gone and nobody has looked; the camera is still covered.
    assert_eq!(store.escalate(&all).await.expect("a look"), 2);
    for id in [ebike.id, broken] {
        let detail = store.alarm(id).await.expect("a read").expect("the alarm");
        assert_eq!(detail.escalations.len(), 1);
    }
    // A step that is new does not wake what was due long ago.
    post.clock.advance(Duration::from_secs(25 * 3600));
    let new = step("new", AFTER, &["chief"]);
    assert_eq!(store.escalate(&new).await.expect("a look"), 0);
}

#[tokio::test]
async fn a_clock_that_is_set_delays_no_step_and_loses_none() {
    let post = Post::new().await;
    let store = post.open().await;
    let all = step("all", AFTER, &["chief"]);
    let first = post.raise(&store, "a", AlarmKind::FallingObject).await;
    post.clock.advance(AFTER / 2);
    post.clock.set_back(Duration::from_secs(1800));
    let second = post.raise(&store, "b", AlarmKind::FallingObject).await;
    post.clock.advance(AFTER / 2);
    assert_eq!(store.escalate(&all).await.expect("a look"), 1);
    assert!(post.was_escalated(&store, first).await && !post.was_escalated(&store, second).await);
    // Far forward: what waits is neither due at once nor taken for last year's.
    post.clock.set_forward(Duration::from_secs(400 * 24 * 3600));
    assert_eq!(store.escalate(&all).await.expect("a look"), 0);
    post.clock.advance(AFTER / 2);
    assert_eq!(store.escalate(&all).await.expect("a look"), 1);
    assert!(post.was_escalated(&store, second).await);
    // Also where the clock was set back while the service was stopped.
    let third = post.raise(&store, "c", AlarmKind::FallingObject).await;
    let run = store.begin_run().await.expect("committed");
    store.beat(run).await.expect("committed");
    store.close().await;
    drop(store);
    post.clock.set_back(Duration::from_secs(7200));
    let store = post.open().await;
    post.clock.advance(AFTER);
    assert_eq!(store.escalate(&all).await.expect("a look"), 1);
    assert!(post.was_escalated(&store, third).await);
}

#[test]
fn a_step_to_nobody_or_without_a_sensible_time_is_refused_by_line() {
    let text = "[[site]]\nid = \"s\"\n[[camera]]\nid = \"c\"\nsite = \"s\"\nkind = \"facade\"\nurl = \"file:x.mp4\"\n\
                [[escalation]]\nid = \"one\"\nafter_s = 5\nendpoints = [\"nobody\"]\n\
                [[escalation]]\nid = \"one\"\nafter_s = 60\nendpoints = []\n";
    let refused = Config::parse(text, Path::new(".")).expect_err("it is wrong");
    let told: Vec<_> = refused
        .iter()
        .map(|p| (p.line, p.message.as_str()))
        .collect();
    let says = |line: usize, words: &str| {
        let found = told
            .iter()
            .any(|(at, message)| *at == Some(line) && message.contains(words));
        assert!(found, "line {line}: {words} is missing in {told:?}");
    };
    says(10, "after_s = 5 is not within 10 to 86400");
    says(11, "no [[endpoint]] with id \"nobody\"");
    says(13, "is used twice");
    says(15, "at least one endpoint");
}
