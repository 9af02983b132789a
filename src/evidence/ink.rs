//! Lines, boxes, rings and words on an RGB picture. Knows nothing of alarms.
//!
//! Everything may reach beyond the picture's edge; what lies outside is left out.

use std::sync::LazyLock;

use ab_glyph::{FontRef, PxScale};
use image::{Rgb, RgbImage};
use imageproc::drawing::{draw_text_mut, text_size};

use crate::geometry::Point;

pub const WHITE: Rgb<u8> = Rgb([255, 255, 255]);
pub const BLACK: Rgb<u8> = Rgb([0, 0, 0]);
/// The object and its path.
pub const AMBER: Rgb<u8> = Rgb([255, 190, 20]);
/// Where it came from.
pub const RED: Rgb<u8> = Rgb([255, 70, 60]);
/// The building: floor lines.
pub const CYAN: Rgb<u8> = Rgb([90, 220, 255]);

/// DejaVu Sans Bold, cut down to what is written here; see its LICENSE beside it.
static FONT: LazyLock<FontRef<'static>> = LazyLock::new(|| {
    FontRef::try_from_slice(include_bytes!("dejavu-sans-bold.ttf"))
        .expect("the font is part of the program and a test reads it")
});

/// A pen: colour, width and how much it covers (0..1).
#[derive(Clone, Copy, Debug)]
pub struct Pen {
    pub colour: Rgb<u8>,
    pub width_px: f64,
    pub cover: f64,
}

/// Where a text stands relative to its anchor; it is moved to stay inside the picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Left,
    Right,
    Below,
}

/// Draws a straight line with round ends.
pub fn line(picture: &mut RgbImage, from: Point, to: Point, pen: Pen) {
    let reach = pen.width_px / 2.0 + 1.0;
    let corner = |a: f64, b: f64| (a.min(b) - reach, a.max(b) + reach);
    let (left, right) = corner(from.x, to.x);
    let (top, bottom) = corner(from.y, to.y);
    let (along_x, along_y) = (to.x - from.x, to.y - from.y);
    let length2 = along_x * along_x + along_y * along_y;
    each_pixel(picture, [left, top, right, bottom], |x, y| {
        let share = ((x - from.x) * along_x + (y - from.y) * along_y) / length2.max(1e-9);
        let share = share.clamp(0.0, 1.0);
        let distance = (x - from.x - share * along_x).hypot(y - from.y - share * along_y);
        (pen.colour, edge(pen.width_px / 2.0 - distance) * pen.cover)
    });
}

/// Draws lines from each point to the next.
pub fn polyline(picture: &mut RgbImage, points: &[Point], pen: Pen) {
    for two in points.windows(2) {
        line(picture, two[0], two[1], pen);
    }
}

/// Draws a ring around `centre`.
pub fn ring(picture: &mut RgbImage, centre: Point, radius_px: f64, pen: Pen) {
    let reach = radius_px + pen.width_px;
    let area = [
        centre.x - reach,
        centre.y - reach,
        centre.x + reach,
        centre.y + reach,
    ];
    each_pixel(picture, area, |x, y| {
        let off = ((x - centre.x).hypot(y - centre.y) - radius_px).abs();
        (pen.colour, edge(pen.width_px / 2.0 - off) * pen.cover)
    });
}

/// Fills the upright box `[left, top, right, bottom]`.
pub fn fill(picture: &mut RgbImage, area: [f64; 4], colour: Rgb<u8>, cover: f64) {
    let [left, top, right, bottom] = area;
    each_pixel(picture, area, |x, y| {
        let inside = edge((x - left).min(right - x)) * edge((y - top).min(bottom - y));
        (colour, inside * cover)
    });
}

/// Draws the outline of the upright box `[left, top, right, bottom]`.
pub fn outline(picture: &mut RgbImage, area: [f64; 4], pen: Pen) {
    let [left, top, right, bottom] = area;
    let corners = [
        Point::new(left, top),
        Point::new(right, top),
        Point::new(right, bottom),
        Point::new(left, bottom),
        Point::new(left, top),
    ];
    polyline(picture, &corners, pen);
}

/// Draws only the corners of a box, so that what stands in it stays free.
pub fn corners(picture: &mut RgbImage, area: [f64; 4], pen: Pen) {
    let [left, top, right, bottom] = area;
    let arm = ((right - left).min(bottom - top) / 4.0).max(pen.width_px * 2.0);
    for (x, inward_x) in [(left, arm), (right, -arm)] {
        for (y, inward_y) in [(top, arm), (bottom, -arm)] {
            let corner = Point::new(x, y);
            line(picture, corner, Point::new(x + inward_x, y), pen);
            line(picture, corner, Point::new(x, y + inward_y), pen);
        }
    }
}

/// Returns the size of `words` in pixels, width and height, at the given letter height.
pub fn words_size(words: &str, height_px: f64) -> (f64, f64) {
    let (width, _) = text_size(scale(height_px), &*FONT, words);
    (f64::from(width), height_px * 1.2)
}

/// Writes `words` with their upper left corner at `at`.
pub fn words(picture: &mut RgbImage, at: Point, words: &str, height_px: f64, colour: Rgb<u8>) {
    let (x, y) = (whole(at.x), whole(at.y));
    draw_text_mut(picture, colour, x, y, scale(height_px), &*FONT, words);
}

/// Writes `text` on a dark plate beside `anchor`, moved to stay inside; returns the plate's box.
pub fn label(
    picture: &mut RgbImage,
    anchor: Point,
    side: Side,
    text: &str,
    height_px: f64,
    colour: Rgb<u8>,
) -> [f64; 4] {
    let (width, height) = words_size(text, height_px);
    let pad = height_px * 0.3;
    let (plate_width, plate_height) = (width + 2.0 * pad, height + pad);
    let (left, top) = match side {
        Side::Left => (anchor.x - plate_width, anchor.y - plate_height / 2.0),
        Side::Right => (anchor.x, anchor.y - plate_height / 2.0),
        Side::Below => (anchor.x - plate_width / 2.0, anchor.y),
    };
    let left = left.min(f64::from(picture.width()) - plate_width).max(0.0);
    let top = top.min(f64::from(picture.height()) - plate_height).max(0.0);
    let plate = [left, top, left + plate_width, top + plate_height];
    fill(picture, plate, BLACK, 0.72);
    let at = Point::new(left + pad, top + pad * 0.35);
    words(picture, at, text, height_px, colour);
    plate
}

/// Lays `share` (0..1) of `colour` over one pixel.
pub fn blend(pixel: &mut Rgb<u8>, colour: Rgb<u8>, share: f64) {
    for (below, above) in pixel.0.iter_mut().zip(colour.0) {
        let mixed = f64::from(*below) + (f64::from(above) - f64::from(*below)) * share;
        *below = byte(mixed);
    }
}

/// Returns the nearest byte.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "clamped to 0..=255 first"
)]
pub(super) fn byte(value: f64) -> u8 {
    value.round().clamp(0.0, 255.0) as u8
}

/// Returns the nearest whole number, saturating.
#[expect(clippy::cast_possible_truncation, reason = "a float cast saturates")]
pub(super) fn whole(value: f64) -> i32 {
    value.round() as i32
}

fn scale(height_px: f64) -> PxScale {
    #[expect(clippy::cast_possible_truncation, reason = "letter heights are small")]
    PxScale::from(height_px as f32)
}

/// Returns how much of a pixel lies inside an edge `inside_px` away: softens it over one pixel.
fn edge(inside_px: f64) -> f64 {
    (inside_px + 0.5).clamp(0.0, 1.0)
}

/// Blends what `ink` returns over each pixel whose centre may lie in `area`.
fn each_pixel(picture: &mut RgbImage, area: [f64; 4], ink: impl Fn(f64, f64) -> (Rgb<u8>, f64)) {
    let [left, top, right, bottom] = area;
    let range = |low: f64, high: f64, size: u32| {
        let low = u32::try_from(whole(low.floor())).unwrap_or(0);
        let high = u32::try_from(whole(high.ceil()) + 1).unwrap_or(0);
        low..high.min(size)
    };
    for y in range(top, bottom, picture.height()) {
        for x in range(left, right, picture.width()) {
            let (colour, cover) = ink(f64::from(x) + 0.5, f64::from(y) + 0.5);
            if cover > 0.0 {
                blend(picture.get_pixel_mut(x, y), colour, cover);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ab_glyph::Font;

    #[test]
    fn the_font_has_every_character_that_pictures_write() {
        for letter in (' '..='~').chain("°±²·×–…↑→↓".chars()) {
            assert_ne!(FONT.glyph_id(letter).0, 0, "{letter:?} is missing");
        }
    }

    #[test]
    fn drawing_beyond_the_edge_leaves_the_rest_out() {
        let mut picture = RgbImage::new(20, 10);
        let pen = Pen {
            colour: WHITE,
            width_px: 2.0,
            cover: 1.0,
        };
        let (from, to) = (Point::new(-50.0, 5.0), Point::new(500.0, 5.0));
        line(&mut picture, from, to, pen);
        ring(&mut picture, Point::new(-3.0, 40.0), 9.0, pen);
        assert_eq!(picture.get_pixel(0, 5).0, [255, 255, 255]);
        assert_eq!(picture.get_pixel(0, 9).0, [0, 0, 0]);
        // A plate larger than the picture begins at its edge.
        let plate = label(&mut picture, to, Side::Right, "far away", 12.0, WHITE);
        assert_eq!(&plate[..2], [0.0, 0.0]);
    }
}
