//! Footage beside the stream: a writer a camera, and one that makes what they have closed whole and
//! notes it in the store. Each has a thread of its own that yields to the cameras'; there is none where
//! the disk takes nothing.
//!
//! Stop order: the sources first, so that the writers' segments end with the last picture; then the
//! writers; then whoever makes whole, after the one in hand. What still waits is made whole at the next
//! start.

pub mod keeper;

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

use super::pace::yield_to_facades;
use crate::clock::Clock;
use crate::config::Config;
use crate::evidence::room::{Room, SystemDisk};
use crate::footage::{FootageRules, Part, Parts, SEGMENT, Segment, Writer, make_whole};
use crate::health::Threads;
use crate::http::SceneInForce;
use crate::id::CameraId;
use crate::source::live::Live;
use crate::store::{Durability, Store};

/// What could not be made whole is tried again so often.
const AGAIN: Duration = Duration::from_secs(30);

/// What footage is kept with.
pub struct RingParts {
    pub store: Store,
    pub live: Live,
    pub clock: Arc<dyn Clock>,
    pub threads: Threads,
    /// Those whose footage is kept.
    pub cameras: Vec<CameraId>,
    /// What they look at, at the moment.
    pub scenes: BTreeMap<CameraId, SceneInForce>,
    pub rules: FootageRules,
}

impl RingParts {
    /// Returns what the configuration says; none where the disk takes nothing.
    pub(super) fn of(
        config: &Config,
        store: &Store,
        live: &Live,
        clock: &Arc<dyn Clock>,
        threads: &Threads,
        scenes: &BTreeMap<CameraId, SceneInForce>,
    ) -> Option<Self> {
        (store.durability() == Durability::Disk).then(|| Self {
            store: store.clone(),
            live: live.clone(),
            clock: Arc::clone(clock),
            threads: threads.clone(),
            cameras: cameras(config),
            scenes: scenes.clone(),
            rules: FootageRules {
                root: config.footage.dir.clone(),
                length: SEGMENT,
                room: Room {
                    disk: Arc::new(SystemDisk),
                    // The keeper frees room at twice of it.
                    floor_bytes: config.retention.min_free_bytes,
                },
            },
        })
    }
}

/// Returns the cameras whose footage is kept.
pub(super) fn cameras(config: &Config) -> Vec<CameraId> {
    let keep = config.cameras.iter().filter(|camera| camera.footage);
    keep.map(|camera| camera.id.clone()).collect()
}

/// The threads.
pub struct Ring {
    writers: Vec<thread::JoinHandle<()>>,
    finisher: Option<thread::JoinHandle<()>>,
    stop_writers: CancellationToken,
    stop_finisher: CancellationToken,
}

impl Ring {
    fn none() -> Self {
        Self {
            writers: Vec::new(),
            finisher: None,
            stop_writers: CancellationToken::new(),
            stop_finisher: CancellationToken::new(),
        }
    }

    /// Starts what `parts` say; nothing where there are none. Fails when a thread cannot be started.
    pub fn start_if(parts: Option<RingParts>) -> io::Result<Self> {
        parts.map_or_else(|| Ok(Self::none()), Self::start)
    }

    /// Starts the threads. Parts of the last run are made whole also where no camera keeps footage any
    /// more. Fails when a thread cannot be started.
    pub fn start(parts: RingParts) -> io::Result<Self> {
        let mut ring = Self::none();
        // Before any writer: what is open now was left by a crash.
        let waiting = Parts::of(&parts.rules.root);
        let (closed, told) = watch::channel(0);
        let finisher = Finisher {
            store: parts.store,
            parts: waiting,
            told,
            stop: ring.stop_finisher.clone(),
        };
        let runtime = Handle::current();
        let alive = parts.threads.enter("footage");
        let handle = runtime.clone();
        let spawned = thread::Builder::new().name("footage".to_owned());
        ring.finisher = Some(spawned.spawn(move || {
            let _alive = alive;
            yield_to_facades();
            finisher.run(&handle);
        })?);
        for camera in parts.cameras {
            let name = format!("footage {camera}");
            let alive = parts.threads.enter(&name);
            let (live, stop) = (parts.live.clone(), ring.stop_writers.clone());
            let (rules, clock) = (parts.rules.clone(), Arc::clone(&parts.clock));
            let slot = parts.scenes.get(&camera).cloned();
            let scene = Box::new(move || slot.as_ref()?.current().sha256.clone());
            let writer = Writer::new(camera, rules, clock, scene, closed.clone());
            let handle = runtime.clone();
            let spawned = thread::Builder::new().name(name);
            ring.writers.push(spawned.spawn(move || {
                let _alive = alive;
                yield_to_facades();
                handle.block_on(writer.run(&live, stop));
            })?);
        }
        Ok(ring)
    }

    /// Stops the threads, after the sources.
    pub async fn stop(self) {
        self.stop_writers.cancel();
        let (writers, finisher) = (self.writers, self.finisher);
        join(writers).await;
        self.stop_finisher.cancel();
        join(finisher.into_iter().collect()).await;
    }
}

async fn join(threads: Vec<thread::JoinHandle<()>>) {
    let joined = tokio::task::spawn_blocking(move || {
        let ended = threads.into_iter().map(thread::JoinHandle::join);
        ended.filter(Result::is_err).count()
    });
    if joined.await.unwrap_or(1) > 0 {
        error!("a thread that keeps footage had panicked");
    }
}

/// Counts pictures that were written and could not be read again.
fn tell_of_missing(part: &Part, segment: &Segment) {
    let written = part.known.map_or(0, |known| known.pictures);
    let missing = written.saturating_sub(segment.pictures);
    if missing > 0 {
        warn!(camera.id = %part.camera, pictures = missing, "footage could not be read back from its disk");
        metrics::counter!("plumb_footage_packets_lost_total", "camera" => part.camera.to_string())
            .increment(missing);
    }
}

/// Makes parts whole and gives them their rows, one after the other.
struct Finisher {
    store: Store,
    parts: Parts,
    /// Tells when a part is closed.
    told: watch::Receiver<u64>,
    stop: CancellationToken,
}

impl Finisher {
    fn run(mut self, runtime: &Handle) {
        loop {
            for part in self.parts.waiting() {
                if self.stop.is_cancelled() {
                    return;
                }
                if let Err(failure) = self.finish(&part, runtime) {
                    warn!(
                        camera.id = %part.camera, error = failure.as_ref(),
                        "footage could not be made whole; it is tried again"
                    );
                }
            }
            if !runtime.block_on(self.wait()) {
                return;
            }
        }
    }

    /// Waits for the next part; returns whether there can be one.
    async fn wait(&mut self) -> bool {
        tokio::select! {
            () = self.stop.cancelled() => false,
            () = tokio::time::sleep(AGAIN) => true,
            // Nobody writes any more: what failed is still tried again.
            changed = self.told.changed() => match changed {
                Ok(()) => true,
                Err(_) => self
                    .stop
                    .run_until_cancelled(tokio::time::sleep(AGAIN))
                    .await
                    .is_some(),
            },
        }
    }

    fn finish(
        &self,
        part: &Part,
        runtime: &Handle,
    ) -> Result<(), Box<dyn std::error::Error + 'static>> {
        match make_whole(self.parts.root(), part)? {
            Some(segment) => {
                runtime.block_on(self.store.add_footage(&segment))?;
                metrics::counter!(
                    "plumb_footage_written_bytes_total", "camera" => part.camera.to_string()
                )
                .increment(segment.size_bytes);
                tell_of_missing(part, &segment);
            }
            None => warn!(camera.id = %part.camera, "of a segment of footage nothing was left"),
        }
        Ok(part.remove()?)
    }
}
