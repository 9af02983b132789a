//! Alarms as they happen: server-sent events out of the store's log.
//!
//! The log is the truth and the stream only a cursor in it: each client reads on from the event it
//! had last, so that a reconnection with `Last-Event-ID` misses nothing and doubles nothing. A
//! client costs one page of events at the most; it is read when the client has taken the page
//! before, and a client that takes nothing is cut with its connection (see `connection`).

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, HeaderName};
use axum::response::Sse;
use axum::response::sse::{Event, KeepAlive};
use futures::Stream;
use tokio::sync::{OwnedSemaphorePermit, watch};
use utoipa::IntoParams;

use crate::http::Service;
use crate::http::access::{self, Principal};
use crate::http::error::ApiError;
use crate::http::query::{Given, Parameters, Query};
use crate::store::{AlarmSnapshot, EventKind, EventRecord};

/// Events that are read for a client at a time: some 100 kB.
const PAGE_EVENTS: u32 = 32;

/// A client that has lost its stream comes back after this time.
const RECONNECT: Duration = Duration::from_secs(2);

/// A client whose session or token has ended hears nothing more after this time at the latest.
const RECHECK: Duration = Duration::from_secs(10);

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// Where the stream begins.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(
    dead_code,
    reason = "its fields are what OpenAPI names; `Wanted` holds the checked values"
)]
pub(crate) struct StreamQuery {
    /// The `id` of the last event that is known: later ones are sent. 0 for all there are; left
    /// out, only new ones. The header `Last-Event-ID` has precedence.
    #[param(minimum = 0)]
    since: Option<i64>,
}

/// The checked parameters of [`StreamQuery`].
pub(crate) struct Wanted {
    since: Option<i64>,
}

impl Parameters for Wanted {
    type Named = StreamQuery;

    fn read(given: &Given) -> Result<Self, ApiError> {
        let since = given.checked("since", "the id of an event, or 0 for all", parse_seq)?;
        Ok(Self { since })
    }
}

/// Alarms as they happen, as server-sent events. `id` is the event's place in the log, `event` is
/// `alarm.raised`, `alarm.ended`, `alarm.evidence`, `alarm.acknowledged`, `alarm.assigned`,
/// `alarm.noted`, `alarm.escalated`,
/// `alarm.unshelved` or `alarm.closed`, and `data` is the alarm at that moment (`AlarmSnapshot`). `shelf.begun` and `shelf.ended` tell of shelving
/// (`ShelfRecord`). `reset` says that the log begins anew (another store, or events that are pruned by now)
/// and that the client should load its lists again.
#[utoipa::path(
    get,
    operation_id = "stream_alarms",
    path = "/api/v1/alarms/stream",
    tag = "alarms",
    params(
        StreamQuery,
        ("last-event-id" = Option<i64>, Header, description = "The `id` of the last event that \
         arrived; browsers send it by themselves")
    ),
    responses(
        (status = 200, description = "Events until the client goes or the service stops; a comment \
         every 15 s when nothing happens", body = AlarmSnapshot, content_type = "text/event-stream")
    )
)]
pub(crate) async fn stream(
    State(service): State<Arc<Service>>,
    who: Principal,
    Query(wanted): Query<Wanted>,
    headers: HeaderMap,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, ApiError> {
    if service.stop.is_cancelled() {
        return Err(ApiError::Stopping);
    }
    let free = Arc::clone(&service.stream_clients).try_acquire_owned();
    let permit = free.map_err(|_| ApiError::Busy {
        what: "clients of the alarm stream",
    })?;
    let since = last_event_id(&headers)?.or(wanted.since);
    let keep_alive = KeepAlive::new().interval(service.api.limits.keep_alive);
    let oldest_seq = service.api.store.oldest_seq();
    let feed = Feed::new(service, who, permit, since, oldest_seq);
    Ok(Sse::new(futures::stream::unfold(feed, Feed::next)).keep_alive(keep_alive))
}

fn last_event_id(headers: &HeaderMap) -> Result<Option<i64>, ApiError> {
    let Some(value) = headers.get(LAST_EVENT_ID) else {
        return Ok(None);
    };
    let seq = value.to_str().ok().and_then(parse_seq);
    let bad = ApiError::BadHeader {
        name: "Last-Event-ID",
        allowed: "the id of an event",
    };
    seq.map(Some).ok_or(bad)
}

fn parse_seq(text: &str) -> Option<i64> {
    text.parse().ok().filter(|seq| *seq >= 0)
}

/// One client's place in the log.
struct Feed {
    service: Arc<Service>,
    who: Principal,
    /// When it was last seen that the client's session or token holds.
    checked_at: Duration,
    /// The newest event's seq: changes after each commit.
    newest: watch::Receiver<i64>,
    /// The last event that was handed over or skipped.
    seq: i64,
    page: VecDeque<EventRecord>,
    /// Sent before anything else.
    greeting: VecDeque<Event>,
    _client: Client,
}

impl Feed {
    fn new(
        service: Arc<Service>,
        who: Principal,
        permit: OwnedSemaphorePermit,
        since: Option<i64>,
        oldest_seq: i64,
    ) -> Self {
        let newest = service.api.store.newest_seq();
        let newest_seq = *newest.borrow();
        let retry = Event::default().retry(RECONNECT).comment("alarms follow");
        let mut greeting = VecDeque::from([retry]);
        // Its last event is later than the newest: it knows another log, whose store is gone. Or
        // what came after its last event is pruned: it has missed some. 0 asks for what there is.
        let is_other = |since| since > newest_seq || (since > 0 && since + 1 < oldest_seq);
        if since.is_some_and(is_other) {
            let reset = Event::default().event("reset").id(newest_seq.to_string());
            greeting.push_back(reset.data(format!("{{\"newest\":{newest_seq}}}")));
        }
        let seq = since.map_or(newest_seq, |since| since.min(newest_seq));
        Self {
            checked_at: service.api.clock.monotonic(),
            service,
            who,
            newest,
            seq,
            page: VecDeque::new(),
            greeting,
            _client: Client::new(permit),
        }
    }

    /// Returns the next event when there is one; none ends the stream.
    async fn next(mut self) -> Option<(Result<Event, Infallible>, Self)> {
        if let Some(event) = self.greeting.pop_front() {
            return Some((Ok(event), self));
        }
        loop {
            if self.service.stop.is_cancelled() || !self.may_go_on().await {
                return None;
            }
            while let Some(record) = self.page.pop_front() {
                self.seq = record.seq;
                // What concerns neither an alarm nor a shelf is not for this stream.
                let shelf = matches!(record.kind, EventKind::ShelfBegun | EventKind::ShelfEnded);
                if record.alarm.is_some() || shelf {
                    return Some((Ok(event_of(&record)), self));
                }
            }
            // Seen before it is read: a commit in between wakes the wait below at once.
            self.newest.borrow_and_update();
            match self
                .service
                .api
                .store
                .events_after(self.seq, PAGE_EVENTS)
                .await
            {
                Ok(page) if page.is_empty() => self.wait().await?,
                Ok(page) => {
                    self.page = page.into();
                    // Whoever was shut out a moment ago hears nothing of what happened since.
                    self.checked_at = self.service.api.clock.monotonic();
                    if !access::still_holds(&self.service, &self.who).await {
                        return None;
                    }
                }
                Err(error) => {
                    // The client comes back with Last-Event-ID.
                    ApiError::internal("reading events", &error);
                    return None;
                }
            }
        }
    }

    /// Returns whether the client's session or token still holds; asks the store now and then.
    async fn may_go_on(&mut self) -> bool {
        let now = self.service.api.clock.monotonic();
        if now.saturating_sub(self.checked_at) < RECHECK {
            return true;
        }
        self.checked_at = now;
        access::still_holds(&self.service, &self.who).await
    }

    /// Waits for a commit, or until the client's session is to be looked at again; none when the
    /// service stops.
    async fn wait(&mut self) -> Option<()> {
        let stop = self.service.stop.clone();
        let changed = tokio::time::timeout(RECHECK, self.newest.changed());
        match stop.run_until_cancelled(changed).await? {
            Ok(changed) => changed.ok(),
            Err(_) => Some(()),
        }
    }
}

fn event_of(record: &EventRecord) -> Event {
    Event::default()
        .id(record.seq.to_string())
        .event(record.kind.as_str())
        .data(&record.body)
}

/// A client that is counted as long as its stream lasts.
struct Client {
    _permit: OwnedSemaphorePermit,
}

impl Client {
    fn new(permit: OwnedSemaphorePermit) -> Self {
        metrics::gauge!("plumb_http_stream_clients").increment(1);
        Self { _permit: permit }
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        metrics::gauge!("plumb_http_stream_clients").decrement(1);
    }
}
