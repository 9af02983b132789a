//! Carries alarms between a store on the disk and one in memory: into memory when the disk fails
//! while an alarm lasts, and onto the disk when it is back.
//!
//! An alarm travels with its files, events, deliveries, attempts and audit rows, and may arrive
//! twice: what is known already is not overwritten.

use sqlx::sqlite::SqliteConnection;
use sqlx::{AssertSqlSafe, Row};

use super::error::Fault;
use super::{Durability, Store, StoreError, Tx};
use crate::id::AlarmId;

/// One alarm with all that belongs to it, as JSON rows.
#[derive(Clone, Debug)]
pub struct AlarmCopy {
    id: AlarmId,
    tables: [String; TABLES.len()],
}

/// What becomes of an arriving alarm's deliveries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// They are to be sent from here on, and their attempts and deeds come along.
    Moved,
    /// They are the other store's, which still has the alarm.
    Borrowed,
}

struct Table {
    name: &'static str,
    columns: &'static [&'static str],
    /// Finds the rows of alarm `?1`.
    of_alarm: &'static str,
}

const ALARM: Table = Table {
    name: "alarm",
    columns: &[
        "id",
        "camera",
        "site",
        "place",
        "kind",
        "state",
        "score",
        "started_at_ms",
        "raised_at_ms",
        "ended_at_ms",
        "end_reason",
        "stream_started_us",
        "stream_raised_us",
        "stream_ended_us",
        "track",
        "origin",
        "scene_sha256",
        "evidence",
        "evidence_reason",
        "evidence_folder",
        "acknowledged_at_ms",
        "acknowledged_by",
        "closed_at_ms",
        "closed_by",
        "disposition",
        "note",
        "aged_from_ms",
    ],
    of_alarm: "id = ?1 ORDER BY id",
};
const FILE: Table = Table {
    name: "evidence_file",
    columns: &["alarm", "name", "media_type", "size_bytes", "sha256"],
    of_alarm: "alarm = ?1 ORDER BY name",
};
const EVENT: Table = Table {
    name: "event",
    columns: &[
        "at_ms",
        "kind",
        "alarm",
        "camera",
        "site",
        "body",
        "aged_from_ms",
    ],
    // What may come more than once is people's, and stays in the store in which they did it.
    of_alarm: "alarm = ?1 AND kind NOT IN ('alarm.assigned', 'alarm.noted', 'alarm.escalated') \
        ORDER BY seq",
};
/// `event_kind` stands for `event_seq`, which differs between stores.
const DELIVERY: Table = Table {
    name: "delivery_by_kind",
    columns: &[
        "id",
        "event_kind",
        "alarm",
        "endpoint",
        "camera",
        "state",
        "attempts",
        "created_at_ms",
        "tried_from_ms",
        "next_at_ms",
        "settled_at_ms",
        "last_error",
    ],
    of_alarm: "alarm = ?1 AND event_kind <> 'alarm.escalated' ORDER BY event_seq",
};
const ATTEMPT: Table = Table {
    name: "attempt",
    columns: &["delivery", "at_ms", "duration_ms", "status", "error"],
    of_alarm: "delivery IN (SELECT id FROM delivery WHERE alarm = ?1) ORDER BY id",
};
const AUDIT: Table = Table {
    name: "audit",
    columns: &["at_ms", "who", "action", "object", "outcome", "detail"],
    of_alarm: "object = ?1 ORDER BY seq",
};
const TABLES: [Table; 6] = [ALARM, FILE, EVENT, DELIVERY, ATTEMPT, AUDIT];

/// How each table's rows (JSON array `?1`) are put in, in the order of [`TABLES`]. The last one's,
/// the deeds, are written down anew: each store has a chain of its own.
const ARRIVE: [&str; 5] = [
    // What people did is the receiving store's; what the camera saw is whoever knows the end.
    "INSERT INTO alarm ({columns}) SELECT {values} FROM json_each(?1) WHERE true \
     ON CONFLICT (id) DO UPDATE SET \
     score = CASE WHEN ended_at_ms IS NULL THEN excluded.score ELSE score END, \
     track = CASE WHEN ended_at_ms IS NULL THEN excluded.track ELSE track END, \
     origin = CASE WHEN ended_at_ms IS NULL THEN excluded.origin ELSE origin END, \
     started_at_ms = min(started_at_ms, excluded.started_at_ms), \
     stream_started_us = min(stream_started_us, excluded.stream_started_us), \
     stream_ended_us = coalesce(stream_ended_us, excluded.stream_ended_us), \
     end_reason = coalesce(end_reason, excluded.end_reason), \
     ended_at_ms = coalesce(ended_at_ms, excluded.ended_at_ms), \
     evidence_reason = coalesce(evidence_reason, excluded.evidence_reason), \
     evidence_folder = coalesce(evidence_folder, excluded.evidence_folder), \
     evidence = CASE evidence WHEN 'pending' THEN excluded.evidence ELSE evidence END",
    "INSERT OR REPLACE INTO evidence_file ({columns}) SELECT {values} FROM json_each(?1)",
    "INSERT OR IGNORE INTO event ({columns}) SELECT {values} FROM json_each(?1) ORDER BY key",
    "INSERT OR IGNORE INTO delivery (id, event_seq, alarm, endpoint, camera, state, attempts, \
     created_at_ms, tried_from_ms, next_at_ms, settled_at_ms, last_error) \
     SELECT value ->> 'id', (SELECT seq FROM event WHERE alarm = value ->> 'alarm' \
     AND kind = value ->> 'event_kind'), value ->> 'alarm', value ->> 'endpoint', \
     value ->> 'camera', \
     CASE WHEN ?2 THEN 'cancelled' WHEN value ->> 'state' = 'sending' THEN 'pending' \
     ELSE value ->> 'state' END, \
     value ->> 'attempts', value ->> 'created_at_ms', value ->> 'tried_from_ms', \
     value ->> 'next_at_ms', value ->> 'settled_at_ms', value ->> 'last_error' \
     FROM json_each(?1) \
     WHERE EXISTS (SELECT 1 FROM endpoint WHERE endpoint.id = value ->> 'endpoint')",
    "INSERT INTO attempt ({columns}) SELECT {values} FROM json_each(?1) WHERE EXISTS \
     (SELECT 1 FROM delivery WHERE delivery.id = value ->> 'delivery') ORDER BY key",
];

impl Store {
    /// Returns the alarm with all that belongs to it; none where there is no such alarm.
    pub async fn copy_out(&self, id: AlarmId) -> Result<Option<AlarmCopy>, StoreError> {
        self.named(self.copy_rows(id).await)
    }

    /// Commits an alarm that comes from another store.
    pub async fn copy_in(&self, copy: &AlarmCopy, arrival: Arrival) -> Result<(), StoreError> {
        self.named(self.arrive(copy, arrival).await)
    }

    /// Returns at most `limit` alarms' ids, oldest first.
    pub async fn oldest_alarms(&self, limit: u32) -> Result<Vec<AlarmId>, StoreError> {
        self.named(self.oldest_ids(limit).await)
    }

    /// Removes an alarm with all that belongs to it except the audit rows. Only for a volatile
    /// store, whose alarm another store has by now.
    pub(crate) async fn forget(&self, id: AlarmId) -> Result<(), StoreError> {
        let removed = sqlx::query("DELETE FROM alarm WHERE id = ?")
            .bind(id.to_string())
            .execute(&self.0.writer)
            .await;
        self.named(removed.map(|_| ()).map_err(Fault::from))
    }

    /// Removes the alarms that have ended and of which every delivery is settled, to make room in
    /// a volatile store that is full.
    pub(crate) async fn forget_settled(&self) -> Result<u64, StoreError> {
        let removed = sqlx::query(
            "DELETE FROM alarm WHERE ended_at_ms IS NOT NULL AND id NOT IN \
             (SELECT alarm FROM delivery WHERE state IN ('pending', 'sending'))",
        )
        .execute(&self.0.writer)
        .await;
        self.named(
            removed
                .map(|done| done.rows_affected())
                .map_err(Fault::from),
        )
    }

    /// Commits a change that means nothing, to learn whether the disk takes changes. A store in
    /// memory says that it does not.
    pub async fn probe(&self) -> Result<(), StoreError> {
        if self.0.durability == Durability::Volatile {
            return Err(StoreError::NoDisk);
        }
        self.named(self.touch().await)
    }

    async fn touch(&self) -> Result<(), Fault> {
        let mut tx = self.begin().await?;
        // Always writes the first page, whatever stood there.
        sqlx::query("PRAGMA user_version = 1")
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(())
    }

    async fn oldest_ids(&self, limit: u32) -> Result<Vec<AlarmId>, Fault> {
        let rows = sqlx::query("SELECT id FROM alarm ORDER BY id LIMIT ?")
            .bind(limit)
            .fetch_all(&self.0.readers)
            .await?;
        let ids = rows.iter().map(|row| super::row::parsed(row, "id"));
        Ok(ids.collect::<Result<_, _>>()?)
    }

    async fn copy_rows(&self, id: AlarmId) -> Result<Option<AlarmCopy>, Fault> {
        let mut tx = self.0.readers.begin().await?;
        let mut tables: [String; TABLES.len()] = Default::default();
        for (table, rows) in TABLES.iter().zip(&mut tables) {
            *rows = rows_of(&mut tx, table, id).await?;
        }
        Ok((tables[0] != "[]").then_some(AlarmCopy { id, tables }))
    }

    async fn arrive(&self, copy: &AlarmCopy, arrival: Arrival) -> Result<(), Fault> {
        let mut tx = self.begin().await?;
        let tables = match arrival {
            Arrival::Moved => ARRIVE.len(),
            // Alarm, files, events and deliveries.
            Arrival::Borrowed => 4,
        };
        for ((table, sql), rows) in TABLES.iter().zip(ARRIVE).zip(&copy.tables).take(tables) {
            put(&mut tx, table, sql, rows, arrival).await?;
        }
        if let (Arrival::Moved, Some(deeds)) = (arrival, copy.tables.last()) {
            super::audit::append_moved(&mut tx, deeds).await?;
        }
        let newest: i64 = sqlx::query_scalar("SELECT coalesce(max(seq), 0) FROM event")
            .fetch_one(&mut *tx)
            .await?;
        tx.commit().await?;
        tracing::debug!(alarm.id = %copy.id, "an alarm was carried over");
        self.event_was_committed(newest);
        Ok(())
    }
}

async fn rows_of(
    connection: &mut SqliteConnection,
    table: &Table,
    id: AlarmId,
) -> Result<String, sqlx::Error> {
    let pairs: Vec<String> = table
        .columns
        .iter()
        .map(|column| format!("'{column}', {column}"))
        .collect();
    let source = if table.name == DELIVERY.name {
        "(SELECT d.*, e.kind AS event_kind FROM delivery d JOIN event e ON e.seq = d.event_seq)"
    } else {
        table.name
    };
    let sql = format!(
        "SELECT json_group_array(json(row)) AS rows FROM \
         (SELECT json_object({}) AS row FROM {source} WHERE {})",
        pairs.join(", "),
        table.of_alarm
    );
    // Made of this file's constants only.
    sqlx::query(AssertSqlSafe(sql))
        .bind(id.to_string())
        .fetch_one(connection)
        .await?
        .try_get("rows")
}

async fn put(
    tx: &mut Tx,
    table: &Table,
    sql: &str,
    rows: &str,
    arrival: Arrival,
) -> Result<(), sqlx::Error> {
    let values: Vec<String> = table
        .columns
        .iter()
        .map(|column| format!("value ->> '{column}'"))
        .collect();
    let sql = sql
        .replace("{columns}", &table.columns.join(", "))
        .replace("{values}", &values.join(", "));
    let query = sqlx::query(AssertSqlSafe(sql.clone())).bind(rows.to_owned());
    let query = if sql.contains("?2") {
        query.bind(arrival == Arrival::Borrowed)
    } else {
        query
    };
    query.execute(&mut **tx).await?;
    Ok(())
}
