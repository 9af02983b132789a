//! From packets to frames: an idle car's pictures are held back, and nothing is lost by it, nor late;
//! a facade's are let go and decoded once more, and nothing differs by it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use plumb::alarm::{AlarmChange, AlarmKind};
use plumb::clock::StreamTime;
use plumb::decode::{Cutout, Frame};
use plumb::pipeline::decoding::Decoding;
use plumb::pipeline::{Detectors, Watch};
use plumb::scene::{Kind, Scene};
use plumb::source::file::Recording;
use plumb::source::{Packet, StreamInfo};
use tempfile::TempDir;

/// Later than this because of it, and it would be too late.
const LATE_S_MAX: f64 = 0.2;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fixtures/video")
        .join(name)
}

struct Clip {
    info: StreamInfo,
    packets: Vec<Packet>,
}

impl Clip {
    fn read(path: &Path) -> Self {
        let mut recording = Recording::open(path).expect("a recording");
        let info = StreamInfo::clone(recording.info());
        let mut packets = Vec::new();
        while let Some(packet) = recording.next_packet().expect("whole") {
            packets.push(packet);
        }
        Self { info, packets }
    }

    /// The same behind `rounds` of its own pictures from `from_s` to `to_s`, in which nothing happens.
    fn after_idling(&self, rounds: u32, (from_s, to_s): (f64, f64)) -> Self {
        let still: Vec<&Packet> = self
            .packets
            .iter()
            .filter(|packet| (from_s..to_s).contains(&packet.at.as_secs_f64()))
            .collect();
        assert!(still[0].key, "it begins with a key picture");
        let begins = still[0].at;
        let length = Duration::from_secs_f64(to_s - from_s);
        let moved = |at: StreamTime, by: Duration, begins: StreamTime| {
            let by_us = i64::try_from(by.as_micros()).expect("minutes");
            StreamTime::from_micros(at.as_micros() - begins.as_micros() + by_us)
        };
        let later = |packet: &Packet, by: Duration, begins: StreamTime| Packet {
            at: moved(packet.at, by, begins),
            decode_at: moved(packet.decode_at, by, begins),
            ..packet.clone()
        };
        let mut packets = Vec::new();
        for round in 0..rounds {
            packets.extend(
                still
                    .iter()
                    .map(|packet| later(packet, length * round, begins)),
            );
        }
        let whole = self.packets.iter();
        packets.extend(whole.map(|packet| later(packet, length * rounds, StreamTime::ZERO)));
        Self {
            info: self.info.clone(),
            packets,
        }
    }
}

/// A watch that never says that nothing happens.
struct Awake(Box<dyn Watch>);

impl Watch for Awake {
    fn push(&mut self, frame: &Frame, changes: &mut Vec<AlarmChange>) {
        self.0.push(frame, changes);
    }

    fn set_scene(&mut self, scene: Scene, changes: &mut Vec<AlarmChange>) {
        self.0.set_scene(scene, changes);
    }

    fn restart(&mut self, changes: &mut Vec<AlarmChange>) {
        self.0.restart(changes);
    }
}

/// What came of a clip: each alarm's stream time and when the packet came with which it was raised,
/// seconds, and how many pictures were never decoded.
#[derive(Debug)]
struct Seen {
    raised: Vec<(f64, f64)>,
    skipped: u64,
    frames: u64,
}

fn watch_of(name: &str) -> Box<dyn Watch> {
    watch(name, Kind::Elevator)
}

fn watch(name: &str, kind: Kind) -> Box<dyn Watch> {
    let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("models");
    let detectors = Detectors::load(None, Some(&models)).expect("the models");
    let (scene, _) = plumb::config::read_scene(&fixture(name)).expect("a scene");
    detectors.watch(kind, scene)
}

fn run(clip: &Clip, mut watch: Box<dyn Watch>) -> Seen {
    let mut decoding = Decoding::open(&clip.info, Kind::Elevator).expect("a decoder");
    let (mut raised, mut frames, mut looked_at) = (Vec::new(), Vec::new(), 0);
    let mut newest = f64::MIN;
    for packet in &clip.packets {
        decoding.push(packet, watch.as_ref(), &mut frames);
        for frame in frames.drain(..) {
            looked_at += 1;
            assert!(frame.at.as_secs_f64() > newest, "frames leave in order");
            newest = frame.at.as_secs_f64();
            let mut changes = Vec::new();
            watch.push(&frame, &mut changes);
            for change in changes {
                if let AlarmChange::Raised { alarm, .. } = change {
                    assert_eq!(alarm.kind, AlarmKind::EbikeInElevator);
                    raised.push((alarm.raised_at.as_secs_f64(), packet.at.as_secs_f64()));
                }
            }
        }
    }
    decoding.finish(&mut frames);
    Seen {
        raised,
        skipped: decoding.skipped(),
        frames: looked_at + frames.len() as u64,
    }
}

fn assert_nothing_lost_nor_late(clip: &Clip, scene: &str) -> Seen {
    let held = run(clip, watch_of(scene));
    let all = run(clip, Box::new(Awake(watch_of(scene))));
    assert_eq!(all.skipped, 0);
    assert_eq!(all.frames, clip.packets.len() as u64);
    assert_eq!(
        held.frames + held.skipped,
        all.frames,
        "each is shown or let go"
    );
    assert_eq!(held.raised.len(), all.raised.len(), "{held:?} {all:?}");
    for ((held_at, held_came), (_, all_came)) in held.raised.iter().zip(&all.raised) {
        assert!(held_came - all_came <= LATE_S_MAX, "{held:?} {all:?}");
        assert!(held_came - held_at <= LATE_S_MAX, "{held:?} {all:?}");
    }
    held
}

#[test]
fn a_ride_after_a_quiet_hour_is_neither_lost_nor_late() {
    let ride = Clip::read(&fixture("elevator_ebike_ride.mp4"));
    let clip = ride.after_idling(20, (20.0, 24.0));
    let held = assert_nothing_lost_nor_late(&clip, "elevator_ebike_ride.scene.toml");
    assert_eq!(held.raised.len(), 1);
    let idle = 20 * 4 * 12;
    assert!(
        held.skipped * 10 > idle * 8,
        "{} of {idle} let go",
        held.skipped
    );
}

/// Encodes the ride behind its own quiet pictures anew, with FFmpeg's options.
fn encoded(folder: &TempDir, options: &[&str]) -> Clip {
    let path = folder.path().join("ride.mp4");
    let ride = fixture("elevator_ebike_ride.mp4");
    let filter = "[0:v]trim=20:24,setpts=PTS-STARTPTS,loop=11:48[still];\
                  [1:v]setpts=PTS-STARTPTS[ride];[still][ride]concat=n=2:v=1:a=0,fps=12";
    let done = Command::new("ffmpeg")
        .args(["-v", "error", "-y", "-i"])
        .arg(&ride)
        .arg("-i")
        .arg(&ride)
        .args(["-filter_complex", filter])
        .args(options)
        .arg(&path)
        .status()
        .expect("ffmpeg runs");
    assert!(done.success());
    Clip::read(&path)
}

#[test]
fn no_encoder_makes_it_late() {
    let folder = TempDir::new().expect("a folder");
    let ways: [&[&str]; 5] = [
        // A camera that fills its rate whatever happens.
        &[
            "-c:v", "libx264", "-preset", "veryfast", "-bf", "0", "-g", "24", "-b:v", "300k",
            "-minrate", "300k", "-maxrate", "300k", "-bufsize", "60k", "-nal-hrd", "cbr",
        ],
        // Groups of pictures too long to be decoded at once.
        &[
            "-c:v", "libx264", "-preset", "veryfast", "-bf", "0", "-g", "96",
        ],
        // Pictures that refer to later ones.
        &[
            "-c:v", "libx264", "-preset", "veryfast", "-bf", "3", "-g", "36", "-crf", "28",
        ],
        // No key picture but the first: the picture is refreshed in stripes.
        &[
            "-c:v",
            "libx264",
            "-preset",
            "veryfast",
            "-x264-params",
            "intra-refresh=1:keyint=24",
        ],
        &[
            "-c:v",
            "libx265",
            "-preset",
            "ultrafast",
            "-g",
            "24",
            "-x265-params",
            "log-level=error:open-gop=0:bframes=0",
        ],
    ];
    for options in ways {
        let clip = encoded(&folder, options);
        let held = assert_nothing_lost_nor_late(&clip, "elevator_ebike_ride.scene.toml");
        assert_eq!(held.raised.len(), 1, "{options:?}");
        if options.contains(&"cbr") {
            assert!(held.skipped > 0, "its sizes tell all the same");
        }
        if options.contains(&"96") {
            assert_eq!(held.skipped, 0);
        }
    }
}

#[test]
fn a_facade_that_looks_back_by_decoding_once_more_says_the_same() {
    for name in ["facade_day_fall", "facade_dusk_fall"] {
        let clip = Clip::read(&fixture(&format!("{name}.mp4")));
        let scene = format!("{name}.scene.toml");
        let told = |looks_back: bool| {
            let mut decoding = Decoding::open(&clip.info, Kind::Facade).expect("a decoder");
            let mut watch = watch(&scene, Kind::Facade);
            if looks_back {
                watch.look_back_by(decoding.past().expect("a facade has one").clone());
            }
            let (mut frames, mut told) = (Vec::new(), Vec::new());
            for packet in &clip.packets {
                decoding.push(packet, watch.as_ref(), &mut frames);
                for frame in frames.drain(..) {
                    let mut changes = Vec::new();
                    watch.push(&frame, &mut changes);
                    told.extend(changes.into_iter().map(|change| match change {
                        AlarmChange::Raised { alarm, frames, .. }
                        | AlarmChange::Ended { alarm, frames, .. } => {
                            (alarm, pixels(frames.iter().map(Cutout::pixels)))
                        }
                    }));
                }
            }
            told
        };
        let (kept, once_more) = (told(false), told(true));
        assert!(!kept.is_empty(), "{name}: a fall");
        assert_eq!(kept, once_more, "{name}");
    }
}

/// Sums each frame's time and luma bytes up: enough to tell frames apart.
fn pixels<'f>(frames: impl IntoIterator<Item = &'f Frame>) -> Vec<(i64, u64)> {
    let luma = |frame: &Frame| {
        let luma = frame.luma();
        let rows = (0..luma.height_px).flat_map(|y| luma.row(y));
        rows.fold(0_u64, |sum, byte| {
            sum.wrapping_mul(31).wrapping_add(u64::from(*byte))
        })
    };
    frames
        .into_iter()
        .map(|frame| (frame.at.as_micros(), luma(frame)))
        .collect()
}

#[test]
fn frames_decoded_once_more_are_the_same_to_the_byte() {
    let clip = Clip::read(&fixture("facade_day_fall.mp4"));
    let mut decoding = Decoding::open(&clip.info, Kind::Facade).expect("a decoder");
    let quiet = watch("facade_day_fall.scene.toml", Kind::Facade);
    let mut frames = Vec::new();
    for packet in &clip.packets[..140] {
        decoding.push(packet, quiet.as_ref(), &mut frames);
    }
    let newest = frames.last().expect("frames").at;
    let (from, until) = (
        newest - Duration::from_millis(1700),
        newest - Duration::from_millis(240),
    );
    let wanted: Vec<Frame> = frames
        .into_iter()
        .filter(|frame| frame.at >= from && frame.at < until)
        .collect();
    let past = decoding.past().expect("a facade has one");
    assert!(past.is_near());
    assert_eq!(
        pixels(&past.frames(from, until, |frame| frame)),
        pixels(&wanted)
    );
    assert!(wanted.len() > 30, "{}", wanted.len());
}
