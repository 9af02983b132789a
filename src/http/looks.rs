//! Looks at what a camera saw, written down before a byte of it leaves. Which routes show such
//! things stands in the table of routes.
//!
//! A clip that is wound, or a picture that is loaded every second, is one look: who looks at the
//! same thing again within [`WINDOW`] is not written down again, and who goes on looking is written
//! down once for each such time.
//!
//! A board shows the small picture of every open alarm, again each time it is opened: that is one look
//! for an alarm and a session, and has a name of its own, so that it does not hide the looks that
//! somebody meant. The rows of the session tell from when to when the board may have shown it.
//!
//! What cannot be written down is not shown: the writing cannot be switched off.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use axum::http::Uri;

use super::access::Principal;
use super::{Service, error::ApiError};
use crate::evidence::SNAPSHOT;
use crate::store::AuditOutcome;

/// Looks of one person at one thing within this time of the first are one [P].
const WINDOW: Duration = Duration::from_secs(10 * 60);
/// What the log calls an alarm's picture on a board, and how the board asks for it.
const ON_BOARD: &str = "board.seen";
const FOR_BOARD: &str = "for=board";
/// Looks that are remembered at a time; when it is full all are forgotten, and written down again.
const REMEMBERED_MAX: usize = 10_000;

/// Who looked at what, and when (monotonic).
#[derive(Debug, Default)]
pub(super) struct Looks(Mutex<HashMap<(String, &'static str, String), Duration>>);

impl Looks {
    /// Returns whether this look is a new one, for this long, and remembers it.
    fn is_new(
        &self,
        who: &str,
        action: &'static str,
        object: &str,
        now: Duration,
        counts_for: Duration,
    ) -> bool {
        let mut looks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if looks.len() >= REMEMBERED_MAX {
            looks.retain(|_, at| now.saturating_sub(*at) < WINDOW);
            if looks.len() >= REMEMBERED_MAX {
                looks.clear();
            }
        }
        let key = (who.to_owned(), action, object.to_owned());
        let last = looks.get(&key);
        let is_new = last.is_none_or(|at| now.saturating_sub(*at) >= counts_for);
        if is_new {
            looks.insert(key, now);
        }
        is_new
    }

    fn forget(&self, who: &str, action: &'static str, object: &str) {
        let mut looks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        looks.remove(&(who.to_owned(), action, object.to_owned()));
    }
}

/// Writes down that `who` was shown what stands at this path and query, which the table of routes calls
/// `look`. Fails when that cannot be done.
pub(super) async fn shown(
    service: &Service,
    who: &Principal,
    look: &'static str,
    uri: &Uri,
) -> Result<(), ApiError> {
    let object = object(uri.path());
    let is_for_board = uri.query() == Some(FOR_BOARD) && object.ends_with(SNAPSHOT);
    match who.session_key().filter(|_| is_for_board) {
        // As long as the session lasts, whose key nobody else has.
        Some(key) => {
            once(
                service,
                who,
                key,
                ON_BOARD,
                object,
                AuditOutcome::Done,
                Duration::MAX,
            )
            .await
        }
        None => note(service, who, look, object, AuditOutcome::Done).await,
    }
}

/// Returns what was looked at, for the audit log: the path without what all have in common.
fn object(path: &str) -> &str {
    let path = path.strip_prefix("/api/v1/").unwrap_or(path);
    path.strip_prefix("alarms/")
        .or_else(|| path.strip_prefix("cameras/"))
        .unwrap_or(path)
}

/// Writes down that `who` looks at `object` or was refused. Fails when that cannot be done.
pub(super) async fn note(
    service: &Service,
    who: &Principal,
    action: &'static str,
    object: &str,
    outcome: AuditOutcome,
) -> Result<(), ApiError> {
    once(
        service,
        who,
        who.actor.as_str(),
        action,
        object,
        outcome,
        WINDOW,
    )
    .await
}

async fn once(
    service: &Service,
    who: &Principal,
    key: &str,
    action: &'static str,
    object: &str,
    outcome: AuditOutcome,
    counts_for: Duration,
) -> Result<(), ApiError> {
    let now = service.api.clock.monotonic();
    if !service.looks.is_new(key, action, object, now, counts_for) {
        return Ok(());
    }
    let detail = Some(format!("from {}", who.client));
    let store = &service.api.store;
    let noted = store.note(&who.actor, action, object, outcome, detail);
    if let Err(error) = noted.await {
        service.looks.forget(key, action, object);
        return Err(error.into());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_look_counts_once_in_a_while() {
        let looks = Looks::default();
        let at = Duration::from_secs;
        assert!(looks.is_new("li", "evidence.seen", "a/clip.mp4", at(0), WINDOW));
        assert!(!looks.is_new("li", "evidence.seen", "a/clip.mp4", at(599), WINDOW));
        assert!(looks.is_new("li", "evidence.seen", "b/clip.mp4", at(1), WINDOW));
        assert!(looks.is_new("wang", "evidence.seen", "a/clip.mp4", at(1), WINDOW));
        assert!(looks.is_new("li", "evidence.seen", "a/clip.mp4", at(1300), WINDOW));
    }

    #[test]
    fn who_looks_for_an_hour_is_written_down_six_times_and_not_every_second() {
        let looks = Looks::default();
        let seconds = (0..3600).map(Duration::from_secs);
        let new = seconds
            .filter(|at| looks.is_new("li", "picture.seen", "north/snapshot.jpg", *at, WINDOW));
        assert_eq!(new.count(), 6);
    }

    #[test]
    fn memory_stays_bounded() {
        let looks = Looks::default();
        for number in 0..REMEMBERED_MAX + 5 {
            looks.is_new(
                "li",
                "evidence.seen",
                &number.to_string(),
                Duration::ZERO,
                WINDOW,
            );
        }
        assert!(looks.0.lock().expect("not poisoned").len() <= REMEMBERED_MAX);
    }
}
