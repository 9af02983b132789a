//! The service: every camera with its source and thread, the recorder, the outbox and the API.
//!
//! Start order: store (what a crash left is put right), models, outbox, API, cameras: nothing can
//! be raised before it can be kept. Stop order is the stream's: sources, camera threads (they end
//! what is raised), recorder (evidence is written), outbox, API, store.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use jiff::Timestamp;
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

use super::camera::{CameraThread, Report};
use super::checks::Checks;
use super::described::{camera_info, footage_info, scene_in_force, sign_in, site_info};
use super::footage::{self, Ring, RingParts};
use super::pace::{Pace, yield_to_facades};
use super::recorder::{REPORTS_MAX, Recorder};
use super::replayer::StageReplayer;
use super::upkeep::{Parts, Upkeep};
use super::{Detectors, checkpoints, found};
use crate::audit::{Key, KeyError};
use crate::auth::password;
use crate::clock::Clock;
use crate::config::{Camera, Config, Input};
use crate::decode::{Device, DeviceError, Latest};
use crate::deliver::{Alarms, Client, ClientError, Delivering, Outbox, overdue};
use crate::detect::SessionError;
use crate::evidence::room::{Room, SystemDisk};
use crate::health::{Board, Threads};
use crate::http::{self, Api, Limits, SceneInForce, Tls, TlsError};
use crate::id::CameraId;
use crate::metrics::{Metrics, RecorderTaken};
use crate::scene::Kind;
use crate::source::SourceEvent;
use crate::source::file::{self, FileCamera};
use crate::source::live::Live;
use crate::source::rtsp;
use crate::store::{Recovered, Store, StoreError};

/// Why the service cannot start; each names what to do.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    AuditKey(#[from] KeyError),
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error(transparent)]
    Models(#[from] SessionError),
    #[error(transparent)]
    Decode(#[from] DeviceError),
    #[error(transparent)]
    Listen(#[from] http::ListenError),
    #[error(transparent)]
    Metrics(#[from] RecorderTaken),
    #[error("cannot make the webhook client")]
    Client(#[from] ClientError),
    #[error("cannot start the threads that keep footage")]
    Footage(#[source] std::io::Error),
    #[error("cannot start the thread of camera {camera}")]
    Thread {
        camera: crate::id::CameraId,
        source: std::io::Error,
    },
}

/// How long a message that is being sent may take to finish when the service stops.
const SENDING_GRACE: Duration = Duration::from_secs(2);

/// Events between a source and the queue of its camera's thread: a source hands over two at once.
const PASSED_MAX: usize = 8;

/// Called for each picture once it has been looked at, or need not be, with when it was captured, on
/// the camera's thread: for measurements.
pub type Observer = Arc<dyn Fn(Timestamp) + Send + Sync>;

/// The running service.
pub struct Service {
    address: SocketAddr,
    first_password: Option<String>,
    board: Board,
    store: Store,
    stop_sources: CancellationToken,
    stop_http: CancellationToken,
    sources: Vec<JoinHandle<()>>,
    threads: Vec<thread::JoinHandle<()>>,
    recorder: JoinHandle<()>,
    alarms: Alarms,
    outbox: Outbox,
    overdue: JoinHandle<()>,
    stop_overdue: CancellationToken,
    http: JoinHandle<()>,
    checkpoints: Option<JoinHandle<()>>,
    stop_checkpoints: CancellationToken,
    upkeep: Upkeep,
    footage: Ring,
}

impl Service {
    /// Starts everything. Fails when the store, the models, the port or the video engine cannot be had;
    /// a camera that cannot be reached is no failure, it is tried again for ever.
    pub async fn start(config: Config, clock: Arc<dyn Clock>) -> Result<Self, ServiceError> {
        Self::start_observed(config, clock, Arc::new(|_| {})).await
    }

    /// Starts everything, with `observer` called for each picture that was looked at, or need not be.
    /// Fails as [`Service::start`] does.
    pub async fn start_observed(
        config: Config,
        clock: Arc<dyn Clock>,
        observer: Observer,
    ) -> Result<Self, ServiceError> {
        let (runtime, models_dir) = (config.runtime.as_deref(), config.models_dir.as_deref());
        let detectors = Detectors::load_with(runtime, models_dir, config.inference)?;
        let device = Device::open(config.decode.hardware)?;
        let tls = own_tls(&config)?;
        let listener = http::bind(config.http.listen).await?;
        let address = listener.local_addr().unwrap_or(config.http.listen);

        let delivering = Delivering {
            endpoints: config.endpoints.clone().into(),
            client: Client::open(Arc::clone(&clock))?,
            public_url: config.http.links_from(address),
            clock: Arc::clone(&clock),
        };
        let store = open_store(&config, &delivering).await?;
        let first_password = add_first_account(&store).await?;
        found::note_scenes(&store, &config.cameras).await;
        found::note_policy(&store, &config).await;
        let outbox = Outbox::start(&store, &delivering);
        let stop_overdue = CancellationToken::new();
        let steps = config.escalations.clone();
        let overdue = overdue::run(store.clone(), steps, stop_overdue.clone());
        let alarms = Alarms::new(store.clone(), delivering);
        let (reports, reported) = mpsc::channel(REPORTS_MAX);
        let shared = Shared {
            detectors,
            clock,
            observer,
            reports,
            board: Board::default(),
            latest: Latest::default(),
            device,
            live: Live::default(),
            threads: Threads::default(),
            scenes: config.cameras.iter().map(scene_in_force).collect(),
            evidence_root: config.data_dir.join("evidence"),
        };
        let stop_http = CancellationToken::new();
        let audit_key = checkpoints::chain(&store, &config).await?;
        let stop_checkpoints = CancellationToken::new();
        let checkpoints = audit_key.clone().map(|key| {
            let (store, stop) = (store.clone(), stop_checkpoints.clone());
            tokio::spawn(checkpoints::keep(store, key, config.data_dir.clone(), stop))
        });
        let api = shared.api(&config, store.clone(), audit_key.clone(), tls)?;
        let mut service = Self {
            address,
            first_password,
            board: shared.board.clone(),
            stop_sources: CancellationToken::new(),
            sources: Vec::new(),
            threads: Vec::new(),
            recorder: shared.record(&config, alarms.clone(), reported),
            upkeep: shared.upkeep(&config, &store, &alarms, audit_key),
            footage: shared.ring(&config, &store)?,
            alarms,
            outbox,
            overdue: tokio::spawn(overdue),
            stop_overdue,
            http: tokio::spawn(serve(listener, api, stop_http.clone())),
            stop_http,
            store,
            checkpoints,
            stop_checkpoints,
        };
        for camera in config.cameras {
            service.add(Arc::new(camera), &shared)?;
        }
        Ok(service)
    }

    /// Returns the API's address, with the port that was free where the config says port 0.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the one-time password of the account `admin` where this start has made it: it is told
    /// this once, and kept nowhere.
    pub fn first_password(&self) -> Option<&str> {
        self.first_password.as_deref()
    }

    /// Returns what all cameras' stages report of themselves.
    pub fn board(&self) -> &Board {
        &self.board
    }

    /// Stops everything in the stream's order. What is stored and not yet received is sent at the
    /// next start.
    pub async fn stop(self) {
        self.stop_sources.cancel();
        for source in self.sources {
            ended("a source", source).await;
        }
        // The sources have hung up: each thread ends when its packets are done.
        let joined = tokio::task::spawn_blocking(move || {
            self.threads
                .into_iter()
                .map(thread::JoinHandle::join)
                .filter(Result::is_err)
                .count()
        });
        if joined.await.unwrap_or(1) > 0 {
            error!("a camera's thread had panicked");
        }
        ended("the recorder", self.recorder).await;
        self.footage.stop().await;
        self.upkeep.stop().await;
        self.stop_overdue.cancel();
        ended("the look at what is overdue", self.overdue).await;
        self.alarms.stop().await;
        self.outbox.stop(SENDING_GRACE).await;
        self.stop_http.cancel();
        ended("the API", self.http).await;
        self.stop_checkpoints.cancel();
        if let Some(checkpoints) = self.checkpoints {
            ended("the keeper of checkpoints", checkpoints).await;
        }
        self.store.close().await;
    }

    /// Starts one camera's source and thread.
    fn add(&mut self, camera: Arc<Camera>, shared: &Shared) -> Result<(), ServiceError> {
        let (events, said) = mpsc::channel(PASSED_MAX);
        let (passed, received) = mpsc::channel(rtsp::EVENTS_MAX);
        tokio::spawn(pass_on(
            camera.id.clone(),
            said,
            passed,
            shared.live.clone(),
        ));
        let thread = shared.thread(Arc::clone(&camera));
        let runtime = Handle::current();
        let spawned = thread::Builder::new()
            .name(format!("camera {}", camera.id))
            .spawn(move || {
                if thread.camera.kind == Kind::Elevator {
                    yield_to_facades();
                }
                thread.run(received, &runtime);
            })
            .map_err(|source| ServiceError::Thread {
                camera: camera.id.clone(),
                source,
            })?;
        self.threads.push(spawned);
        let (board, clock, stop) = (
            shared.board.clone(),
            Arc::clone(&shared.clock),
            self.stop_sources.clone(),
        );
        self.sources.push(match &camera.input {
            Input::Rtsp(rtsp) => tokio::spawn(rtsp::run(*rtsp.clone(), events, board, clock, stop)),
            Input::File(path) => {
                let file = FileCamera::new(camera.id.clone(), path.clone());
                tokio::spawn(file::run(file, events, board, clock, stop))
            }
        });
        Ok(())
    }
}

/// What all cameras share.
struct Shared {
    detectors: Detectors,
    clock: Arc<dyn Clock>,
    observer: Observer,
    reports: mpsc::Sender<Report>,
    board: Board,
    latest: Latest,
    device: Option<Device>,
    live: Live,
    threads: Threads,
    scenes: BTreeMap<CameraId, SceneInForce>,
    evidence_root: PathBuf,
}

impl Shared {
    /// Starts the recorder.
    fn record(
        &self,
        config: &Config,
        alarms: Alarms,
        reported: mpsc::Receiver<Report>,
    ) -> JoinHandle<()> {
        let recorder = Recorder {
            alarms,
            evidence_root: self.evidence_root.clone(),
            room: self.room(config),
        };
        let alive = self.threads.enter("the recorder");
        tokio::spawn(async move {
            let _alive = alive;
            recorder.run(reported).await;
        })
    }

    /// Returns where evidence, and copies of it, must not be written any more.
    fn room(&self, config: &Config) -> Room {
        Room {
            disk: Arc::new(SystemDisk),
            // The keeper frees room at `min_free`; it may be late by some alarms.
            floor_bytes: config.retention.min_free_bytes / 2,
        }
    }

    /// Starts the work beside the stream.
    fn upkeep(&self, config: &Config, store: &Store, alarms: &Alarms, key: Option<Key>) -> Upkeep {
        Upkeep::start(Parts {
            store: store.clone(),
            alarms: alarms.clone(),
            evidence_root: self.evidence_root.clone(),
            rules: config.retention,
            footage: config.footage.clone(),
            keep_footage: footage::cameras(config),
            clock: Arc::clone(&self.clock),
            threads: self.threads.clone(),
            key,
            kinds: config
                .cameras
                .iter()
                .map(|camera| (camera.id.clone(), camera.kind))
                .collect(),
            scenes: self.scenes.clone(),
        })
    }

    fn api(
        &self,
        config: &Config,
        store: Store,
        audit_key: Option<Key>,
        tls: Option<Tls>,
    ) -> Result<Api, ServiceError> {
        let host = config
            .http
            .public_url
            .as_ref()
            .and_then(|url| url.host_str().map(str::to_owned));
        Ok(Api {
            store,
            board: self.board.clone(),
            threads: self.threads.clone(),
            latest: self.latest.clone(),
            live: self.live.clone(),
            cameras: config.cameras.iter().map(camera_info).collect(),
            sites: config.sites.iter().map(site_info).collect(),
            inventory: Arc::new(config.inventory.clone()),
            scenes: self.scenes.clone(),
            metrics: Metrics::install()?,
            clock: Arc::clone(&self.clock),
            evidence_root: self.evidence_root.clone(),
            hosts: host.into_iter().collect(),
            sign_in: sign_in(&config.http, &config.auth),
            replayer: Some(Arc::new(self.replayer(config))),
            checker: Some(Arc::new(Checks::of(config, Arc::clone(&self.clock)))),
            recordings_dir: config.recordings_dir.clone(),
            audit_key,
            tls,
            limits: Limits::default(),
            privacy: config.privacy.clone(),
            room: self.room(config),
            footage: footage_info(&config.footage),
        })
    }

    fn ring(&self, config: &Config, store: &Store) -> Result<Ring, ServiceError> {
        let (live, clock) = (&self.live, &self.clock);
        let parts = RingParts::of(config, store, live, clock, &self.threads, &self.scenes);
        Ring::start_if(parts).map_err(ServiceError::Footage)
    }

    fn replayer(&self, config: &Config) -> StageReplayer {
        let (runtime, models_dir) = (config.runtime.as_deref(), config.models_dir.as_deref());
        StageReplayer::new(&self.detectors, runtime, models_dir, config.inference)
    }

    fn thread(&self, camera: Arc<Camera>) -> CameraThread {
        let (detectors, kind) = (self.detectors.clone(), camera.kind);
        let pace = Pace::new(&self.clock, &self.board, &camera.id);
        let scene = self.scenes[&camera.id].follow();
        CameraThread {
            camera,
            make_watch: Box::new(move |scene| detectors.watch_live(kind, scene, pace.clone())),
            scene,
            models: self.detectors.digests(),
            board: self.board.clone(),
            latest: self.latest.clone(),
            device: self.device.clone(),
            threads: self.threads.clone(),
            clock: Arc::clone(&self.clock),
            reports: self.reports.clone(),
            observer: Arc::clone(&self.observer),
        }
    }
}

/// Shows what a source says to whoever watches live, and passes it on to the camera's thread: live
/// video does not wait for what is being looked at. Ends with the source. When the thread's queue is
/// full it waits, and the source drops pictures up to the next key picture.
async fn pass_on(
    camera: CameraId,
    mut said: mpsc::Receiver<SourceEvent>,
    passed: mpsc::Sender<SourceEvent>,
    live: Live,
) {
    while let Some(event) = said.recv().await {
        live.publish(&camera, &event);
        if passed.send(event).await.is_err() {
            return;
        }
    }
}

fn own_tls(config: &Config) -> Result<Option<Tls>, TlsError> {
    let files = config.http.tls.as_ref();
    let read = files.map(|files| Tls::read(&files.certificate, &files.key));
    read.transpose()
}

/// Opens the store and puts right what a crash left in it. Cameras must be watched also when the disk takes nothing: then alarms are
/// delivered from memory, and say that they are not stored and have no evidence.
async fn open_store(config: &Config, delivering: &Delivering) -> Result<Store, StoreError> {
    let clock = || Arc::clone(&delivering.clock);
    let store = match Store::open(&config.data_dir, delivering.routes(), clock()).await {
        Err(error) if error.is_disk() => {
            error!(
                error = &error as &dyn std::error::Error,
                "alarms are delivered from memory and lost with the process: mend the data directory and start again"
            );
            Store::open_volatile(delivering.routes(), clock()).await?
        }
        opened => opened?,
    };
    let recovered = store.recover().await?;
    if recovered != Recovered::default() {
        warn!(
            alarms.ended = recovered.alarms_ended,
            deliveries.reopened = recovered.deliveries_reopened,
            "put right what the last run left unfinished"
        );
    }
    Ok(store)
}

/// Makes the account `admin` where there is none at all, and returns its one-time password.
async fn add_first_account(store: &Store) -> Result<Option<String>, StoreError> {
    if !store.accounts().await?.is_empty() {
        return Ok(None);
    }
    let password = password::one_time();
    let hash = password::hash(&password);
    let was_first = store.add_first_account(&hash).await?;
    Ok(was_first.then_some(password))
}

async fn serve(listener: TcpListener, api: Api, stop: CancellationToken) {
    if let Err(error) = http::serve(listener, api, stop).await {
        error!(
            error = &error as &dyn std::error::Error,
            "the API has failed"
        );
    }
}

pub(super) async fn ended(what: &str, task: JoinHandle<()>) {
    if let Err(error) = task.await {
        error!(
            error = &error as &dyn std::error::Error,
            "{what} had failed"
        );
    }
}
