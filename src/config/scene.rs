//! Reads scene files; what a scene may be is judged in `scene`.

use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::file::line_of;
use crate::scene::{Scene, SceneError};

/// Why a scene file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SceneFileError {
    #[error("cannot read the scene {path}: {source}")]
    Read {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("{path}:{line}: {message}")]
    Parse {
        path: PathBuf,
        line: usize,
        message: String,
    },
    #[error("{path}: {problem}")]
    Check { path: PathBuf, problem: SceneError },
}

/// A scene file as it lies on the disk.
#[derive(Clone, Debug)]
pub(super) struct SceneFile {
    pub scene: Scene,
    pub text: String,
    /// Of the text, in hexadecimal.
    pub sha256: String,
}

/// Reads and checks a scene file. Returns the scene and the file's SHA-256 in hexadecimal.
pub fn read_scene(path: &Path) -> Result<(Scene, String), SceneFileError> {
    read_scene_file(path).map(|file| (file.scene, file.sha256))
}

/// Reads and checks a scene file.
pub(super) fn read_scene_file(path: &Path) -> Result<SceneFile, SceneFileError> {
    let owned = || path.to_path_buf();
    let text = std::fs::read_to_string(path).map_err(|source| SceneFileError::Read {
        path: owned(),
        source,
    })?;
    let scene: Scene = toml::from_str(&text).map_err(|error| SceneFileError::Parse {
        path: owned(),
        line: error.span().map_or(1, |span| line_of(&text, span.start)),
        message: error.message().to_owned(),
    })?;
    scene.check().map_err(|problem| SceneFileError::Check {
        path: owned(),
        problem,
    })?;
    let digest = Sha256::digest(text.as_bytes());
    let sha256 = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(SceneFile {
        scene,
        text,
        sha256,
    })
}
