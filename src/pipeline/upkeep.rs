//! The work that goes on beside the stream: keeping the disk, noting that the service runs, making the
//! bundles of tickets. There
//! is none where the disk takes nothing.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::bundles::Bundler;
use super::footage::keeper::FootageKeeper;
use super::retention::Keeper;
use crate::audit::Key;
use crate::clock::Clock;
use crate::config::{Footage, Retention};
use crate::deliver::Alarms;
use crate::evidence::room::SystemDisk;
use crate::export;
use crate::health::Threads;
use crate::http::SceneInForce;
use crate::id::CameraId;
use crate::scene::Kind;
use crate::store::run::BEAT;
use crate::store::{Durability, Store, StoreError};

/// What the work is done with.
pub(super) struct Parts {
    pub(super) store: Store,
    pub(super) alarms: Alarms,
    pub(super) evidence_root: PathBuf,
    pub(super) rules: Retention,
    pub(super) footage: Footage,
    /// Those whose footage is kept.
    pub(super) keep_footage: Vec<CameraId>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) threads: Threads,
    pub(super) key: Option<Key>,
    pub(super) kinds: BTreeMap<CameraId, Kind>,
    pub(super) scenes: BTreeMap<CameraId, SceneInForce>,
}

/// The tasks.
pub(super) struct Upkeep {
    tasks: Vec<(&'static str, JoinHandle<()>)>,
    stop: CancellationToken,
}

impl Upkeep {
    /// Starts the tasks.
    pub(super) fn start(parts: Parts) -> Self {
        let stop = CancellationToken::new();
        let footage_root = parts.footage.dir.clone();
        let mut tasks = Vec::new();
        if parts.store.durability() == Durability::Disk {
            let keeper = Keeper {
                store: parts.store.clone(),
                alarms: parts.alarms,
                evidence_root: parts.evidence_root.clone(),
                rules: parts.rules,
                disk: Arc::new(SystemDisk),
                clock: Arc::clone(&parts.clock),
                footage: Some(FootageKeeper {
                    store: parts.store.clone(),
                    rules: parts.footage,
                    evidence_root: parts.evidence_root.clone(),
                    min_free_bytes: parts.rules.min_free_bytes,
                    disk: Arc::new(SystemDisk),
                    clock: Arc::clone(&parts.clock),
                    cameras: parts.keep_footage,
                    told_at: None,
                }),
                raised: BTreeMap::new(),
            };
            let alive = parts.threads.enter("the keeper of the disk");
            let keeper_stop = stop.clone();
            let keeper = tokio::spawn(async move {
                let _alive = alive;
                keeper.run(keeper_stop).await;
            });
            tasks.push(("the keeper of the disk", keeper));
            let beating = heartbeat(parts.store.clone(), stop.clone());
            tasks.push(("the heartbeat", tokio::spawn(beating)));
        }
        if let Some(key) = parts.key {
            let bundler = Bundler {
                store: parts.store,
                folder: export::folder(&parts.evidence_root),
                footage_root,
                evidence_root: parts.evidence_root,
                key,
                clock: parts.clock,
                kinds: parts.kinds,
                scenes: parts.scenes,
            };
            let alive = parts.threads.enter("the maker of bundles");
            let bundler_stop = stop.clone();
            let bundler = tokio::spawn(async move {
                let _alive = alive;
                bundler.run(bundler_stop).await;
            });
            tasks.push(("the maker of bundles", bundler));
        }
        Self { tasks, stop }
    }

    /// Stops the tasks. A bundle that is being made is made anew at the next start.
    pub(super) async fn stop(self) {
        self.stop.cancel();
        for (what, task) in self.tasks {
            super::service::ended(what, task).await;
        }
    }
}

/// Keeps when the service ran: from now on, until it stops.
async fn heartbeat(store: Store, stop: CancellationToken) {
    let failed = |error: StoreError| {
        tracing::warn!(
            error = &error as &dyn std::error::Error,
            "that the service runs could not be noted: a report takes this time for one that nobody watched"
        );
    };
    let mut run = None;
    loop {
        let noted = match run {
            // Also after a time in which the disk took nothing: the run went on.
            Some(run) => store.beat(run).await,
            None => store.begin_run().await.map(|begun| run = Some(begun)),
        };
        noted.unwrap_or_else(failed);
        let waited = stop.run_until_cancelled(tokio::time::sleep(BEAT)).await;
        if waited.is_none() {
            break;
        }
    }
    if let Some(run) = run {
        store.beat(run).await.unwrap_or_else(failed);
    }
}
