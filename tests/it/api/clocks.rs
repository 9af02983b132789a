//! A clock that is set, back or forward, takes no right away and gives none.

use plumb::clock::DrivenClock;
use plumb::id::AccountId;
use plumb::store::{SecondFactor, SessionLimits};

use super::people::cookie;
use super::*;

const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);
const HOUR: Duration = Duration::from_secs(3600);
const MINUTE: Duration = Duration::from_secs(60);

async fn service() -> (Service, Arc<DrivenClock>) {
    let clock = crate::store::clock();
    let service = Service::start_on(Limits::default(), Arc::clone(&clock) as _).await;
    (service, clock)
}

impl Service {
    async fn is_signed_in(&self, session: &str) -> bool {
        let answer = self.with(Method::GET, "/api/v1/session", session).await;
        answer.status() == StatusCode::OK
    }

    async fn gets_in(&self, name: &str, password: &str) -> bool {
        let answer = self.sign_in(name, password).await;
        answer.status() == StatusCode::SEE_OTHER
    }
}

#[tokio::test]
async fn a_session_neither_dies_of_a_clock_that_is_set_nor_lives_on_by_it() {
    let (service, clock) = service().await;
    let told = service.add("li", "operator").await;
    let session = cookie(&service.sign_in("li", &told).await);
    clock.set_forward(YEAR);
    assert!(service.is_signed_in(&session).await);
    clock.advance(29 * MINUTE);
    assert!(service.is_signed_in(&session).await);
    clock.set_back(YEAR * 2);
    clock.advance(29 * MINUTE);
    assert!(service.is_signed_in(&session).await);
    clock.advance(31 * MINUTE);
    assert!(!service.is_signed_in(&session).await, "it idled");

    // In use all the time, it ends with its shift, whatever the clock on the wall says.
    let session = cookie(&service.sign_in("li", &told).await);
    for _ in 0..48 {
        clock.set_back(MINUTE * 10);
        clock.advance(MINUTE * 15);
        assert!(service.is_signed_in(&session).await);
    }
    clock.advance(MINUTE);
    assert!(
        !service.is_signed_in(&session).await,
        "twelve hours are over"
    );
}

#[tokio::test]
async fn a_lock_ends_after_its_time_and_not_before_whatever_the_clock_says() {
    let (service, clock) = service().await;
    let told = service.add("li", "operator").await;
    for _ in 0..5 {
        assert!(!service.gets_in("li", "a wrong password").await);
    }
    clock.set_forward(YEAR);
    assert!(!service.gets_in("li", &told).await, "it is still locked");
    let locked = service.store.accounts().await.expect("readable");
    let until_ms = locked[0].locked_until_ms.expect("it is locked");
    let left_ms = until_ms - clock.now().as_millisecond();
    assert_eq!(left_ms, 15 * 60 * 1000, "told by the clock as it is now");
    clock.set_back(YEAR + HOUR * 5);
    clock.advance(15 * MINUTE);
    assert!(service.gets_in("li", &told).await, "its time is over");
}

#[tokio::test]
async fn a_token_holds_for_its_days_of_steady_time() {
    let (service, clock) = service().await;
    let admin = add_token(&service.store, "admin", Role::Admin).await;
    let made = service
        .stranger
        .post(format!("{}/api/v1/tokens", service.url));
    let made = made.bearer_auth(admin).json(&serde_json::json!({
        "name": "radar", "roles": ["operator"], "days": 2,
    }));
    let made: Value = made.send().await.expect("sent").json().await.expect("JSON");
    let token = made["token"].as_str().expect("a token").to_owned();
    let holds = async || {
        let request = client(Some(&token)).get(format!("{}/api/v1/alarms", service.url));
        request.send().await.expect("an answer").status() == StatusCode::OK
    };
    assert!(holds().await);
    clock.set_forward(YEAR);
    assert!(holds().await);
    clock.set_back(YEAR + HOUR * 24 * 30);
    clock.advance(HOUR * 48 - MINUTE);
    assert!(holds().await);
    let is_over = async || {
        let tokens = service.store.tokens().await.expect("readable");
        let radar = tokens.iter().find(|token| token.name.as_str() == "radar");
        radar.expect("it is listed").is_over
    };
    assert!(!is_over().await);
    clock.advance(MINUTE);
    assert!(!holds().await && is_over().await);
}

#[tokio::test]
async fn a_secret_waits_a_quarter_of_an_hour_for_its_code_and_no_longer() {
    let (service, clock) = service().await;
    service.add("li", "operator").await;
    let (store, li) = (&service.store, AccountId::parse("li").expect("an id"));
    store.begin_second_factor(&li).await.expect("committed");
    let waits = async || {
        let factor = store.second_factor(&li).await.expect("readable");
        matches!(factor, SecondFactor::Begun(_))
    };
    clock.set_forward(YEAR);
    assert!(waits().await);
    clock.set_back(YEAR + HOUR);
    clock.advance(15 * MINUTE);
    assert!(waits().await);
    clock.advance(MINUTE);
    assert!(!waits().await);
}

#[tokio::test]
async fn rights_end_in_time_over_a_restart_with_a_clock_that_was_set() {
    let folder = tempfile::tempdir().expect("a folder");
    let clock = crate::store::clock();
    let open = async || {
        let opened = Store::open(folder.path(), Vec::new(), Arc::clone(&clock) as _).await;
        opened.expect("a store")
    };
    let (name, who) = (AccountId::parse("li").expect("an id"), Actor::service());
    let (client, limits) = ([127, 0, 0, 1].into(), SessionLimits::default());
    let store = open().await;
    let roles = Roles::only(Role::Operator);
    let added = store.add_account(&name, &roles, "a hash", &who).await;
    added.expect("committed");
    let checked = store.credentials(&name).await.expect("readable");
    let checked = checked.expect("an account");
    let begun = store.sign_in(&checked, "session", client, limits).await;
    begun.expect("committed");
    for _ in 0..5 {
        let counted = store.refuse_sign_in("li", client).await;
        counted.expect("committed");
    }
    let run = store.begin_run().await.expect("committed");
    store.beat(run).await.expect("committed");
    store.close().await;
    drop(store);

    // A dead battery: the machine wakes long ago.
    clock.set_back(YEAR * 20);
    let store = open().await;
    let is_open = async || {
        let session = store.session("session", limits).await.expect("readable");
        let account = store.credentials(&name).await.expect("readable");
        let is_locked = account.expect("an account").is_closed;
        (session.is_some(), is_locked)
    };
    assert_eq!(is_open().await, (true, true));
    clock.advance(16 * MINUTE);
    assert_eq!(is_open().await, (true, false));
    clock.set_forward(YEAR * 20);
    assert_eq!(is_open().await, (true, false));
    clock.advance(15 * MINUTE);
    assert_eq!(is_open().await, (false, false));
    // A command beside the service counts by the same time.
    let beside = Store::open_beside(folder.path(), Arc::clone(&clock) as _).await;
    let beside = beside.expect("a store");
    let apart_ms = beside.steady_ms() - store.steady_ms();
    assert!(apart_ms.abs() < 3_600_000, "{apart_ms} ms apart");
}
