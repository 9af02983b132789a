//! Lets footage go: what is older than it is kept, then the oldest of all cameras where there is no room.
//!
//! It is the lowest class. Where it lies on the evidence's disk it goes as soon as less than twice
//! `min_free` is free, which is before evidence has to; so what it takes counts as room that evidence
//! has ([`FootageKeeper::yields_bytes`]).

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tracing::{error, warn};

use crate::clock::Clock;
use crate::config::Footage;
use crate::evidence::rendition;
use crate::evidence::room::{Disk, below};
use crate::footage::share_a_disk;
use crate::id::CameraId;
use crate::store::{FootageGoes, FootageGone, FootageUse, Store, StoreError};

/// Deletions in one turn; what is more waits for the next.
const BATCHES_MAX: usize = 40;
/// So much of the least free room is kept free by deleting footage: writers stop at once of it, and
/// evidence goes at once of it.
const FREE_TIMES: u64 = 2;
/// That there is less footage than wanted is told in the log so often.
const TOLD_EVERY: Duration = Duration::from_secs(24 * 3600);

/// Keeps the ring within its days and its room.
#[derive(Debug)]
pub struct FootageKeeper {
    pub store: Store,
    pub rules: Footage,
    pub evidence_root: PathBuf,
    /// Least free room on any disk.
    pub min_free_bytes: u64,
    pub disk: Arc<dyn Disk>,
    pub clock: Arc<dyn Clock>,
    /// Those whose footage is kept now.
    pub cameras: Vec<CameraId>,
    /// When it was told last that footage goes early (monotonic).
    pub told_at: Option<Duration>,
}

impl FootageKeeper {
    /// Lets go what is to go now. Fails when the store does; what was not done is done next time.
    pub async fn turn(&mut self) -> Result<(), StoreError> {
        self.remove_files().await?;
        self.delete_old().await?;
        let gone = self.delete_what_has_no_room().await?;
        if gone.segments > 0 {
            self.tell(gone);
        }
        self.measure(&self.store.footage_use().await?);
        Ok(())
    }

    /// Returns how many bytes evidence can have back at once, as footage goes before it: none where
    /// footage has a disk of its own.
    pub async fn yields_bytes(&self) -> Result<u64, StoreError> {
        match share_a_disk(&self.rules.dir, &self.evidence_root) {
            true => Ok(total(&self.store.footage_use().await?)),
            false => Ok(0),
        }
    }

    async fn delete_old(&self) -> Result<(), StoreError> {
        let kept_ms = i64::try_from(self.rules.kept.as_millis()).unwrap_or(i64::MAX);
        for _ in 0..BATCHES_MAX {
            let before_ms = self.store.steady_ms().saturating_sub(kept_ms);
            let gone = self.store.delete_footage(FootageGoes::Before(before_ms));
            if gone.await?.segments == 0 {
                break;
            }
            self.remove_files().await?;
        }
        Ok(())
    }

    async fn delete_what_has_no_room(&self) -> Result<FootageGone, StoreError> {
        let mut all = FootageGone::default();
        for _ in 0..BATCHES_MAX {
            let over_bytes = self.over_bytes().await?;
            if over_bytes == 0 {
                break;
            }
            let gone = self.store.delete_footage(FootageGoes::Bytes(over_bytes));
            let gone = gone.await?;
            if gone.segments == 0 {
                break;
            }
            all.segments += gone.segments;
            all.size_bytes += gone.size_bytes;
            self.remove_files().await?;
        }
        Ok(all)
    }

    /// Returns how many bytes are to go: over the budget, or short of free room.
    async fn over_bytes(&self) -> Result<u64, StoreError> {
        let used_bytes = total(&self.store.footage_use().await?);
        let budget_bytes = self.rules.budget_bytes.unwrap_or(u64::MAX);
        let over = used_bytes.saturating_sub(budget_bytes);
        let wanted = self.min_free_bytes.saturating_mul(FREE_TIMES);
        let existing = self.rules.dir.ancestors().find(|path| path.exists());
        let short = match existing.map(|path| self.disk.free_bytes(path)) {
            Some(Ok(free)) => wanted.saturating_sub(free),
            Some(Err(error)) => {
                warn!(%error, "the disk of footage does not tell how much room it has");
                0
            }
            None => 0,
        };
        Ok(over.max(short))
    }

    /// Removes the files whose rows are gone.
    async fn remove_files(&self) -> Result<(), StoreError> {
        let removals = self.store.footage_removals().await?;
        if removals.is_empty() {
            return Ok(());
        }
        let (root, evidence_root) = (self.rules.dir.clone(), self.evidence_root.clone());
        let removed = tokio::task::spawn_blocking(move || {
            let mut removed = Vec::with_capacity(removals.len());
            for removal in removals {
                match remove(&root, &removal.path).and_then(|()| {
                    let folder = rendition::footage_folder(removal.segment);
                    rendition::remove(&evidence_root, &folder)
                }) {
                    Ok(()) => removed.push(removal),
                    Err(error) => {
                        warn!(%error, "a file of footage cannot be removed; it is tried again");
                    }
                }
            }
            removed
        });
        match removed.await {
            Ok(removed) => self.store.footage_was_removed(&removed).await,
            Err(error) => {
                error!(%error, "removing footage failed");
                Ok(())
            }
        }
    }

    fn measure(&self, used: &[FootageUse]) {
        let now_ms = self.clock.now().as_millisecond();
        for camera in &self.cameras {
            let own = used.iter().find(|used| used.camera == *camera);
            let (bytes, oldest_ms) = own.map_or((0, now_ms), |own| (own.size_bytes, own.oldest_ms));
            let oldest_s = (now_ms - oldest_ms).max(0) as f64 / 1000.0;
            let camera = camera.to_string();
            metrics::gauge!("plumb_footage_used_bytes", "camera" => camera.clone())
                .set(bytes as f64);
            metrics::gauge!("plumb_footage_oldest_seconds", "camera" => camera).set(oldest_s);
        }
    }

    fn tell(&mut self, gone: FootageGone) {
        let now = self.clock.monotonic();
        let is_due = self
            .told_at
            .is_none_or(|at| now.saturating_sub(at) >= TOLD_EVERY);
        if is_due {
            self.told_at = Some(now);
            warn!(
                footage.segments = gone.segments,
                footage.mib = gone.size_bytes >> 20,
                "footage goes before its days are over: there is no room for it"
            );
        }
    }
}

fn total(used: &[FootageUse]) -> u64 {
    used.iter().map(|used| used.size_bytes).sum()
}

/// Removes the file, and the day's and the camera's folder when they are empty now. A file that is gone
/// is removed.
fn remove(root: &std::path::Path, path: &str) -> std::io::Result<()> {
    let Some(file) = below(root, [path]) else {
        error!("a row of deleted footage names a file elsewhere: it is left alone");
        return Ok(());
    };
    match std::fs::remove_file(&file) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    for folder in file.ancestors().skip(1).take(2) {
        // Fails while other segments lie in it, as it should.
        std::fs::remove_dir(folder).ok();
    }
    Ok(())
}
