//! Who asks, and whether they may: the guard before every handler.
//!
//! All of it is here, so that no handler can forget it: the host (DNS rebinding), the origin and
//! the CSRF text (pages of others), how many at once, the session or token, the role. A handler
//! that wants to know who asks takes [`Principal`].

use std::net::IpAddr;
use std::sync::Arc;

use axum::body::{Body, to_bytes};
use axum::extract::{FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderName, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::error::{ApiError, First};
use super::query::shortened;
use super::table::{Access, Rule, Shows};
use super::{Service, Transport, client, looks};
use crate::auth::secret::ClientSecret;
use crate::auth::{Role, Roles};
use crate::store::{Actor, AuditOutcome};

/// Shown by scripts of a page with each change; forms have the field `csrf`.
const CSRF: HeaderName = HeaderName::from_static("x-csrf-token");

/// Who asks.
#[derive(Clone, Debug)]
pub(crate) struct Principal {
    pub(crate) actor: Actor,
    /// What pages call them.
    pub(crate) name: String,
    pub(crate) roles: Roles,
    pub(crate) client: IpAddr,
    /// A person's session; none for a program's token.
    pub(crate) session: Option<Session>,
    /// Alarms that a reviewer has not looked through, for the pages of a person who reviews.
    pub(crate) unreviewed: Option<u32>,
    /// What was shown, as the store knows it.
    digest: String,
}

/// A person's session.
#[derive(Clone, Debug)]
pub(crate) struct Session {
    pub(crate) secret: ClientSecret,
    pub(crate) account: crate::id::AccountId,
    pub(crate) must_change_password: bool,
    /// The second factor's code is still due.
    pub(crate) must_show_code: bool,
    /// A role of theirs asks for a second factor, and they have none.
    pub(crate) must_add_second_factor: bool,
}

impl Session {
    /// Fails while something else must be done before this may be opened.
    fn may_open(&self, access: Access) -> Result<(), ApiError> {
        match access {
            Access::Anyone | Access::Begun => Ok(()),
            _ if self.must_show_code => Err(ApiError::First(First::ShowCode)),
            Access::SignedIn => Ok(()),
            Access::Roles(_) if self.must_change_password => {
                Err(ApiError::First(First::ChangePassword))
            }
            Access::Roles(_) if self.must_add_second_factor => {
                Err(ApiError::First(First::AddSecondFactor))
            }
            Access::Roles(_) => Ok(()),
        }
    }

    /// Returns whether no page of any role may be opened yet.
    pub(crate) fn is_shut(&self) -> bool {
        self.must_change_password || self.must_show_code || self.must_add_second_factor
    }
}

impl<S: Sync> FromRequestParts<S> for Principal {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, ApiError> {
        let found = parts.extensions.get::<Self>();
        found.cloned().ok_or(ApiError::NotSignedIn)
    }
}

impl Principal {
    /// Returns the session of a person. Fails for a program, which has no account.
    pub(crate) fn own_session(&self) -> Result<&Session, ApiError> {
        self.session.as_ref().ok_or(ApiError::NoPerson)
    }

    /// Returns what tells a person's session from all others; none for a program.
    pub(super) fn session_key(&self) -> Option<&str> {
        self.session.as_ref().map(|_| self.digest.as_str())
    }
}

/// The client's address, for handlers of routes that are for anyone.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ClientAddress(pub(crate) IpAddr);

impl<S: Sync> FromRequestParts<S> for ClientAddress {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, ApiError> {
        let found = parts.extensions.get::<Self>();
        found.copied().ok_or(ApiError::Unreadable)
    }
}

/// Before every handler.
pub(super) async fn guard(
    State((service, rule)): State<(Arc<Service>, Rule)>,
    request: Request,
    next: Next,
) -> Response {
    let is_probe =
        rule.access == Access::Anyone && rule.shows == Shows::Data && request.method().is_safe();
    if is_probe {
        // By whatever name, and also when everything else is too busy.
        return next.run(request).await;
    }
    let uri = request.uri().clone();
    let request = match admit(&service, rule, request).await {
        Ok(request) => request,
        Err(error) => return refuse(error, rule),
    };
    // Full: refused at once rather than queued, so that an answer is never older than its timeout.
    // Until here a request has cost one row of the store; the bound on connections bounds those.
    let Ok(_permit) = service.requests.try_acquire() else {
        return ApiError::Busy { what: "requests" }.into_response();
    };
    let who = request.extensions().get::<Principal>().cloned();
    let response = next.run(request).await;
    let (Some(look), Some(who)) = (rule.look, who) else {
        return response;
    };
    if response.status().is_client_error() || response.status().is_server_error() {
        return response;
    }
    // The body has not left yet, and does not unless this is written down.
    match looks::shown(&service, &who, look, &uri).await {
        Ok(()) => response,
        Err(error) => error.into_response(),
    }
}

/// Returns the request with who asks in its extensions.
async fn admit(service: &Service, rule: Rule, mut request: Request) -> Result<Request, ApiError> {
    let headers = request.headers();
    check_host(headers, &service.api.hosts)?;
    check_origin(request.method(), headers)?;
    let proxies = &service.api.sign_in.proxies;
    let client = client::address(request.extensions(), headers, proxies);
    request.extensions_mut().insert(ClientAddress(client));
    let roles = match rule.access {
        Access::Anyone => return Ok(request),
        Access::Begun | Access::SignedIn => None,
        Access::Roles(roles) => Some(roles),
    };
    let principal = authenticate(service, request.headers(), client).await?;
    let mut principal = principal.ok_or(ApiError::NotSignedIn)?;
    if let Some(session) = &principal.session {
        if !request.method().is_safe() {
            let limit_bytes = service.api.limits.body_bytes;
            request = check_csrf(request, &session.secret, limit_bytes).await?;
        }
        session.may_open(rule.access)?;
    }
    if let Some(roles) = roles.filter(|roles| !principal.roles.any_of(roles)) {
        let path = shortened(request.uri().path());
        let refused = AuditOutcome::Refused;
        looks::note(service, &principal, "route.asked", &path, refused).await?;
        return Err(ApiError::NotAllowed { roles });
    }
    // Not for the board's cards, which come by the dozen and have no navigation.
    let is_part = request.uri().path().starts_with("/board/");
    if rule.shows == Shows::Page && request.method() == Method::GET && !is_part {
        principal.unreviewed = unreviewed(service, &principal).await;
    }
    request.extensions_mut().insert(principal);
    Ok(request)
}

/// Returns how many alarms wait for this reviewer; none for others, and where the store cannot tell:
/// the page matters more.
async fn unreviewed(service: &Service, who: &Principal) -> Option<u32> {
    let account = &who.session.as_ref()?.account;
    if !who.roles.any_of(&[Role::Manager]) {
        return None;
    }
    let counted = service.api.store.unreviewed(account.as_str()).await;
    counted
        .inspect_err(|error| tracing::warn!(%error, "what is not reviewed could not be counted"))
        .ok()
}

/// Returns who shows a token or a session that holds; none when nothing is shown.
async fn authenticate(
    service: &Service,
    headers: &HeaderMap,
    client: IpAddr,
) -> Result<Option<Principal>, ApiError> {
    let store = &service.api.store;
    if let Some(value) = headers.get(header::AUTHORIZATION) {
        let shown = value.to_str().ok().and_then(|text| {
            let (scheme, token) = text.split_once(' ')?;
            scheme
                .eq_ignore_ascii_case("bearer")
                .then_some(token.trim())
        });
        let Some(secret) = shown.and_then(ClientSecret::parse) else {
            return Ok(None);
        };
        let digest = secret.digest();
        let grant = store.token(&digest).await?;
        return Ok(grant.map(|grant| Principal {
            name: grant.name.to_string(),
            actor: Actor::token(grant.name.as_str()),
            roles: grant.roles,
            client,
            session: None,
            unreviewed: None,
            digest,
        }));
    }
    let transport = service.api.sign_in.transport;
    let shown = cookie(headers, session_cookie(transport));
    let Some(secret) = shown.and_then(ClientSecret::parse) else {
        return Ok(None);
    };
    let digest = secret.digest();
    let found = store.session(&digest, service.api.sign_in.sessions).await?;
    let Some(found) = found else { return Ok(None) };
    if let Err(error) = store.touch_session(&digest, &found).await {
        // On a full disk people must still see what happens; the session then ends early.
        tracing::warn!(%error, "the last use of a session could not be noted");
    }
    let asks = found.roles.any_of(&service.api.sign_in.second_factor_roles);
    Ok(Some(Principal {
        name: store.name_of(found.account.as_str()),
        actor: Actor::account(found.account.as_str()),
        roles: found.roles,
        client,
        session: Some(Session {
            secret,
            account: found.account,
            must_change_password: found.must_change_password,
            must_show_code: found.must_show_code,
            must_add_second_factor: asks && !found.has_second_factor,
        }),
        unreviewed: None,
        digest,
    }))
}

/// Returns whether the session or token still holds with its roles: for answers that go on for
/// hours. That counts as use of the session: a board that is watched must not sign itself out.
pub(super) async fn still_holds(service: &Service, who: &Principal) -> bool {
    let store = &service.api.store;
    let roles = if who.session.is_some() {
        let found = store
            .session(&who.digest, service.api.sign_in.sessions)
            .await;
        let Ok(Some(found)) = found else { return false };
        if let Err(error) = store.touch_session(&who.digest, &found).await {
            tracing::warn!(%error, "the last use of a session could not be noted");
        }
        Some(found.roles)
    } else {
        let grant = store.token(&who.digest).await;
        grant.ok().flatten().map(|grant| grant.roles)
    };
    roles.as_ref() == Some(&who.roles)
}

/// Returns the cookie's value.
pub(super) fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let values = headers.get_all(header::COOKIE).iter();
    let mut pairs = values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='));
    pairs
        .find(|(known, _)| *known == name)
        .map(|(_, value)| value)
}

/// Returns the name of the session's cookie. Browsers take `__Host-` only from https, for the whole
/// of this host and for no other.
pub(super) fn session_cookie(transport: Transport) -> &'static str {
    match transport {
        Transport::Plain => "plumb_session",
        Transport::Tls => "__Host-plumb_session",
    }
}

/// Refuses a change that a page asks for without the session's CSRF text: in the header, or as a
/// field of a form.
async fn check_csrf(
    request: Request,
    secret: &ClientSecret,
    limit_bytes: usize,
) -> Result<Request, ApiError> {
    if let Some(shown) = request.headers().get(CSRF) {
        let is_own = shown.to_str().is_ok_and(|shown| secret.has_csrf(shown));
        return if is_own {
            Ok(request)
        } else {
            Err(ApiError::BadCsrf)
        };
    }
    let content_type = request.headers().get(header::CONTENT_TYPE);
    if content_type.is_none_or(|kind| kind != "application/x-www-form-urlencoded") {
        return Err(ApiError::BadCsrf);
    }
    let (head, body) = request.into_parts();
    let too_large = |_| ApiError::BodyTooLarge { limit_bytes };
    let bytes = to_bytes(body, limit_bytes).await.map_err(too_large)?;
    let mut fields = url::form_urlencoded::parse(&bytes);
    let shown = fields.find(|(name, _)| name == "csrf");
    if shown.is_some_and(|(_, shown)| secret.has_csrf(&shown)) {
        Ok(Request::from_parts(head, Body::from(bytes)))
    } else {
        Err(ApiError::BadCsrf)
    }
}

/// Returns the answer to who may not: for a page, the way to where they may.
fn refuse(error: ApiError, rule: Rule) -> Response {
    let to = match (&error, rule.shows) {
        (ApiError::NotSignedIn, Shows::Page) => "/sign-in",
        (ApiError::First(first), Shows::Page) => first.page(),
        _ => return error.into_response(),
    };
    (StatusCode::SEE_OTHER, [(header::LOCATION, to)]).into_response()
}

/// Refuses a name that is not the service's: a page elsewhere can make a name of its own resolve
/// to this machine (DNS rebinding), but it cannot make the browser send another one. An address
/// cannot be rebound, and a program that sends no Host is no browser.
fn check_host(headers: &HeaderMap, hosts: &[String]) -> Result<(), ApiError> {
    let Some(host) = headers.get(header::HOST) else {
        return Ok(());
    };
    let host = host.to_str().unwrap_or("?");
    let authority: Option<Authority> = host.parse().ok();
    let name = authority.as_ref().map_or("?", Authority::host);
    let is_address = name.trim_matches(['[', ']']).parse::<IpAddr>().is_ok();
    let is_named = hosts.iter().any(|own| own.eq_ignore_ascii_case(name));
    if is_address || is_named || name.eq_ignore_ascii_case("localhost") {
        return Ok(());
    }
    Err(ApiError::ForeignHost {
        host: super::query::shortened(host),
    })
}

/// Refuses a change or a WebSocket that a page of another origin asks for. A program sends no Origin.
fn check_origin(method: &Method, headers: &HeaderMap) -> Result<(), ApiError> {
    // A WebSocket is opened by GET, and a browser lets any page open one.
    let is_asked = !method.is_safe() || headers.contains_key(header::SEC_WEBSOCKET_KEY);
    let Some(origin) = headers.get(header::ORIGIN).filter(|_| is_asked) else {
        return Ok(());
    };
    let origin = origin.to_str().unwrap_or("?");
    let authority = origin.split_once("://").map(|(_, authority)| authority);
    let host = headers
        .get(header::HOST)
        .and_then(|host| host.to_str().ok());
    if authority.is_some() && authority == host {
        Ok(())
    } else {
        Err(ApiError::ForeignOrigin)
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn headers(pairs: &[(HeaderName, &'static str)]) -> HeaderMap {
        let pairs = pairs.iter().cloned();
        pairs
            .map(|(name, value)| (name, HeaderValue::from_static(value)))
            .collect()
    }

    #[test]
    fn a_name_that_could_be_rebound_is_refused() {
        let own = ["plumb.example".to_owned()];
        for host in [
            "localhost",
            "LOCALHOST:8080",
            "127.0.0.1:1",
            "[::1]:80",
            "Plumb.example",
        ] {
            assert!(
                check_host(&headers(&[(header::HOST, host)]), &own).is_ok(),
                "{host}"
            );
        }
        for host in [
            "evil.example",
            "localhost.evil.example",
            "127.0.0.1.evil.example:80",
            "",
        ] {
            assert!(
                check_host(&headers(&[(header::HOST, host)]), &own).is_err(),
                "{host}"
            );
        }
        assert!(check_host(&HeaderMap::new(), &own).is_ok());
    }

    #[test]
    fn only_the_own_origin_may_change_anything() {
        let from = |origin| headers(&[(header::HOST, "localhost:80"), (header::ORIGIN, origin)]);
        assert!(check_origin(&Method::POST, &from("http://localhost:80")).is_ok());
        assert!(check_origin(&Method::POST, &HeaderMap::new()).is_ok());
        for other in ["http://evil.example", "null", "http://localhost:81"] {
            assert!(
                check_origin(&Method::POST, &from(other)).is_err(),
                "{other}"
            );
            assert!(check_origin(&Method::GET, &from(other)).is_ok(), "{other}");
        }
    }

    #[test]
    fn a_cookie_is_found_by_its_whole_name() {
        let jar = headers(&[(header::COOKIE, "a=1; plumb_session=x=y; xplumb_session=2")]);
        assert_eq!(cookie(&jar, "plumb_session"), Some("x=y"));
        assert_eq!(cookie(&jar, "session"), None);
    }
}
