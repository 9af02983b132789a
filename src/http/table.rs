//! The table of routes: every path of the service, who may use it, what it shows.

use std::sync::Arc;

use axum::extract::DefaultBodyLimit;
use axum::routing::{MethodRouter, get, post, put};
use serde::{Serialize, Serializer};

use super::Service;
use super::{openapi, status, ui, v1};
use crate::auth::Role;

/// Who may use a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Whoever reaches the port: nothing here shows what a camera saw.
    Anyone,
    /// Whoever has shown the password, also where the second factor's code is still due.
    Begun,
    /// Whoever has signed in, also with a one-time password that is still to be changed, or without
    /// the second factor that the role asks for.
    SignedIn,
    /// Whoever has one of these roles.
    Roles(&'static [Role]),
}

impl Serialize for Access {
    /// As the list of words that OpenAPI's `x-roles` shows.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Anyone => ["anyone"].serialize(serializer),
            Self::Begun => ["begun"].serialize(serializer),
            Self::SignedIn => ["signed_in"].serialize(serializer),
            Self::Roles(roles) => roles.serialize(serializer),
        }
    }
}

/// What a route shows, and so how it says no.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shows {
    /// JSON, events or files for programs: a refusal is a problem document.
    Data,
    /// A page or a part of one: without a session it leads to the sign-in.
    Page,
}

/// One row of the table of routes.
pub struct Route {
    pub method: &'static str,
    pub path: &'static str,
    pub access: Access,
    pub shows: Shows,
    /// What a look is called in the audit log, where the route shows what a camera saw.
    pub look: Option<&'static str>,
    pub(super) handler: MethodRouter<Arc<Service>>,
}

/// What the guard must know of a route.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rule {
    pub(super) access: Access,
    pub(super) shows: Shows,
    pub(super) look: Option<&'static str>,
}

impl Route {
    pub(super) fn rule(&self) -> Rule {
        Rule {
            access: self.access,
            shows: self.shows,
            look: self.look,
        }
    }
}

const READERS: Access = Access::Roles(&[Role::Operator, Role::Manager, Role::Auditor]);
const HANDLERS: Access = Access::Roles(&[Role::Operator, Role::Manager]);
const KEEPERS: Access = Access::Roles(&[
    Role::Operator,
    Role::Manager,
    Role::Auditor,
    Role::Maintainer,
]);
const MENDERS: Access = Access::Roles(&[Role::Manager, Role::Maintainer]);
const REPORTERS: Access = Access::Roles(&[Role::Manager, Role::Auditor]);
const MANAGERS: Access = Access::Roles(&[Role::Manager]);
/// Who may look at how a camera's scene is drawn; [`MENDERS`] draw it.
const SCENE_READERS: Access = Access::Roles(&[Role::Manager, Role::Auditor, Role::Maintainer]);
/// Who looks through what happened, each for themselves.
const REVIEWERS: Access = Access::Roles(&[Role::Manager]);
/// How the service itself is: nothing that a camera saw.
const OVERSEERS: Access = Access::Roles(&[Role::Manager, Role::Auditor, Role::Maintainer]);
const ADMINS: Access = Access::Roles(&[Role::Admin]);
const AUDITORS: Access = Access::Roles(&[Role::Auditor]);
/// Auditors read all, and so also who may do what.
const ACCOUNT_READERS: Access = Access::Roles(&[Role::Admin, Role::Auditor]);

/// Returns the table of all routes.
pub fn routes() -> Vec<Route> {
    let mut table = service_routes();
    table.extend(alarm_routes());
    table.extend(footage_routes());
    table.extend(scene_routes());
    table.extend(review_routes());
    table.extend(record_routes());
    table.extend(people_routes());
    table.extend(replay_routes());
    table.extend(page_routes());
    table.extend(own_account_routes());
    table
}

fn read(path: &'static str, access: Access, handler: MethodRouter<Arc<Service>>) -> Route {
    Route {
        method: "GET",
        path,
        access,
        shows: Shows::Data,
        look: None,
        handler,
    }
}

fn change(path: &'static str, access: Access, handler: MethodRouter<Arc<Service>>) -> Route {
    Route {
        method: "POST",
        ..read(path, access, handler)
    }
}

/// Puts something else into the place of what the path names.
fn replace(path: &'static str, access: Access, handler: MethodRouter<Arc<Service>>) -> Route {
    Route {
        method: "PUT",
        ..read(path, access, handler)
    }
}

/// A look at what this route shows is written down before it is shown.
fn seen(look: &'static str, route: Route) -> Route {
    Route {
        look: Some(look),
        ..route
    }
}

fn page(route: Route) -> Route {
    Route {
        shows: Shows::Page,
        ..route
    }
}

fn service_routes() -> Vec<Route> {
    vec![
        read("/healthz", Access::Anyone, get(status::healthz)),
        read("/readyz", Access::Anyone, get(status::readyz)),
        read("/metrics", KEEPERS, get(status::metrics)),
        read("/openapi.json", Access::Anyone, get(openapi::serve)),
    ]
}

fn alarm_routes() -> Vec<Route> {
    use v1::{alarms, cameras, deliveries, evidence, holds, live, shelves, snapshot, stream};
    let close = post(alarms::close);
    let acknowledge = post(alarms::acknowledge);
    let assign = post(alarms::assign);
    let note = post(alarms::note);
    let hold = post(holds::hold);
    let release = post(holds::release);
    let file = get(evidence::file);
    let retry = post(deliveries::retry);
    let picture = get(snapshot::newest);
    let unshelve = post(shelves::unshelve);
    vec![
        read("/api/v1/alarms", READERS, get(alarms::list)),
        read("/api/v1/alarms/stream", READERS, get(stream::stream)),
        read("/api/v1/alarms/{id}", READERS, get(alarms::one)),
        change("/api/v1/alarms/{id}/acknowledge", HANDLERS, acknowledge),
        change("/api/v1/alarms/{id}/close", HANDLERS, close),
        change("/api/v1/alarms/{id}/assign", HANDLERS, assign),
        change("/api/v1/alarms/{id}/notes", HANDLERS, note),
        change("/api/v1/alarms/{id}/hold", MANAGERS, hold),
        change("/api/v1/alarms/{id}/release", MANAGERS, release),
        seen(
            "evidence.seen",
            read("/api/v1/alarms/{id}/evidence/{name}", READERS, file),
        ),
        read("/api/v1/shelves", KEEPERS, get(shelves::list)),
        change("/api/v1/shelves", HANDLERS, post(shelves::shelve)),
        change("/api/v1/shelves/{id}/end", HANDLERS, unshelve),
        read("/api/v1/cameras", KEEPERS, get(cameras::list)),
        read("/api/v1/cameras/{id}", KEEPERS, get(cameras::one)),
        seen(
            "picture.seen",
            read("/api/v1/cameras/{id}/snapshot.jpg", READERS, picture),
        ),
        seen(
            live::LOOK,
            read("/api/v1/cameras/{id}/live", READERS, get(live::watch)),
        ),
        read("/api/v1/deliveries", KEEPERS, get(deliveries::list)),
        change("/api/v1/deliveries/{id}/retry", MENDERS, retry),
    ]
}

/// Ordinary video: what is like evidence.
fn footage_routes() -> Vec<Route> {
    use v1::footage;
    const LIST: &str = "/api/v1/cameras/{id}/footage";
    let segment = read("/api/v1/footage/{id}", READERS, get(footage::segment));
    vec![
        read(LIST, READERS, get(footage::list)),
        seen("footage.seen", segment),
        page(read("/footage", READERS, get(ui::footage::show))),
    ]
}

fn scene_routes() -> Vec<Route> {
    use v1::scene;
    const SCENE: &str = "/api/v1/cameras/{id}/scene";
    const CHECK: &str = "/api/v1/cameras/{id}/scene/check";
    const PICTURE: &str = "/api/v1/cameras/{id}/scene.jpg";
    let large = || DefaultBodyLimit::max(scene::SCENE_BYTES_MAX);
    let picture = read(PICTURE, SCENE_READERS, get(scene::picture));
    vec![
        read(SCENE, KEEPERS, get(scene::read)),
        replace(SCENE, MENDERS, put(scene::change).layer(large())),
        change(CHECK, MENDERS, post(scene::check).layer(large())),
        seen("picture.seen", picture),
        page(read(
            "/cameras/{id}/scene",
            SCENE_READERS,
            get(ui::scene::show),
        )),
    ]
}

fn review_routes() -> Vec<Route> {
    use ui::{places, review, trends};
    vec![
        change("/api/v1/reviews", REVIEWERS, post(v1::reviews::mark)),
        page(read("/review", READERS, get(review::show))),
        page(read("/review/places", READERS, get(places::show))),
        page(read("/review/trends", READERS, get(trends::show))),
    ]
}

fn record_routes() -> Vec<Route> {
    use v1::{exports, reports};
    let approve = post(exports::approve);
    let refuse = post(exports::refuse);
    let bundle = get(exports::bundle);
    vec![
        read("/api/v1/exports", READERS, get(exports::list)),
        change("/api/v1/exports", HANDLERS, post(exports::ask)),
        change("/api/v1/exports/{id}/approve", MANAGERS, approve),
        change("/api/v1/exports/{id}/refuse", MANAGERS, refuse),
        read("/api/v1/exports/{id}/bundle", HANDLERS, bundle),
        page(read("/exports", READERS, get(ui::exports::show))),
        read(
            "/api/v1/reports/acceptance",
            REPORTERS,
            get(reports::acceptance),
        ),
        read(
            "/api/v1/reports/acceptance.csv",
            REPORTERS,
            get(reports::acceptance_csv),
        ),
        page(read("/reports", REPORTERS, get(ui::reports::show))),
    ]
}

fn people_routes() -> Vec<Route> {
    use v1::{accounts, audit, session, tokens};
    let roles = post(accounts::set_roles);
    let password = post(accounts::reset_password);
    let name = post(accounts::set_display_name);
    let no_factor = post(accounts::remove_second_factor);
    let disable = post(accounts::disable);
    let enable = post(accounts::enable);
    let revoke = post(tokens::revoke);
    let checkpoint = get(audit::checkpoint);
    // A path has one row a method, and one handler for all of them.
    vec![
        read("/api/v1/session", Access::Begun, get(session::own)),
        change("/api/v1/session/code", Access::Begun, post(session::code)),
        read("/api/v1/accounts", ACCOUNT_READERS, get(accounts::list)),
        change("/api/v1/accounts", ADMINS, post(accounts::add)),
        change("/api/v1/accounts/{name}/roles", ADMINS, roles),
        change("/api/v1/accounts/{name}/password", ADMINS, password),
        change("/api/v1/accounts/{name}/display-name", ADMINS, name),
        change(
            "/api/v1/accounts/{name}/second-factor/remove",
            ADMINS,
            no_factor,
        ),
        change("/api/v1/accounts/{name}/disable", ADMINS, disable),
        change("/api/v1/accounts/{name}/enable", ADMINS, enable),
        read("/api/v1/audit", AUDITORS, get(audit::list)),
        read("/api/v1/audit/checkpoint", AUDITORS, checkpoint),
        read("/api/v1/tokens", ACCOUNT_READERS, get(tokens::list)),
        change("/api/v1/tokens", ADMINS, post(tokens::add)),
        change("/api/v1/tokens/{name}/revoke", ADMINS, revoke),
    ]
}

fn replay_routes() -> Vec<Route> {
    use v1::replays;
    vec![
        read("/api/v1/replays", AUDITORS, get(replays::list)),
        change("/api/v1/replays", AUDITORS, post(replays::begin)),
        read("/api/v1/replays/{id}", AUDITORS, get(replays::one)),
        change(
            "/api/v1/replays/{id}/cancel",
            AUDITORS,
            post(replays::cancel),
        ),
        read("/api/v1/recordings", AUDITORS, get(replays::recordings)),
        page(read("/service", OVERSEERS, get(ui::service::show))),
        page(change("/service", MENDERS, post(ui::service::check))),
        change("/api/v1/service/check", MENDERS, post(v1::checks::check)),
        page(read("/replays", AUDITORS, get(ui::replays::list))),
        page(change("/replays", AUDITORS, post(ui::replays::begin))),
        page(read("/replays/{id}", AUDITORS, get(ui::replays::one))),
    ]
}

/// What people do with their own account; a program has none.
fn own_account_routes() -> Vec<Route> {
    use ui::{account, code, password, sign_in};
    let own = Access::SignedIn;
    let routes = [
        read("/sign-in/code", Access::Begun, get(code::show)),
        change("/sign-in/code", Access::Begun, post(code::enter)),
        change("/sign-out", Access::Begun, post(sign_in::sign_out)),
        read("/password", own, get(password::show)),
        change("/password", own, post(password::change)),
        read("/account", own, get(account::show)),
        change("/account/second-factor", own, post(account::begin)),
        change(
            "/account/second-factor/confirm",
            own,
            post(account::confirm),
        ),
        change("/account/second-factor/remove", own, post(account::remove)),
        change("/account/recovery-codes", own, post(account::renew)),
    ];
    routes.into_iter().map(page).collect()
}

fn page_routes() -> Vec<Route> {
    use ui::{accounts, alarm, alarms, assets, audit, board, cameras};
    use ui::{language, shelves, sign_in, wall};
    let routes = [
        read("/", Access::SignedIn, get(ui::home)),
        read("/assets/{name}", Access::Anyone, get(assets::serve)),
        change("/language", Access::Anyone, post(language::choose)),
        read("/sign-in", Access::Anyone, get(sign_in::show)),
        change("/sign-in", Access::Anyone, post(sign_in::sign_in)),
        read("/board", READERS, get(board::show)),
        read("/board/alarms/{id}", READERS, get(board::card)),
        read("/board/shelves", READERS, get(shelves::strip)),
        read("/shelves", READERS, get(shelves::show)),
        read("/alarms", READERS, get(alarms::show)),
        read("/alarms/{id}", READERS, get(alarm::show)),
        read("/wall", READERS, get(wall::show)),
        read("/wall/facts", READERS, get(wall::facts)),
        read("/cameras", KEEPERS, get(cameras::show)),
        read("/audit", AUDITORS, get(audit::show)),
        read("/accounts", ACCOUNT_READERS, get(accounts::show)),
    ];
    routes.into_iter().map(page).collect()
}
