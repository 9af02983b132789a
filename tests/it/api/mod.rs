//! The HTTP service as a client meets it: a real server on a free port over a real store.

mod alarms;
mod audit;
mod authz;
mod board;
mod clocks;
mod errors;
mod hostile;
mod evidence;
mod footage;
mod exports;
mod live;
mod openapi;
mod pages;
mod people;
mod pictures;
mod reports;
mod reviews;
mod replays;
mod scenes;
mod second_factor;
mod shelves;
mod sight;
mod status;
mod stream;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use plumb::alarm::{Alarm, AlarmKind, Origin, TrackPoint};
use plumb::audit::{Key, Signing};
use plumb::auth::secret::ClientSecret;
use plumb::auth::{Role, Roles};
use plumb::clock::{Clock, StreamTime, SystemClock};
use plumb::decode::Latest;
use plumb::evidence::room::{Room, SystemDisk};
use plumb::geometry::BoxPx;
use plumb::health::{Board, Threads};
use plumb::http::{self, Api, CameraInfo, FootageInfo, Limits, Privacy, SignIn, SiteInfo};
use plumb::id::{AlarmId, CameraId, EndpointId, SiteId, TokenId};
use plumb::metrics::Metrics;
use plumb::scene;
use plumb::source::live::Live;
use plumb::store::{Actor, Hears, NewAlarm, Route, Shelved, Store};
use reqwest::{Client, Method, RequestBuilder, StatusCode};
use serde_json::Value;
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// A condition that does not come true within this time never does.
const PATIENCE: Duration = Duration::from_secs(20);

/// 2026-01-31T10:00:00Z.
const MORNING_MS: i64 = 1_769_853_600_000;

/// A running service and what stands behind it.
struct Service {
    url: String,
    /// Shows the token of a program with the role manager.
    client: Client,
    /// Shows nothing, and follows no redirection.
    stranger: Client,
    token: String,
    store: Store,
    board: Board,
    threads: Threads,
    latest: Latest,
    replayer: Arc<replays::Scripted>,
    live: Live,
    folder: TempDir,
    stop: CancellationToken,
    served: JoinHandle<std::io::Result<()>>,
}

impl Service {
    async fn start() -> Self {
        Self::start_within(Limits::default()).await
    }

    async fn start_within(limits: Limits) -> Self {
        Self::start_on(limits, Arc::new(SystemClock::new())).await
    }

    async fn start_on(limits: Limits, clock: Arc<dyn Clock>) -> Self {
        Self::start_as(limits, clock, SignIn::default()).await
    }

    async fn start_as(limits: Limits, clock: Arc<dyn Clock>, sign_in: SignIn) -> Self {
        Self::start_with(limits, clock, sign_in, Privacy::default()).await
    }

    async fn start_with(
        limits: Limits,
        clock: Arc<dyn Clock>,
        sign_in: SignIn,
        privacy: Privacy,
    ) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let store = Store::open(folder.path(), vec![pager()], Arc::clone(&clock));
        let store = store.await.expect("an empty store");
        let replayer = Arc::new(replays::Scripted::default());
        let api = Api {
            store: store.clone(),
            board: Board::default(),
            threads: Threads::default(),
            latest: Latest::default(),
            live: Live::default(),
            cameras: cameras(),
            sites: vec![SiteInfo {
                id: SiteId::parse("garden").expect("an id"),
                name: "Garden".to_owned(),
            }],
            inventory: Arc::new(reports::inventory()),
            scenes: scenes::in_force(folder.path()),
            metrics: Metrics::install().expect("no other recorder"),
            clock,
            evidence_root: folder.path().join("evidence"),
            hosts: vec!["plumb.example".to_owned()],
            sign_in,
            tls: None,
            replayer: Some(replayer.clone()),
            checker: Some(Arc::new(status::Tried)),
            recordings_dir: Some(folder.path().join("recordings")),
            audit_key: Some(Key::open_or_make(folder.path(), Signing::default()).expect("a key")),
            limits,
            privacy,
            room: Room {
                disk: Arc::new(SystemDisk),
                floor_bytes: 0,
            },
            footage: FootageInfo {
                root: folder.path().join("footage"),
                days: 30,
            },
        };
        let live = api.live.clone();
        let (board, threads, latest) = (api.board.clone(), api.threads.clone(), api.latest.clone());
        let listener = http::bind("127.0.0.1:0".parse().expect("an address")).await;
        let listener = listener.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("it is bound"));
        let stop = CancellationToken::new();
        let served = tokio::spawn(http::serve(listener, api, stop.clone()));
        let token = add_token(&store, "tests", Role::Manager).await;
        Self {
            url,
            client: client(Some(&token)),
            stranger: client(None),
            token,
            store,
            board,
            threads,
            latest,
            replayer,
            live,
            folder,
            stop,
            served,
        }
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.url))
    }

    fn get(&self, path: &str) -> RequestBuilder {
        self.request(Method::GET, path)
    }

    fn post(&self, path: &str) -> RequestBuilder {
        self.request(Method::POST, path)
    }

    /// Returns the JSON of a route that must answer 200.
    async fn json(&self, path: &str) -> Value {
        let response = self.get(path).send().await.expect("an answer");
        let status = response.status();
        let body = response.text().await.expect("a body");
        assert_eq!(status, StatusCode::OK, "{path}: {body}");
        serde_json::from_str(&body).expect("JSON")
    }

    async fn raise(&self, new: &NewAlarm) -> AlarmId {
        self.store.raise(new).await.expect("it is committed")
    }

    fn evidence_root(&self) -> std::path::PathBuf {
        self.folder.path().join("evidence")
    }
}

/// Sends the request, which must be refused with this status and kind of problem; returns the
/// problem.
async fn refusal(request: RequestBuilder, status: u16, slug: &str) -> Value {
    let response = request.send().await.expect("an answer");
    let found = response.status().as_u16();
    let headers = response.headers().clone();
    let body = response.text().await.expect("a body");
    assert_eq!(found, status, "{body}");
    assert_eq!(headers["content-type"], "application/problem+json");
    assert_eq!(headers["cache-control"], "no-store");
    assert_eq!(headers["x-content-type-options"], "nosniff");
    let problem: Value = serde_json::from_str(&body).expect("JSON");
    assert_eq!(
        problem["type"],
        format!("urn:plumb:problem:{slug}"),
        "{body}"
    );
    assert_eq!(problem["status"], status);
    assert_eq!(
        problem["request_id"],
        headers["x-request-id"].to_str().expect("text")
    );
    problem
}

/// Gives a program a token.
async fn add_token(store: &Store, name: &str, role: Role) -> String {
    let secret = ClientSecret::new_token();
    let (name, roles) = (TokenId::parse(name).expect("an id"), Roles::only(role));
    let (digest, who) = (secret.digest(), Actor::service());
    let added = store.add_token(&name, &roles, &digest, None, &who);
    added.await.expect("it is committed");
    secret.reveal().to_owned()
}

fn client(token: Option<&str>) -> Client {
    // Another test may have installed it before: all install the same.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut headers = reqwest::header::HeaderMap::new();
    if let Some(token) = token {
        let value = format!("Bearer {token}").parse().expect("a header");
        headers.insert("authorization", value);
    }
    let builder = Client::builder().no_proxy().default_headers(headers);
    let builder = builder.redirect(reqwest::redirect::Policy::none());
    builder.build().expect("a client")
}

fn pager() -> Route {
    Route {
        endpoint: EndpointId::parse("pager").expect("an id"),
        url_sha256: "0".repeat(64),
        kinds: Vec::new(),
        sites: Vec::new(),
        min_score: 0.0,
        hears: Hears::Alarms,
        shelved: Shelved::Held,
    }
}

fn cameras() -> Vec<CameraInfo> {
    let camera = |id: &str, name: &str, place: &str, kind| CameraInfo {
        id: CameraId::parse(id).expect("an id"),
        name: name.to_owned(),
        site: SiteId::parse("garden").expect("an id"),
        building: String::new(),
        elevator: String::new(),
        place: place.to_owned(),
        kind,
        keeps_footage: id == "north",
    };
    vec![
        camera("north", "3号楼北面", "Building 3", scene::Kind::Facade),
        camera("lift-2", "Elevator 2", "Elevator 2", scene::Kind::Elevator),
    ]
}

/// Returns a fall before the camera `north`, raised at `raised_at_ms`.
fn fall(raised_at_ms: i64) -> NewAlarm {
    let at = |seconds| StreamTime::from_secs_f64(seconds);
    let area = BoxPx {
        x_px: 400.0,
        y_px: 120.0,
        width_px: 9.0,
        height_px: 11.0,
    };
    NewAlarm {
        id: AlarmId::new(Timestamp::from_millisecond(raised_at_ms).expect("in range")),
        camera: CameraId::parse("north").expect("an id"),
        site: SiteId::parse("garden").expect("an id"),
        place: "Building 3".to_owned(),
        started_at_ms: raised_at_ms - 900,
        raised_at_ms,
        alarm: Alarm {
            kind: AlarmKind::FallingObject,
            started_at: at(7.1),
            raised_at: at(8.0),
            ended_at: None,
            score: 0.9,
            track: vec![
                TrackPoint { at: at(7.1), area },
                TrackPoint { at: at(8.0), area },
            ],
            origin: Some(Origin {
                x_px: 400.0,
                y_px: 120.0,
                floor: Some(14),
                floor_min: Some(13),
                floor_max: Some(15),
            }),
        },
        scene_sha256: None,
    }
}

fn ebike(raised_at_ms: i64) -> NewAlarm {
    let mut new = fall(raised_at_ms);
    new.camera = CameraId::parse("lift-2").expect("an id");
    new.place = "Elevator 2".to_owned();
    new.alarm.kind = AlarmKind::EbikeInElevator;
    new.alarm.score = 0.6;
    new.alarm.origin = None;
    new
}

/// Writes `bytes` below the evidence root and returns their digest.
fn write_evidence(root: &Path, folder: &str, name: &str, bytes: &[u8]) -> String {
    use sha2::Digest;
    std::fs::create_dir_all(root.join(folder)).expect("a folder");
    std::fs::write(root.join(folder).join(name), bytes).expect("a file");
    sha2::Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}
