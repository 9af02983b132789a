//! Exports by ticket: who may decide, what a bundle holds, until when it is there.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read;
use std::path::Path;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use plumb::alarm::{AlarmKind, TrackPoint};
use plumb::audit::{Key, Signing};
use plumb::auth::{Role, Roles};
use plumb::clock::{Clock, DrivenClock, StreamTime};
use plumb::decode::{Decoder, Frame};
use plumb::evidence::manifest::{AlarmRecord, FORMAT, Manifest as EvidenceManifest, StreamRecord};
use plumb::evidence::{EvidenceFile, Treatment, clip::ClipSpan};
use plumb::export::check;
use plumb::export::manifest::signed_text;
use plumb::export::{Manifest, SignatureFile, path_of};
use plumb::geometry::BoxPx;
use plumb::id::TokenId;
use plumb::pipeline::bundles::Bundler;
use plumb::source::file::Recording;
use plumb::store::{
    Actor, Decision, EvidenceReport, EvidenceState, NewAlarm, NewTicket, Scope, Store, StoreError,
    TicketRecord, TicketState,
};
use sha2::{Digest, Sha256};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use crate::evidence::record_clip;
use crate::store::{clock, fall};

pub(crate) struct Office {
    pub(crate) folder: TempDir,
    pub(crate) clock: Arc<DrivenClock>,
    pub(crate) store: Store,
    pub(crate) bundler: Arc<Bundler>,
}

impl Office {
    async fn open() -> Self {
        let (folder, clock) = (tempfile::tempdir().expect("a folder"), clock());
        let store = Store::open(folder.path(), Vec::new(), Arc::clone(&clock) as _);
        let store = store.await.expect("a store");
        Self::over(folder, clock, store)
    }

    pub(crate) fn over(folder: TempDir, clock: Arc<DrivenClock>, store: Store) -> Self {
        let bundler = bundler(folder.path(), &clock, &store);
        Self {
            folder,
            clock,
            store,
            bundler,
        }
    }

    async fn turn(&self) {
        let stop = CancellationToken::new();
        let turn = Arc::clone(&self.bundler).turn(&stop).await;
        turn.expect("the store works");
    }

    async fn ask(&self, new: &NewAlarm, treatment: Treatment) -> TicketRecord {
        let asked = self.store.ask(&ticket(new, treatment), asker()).await;
        asked.expect("it is committed")
    }

    async fn state(&self, ticket: &TicketRecord) -> TicketRecord {
        let found = self.store.ticket(ticket.id).await.expect("readable");
        found.expect("the ticket")
    }
}

pub(crate) fn bundler(folder: &Path, clock: &Arc<DrivenClock>, store: &Store) -> Arc<Bundler> {
    Arc::new(Bundler {
        store: store.clone(),
        evidence_root: folder.join("evidence"),
        footage_root: folder.join("footage"),
        folder: folder.join("exports"),
        key: Key::open_or_make(folder, Signing::Ed25519).expect("a key"),
        clock: Arc::clone(clock) as _,
        kinds: BTreeMap::new(),
        scenes: BTreeMap::new(),
    })
}

pub(crate) fn ticket(new: &NewAlarm, treatment: Treatment) -> NewTicket {
    NewTicket {
        reason: "for the police, case 7".to_owned(),
        scope: Scope::Alarms(vec![new.id]),
        treatment,
        days: 3,
    }
}

fn asker() -> &'static Actor {
    static ASKER: LazyLock<Actor> = LazyLock::new(|| Actor::account("li.na"));
    &ASKER
}

fn boss() -> &'static Actor {
    static BOSS: LazyLock<Actor> = LazyLock::new(|| Actor::account("wang"));
    &BOSS
}

/// Raises an e-bike's alarm with a clip of four seconds, in which the e-bike fills the picture's
/// right half for the first two.
pub(crate) async fn alarm_with_clip(store: &Store, folder: &Path, clock: &DrivenClock) -> NewAlarm {
    let mut new = fall("lift-2", clock.now());
    new.alarm.kind = AlarmKind::EbikeInElevator;
    let area = BoxPx::from_corners(80.0, 0.0, 160.0, 120.0);
    let at = |step: i64| StreamTime::from_micros(100_000_000 + step * 500_000);
    new.alarm.track = (0..5)
        .map(|step| TrackPoint { at: at(step), area })
        .collect();
    new.alarm.started_at = at(0);
    new.alarm.raised_at = at(2);
    store.raise(&new).await.expect("it is committed");
    let below = format!("2026-01-01/{}", new.id);
    let home = folder.join("evidence").join(&below);
    fs::create_dir_all(&home).expect("writable");
    record_clip(&home, "clip.mp4", 4);
    let plain = image::RgbImage::from_fn(160, 140, |x, y| {
        image::Rgb([if (x / 2 + y / 2) % 2 == 0 { 250 } else { 5 }; 3])
    });
    plain.save(home.join("snapshot.jpg")).expect("writable");
    let files = [("clip.mp4", "video/mp4"), ("snapshot.jpg", "image/jpeg")];
    let mut files: Vec<EvidenceFile> = files
        .iter()
        .map(|(name, media_type)| file(&home, name, media_type))
        .collect();
    let manifest = EvidenceManifest {
        format: FORMAT.to_owned(),
        plumb_version: "0".to_owned(),
        alarm: AlarmRecord::new(new.id, clock.now(), &new.alarm),
        camera: new.camera.clone(),
        site: None,
        stream: Some(StreamRecord {
            codec: "h264".to_owned(),
            width_px: 160,
            height_px: 120,
        }),
        models: Vec::new(),
        scene_sha256: None,
        clip: Some(ClipSpan {
            starts_at_s: 100.0,
            ends_at_s: 104.0,
            pictures: 100,
            cut: None,
        }),
        files: files.clone(),
        missing: Vec::new(),
        manifest_sha256: String::new(),
    };
    fs::write(home.join("manifest.json"), manifest.to_bytes()).expect("writable");
    files.push(file(&home, "manifest.json", "application/json"));
    let report = EvidenceReport {
        state: EvidenceState::Ready,
        folder: Some(below),
        files,
        reason: None,
    };
    let attached = store.attach_evidence(new.id, &report).await;
    attached.expect("it is committed");
    clock.advance(Duration::from_secs(60));
    new
}

fn file(folder: &Path, name: &str, media_type: &str) -> EvidenceFile {
    let bytes = fs::read(folder.join(name)).expect("it was written");
    EvidenceFile {
        name: name.to_owned(),
        media_type: media_type.to_owned(),
        size_bytes: bytes.len() as u64,
        sha256: sha256(&bytes),
    }
}

fn sha256(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Returns the bundle's entries in their order.
fn entries(path: &Path) -> Vec<(String, Vec<u8>)> {
    let mut archive = zip::ZipArchive::new(File::open(path).expect("a bundle")).expect("a ZIP");
    let mut found = Vec::new();
    for index in 0..archive.len() {
        let mut entry = archive.by_index(index).expect("an entry");
        assert_eq!(entry.compression(), zip::CompressionMethod::Stored);
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).expect("whole");
        found.push((entry.name().expect("text").into_owned(), bytes));
    }
    found
}

fn frames(path: &Path) -> Vec<Frame> {
    let mut recording = Recording::open(path).expect("a recording");
    let mut decoder = Decoder::open(recording.info()).expect("a decoder");
    let mut frames = Vec::new();
    while let Some(packet) = recording.next_packet().expect("whole") {
        decoder.push(&packet, |frame| frames.push(frame));
    }
    decoder.finish(|frame| frames.push(frame));
    frames
}

/// Returns the mean step between neighbours: what can be made out in the picture. Left out are the
/// rows of the watermark, and the borders of blocks, which are 8 pixels wide at this size.
fn detail(frame: &Frame, columns: std::ops::Range<usize>) -> f64 {
    let luma = frame.luma();
    let (mut sum, mut count) = (0.0, 0.0);
    for y in (30..50).chain(70..90) {
        let row = luma.row(y);
        for x in columns.clone().filter(|x| x % 8 != 0) {
            sum += f64::from(row[x].abs_diff(row[x - 1]));
            count += 1.0;
        }
    }
    sum / count
}

#[tokio::test]
async fn nobody_decides_on_their_own_ticket_and_none_is_decided_twice() {
    let office = Office::open().await;
    let new = alarm_with_clip(&office.store, office.folder.path(), &office.clock).await;
    let asked = office.ask(&new, Treatment::Protected).await;
    let own = office
        .store
        .decide(asked.id, Decision::Approved, None, asker());
    assert!(matches!(own.await, Err(StoreError::OwnTicket(_))));
    assert_eq!(office.state(&asked).await.state, TicketState::Asked);
    let why = Some("not without the police's letter");
    let refused = office
        .store
        .decide(asked.id, Decision::Refused, why, boss());
    let refused = refused.await.expect("it is committed");
    assert_eq!(refused.state, TicketState::Refused);
    assert_eq!(refused.decision_note.as_deref(), why);
    let again = office
        .store
        .decide(asked.id, Decision::Approved, None, boss());
    assert!(matches!(again.await, Err(StoreError::Decided(_))));
    office.turn().await;
    assert!(!path_of(&office.folder.path().join("exports"), asked.id).exists());
    let rows = office.store.audit_after(0, 100).await.expect("readable");
    let rows: Vec<_> = rows
        .iter()
        .filter(|row| row.object == asked.id.to_string())
        .map(|row| (row.who.as_str(), row.action.as_str()))
        .collect();
    assert_eq!(
        rows,
        [("li.na", "export.asked"), ("wang", "export.refused")]
    );
}

#[tokio::test]
async fn nobody_decides_on_what_their_own_programs_ask_for() {
    let office = Office::open().await;
    let new = alarm_with_clip(&office.store, office.folder.path(), &office.clock).await;
    let name = TokenId::parse("archive").expect("an id");
    let roles = Roles::only(Role::Operator);
    let added = office
        .store
        .add_token(&name, &roles, "a digest", None, boss());
    added.await.expect("it is committed");
    let program = Actor::token("archive");
    let asked = office
        .store
        .ask(&ticket(&new, Treatment::Plain), &program)
        .await;
    let asked = asked.expect("it is committed");
    let own = office
        .store
        .decide(asked.id, Decision::Approved, None, boss());
    assert!(matches!(own.await, Err(StoreError::OwnTicket(_))));
    let other = Actor::account("zhao");
    let others = office
        .store
        .decide(asked.id, Decision::Approved, None, &other);
    others.await.expect("it is committed");
}

#[tokio::test]
async fn a_scope_is_bounded_and_holds_known_alarms() {
    let office = Office::open().await;
    let new = fall("facade-1", office.clock.now());
    let unknown = office
        .store
        .ask(&ticket(&new, Treatment::Plain), asker())
        .await;
    assert!(matches!(unknown, Err(StoreError::UnknownAlarm(_))));
    let of_camera = |camera: &str, to_ms| NewTicket {
        scope: Scope::Camera {
            camera: camera.parse().expect("an id"),
            from_ms: 0,
            to_ms,
        },
        ..ticket(&new, Treatment::Protected)
    };
    let mut last_ms = 0;
    for _ in 0..51 {
        let new = fall("facade-1", office.clock.now());
        office.store.raise(&new).await.expect("it is committed");
        last_ms = new.raised_at_ms;
        office.clock.advance(Duration::from_secs(1));
    }
    let empty = office
        .store
        .ask(&of_camera("facade-2", i64::MAX), asker())
        .await;
    assert!(matches!(empty, Err(StoreError::EmptyScope)));
    let many = office
        .store
        .ask(&of_camera("facade-1", i64::MAX), asker())
        .await;
    assert!(matches!(many, Err(StoreError::TooMany { .. })));
    let fits = office
        .store
        .ask(&of_camera("facade-1", last_ms), asker())
        .await;
    assert_eq!(fits.expect("it is committed").alarms.len(), 50);
}

#[tokio::test]
async fn a_bundle_is_redacted_marked_signed_and_its_digests_match() {
    let office = Office::open().await;
    let new = alarm_with_clip(&office.store, office.folder.path(), &office.clock).await;
    let home = office
        .folder
        .path()
        .join(format!("evidence/2026-01-01/{}", new.id));
    let before = fs::read(home.join("clip.mp4")).expect("the evidence");
    let mut clips = Vec::new();
    for treatment in [Treatment::Protected, Treatment::Plain] {
        let asked = office.ask(&new, treatment).await;
        let approved = office
            .store
            .decide(asked.id, Decision::Approved, None, boss());
        approved.await.expect("it is committed");
        office.turn().await;
        let ready = office.state(&asked).await;
        assert_eq!(ready.state, TicketState::Ready, "{ready:?}");
        let path = path_of(&office.folder.path().join("exports"), asked.id);
        let bytes = fs::read(&path).expect("a bundle");
        assert_eq!(ready.sha256, Some(sha256(&bytes)));
        let entries = entries(&path);
        check_bundle(&entries, &office.bundler.key.public());
        // What `plumb verify` says of it, and of a copy in which one byte differs.
        let report = check::verify(&path).expect("a bundle");
        assert!(report.is_whole(), "{:?}", report.findings);
        assert!(report.is_signed_by(&[office.bundler.key.public()]));
        let mut altered = bytes.clone();
        let inside = altered.windows(4).position(|four| four == b"moov");
        altered[inside.expect("the clip") + 40] ^= 1;
        let copy = office.folder.path().join("altered.zip");
        fs::write(&copy, altered).expect("writable");
        assert!(!check::verify(&copy).is_ok_and(|report| report.is_whole()));
        let manifest: Manifest = serde_json::from_slice(&entries[3].1).expect("a manifest");
        assert_eq!(manifest.ticket.number, asked.id.to_string());
        assert_eq!(manifest.ticket.approved_by, "wang");
        assert_eq!(manifest.ticket.treatment, treatment);
        assert_eq!(manifest.missing, []);
        assert_eq!(manifest.files[0].source_sha256, Some(sha256(&before)));
        let clip = office.folder.path().join("copy.mp4");
        fs::write(&clip, &entries[0].1).expect("writable");
        clips.push(frames(&clip));
    }
    let original = frames(&home.join("clip.mp4"));
    let [protected, plain] = clips.as_slice() else {
        panic!("two clips");
    };
    assert_eq!(protected.len(), original.len());
    assert_eq!(plain.len(), original.len());
    for (copy, first) in plain.iter().zip(&original) {
        assert!(copy.at.secs_since(first.at).abs() < 0.001);
    }
    // Nothing can be made out in the protected one beside the e-bike, whose blocks are half as wide;
    // most of it can in the plain one.
    let beside = |frames: &[Frame]| detail(&frames[20], 1..77);
    let (of_protected, of_plain) = (beside(protected), beside(plain));
    assert!(of_plain > 2.0, "{of_plain}");
    assert!(of_protected < 0.3 * of_plain, "{of_protected} {of_plain}");
    let over = |frames: &[Frame]| detail(&frames[20], 88..160);
    assert!(over(protected) < 0.8 * over(plain));
    assert_eq!(fs::read(home.join("clip.mp4")).expect("untouched"), before);
}

/// Checks a bundle as `export` says it is to be checked.
fn check_bundle(entries: &[(String, Vec<u8>)], public_key: &str) {
    let names: Vec<&str> = entries.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names[3..], ["manifest.json", "signature.json"]);
    let signed: SignatureFile = serde_json::from_slice(&entries[4].1).expect("signatures");
    assert_eq!(signed.manifest_sha256, sha256(&entries[3].1));
    let by = &signed.signatures[0];
    assert_eq!(by.public_key, public_key);
    let text = signed_text(&signed.manifest_sha256);
    assert!(Signing::Ed25519.is_signed_text(public_key, &by.signature, &text));
    let manifest: Manifest = serde_json::from_slice(&entries[3].1).expect("a manifest");
    let told: Vec<&str> = manifest
        .files
        .iter()
        .map(|file| file.name.as_str())
        .collect();
    assert_eq!(told, names[..3]);
    for (file, (_, bytes)) in manifest.files.iter().zip(entries) {
        assert_eq!(file.size_bytes, bytes.len() as u64, "{}", file.name);
        assert_eq!(file.sha256, sha256(bytes), "{}", file.name);
    }
}

#[tokio::test]
async fn evidence_that_was_changed_or_deleted_is_named_and_not_exported() {
    let office = Office::open().await;
    let new = alarm_with_clip(&office.store, office.folder.path(), &office.clock).await;
    let home = office
        .folder
        .path()
        .join(format!("evidence/2026-01-01/{}", new.id));
    fs::write(home.join("clip.mp4"), b"another clip").expect("writable");
    fs::remove_file(home.join("snapshot.jpg")).expect("it was there");
    let asked = office.ask(&new, Treatment::Protected).await;
    let approved = office
        .store
        .decide(asked.id, Decision::Approved, None, boss());
    approved.await.expect("it is committed");
    office.turn().await;
    let path = path_of(&office.folder.path().join("exports"), asked.id);
    let entries = entries(&path);
    let manifest: Manifest = serde_json::from_slice(&entries[1].1).expect("a manifest");
    let missing: Vec<_> = manifest
        .missing
        .iter()
        .map(|file| file.name.rsplit('/').next().expect("a name"))
        .collect();
    assert_eq!(missing, ["clip.mp4", "snapshot.jpg"]);
    assert!(manifest.missing[0].reason.contains("changed"));
    assert_eq!(manifest.files.len(), 1, "alarm.json alone");
}

#[tokio::test]
async fn a_ticket_holds_for_its_days_also_when_the_clock_is_set() {
    const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);
    let office = Office::open().await;
    let new = alarm_with_clip(&office.store, office.folder.path(), &office.clock).await;
    let asked = office.ask(&new, Treatment::Protected).await;
    let approved = office
        .store
        .decide(asked.id, Decision::Approved, None, boss());
    approved.await.expect("it is committed");
    office.turn().await;
    let path = path_of(&office.folder.path().join("exports"), asked.id);
    office.clock.set_forward(YEAR);
    office.turn().await;
    assert!(path.exists());
    let own = office.store.download(asked.id, asker()).await;
    own.expect("it holds");
    office.clock.set_back(YEAR + YEAR);
    office
        .clock
        .advance(Duration::from_secs(3 * 24 * 3600 - 60));
    let own = office.store.download(asked.id, asker()).await;
    own.expect("it still holds");
    office.clock.advance(Duration::from_secs(60));
    let late = office.store.download(asked.id, asker()).await;
    assert!(matches!(late, Err(StoreError::NoBundle(_))));
    office.turn().await;
    assert!(!path.exists());
    assert_eq!(office.state(&asked).await.state, TicketState::Expired);
}

#[tokio::test]
async fn a_bundle_is_for_its_asker_alone_counted_and_gone_when_it_expires() {
    let office = Office::open().await;
    let new = alarm_with_clip(&office.store, office.folder.path(), &office.clock).await;
    let asked = office.ask(&new, Treatment::Protected).await;
    let early = office.store.download(asked.id, asker()).await;
    assert!(matches!(early, Err(StoreError::NoBundle(_))));
    let approved = office
        .store
        .decide(asked.id, Decision::Approved, None, boss());
    approved.await.expect("it is committed");
    office.turn().await;
    let others = office.store.download(asked.id, boss()).await;
    assert!(matches!(others, Err(StoreError::OthersTicket(_))));
    for count in 1..=2 {
        let own = office.store.download(asked.id, asker()).await;
        own.expect("it is committed");
        assert_eq!(office.state(&asked).await.downloads, count);
    }
    let path = path_of(&office.folder.path().join("exports"), asked.id);
    office
        .clock
        .advance(Duration::from_secs(3 * 24 * 3600 - 120));
    office.turn().await;
    assert!(path.exists());
    office.clock.advance(Duration::from_secs(121));
    let late = office.store.download(asked.id, asker()).await;
    assert!(matches!(late, Err(StoreError::NoBundle(_))));
    office.turn().await;
    assert!(!path.exists());
    assert_eq!(office.state(&asked).await.state, TicketState::Expired);
}

#[tokio::test]
async fn footage_leaves_by_a_ticket_marked_and_masked_in_whole_segments() {
    let office = Office::open().await;
    let camera = plumb::id::CameraId::parse("yard").expect("an id");
    let root = office.folder.path().join("footage");
    let from_ms = office.clock.now().as_millisecond();
    for number in 0..3 {
        let path = format!("yard/2026-01-01/{number}.mp4");
        let file = root.join(&path);
        fs::create_dir_all(file.parent().expect("a folder")).expect("writable");
        record_clip(&root.join("yard/2026-01-01"), &format!("{number}.mp4"), 1);
        let bytes = fs::read(&file).expect("it was made");
        let segment = plumb::footage::Segment {
            camera: camera.clone(),
            starts_at_ms: from_ms + number * 1_000,
            ends_at_ms: from_ms + (number + 1) * 1_000,
            scene_sha256: None,
            path,
            size_bytes: bytes.len() as u64,
            sha256: sha256(&bytes),
            codec: "h264",
            pictures: 25,
        };
        office.store.add_footage(&segment).await.expect("committed");
    }
    let new = fall("yard", office.clock.now());
    let wanted = |from: i64, to: i64| NewTicket {
        scope: Scope::Footage {
            camera: camera.clone(),
            from_ms: from_ms + from,
            to_ms: from_ms + to,
        },
        ..ticket(&new, Treatment::Protected)
    };
    let empty = office.store.ask(&wanted(60_000, 61_000), asker()).await;
    assert!(matches!(empty, Err(StoreError::EmptyScope)));
    let asked = office.store.ask(&wanted(500, 1_500), asker()).await;
    let asked = asked.expect("it is committed");
    assert!(asked.alarms.is_empty());
    let decided = office
        .store
        .decide(asked.id, Decision::Approved, None, boss());
    decided.await.expect("it is committed");
    office.turn().await;
    let bundle = path_of(&office.folder.path().join("exports"), asked.id);
    let report = check::verify(&bundle).expect("a bundle");
    assert!(report.is_whole(), "{:?}", report.findings);
    let manifest = report.manifest;
    let names: Vec<&str> = manifest
        .files
        .iter()
        .map(|file| file.name.as_str())
        .collect();
    assert_eq!(
        names,
        [
            "footage/yard/2026-01-01/0.mp4",
            "footage/yard/2026-01-01/1.mp4"
        ]
    );
    assert!(manifest.missing.is_empty() && manifest.alarms.is_empty());
    let before = sha256(&fs::read(root.join("yard/2026-01-01/0.mp4")).expect("untouched"));
    assert_eq!(manifest.files[0].source_sha256.as_ref(), Some(&before));
    assert_ne!(manifest.files[0].sha256, before, "its mark is on it");
}
