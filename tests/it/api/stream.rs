//! The alarm stream: nothing missed, nothing doubled, nobody unbounded.

use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use plumb::store::Actor;

use super::*;

/// One server-sent event.
#[derive(Debug, PartialEq, Eq)]
struct Event {
    id: String,
    kind: String,
    data: String,
}

/// A client of the stream.
struct Listener {
    bytes: BoxStream<'static, reqwest::Result<Bytes>>,
    text: String,
}

impl Listener {
    async fn connect(service: &Service, query: &str, last_event_id: Option<&str>) -> Self {
        let mut request = service.get(&format!("/api/v1/alarms/stream{query}"));
        if let Some(id) = last_event_id {
            request = request.header("last-event-id", id);
        }
        let response = request.send().await.expect("an answer");
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        let mut listener = Self {
            bytes: response.bytes_stream().boxed(),
            text: String::new(),
        };
        // From here on the stream's place in the log is fixed.
        assert!(
            listener
                .block()
                .await
                .expect("a greeting")
                .contains("retry: 2000")
        );
        listener
    }

    /// Returns the next block of lines; none when the stream has ended.
    async fn block(&mut self) -> Option<String> {
        loop {
            if let Some((block, rest)) = self.text.split_once("\n\n") {
                let (block, rest) = (block.to_owned(), rest.to_owned());
                self.text = rest;
                return Some(block);
            }
            let next = tokio::time::timeout(PATIENCE, self.bytes.try_next()).await;
            let bytes = next
                .expect("something in time")
                .expect("no broken stream")?;
            self.text
                .push_str(std::str::from_utf8(&bytes).expect("text"));
        }
    }

    async fn event(&mut self) -> Event {
        loop {
            let block = self.block().await.expect("an event");
            let field = |name: &str| {
                let mut lines = block.lines().filter_map(|line| line.strip_prefix(name));
                lines.next().map(str::to_owned)
            };
            if let (Some(id), Some(kind), Some(data)) =
                (field("id: "), field("event: "), field("data: "))
            {
                return Event { id, kind, data };
            }
        }
    }

    /// Returns the alarms that the next `count` events tell of.
    async fn alarms(&mut self, count: usize) -> Vec<String> {
        let mut alarms = Vec::new();
        for _ in 0..count {
            let body: Value = serde_json::from_str(&self.event().await.data).expect("JSON");
            alarms.push(body["id"].as_str().expect("an id").to_owned());
        }
        alarms
    }
}

#[tokio::test]
async fn an_alarm_arrives_as_it_happens_and_with_what_follows() {
    let service = Service::start().await;
    let _before = service.raise(&fall(MORNING_MS)).await;
    let mut listener = Listener::connect(&service, "", None).await;
    let id = service.raise(&fall(MORNING_MS + 1)).await;
    let raised = listener.event().await;
    assert_eq!(raised.kind, "alarm.raised");
    let body: Value = serde_json::from_str(&raised.data).expect("JSON");
    assert_eq!(
        body["id"],
        id.to_string(),
        "what was before the connection is not sent"
    );
    assert_eq!(body["origin"]["floor"], 14);
    service
        .store
        .acknowledge(id, &Actor::account("li"))
        .await
        .expect("it is committed");
    assert_eq!(listener.event().await.kind, "alarm.acknowledged");
}

#[tokio::test]
async fn nothing_is_missed_or_doubled_across_reconnections() {
    let service = Service::start().await;
    let mut raised = Vec::new();
    let (mut seen, mut last) = (Vec::new(), "0".to_owned());
    for round in 0..6 {
        // More than one page waits for the client, and more comes while it listens.
        for number in 0..40 {
            raised.push(
                service
                    .raise(&fall(MORNING_MS + round * 100 + number))
                    .await
                    .to_string(),
            );
        }
        let mut listener = Listener::connect(&service, "?since=0", Some(&last)).await;
        raised.push(
            service
                .raise(&fall(MORNING_MS + round * 100 + 99))
                .await
                .to_string(),
        );
        while seen.len() + 3 < raised.len() {
            let event = listener.event().await;
            let body: Value = serde_json::from_str(&event.data).expect("JSON");
            seen.push(body["id"].as_str().expect("an id").to_owned());
            last = event.id;
        }
        // The connection breaks here, with events on their way that the client never saw.
    }
    let mut listener = Listener::connect(&service, "", Some(&last)).await;
    seen.extend(listener.alarms(raised.len() - seen.len()).await);
    assert_eq!(seen, raised);
}

#[tokio::test]
async fn since_begins_where_it_says() {
    let service = Service::start().await;
    let mut raised = Vec::new();
    for number in 0..3 {
        raised.push(service.raise(&fall(MORNING_MS + number)).await.to_string());
    }
    let mut all = Listener::connect(&service, "?since=0", None).await;
    let first = all.event().await;
    assert_eq!(all.alarms(2).await, raised[1..]);
    let mut later = Listener::connect(&service, &format!("?since={}", first.id), None).await;
    assert_eq!(later.alarms(2).await, raised[1..]);
}

#[tokio::test]
async fn a_client_of_another_log_is_told_to_begin_anew() {
    let service = Service::start().await;
    service.raise(&fall(MORNING_MS)).await;
    let mut listener = Listener::connect(&service, "", Some("999")).await;
    let reset = listener.event().await;
    assert_eq!(reset.kind, "reset");
    let next = service.raise(&fall(MORNING_MS + 1)).await;
    assert_eq!(listener.alarms(1).await, [next.to_string()]);
}

#[tokio::test]
async fn a_client_that_missed_pruned_events_is_told_to_begin_anew() {
    let clock = crate::store::clock();
    let service = Service::start_on(Limits::default(), Arc::clone(&clock) as _).await;
    for number in 0..3 {
        let new = fall(MORNING_MS + number);
        service.raise(&new).await;
        let end = crate::store::end_of(&new, 10);
        service.store.end(&end).await.expect("committed");
    }
    clock.advance(Duration::from_secs(31 * 24 * 3600));
    // Nothing but the deliveries keeps the old ones.
    let before_ms = clock.now().as_millisecond();
    let kept = service.store.prune_events(before_ms, 500).await;
    assert_eq!(kept.expect("committed"), 0, "they are still to be sent");
    let pager = plumb::id::EndpointId::parse("pager").expect("an id");
    let disabled = service.store.disable_endpoint(&pager, "it is gone");
    disabled.await.expect("committed");
    let pruned = service.store.prune_events(before_ms, 500).await;
    assert!(pruned.expect("committed") > 0);
    let mut away = Listener::connect(&service, "", Some("1")).await;
    assert_eq!(away.event().await.kind, "reset");
    let newest = *service.store.newest_seq().borrow();
    assert_eq!(service.store.oldest_seq(), newest);
    let just_before = (newest - 1).to_string();
    let mut near = Listener::connect(&service, "", Some(&just_before)).await;
    let next = service.raise(&fall(MORNING_MS + 9)).await;
    assert_eq!(near.alarms(1).await, [next.to_string()]);
}

#[tokio::test]
async fn a_quiet_stream_shows_that_it_lives() {
    let limits = Limits {
        keep_alive: Duration::from_millis(20),
        ..Limits::default()
    };
    let service = Service::start_within(limits).await;
    let mut listener = Listener::connect(&service, "", None).await;
    let comment = listener.block().await.expect("a sign of life");
    assert!(comment.starts_with(':'), "{comment}");
}

#[tokio::test]
async fn one_client_too_many_is_sent_away_until_another_goes() {
    let limits = Limits {
        stream_clients: 1,
        ..Limits::default()
    };
    let service = Service::start_within(limits).await;
    let first = Listener::connect(&service, "", None).await;
    refusal(service.get("/api/v1/alarms/stream"), 503, "busy").await;
    drop(first);
    let free = async {
        while service
            .get("/api/v1/alarms/stream")
            .send()
            .await
            .expect("an answer")
            .status()
            != StatusCode::OK
        {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, free)
        .await
        .expect("the place is free again");
}

#[tokio::test]
async fn two_hundred_clients_all_hear_of_every_alarm() {
    let service = Service::start().await;
    let connect = (0..200).map(|_| Listener::connect(&service, "", None));
    let mut listeners = futures::future::join_all(connect).await;
    let mut raised = Vec::new();
    for number in 0..5 {
        raised.push(service.raise(&fall(MORNING_MS + number)).await.to_string());
    }
    let heard = listeners.iter_mut().map(|listener| listener.alarms(5));
    for alarms in futures::future::join_all(heard).await {
        assert_eq!(alarms, raised);
    }
}

#[tokio::test]
async fn a_client_that_reads_nothing_is_cut_and_frees_its_place() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let idle = Duration::from_millis(200);
    let limits = Limits {
        stream_clients: 1,
        idle,
        ..Limits::default()
    };
    let service = Service::start_within(limits).await;
    for number in 0..300 {
        let mut new = fall(MORNING_MS + number);
        new.alarm.track = vec![new.alarm.track[0]; 32];
        service.raise(&new).await;
    }
    let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(4096).expect("a small buffer");
    let address = service
        .url
        .strip_prefix("http://")
        .expect("a URL")
        .parse()
        .expect("an address");
    let mut lazy = socket.connect(address).await.expect("a connection");
    let request = format!(
        "GET /api/v1/alarms/stream?since=0 HTTP/1.1\r\nHost: localhost\r\n\
         Authorization: Bearer {}\r\n\r\n",
        service.token
    );
    lazy.write_all(request.as_bytes())
        .await
        .expect("it is sent");
    let mut head = [0; 15];
    lazy.read_exact(&mut head).await.expect("the head comes");
    assert_eq!(&head, b"HTTP/1.1 200 OK");
    // From here on it reads nothing, and half a megabyte waits for it.
    refusal(service.get("/api/v1/alarms/stream"), 503, "busy").await;
    let free = async {
        while service
            .get("/api/v1/alarms/stream")
            .send()
            .await
            .expect("an answer")
            .status()
            != StatusCode::OK
        {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, free)
        .await
        .expect("its place is free again");
}
