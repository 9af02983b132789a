//! What is known of an alarm's evidence: names, sizes and digests. The files themselves are
//! `evidence`'s.

use serde::{Deserialize, Serialize};
use sqlx::Row;
use sqlx::sqlite::SqliteConnection;

pub use crate::evidence::EvidenceFile;
use crate::id::AlarmId;

/// Whether an alarm's evidence is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum EvidenceState {
    /// It is being gathered; some files may be there already.
    Pending,
    /// It is complete and does not change any more.
    Ready,
    /// There is none, or not all of it; the reason stands beside it.
    Missing,
}

impl EvidenceState {
    /// Returns the name used in JSON and SQL.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Ready => "ready",
            Self::Missing => "missing",
        }
    }
}

/// What `evidence` has to say about an alarm. Reports may come several times while the state is
/// pending; the first that is ready or missing is the last word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EvidenceReport {
    pub state: EvidenceState,
    /// The folder of the files below the evidence root.
    pub folder: Option<String>,
    /// All files there are now.
    pub files: Vec<EvidenceFile>,
    /// Why something is missing.
    pub reason: Option<String>,
}

pub(super) async fn of_alarm(
    connection: &mut SqliteConnection,
    id: AlarmId,
) -> Result<Vec<EvidenceFile>, sqlx::Error> {
    let rows = sqlx::query(
        "SELECT name, media_type, size_bytes, sha256 FROM evidence_file WHERE alarm = ? \
         ORDER BY name",
    )
    .bind(id.to_string())
    .fetch_all(connection)
    .await?;
    rows.iter()
        .map(|row| {
            Ok(EvidenceFile {
                name: row.try_get("name")?,
                media_type: row.try_get("media_type")?,
                size_bytes: u64::try_from(row.try_get::<i64, _>("size_bytes")?).unwrap_or(0),
                sha256: row.try_get("sha256")?,
            })
        })
        .collect()
}

/// Puts `files` in the place of those that were known.
pub(super) async fn replace(
    connection: &mut SqliteConnection,
    id: AlarmId,
    files: &[EvidenceFile],
) -> Result<(), sqlx::Error> {
    sqlx::query("DELETE FROM evidence_file WHERE alarm = ?")
        .bind(id.to_string())
        .execute(&mut *connection)
        .await?;
    for file in files {
        sqlx::query(
            "INSERT INTO evidence_file (alarm, name, media_type, size_bytes, sha256) \
             VALUES (?, ?, ?, ?, ?)",
        )
        .bind(id.to_string())
        .bind(&file.name)
        .bind(&file.media_type)
        .bind(i64::try_from(file.size_bytes).unwrap_or(i64::MAX))
        .bind(&file.sha256)
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}
