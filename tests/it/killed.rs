//! kill -9 of the service between commit, send and acknowledgement: every alarm arrives, none is
//! lost, in order per camera.
//!
//! The service is this test binary, started again as a process of its own: it opens the store,
//! recovers, runs the outbox and raises alarms as fast as it can. It says each alarm on its
//! standard output AFTER its raise has returned. The parent receives, kills at random moments and
//! starts it again.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use plumb::clock::{Clock, SystemClock};
use plumb::deliver::Outbox;
use plumb::store::{AlarmFilter, Store};
use rand::{RngExt, SeedableRng};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

use crate::deliver::{delivering, endpoint};
use crate::store::fall;

const FOLDER: &str = "PLUMB_TEST_KILLED_FOLDER";
const URL: &str = "PLUMB_TEST_KILLED_URL";
const GENERATION: &str = "PLUMB_TEST_KILLED_GENERATION";
const CAMERAS: u32 = 3;
const KILLS: u32 = 12;

/// What arrived, in its order: camera, place (which holds the alarm's number), id, webhook-id.
type Arrivals = Arc<Mutex<Vec<Arrival>>>;

#[derive(Clone, Debug)]
struct Arrival {
    camera: String,
    number: u64,
    alarm: String,
    message: String,
}

/// The service, when it is started for that; a test only by its form.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn service_that_is_killed() {
    let Ok(folder) = std::env::var(FOLDER) else {
        return;
    };
    let url = std::env::var(URL).expect("the receiver's URL");
    let generation: u64 = std::env::var(GENERATION)
        .expect("a number")
        .parse()
        .expect("a number");
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let delivering = delivering(vec![endpoint("desk", &url)], Arc::clone(&clock));
    let store = Store::open(Path::new(&folder), delivering.routes(), Arc::clone(&clock))
        .await
        .expect("a store that opens after a kill");
    store.recover().await.expect("a recovery");
    let _outbox = Outbox::start(&store, &delivering);
    for number in 0..100_000_u64 {
        let camera = format!("camera-{}", number % u64::from(CAMERAS));
        let mut new = fall(&camera, clock.now());
        new.place = (generation * 1_000_000 + number).to_string();
        store.raise(&new).await.expect("a commit");
        let mut out = std::io::stdout().lock();
        writeln!(out, "raised {}", new.id).expect("the parent reads");
        out.flush().expect("the parent reads");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_alarm_arrives_in_order_however_often_the_service_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let arrivals = Arrivals::default();
    let url = receive(Arc::clone(&arrivals)).await;
    let mut random = rand::rngs::StdRng::seed_from_u64(7);
    let mut raised = BTreeSet::new();
    for generation in 1..=KILLS {
        let lifetime = Duration::from_millis(random.random_range(5..300));
        raised.append(&mut live_and_die(folder.path(), &url, generation, lifetime).await);
    }
    drain(folder.path(), &url, &raised).await;

    let arrivals = arrivals.lock().unwrap().clone();
    assert!(
        raised.len() > KILLS as usize,
        "only {} alarms were raised",
        raised.len()
    );
    let arrived: BTreeSet<&str> = arrivals.iter().map(|a| a.alarm.as_str()).collect();
    let lost: Vec<_> = raised
        .iter()
        .filter(|id| !arrived.contains(id.as_str()))
        .collect();
    assert!(
        lost.is_empty(),
        "of {} alarms {} never arrived",
        raised.len(),
        lost.len()
    );
    in_order(&arrivals);
    let mut ids = BTreeMap::new();
    for arrival in &arrivals {
        let message = ids.entry(&arrival.alarm).or_insert(&arrival.message);
        assert_eq!(
            *message, &arrival.message,
            "a repetition has the same webhook-id"
        );
    }
}

/// Asserts that no alarm arrived for the first time after a later one of its camera.
fn in_order(arrivals: &[Arrival]) {
    let mut seen = BTreeSet::new();
    let mut newest: BTreeMap<&str, u64> = BTreeMap::new();
    for arrival in arrivals {
        if !seen.insert(&arrival.message) {
            continue;
        }
        let newest = newest.entry(&arrival.camera).or_default();
        assert!(
            arrival.number > *newest,
            "{} came after {newest}",
            arrival.number
        );
        *newest = arrival.number;
    }
}

/// Starts the service, kills it after `lifetime` of raising, and returns what it said was raised.
async fn live_and_die(
    folder: &Path,
    url: &str,
    generation: u32,
    lifetime: Duration,
) -> BTreeSet<String> {
    let mut service = tokio::process::Command::new(std::env::current_exe().expect("this binary"))
        .args([
            "killed::service_that_is_killed",
            "--exact",
            "--nocapture",
            "--test-threads=1",
        ])
        .env(FOLDER, folder)
        .env(URL, url)
        .env(GENERATION, generation.to_string())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("the test binary starts");
    let mut lines = BufReader::new(service.stdout.take().expect("a pipe")).lines();
    let mut raised = BTreeSet::new();
    let mut killing = None;
    loop {
        let killed = async {
            match killing {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            line = lines.next_line() => match line.expect("text") {
                Some(line) => {
                    // The harness may put its own words before the first line.
                    if let Some((_, id)) = line.split_once("raised ") {
                        raised.insert(id.to_owned());
                        killing.get_or_insert_with(|| tokio::time::Instant::now() + lifetime);
                    }
                }
                None => break,
            },
            () = killed => {
                service.start_kill().expect("it runs");
                killing = Some(tokio::time::Instant::now() + Duration::from_secs(60));
            }
        }
    }
    let status = service.wait().await.expect("it ends");
    assert!(!status.success(), "it was killed, not done: {status}");
    raised
}

/// Runs the outbox until it is empty, and asserts that each raised alarm is in the store.
async fn drain(folder: &Path, url: &str, raised: &BTreeSet<String>) {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let delivering = delivering(vec![endpoint("desk", url)], Arc::clone(&clock));
    let store = Store::open(folder, delivering.routes(), clock)
        .await
        .expect("a store");
    store.recover().await.expect("a recovery");
    let outbox = Outbox::start(&store, &delivering);
    let empty = async {
        while store.outbox_counts().await.expect("counts")[0].pending > 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(120), empty)
        .await
        .expect("an empty outbox");
    outbox.stop(Duration::from_secs(2)).await;
    let mut known = BTreeSet::new();
    let mut after = None;
    loop {
        let page = store
            .alarms(&AlarmFilter::default(), after, 500)
            .await
            .expect("a page");
        known.extend(page.items.iter().map(|alarm| alarm.id.to_string()));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert!(
        raised.is_subset(&known),
        "an alarm whose raise returned is not in the store"
    );
}

/// Answers every message with 204, some after a little while, so that kills fall between sending
/// and acknowledging too. Returns its URL.
async fn receive(arrivals: Arrivals) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}/", listener.local_addr().expect("its address"));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, Arc::clone(&arrivals)));
        }
    });
    url
}

async fn serve(stream: TcpStream, arrivals: Arrivals) {
    let mut stream = BufReader::new(stream);
    loop {
        let mut message = String::new();
        let mut length = 0;
        loop {
            let mut line = String::new();
            // A killed sender: what came is whole or does not count.
            if !matches!(stream.read_line(&mut line).await, Ok(1..)) {
                return;
            }
            let Some((name, value)) = line.split_once(':') else {
                if line.trim().is_empty() {
                    break;
                }
                continue;
            };
            match name {
                "webhook-id" => message = value.trim().to_owned(),
                "content-length" => length = value.trim().parse().expect("a length"),
                _ => {}
            }
        }
        let mut body = vec![0; length];
        if stream.read_exact(&mut body).await.is_err() {
            return;
        }
        let body: serde_json::Value = serde_json::from_slice(&body).expect("a JSON body");
        let pause_ms = body["data"]["raised_at_ms"].as_u64().expect("a time") % 4;
        if body["type"] == "alarm.raised" {
            let data = &body["data"];
            arrivals.lock().expect("no panic").push(Arrival {
                camera: data["camera"].as_str().expect("a camera").to_owned(),
                number: data["place"]
                    .as_str()
                    .expect("a number")
                    .parse()
                    .expect("a number"),
                alarm: data["id"].as_str().expect("an id").to_owned(),
                message,
            });
        }
        tokio::time::sleep(Duration::from_millis(pause_ms)).await;
        if stream
            .write_all(b"HTTP/1.1 204 No Content\r\n\r\n")
            .await
            .is_err()
        {
            return;
        }
    }
}
