//! Empties the store's outbox: a task that takes no input and may be started at any time.
//!
//! Each endpoint has a worker. It looks at the head of each camera's queue, sends what is due, a
//! bounded number at once, and writes down what came of it. It keeps no queue of its own: the rows
//! are the queue, so a worker that dies is started again and goes on. It looks again when the
//! store signals a change, when a request has ended, and when a wait is over.
//!
//! When an attempt cannot be written down (the disk is full), the worker remembers it, so that
//! nothing is sent over and over, and writes it when the disk is back.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use metrics::{counter, gauge, histogram};
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use super::webhook::{Answer, Verdict, message};
use super::{Delivering, EndpointConfig, retry};
use crate::id::CameraId;
use crate::store::{Attempt, DeliveryId, EventRecord, Head, Outcome, Store, StoreError};

/// Requests of one endpoint at once, each of another camera. Further cameras wait their turn.
const FLIGHTS_MAX: usize = 8;
/// While something waits for its time, looks at least this often: the wall clock may be set.
const LOOK: Duration = Duration::from_millis(250);
/// After the store failed, waits this long before asking it again.
const STORE_RETRY: Duration = Duration::from_secs(1);
/// A wall clock that is further behind than at the last look, milliseconds, was set back.
const CLOCK_SLACK_MS: i64 = 1_000;
/// Deliveries of one endpoint with attempts that could not be written. When that many are owed,
/// nothing more is sent to it until the disk is back.
const OWED_MAX: usize = 1000;
/// Attempts of one delivery that are remembered while they cannot be written; later ones count,
/// but leave no row.
const OWED_ATTEMPTS_MAX: usize = 32;

/// All endpoints' workers.
#[derive(Debug)]
pub struct Outbox {
    workers: JoinSet<()>,
    stop: CancellationToken,
}

impl Outbox {
    /// Starts a worker for each endpoint over `store`'s outbox.
    pub fn start(store: &Store, delivering: &Delivering) -> Self {
        let stop = CancellationToken::new();
        let mut workers = JoinSet::new();
        for index in 0..delivering.endpoints.len() {
            let worker = Worker {
                store: store.clone(),
                delivering: delivering.clone(),
                index,
                flights: JoinSet::new(),
                flying: HashMap::new(),
                owed: BTreeMap::new(),
                pace: Pace::default(),
            };
            workers.spawn(worker.run(stop.clone()));
        }
        Self { workers, stop }
    }

    /// Stops after the requests that run, or without them when they take longer than `grace`:
    /// those are repeated after the next start.
    pub async fn stop(mut self, grace: Duration) {
        self.stop.cancel();
        let ended = async { while self.workers.join_next().await.is_some() {} };
        // When the grace is over, dropping the set aborts what is left.
        tokio::time::timeout(grace, ended).await.ok();
    }
}

/// Measures how full the outbox is, for the metrics; call it when they are asked for.
pub async fn measure(store: &Store) -> Result<(), StoreError> {
    for count in store.outbox_counts().await? {
        let endpoint = count.endpoint.to_string();
        gauge!("plumb_deliver_pending", "endpoint" => endpoint.clone()).set(count.pending as f64);
        gauge!("plumb_deliver_dead", "endpoint" => endpoint.clone()).set(count.dead as f64);
        gauge!("plumb_deliver_oldest_age_ms", "endpoint" => endpoint)
            .set(count.oldest_age_ms as f64);
    }
    Ok(())
}

/// One endpoint's worker.
struct Worker {
    store: Store,
    delivering: Delivering,
    index: usize,
    flights: JoinSet<Landed>,
    /// What each request under way is about: its camera has no other.
    flying: HashMap<tokio::task::Id, (Head, i64)>,
    owed: BTreeMap<DeliveryId, Owed>,
    pace: Pace,
}

/// Whether the times of next attempts can be waited for: they are the wall clock's, which somebody may
/// set back by hours. Then what waits is tried at once.
#[derive(Debug, Default)]
struct Pace {
    /// How far the wall clock was ahead of the monotonic one at the last look, milliseconds.
    ahead_ms: Option<i64>,
    hurries: bool,
}

impl Pace {
    /// Takes the time of a look.
    fn look(&mut self, now_ms: i64, monotonic: Duration) {
        let ahead_ms = now_ms - i64::try_from(monotonic.as_millis()).unwrap_or(i64::MAX);
        // A clock that is slewed is not set back.
        self.hurries |= self
            .ahead_ms
            .is_some_and(|before_ms| ahead_ms < before_ms - CLOCK_SLACK_MS);
        self.ahead_ms = Some(ahead_ms);
    }

    /// Returns how long `head` waits for its next attempt.
    fn wait(&self, head: &Head, now_ms: i64) -> Duration {
        let wait = Duration::from_millis(u64::try_from(head.next_at_ms - now_ms).unwrap_or(0));
        // The first attempt waits for nothing, and no other for longer than any wait that is set.
        let is_due = self.hurries || head.attempts == 0 || wait > retry::WAIT_MAX;
        if is_due { Duration::ZERO } else { wait }
    }
}

/// A request that has ended.
struct Landed {
    answer: Answer,
    event_at_ms: i64,
}

/// Attempts that could not be written down yet, and where they leave the delivery.
struct Owed {
    attempts: Vec<Attempt>,
    head: Head,
    settled: bool,
}

impl Worker {
    async fn run(mut self, stop: CancellationToken) {
        let mut changes = self.store.outbox_changes();
        loop {
            changes.borrow_and_update();
            self.write_owed().await;
            let wait = match self.launch_due().await {
                Ok(wait) => wait,
                Err(error) => {
                    tracing::error!(
                        endpoint.id = %self.endpoint().id,
                        error = &error as &dyn std::error::Error,
                        "the outbox cannot be read; it is asked again"
                    );
                    Some(STORE_RETRY)
                }
            };
            let flying = !self.flights.is_empty();
            tokio::select! {
                () = stop.cancelled() => break,
                Some(landed) = self.flights.join_next_with_id(), if flying => self.land(landed).await,
                changed = changes.changed() => if changed.is_err() { break },
                () = tokio::time::sleep(wait.unwrap_or_default()), if wait.is_some() => {}
            }
        }
        while let Some(landed) = self.flights.join_next_with_id().await {
            self.land(landed).await;
        }
    }

    /// Sends what is due, and returns how long to wait for what is not; none when nothing waits
    /// for a time.
    async fn launch_due(&mut self) -> Result<Option<Duration>, StoreError> {
        let settled: Vec<DeliveryId> = self
            .owed
            .iter()
            .filter(|(_, owed)| owed.settled)
            .map(|(id, _)| id.clone())
            .collect();
        let mut heads = self.store.heads(&self.endpoint().id, &settled).await?;
        for head in &mut heads {
            if let Some(owed) = self.owed.get(&head.id) {
                head.clone_from(&owed.head);
            }
        }
        heads.sort_by_key(|head| (head.next_at_ms, head.event_seq));
        let now_ms = self.delivering.clock.now().as_millisecond();
        self.pace.look(now_ms, self.delivering.clock.monotonic());
        let mut wait = (!self.owed.is_empty()).then_some(STORE_RETRY);
        let mut is_full = false;
        for head in heads {
            if self.is_flying(&head.camera) {
                continue;
            }
            let until = self.pace.wait(&head, now_ms);
            if !until.is_zero() {
                let until = until.min(LOOK);
                wait = Some(wait.map_or(until, |wait| wait.min(until)));
            } else if self.flights.len() < FLIGHTS_MAX && self.owed.len() < OWED_MAX {
                self.launch(head, now_ms);
            } else {
                is_full = true;
            }
        }
        self.pace.hurries &= is_full;
        Ok(wait)
    }

    fn launch(&mut self, mut head: Head, now_ms: i64) {
        head.attempts += 1;
        head.tried_from_ms.get_or_insert(self.store.steady_ms());
        let flight = Flight {
            store: self.store.clone(),
            delivering: self.delivering.clone(),
            index: self.index,
            // Written down only while the disk takes what is written.
            marked: self.owed.is_empty(),
        };
        let about = (head.clone(), now_ms);
        let task = self.flights.spawn(flight.run(head, now_ms)).id();
        self.flying.insert(task, about);
    }

    fn is_flying(&self, camera: &CameraId) -> bool {
        self.flying.values().any(|(head, _)| head.camera == *camera)
    }

    async fn land(&mut self, landed: Result<(tokio::task::Id, Landed), JoinError>) {
        let task = landed
            .as_ref()
            .map_or_else(JoinError::id, |(task, _)| *task);
        let Some((mut head, at_ms)) = self.flying.remove(&task) else {
            return;
        };
        let Landed {
            answer,
            event_at_ms,
        } = match landed {
            Ok((_, landed)) => landed,
            // It panicked: a failed attempt like any other, tried again by the same schedule.
            Err(error) => Landed {
                answer: unread(format!("the request broke off: {error}")),
                event_at_ms: at_ms,
            },
        };
        let gone = answer.verdict == Verdict::Gone;
        let attempt = self.judge(&head, at_ms, answer);
        self.count(&attempt, event_at_ms);
        if let Outcome::Again { next_at_ms } = attempt.outcome {
            head.next_at_ms = next_at_ms;
        }
        self.write(head, attempt).await;
        if gone {
            self.disable().await;
        }
    }

    fn judge(&self, head: &Head, at_ms: i64, answer: Answer) -> Attempt {
        let (outcome, error) = match answer.verdict {
            Verdict::Accepted => (Outcome::Delivered, None),
            Verdict::Gone => (
                Outcome::Dead,
                Some("answered 410: the endpoint is disabled".into()),
            ),
            Verdict::Failed { error, retry_after } => {
                let now_ms = self.delivering.clock.now().as_millisecond();
                // Steady: a clock that is set forward gives no receiver up.
                let steady_ms = self.store.steady_ms();
                let tried_ms = steady_ms - head.tried_from_ms.unwrap_or(steady_ms);
                let since_first = Duration::from_millis(u64::try_from(tried_ms).unwrap_or(0));
                let wait = retry::wait(head.attempts, since_first, retry_after, rand::random());
                let outcome = wait.map_or(Outcome::Dead, |wait| Outcome::Again {
                    next_at_ms: now_ms
                        .saturating_add(i64::try_from(wait.as_millis()).unwrap_or(i64::MAX)),
                });
                (outcome, Some(error))
            }
        };
        Attempt {
            delivery: head.id.clone(),
            at_ms,
            duration_ms: answer.duration_ms,
            status: answer.status,
            error,
            outcome,
        }
    }

    fn count(&self, attempt: &Attempt, event_at_ms: i64) {
        let endpoint = self.endpoint().id.to_string();
        let outcome = match attempt.outcome {
            Outcome::Delivered => "delivered",
            Outcome::Again { .. } => "failed",
            Outcome::Dead => "dead",
        };
        counter!("plumb_deliver_attempts_total", "endpoint" => endpoint.clone(), "outcome" => outcome)
            .increment(1);
        if attempt.outcome == Outcome::Delivered {
            let now_ms = self.delivering.clock.now().as_millisecond();
            histogram!("plumb_deliver_delay_ms", "endpoint" => endpoint)
                .record((now_ms - event_at_ms).max(0) as f64);
            return;
        }
        tracing::warn!(
            endpoint.id = %self.endpoint().id,
            delivery.id = %attempt.delivery,
            delivery.outcome = outcome,
            error = attempt.error.as_deref(),
            "an alarm was not delivered"
        );
    }

    /// Writes the attempt down, or owes it.
    async fn write(&mut self, head: Head, attempt: Attempt) {
        let settled = !matches!(attempt.outcome, Outcome::Again { .. });
        if self.owed.is_empty() {
            match self.store.finish_attempt(&attempt).await {
                Ok(()) => return,
                Err(error) => tracing::error!(
                    endpoint.id = %self.endpoint().id,
                    delivery.id = %attempt.delivery,
                    error = &error as &dyn std::error::Error,
                    "an attempt cannot be written down; it is remembered until the disk is back"
                ),
            }
        }
        let owed = self.owed.entry(head.id.clone()).or_insert_with(|| Owed {
            attempts: Vec::new(),
            head: head.clone(),
            settled,
        });
        owed.head = head;
        owed.settled = settled;
        // The newest one decides, so it takes the last place.
        owed.attempts.truncate(OWED_ATTEMPTS_MAX - 1);
        owed.attempts.push(attempt);
    }

    async fn write_owed(&mut self) {
        while let Some((id, owed)) = self.owed.pop_first() {
            for (written, attempt) in owed.attempts.iter().enumerate() {
                if self.store.finish_attempt(attempt).await.is_err() {
                    let attempts = owed.attempts[written..].to_vec();
                    self.owed.insert(id, Owed { attempts, ..owed });
                    return;
                }
            }
        }
    }

    async fn disable(&self) {
        let endpoint = &self.endpoint().id;
        counter!("plumb_deliver_endpoints_disabled_total", "endpoint" => endpoint.to_string())
            .increment(1);
        tracing::warn!(endpoint.id = %endpoint, "the endpoint answered 410 and is disabled");
        let reason = "answered 410 Gone";
        if let Err(error) = self.store.disable_endpoint(endpoint, reason).await {
            // It answers 410 to the next message too, which tries this again.
            tracing::error!(
                endpoint.id = %endpoint,
                error = &error as &dyn std::error::Error,
                "the endpoint cannot be disabled"
            );
        }
    }

    fn endpoint(&self) -> &EndpointConfig {
        &self.delivering.endpoints[self.index]
    }
}

/// One request and what it needs.
struct Flight {
    store: Store,
    delivering: Delivering,
    index: usize,
    marked: bool,
}

impl Flight {
    async fn run(self, head: Head, at_ms: i64) -> Landed {
        let (answer, event_at_ms) = match self.event(&head).await {
            Ok(event) => {
                let body = message(&event, &self.delivering.public_url);
                let endpoint = &self.delivering.endpoints[self.index];
                let answer = self
                    .delivering
                    .client
                    .post(endpoint, head.id.as_str(), body)
                    .await;
                (answer, event.at_ms)
            }
            Err(error) => (unread(error), at_ms),
        };
        Landed {
            answer,
            event_at_ms,
        }
    }

    async fn event(&self, head: &Head) -> Result<EventRecord, String> {
        if self.marked
            && let Err(error) = self.store.begin_attempt(&head.id).await
        {
            // It is sent all the same: what is committed must go out, and at worst goes twice.
            tracing::warn!(
                delivery.id = %head.id,
                error = &error as &dyn std::error::Error,
                "the beginning of an attempt cannot be written down"
            );
        }
        match self.store.event(head.event_seq).await {
            Ok(Some(event)) => Ok(event),
            Ok(None) => Err(format!("event {} is not in the store", head.event_seq)),
            Err(error) => Err(error.to_string()),
        }
    }
}

fn unread(error: String) -> Answer {
    Answer {
        duration_ms: 0,
        status: None,
        verdict: Verdict::Failed {
            error,
            retry_after: None,
        },
    }
}
