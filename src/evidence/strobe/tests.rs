//! The strobe picture's rules on drawn frames.

use super::*;
use crate::alarm::{AlarmKind, Origin};
use crate::scene::facade::FloorLine;

const SIDE: u32 = 200;

/// A grey wall with a dark 8-px square at `y`.
fn frame(at_s: f64, y: u32) -> Frame {
    let luma = (0..SIDE * SIDE)
        .map(|index| {
            let (column, row) = (index % SIDE, index / SIDE);
            let object = (96..104).contains(&column) && (y..y + 8).contains(&row);
            if object { 30 } else { 150 }
        })
        .collect();
    Frame::from_luma(StreamTime::from_secs_f64(at_s), SIDE, SIDE, luma)
}

fn fall() -> (Alarm, Vec<Cutout>) {
    let moments: Vec<(f64, u32)> = (0..8_u32)
        .map(|n| (f64::from(n) / 25.0, 10 + 3 * n * n))
        .collect();
    let track = moments
        .iter()
        .map(|(at_s, y)| TrackPoint {
            at: StreamTime::from_secs_f64(*at_s),
            area: BoxPx::from_corners(96.0, f64::from(*y), 104.0, f64::from(*y) + 8.0),
        })
        .collect();
    let alarm = Alarm {
        kind: AlarmKind::FallingObject,
        started_at: StreamTime::ZERO,
        raised_at: StreamTime::from_secs_f64(0.28),
        ended_at: None,
        score: 0.9,
        track,
        origin: Some(Origin {
            x_px: 100.0,
            y_px: 14.0,
            floor: Some(12),
            floor_min: Some(11),
            floor_max: Some(13),
        }),
    };
    let frames = moments.iter().map(|(at_s, y)| frame(*at_s, *y));
    (alarm, frames.map(Cutout::whole).collect())
}

#[test]
fn shows_the_object_at_each_position_that_stands_free() {
    let (alarm, frames) = fall();
    let shots = spread(shots(&alarm, &frames));
    let still = composite(&shots, frames[7].pixels());
    assert!(shots.len() >= 5, "{} positions", shots.len());
    for shot in &shots {
        let (x, y) = (ink::whole(shot.area.x_px), ink::whole(shot.area.y_px));
        let pixel = still.get_pixel(x.unsigned_abs(), y.unsigned_abs());
        assert!(pixel.0[0] < 40, "no object at y {y}: {pixel:?}");
    }
    // Positions are copied, not smeared: between two of them the wall is as it was.
    let gap = f64::midpoint(shots[3].area.y_px, shots[4].area.y_px);
    let wall = still.get_pixel(100, ink::whole(gap).unsigned_abs());
    assert!(wall.0[0] > 140, "{wall:?}");
}

#[test]
fn positions_never_cover_each_other() {
    let (alarm, frames) = fall();
    let shots = spread(shots(&alarm, &frames));
    for two in shots.windows(2) {
        assert!(two[0].area.iou(&two[1].area) < 1e-9);
    }
}

#[test]
fn names_floor_and_interval_and_how_far_it_fell() {
    let (alarm, _) = fall();
    let line = |floor, y| FloorLine {
        floor,
        left: Point::new(0.1, y),
        right: Point::new(0.9, y),
    };
    let scene = FacadeScene {
        floors: 12,
        storey_height_m: 3.0,
        floor_lines: vec![line(12, 0.1), line(5, 0.9)],
        masks: Vec::new(),
        openings: Vec::new(),
    };
    let text = figures(&alarm, Some(&scene), 200.0, 200.0);
    assert_eq!(
        text,
        "floor 12 (11–13) · fell 6.4 storeys (about 19 m) in 0.28 s"
    );
    assert!(figures(&alarm, None, 200.0, 200.0).contains("floor is unknown"));
}

#[test]
fn needs_a_frame_that_shows_the_track() {
    let (mut alarm, frames) = fall();
    assert!(draw(&alarm, &frames, None, "caption").is_some());
    assert!(draw(&alarm, &[], None, "caption").is_none());
    alarm.track.clear();
    assert!(draw(&alarm, &frames, None, "caption").is_none());
}

#[test]
fn parts_of_frames_give_the_same_picture_as_whole_ones() {
    let (alarm, frames) = fall();
    let cut = |side_px: f64| -> Vec<Cutout> {
        let points = alarm.track.iter();
        let parts = frames.iter().zip(points).map(|(shown, point)| {
            let is_newest = point.at == alarm.track[7].at;
            let part = Cutout::around(shown.pixels(), &point.area, side_px);
            if is_newest { shown.clone() } else { part }
        });
        parts.collect()
    };
    let whole = draw(&alarm, &frames, None, "caption").expect("a picture");
    let parts = draw(&alarm, &cut(60.0), None, "caption").expect("a picture");
    assert!(whole == parts);
    // What a part does not hold is not shown, and nothing else in its place.
    let mut off = cut(30.0);
    let elsewhere = BoxPx::from_corners(10.0, 10.0, 20.0, 20.0);
    off[3] = Cutout::around(frames[3].pixels(), &elsewhere, 30.0);
    assert_eq!(shots(&alarm, &off).len(), 7);
    // The newest may show no point of the track: it is the background all the same.
    let mut late = cut(60.0);
    let newest = frame(0.4, 190);
    late[7] = Cutout::whole(newest.clone());
    let left = shots(&alarm, &late);
    assert_eq!(left.len(), 7);
    assert_eq!(
        background(&left, &late).map(|shown| shown.at),
        Some(newest.at)
    );
    late.pop();
    assert!(draw(&alarm, &late, None, "caption").is_none());
}
