//! An alarm's evidence once more through the stages: what an auditor's verdict rests on.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use plumb::alarm::comparison::{ReplayVerdict, Replayed, compare};
use plumb::alarm::{Alarm, AlarmChange, AlarmKey, AlarmKind};
use plumb::clock::StreamTime;
use plumb::config;
use plumb::evidence::manifest::{self, Manifest};
use plumb::evidence::{Collector, EvidenceContext, EvidenceJob, Raised};
use plumb::id::{AlarmId, CameraId};
use plumb::pipeline::Detectors;
use plumb::pipeline::decoding::Decoding;
use plumb::pipeline::replay::{Replay, ReplayError, Told};
use plumb::scene::Kind;
use plumb::source::Packet;
use plumb::source::file::Recording;

use crate::service::fixture;

/// A camera that shows one fixture over and over, as the demo's do, and what came of it.
struct Watched {
    kind: Kind,
    scene: plumb::scene::Scene,
    folder: tempfile::TempDir,
    manifests: Vec<Manifest>,
}

impl Watched {
    /// Watches the fixture `times` over, on one timeline, and gathers evidence.
    fn new(name: &str, kind: Kind, times: u32) -> Self {
        let clip = fixture(name).with_extension("mp4");
        let scene = fixture(name).with_extension("scene.toml");
        let (scene, sha256) = config::read_scene(&scene).expect("a scene");
        let folder = tempfile::tempdir().expect("a folder");
        let context = EvidenceContext {
            camera: CameraId::parse(name).expect("an id"),
            site: None,
            models: Vec::new(),
            scene_sha256: Some(sha256),
            facade: None,
        };
        let mut live = Live {
            kind,
            watch: detectors().watch(kind, scene.clone()),
            collector: Collector::new(Arc::new(context)),
            ids: Vec::new(),
            packets: Vec::new(),
            jobs: Vec::new(),
        };
        live.show(&clip, times);
        for job in &live.jobs {
            job.write(folder.path()).expect("a writable folder");
        }
        let of = |id: &AlarmId| {
            let day = wall(*id).strftime("%Y-%m-%d").to_string();
            manifest::verify(&folder.path().join(day).join(id.to_string()))
        };
        let reports = live.ids.iter().map(|(_, id)| of(id).expect("a manifest"));
        let manifests = reports.map(|report| {
            assert!(report.all_match(), "{:?}", report.findings);
            report.manifest
        });
        Self {
            kind,
            scene,
            manifests: manifests.collect(),
            folder,
        }
    }

    fn clip(&self, manifest: &Manifest) -> std::path::PathBuf {
        let id = manifest.alarm.id;
        let day = manifest.alarm.raised_at.strftime("%Y-%m-%d").to_string();
        self.folder
            .path()
            .join(day)
            .join(id.to_string())
            .join("clip.mp4")
    }

    /// Replays the alarm's clip.
    fn replay(&self, manifest: &Manifest) -> Vec<Told> {
        let span = manifest.clip.as_ref().expect("a clip");
        let mut watch = detectors().watch(self.kind, self.scene.clone());
        let replay = Replay::open(&self.clip(manifest), self.kind).expect("readable");
        let mut replay = replay.starting_at(StreamTime::from_secs_f64(span.starts_at_s));
        let mut all = Vec::new();
        let read = replay.run(watch.as_mut(), |_, told| {
            all.extend(told);
            Ok::<(), ReplayError>(())
        });
        read.expect("whole");
        all
    }
}

struct Live {
    kind: Kind,
    watch: Box<dyn plumb::pipeline::Watch>,
    collector: Collector,
    ids: Vec<(AlarmKey, AlarmId)>,
    packets: Vec<Packet>,
    jobs: Vec<EvidenceJob>,
}

impl Live {
    fn show(&mut self, clip: &Path, times: u32) {
        let mut decoder = None;
        let mut offset = Duration::ZERO;
        for _ in 0..times {
            let mut recording = Recording::open(clip).expect("a fixture");
            let info = Arc::clone(recording.info());
            let decoder = decoder.get_or_insert_with(|| {
                self.collector.start(Arc::clone(&info), &mut self.jobs);
                let decoding = Decoding::open(&info, self.kind).expect("a decoder");
                if let Some(past) = decoding.past() {
                    self.watch.look_back_by(past.clone());
                }
                decoding
            });
            let length_s = recording.duration_s().expect("it says so");
            while let Some(mut packet) = recording.next_packet().expect("whole") {
                packet.at = packet.at + offset;
                packet.decode_at = packet.decode_at + offset;
                let now = Duration::from_micros(packet.at.as_micros().unsigned_abs());
                self.collector.packet(&packet, now, &mut self.jobs);
                let mut frames = Vec::new();
                decoder.push(&packet, self.watch.as_ref(), &mut frames);
                self.packets.push(packet);
                for frame in frames {
                    let mut changes = Vec::new();
                    self.watch.push(&frame, &mut changes);
                    self.report(changes);
                }
            }
            offset += Duration::from_secs_f64(length_s);
        }
        self.collector.finish("the stream ended", &mut self.jobs);
    }

    fn report(&mut self, changes: Vec<AlarmChange>) {
        for change in changes {
            match change {
                AlarmChange::Raised { key, alarm, frames } => {
                    let raised_at = wall_of(&alarm);
                    let id = AlarmId::new(raised_at);
                    let from = StreamTime::from_secs_f64(alarm.raised_at.as_secs_f64() - 10.0);
                    let key_at = self.packets.iter().rposition(|p| p.key && p.at <= from);
                    let raised = Raised {
                        id,
                        raised_at,
                        alarm: &alarm,
                        frames: &frames,
                        pre_roll: self.packets[key_at.unwrap_or(0)..].to_vec(),
                    };
                    self.jobs.push(self.collector.raised(raised).expect("room"));
                    self.ids.push((key, id));
                }
                AlarmChange::Ended { key, alarm, frames } => {
                    let known = self.ids.iter().find(|(known, _)| *known == key);
                    let id = known.expect("it was raised").1;
                    self.jobs.extend(self.collector.ended(id, &alarm, &frames));
                }
            }
        }
    }
}

fn wall_of(alarm: &Alarm) -> Timestamp {
    Timestamp::from_microsecond(1_770_000_000_000_000 + alarm.raised_at.as_micros())
        .expect("in range")
}

fn wall(id: AlarmId) -> Timestamp {
    let millis = uuid::Uuid::parse_str(&id.to_string()).expect("a UUID");
    let (seconds, nanos) = millis.get_timestamp().expect("of version 7").to_unix();
    Timestamp::new(
        i64::try_from(seconds).expect("in range"),
        i32::try_from(nanos).expect("in range"),
    )
    .expect("in range")
}

fn detectors() -> &'static Detectors {
    static ONCE: std::sync::OnceLock<Detectors> = std::sync::OnceLock::new();
    ONCE.get_or_init(|| Detectors::load(None, None).expect("the models are committed"))
}

fn alarm(manifest: &Manifest) -> Alarm {
    let (at, record) = (StreamTime::from_secs_f64, &manifest.alarm);
    Alarm {
        kind: record.kind,
        started_at: at(record.started_at_s),
        raised_at: at(record.raised_at_s),
        ended_at: record.ended_at_s.map(at),
        score: record.score,
        track: record.track.clone(),
        origin: record.origin,
    }
}

/// Compares each alarm with the replay of its clip; returns the verdicts.
fn verdicts(watched: &Watched) -> Vec<ReplayVerdict> {
    let one = |manifest: &Manifest| {
        let told = watched.replay(manifest);
        let found: Vec<_> = told
            .iter()
            .map(|told| Replayed {
                raised: &told.raised,
                alarm: &told.alarm,
                cut: told.cut,
            })
            .collect();
        let (comparison, _) = compare(&alarm(manifest), &found);
        assert!(
            comparison.verdict <= ReplayVerdict::WithinTolerance,
            "{} at {} s: {comparison:?}",
            manifest.camera,
            manifest.alarm.raised_at_s
        );
        comparison.verdict
    };
    watched.manifests.iter().map(one).collect()
}

#[test]
fn a_fall_is_raised_again_by_its_clip() {
    let watched = Watched::new("facade_mirror", Kind::Facade, 4);
    let kinds = watched.manifests.iter().map(|manifest| manifest.alarm.kind);
    assert!(kinds.clone().all(|kind| kind == AlarmKind::FallingObject));
    assert_eq!(kinds.count(), 4, "one each time");
    let verdicts = verdicts(&watched);
    // The clips of the first two begin where the stream began: nothing can be different.
    assert_eq!(verdicts[..2], [ReplayVerdict::Same, ReplayVerdict::Same]);
    // The same clip gives the same alarms, to the last bit.
    let last = watched.manifests.last().expect("four");
    let tell = |told: Vec<Told>| format!("{told:?}");
    assert_eq!(tell(watched.replay(last)), tell(watched.replay(last)));
}

#[test]
fn a_ride_is_raised_again_by_its_clip() {
    let watched = Watched::new("elevator_ebike_ride", Kind::Elevator, 2);
    assert_eq!(watched.manifests.len(), 2, "one each time");
    assert_eq!(verdicts(&watched)[0], ReplayVerdict::Same);
}

#[test]
fn another_scene_is_found_to_differ() {
    let mut watched = Watched::new("facade_mirror", Kind::Facade, 1);
    // As if somebody had counted the floors from the second basement.
    let facade = watched.scene.facade.as_mut().expect("a facade");
    for line in &mut facade.floor_lines {
        line.floor -= 2;
    }
    let manifest = &watched.manifests[0];
    let told = watched.replay(manifest);
    let found: Vec<_> = told
        .iter()
        .map(|told| Replayed {
            raised: &told.raised,
            alarm: &told.alarm,
            cut: told.cut,
        })
        .collect();
    let (comparison, _) = compare(&alarm(manifest), &found);
    assert!(
        comparison.verdict >= ReplayVerdict::Differs,
        "{comparison:?}"
    );
}
