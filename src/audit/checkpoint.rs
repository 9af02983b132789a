//! Checkpoints: what the log was at a moment, signed with the service's own key (Ed25519).
//!
//! Kept somewhere else (another machine, a printout, the log collector), a checkpoint shows that
//! rows up to it were changed or cut off, even by somebody who may write the database and knows
//! the chain. Whoever also has the key can sign other checkpoints, but not change the old ones.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::rand::SystemRandom;
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use serde::{Deserialize, Serialize};

/// The key's file in the data directory: PEM (PKCS #8), for its owner only.
pub const KEY_FILE: &str = "audit.key";
/// Where the service itself keeps checkpoints, a line each, in the data directory.
pub const CHECKPOINTS_FILE: &str = "audit-checkpoints.jsonl";
/// Beyond this size the file becomes `….old` and a new one begins: at one an hour after years.
const CHECKPOINTS_BYTES_MAX: u64 = 8 << 20;

const FORMAT: &str = "plumb-audit-checkpoint-1";
const BEGIN: &str = "-----BEGIN PRIVATE KEY-----";
const END: &str = "-----END PRIVATE KEY-----";

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    #[error("the audit key {path} cannot be read or made: is the data directory writable?")]
    File { path: PathBuf, source: io::Error },
    #[error(
        "the audit key {path} is not an Ed25519 key: restore it from a backup, or move it away to begin a new one"
    )]
    Unreadable { path: PathBuf },
}

/// The service's key; clones share it. It prints as nothing.
#[derive(Clone)]
pub struct Key(Arc<Ed25519KeyPair>);

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key")
    }
}

impl Key {
    /// Returns the key of the data directory; makes one where there is none.
    pub fn open_or_make(data_dir: &Path) -> Result<Self, KeyError> {
        let path = data_dir.join(KEY_FILE);
        if !path.exists() {
            make(&path).map_err(|source| KeyError::File {
                path: path.clone(),
                source,
            })?;
        }
        Self::open(data_dir)
    }

    /// Returns the key of the data directory. Fails where there is none.
    pub fn open(data_dir: &Path) -> Result<Self, KeyError> {
        let path = data_dir.join(KEY_FILE);
        let failed = |source| KeyError::File {
            path: path.clone(),
            source,
        };
        let text = fs::read_to_string(&path).map_err(failed)?;
        let mode = fs::metadata(&path).map_err(failed)?.permissions().mode();
        if mode & 0o077 != 0 {
            tracing::warn!(path = %path.display(), "the audit key can be read by others: chmod 600");
        }
        let body: String = text
            .lines()
            .filter(|line| !line.starts_with("-----"))
            .collect();
        let unreadable = || KeyError::Unreadable { path: path.clone() };
        let bytes = STANDARD.decode(body).map_err(|_| unreadable())?;
        let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(&bytes).map_err(|_| unreadable())?;
        Ok(Self(Arc::new(pair)))
    }

    /// Returns the public half, in base64.
    pub fn public(&self) -> String {
        STANDARD.encode(self.0.public_key())
    }

    /// Returns the Ed25519 signature over `text`, in base64. The text begins with the name of what
    /// it is, so that a signature never stands for something else.
    pub fn sign_text(&self, text: &str) -> String {
        STANDARD.encode(self.0.sign(text.as_bytes()).as_ref())
    }

    /// Returns a checkpoint: the log's last row was `seq` with that digest at `at_ms`.
    pub fn sign(&self, seq: i64, sha256: &str, at_ms: i64) -> Checkpoint {
        let mut checkpoint = Checkpoint {
            format: FORMAT.to_owned(),
            seq,
            sha256: sha256.to_owned(),
            at_ms,
            public_key: self.public(),
            signature: String::new(),
        };
        checkpoint.signature = self.sign_text(&checkpoint.message());
        checkpoint
    }
}

/// Returns whether `signature` over `text` is by the key of which `public_key` is the public half;
/// both are base64.
pub fn is_signed_text(public_key: &str, signature: &str, text: &str) -> bool {
    let (Ok(key), Ok(signature)) = (STANDARD.decode(public_key), STANDARD.decode(signature)) else {
        return false;
    };
    UnparsedPublicKey::new(&ED25519, key)
        .verify(text.as_bytes(), &signature)
        .is_ok()
}

fn make(path: &Path) -> io::Result<()> {
    let broken = |_| io::Error::other("the system gives no random numbers");
    let pair = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).map_err(broken)?;
    let text = format!("{BEGIN}\n{}\n{END}\n", STANDARD.encode(pair.as_ref()));
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

/// What the log was at a moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Checkpoint {
    pub format: String,
    /// The last row there was.
    pub seq: i64,
    /// Its digest, which follows from all rows up to it.
    pub sha256: String,
    pub at_ms: i64,
    /// The service's public key, base64.
    pub public_key: String,
    /// Ed25519 over format, seq, sha256 and at_ms, a line each; base64.
    pub signature: String,
}

impl Checkpoint {
    fn message(&self) -> String {
        format!(
            "{}\n{}\n{}\n{}\n",
            self.format, self.seq, self.sha256, self.at_ms
        )
    }

    /// Returns whether the signature is by the checkpoint's own key. Whose key that is must be
    /// known otherwise: by the key file, or by an earlier checkpoint.
    pub fn is_signed(&self) -> bool {
        self.format == FORMAT && is_signed_text(&self.public_key, &self.signature, &self.message())
    }

    /// Adds it to the checkpoints that the service keeps itself, and returns when it is on the
    /// disk. Blocks.
    pub fn keep(&self, data_dir: &Path) -> io::Result<()> {
        let path = data_dir.join(CHECKPOINTS_FILE);
        if fs::metadata(&path).is_ok_and(|file| file.len() > CHECKPOINTS_BYTES_MAX) {
            fs::rename(&path, path.with_extension("jsonl.old"))?;
        }
        let mut file = File::options().create(true).append(true).open(&path)?;
        let line = serde_json::to_string(self).expect("texts and numbers always become JSON");
        writeln!(file, "{line}")?;
        file.sync_all()
    }

    /// Returns the checkpoints in a file: one as JSON, or one a line.
    pub fn read_all(path: &Path) -> io::Result<Vec<Self>> {
        let text = fs::read_to_string(path)?;
        let wrong = |error: serde_json::Error| io::Error::new(io::ErrorKind::InvalidData, error);
        let mut checkpoints = Vec::new();
        for checkpoint in serde_json::Deserializer::from_str(&text).into_iter() {
            checkpoints.push(checkpoint.map_err(wrong)?);
        }
        Ok(checkpoints)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checkpoint_holds_for_what_was_signed_and_nothing_else() {
        let folder = tempfile::tempdir().expect("a folder");
        let key = Key::open_or_make(folder.path()).expect("a key");
        let again = Key::open_or_make(folder.path()).expect("the same key");
        assert_eq!(key.public(), again.public());
        let mode = fs::metadata(folder.path().join(KEY_FILE)).expect("a file");
        assert_eq!(mode.permissions().mode() & 0o777, 0o600);
        let signed = key.sign(7, &"ab".repeat(32), 5);
        assert!(signed.is_signed());
        for changed in [
            Checkpoint {
                seq: 6,
                ..signed.clone()
            },
            Checkpoint {
                sha256: "cd".repeat(32),
                ..signed.clone()
            },
            Checkpoint {
                at_ms: 6,
                ..signed.clone()
            },
            Checkpoint {
                format: "x".to_owned(),
                ..signed.clone()
            },
            Checkpoint {
                signature: String::new(),
                ..signed.clone()
            },
        ] {
            assert!(!changed.is_signed(), "{changed:?}");
        }
        signed.keep(folder.path()).expect("writable");
        key.sign(9, &"ab".repeat(32), 6)
            .keep(folder.path())
            .expect("writable");
        let kept = Checkpoint::read_all(&folder.path().join(CHECKPOINTS_FILE)).expect("readable");
        assert_eq!((kept.len(), &kept[0]), (2, &signed));
    }
}
