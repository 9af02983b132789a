//! Every route, as everybody: the table of routes is what the service does.

use std::net::{IpAddr, Ipv4Addr};

use plumb::auth::{password, totp};
use plumb::clock::DrivenClock;
use plumb::http::{Access, Route as TableRow, Shows};
use plumb::id::AccountId;
use plumb::store::{PasswordKind, SecondFactor, SessionLimits};

use super::*;

const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// A hash that costs the tests nothing more: no test of this file types a password in.
static HASH: std::sync::LazyLock<String> = std::sync::LazyLock::new(|| password::hash("any"));

/// Who asks.
enum Caller<'a> {
    Nobody,
    Session(&'a ClientSecret),
    Token(&'a str),
}

impl Service {
    async fn add_account(&self, role: Role, kind: PasswordKind) {
        let name = account(role);
        let (roles, who) = (Roles::only(role), Actor::service());
        let added = self.store.add_account(&name, &roles, &HASH, &who);
        added.await.expect("it is committed");
        let set = self.store.set_password(&name, &HASH, kind, &who);
        set.await.expect("it is committed");
    }

    /// Turns the second factor of an account on.
    async fn add_factor(&self, role: Role) {
        let (name, store) = (account(role), &self.store);
        store.begin_second_factor(&name).await.expect("committed");
        let begun = store.second_factor(&name).await.expect("readable");
        let SecondFactor::Begun(secret) = begun else {
            panic!("{begun:?}");
        };
        let now_ms = SystemClock::new().now().as_millisecond();
        let code = secret.code_of(totp::step_at(now_ms));
        let confirmed = store.confirm_second_factor(&name, &code, "").await;
        assert_eq!(
            confirmed.expect("committed").map(|codes| codes.len()),
            Some(10)
        );
    }

    /// Begins a session as after the right password.
    async fn session(&self, role: Role) -> ClientSecret {
        let secret = ClientSecret::new_session();
        let found = self.store.credentials(&account(role)).await;
        let checked = found.expect("readable").expect("an account");
        let (digest, limits) = (secret.digest(), SessionLimits::default());
        let begun = self.store.sign_in(&checked, &digest, CLIENT, limits);
        begun.await.expect("it is committed");
        secret
    }

    /// Asks for a route of the table with ids that do not exist.
    fn ask(&self, row: &TableRow, caller: &Caller<'_>) -> RequestBuilder {
        let path = row
            .path
            .replace("{id}", "019a0b1c-7d2e-7f00-8a00-0123456789ab")
            .replace("{name}", "nowhere");
        let method: Method = row.method.parse().expect("a method");
        let request = self.stranger.request(method, format!("{}{path}", self.url));
        match caller {
            Caller::Nobody => request,
            Caller::Session(secret) => request
                .header("cookie", format!("plumb_session={}", secret.reveal()))
                .header("x-csrf-token", secret.csrf()),
            Caller::Token(token) => request.bearer_auth(token),
        }
    }
}

fn account(role: Role) -> AccountId {
    AccountId::parse(&format!("the-{role}")).expect("an id")
}

/// What came of a request, as far as rights are concerned.
#[derive(Debug, PartialEq, Eq)]
enum Came {
    Through,
    NotSignedIn,
    NotAllowed,
    ToPassword,
    ToCode,
    ToAccount,
    BadCsrf,
    ForeignOrigin,
}

async fn came(request: RequestBuilder) -> Came {
    let response = request.send().await.expect("an answer");
    let (status, path) = (response.status(), response.url().path().to_owned());
    let to = response.headers().get("location");
    let to = to.map(|to| to.to_str().expect("text").to_owned());
    match (status, to.as_deref()) {
        (StatusCode::SEE_OTHER, Some("/sign-in")) => return Came::NotSignedIn,
        (StatusCode::SEE_OTHER, Some("/password")) => return Came::ToPassword,
        (StatusCode::SEE_OTHER, Some("/sign-in/code")) => return Came::ToCode,
        // From the account's own forms that is no refusal.
        (StatusCode::SEE_OTHER, Some("/account")) if !path.starts_with("/account/") => {
            return Came::ToAccount;
        }
        (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN, _) => {}
        _ => return Came::Through,
    }
    let problem: Value = response.json().await.expect("a problem");
    match problem["type"].as_str().expect("a type") {
        "urn:plumb:problem:not-signed-in" => Came::NotSignedIn,
        "urn:plumb:problem:not-allowed" => Came::NotAllowed,
        "urn:plumb:problem:must-change-password" => Came::ToPassword,
        "urn:plumb:problem:must-show-code" => Came::ToCode,
        "urn:plumb:problem:must-add-second-factor" => Came::ToAccount,
        "urn:plumb:problem:no-person" => Came::NotAllowed,
        "urn:plumb:problem:bad-csrf" => Came::BadCsrf,
        "urn:plumb:problem:foreign-origin" => Came::ForeignOrigin,
        other => panic!("{other}"),
    }
}

/// The sign-out sends a session to the sign-in, which is no refusal; a wrong sign-in is refused by
/// its own page.
fn is_of_the_sign_in(row: &TableRow) -> bool {
    row.path == "/sign-out" || (row.path, row.method) == ("/sign-in", "POST")
}

/// The own account and its code are a person's only: a program has neither.
fn is_of_a_person(row: &TableRow) -> bool {
    row.path.starts_with("/account/")
        || [
            "/password",
            "/account",
            "/sign-in/code",
            "/api/v1/session/code",
        ]
        .contains(&row.path)
}

#[tokio::test]
async fn every_route_is_for_its_roles_and_for_no_other() {
    let service = Service::start().await;
    for role in Role::ALL {
        service.add_account(role, PasswordKind::Own).await;
    }
    let mut tokens = Vec::new();
    for role in Role::ALL {
        tokens.push((role, add_token(&service.store, role.as_str(), role).await));
    }
    for row in http::routes() {
        let name = format!("{} {}", row.method, row.path);
        if is_of_the_sign_in(&row) {
            continue;
        }
        let expected = |role: Option<Role>| match (row.access, role) {
            (Access::Anyone, _) | (Access::Begun | Access::SignedIn, Some(_)) => Came::Through,
            (_, None) => Came::NotSignedIn,
            (Access::Roles(roles), Some(role)) if roles.contains(&role) => Came::Through,
            (Access::Roles(_), Some(_)) => Came::NotAllowed,
        };
        let nobody = came(service.ask(&row, &Caller::Nobody)).await;
        assert_eq!(nobody, expected(None), "{name} without anything");
        for (role, token) in &tokens {
            if !is_of_a_person(&row) {
                let program = came(service.ask(&row, &Caller::Token(token))).await;
                assert_eq!(
                    program,
                    expected(Some(*role)),
                    "{name} with a token of {role}"
                );
            }
            let session = service.session(*role).await;
            let person = came(service.ask(&row, &Caller::Session(&session))).await;
            assert_eq!(person, expected(Some(*role)), "{name} as {role}");
        }
    }
}

#[tokio::test]
async fn what_is_over_opens_nothing() {
    let clock = Arc::new(DrivenClock::new(
        Timestamp::from_millisecond(MORNING_MS).expect("ok"),
    ));
    let service = Service::start_on(Limits::default(), Arc::clone(&clock) as Arc<dyn Clock>).await;
    for role in [Role::Manager, Role::Operator, Role::Admin] {
        service.add_account(role, PasswordKind::Own).await;
    }
    let limits = SessionLimits::default();
    let idle = service.session(Role::Manager).await;
    let signed_out = service.session(Role::Manager).await;
    service
        .store
        .sign_out(&signed_out.digest())
        .await
        .expect("committed");
    let disabled = service.session(Role::Operator).await;
    let who = Actor::service();
    let operator = account(Role::Operator);
    let closed = service.store.disable_account(&operator, &who);
    closed.await.expect("committed");
    let forged = ClientSecret::new_session();
    let token = add_token(&service.store, "old", Role::Manager).await;
    let old = TokenId::parse("old").expect("an id");
    let revoked = service.store.revoke_token(&old, &who);
    revoked.await.expect("committed");
    clock.advance(limits.idle + Duration::from_secs(1));
    for row in http::routes() {
        if row.access == Access::Anyone {
            continue;
        }
        let name = format!("{} {}", row.method, row.path);
        for secret in [&idle, &signed_out, &disabled, &forged] {
            let found = came(service.ask(&row, &Caller::Session(secret))).await;
            assert_eq!(found, Came::NotSignedIn, "{name}");
        }
        for token in [token.as_str(), forged.reveal(), "nonsense", ""] {
            let found = came(service.ask(&row, &Caller::Token(token))).await;
            assert_eq!(found, Came::NotSignedIn, "{name}");
        }
    }
}

#[tokio::test]
async fn a_one_time_password_opens_nothing_but_its_change() {
    let service = Service::start().await;
    for role in Role::ALL {
        service.add_account(role, PasswordKind::OneTime).await;
        let session = service.session(role).await;
        for row in http::routes() {
            if is_of_the_sign_in(&row) || row.path == "/" {
                continue;
            }
            let found = came(service.ask(&row, &Caller::Session(&session))).await;
            let expected = match row.access {
                Access::Roles(_) => Came::ToPassword,
                Access::Anyone | Access::Begun | Access::SignedIn => Came::Through,
            };
            assert_eq!(found, expected, "{} {} as {role}", row.method, row.path);
        }
    }
}

#[tokio::test]
async fn a_password_without_its_code_opens_nothing_but_the_page_that_asks_for_it() {
    let service = Service::start().await;
    for role in Role::ALL {
        service.add_account(role, PasswordKind::Own).await;
        service.add_factor(role).await;
        let session = service.session(role).await;
        for row in http::routes() {
            if is_of_the_sign_in(&row) {
                continue;
            }
            let found = came(service.ask(&row, &Caller::Session(&session))).await;
            let expected = match row.access {
                Access::Roles(_) | Access::SignedIn => Came::ToCode,
                Access::Anyone | Access::Begun => Came::Through,
            };
            assert_eq!(found, expected, "{} {} as {role}", row.method, row.path);
        }
    }
}

#[tokio::test]
async fn a_role_that_asks_for_a_second_factor_opens_nothing_without() {
    let sign_in = SignIn {
        second_factor_roles: vec![Role::Admin],
        ..SignIn::default()
    };
    let clock = Arc::new(SystemClock::new());
    let service = Service::start_as(Limits::default(), clock, sign_in).await;
    for role in [Role::Admin, Role::Manager] {
        service.add_account(role, PasswordKind::Own).await;
        let session = service.session(role).await;
        for row in http::routes() {
            // That leads to the page of the account in any case.
            if is_of_the_sign_in(&row) || row.path == "/" {
                continue;
            }
            let found = came(service.ask(&row, &Caller::Session(&session))).await;
            let expected = match (row.access, role) {
                (Access::Roles(_), Role::Admin) => Came::ToAccount,
                (Access::Roles(roles), _) if !roles.contains(&role) => Came::NotAllowed,
                _ => Came::Through,
            };
            assert_eq!(found, expected, "{} {} as {role}", row.method, row.path);
        }
    }
}

#[tokio::test]
async fn pages_of_other_origins_and_of_other_sessions_change_nothing() {
    let service = Service::start().await;
    service.add_account(Role::Manager, PasswordKind::Own).await;
    let (session, other) = (
        service.session(Role::Manager).await,
        service.session(Role::Manager).await,
    );
    for row in http::routes() {
        if row.method == "GET" {
            continue;
        }
        let name = format!("{} {}", row.method, row.path);
        let foreign = service.ask(&row, &Caller::Session(&session));
        let foreign = foreign.header("origin", "https://evil.example");
        assert_eq!(came(foreign).await, Came::ForeignOrigin, "{name}");
        if row.access == Access::Anyone {
            continue;
        }
        let cookie = format!("plumb_session={}", session.reveal());
        let bare = || {
            let path = row.path.replace("{id}", "x").replace("{name}", "x");
            let url = format!("{}{path}", service.url);
            let method: Method = row.method.parse().expect("a method");
            let request = service.stranger.request(method, url);
            request.header("cookie", &cookie)
        };
        assert_eq!(came(bare()).await, Came::BadCsrf, "{name} without the text");
        let wrong = bare().header("x-csrf-token", other.csrf());
        assert_eq!(came(wrong).await, Came::BadCsrf, "{name} with another's");
        let form = bare().header("content-type", "application/x-www-form-urlencoded");
        let wrong = form.body(format!("a=b&csrf={}", other.csrf()));
        assert_eq!(
            came(wrong).await,
            Came::BadCsrf,
            "{name} with another's in a form"
        );
    }
}

#[tokio::test]
async fn a_stream_ends_when_its_session_does() {
    use futures::TryStreamExt;
    let clock = Arc::new(DrivenClock::new(
        Timestamp::from_millisecond(MORNING_MS).expect("ok"),
    ));
    let service = Service::start_on(Limits::default(), Arc::clone(&clock) as Arc<dyn Clock>).await;
    service.add_account(Role::Operator, PasswordKind::Own).await;
    let session = service.session(Role::Operator).await;
    let rows = http::routes();
    let row = rows.iter().find(|row| row.path == "/api/v1/alarms/stream");
    let request = service.ask(row.expect("it is in the table"), &Caller::Session(&session));
    let mut bytes = request.send().await.expect("an answer").bytes_stream();
    bytes.try_next().await.expect("a greeting");
    service
        .store
        .sign_out(&session.digest())
        .await
        .expect("committed");
    // Wakes the stream, which then looks whether it may go on.
    service.raise(&fall(MORNING_MS)).await;
    let rest = tokio::time::timeout(PATIENCE, bytes.try_next()).await;
    assert_eq!(rest.expect("in time").expect("no broken stream"), None);
}

#[tokio::test]
async fn pages_may_load_nothing_from_elsewhere() {
    let service = Service::start().await;
    let rows = http::routes();
    let pages = rows
        .iter()
        .filter(|row| row.shows == Shows::Page && row.method == "GET");
    for row in pages.filter(|row| row.access == Access::Anyone && !row.path.contains('{')) {
        let response = service
            .ask(row, &Caller::Nobody)
            .send()
            .await
            .expect("an answer");
        let headers = response.headers().clone();
        let policy = headers["content-security-policy"].to_str().expect("text");
        assert!(
            policy.starts_with("default-src 'none'; script-src 'self';"),
            "{policy}"
        );
        assert!(!policy.contains("unsafe") && policy.contains("frame-ancestors 'none'"));
        for (name, value) in [
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "same-origin"),
            ("cross-origin-opener-policy", "same-origin"),
            ("cache-control", "no-store"),
        ] {
            assert_eq!(headers[name], value, "{}", row.path);
        }
        let page = response.text().await.expect("text");
        assert!(
            !page.contains("http://") && !page.contains("https://"),
            "{page}"
        );
        assert!(
            !page.contains(" style=") && !page.contains("<script>"),
            "{page}"
        );
    }
}
