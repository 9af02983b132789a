//! The HTTP service: pages for people, JSON for programs, events as they happen, metrics, evidence
//! files.
//!
//! [`routes`] is the whole of it: path, method, who may use it, handler. The router is built from
//! that table, so a route that is not in it does not exist; `openapi` describes exactly its JSON
//! routes, and tests walk all of them as every role, without a session and from another origin.
//!
//! It must never: take a path of the file system from a client, hold more than a bounded number
//! of bytes for a client that does not read, or block an async thread (pictures are encoded on
//! the blocking pool). Only `error` picks the status of a failure, and only this module names
//! axum.
//!
//! ```text
//! connection   how many, and for how long without a byte     (connection.rs)
//!   finish     request id, span, problem body, headers       (layers.rs)
//!     hurry    a limit on the wait for an answer's head
//!       guard  host, origin, how many at once, who asks, whether they may   (access.rs)
//!         handler
//! ```

mod access;
mod body;
mod checks;
mod client;
mod connection;
mod error;
mod figures;
mod layers;
mod listen;
mod looks;
mod openapi;
mod problem;
mod query;
mod relays;
mod renditions;
pub mod replays;
mod running;
mod scenes;
mod served;
mod sight;
pub mod sink;
mod status;
mod table;
mod tls;
mod ui;
mod v1;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::from_fn_with_state;
use bytes::Bytes;
use serde::Serialize;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

pub use checks::{Bad, Checked, Checker, Finding, Well, Why};
pub use listen::{ListenError, bind};
pub use openapi::document;
pub use replays::{ReplayOrder, ReplayOutcome, ReplayedAlarm, Replayer};
pub use scenes::{CameraScene, SceneInForce, facade_of, judged_facade, masks_of};
pub use sight::Privacy;
pub use table::{Access, Route, Shows, routes};
pub use tls::{Tls, TlsError};

use crate::audit::Key;
use crate::auth::Role;
use crate::auth::throttle::Throttle;
use crate::clock::Clock;
use crate::decode::Latest;
use crate::evidence::room::Room;
use crate::health::{Board, Threads};
use crate::id::{CameraId, SiteId};
use crate::metrics::Metrics;
use crate::report::inventory::Inventory;
use crate::scene;
use crate::source::live::Live;
use crate::store::{SessionLimits, Store};
use client::Peer;
use error::ApiError;
use looks::Looks;
use relays::Relays;
use renditions::Renditions;
use running::Replays;

/// What the API shows, and the bounds within which it does.
#[derive(Clone, Debug)]
pub struct Api {
    pub store: Store,
    pub board: Board,
    pub threads: Threads,
    pub latest: Latest,
    pub live: Live,
    /// The configured cameras, in the order of the config.
    pub cameras: Vec<CameraInfo>,
    pub sites: Vec<SiteInfo>,
    /// What reports count.
    pub inventory: Arc<Inventory>,
    /// What the cameras look at, at the moment.
    pub scenes: BTreeMap<CameraId, SceneInForce>,
    pub metrics: Metrics,
    pub clock: Arc<dyn Clock>,
    /// The folder under which the store's evidence folders lie.
    pub evidence_root: PathBuf,
    /// Names that a Host header may carry besides `localhost` and addresses: the public URL's.
    pub hosts: Vec<String>,
    /// Encrypts connections; none where a proxy does, or nobody.
    pub tls: Option<Tls>,
    pub sign_in: SignIn,
    /// Runs recordings for auditors; none where a part of the service is tried alone.
    pub replayer: Option<Arc<dyn Replayer>>,
    /// Tries everything anew; none where a part of the service is tried alone.
    pub checker: Option<Arc<dyn Checker>>,
    /// The folder whose files auditors may replay.
    pub recordings_dir: Option<PathBuf>,
    /// Signs checkpoints of the audit log; none where the disk takes nothing.
    pub audit_key: Option<Key>,
    pub limits: Limits,
    pub privacy: Privacy,
    /// Whether the disk has room for copies of evidence.
    pub room: Room,
    pub footage: FootageInfo,
}

/// How ordinary video is kept, as the config gives it.
#[derive(Clone, Debug)]
pub struct FootageInfo {
    /// The folder under which the store's segments lie.
    pub root: PathBuf,
    pub days: u64,
}

/// How people sign in.
#[derive(Clone, Debug, Default)]
pub struct SignIn {
    /// Whether browsers reach the service by https: cookies then travel by nothing else.
    pub transport: Transport,
    /// Proxies whose word about the client's address is taken.
    pub proxies: Vec<IpAddr>,
    pub sessions: SessionLimits,
    /// Who has one of these must have a second factor.
    pub second_factor_roles: Vec<Role>,
}

/// How browsers reach the service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Transport {
    #[default]
    Plain,
    Tls,
}

/// A site as the config gives it.
#[derive(Clone, Debug)]
pub struct SiteInfo {
    pub id: SiteId,
    /// What people call it.
    pub name: String,
}

/// A camera as the config gives it.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct CameraInfo {
    #[schema(value_type = String)]
    pub id: CameraId,
    /// What people call it.
    pub name: String,
    #[schema(value_type = String)]
    pub site: SiteId,
    /// The building that it watches, or in which its elevator is; may be empty.
    pub building: String,
    /// The elevator in which it hangs; may be empty.
    pub elevator: String,
    /// What people call the building or elevator; may be empty.
    pub place: String,
    pub kind: scene::Kind,
    /// Whether its ordinary video is kept (`/api/v1/cameras/{id}/footage`).
    pub keeps_footage: bool,
}

/// Bounds of the service.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections at a time; further clients wait to be accepted.
    pub connections: usize,
    /// Of those, one client's; proxies and this machine may have any number.
    pub connections_of_one: usize,
    /// Requests at a time; further ones are answered 503.
    pub requests: usize,
    /// Clients of the alarm stream; further ones are answered 503.
    pub stream_clients: usize,
    /// Viewers of live video, of all cameras; further ones are answered 503.
    pub live_viewers: usize,
    /// A request's body.
    pub body_bytes: usize,
    /// Until the head of an answer; then 503.
    pub request: Duration,
    /// Without a byte either way; then the connection is closed.
    pub idle: Duration,
    /// Between two signs of life on a quiet alarm stream.
    pub keep_alive: Duration,
    /// For open requests when the service stops; then they are cut.
    pub stop: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 512,
            connections_of_one: 64,
            requests: 64,
            stream_clients: 256,
            // Of 4 Mbit/s each: what a link of 100 Mbit/s carries beside everything else.
            live_viewers: 20,
            body_bytes: 16 * 1024,
            request: Duration::from_secs(30),
            idle: Duration::from_secs(60),
            keep_alive: Duration::from_secs(15),
            stop: Duration::from_secs(10),
        }
    }
}

/// The API with what only requests share.
struct Service {
    api: Api,
    requests: Semaphore,
    stream_clients: Arc<Semaphore>,
    live_viewers: Arc<Semaphore>,
    relays: Relays,
    /// Pictures that were encoded for somebody just now.
    pictures: v1::snapshot::Encoded,
    /// Pictures being encoded.
    encoders: Semaphore,
    /// Passwords being hashed; others wait their turn within their request's timeout.
    hashers: Semaphore,
    /// A check of everything: one at a time.
    checking: Semaphore,
    throttle: Throttle,
    looks: Looks,
    replays: Replays,
    renditions: Renditions,
    writable: status::Writable,
    document: Bytes,
    stop: CancellationToken,
}

/// Serves the API on `listener` until `stop`; then lets open requests end, within
/// [`Limits::stop`]. Event streams end at once: their clients come back with `Last-Event-ID`.
pub async fn serve(
    listener: TcpListener,
    api: Api,
    stop: CancellationToken,
) -> std::io::Result<()> {
    // One core's worth: a wall of pictures must not take the cameras' time.
    const ENCODERS: usize = 2;
    // 19 MiB and a core for some 30 ms each.
    const HASHERS: usize = 2;
    let limits = api.limits;
    let (renditions, orders) = Renditions::open();
    let service = Arc::new(Service {
        requests: Semaphore::new(limits.requests),
        stream_clients: Arc::new(Semaphore::new(limits.stream_clients)),
        live_viewers: Arc::new(Semaphore::new(limits.live_viewers)),
        relays: Relays::new(&api.privacy),
        pictures: v1::snapshot::Encoded::default(),
        encoders: Semaphore::new(ENCODERS),
        hashers: Semaphore::new(HASHERS),
        checking: Semaphore::new(1),
        throttle: Throttle::default(),
        looks: Looks::default(),
        replays: Replays::default(),
        renditions,
        writable: status::Writable::default(),
        document: openapi::document_bytes(),
        stop: stop.clone(),
        api,
    });
    let upkeep = tokio::spawn(fold_metrics(service.api.metrics.clone(), stop.clone()));
    let maker = renditions::work(Arc::clone(&service), orders, stop.clone());
    let maker = tokio::spawn(maker);
    tokio::spawn(renditions::foresee(Arc::clone(&service), stop.clone()));
    if let Some(tls) = service.api.tls.clone() {
        tokio::spawn(tls.follow(stop.clone()));
    }
    let proxies = service.api.sign_in.proxies.clone();
    let listener = connection::Bounded::new(listener, &limits, service.api.tls.clone(), proxies);
    let clients = router(&service).into_make_service_with_connect_info::<Peer>();
    let served =
        axum::serve(listener, clients).with_graceful_shutdown(stop.clone().cancelled_owned());
    let overdue = async {
        stop.cancelled().await;
        tokio::time::sleep(limits.stop).await;
    };
    let result = tokio::select! {
        result = served => result,
        () = overdue => {
            tracing::warn!("requests that were still open are cut, the service stops");
            Ok(())
        }
    };
    upkeep.abort();
    // It ends with `stop`, between two pictures of a clip.
    if let Err(error) = maker.await {
        tracing::error!(%error, "what makes copies of evidence had failed");
    }
    result
}

fn router(service: &Arc<Service>) -> Router {
    let mut router = Router::new();
    for route in routes() {
        let (path, rule) = (route.path, route.rule());
        let state = (Arc::clone(service), rule);
        let guarded = route
            .handler
            .layer(from_fn_with_state(state, access::guard));
        router = router.route(path, guarded);
    }
    router
        .fallback(|| async { ApiError::NoRoute })
        .method_not_allowed_fallback(|| async { ApiError::MethodNotAllowed })
        .layer(DefaultBodyLimit::max(service.api.limits.body_bytes))
        .layer(from_fn_with_state(Arc::clone(service), layers::hurry))
        .layer(from_fn_with_state(Arc::clone(service), layers::finish))
        .with_state(Arc::clone(service))
}

/// Keeps histograms from growing where nobody scrapes.
async fn fold_metrics(metrics: Metrics, stop: CancellationToken) {
    let mut tick = tokio::time::interval(Duration::from_secs(5));
    while stop.run_until_cancelled(tick.tick()).await.is_some() {
        metrics.upkeep();
    }
}
