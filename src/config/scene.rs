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

/// A scene file, read and checked.
#[derive(Clone, Debug)]
pub struct SceneFile {
    pub scene: Scene,
    /// The file's text, which evidence keeps: a replay years later needs the scene of that day.
    pub text: String,
    /// SHA-256 of the text, hexadecimal.
    pub sha256: String,
}

/// Reads and checks a scene file.
pub fn read_scene(path: &Path) -> Result<SceneFile, SceneFileError> {
    let text = std::fs::read_to_string(path).map_err(|source| SceneFileError::Read {
        path: path.to_path_buf(),
        source,
    })?;
    parse_scene(path, text)
}

/// Checks the text of a scene file; `path` is what it is called in errors.
pub fn parse_scene(path: &Path, text: String) -> Result<SceneFile, SceneFileError> {
    let owned = || path.to_path_buf();
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
    Ok(SceneFile {
        scene,
        sha256: digest.iter().map(|byte| format!("{byte:02x}")).collect(),
        text,
    })
}
