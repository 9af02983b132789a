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

/// Returns a sentence for each figure that is worse than its floor, and for a subset that is not
/// the one that was measured.
fn worse(now: &Gates, floors: &Gates) -> Vec<String> {
    let (falls, pictures, rides) = (&now.falls, &now.pictures, &now.rides);
    let same = [
        ("clips of facades", falls.clips, floors.falls.clips),
        ("falls", falls.falls, floors.falls.falls),
        (
            "pictures of e-bikes",
            pictures.ebikes,
            floors.pictures.ebikes,
        ),
        ("other pictures", pictures.others, floors.pictures.others),
        ("clips of elevators", rides.clips, floors.rides.clips),
        ("rides", rides.rides, floors.rides.rides),
    ];
    let least = [
        ("falls found", falls.found_min, floors.falls.found_min),
        (
            "floors exact",
            falls.floors_exact_min,
            floors.falls.floors_exact_min,
        ),
        (
            "floors covered",
            falls.floors_covered_min,
            floors.falls.floors_covered_min,
        ),
        (
            "e-bikes found",
            pictures.found_min,
            floors.pictures.found_min,
        ),
        ("rides found", rides.found_min, floors.rides.found_min),
    ];
    let most = [
        ("false falls", falls.false_max, floors.falls.false_max),
        (
            "second alarms of falls",
            falls.second_max,
            floors.falls.second_max,
        ),
        (
            "pictures wrong",
            pictures.wrong_max,
            floors.pictures.wrong_max,
        ),
        ("false rides", rides.false_max, floors.rides.false_max),
        (
            "second alarms of rides",
            rides.second_max,
            floors.rides.second_max,
        ),
    ];
    let delays = [
        ("fall", falls.delay_max_s, floors.falls.delay_max_s),
        ("ride", rides.delay_max_s, floors.rides.delay_max_s),
    ];
    let told = |(what, now, floor): &(&str, usize, usize), than: &str| {
        format!("{what}: {now}, {than} {floor}")
    };
    let mut worse = Vec::new();
    worse.extend(
        same.iter()
            .filter(|(_, now, then)| now != then)
            .map(|row| told(row, "measured were")),
    );
    worse.extend(
        least
            .iter()
            .filter(|(_, now, least)| now < least)
            .map(|row| told(row, "at least")),
    );
    worse.extend(
        most.iter()
            .filter(|(_, now, most)| now > most)
            .map(|row| told(row, "at most")),
    );
    let late = delays.iter().filter(|(_, now, most)| *now > most + 1e-3);
    worse.extend(
        late.map(|(what, now, most)| format!("slowest {what}: {now:.3} s, at most {most}")),
    );
    worse
}

/// Alarms beside the events that were expected.
struct Sorted {
    /// The first alarm of each event.
    first: Vec<Option<Value>>,
    second: usize,
    false_alarms: usize,
}

/// Gives each alarm to the event that it belongs to.
fn sorted<E>(alarms: Vec<Value>, events: &[E], belongs: impl Fn(&Value, &E) -> bool) -> Sorted {
    let mut out = Sorted {
        first: vec![None; events.len()],
        second: 0,
        false_alarms: 0,
    };
    for alarm in alarms {
        match events.iter().position(|event| belongs(&alarm, event)) {
            None => out.false_alarms += 1,
            Some(number) if out.first[number].is_some() => out.second += 1,
            Some(number) => out.first[number] = Some(alarm),
        }
    }
    out
}

fn falls() -> Falls {
    let mut figures = Falls::default();
    for clip in falling::facades(&folder()) {
        let events = falling::expectations(&clip).alarm;
        let scene = clip.with_extension("scene.toml");
        let raised = falling::alarms(&falling::replay(&clip, Some(&scene)));
        let sorted = sorted(raised, &events, follows);
        figures.clips += 1;
        figures.falls += events.len();
        figures.second_max += sorted.second;
        figures.false_max += sorted.false_alarms;
        for (alarm, fall) in sorted.first.iter().zip(&events) {
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
        figures.second_max += sorted.second;
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
