//! What is kept how long: legal hold, the deletion of evidence, the end of old events.
//!
//! Evidence is deleted row first: one transaction takes the files off the alarm, says when and by
//! what rule, writes their digests into the audit log, and notes the folder as still to be removed.
//! So no alarm ever points to files that are gone, and a crash between the row and the disk leaves
//! a note that is worked off later. Held evidence is never deleted: the transaction itself looks.

use std::sync::atomic::Ordering;

use serde::{Deserialize, Serialize};
use sqlx::Row;

use super::alarm::AlarmRecord;
use super::audit::{self, Actor, AuditOutcome, Deed};
use super::error::Fault;
use super::evidence::{EvidenceFile, EvidenceState};
use super::lifecycle::known;
use super::row::parsed;
use super::{PAGE_ROWS_MAX, Store, StoreError};
use crate::id::AlarmId;

/// Why an alarm's evidence must not be deleted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Hold {
    pub at_ms: i64,
    pub by: String,
    pub reason: String,
}

/// That an alarm's evidence was deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Deletion {
    pub at_ms: i64,
    pub rule: DeletionRule,
}

/// By what rule evidence is deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DeletionRule {
    /// It was older than evidence is kept.
    Age,
    /// The disk's room was used up, and it was the oldest.
    Room,
}

impl DeletionRule {
    /// Returns the name used in JSON and SQL.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Age => "age",
            Self::Room => "room",
        }
    }
}

/// How much evidence there is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EvidenceUse {
    /// All of it, held or not.
    pub bytes: u64,
    pub held_bytes: u64,
}

/// Whose evidence may be deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deletable {
    /// Raised before this moment of steady time, milliseconds.
    Before(i64),
    Any,
}

/// A folder that is to be removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Removal {
    pub alarm: AlarmId,
    /// Below the evidence root.
    pub folder: String,
}

impl Store {
    /// Commits that the alarm's evidence must not be deleted, and why. Fails where it is deleted
    /// already. A second hold changes nothing: the first reason stands.
    pub async fn hold(
        &self,
        id: AlarmId,
        reason: &str,
        who: &Actor,
    ) -> Result<AlarmRecord, StoreError> {
        self.named(self.hold_row(id, reason, who).await)
    }

    /// Commits that the alarm's evidence is kept as any other's again, and why. Fails where it is
    /// not held.
    pub async fn release(
        &self,
        id: AlarmId,
        reason: &str,
        who: &Actor,
    ) -> Result<AlarmRecord, StoreError> {
        self.named(self.release_row(id, reason, who).await)
    }

    /// Returns how much evidence there is.
    pub async fn evidence_use(&self) -> Result<EvidenceUse, StoreError> {
        self.named(self.use_of_evidence().await)
    }

    /// Returns at most `limit` alarms whose evidence may be deleted, oldest first, with its size in
    /// bytes. What is held or still being gathered is not among them.
    pub async fn deletable_evidence(
        &self,
        which: Deletable,
        limit: u32,
    ) -> Result<Vec<(AlarmId, u64)>, StoreError> {
        self.named(self.deletable_rows(which, limit).await)
    }

    /// Commits that the alarm's evidence is deleted; its folder is then to be removed
    /// ([`Store::removals`]). Returns whether it was: not where it is held by now, or gone.
    pub async fn delete_evidence(
        &self,
        id: AlarmId,
        rule: DeletionRule,
        why: &str,
    ) -> Result<bool, StoreError> {
        self.named(self.delete_evidence_row(id, rule, why).await)
    }

    /// Returns folders that are to be removed, at most [`PAGE_ROWS_MAX`].
    pub async fn removals(&self) -> Result<Vec<Removal>, StoreError> {
        self.named(self.removal_rows().await)
    }

    /// Commits that the alarm's folder is not on the disk any more.
    pub async fn was_removed(&self, id: AlarmId) -> Result<(), StoreError> {
        let done = sqlx::query("DELETE FROM evidence_removal WHERE alarm = ?")
            .bind(id.to_string())
            .execute(&self.0.writer)
            .await;
        self.named(done.map(|_| ()).map_err(Fault::from))
    }

    /// Removes at most `limit` of the oldest events from before `before_ms` (steady time), with their deliveries
    /// and attempts, and returns how many. The newest event stays (its seq is the log's end), and so
    /// do events that are still to be delivered and those of alarms that last: their receivers are
    /// to be told of the end.
    pub async fn prune_events(&self, before_ms: i64, limit: u32) -> Result<u64, StoreError> {
        self.named(self.prune_event_rows(before_ms, limit).await)
    }

    /// Returns the seq before which events may be missing; 0 where none ever went.
    pub fn oldest_seq(&self) -> i64 {
        self.0.oldest.load(Ordering::SeqCst)
    }

    async fn hold_row(&self, id: AlarmId, reason: &str, who: &Actor) -> Result<AlarmRecord, Fault> {
        let now_ms = self.now_ms();
        let mut tx = self.begin().await?;
        let before = known(&mut tx, id).await?.alarm;
        if before.evidence_deleted.is_some() {
            return Err(StoreError::EvidenceDeleted(id).into());
        }
        if before.hold.is_some() {
            return Ok(before);
        }
        sqlx::query("UPDATE alarm SET held_at_ms = ?, held_by = ?, held_reason = ? WHERE id = ?")
            .bind(now_ms)
            .bind(who.as_str())
            .bind(reason)
            .bind(id.to_string())
            .execute(&mut *tx)
            .await?;
        let detail = Some(reason.to_owned());
        audit::append(&mut tx, deed(who, "alarm.held", id, detail), now_ms).await?;
        let after = known(&mut tx, id).await?.alarm;
        tx.commit().await?;
        Ok(after)
    }

    async fn release_row(
        &self,
        id: AlarmId,
        reason: &str,
        who: &Actor,
    ) -> Result<AlarmRecord, Fault> {
        let now_ms = self.now_ms();
        let mut tx = self.begin().await?;
        if known(&mut tx, id).await?.alarm.hold.is_none() {
            return Err(StoreError::NotHeld(id).into());
        }
        sqlx::query(
            "UPDATE alarm SET held_at_ms = NULL, held_by = NULL, held_reason = NULL WHERE id = ?",
        )
        .bind(id.to_string())
        .execute(&mut *tx)
        .await?;
        let detail = Some(reason.to_owned());
        audit::append(&mut tx, deed(who, "alarm.released", id, detail), now_ms).await?;
        let after = known(&mut tx, id).await?.alarm;
        tx.commit().await?;
        Ok(after)
    }

    async fn use_of_evidence(&self) -> Result<EvidenceUse, Fault> {
        let row = sqlx::query(
            "SELECT coalesce(sum(size_bytes), 0) AS bytes, (SELECT coalesce(sum(size_bytes), 0) \
             FROM evidence_file WHERE alarm IN (SELECT id FROM alarm WHERE held_at_ms IS NOT NULL)) \
             AS held FROM evidence_file",
        )
        .fetch_one(&self.0.readers)
        .await?;
        let bytes = |column| row.try_get::<i64, _>(column).map(i64::unsigned_abs);
        Ok(EvidenceUse {
            bytes: bytes("bytes")?,
            held_bytes: bytes("held")?,
        })
    }

    async fn deletable_rows(
        &self,
        which: Deletable,
        limit: u32,
    ) -> Result<Vec<(AlarmId, u64)>, Fault> {
        let before_ms = match which {
            Deletable::Before(at_ms) => at_ms,
            Deletable::Any => i64::MAX,
        };
        let rows = sqlx::query(
            "SELECT id, (SELECT coalesce(sum(size_bytes), 0) FROM evidence_file WHERE alarm = id) \
             AS bytes FROM alarm WHERE evidence_folder IS NOT NULL AND held_at_ms IS NULL \
             AND evidence <> 'pending' AND aged_from_ms < ? ORDER BY aged_from_ms, id LIMIT ?",
        )
        .bind(before_ms)
        .bind(limit.clamp(1, PAGE_ROWS_MAX))
        .fetch_all(&self.0.readers)
        .await?;
        let mut found = Vec::with_capacity(rows.len());
        for row in &rows {
            let bytes: i64 = row.try_get("bytes")?;
            found.push((parsed(row, "id")?, bytes.unsigned_abs()));
        }
        Ok(found)
    }

    async fn delete_evidence_row(
        &self,
        id: AlarmId,
        rule: DeletionRule,
        why: &str,
    ) -> Result<bool, Fault> {
        let now_ms = self.now_ms();
        let mut tx = self.begin().await?;
        let detail = known(&mut tx, id).await?;
        let Some(folder) = detail.evidence_folder else {
            return Ok(false);
        };
        if detail.alarm.hold.is_some() || detail.alarm.evidence == EvidenceState::Pending {
            return Ok(false);
        }
        sqlx::query(
            "UPDATE alarm SET evidence = 'missing', evidence_reason = ?, evidence_folder = NULL, \
             evidence_deleted_at_ms = ?, evidence_deleted_by = ? WHERE id = ?",
        )
        .bind(why)
        .bind(now_ms)
        .bind(rule.as_str())
        .bind(id.to_string())
        .execute(&mut *tx)
        .await?;
        super::evidence::replace(&mut tx, id, &[]).await?;
        sqlx::query("INSERT OR REPLACE INTO evidence_removal (alarm, folder) VALUES (?, ?)")
            .bind(id.to_string())
            .bind(folder)
            .execute(&mut *tx)
            .await?;
        let told = Some(format!("{why}; {}", digests(&detail.files)));
        let service = Actor::service();
        let deed = deed(&service, "evidence.deleted", id, told);
        audit::append(&mut tx, deed, now_ms).await?;
        tx.commit().await?;
        Ok(true)
    }

    async fn removal_rows(&self) -> Result<Vec<Removal>, Fault> {
        let rows = sqlx::query("SELECT alarm, folder FROM evidence_removal ORDER BY alarm LIMIT ?")
            .bind(PAGE_ROWS_MAX)
            .fetch_all(&self.0.readers)
            .await?;
        let removal = |row| {
            Ok(Removal {
                alarm: parsed(row, "alarm")?,
                folder: row.try_get("folder")?,
            })
        };
        Ok(rows
            .iter()
            .map(removal)
            .collect::<Result<_, sqlx::Error>>()?)
    }

    async fn prune_event_rows(&self, before_ms: i64, limit: u32) -> Result<u64, Fault> {
        let now_ms = self.now_ms();
        let mut tx = self.begin().await?;
        let removed = sqlx::query(
            "DELETE FROM event WHERE seq IN (SELECT seq FROM event AS old WHERE coalesce(aged_from_ms, at_ms) < ? \
             AND seq < (SELECT max(seq) FROM event) \
             AND NOT EXISTS (SELECT 1 FROM delivery WHERE event_seq = old.seq \
             AND state IN ('pending', 'sending')) \
             AND NOT EXISTS (SELECT 1 FROM alarm WHERE id = old.alarm AND ended_at_ms IS NULL) \
             ORDER BY coalesce(aged_from_ms, at_ms), seq LIMIT ?)",
        )
        .bind(before_ms)
        .bind(limit.clamp(1, PAGE_ROWS_MAX))
        .execute(&mut *tx)
        .await?
        .rows_affected();
        if removed == 0 {
            return Ok(0);
        }
        let deed = Deed {
            who: &Actor::service(),
            action: "events.pruned",
            object: "events".to_owned(),
            outcome: AuditOutcome::Done,
            detail: Some(format!("{removed} events from before {before_ms}")),
        };
        audit::append(&mut tx, deed, now_ms).await?;
        tx.commit().await?;
        self.read_oldest().await?;
        Ok(removed)
    }

    /// Reads the oldest event's seq: pages ask for it too often to read it each time.
    pub(super) async fn read_oldest(&self) -> Result<(), Fault> {
        let oldest = sqlx::query_scalar("SELECT coalesce(min(seq), 0) FROM event")
            .fetch_one(&self.0.readers)
            .await?;
        self.0.oldest.store(oldest, Ordering::SeqCst);
        Ok(())
    }
}

fn deed<'a>(who: &'a Actor, action: &'static str, id: AlarmId, detail: Option<String>) -> Deed<'a> {
    Deed {
        who,
        action,
        object: id.to_string(),
        outcome: AuditOutcome::Done,
        detail,
    }
}

/// Returns what was deleted in words that can be compared with a copy that is found later.
fn digests(files: &[EvidenceFile]) -> String {
    let each = files.iter().map(|file| {
        format!(
            "{} {} bytes sha256 {}",
            file.name, file.size_bytes, file.sha256
        )
    });
    each.collect::<Vec<_>>().join(", ")
}
