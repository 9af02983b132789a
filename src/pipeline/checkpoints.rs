//! Keeps checkpoints of the audit log: at the start, every hour in which something was done, and
//! at the stop. Each goes into a file of the data directory and into the service's own log, whose
//! collector is elsewhere.

use std::path::PathBuf;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use super::service::ServiceError;
use crate::audit::Key;
use crate::config::Config;
use crate::store::{Durability, Store};

/// At most this much of what was done has no checkpoint yet [P].
const EVERY: Duration = Duration::from_secs(3600);

/// Keeps checkpoints until `stop`, and one last then.
pub(super) async fn keep(store: Store, key: Key, data_dir: PathBuf, stop: CancellationToken) {
    let mut tick = tokio::time::interval(EVERY);
    let mut last = 0;
    loop {
        let goes_on = stop.run_until_cancelled(tick.tick()).await.is_some();
        last = keep_one(&store, &key, data_dir.clone(), last).await;
        if !goes_on {
            return;
        }
    }
}

/// Keeps a checkpoint when there are rows after `last`, and returns the row it is of.
async fn keep_one(store: &Store, key: &Key, data_dir: PathBuf, last: i64) -> i64 {
    let checkpoint = match store.checkpoint(key).await {
        Ok(Some(checkpoint)) if checkpoint.seq > last => checkpoint,
        Ok(_) => return last,
        Err(error) => {
            error!(%error, "no checkpoint of the audit log could be made");
            return last;
        }
    };
    info!(
        audit.seq = checkpoint.seq,
        audit.sha256 = checkpoint.sha256,
        audit.at_ms = checkpoint.at_ms,
        audit.public_key = checkpoint.public_key,
        audit.signature = checkpoint.signature,
        "checkpoint of the audit log"
    );
    let seq = checkpoint.seq;
    let kept = tokio::task::spawn_blocking(move || checkpoint.keep(&data_dir)).await;
    match kept {
        Ok(Ok(())) => seq,
        Ok(Err(error)) => {
            error!(%error, "a checkpoint of the audit log could not be kept");
            last
        }
        Err(error) => {
            error!(%error, "the thread that keeps a checkpoint has failed");
            last
        }
    }
}

/// Makes the audit log go on as configured, and returns the key that signs its checkpoints; none where
/// the log is in memory only.
pub(super) async fn chain(store: &Store, config: &Config) -> Result<Option<Key>, ServiceError> {
    if store.durability() == Durability::Volatile {
        return Ok(None);
    }
    let key = Key::open_or_make(&config.data_dir, config.audit.signing)?;
    store.chain_with(config.audit.digest, &key).await?;
    Ok(Some(key))
}
