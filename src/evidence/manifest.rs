//! The manifest: what an alarm's evidence is, where it comes from, and the digest of each file.
//!
//! Written last and once. Its own digest covers every byte of it: SHA-256 of `manifest.json` with
//! the 64 digits of `manifest_sha256` replaced by zeros. Checking needs nothing but the folder;
//! it proves that nothing changed since the digest was taken, not who took it.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::clip::ClipSpan;
use super::{EvidenceFile, MANIFEST, MissingFile, digest_file, sha256_hex};
use crate::alarm::{Alarm, AlarmKind, Origin, TrackPoint};
use crate::id::{AlarmId, CameraId, SiteId};
use crate::source::{Codec, StreamInfo};

/// Names the layout below; a new layout gets a new name.
pub const FORMAT: &str = "plumb-evidence-1";

/// A manifest is refused beyond this size, before it is parsed.
const SIZE_BYTES_MAX: u64 = 4 << 20;

const NO_DIGEST: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// What `manifest.json` holds, in this order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    pub format: String,
    pub plumb_version: String,
    pub alarm: AlarmRecord,
    pub camera: CameraId,
    pub site: Option<SiteId>,
    pub stream: Option<StreamRecord>,
    pub models: Vec<ModelRecord>,
    /// SHA-256 of the scene file; none where the camera has no scene.
    pub scene_sha256: Option<String>,
    pub clip: Option<ClipSpan>,
    pub files: Vec<EvidenceFile>,
    pub missing: Vec<MissingFile>,
    pub manifest_sha256: String,
}

/// The alarm as it was known when the manifest was written: `ended_at_s` is none while it lasted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AlarmRecord {
    pub id: AlarmId,
    pub kind: AlarmKind,
    /// Wall time of raising.
    pub raised_at: Timestamp,
    /// Stream times, seconds since the first frame of the timeline.
    pub started_at_s: f64,
    pub raised_at_s: f64,
    pub ended_at_s: Option<f64>,
    pub score: f64,
    pub origin: Option<Origin>,
    pub track: Vec<TrackPoint>,
}

impl AlarmRecord {
    /// Returns the record of `alarm`, raised at the wall time `raised_at`.
    pub fn new(id: AlarmId, raised_at: Timestamp, alarm: &Alarm) -> Self {
        Self {
            id,
            kind: alarm.kind,
            raised_at,
            started_at_s: alarm.started_at.as_secs_f64(),
            raised_at_s: alarm.raised_at.as_secs_f64(),
            ended_at_s: alarm.ended_at.map(crate::clock::StreamTime::as_secs_f64),
            score: alarm.score,
            origin: alarm.origin,
            track: alarm.track.clone(),
        }
    }
}

/// How the stream was encoded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StreamRecord {
    pub codec: String,
    pub width_px: u32,
    pub height_px: u32,
}

impl From<&StreamInfo> for StreamRecord {
    fn from(info: &StreamInfo) -> Self {
        let codec = match info.codec {
            Codec::H264 => "h264".to_owned(),
            Codec::H265 => "h265".to_owned(),
            Codec::Other(number) => format!("ffmpeg:{number}"),
        };
        Self {
            codec,
            width_px: info.width_px,
            height_px: info.height_px,
        }
    }
}

/// A model that had a say in the alarm.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelRecord {
    pub name: String,
    pub sha256: String,
}

impl Manifest {
    /// Returns the bytes of `manifest.json`, with its own digest set.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut open = self.clone();
        NO_DIGEST.clone_into(&mut open.manifest_sha256);
        let blank = open.to_text();
        open.manifest_sha256 = sha256_hex(blank.as_bytes());
        open.to_text().into_bytes()
    }

    fn to_text(&self) -> String {
        let mut text = serde_json::to_string_pretty(self)
            .expect("strings, numbers and lists always become JSON");
        text.push('\n');
        text
    }
}

/// Returns the size of the pictures by which the alarm in `folder` was judged; none where the manifest
/// does not tell. It proves nothing: [`verify`] does.
pub fn picture_size_px(folder: &Path) -> Option<(u32, u32)> {
    let path = folder.join(MANIFEST);
    let is_sane = fs::metadata(&path).is_ok_and(|found| found.len() <= SIZE_BYTES_MAX);
    let bytes = fs::read(path).ok().filter(|_| is_sane)?;
    let manifest: Manifest = serde_json::from_slice(&bytes).ok()?;
    let stream = manifest.stream?;
    Some((stream.width_px, stream.height_px)).filter(|size_px| size_px.0 > 0 && size_px.1 > 0)
}

/// Why a folder cannot be checked at all.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    #[error("{path} cannot be read; is it an alarm's evidence folder?")]
    Folder { path: PathBuf, source: io::Error },
    #[error("{path} cannot be read")]
    Read { path: PathBuf, source: io::Error },
    #[error("{path} is {size_bytes} bytes, more than any manifest")]
    TooLarge { path: PathBuf, size_bytes: u64 },
    #[error("{path} is not a manifest of this version of Plumb")]
    Parse {
        path: PathBuf,
        source: serde_json::Error,
    },
}

/// How one file compares with the manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    Ok,
    /// Size or digest differ.
    Altered,
    /// In the manifest and not in the folder.
    Missing,
    /// In the folder and not in the manifest.
    Extra,
}

/// One file's result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    pub name: String,
    pub state: State,
}

/// The whole folder's result.
#[derive(Clone, Debug)]
pub struct Report {
    pub manifest: Manifest,
    /// `manifest.json` first, then the manifest's files in its order, then extra ones by name.
    pub findings: Vec<Finding>,
}

impl Report {
    /// Returns whether every file is there as it was, and no other.
    pub fn all_match(&self) -> bool {
        self.findings
            .iter()
            .all(|finding| finding.state == State::Ok)
    }
}

/// Compares an alarm's folder with its manifest, offline.
/// Fails when there is no folder or no manifest that can be read.
pub fn verify(folder: &Path) -> Result<Report, VerifyError> {
    let present = names_in(folder)?;
    let (manifest, state) = read(&folder.join(MANIFEST))?;
    let mut findings = vec![Finding {
        name: MANIFEST.to_owned(),
        state,
    }];
    let mut expected = BTreeSet::from([MANIFEST.to_owned()]);
    for file in &manifest.files {
        findings.push(Finding {
            name: file.name.clone(),
            state: compare(folder, file, &present)?,
        });
        expected.insert(file.name.clone());
    }
    for name in present.difference(&expected) {
        findings.push(Finding {
            name: name.clone(),
            state: State::Extra,
        });
    }
    Ok(Report { manifest, findings })
}

fn names_in(folder: &Path) -> Result<BTreeSet<String>, VerifyError> {
    let failed = |source| VerifyError::Folder {
        path: folder.to_path_buf(),
        source,
    };
    fs::read_dir(folder)
        .map_err(failed)?
        .map(|entry| {
            entry
                .map(|entry| entry.file_name().to_string_lossy().into_owned())
                .map_err(failed)
        })
        .collect()
}

fn read(path: &Path) -> Result<(Manifest, State), VerifyError> {
    let failed = |source| VerifyError::Read {
        path: path.to_path_buf(),
        source,
    };
    let size_bytes = fs::metadata(path).map_err(failed)?.len();
    if size_bytes > SIZE_BYTES_MAX {
        return Err(VerifyError::TooLarge {
            path: path.to_path_buf(),
            size_bytes,
        });
    }
    let text = fs::read_to_string(path).map_err(failed)?;
    let manifest: Manifest = serde_json::from_str(&text).map_err(|source| VerifyError::Parse {
        path: path.to_path_buf(),
        source,
    })?;
    // Over the bytes as they are, not over what they parse to: a changed blank is a change too.
    let blank = text.replacen(&manifest.manifest_sha256, NO_DIGEST, 1);
    let whole = manifest.manifest_sha256.len() == NO_DIGEST.len()
        && sha256_hex(blank.as_bytes()) == manifest.manifest_sha256;
    let state = if whole { State::Ok } else { State::Altered };
    Ok((manifest, state))
}

fn compare(
    folder: &Path,
    file: &EvidenceFile,
    present: &BTreeSet<String>,
) -> Result<State, VerifyError> {
    // The name must be one of the folder's own entries: a manifest cannot point outside of it.
    if !present.contains(&file.name) {
        return Ok(State::Missing);
    }
    let path = folder.join(&file.name);
    match digest_file(&path) {
        Ok((size_bytes, sha256)) if size_bytes == file.size_bytes && sha256 == file.sha256 => {
            Ok(State::Ok)
        }
        Ok(_) => Ok(State::Altered),
        Err(error) if error.kind() == io::ErrorKind::IsADirectory => Ok(State::Altered),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(State::Missing),
        Err(source) => Err(VerifyError::Read { path, source }),
    }
}
