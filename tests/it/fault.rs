//! Camera health on real clips: each fault made with FFmpeg, and recordings that have none.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use jiff::Timestamp;
use plumb::alarm::{AlarmChange, AlarmKind};
use plumb::clock::StreamTime;
use plumb::decode::{Decoder, Frame};
use plumb::health::CameraHealth;
use plumb::pipeline::Watch;
use plumb::pipeline::fault::FaultWatch;
use plumb::scene::Kind;
use plumb::source::file::Recording;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fixtures/video")
        .join(name)
}

/// Runs `filter` over the facade fixture, made small and repeated to `seconds`, and encodes it.
fn film(seconds: u32, filter: &str) -> Vec<Frame> {
    static FOLDER: OnceLock<tempfile::TempDir> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| {
        let folder = tempfile::tempdir().expect("a folder");
        let small = "scale=480:270,noise=alls=5:allf=t";
        let input = fixture("facade_day_fall.mp4");
        run(
            &["-i", text(&input)],
            small,
            &folder.path().join("base.mp4"),
        );
        folder
    });
    let base = folder.path().join("base.mp4");
    let made = tempfile::tempdir().expect("a folder");
    let clip = made.path().join("clip.mp4");
    let limit = seconds.to_string();
    let input = ["-stream_loop", "9", "-i", text(&base), "-t", &limit];
    run(&input, filter, &clip);
    decode(&clip)
}

fn run(input: &[&str], filter: &str, clip: &Path) {
    let status = Command::new("ffmpeg")
        .args(["-v", "error", "-y"])
        .args(input)
        .args(["-vf", filter, "-c:v", "libx264", "-preset", "ultrafast"])
        .args(["-crf", "18", "-g", "50"])
        .arg(clip)
        .status()
        .expect("ffmpeg is installed, as the Makefile does");
    assert!(status.success(), "ffmpeg refused {filter}");
}

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

fn decode(clip: &Path) -> Vec<Frame> {
    let mut recording = Recording::open(clip).expect("a recording");
    let mut decoder = Decoder::open(recording.info()).expect("a decoder");
    let mut frames = Vec::new();
    while let Some(packet) = recording.next_packet().expect("whole") {
        decoder.push(&packet, |frame| frames.push(frame));
    }
    decoder.finish(|frame| frames.push(frame));
    frames
}

/// Watches frames as a camera's thread does, with a tick a second of their own time.
fn watch(kind: Kind, frames: &[Frame]) -> Vec<AlarmChange> {
    let mut watch = FaultWatch::new(kind);
    let mut changes = Vec::new();
    let mut ticked = 0;
    for frame in frames {
        watch.push(frame, &mut changes);
        let at_us = frame.at.as_micros().unsigned_abs();
        if at_us / 1_000_000 > ticked {
            ticked = at_us / 1_000_000;
            watch.tick(Duration::from_micros(at_us), None, &mut changes);
        }
    }
    changes
}

fn story(changes: &[AlarmChange]) -> Vec<(&'static str, &'static str, i64)> {
    changes
        .iter()
        .map(|change| match change {
            AlarmChange::Raised { alarm, .. } => ("raised", alarm, alarm.raised_at),
            AlarmChange::Ended { alarm, .. } => ("ended", alarm, alarm.ended_at.expect("it ended")),
        })
        .map(|(what, alarm, at)| (what, alarm.kind.as_str(), at.as_micros() / 1_000_000))
        .collect()
}

/// Asserts that one fault was raised within `seconds` and is the only one.
fn assert_only(changes: &[AlarmChange], kind: AlarmKind, seconds: std::ops::Range<i64>) {
    let story = story(changes);
    let (what, found, at) = *story.first().expect("a fault");
    assert_eq!((what, found), ("raised", kind.as_str()), "{story:?}");
    assert!(seconds.contains(&at), "{story:?}");
    assert!(story.iter().all(|(_, kind, _)| *kind == found), "{story:?}");
}

#[test]
fn clean_recordings_have_no_fault() {
    let clips = std::fs::read_dir(fixture("")).expect("the fixtures");
    let mut seen = 0;
    for clip in clips {
        let path = clip.expect("an entry").path();
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let kind = match name.split('_').next() {
            _ if !name.ends_with(".mp4") || name.contains("shake") => continue,
            Some("facade") => Kind::Facade,
            Some("elevator") => Kind::Elevator,
            _ => continue,
        };
        let changes = watch(kind, &decode(&path));
        assert!(changes.is_empty(), "{name}: {:?}", story(&changes));
        seen += 1;
    }
    assert!(seen >= 2, "only {seen} fixtures");
}

#[test]
fn a_swaying_pole_raises_shake() {
    let changes = watch(Kind::Facade, &decode(&fixture("facade_shake.mp4")));
    assert_only(&changes, AlarmKind::Shake, 2..6);
}

#[test]
fn shake_ends_when_the_wind_drops() {
    let sway = "crop=464:254:8+4*sin(2*PI*1.3*t)*lt(t\\,8):8+3*sin(2*PI*0.9*t)*lt(t\\,8)";
    let changes = watch(Kind::Facade, &film(20, sway));
    assert_only(&changes, AlarmKind::Shake, 3..8);
    assert!(
        matches!(changes[..], [_, AlarmChange::Ended { .. }]),
        "{:?}",
        story(&changes)
    );
}

#[test]
fn a_frozen_picture_is_noticed_although_frames_arrive() {
    // The frame at 6 s again and again, encoded anew each time.
    let changes = watch(Kind::Facade, &film(24, "loop=loop=-1:size=1:start=150"));
    assert_only(&changes, AlarmKind::FrozenPicture, 16..21);
}

#[test]
fn a_covered_lens_is_occluded_and_ends_when_it_is_freed() {
    let cover = "drawbox=color=0x605040:t=fill:enable='between(t,7,22)'";
    let changes = watch(Kind::Facade, &film(28, cover));
    assert_only(&changes, AlarmKind::Occluded, 18..21);
    assert_eq!(story(&changes)[1].0, "ended");
}

#[test]
fn spray_that_leaves_a_corner_free_is_occluded() {
    let spray = "drawbox=w=iw*0.85:color=0x707070:t=fill:enable='gt(t,7)',drawbox=h=ih*0.6:color=0x606060:t=fill:enable='gt(t,7)'";
    assert_only(
        &watch(Kind::Facade, &film(24, spray)),
        AlarmKind::Occluded,
        18..22,
    );
}

#[test]
fn a_turned_camera_is_a_moved_view() {
    let turn = "crop=400:230:if(lt(t\\,7)\\,10\\,60):if(lt(t\\,7)\\,10\\,35)";
    assert_only(
        &watch(Kind::Facade, &film(32, turn)),
        AlarmKind::ViewMoved,
        26..31,
    );
}

#[test]
fn night_vision_neither_occludes_nor_moves_the_view() {
    let night = "hue=s=0:enable='gt(t,8)',eq=brightness=0.15:contrast=0.7:enable='gt(t,8)'";
    let changes = watch(Kind::Facade, &film(40, night));
    assert!(changes.is_empty(), "{:?}", story(&changes));
}

#[test]
fn an_elevator_s_light_may_be_off_for_as_long_as_it_likes() {
    let dark = "eq=brightness=-0.9:enable='between(t,8,50)'";
    let changes = watch(Kind::Elevator, &film(56, dark));
    assert!(changes.is_empty(), "{:?}", story(&changes));
}

#[test]
fn headlights_and_lightning_are_no_fault() {
    let flashes = "eq=brightness=0.5:enable='lt(mod(t,6),1.5)*gt(t,6)'";
    let changes = watch(Kind::Facade, &film(30, flashes));
    assert!(changes.is_empty(), "{:?}", story(&changes));
}

#[test]
fn too_few_frames_are_a_fault_at_a_facade_and_none_in_a_car() {
    let frames = film(16, "fps=12");
    assert_only(&watch(Kind::Facade, &frames), AlarmKind::SlowFrames, 9..12);
    assert!(watch(Kind::Elevator, &frames).is_empty());
}

#[test]
fn silence_is_no_picture_until_frames_come_again() {
    let frames = film(6, "null");
    let mut watch = FaultWatch::new(Kind::Facade);
    let mut changes = Vec::new();
    for frame in &frames {
        watch.push(frame, &mut changes);
    }
    for second in 6..=30 {
        watch.tick(Duration::from_secs(second), None, &mut changes);
    }
    assert_only(&changes, AlarmKind::NoPicture, 15..18);
    assert_eq!(watch.raised().collect::<Vec<_>>(), [AlarmKind::NoPicture]);
    // A new timeline begins at 0 again; the alarm's times move to it.
    for frame in &frames {
        watch.push(frame, &mut changes);
    }
    let [_, AlarmChange::Ended { alarm, .. }] = &changes[..] else {
        panic!("{:?}", story(&changes));
    };
    let ended_at = alarm.ended_at.expect("it ended").as_secs_f64();
    assert!((1.9..3.0).contains(&ended_at), "{ended_at}");
    let lasted_s = ended_at - alarm.started_at.as_secs_f64();
    assert!((24.0..28.0).contains(&lasted_s), "{lasted_s}");
}

#[test]
fn a_camera_that_never_delivers_has_no_picture() {
    let mut watch = FaultWatch::new(Kind::Elevator);
    let mut changes = Vec::new();
    for second in 0..=12 {
        watch.tick(Duration::from_secs(second), None, &mut changes);
    }
    assert_only(&changes, AlarmKind::NoPicture, 10..12);
    watch.restart(&mut changes);
    assert!(matches!(changes[..], [_, AlarmChange::Ended { .. }]));
}

#[test]
fn a_clock_half_a_minute_off_is_reported_and_ends_when_it_is_set() {
    let frames = film(2, "null");
    let mut watch = FaultWatch::new(Kind::Facade);
    let mut changes = Vec::new();
    let mut health = CameraHealth {
        clock_offset_ms: Some(-30_000),
        ..CameraHealth::default()
    };
    for second in 0..200_i64 {
        if second == 100 {
            health.clock_offset_ms = Some(40);
        }
        let mut frame = frames[0].clone();
        frame.at = StreamTime::from_secs_f64(second as f64);
        frame.captured_at = Timestamp::from_second(second).expect("in range");
        watch.push(&frame, &mut changes);
        let now = Duration::from_secs(second.unsigned_abs());
        watch.tick(now, Some(&health), &mut changes);
    }
    let clock: Vec<_> = story(&changes)
        .into_iter()
        .filter(|(_, kind, _)| *kind == "clock_drift")
        .collect();
    assert_eq!(clock.len(), 2, "{:?}", story(&changes));
    assert!((60..62).contains(&clock[0].2) && (160..162).contains(&clock[1].2));
}
