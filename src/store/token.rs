//! Tokens of programs: a name, roles, a digest, an end. What changes one is written down by the
//! same transaction. A token is never removed, so that its name keeps its meaning: it is revoked.

use serde::Serialize;
use sqlx::Row;

use super::account::roles_of;
use super::audit::{self, Actor, AuditOutcome, Deed};
use super::error::Fault;
use super::row::{parsed, to_json};
use super::{Store, StoreError};
use crate::auth::Roles;
use crate::id::TokenId;

/// Tokens at the most, also revoked ones.
pub const TOKENS_MAX: i64 = 500;

/// One program's token, without the secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct TokenRecord {
    #[schema(value_type = String)]
    pub name: TokenId,
    pub roles: Roles,
    pub created_at_ms: i64,
    pub created_by: String,
    /// None for one that holds until it is revoked.
    pub expires_at_ms: Option<i64>,
    /// Whether its time is over; it opens nothing any more.
    pub is_over: bool,
    pub revoked_at_ms: Option<i64>,
}

/// What a token that holds gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenGrant {
    pub name: TokenId,
    pub roles: Roles,
}

impl Store {
    /// Returns all tokens, by name.
    pub async fn tokens(&self) -> Result<Vec<TokenRecord>, StoreError> {
        self.named(self.token_rows().await)
    }

    /// Commits a new token. Fails when the name is taken, also by one that was revoked.
    pub async fn add_token(
        &self,
        name: &TokenId,
        roles: &Roles,
        token_sha256: &str,
        expires_at_ms: Option<i64>,
        who: &Actor,
    ) -> Result<(), StoreError> {
        self.named(
            self.add_token_row(name, roles, token_sha256, expires_at_ms, who)
                .await,
        )
    }

    /// Commits that the token opens nothing any more. A second time changes nothing.
    pub async fn revoke_token(&self, name: &TokenId, who: &Actor) -> Result<(), StoreError> {
        self.named(self.revoke_row(name, who).await)
    }

    /// Returns what the token of that digest gives; none when there is none or it is over.
    pub async fn token(&self, token_sha256: &str) -> Result<Option<TokenGrant>, StoreError> {
        self.named(self.token_row(token_sha256).await)
    }

    async fn token_rows(&self) -> Result<Vec<TokenRecord>, Fault> {
        let rows = sqlx::query(
            "SELECT name, roles, created_at_ms, created_by, expires_at_ms, revoked_at_ms, \
             coalesce(holds_until_ms <= ?, 0) AS is_over FROM token ORDER BY name LIMIT ?",
        )
        .bind(self.steady_ms())
        .bind(TOKENS_MAX)
        .fetch_all(&self.0.readers)
        .await?;
        let records = rows.iter().map(|row| -> Result<_, sqlx::Error> {
            Ok(TokenRecord {
                name: parsed(row, "name")?,
                roles: roles_of(row)?,
                created_at_ms: row.try_get("created_at_ms")?,
                created_by: row.try_get("created_by")?,
                expires_at_ms: row.try_get("expires_at_ms")?,
                is_over: row.try_get("is_over")?,
                revoked_at_ms: row.try_get("revoked_at_ms")?,
            })
        });
        Ok(records.collect::<Result<_, _>>()?)
    }

    async fn add_token_row(
        &self,
        name: &TokenId,
        roles: &Roles,
        token_sha256: &str,
        expires_at_ms: Option<i64>,
        who: &Actor,
    ) -> Result<(), Fault> {
        let now_ms = self.now_ms();
        let holds_until_ms = expires_at_ms.map(|end| self.steady_ms() + (end - now_ms));
        let mut tx = self.begin().await?;
        let count: i64 = sqlx::query_scalar("SELECT count(*) FROM token")
            .fetch_one(&mut *tx)
            .await?;
        if count >= TOKENS_MAX {
            let (what, limit) = ("tokens", TOKENS_MAX);
            return Err(StoreError::TooMany { what, limit }.into());
        }
        let added = sqlx::query(
            "INSERT INTO token (name, roles, sha256, created_at_ms, created_by, expires_at_ms, \
             holds_until_ms) VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (name) DO NOTHING",
        )
        .bind(name.as_str())
        .bind(to_json(roles)?)
        .bind(token_sha256)
        .bind(now_ms)
        .bind(who.as_str())
        .bind(expires_at_ms)
        .bind(holds_until_ms)
        .execute(&mut *tx)
        .await?;
        if added.rows_affected() == 0 {
            return Err(StoreError::NameTaken(name.to_string()).into());
        }
        let deed = Deed {
            who,
            action: "token.added",
            object: name.to_string(),
            outcome: AuditOutcome::Done,
            detail: Some(format!("roles: {roles}")),
        };
        audit::append(&mut tx, deed, now_ms).await?;
        Ok(tx.commit().await?)
    }

    async fn revoke_row(&self, name: &TokenId, who: &Actor) -> Result<(), Fault> {
        let now_ms = self.now_ms();
        let mut tx = self.begin().await?;
        let revoked: Option<Option<i64>> =
            sqlx::query_scalar("SELECT revoked_at_ms FROM token WHERE name = ?")
                .bind(name.as_str())
                .fetch_optional(&mut *tx)
                .await?;
        match revoked {
            None => return Err(StoreError::UnknownToken(name.clone()).into()),
            Some(Some(_)) => return Ok(()),
            Some(None) => {}
        }
        sqlx::query("UPDATE token SET revoked_at_ms = ? WHERE name = ?")
            .bind(now_ms)
            .bind(name.as_str())
            .execute(&mut *tx)
            .await?;
        let deed = Deed {
            who,
            action: "token.revoked",
            object: name.to_string(),
            outcome: AuditOutcome::Done,
            detail: None,
        };
        audit::append(&mut tx, deed, now_ms).await?;
        Ok(tx.commit().await?)
    }

    async fn token_row(&self, token_sha256: &str) -> Result<Option<TokenGrant>, Fault> {
        let row = sqlx::query(
            "SELECT name, roles FROM token WHERE sha256 = ? AND revoked_at_ms IS NULL \
             AND coalesce(holds_until_ms > ?, 1)",
        )
        .bind(token_sha256)
        .bind(self.steady_ms())
        .fetch_optional(&self.0.readers)
        .await?;
        let Some(row) = row else { return Ok(None) };
        Ok(Some(TokenGrant {
            name: parsed(&row, "name")?,
            roles: roles_of(&row)?,
        }))
    }
}
