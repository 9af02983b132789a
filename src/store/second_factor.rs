//! Second factors: begun, confirmed by a code, shown at each sign-in, removed.
//!
//! A code counts once, and a wrong one counts against its account as a wrong password does. What is
//! typed is judged and spent in one transaction, so that two requests cannot both use a code.

use std::net::IpAddr;
use std::time::Duration;

use sqlx::Row;

use super::account::{known, not_own, record};
use super::audit::{self, Actor, AuditOutcome, Deed};
use super::error::Fault;
use super::event::When;
use super::session::count_failure;
use super::{Store, StoreError, Tx};
use crate::auth::totp::{TotpSecret, recovery_codes, recovery_digest};
use crate::id::AccountId;

/// How long a secret waits for the code that confirms it [P].
const CONFIRM_WITHIN: Duration = Duration::from_secs(15 * 60);

/// The second factor of an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecondFactor {
    /// There is none.
    Off,
    /// Its owner is setting it up; nothing asks for it yet.
    Begun(TotpSecret),
    /// Each sign-in asks for it.
    On {
        since_ms: i64,
        /// Recovery codes that nobody has used.
        recovery_left: u32,
    },
}

/// What proved to be right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Proof {
    Code,
    RecoveryCode,
}

impl Proof {
    fn as_str(self) -> &'static str {
        match self {
            Self::Code => "with a code",
            Self::RecoveryCode => "with a recovery code",
        }
    }
}

/// What is done with a factor whose code is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wish {
    Remove,
    RenewRecovery,
}

impl Store {
    /// Returns the account's second factor.
    pub async fn second_factor(&self, account: &AccountId) -> Result<SecondFactor, StoreError> {
        self.named(self.second_factor_row(account).await)
    }

    /// Commits a new secret, which is in force once [`Store::confirm_second_factor`] has seen its code;
    /// an older one that waits is forgotten. Fails where a factor is in force.
    pub async fn begin_second_factor(&self, account: &AccountId) -> Result<(), StoreError> {
        self.named(self.begin_second_factor_row(account).await)
    }

    /// Commits that the secret that waits is in force, ends the account's other sessions and returns
    /// its recovery codes, to be told once. None where the code is not the secret's, or none waits.
    pub async fn confirm_second_factor(
        &self,
        account: &AccountId,
        code: &str,
        session_sha256: &str,
    ) -> Result<Option<Vec<String>>, StoreError> {
        let confirmed = self.confirm_second_factor_rows(account, code, session_sha256);
        self.named(confirmed.await)
    }

    /// Commits that the session, of which a code was due, is begun. Fails as a sign-in that is refused
    /// where the code is wrong, was shown before, or the account is locked.
    pub async fn show_code(
        &self,
        session_sha256: &str,
        account: &AccountId,
        typed: &str,
        client: IpAddr,
    ) -> Result<(), StoreError> {
        let shown = self.show_code_rows(session_sha256, account, typed, client);
        self.named(shown.await)
    }

    /// Commits that the account's owner, who shows a code, does without from now on. Fails as
    /// [`Store::show_code`].
    pub async fn remove_own_second_factor(
        &self,
        account: &AccountId,
        typed: &str,
        client: IpAddr,
    ) -> Result<(), StoreError> {
        let done = self.fulfil(account, typed, client, Wish::Remove).await;
        self.named(done.map(|_| ()))
    }

    /// Commits new recovery codes in the place of the old ones and returns them, to be told once.
    /// Fails as [`Store::show_code`].
    pub async fn renew_recovery_codes(
        &self,
        account: &AccountId,
        typed: &str,
        client: IpAddr,
    ) -> Result<Vec<String>, StoreError> {
        let done = self.fulfil(account, typed, client, Wish::RenewRecovery);
        self.named(done.await)
    }

    /// Commits that the account has no second factor any more, for somebody who lost the phone, and
    /// ends its sessions. Fails for one's own account, and where there is none.
    pub async fn remove_second_factor(
        &self,
        account: &AccountId,
        who: &Actor,
    ) -> Result<(), StoreError> {
        self.named(self.remove_second_factor_row(account, who).await)
    }

    async fn second_factor_row(&self, account: &AccountId) -> Result<SecondFactor, Fault> {
        let row = sqlx::query(
            "SELECT secret, aged_from_ms, in_force_at_ms, (SELECT count(*) FROM recovery_code r \
             WHERE r.account = f.account AND used_at_ms IS NULL) AS recovery_left \
             FROM second_factor f WHERE account = ?",
        )
        .bind(account.as_str())
        .fetch_optional(&self.0.readers)
        .await?;
        let Some(row) = row else {
            return Ok(SecondFactor::Off);
        };
        if let Some(since_ms) = row.try_get("in_force_at_ms")? {
            let recovery_left = row.try_get("recovery_left")?;
            return Ok(SecondFactor::On {
                since_ms,
                recovery_left,
            });
        }
        let aged_from_ms: i64 = row.try_get("aged_from_ms")?;
        let secret = TotpSecret::of_bytes(row.try_get("secret")?);
        let waits = secret.filter(|_| !self.is_over(aged_from_ms));
        Ok(waits.map_or(SecondFactor::Off, SecondFactor::Begun))
    }

    fn is_over(&self, aged_from_ms: i64) -> bool {
        u128::try_from(self.steady_ms() - aged_from_ms)
            .is_ok_and(|waited_ms| waited_ms > CONFIRM_WITHIN.as_millis())
    }

    async fn begin_second_factor_row(&self, account: &AccountId) -> Result<(), Fault> {
        let now_ms = self.now_ms();
        let mut tx = self.begin().await?;
        known(&mut tx, account).await?;
        if in_force(&mut tx, account).await?.is_some() {
            return Err(StoreError::FactorInForce(account.clone()).into());
        }
        sqlx::query(
            "INSERT OR REPLACE INTO second_factor (account, secret, aged_from_ms) VALUES (?, ?, ?)",
        )
        .bind(account.as_str())
        .bind(TotpSecret::random().as_bytes())
        .bind(self.steady_ms())
        .execute(&mut *tx)
        .await?;
        let who = Actor::account(account.as_str());
        record(&mut tx, &who, "second_factor.begun", account, None, now_ms).await?;
        Ok(tx.commit().await?)
    }

    async fn confirm_second_factor_rows(
        &self,
        account: &AccountId,
        code: &str,
        session_sha256: &str,
    ) -> Result<Option<Vec<String>>, Fault> {
        let now_ms = self.now_ms();
        let mut tx = self.begin().await?;
        let row = sqlx::query(
            "SELECT secret, aged_from_ms FROM second_factor WHERE account = ? AND in_force_at_ms IS NULL",
        )
        .bind(account.as_str())
        .fetch_optional(&mut *tx)
        .await?;
        let Some(row) = row else { return Ok(None) };
        let aged_from_ms = row.try_get("aged_from_ms")?;
        let secret = TotpSecret::of_bytes(row.try_get("secret")?);
        let secret = secret.filter(|_| !self.is_over(aged_from_ms));
        let Some(step) = secret.and_then(|secret| secret.step_of(code, now_ms, 0)) else {
            return Ok(None);
        };
        sqlx::query("UPDATE second_factor SET in_force_at_ms = ?, last_step = ? WHERE account = ?")
            .bind(now_ms)
            .bind(step)
            .bind(account.as_str())
            .execute(&mut *tx)
            .await?;
        // What was begun with the password alone is over, but for the session that has shown a code.
        sqlx::query("DELETE FROM session WHERE account = ? AND sha256 <> ?")
            .bind(account.as_str())
            .bind(session_sha256)
            .execute(&mut *tx)
            .await?;
        let codes = put_recovery_codes(&mut tx, account).await?;
        let who = Actor::account(account.as_str());
        record(&mut tx, &who, "second_factor.added", account, None, now_ms).await?;
        tx.commit().await?;
        Ok(Some(codes))
    }

    async fn show_code_rows(
        &self,
        session_sha256: &str,
        account: &AccountId,
        typed: &str,
        client: IpAddr,
    ) -> Result<(), Fault> {
        let now_ms = self.now_ms();
        let now = self.when(now_ms);
        let mut tx = self.begin().await?;
        let Some(proof) = spend(&mut tx, account, typed, now).await? else {
            return Err(refuse(tx, account, "session.begun", client, now).await);
        };
        let begun = sqlx::query("UPDATE session SET code_due = 0 WHERE sha256 = ? AND account = ?")
            .bind(session_sha256)
            .bind(account.as_str())
            .execute(&mut *tx)
            .await?;
        if begun.rows_affected() == 0 {
            return Err(StoreError::SignInRefused.into());
        }
        sqlx::query(
            "UPDATE account SET failures = 0, lock_holds_until_ms = NULL, signed_in_at_ms = ? \
             WHERE name = ?",
        )
        .bind(now_ms)
        .bind(account.as_str())
        .execute(&mut *tx)
        .await?;
        let detail = Some(format!("from {client}, {}", proof.as_str()));
        let who = Actor::account(account.as_str());
        record(&mut tx, &who, "session.begun", account, detail, now_ms).await?;
        Ok(tx.commit().await?)
    }

    async fn fulfil(
        &self,
        account: &AccountId,
        typed: &str,
        client: IpAddr,
        wish: Wish,
    ) -> Result<Vec<String>, Fault> {
        let now_ms = self.now_ms();
        let now = self.when(now_ms);
        let mut tx = self.begin().await?;
        let action = match wish {
            Wish::Remove => "second_factor.removed",
            Wish::RenewRecovery => "second_factor.recovery_renewed",
        };
        let Some(proof) = spend(&mut tx, account, typed, now).await? else {
            return Err(refuse(tx, account, action, client, now).await);
        };
        let codes = match wish {
            Wish::RenewRecovery => put_recovery_codes(&mut tx, account).await?,
            Wish::Remove => {
                remove(&mut tx, account).await?;
                Vec::new()
            }
        };
        let who = Actor::account(account.as_str());
        let detail = Some(proof.as_str().to_owned());
        record(&mut tx, &who, action, account, detail, now_ms).await?;
        tx.commit().await?;
        Ok(codes)
    }

    async fn remove_second_factor_row(
        &self,
        account: &AccountId,
        who: &Actor,
    ) -> Result<(), Fault> {
        let now_ms = self.now_ms();
        let mut tx = self.begin().await?;
        not_own(account, who)?;
        known(&mut tx, account).await?;
        if !remove(&mut tx, account).await? {
            return Err(StoreError::NoFactor(account.clone()).into());
        }
        super::account::end_sessions(&mut tx, account).await?;
        let action = "second_factor.removed";
        record(&mut tx, who, action, account, None, now_ms).await?;
        Ok(tx.commit().await?)
    }
}

/// Returns the secret in force and the step of the last code that counted.
async fn in_force(
    tx: &mut Tx,
    account: &AccountId,
) -> Result<Option<(TotpSecret, i64)>, sqlx::Error> {
    let row = sqlx::query(
        "SELECT secret, last_step FROM second_factor WHERE account = ? AND in_force_at_ms IS NOT NULL",
    )
    .bind(account.as_str())
    .fetch_optional(&mut **tx)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let secret = TotpSecret::of_bytes(row.try_get("secret")?);
    let last_step = row.try_get("last_step")?;
    Ok(secret.map(|secret| (secret, last_step)))
}

/// Spends what was typed, a code or a recovery code; none where it is neither, where it was spent
/// before, or where the account is locked or disabled.
async fn spend(
    tx: &mut Tx,
    account: &AccountId,
    typed: &str,
    now: When,
) -> Result<Option<Proof>, Fault> {
    let open: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM account WHERE name = ? AND disabled_at_ms IS NULL \
         AND coalesce(lock_holds_until_ms <= ?, 1)",
    )
    .bind(account.as_str())
    .bind(now.steady_ms)
    .fetch_one(&mut **tx)
    .await?;
    let secret = in_force(tx, account).await?;
    let Some((secret, last_step)) = secret.filter(|_| open > 0) else {
        return Ok(None);
    };
    if let Some(step) = secret.step_of(typed, now.at_ms, last_step) {
        sqlx::query("UPDATE second_factor SET last_step = ? WHERE account = ?")
            .bind(step)
            .bind(account.as_str())
            .execute(&mut **tx)
            .await?;
        return Ok(Some(Proof::Code));
    }
    let spent = sqlx::query(
        "UPDATE recovery_code SET used_at_ms = ? WHERE account = ? AND sha256 = ? AND used_at_ms IS NULL",
    )
    .bind(now.at_ms)
    .bind(account.as_str())
    .bind(recovery_digest(typed))
    .execute(&mut **tx)
    .await?;
    Ok((spent.rows_affected() > 0).then_some(Proof::RecoveryCode))
}

/// Commits that a code was refused, which counts against the account; returns what to fail with.
async fn refuse(tx: Tx, account: &AccountId, action: &str, client: IpAddr, now: When) -> Fault {
    let refused = refuse_rows(tx, account, action, client, now).await;
    refused.map_or_else(Fault::from, |()| StoreError::SignInRefused.into())
}

async fn refuse_rows(
    mut tx: Tx,
    account: &AccountId,
    action: &str,
    client: IpAddr,
    now: When,
) -> Result<(), sqlx::Error> {
    count_failure(&mut tx, account.as_str(), now.steady_ms).await?;
    let deed = Deed {
        who: &Actor::account(account.as_str()),
        action,
        object: account.to_string(),
        outcome: AuditOutcome::Refused,
        detail: Some(format!("from {client}, a wrong code")),
    };
    audit::append(&mut tx, deed, now.at_ms).await?;
    tx.commit().await
}

async fn remove(tx: &mut Tx, account: &AccountId) -> Result<bool, sqlx::Error> {
    let removed =
        sqlx::query("DELETE FROM second_factor WHERE account = ? AND in_force_at_ms IS NOT NULL")
            .bind(account.as_str())
            .execute(&mut **tx)
            .await?;
    Ok(removed.rows_affected() > 0)
}

async fn put_recovery_codes(tx: &mut Tx, account: &AccountId) -> Result<Vec<String>, sqlx::Error> {
    sqlx::query("DELETE FROM recovery_code WHERE account = ?")
        .bind(account.as_str())
        .execute(&mut **tx)
        .await?;
    let codes = recovery_codes();
    for code in &codes {
        sqlx::query("INSERT INTO recovery_code (account, sha256) VALUES (?, ?)")
            .bind(account.as_str())
            .bind(recovery_digest(code))
            .execute(&mut **tx)
            .await?;
    }
    Ok(codes)
}
