//! Looks every second for what has become overdue: shelves whose time is over end, and alarms that
//! nobody has acknowledged in time escalate.
//!
//! It takes no input and may be started, stopped and repeated at any moment: what is due stands in
//! the store, and what was done too. Whom it is told is the outbox's business from there on.

use std::time::Duration;

use metrics::counter;
use tokio_util::sync::CancellationToken;

use crate::store::{Escalation, Store};

/// Looks for what is due this often: it comes at most so much late.
const LOOK: Duration = Duration::from_secs(1);

/// Ends shelves and takes the configuration's steps until `stop`.
pub async fn run(store: Store, steps: Vec<Escalation>, stop: CancellationToken) {
    let mut tick = tokio::time::interval(LOOK);
    // After a pause the next look finds all that is due; there is nothing to catch up with.
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while stop.run_until_cancelled(tick.tick()).await.is_some() {
        // First: what is announced again has its time from here on.
        if let Err(error) = store.end_due_shelves().await {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "a shelf cannot be ended at the moment; it is tried again"
            );
        }
        for step in &steps {
            look(&store, step).await;
        }
    }
}

async fn look(store: &Store, step: &Escalation) {
    match store.escalate(step).await {
        Ok(0) => {}
        Ok(count) => {
            counter!("plumb_deliver_escalations_total", "step" => step.id.to_string())
                .increment(count as u64);
            tracing::warn!(
                escalation.id = %step.id,
                alarms = count,
                "alarms that nobody has acknowledged were escalated"
            );
        }
        Err(error) => tracing::error!(
            escalation.id = %step.id,
            error = &error as &dyn std::error::Error,
            "nothing can be escalated at the moment; it is tried again"
        ),
    }
}
