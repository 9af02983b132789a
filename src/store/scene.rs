//! Scenes as they were in force, by their digests: what a camera's alarms were judged by. A change
//! is one transaction with its audit row; the scene file itself is not the store's.

use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use super::audit::{self, Actor, AuditOutcome, Deed};
use super::error::Fault;
use super::{Store, StoreError, Tx};
use crate::id::CameraId;

/// When a camera's scene was last changed, and by whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SceneChange {
    /// None where the scene was taken away.
    pub sha256: Option<String>,
    pub at_ms: i64,
    pub who: String,
}

/// A scene file's text and the digest of it.
#[derive(Clone, Copy, Debug)]
pub struct SceneText<'a> {
    pub sha256: &'a str,
    pub text: &'a str,
}

impl Store {
    /// Commits what scene the camera has at the service's start. What differs from before is written
    /// down as `scene.found`: somebody has changed the file by hand.
    pub async fn note_scene(
        &self,
        camera: &CameraId,
        found: Option<SceneText<'_>>,
    ) -> Result<(), StoreError> {
        self.named(self.note_scene_row(camera, found).await)
    }

    /// Commits that `who` gives the camera another scene than `old_sha256`.
    pub async fn change_scene(
        &self,
        camera: &CameraId,
        old_sha256: Option<&str>,
        new: SceneText<'_>,
        who: &Actor,
    ) -> Result<(), StoreError> {
        self.named(self.change_scene_row(camera, old_sha256, new, who).await)
    }

    /// Returns the text of the scene with this digest; none where no camera ever had it.
    pub async fn scene_text(&self, sha256: &str) -> Result<Option<String>, StoreError> {
        let text = sqlx::query_scalar("SELECT text FROM scene WHERE sha256 = ? LIMIT 1")
            .bind(sha256)
            .fetch_optional(&self.0.readers)
            .await;
        self.named(text.map(Option::flatten).map_err(Fault::from))
    }

    /// Returns the newest change of the camera's scene; none where it never had one.
    pub async fn scene_change(&self, camera: &CameraId) -> Result<Option<SceneChange>, StoreError> {
        let row = sqlx::query(NEWEST)
            .bind(camera.as_str())
            .fetch_optional(&self.0.readers)
            .await;
        let change = row.and_then(|row| row.as_ref().map(change_of).transpose());
        self.named(change.map_err(Fault::from))
    }

    async fn note_scene_row(
        &self,
        camera: &CameraId,
        found: Option<SceneText<'_>>,
    ) -> Result<(), Fault> {
        let mut tx = self.begin().await?;
        let newest = sqlx::query(NEWEST)
            .bind(camera.as_str())
            .fetch_optional(&mut *tx)
            .await?;
        let before = newest.as_ref().map(change_of).transpose()?;
        let before = before.and_then(|change| change.sha256);
        if before.as_deref() == found.map(|found| found.sha256) {
            return Ok(());
        }
        let change = Change {
            camera,
            old_sha256: before.as_deref(),
            new: found,
            action: "scene.found",
            who: &Actor::service(),
        };
        self.commit_scene(tx, change).await
    }

    async fn change_scene_row(
        &self,
        camera: &CameraId,
        old_sha256: Option<&str>,
        new: SceneText<'_>,
        who: &Actor,
    ) -> Result<(), Fault> {
        let change = Change {
            camera,
            old_sha256,
            new: Some(new),
            action: "scene.changed",
            who,
        };
        self.commit_scene(self.begin().await?, change).await
    }

    async fn commit_scene(&self, mut tx: Tx, change: Change<'_>) -> Result<(), Fault> {
        let now_ms = self.now_ms();
        let Change { camera, new, .. } = change;
        sqlx::query("INSERT INTO scene (camera, sha256, text, at_ms, who) VALUES (?, ?, ?, ?, ?)")
            .bind(camera.as_str())
            .bind(new.map(|new| new.sha256))
            .bind(new.map(|new| new.text))
            .bind(now_ms)
            .bind(change.who.as_str())
            .execute(&mut *tx)
            .await?;
        let name = |sha256: Option<&str>| sha256.unwrap_or("none").to_owned();
        let (old, new) = (name(change.old_sha256), name(new.map(|new| new.sha256)));
        let deed = Deed {
            who: change.who,
            action: change.action,
            object: camera.to_string(),
            outcome: AuditOutcome::Done,
            detail: Some(format!("from {old} to {new}")),
        };
        audit::append(&mut tx, deed, now_ms).await?;
        tx.commit().await?;
        Ok(())
    }
}

struct Change<'a> {
    camera: &'a CameraId,
    old_sha256: Option<&'a str>,
    new: Option<SceneText<'a>>,
    action: &'static str,
    who: &'a Actor,
}

const NEWEST: &str =
    "SELECT sha256, at_ms, who FROM scene WHERE camera = ? ORDER BY seq DESC LIMIT 1";

fn change_of(row: &SqliteRow) -> Result<SceneChange, sqlx::Error> {
    Ok(SceneChange {
        sha256: row.try_get("sha256")?,
        at_ms: row.try_get("at_ms")?,
        who: row.try_get("who")?,
    })
}
