//! Evidence on real recordings: clips that browsers play, pictures, manifests, failing disks.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use plumb::alarm::{Alarm, AlarmKind, Origin, TrackPoint};
use plumb::clock::StreamTime;
use plumb::decode::{Cutout, Decoder, Frame};
use plumb::evidence::copy::Copyist;
use plumb::evidence::manifest::{self, Finding, State};
use plumb::evidence::{
    Collector, Evidence, EvidenceContext, EvidenceError, EvidenceJob, Hidden, Raised, picture,
};
use plumb::geometry::{BoxPx, Polygon};
use plumb::id::{AlarmId, CameraId};
use plumb::scene::facade::FacadeScene;
use plumb::source::file::Recording;
use plumb::source::{Codec, Framing, Packet, StreamInfo};

const RAISED_S: f64 = 13.0;

/// Makes a recording of `seconds` with FFmpeg's own encoder; a key picture every two seconds.
fn record(folder: &Path, name: &str, seconds: u32, encoder: &[&str]) -> PathBuf {
    let path = folder.join(name);
    let source = format!("testsrc2=size=160x120:rate=25:duration={seconds}");
    let status = Command::new("ffmpeg")
        .args(["-v", "error", "-y", "-f", "lavfi", "-i", &source])
        .args(["-pix_fmt", "yuv420p", "-g", "50"])
        .args(encoder)
        .arg(&path)
        .status()
        .expect("ffmpeg is installed, as the Makefile does");
    assert!(status.success(), "ffmpeg could not make {name}");
    path
}

/// Makes an H.264 recording for tests elsewhere.
pub(crate) fn record_clip(folder: &Path, name: &str, seconds: u32) {
    record(folder, name, seconds, H264_B);
}

const H264_B: &[&str] = &["-c:v", "libx264", "-preset", "ultrafast", "-bf", "2"];
const H265: &[&str] = &[
    "-c:v",
    "libx265",
    "-preset",
    "ultrafast",
    "-x265-params",
    "log-level=error:keyint=50",
];

struct Stream {
    info: Arc<StreamInfo>,
    packets: Vec<Packet>,
}

fn read(path: &Path) -> Stream {
    let mut recording = Recording::open(path).expect("a recording");
    let mut packets = Vec::new();
    while let Some(packet) = recording.next_packet().expect("whole") {
        packets.push(packet);
    }
    Stream {
        info: Arc::clone(recording.info()),
        packets,
    }
}

fn frames(stream: &Stream) -> Vec<Frame> {
    let mut decoder = Decoder::open(&stream.info).expect("a decoder");
    let mut frames = Vec::new();
    for packet in &stream.packets {
        decoder.push(packet, |frame| frames.push(frame));
    }
    decoder.finish(|frame| frames.push(frame));
    frames
}

fn context() -> Arc<EvidenceContext> {
    Arc::new(EvidenceContext {
        camera: CameraId::parse("facade-3").expect("an id"),
        site: None,
        models: Vec::new(),
        scene_sha256: None,
        facade: None,
    })
}

fn fall(raised_s: f64) -> Alarm {
    let track = (0..10)
        .map(|n| {
            let at_s = raised_s - 0.36 + 0.04 * f64::from(n);
            let y_px = 20.0 + 2.0 * f64::from(n * n);
            TrackPoint {
                at: StreamTime::from_secs_f64(at_s),
                area: BoxPx::from_corners(60.0, y_px / 2.0, 66.0, y_px / 2.0 + 6.0),
            }
        })
        .collect();
    Alarm {
        kind: AlarmKind::FallingObject,
        started_at: StreamTime::from_secs_f64(raised_s - 0.36),
        raised_at: StreamTime::from_secs_f64(raised_s),
        ended_at: None,
        score: 0.93,
        track,
        origin: Some(Origin {
            x_px: 105.0,
            y_px: 25.0,
            floor: None,
            floor_min: None,
            floor_max: None,
        }),
    }
}

fn wall() -> Timestamp {
    "2026-03-04T23:59:59Z".parse().expect("a time")
}

/// Runs the stream through a collector with one fall raised at `RAISED_S`, and returns all jobs.
fn collect(stream: &Stream) -> Vec<EvidenceJob> {
    collect_in(stream, context())
}

fn collect_in(stream: &Stream, context: Arc<EvidenceContext>) -> Vec<EvidenceJob> {
    let mut collector = Collector::new(context);
    let mut jobs = Vec::new();
    collector.start(Arc::clone(&stream.info), &mut jobs);
    let all_frames = frames(stream);
    let mut alarm = fall(RAISED_S);
    let id = AlarmId::new(wall());
    let now = |packet: &Packet| Duration::from_micros(packet.at.as_micros().unsigned_abs());
    let mut before = Vec::new();
    let mut state = 0;
    for packet in &stream.packets {
        collector.packet(packet, now(packet), &mut jobs);
        before.push(packet.clone());
        if state == 0 && packet.at >= alarm.raised_at {
            let at = |frame: &&Frame| (RAISED_S - 0.4..=RAISED_S).contains(&frame.at.as_secs_f64());
            let shown = all_frames.iter().filter(at).cloned().map(Cutout::whole);
            let shown: Vec<Cutout> = shown.collect();
            let raised = Raised {
                id,
                raised_at: wall(),
                alarm: &alarm,
                frames: &shown,
                pre_roll: before.clone(),
            };
            jobs.push(collector.raised(raised).expect("room"));
            state = 1;
        } else if state == 1 && packet.at.as_secs_f64() > RAISED_S + 1.0 {
            alarm.ended_at = Some(StreamTime::from_secs_f64(RAISED_S + 1.0));
            jobs.extend(collector.ended(id, &alarm, &[]));
            state = 2;
        }
    }
    collector.finish("the stream ended", &mut jobs);
    jobs
}

fn write_all(jobs: &[EvidenceJob], root: &Path) -> Evidence {
    let mut newest = None;
    for job in jobs {
        newest = Some(job.write(root).expect("a writable folder"));
    }
    newest.expect("at least one job")
}

fn boxes(mp4: &[u8]) -> Vec<String> {
    let mut names = Vec::new();
    let mut rest = mp4;
    while rest.len() >= 8 {
        let size = u32::from_be_bytes(rest[..4].try_into().expect("four bytes")) as usize;
        names.push(String::from_utf8_lossy(&rest[4..8]).into_owned());
        rest = rest.get(size.max(8)..).unwrap_or_default();
    }
    names
}

fn has(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

fn names(evidence: &Evidence) -> Vec<&str> {
    evidence.files.iter().map(|f| f.name.as_str()).collect()
}

/// Asserts that the clip is ten seconds on each side and decodes from its very first picture.
fn assert_whole_clip(clip: &Path, codec: Codec, tag: &[u8]) {
    let bytes = fs::read(clip).expect("the clip");
    let order = boxes(&bytes);
    let place = |name: &str| order.iter().position(|known| known == name);
    assert!(place("moov") < place("mdat"), "not faststart: {order:?}");
    assert!(has(&bytes, tag), "not tagged {tag:?}");
    let stream = read(clip);
    assert_eq!(stream.info.codec, codec);
    assert_eq!(stream.info.framing, Framing::LengthPrefixed);
    assert!(stream.packets[0].key && stream.packets[0].at == StreamTime::ZERO);
    let last = stream.packets.iter().map(|p| p.at).max().expect("packets");
    // From the key picture at 2 s (raised at 13 s, minus 10 s, a key every 2 s) to 23 s, and the
    // pictures just beyond from which the last ones are predicted.
    assert!(
        (20.95..21.3).contains(&last.as_secs_f64()),
        "ends at {last}"
    );
    let frames = frames(&stream);
    assert_eq!(frames.len(), stream.packets.len());
    assert!(frames.iter().all(|frame| !frame.damaged));
}

#[test]
fn keeps_a_fall_as_clip_pictures_and_manifest() {
    let folder = tempfile::tempdir().expect("a folder");
    let stream = read(&record(folder.path(), "b.mp4", 30, H264_B));
    assert!(
        stream.packets.iter().any(|p| p.at != p.decode_at),
        "the recording must have B-frames to be a test"
    );
    let root = folder.path().join("evidence");
    let jobs = collect(&stream);
    assert_eq!(
        jobs.iter().map(EvidenceJob::seals).collect::<Vec<_>>(),
        [false, false, true]
    );
    let early = jobs[0].write(&root).expect("pictures");
    assert_eq!(names(&early), ["snapshot.jpg", "strobe.jpg"]);
    let evidence = write_all(&jobs, &root);
    assert!(
        evidence.sealed && evidence.missing.is_empty(),
        "{evidence:?}"
    );
    assert_eq!(
        names(&evidence),
        ["clip.mp4", "snapshot.jpg", "strobe.jpg", "manifest.json"]
    );
    assert!(evidence.folder.starts_with("2026-03-04"));
    let bundle = root.join(&evidence.folder);
    assert_whole_clip(&bundle.join("clip.mp4"), Codec::H264, b"avc1");
    let report = manifest::verify(&bundle).expect("a manifest");
    assert!(report.all_match(), "{:?}", report.findings);
    let clip = report.manifest.clip.expect("a clip");
    assert_eq!((clip.starts_at_s, clip.cut), (2.0, None));
    assert_eq!(report.manifest.alarm.ended_at_s, Some(RAISED_S + 1.0));
    assert_eq!(report.manifest.alarm.track, fall(RAISED_S).track);
    // Also where the camera is away: by this the alarm's page draws the facade.
    let (info, size_px) = (&stream.info, manifest::picture_size_px(&bundle));
    assert_eq!(size_px, Some((info.width_px, info.height_px)));
    assert_eq!(manifest::picture_size_px(&root), None);
}

/// A mask over all of the picture: what is seen then was drawn on it.
fn all_of_it() -> Vec<Polygon> {
    let corners = [[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]];
    vec![Polygon {
        corners: corners.map(Into::into).to_vec(),
    }]
}

/// Returns how many pixels are as blue as only the recording is: ink is amber, red and white.
fn blue(path: &Path) -> usize {
    let picture = image::open(path).expect("a picture").to_rgb8();
    let is_blue = |pixel: &&image::Rgb<u8>| pixel.0[2] > pixel.0[0].saturating_add(60);
    picture.pixels().filter(is_blue).count()
}

#[test]
fn what_a_mask_covers_is_in_the_clip_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let stream = read(&record(folder.path(), "b.mp4", 30, H264_B));
    let plain = write_all(&collect(&stream), &folder.path().join("plain"));
    let facade = FacadeScene {
        floors: 6,
        storey_height_m: 3.0,
        floor_lines: Vec::new(),
        masks: all_of_it(),
        openings: Vec::new(),
    };
    let masked = EvidenceContext {
        facade: Some(facade),
        ..(*context()).clone()
    };
    let jobs = collect_in(&stream, Arc::new(masked));
    let masked = write_all(&jobs, &folder.path().join("masked"));
    for name in ["snapshot.jpg", "strobe.jpg"] {
        let plain = folder.path().join("plain").join(&plain.folder).join(name);
        let masked = folder.path().join("masked").join(&masked.folder).join(name);
        assert!(blue(&plain) > 500, "{name}");
        assert_eq!(blue(&masked), 0, "{name}");
        let bytes = fs::read(masked).expect("a picture");
        assert!(picture::is_masked(&bytes, &all_of_it()), "{name} says so");
    }
    let clip = folder.path().join("masked").join(&masked.folder);
    assert_whole_clip(&clip.join("clip.mp4"), Codec::H264, b"avc1");
}

#[test]
fn the_caption_below_a_picture_in_blocks_can_still_be_read() {
    let folder = tempfile::tempdir().expect("a folder");
    let stream = read(&record(folder.path(), "b.mp4", 30, H264_B));
    let evidence = write_all(&collect(&stream), folder.path());
    let home = folder.path().join(&evidence.folder);
    let copyist = Copyist {
        folder: home.clone(),
        track: &[],
        raised_at_s: RAISED_S,
        hidden: Hidden::People,
        facade: None,
        watermark: None,
        goes_on: &|| true,
    };
    let file = evidence
        .files
        .iter()
        .find(|file| file.name == "snapshot.jpg");
    let made = folder.path().join("blocks.jpg");
    copyist
        .copy(file.expect("it is there"), &made)
        .expect("a copy");
    let open = |path: &Path| image::open(path).expect("a picture").to_luma8();
    let (plain, blocks) = (open(&home.join("snapshot.jpg")), open(&made));
    assert_eq!(plain.dimensions(), blocks.dimensions());
    // How much two neighbours differ at the most, among rows.
    let steepest = |picture: &image::GrayImage, rows: std::ops::Range<u32>| {
        let at = |x, y| picture.get_pixel(x, y).0[0];
        let steps = rows.flat_map(|y| (1..picture.width()).map(move |x| (x, y)));
        steps.map(|(x, y)| at(x, y).abs_diff(at(x - 1, y))).max()
    };
    let rows = stream.info.height_px..plain.height();
    assert!(steepest(&plain, rows.clone()) > Some(100), "letters");
    let off = rows.flat_map(|y| (0..plain.width()).map(move |x| (x, y)));
    let off = off.map(|(x, y)| plain.get_pixel(x, y).0[0].abs_diff(blocks.get_pixel(x, y).0[0]));
    assert!(off.max() < Some(60), "the same letters");
}

#[test]
fn a_picture_is_drawn_anew_without_what_was_masked_later() {
    let folder = tempfile::tempdir().expect("a folder");
    let stream = read(&record(folder.path(), "b.mp4", 30, H264_B));
    let evidence = write_all(&collect(&stream), folder.path());
    let home = folder.path().join(&evidence.folder);
    let track = fall(RAISED_S).track;
    let copyist = |hidden| Copyist {
        folder: home.clone(),
        track: &track,
        raised_at_s: RAISED_S,
        hidden,
        facade: None,
        watermark: None,
        goes_on: &|| true,
    };
    for name in ["snapshot.jpg", "strobe.jpg"] {
        let file = evidence.files.iter().find(|file| file.name == name);
        let (file, made) = (file.expect("it is there"), folder.path().join(name));
        let copied = copyist(Hidden::Masks(all_of_it())).copy(file, &made);
        copied.expect("a copy");
        assert_eq!(blue(&made), 0, "{name}, with its enlargements");
        let size = |path: &Path| image::image_dimensions(path).expect("a picture");
        assert_eq!(size(&made), size(&home.join(name)), "laid out as it was");
        copyist(Hidden::Nothing).copy(file, &made).expect("a copy");
        assert!(blue(&made) > 500, "{name}");
    }
    // Half of it masked: the other half is as it was.
    let corners = [[0.0, 0.0], [0.3, 0.0], [0.3, 1.0], [0.0, 1.0]];
    let left = Polygon {
        corners: corners.map(Into::into).to_vec(),
    };
    let file = &evidence.files[1];
    let made = folder.path().join("half.jpg");
    let copied = copyist(Hidden::Masks(vec![left])).copy(file, &made);
    copied.expect("a copy");
    let (plain, half) = (
        image::open(home.join(&file.name))
            .expect("a picture")
            .to_rgb8(),
        image::open(&made).expect("a picture").to_rgb8(),
    );
    assert!(half.get_pixel(20, 60).0.iter().all(|value| *value < 30));
    let off = |x: u32, y: u32| {
        let (a, b) = (plain.get_pixel(x, y).0, half.get_pixel(x, y).0);
        (0..3).map(|channel| a[channel].abs_diff(b[channel])).max()
    };
    assert!(off(90, 100) < Some(60) && off(70, 30) < Some(60));
}

#[test]
fn h265_clips_are_tagged_for_browsers() {
    let folder = tempfile::tempdir().expect("a folder");
    let stream = read(&record(folder.path(), "h265.mp4", 30, H265));
    let evidence = write_all(&collect(&stream), folder.path());
    let clip = folder.path().join(&evidence.folder).join("clip.mp4");
    assert_whole_clip(&clip, Codec::H265, b"hvc1");
}

#[test]
fn annex_b_streams_become_clips_even_without_parameters_up_front() {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, encoder, tag) in [("raw.ts", H264_B, b"avc1"), ("raw5.ts", H265, b"hvc1")] {
        let mut stream = read(&record(folder.path(), name, 30, encoder));
        assert_eq!(stream.info.framing, Framing::AnnexB);
        Arc::make_mut(&mut stream.info).extra_data = bytes::Bytes::new();
        let evidence = write_all(&collect(&stream), folder.path());
        let clip = folder.path().join(&evidence.folder).join("clip.mp4");
        assert_whole_clip(&clip, stream.info.codec, tag);
    }
}

#[test]
fn jobs_may_run_in_any_order_and_nothing_changes_after_sealing() {
    let folder = tempfile::tempdir().expect("a folder");
    let stream = read(&record(folder.path(), "a.mp4", 30, H264_B));
    let jobs = collect(&stream);
    let sealed = jobs[2].write(folder.path()).expect("all at once");
    assert_eq!(names(&sealed).len(), 4);
    let bundle = folder.path().join(&sealed.folder);
    assert_eq!(jobs[0].write(folder.path()).expect("nothing to do"), sealed);
    assert_eq!(jobs[1].write(folder.path()).expect("nothing to do"), sealed);
    assert!(manifest::verify(&bundle).expect("a manifest").all_match());
}

#[test]
fn a_restart_of_the_stream_cuts_the_clip_and_says_so() {
    let folder = tempfile::tempdir().expect("a folder");
    let stream = read(&record(folder.path(), "short.mp4", 6, H264_B));
    let mut collector = Collector::new(context());
    let mut ready = Vec::new();
    collector.start(Arc::clone(&stream.info), &mut ready);
    let alarm = fall(3.0);
    let raised = Raised {
        id: AlarmId::new(wall()),
        raised_at: wall(),
        alarm: &alarm,
        frames: &[],
        pre_roll: stream.packets[..76].to_vec(),
    };
    let first = collector.raised(raised).expect("room");
    for packet in &stream.packets[76..100] {
        collector.packet(packet, Duration::from_secs(4), &mut ready);
    }
    collector.start(Arc::clone(&stream.info), &mut ready);
    // Packets of the new timeline no longer belong to it.
    collector.packet(&stream.packets[0], Duration::from_secs(5), &mut ready);
    assert_eq!(ready.len(), 1);
    first
        .write(folder.path())
        .expect("no picture, but a folder");
    let evidence = ready[0].write(folder.path()).expect("a manifest");
    let missing: Vec<&str> = evidence.missing.iter().map(|m| m.name.as_str()).collect();
    assert_eq!(missing, ["snapshot.jpg", "strobe.jpg"]);
    let report = manifest::verify(&folder.path().join(&evidence.folder)).expect("a manifest");
    let clip = report.manifest.clip.expect("a clip");
    assert_eq!(clip.pictures, 100);
    let cut = clip.cut.expect("a reason");
    assert!(
        cut.contains("3.0 s before") && cut.contains("began anew"),
        "{cut}"
    );
}

#[test]
fn closes_when_the_camera_falls_silent() {
    let folder = tempfile::tempdir().expect("a folder");
    let stream = read(&record(folder.path(), "short.mp4", 6, H264_B));
    let mut collector = Collector::new(context());
    let mut ready = Vec::new();
    collector.start(Arc::clone(&stream.info), &mut ready);
    let alarm = fall(5.0);
    let raised = Raised {
        id: AlarmId::new(wall()),
        raised_at: wall(),
        alarm: &alarm,
        frames: &[],
        pre_roll: stream.packets.clone(),
    };
    collector.raised(raised).expect("room");
    for second in 100..110 {
        collector.tick(Duration::from_secs(second), &mut ready);
        assert!(ready.is_empty(), "closed after {} s", second - 100);
    }
    collector.tick(Duration::from_secs(110), &mut ready);
    assert_eq!(ready.len(), 1);
}

#[test]
fn the_ninth_open_alarm_of_a_camera_gets_no_evidence_and_the_reason() {
    let mut collector = Collector::new(context());
    let alarm = fall(5.0);
    for n in 0..9_u8 {
        let raised = Raised {
            id: AlarmId::new(wall()),
            raised_at: wall(),
            alarm: &alarm,
            frames: &[],
            pre_roll: Vec::new(),
        };
        let refused = matches!(
            collector.raised(raised),
            Err(EvidenceError::TooMany { open: 8, .. })
        );
        assert_eq!(refused, n == 8);
    }
}

#[test]
fn a_disk_that_cannot_be_written_is_named_and_nothing_else_breaks() {
    let folder = tempfile::tempdir().expect("a folder");
    let stream = read(&record(folder.path(), "a.mp4", 30, H264_B));
    let jobs = collect(&stream);
    // A file where the evidence folder should be: fails also for root, unlike permissions.
    let blocked = folder.path().join("blocked");
    fs::write(&blocked, "not a folder").expect("written");
    let error = jobs[0].write(&blocked).expect_err("no folder can be made");
    assert!(error.to_string().contains("blocked/2026-03-04"), "{error}");
    // The pictures were not lost on the failure: with the disk back, they are written.
    let evidence = jobs[2].write(folder.path()).expect("a good disk");
    assert_eq!(evidence.files.len(), 4);
}

#[test]
fn a_full_disk_leaves_no_half_clip_behind() {
    let stream = {
        let folder = tempfile::tempdir().expect("a folder");
        read(&record(folder.path(), "a.mp4", 30, H264_B))
    };
    // /dev/full answers each write with "no space left"; the clip's temporary name leads there.
    let folder = tempfile::tempdir().expect("a folder");
    std::os::unix::fs::symlink("/dev/full", folder.path().join("clip.mp4.part")).expect("a link");
    let path = folder.path().join("clip.mp4");
    let error = plumb::evidence::clip::write(
        &path,
        &stream.info,
        &stream.packets,
        StreamTime::ZERO,
        StreamTime::from_secs_f64(20.0),
    )
    .expect_err("the disk is full");
    assert!(error.to_string().contains("clip.mp4"), "{error}");
    assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 0);
}

#[test]
fn verify_names_each_altered_missing_and_extra_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let stream = read(&record(folder.path(), "a.mp4", 30, H264_B));
    let evidence = write_all(&collect(&stream), folder.path());
    let bundle = folder.path().join(&evidence.folder);
    let mut clip = fs::read(bundle.join("clip.mp4")).expect("a clip");
    let middle = clip.len() / 2;
    clip[middle] ^= 1;
    fs::write(bundle.join("clip.mp4"), clip).expect("written");
    fs::remove_file(bundle.join("strobe.jpg")).expect("removed");
    fs::write(bundle.join("note.txt"), "hello").expect("written");
    let text = fs::read_to_string(bundle.join("manifest.json")).expect("a manifest");
    fs::write(bundle.join("manifest.json"), text.replace("0.93", "0.99")).expect("written");
    let found = |name: &str, state| Finding {
        name: name.to_owned(),
        state,
    };
    let report = manifest::verify(&bundle).expect("a manifest");
    assert!(!report.all_match());
    assert_eq!(
        report.findings,
        [
            found("manifest.json", State::Altered),
            found("clip.mp4", State::Altered),
            found("snapshot.jpg", State::Ok),
            found("strobe.jpg", State::Missing),
            found("note.txt", State::Extra),
        ]
    );
}
