//! What a start finds in files that anybody with the machine may edit: the scenes and the rules of the
//! configuration. What differs from the last start is written down; it must never keep cameras unwatched.

use tracing::{error, info};

use crate::config::{Camera, Config};
use crate::store::{SceneText, Store};

/// Keeps the scenes as they are at this start, so that an alarm's scene is found by its digest; one
/// that was changed by hand meanwhile is written down.
pub(super) async fn note_scenes(store: &Store, cameras: &[Camera]) {
    for camera in cameras {
        let (sha256, text) = (&camera.scene_sha256, &camera.scene_text);
        let both = sha256.as_deref().zip(text.as_deref());
        let read = both.map(|(sha256, text)| SceneText { sha256, text });
        if let Err(failure) = store.note_scene(&camera.id, read).await {
            // Cameras must be watched all the same; the next start tries again.
            error!(camera.id = %camera.id, error = &failure as &dyn std::error::Error, "the scene could not be kept in the store");
        }
    }
}

/// Writes down which rules have changed since the last start.
pub(super) async fn note_policy(store: &Store, config: &Config) {
    match store.note_policy(&config.policy()).await {
        Ok(0) => {}
        Ok(changed) => info!(
            policy.changed = changed,
            "rules of the configuration are written down"
        ),
        Err(failure) => {
            error!(
                error = &failure as &dyn std::error::Error,
                "the rules of the configuration could not be written down"
            );
        }
    }
}
