//! What is kept how long: by age, by room, by hold, and over a crash. Driven by a clock and a disk
//! that the test moves.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use plumb::alarm::AlarmKind;
use plumb::clock::{Clock, DrivenClock};
use plumb::config::Retention;
use plumb::deliver::{Alarms, Client, Delivering};
use plumb::evidence::room::Disk;
use plumb::evidence::{Hidden, rendition};
use plumb::id::AlarmId;
use plumb::pipeline::retention::{Keeper, used_share};
use plumb::store::{
    Actor, AlarmFilter, AlarmRecord, DeletionRule, EvidenceFile, EvidenceReport, EvidenceState,
    NewAlarm, Store, StoreError,
};
use tempfile::TempDir;

use crate::store::{clock, end_of, fall, full_store, large};

const MIB: u64 = 1 << 20;
const DAY: Duration = Duration::from_secs(24 * 3600);

/// A disk with as much room as the test says.
#[derive(Debug)]
struct Scripted(AtomicU64);

impl Disk for Scripted {
    /// What the test says, less 1 MiB for each alarm's folder.
    fn free_bytes(&self, data_dir: &Path) -> io::Result<u64> {
        let folders = std::fs::read_dir(data_dir.join("evidence/2026-01-01"));
        let taken = folders.map_or(0, |folders| folders.count() as u64 * MIB);
        Ok(self.0.load(Ordering::SeqCst).saturating_sub(taken))
    }
}

pub(crate) struct House {
    pub(crate) folder: TempDir,
    pub(crate) clock: Arc<DrivenClock>,
    disk: Arc<Scripted>,
    pub(crate) store: Store,
    pub(crate) keeper: Keeper,
}

impl House {
    /// Returns a house with room for `budget_mib` of evidence, kept for 90 days.
    pub(crate) async fn new(budget_mib: u64) -> Self {
        let (folder, clock) = (tempfile::tempdir().expect("a folder"), clock());
        let disk = Arc::new(Scripted(AtomicU64::new(1 << 40)));
        let store = Store::open(folder.path(), Vec::new(), Arc::clone(&clock) as _);
        let store = store.await.expect("a store");
        let keeper = keeper(&folder, &clock, &disk, &store, budget_mib);
        Self {
            folder,
            clock,
            disk,
            store,
            keeper,
        }
    }

    /// Stops the service and starts it again.
    async fn reopen(&mut self) {
        self.store.close().await;
        // The old store's lock lasts as long as it does.
        let aside = Store::open_volatile(Vec::new(), Arc::clone(&self.clock) as _);
        let aside = aside.await.expect("a store");
        self.keeper = keeper(&self.folder, &self.clock, &self.disk, &aside, 1000);
        self.store = aside;
        let store = Store::open(self.folder.path(), Vec::new(), Arc::clone(&self.clock) as _);
        self.store = store.await.expect("it opens again");
        self.keeper = keeper(&self.folder, &self.clock, &self.disk, &self.store, 1000);
    }

    pub(crate) async fn turn(&mut self) {
        self.keeper.turn().await.expect("the store works");
    }

    /// Raises an alarm now, that ends, with 1 MiB of evidence.
    pub(crate) async fn alarm(&self) -> NewAlarm {
        let new = fall("facade-1", self.clock.now());
        self.store.raise(&new).await.expect("committed");
        self.store.end(&end_of(&new, 10)).await.expect("committed");
        let folder = format!("2026-01-01/{}", new.id);
        let path = self.folder.path().join("evidence").join(&folder);
        std::fs::create_dir_all(&path).expect("writable");
        std::fs::write(path.join("clip.mp4"), b"a clip").expect("writable");
        let report = EvidenceReport {
            state: EvidenceState::Ready,
            folder: Some(folder),
            files: vec![EvidenceFile {
                name: "clip.mp4".to_owned(),
                media_type: "video/mp4".to_owned(),
                size_bytes: MIB,
                sha256: "cd".repeat(32),
            }],
            reason: None,
        };
        let attached = self.store.attach_evidence(new.id, &report);
        attached.await.expect("committed");
        // The next alarm is a later one.
        self.clock.advance(Duration::from_secs(60));
        new
    }

    pub(crate) fn has_files(&self, id: AlarmId) -> bool {
        let folder = self.folder.path().join("evidence/2026-01-01");
        folder.join(id.to_string()).exists()
    }

    async fn record(&self, id: AlarmId) -> AlarmRecord {
        let found = self.store.alarm(id).await.expect("readable");
        found.expect("the alarm").alarm
    }

    /// Returns the alarms of that kind, newest first.
    pub(crate) async fn alarms_of(&self, kind: AlarmKind) -> Vec<AlarmRecord> {
        let filter = AlarmFilter {
            kind: Some(kind),
            ..AlarmFilter::default()
        };
        let page = self.store.alarms(&filter, None, 100).await;
        page.expect("readable").items
    }

    /// Returns the details of the audit rows with that action.
    pub(crate) async fn deeds(&self, action: &str) -> Vec<String> {
        let rows = self.store.audit_after(0, 500).await.expect("readable");
        let rows = rows.into_iter().filter(|row| row.action == action);
        rows.filter_map(|row| row.detail).collect()
    }
}

fn keeper(
    folder: &TempDir,
    clock: &Arc<DrivenClock>,
    disk: &Arc<Scripted>,
    store: &Store,
    budget_mib: u64,
) -> Keeper {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let delivering = Delivering {
        endpoints: Vec::new().into(),
        client: Client::open(Arc::clone(clock) as _).expect("a client"),
        public_url: "http://localhost/".parse().expect("a URL"),
        clock: Arc::clone(clock) as _,
    };
    Keeper {
        store: store.clone(),
        alarms: Alarms::new(store.clone(), delivering),
        evidence_root: folder.path().join("evidence"),
        rules: Retention {
            evidence: 90 * DAY,
            evidence_budget_bytes: Some(budget_mib * MIB),
            min_free_bytes: 100 * MIB,
            warn_share: 0.5,
            full_share: 0.8,
            reserve_bytes: MIB,
            events: 30 * DAY,
        },
        disk: Arc::clone(disk) as _,
        clock: Arc::clone(clock) as _,
        footage: None,
        raised: BTreeMap::new(),
    }
}

fn manager() -> Actor {
    Actor::account("li.na")
}

#[tokio::test]
async fn evidence_goes_after_its_days_and_the_alarm_says_when_and_why() {
    let mut house = House::new(1000).await;
    let old = house.alarm().await;
    house.clock.advance(89 * DAY);
    let young = house.alarm().await;
    house.turn().await;
    assert!(house.has_files(old.id) && house.has_files(young.id));

    house.clock.advance(DAY);
    house.turn().await;
    assert!(!house.has_files(old.id) && house.has_files(young.id));
    let told = house.record(old.id).await;
    let deletion = told.evidence_deleted.expect("it says so");
    assert_eq!(deletion.rule, DeletionRule::Age);
    assert_eq!(deletion.at_ms, house.clock.now().as_millisecond());
    assert_eq!(told.evidence, EvidenceState::Missing);
    assert!(told.evidence_reason.expect("why").contains("90 days"));
    let files = house.store.alarm(old.id).await.expect("readable");
    assert!(files.expect("the alarm").files.is_empty());
    let deeds = house.deeds("evidence.deleted").await;
    assert_eq!(deeds.len(), 1);
    assert!(deeds[0].contains(&"cd".repeat(32)), "{deeds:?}");
    assert_eq!(house.record(young.id).await.evidence_deleted, None);
}

#[tokio::test]
async fn a_clock_set_forward_makes_no_evidence_older_and_is_told() {
    let mut house = House::new(1000).await;
    let old = house.alarm().await;
    house.clock.advance(50 * DAY);
    house.turn().await;
    assert!(house.alarms_of(AlarmKind::ClockLeapt).await.is_empty());

    house.clock.set_forward(365 * DAY);
    house.turn().await;
    assert!(house.has_files(old.id));
    let told = house.alarms_of(AlarmKind::ClockLeapt).await;
    assert_eq!((told.len(), told[0].ended_at_ms), (1, None));
    let why = told[0].evidence_reason.as_deref().expect("it says why");
    assert!(why.contains("+8760.0 h"), "{why}");
    // Nor are the log's events older by it, and what is recorded meanwhile ages from then on.
    assert!(
        !house
            .store
            .events_after(0, 500)
            .await
            .expect("readable")
            .is_empty()
    );
    let wrong = house.alarm().await;
    // Set right; told for a day.
    house.clock.set_back(365 * DAY);
    house.turn().await;
    house.clock.advance(DAY);
    house.turn().await;
    let told = house.alarms_of(AlarmKind::ClockLeapt).await;
    assert_eq!(told.len(), 1);
    assert!(told[0].ended_at_ms.is_some());

    house.clock.advance(38 * DAY);
    house.turn().await;
    assert!(house.has_files(old.id));
    house.clock.advance(DAY);
    house.turn().await;
    assert!(!house.has_files(old.id) && house.has_files(wrong.id));
    house.clock.advance(50 * DAY);
    house.turn().await;
    assert!(!house.has_files(wrong.id));
}

#[tokio::test]
async fn a_service_that_wakes_in_another_year_deletes_nothing() {
    let mut house = House::new(1000).await;
    let run = house.store.begin_run().await.expect("committed");
    let before = house.alarm().await;
    house.store.beat(run).await.expect("committed");
    // A dead battery: 1970, until a time server sets the clock right.
    let away = house
        .clock
        .now()
        .duration_since(jiff::Timestamp::UNIX_EPOCH);
    house.clock.set_back(away.unsigned_abs());
    house.reopen().await;
    let run = house.store.begin_run().await.expect("committed");
    let meanwhile = house.alarm().await;
    house.turn().await;
    assert_eq!(house.alarms_of(AlarmKind::ClockLeapt).await.len(), 1);
    house.store.beat(run).await.expect("committed");
    house.clock.set_forward(away.unsigned_abs());
    house.turn().await;
    assert!(house.has_files(before.id) && house.has_files(meanwhile.id));
    // The same the other way round, over a start.
    house.clock.set_forward(1000 * DAY);
    house.reopen().await;
    house.turn().await;
    assert!(house.has_files(before.id) && house.has_files(meanwhile.id));
    house.clock.advance(91 * DAY);
    house.turn().await;
    assert!(!house.has_files(before.id) && !house.has_files(meanwhile.id));
}

#[tokio::test]
async fn days_in_which_the_machine_was_off_count_for_the_age_of_evidence() {
    let mut house = House::new(1000).await;
    let run = house.store.begin_run().await.expect("committed");
    let old = house.alarm().await;
    house.clock.advance(88 * DAY);
    house.store.beat(run).await.expect("committed");
    house.clock.advance(2 * DAY);
    house.reopen().await;
    house.turn().await;
    assert!(!house.has_files(old.id));
    assert!(house.alarms_of(AlarmKind::ClockLeapt).await.is_empty());
}

#[tokio::test]
async fn a_hold_survives_age_and_room_until_it_is_released() {
    let mut house = House::new(10).await;
    let held = house.alarm().await;
    let reason = "police, case 7";
    let after = house.store.hold(held.id, reason, &manager()).await;
    let hold = after.expect("held").hold.expect("it says so");
    assert_eq!((hold.by.as_str(), hold.reason.as_str()), ("li.na", reason));
    let again = house.store.hold(held.id, "other", &manager()).await;
    assert_eq!(again.expect("held").hold.expect("still").reason, reason);
    let mut others = Vec::new();
    for _ in 0..12 {
        others.push(house.alarm().await);
    }
    house.turn().await;
    house.clock.advance(91 * DAY);
    house.turn().await;
    assert!(house.has_files(held.id));
    assert!(others.iter().all(|other| !house.has_files(other.id)));

    let who = manager();
    let released = house.store.release(held.id, "case closed", &who);
    assert_eq!(released.await.expect("released").hold, None);
    let twice = house.store.release(held.id, "again", &manager()).await;
    assert!(matches!(twice, Err(StoreError::NotHeld(_))), "{twice:?}");
    house.turn().await;
    assert!(!house.has_files(held.id));
    let late = house.store.hold(held.id, "too late", &manager()).await;
    assert!(matches!(late, Err(StoreError::EvidenceDeleted(_))));
    assert_eq!(house.deeds("alarm.held").await, [reason]);
    assert_eq!(house.deeds("alarm.released").await, ["case closed"]);
}

#[tokio::test]
async fn the_oldest_goes_when_room_runs_out_and_both_thresholds_raise_an_alarm_that_ends() {
    let mut house = House::new(10).await;
    let mut alarms = Vec::new();
    for _ in 0..4 {
        alarms.push(house.alarm().await);
    }
    house.turn().await;
    assert!(house.alarms_of(AlarmKind::DiskFilling).await.is_empty());

    alarms.push(house.alarm().await);
    house.turn().await;
    let filling = house.alarms_of(AlarmKind::DiskFilling).await;
    assert_eq!((filling.len(), filling[0].ended_at_ms), (1, None));
    assert!(house.alarms_of(AlarmKind::DiskFull).await.is_empty());

    for _ in 0..5 {
        alarms.push(house.alarm().await);
    }
    house.turn().await;
    // Eight of ten fit.
    let kept: Vec<bool> = alarms.iter().map(|new| house.has_files(new.id)).collect();
    assert_eq!(kept, [[false; 2].as_slice(), &[true; 8]].concat());
    let gone = house.record(alarms[0].id).await.evidence_deleted;
    assert_eq!(gone.expect("it says so").rule, DeletionRule::Room);
    let full = house.alarms_of(AlarmKind::DiskFull).await;
    assert_eq!((full.len(), full[0].ended_at_ms), (1, None));
    house.turn().await;
    assert_eq!(house.alarms_of(AlarmKind::DiskFull).await.len(), 1);

    house.clock.advance(91 * DAY);
    house.turn().await;
    for kind in [AlarmKind::DiskFilling, AlarmKind::DiskFull] {
        let ended = house.alarms_of(kind).await;
        assert_eq!(ended.len(), 1);
        assert!(ended[0].ended_at_ms.is_some(), "{kind:?}");
    }
}

#[tokio::test]
async fn a_disk_that_others_fill_narrows_the_room() {
    let mut house = House::new(1000).await;
    let mut alarms = Vec::new();
    for _ in 0..10 {
        alarms.push(house.alarm().await);
    }
    // 105 MiB, of which 100 are to be left free: room for 5, of which 0.8 may be used.
    house.disk.0.store(105 * MIB, Ordering::SeqCst);
    house.turn().await;
    let kept = alarms.iter().filter(|new| house.has_files(new.id)).count();
    assert_eq!(kept, 4);
}

#[tokio::test]
async fn a_disk_that_others_have_filled_is_told_also_when_no_evidence_is_left() {
    let mut house = House::new(1000).await;
    let new = house.alarm().await;
    // Less than is to be left free, whatever is deleted.
    house.disk.0.store(50 * MIB, Ordering::SeqCst);
    for _ in 0..2 {
        house.turn().await;
        assert!(!house.has_files(new.id));
        for kind in [AlarmKind::DiskFilling, AlarmKind::DiskFull] {
            let told = house.alarms_of(kind).await;
            assert_eq!((told.len(), told[0].ended_at_ms), (1, None), "{kind:?}");
        }
    }
    house.disk.0.store(1 << 40, Ordering::SeqCst);
    house.turn().await;
    let ended = house.alarms_of(AlarmKind::DiskFull).await;
    assert!(ended[0].ended_at_ms.is_some());
}

#[tokio::test]
async fn a_disk_on_which_nothing_can_be_deleted_any_more_is_full() {
    let clock = clock();
    let store = full_store(Vec::new(), &clock).await;
    let refused = store.raise(&large(fall("facade-1", clock.now()))).await;
    let error = refused.expect_err("there is no room");
    assert_eq!(used_share(&Err(error)), Some(1.0));
    assert_eq!(used_share(&Err(StoreError::NoDisk)), None);
    assert_eq!(used_share(&Ok(0.4)), Some(0.4));
}

#[tokio::test]
async fn renditions_go_before_any_evidence_and_with_their_own() {
    let mut house = House::new(10).await;
    let root = house.folder.path().join("evidence");
    let mut made = Vec::new();
    let mut alarms = Vec::new();
    for _ in 0..4 {
        let new = house.alarm().await;
        let detail = house
            .store
            .alarm(new.id)
            .await
            .expect("readable")
            .expect("it is there");
        let folder = detail.evidence_folder.expect("a folder");
        let path = rendition::path(&root, &folder, &detail.files[0], &Hidden::People);
        let path = path.expect("a path");
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("writable");
        let bytes = usize::try_from(2 * MIB).expect("it fits");
        std::fs::write(&path, vec![0; bytes]).expect("writable");
        made.push(path);
        alarms.push(new);
    }
    // Four of evidence and eight of renditions in ten: a tenth of the room is the renditions', and
    // none of the evidence goes.
    house.turn().await;
    assert!(alarms.iter().all(|new| house.has_files(new.id)));
    assert!(rendition::used_bytes(&root) <= MIB);
    std::fs::write(&made[0], b"another look").expect("writable");
    house.clock.advance(91 * DAY);
    house.turn().await;
    assert!(!made[0].exists(), "what is deleted is not shown any more");
    assert_eq!(rendition::used_bytes(&root), 0);
}

#[tokio::test]
async fn what_a_crash_left_between_row_and_disk_is_removed_at_the_next_turn() {
    let mut house = House::new(1000).await;
    let new = house.alarm().await;
    let deleted = house
        .store
        .delete_evidence(new.id, DeletionRule::Age, "by the test");
    assert!(deleted.await.expect("committed"));
    // Here the process dies: the row says it is gone, and the folder is still there.
    assert!(house.has_files(new.id));
    house.store.close().await;
    let store = Store::open(
        house.folder.path(),
        Vec::new(),
        Arc::clone(&house.clock) as _,
    );
    drop(house.keeper);
    drop(house.store);
    let store = store.await.expect("it opens again");
    house.keeper = keeper(&house.folder, &house.clock, &house.disk, &store, 1000);
    house.store = store;
    house.turn().await;
    assert!(!house.has_files(new.id));
    assert!(house.store.removals().await.expect("readable").is_empty());
    // The day's folder is empty and gone, too; a folder that somebody else removed is no trouble.
    assert!(!house.folder.path().join("evidence/2026-01-01").exists());
}

#[tokio::test]
async fn old_events_go_and_the_newest_stays_with_the_chain_whole() {
    let mut house = House::new(1000).await;
    let first = house.alarm().await;
    let lasting = fall("facade-1", house.clock.now());
    house.store.raise(&lasting).await.expect("committed");
    house.clock.advance(31 * DAY);
    house.turn().await;
    let events = house.store.events_after(0, 500).await.expect("readable");
    let alarms: Vec<_> = events.iter().map(|event| event.alarm).collect();
    assert_eq!(alarms, [Some(lasting.id)], "of an alarm that lasts");
    let newest = *house.store.newest_seq().borrow();
    assert_eq!(house.store.oldest_seq(), newest);
    assert!(house.record(first.id).await.ended_at_ms.is_some());

    // After a restart the log goes on where it was.
    let end = end_of(&lasting, 10);
    house.store.end(&end).await.expect("committed");
    house.clock.advance(31 * DAY);
    house.turn().await;
    let left = house.store.events_after(0, 500).await.expect("readable");
    assert_eq!(left.len(), 1);
    assert_eq!(left[0].seq, newest + 1);
    assert_eq!(house.deeds("events.pruned").await.len(), 2);
    let report = plumb::store::inspect::inspect(house.folder.path(), &[], &[]).await;
    let report = report.expect("readable");
    assert!(report.findings.is_empty(), "{:?}", report.findings);
}

#[tokio::test]
async fn the_database_holds_a_reserve() {
    let mut house = House::new(1000).await;
    house.turn().await;
    let reserve = house.folder.path().join("plumb.reserve");
    assert_eq!(std::fs::metadata(&reserve).expect("made").len(), MIB);
    // Spent, and no room to make it anew: left alone until there is.
    std::fs::remove_file(&reserve).expect("spent");
    house.disk.0.store(MIB, Ordering::SeqCst);
    house.turn().await;
    assert!(!reserve.exists());
    house.disk.0.store(1 << 40, Ordering::SeqCst);
    house.turn().await;
    assert!(reserve.exists());
}
