//! Sessions: a person signs in, is known by a secret's digest, and signs out or is forgotten.
//!
//! Every sign-in and every refused one is written down; a wrong password counts against its
//! account, which locks itself. Sessions and locks end by steady time (store/steady.rs).

use std::net::IpAddr;
use std::time::Duration;

use sqlx::Row;

use super::account::{Credentials, Due, roles_of};
use super::audit::{self, Actor, AuditOutcome, Deed};
use super::error::Fault;
use super::row::parsed;
use super::{Store, StoreError, Tx};
use crate::auth::Roles;
use crate::id::AccountId;

/// Wrong passwords until an account locks itself, and for how long [P].
pub const FAILURES_MAX: i64 = 5;
pub const LOCKED: Duration = Duration::from_secs(15 * 60);

/// Within this time of the password the second factor's code must follow [P].
const CODE_WITHIN: Duration = Duration::from_secs(10 * 60);

/// Sessions of one account at a time; a further one ends the oldest.
const SESSIONS_MAX: i64 = 20;

/// A session's last use is written no more often than this: each write costs an fsync.
const SEEN_STEP_MS: i64 = 60_000;

/// How long sessions last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionLimits {
    /// Without a request.
    pub idle: Duration,
    /// In all.
    pub lifetime: Duration,
}

impl Default for SessionLimits {
    /// Half an hour without a request, a shift of twelve hours in all [P].
    fn default() -> Self {
        Self {
            idle: Duration::from_secs(30 * 60),
            lifetime: Duration::from_secs(12 * 3600),
        }
    }
}

/// A session that lasts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionRecord {
    pub account: AccountId,
    pub roles: Roles,
    /// It opens nothing but the page on which the password is changed.
    pub must_change_password: bool,
    /// The second factor's code is still to be shown: it opens nothing but the page that asks for it.
    pub must_show_code: bool,
    pub has_second_factor: bool,
    /// Steady: its last use, as far as it is noted.
    pub idle_from_ms: i64,
}

impl Store {
    /// Commits a session for whoever has shown the password of `checked`; where it says so, the
    /// second factor's code is due before the session opens anything. Fails when the account has
    /// changed since it was read.
    pub async fn sign_in(
        &self,
        checked: &Credentials,
        session_sha256: &str,
        client: IpAddr,
        limits: SessionLimits,
    ) -> Result<(), StoreError> {
        self.named(
            self.sign_in_rows(checked, session_sha256, client, limits)
                .await,
        )
    }

    /// Commits that a sign-in was refused; `name` is what was typed in. Where there is such an
    /// account, it counts against it.
    pub async fn refuse_sign_in(&self, name: &str, client: IpAddr) -> Result<(), StoreError> {
        self.named(self.refuse_rows(name, client).await)
    }

    /// Returns the session of that digest; none when there is none or it is over.
    pub async fn session(
        &self,
        session_sha256: &str,
        limits: SessionLimits,
    ) -> Result<Option<SessionRecord>, StoreError> {
        self.named(self.session_row(session_sha256, limits).await)
    }

    /// Commits that the session is in use, when its last use was noted a while ago.
    pub async fn touch_session(
        &self,
        session_sha256: &str,
        session: &SessionRecord,
    ) -> Result<(), StoreError> {
        let steady_ms = self.steady_ms();
        if steady_ms - session.idle_from_ms < SEEN_STEP_MS {
            return Ok(());
        }
        let touched = sqlx::query("UPDATE session SET idle_from_ms = ? WHERE sha256 = ?")
            .bind(steady_ms)
            .bind(session_sha256)
            .execute(&self.0.writer)
            .await;
        self.named(touched.map(|_| ()).map_err(Fault::from))
    }

    /// Commits that the session is over. One that is over already stays so.
    pub async fn sign_out(&self, session_sha256: &str) -> Result<(), StoreError> {
        self.named(self.sign_out_row(session_sha256).await)
    }

    async fn sign_in_rows(
        &self,
        checked: &Credentials,
        session_sha256: &str,
        client: IpAddr,
        limits: SessionLimits,
    ) -> Result<(), Fault> {
        let (now_ms, steady_ms) = (self.now_ms(), self.steady_ms());
        let mut tx = self.begin().await?;
        let is_due = checked.due == Due::Code;
        // While a code is due wrong ones go on counting: the password alone must not forgive them.
        let taken = sqlx::query(
            "UPDATE account SET failures = iif(?4, failures, 0), \
             lock_holds_until_ms = iif(?4, lock_holds_until_ms, NULL), \
             signed_in_at_ms = iif(?4, signed_in_at_ms, ?1) \
             WHERE name = ?2 AND password = ?3 AND disabled_at_ms IS NULL \
             AND coalesce(lock_holds_until_ms <= ?5, 1)",
        )
        .bind(now_ms)
        .bind(checked.name.as_str())
        .bind(&checked.password)
        .bind(is_due)
        .bind(steady_ms)
        .execute(&mut *tx)
        .await?;
        if taken.rows_affected() == 0 {
            return Err(StoreError::SignInRefused.into());
        }
        sqlx::query(
            "DELETE FROM session WHERE idle_from_ms < ?1 OR aged_from_ms < ?2 OR sha256 IN \
             (SELECT sha256 FROM session WHERE account = ?3 \
             ORDER BY aged_from_ms DESC LIMIT -1 OFFSET ?4)",
        )
        .bind(steady_ms - millis(limits.idle))
        .bind(steady_ms - millis(limits.lifetime))
        .bind(checked.name.as_str())
        .bind(SESSIONS_MAX - 1)
        .execute(&mut *tx)
        .await?;
        sqlx::query(
            "INSERT INTO session (sha256, account, client, aged_from_ms, idle_from_ms, code_due) \
             VALUES (?1, ?2, ?3, ?4, ?4, ?5)",
        )
        .bind(session_sha256)
        .bind(checked.name.as_str())
        .bind(client.to_string())
        .bind(steady_ms)
        .bind(is_due)
        .execute(&mut *tx)
        .await?;
        let deed = Deed {
            who: &Actor::account(checked.name.as_str()),
            action: if is_due {
                "session.password_shown"
            } else {
                "session.begun"
            },
            object: checked.name.to_string(),
            outcome: AuditOutcome::Done,
            detail: Some(format!("from {client}")),
        };
        audit::append(&mut tx, deed, now_ms).await?;
        Ok(tx.commit().await?)
    }

    async fn refuse_rows(&self, name: &str, client: IpAddr) -> Result<(), Fault> {
        let now_ms = self.now_ms();
        let mut tx = self.begin().await?;
        count_failure(&mut tx, name, self.steady_ms()).await?;
        let deed = Deed {
            who: &Actor::nobody(),
            action: "session.begun",
            object: name.to_owned(),
            outcome: AuditOutcome::Refused,
            detail: Some(format!("from {client}")),
        };
        audit::append(&mut tx, deed, now_ms).await?;
        Ok(tx.commit().await?)
    }

    async fn session_row(
        &self,
        session_sha256: &str,
        limits: SessionLimits,
    ) -> Result<Option<SessionRecord>, Fault> {
        let steady_ms = self.steady_ms();
        let row = sqlx::query(
            "SELECT s.account, s.idle_from_ms, s.code_due, a.roles, a.must_change, \
             EXISTS (SELECT 1 FROM second_factor f WHERE f.account = a.name \
             AND f.in_force_at_ms IS NOT NULL) AS has_second_factor FROM session s \
             JOIN account a ON a.name = s.account WHERE s.sha256 = ? AND s.idle_from_ms >= ? \
             AND s.aged_from_ms >= iif(s.code_due, ?, ?) AND a.disabled_at_ms IS NULL",
        )
        .bind(session_sha256)
        .bind(steady_ms - millis(limits.idle))
        .bind(steady_ms - millis(CODE_WITHIN.min(limits.lifetime)))
        .bind(steady_ms - millis(limits.lifetime))
        .fetch_optional(&self.0.readers)
        .await?;
        let Some(row) = row else { return Ok(None) };
        Ok(Some(SessionRecord {
            account: parsed(&row, "account")?,
            roles: roles_of(&row)?,
            must_change_password: row.try_get("must_change")?,
            must_show_code: row.try_get("code_due")?,
            has_second_factor: row.try_get("has_second_factor")?,
            idle_from_ms: row.try_get("idle_from_ms")?,
        }))
    }

    async fn sign_out_row(&self, session_sha256: &str) -> Result<(), Fault> {
        let now_ms = self.now_ms();
        let mut tx = self.begin().await?;
        let account: Option<String> =
            sqlx::query_scalar("DELETE FROM session WHERE sha256 = ? RETURNING account")
                .bind(session_sha256)
                .fetch_optional(&mut *tx)
                .await?;
        let Some(account) = account else {
            return Ok(());
        };
        let deed = Deed {
            who: &Actor::account(&account),
            action: "session.ended",
            object: account.clone(),
            outcome: AuditOutcome::Done,
            detail: None,
        };
        audit::append(&mut tx, deed, now_ms).await?;
        Ok(tx.commit().await?)
    }
}

/// Counts a wrong password or code against the account, where there is one of that name, and locks it
/// when there were too many. A lock that is over gives five more tries, one that lasts is not
/// prolonged.
pub(super) async fn count_failure(
    tx: &mut Tx,
    name: &str,
    steady_ms: i64,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "UPDATE account SET \
         failures = CASE WHEN lock_holds_until_ms <= ?1 THEN 1 ELSE failures + 1 END, \
         lock_holds_until_ms = CASE WHEN lock_holds_until_ms > ?1 THEN lock_holds_until_ms \
         WHEN lock_holds_until_ms IS NULL AND failures + 1 >= ?2 THEN ?1 + ?3 END \
         WHERE name = ?4",
    )
    .bind(steady_ms)
    .bind(FAILURES_MAX)
    .bind(millis(LOCKED))
    .bind(name)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
