//! The scene of each camera that is in force, and how another one takes its place.
//!
//! A change is whole or not at all: checked, written beside the old file and onto the disk, written
//! down with the digests of both (in the store, with the text), then renamed over the old file, then
//! handed to the running camera. It must never overwrite what somebody else has changed meanwhile:
//! whoever saves names the digest that they began with, and the file must still be as it was read.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sha2::{Digest, Sha256};
use tokio::sync::{Mutex, watch};

use super::CameraInfo;
use super::error::ApiError;
use crate::evidence::{part_path, publish};
use crate::geometry::Polygon;
use crate::scene::Scene;
use crate::scene::facade::FacadeScene;
use crate::store::{Actor, AlarmRecord, AuditOutcome, SceneText, Store, StoreError};

/// What a camera looks at.
#[derive(Clone, Debug, Default)]
pub struct CameraScene {
    pub scene: Scene,
    /// SHA-256 of the scene file; none without one.
    pub sha256: Option<String>,
    /// The scene file's text; none without one.
    pub text: Option<String>,
}

/// A camera's scene that is in force; clones share it.
#[derive(Clone, Debug)]
pub struct SceneInForce(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    scene: watch::Sender<Arc<CameraScene>>,
    kept_in: PathBuf,
    /// Held while one is saved: of two, the second meets what the first has made.
    saving: Mutex<()>,
}

impl SceneInForce {
    /// Returns the scene that was read from `kept_in`, or none yet, which will be kept there.
    pub fn new(scene: CameraScene, kept_in: PathBuf) -> Self {
        Self(Arc::new(Inner {
            scene: watch::Sender::new(Arc::new(scene)),
            kept_in,
            saving: Mutex::new(()),
        }))
    }

    /// Returns the scene, now and whenever it changes.
    pub fn follow(&self) -> watch::Receiver<Arc<CameraScene>> {
        self.0.scene.subscribe()
    }

    /// Returns the scene as it is now.
    pub fn current(&self) -> Arc<CameraScene> {
        Arc::clone(&self.0.scene.borrow())
    }

    /// Puts `scene` into force, if the one in force still has the digest `known`. Returns it as it
    /// is kept: coordinates are rounded. Once begun it goes on to its end, also without its client.
    pub(super) async fn replace(
        &self,
        camera: &CameraInfo,
        scene: &Scene,
        known: Option<String>,
        store: &Store,
        who: &Actor,
    ) -> Result<Arc<CameraScene>, ApiError> {
        let old = self.current();
        // A person's comments and order stay.
        let text = match old.text.as_deref().filter(|_| old.sha256 == known) {
            Some(old) => scene.to_toml_over(old),
            None => scene.to_toml(),
        };
        let read = toml::from_str(&text);
        let rounded: Scene = read.map_err(|error| ApiError::internal("a scene's text", &error))?;
        rounded.check_for(camera.kind).map_err(ApiError::BadScene)?;
        let saving = Saving {
            slot: self.clone(),
            camera: camera.clone(),
            new: CameraScene {
                scene: rounded,
                sha256: Some(hex(text.as_bytes())),
                text: Some(text),
            },
            store: store.clone(),
            who: who.clone(),
        };
        let saved = tokio::spawn(saving.run(known)).await;
        saved.map_err(|error| ApiError::internal("saving a scene", &error))?
    }
}

/// Returns what is masked in an alarm's pictures: by the scene in force, and by the one by which it was
/// judged, `judged`. A mask that is drawn later hides what was recorded before, and one that is taken
/// away uncovers nothing that was recorded under it.
pub fn masks_of(now: Option<&SceneInForce>, judged: Option<&FacadeScene>) -> Vec<Polygon> {
    let now = now.map(SceneInForce::current);
    let now = now.as_ref().and_then(|now| now.scene.facade.as_ref());
    let mut masks: Vec<Polygon> = Vec::new();
    for mask in now
        .into_iter()
        .chain(judged)
        .flat_map(|facade| &facade.masks)
    {
        if !masks.contains(mask) {
            masks.push(mask.clone());
        }
    }
    masks
}

/// Returns the facade by which the alarm was judged, also where the camera's scene has changed since;
/// none where there was none, or its text is not kept.
pub async fn judged_facade(
    store: &Store,
    alarm: &AlarmRecord,
) -> Result<Option<FacadeScene>, StoreError> {
    facade_of(store, alarm.scene_sha256.as_deref()).await
}

/// Returns the facade of the scene with that digest; none where there was none, or its text is not kept.
pub async fn facade_of(
    store: &Store,
    scene_sha256: Option<&str>,
) -> Result<Option<FacadeScene>, StoreError> {
    let Some(sha256) = scene_sha256 else {
        return Ok(None);
    };
    let text = store.scene_text(sha256).await?;
    let scene = text.and_then(|text| toml::from_str::<Scene>(&text).ok());
    Ok(scene.and_then(|scene| scene.facade))
}

/// One scene on its way into force.
struct Saving {
    slot: SceneInForce,
    camera: CameraInfo,
    new: CameraScene,
    store: Store,
    who: Actor,
}

impl Saving {
    async fn run(self, known: Option<String>) -> Result<Arc<CameraScene>, ApiError> {
        let inner = &self.slot.0;
        let _turn = inner.saving.lock().await;
        let old = self.slot.current();
        if old.sha256 != known {
            return Err(ApiError::SceneChanged);
        }
        if old.sha256 == self.new.sha256 {
            return Ok(old);
        }
        let (path, text) = (inner.kept_in.clone(), self.text().to_owned());
        let before = old.sha256.clone();
        on_disk(move || prepare(&path, before.as_deref(), &text)).await??;
        let new = SceneText {
            sha256: self.new.sha256.as_deref().unwrap_or_default(),
            text: self.text(),
        };
        let (camera, old_sha256) = (&self.camera.id, old.sha256.as_deref());
        let noted = self.store.change_scene(camera, old_sha256, new, &self.who);
        if let Err(error) = noted.await {
            let part = part_path(&inner.kept_in);
            // Best effort: the next one writes over it.
            on_disk(move || fs::remove_file(part)).await?.ok();
            return Err(error.into());
        }
        let path = inner.kept_in.clone();
        let published = on_disk(move || publish(&part_path(&path), &path)).await?;
        if let Err(error) = published {
            self.take_back(old_sha256).await?;
            return Err(ApiError::internal("renaming a scene file", &error));
        }
        let scene = Arc::new(self.new);
        inner.scene.send_replace(Arc::clone(&scene));
        Ok(scene)
    }

    fn text(&self) -> &str {
        self.new.text.as_deref().unwrap_or_default()
    }

    /// Writes down that the old scene goes on, because the new one's file could not take its place.
    async fn take_back(&self, old_sha256: Option<&str>) -> Result<(), ApiError> {
        let (action, camera) = ("scene.changed", self.camera.id.as_str());
        let detail = format!(
            "the file could not be put in place: {} stays",
            old_sha256.unwrap_or("none")
        );
        let refused = AuditOutcome::Refused;
        let noted = self
            .store
            .note(&self.who, action, camera, refused, Some(detail));
        Ok(noted.await?)
    }
}

/// Does what may wait for a disk where it holds up nobody.
async fn on_disk<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, ApiError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| ApiError::internal("the thread that writes a scene", &error))
}

/// Writes the new text beside the file, if that is still as it was when it was read.
fn prepare(path: &Path, before: Option<&str>, text: &str) -> Result<(), ApiError> {
    let now = match fs::read(path) {
        Ok(bytes) => Some(hex(&bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(unwritable(&error)),
    };
    if now.as_deref() != before {
        return Err(ApiError::Conflict {
            detail: "The scene file was changed on the disk since the service read it. Start the \
                     service again to take that over, then draw."
                .to_owned(),
        });
    }
    let write = || {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        let mut part = fs::File::create(part_path(path))?;
        part.write_all(text.as_bytes())?;
        part.sync_all()
    };
    write().map_err(|error: io::Error| unwritable(&error))
}

fn unwritable(error: &io::Error) -> ApiError {
    ApiError::internal("writing a scene file", error);
    ApiError::SceneUnwritable {
        reason: error.kind().to_string(),
    }
}

fn hex(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}
