//! What people do with an alarm besides acknowledging and closing it: assign it, write notes. Each
//! is one transaction, as in `lifecycle`, but its event goes to the pages alone: receivers of
//! webhooks are told what happened, not who talks about it.

use serde::{Deserialize, Serialize};
use sqlx::Row;
use sqlx::sqlite::SqliteConnection;

use super::account::roles_of;
use super::alarm::{AlarmRecord, AlarmState};
use super::audit::{self, Actor, AuditOutcome, Deed};
use super::error::Fault;
use super::event::EventKind;
use super::lifecycle::known;
use super::{Store, StoreError, Tx};
use crate::auth::Role;
use crate::id::{AccountId, AlarmId};

/// Notes of one alarm at the most.
pub const NOTES_MAX: i64 = 200;

/// One note.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct NoteRecord {
    pub at_ms: i64,
    pub who: String,
    pub text: String,
}

impl Store {
    /// Commits that the alarm is in the hands of `to`, and returns it; that acknowledges it, too.
    /// Fails on a closed alarm, and where `to` is no account in use that may handle alarms.
    pub async fn assign(
        &self,
        id: AlarmId,
        to: &AccountId,
        who: &Actor,
    ) -> Result<AlarmRecord, StoreError> {
        self.named(self.assign_row(id, to, who).await)
    }

    /// Commits a note to the alarm, and returns the alarm.
    pub async fn add_note(
        &self,
        id: AlarmId,
        text: &str,
        who: &Actor,
    ) -> Result<AlarmRecord, StoreError> {
        self.named(self.note_alarm(id, text, who).await)
    }

    async fn assign_row(
        &self,
        id: AlarmId,
        to: &AccountId,
        who: &Actor,
    ) -> Result<AlarmRecord, Fault> {
        let now_ms = self.now_ms();
        let mut tx = self.begin().await?;
        let before = known(&mut tx, id).await?.alarm;
        if before.state == AlarmState::Closed {
            return Err(StoreError::WrongState {
                alarm: id,
                state: before.state,
                wanted: AlarmState::Acknowledged,
            }
            .into());
        }
        if before.assigned_to.as_deref() == Some(to.as_str()) {
            return Ok(before);
        }
        may_handle(&mut tx, to).await?;
        if before.state == AlarmState::Raised {
            self.acknowledge_in(&mut tx, id, who, now_ms).await?;
        }
        sqlx::query("UPDATE alarm SET assigned_to = ? WHERE id = ?")
            .bind(to.as_str())
            .bind(id.to_string())
            .execute(&mut *tx)
            .await?;
        let detail = Some(format!("to {to}"));
        self.finish(tx, id, EventKind::AlarmAssigned, who, detail, now_ms)
            .await
    }

    async fn note_alarm(&self, id: AlarmId, text: &str, who: &Actor) -> Result<AlarmRecord, Fault> {
        let now_ms = self.now_ms();
        let mut tx = self.begin().await?;
        known(&mut tx, id).await?;
        let count: i64 = sqlx::query_scalar("SELECT count(*) FROM alarm_note WHERE alarm = ?")
            .bind(id.to_string())
            .fetch_one(&mut *tx)
            .await?;
        if count >= NOTES_MAX {
            let (what, limit) = ("notes", NOTES_MAX);
            return Err(StoreError::TooMany { what, limit }.into());
        }
        sqlx::query("INSERT INTO alarm_note (alarm, at_ms, who, text) VALUES (?, ?, ?, ?)")
            .bind(id.to_string())
            .bind(now_ms)
            .bind(who.as_str())
            .bind(text)
            .execute(&mut *tx)
            .await?;
        self.finish(tx, id, EventKind::AlarmNoted, who, None, now_ms)
            .await
    }

    /// Tells of the change, writes it down and commits it.
    async fn finish(
        &self,
        mut tx: Tx,
        id: AlarmId,
        kind: EventKind,
        who: &Actor,
        detail: Option<String>,
        now_ms: i64,
    ) -> Result<AlarmRecord, Fault> {
        let seq = self.tell(&mut tx, id, kind, now_ms).await?;
        let deed = Deed {
            who,
            action: kind.as_str(),
            object: id.to_string(),
            outcome: AuditOutcome::Done,
            detail,
        };
        audit::append(&mut tx, deed, now_ms).await?;
        let after = known(&mut tx, id).await?.alarm;
        tx.commit().await?;
        self.event_was_committed(seq);
        Ok(after)
    }
}

/// Fails where the name is of no account in use that may handle alarms.
async fn may_handle(tx: &mut Tx, name: &AccountId) -> Result<(), Fault> {
    let row = sqlx::query("SELECT roles FROM account WHERE name = ? AND disabled_at_ms IS NULL")
        .bind(name.as_str())
        .fetch_optional(&mut **tx)
        .await?;
    let unknown = || StoreError::UnknownAccount(name.clone());
    let roles = roles_of(&row.ok_or_else(unknown)?)?;
    if roles.any_of(&[Role::Operator, Role::Manager]) {
        Ok(())
    } else {
        Err(unknown().into())
    }
}

/// Returns an alarm's notes, oldest first.
pub(super) async fn notes_of(
    connection: &mut SqliteConnection,
    id: AlarmId,
) -> Result<Vec<NoteRecord>, sqlx::Error> {
    let rows = sqlx::query("SELECT at_ms, who, text FROM alarm_note WHERE alarm = ? ORDER BY seq")
        .bind(id.to_string())
        .fetch_all(connection)
        .await?;
    rows.iter()
        .map(|row| {
            Ok(NoteRecord {
                at_ms: row.try_get("at_ms")?,
                who: row.try_get("who")?,
                text: row.try_get("text")?,
            })
        })
        .collect()
}
