//! A store of an earlier version opens with all that is in it.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use plumb::clock::Clock;
use plumb::store::inspect::inspect;
use plumb::store::{Actor, AlarmState, Store};
use sqlx::migrate::Migrator;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, Connection, SqliteConnection};

use crate::store::clock;

const ALARM: &str = "019a0b1c-7d2e-7f00-8a00-0123456789ab";

/// Makes a store as the version before accounts made it, with one alarm that was delivered.
async fn old_store(folder: &Path) {
    let of_then = folder.join("migrations");
    fs::create_dir(&of_then).expect("writable");
    let all = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/store/migrations");
    for name in ["0001_alarms.sql", "0002_filter_on_indexes.sql"] {
        fs::copy(all.join(name), of_then.join(name)).expect("it is there");
    }
    let options = SqliteConnectOptions::new()
        .filename(folder.join("plumb.sqlite"))
        .create_if_missing(true);
    let mut shell = SqliteConnection::connect_with(&options)
        .await
        .expect("a file");
    let migrator = Migrator::new(of_then.as_path()).await.expect("readable");
    migrator
        .run_direct(None, &mut shell, false)
        .await
        .expect("it is SQL");
    for sql in [
        format!(
            "INSERT INTO alarm (id, camera, site, place, kind, state, score, started_at_ms, \
             raised_at_ms, ended_at_ms, stream_started_us, stream_raised_us, track, evidence) \
             VALUES ('{ALARM}', 'north', 'garden', 'Building 3', 'falling_object', 'raised', 0.9, \
             1, 2, 3, 4, 5, '[]', 'missing')"
        ),
        "INSERT INTO endpoint (id, url_sha256) VALUES ('desk', '00')".to_owned(),
        format!(
            "INSERT INTO event (at_ms, kind, alarm, camera, site, body) \
             VALUES (2, 'alarm.raised', '{ALARM}', 'north', 'garden', '{{}}')"
        ),
        format!(
            "INSERT INTO delivery (id, event_seq, alarm, endpoint, camera, state, created_at_ms, \
             next_at_ms) VALUES ('msg_{}', 1, '{ALARM}', 'desk', 'north', 'delivered', 2, 2)",
            "0".repeat(32)
        ),
        format!(
            "INSERT INTO audit (at_ms, who, action, object, outcome) \
             VALUES (2, 'plumb', 'alarm.raised', '{ALARM}', 'done')"
        ),
    ] {
        let ran = sqlx::query(AssertSqlSafe(sql.clone()))
            .execute(&mut shell)
            .await;
        ran.unwrap_or_else(|error| panic!("{sql}: {error}"));
    }
    shell.close().await.expect("it closes");
}

#[tokio::test]
async fn a_store_of_before_accounts_keeps_its_alarms_deliveries_and_log() {
    let folder = tempfile::tempdir().expect("a folder");
    old_store(folder.path()).await;
    let clock: Arc<dyn Clock> = clock();
    let opened = Store::open(folder.path(), Vec::new(), clock).await;
    let store = opened.expect("it is brought up to date");
    let id = ALARM.parse().expect("an id");
    let detail = store.alarm(id).await.expect("readable").expect("the alarm");
    assert_eq!(detail.alarm.state, AlarmState::Raised);
    assert_eq!(
        detail.deliveries.len(),
        1,
        "deliveries outlive the new table of events"
    );
    let li = Actor::account("li");
    store.acknowledge(id, &li).await.expect("committed");
    store.add_note(id, "one", &li).await.expect("committed");
    store.add_note(id, "two", &li).await.expect("committed");
    let events = store.events_after(0, 10).await.expect("readable");
    let kinds: Vec<_> = events.iter().map(|event| event.kind.as_str()).collect();
    assert_eq!(
        kinds,
        [
            "alarm.raised",
            "alarm.acknowledged",
            "alarm.noted",
            "alarm.noted"
        ]
    );
    assert!(store.accounts().await.expect("readable").is_empty());
    let report = inspect(folder.path(), &[], &[]).await.expect("readable");
    assert_eq!(report.findings, [], "old rows and new ones are one log");
    // References still hold: an alarm takes what belongs to it along.
    let url = format!("sqlite://{}", folder.path().join("plumb.sqlite").display());
    let mut shell = SqliteConnection::connect(&url).await.expect("a connection");
    let broken = sqlx::query("PRAGMA foreign_key_check")
        .fetch_all(&mut shell)
        .await;
    assert!(broken.expect("readable").is_empty());
}
