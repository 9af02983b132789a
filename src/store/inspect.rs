//! Reads the audit log as it lies on the disk, row by row, and says where it is not as it was
//! written. Opens the database only for reading, also while the service runs; trusts nothing in it.

use std::fmt;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::Serialize;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteRow};
use sqlx::{Connection, Row as _};

use super::StoreError;
use super::open::DATABASE;
use crate::audit::{Algorithm, Checkpoint, GENESIS, Row, digest};

/// Rows that are read at a time.
const PAGE_ROWS: i64 = 500;
/// Findings at the most: beyond them the log is no log any more.
const FINDINGS_MAX: usize = 100;
/// What keeps the program itself, and everybody who goes through SQLite, from changing rows.
const TRIGGERS: [&str; 5] = [
    "audit_is_never_changed",
    "audit_is_never_removed",
    "audit_is_never_replaced",
    "audit_is_never_unchained",
    "audit_is_never_out_of_order",
];

/// One thing that is not as it was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "finding", rename_all = "snake_case")]
pub enum AuditFinding {
    /// The row does not have the digest that it had when it was written.
    Edited { seq: i64, row: String },
    /// Rows are not there.
    Missing { first: i64, last: i64 },
    /// The row was not written after the one that stands before it.
    OutOfPlace { seq: i64, row: String },
    /// The row is made with another algorithm than the rows before it announced.
    AlgorithmChanged { seq: i64, row: String },
    /// A row without a digest, after the chain began.
    Unchained { seq: i64, row: String },
    /// Rows at the end are not there: `known_by` has seen them.
    Cut {
        first: i64,
        last: i64,
        known_by: String,
    },
    /// Rows in this range were changed, and the chain after them made anew.
    Rewritten {
        first: i64,
        last: i64,
        known_by: String,
    },
    /// A checkpoint that nobody signed.
    BadCheckpoint { seq: i64 },
    /// A checkpoint that another key signed.
    ForeignCheckpoint { seq: i64 },
    /// A guard of the table is gone.
    TriggerGone { trigger: String },
}

impl fmt::Display for AuditFinding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Edited { seq, row } => {
                write!(
                    f,
                    "row {seq} was changed after it was written; it says now: {row}"
                )
            }
            Self::Missing { first, last } if first == last => write!(f, "row {first} is missing"),
            Self::Missing { first, last } => write!(f, "rows {first} to {last} are missing"),
            Self::OutOfPlace { seq, row } => write!(
                f,
                "row {seq} was not written after the row before it: rows were removed, put in or exchanged here; it says: {row}"
            ),
            Self::AlgorithmChanged { seq, row } => write!(
                f,
                "row {seq} is made with another digest than was announced before it; it says: {row}"
            ),
            Self::Unchained { seq, row } => {
                write!(f, "row {seq} was put in without a digest; it says: {row}")
            }
            Self::Cut {
                first,
                last,
                known_by,
            } => {
                write!(f, "rows {first} to {last} were cut off the end: {known_by}")
            }
            Self::Rewritten {
                first,
                last,
                known_by,
            } => write!(
                f,
                "a row from {first} to {last} was changed and the chain made anew: {known_by}"
            ),
            Self::BadCheckpoint { seq } => {
                write!(
                    f,
                    "the checkpoint of row {seq} has no valid signature: it proves nothing"
                )
            }
            Self::ForeignCheckpoint { seq } => write!(
                f,
                "the checkpoint of row {seq} is signed by another key than those of this data directory: is it of this service?"
            ),
            Self::TriggerGone { trigger } => {
                write!(
                    f,
                    "the table's guard {trigger} was removed: somebody prepared changes"
                )
            }
        }
    }
}

/// What an inspection found.
#[derive(Clone, Debug, Serialize)]
pub struct AuditReport {
    pub rows: u64,
    pub last_seq: i64,
    pub last_sha256: String,
    /// Checkpoints that fit the rows.
    pub checkpoints: usize,
    /// In the order of the rows; none when all is as it was written.
    pub findings: Vec<AuditFinding>,
}

/// Inspects the log in `data_dir` against `checkpoints`, which must be signed by one of `public_keys`
/// where any is known. Fails when the database cannot be read.
pub async fn inspect(
    data_dir: &Path,
    checkpoints: &[Checkpoint],
    public_keys: &[String],
) -> Result<AuditReport, StoreError> {
    let path = data_dir.join(DATABASE);
    let read = read(&path, checkpoints, public_keys).await;
    read.map_err(|source| StoreError::of_sql(&path, source))
}

async fn read(
    path: &PathBuf,
    checkpoints: &[Checkpoint],
    public_keys: &[String],
) -> Result<AuditReport, sqlx::Error> {
    let options = SqliteConnectOptions::new().filename(path).read_only(true);
    let mut connection = SqliteConnection::connect_with(&options).await?;
    // One transaction: the service may write meanwhile.
    let mut tx = connection.begin().await?;
    let mut walk = Walk::new(checkpoints, public_keys);
    walk.guards(&mut tx).await?;
    let mut after = i64::MIN;
    loop {
        let rows = sqlx::query(
            "SELECT seq, at_ms, who, action, object, outcome, detail, previous_sha256, sha256 \
             FROM audit WHERE seq > ? ORDER BY seq LIMIT ?",
        )
        .bind(after)
        .bind(PAGE_ROWS)
        .fetch_all(&mut *tx)
        .await?;
        let Some(last) = rows.last() else { break };
        after = last.try_get("seq")?;
        for row in &rows {
            walk.step(row)?;
        }
    }
    // SQLite counts on when rows are removed without it; whoever cuts the tail may forget this.
    let counted: Option<i64> =
        sqlx::query_scalar("SELECT seq FROM sqlite_sequence WHERE name = 'audit'")
            .fetch_optional(&mut *tx)
            .await?;
    Ok(walk.finish(counted.unwrap_or(0)))
}

/// The state of the walk along the rows.
struct Walk<'a> {
    /// Signed ones, by row.
    checkpoints: Vec<&'a Checkpoint>,
    /// How many of them were passed.
    passed: usize,
    fitting: usize,
    rows: u64,
    seq: i64,
    sha256: String,
    chained: bool,
    /// How the next row is digested, as the rows up to here say.
    next: Algorithm,
    /// The last row of which a checkpoint says that it is as it was.
    proven: i64,
    findings: Vec<AuditFinding>,
}

impl<'a> Walk<'a> {
    fn new(checkpoints: &'a [Checkpoint], public_keys: &[String]) -> Self {
        let mut findings = Vec::new();
        let mut signed = Vec::new();
        for checkpoint in checkpoints {
            let seq = checkpoint.seq;
            if !checkpoint.is_signed() {
                findings.push(AuditFinding::BadCheckpoint { seq });
            } else if !public_keys.is_empty() && !public_keys.contains(&checkpoint.public_key) {
                findings.push(AuditFinding::ForeignCheckpoint { seq });
            } else {
                signed.push(checkpoint);
            }
        }
        signed.sort_by_key(|checkpoint| checkpoint.seq);
        Self {
            checkpoints: signed,
            passed: 0,
            fitting: 0,
            rows: 0,
            seq: 0,
            sha256: GENESIS.to_owned(),
            chained: false,
            next: Algorithm::default(),
            proven: 0,
            findings,
        }
    }

    async fn guards(&mut self, connection: &mut SqliteConnection) -> Result<(), sqlx::Error> {
        for trigger in TRIGGERS {
            let found: i64 = sqlx::query_scalar(
                "SELECT count(*) FROM sqlite_schema WHERE type = 'trigger' AND name = ? \
                 AND tbl_name = 'audit'",
            )
            .bind(trigger)
            .fetch_one(&mut *connection)
            .await?;
            if found == 0 {
                let trigger = trigger.to_owned();
                self.find(AuditFinding::TriggerGone { trigger });
            }
        }
        Ok(())
    }

    fn step(&mut self, row: &SqliteRow) -> Result<(), sqlx::Error> {
        let seq: i64 = row.try_get("seq")?;
        let stored: Option<String> = row.try_get("sha256")?;
        let previous: Option<String> = row.try_get("previous_sha256")?;
        if seq > self.seq + 1 {
            let (first, last) = (self.seq + 1, seq - 1);
            self.find(AuditFinding::Missing { first, last });
        }
        let before = previous.as_deref().unwrap_or(&self.sha256);
        // By its own mark, so that a row in the wrong place is not called edited, too.
        let own = stored.as_deref().map_or(Some(self.next), Algorithm::of);
        let computed = digest_of(own.unwrap_or(self.next), row, before)?;
        match (&stored, &previous) {
            (Some(stored), Some(previous)) => {
                if computed != *stored {
                    let row = sentence(row)?;
                    self.find(AuditFinding::Edited { seq, row });
                } else if own != Some(self.next) && seq == self.seq + 1 {
                    let row = sentence(row)?;
                    self.find(AuditFinding::AlgorithmChanged { seq, row });
                } else if *previous != self.sha256 && seq == self.seq + 1 {
                    let row = sentence(row)?;
                    self.find(AuditFinding::OutOfPlace { seq, row });
                }
                self.chained = true;
            }
            _ if self.chained => {
                let row = sentence(row)?;
                self.find(AuditFinding::Unchained { seq, row });
            }
            // Of before there was a chain: covered by the first row that has a digest.
            _ => {}
        }
        self.rows += 1;
        self.seq = seq;
        self.sha256 = stored.unwrap_or(computed);
        let (action, detail): (String, Option<String>) =
            (row.try_get("action")?, row.try_get("detail")?);
        if let Some(next) = Algorithm::after(&self.sha256, &action, detail.as_deref()) {
            self.next = next;
        }
        self.compare();
        Ok(())
    }

    /// Compares the row with the checkpoints that were signed when it was the last one.
    fn compare(&mut self) {
        while let Some(checkpoint) = self.checkpoints.get(self.passed).copied() {
            if checkpoint.seq > self.seq {
                return;
            }
            self.passed += 1;
            if checkpoint.seq < self.seq {
                continue;
            }
            if checkpoint.sha256 == self.sha256 {
                self.fitting += 1;
                self.proven = self.seq;
            } else {
                self.find(AuditFinding::Rewritten {
                    first: self.proven + 1,
                    last: self.seq,
                    known_by: told(checkpoint),
                });
            }
        }
    }

    fn finish(mut self, counted: i64) -> AuditReport {
        let last = self.seq;
        if let Some(checkpoint) = self.checkpoints.last().filter(|known| known.seq > last) {
            let cut = AuditFinding::Cut {
                first: last + 1,
                last: checkpoint.seq,
                known_by: told(checkpoint),
            };
            self.find(cut);
        } else if counted > last {
            self.find(AuditFinding::Cut {
                first: last + 1,
                last: counted,
                known_by: "the database has counted them".to_owned(),
            });
        }
        AuditReport {
            rows: self.rows,
            last_seq: self.seq,
            last_sha256: self.sha256,
            checkpoints: self.fitting,
            findings: self.findings,
        }
    }

    fn find(&mut self, finding: AuditFinding) {
        if self.findings.len() < FINDINGS_MAX {
            self.findings.push(finding);
        }
    }
}

fn digest_of(algorithm: Algorithm, row: &SqliteRow, previous: &str) -> Result<String, sqlx::Error> {
    Ok(digest(
        algorithm,
        previous,
        &Row {
            seq: row.try_get("seq")?,
            at_ms: row.try_get("at_ms")?,
            who: row.try_get("who")?,
            action: row.try_get("action")?,
            object: row.try_get("object")?,
            outcome: row.try_get("outcome")?,
            detail: row.try_get("detail")?,
        },
    ))
}

fn told(checkpoint: &Checkpoint) -> String {
    format!(
        "a checkpoint of {} knows row {}",
        moment(checkpoint.at_ms),
        checkpoint.seq
    )
}

fn sentence(row: &SqliteRow) -> Result<String, sqlx::Error> {
    let (who, action, object): (String, String, String) = (
        row.try_get("who")?,
        row.try_get("action")?,
        row.try_get("object")?,
    );
    let at = moment(row.try_get("at_ms")?);
    Ok(format!("{who} {action} {object} at {at}"))
}

fn moment(at_ms: i64) -> String {
    Timestamp::from_millisecond(at_ms).map_or_else(|_| format!("{at_ms} ms"), |at| at.to_string())
}
