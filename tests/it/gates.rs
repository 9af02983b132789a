//! Regression gates: on a small seeded subset, recall and false alarms may not get worse than
//! models/evaluation/gates.toml says. The subset stands in fixtures/gates and is made by
//! `python -m evaluation gates`; no training may use its seeds.
//!
//! `PLUMB_GATES=write cargo test --test it gates` measures the floors again, for a change that
//! is meant to move them; the file's history then says so.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{ebike, falling};

const HEAD: &str = "\
# The floors under the figures of the small seeded subset in fixtures/gates (tests/it/gates.rs): found
# may not be fewer, wrong, false and second alarms not more, delays not longer.
# `PLUMB_GATES=write cargo test --test it gates` writes what the program reaches now.
";

/// What is in fixtures/gates and what the program must reach on it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Gates {
    falls: Falls,
    pictures: Pictures,
    rides: Rides,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Falls {
    clips: usize,
    falls: usize,
    found_min: usize,
    second_max: usize,
    false_max: usize,
    /// Of the found ones.
    floors_exact_min: usize,
    floors_covered_min: usize,
    /// The slowest alarm, seconds after two storeys.
    delay_max_s: f64,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Pictures {
    ebikes: usize,
    found_min: usize,
    others: usize,
    wrong_max: usize,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rides {
    clips: usize,
    rides: usize,
    found_min: usize,
    second_max: usize,
    false_max: usize,
    /// The slowest alarm, seconds after half of the vehicle is inside.
    delay_max_s: f64,
}

/// Processors round differently, and a score that crosses its threshold a frame later is no worse.
const SLACK_S: f64 = 0.1;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/gates")
}

#[test]
#[expect(clippy::print_stderr, reason = "a gate shows the figure and its floor")]
fn recall_and_false_alarms_are_no_worse_than_they_were() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/evaluation/gates.toml");
    // Side by side: each waits for a program of its own.
    let measured = std::thread::scope(|scope| {
        let falls = scope.spawn(falls);
        let rides = scope.spawn(rides);
        Gates {
            pictures: pictures(),
            falls: falls.join().expect("falls are counted"),
            rides: rides.join().expect("rides are counted"),
        }
    });
    if std::env::var_os("PLUMB_GATES").is_some_and(|value| value == "write") {
        let text = toml::to_string(&measured).expect("plain figures");
        std::fs::write(&path, format!("{HEAD}\n{text}")).expect("written");
    }
    let text = std::fs::read_to_string(&path).expect("the floors are committed");
    let floors: Gates = toml::from_str(&text).expect("as it is written here");
    eprintln!("floors   {floors:?}\nmeasured {measured:?}");
    let worse = worse(&measured, &floors);
    assert!(worse.is_empty(), "{}", worse.join("\n"));
}

/// How a figure is held to its floor.
#[derive(Clone, Copy)]
enum Limit {
    /// The subset itself: another one was not measured.
    Same,
    Least,
    Most,
}

/// Returns a sentence for each figure that is worse than its floor.
fn worse(now: &Gates, floors: &Gates) -> Vec<String> {
    use Limit::{Least, Most, Same};
    let (a, b) = (&now.falls, &floors.falls);
    let mut rows = vec![
        (Same, "clips of facades", a.clips, b.clips),
        (Same, "falls", a.falls, b.falls),
        (Least, "falls found", a.found_min, b.found_min),
        (Most, "second alarms of falls", a.second_max, b.second_max),
        (Most, "false falls", a.false_max, b.false_max),
        (
            Least,
            "floors exact",
            a.floors_exact_min,
            b.floors_exact_min,
        ),
        (
            Least,
            "floors covered",
            a.floors_covered_min,
            b.floors_covered_min,
        ),
    ];
    let (a, b) = (&now.pictures, &floors.pictures);
    rows.extend([
        (Same, "pictures of e-bikes", a.ebikes, b.ebikes),
        (Same, "other pictures", a.others, b.others),
        (Least, "e-bikes found", a.found_min, b.found_min),
        (Most, "pictures wrong", a.wrong_max, b.wrong_max),
    ]);
    let (a, b) = (&now.rides, &floors.rides);
    rows.extend([
        (Same, "clips of elevators", a.clips, b.clips),
        (Same, "rides", a.rides, b.rides),
        (Least, "rides found", a.found_min, b.found_min),
        (Most, "second alarms of rides", a.second_max, b.second_max),
        (Most, "false rides", a.false_max, b.false_max),
    ]);
    let mut worse: Vec<String> = rows.into_iter().filter_map(held).collect();
    for (what, now_s, most_s) in [
        ("fall", now.falls.delay_max_s, floors.falls.delay_max_s),
        ("ride", now.rides.delay_max_s, floors.rides.delay_max_s),
    ] {
        if now_s > most_s + SLACK_S {
            worse.push(format!("slowest {what}: {now_s} s, at most {most_s}"));
        }
    }
    worse
}

/// Returns what is wrong with a figure, if anything.
fn held((limit, what, now, floor): (Limit, &str, usize, usize)) -> Option<String> {
    let (fails, than) = match limit {
        Limit::Same => (now != floor, "measured were"),
        Limit::Least => (now < floor, "at least"),
        Limit::Most => (now > floor, "at most"),
    };
    fails.then(|| format!("{what}: {now}, {than} {floor}"))
}

/// Alarms beside the events that were expected.
struct Sorted {
    /// The first alarm of each event.
    first: Vec<Option<Value>>,
    /// How many more each event raised.
    second: Vec<usize>,
    false_alarms: usize,
}

/// Gives each alarm to the event that it belongs to.
fn sorted<E>(alarms: Vec<Value>, events: &[E], belongs: impl Fn(&Value, &E) -> bool) -> Sorted {
    let mut out = Sorted {
        first: vec![None; events.len()],
        second: vec![0; events.len()],
        false_alarms: 0,
    };
    for alarm in alarms {
        match events.iter().position(|event| belongs(&alarm, event)) {
            None => out.false_alarms += 1,
            Some(number) if out.first[number].is_some() => out.second[number] += 1,
            Some(number) => out.first[number] = Some(alarm),
        }
    }
    out
}

fn falls() -> Falls {
    let mut figures = Falls::default();
    for clip in falling::facades(&folder()) {
        let expected = falling::expectations(&clip);
        let events = &expected.alarm;
        let scene = clip.with_extension("scene.toml");
        let raised = falling::alarms(&falling::replay(&clip, Some(&scene)));
        let sorted = sorted(raised, events, follows);
        figures.clips += 1;
        figures.false_max += sorted.false_alarms;
        for ((alarm, second), fall) in sorted.first.iter().zip(&sorted.second).zip(events) {
            if !counts(fall, expected.duration_s) {
                continue;
            }
            figures.falls += 1;
            figures.second_max += second;
            let Some(alarm) = alarm else { continue };
            figures.found_min += 1;
            let delay_s = falling::number(alarm, "raised_at_s") - fall.two_storeys_at_s;
            figures.delay_max_s = figures.delay_max_s.max(rounded(delay_s));
            let floor = |key: &str| alarm["origin"][key].as_i64();
            let (least, most) = (floor("floor_min"), floor("floor_max"));
            figures.floors_exact_min += usize::from(floor("floor") == Some(fall.floor));
            let covers = least <= Some(fall.floor) && most >= Some(fall.floor);
            figures.floors_covered_min += usize::from(least.is_some() && covers);
        }
    }
    figures
}

/// Whether a fall must be found: the picture shows it for half a second, and for some frames after
/// two storeys, and the clip goes on for as long as an alarm may take. An alarm on another one is
/// neither right nor wrong.
fn counts(fall: &falling::ExpectedAlarm, clip_s: f64) -> bool {
    let shown_from_s = fall.path.first().map_or(fall.left_at_s, |point| point.at_s);
    fall.left_at_s - shown_from_s >= 0.5
        && fall.left_at_s - fall.two_storeys_at_s >= 0.2
        && clip_s - fall.two_storeys_at_s >= 1.0
}

/// Whether half of an alarm's track lies on the way of a fall, in place and time.
fn follows(alarm: &Value, fall: &falling::ExpectedAlarm) -> bool {
    /// Between the path's samples the way is not straight, and the track is not exact.
    const NEAR_PX: f64 = 25.0;
    let track = alarm["track"].as_array().expect("a track");
    let near = track.iter().filter(|point| {
        let at_s = falling::number(point, "at_s");
        let place = place_at(&fall.path, at_s);
        (fall.released_at_s - 0.2..=fall.left_at_s + 0.2).contains(&at_s)
            && (falling::number(point, "x_px") - place.0)
                .hypot(falling::number(point, "y_px") - place.1)
                <= NEAR_PX
    });
    2 * near.count() >= track.len()
}

/// Where the object is, on straight lines between the samples of its path.
fn place_at(path: &[falling::PathPoint], at_s: f64) -> (f64, f64) {
    let later = path.iter().position(|point| point.at_s >= at_s);
    let later = later.unwrap_or(path.len() - 1).max(1);
    let (a, b) = (&path[later - 1], &path[later]);
    let share = ((at_s - a.at_s) / (b.at_s - a.at_s)).clamp(0.0, 1.0);
    let between = |a: f64, b: f64| a + share * (b - a);
    (between(a.x_px, b.x_px), between(a.y_px, b.y_px))
}

/// A labelled picture: the boxes of the e-bikes on it.
#[derive(Deserialize)]
struct Labelled {
    file: String,
    ebikes: Vec<BoxRel>,
}

/// Centre and size, as shares of the picture.
#[derive(Clone, Copy, Deserialize)]
struct BoxRel {
    x: f64,
    y: f64,
    width: f64,
    height: f64,
}

#[derive(Deserialize)]
struct Labels {
    picture: Vec<Labelled>,
}

fn pictures() -> Pictures {
    let folder = folder().join("pictures");
    let text = std::fs::read_to_string(folder.join("labels.toml")).expect("the labels");
    let labels: Labels = toml::from_str(&text).expect("as the generator writes them");
    let files: Vec<_> = labels
        .picture
        .iter()
        .map(|one| folder.join(&one.file))
        .collect();
    let output = ebike::detect(&["--json"], &files);
    assert!(output.status.success(), "{}", ebike::stderr(&output));
    let mut figures = Pictures::default();
    for (record, labelled) in ebike::records(&output).iter().zip(&labels.picture) {
        let size = (
            falling::number(record, "width_px"),
            falling::number(record, "height_px"),
        );
        let claims = record["detections"].as_array().expect("detections");
        let claims: Vec<_> = claims
            .iter()
            .filter(|one| one["class"] == "ebike")
            .collect();
        if labelled.ebikes.is_empty() {
            figures.others += 1;
            figures.wrong_max += usize::from(!claims.is_empty());
        } else {
            figures.ebikes += 1;
            let on = |truth: &BoxRel| claims.iter().any(|claim| iou(claim, truth, size) >= 0.5);
            figures.found_min += usize::from(labelled.ebikes.iter().any(on));
        }
    }
    figures
}

/// Intersection over union of a detection and a box of the truth.
fn iou(found: &Value, truth: &BoxRel, size_px: (f64, f64)) -> f64 {
    let side = |at: f64, length: f64| (at - length / 2.0, at + length / 2.0);
    let of =
        |at: &str, length: &str| side(falling::number(found, at), falling::number(found, length));
    let across = (
        of("x_px", "width_px"),
        side(truth.x * size_px.0, truth.width * size_px.0),
    );
    let down = (
        of("y_px", "height_px"),
        side(truth.y * size_px.1, truth.height * size_px.1),
    );
    let shared = |(a, b): ((f64, f64), (f64, f64))| (a.1.min(b.1) - a.0.max(b.0)).max(0.0);
    let area = |x: (f64, f64), y: (f64, f64)| (x.1 - x.0) * (y.1 - y.0);
    let both = shared(across) * shared(down);
    both / (area(across.0, down.0) + area(across.1, down.1) - both)
}

fn rides() -> Rides {
    let mut figures = Rides::default();
    for clip in ebike::elevators(&folder()) {
        let events = ebike::expectations(&clip).alarm;
        let raised = falling::alarms(&ebike::replayed(&clip).join("\n"));
        let sorted = sorted(raised, &events, |alarm, ride: &ebike::ExpectedRide| {
            let during = ride.at_door_s - 0.5..=ride.left_at_s.unwrap_or(f64::MAX);
            during.contains(&falling::number(alarm, "raised_at_s"))
        });
        figures.clips += 1;
        figures.rides += events.len();
        figures.second_max += sorted.second.iter().sum::<usize>();
        figures.false_max += sorted.false_alarms;
        for (alarm, ride) in sorted.first.iter().zip(&events) {
            let Some(alarm) = alarm else { continue };
            figures.found_min += 1;
            let delay_s = falling::number(alarm, "raised_at_s") - ride.half_inside_at_s;
            figures.delay_max_s = figures.delay_max_s.max(rounded(delay_s));
        }
    }
    figures
}

fn rounded(seconds: f64) -> f64 {
    (seconds * 1000.0).round() / 1000.0
}
