//! People sign in, change their password, are locked out; an admin looks after accounts.

use reqwest::Response;
use serde_json::json;

use super::*;

impl Service {
    pub(super) async fn sign_in(&self, name: &str, password: &str) -> Response {
        let request = self.stranger.post(format!("{}/sign-in", self.url));
        let typed = form(&[("name", name), ("password", password)]);
        let request = request.header("content-type", FORM).body(typed);
        request.send().await.expect("an answer")
    }

    pub(super) async fn with(&self, method: Method, path: &str, cookie: &str) -> Response {
        let request = self.stranger.request(method, format!("{}{path}", self.url));
        let request = request.header("cookie", cookie);
        request.send().await.expect("an answer")
    }

    /// Makes an account through the API, as an admin's program, and returns its password.
    pub(super) async fn add(&self, name: &str, role: &str) -> String {
        let admin = add_token(&self.store, &format!("for-{name}"), Role::Admin).await;
        let request = self.stranger.post(format!("{}/api/v1/accounts", self.url));
        let request = request
            .bearer_auth(admin)
            .json(&json!({ "name": name, "roles": [role] }));
        let response = request.send().await.expect("an answer");
        assert_eq!(response.status(), StatusCode::OK);
        let told: Value = response.json().await.expect("JSON");
        told["password"].as_str().expect("a password").to_owned()
    }

    pub(super) async fn deeds(&self, action: &str) -> Vec<plumb::store::AuditRecord> {
        let mut deeds = self.store.audit_after(0, 500).await.expect("readable");
        deeds.retain(|deed| deed.action == action);
        deeds
    }
}

pub(super) const FORM: &str = "application/x-www-form-urlencoded";

pub(super) fn form(fields: &[(&str, &str)]) -> String {
    let mut form = url::form_urlencoded::Serializer::new(String::new());
    form.extend_pairs(fields);
    form.finish()
}

/// Returns the cookie that an answer sets, as a browser sends it back.
pub(super) fn cookie(response: &Response) -> String {
    let set = response.headers()["set-cookie"].to_str().expect("text");
    assert!(set.contains("; HttpOnly; SameSite=Strict"), "{set}");
    set.split(';').next().expect("a pair").to_owned()
}

#[tokio::test]
async fn a_new_account_chooses_its_password_and_then_gets_in() {
    let service = Service::start().await;
    let told = service.add("li.na", "operator").await;
    let first = service.sign_in("li.na", &told).await;
    assert_eq!(first.headers()["location"], "/");
    let session = cookie(&first);
    let page = service.with(Method::GET, "/password", &session).await;
    let page = page.text().await.expect("a page");
    let csrf = page
        .split("name=\"csrf\" value=\"")
        .nth(1)
        .expect("a field");
    let csrf = csrf.split('"').next().expect("its value");
    let change = |new: &str, again: &str| {
        let request = service.stranger.post(format!("{}/password", service.url));
        let typed = form(&[
            ("csrf", csrf),
            ("old", &told),
            ("new", new),
            ("again", again),
        ]);
        let request = request
            .header("cookie", &session)
            .header("content-type", FORM);
        request.body(typed).send()
    };
    for (new, again) in [
        ("short", "short"),
        ("a good password", "another password"),
        (told.as_str(), told.as_str()),
        ("li.na is my name", "li.na is my name"),
    ] {
        let refused = change(new, again).await.expect("an answer");
        assert_eq!(refused.status(), StatusCode::UNPROCESSABLE_ENTITY, "{new}");
    }
    let changed = change("a good password", "a good password")
        .await
        .expect("an answer");
    assert_eq!(changed.status(), StatusCode::SEE_OTHER);
    let next = cookie(&changed);
    assert_ne!(next, session, "the old session ended with the old password");
    let old = service.with(Method::GET, "/api/v1/alarms", &session).await;
    assert_eq!(old.status(), StatusCode::UNAUTHORIZED);
    let own: Value = service
        .with(Method::GET, "/api/v1/session", &next)
        .await
        .json()
        .await
        .expect("JSON");
    assert_eq!(
        own,
        json!({
            "name": "li.na", "roles": ["operator"], "must_change_password": false,
            "must_show_code": false, "must_add_second_factor": false,
        })
    );
    assert_eq!(
        service.sign_in("li.na", &told).await.status(),
        StatusCode::UNAUTHORIZED
    );
    assert_eq!(service.deeds("account.password").await.len(), 1);
}

#[tokio::test]
async fn a_planted_session_is_not_taken_over_and_other_roles_hold_at_once() {
    let service = Service::start().await;
    let told = service.add("li.na", "operator").await;
    let planted = format!("plumb_session={}", ClientSecret::new_session().reveal());
    let request = service.stranger.post(format!("{}/sign-in", service.url));
    let typed = form(&[("name", "li.na"), ("password", &told)]);
    let request = request
        .header("content-type", FORM)
        .header("cookie", &planted);
    let signed_in = request.body(typed).send().await.expect("an answer");
    let own = cookie(&signed_in);
    assert_ne!(own, planted);
    let asked = async |cookie: &str| {
        let answer = service.with(Method::GET, "/api/v1/session", cookie).await;
        answer.status()
    };
    assert_eq!(asked(&planted).await, StatusCode::UNAUTHORIZED);
    assert_eq!(asked(&own).await, StatusCode::OK);
    let admin = add_token(&service.store, "admin", Role::Admin).await;
    let url = format!("{}/api/v1/accounts/li.na/roles", service.url);
    let change = service.stranger.post(url).bearer_auth(admin);
    let change = change.json(&json!({ "roles": ["auditor"] })).send().await;
    assert_eq!(change.expect("an answer").status(), StatusCode::OK);
    assert_eq!(asked(&own).await, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn wrong_passwords_lock_the_account_and_then_the_client() {
    let service = Service::start().await;
    let told = service.add("wang", "operator").await;
    for _ in 0..5 {
        let refused = service.sign_in("wang", "a wrong password").await;
        assert_eq!(refused.status(), StatusCode::UNAUTHORIZED);
        assert!(refused.headers().get("set-cookie").is_none());
    }
    let locked = service.sign_in("wang", &told).await;
    assert_eq!(
        locked.status(),
        StatusCode::UNAUTHORIZED,
        "locked, though it is right"
    );
    let unknown = service.sign_in("nobody", "a wrong password").await;
    let (one, other) = (locked.text().await, unknown.text().await);
    let neutral = |page: reqwest::Result<String>, name| page.expect("a page").replace(name, "");
    assert_eq!(
        neutral(one, "wang"),
        neutral(other, "nobody"),
        "no answer tells which names there are"
    );
    for _ in 0..3 {
        service.sign_in("nobody", "a wrong password").await;
    }
    let sent_away = service.sign_in("wang", &told).await;
    assert_eq!(sent_away.status(), StatusCode::TOO_MANY_REQUESTS);
    assert!(sent_away.headers().contains_key("retry-after"));
    let refused = service.deeds("session.begun").await;
    assert_eq!(refused.len(), 10, "what is sent away is not written down");
    assert!(
        refused
            .iter()
            .all(|deed| deed.detail.as_deref() == Some("from 127.0.0.1"))
    );
}

#[tokio::test]
async fn a_password_in_the_wrong_field_is_not_kept() {
    let service = Service::start().await;
    service.sign_in("my secret pass phrase", "wang").await;
    let deeds = service.deeds("session.begun").await;
    assert_eq!(deeds[0].object, "(not a name)");
}

#[tokio::test]
async fn signing_out_ends_the_session() {
    let service = Service::start().await;
    let told = service.add("wang", "operator").await;
    let session = cookie(&service.sign_in("wang", &told).await);
    let page = service.with(Method::GET, "/password", &session).await;
    let page = page.text().await.expect("a page");
    let csrf = page
        .split("name=\"csrf\" value=\"")
        .nth(1)
        .expect("a field");
    let csrf = form(&[("csrf", csrf.split('"').next().expect("its value"))]);
    let request = service.stranger.post(format!("{}/sign-out", service.url));
    let request = request
        .header("cookie", &session)
        .header("content-type", FORM);
    let out = request.body(csrf).send().await.expect("an answer");
    assert_eq!(out.headers()["location"], "/sign-in");
    assert!(
        out.headers()["set-cookie"]
            .to_str()
            .expect("text")
            .contains("Max-Age=0")
    );
    let after = service.with(Method::GET, "/api/v1/session", &session).await;
    assert_eq!(after.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(service.deeds("session.ended").await.len(), 1);
}

#[tokio::test]
async fn an_admin_cannot_lock_everybody_out_nor_give_conflicting_roles() {
    let service = Service::start().await;
    service.add("boss", "admin").await;
    service.add("wang", "operator").await;
    let admin = add_token(&service.store, "admin", Role::Admin).await;
    let post = |path: &str, body: Value| {
        let request = service
            .stranger
            .post(format!("{}/api/v1/{path}", service.url));
        request.bearer_auth(&admin).json(&body)
    };
    for (path, body) in [
        ("accounts/boss/disable", json!({})),
        ("accounts/boss/roles", json!({ "roles": ["manager"] })),
        ("accounts", json!({ "name": "wang", "roles": ["operator"] })),
        (
            "accounts",
            json!({ "name": "plumb", "roles": ["operator"] }),
        ),
    ] {
        refusal(post(path, body), 409, "conflict").await;
    }
    for roles in [
        json!(["auditor", "operator"]),
        json!(["operator", "maintainer"]),
        json!([]),
        json!(["root"]),
    ] {
        let body = json!({ "roles": roles });
        refusal(post("accounts/wang/roles", body), 400, "bad-body").await;
    }
    let both = post(
        "accounts/wang/roles",
        json!({ "roles": ["admin", "manager"] }),
    );
    let list: Value = both
        .send()
        .await
        .expect("an answer")
        .json()
        .await
        .expect("JSON");
    assert_eq!(list["accounts"][1]["roles"], json!(["manager", "admin"]));
    let disabled = post("accounts/boss/disable", json!({}))
        .send()
        .await
        .expect("an answer");
    assert_eq!(disabled.status(), StatusCode::OK, "another admin is left");
    refusal(post("accounts/nobody/enable", json!({})), 404, "not-found").await;
    refusal(post("accounts/a%2Fb/enable", json!({})), 400, "bad-id").await;
}

#[tokio::test]
async fn a_token_is_told_once_and_opens_until_it_is_revoked() {
    let service = Service::start().await;
    let admin = add_token(&service.store, "admin", Role::Admin).await;
    let post = |path: &str, body: Value| {
        let request = service
            .stranger
            .post(format!("{}/api/v1/{path}", service.url));
        request.bearer_auth(&admin).json(&body)
    };
    let new = json!({ "name": "scraper", "roles": ["maintainer"], "days": 30 });
    let told: Value = post("tokens", new.clone())
        .send()
        .await
        .expect("an answer")
        .json()
        .await
        .expect("JSON");
    let token = told["token"].as_str().expect("a token");
    let scrape = || {
        let request = service.stranger.get(format!("{}/metrics", service.url));
        request.bearer_auth(token).send()
    };
    assert_eq!(scrape().await.expect("an answer").status(), StatusCode::OK);
    refusal(post("tokens", new), 409, "conflict").await;
    refusal(
        post(
            "tokens",
            json!({ "name": "x", "roles": ["operator"], "days": 0 }),
        ),
        400,
        "bad-body",
    )
    .await;
    let list = post("tokens/scraper/revoke", json!({}))
        .send()
        .await
        .expect("an answer");
    let list = list.text().await.expect("text");
    assert!(!list.contains(token) && list.contains("scraper"), "{list}");
    assert_eq!(
        scrape().await.expect("an answer").status(),
        StatusCode::UNAUTHORIZED
    );
}

#[tokio::test]
async fn pages_speak_the_language_that_was_chosen() {
    let service = Service::start().await;
    let page = |language: &'static str| {
        let request = service.stranger.get(format!("{}/sign-in", service.url));
        request.header("accept-language", language).send()
    };
    let zh = page("zh-CN")
        .await
        .expect("an answer")
        .text()
        .await
        .expect("a page");
    assert!(
        zh.contains("<html lang=\"zh-CN\">") && zh.contains("登录"),
        "{zh}"
    );
    let en = page("en")
        .await
        .expect("an answer")
        .text()
        .await
        .expect("a page");
    assert!(
        en.contains("<html lang=\"en\">") && en.contains("Sign in"),
        "{en}"
    );
    let request = service.stranger.post(format!("{}/language", service.url));
    let chosen = request.header("content-type", FORM);
    let chosen = chosen.body(form(&[("language", "zh"), ("back", "//evil.example")]));
    let chosen = chosen.send().await.expect("an answer");
    assert_eq!(chosen.headers()["location"], "/");
    let missing = service.stranger.get(format!("{}/nowhere", service.url));
    let missing = missing
        .header("cookie", cookie(&chosen))
        .header("accept", "text/html");
    let missing = missing.send().await.expect("an answer");
    assert_eq!(missing.status(), StatusCode::NOT_FOUND);
    assert!(missing.text().await.expect("a page").contains("操作未完成"));
}
