//! The audit log's chain: what makes an edit, a gap, another order or a cut tail show.
//!
//! Each row's digest covers the row and the digest before it, so that a row cannot be changed
//! without changing all later ones; signed checkpoints (`checkpoint`) that are kept elsewhere show
//! when somebody has changed all later ones too. Pure but for the key's file; the rows are
//! `store`'s.
//!
//! A chain is made with SHA-256, or with SM3 (GB/T 32905) from a row on that says so: the row
//! [`CHANGE`] is still made with the old one, all after it with the one it names. A row that is made
//! with another than was announced is no row of the chain.

pub mod checkpoint;
pub mod key;

use serde::Deserialize;
use sha2::{Digest, Sha256};
use sm3::Sm3;

pub use checkpoint::Checkpoint;
pub use key::{Key, KeyError, Signing};

/// Stands where the first row's predecessor would.
pub const GENESIS: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// The deed of the row after which the chain goes on with the algorithm that its detail names.
pub const CHANGE: &str = "audit.digest";

/// How rows are digested.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Algorithm {
    #[default]
    Sha256,
    Sm3,
}

impl Algorithm {
    /// Returns the name used in the configuration and in the log.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Sm3 => "sm3",
        }
    }

    /// Returns the algorithm of that name.
    pub fn named(name: &str) -> Option<Self> {
        [Self::Sha256, Self::Sm3]
            .into_iter()
            .find(|known| known.as_str() == name)
    }

    /// Returns the algorithm that has made a digest: all but SHA-256 stand before theirs.
    pub fn of(digest: &str) -> Option<Self> {
        match digest.split_once(':') {
            None => Some(Self::Sha256),
            Some((name, _)) => Self::named(name).filter(|known| *known != Self::Sha256),
        }
    }

    /// Returns the algorithm of the row after one with this digest, action and detail.
    pub fn after(digest: &str, action: &str, detail: Option<&str>) -> Option<Self> {
        match action {
            CHANGE => detail.and_then(Self::named),
            _ => Self::of(digest),
        }
    }

    /// Names what is digested, and how; another way gets another name.
    fn format(self) -> &'static str {
        match self {
            Self::Sha256 => "plumb-audit-1",
            Self::Sm3 => "plumb-audit-1-sm3",
        }
    }
}

/// What a row's digest covers.
#[derive(Clone, Copy, Debug)]
pub struct Row<'a> {
    pub seq: i64,
    pub at_ms: i64,
    pub who: &'a str,
    pub action: &'a str,
    pub object: &'a str,
    pub outcome: &'a str,
    pub detail: Option<&'a str>,
}

/// Returns the row's digest, in 64 hexadecimal digits, with `sm3:` before one of SM3: over the
/// format's name, the digest of the row before, and each part with its length, so that no part can
/// reach into the next.
pub fn digest(algorithm: Algorithm, previous: &str, row: &Row<'_>) -> String {
    let (seq, at_ms) = (row.seq.to_string(), row.at_ms.to_string());
    let parts = [
        Some(algorithm.format()),
        Some(previous),
        Some(&seq),
        Some(&at_ms),
        Some(row.who),
        Some(row.action),
        Some(row.object),
        Some(row.outcome),
        row.detail,
    ];
    let mut text = Vec::new();
    for part in parts {
        match part {
            Some(part) => {
                text.extend_from_slice(format!("{}:", part.len()).as_bytes());
                text.extend_from_slice(part.as_bytes());
            }
            None => text.push(b'-'),
        }
    }
    let hex = |bytes: &[u8]| -> String { bytes.iter().map(|byte| format!("{byte:02x}")).collect() };
    match algorithm {
        Algorithm::Sha256 => hex(&Sha256::digest(&text)),
        Algorithm::Sm3 => format!("sm3:{}", hex(&Sm3::digest(&text))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row() -> Row<'static> {
        Row {
            seq: 7,
            at_ms: 1_769_853_600_000,
            who: "li.na",
            action: "alarm.closed",
            object: "019a",
            outcome: "done",
            detail: None,
        }
    }

    #[test]
    fn every_part_counts_and_none_reaches_into_the_next() {
        let original = digest(Algorithm::Sha256, GENESIS, &row());
        assert_eq!(original.len(), 64);
        let mut seen = vec![original];
        for changed in [
            Row { seq: 8, ..row() },
            Row { at_ms: 0, ..row() },
            Row {
                who: "li.n",
                action: "aalarm.closed",
                ..row()
            },
            Row {
                object: "019b",
                ..row()
            },
            Row {
                outcome: "refused",
                ..row()
            },
            Row {
                detail: Some(""),
                ..row()
            },
            Row {
                detail: Some("x"),
                ..row()
            },
        ] {
            let digest = digest(Algorithm::Sha256, GENESIS, &changed);
            assert!(!seen.contains(&digest), "{changed:?}");
            seen.push(digest);
        }
        assert!(!seen.contains(&digest(Algorithm::Sha256, &seen[0], &row())));
    }

    #[test]
    fn the_format_never_changes_silently() {
        // Made by another program (Python's hashlib). Whoever changes this must give the format
        // another name, and verify both.
        let expected = "dd8c4155024c956f70e8333d9a18d22ca93547dc21a4ce6906803b8f7a7c9e10";
        assert_eq!(digest(Algorithm::Sha256, GENESIS, &row()), expected);
        // By openssl dgst -sm3.
        let expected = "sm3:6dc61fd1789247553c9966fbbc8174f42381769cb0037f7522b3ed4f4d7ea8cf";
        assert_eq!(digest(Algorithm::Sm3, GENESIS, &row()), expected);
    }

    #[test]
    fn the_chain_goes_on_with_what_was_announced() {
        let sha256 = "ab".repeat(32);
        let sm3 = format!("sm3:{sha256}");
        assert_eq!(
            Algorithm::after(&sha256, "x", None),
            Some(Algorithm::Sha256)
        );
        assert_eq!(
            Algorithm::after(&sm3, "x", Some("sha256")),
            Some(Algorithm::Sm3)
        );
        assert_eq!(
            Algorithm::after(&sha256, CHANGE, Some("sm3")),
            Some(Algorithm::Sm3)
        );
        assert_eq!(
            Algorithm::after(&sm3, CHANGE, Some("sha256")),
            Some(Algorithm::Sha256)
        );
        assert_eq!(Algorithm::after(&sm3, CHANGE, Some("md5")), None);
        assert_eq!(Algorithm::of("sha256:ab"), None, "one spelling each");
    }
}
