//! Shelving: for a time and for a reason, the alarms of a camera or of a kind are kept and counted,
//! and announced to nobody (ISA-18.2's word and its rules).
//!
//! What holds here, because people's lives may hang on it:
//! - A shelf ends by itself, after [`SHELF_MAX`] at the latest, also where somebody sets the
//!   clock; nothing is ever shelved for good.
//! - Only alarms that are raised while it holds are shelved: what was announced stays announced.
//! - When it ends, what is still going on is announced as if it had just been raised.
//! - Who shelved what, until when and why is one transaction with its event and its audit row.
//! - A store in memory knows no shelves: while the disk takes nothing, alarms are announced.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use sqlx::sqlite::SqliteRow;
use sqlx::{QueryBuilder, Row, Sqlite};

use super::audit::{self, Actor, AuditOutcome, Deed};
use super::delivery;
use super::error::Fault;
use super::event::{self, EventKind};
use super::lifecycle::{NewAlarm, known};
use super::row::{parsed, to_json, word_or_none};
use super::{PAGE_ROWS_MAX, Store, StoreError, Tx};
use crate::alarm::AlarmKind;
use crate::id::{AlarmId, CameraId};

/// A shelf's longest time: a shift [P]. Who comes next must look and decide anew.
pub const SHELF_MAX: Duration = Duration::from_secs(8 * 3600);
/// Shelves at a time: more than this is a switch, not a shelf.
const SHELVES_MAX: i64 = 100;

/// What somebody shelves: at least one of camera and kind is given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewShelf {
    pub camera: Option<CameraId>,
    pub kind: Option<AlarmKind>,
    /// At most [`SHELF_MAX`].
    pub lasts: Duration,
    pub reason: String,
}

/// What is or was shelved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ShelfRecord {
    pub id: i64,
    /// None means every camera.
    #[schema(value_type = Option<String>)]
    pub camera: Option<CameraId>,
    /// None means every kind.
    pub kind: Option<AlarmKind>,
    pub reason: String,
    pub begun_at_ms: i64,
    pub begun_by: String,
    pub until_ms: i64,
    /// None while it holds.
    pub ended_at_ms: Option<i64>,
    /// `plumb` where it ended by itself.
    pub ended_by: Option<String>,
    /// Alarms that were raised under it.
    pub alarms: i64,
}

const COLUMNS: &str = "id, camera, kind, reason, begun_at_ms, begun_by, until_ms, ended_at_ms, \
    ended_by, (SELECT count(*) FROM alarm WHERE alarm.shelf = shelf.id) AS alarms";

impl Store {
    /// Commits that alarms are shelved, and returns how.
    pub async fn shelve(&self, new: &NewShelf, who: &Actor) -> Result<ShelfRecord, StoreError> {
        self.named(self.shelve_row(new, who).await)
    }

    /// Commits that a shelf has ended, and returns it. One that has ended already stays as it is.
    pub async fn unshelve(&self, id: i64, who: &Actor) -> Result<ShelfRecord, StoreError> {
        self.named(self.end_shelf(id, who).await)
    }

    /// Ends the shelves whose time is over, and returns how many.
    pub async fn end_due_shelves(&self) -> Result<usize, StoreError> {
        let due = self.named(self.due_shelves().await)?;
        for &id in &due {
            self.named(self.end_shelf(id, &Actor::service()).await)?;
        }
        Ok(due.len())
    }

    /// Returns the shelves that hold, the one that ends first at the top.
    pub async fn open_shelves(&self) -> Result<Vec<ShelfRecord>, StoreError> {
        let mut query = select();
        query.push(" WHERE ended_at_ms IS NULL ORDER BY until_ms, id");
        self.named(self.shelf_rows(query).await)
    }

    /// Returns at most `limit` shelves that have ended, the newest first.
    pub async fn ended_shelves(&self, limit: u32) -> Result<Vec<ShelfRecord>, StoreError> {
        let mut query = select();
        query.push(" WHERE ended_at_ms IS NOT NULL ORDER BY id DESC LIMIT ");
        query.push_bind(limit.clamp(1, PAGE_ROWS_MAX));
        self.named(self.shelf_rows(query).await)
    }

    async fn shelf_rows(&self, mut query: QueryBuilder<Sqlite>) -> Result<Vec<ShelfRecord>, Fault> {
        let rows = query.build().fetch_all(&self.0.readers).await?;
        Ok(rows.iter().map(record_of).collect::<Result<_, _>>()?)
    }

    async fn due_shelves(&self) -> Result<Vec<i64>, Fault> {
        let due = sqlx::query_scalar(
            "SELECT id FROM shelf WHERE ended_at_ms IS NULL AND holds_until_ms <= ? \
             ORDER BY holds_until_ms",
        );
        let due = due
            .bind(self.steady_ms())
            .fetch_all(&self.0.readers)
            .await?;
        Ok(due)
    }

    async fn shelve_row(&self, new: &NewShelf, who: &Actor) -> Result<ShelfRecord, Fault> {
        let now_ms = self.now_ms();
        let lasts = new.lasts.min(SHELF_MAX).as_millis();
        let lasts = i64::try_from(lasts).unwrap_or(i64::MAX / 2);
        let mut tx = self.begin().await?;
        let open: i64 = sqlx::query_scalar("SELECT count(*) FROM shelf WHERE ended_at_ms IS NULL")
            .fetch_one(&mut *tx)
            .await?;
        if open >= SHELVES_MAX {
            let (what, limit) = ("shelves", SHELVES_MAX);
            return Err(StoreError::TooMany { what, limit }.into());
        }
        let id: i64 = sqlx::query_scalar(
            "INSERT INTO shelf (camera, kind, reason, begun_at_ms, begun_by, until_ms, \
             holds_until_ms) VALUES (?, ?, ?, ?, ?, ?, ?) RETURNING id",
        )
        .bind(new.camera.as_ref().map(CameraId::as_str))
        .bind(new.kind.map(AlarmKind::as_str))
        .bind(&new.reason)
        .bind(now_ms)
        .bind(who.as_str())
        .bind(now_ms + lasts)
        .bind(self.steady_ms() + lasts)
        .fetch_one(&mut *tx)
        .await?;
        let shelf = read(&mut tx, id).await?;
        let detail = format!(
            "{} until {}: {}",
            what(&shelf),
            at(shelf.until_ms),
            shelf.reason
        );
        self.tell_of_shelf(tx, shelf, EventKind::ShelfBegun, who, detail, now_ms)
            .await
    }

    async fn end_shelf(&self, id: i64, who: &Actor) -> Result<ShelfRecord, Fault> {
        let now_ms = self.now_ms();
        let mut tx = self.begin().await?;
        let before = read(&mut tx, id).await?;
        if before.ended_at_ms.is_some() {
            return Ok(before);
        }
        sqlx::query("UPDATE shelf SET ended_at_ms = ?, ended_by = ? WHERE id = ?")
            .bind(now_ms)
            .bind(who.as_str())
            .bind(id)
            .execute(&mut *tx)
            .await?;
        self.announce_rest(&mut tx, id, now_ms).await?;
        let shelf = read(&mut tx, id).await?;
        let detail = format!("{}; {} alarms were shelved", what(&shelf), shelf.alarms);
        self.tell_of_shelf(tx, shelf, EventKind::ShelfEnded, who, detail, now_ms)
            .await
    }

    /// Announces what was raised under the shelf and is still going on; what another shelf covers,
    /// too, becomes that one's.
    async fn announce_rest(&self, tx: &mut Tx, shelf: i64, now_ms: i64) -> Result<(), Fault> {
        let lasting: Vec<String> = sqlx::query_scalar(
            "SELECT id FROM alarm WHERE shelf = ? AND shelved = 1 AND state = 'raised' \
             AND ended_at_ms IS NULL ORDER BY id",
        )
        .bind(shelf)
        .fetch_all(&mut **tx)
        .await?;
        for id in lasting {
            let id: AlarmId = id
                .parse()
                .map_err(|error| sqlx::Error::Decode(Box::new(error)))?;
            let alarm = known(tx, id).await?.alarm;
            if let Some(other) = covering(tx, &alarm.camera, alarm.kind, self.steady_ms()).await? {
                let moved = sqlx::query("UPDATE alarm SET shelf = ? WHERE id = ?");
                let moved = moved.bind(other).bind(id.to_string());
                moved.execute(&mut **tx).await?;
            } else {
                self.announce(tx, id, now_ms).await?;
            }
        }
        Ok(())
    }

    async fn announce(&self, tx: &mut Tx, id: AlarmId, now_ms: i64) -> Result<(), Fault> {
        sqlx::query(
            "UPDATE alarm SET shelved = 0, unshelved_at_ms = ?, aged_from_ms = ? WHERE id = ?",
        )
        .bind(now_ms)
        .bind(self.steady_ms())
        .bind(id.to_string())
        .execute(&mut **tx)
        .await?;
        let detail = known(tx, id).await?;
        let told = delivery::told(tx, &self.0.routes, id).await?;
        let wanting = delivery::wanting(tx, &self.0.routes, &detail.alarm).await?;
        let kind = EventKind::AlarmUnshelved;
        let seq = event::append(tx, kind, &detail, self.when(now_ms), self.0.durability).await?;
        for endpoint in wanting.iter().filter(|endpoint| !told.contains(endpoint)) {
            delivery::queue(tx, seq, kind, &detail.alarm, endpoint, now_ms).await?;
        }
        let deed = Deed {
            who: &Actor::service(),
            action: kind.as_str(),
            object: id.to_string(),
            outcome: AuditOutcome::Done,
            detail: None,
        };
        Ok(audit::append(tx, deed, now_ms).await?)
    }

    /// Writes the event and the audit row, and commits.
    async fn tell_of_shelf(
        &self,
        mut tx: Tx,
        shelf: ShelfRecord,
        kind: EventKind,
        who: &Actor,
        detail: String,
        now_ms: i64,
    ) -> Result<ShelfRecord, Fault> {
        let seq: i64 = sqlx::query_scalar(
            "INSERT INTO event (at_ms, aged_from_ms, kind, camera, body) VALUES (?, ?, ?, ?, ?) \
             RETURNING seq",
        )
        .bind(now_ms)
        .bind(self.steady_ms())
        .bind(kind.as_str())
        .bind(shelf.camera.as_ref().map(CameraId::as_str))
        .bind(to_json(&shelf)?)
        .fetch_one(&mut *tx)
        .await?;
        let deed = Deed {
            who,
            action: kind.as_str(),
            object: format!("shelf/{}", shelf.id),
            outcome: AuditOutcome::Done,
            detail: Some(detail),
        };
        audit::append(&mut tx, deed, now_ms).await?;
        tx.commit().await?;
        self.event_was_committed(seq);
        Ok(shelf)
    }
}

/// Returns the shelf under which an alarm would be raised now, the one that holds longest.
pub(super) async fn covering(
    tx: &mut Tx,
    camera: &CameraId,
    kind: AlarmKind,
    steady_ms: i64,
) -> Result<Option<i64>, sqlx::Error> {
    sqlx::query_scalar(
        "SELECT id FROM shelf WHERE ended_at_ms IS NULL AND holds_until_ms > ? \
         AND (camera IS NULL OR camera = ?) AND (kind IS NULL OR kind = ?) \
         ORDER BY holds_until_ms DESC LIMIT 1",
    )
    .bind(steady_ms)
    .bind(camera.as_str())
    .bind(kind.as_str())
    .fetch_optional(&mut **tx)
    .await
}

/// Puts a new alarm on the shelf that covers it, if one does.
pub(super) async fn shelve_new(
    tx: &mut Tx,
    new: &NewAlarm,
    steady_ms: i64,
) -> Result<(), sqlx::Error> {
    let Some(shelf) = covering(tx, &new.camera, new.alarm.kind, steady_ms).await? else {
        return Ok(());
    };
    sqlx::query("UPDATE alarm SET shelf = ?, shelved = 1 WHERE id = ?")
        .bind(shelf)
        .bind(new.id.to_string())
        .execute(&mut **tx)
        .await?;
    Ok(())
}

async fn read(tx: &mut Tx, id: i64) -> Result<ShelfRecord, Fault> {
    let mut query = select();
    query.push(" WHERE id = ").push_bind(id);
    let row = query.build().fetch_optional(&mut **tx).await?;
    let row = row.ok_or(StoreError::UnknownShelf(id))?;
    Ok(record_of(&row)?)
}

fn select() -> QueryBuilder<Sqlite> {
    let mut query = QueryBuilder::new("SELECT ");
    query.push(COLUMNS).push(" FROM shelf");
    query
}

fn record_of(row: &SqliteRow) -> Result<ShelfRecord, sqlx::Error> {
    let camera = match row.try_get::<Option<&str>, _>("camera")? {
        Some(_) => Some(parsed(row, "camera")?),
        None => None,
    };
    Ok(ShelfRecord {
        id: row.try_get("id")?,
        camera,
        kind: word_or_none(row, "kind")?,
        reason: row.try_get("reason")?,
        begun_at_ms: row.try_get("begun_at_ms")?,
        begun_by: row.try_get("begun_by")?,
        until_ms: row.try_get("until_ms")?,
        ended_at_ms: row.try_get("ended_at_ms")?,
        ended_by: row.try_get("ended_by")?,
        alarms: row.try_get("alarms")?,
    })
}

/// Returns what a shelf covers, for the audit log.
fn what(shelf: &ShelfRecord) -> String {
    let camera = shelf.camera.as_ref();
    let camera = camera.map_or("every camera".to_owned(), |id| format!("camera {id}"));
    let kind = shelf.kind.map_or("every kind", AlarmKind::as_str);
    format!("{kind} of {camera}")
}

fn at(ms: i64) -> String {
    jiff::Timestamp::from_millisecond(ms).map_or_else(|_| ms.to_string(), |at| at.to_string())
}
