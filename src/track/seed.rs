//! How a track may begin: three candidates in a row that one falling thing could have left. Only
//! downwards: what is thrown up is met on its way down, and followed back from there.

use std::collections::VecDeque;

use super::nearby::{Nearby, Window};
use crate::clock::StreamTime;
use crate::detect::motion::Candidate;

/// Earlier frames searched for a beginning, for each of the two earlier sightings.
pub(crate) const SEED_FRAMES: usize = 3;

/// Time between two sightings of a beginning at most, seconds.
pub(crate) const SEED_GAP_S: f64 = 0.21;

/// Speed at most, picture heights a second: 24 m/s where 12 m fill the picture.
const SPEED_MAX: f64 = 2.2;

/// Returns where a falling thing that is now at `newest` can have been `gap_s` earlier: above it.
pub(crate) fn seed_window(newest: &Candidate, gap_s: f64, height_px: f64) -> Window {
    let area = &newest.area;
    let aside = 0.5 * height_px * gap_s + 2.0;
    Window {
        left: area.x_px - aside,
        right: area.x_px + aside,
        top: area.y_px - SPEED_MAX * height_px * gap_s,
        bottom: area.y_px + 0.5,
    }
}

pub(crate) fn is_alike(a: &Candidate, b: &Candidate) -> bool {
    (a.mass / b.mass.max(1.0)).ln().abs() < 1.8
}

/// Returns the candidate that stands before the other two as a falling thing would: the nearest to
/// where gravity of a middling scale puts it.
pub(crate) fn find_oldest(
    recent: &VecDeque<Nearby>,
    (newest_at, newest): (StreamTime, &Candidate),
    (middle_at, middle): (StreamTime, &Candidate),
    height_px: f64,
) -> Option<(StreamTime, Candidate)> {
    let late_s = newest_at.secs_since(middle_at);
    let speed_x = (newest.area.x_px - middle.area.x_px) / late_s;
    let speed_y = (newest.area.y_px - middle.area.y_px) / late_s;
    let mut best: Option<(f64, StreamTime, Candidate)> = None;
    let earlier = recent.iter().rev().filter(|frame| frame.at < middle_at);
    for frame in earlier.take(SEED_FRAMES) {
        let early_s = middle_at.secs_since(frame.at);
        if early_s > SEED_GAP_S {
            break;
        }
        // Speed differs between the two intervals by acceleration times half their sum.
        let bend = 0.5 * early_s * (early_s + late_s) * height_px;
        let slack = 2.0 + 0.15 * middle.area.height_px.max(newest.area.height_px);
        let window = Window {
            left: middle.area.x_px - speed_x * early_s - slack,
            right: middle.area.x_px - speed_x * early_s + slack,
            top: middle.area.y_px - speed_y * early_s - 0.1 * bend - slack,
            bottom: middle.area.y_px - speed_y * early_s + 1.3 * bend + slack,
        };
        let expected = middle.area.y_px - speed_y * early_s + 0.4 * bend;
        frame.visit(window, |_, oldest| {
            let fallen_px = newest.area.y_px - oldest.area.y_px;
            if fallen_px < 2.5 || !is_alike(middle, oldest) {
                return;
            }
            let away = (oldest.area.y_px - expected)
                .hypot(oldest.area.x_px - middle.area.x_px + speed_x * early_s);
            if best.as_ref().is_none_or(|(least, ..)| away < *least) {
                best = Some((away, frame.at, *oldest));
            }
        });
    }
    best.map(|(_, at, oldest)| (at, oldest))
}
