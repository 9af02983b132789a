//! Falls through `plumb replay`: the project's own facades with what a person expects of them, real
//! clips where they lie beside the checkout, and the watch's own promises.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use ndarray::Array4;
use plumb::alarm::AlarmChange;
use plumb::clock::StreamTime;
use plumb::decode::Frame;
use plumb::detect::session::SessionError;
use plumb::geometry::Point;
use plumb::pipeline::Watch;
use plumb::pipeline::facade::FacadeWatch;
use plumb::scene::Scene;
use plumb::scene::facade::{FacadeScene, FloorLine};
use plumb::verify::{Eye, Looks, Verifier};
use serde::Deserialize;
use serde_json::Value;

/// What a person expects of a clip.
#[derive(Deserialize)]
pub(crate) struct Expected {
    pub(crate) duration_s: f64,
    #[serde(default)]
    pub(crate) alarm: Vec<ExpectedAlarm>,
}

#[derive(Deserialize)]
pub(crate) struct ExpectedAlarm {
    pub(crate) released_at_s: f64,
    pub(crate) two_storeys_at_s: f64,
    pub(crate) left_at_s: f64,
    pub(crate) floor: i64,
    origin: Place,
    pub(crate) path: Vec<PathPoint>,
}

/// Where the object is, about ten times a fall.
#[derive(Deserialize)]
pub(crate) struct PathPoint {
    pub(crate) at_s: f64,
    pub(crate) x_px: f64,
    pub(crate) y_px: f64,
}

#[derive(Deserialize)]
struct Place {
    x_px: f64,
    y_px: f64,
}

fn fixtures() -> Vec<PathBuf> {
    facades(&Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/video"))
}

/// What a person expects of a clip, from the file beside it.
pub(crate) fn expectations(clip: &Path) -> Expected {
    let expected = std::fs::read_to_string(clip.with_extension("toml")).expect("beside it");
    toml::from_str(&expected).expect("as the generator writes it")
}

/// The clips of facades in a folder, in the order of their names.
pub(crate) fn facades(folder: &Path) -> Vec<PathBuf> {
    let mut clips: Vec<PathBuf> = std::fs::read_dir(folder)
        .expect("the fixtures are committed")
        .map(|entry| entry.expect("readable").path())
        .filter(|path| {
            let name = path.file_name().and_then(|name| name.to_str());
            name.is_some_and(|name| name.starts_with("facade_") && name.ends_with(".mp4"))
        })
        .collect();
    clips.sort();
    assert!(!clips.is_empty(), "no facade in {}", folder.display());
    clips
}

/// What `plumb replay --json` prints of a facade.
pub(crate) fn replay(clip: &Path, scene: Option<&Path>) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_plumb"));
    command.arg("replay").arg(clip);
    command.args(["--kind", "facade", "--json"]);
    if let Some(scene) = scene {
        command.arg("--scene").arg(scene);
    }
    let output = command.output().expect("plumb runs");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {stderr}", clip.display());
    String::from_utf8(output.stdout).expect("UTF-8")
}

fn alarm_lines(stdout: &str) -> Vec<&str> {
    let is_alarm = |line: &&str| line.contains("\"record\":\"alarm\"");
    stdout.lines().filter(is_alarm).collect()
}

/// The alarms among the lines that a replay printed.
pub(crate) fn alarms(stdout: &str) -> Vec<Value> {
    let parse = |line: &str| serde_json::from_str(line).expect("a line of JSON");
    alarm_lines(stdout).into_iter().map(parse).collect()
}

pub(crate) fn number(alarm: &Value, key: &str) -> f64 {
    alarm[key]
        .as_f64()
        .unwrap_or_else(|| panic!("{key} in {alarm}"))
}

#[test]
fn each_facade_raises_what_a_person_expects_and_nothing_else() {
    for clip in fixtures() {
        let scene = clip.with_extension("scene.toml");
        let expected = expectations(&clip);
        let found = alarms(&replay(&clip, Some(&scene)));
        let name = clip.display();
        assert_eq!(found.len(), expected.alarm.len(), "{name}: {found:?}");
        for (alarm, expected) in found.iter().zip(&expected.alarm) {
            let raised_at_s = number(alarm, "raised_at_s");
            assert!(
                (expected.released_at_s..=expected.two_storeys_at_s + 1.0).contains(&raised_at_s),
                "{name}: raised at {raised_at_s}"
            );
            let started_at_s = number(alarm, "started_at_s");
            assert!(
                (started_at_s - expected.released_at_s).abs() < 0.8,
                "{name}: started at {started_at_s}"
            );
            assert!(
                number(alarm, "ended_at_s") <= expected.left_at_s + 0.5,
                "{name}"
            );
            let origin = &alarm["origin"];
            let away = (number(origin, "x_px") - expected.origin.x_px)
                .hypot(number(origin, "y_px") - expected.origin.y_px);
            assert!(away < 80.0, "{name}: origin {away} px off");
            let floor = origin["floor"].as_i64().expect("a scene gives floors");
            assert_eq!(floor, expected.floor, "{name}");
            assert!(
                origin["floor_min"].as_i64() <= Some(expected.floor),
                "{name}"
            );
            assert!(
                origin["floor_max"].as_i64() >= Some(expected.floor),
                "{name}"
            );
        }
    }
}

#[test]
fn without_a_scene_a_fall_is_found_and_its_floor_stays_unknown() {
    let clips = fixtures();
    let named = |name: &str| clips.iter().find(|clip| clip.ends_with(name));
    for name in ["facade_day_fall.mp4", "facade_dusk_fall.mp4"] {
        let clip = named(name).expect("committed");
        let found = alarms(&replay(clip, None));
        assert_eq!(found.len(), 1, "{name}: {found:?}");
        assert!(found[0]["origin"]["floor"].is_null(), "{name}");
    }
}

#[test]
fn replaying_twice_prints_the_same_alarms_byte_for_byte() {
    let clip = &fixtures()[1];
    let scene = clip.with_extension("scene.toml");
    let first = replay(clip, Some(&scene));
    let second = replay(clip, Some(&scene));
    assert!(!alarm_lines(&first).is_empty(), "{}", clip.display());
    assert_eq!(alarm_lines(&first), alarm_lines(&second));
}

/// Real clips that lie beside the checkout on a developer's machine; never part of the project.
/// Says so where one is not there.
#[expect(clippy::print_stderr, reason = "a test that is skipped must say so")]
fn real(clip: &str) -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/falling");
    let path = folder.join(clip);
    if !path.exists() {
        eprintln!("skipped: {} is not here", path.display());
    }
    path.exists().then_some(path)
}

#[test]
fn a_real_fall_raises_one_alarm_for_the_thing_and_none_for_its_mirror_image() {
    // When it left the picture, and where.
    for (clip, raised_s, last) in [
        ("falls/office1.mp4", 7.5..9.2, (714.0, 705.0)),
        ("falls/office3.mp4", 3.3..5.4, (839.0, 682.0)),
    ] {
        let Some(path) = real(clip) else { continue };
        let found = alarms(&replay(&path, None));
        assert_eq!(found.len(), 1, "{clip}: {found:?}");
        let raised_at_s = number(&found[0], "raised_at_s");
        assert!(raised_s.contains(&raised_at_s), "{clip}: {raised_at_s}");
        let track = found[0]["track"].as_array().expect("a track");
        let point = track.last().expect("not empty");
        let away = (number(point, "x_px") - last.0).hypot(number(point, "y_px") - last.1);
        assert!(away < 60.0, "{clip}: ends {away} px off");
    }
}

#[test]
fn real_birds_people_cars_and_leaves_raise_nothing() {
    for clip in [
        "birds.mp4",
        "pedestrians.mp4",
        "swaying_tree.mp4",
        "highway.avi",
    ] {
        let Some(path) = real(&format!("negatives/{clip}")) else {
            continue;
        };
        let found = alarms(&replay(&path, None));
        assert!(found.is_empty(), "{clip}: {found:?}");
    }
}

/// Sees the same in everything.
struct Sees(usize);

impl Eye for Sees {
    fn looks(&self, patches: &Array4<f32>) -> Result<Looks, SessionError> {
        assert_eq!(patches.dim(), (1, 32, 32, 32));
        let mut scores = [0.0; 8];
        scores[self.0] = 1.0;
        Ok(Looks(scores))
    }
}

const WIDTH_PX: u32 = 640;
const HEIGHT_PX: u32 = 480;

/// A wall with a little noise, and a dark square at each of `places`.
fn wall(number: u32, places: impl IntoIterator<Item = (f64, f64)>) -> Frame {
    let places: Vec<(f64, f64)> = places.into_iter().collect();
    let mut state = number.wrapping_mul(2_654_435_761).wrapping_add(12_345);
    let mut luma = Vec::with_capacity((WIDTH_PX * HEIGHT_PX) as usize);
    for y in 0..HEIGHT_PX {
        for x in 0..WIDTH_PX {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let noise = u8::try_from(state >> 30).expect("two bits");
            let window = if x / 40 % 2 == 0 && y / 30 % 2 == 0 {
                90
            } else {
                150
            };
            let dark = places.iter().any(|(at_x, at_y)| {
                (f64::from(x) - at_x).abs() < 4.0 && (f64::from(y) - at_y).abs() < 4.0
            });
            luma.push(if dark { 30 } else { window } + noise);
        }
    }
    let at = StreamTime::from_micros(i64::from(number) * 40_000);
    Frame::from_luma(at, WIDTH_PX, HEIGHT_PX, luma)
}

/// Where something is that falls from second 2 on, seen at 20 px a metre.
fn fallen(t_s: f64) -> Option<(f64, f64)> {
    let t_s = t_s - 2.0;
    let y = 30.0 + 20.0 * 0.5 * 9.81 * t_s * t_s;
    (t_s >= 0.0 && y < f64::from(HEIGHT_PX) + 10.0).then_some((300.0 + 8.0 * t_s, y))
}

fn watched<Places>(seen: usize, places: impl Fn(f64) -> Places) -> Vec<AlarmChange>
where
    Places: IntoIterator<Item = (f64, f64)>,
{
    let verifier = Verifier::new(Arc::new(Sees(seen)), 0.5);
    let mut watch = FacadeWatch::new(None, verifier);
    let mut changes = Vec::new();
    for number in 0..140 {
        let frame = wall(number, places(f64::from(number) * 0.04));
        watch.push(&frame, &mut changes);
    }
    watch.restart(&mut changes);
    changes
}

fn raised(changes: &[AlarmChange]) -> usize {
    let is_raised = |change: &&AlarmChange| matches!(change, AlarmChange::Raised { .. });
    changes.iter().filter(is_raised).count()
}

#[test]
fn a_fall_is_raised_once_with_pictures_and_ended_once() {
    let changes = watched(0, fallen);
    let [
        AlarmChange::Raised {
            key, alarm, frames, ..
        },
        AlarmChange::Ended {
            key: ended,
            alarm: whole,
            frames: further,
        },
    ] = &changes[..]
    else {
        panic!("{changes:?}");
    };
    assert_eq!(key, ended);
    // Two storeys of 3 m take 1.1 s.
    let raised_at_s = alarm.raised_at.as_secs_f64();
    assert!((2.9..4.1).contains(&raised_at_s), "{raised_at_s}");
    assert!((1..=16).contains(&frames.len()) && further.len() <= 16);
    assert!(whole.ended_at.is_some() && whole.track.len() > alarm.track.len());
    assert!((alarm.started_at.as_secs_f64() - 2.0).abs() < 0.3);
}

#[test]
fn what_the_verifier_takes_for_a_bird_is_not_raised() {
    assert!(watched(2, fallen).is_empty());
}

#[test]
fn what_keeps_its_speed_rises_or_hangs_is_not_raised() {
    let steady = |t_s: f64| (t_s >= 1.0).then_some((300.0, 120.0 * (t_s - 1.0)));
    let rising = |t_s: f64| fallen(t_s).map(|(x, y)| (x, f64::from(HEIGHT_PX) - y));
    let swinging = |t_s: f64| Some((300.0, 200.0 + 60.0 * (t_s * 4.0).sin()));
    assert!(watched(0, steady).is_empty());
    assert!(watched(0, rising).is_empty());
    assert!(watched(0, swinging).is_empty());
}

#[test]
fn what_is_thrown_up_first_falls_too() {
    let thrown = |t_s: f64| {
        let t_s = t_s - 1.5;
        let y = 120.0 + 20.0 * (-5.0 * t_s + 0.5 * 9.81 * t_s * t_s);
        (t_s >= 0.0 && y < f64::from(HEIGHT_PX) + 10.0).then_some((300.0 + 30.0 * t_s, y))
    };
    assert_eq!(raised(&watched(0, thrown)), 1);
}

#[test]
fn things_that_fall_one_after_the_other_are_alarms_of_their_own() {
    let both = |t_s: f64| fallen(t_s).into_iter().chain(fallen(t_s - 1.6));
    assert_eq!(raised(&watched(0, both)), 2);
}

#[test]
fn a_thing_and_its_image_in_the_glass_are_one_alarm() {
    // The image stands further away: lower for a camera that looks up, and smaller in its way.
    let image = |t_s: f64| fallen(t_s).map(|(x, y)| (x - 25.0, 90.0 + 0.9 * y));
    let both = |t_s: f64| fallen(t_s).into_iter().chain(image(t_s));
    assert_eq!(raised(&watched(0, both)), 1);
}

#[test]
fn things_let_go_at_once_at_two_windows_are_two_alarms() {
    let below = |t_s: f64| fallen(t_s).map(|(x, y)| (x - 20.0, y + 200.0));
    let both = |t_s: f64| fallen(t_s).into_iter().chain(below(t_s));
    assert_eq!(raised(&watched(0, both)), 2);
}

#[test]
fn an_alarm_does_not_go_on_with_what_is_slow_where_the_thing_was_lost() {
    let lands = |t_s: f64| {
        let landed_s = 3.3;
        let slow = |t_s: f64| (309.0, 196.0 + 15.0 * (t_s - landed_s));
        if t_s < landed_s {
            fallen(t_s)
        } else {
            Some(slow(t_s))
        }
    };
    let changes = watched(0, lands);
    let Some(AlarmChange::Ended { alarm, .. }) = changes.last() else {
        panic!("{changes:?}");
    };
    let last_at_s = alarm.track.last().expect("a track").at.as_secs_f64();
    assert!(last_at_s < 4.0, "{last_at_s}");
}

#[test]
fn what_comes_aside_as_far_as_down_is_a_glide_where_no_floor_lines_tell() {
    let glide = |t_s: f64| fallen(t_s).map(|(_, y)| (60.0 + 190.0 * (t_s - 2.0), y));
    assert_eq!(raised(&watched(0, glide)), 0);
}

#[test]
fn parts_are_left_out_of_the_replay_of_a_facade_only() {
    let clip = &fixtures()[0];
    let replayed = |kind: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_plumb"));
        command.arg("replay").arg(clip).args(["--kind", kind]);
        command.args(["--json", "--without", "verifier,surprise"]);
        command.output().expect("plumb runs")
    };
    let facade = replayed("facade");
    assert!(facade.status.success());
    assert!(String::from_utf8_lossy(&facade.stdout).contains("\"record\":\"summary\""));
    let elevator = replayed("elevator");
    assert!(!elevator.status.success());
    assert!(String::from_utf8_lossy(&elevator.stderr).contains("--kind facade"));
}

#[test]
fn a_fall_survives_lost_frames() {
    let verifier = Verifier::new(Arc::new(Sees(0)), 0.5);
    let mut watch = FacadeWatch::new(None, verifier);
    let mut changes = Vec::new();
    for number in (0..140).filter(|number| number % 3 != 1 && !(64..68).contains(number)) {
        let frame = wall(number, fallen(f64::from(number) * 0.04));
        watch.push(&frame, &mut changes);
    }
    watch.restart(&mut changes);
    assert_eq!(changes.len(), 2, "{changes:?}");
}

#[test]
fn another_scene_is_taken_over_between_two_frames_and_the_next_fall_has_a_floor() {
    let line = |floor: i32, y: f64| FloorLine {
        floor,
        left: Point::new(0.1, y),
        right: Point::new(0.9, y),
    };
    // 20 px a metre.
    let storey = 60.0 / f64::from(HEIGHT_PX);
    let facade = FacadeScene {
        floors: 9,
        storey_height_m: 3.0,
        floor_lines: vec![line(1, 1.0), line(3, 1.0 - 2.0 * storey)],
        masks: Vec::new(),
        openings: Vec::new(),
    };
    let mut watch = FacadeWatch::new(None, Verifier::new(Arc::new(Sees(0)), 0.5));
    let mut changes = Vec::new();
    for number in 0..200 {
        let t_s = f64::from(number) * 0.04;
        if number == 105 {
            let scene = Scene {
                facade: Some(facade.clone()),
                elevator: None,
            };
            watch.set_scene(scene, &mut changes);
        }
        // The second one lets go ten frames after the change: what came before it is not forgotten.
        let places = fallen(t_s).into_iter().chain(fallen(t_s - 2.6));
        watch.push(&wall(number, places), &mut changes);
    }
    watch.restart(&mut changes);
    let floors: Vec<Option<i32>> = changes
        .iter()
        .filter_map(|change| match change {
            AlarmChange::Raised { alarm, .. } => Some(alarm.origin?.floor),
            AlarmChange::Ended { .. } => None,
        })
        .collect();
    // From 30 px below the upper edge.
    let floor = 1 + (HEIGHT_PX as i32 - 30) / 60;
    let [None, Some(found)] = floors[..] else {
        panic!("{changes:?}");
    };
    assert!((found - floor).abs() <= 1, "{found} for {floor}");
}
