//! The e-bike detector from the outside: `plumb detect` on good and bad pictures, and elevator
//! clips through `plumb replay`.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use image::{DynamicImage, ImageFormat, RgbImage};
use serde_json::Value;
use tempfile::TempDir;

fn plumb() -> Command {
    Command::new(env!("CARGO_BIN_EXE_plumb"))
}

pub(crate) fn detect(args: &[&str], pictures: &[PathBuf]) -> Output {
    let mut command = plumb();
    command
        .args(["detect", "--model", "ebike"])
        .args(args)
        .args(pictures);
    command.output().expect("plumb runs")
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

pub(crate) fn records(output: &Output) -> Vec<Value> {
    let text = String::from_utf8(output.stdout.clone()).expect("UTF-8");
    assert!(
        text.is_empty() || text.ends_with('\n'),
        "a line ends with a newline"
    );
    text.lines()
        .map(|line| serde_json::from_str(line).expect("a line of JSON"))
        .collect()
}

/// A picture with something on it, 64 x 48.
fn picture() -> RgbImage {
    RgbImage::from_fn(64, 48, |x, y| {
        let value = u8::try_from((x * 3 + y * 2) % 256).expect("under 256");
        image::Rgb([value, 255 - value, 90])
    })
}

fn saved(folder: &TempDir, name: &str, picture: &DynamicImage, format: ImageFormat) -> PathBuf {
    let path = folder.path().join(name);
    picture.save_with_format(&path, format).expect("saved");
    path
}

#[test]
fn every_kind_of_picture_is_read_and_answered_in_order() {
    let folder = TempDir::new().expect("a folder");
    let rgb = DynamicImage::ImageRgb8(picture());
    let large = rgb.resize_exact(7680, 4320, image::imageops::FilterType::Nearest);
    let paths = [
        saved(&folder, "rgb.jpg", &rgb, ImageFormat::Jpeg),
        saved(
            &folder,
            "grey.jpg",
            &rgb.to_luma8().into(),
            ImageFormat::Jpeg,
        ),
        saved(
            &folder,
            "deep.png",
            &rgb.to_rgb16().into(),
            ImageFormat::Png,
        ),
        saved(
            &folder,
            "clear.png",
            &rgb.to_rgba8().into(),
            ImageFormat::Png,
        ),
        saved(
            &folder,
            "dot.png",
            &RgbImage::new(1, 1).into(),
            ImageFormat::Png,
        ),
        saved(&folder, "large.jpg", &large, ImageFormat::Jpeg),
        saved(&folder, "png-by-content.jpg", &rgb, ImageFormat::Png),
    ];
    let output = detect(&["--json"], &paths);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let sizes = [
        (64, 48),
        (64, 48),
        (64, 48),
        (64, 48),
        (1, 1),
        (7680, 4320),
        (64, 48),
    ];
    let records = records(&output);
    assert_eq!(records.len(), paths.len());
    for ((record, path), (width, height)) in records.iter().zip(&paths).zip(sizes) {
        assert_eq!(record["record"], "image");
        assert_eq!(record["path"], path.display().to_string());
        assert_eq!(
            (&record["width_px"], &record["height_px"]),
            (&width.into(), &height.into())
        );
        assert!(record["detections"].is_array());
    }
}

#[test]
fn a_turned_picture_is_seen_upright() {
    let folder = TempDir::new().expect("a folder");
    let rgb = DynamicImage::ImageRgb8(picture());
    let path = saved(&folder, "turned.jpg", &rgb, ImageFormat::Jpeg);
    let mut bytes = std::fs::read(&path).expect("read");
    // After the start marker: APP1 with one EXIF entry, orientation 6 (a quarter turn clockwise).
    let exif = b"\xFF\xE1\x00\x22Exif\0\0MM\0\x2A\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0";
    bytes.splice(2..2, exif.iter().copied());
    std::fs::write(&path, bytes).expect("written");
    let output = detect(&["--json"], &[path]);
    let record = &records(&output)[0];
    assert_eq!(
        (&record["width_px"], &record["height_px"]),
        (&48.into(), &64.into())
    );
}

#[test]
fn a_bad_picture_is_named_and_the_others_are_still_answered() {
    let folder = TempDir::new().expect("a folder");
    let rgb = DynamicImage::ImageRgb8(picture());
    let good = saved(&folder, "good.png", &rgb, ImageFormat::Png);
    let cut = |name: &str, format| {
        let path = saved(&folder, name, &rgb, format);
        let bytes = std::fs::read(&path).expect("read");
        std::fs::write(&path, &bytes[..bytes.len() / 2]).expect("written");
        path
    };
    let written = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).expect("written");
        path
    };
    let bad = [
        folder.path().join("missing.jpg"),
        folder.path().to_path_buf(),
        written("empty.jpg", b""),
        written("text.jpg", b"no picture at all, only words\n"),
        cut("half.jpg", ImageFormat::Jpeg),
        cut("half.png", ImageFormat::Png),
    ];
    for path in bad {
        let output = detect(&["--json"], &[path.clone(), good.clone()]);
        assert_eq!(output.status.code(), Some(1), "{}", path.display());
        assert!(
            stderr(&output).contains(&path.display().to_string()),
            "{}",
            stderr(&output)
        );
        let records = records(&output);
        assert_eq!(records.len(), 1, "{}", path.display());
        assert_eq!(records[0]["path"], good.display().to_string());
    }
}

#[test]
fn wrong_usage_is_exit_code_2_and_names_what_is_known() {
    let cases: [(&[&str], &str); 4] = [
        (&["detect", "--model", "ebkie", "x.jpg"], "ebike"),
        (&["detect", "--model", "ebike"], "IMAGE"),
        (
            &["detect", "--model", "ebike", "--min-score", "2", "x.jpg"],
            "0 to 1",
        ),
        (&["detect", "x.jpg"], "--model"),
    ];
    for (args, expected) in cases {
        let output = plumb().args(args).output().expect("plumb runs");
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(
            stderr(&output).contains(expected),
            "{args:?}: {}",
            stderr(&output)
        );
    }
}

#[test]
fn a_lower_score_shows_more_and_all_of_what_a_higher_one_shows() {
    let folder = TempDir::new().expect("a folder");
    let path = saved(&folder, "some.png", &picture().into(), ImageFormat::Png);
    let count = |score: &str| {
        let output = detect(
            &["--json", "--min-score", score],
            std::slice::from_ref(&path),
        );
        let detections = records(&output)[0]["detections"]
            .as_array()
            .expect("a list")
            .clone();
        for detection in &detections {
            let found = detection["score"].as_f64().expect("a number");
            assert!(found + 1e-4 >= score.parse::<f64>().expect("a number"));
        }
        detections.len()
    };
    assert!(count("0.0") >= count("0.01"));
    assert!(count("0.0") > 0, "everything has some score");
    assert_eq!(count("1.0"), 0);
}

#[test]
fn without_a_runtime_the_message_says_what_to_do() {
    let folder = TempDir::new().expect("a folder");
    let path = saved(&folder, "some.png", &picture().into(), ImageFormat::Png);
    let text = folder.path().join("libonnxruntime.so");
    std::fs::write(&text, "not a library").expect("written");
    for library in [Path::new("/nowhere/libonnxruntime.so"), text.as_path()] {
        let mut command = plumb();
        command.args(["detect", "--model", "ebike"]).arg(&path);
        let output = command
            .env("PLUMB_ONNXRUNTIME", library)
            .output()
            .expect("plumb runs");
        assert_eq!(output.status.code(), Some(1));
        let told = stderr(&output);
        assert!(
            told.contains("make runtime") && told.contains("libonnxruntime.so"),
            "{told}"
        );
    }
}

#[test]
fn a_runtime_that_is_too_old_is_refused_with_both_versions() {
    let folder = TempDir::new().expect("a folder");
    let source = folder.path().join("old.c");
    let code = "static const void *api(unsigned v) { return 0; }
        static const char *version(void) { return \"1.16.3\"; }
        static const struct { const void *(*api)(unsigned); const char *(*version)(void); }
        base = { api, version };
        const void *OrtGetApiBase(void) { return &base; }";
    std::fs::write(&source, code).expect("written");
    let library = folder.path().join("libonnxruntime.so");
    // The compiler that links Rust programs is there wherever this test was built.
    let compiled = Command::new("cc")
        .args(["-shared", "-fPIC", "-o"])
        .arg(&library)
        .arg(&source)
        .status();
    assert!(compiled.expect("cc runs").success());
    let picture = saved(&folder, "some.png", &picture().into(), ImageFormat::Png);
    let mut command = plumb();
    command.args(["detect", "--model", "ebike"]).arg(&picture);
    let output = command
        .env("PLUMB_ONNXRUNTIME", &library)
        .output()
        .expect("plumb runs");
    assert_eq!(output.status.code(), Some(1));
    let told = stderr(&output);
    assert!(told.contains("1.16.3") && told.contains("1.31"), "{told}");
}

/// What a person expects of an elevator clip.
#[derive(serde::Deserialize)]
pub(crate) struct Expected {
    #[serde(default)]
    pub(crate) alarm: Vec<ExpectedRide>,
}

#[derive(serde::Deserialize)]
pub(crate) struct ExpectedRide {
    /// First seen through the open door.
    pub(crate) at_door_s: f64,
    /// Its middle passes the sill.
    pub(crate) half_inside_at_s: f64,
    /// Its last part has passed the sill outwards; none when it stays to the clip's end.
    pub(crate) left_at_s: Option<f64>,
}

fn elevator_clips() -> Vec<PathBuf> {
    elevators(&Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/video"))
}

/// The clips of elevators in a folder, in the order of their names.
pub(crate) fn elevators(folder: &Path) -> Vec<PathBuf> {
    let mut clips: Vec<PathBuf> = std::fs::read_dir(folder)
        .expect("the fixtures")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            name.starts_with("elevator_") && name.ends_with(".mp4")
        })
        .collect();
    clips.sort();
    clips
}

/// What a person expects of a clip, from the file beside it.
pub(crate) fn expectations(clip: &Path) -> Expected {
    let expected = std::fs::read_to_string(clip.with_extension("toml")).expect("expectations");
    toml::from_str(&expected).expect("expectations")
}

/// Returns the alarms that `plumb replay` prints of a clip, as text.
pub(crate) fn replayed(clip: &Path) -> Vec<String> {
    let mut command = plumb();
    command.args(["replay", "--kind", "elevator", "--json", "--scene"]);
    command.arg(clip.with_extension("scene.toml")).arg(clip);
    let output = command.output().expect("plumb runs");
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    let alarms = text
        .lines()
        .filter(|line| line.contains("\"record\":\"alarm\""));
    alarms.map(str::to_owned).collect()
}

#[test]
fn each_ride_of_the_clips_is_one_alarm_in_time_and_nothing_else_is() {
    let clips = elevator_clips();
    assert!(clips.len() >= 3, "{clips:?}");
    for clip in clips {
        let expected = expectations(&clip);
        let alarms = replayed(&clip);
        let name = clip.display();
        assert_eq!(alarms.len(), expected.alarm.len(), "{name}: {alarms:?}");
        for (line, ride) in alarms.iter().zip(&expected.alarm) {
            let alarm: Value = serde_json::from_str(line).expect("a line of JSON");
            let seconds = |key: &str| alarm[key].as_f64().expect("seconds");
            assert_eq!(alarm["kind"], "ebike_in_elevator");
            let raised_s = seconds("raised_at_s");
            let in_time = ride.half_inside_at_s - 0.5..=ride.half_inside_at_s + 2.0;
            assert!(in_time.contains(&raised_s), "{name}: raised at {raised_s}");
            assert!(
                seconds("started_at_s") >= ride.at_door_s - 0.5,
                "{name}: {line}"
            );
            if let Some(left_at_s) = ride.left_at_s {
                let ended_s = seconds("ended_at_s");
                assert!(
                    (left_at_s - 3.0..=left_at_s + 0.5).contains(&ended_s),
                    "{name}: ended at {ended_s}"
                );
            }
            assert!((0.0..=1.0).contains(&seconds("score")));
        }
    }
}

#[test]
fn a_replay_prints_the_same_alarms_again() {
    let clips = elevator_clips();
    let ride = clips
        .iter()
        .find(|clip| clip.ends_with("elevator_ebike_ride.mp4"));
    let ride = ride.expect("the clip of a ride");
    assert_eq!(replayed(ride), replayed(ride));
}
