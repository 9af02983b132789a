//! The review at 100,000 alarms: each list, count and figure comes out of the indexes, in time.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use plumb::alarm::AlarmKind;
use plumb::auth::{Role, Roles};
use plumb::clock::{Clock, SystemClock};
use plumb::id::{AccountId, CameraId, SiteId};
use plumb::store::{Actor, AlarmFilter, AlarmState, Disposition, Span, Store, StoreError};
use sqlx::{Connection, SqliteConnection};

use crate::store::{clock, fall};

const ALARMS: i64 = 100_000;
/// One every three minutes, from 2026-01-01 on: 208 days.
const BEGIN_MS: i64 = 1_767_225_600_000;
const EVERY_MS: i64 = 180_000;
/// What issue 4 asks for.
const LIST_MAX: Duration = Duration::from_millis(100);
const DAY_MS: i64 = 86_400_000;

async fn open(folder: &Path) -> Store {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    Store::open(folder, Vec::new(), clock)
        .await
        .expect("a store that opens")
}

/// Fills a store as years of a large community would: 24 cameras, 12 places, tracks of 40 points.
async fn fill(folder: &Path) {
    open(folder).await.close().await;
    let url = format!("sqlite://{}", folder.join("plumb.sqlite").display());
    let mut database = SqliteConnection::connect(&url).await.expect("it opens");
    let point = r#"{"at_s":4.1,"x_px":105.2,"y_px":410.8,"width_px":9.0,"height_px":12.0}"#;
    let track = format!("[{}]", [point; 40].join(","));
    let alarms = "WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < ?1) \
        INSERT INTO alarm (id, camera, site, place, kind, state, score, started_at_ms, \
        raised_at_ms, ended_at_ms, end_reason, stream_started_us, stream_raised_us, track, origin, \
        scene_sha256, evidence, disposition) \
        SELECT printf('%08x-0000-7000-8000-%012x', i, i), 'camera-' || (i % 24), 'site-' || (i % 3), \
        'Building ' || (i % 12), \
        CASE i % 3 WHEN 0 THEN 'falling_object' WHEN 1 THEN 'ebike_in_elevator' ELSE 'no_picture' END, \
        CASE WHEN i % 10 = 0 THEN 'raised' ELSE 'closed' END, 0.9, ?2 + i * ?3 - 900, ?2 + i * ?3, \
        ?2 + i * ?3 + 2000, 'observed', 0, 0, ?4, \
        CASE i % 3 WHEN 0 THEN json_object('x_px', i * 7919 % 1900, 'y_px', 410.0, 'floor', 3 + i % 20, \
        'floor_min', 3, 'floor_max', 23) END, printf('%064d', i % 24), 'ready', \
        CASE WHEN i % 10 = 0 THEN NULL WHEN i % 7 = 0 THEN 'false_alarm' ELSE 'confirmed' END FROM n";
    let alarms = sqlx::query(alarms)
        .bind(ALARMS)
        .bind(BEGIN_MS)
        .bind(EVERY_MS)
        .bind(track);
    alarms.execute(&mut database).await.expect("100,000 alarms");
    // All but the newest hundred are looked through.
    let reviews = "INSERT INTO review (account, raised_at_ms, alarm, at_ms) SELECT 'chen', raised_at_ms, id, 0 \
        FROM alarm WHERE kind <> 'no_picture' ORDER BY raised_at_ms LIMIT 66567";
    let reviews = sqlx::query(reviews).execute(&mut database).await;
    reviews.expect("marks");
    database.close().await.expect("it closes");
}

/// Runs it a few times and returns how long the quickest took: the machine has other work, too, and
/// while nothing was quick enough it may have been that.
async fn quickest<T>(mut work: impl AsyncFnMut() -> Result<T, StoreError>) -> (Duration, T) {
    let clock = SystemClock::new();
    let mut best: Option<(Duration, T)> = None;
    for turn in 0..40 {
        if turn >= 3 && best.as_ref().is_some_and(|(least, _)| *least < LIST_MAX) {
            break;
        }
        let begun = clock.monotonic();
        let found = work().await.expect("readable");
        let took = clock.monotonic() - begun;
        if best.as_ref().is_none_or(|(least, _)| took < *least) {
            best = Some((took, found));
        }
    }
    best.expect("it ran")
}

fn with(choose: impl FnOnce(&mut AlarmFilter)) -> AlarmFilter {
    let mut filter = AlarmFilter::default();
    choose(&mut filter);
    filter
}

/// What managers ask for, and what finds nothing and so looks through everything.
fn filters() -> Vec<(&'static str, AlarmFilter)> {
    let place = |number: u32| Some(format!("Building {number}"));
    let camera = CameraId::parse("camera-3").ok();
    let unreviewed_by = Some("chen".to_owned());
    let unreviewed = with(|it| it.unreviewed_by = unreviewed_by);
    let mut long_past = unreviewed.clone();
    long_past.to_ms = Some(BEGIN_MS + 30 * DAY_MS);
    let found = |disposition| with(|it| it.disposition = Some(disposition));
    let mut of_camera = found(Disposition::FalseAlarm);
    of_camera.camera = camera.clone();
    let mut of_site = with(|it| it.kind = Some(AlarmKind::FallingObject));
    of_site.site = SiteId::parse("site-1").ok();
    let mut elsewhere = with(|it| it.place = place(5));
    (elsewhere.camera, elsewhere.state) = (camera, Some(AlarmState::Raised));
    let mut floor = with(|it| it.place = place(9));
    floor.floor = Some(12);
    vec![
        ("everything", AlarmFilter::default()),
        ("a place", with(|it| it.place = place(5))),
        ("no such place", with(|it| it.place = place(99))),
        ("a floor of a place", floor),
        ("a floor that is not there", with(|it| it.floor = Some(150))),
        ("a camera's false alarms", of_camera),
        ("a disposition that is not there", found(Disposition::Test)),
        (
            "a kind that is not there",
            with(|it| it.kind = Some(AlarmKind::Shake)),
        ),
        ("a kind that the site does not have", of_site),
        ("what a camera cannot have", elsewhere),
        ("not reviewed", unreviewed),
        ("not reviewed, of a month long past", long_past),
    ]
}

#[expect(
    clippy::print_stdout,
    reason = "the figures are wanted beside the limit"
)]
#[tokio::test]
async fn lists_stay_under_a_tenth_of_a_second_at_100_000_alarms() {
    let folder = tempfile::tempdir().expect("a folder");
    fill(folder.path()).await;
    let store = open(folder.path()).await;
    let mut told = String::new();
    let mut slow = Vec::new();
    let mut note = |what: &str, took: Duration| {
        told += &format!("{:>8.1} ms  {what}\n", took.as_secs_f64() * 1e3);
        if took > LIST_MAX {
            slow.push(what.to_owned());
        }
    };
    for (what, filter) in filters() {
        let plan = store.plan_of(&filter).await.expect("readable");
        let whole = plan.join("; ");
        assert!(
            whole.contains("USING INDEX alarm_newest"),
            "{what}: {whole}"
        );
        assert!(
            !whole.contains("TEMP B-TREE") && !whole.contains("SCAN review"),
            "{what}: {whole}"
        );
        let (took, page) = quickest(async || store.alarms(&filter, None, 50).await).await;
        note(&format!("list: {what} ({})", page.items.len()), took);
        if let Some(first) = page.items.first() {
            let (took, _) = quickest(async || store.beside(&filter, first.id).await).await;
            note(&format!("beside: {what}"), took);
        }
        let month: Vec<Span> = (0..35)
            .map(|day| Span {
                from_ms: BEGIN_MS + day * DAY_MS,
                to_ms: BEGIN_MS + (day + 1) * DAY_MS,
            })
            .collect();
        let (took, _) = quickest(async || store.alarm_counts(&filter, &month).await).await;
        note(&format!("calendar: {what}"), took);
    }
    let all = Span {
        from_ms: BEGIN_MS,
        to_ms: BEGIN_MS + ALARMS * EVERY_MS,
    };
    let (took, count) = quickest(async || store.unreviewed("chen").await).await;
    note("what is not reviewed, counted", took);
    assert_eq!(count, 100);
    let weeks: Vec<Span> = (0..53)
        .map(|week| Span {
            from_ms: BEGIN_MS + week * 7 * DAY_MS,
            to_ms: BEGIN_MS + (week + 1) * 7 * DAY_MS,
        })
        .collect();
    let (took, kinds) = quickest(async || store.kind_counts(None, &weeks).await).await;
    note("trends: a year by week and kind", took);
    let sum: u32 = kinds
        .iter()
        .map(|found| found.falls + found.ebikes + found.faults)
        .sum();
    assert_eq!(i64::from(sum), ALARMS);
    let (took, _) = quickest(async || store.disposition_counts(None, all).await).await;
    note("trends: dispositions by camera", took);
    let (took, rides) = quickest(async || store.ride_counts(None, all).await).await;
    note("repeat places: elevators", took);
    assert!(!rides.is_empty());
    let (took, origins) = quickest(async || store.origins(None, all).await).await;
    note(
        &format!("repeat places: the newest {} falls", origins.len()),
        took,
    );
    assert!(slow.is_empty(), "too slow: {slow:?}\n{told}");
    println!("{told}");
}

#[tokio::test]
async fn a_mark_is_one_persons_and_faults_are_not_reviewed() {
    let folder = tempfile::tempdir().expect("a folder");
    let clock: Arc<dyn Clock> = clock();
    let store = Store::open(folder.path(), Vec::new(), Arc::clone(&clock));
    let store = store.await.expect("a store");
    let mut ids = Vec::new();
    for second in 0..5 {
        let at = clock.now() + jiff::SignedDuration::from_secs(second);
        let mut new = fall("east", at);
        if second == 2 {
            new.alarm.kind = AlarmKind::NoPicture;
        }
        ids.push(store.raise(&new).await.expect("committed"));
    }
    let (chen, li) = (Actor::account("chen"), Actor::account("li"));
    assert_eq!(store.unreviewed("chen").await.expect("readable"), 4);
    let marked = store.mark_reviewed(&ids[..3], &chen).await;
    assert_eq!(marked.expect("committed"), 2, "the fault does not count");
    assert_eq!(
        store
            .mark_reviewed(&ids[..3], &chen)
            .await
            .expect("committed"),
        0
    );
    assert_eq!(store.unreviewed("chen").await.expect("readable"), 2);
    assert_eq!(store.unreviewed("li").await.expect("readable"), 4);
    let filter = AlarmFilter {
        unreviewed_by: Some("chen".to_owned()),
        ..AlarmFilter::default()
    };
    let left = store.alarms(&filter, None, 50).await.expect("readable");
    let left: Vec<_> = left.items.iter().map(|alarm| alarm.id).collect();
    assert_eq!(left, [ids[4], ids[3]]);
    let beside = store.beside(&filter, ids[1]).await.expect("readable");
    assert_eq!((beside.newer, beside.older), (Some(ids[3]), None));
    let beside = store.beside(&AlarmFilter::default(), ids[1]).await;
    let beside = beside.expect("readable");
    assert_eq!((beside.newer, beside.older), (Some(ids[2]), Some(ids[0])));
    // One that does not exist: none is marked.
    let unknown = fall("east", clock.now()).id;
    let refused = store.mark_reviewed(&[ids[3], unknown], &li).await;
    assert!(matches!(refused, Err(StoreError::UnknownAlarm(_))));
    assert_eq!(store.unreviewed("li").await.expect("readable"), 4);
    let rows = store.audit_after(0, 100).await.expect("readable");
    let deeds = rows.iter().filter(|row| row.action == "alarm.reviewed");
    assert_eq!(deeds.count(), 2);
}

#[tokio::test]
async fn display_names_are_there_after_the_next_start() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(folder.path()).await;
    let (li, who) = (AccountId::parse("li").expect("an id"), Actor::service());
    let roles = Roles::only(Role::Operator);
    let added = store.add_account(&li, &roles, "no hash", &who);
    added.await.expect("committed");
    assert_eq!(store.name_of("li"), "li");
    let named = store.set_display_name(&li, Some("Li Na"), &who);
    named.await.expect("committed");
    assert_eq!(store.name_of("li"), "Li Na");
    store.close().await;
    drop(store);
    assert_eq!(open(folder.path()).await.name_of("li"), "Li Na");
}
