//! The second factor: turned on by its owner, asked for at each sign-in, removed by code or by an admin.

use plumb::auth::totp::{TotpSecret, step_at};
use plumb::clock::DrivenClock;
use plumb::id::AccountId;
use plumb::store::{AuditOutcome, SecondFactor};
use reqwest::Response;
use serde_json::json;

use super::people::{FORM, cookie, form};
use super::*;

const PASSWORD: &str = "a good pass phrase";
const STEP: Duration = Duration::from_secs(30);

/// An operator who has chosen a password.
struct Person {
    service: Service,
    clock: Arc<DrivenClock>,
    account: AccountId,
}

impl Person {
    async fn new() -> Self {
        let at = Timestamp::from_millisecond(MORNING_MS).expect("in range");
        let clock = Arc::new(DrivenClock::new(at));
        let limits = Limits::default();
        let service = Service::start_on(limits, Arc::clone(&clock) as Arc<dyn Clock>).await;
        service.add("li.na", "operator").await;
        let account = AccountId::parse("li.na").expect("an id");
        let hash = plumb::auth::password::hash(PASSWORD);
        let (kind, who) = (plumb::store::PasswordKind::Own, Actor::service());
        let set = service.store.set_password(&account, &hash, kind, &who);
        set.await.expect("committed");
        Self {
            service,
            clock,
            account,
        }
    }

    /// Shows the password; returns the session's cookie and where it leads.
    async fn sign_in(&self) -> (String, String) {
        let answer = self.service.sign_in("li.na", PASSWORD).await;
        let to = answer.headers()["location"]
            .to_str()
            .expect("text")
            .to_owned();
        (cookie(&answer), to)
    }

    async fn page(&self, path: &str, session: &str) -> String {
        let page = self.service.with(Method::GET, path, session).await;
        page.text().await.expect("a page")
    }

    /// Sends a page's form with its CSRF text.
    async fn submit(&self, path: &str, session: &str, fields: &[(&str, &str)]) -> Response {
        let of = if path.starts_with("/account") {
            "/account"
        } else {
            path
        };
        let page = self.page(of, session).await;
        let csrf = page
            .split("name=\"csrf\" value=\"")
            .nth(1)
            .expect("a field");
        let csrf = csrf.split('"').next().expect("its value");
        let fields = [&[("csrf", csrf)], fields].concat();
        let request = self
            .service
            .stranger
            .post(format!("{}{path}", self.service.url));
        let request = request
            .header("cookie", session)
            .header("content-type", FORM);
        request.body(form(&fields)).send().await.expect("an answer")
    }

    /// Turns the second factor on in this session; returns its secret and its recovery codes.
    async fn turn_on(&self, session: &str) -> (TotpSecret, Vec<String>) {
        let begun = self.submit("/account/second-factor", session, &[]).await;
        assert_eq!(begun.headers()["location"], "/account");
        let secret = self.begun().await;
        let page = self.page("/account", session).await;
        let spoken = page.replace(' ', "");
        assert!(
            spoken.contains(&secret.base32()),
            "the secret stands as text"
        );
        assert!(page.contains("<svg class=\"qr\""), "{page}");
        let code = self.code(&secret, 0);
        let path = "/account/second-factor/confirm";
        let on = self.submit(path, session, &[("code", &code)]).await;
        assert_eq!(on.status(), StatusCode::OK);
        let page = on.text().await.expect("a page");
        let codes = page.split("<li>").skip(1);
        let codes = codes.map(|item| item.split('<').next().expect("a code").to_owned());
        let codes: Vec<String> = codes.collect();
        assert_eq!(codes.len(), 10, "{page}");
        let later = self.page("/account", session).await;
        assert!(!later.contains(&codes[0]) && !later.contains("<svg class=\"qr\""));
        assert!(!later.replace(' ', "").contains(&secret.base32()));
        (secret, codes)
    }

    async fn begun(&self) -> TotpSecret {
        match self
            .service
            .store
            .second_factor(&self.account)
            .await
            .expect("readable")
        {
            SecondFactor::Begun(secret) => secret,
            other => panic!("{other:?}"),
        }
    }

    /// Returns the code that is so many steps away from now.
    fn code(&self, secret: &TotpSecret, steps: i64) -> String {
        secret.code_of(step_at(self.clock.now().as_millisecond()) + steps)
    }

    async fn show(&self, session: &str, code: &str) -> Response {
        self.submit("/sign-in/code", session, &[("code", code)])
            .await
    }

    async fn is_in(&self, session: &str) -> bool {
        let list = self.service.with(Method::GET, "/api/v1/alarms", session);
        list.await.status() == StatusCode::OK
    }
}

#[tokio::test]
async fn a_secret_takes_effect_when_its_code_was_shown_and_each_code_counts_once() {
    let person = Person::new().await;
    let (first, to) = person.sign_in().await;
    let (other, _) = person.sign_in().await;
    assert_eq!(to, "/");
    let begun = person.submit("/account/second-factor", &first, &[]).await;
    assert_eq!(begun.status(), StatusCode::SEE_OTHER);
    let path = "/account/second-factor/confirm";
    let wrong = person.submit(path, &first, &[("code", "000000")]).await;
    assert_eq!(wrong.status(), StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(
        person.sign_in().await.1,
        "/",
        "not confirmed, and not asked for"
    );
    let (secret, _) = person.turn_on(&first).await;
    assert!(person.is_in(&first).await, "who turned it on stays in");
    assert!(
        !person.is_in(&other).await,
        "what the password alone began is over"
    );

    let (session, to) = person.sign_in().await;
    assert_eq!(to, "/sign-in/code");
    assert!(!person.is_in(&session).await);
    // The code that confirmed the secret has counted.
    let again = person.show(&session, &person.code(&secret, 0)).await;
    assert_eq!(again.status(), StatusCode::UNPROCESSABLE_ENTITY);
    person.clock.advance(STEP * 2);
    // One step of drift either way.
    let late = person.show(&session, &person.code(&secret, -1)).await;
    assert_eq!(late.headers()["location"], "/");
    assert!(person.is_in(&session).await);
    let (next, _) = person.sign_in().await;
    let replayed = person.show(&next, &person.code(&secret, -1)).await;
    assert_eq!(replayed.status(), StatusCode::UNPROCESSABLE_ENTITY);
    let far = person.show(&next, &person.code(&secret, 2)).await;
    assert_eq!(far.status(), StatusCode::UNPROCESSABLE_ENTITY);
    let early = person.show(&next, &person.code(&secret, 1)).await;
    assert_eq!(early.headers()["location"], "/");

    let begun = person.service.deeds("session.begun").await;
    let with_code = begun.iter().filter(|deed| {
        deed.outcome == AuditOutcome::Done
            && deed.detail.as_deref() == Some("from 127.0.0.1, with a code")
    });
    assert_eq!(with_code.count(), 2);
    assert_eq!(person.service.deeds("second_factor.added").await.len(), 1);
    let log = format!("{:?}", person.service.store.audit_after(0, 500).await);
    assert!(!log.contains(&secret.base32()));
}

#[tokio::test]
async fn wrong_codes_lock_the_account_and_the_password_does_not_forgive_them() {
    let person = Person::new().await;
    let (first, _) = person.sign_in().await;
    let (secret, codes) = person.turn_on(&first).await;
    person.clock.advance(STEP * 2);
    for try_number in 0..5 {
        // A new session for each: the right password between them changes nothing.
        let (session, to) = person.sign_in().await;
        assert_eq!(to, "/sign-in/code", "try {try_number}");
        let wrong = person.show(&session, "000000").await;
        assert_eq!(wrong.status(), StatusCode::UNPROCESSABLE_ENTITY);
        if try_number == 4 {
            let right = person.show(&session, &person.code(&secret, 0)).await;
            assert_eq!(
                right.status(),
                StatusCode::UNPROCESSABLE_ENTITY,
                "it is locked"
            );
            let spare = person.show(&session, &codes[0]).await;
            assert_eq!(
                spare.status(),
                StatusCode::UNPROCESSABLE_ENTITY,
                "it is locked"
            );
        }
    }
    let locked = person.service.sign_in("li.na", PASSWORD).await;
    assert_eq!(locked.status(), StatusCode::UNAUTHORIZED);
    person.clock.advance(Duration::from_secs(15 * 60));
    let (session, _) = person.sign_in().await;
    let right = person.show(&session, &person.code(&secret, 0)).await;
    assert_eq!(right.headers()["location"], "/");
}

#[tokio::test]
async fn a_code_must_follow_its_password_soon() {
    let person = Person::new().await;
    let (first, _) = person.sign_in().await;
    let (secret, _) = person.turn_on(&first).await;
    let (session, _) = person.sign_in().await;
    person.clock.advance(Duration::from_secs(11 * 60));
    let request = person
        .service
        .stranger
        .post(format!("{}/api/v1/session/code", person.service.url));
    let late = request
        .header("cookie", &session)
        .json(&json!({ "code": person.code(&secret, 0) }));
    refusal(late, 401, "not-signed-in").await;
}

#[tokio::test]
async fn a_recovery_code_opens_once_and_new_ones_replace_the_old() {
    let person = Person::new().await;
    let (first, _) = person.sign_in().await;
    let (secret, codes) = person.turn_on(&first).await;
    let (session, _) = person.sign_in().await;
    // As people type it.
    let typed = codes[3].to_uppercase().replace('-', " ");
    assert_eq!(
        person.show(&session, &typed).await.headers()["location"],
        "/"
    );
    let (next, _) = person.sign_in().await;
    let again = person.show(&next, &codes[3]).await;
    assert_eq!(again.status(), StatusCode::UNPROCESSABLE_ENTITY);
    let page = person.page("/account", &session).await;
    assert!(page.contains("未使用的恢复码：9"), "{page}");
    person.clock.advance(STEP * 2);
    let code = person.code(&secret, 0);
    let renewed = person
        .submit("/account/recovery-codes", &session, &[("code", &code)])
        .await;
    assert_eq!(
        renewed
            .text()
            .await
            .expect("a page")
            .matches("<li>")
            .count(),
        10
    );
    let old = person.show(&next, &codes[4]).await;
    assert_eq!(old.status(), StatusCode::UNPROCESSABLE_ENTITY);
    // Nothing of them is readable in the database.
    let files = std::fs::read(person.service.folder.path().join("plumb.sqlite-wal"));
    let files = files.expect("the log of the database");
    let holds = |code: &str| {
        files
            .windows(code.len())
            .any(|window| window == code.as_bytes())
    };
    assert!(!codes.iter().any(|code| holds(code)));
    assert!(holds("li.na"), "the names stand there");
}

#[tokio::test]
async fn programs_show_the_code_through_the_api() {
    let person = Person::new().await;
    let (first, _) = person.sign_in().await;
    let (secret, _) = person.turn_on(&first).await;
    person.clock.advance(STEP * 2);
    let (session, _) = person.sign_in().await;
    let page = person.page("/sign-in/code", &session).await;
    let csrf = page
        .split("name=\"csrf\" content=\"")
        .nth(1)
        .expect("a text");
    let csrf = csrf.split('"').next().expect("its value").to_owned();
    let url = format!("{}/api/v1/session", person.service.url);
    let own = person
        .service
        .with(Method::GET, "/api/v1/session", &session)
        .await;
    let own: Value = own.json().await.expect("JSON");
    assert_eq!(own["must_show_code"], true, "{own}");
    let list = person
        .service
        .stranger
        .get(format!("{}/api/v1/alarms", person.service.url));
    refusal(list.header("cookie", &session), 403, "must-show-code").await;
    let show = |code: String| {
        let request = person.service.stranger.post(format!("{url}/code"));
        let request = request
            .header("cookie", &session)
            .header("x-csrf-token", &csrf);
        request.json(&json!({ "code": code }))
    };
    refusal(show("123456".to_owned()), 422, "wrong-code").await;
    let shown = show(person.code(&secret, 0))
        .send()
        .await
        .expect("an answer");
    let own: Value = shown.json().await.expect("JSON");
    assert_eq!(own["must_show_code"], false, "{own}");
    assert!(person.is_in(&session).await);
    // Ten failures of one client send it away, also with codes of a session that is due.
    let (due, _) = person.sign_in().await;
    for _ in 0..10 {
        person.service.sign_in("nobody", "a wrong password").await;
    }
    let sent_away = person.submit("/sign-in/code", &due, &[("code", "1")]).await;
    let page = sent_away.text().await.expect("a page");
    assert!(
        page.contains("失败次数过多") || page.contains("次数"),
        "{page}"
    );
}

#[tokio::test]
async fn a_lost_phone_is_no_end_and_the_log_says_who_helped() {
    let person = Person::new().await;
    let (first, _) = person.sign_in().await;
    let (secret, _) = person.turn_on(&first).await;
    let admin = add_token(&person.service.store, "helper", Role::Admin).await;
    let url = format!(
        "{}/api/v1/accounts/li.na/second-factor/remove",
        person.service.url
    );
    let remove = || person.service.stranger.post(&url).bearer_auth(&admin);
    let list: Value = person
        .service
        .stranger
        .get(format!("{}/api/v1/accounts", person.service.url))
        .bearer_auth(&admin)
        .send()
        .await
        .expect("an answer")
        .json()
        .await
        .expect("JSON");
    assert_eq!(list["accounts"][0]["has_second_factor"], true, "{list}");
    assert_eq!(
        remove().send().await.expect("an answer").status(),
        StatusCode::OK
    );
    refusal(remove(), 409, "conflict").await;
    assert!(!person.is_in(&first).await, "its sessions are over");
    let (session, to) = person.sign_in().await;
    assert_eq!(to, "/");
    let removed = person.service.deeds("second_factor.removed").await;
    assert_eq!(
        (removed[0].who.as_str(), removed[0].object.as_str()),
        ("token:helper", "li.na")
    );
    // Its owner turns it off by a code, and not without.
    person.clock.advance(STEP * 2);
    let (secret_again, _) = person.turn_on(&session).await;
    assert_ne!(secret_again, secret);
    person.clock.advance(STEP * 2);
    let path = "/account/second-factor/remove";
    let old = person
        .submit(path, &session, &[("code", &person.code(&secret, 0))])
        .await;
    assert_eq!(old.status(), StatusCode::UNPROCESSABLE_ENTITY);
    let code = person.code(&secret_again, 0);
    let off = person.submit(path, &session, &[("code", &code)]).await;
    assert_eq!(off.headers()["location"], "/account");
    assert_eq!(person.sign_in().await.1, "/");
}
