//! Checkpoints: what the log was at a moment, signed with the service's own key.
//!
//! Kept somewhere else (another machine, a printout, the log collector), a checkpoint shows that
//! rows up to it were changed or cut off, even by somebody who may write the database and knows
//! the chain. Whoever also has the key can sign other checkpoints, but not change the old ones.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::key::{Key, Signing};

/// Where the service itself keeps checkpoints, a line each, in the data directory.
pub const CHECKPOINTS_FILE: &str = "audit-checkpoints.jsonl";
/// Beyond this size the file becomes `….old` and a new one begins: at one an hour after years.
const CHECKPOINTS_BYTES_MAX: u64 = 8 << 20;

/// Names what is signed, and how; another way gets another name.
fn format_of(signing: Signing) -> &'static str {
    match signing {
        Signing::Ed25519 => "plumb-audit-checkpoint-1",
        Signing::Sm2 => "plumb-audit-checkpoint-1-sm2",
    }
}

impl Key {
    /// Returns a checkpoint: the log's last row was `seq` with that digest at `at_ms`.
    pub fn sign(&self, seq: i64, sha256: &str, at_ms: i64) -> Checkpoint {
        let mut checkpoint = Checkpoint {
            format: format_of(self.signing()).to_owned(),
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

/// What the log was at a moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Checkpoint {
    pub format: String,
    /// The last row there was.
    pub seq: i64,
    /// Its digest, which follows from all rows up to it: SHA-256, or SM3 with `sm3:` before it.
    pub sha256: String,
    pub at_ms: i64,
    /// The service's public key, base64.
    pub public_key: String,
    /// Ed25519 or SM2, as `format` says, over format, seq, sha256 and at_ms, a line each; base64.
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
        let signing = Signing::ALL
            .into_iter()
            .find(|signing| format_of(*signing) == self.format);
        signing.is_some_and(|signing| {
            signing.is_signed_text(&self.public_key, &self.signature, &self.message())
        })
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
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_checkpoint_holds_for_what_was_signed_and_nothing_else() {
        for signing in Signing::ALL {
            holds_for_nothing_else(signing);
        }
    }

    fn holds_for_nothing_else(signing: Signing) {
        let folder = tempfile::tempdir().expect("a folder");
        let key = Key::open_or_make(folder.path(), signing).expect("a key");
        let again = Key::open_or_make(folder.path(), signing).expect("the same key");
        assert_eq!(key.public(), again.public());
        let mode = fs::metadata(folder.path().join(signing.key_file())).expect("a file");
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
