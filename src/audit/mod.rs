//! The audit log's chain: what makes an edit, a gap, another order or a cut tail show.
//!
//! Each row's digest covers the row and the digest before it, so that a row cannot be changed
//! without changing all later ones; signed checkpoints (`checkpoint`) that are kept elsewhere show
//! when somebody has changed all later ones too. Pure but for the key's file; the rows are
//! `store`'s.

pub mod checkpoint;

use sha2::{Digest, Sha256};

pub use checkpoint::{Checkpoint, Key, KeyError};

/// Stands where the first row's predecessor would.
pub const GENESIS: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// Names what is digested, and how; another way gets another name.
const FORMAT: &str = "plumb-audit-1";

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

/// Returns the row's SHA-256, in 64 hexadecimal digits: over the format's name, the digest of the
/// row before, and each part with its length, so that no part can reach into the next.
pub fn digest(previous_sha256: &str, row: &Row<'_>) -> String {
    let mut digest = Sha256::new();
    let (seq, at_ms) = (row.seq.to_string(), row.at_ms.to_string());
    let parts = [
        Some(FORMAT),
        Some(previous_sha256),
        Some(&seq),
        Some(&at_ms),
        Some(row.who),
        Some(row.action),
        Some(row.object),
        Some(row.outcome),
        row.detail,
    ];
    for part in parts {
        match part {
            Some(part) => {
                digest.update(format!("{}:", part.len()));
                digest.update(part);
            }
            None => digest.update("-"),
        }
    }
    digest
        .finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
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
        let original = digest(GENESIS, &row());
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
            let digest = digest(GENESIS, &changed);
            assert!(!seen.contains(&digest), "{changed:?}");
            seen.push(digest);
        }
        assert!(!seen.contains(&digest(&seen[0], &row())));
    }

    #[test]
    fn the_format_never_changes_silently() {
        // Made by another program (Python's hashlib). Whoever changes this must give the format
        // another name, and verify both.
        let expected = "dd8c4155024c956f70e8333d9a18d22ca93547dc21a4ce6906803b8f7a7c9e10";
        assert_eq!(digest(GENESIS, &row()), expected);
    }
}
