//! Rules of the configuration: how long things are kept, who sees what, who is told. They stand in a file
//! that anybody with the machine may edit, so each start writes down what has changed since the last.

use std::collections::BTreeMap;

use sqlx::Row;

use super::audit::{self, Actor, AuditOutcome, Deed};
use super::error::Fault;
use super::{Store, StoreError, Tx};

/// Rules by name, each as text without a secret.
pub type Policy = BTreeMap<String, String>;

impl Store {
    /// Commits the rules that a start has found. A rule that differs from before is written down as
    /// `policy.changed`, the first ones of a store together as `policy.found`. Returns how many differ.
    pub async fn note_policy(&self, found: &Policy) -> Result<usize, StoreError> {
        self.named(self.note_policy_rows(found).await)
    }

    async fn note_policy_rows(&self, found: &Policy) -> Result<usize, Fault> {
        let now_ms = self.now_ms();
        let mut tx = self.begin().await?;
        let before = kept(&mut tx).await?;
        if before == *found {
            return Ok(0);
        }
        let who = Actor::service();
        let deed = |action, object: &str, detail| Deed {
            who: &who,
            action,
            object: object.to_owned(),
            outcome: AuditOutcome::Done,
            detail: Some(detail),
        };
        let changes = changes(&before, found);
        if before.is_empty() {
            let rules = found
                .iter()
                .map(|(rule, value)| format!("{rule} = {value}"));
            let rules = rules.collect::<Vec<_>>().join("; ");
            let first = deed("policy.found", "configuration", rules);
            audit::append(&mut tx, first, now_ms).await?;
        } else {
            for (rule, old, new) in &changes {
                let detail = format!("{} -> {}", old.unwrap_or("none"), new.unwrap_or("none"));
                audit::append(&mut tx, deed("policy.changed", rule, detail), now_ms).await?;
            }
        }
        sqlx::query("DELETE FROM policy").execute(&mut *tx).await?;
        for (rule, value) in found {
            sqlx::query("INSERT INTO policy (rule, value) VALUES (?, ?)")
                .bind(rule)
                .bind(value)
                .execute(&mut *tx)
                .await?;
        }
        let count = changes.len();
        tx.commit().await?;
        Ok(count)
    }
}

/// A rule, and what it was and is.
type Change<'a> = (&'a str, Option<&'a str>, Option<&'a str>);

/// Returns the rules that differ, by name.
fn changes<'a>(before: &'a Policy, found: &'a Policy) -> Vec<Change<'a>> {
    let gone = before.keys().filter(|rule| !found.contains_key(*rule));
    let mut rules: Vec<&String> = found.keys().chain(gone).collect();
    rules.sort_unstable();
    let value = |of: &'a Policy, rule: &String| of.get(rule).map(String::as_str);
    let all = rules.into_iter();
    let all = all.map(|rule| (rule.as_str(), value(before, rule), value(found, rule)));
    all.filter(|(_, old, new)| old != new).collect()
}

async fn kept(tx: &mut Tx) -> Result<Policy, sqlx::Error> {
    let rows = sqlx::query("SELECT rule, value FROM policy")
        .fetch_all(&mut **tx)
        .await?;
    let rules = rows
        .iter()
        .map(|row| Ok((row.try_get("rule")?, row.try_get("value")?)));
    rules.collect()
}
