//! Footage: a camera's ordinary video in a ring on the disk, what a crash leaves of it, what goes when,
//! and what a slow or full disk costs.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use plumb::alarm::AlarmKind;
use plumb::clock::{Clock, DrivenClock, StreamTime, SystemClock};
use plumb::config::Footage;
use plumb::decode::Decoder;
use plumb::evidence::room::{Disk, Room, SystemDisk};
use plumb::footage::{FootageRules, SceneDigest, Segment, Writer};
use plumb::health::{Board, Threads};
use plumb::id::CameraId;
use plumb::pipeline::footage::keeper::FootageKeeper;
use plumb::pipeline::footage::{Ring, RingParts};
use plumb::source::file::Recording;
use plumb::source::live::Live;
use plumb::source::rtsp::{self, CameraUrl, RtspCamera};
use plumb::source::{Packet, SourceEvent, StreamInfo};
use plumb::store::{FootageRecord, Store};
use sha2::Digest;
use tempfile::TempDir;
use tokio::sync::{broadcast, mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::cameras::{Cameras, H264, H265, clip};
use crate::retention::House;

/// No test waits longer than this for anything.
const PATIENCE: Duration = Duration::from_secs(60);
const MIB: u64 = 1 << 20;
const DAY: Duration = Duration::from_secs(24 * 3600);

fn north() -> CameraId {
    CameraId::parse("north").expect("an id")
}

fn rules(root: &Path, length: Duration) -> FootageRules {
    FootageRules {
        root: root.to_path_buf(),
        length,
        room: Room {
            disk: Arc::new(SystemDisk),
            floor_bytes: 0,
        },
    }
}

/// A store with its folder, and the folder of footage in it.
struct Kept {
    folder: TempDir,
    store: Store,
}

impl Kept {
    async fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let store = Store::open(folder.path(), Vec::new(), Arc::new(SystemClock::new()));
        let store = store.await.expect("a store");
        Self { folder, store }
    }

    fn root(&self) -> PathBuf {
        self.folder.path().join("footage")
    }

    fn ring(&self, live: &Live, length: Duration) -> Ring {
        let parts = RingParts {
            store: self.store.clone(),
            live: live.clone(),
            clock: Arc::new(SystemClock::new()),
            threads: Threads::default(),
            cameras: vec![north()],
            scenes: BTreeMap::new(),
            rules: rules(&self.root(), length),
        };
        Ring::start(parts).expect("threads")
    }

    /// Says what became of the parts that are not whole.
    fn left_over(&self) -> String {
        let parts = plumb::footage::Parts::of(&self.root());
        let tried = parts.waiting().into_iter().map(|part| {
            let made = plumb::footage::make_whole(parts.root(), &part);
            format!("{part:?}: {made:?}")
        });
        tried.collect::<Vec<_>>().join("\n")
    }

    async fn rows(&self) -> Vec<FootageRecord> {
        let camera = north();
        let all = self.store.footage(&camera, (0, i64::MAX), Some(-1), 500);
        all.await.expect("readable")
    }

    /// Waits until there are so many rows.
    async fn wait_for(&self, count: usize) -> Vec<FootageRecord> {
        let waiting = async {
            loop {
                let rows = self.rows().await;
                if rows.len() >= count {
                    return rows;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        let waited = tokio::time::timeout(PATIENCE, waiting).await;
        match waited {
            Ok(rows) => rows,
            Err(_) => panic!("{} segments; {}", self.rows().await.len(), self.left_over()),
        }
    }
}

fn read(path: &Path) -> (Arc<StreamInfo>, Vec<Packet>) {
    let mut recording = Recording::open(path).expect("a recording");
    let mut packets = Vec::new();
    while let Some(packet) = recording.next_packet().expect("whole") {
        packets.push(packet);
    }
    (Arc::clone(recording.info()), packets)
}

fn sha256(bytes: &[u8]) -> String {
    let digest = sha2::Sha256::digest(bytes);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Asserts that each picture can be decoded, and that the file is what its row says.
fn check(root: &Path, record: &FootageRecord) -> Vec<Packet> {
    let path = root.join(&record.path);
    let bytes = std::fs::read(&path).expect("the row's file");
    assert_eq!(bytes.len() as u64, record.size_bytes);
    assert_eq!(sha256(&bytes), record.sha256);
    let index = bytes.windows(4).position(|name| name == b"moov");
    let pictures = bytes.windows(4).position(|name| name == b"mdat");
    assert!(index.expect("an index") < pictures.expect("pictures"));
    let (info, packets) = read(&path);
    assert_eq!(packets.len() as u64, record.pictures);
    assert!(packets[0].key, "it begins with a key picture");
    let mut decoder = Decoder::open(&info).expect("a decoder");
    let mut frames = 0;
    for packet in &packets {
        decoder.push(packet, |_| frames += 1);
    }
    decoder.finish(|_| frames += 1);
    assert_eq!(frames, record.pictures, "each picture is decoded");
    assert_eq!(decoder.counters().damaged_frames, 0);
    packets
}

/// Notes the bytes of each picture that a camera sends, by size and first bytes.
async fn note(mut following: broadcast::Receiver<SourceEvent>) -> Vec<Vec<u8>> {
    let mut sent = Vec::new();
    loop {
        match following.recv().await {
            Ok(SourceEvent::Packet(packet)) => sent.push(packet.data.to_vec()),
            Ok(_) => {}
            Err(broadcast::error::RecvError::Closed) => return sent,
            Err(error) => panic!("the test is too slow: {error}"),
        }
    }
}

async fn keeps_a_camera(encode: &[&str], codec: &str) {
    let kept = Kept::new().await;
    let source = clip(kept.folder.path(), "a.mp4", "320x240", 30.0, encode);
    let cameras = Cameras::serve(&[format!("a={}", source.display())], &[]);
    let live = Live::default();
    let noting = tokio::spawn(note(live.watch(&north()).following));
    let ring = kept.ring(&live, Duration::from_secs(2));
    let camera = RtspCamera::new(
        north(),
        CameraUrl::parse(&cameras.url("", "a")).expect("a URL"),
    );
    let (events, mut said) = mpsc::channel(64);
    let stop = CancellationToken::new();
    let (board, clock) = (Board::default(), Arc::new(SystemClock::new()));
    tokio::spawn(rtsp::run(camera, events, board, clock, stop.clone()));
    let (passing, id) = (live.clone(), north());
    let passed = tokio::spawn(async move {
        while let Some(event) = said.recv().await {
            passing.publish(&id, &event);
        }
    });
    kept.wait_for(4).await;
    stop.cancel();
    passed.await.expect("it ends with the source");
    let before = kept.rows().await.len();
    ring.stop().await;
    // What was closed at the end is made whole at the next start, if there was no time for it.
    let ring = kept.ring(&live, Duration::from_secs(2));
    let rows = kept.wait_for(before.max(5)).await;
    ring.stop().await;
    drop(live);
    let sent = noting.await.expect("it was fast enough");

    assert!(rows.iter().all(|row| row.codec == codec), "{rows:?}");
    let mut on_disk = Vec::new();
    for row in &rows {
        let packets = check(&kept.root(), row);
        on_disk.extend(packets.into_iter().map(|packet| packet.data.to_vec()));
    }
    for two in rows.windows(2) {
        assert_eq!(two[0].ends_at_ms, two[1].starts_at_ms, "they join");
        let lasts_ms = two[0].ends_at_ms - two[0].starts_at_ms;
        assert!((2_000..3_500).contains(&lasts_ms), "{lasts_ms} ms");
    }
    assert_eq!(on_disk.len(), sent.len(), "no picture is missing");
    assert!(on_disk == sent, "each is as the camera sent it");
    let parts = std::fs::read_dir(kept.root().join("~parts")).expect("the folder of parts");
    assert_eq!(parts.count(), 0, "nothing is left over");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_camera_is_kept_picture_by_picture_in_segments_that_join() {
    keeps_a_camera(H264, "h264").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_camera_of_h265_is_kept_as_well() {
    keeps_a_camera(H265, "h265").await;
}

/// Packets of a clip as a camera sends them, captured from `from_ms` on.
struct Sent {
    info: Arc<StreamInfo>,
    packets: Vec<Packet>,
}

impl Sent {
    fn of(folder: &Path, seconds: f64, from_ms: i64) -> Self {
        let (info, mut packets) = read(&clip(folder, "sent.mp4", "160x120", seconds, H264));
        for packet in &mut packets {
            let at_ms = from_ms + packet.at.as_micros() / 1000;
            packet.captured_at = Timestamp::from_millisecond(at_ms).expect("in range");
        }
        Self { info, packets }
    }

    fn start(&self) -> SourceEvent {
        SourceEvent::Start(Arc::clone(&self.info))
    }
}

const FROM_MS: i64 = 1_769_853_600_000;

fn no_scene() -> SceneDigest {
    Box::new(|| None)
}

fn writer(rules: FootageRules) -> (Writer, watch::Receiver<u64>) {
    let (closed, told) = watch::channel(0);
    let clock = Arc::new(DrivenClock::new(Timestamp::UNIX_EPOCH));
    (Writer::new(north(), rules, clock, no_scene(), closed), told)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_crash_leaves_is_made_whole_at_the_next_start() {
    let kept = Kept::new().await;
    let sent = Sent::of(kept.folder.path(), 4.0, FROM_MS);
    let (mut dying, _) = writer(rules(&kept.root(), Duration::from_secs(60)));
    dying.take(&sent.start());
    for packet in &sent.packets {
        dying.take(&SourceEvent::Packet(packet.clone()));
    }
    // It ends here, with a fragment half on the disk.
    std::mem::forget(dying);
    let part = kept
        .root()
        .join("~parts")
        .join(format!("north~{FROM_MS}~none.part"));
    let mut bytes = std::fs::read(&part).expect("it was begun");
    let whole = bytes.len();
    bytes.extend_from_slice(b"\0\0\x40\0moof\0\0\0\x10mfhd");
    std::fs::write(&part, bytes).expect("writable");
    // And one of which nothing was written.
    let empty = kept.root().join("~parts/north~5~none.part");
    std::fs::write(&empty, b"").expect("writable");

    let ring = kept.ring(&Live::default(), Duration::from_secs(60));
    let rows = kept.wait_for(1).await;
    let gone = async {
        while empty.with_extension("torn").exists() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, gone).await.expect("removed");
    ring.stop().await;
    assert_eq!(rows.len(), 1, "of the empty one there is none");
    let packets = check(&kept.root(), &rows[0]);
    let lost = sent.packets.len() - packets.len();
    assert!(
        lost <= 20,
        "{lost} pictures are lost: two groups at most; {whole} bytes"
    );
    assert_eq!(rows[0].starts_at_ms, FROM_MS);
    let lasts_ms = rows[0].ends_at_ms - rows[0].starts_at_ms;
    assert_eq!(lasts_ms, packets.len() as i64 * 40);
    assert!(!part.exists());
}

#[tokio::test]
async fn the_same_segment_made_whole_twice_is_one_row() {
    let kept = Kept::new().await;
    let sent = Sent::of(kept.folder.path(), 2.0, FROM_MS);
    let (mut writer, told) = writer(rules(&kept.root(), Duration::from_secs(60)));
    writer.take(&sent.start());
    for packet in &sent.packets {
        writer.take(&SourceEvent::Packet(packet.clone()));
    }
    writer.take(&SourceEvent::End);
    assert_eq!(*told.borrow(), 1);
    let parts = plumb::footage::Parts::of(&kept.root());
    let part = parts.waiting().pop().expect("it is closed");
    for _ in 0..2 {
        let segment = plumb::footage::make_whole(parts.root(), &part);
        let segment = segment.expect("a disk").expect("a segment");
        kept.store.add_footage(&segment).await.expect("committed");
    }
    let rows = kept.rows().await;
    assert_eq!(rows.len(), 1);
    check(&kept.root(), &rows[0]);
    let used = kept.store.footage_use().await.expect("readable");
    assert_eq!(
        (used[0].segments, used[0].size_bytes),
        (1, rows[0].size_bytes)
    );
}

/// A disk with as much room as the test says.
#[derive(Debug)]
struct Scripted(AtomicU64);

impl Disk for Scripted {
    /// What the test says, less 1 MiB for each alarm's folder and each file of footage.
    fn free_bytes(&self, path: &Path) -> io::Result<u64> {
        let data_dir = path
            .ancestors()
            .find(|path| path.join("plumb.sqlite").exists());
        let data_dir = data_dir.expect("all lies in the data directory");
        let count = |folder: &str| {
            std::fs::read_dir(data_dir.join(folder)).map_or(0, |all| all.count() as u64)
        };
        let taken = count("evidence/2026-01-01") + count("footage/north/2026-01-01");
        Ok(self.0.load(Ordering::SeqCst).saturating_sub(taken * MIB))
    }
}

#[test]
fn a_full_disk_stops_the_writer_which_counts_and_goes_on_when_there_is_room() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("plumb.sqlite"), b"").expect("writable");
    let sent = Sent::of(folder.path(), 4.0, FROM_MS);
    let disk = Arc::new(Scripted(AtomicU64::new(0)));
    let mut rules = rules(&folder.path().join("footage"), Duration::from_secs(60));
    rules.room = Room {
        disk: Arc::clone(&disk) as _,
        floor_bytes: MIB,
    };
    let clock = Arc::new(DrivenClock::new(Timestamp::UNIX_EPOCH));
    let (closed, told) = watch::channel(0);
    let mut writer = Writer::new(
        north(),
        rules.clone(),
        Arc::clone(&clock) as _,
        no_scene(),
        closed,
    );
    let event = |packet: &Packet| SourceEvent::Packet(packet.clone());
    writer.take(&sent.start());
    let (before, after) = sent.packets.split_at(50);
    before.iter().for_each(|packet| writer.take(&event(packet)));
    assert_eq!(writer.lost(), 50, "each that is not kept counts");
    assert!(!rules.root.exists(), "and nothing is written");

    disk.0.store(1 << 30, Ordering::SeqCst);
    clock.advance(Duration::from_secs(6));
    after.iter().for_each(|packet| writer.take(&event(packet)));
    assert_eq!(writer.lost(), 50);
    // It fills up again: what was written is a segment of its own.
    disk.0.store(0, Ordering::SeqCst);
    clock.advance(Duration::from_secs(6));
    writer.take(&event(&later(&sent.packets[0], 4_000)));
    assert_eq!((writer.lost(), *told.borrow()), (51, 1));
    let parts = plumb::footage::Parts::of(&rules.root).waiting();
    assert_eq!(parts.len(), 1);
    assert_eq!(parts[0].starts_at_ms, FROM_MS + 2_000);
    assert_eq!(parts[0].known.expect("it is closed").pictures, 50);
}

fn later(packet: &Packet, by_ms: i64) -> Packet {
    let at = StreamTime::from_micros(packet.at.as_micros() + by_ms * 1000);
    let captured_at = packet.captured_at + Duration::from_millis(by_ms.unsigned_abs());
    Packet {
        at,
        decode_at: at,
        captured_at,
        ..packet.clone()
    }
}

/// A writer that the disk holds up misses what the stream sent meanwhile: that is counted, and a gap.
#[tokio::test]
async fn a_slow_disk_costs_footage_only_and_what_it_costs_is_counted() {
    let folder = tempfile::tempdir().expect("a folder");
    let sent = Sent::of(folder.path(), 20.0, FROM_MS);
    let live = Live::default();
    let rules = rules(&folder.path().join("footage"), Duration::from_secs(60));
    let (mut writer, _) = writer(rules.clone());
    let publish = |packets: &[Packet]| {
        for packet in packets {
            live.publish(&north(), &SourceEvent::Packet(packet.clone()));
        }
    };
    live.publish(&north(), &sent.start());
    publish(&sent.packets[..25]);
    let mut following = writer.join(live.watch(&north()));
    // The stream goes on without it: publishing never waits.
    publish(&sent.packets[25..405]);
    let missed = match following.recv().await {
        Err(broadcast::error::RecvError::Lagged(missed)) => missed + following.len() as u64,
        other => panic!("it was not behind: {other:?}"),
    };
    assert_eq!(missed, 380);
    let mut following = writer.rejoin(live.watch(&north()), missed);
    publish(&sent.packets[405..]);
    while let Ok(event) = following.try_recv() {
        writer.take(&event);
    }
    writer.take(&SourceEvent::End);
    // The group that goes on began with picture 400, and the first one with picture 20.
    assert_eq!(writer.lost(), 375);
    let mut parts = plumb::footage::Parts::of(&rules.root).waiting();
    parts.sort_by_key(|part| part.starts_at_ms);
    let pictures: Vec<u64> = parts
        .iter()
        .map(|part| part.known.expect("closed").pictures)
        .collect();
    assert_eq!(pictures, [5, 100]);
    let ends_at_ms = parts[0].known.expect("closed").ends_at_ms;
    assert_eq!(ends_at_ms, FROM_MS + 1_000);
    assert_eq!(
        parts[1].starts_at_ms,
        FROM_MS + 16_000,
        "a gap that is seen"
    );
}

#[tokio::test]
async fn a_writer_behind_within_a_group_of_pictures_loses_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let sent = Sent::of(folder.path(), 20.0, FROM_MS);
    let live = Live::default();
    let rules = rules(&folder.path().join("footage"), Duration::from_secs(60));
    let (mut writer, _) = writer(rules.clone());
    live.publish(&north(), &sent.start());
    // A camera with few key pictures: all of it is one group.
    let one_group = |number: usize| {
        let mut packet = sent.packets[number].clone();
        packet.key = number == 0;
        SourceEvent::Packet(packet)
    };
    (0..25).for_each(|number| live.publish(&north(), &one_group(number)));
    let following = writer.join(live.watch(&north()));
    (25..405).for_each(|number| live.publish(&north(), &one_group(number)));
    let missed = 380;
    drop(following);
    writer.rejoin(live.watch(&north()), missed);
    writer.take(&SourceEvent::End);
    assert_eq!(writer.lost(), 0);
    let parts = plumb::footage::Parts::of(&rules.root).waiting();
    assert_eq!(parts.len(), 1);
    assert_eq!(parts[0].known.expect("closed").pictures, 405);
}

/// A house whose camera keeps its footage on the disk of the evidence.
struct Ringed {
    house: House,
    disk: Arc<Scripted>,
    minutes: i64,
}

impl Ringed {
    async fn new(budget_mib: Option<u64>) -> Self {
        let mut house = House::new(1000).await;
        let disk = Arc::new(Scripted(AtomicU64::new(1 << 40)));
        house.keeper.disk = Arc::clone(&disk) as _;
        house.keeper.rules.evidence_budget_bytes = None;
        house.keeper.footage = Some(FootageKeeper {
            store: house.store.clone(),
            rules: Footage {
                kept: 30 * DAY,
                budget_bytes: budget_mib.map(|mib| mib * MIB),
                dir: house.folder.path().join("footage"),
            },
            evidence_root: house.folder.path().join("evidence"),
            min_free_bytes: house.keeper.rules.min_free_bytes,
            disk: Arc::clone(&disk) as _,
            clock: Arc::clone(&house.clock) as _,
            cameras: vec![north()],
            told_at: None,
        });
        Self {
            house,
            disk,
            minutes: 0,
        }
    }

    /// Adds a minute of footage, of 1 MiB.
    async fn minute(&mut self) -> String {
        let starts_at_ms = self.house.clock.now().as_millisecond();
        let path = format!("north/2026-01-01/{:06}.mp4", self.minutes);
        self.minutes += 1;
        let file = self.root().join(&path);
        std::fs::create_dir_all(file.parent().expect("a folder")).expect("writable");
        std::fs::write(&file, b"a minute").expect("writable");
        let segment = Segment {
            camera: north(),
            starts_at_ms,
            ends_at_ms: starts_at_ms + 60_000,
            scene_sha256: None,
            path: path.clone(),
            size_bytes: MIB,
            sha256: "ef".repeat(32),
            codec: "h264",
            pictures: 1500,
        };
        let added = self.house.store.add_footage(&segment).await;
        added.expect("committed");
        self.house.clock.advance(Duration::from_secs(60));
        path
    }

    fn root(&self) -> PathBuf {
        self.house.folder.path().join("footage")
    }

    /// Returns the names of the minutes that are there; rows and files agree.
    async fn there(&self) -> Vec<String> {
        let camera = north();
        let rows = self
            .house
            .store
            .footage(&camera, (0, i64::MAX), Some(-1), 500);
        let rows = rows.await.expect("readable");
        let mut paths: Vec<String> = rows.into_iter().map(|row| row.path).collect();
        paths.sort();
        let files = std::fs::read_dir(self.root().join("north/2026-01-01"));
        let mut files: Vec<String> = files.map_or(Vec::new(), |files| {
            let name = |file: io::Result<std::fs::DirEntry>| {
                let name = file.expect("readable").file_name();
                format!("north/2026-01-01/{}", name.to_string_lossy())
            };
            files.map(name).collect()
        });
        files.sort();
        assert_eq!(paths, files, "a row names a file, and no file has no row");
        paths
    }
}

#[tokio::test]
async fn footage_goes_when_its_days_are_over_and_the_log_is_told_once_a_day() {
    let mut ringed = Ringed::new(None).await;
    let first = ringed.minute().await;
    ringed
        .house
        .clock
        .advance(30 * DAY - 2 * Duration::from_secs(60));
    let young = ringed.minute().await;
    ringed.house.turn().await;
    assert_eq!(ringed.there().await, [first, young.clone()]);
    ringed.house.clock.advance(Duration::from_secs(60));
    ringed.house.turn().await;
    assert_eq!(ringed.there().await, [young]);
    let told = ringed.house.deeds("footage.pruned").await;
    assert_eq!(told.len(), 1);
    assert!(told[0].starts_with("1 segments, 1048576 bytes"), "{told:?}");
    assert!(told[0].contains("days for which it is kept"), "{told:?}");

    // Minute after minute goes: that is one row a day, and it says how much.
    for _ in 0..5 {
        ringed.minute().await;
    }
    ringed.house.clock.advance(30 * DAY);
    ringed.house.turn().await;
    assert!(ringed.there().await.is_empty());
    let told = ringed.house.deeds("footage.pruned").await;
    assert_eq!(told.len(), 2);
    assert!(told[1].starts_with("6 segments, 6291456 bytes"), "{told:?}");
    ringed.minute().await;
    ringed.house.clock.advance(Duration::from_secs(3600));
    ringed.house.turn().await;
    assert_eq!(ringed.house.deeds("footage.pruned").await.len(), 2);
    assert!(!ringed.root().join("north/2026-01-01/000000.mp4").exists());
}

#[tokio::test]
async fn the_oldest_footage_goes_where_it_takes_more_than_its_budget() {
    let mut ringed = Ringed::new(Some(3)).await;
    let mut minutes = Vec::new();
    for _ in 0..5 {
        minutes.push(ringed.minute().await);
    }
    ringed.house.turn().await;
    assert_eq!(ringed.there().await, minutes[2..]);
    let told = ringed.house.deeds("footage.pruned").await;
    assert_eq!(told.len(), 1);
    assert!(told[0].contains("no room"), "{told:?}");
    ringed.house.turn().await;
    assert_eq!(ringed.there().await.len(), 3, "and no more than that");
}

#[tokio::test]
async fn footage_goes_before_any_evidence_and_raises_no_alarm_of_the_disk() {
    let mut ringed = Ringed::new(None).await;
    let old = ringed.house.alarm().await;
    // 500 MiB of disk, of which 100 are to stay free: the ring takes all but twice of those.
    ringed.disk.0.store(500 * MIB, Ordering::SeqCst);
    for _ in 0..450 {
        ringed.minute().await;
    }
    ringed.house.turn().await;
    let left = ringed.there().await.len();
    assert_eq!(left, 299, "500, less the alarm's, less twice 100");
    assert!(ringed.house.has_files(old.id));
    for kind in [AlarmKind::DiskFilling, AlarmKind::DiskFull] {
        assert!(ringed.house.alarms_of(kind).await.is_empty(), "{kind:?}");
    }

    // Evidence grows: footage makes room for it, the oldest first, until there is none.
    for _ in 0..100 {
        ringed.house.alarm().await;
    }
    ringed.house.turn().await;
    assert_eq!(ringed.there().await.len(), 199);
    assert!(ringed.house.has_files(old.id));
    assert!(
        ringed
            .house
            .alarms_of(AlarmKind::DiskFilling)
            .await
            .is_empty()
    );
    // Evidence itself takes more than half of its room: now it is told.
    for _ in 0..110 {
        ringed.house.alarm().await;
    }
    ringed.house.turn().await;
    assert_eq!(ringed.there().await.len(), 89);
    assert!(ringed.house.has_files(old.id));
    assert_eq!(
        ringed.house.alarms_of(AlarmKind::DiskFilling).await.len(),
        1
    );
    assert!(ringed.house.alarms_of(AlarmKind::DiskFull).await.is_empty());
}
