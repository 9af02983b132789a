//! The commands that change an alarm: raised, ended, evidence, acknowledged, closed, recovered.
//!
//! Each is one transaction: the row, its event, the event's deliveries, the audit row. Each may be
//! repeated without effect. Nothing here waits for a receiver.

use super::alarm::{self, AlarmDetail, AlarmRecord, AlarmState, Disposition, EndReason};
use super::audit::{self, Actor, AuditOutcome, Deed};
use super::delivery;
use super::endpoint;
use super::error::Fault;
use super::event::{self, EventKind};
use super::evidence::{self, EvidenceReport, EvidenceState};
use super::row::to_json;
use super::shelving;
use super::{Store, StoreError, Tx};
use crate::alarm::Alarm;
use crate::id::{AlarmId, CameraId, SiteId};

/// An alarm that has just fired.
#[derive(Clone, Debug, PartialEq)]
pub struct NewAlarm {
    pub id: AlarmId,
    pub camera: CameraId,
    pub site: SiteId,
    /// Name of the building or elevator.
    pub place: String,
    /// Wall times of the alarm's stream times, Unix milliseconds.
    pub started_at_ms: i64,
    pub raised_at_ms: i64,
    pub alarm: Alarm,
    /// SHA-256 of the scene it was judged by.
    pub scene_sha256: Option<String>,
}

/// An alarm that is over: its whole story.
#[derive(Clone, Debug, PartialEq)]
pub struct AlarmEnd {
    pub id: AlarmId,
    /// Unix milliseconds.
    pub ended_at_ms: i64,
    /// As it is now: full track, origin, score, end.
    pub alarm: Alarm,
}

/// What [`Store::recover`] found to put right.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Alarms that lasted when the process died.
    pub alarms_ended: usize,
    /// Alarms whose evidence died with the process.
    pub evidence_missing: usize,
    /// Deliveries of which nobody knows whether they arrived; they are sent again.
    pub deliveries_reopened: u64,
    /// Deliveries to endpoints that are not in the configuration any more.
    pub deliveries_cancelled: u64,
}

const EVIDENCE_LOST: &str = "the service stopped before the evidence was complete";

impl Store {
    /// Commits a new alarm with a delivery to each endpoint that wants it, and returns its id.
    /// When this returns, the alarm is on the disk; nothing was sent before.
    pub async fn raise(&self, new: &NewAlarm) -> Result<AlarmId, StoreError> {
        self.named(self.raise_row(new).await)
    }

    /// Commits the end of an alarm. An alarm that has ended already stays as it is.
    pub async fn end(&self, end: &AlarmEnd) -> Result<(), StoreError> {
        self.named(self.end_row(end).await)
    }

    /// Commits what is known of an alarm's evidence. A report after the last word (ready or
    /// missing) changes nothing.
    pub async fn attach_evidence(
        &self,
        id: AlarmId,
        report: &EvidenceReport,
    ) -> Result<(), StoreError> {
        self.named(self.evidence_row(id, report).await)
    }

    /// Commits that `who` has taken the alarm, and returns it. Fails on a closed alarm, and on one
    /// that somebody else has taken: two cannot both have it.
    pub async fn acknowledge(&self, id: AlarmId, who: &Actor) -> Result<AlarmRecord, StoreError> {
        self.named(self.acknowledge_row(id, who).await)
    }

    /// Commits what `who` found the alarm to be, and returns it. Closing acknowledges. Fails on an
    /// alarm that was closed otherwise.
    pub async fn close_alarm(
        &self,
        id: AlarmId,
        who: &Actor,
        disposition: Disposition,
        note: Option<&str>,
    ) -> Result<AlarmRecord, StoreError> {
        self.named(self.close_row(id, who, disposition, note).await)
    }

    /// Puts right what a killed process left: alarms that lasted are ended, evidence that was
    /// being gathered is missing, deliveries that were being sent are sent again, and those to
    /// endpoints that left the configuration are cancelled. Call it once, before anything is
    /// raised or sent.
    pub async fn recover(&self) -> Result<Recovered, StoreError> {
        self.named(self.recover_rows().await)
    }

    async fn raise_row(&self, new: &NewAlarm) -> Result<AlarmId, Fault> {
        let now_ms = self.now_ms();
        let mut tx = self.begin().await?;
        if insert(&mut tx, new, self.steady_ms()).await? == 0 {
            return Ok(new.id);
        }
        shelving::shelve_new(&mut tx, new, self.steady_ms()).await?;
        let seq = self
            .tell(&mut tx, new.id, EventKind::AlarmRaised, now_ms)
            .await?;
        self.record(
            &mut tx,
            EventKind::AlarmRaised,
            new.id,
            &Actor::service(),
            now_ms,
        )
        .await?;
        tx.commit().await?;
        self.event_was_committed(seq);
        Ok(new.id)
    }

    async fn end_row(&self, end: &AlarmEnd) -> Result<(), Fault> {
        let now_ms = self.now_ms();
        let mut tx = self.begin().await?;
        if known(&mut tx, end.id).await?.alarm.ended_at_ms.is_some() {
            return Ok(());
        }
        sqlx::query(
            "UPDATE alarm SET started_at_ms = started_at_ms + (? - stream_started_us) / 1000, \
             stream_started_us = ?, ended_at_ms = ?, end_reason = ?, stream_ended_us = ?, \
             score = ?, track = ?, origin = ? WHERE id = ?",
        )
        // Looking back may have found an earlier beginning since it was raised.
        .bind(end.alarm.started_at.as_micros())
        .bind(end.alarm.started_at.as_micros())
        .bind(end.ended_at_ms)
        .bind(EndReason::Observed.as_str())
        .bind(end.alarm.ended_at.map(crate::clock::StreamTime::as_micros))
        .bind(end.alarm.score)
        .bind(to_json(&end.alarm.track)?)
        .bind(end.alarm.origin.as_ref().map(to_json).transpose()?)
        .bind(end.id.to_string())
        .execute(&mut *tx)
        .await?;
        let seq = self
            .tell(&mut tx, end.id, EventKind::AlarmEnded, now_ms)
            .await?;
        self.record(
            &mut tx,
            EventKind::AlarmEnded,
            end.id,
            &Actor::service(),
            now_ms,
        )
        .await?;
        tx.commit().await?;
        self.event_was_committed(seq);
        Ok(())
    }

    async fn evidence_row(&self, id: AlarmId, report: &EvidenceReport) -> Result<(), Fault> {
        let now_ms = self.now_ms();
        let mut tx = self.begin().await?;
        if known(&mut tx, id).await?.alarm.evidence != EvidenceState::Pending {
            return Ok(());
        }
        evidence::replace(&mut tx, id, &report.files).await?;
        set_evidence(&mut tx, id, report).await?;
        if report.state == EvidenceState::Pending {
            // Early pictures: links in the first message hold from here on, no new message.
            tx.commit().await?;
            return Ok(());
        }
        let seq = self
            .tell(&mut tx, id, EventKind::AlarmEvidence, now_ms)
            .await?;
        self.record(
            &mut tx,
            EventKind::AlarmEvidence,
            id,
            &Actor::service(),
            now_ms,
        )
        .await?;
        tx.commit().await?;
        self.event_was_committed(seq);
        Ok(())
    }

    async fn acknowledge_row(&self, id: AlarmId, who: &Actor) -> Result<AlarmRecord, Fault> {
        let now_ms = self.now_ms();
        let mut tx = self.begin().await?;
        let before = known(&mut tx, id).await?.alarm;
        match before.state {
            AlarmState::Raised => {}
            AlarmState::Acknowledged => return self.taken(before, who),
            AlarmState::Closed => {
                return Err(StoreError::WrongState {
                    alarm: id,
                    state: before.state,
                    wanted: AlarmState::Acknowledged,
                }
                .into());
            }
        }
        let seq = self.acknowledge_in(&mut tx, id, who, now_ms).await?;
        let after = known(&mut tx, id).await?.alarm;
        tx.commit().await?;
        self.event_was_committed(seq);
        Ok(after)
    }

    /// Makes the alarm acknowledged, tells of it and writes it down. Returns the event's seq.
    pub(super) async fn acknowledge_in(
        &self,
        tx: &mut Tx,
        id: AlarmId,
        who: &Actor,
        now_ms: i64,
    ) -> Result<i64, Fault> {
        sqlx::query(
            "UPDATE alarm SET state = 'acknowledged', acknowledged_at_ms = ?, acknowledged_by = ? \
             WHERE id = ?",
        )
        .bind(now_ms)
        .bind(who.as_str())
        .bind(id.to_string())
        .execute(&mut **tx)
        .await?;
        let kind = EventKind::AlarmAcknowledged;
        let seq = self.tell(tx, id, kind, now_ms).await?;
        self.record(tx, kind, id, who, now_ms).await?;
        Ok(seq)
    }

    async fn close_row(
        &self,
        id: AlarmId,
        who: &Actor,
        disposition: Disposition,
        note: Option<&str>,
    ) -> Result<AlarmRecord, Fault> {
        let now_ms = self.now_ms();
        let mut tx = self.begin().await?;
        let before = known(&mut tx, id).await?.alarm;
        if before.state == AlarmState::Closed {
            if before.disposition == Some(disposition) {
                return Ok(before);
            }
            return Err(StoreError::WrongState {
                alarm: id,
                state: before.state,
                wanted: AlarmState::Closed,
            }
            .into());
        }
        sqlx::query(
            "UPDATE alarm SET state = 'closed', closed_at_ms = ?1, closed_by = ?2, \
             disposition = ?3, note = ?4, \
             acknowledged_at_ms = coalesce(acknowledged_at_ms, ?1), \
             acknowledged_by = coalesce(acknowledged_by, ?2) WHERE id = ?5",
        )
        .bind(now_ms)
        .bind(who.as_str())
        .bind(disposition.as_str())
        .bind(note)
        .bind(id.to_string())
        .execute(&mut *tx)
        .await?;
        let seq = self
            .tell(&mut tx, id, EventKind::AlarmClosed, now_ms)
            .await?;
        self.record(&mut tx, EventKind::AlarmClosed, id, who, now_ms)
            .await?;
        let after = known(&mut tx, id).await?.alarm;
        tx.commit().await?;
        self.event_was_committed(seq);
        Ok(after)
    }

    async fn recover_rows(&self) -> Result<Recovered, Fault> {
        let now_ms = self.now_ms();
        let mut tx = self.begin().await?;
        let mut newest = 0;
        let lasting = ids(
            &mut tx,
            "SELECT id FROM alarm WHERE ended_at_ms IS NULL ORDER BY id",
        );
        let lasting = lasting.await?;
        for id in &lasting {
            sqlx::query("UPDATE alarm SET ended_at_ms = ?, end_reason = ? WHERE id = ?")
                .bind(now_ms)
                .bind(EndReason::Restart.as_str())
                .bind(id.to_string())
                .execute(&mut *tx)
                .await?;
            newest = self
                .tell(&mut tx, *id, EventKind::AlarmEnded, now_ms)
                .await?;
            self.record(
                &mut tx,
                EventKind::AlarmEnded,
                *id,
                &Actor::service(),
                now_ms,
            )
            .await?;
        }
        let pending = ids(
            &mut tx,
            "SELECT id FROM alarm WHERE evidence = 'pending' ORDER BY id",
        );
        let pending = pending.await?;
        for id in &pending {
            sqlx::query("UPDATE alarm SET evidence = 'missing', evidence_reason = ? WHERE id = ?")
                .bind(EVIDENCE_LOST)
                .bind(id.to_string())
                .execute(&mut *tx)
                .await?;
            newest = self
                .tell(&mut tx, *id, EventKind::AlarmEvidence, now_ms)
                .await?;
            self.record(
                &mut tx,
                EventKind::AlarmEvidence,
                *id,
                &Actor::service(),
                now_ms,
            )
            .await?;
        }
        super::replay::recover(&mut tx, now_ms).await?;
        let reopened = delivery::reopen(&mut tx).await?;
        let cancelled = endpoint::cancel_removed(&mut tx, &self.0.routes, now_ms).await?;
        tx.commit().await?;
        self.event_was_committed(newest);
        Ok(Recovered {
            alarms_ended: lasting.len(),
            evidence_missing: pending.len(),
            deliveries_reopened: reopened,
            deliveries_cancelled: cancelled,
        })
    }

    /// Writes the event that tells how the alarm is now, and the event's deliveries.
    pub(super) async fn tell(
        &self,
        tx: &mut Tx,
        id: AlarmId,
        kind: EventKind,
        now_ms: i64,
    ) -> Result<i64, Fault> {
        let detail = known(tx, id).await?;
        let seq = event::append(tx, kind, &detail, self.when(now_ms), self.0.durability).await?;
        let endpoints = match kind {
            EventKind::AlarmRaised => delivery::wanting(tx, &self.0.routes, &detail.alarm).await?,
            EventKind::AlarmAssigned | EventKind::AlarmNoted => Vec::new(),
            // Whoever was told of the raising is told of the rest.
            _ => delivery::told(tx, &self.0.routes, id).await?,
        };
        for endpoint in &endpoints {
            delivery::queue(tx, seq, kind, &detail.alarm, endpoint, now_ms).await?;
        }
        Ok(seq)
    }

    async fn record(
        &self,
        tx: &mut Tx,
        kind: EventKind,
        id: AlarmId,
        who: &Actor,
        now_ms: i64,
    ) -> Result<(), Fault> {
        let deed = Deed {
            who,
            action: kind.as_str(),
            object: id.to_string(),
            outcome: AuditOutcome::Done,
            detail: None,
        };
        Ok(audit::append(tx, deed, now_ms).await?)
    }

    /// Returns the alarm to whoever has it already, and refuses it to others.
    fn taken(&self, alarm: AlarmRecord, who: &Actor) -> Result<AlarmRecord, Fault> {
        let holder = alarm
            .assigned_to
            .as_ref()
            .or(alarm.acknowledged_by.as_ref());
        match holder {
            Some(by) if by != who.as_str() => Err(StoreError::Taken {
                alarm: alarm.id,
                name: self.name_of(by),
                by: by.clone(),
            }
            .into()),
            _ => Ok(alarm),
        }
    }
}

async fn insert(tx: &mut Tx, new: &NewAlarm, steady_ms: i64) -> Result<u64, sqlx::Error> {
    let alarm = &new.alarm;
    let inserted = sqlx::query(
        "INSERT INTO alarm (id, camera, site, place, kind, state, score, started_at_ms, \
         raised_at_ms, stream_started_us, stream_raised_us, track, origin, scene_sha256, evidence, \
         aged_from_ms) \
         VALUES (?, ?, ?, ?, ?, 'raised', ?, ?, ?, ?, ?, ?, ?, ?, 'pending', ?) \
         ON CONFLICT (id) DO NOTHING",
    )
    .bind(new.id.to_string())
    .bind(new.camera.as_str())
    .bind(new.site.as_str())
    .bind(&new.place)
    .bind(alarm.kind.as_str())
    .bind(alarm.score)
    .bind(new.started_at_ms)
    .bind(new.raised_at_ms)
    .bind(alarm.started_at.as_micros())
    .bind(alarm.raised_at.as_micros())
    .bind(to_json(&alarm.track)?)
    .bind(alarm.origin.as_ref().map(to_json).transpose()?)
    .bind(new.scene_sha256.as_deref())
    .bind(steady_ms)
    .execute(&mut **tx)
    .await?;
    Ok(inserted.rows_affected())
}

async fn set_evidence(
    tx: &mut Tx,
    id: AlarmId,
    report: &EvidenceReport,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "UPDATE alarm SET evidence = ?, evidence_reason = ?, \
         evidence_folder = coalesce(?, evidence_folder) WHERE id = ?",
    )
    .bind(report.state.as_str())
    .bind(report.reason.as_deref())
    .bind(report.folder.as_deref())
    .bind(id.to_string())
    .execute(&mut **tx)
    .await?;
    Ok(())
}

pub(super) async fn known(tx: &mut Tx, id: AlarmId) -> Result<AlarmDetail, Fault> {
    match alarm::read(tx, id).await? {
        Some(detail) => Ok(detail),
        None => Err(StoreError::UnknownAlarm(id).into()),
    }
}

async fn ids(tx: &mut Tx, select: &'static str) -> Result<Vec<AlarmId>, sqlx::Error> {
    let texts: Vec<String> = sqlx::query_scalar(select).fetch_all(&mut **tx).await?;
    texts
        .iter()
        .map(|text| {
            text.parse()
                .map_err(|error| sqlx::Error::Decode(Box::new(error)))
        })
        .collect()
}
