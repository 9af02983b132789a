//! The snapshot: the deciding frame in colour, the object boxed, and enlarged where it is small.
//!
//! Nothing is drawn over the object itself; the clip shows what the enlargement's corner covers.

use std::ops::Range;

use image::error::{EncodingError, ImageFormatHint};
use image::imageops::{self, FilterType};
use image::{ImageError, ImageFormat, ImageResult, RgbImage};
use jpeg_encoder::{ColorType, Encoder};

use super::ink::{self, AMBER, Pen, WHITE};
use crate::decode::{Cutout, Frame};
use crate::geometry::{BoxPx, Point, Polygon};

/// JPEG quality of evidence: edges of 10-px objects survive, a 1080p picture stays under 1 MB.
const JPEG_QUALITY: u8 = 90;

/// Objects smaller than this share of the picture's height are enlarged in a corner.
const SMALL_SHARE: f64 = 0.12;

/// The application segment of a JPEG, and what it begins with, in which a picture says what is masked
/// in it.
const MASKS_SEGMENT: u8 = 15;
const MASKS_TITLE: &[u8] = b"plumb-masks\0";
/// A segment holds no more.
const SEGMENT_BYTES_MAX: usize = 65_533;

/// Returns the picture as JPEG. Fails when a side is 0 or over 65,535 pixels.
pub fn jpeg(picture: &RgbImage) -> ImageResult<Vec<u8>> {
    encoded(picture, None)
}

/// Returns a picture that was drawn with `masks` in black as JPEG; it says so itself. Fails as
/// [`jpeg`] does.
pub fn jpeg_masked(picture: &RgbImage, masks: &[Polygon]) -> ImageResult<Vec<u8>> {
    let mut told = MASKS_TITLE.to_vec();
    told.extend(serde_json::to_vec(masks).expect("numbers always become JSON"));
    // Without it the picture is drawn anew for whoever must not see what the masks cover.
    let fits = !masks.is_empty() && told.len() <= SEGMENT_BYTES_MAX;
    encoded(picture, fits.then_some(told))
}

/// Returns whether the JPEG says that each of `masks` was black when it was drawn.
pub fn is_masked(jpeg: &[u8], masks: &[Polygon]) -> bool {
    let Some(told) = segment(jpeg).and_then(|told| told.strip_prefix(MASKS_TITLE)) else {
        return masks.is_empty();
    };
    let Ok(drawn) = serde_json::from_slice::<Vec<Polygon>>(told) else {
        return false;
    };
    let is_same = |one: &Polygon, other: &Polygon| {
        let pairs = one.corners.iter().zip(&other.corners);
        one.corners.len() == other.corners.len()
            && pairs.into_iter().all(|(a, b)| a.distance(*b) < 1e-9)
    };
    let is_drawn = |mask| drawn.iter().any(|drawn| is_same(drawn, mask));
    masks.iter().all(is_drawn)
}

/// Returns what the picture's own segment holds.
fn segment(jpeg: &[u8]) -> Option<&[u8]> {
    let mut rest = jpeg.strip_prefix(&[0xff, 0xd8])?;
    loop {
        let [0xff, marker, high, low, ..] = *rest else {
            return None;
        };
        let length = usize::from(u16::from_be_bytes([high, low]));
        let data = rest.get(4..2 + length)?;
        match marker {
            marker if marker == 0xe0 + MASKS_SEGMENT => return Some(data),
            // The picture itself begins.
            0xda => return None,
            _ => rest = &rest[2 + length..],
        }
    }
}

fn encoded(picture: &RgbImage, told: Option<Vec<u8>>) -> ImageResult<Vec<u8>> {
    let failed = |problem: Box<dyn std::error::Error + Send + Sync>| {
        let format = ImageFormatHint::Exact(ImageFormat::Jpeg);
        ImageError::Encoding(EncodingError::new(format, problem))
    };
    let side = |side_px: u32| u16::try_from(side_px).map_err(|problem| failed(problem.into()));
    let (width, height) = (side(picture.width())?, side(picture.height())?);
    let mut bytes = Vec::new();
    let mut encoder = Encoder::new(&mut bytes, JPEG_QUALITY);
    if let Some(told) = told {
        let added = encoder.add_app_segment(MASKS_SEGMENT, told);
        added.map_err(|problem| failed(problem.into()))?;
    }
    encoder
        .encode(picture.as_raw(), width, height, ColorType::Rgb)
        .map_err(|problem| failed(problem.into()))?;
    Ok(bytes)
}

/// Returns the frame in colour. Y'CbCr of limited range, BT.709 from 720 rows on and BT.601 below,
/// which is what cameras send where they do not say otherwise (ITU-R BT.709-6, BT.601-7).
pub fn colour(frame: &Frame) -> RgbImage {
    let matrix = Matrix::of(frame.height_px());
    part(frame, matrix, 0..frame.width_px(), 0..frame.height_px())
}

/// Returns a part of the frame in colour; `columns` and `rows` must lie inside it.
fn part(frame: &Frame, matrix: &Matrix, columns: Range<u32>, rows: Range<u32>) -> RgbImage {
    let luma = frame.luma();
    let (blue, red) = frame.chroma();
    let (width, height) = (columns.end - columns.start, rows.end - rows.start);
    let mut picture = RgbImage::new(width, height);
    let (left, right) = (columns.start as usize, columns.end as usize);
    let lines = picture.chunks_exact_mut((3 * width as usize).max(1));
    for (line, y) in lines.zip(rows.start as usize..) {
        let (blue, red) = (blue.row(y / 2), red.row(y / 2));
        let (pixels, _) = line.as_chunks_mut::<3>();
        let luma = &luma.row(y)[left..right];
        for ((pixel, &luma), x) in pixels.iter_mut().zip(luma).zip(left..) {
            *pixel = matrix.rgb(luma, blue[x / 2], red[x / 2]);
        }
    }
    picture
}

/// Returns the picture `across` pixels wide, or as it is where it is no wider.
pub fn smaller(picture: &RgbImage, across: u32) -> RgbImage {
    let across = across.clamp(1, picture.width().max(1));
    let down = (across * picture.height() / picture.width().max(1)).max(1);
    image::imageops::thumbnail(picture, across, down)
}

/// Returns a way to read single pixels of the picture in colour, without converting all of it. It must
/// hold those that are asked for.
pub(super) fn pixel_of(shown: &Cutout) -> impl Fn(usize, usize) -> [u8; 3] + '_ {
    let luma = shown.pixels().luma();
    let (blue, red) = shown.pixels().chroma();
    let matrix = Matrix::of(shown.size_px().1);
    let (left, top) = shown.begins_px();
    move |x, y| {
        let (x, y) = (x - left as usize, y - top as usize);
        let (blue, red) = (blue.row(y / 2)[x / 2], red.row(y / 2)[x / 2]);
        matrix.rgb(luma.row(y)[x], blue, red)
    }
}

/// Shares of the chroma planes in red, green and blue, in 1/65536.
struct Matrix {
    red: i32,
    green_blue: i32,
    green_red: i32,
    blue: i32,
}

/// Luma of limited range: 219 steps become 255.
const LUMA: i32 = 76_309;

const BT601: Matrix = Matrix {
    red: 104_597,
    green_blue: -25_675,
    green_red: -53_279,
    blue: 132_201,
};

const BT709: Matrix = Matrix {
    red: 117_489,
    green_blue: -13_975,
    green_red: -34_925,
    blue: 138_438,
};

impl Matrix {
    fn of(height_px: u32) -> &'static Self {
        if height_px >= 720 { &BT709 } else { &BT601 }
    }

    fn rgb(&self, luma: u8, blue: u8, red: u8) -> [u8; 3] {
        let luma = (i32::from(luma) - 16) * LUMA;
        let (blue, red) = (i32::from(blue) - 128, i32::from(red) - 128);
        let byte = |value: i32| u8::try_from(((value + 32_768) >> 16).clamp(0, 255)).unwrap_or(0);
        [
            byte(luma + self.red * red),
            byte(luma + self.green_blue * blue + self.green_red * red),
            byte(luma + self.blue * blue),
        ]
    }
}

/// Returns the frame with a frame around the object, the object enlarged if it is small, and the
/// caption on a bar below.
pub fn snapshot(frame: &Frame, object: Option<&BoxPx>, caption: &str) -> RgbImage {
    let mut picture = colour(frame);
    let unit = unit_px(&picture);
    if let Some(object) = object {
        let pen = Pen {
            colour: AMBER,
            width_px: 2.0 * unit,
            cover: 1.0,
        };
        let room = (object.width_px.min(object.height_px) * 0.2).max(6.0 * unit);
        ink::corners(&mut picture, grown(object, room), pen);
        if object.width_px.max(object.height_px) < SMALL_SHARE * f64::from(picture.height()) {
            inset(&mut picture, frame, object, pen);
        }
    }
    with_caption(picture, caption)
}

/// Returns the picture with a bar below it that carries `caption`, one line of it per line.
pub fn with_caption(picture: RgbImage, caption: &str) -> RgbImage {
    let unit = unit_px(&picture);
    let widest = caption
        .lines()
        .map(|line| ink::words_size(line, 100.0).0)
        .fold(1.0, f64::max);
    // Letters of 26 px at 1080p, smaller where a line would not fit.
    let room = f64::from(picture.width()) - 32.0 * unit;
    let letters = (26.0 * unit).min(100.0 * room / widest).max(6.0);
    let lines = u32::try_from(caption.lines().count()).unwrap_or(1);
    let step = letters * 1.45;
    let bar = u32::try_from(ink::whole(step * f64::from(lines) + letters * 0.6)).unwrap_or(0);
    let (width, height) = picture.dimensions();
    let mut bytes = picture.into_raw();
    bytes.resize(3 * width as usize * (height + bar) as usize, 0);
    let mut whole = RgbImage::from_raw(width, height + bar, bytes)
        .expect("three bytes a pixel of the picture and the bar");
    for (index, line) in caption.lines().enumerate() {
        let top = f64::from(height) + letters * 0.4 + step * index as f64;
        ink::words(
            &mut whole,
            Point::new(16.0 * unit, top),
            line,
            letters,
            WHITE,
        );
    }
    whole
}

/// Returns how many pixels one pixel of a 1080p design is on this picture; at least a third.
pub(super) fn unit_px(picture: &RgbImage) -> f64 {
    (f64::from(picture.width().min(picture.height())) / 1080.0).max(1.0 / 3.0)
}

/// Returns the box `[left, top, right, bottom]`, `room` wider on each side.
pub(super) fn grown(area: &BoxPx, room: f64) -> [f64; 4] {
    [
        area.left() - room,
        area.top() - room,
        area.right() + room,
        area.bottom() + room,
    ]
}

/// Puts the object, enlarged, into the upper corner farther from it, with a line that joins them.
fn inset(picture: &mut RgbImage, plain: &Frame, object: &BoxPx, pen: Pen) {
    let size = f64::from(picture.width().min(picture.height())) * 0.28;
    let seen = (object.width_px.max(object.height_px) * 2.0).max(24.0);
    let plain = Cutout::whole(plain.clone());
    let Some(enlarged) = enlarge(&plain, object.centre(), seen, size) else {
        return;
    };
    let margin = 12.0 * pen.width_px / 2.0;
    let left = if object.x_px > f64::from(picture.width()) / 2.0 {
        margin
    } else {
        f64::from(picture.width()) - margin - size
    };
    let area = [left, margin, left + size, margin + size];
    let near_x = if left > object.x_px {
        left
    } else {
        left + size
    };
    let joint = Point::new(near_x, margin + size / 2.0);
    let faint = Pen { cover: 0.6, ..pen };
    let toward = if left > object.x_px {
        object.right() + pen.width_px * 4.0
    } else {
        object.left() - pen.width_px * 4.0
    };
    ink::line(picture, joint, Point::new(toward, object.y_px), faint);
    imageops::replace(
        picture,
        &enlarged,
        i64::from(ink::whole(area[0])),
        i64::from(ink::whole(area[1])),
    );
    ink::outline(picture, area, pen);
}

/// Returns the square of `seen_px` around `centre`, shifted to lie inside, as a square of `size_px`;
/// none where that is not shown.
pub(super) fn enlarge(
    shown: &Cutout,
    centre: Point,
    seen_px: f64,
    size_px: f64,
) -> Option<RgbImage> {
    let (width, height) = shown.size_px();
    let most = f64::from(width.min(height));
    let seen_px = seen_px.min(most);
    let place = |middle: f64, room: u32| {
        let last = (f64::from(room) - seen_px).max(0.0);
        u32::try_from(ink::whole((middle - seen_px / 2.0).clamp(0.0, last))).ok()
    };
    let (left, top) = (place(centre.x, width)?, place(centre.y, height)?);
    let seen = u32::try_from(ink::whole(seen_px)).ok()?;
    let size = u32::try_from(ink::whole(size_px)).ok()?;
    if seen == 0 || size == 0 {
        return None;
    }
    let (columns, rows) = (
        left..(left + seen).min(width),
        top..(top + seen).min(height),
    );
    if !shown.holds(&columns, &rows) {
        return None;
    }
    let (from_x, from_y) = shown.begins_px();
    let columns = columns.start - from_x..columns.end - from_x;
    let rows = rows.start - from_y..rows.end - from_y;
    let part = part(shown.pixels(), Matrix::of(height), columns, rows);
    Some(imageops::resize(&part, size, size, FilterType::CatmullRom))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::StreamTime;

    #[test]
    fn limited_range_grey_spans_black_to_white() {
        for matrix in [BT601, BT709] {
            assert_eq!(matrix.rgb(16, 128, 128), [0, 0, 0]);
            assert_eq!(matrix.rgb(235, 128, 128), [255, 255, 255]);
        }
        // 100 % red of BT.709: Y 63, Cb 102, Cr 240.
        let [red, green, blue] = BT709.rgb(63, 102, 240);
        assert!(red > 250 && green < 5 && blue < 5);
    }

    #[test]
    fn a_snapshot_keeps_the_frame_and_adds_a_caption() {
        let frame = Frame::from_luma(StreamTime::ZERO, 640, 361, vec![100; 640 * 361]);
        let object = BoxPx::from_corners(300.0, 100.0, 310.0, 112.0);
        let picture = snapshot(&frame, Some(&object), "camera one\nfalling object");
        assert_eq!(picture.width(), 640);
        assert!(picture.height() > 361);
        assert_eq!(
            picture.get_pixel(305, 106),
            colour(&frame).get_pixel(305, 106)
        );
    }

    #[test]
    fn a_picture_says_which_masks_it_was_drawn_with() {
        let mask = |x: f64| Polygon {
            corners: vec![[x, 0.1].into(), [0.3, 1.0 / 3.0].into(), [0.0, 0.7].into()],
        };
        let picture = RgbImage::new(16, 16);
        let drawn = jpeg_masked(&picture, &[mask(0.1), mask(0.2)]).expect("encoded");
        assert!(image::load_from_memory(&drawn).is_ok());
        assert!(is_masked(&drawn, &[mask(0.2)]) && is_masked(&drawn, &[]));
        assert!(!is_masked(&drawn, &[mask(0.2), mask(0.3)]));
        let plain = jpeg(&picture).expect("encoded");
        assert!(is_masked(&plain, &[]) && !is_masked(&plain, &[mask(0.1)]));
        for cut in 0..drawn.len() {
            assert!(!is_masked(&drawn[..cut], &[mask(0.3)]));
        }
    }

    #[test]
    fn a_one_pixel_picture_gets_a_snapshot() {
        let frame = Frame::from_luma(StreamTime::ZERO, 1, 1, vec![100]);
        let object = BoxPx::from_corners(0.0, 0.0, 1.0, 1.0);
        assert_eq!(snapshot(&frame, Some(&object), "x").width(), 1);
    }
}
