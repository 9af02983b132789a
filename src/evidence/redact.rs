//! Makes unseen what is not to be seen, and writes on a picture whose copy it is. Works on pictures
//! in colour and on planes as cameras send them; knows nothing of roles or tickets.
//!
//! On a facade the scene's masks are black; people are a few pixels there. In an elevator the whole
//! picture is in blocks, finer where the e-bike is, and nowhere else. No detector is asked where
//! people are: one that misses a rider once shows that rider, and one picture is enough.

use std::ops::Range;

use image::RgbImage;
use serde::{Deserialize, Serialize};

use super::ink;
use super::planar::Planar;
use crate::alarm::TrackPoint;
use crate::clock::StreamTime;
use crate::geometry::{BoxPx, Point, Polygon};

/// Blocks across a picture: an elevator camera shows a face 1/15 to 1/8 as wide as the picture, so
/// it becomes two to three blocks.
const BLOCKS_ACROSS: u32 = 24;
/// Each block is four within the e-bike's place: its outline can be made out, and a rider's face is
/// three to six blocks, too few to know anybody by.
const FINER: u32 = 2;
/// The track knows where the e-bike is between two of its points when they are at most this far
/// apart, and this long before and after it.
const TRACK_GAP_S: f64 = 1.0;
/// Lines of the watermark from top to bottom.
const MARKS: u32 = 3;

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

/// What of a camera's pictures is not shown.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Hidden {
    #[default]
    Nothing,
    /// These areas of a facade's picture, relative to it.
    Masks(Vec<Polygon>),
    /// Whoever is in an elevator.
    People,
}

impl Hidden {
    /// Returns what masks hide: nothing where there are none.
    pub fn by_masks(masks: Vec<Polygon>) -> Self {
        if masks.is_empty() {
            Self::Nothing
        } else {
            Self::Masks(masks)
        }
    }
}

/// Hides the same in picture after picture.
#[derive(Debug)]
pub struct Redactor {
    hidden: Hidden,
    /// For the size of the picture before.
    veil: Option<Veil>,
}

impl Redactor {
    /// Returns what hides `hidden`.
    pub fn new(hidden: Hidden) -> Self {
        Self { hidden, veil: None }
    }

    /// Hides it in a picture of which the camera's own fills the upper `height_px` rows. `thing` is
    /// where the alarm's thing is on it.
    pub fn still(&mut self, picture: &mut RgbImage, height_px: u32, thing: Option<&BoxPx>) {
        let size_px = picture.dimensions();
        match &self.hidden {
            Hidden::Nothing => {}
            Hidden::Masks(masks) => {
                let height_px = height_px.min(size_px.1);
                let veil = veil(&mut self.veil, masks, (size_px.0, height_px));
                veil.cover(&mut Layer::rgb(picture));
            }
            Hidden::People => {
                let blocks = blocks(size_px, thing);
                let mut layer = Layer::rgb(picture);
                blocks.iter().for_each(|block| layer.flatten(*block));
            }
        }
    }

    /// Hides what masks hide in a part of a picture of `size_px` as the camera sent it; the part begins
    /// at the even column and row of `begins_px`. People are hidden in whole pictures only.
    pub fn part(&mut self, part: &mut Planar, begins_px: (u32, u32), size_px: (u32, u32)) {
        if let Hidden::Masks(masks) = &self.hidden {
            let veil = veil(&mut self.veil, masks, size_px);
            let (width, height) = part.size_px();
            let mut layers = Layer::of_planes(part);
            for (y, run) in &veil.runs {
                let inside = |x: u32| x.saturating_sub(begins_px.0).min(width);
                let run = inside(run.start)..inside(run.end);
                let Some(y) = y.checked_sub(begins_px.1).filter(|y| *y < height) else {
                    continue;
                };
                if !run.is_empty() {
                    layers
                        .iter_mut()
                        .for_each(|layer| layer.blacken(y, run.clone()));
                }
            }
        }
    }

    /// Hides it in a picture as the camera sent it.
    pub fn planes(&mut self, picture: &mut Planar, thing: Option<&BoxPx>) {
        let size_px = picture.size_px();
        match &self.hidden {
            Hidden::Nothing => {}
            Hidden::Masks(masks) => {
                let veil = veil(&mut self.veil, masks, size_px);
                let mut layers = Layer::of_planes(picture);
                layers.iter_mut().for_each(|layer| veil.cover(layer));
            }
            Hidden::People => {
                let blocks = blocks(size_px, thing);
                for layer in &mut Layer::of_planes(picture) {
                    blocks.iter().for_each(|block| layer.flatten(*block));
                }
            }
        }
    }
}

/// Pixelates the whole of a picture, as the blocks outside an e-bike's place are.
pub fn pixelate(picture: &mut RgbImage) {
    let height_px = picture.height();
    Redactor::new(Hidden::People).still(picture, height_px, None);
}

/// Returns the kept veil, made anew where the picture has another size.
fn veil<'a>(kept: &'a mut Option<Veil>, masks: &[Polygon], size_px: (u32, u32)) -> &'a Veil {
    if kept.as_ref().is_none_or(|veil| veil.size_px != size_px) {
        *kept = None;
    }
    kept.get_or_insert_with(|| Veil::new(masks, size_px))
}

/// Where masks lie on a picture of one size: rows of pixels, so that thousands of pictures cost one
/// look at the polygons.
#[derive(Debug)]
struct Veil {
    size_px: (u32, u32),
    runs: Vec<(u32, Range<u32>)>,
}

impl Veil {
    fn new(masks: &[Polygon], size_px: (u32, u32)) -> Self {
        let (width, height) = size_px;
        let mut runs = Vec::new();
        for mask in masks {
            let mask = mask.to_px(width, height);
            let rows = mask.corners.iter().map(|corner| corner.y);
            let (low, high) = rows.fold((f64::MAX, f64::MIN), |(low, high), y| {
                (low.min(y), high.max(y))
            });
            let is_near = |y: &u32| (low - 1.0..=high + 1.0).contains(&(f64::from(*y) + 0.5));
            for y in (0..height).filter(is_near) {
                let inside = |x| mask.contains(Point::new(f64::from(x) + 0.5, f64::from(y) + 0.5));
                let mut start = None;
                for x in 0..=width {
                    match (start, x < width && inside(x)) {
                        (None, true) => start = Some(x),
                        (Some(from), false) => {
                            runs.push((y, from..x));
                            start = None;
                        }
                        _ => {}
                    }
                }
            }
        }
        Self { size_px, runs }
    }

    fn cover(&self, layer: &mut Layer<'_>) {
        for (y, run) in &self.runs {
            layer.blacken(*y, run.clone());
        }
    }
}

/// Returns what is one colour afterwards, each `[left, top, right, bottom]`: the whole picture in
/// blocks, those that lie within `thing` finer. Sides are even, for chroma has half of them.
fn blocks((width, height): (u32, u32), thing: Option<&BoxPx>) -> Vec<[u32; 4]> {
    let step = 2 * FINER;
    let side = width.div_ceil(BLOCKS_ACROSS).div_ceil(step).max(1) * step;
    let mut blocks = Vec::new();
    for top in (0..height).step_by(side as usize) {
        for left in (0..width).step_by(side as usize) {
            let end = |from: u32, side: u32| (from + side).min(width);
            let foot = |from: u32, side: u32| (from + side).min(height);
            let block = [left, top, end(left, side), foot(top, side)];
            // A block that reaches out of the e-bike's place is coarse as a whole.
            if !thing.is_some_and(|thing| holds(thing, block)) {
                blocks.push(block);
                continue;
            }
            let fine = side / FINER;
            for y in (top..block[3]).step_by(fine as usize) {
                for x in (left..block[2]).step_by(fine as usize) {
                    blocks.push([x, y, end(x, fine), foot(y, fine)]);
                }
            }
        }
    }
    blocks
}

fn holds(outer: &BoxPx, [left, top, right, bottom]: [u32; 4]) -> bool {
    outer.left() <= f64::from(left)
        && outer.top() <= f64::from(top)
        && outer.right() >= f64::from(right)
        && outer.bottom() >= f64::from(bottom)
}

/// Bytes of a picture, row after row without padding: all colours, or one plane.
struct Layer<'a> {
    bytes: &'a mut [u8],
    width: usize,
    /// Bytes a pixel.
    channels: usize,
    /// 1, or 2 for a plane with half the rows and columns.
    shrink: usize,
    black: u8,
}

impl<'a> Layer<'a> {
    fn rgb(picture: &'a mut RgbImage) -> Self {
        let width = picture.width() as usize;
        Self {
            bytes: picture.as_mut(),
            width,
            channels: 3,
            shrink: 1,
            black: 0,
        }
    }

    fn of_planes(picture: &'a mut Planar) -> [Self; 3] {
        let width = picture.size_px().0 as usize;
        let plane = |bytes, shrink: usize, black| Self {
            bytes,
            width: width.div_ceil(shrink),
            channels: 1,
            shrink,
            black,
        };
        let [luma, blue, red] = picture.planes_mut();
        // Black of limited range.
        [plane(luma, 1, 16), plane(blue, 2, 128), plane(red, 2, 128)]
    }

    /// Returns the bytes of the picture's pixels `run` of row `y`; also those that it holds in part.
    fn row(&mut self, y: u32, run: &Range<u32>) -> &mut [u8] {
        let (start, end) = (
            run.start as usize / self.shrink,
            (run.end as usize).div_ceil(self.shrink),
        );
        let from = (y as usize / self.shrink * self.width + start) * self.channels;
        let length = end.min(self.width).saturating_sub(start) * self.channels;
        &mut self.bytes[from..from + length]
    }

    fn blacken(&mut self, y: u32, run: Range<u32>) {
        let black = self.black;
        self.row(y, &run).fill(black);
    }

    fn flatten(&mut self, [left, top, right, bottom]: [u32; 4]) {
        let (channels, rows) = (self.channels, top..bottom);
        let rows = || rows.clone().step_by(self.shrink);
        let (mut sums, mut count) = ([0_u32; 3], 0_u32);
        let (run, rows) = (left..right, rows().collect::<Vec<_>>());
        for y in &rows {
            for pixel in self.row(*y, &run).chunks_exact(channels) {
                for (sum, value) in sums.iter_mut().zip(pixel) {
                    *sum += u32::from(*value);
                }
                count += 1;
            }
        }
        let mean = sums.map(|sum| u8::try_from(sum / count.max(1)).unwrap_or(u8::MAX));
        for y in &rows {
            for pixel in self.row(*y, &run).chunks_exact_mut(channels) {
                pixel.copy_from_slice(&mean[..channels]);
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
    use image::Rgb;

    use super::*;
    use crate::decode::{Cutout, Frame};

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
    fn everything_is_in_blocks_finer_where_the_e_bike_is() {
        let plain = noise(240, 120);
        let mut picture = plain.clone();
        let thing = BoxPx::from_corners(96.0, 24.0, 204.0, 108.0);
        Redactor::new(Hidden::People).still(&mut picture, 120, Some(&thing));
        // Blocks of 12 pixels, and of 6 within the e-bike: nothing finer can be read anywhere.
        for (left, top, side) in [(0, 0, 12), (216, 108, 12), (96, 24, 6), (150, 60, 6)] {
            let first = picture.get_pixel(left, top);
            let whole = (0..side).flat_map(|y| (0..side).map(move |x| (left + x, top + y)));
            assert!(whole.clone().all(|(x, y)| picture.get_pixel(x, y) == first));
        }
        assert_ne!(picture.get_pixel(96, 24), picture.get_pixel(102, 24));
        let mut unknown = plain.clone();
        pixelate(&mut unknown);
        assert_eq!(unknown.get_pixel(96, 24), unknown.get_pixel(102, 30));
        assert_ne!(unknown.get_pixel(96, 24), unknown.get_pixel(108, 24));
    }

    #[test]
    fn a_mask_is_as_black_in_a_part_as_in_the_whole() {
        let luma = (0..90 * 70_u32).map(|index| u8::try_from(index % 200).expect("below 200"));
        let frame = Frame::from_luma(StreamTime::ZERO, 90, 70, luma.collect());
        let corners = [[0.1, 0.3], [0.71, 0.2], [0.6, 0.93]];
        let mask = Polygon {
            corners: corners.map(Into::into).to_vec(),
        };
        let mut redactor = Redactor::new(Hidden::by_masks(vec![mask]));
        let mut whole = Planar::of(&frame);
        redactor.planes(&mut whole, None);
        let whole = whole.into_frame(&frame);
        for place in [(20.0, 20.0), (45.0, 35.0), (89.0, 69.0), (64.0, 1.0)] {
            let area = BoxPx::from_corners(place.0, place.1, place.0 + 1.0, place.1 + 1.0);
            let part = Cutout::around(&frame, &area, 31.0);
            let mut masked = Planar::of(part.pixels());
            redactor.part(&mut masked, part.begins_px(), part.size_px());
            let expected = Planar::of(Cutout::around(&whole, &area, 31.0).pixels());
            assert_eq!(masked.planes(), expected.planes(), "{place:?}");
        }
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
        let mut redactor = Redactor::new(Hidden::by_masks(vec![mask]));
        redactor.still(&mut picture, 100, None);
        assert_eq!(picture.get_pixel(100, 75).0, [0, 0, 0]);
        assert_eq!(picture.get_pixel(51, 51).0, [0, 0, 0]);
        assert_eq!(unlike(&plain, &picture, [0, 0, 200, 50]), 0);
        assert_eq!(unlike(&plain, &picture, [0, 100, 200, 120]), 0);
        // Of another size the same share is black.
        let mut small = noise(101, 51);
        redactor.still(&mut small, 51, None);
        assert_eq!(small.get_pixel(50, 50).0, [0, 0, 0]);
        assert_eq!(unlike(&noise(101, 51), &small, [0, 0, 101, 25]), 0);
    }

    #[test]
    fn planes_are_hidden_as_pictures_are_also_with_odd_sides() {
        let luma: Vec<u8> = (0..161 * 91_u32)
            .map(|at| u8::try_from(at * 37 % 251).expect("a byte"))
            .collect();
        let frame = crate::decode::Frame::from_luma(StreamTime::ZERO, 161, 91, luma);
        let corners = [[0.5, 0.0], [1.0, 0.0], [1.0, 1.0], [0.5, 1.0]];
        let right = Polygon {
            corners: corners.map(Into::into).to_vec(),
        };
        let mut masked = Planar::of(&frame);
        Redactor::new(Hidden::Masks(vec![right])).planes(&mut masked, None);
        let masked = masked.into_frame(&frame);
        for y in 0..91 {
            assert_eq!(masked.luma().row(y)[..80], frame.luma().row(y)[..80]);
            assert!(masked.luma().row(y)[81..].iter().all(|luma| *luma == 16));
        }
        let mut blocks = Planar::of(&frame);
        Redactor::new(Hidden::People).planes(&mut blocks, None);
        let blocks = blocks.into_frame(&frame);
        assert!(
            blocks.luma().row(0)[..8]
                .iter()
                .all(|luma| *luma == blocks.luma().row(7)[0])
        );
        assert_eq!(blocks.luma().row(90)[160], blocks.luma().row(88)[160]);
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
