//! Recordings and decoding: what is broken, odd or huge is told or survived, never a crash.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use plumb::clock::{StreamTime, SystemClock};
use plumb::decode::{DecodeError, Decoder, Device, Frame, Hardware};
use plumb::health::Board;
use plumb::id::CameraId;
use plumb::source::file::{self, FileCamera, FileError, Recording, Repeat};
use plumb::source::{Packet, SourceEvent, Turn};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::cameras::{H264, H265, clip};

/// Reads and decodes all of a recording; returns its frames, how it ended, and what went wrong.
struct Played {
    frames: Vec<Frame>,
    end: Result<(), FileError>,
    refused: u64,
    damaged: u64,
    late: u64,
}

fn play(path: &Path) -> Played {
    play_changed(path, |packet| packet)
}

fn play_changed(path: &Path, mut change: impl FnMut(Packet) -> Packet) -> Played {
    let mut recording = Recording::open(path).unwrap();
    let mut decoder = Decoder::open(recording.info()).unwrap();
    let mut frames = Vec::new();
    let end = loop {
        match recording.next_packet() {
            Ok(Some(packet)) => decoder.push(&change(packet), |frame| frames.push(frame)),
            Ok(None) => break Ok(()),
            Err(error) => break Err(error),
        }
    };
    decoder.finish(|frame| frames.push(frame));
    let counters = decoder.counters();
    Played {
        frames,
        end,
        refused: counters.refused_packets,
        damaged: counters.damaged_frames,
        late: counters.late_frames,
    }
}

/// Touches every pixel: a frame whose planes are not what it says would crash here.
fn brightness(frame: &Frame) -> f64 {
    let luma = frame.luma();
    let (blue, red) = frame.chroma();
    let sum = |plane: plumb::decode::Plane<'_>| -> u64 {
        let rows = (0..plane.height_px).flat_map(|y| plane.row(y).iter());
        rows.map(|pixel| u64::from(*pixel)).sum()
    };
    assert!(sum(blue) + sum(red) > 0);
    sum(luma) as f64 / (luma.width_px * luma.height_px) as f64
}

fn assert_in_order(frames: &[Frame]) {
    let later = |pair: &[Frame]| pair[0].at < pair[1].at;
    assert!(frames.windows(2).all(later), "frames go back in time");
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

fn open_error(path: &Path) -> FileError {
    match Recording::open(path) {
        Ok(_) => panic!("{} opened", path.display()),
        Err(error) => error,
    }
}

#[test]
fn times_and_pictures_of_a_whole_clip_are_right_with_and_without_reordering() {
    let folder = folder();
    let reordered: &[&str] = &[
        "-c:v", "libx264", "-bf", "3", "-pix_fmt", "yuv420p", "-g", "25",
    ];
    for (name, encode) in [("a.mp4", H264), ("b.mp4", H265), ("c.mp4", reordered)] {
        let played = play(&clip(folder.path(), name, "160x120", 2.0, encode));
        assert!(played.end.is_ok());
        assert_eq!(played.frames.len(), 50, "{name}");
        assert_eq!(
            (played.refused, played.damaged, played.late),
            (0, 0, 0),
            "{name}"
        );
        for (number, frame) in (0..).zip(&played.frames) {
            assert_eq!(frame.at, StreamTime::from_micros(number * 40_000), "{name}");
            assert!((20.0..235.0).contains(&brightness(frame)), "{name}");
        }
        assert!(played.frames[0].key);
    }
}

#[test]
fn what_is_no_recording_says_so() {
    let folder = folder();
    let path = |name: &str| folder.path().join(name);
    assert!(matches!(
        open_error(&path("none.mp4")),
        FileError::Access { .. }
    ));
    assert!(matches!(
        open_error(folder.path()),
        FileError::Folder { .. }
    ));

    fs::write(path("empty.mp4"), "").unwrap();
    assert!(matches!(
        open_error(&path("empty.mp4")),
        FileError::Empty { .. }
    ));

    fs::write(
        path("text.mp4"),
        "Dear diary, today nothing fell.\n".repeat(40),
    )
    .unwrap();
    let error = open_error(&path("text.mp4"));
    assert!(matches!(error, FileError::NotARecording { .. }), "{error}");
    assert!(error.to_string().contains("text.mp4"));

    // A playlist must not make it open what it names.
    let clip = clip(folder.path(), "a.mp4", "64x64", 0.2, H264);
    let list = format!("#EXTM3U\n#EXTINF:1,\n{}\n#EXT-X-ENDLIST\n", clip.display());
    fs::write(path("list.mp4"), list).unwrap();
    assert!(Recording::open(&path("list.mp4")).is_err());
}

#[test]
fn a_clip_without_video_says_so() {
    let folder = folder();
    let path = folder.path().join("tone.mp4");
    let made = Command::new("ffmpeg")
        .args([
            "-loglevel",
            "error",
            "-f",
            "lavfi",
            "-i",
            "sine=duration=0.5",
            "-c:a",
            "aac",
        ])
        .arg(&path)
        .status()
        .unwrap();
    assert!(made.success());
    assert!(matches!(open_error(&path), FileError::NoVideo { .. }));
}

/// Copies the first `percent` of a file.
fn cut(path: &Path, name: &str, percent: usize) -> PathBuf {
    let whole = fs::read(path).unwrap();
    let kept = whole.len() * percent / 100;
    let cut = path.with_file_name(name);
    fs::write(&cut, &whole[..kept]).unwrap();
    cut
}

#[test]
fn a_recording_that_was_cut_off_says_so_after_what_there_is() {
    let folder = folder();
    let index_last = clip(folder.path(), "last.mp4", "160x120", 2.0, H264);
    let error = open_error(&cut(&index_last, "last_cut.mp4", 60));
    assert!(matches!(error, FileError::Unfinished { .. }), "{error}");

    let faststart = [H264, &["-movflags", "+faststart"]].concat();
    let index_first = clip(folder.path(), "first.mp4", "160x120", 2.0, &faststart);
    let played = play(&cut(&index_first, "first_cut.mp4", 60));
    let error = played.end.unwrap_err();
    assert!(
        matches!(error, FileError::Truncated { .. } | FileError::Read { .. }),
        "{error}"
    );
    assert!(
        (15..49).contains(&played.frames.len()),
        "{}",
        played.frames.len()
    );
    assert_in_order(&played.frames);
}

#[test]
fn an_mp4_cut_without_reencoding_begins_at_its_first_shown_picture() {
    let folder = folder();
    let whole = clip(folder.path(), "whole.mp4", "160x120", 2.0, H264);
    let part = folder.path().join("part.mp4");
    let made = Command::new("ffmpeg")
        .args(["-loglevel", "error", "-ss", "0.6", "-i"])
        .arg(&whole)
        .args(["-c", "copy"])
        .arg(&part)
        .status()
        .unwrap();
    assert!(made.success());
    let played = play(&part);
    assert!(played.end.is_ok(), "{:?}", played.end);
    assert_eq!(played.frames[0].at, StreamTime::ZERO);
    assert_in_order(&played.frames);
}

/// A small random generator: the same seed gives the same damage for ever.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        usize::try_from((self.0 >> 33) % sides as u64).unwrap()
    }
}

#[test]
fn flipped_bytes_never_crash_it_and_frames_still_come() {
    let folder = folder();
    for (name, encode) in [("a.mp4", H264), ("b.mp4", H265)] {
        let whole = clip(folder.path(), name, "160x120", 2.0, encode);
        let mut noticed = 0;
        for seed in 0..20 {
            let mut dice = Dice(seed);
            let played = play_changed(&whole, |mut packet| {
                // The first picture stays whole, so that there is something to build on.
                if packet.at > StreamTime::ZERO {
                    let mut bytes = packet.data.to_vec();
                    for _ in 0..dice.roll(4) {
                        let at = dice.roll(bytes.len());
                        bytes[at] ^= 1 << dice.roll(8);
                    }
                    packet.data = Bytes::from(bytes);
                }
                packet
            });
            assert!(
                played.frames.len() >= 10,
                "{name} seed {seed}: {}",
                played.frames.len()
            );
            assert_in_order(&played.frames);
            played.frames.iter().for_each(|frame| {
                brightness(frame);
            });
            noticed += u64::from(played.refused + played.damaged > 0);
        }
        assert!(noticed > 0, "{name}: no damage was ever noticed");
    }
}

#[test]
fn flipped_bytes_in_the_file_itself_never_crash_it() {
    let folder = folder();
    let whole = fs::read(clip(folder.path(), "a.mp4", "160x120", 1.0, H264)).unwrap();
    for seed in 0..20 {
        let mut dice = Dice(seed);
        let mut bytes = whole.clone();
        for _ in 0..20 {
            let at = dice.roll(bytes.len());
            bytes[at] ^= 1 << dice.roll(8);
        }
        let path = folder.path().join(format!("{seed}.mp4"));
        fs::write(&path, bytes).unwrap();
        // Header damage may make it unreadable, which is an answer too.
        let Ok(mut recording) = Recording::open(&path) else {
            continue;
        };
        let Ok(mut decoder) = Decoder::open(recording.info()) else {
            continue;
        };
        while let Ok(Some(packet)) = recording.next_packet() {
            decoder.push(&packet, |frame| {
                brightness(&frame);
            });
        }
    }
}

#[test]
fn frames_after_a_loss_are_marked_up_to_the_next_key_picture() {
    let folder = folder();
    let whole = clip(folder.path(), "a.mp4", "160x120", 2.0, H264);
    // A key picture every ten: 10, 20, ….
    let mut number = 0;
    let played = play_changed(&whole, |mut packet| {
        packet.lost = u32::from(number == 13);
        number += 1;
        packet
    });
    let damaged: Vec<usize> = (0..50).filter(|n| played.frames[*n].damaged).collect();
    assert_eq!(damaged, (13..20).collect::<Vec<_>>());
}

#[test]
fn odd_tiny_and_huge_pictures_decode() {
    let folder = folder();
    let rgb: &[&str] = &["-c:v", "libx264rgb", "-qp", "0", "-preset", "ultrafast"];
    let grey: &[&str] = &["-c:v", "ffv1", "-pix_fmt", "gray"];
    let full: &[&str] = &["-c:v", "mjpeg", "-pix_fmt", "yuvj420p"];
    let deep: &[&str] = &[
        "-c:v",
        "libx264",
        "-pix_fmt",
        "yuv420p10le",
        "-preset",
        "ultrafast",
    ];
    for (name, size, frames, encode) in [
        ("one.mkv", (1, 1), 5, rgb),
        ("odd.mkv", (161, 121), 5, rgb),
        ("grey.mkv", (33, 17), 5, grey),
        ("full.avi", (161, 121), 5, full),
        ("deep.mp4", (160, 120), 5, deep),
        ("8k.mp4", (7680, 4320), 2, H264),
    ] {
        let scale = format!("scale={}:{}", size.0, size.1);
        let encode = [&["-vf", scale.as_str()], encode].concat();
        let seconds = f64::from(frames) * 0.04;
        let path = clip(folder.path(), name, "160x120", seconds, &encode);
        let played = play(&path);
        assert_eq!(
            played.frames.len(),
            usize::try_from(frames).unwrap(),
            "{name}"
        );
        for frame in &played.frames {
            assert_eq!((frame.width_px(), frame.height_px()), size, "{name}");
            brightness(frame);
        }
    }
}

#[test]
fn pictures_over_the_limit_are_refused_by_their_size() {
    let folder = folder();
    let path = clip(folder.path(), "a.mp4", "64x64", 0.2, H264);
    let mut info = Recording::open(&path).unwrap().info().as_ref().clone();
    (info.width_px, info.height_px) = (16_384, 8192);
    let error = match Decoder::open(&info) {
        Ok(_) => panic!("it opened"),
        Err(error) => error,
    };
    assert!(matches!(error, DecodeError::TooLarge { .. }));
    assert!(error.to_string().contains("16384x8192"), "{error}");
}

#[test]
fn a_video_engine_that_is_not_there_is_refused_with_what_to_do() {
    assert!(Device::open(Hardware::None).unwrap().is_none());
    for (hardware, needed) in [
        (Hardware::Vaapi, "/dev/dri/renderD"),
        (Hardware::Cuda, "libnvcuvid.so.1"),
    ] {
        // A machine that has it opens it, and whatever it decodes is decoded as ever.
        let Err(error) = Device::open(hardware) else {
            continue;
        };
        let told = error.to_string();
        assert!(told.contains(hardware.as_str()), "{told}");
        assert!(told.contains("decode.hardware = \"none\""), "{told}");
        let built_without = told.contains("built without it");
        assert!(built_without || told.contains(needed), "{told}");
    }
}

#[test]
fn pictures_may_change_their_size_in_mid_stream() {
    let folder = folder();
    let annexb = |name, size| {
        let encode = [H264, &["-f", "h264"]].concat();
        fs::read(clip(folder.path(), name, size, 0.4, &encode)).unwrap()
    };
    let mut both = annexb("a.h264", "160x120");
    both.extend(annexb("b.h264", "96x64"));
    let path = folder.path().join("both.h264");
    fs::write(&path, both).unwrap();
    let played = play(&path);
    let sizes: Vec<_> = played.frames.iter().map(Frame::width_px).collect();
    assert_eq!(sizes, [[160; 10], [96; 10]].concat());
    assert_in_order(&played.frames);
}

/// A recording as a camera, and what it brings.
async fn received(camera: FileCamera, wanted: usize) -> (Vec<SourceEvent>, Board, Duration) {
    let (sender, mut events) = mpsc::channel(256);
    let (board, stop) = (Board::default(), CancellationToken::new());
    let started = tokio::time::Instant::now();
    let clock = Arc::new(SystemClock::new());
    let task = tokio::spawn(file::run(
        camera,
        sender,
        board.clone(),
        clock,
        stop.clone(),
    ));
    let mut got = Vec::new();
    let all = async {
        while got.len() < wanted {
            match events.recv().await {
                Some(event) => got.push(event),
                None => break,
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(20), all)
        .await
        .expect("in time");
    let took = started.elapsed();
    stop.cancel();
    drop(events);
    task.await.unwrap();
    (got, board, took)
}

#[tokio::test]
async fn a_recording_plays_as_a_camera_at_its_own_pace_again_and_again() {
    let folder = folder();
    let mut camera = FileCamera::new(
        CameraId::parse("file").unwrap(),
        clip(folder.path(), "a.mp4", "64x64", 0.4, H264),
    );
    // Two rounds: a start, ten packets and an end each.
    let (events, _, took) = received(camera.clone(), 24).await;
    let starts = events
        .iter()
        .filter(|event| matches!(event, SourceEvent::Start(_)));
    assert_eq!(starts.count(), 2);
    assert!(took > Duration::from_millis(700), "{took:?}");

    camera.repeat = Repeat::Once;
    let (events, board, _) = received(camera.clone(), 1000).await;
    assert_eq!(events.len(), 12);
    assert!(matches!(events.last(), Some(SourceEvent::End)));
    assert_eq!(board.camera(&camera.id).unwrap().packets, 10);
}

#[tokio::test]
async fn a_recording_that_cannot_be_read_is_a_failure_of_its_camera() {
    let folder = folder();
    let mut camera = FileCamera::new(
        CameraId::parse("file").unwrap(),
        folder.path().join("none.mp4"),
    );
    camera.repeat = Repeat::Once;
    let (events, board, _) = received(camera.clone(), 1).await;
    assert!(events.is_empty());
    let health = board.camera(&camera.id).unwrap();
    assert_eq!(health.failures["file"], 1);
    assert!(health.error.unwrap().contains("none.mp4"));
}

/// Records what phones do: pictures that lie down, and how they are to be turned.
fn lying(folder: &Path, name: &str, degrees: &str) -> PathBuf {
    let laid = clip(folder, &format!("laid-{name}"), "160x120", 0.4, H264);
    let path = folder.join(name);
    let tag = format!("rotate={degrees}");
    ffmpeg(|ffmpeg| {
        ffmpeg.arg("-i").arg(&laid);
        ffmpeg
            .args(["-c", "copy", "-metadata:s:v", tag.as_str()])
            .arg(&path);
    });
    path
}

fn ffmpeg(arguments: impl FnOnce(&mut Command)) -> Vec<u8> {
    let mut ffmpeg = Command::new("ffmpeg");
    ffmpeg.args(["-v", "error", "-y"]);
    arguments(&mut ffmpeg);
    let output = ffmpeg.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    output.stdout
}

#[test]
fn what_a_phone_recorded_lying_down_stands_upright_and_so_does_its_evidence() {
    let folder = folder();
    for (name, degrees, size) in [
        ("quarter.mp4", "90", (120, 160)),
        ("half.mp4", "180", (160, 120)),
        ("three.mp4", "270", (120, 160)),
    ] {
        let path = lying(folder.path(), name, degrees);
        // FFmpeg's own program turns what it shows.
        let shown = ffmpeg(|ffmpeg| {
            ffmpeg.arg("-i").arg(&path);
            ffmpeg.args(["-f", "rawvideo", "-pix_fmt", "yuv420p", "-"]);
        });
        let played = play(&path);
        assert_eq!(played.frames.len(), 10, "{name}");
        assert_eq!(shown.len(), 10 * 160 * 120 * 3 / 2, "{name}");
        for (frame, shown) in played.frames.iter().zip(shown.chunks(160 * 120 * 3 / 2)) {
            assert_eq!((frame.width_px(), frame.height_px()), size, "{name}");
            let (blue, red) = frame.chroma();
            let pixels = [frame.luma(), blue, red].map(|plane| {
                let rows = (0..plane.height_px).map(|y| plane.row(y));
                rows.collect::<Vec<_>>().concat()
            });
            assert!(
                pixels.concat() == shown,
                "{name} is not turned as FFmpeg turns it"
            );
        }
        let mut recording = Recording::open(&path).unwrap();
        let info = Arc::clone(recording.info());
        let packets: Vec<Packet> =
            std::iter::from_fn(|| recording.next_packet().unwrap()).collect();
        let copied = folder.path().join(format!("copied-{name}"));
        let (from, to) = (StreamTime::ZERO, StreamTime::from_micros(10_000_000));
        plumb::evidence::clip::write(&copied, &info, &packets, from, to).unwrap();
        let turn = Recording::open(&copied).unwrap().info().turn;
        assert!(turn == info.turn && turn != Turn::None, "{name}");
    }
}
