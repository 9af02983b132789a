//! What pages call the owners of accounts. The log of what was done and the API go on naming the
//! account itself, which never changes its meaning.

use std::collections::BTreeMap;
use std::sync::{PoisonError, RwLock};

use sqlx::Row;

use super::account::{known, record};
use super::audit::Actor;
use super::error::Fault;
use super::{Store, StoreError};
use crate::id::AccountId;

/// Characters of a name at the most.
pub const NAME_CHARS_MAX: usize = 64;

/// The names of all accounts that have one: read with every row of every page, and so kept at hand.
/// At most as many as there are accounts.
#[derive(Debug, Default)]
pub(super) struct Names(RwLock<BTreeMap<String, String>>);

impl Store {
    /// Returns what pages call `who`: the display name of the account, else its own name, or that of
    /// the program.
    pub fn name_of(&self, who: &str) -> String {
        let names = &self.0.names.0;
        let names = names.read().unwrap_or_else(PoisonError::into_inner);
        names.get(who).cloned().unwrap_or_else(|| who.to_owned())
    }

    /// Commits what people call the owner of the account; none takes the name away. Fails where another
    /// account has this name, or is named so: nobody shall look like somebody else.
    pub async fn set_display_name(
        &self,
        account: &AccountId,
        name: Option<&str>,
        who: &Actor,
    ) -> Result<(), StoreError> {
        let set = self.set_display_name_row(account, name, who).await;
        self.named(set)?;
        let read = self.read_names().await;
        self.named(read)
    }

    /// Reads all names anew.
    pub(super) async fn read_names(&self) -> Result<(), Fault> {
        let rows =
            sqlx::query("SELECT name, display_name FROM account WHERE display_name IS NOT NULL")
                .fetch_all(&self.0.readers)
                .await?;
        let pair = |row| -> Result<(String, String), sqlx::Error> {
            let row: &sqlx::sqlite::SqliteRow = row;
            Ok((row.try_get("name")?, row.try_get("display_name")?))
        };
        let read: BTreeMap<String, String> = rows.iter().map(pair).collect::<Result<_, _>>()?;
        let names = &self.0.names.0;
        *names.write().unwrap_or_else(PoisonError::into_inner) = read;
        Ok(())
    }

    async fn set_display_name_row(
        &self,
        account: &AccountId,
        name: Option<&str>,
        who: &Actor,
    ) -> Result<(), Fault> {
        let now_ms = self.now_ms();
        let mut tx = self.begin().await?;
        known(&mut tx, account).await?;
        let others: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM account WHERE name <> ?1 AND (lower(name) = lower(?2) OR \
             lower(display_name) = lower(?2))",
        )
        .bind(account.as_str())
        .bind(name)
        .fetch_one(&mut *tx)
        .await?;
        if let Some(name) = name.filter(|_| others > 0) {
            return Err(StoreError::NameTaken(name.to_owned()).into());
        }
        sqlx::query("UPDATE account SET display_name = ? WHERE name = ?")
            .bind(name)
            .bind(account.as_str())
            .execute(&mut *tx)
            .await?;
        let detail = Some(name.map_or_else(|| "no name".to_owned(), |name| format!("{name:?}")));
        record(&mut tx, who, "account.named", account, detail, now_ms).await?;
        Ok(tx.commit().await?)
    }
}
