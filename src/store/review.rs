//! Which alarms a person has looked through, and the way from one alarm to the next within a filter.
//!
//! Only real events are reviewed: camera faults end by themselves. What was raised before the account
//! was made is nobody's to catch up with. A mark is one transaction with its audit row.

use sqlx::{QueryBuilder, Sqlite};

use super::alarm::AlarmFilter;
use super::audit::{self, Actor, AuditOutcome, Deed};
use super::error::Fault;
use super::{PAGE_ROWS_MAX, Store, StoreError};
use crate::id::AlarmId;

/// The kinds of alarm that are reviewed, as SQL.
pub(super) const EVENTS: &str = "kind IN ('falling_object', 'ebike_in_elevator')";

/// The alarms before and after one in a list that has the newest first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Beside {
    pub newer: Option<AlarmId>,
    pub older: Option<AlarmId>,
}

impl Store {
    /// Commits that `who` has looked through these alarms, [`PAGE_ROWS_MAX`] at the most, and returns
    /// how many of them were new to them. Fails where one does not exist; then none is marked.
    pub async fn mark_reviewed(&self, alarms: &[AlarmId], who: &Actor) -> Result<u32, StoreError> {
        self.named(self.mark_reviewed_rows(alarms, who).await)
    }

    /// Returns how many alarms `account` has not looked through yet.
    pub async fn unreviewed(&self, account: &str) -> Result<u32, StoreError> {
        self.named(self.unreviewed_count(account).await)
    }

    /// Returns those of these alarms, [`PAGE_ROWS_MAX`] at the most, that `account` has looked through.
    pub async fn reviewed_of(
        &self,
        alarms: &[AlarmId],
        account: &str,
    ) -> Result<Vec<AlarmId>, StoreError> {
        self.named(self.reviewed_rows(alarms, account).await)
    }

    /// Returns the alarms beside this one among those that pass the filter. It need not pass itself.
    pub async fn beside(&self, filter: &AlarmFilter, id: AlarmId) -> Result<Beside, StoreError> {
        self.named(self.beside_row(filter, id).await)
    }

    async fn mark_reviewed_rows(&self, alarms: &[AlarmId], who: &Actor) -> Result<u32, Fault> {
        let now_ms = self.now_ms();
        let mut tx = self.begin().await?;
        let mut marked = 0;
        for id in alarms.iter().take(PAGE_ROWS_MAX as usize) {
            let known: Option<i64> = sqlx::query_scalar("SELECT 1 FROM alarm WHERE id = ?")
                .bind(id.to_string())
                .fetch_optional(&mut *tx)
                .await?;
            known.ok_or(StoreError::UnknownAlarm(*id))?;
            let mut insert = QueryBuilder::<Sqlite>::new(
                "INSERT INTO review (account, raised_at_ms, alarm, at_ms) SELECT ",
            );
            insert.push_bind(who.as_str().to_owned());
            insert.push(", raised_at_ms, id, ").push_bind(now_ms);
            insert
                .push(" FROM alarm WHERE id = ")
                .push_bind(id.to_string());
            insert.push(" AND ").push(EVENTS);
            insert.push(" ON CONFLICT DO NOTHING");
            if insert.build().execute(&mut *tx).await?.rows_affected() == 0 {
                continue;
            }
            marked += 1;
            let deed = Deed {
                who,
                action: "alarm.reviewed",
                object: id.to_string(),
                outcome: AuditOutcome::Done,
                detail: None,
            };
            audit::append(&mut tx, deed, now_ms).await?;
        }
        tx.commit().await?;
        Ok(marked)
    }

    async fn unreviewed_count(&self, account: &str) -> Result<u32, Fault> {
        // Two counts over indexes: looking up each alarm's mark would cost ten times as much.
        let mut query = QueryBuilder::<Sqlite>::new(
            "WITH since (at_ms) AS (SELECT coalesce((SELECT created_at_ms FROM account WHERE name = ",
        );
        query.push_bind(account.to_owned());
        query.push("), 0)) SELECT (SELECT count(*) FROM alarm INDEXED BY alarm_event WHERE raised_at_ms >= (SELECT at_ms FROM since) AND ");
        query.push(EVENTS);
        query.push(") - (SELECT count(*) FROM review WHERE account = ");
        query.push_bind(account.to_owned());
        query.push(" AND raised_at_ms >= (SELECT at_ms FROM since))");
        let count: i64 = query
            .build_query_scalar()
            .fetch_one(&self.0.readers)
            .await?;
        Ok(u32::try_from(count).unwrap_or(0))
    }

    async fn reviewed_rows(
        &self,
        alarms: &[AlarmId],
        account: &str,
    ) -> Result<Vec<AlarmId>, Fault> {
        let wanted: Vec<String> = alarms
            .iter()
            .take(PAGE_ROWS_MAX as usize)
            .map(AlarmId::to_string)
            .collect();
        let mut query = QueryBuilder::<Sqlite>::new("SELECT alarm FROM review WHERE account = ");
        query.push_bind(account.to_owned()).push(" AND alarm IN (");
        let mut list = query.separated(", ");
        for id in &wanted {
            list.push_bind(id.clone());
        }
        query.push(")");
        let found: Vec<String> = query
            .build_query_scalar()
            .fetch_all(&self.0.readers)
            .await?;
        let parsed = found.iter().map(|text| text.parse());
        let parsed: Result<Vec<AlarmId>, _> = parsed.collect();
        parsed.map_err(|error| sqlx::Error::Decode(Box::new(error)).into())
    }

    async fn beside_row(&self, filter: &AlarmFilter, id: AlarmId) -> Result<Beside, Fault> {
        let mut tx = self.0.readers.begin().await?;
        let raised_at_ms: Option<i64> =
            sqlx::query_scalar("SELECT raised_at_ms FROM alarm WHERE id = ?")
                .bind(id.to_string())
                .fetch_optional(&mut *tx)
                .await?;
        let Some(raised_at_ms) = raised_at_ms else {
            return Ok(Beside::default());
        };
        let mut found = [None, None];
        for (slot, (than, order)) in found.iter_mut().zip([(">", "ASC"), ("<", "DESC")]) {
            let mut query = QueryBuilder::<Sqlite>::new("SELECT id FROM alarm WHERE 1 = 1");
            super::alarm::narrow_by(&mut query, filter);
            query.push(format!(" AND (raised_at_ms, id) {than} ("));
            query.push_bind(raised_at_ms).push(", ");
            query.push_bind(id.to_string()).push(")");
            query.push(format!(
                " ORDER BY raised_at_ms {order}, id {order} LIMIT 1"
            ));
            let text: Option<String> = query.build_query_scalar().fetch_optional(&mut *tx).await?;
            let parsed = text.map(|text| text.parse()).transpose();
            *slot = parsed.map_err(|error| sqlx::Error::Decode(Box::new(error)))?;
        }
        let [newer, older] = found;
        Ok(Beside { newer, older })
    }
}

/// Narrows a query over `alarm` by what only the review asks for. All of it stands in the indexes that
/// lists use.
pub(super) fn narrow_further(query: &mut QueryBuilder<Sqlite>, filter: &AlarmFilter) {
    if let Some(place) = &filter.place {
        query.push(" AND place = ").push_bind(place.clone());
    }
    if let Some(floor) = filter.floor {
        query.push(" AND floor = ").push_bind(floor);
    }
    if let Some(disposition) = filter.disposition {
        query
            .push(" AND disposition = ")
            .push_bind(disposition.as_str());
    }
    let Some(account) = &filter.unreviewed_by else {
        return;
    };
    // The sign keeps the planner from an index that lacks what else is asked for.
    query.push(" AND +").push(EVENTS);
    query.push(" AND raised_at_ms >= coalesce((SELECT created_at_ms FROM account WHERE name = ");
    query.push_bind(account.clone());
    query.push("), 0) AND NOT EXISTS (SELECT 1 FROM review WHERE account = ");
    query.push_bind(account.clone());
    query.push(" AND review.raised_at_ms = alarm.raised_at_ms AND review.alarm = alarm.id)");
}

/// Returns the sign before a kind or a state: indexes of those alone hold nothing else, and where more
/// is asked for it keeps the planner to the ones that hold it all.
pub(super) fn sign(filter: &AlarmFilter) -> &'static str {
    let more = [
        filter.site.is_some(),
        filter.camera.is_some(),
        filter.place.is_some(),
        filter.floor.is_some(),
        filter.disposition.is_some(),
        filter.unreviewed_by.is_some(),
        filter.min_score.is_some(),
        filter.kind.is_some() && filter.state.is_some(),
    ];
    if more.contains(&true) { "+" } else { "" }
}
