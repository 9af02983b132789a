//! The store: what a command commits, what survives, and what it refuses to open.

use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;
use plumb::alarm::{Alarm, AlarmKind, Origin, TrackPoint};
use plumb::clock::{Clock, DrivenClock, StreamTime};
use plumb::geometry::BoxPx;
use plumb::id::{AlarmId, CameraId, EndpointId, SiteId};
use plumb::store::{
    Actor, AlarmEnd, AlarmFilter, AlarmState, Arrival, Attempt, Disposition, EndReason, EventKind,
    EvidenceFile, EvidenceReport, EvidenceState, Hears, NewAlarm, Outcome, Route, Shelved, Store,
    StoreError,
};
use sqlx::{Connection, SqliteConnection};

/// Returns a clock that stands at the beginning of 2026.
pub(crate) fn clock() -> Arc<DrivenClock> {
    Arc::new(DrivenClock::new(
        "2026-01-01T00:00:00Z".parse().expect("a time"),
    ))
}

/// Returns a fall at `camera`, raised at `at`.
pub(crate) fn fall(camera: &str, at: Timestamp) -> NewAlarm {
    let point = |us: i64| TrackPoint {
        at: StreamTime::from_micros(us),
        area: BoxPx::from_corners(100.0, us as f64 / 1e4, 110.0, us as f64 / 1e4 + 12.0),
    };
    NewAlarm {
        id: AlarmId::new(at),
        camera: CameraId::parse(camera).expect("an id"),
        site: SiteId::parse("north").expect("an id"),
        place: "Building 7".to_owned(),
        started_at_ms: at.as_millisecond() - 900,
        raised_at_ms: at.as_millisecond(),
        alarm: Alarm {
            kind: AlarmKind::FallingObject,
            started_at: StreamTime::from_micros(4_100_000),
            raised_at: StreamTime::from_micros(5_000_000),
            ended_at: None,
            score: 0.9,
            track: (0..20)
                .map(|step| point(4_100_000 + step * 40_000))
                .collect(),
            origin: Some(Origin {
                x_px: 105.0,
                y_px: 410.0,
                floor: Some(12),
                floor_min: Some(11),
                floor_max: Some(13),
            }),
        },
        scene_sha256: Some("ab".repeat(32)),
    }
}

/// Returns the end of `new`, `lasted_ms` after it was raised.
pub(crate) fn end_of(new: &NewAlarm, lasted_ms: i64) -> AlarmEnd {
    let mut alarm = new.alarm.clone();
    alarm.ended_at = Some(StreamTime::from_micros(
        alarm.raised_at.as_micros() + lasted_ms * 1000,
    ));
    AlarmEnd {
        id: new.id,
        ended_at_ms: new.raised_at_ms + lasted_ms,
        alarm,
    }
}

fn route(endpoint: &str) -> Route {
    Route {
        endpoint: EndpointId::parse(endpoint).expect("an id"),
        url_sha256: "00".repeat(32),
        kinds: Vec::new(),
        sites: Vec::new(),
        min_score: 0.0,
        hears: Hears::Alarms,
        shelved: Shelved::Held,
    }
}

fn ready() -> EvidenceReport {
    EvidenceReport {
        state: EvidenceState::Ready,
        folder: Some("2026-01-01/x".to_owned()),
        files: vec![EvidenceFile {
            name: "clip.mp4".to_owned(),
            media_type: "video/mp4".to_owned(),
            size_bytes: 1_000_000,
            sha256: "cd".repeat(32),
        }],
        reason: None,
    }
}

async fn open(folder: &Path, routes: Vec<Route>, clock: &Arc<DrivenClock>) -> Store {
    let clock: Arc<dyn Clock> = Arc::clone(clock) as _;
    Store::open(folder, routes, clock)
        .await
        .expect("a store that opens")
}

async fn kinds(store: &Store) -> Vec<EventKind> {
    let events = store.events_after(0, 500).await.expect("events");
    events.iter().map(|event| event.kind).collect()
}

#[tokio::test]
async fn a_raised_alarm_is_there_after_reopening_with_its_event_delivery_and_audit_row() {
    let folder = tempfile::tempdir().unwrap();
    let clock = clock();
    let new = fall("facade-1", clock.now());
    let store = open(folder.path(), vec![route("desk")], &clock).await;
    store.raise(&new).await.unwrap();
    store.close().await;
    drop(store);

    let store = open(folder.path(), vec![route("desk")], &clock).await;
    let detail = store.alarm(new.id).await.unwrap().expect("the alarm");
    assert_eq!(detail.alarm.kind, AlarmKind::FallingObject);
    assert_eq!(detail.alarm.state, AlarmState::Raised);
    assert_eq!(detail.alarm.origin, new.alarm.origin);
    assert_eq!(detail.alarm.raised_at_s, 5.0);
    assert_eq!(detail.track.len(), 20);
    assert_eq!(detail.deliveries.len(), 1);
    assert_eq!(kinds(&store).await, [EventKind::AlarmRaised]);
    let audit = store.audit_after(0, 10).await.unwrap();
    assert_eq!(audit.len(), 1);
    assert_eq!(audit[0].action, "alarm.raised");
    assert_eq!(audit[0].object, new.id.to_string());
    assert_eq!(*store.newest_seq().borrow(), 1);
}

#[tokio::test]
async fn raising_the_same_alarm_again_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let clock = clock();
    let store = open(folder.path(), vec![route("desk")], &clock).await;
    let new = fall("facade-1", clock.now());
    store.raise(&new).await.unwrap();
    store.raise(&new).await.unwrap();
    assert_eq!(kinds(&store).await.len(), 1);
    assert_eq!(store.audit_after(0, 10).await.unwrap().len(), 1);
}

#[tokio::test]
async fn endpoints_get_the_kinds_sites_and_scores_they_want() {
    let folder = tempfile::tempdir().unwrap();
    let clock = clock();
    let mut ebikes = route("ebikes");
    ebikes.kinds = vec![AlarmKind::EbikeInElevator];
    let mut south = route("south");
    south.sites = vec![SiteId::parse("south").unwrap()];
    let mut sure = route("sure");
    sure.min_score = 0.95;
    let routes = vec![route("all"), ebikes, south, sure];
    let store = open(folder.path(), routes, &clock).await;
    let new = fall("facade-1", clock.now());
    store.raise(&new).await.unwrap();
    store.end(&end_of(&new, 800)).await.unwrap();
    let told = |detail: plumb::store::AlarmDetail| -> Vec<String> {
        detail
            .deliveries
            .iter()
            .map(|d| d.endpoint.to_string())
            .collect()
    };
    let detail = store.alarm(new.id).await.unwrap().unwrap();
    assert_eq!(
        told(detail),
        ["all", "all"],
        "its raising and its end, to one endpoint"
    );
}

#[tokio::test]
async fn each_change_of_an_alarm_is_one_event_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let clock = clock();
    let store = open(folder.path(), vec![route("desk")], &clock).await;
    let new = fall("facade-1", clock.now());
    let wang = Actor::account("wang");
    for _ in 0..2 {
        store.raise(&new).await.unwrap();
        store.end(&end_of(&new, 800)).await.unwrap();
        store.attach_evidence(new.id, &ready()).await.unwrap();
        store.acknowledge(new.id, &wang).await.ok();
        store
            .close_alarm(new.id, &wang, Disposition::Confirmed, Some("a bottle"))
            .await
            .unwrap();
    }
    assert_eq!(
        kinds(&store).await,
        [
            EventKind::AlarmRaised,
            EventKind::AlarmEnded,
            EventKind::AlarmEvidence,
            EventKind::AlarmAcknowledged,
            EventKind::AlarmClosed,
        ]
    );
    let detail = store.alarm(new.id).await.unwrap().unwrap();
    assert_eq!(detail.alarm.ended_at_ms, Some(new.raised_at_ms + 800));
    assert_eq!(detail.alarm.end_reason, Some(EndReason::Observed));
    assert_eq!(detail.alarm.evidence, EvidenceState::Ready);
    assert_eq!(detail.files, ready().files);
    assert_eq!(detail.alarm.acknowledged_by.as_deref(), Some("wang"));
    assert_eq!(detail.alarm.disposition, Some(Disposition::Confirmed));
    assert_eq!(detail.deliveries.len(), 5);
    let who: Vec<String> = store
        .audit_after(0, 10)
        .await
        .unwrap()
        .into_iter()
        .map(|row| row.who)
        .collect();
    assert_eq!(who, ["plumb", "plumb", "plumb", "wang", "wang"]);
}

#[tokio::test]
async fn a_closed_alarm_takes_no_other_disposition_and_no_acknowledgement() {
    let folder = tempfile::tempdir().unwrap();
    let clock = clock();
    let store = open(folder.path(), Vec::new(), &clock).await;
    let new = fall("facade-1", clock.now());
    let wang = Actor::account("wang");
    let missing = store.acknowledge(new.id, &wang).await;
    assert!(
        matches!(missing, Err(StoreError::UnknownAlarm(_))),
        "{missing:?}"
    );
    store.raise(&new).await.unwrap();
    store
        .close_alarm(new.id, &wang, Disposition::Test, None)
        .await
        .unwrap();
    let other = store
        .close_alarm(new.id, &wang, Disposition::Confirmed, None)
        .await;
    assert!(
        matches!(other, Err(StoreError::WrongState { .. })),
        "{other:?}"
    );
    let late = store.acknowledge(new.id, &wang).await;
    assert!(
        matches!(late, Err(StoreError::WrongState { .. })),
        "{late:?}"
    );
}

#[tokio::test]
async fn pages_hold_each_alarm_once_while_new_ones_are_raised() {
    let folder = tempfile::tempdir().unwrap();
    let clock = clock();
    let store = open(folder.path(), Vec::new(), &clock).await;
    let raise = async |camera: &str, second: i64| {
        let at = Timestamp::from_second(1_800_000_000 + second).unwrap();
        store.raise(&fall(camera, at)).await.unwrap()
    };
    let mut raised = Vec::new();
    // Pairs share their millisecond: the id has to break the tie.
    for second in 0..13 {
        raised.push(raise("facade-1", second / 2).await);
    }
    let mut seen = Vec::new();
    let mut after = None;
    loop {
        let page = store
            .alarms(&AlarmFilter::default(), after, 5)
            .await
            .unwrap();
        seen.extend(page.items.iter().map(|alarm| alarm.id));
        raise("facade-2", 100).await;
        // What a client passes on is text.
        after = page.next.map(|next| next.to_string().parse().unwrap());
        if after.is_none() {
            break;
        }
    }
    assert_eq!(seen.len(), 13);
    raised.sort();
    seen.sort();
    assert_eq!(seen, raised);
}

#[tokio::test]
async fn filters_narrow_by_all_they_name() {
    let folder = tempfile::tempdir().unwrap();
    let clock = clock();
    let store = open(folder.path(), Vec::new(), &clock).await;
    let second = |second: i64| Timestamp::from_second(1_800_000_000 + second).unwrap();
    let early = fall("facade-1", second(0));
    let mut weak = fall("facade-1", second(10));
    weak.alarm.score = 0.3;
    let mut ebike = fall("car-1", second(20));
    ebike.alarm.kind = AlarmKind::EbikeInElevator;
    for new in [&early, &weak, &ebike] {
        store.raise(new).await.unwrap();
    }
    store
        .acknowledge(early.id, &Actor::account("li"))
        .await
        .unwrap();
    let found = async |filter: AlarmFilter| -> Vec<AlarmId> {
        let page = store.alarms(&filter, None, 10).await.unwrap();
        page.items.iter().map(|alarm| alarm.id).collect()
    };
    let all = AlarmFilter::default;
    assert_eq!(found(all()).await, [ebike.id, weak.id, early.id]);
    let camera = CameraId::parse("facade-1").ok();
    assert_eq!(
        found(AlarmFilter { camera, ..all() }).await,
        [weak.id, early.id]
    );
    let kind = Some(AlarmKind::EbikeInElevator);
    assert_eq!(found(AlarmFilter { kind, ..all() }).await, [ebike.id]);
    let state = Some(AlarmState::Acknowledged);
    assert_eq!(found(AlarmFilter { state, ..all() }).await, [early.id]);
    let min_score = Some(0.5);
    assert_eq!(
        found(AlarmFilter { min_score, ..all() }).await,
        [ebike.id, early.id]
    );
    let site = SiteId::parse("south").ok();
    assert_eq!(found(AlarmFilter { site, ..all() }).await, []);
    let between = AlarmFilter {
        from_ms: Some(weak.raised_at_ms),
        to_ms: Some(ebike.raised_at_ms),
        ..all()
    };
    assert_eq!(found(between).await, [weak.id]);
}

#[tokio::test]
async fn what_lasted_when_the_process_died_is_ended_by_the_restart() {
    let folder = tempfile::tempdir().unwrap();
    let clock = clock();
    let store = open(folder.path(), vec![route("desk")], &clock).await;
    let over = fall("facade-1", clock.now());
    store.raise(&over).await.unwrap();
    store.end(&end_of(&over, 500)).await.unwrap();
    store.attach_evidence(over.id, &ready()).await.unwrap();
    let mut lasting = fall("car-1", clock.now());
    lasting.alarm.kind = AlarmKind::EbikeInElevator;
    store.raise(&lasting).await.unwrap();
    let desk = EndpointId::parse("desk").unwrap();
    for head in store.heads(&desk, &[]).await.unwrap() {
        store.begin_attempt(&head.id).await.unwrap();
    }

    let recovered = store.recover().await.unwrap();
    assert_eq!(recovered.alarms_ended, 1);
    assert_eq!(recovered.evidence_missing, 1);
    assert_eq!(recovered.deliveries_reopened, 2);
    let detail = store.alarm(lasting.id).await.unwrap().unwrap();
    assert_eq!(detail.alarm.end_reason, Some(EndReason::Restart));
    assert_eq!(detail.alarm.ended_at_ms, Some(clock.now().as_millisecond()));
    assert_eq!(detail.alarm.evidence, EvidenceState::Missing);
    assert_eq!(detail.deliveries.len(), 3, "raised, ended, evidence");
    assert_eq!(
        store.recover().await.unwrap(),
        plumb::store::Recovered::default()
    );
}

#[tokio::test]
async fn only_the_earliest_unsettled_delivery_of_a_camera_is_a_head() {
    let folder = tempfile::tempdir().unwrap();
    let clock = clock();
    let store = open(folder.path(), vec![route("desk"), route("other")], &clock).await;
    for camera in ["a", "b", "a", "b", "a"] {
        store.raise(&fall(camera, clock.now())).await.unwrap();
    }
    let desk = EndpointId::parse("desk").unwrap();
    let heads = async || {
        let heads = store.heads(&desk, &[]).await.unwrap();
        heads.iter().map(|head| head.event_seq).collect::<Vec<_>>()
    };
    assert_eq!(heads().await, [1, 2]);
    let first = store.heads(&desk, &[]).await.unwrap().remove(0);
    let attempt = |outcome| Attempt {
        delivery: first.id.clone(),
        at_ms: 1,
        duration_ms: 5,
        status: Some(500),
        error: Some("answered 500".to_owned()),
        outcome,
    };
    let again = attempt(Outcome::Again {
        next_at_ms: i64::MAX,
    });
    store.finish_attempt(&again).await.unwrap();
    assert_eq!(
        heads().await,
        [1, 2],
        "one that waits still holds its place"
    );
    store.finish_attempt(&attempt(Outcome::Dead)).await.unwrap();
    assert_eq!(heads().await, [3, 2]);
    let dead = store.dead_letters(10).await.unwrap();
    assert_eq!(dead.len(), 1);
    assert_eq!(dead[0].last_error.as_deref(), Some("answered 500"));
    store
        .requeue(&first.id, &Actor::account("li"))
        .await
        .unwrap();
    assert_eq!(heads().await, [1, 2]);
    let twice = store.requeue(&first.id, &Actor::account("li")).await;
    assert!(matches!(twice, Err(StoreError::NotDead(_))), "{twice:?}");
}

#[tokio::test]
async fn deliveries_to_an_endpoint_that_left_the_configuration_are_cancelled() {
    let folder = tempfile::tempdir().unwrap();
    let clock = clock();
    let store = open(folder.path(), vec![route("desk"), route("old")], &clock).await;
    store.raise(&fall("a", clock.now())).await.unwrap();
    store.close().await;
    drop(store);
    let old = EndpointId::parse("old").unwrap();
    // Only looking, as `plumb check` does, cancels nothing.
    let store = open(folder.path(), Vec::new(), &clock).await;
    assert_eq!(store.heads(&old, &[]).await.unwrap().len(), 1);
    store.close().await;
    drop(store);
    let store = open(folder.path(), vec![route("desk")], &clock).await;
    assert_eq!(store.recover().await.unwrap().deliveries_cancelled, 1);
    assert_eq!(store.outbox_counts().await.unwrap()[0].pending, 3);
    assert_eq!(store.heads(&old, &[]).await.unwrap(), []);
}

#[tokio::test]
async fn audit_rows_cannot_be_changed_removed_or_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let clock = clock();
    let store = open(folder.path(), Vec::new(), &clock).await;
    store.raise(&fall("a", clock.now())).await.unwrap();
    let before = store.audit_after(0, 10).await.unwrap();
    let mut shell = shell(folder.path()).await;
    for sql in [
        "UPDATE audit SET who = 'nobody'",
        "DELETE FROM audit",
        "INSERT OR REPLACE INTO audit (seq, at_ms, who, action, object, outcome) \
         VALUES (1, 0, 'nobody', 'x', 'x', 'done')",
    ] {
        let refused = sqlx::query(sql).execute(&mut shell).await;
        let text = refused.expect_err(sql).to_string();
        assert!(text.contains("an audit row is never"), "{text}");
    }
    assert_eq!(store.audit_after(0, 10).await.unwrap(), before);
}

async fn shell(folder: &Path) -> SqliteConnection {
    let url = format!("sqlite://{}", folder.join("plumb.sqlite").display());
    SqliteConnection::connect(&url)
        .await
        .expect("a second connection")
}

#[tokio::test]
async fn what_cannot_be_opened_says_which_path_and_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let open_at = |path: &Path| {
        let path = path.to_owned();
        async move {
            let clock: Arc<dyn Clock> = clock();
            let error = Store::open(&path, Vec::new(), clock)
                .await
                .expect_err("it must not open");
            let text = error.to_string();
            assert!(text.contains(&path.display().to_string()), "{text}");
            error
        }
    };
    let file = folder.path().join("file");
    std::fs::write(&file, "x").unwrap();
    assert!(matches!(
        open_at(&file).await,
        StoreError::Unwritable { .. }
    ));
    // Not even root may make a folder here.
    let refused = open_at(Path::new("/sys/plumb-data")).await;
    assert!(
        matches!(refused, StoreError::Unwritable { .. }),
        "{refused}"
    );
    assert!(refused.is_disk());

    let damaged = folder.path().join("damaged");
    std::fs::create_dir(&damaged).unwrap();
    std::fs::write(damaged.join("plumb.sqlite"), "no database, ".repeat(1000)).unwrap();
    let error = open_at(&damaged).await;
    assert!(matches!(error, StoreError::Corrupt { .. }), "{error}");
    assert!(
        error.to_string().contains("restore it from a backup"),
        "{error}"
    );

    let newer = folder.path().join("newer");
    open(&newer, Vec::new(), &clock()).await.close().await;
    sqlx::query(
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
         VALUES (9999, 'of the future', 1, x'00', 0)",
    )
    .execute(&mut shell(&newer).await)
    .await
    .unwrap();
    let error = open_at(&newer).await;
    assert!(
        matches!(error, StoreError::Newer { found: 9999, .. }),
        "{error}"
    );
}

#[tokio::test]
async fn a_store_in_memory_says_that_nothing_in_it_is_stored() {
    let clock = clock();
    let store = Store::open_volatile(vec![route("desk")], Arc::clone(&clock) as _)
        .await
        .unwrap();
    store.raise(&fall("a", clock.now())).await.unwrap();
    assert_eq!(store.outbox_counts().await.unwrap()[0].pending, 1);
    let body = store.events_after(0, 1).await.unwrap().remove(0).body;
    assert!(body.contains("\"stored\":false"), "{body}");
    assert!(body.contains("\"evidence\":\"missing\""), "{body}");
    let probed = store.probe().await;
    assert!(matches!(probed, Err(StoreError::NoDisk)), "{probed:?}");
}

#[tokio::test]
async fn two_services_cannot_share_a_data_directory() {
    let folder = tempfile::tempdir().unwrap();
    let clock = clock();
    let first = open(folder.path(), Vec::new(), &clock).await;
    let second = Store::open(folder.path(), Vec::new(), Arc::clone(&clock) as _).await;
    assert!(
        matches!(second, Err(StoreError::InUse { .. })),
        "{second:?}"
    );
    first.close().await;
    drop(first);
    open(folder.path(), Vec::new(), &clock).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn writers_and_readers_at_once_never_meet_a_lock() {
    let folder = tempfile::tempdir().unwrap();
    let clock = clock();
    let store = open(folder.path(), vec![route("desk")], &clock).await;
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..8 {
        let (store, at) = (store.clone(), clock.now());
        tasks.spawn(async move {
            for _ in 0..10 {
                let new = fall(&format!("camera-{task}"), at);
                store.raise(&new).await?;
                store.end(&end_of(&new, 1)).await?;
                store.alarms(&AlarmFilter::default(), None, 500).await?;
                store.outbox_counts().await?;
            }
            Ok::<_, StoreError>(())
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap().unwrap();
    }
    assert_eq!(store.outbox_counts().await.unwrap()[0].pending, 160);
    assert_eq!(*store.newest_seq().borrow(), 160);
}

#[tokio::test]
async fn a_new_event_wakes_those_who_wait_for_it() {
    let folder = tempfile::tempdir().unwrap();
    let clock = clock();
    let store = open(folder.path(), Vec::new(), &clock).await;
    let mut newest = store.newest_seq();
    newest.borrow_and_update();
    store.raise(&fall("a", clock.now())).await.unwrap();
    assert!(newest.has_changed().unwrap());
    store.raise(&fall("b", clock.now())).await.unwrap();
    let events = store.events_after(1, 10).await.unwrap();
    assert_eq!(events.len(), 1);
    assert_eq!(events[0].seq, 2);
    assert!(
        events[0].body.contains("\"camera\":\"b\""),
        "{}",
        events[0].body
    );
}

/// Returns a store with no room for another [`large`] alarm: SQLite says the same of it as on a
/// full disk.
pub(crate) async fn full_store(routes: Vec<Route>, clock: &Arc<DrivenClock>) -> Store {
    let store = Store::open_volatile(routes, Arc::clone(clock) as _)
        .await
        .expect("a store");
    while store
        .raise(&large(fall("filler", clock.now())))
        .await
        .is_ok()
    {}
    store
}

/// Returns the alarm with a track of about 2 MB.
pub(crate) fn large(mut new: NewAlarm) -> NewAlarm {
    new.alarm.track = vec![new.alarm.track[0]; 20_000];
    new
}

#[tokio::test]
async fn a_full_disk_is_told_from_a_wrong_request() {
    let clock = clock();
    let store = full_store(Vec::new(), &clock).await;
    let newest = *store.newest_seq().borrow();
    let new = large(fall("a", clock.now()));
    let error = store.raise(&new).await.expect_err("no room");
    assert!(matches!(error, StoreError::Full { .. }), "{error:?}");
    assert!(error.is_disk());
    assert_eq!(
        store.alarm(new.id).await.unwrap(),
        None,
        "all of it or nothing"
    );
    assert_eq!(*store.newest_seq().borrow(), newest);
    let wrong = store
        .acknowledge(new.id, &Actor::service())
        .await
        .expect_err("no such alarm");
    assert!(!wrong.is_disk());
}

#[tokio::test]
async fn an_alarm_that_is_carried_over_twice_arrives_once_and_keeps_what_people_did() {
    let clock = clock();
    let folder = tempfile::tempdir().unwrap();
    let disk = open(folder.path(), vec![route("desk")], &clock).await;
    let memory = Store::open_volatile(vec![route("desk")], Arc::clone(&clock) as _)
        .await
        .unwrap();
    let new = fall("a", clock.now());
    disk.raise(&new).await.unwrap();
    let copy = disk.copy_out(new.id).await.unwrap().expect("a copy");
    memory.copy_in(&copy, Arrival::Borrowed).await.unwrap();
    memory.end(&end_of(&new, 700)).await.unwrap();
    disk.acknowledge(new.id, &Actor::account("li"))
        .await
        .unwrap();

    let back = memory.copy_out(new.id).await.unwrap().expect("a copy");
    for _ in 0..2 {
        disk.copy_in(&back, Arrival::Moved).await.unwrap();
    }
    let detail = disk.alarm(new.id).await.unwrap().unwrap();
    assert_eq!(detail.alarm.ended_at_ms, Some(new.raised_at_ms + 700));
    assert_eq!(detail.alarm.state, AlarmState::Acknowledged);
    assert_eq!(
        kinds(&disk).await,
        [
            EventKind::AlarmRaised,
            EventKind::AlarmAcknowledged,
            EventKind::AlarmEnded
        ]
    );
    let states: Vec<_> = detail
        .deliveries
        .iter()
        .map(|delivery| delivery.state)
        .collect();
    assert_eq!(states, [plumb::store::DeliveryState::Pending; 3]);
    assert_eq!(disk.audit_after(0, 10).await.unwrap().len(), 3);
}
