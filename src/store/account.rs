//! Accounts of people. What changes one is written down by the same transaction.
//!
//! An account is never removed, so that the audit log's names keep their meaning: it is disabled.

use serde::Serialize;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use super::audit::{self, Actor, AuditOutcome, Deed};
use super::error::Fault;
use super::event::When;
use super::row::{json_or_none, parsed, to_json};
use super::{Store, StoreError, Tx};
use crate::auth::{Role, Roles};
use crate::id::AccountId;

/// Accounts at the most, also disabled ones.
pub const ACCOUNTS_MAX: i64 = 500;

/// One person's account, without the password.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct AccountRecord {
    #[schema(value_type = String)]
    pub name: AccountId,
    /// What pages call its owner; none where nobody has said so.
    pub display_name: Option<String>,
    pub roles: Roles,
    /// The password was given by somebody else, and opens nothing until it is changed.
    pub must_change_password: bool,
    pub created_at_ms: i64,
    /// None while it is in use.
    pub disabled_at_ms: Option<i64>,
    /// After too many wrong passwords nobody can sign in to it until then.
    pub locked_until_ms: Option<i64>,
    pub signed_in_at_ms: Option<i64>,
    /// Signing in asks for a code besides the password.
    pub has_second_factor: bool,
}

/// What a sign-in is checked against.
#[derive(Clone, Debug)]
pub struct Credentials {
    pub name: AccountId,
    /// Argon2id.
    pub password: String,
    /// Disabled or locked: also the right password is refused.
    pub is_closed: bool,
    pub due: Due,
}

/// What is to be shown after the password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    Nothing,
    /// The second factor's code.
    Code,
}

/// Who chose a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PasswordKind {
    /// The person, who keeps it.
    Own,
    /// Somebody else: it must be changed before it opens anything.
    OneTime,
}

impl Store {
    /// Returns all accounts, by name.
    pub async fn accounts(&self) -> Result<Vec<AccountRecord>, StoreError> {
        self.named(self.account_rows().await)
    }

    /// Commits the account `admin` with a one-time password where there is no account at all, and
    /// returns whether there was none.
    pub async fn add_first_account(&self, password_hash: &str) -> Result<bool, StoreError> {
        self.named(self.first_account_row(password_hash).await)
    }

    /// Commits a new account with a one-time password. Fails when the name is taken.
    pub async fn add_account(
        &self,
        name: &AccountId,
        roles: &Roles,
        password_hash: &str,
        who: &Actor,
    ) -> Result<(), StoreError> {
        self.named(self.add_account_row(name, roles, password_hash, who).await)
    }

    /// Commits other roles and ends the account's sessions. Fails for one's own account, and where
    /// no admin would be left.
    pub async fn set_roles(
        &self,
        name: &AccountId,
        roles: &Roles,
        who: &Actor,
    ) -> Result<(), StoreError> {
        self.named(self.set_roles_row(name, roles, who).await)
    }

    /// Commits another password, unlocks the account and ends its sessions.
    pub async fn set_password(
        &self,
        name: &AccountId,
        password_hash: &str,
        kind: PasswordKind,
        who: &Actor,
    ) -> Result<(), StoreError> {
        self.named(self.set_password_row(name, password_hash, kind, who).await)
    }

    /// Commits that nobody can sign in to the account, and ends its sessions. Fails for one's own
    /// account, and where no admin would be left.
    pub async fn disable_account(&self, name: &AccountId, who: &Actor) -> Result<(), StoreError> {
        self.named(self.disable_account_row(name, who).await)
    }

    /// Commits that the account is in use again.
    pub async fn enable_account(&self, name: &AccountId, who: &Actor) -> Result<(), StoreError> {
        self.named(self.enable_account_row(name, who).await)
    }

    /// Returns what a sign-in to the account is checked against; none where there is no such name.
    pub async fn credentials(&self, name: &AccountId) -> Result<Option<Credentials>, StoreError> {
        let found = sqlx::query(
            "SELECT name, password, disabled_at_ms IS NOT NULL OR coalesce(lock_holds_until_ms > ?, 0) \
             AS is_closed, EXISTS (SELECT 1 FROM second_factor f WHERE f.account = name \
             AND f.in_force_at_ms IS NOT NULL) AS is_code_due FROM account WHERE name = ?",
        )
        .bind(self.steady_ms())
        .bind(name.as_str())
        .fetch_optional(&self.0.readers)
        .await;
        let read = |row: &SqliteRow| -> Result<Credentials, sqlx::Error> {
            Ok(Credentials {
                name: parsed(row, "name")?,
                password: row.try_get("password")?,
                is_closed: row.try_get("is_closed")?,
                due: match row.try_get("is_code_due")? {
                    true => Due::Code,
                    false => Due::Nothing,
                },
            })
        };
        let found = found.and_then(|row| row.as_ref().map(read).transpose());
        self.named(found.map_err(Fault::from))
    }

    async fn account_rows(&self) -> Result<Vec<AccountRecord>, Fault> {
        let rows = sqlx::query(
            "SELECT name, display_name, roles, must_change, created_at_ms, disabled_at_ms, lock_holds_until_ms, \
             signed_in_at_ms, EXISTS (SELECT 1 FROM second_factor f WHERE f.account = name \
             AND f.in_force_at_ms IS NOT NULL) AS has_second_factor FROM account ORDER BY name LIMIT ?",
        )
        .bind(ACCOUNTS_MAX)
        .fetch_all(&self.0.readers)
        .await?;
        let now = self.when(self.now_ms());
        let records = rows.iter().map(|row| record_of(row, now));
        Ok(records.collect::<Result<_, _>>()?)
    }

    async fn first_account_row(&self, password_hash: &str) -> Result<bool, Fault> {
        let mut tx = self.begin().await?;
        if count(&mut tx).await? > 0 {
            return Ok(false);
        }
        let name = AccountId::parse("admin").expect("it is an id");
        let roles = Roles::only(Role::Admin);
        self.insert(&mut tx, &name, &roles, password_hash, &Actor::service())
            .await?;
        tx.commit().await?;
        Ok(true)
    }

    async fn add_account_row(
        &self,
        name: &AccountId,
        roles: &Roles,
        password_hash: &str,
        who: &Actor,
    ) -> Result<(), Fault> {
        let mut tx = self.begin().await?;
        if name.as_str() == Actor::SERVICE || is_known(&mut tx, name).await? {
            return Err(StoreError::NameTaken(name.to_string()).into());
        }
        if count(&mut tx).await? >= ACCOUNTS_MAX {
            let (what, limit) = ("accounts", ACCOUNTS_MAX);
            return Err(StoreError::TooMany { what, limit }.into());
        }
        self.insert(&mut tx, name, roles, password_hash, who)
            .await?;
        Ok(tx.commit().await?)
    }

    async fn insert(
        &self,
        tx: &mut Tx,
        name: &AccountId,
        roles: &Roles,
        password_hash: &str,
        who: &Actor,
    ) -> Result<(), Fault> {
        let now_ms = self.now_ms();
        sqlx::query(
            "INSERT INTO account (name, roles, password, must_change, created_at_ms) \
             VALUES (?, ?, ?, 1, ?)",
        )
        .bind(name.as_str())
        .bind(to_json(roles)?)
        .bind(password_hash)
        .bind(now_ms)
        .execute(&mut **tx)
        .await?;
        let detail = Some(format!("roles: {roles}"));
        Ok(record(tx, who, "account.added", name, detail, now_ms).await?)
    }

    async fn set_roles_row(
        &self,
        name: &AccountId,
        roles: &Roles,
        who: &Actor,
    ) -> Result<(), Fault> {
        let now_ms = self.now_ms();
        let mut tx = self.begin().await?;
        not_own(name, who)?;
        known(&mut tx, name).await?;
        if !roles.any_of(&[Role::Admin]) {
            another_admin(&mut tx, name).await?;
        }
        sqlx::query("UPDATE account SET roles = ? WHERE name = ?")
            .bind(to_json(roles)?)
            .bind(name.as_str())
            .execute(&mut *tx)
            .await?;
        end_sessions(&mut tx, name).await?;
        let detail = Some(format!("roles: {roles}"));
        record(&mut tx, who, "account.roles", name, detail, now_ms).await?;
        Ok(tx.commit().await?)
    }

    async fn set_password_row(
        &self,
        name: &AccountId,
        password_hash: &str,
        kind: PasswordKind,
        who: &Actor,
    ) -> Result<(), Fault> {
        let now_ms = self.now_ms();
        let mut tx = self.begin().await?;
        known(&mut tx, name).await?;
        sqlx::query(
            "UPDATE account SET password = ?, must_change = ?, failures = 0, \
             lock_holds_until_ms = NULL WHERE name = ?",
        )
        .bind(password_hash)
        .bind(kind == PasswordKind::OneTime)
        .bind(name.as_str())
        .execute(&mut *tx)
        .await?;
        end_sessions(&mut tx, name).await?;
        let detail = match kind {
            PasswordKind::Own => "a password of their own",
            PasswordKind::OneTime => "a one-time password",
        };
        let detail = Some(detail.to_owned());
        record(&mut tx, who, "account.password", name, detail, now_ms).await?;
        Ok(tx.commit().await?)
    }

    async fn disable_account_row(&self, name: &AccountId, who: &Actor) -> Result<(), Fault> {
        let now_ms = self.now_ms();
        let mut tx = self.begin().await?;
        not_own(name, who)?;
        known(&mut tx, name).await?;
        another_admin(&mut tx, name).await?;
        sqlx::query(
            "UPDATE account SET disabled_at_ms = coalesce(disabled_at_ms, ?) WHERE name = ?",
        )
        .bind(now_ms)
        .bind(name.as_str())
        .execute(&mut *tx)
        .await?;
        end_sessions(&mut tx, name).await?;
        record(&mut tx, who, "account.disabled", name, None, now_ms).await?;
        Ok(tx.commit().await?)
    }

    async fn enable_account_row(&self, name: &AccountId, who: &Actor) -> Result<(), Fault> {
        let now_ms = self.now_ms();
        let mut tx = self.begin().await?;
        known(&mut tx, name).await?;
        sqlx::query("UPDATE account SET disabled_at_ms = NULL WHERE name = ?")
            .bind(name.as_str())
            .execute(&mut *tx)
            .await?;
        record(&mut tx, who, "account.enabled", name, None, now_ms).await?;
        Ok(tx.commit().await?)
    }
}

/// Whoever could give themselves a role could do everything.
pub(super) fn not_own(name: &AccountId, who: &Actor) -> Result<(), StoreError> {
    if *who == Actor::account(name.as_str()) {
        return Err(StoreError::OwnAccount);
    }
    Ok(())
}

/// Fails when `name` is the only account in use with the role admin.
async fn another_admin(tx: &mut Tx, name: &AccountId) -> Result<(), Fault> {
    let count = "SELECT count(*) FROM account, json_each(account.roles) AS role \
                 WHERE role.value = 'admin' AND disabled_at_ms IS NULL AND name ";
    let of = |is: &str| sqlx::AssertSqlSafe(format!("{count}{is} ?"));
    let itself: i64 = sqlx::query_scalar(of("="))
        .bind(name.as_str())
        .fetch_one(&mut **tx)
        .await?;
    let others: i64 = sqlx::query_scalar(of("<>"))
        .bind(name.as_str())
        .fetch_one(&mut **tx)
        .await?;
    if itself > 0 && others == 0 {
        return Err(StoreError::LastAdmin(name.clone()).into());
    }
    Ok(())
}

async fn count(tx: &mut Tx) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar("SELECT count(*) FROM account")
        .fetch_one(&mut **tx)
        .await
}

async fn is_known(tx: &mut Tx, name: &AccountId) -> Result<bool, sqlx::Error> {
    let found: i64 = sqlx::query_scalar("SELECT count(*) FROM account WHERE name = ?")
        .bind(name.as_str())
        .fetch_one(&mut **tx)
        .await?;
    Ok(found > 0)
}

pub(super) async fn known(tx: &mut Tx, name: &AccountId) -> Result<(), Fault> {
    if is_known(tx, name).await? {
        Ok(())
    } else {
        Err(StoreError::UnknownAccount(name.clone()).into())
    }
}

pub(super) async fn end_sessions(tx: &mut Tx, name: &AccountId) -> Result<(), sqlx::Error> {
    sqlx::query("DELETE FROM session WHERE account = ?")
        .bind(name.as_str())
        .execute(&mut **tx)
        .await?;
    Ok(())
}

pub(super) async fn record(
    tx: &mut Tx,
    who: &Actor,
    action: &str,
    name: &AccountId,
    detail: Option<String>,
    now_ms: i64,
) -> Result<(), sqlx::Error> {
    let deed = Deed {
        who,
        action,
        object: name.to_string(),
        outcome: AuditOutcome::Done,
        detail,
    };
    audit::append(tx, deed, now_ms).await
}

/// Returns the account's row; a lock that is over is none.
fn record_of(row: &SqliteRow, now: When) -> Result<AccountRecord, sqlx::Error> {
    let holds_until_ms: Option<i64> = row.try_get("lock_holds_until_ms")?;
    let lock_rest_ms = holds_until_ms.map(|until_ms| until_ms - now.steady_ms);
    Ok(AccountRecord {
        name: parsed(row, "name")?,
        display_name: row.try_get("display_name")?,
        roles: roles_of(row)?,
        must_change_password: row.try_get("must_change")?,
        created_at_ms: row.try_get("created_at_ms")?,
        disabled_at_ms: row.try_get("disabled_at_ms")?,
        locked_until_ms: lock_rest_ms
            .filter(|rest_ms| *rest_ms > 0)
            .map(|rest_ms| now.at_ms + rest_ms),
        signed_in_at_ms: row.try_get("signed_in_at_ms")?,
        has_second_factor: row.try_get("has_second_factor")?,
    })
}

/// Returns the column `roles`.
pub(super) fn roles_of(row: &SqliteRow) -> Result<Roles, sqlx::Error> {
    let roles: Option<Roles> = json_or_none(row, "roles")?;
    roles.ok_or_else(|| sqlx::Error::ColumnNotFound("roles".to_owned()))
}
