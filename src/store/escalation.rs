//! Escalation: what nobody has acknowledged in time is told to further endpoints.
//!
//! A step is taken once for an alarm, whatever is restarted or repeated: its row, its event, the
//! deliveries and the audit row are one transaction, as for every change of an alarm. A step is due by
//! steady time, whatever the wall clock is set to. Alarms that stand in a store in memory escalate when the disk has them.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use sqlx::sqlite::SqliteConnection;
use sqlx::{QueryBuilder, Row, Sqlite};

use super::alarm::AlarmState;
use super::audit::{self, Actor, AuditOutcome, Deed};
use super::delivery;
use super::error::Fault;
use super::event::{self, EventKind};
use super::lifecycle::known;
use super::row::{json_or_none, parsed, to_json};
use super::{Store, StoreError};
use crate::alarm::AlarmKind;
use crate::id::{AlarmId, EndpointId, EscalationId, SiteId};

/// Alarms that one call escalates at the most; the next call goes on.
const BATCH: u32 = 100;
/// An alarm that became due longer ago than this is no news to anybody: a step that is new in the
/// configuration must not send last year's alarms [P].
const DUE_MAX: Duration = Duration::from_secs(24 * 3600);

/// One step: which alarms go to whom, and after what time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Escalation {
    pub id: EscalationId,
    /// Since the alarm was raised, or announced again: nobody could see it while it was shelved.
    pub after: Duration,
    /// Of these kinds; all where it is empty.
    pub kinds: Vec<AlarmKind>,
    /// Of these sites; all where it is empty.
    pub sites: Vec<SiteId>,
    pub endpoints: Vec<EndpointId>,
}

/// A step that was taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct EscalationRecord {
    #[schema(value_type = String)]
    pub step: EscalationId,
    pub at_ms: i64,
    /// Whom it was told; empty where every endpoint of the step was disabled.
    #[schema(value_type = Vec<String>)]
    pub endpoints: Vec<EndpointId>,
}

impl Store {
    /// Takes the step for each alarm that is due, oldest first, and returns for how many. Camera
    /// faults that have ended are no longer anybody's business and do not escalate, nor does what is shelved.
    pub async fn escalate(&self, step: &Escalation) -> Result<usize, StoreError> {
        let due = self.named(self.due(step).await)?;
        let mut taken = 0;
        for id in due {
            taken += usize::from(self.named(self.take_step(id, step).await)?);
        }
        Ok(taken)
    }

    async fn due(&self, step: &Escalation) -> Result<Vec<AlarmId>, Fault> {
        let after_ms = i64::try_from(step.after.as_millis()).unwrap_or(i64::MAX);
        let until_ms = self.steady_ms().saturating_sub(after_ms);
        let from_ms = until_ms.saturating_sub(DUE_MAX.as_secs().cast_signed() * 1000);
        let mut query = QueryBuilder::<Sqlite>::new(
            "SELECT id FROM alarm WHERE state = 'raised' AND shelved = 0 AND aged_from_ms > ",
        );
        query.push_bind(from_ms).push(" AND aged_from_ms <= ");
        query.push_bind(until_ms);
        query.push(" AND (ended_at_ms IS NULL OR kind IN (");
        let lasting = [AlarmKind::FallingObject, AlarmKind::EbikeInElevator];
        among(&mut query, lasting.iter().map(|kind| kind.as_str()));
        query.push("))");
        if !step.kinds.is_empty() {
            query.push(" AND kind IN (");
            among(&mut query, step.kinds.iter().map(|kind| kind.as_str()));
            query.push(")");
        }
        if !step.sites.is_empty() {
            query.push(" AND site IN (");
            among(&mut query, step.sites.iter().map(SiteId::as_str));
            query.push(")");
        }
        query.push(" AND NOT EXISTS (SELECT 1 FROM alarm_escalation e WHERE e.alarm = alarm.id");
        query.push(" AND e.step = ").push_bind(step.id.as_str());
        query
            .push(") ORDER BY aged_from_ms, id LIMIT ")
            .push_bind(BATCH);
        let rows = query.build().fetch_all(&self.0.readers).await?;
        let ids = rows.iter().map(|row| parsed(row, "id"));
        Ok(ids.collect::<Result<_, _>>()?)
    }

    /// Takes the step for one alarm; returns false where somebody has taken the alarm meanwhile.
    async fn take_step(&self, id: AlarmId, step: &Escalation) -> Result<bool, Fault> {
        let now_ms = self.now_ms();
        let mut tx = self.begin().await?;
        if known(&mut tx, id).await?.alarm.state != AlarmState::Raised {
            return Ok(false);
        }
        let endpoints = delivery::in_use_of(&mut tx, &self.0.routes, &step.endpoints).await?;
        let taken = sqlx::query(
            "INSERT INTO alarm_escalation (alarm, step, at_ms, endpoints) VALUES (?, ?, ?, ?) \
             ON CONFLICT DO NOTHING",
        )
        .bind(id.to_string())
        .bind(step.id.as_str())
        .bind(now_ms)
        .bind(to_json(&endpoints)?)
        .execute(&mut *tx)
        .await?;
        if taken.rows_affected() == 0 {
            return Ok(false);
        }
        sqlx::query("UPDATE alarm SET escalated_at_ms = ? WHERE id = ?")
            .bind(now_ms)
            .bind(id.to_string())
            .execute(&mut *tx)
            .await?;
        let detail = known(&mut tx, id).await?;
        let kind = EventKind::AlarmEscalated;
        let seq =
            event::append(&mut tx, kind, &detail, self.when(now_ms), self.0.durability).await?;
        for endpoint in &endpoints {
            let alarm = &detail.alarm;
            delivery::queue_step(&mut tx, seq, &step.id, alarm, endpoint, now_ms).await?;
        }
        let told: Vec<_> = endpoints.iter().map(EndpointId::as_str).collect();
        let deed = Deed {
            who: &Actor::service(),
            action: kind.as_str(),
            object: id.to_string(),
            outcome: AuditOutcome::Done,
            detail: Some(format!("step {} to {}", step.id, told.join(", "))),
        };
        audit::append(&mut tx, deed, now_ms).await?;
        tx.commit().await?;
        self.event_was_committed(seq);
        Ok(true)
    }
}

/// Returns the steps that were taken for an alarm, oldest first.
pub(super) async fn of_alarm(
    connection: &mut SqliteConnection,
    id: AlarmId,
) -> Result<Vec<EscalationRecord>, sqlx::Error> {
    let rows = sqlx::query(
        "SELECT step, at_ms, endpoints FROM alarm_escalation WHERE alarm = ? ORDER BY at_ms, step",
    )
    .bind(id.to_string())
    .fetch_all(connection)
    .await?;
    rows.iter()
        .map(|row| {
            Ok(EscalationRecord {
                step: parsed(row, "step")?,
                at_ms: row.try_get("at_ms")?,
                endpoints: json_or_none(row, "endpoints")?.unwrap_or_default(),
            })
        })
        .collect()
}

fn among<'a>(query: &mut QueryBuilder<Sqlite>, words: impl Iterator<Item = &'a str>) {
    let mut list = query.separated(", ");
    for word in words {
        list.push_bind(word.to_owned());
    }
}
