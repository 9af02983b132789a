//! The manifest of an exported bundle, and its signature; what they mean stands in `export`.

use serde::{Deserialize, Serialize};

use crate::alarm::AlarmKind;
use crate::audit::Key;
use crate::evidence::{MissingFile, Treatment, sha256_hex};
use crate::id::{AlarmId, CameraId, SiteId};

/// Names the layout; another layout gets another name.
pub const FORMAT: &str = "plumb-export-1";
/// The manifest's name in a bundle.
pub const MANIFEST: &str = "manifest.json";
/// The signatures' name in a bundle.
pub const SIGNATURE: &str = "signature.json";

/// What `manifest.json` holds, in this order. Times that end in `_at_ms` are Unix milliseconds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// [`FORMAT`].
    pub format: String,
    pub plumb_version: String,
    pub made_at_ms: i64,
    pub ticket: TicketEntry,
    pub alarms: Vec<AlarmEntry>,
    pub files: Vec<FileEntry>,
    /// Evidence that the ticket covers and the bundle lacks. `name` is as it would be in `files`.
    pub missing: Vec<MissingFile>,
}

/// The ticket by which the bundle was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TicketEntry {
    /// As it stands in the watermark, e.g. `E-17`.
    pub number: String,
    pub reason: String,
    /// What was asked for, in words: alarms, or a camera and a time.
    pub scope: String,
    pub treatment: Treatment,
    pub asked_by: String,
    pub asked_at_ms: i64,
    pub approved_by: String,
    pub approved_at_ms: i64,
    /// The bundle cannot be downloaded any more from then on.
    pub expires_at_ms: i64,
}

/// One alarm of the bundle; `alarms/<id>/alarm.json` tells more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AlarmEntry {
    pub id: AlarmId,
    pub kind: AlarmKind,
    pub site: SiteId,
    pub camera: CameraId,
    pub raised_at_ms: i64,
    /// SHA-256 of the `manifest.json` of its evidence; none where it has none.
    pub evidence_sha256: Option<String>,
}

/// One file of the bundle.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileEntry {
    /// Its whole name in the bundle.
    pub name: String,
    pub media_type: String,
    pub size_bytes: u64,
    /// Of the file in the bundle, 64 hexadecimal digits.
    pub sha256: String,
    /// Of the evidence that it was made from; none for `alarm.json`.
    pub source_sha256: Option<String>,
}

/// What `signature.json` holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignatureFile {
    /// [`FORMAT`].
    pub format: String,
    /// SHA-256 of the bytes of `manifest.json`, 64 hexadecimal digits.
    pub manifest_sha256: String,
    pub signatures: Vec<SignatureRecord>,
}

/// One signature.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignatureRecord {
    pub algorithm: String,
    /// Base64.
    pub public_key: String,
    /// Base64.
    pub signature: String,
}

impl Manifest {
    /// Returns the bytes of `manifest.json`.
    pub fn to_bytes(&self) -> Vec<u8> {
        to_text(self)
    }
}

impl SignatureFile {
    /// Returns the signature by `key` over a manifest's bytes.
    pub fn sign(manifest: &[u8], key: &Key) -> Self {
        let manifest_sha256 = sha256_hex(manifest);
        let signature = key.sign_text(&signed_text(&manifest_sha256));
        Self {
            format: FORMAT.to_owned(),
            manifest_sha256,
            signatures: vec![SignatureRecord {
                algorithm: key.signing().as_str().to_owned(),
                public_key: key.public(),
                signature,
            }],
        }
    }

    /// Returns the bytes of `signature.json`.
    pub fn to_bytes(&self) -> Vec<u8> {
        to_text(self)
    }
}

/// Returns the text that is signed.
pub fn signed_text(manifest_sha256: &str) -> String {
    format!("{FORMAT}\n{manifest_sha256}\n")
}

fn to_text(value: &impl Serialize) -> Vec<u8> {
    let mut bytes =
        serde_json::to_vec_pretty(value).expect("strings, numbers and lists always become JSON");
    bytes.push(b'\n');
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::Signing;

    #[test]
    fn a_signature_holds_for_its_manifest_and_no_other() {
        let folder = tempfile::tempdir().expect("a folder");
        let key = Key::open_or_make(folder.path(), Signing::Ed25519).expect("a key");
        let signed = SignatureFile::sign(b"{}\n", &key);
        let [by] = signed.signatures.as_slice() else {
            panic!("one signature");
        };
        assert_eq!(signed.manifest_sha256, sha256_hex(b"{}\n"));
        let holds = |digest: &str| {
            let text = signed_text(digest);
            Signing::Ed25519.is_signed_text(&by.public_key, &by.signature, &text)
        };
        assert!(holds(&signed.manifest_sha256));
        assert!(!holds(&sha256_hex(b"{ }\n")));
    }
}
