//! Checks a bundle offline, as a ZIP file or unpacked into a folder: every file by size and digest, no
//! other one, and the signatures. Trusts nothing in it; reads only, and nothing outside of it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use serde::Serialize;
use sha2::{Digest, Sha256};
use zip::ZipArchive;

use super::manifest::{FORMAT, MANIFEST, Manifest, SIGNATURE, SignatureFile, signed_text};
use crate::audit::Signing;
use crate::evidence::manifest::{Finding, State};

/// The manifest and the signatures are refused beyond this size, before they are parsed.
const TEXT_BYTES_MAX: u64 = 16 << 20;
/// Files of a bundle at the most.
const FILES_MAX: usize = 20_000;
/// Folders within folders of an unpacked bundle: the format has three.
const DEPTH_MAX: usize = 4;

/// Why a bundle cannot be checked at all.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    #[error("{path} cannot be read")]
    Read { path: PathBuf, source: io::Error },
    #[error("{path} is no ZIP file as Plumb writes them")]
    Zip {
        path: PathBuf,
        source: zip::result::ZipError,
    },
    #[error("{path}: {reason}")]
    Strange { path: PathBuf, reason: String },
    #[error("{path} holds no {name}: it is no bundle, or not the whole one")]
    Lacks { path: PathBuf, name: &'static str },
    #[error("{name} in {path} is not as this version of Plumb writes it")]
    Parse {
        path: PathBuf,
        name: &'static str,
        source: serde_json::Error,
    },
}

/// One signature's result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SignatureFinding {
    pub algorithm: String,
    pub public_key: String,
    pub state: SignatureState,
}

/// Whether a signature proves anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SignatureState {
    Holds,
    Broken,
    /// By an algorithm that this version does not know; it counts for nothing.
    UnknownAlgorithm,
}

/// The whole bundle's result.
#[derive(Clone, Debug)]
pub struct BundleReport {
    pub manifest: Manifest,
    /// The manifest first, then its files in its order, then extra ones by name.
    pub findings: Vec<Finding>,
    pub signatures: Vec<SignatureFinding>,
}

impl BundleReport {
    /// Returns whether every file is there as it was signed, and no other.
    pub fn is_whole(&self) -> bool {
        let is_held = |signature: &SignatureFinding| signature.state == SignatureState::Holds;
        self.findings.iter().all(|found| found.state == State::Ok)
            && self.signatures.iter().any(is_held)
            && self
                .signatures
                .iter()
                .all(|signature| signature.state != SignatureState::Broken)
    }

    /// Returns whether a signature that holds is by one of these keys.
    pub fn is_signed_by(&self, public_keys: &[String]) -> bool {
        self.signatures.iter().any(|signature| {
            signature.state == SignatureState::Holds && public_keys.contains(&signature.public_key)
        })
    }
}

/// Returns whether this is a bundle rather than an alarm's evidence: a file, or a folder with
/// signatures.
pub fn is_bundle(path: &Path) -> bool {
    path.is_file() || path.join(SIGNATURE).is_file()
}

/// Checks a bundle. Fails when it is none, or cannot be read.
pub fn verify(path: &Path) -> Result<BundleReport, BundleError> {
    let bundle = if path.is_dir() {
        unpacked(path)?
    } else {
        packed(path)?
    };
    let parse = |name, source| BundleError::Parse {
        path: path.to_path_buf(),
        name,
        source,
    };
    let text = |name: &'static str| {
        bundle.texts.get(name).ok_or_else(|| BundleError::Lacks {
            path: path.to_path_buf(),
            name,
        })
    };
    let (manifest_bytes, signature_bytes) = (text(MANIFEST)?, text(SIGNATURE)?);
    let manifest: Manifest =
        serde_json::from_slice(manifest_bytes).map_err(|source| parse(MANIFEST, source))?;
    let signed: SignatureFile =
        serde_json::from_slice(signature_bytes).map_err(|source| parse(SIGNATURE, source))?;
    let is_format = manifest.format == FORMAT && signed.format == FORMAT;
    if !is_format {
        return Err(BundleError::Strange {
            path: path.to_path_buf(),
            reason: format!("its format is not {FORMAT}"),
        });
    }
    let is_signed = signed.manifest_sha256 == hex(&Sha256::digest(manifest_bytes));
    Ok(BundleReport {
        findings: findings(&manifest, &bundle, is_signed),
        signatures: signatures(&signed),
        manifest,
    })
}

/// What is in a bundle: each file's size and digest, and the two texts.
#[derive(Default)]
struct Bundle {
    files: BTreeMap<String, (u64, String)>,
    texts: BTreeMap<String, Vec<u8>>,
}

impl Bundle {
    fn take(&mut self, name: String, mut file: impl Read) -> io::Result<()> {
        if name == MANIFEST || name == SIGNATURE {
            let mut bytes = Vec::new();
            file.take(TEXT_BYTES_MAX + 1).read_to_end(&mut bytes)?;
            if bytes.len() as u64 > TEXT_BYTES_MAX {
                return Err(io::Error::other(format!("{name} is larger than any")));
            }
            self.texts.insert(name, bytes);
            return Ok(());
        }
        let (mut digest, mut size_bytes) = (Sha256::new(), 0);
        let mut piece = vec![0; 1 << 16];
        loop {
            let read = file.read(&mut piece)?;
            if read == 0 {
                break;
            }
            digest.update(&piece[..read]);
            size_bytes += read as u64;
        }
        self.files
            .insert(name, (size_bytes, hex(&digest.finalize())));
        Ok(())
    }
}

fn packed(path: &Path) -> Result<Bundle, BundleError> {
    let owned = || path.to_path_buf();
    let failed = |source| BundleError::Read {
        path: owned(),
        source,
    };
    let strange = |reason: String| BundleError::Strange {
        path: owned(),
        reason,
    };
    let mut file = BufReader::new(File::open(path).map_err(failed)?);
    let counted = counted(&mut file).map_err(failed)?;
    let zip = |source| BundleError::Zip {
        path: owned(),
        source,
    };
    let mut archive = ZipArchive::new(file).map_err(zip)?;
    if archive.len() > FILES_MAX {
        return Err(strange(format!("it holds more than {FILES_MAX} files")));
    }
    // A reader that looks files up by name sees only one of two with the same.
    if counted.is_some_and(|counted| counted != archive.len()) {
        return Err(strange("it holds two files of the same name".to_owned()));
    }
    let mut bundle = Bundle::default();
    for index in 0..archive.len() {
        let entry = archive.by_index(index).map_err(zip)?;
        let name = entry.name().map_err(zip)?.into_owned();
        let is_plain = entry.compression() == zip::CompressionMethod::Stored && !entry.encrypted();
        if !is_plain || entry.is_dir() || !name.is_ascii() {
            return Err(strange(format!(
                "{name:?} is no entry as Plumb writes them"
            )));
        }
        bundle.take(name, entry).map_err(failed)?;
    }
    Ok(bundle)
}

/// Returns how many entries the archive's end counts; none where that is not told there (ZIP64).
fn counted(file: &mut BufReader<File>) -> io::Result<Option<usize>> {
    // The end record without a comment: APPNOTE.TXT 4.3.16.
    const END_BYTES: i64 = 22;
    let mut end = [0; 22];
    file.seek(SeekFrom::End(-END_BYTES))?;
    file.read_exact(&mut end)?;
    file.rewind()?;
    let count = u16::from_le_bytes([end[10], end[11]]);
    let is_end = end[..4] == *b"PK\x05\x06" && count != u16::MAX;
    Ok(is_end.then_some(usize::from(count)))
}

fn unpacked(path: &Path) -> Result<Bundle, BundleError> {
    let mut bundle = Bundle::default();
    walk(path, "", 0, &mut bundle)?;
    Ok(bundle)
}

fn walk(folder: &Path, prefix: &str, depth: usize, bundle: &mut Bundle) -> Result<(), BundleError> {
    let failed = |source| BundleError::Read {
        path: folder.to_path_buf(),
        source,
    };
    for entry in fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let kind = entry.file_type().map_err(failed)?;
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        if bundle.files.len() > FILES_MAX || depth > DEPTH_MAX {
            return Err(BundleError::Strange {
                path: folder.to_path_buf(),
                reason: "it holds more than any bundle".to_owned(),
            });
        }
        if kind.is_dir() {
            walk(&entry.path(), &format!("{name}/"), depth + 1, bundle)?;
        } else if kind.is_file() {
            let file = File::open(entry.path()).map_err(failed)?;
            bundle.take(name, file).map_err(failed)?;
        } else {
            // A link is no file of the bundle, wherever it leads.
            bundle.files.insert(name, (0, String::new()));
        }
    }
    Ok(())
}

fn findings(manifest: &Manifest, bundle: &Bundle, is_signed: bool) -> Vec<Finding> {
    let state = |is_ok| if is_ok { State::Ok } else { State::Altered };
    let mut findings = vec![Finding {
        name: MANIFEST.to_owned(),
        state: state(is_signed),
    }];
    let mut expected = BTreeSet::new();
    for file in &manifest.files {
        let found = bundle.files.get(&file.name);
        let is_first = expected.insert(file.name.as_str());
        findings.push(Finding {
            name: file.name.clone(),
            state: match found {
                None => State::Missing,
                Some((size_bytes, sha256)) => {
                    state(is_first && *size_bytes == file.size_bytes && *sha256 == file.sha256)
                }
            },
        });
    }
    let extra = bundle
        .files
        .keys()
        .filter(|name| !expected.contains(name.as_str()));
    findings.extend(extra.map(|name| Finding {
        name: name.clone(),
        state: State::Extra,
    }));
    findings
}

fn signatures(signed: &SignatureFile) -> Vec<SignatureFinding> {
    let text = signed_text(&signed.manifest_sha256);
    let judged = signed.signatures.iter().map(|one| SignatureFinding {
        algorithm: one.algorithm.clone(),
        public_key: one.public_key.clone(),
        state: match Signing::named(&one.algorithm) {
            None => SignatureState::UnknownAlgorithm,
            Some(signing) => match signing.is_signed_text(&one.public_key, &one.signature, &text) {
                true => SignatureState::Holds,
                false => SignatureState::Broken,
            },
        },
    });
    judged.collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
