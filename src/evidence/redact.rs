//! Makes unseen what is not to be seen, and writes on a picture whose copy it is. Works on pictures
//! in colour; knows nothing of roles or tickets.
//!
//! In an elevator everything is pixelated but the e-bike: what nobody looked at may be a person, so
//! it is hidden rather than shown. Where a person is found on the e-bike, that part is pixelated too.
//! On a facade the scene's masks are black; people are a few pixels there.

use image::{Rgb, RgbImage};
use serde::{Deserialize, Serialize};

use super::ink;
use crate::alarm::TrackPoint;
use crate::clock::StreamTime;
use crate::detect::ebike::{Class, EbikeDetector, Least};
use crate::geometry::{BoxPx, Point, Polygon};
use crate::scene::Kind;

/// Blocks across a pixelated picture: an elevator camera shows a face 1/15 to 1/8 as wide as the
/// picture, so it becomes two to three blocks.
const BLOCKS_ACROSS: u32 = 24;
/// The track knows where the e-bike is between two of its points when they are at most this far
/// apart, and this long before and after it.
const TRACK_GAP_S: f64 = 1.0;
/// Lines of the watermark from top to bottom.
const MARKS: u32 = 3;

/// From this score on something may be a person: half of what keeps a track alive, as hiding too much
/// costs less than showing too much.
const PERSON_SCORE: f64 = 0.12;

/// What was done to pictures and clips for the export. All of them carry the ticket's watermark.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Treatment {
    /// Masks are black and people in elevators pixelated: what is given where nothing else is said.
    Protected,
    /// Everything can be seen as the camera saw it.
    Plain,
}

impl Treatment {
    /// Returns the name used in JSON and SQL.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Protected => "protected",
            Self::Plain => "plain",
        }
    }
}

/// Redacts one camera's pictures.
#[derive(Debug)]
pub struct Redactor {
    pub treatment: Treatment,
    pub kind: Kind,
    pub masks: Vec<Polygon>,
    /// Finds people on the e-bike; without it the e-bike is pixelated with the rest.
    pub detector: Option<EbikeDetector>,
}

impl Redactor {
    /// Redacts a picture of which the camera's own fills the upper `height_px` rows. `thing` is where
    /// the alarm's thing is on it.
    pub fn redact(&mut self, picture: &mut RgbImage, height_px: u32, thing: Option<&BoxPx>) {
        if self.treatment == Treatment::Plain {
            return;
        }
        match self.kind {
            Kind::Facade => black_out(picture, &self.masks, height_px),
            Kind::Elevator => {
                let people = thing.and_then(|_| self.people(picture));
                let open = people.as_ref().and(thing);
                pixelate(picture, open, people.as_deref().unwrap_or_default());
            }
        }
    }

    /// Returns where people are; none where that cannot be told.
    fn people(&mut self, picture: &RgbImage) -> Option<Vec<BoxPx>> {
        let least = Least::Score(PERSON_SCORE);
        let found = self
            .detector
            .as_mut()?
            .detect_picture(picture, least)
            .ok()?;
        let people = found.iter().filter(|found| found.class == Class::Person);
        Some(people.map(|person| person.area).collect())
    }
}

/// Pixelates everything outside `open` and everything inside `closed`.
pub fn pixelate(picture: &mut RgbImage, open: Option<&BoxPx>, closed: &[BoxPx]) {
    let side = picture.width().div_ceil(BLOCKS_ACROSS).max(4);
    for top in (0..picture.height()).step_by(side as usize) {
        for left in (0..picture.width()).step_by(side as usize) {
            let right = (left + side).min(picture.width());
            let bottom = (top + side).min(picture.height());
            let block = BoxPx::from_corners(left.into(), top.into(), right.into(), bottom.into());
            // A block that reaches out of what is open is closed as a whole.
            let is_open = open.is_some_and(|open| holds(open, &block))
                && closed.iter().all(|area| area.overlap_px2(&block) <= 0.0);
            if !is_open {
                flatten(picture, [left, top, right, bottom]);
            }
        }
    }
}

fn holds(outer: &BoxPx, inner: &BoxPx) -> bool {
    outer.left() <= inner.left()
        && outer.top() <= inner.top()
        && outer.right() >= inner.right()
        && outer.bottom() >= inner.bottom()
}

fn flatten(picture: &mut RgbImage, [left, top, right, bottom]: [u32; 4]) {
    let (mut sums, mut count) = ([0_u32; 3], 0_u32);
    for y in top..bottom {
        for x in left..right {
            let pixel = picture.get_pixel(x, y);
            for (sum, value) in sums.iter_mut().zip(pixel.0) {
                *sum += u32::from(value);
            }
            count += 1;
        }
    }
    let mean = sums.map(|sum| u8::try_from(sum / count.max(1)).unwrap_or(u8::MAX));
    for y in top..bottom {
        for x in left..right {
            picture.put_pixel(x, y, Rgb(mean));
        }
    }
}

/// Makes `masks` (relative to the camera's picture) black. The camera's picture fills the upper
/// `height_px` rows of `picture`; a caption may stand below.
pub fn black_out(picture: &mut RgbImage, masks: &[Polygon], height_px: u32) {
    let (width, height) = (picture.width(), height_px.min(picture.height()));
    for mask in masks {
        let mask = mask.to_px(width, height);
        let rows = mask.corners.iter().map(|corner| corner.y);
        let (low, high) = rows.fold((f64::MAX, f64::MIN), |(low, high), y| {
            (low.min(y), high.max(y))
        });
        for y in 0..height {
            let at = f64::from(y) + 0.5;
            if at < low - 1.0 || at > high + 1.0 {
                continue;
            }
            for x in 0..width {
                if mask.contains(Point::new(f64::from(x) + 0.5, at)) {
                    picture.put_pixel(x, y, ink::BLACK);
                }
            }
        }
    }
}

/// Returns where the track's thing is at `at`, between its points; none where the track does not
/// know.
pub fn place_at(track: &[TrackPoint], at: StreamTime) -> Option<BoxPx> {
    let next = track.partition_point(|point| point.at < at);
    let (before, after) = (
        next.checked_sub(1).and_then(|index| track.get(index)),
        track.get(next),
    );
    let near = |point: &TrackPoint| at.secs_since(point.at).abs() <= TRACK_GAP_S;
    match (before, after) {
        (Some(before), Some(after)) if near(before) && near(after) => {
            let span = after.at.secs_since(before.at).max(1e-9);
            let share = at.secs_since(before.at) / span;
            let mix = |a: f64, b: f64| a + share * (b - a);
            Some(BoxPx {
                x_px: mix(before.area.x_px, after.area.x_px),
                y_px: mix(before.area.y_px, after.area.y_px),
                width_px: mix(before.area.width_px, after.area.width_px),
                height_px: mix(before.area.height_px, after.area.height_px),
            })
        }
        (Some(one), _) if near(one) => Some(one.area),
        (_, Some(one)) if near(one) => Some(one.area),
        _ => None,
    }
}

/// Writes `text` over the whole picture, several times, so that no part of it can be passed on
/// without: half seen through, light on dark.
pub fn watermark(picture: &mut RgbImage, text: &str) {
    let (width, height) = (f64::from(picture.width()), f64::from(picture.height()));
    let wide = ink::words_size(text, 100.0).0.max(1.0);
    // Legible also on the smallest picture.
    let letters = (width * 0.62 / wide * 100.0).min(height * 0.05).max(8.0);
    let (wide, high) = ink::words_size(text, letters);
    let plain = picture.clone();
    for line in 0..MARKS {
        let middle = height * (f64::from(line) + 0.5) / f64::from(MARKS);
        // From left to right over the lines: a strip cut from any side holds one.
        let left = (width - wide).max(0.0) * f64::from(line) / f64::from(MARKS - 1);
        let at = Point::new(left, middle - high / 2.0);
        let shadow = Point::new(at.x + 1.0, at.y + 1.0);
        ink::words(picture, shadow, text, letters, ink::BLACK);
        ink::words(picture, at, text, letters, ink::WHITE);
    }
    // Back to half, so that what happened is still to be seen below.
    for (marked, plain) in picture.pixels_mut().zip(plain.pixels()) {
        if marked != plain {
            ink::blend(marked, *plain, 0.45);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A picture in which no two neighbours are alike.
    fn noise(width: u32, height: u32) -> RgbImage {
        RgbImage::from_fn(width, height, |x, y| {
            let value = u8::try_from((x * 37 + y * 101) % 251).expect("below 251");
            Rgb([value, value.wrapping_mul(3), 255 - value])
        })
    }

    fn unlike(one: &RgbImage, other: &RgbImage, area: [u32; 4]) -> usize {
        let [left, top, right, bottom] = area;
        let places = (top..bottom).flat_map(|y| (left..right).map(move |x| (x, y)));
        places
            .filter(|(x, y)| one.get_pixel(*x, *y) != other.get_pixel(*x, *y))
            .count()
    }

    #[test]
    fn only_the_thing_stays_sharp_and_not_the_person_on_it() {
        let plain = noise(240, 120);
        let mut picture = plain.clone();
        let thing = BoxPx::from_corners(100.0, 20.0, 200.0, 100.0);
        let person = BoxPx::from_corners(125.0, 25.0, 145.0, 55.0);
        pixelate(&mut picture, Some(&thing), &[person]);
        assert_eq!(unlike(&plain, &picture, [150, 60, 190, 100]), 0);
        assert!(unlike(&plain, &picture, [125, 25, 145, 55]) > 500);
        assert!(unlike(&plain, &picture, [0, 0, 100, 120]) > 11_000);
        // Within a block all are alike: nothing can be read from it.
        assert_eq!(picture.get_pixel(0, 0), picture.get_pixel(9, 9));
        let mut unknown = plain.clone();
        pixelate(&mut unknown, None, &[]);
        assert!(unlike(&plain, &unknown, [150, 60, 190, 100]) > 1_500);
    }

    #[test]
    fn a_mask_is_black_and_its_surroundings_are_not() {
        let plain = noise(200, 120);
        let mut picture = plain.clone();
        let corners = [[0.25, 0.5], [0.75, 0.5], [0.75, 1.0], [0.25, 1.0]];
        let mask = Polygon {
            corners: corners.map(Into::into).to_vec(),
        };
        // The picture is 100 rows high; the caption below them stays.
        black_out(&mut picture, &[mask], 100);
        assert_eq!(picture.get_pixel(100, 75).0, [0, 0, 0]);
        assert_eq!(picture.get_pixel(51, 51).0, [0, 0, 0]);
        assert_eq!(unlike(&plain, &picture, [0, 0, 200, 50]), 0);
        assert_eq!(unlike(&plain, &picture, [0, 100, 200, 120]), 0);
    }

    #[test]
    fn the_track_tells_the_place_between_its_points_and_no_further() {
        let point = |ms: i64, x: f64| TrackPoint {
            at: StreamTime::from_micros(ms * 1_000),
            area: BoxPx {
                x_px: x,
                y_px: 10.0,
                width_px: 4.0,
                height_px: 4.0,
            },
        };
        let track = [point(1_000, 0.0), point(1_400, 40.0), point(9_000, 100.0)];
        let x = |ms: i64| {
            place_at(&track, StreamTime::from_micros(ms * 1_000)).map(|area| area.x_px.round())
        };
        assert_eq!(x(1_100), Some(10.0));
        assert_eq!(x(300), Some(0.0));
        assert_eq!(x(2_000), Some(40.0));
        assert_eq!(x(5_000), None);
        assert_eq!(x(-500), None);
        assert_eq!(x(8_500), Some(100.0));
    }

    #[test]
    fn the_watermark_stands_in_every_part_of_the_picture() {
        let plain = RgbImage::from_pixel(640, 360, Rgb([90, 90, 90]));
        let mut picture = plain.clone();
        watermark(&mut picture, "E-17 · li.na · 2026-11-26 12:00 UTC");
        for part in [[0, 0, 320, 120], [100, 120, 540, 240], [320, 240, 640, 360]] {
            assert!(unlike(&plain, &picture, part) > 300, "{part:?}");
        }
        let mut smallest = RgbImage::from_pixel(64, 48, Rgb([90, 90, 90]));
        watermark(&mut smallest, "E-17");
        assert!(
            unlike(
                &RgbImage::from_pixel(64, 48, Rgb([90, 90, 90])),
                &smallest,
                [0, 0, 64, 48]
            ) > 30
        );
    }
}
