//! The look at drawn pictures: what changes a figure and what must not.

use super::*;

const WIDTH: u32 = 640;
const HEIGHT: u32 = 360;

/// A wall of windows, no two alike, with noise from `seed`, lit by `light`, shifted by `dx`, `dy`.
fn facade(light: f64, dx: i32, dy: i32, seed: u32) -> Vec<u8> {
    let mut state = seed.wrapping_mul(2_654_435_761).max(1);
    let mut luma = Vec::new();
    for y in 0..i32::try_from(HEIGHT).expect("small") {
        for x in 0..i32::try_from(WIDTH).expect("small") {
            let (x, y) = (x + dx + 1_000, y + dy + 1_000);
            let (column, row) = (x / 40, y / 30);
            let pane = (x % 40) > 12 && (y % 30) > 9;
            // Any mixing of the two numbers will do that does not repeat from window to window.
            let mixed = column.wrapping_mul(73_856_093) ^ row.wrapping_mul(19_349_663);
            let tone = f64::from((mixed.unsigned_abs().wrapping_mul(2_654_435_761) >> 20) % 97);
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            let noise = f64::from(state % 7) - 3.0;
            let value = if pane { 40.0 + tone } else { 150.0 };
            luma.push(byte((value * light).max(16.0) + noise));
        }
    }
    luma
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "clamped"
)]
fn byte(value: f64) -> u8 {
    value.clamp(0.0, 255.0) as u8
}

struct Feed {
    view: View,
    second: f64,
    frames: u32,
}

impl Feed {
    fn new() -> Self {
        Self {
            view: View::new(0.0),
            second: 0.0,
            frames: 0,
        }
    }

    /// Shows pictures five times a second and returns the last figures.
    fn show(&mut self, seconds: f64, picture: impl Fn(u32) -> Vec<u8>) -> PictureFigures {
        let end = self.second + seconds;
        let mut figures = PictureFigures::default();
        while self.second < end {
            let now = StreamTime::from_secs_f64(self.second);
            let mut frame = Frame::from_luma(now, WIDTH, HEIGHT, picture(self.frames));
            frame.key = self.frames.is_multiple_of(10);
            figures = self.view.look(&frame, now, true).expect("a look is due");
            self.second += 0.2;
            self.frames += 1;
        }
        figures
    }
}

#[test]
fn a_view_is_like_itself_in_any_light() {
    let mut feed = Feed::new();
    feed.show(8.0, |n| facade(1.0, 0, 0, n));
    for light in [0.45, 1.0, 1.4] {
        let figures = feed.show(0.2, |n| facade(light, 0, 0, n));
        let view = figures.view.expect("learnt");
        assert!(view.likeness > 0.75, "light {light}: {view:?}");
        assert!(figures.lost_share < Some(0.2), "light {light}: {figures:?}");
        assert!(figures.still_s < 0.1, "light {light}: {figures:?}");
    }
}

#[test]
fn a_moved_view_is_found_where_it_went() {
    let mut feed = Feed::new();
    feed.show(8.0, |n| facade(1.0, 0, 0, n));
    let view = feed
        .show(0.2, |n| facade(1.0, 53, 20, n))
        .view
        .expect("learnt");
    assert!(view.likeness < 0.4 && view.best_likeness > 0.6, "{view:?}");
    let wanted = 53.0_f64.hypot(20.0) / f64::from(WIDTH);
    assert!((view.shift_rel - wanted).abs() < 0.02, "{view:?}");
}

#[test]
fn a_cover_takes_the_structure_away() {
    let mut feed = Feed::new();
    feed.show(8.0, |n| facade(1.0, 0, 0, n));
    let count = (WIDTH * HEIGHT) as usize;
    let figures = feed.show(0.2, |_| vec![70; count]);
    assert_eq!(figures.lost_share, Some(1.0));
    assert!(figures.contrast < 1.0 && figures.brightness > 60.0);
}

#[test]
fn only_a_picture_without_noise_is_still() {
    let mut feed = Feed::new();
    let alive = feed.show(15.0, |n| facade(1.0, 0, 0, n));
    assert!(alive.still_s < 0.1, "{alive:?}");
    let frozen = feed.show(12.0, |_| facade(1.0, 0, 0, 3));
    assert!((10.0..12.1).contains(&frozen.still_s), "{frozen:?}");
    let alive = feed.show(2.5, |n| facade(1.0, 0, 0, n));
    assert!(alive.still_s < 0.1, "{alive:?}");
}

#[test]
fn a_swaying_camera_swings_and_a_steady_one_does_not() {
    let mut feed = Feed::new();
    let steady = feed.show(4.0, |n| facade(1.0, 0, 0, n));
    assert!(steady.shake_px < Some(0.3), "{steady:?}");
    // Four pixels each way, 0.9 times a second.
    let swaying = feed.show(4.0, |n| {
        let phase = f64::from(n) * 0.2 * 0.9 * std::f64::consts::TAU;
        let dx = if phase.sin() > 0.0 { 4 } else { -4 };
        facade(1.0, dx, 0, n)
    });
    assert!(swaying.shake_px > Some(2.0), "{swaying:?}");
}

#[test]
fn a_picture_of_one_pixel_can_be_looked_at() {
    let mut view = View::new(0.0);
    for (second, size) in [(0.0, 1), (1.0, 3), (2.0, 33)] {
        let now = StreamTime::from_secs_f64(second);
        let luma = vec![90; (size * size) as usize];
        let frame = Frame::from_luma(now, size, size, luma);
        assert!(view.look(&frame, now, true).is_some());
    }
}
