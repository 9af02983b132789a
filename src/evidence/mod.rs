//! Evidence of an alarm: a clip, pictures, and a manifest whose digests anyone can check offline.
//!
//! One camera has one [`Collector`], on the camera's own thread; it only remembers packets and
//! frames that others own already, and hands out [`EvidenceJob`]s. A job's [`EvidenceJob::write`]
//! blocks on encoding and on the disk, so it belongs on the blocking pool. In order, for one alarm:
//!
//! ```text
//! Collector::start(info)                 a timeline begins (cuts the clips of alarms still open)
//! Collector::packet(&packet, now)        each packet, after the packet ring took it
//! Collector::raised(Raised { .. })       job 1: the pictures, wanted at once
//! Collector::ended(id, &alarm, &frames)  job 2: the same pictures, better, if it ends in time
//! Collector::packet / tick / finish      job 3, in `ready`: clip and manifest, 10 s after raising
//! ```
//!
//! Jobs of one alarm may run in any order and on any threads: the newest pictures win, and
//! nothing is written any more once the manifest is. A folder holds one alarm:
//! `<root>/<yyyy-mm-dd>/<alarm id>/{clip.mp4,snapshot.jpg,strobe.jpg,manifest.json}`, the day in
//! UTC. A file appears whole or not at all (temporary name, fsync, rename).
//!
//! Evidence never delays or stops an alarm: what cannot be kept is named with its reason in
//! [`Evidence::missing`] or in the [`EvidenceError`], and the alarm goes out without it.

pub mod clip;
pub mod collector;
pub mod copy;
pub mod ink;
pub mod manifest;
pub(crate) mod mux;
pub mod picture;
pub mod planar;
pub mod recode;
pub mod redact;
pub mod relay;
pub mod rendition;
pub mod room;
pub mod strobe;
mod write;

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

pub use redact::{Hidden, Redactor, Treatment};

pub use collector::{Collector, EvidenceContext, EvidenceJob, Raised};

use crate::id::AlarmId;

/// The clip's name in an alarm's folder.
pub const CLIP: &str = "clip.mp4";
/// The deciding frame's name in an alarm's folder.
pub const SNAPSHOT: &str = "snapshot.jpg";
/// The fall in one still, its name in an alarm's folder.
pub const STROBE: &str = "strobe.jpg";
/// The manifest's name in an alarm's folder.
pub const MANIFEST: &str = "manifest.json";

/// Why there is no evidence, or less of it.
#[derive(Debug, thiserror::Error)]
pub enum EvidenceError {
    #[error("the evidence folder {path} cannot be made; is the data directory there and writable?")]
    Folder { path: PathBuf, source: io::Error },
    #[error("{path} cannot be written; is the disk full or read-only?")]
    Write { path: PathBuf, source: io::Error },
    #[error("the clip cannot be made")]
    Clip(#[from] clip::ClipError),
    #[error("the picture cannot be encoded as JPEG")]
    Picture(#[from] image::ImageError),
    #[error(
        "camera {camera} has {open} alarms whose evidence is still being gathered; no room for another"
    )]
    TooMany {
        camera: crate::id::CameraId,
        open: usize,
    },
}

/// One file of evidence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct EvidenceFile {
    pub name: String,
    pub media_type: String,
    pub size_bytes: u64,
    /// SHA-256 of the whole file, 64 hexadecimal digits.
    pub sha256: String,
}

/// A file that should be there and is not, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct MissingFile {
    pub name: String,
    pub reason: String,
}

/// What of an alarm's evidence is on disk after a job has run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evidence {
    pub alarm: AlarmId,
    /// The alarm's folder below the evidence root: `<yyyy-mm-dd>/<alarm id>`.
    pub folder: PathBuf,
    /// Everything in the folder, by name.
    pub files: Vec<EvidenceFile>,
    pub missing: Vec<MissingFile>,
    /// Whether the manifest is written; from then on nothing in the folder changes.
    pub sealed: bool,
}

/// Returns an error and its causes as one line, for a manifest that outlives the log.
pub(crate) fn reason_of(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    text
}

/// Returns the SHA-256 of `bytes` in hexadecimal.
pub(crate) fn sha256_hex(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// Returns size and SHA-256 of a file as it is on disk now.
pub(crate) fn digest_file(path: &Path) -> io::Result<(u64, String)> {
    let mut file = File::open(path)?;
    let mut digest = DigestWriter(Sha256::new());
    let size_bytes = io::copy(&mut file, &mut digest)?;
    Ok((size_bytes, hex(&digest.0.finalize())))
}

struct DigestWriter(Sha256);

impl Write for DigestWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |value: u8| char::from(DIGITS[usize::from(value & 15)]);
    bytes
        .iter()
        .flat_map(|byte| [digit(byte >> 4), digit(*byte)])
        .collect()
}

/// Puts `bytes` at `path` whole or not at all, and on the disk before it returns.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let part = part_path(path);
    let written = File::create(&part).and_then(|mut file| file.write_all(bytes));
    let done = written.and_then(|()| publish(&part, path));
    if done.is_err() {
        // Best effort: a full disk needs the room back. The first error is the one that matters.
        fs::remove_file(&part).ok();
    }
    done
}

/// Returns the temporary name under which `path` is written.
pub(crate) fn part_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".part");
    PathBuf::from(name)
}

/// Makes a finished temporary file the real one: its bytes are on the disk before its name is.
pub(crate) fn publish(part: &Path, path: &Path) -> io::Result<()> {
    File::open(part)?.sync_all()?;
    fs::rename(part, path)?;
    File::open(folder_of(path))?.sync_all()
}

/// Returns the folder that holds `path`; a bare name's is the current one.
fn folder_of(path: &Path) -> &Path {
    let folder = path.parent().unwrap_or(path);
    match folder.as_os_str().is_empty() {
        true => Path::new("."),
        false => folder,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_published_also_under_a_bare_name() {
        // A scene is kept so where the service runs in its configuration's folder.
        assert_eq!(folder_of(Path::new("tower.toml")), Path::new("."));
        assert_eq!(
            folder_of(Path::new("scenes/tower.toml")),
            Path::new("scenes")
        );
        assert_eq!(folder_of(Path::new("/")), Path::new("/"));
        let folder = tempfile::tempdir().expect("a folder");
        let (part, path) = (folder.path().join("a.part"), folder.path().join("a"));
        fs::write(&part, "text").expect("writable");
        publish(&part, &path).expect("it is published");
        assert!(path.exists() && !part.exists());
    }
}
