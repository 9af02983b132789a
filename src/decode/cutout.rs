//! What of a frame must outlive it: all of it, or a copy of the part that shows something.
//!
//! A frame in colour takes 3 MiB at 1080p, and an alarm has up to 32; of all but the newest its
//! pictures show nothing but what is around the thing. Sharing a whole frame copies no pixel.

use std::ops::Range;
use std::sync::Arc;

use super::frame::{Frame, Plane, Planes};
use crate::clock::StreamTime;
use crate::geometry::BoxPx;

/// A frame, or an upright part of one. Places on it are the whole picture's.
#[derive(Clone, Debug)]
pub struct Cutout {
    /// The part's own pixels.
    frame: Frame,
    /// Where the part begins on the whole picture; even, for chroma has half of the columns and rows.
    left_px: u32,
    top_px: u32,
    width_px: u32,
    height_px: u32,
}

impl Cutout {
    /// Returns all of the frame, shared with it.
    pub fn whole(frame: Frame) -> Self {
        Self {
            left_px: 0,
            top_px: 0,
            width_px: frame.width_px(),
            height_px: frame.height_px(),
            frame,
        }
    }

    /// Returns a copy of the part of the frame around the middle of `area`, at least as large as
    /// `area` and `side_px` across and down. It is moved to lie inside the picture.
    pub fn around(frame: &Frame, area: &BoxPx, side_px: f64) -> Self {
        let (width_px, height_px) = (frame.width_px(), frame.height_px());
        let columns = span(area.x_px, area.width_px.max(side_px), width_px);
        let rows = span(area.y_px, area.height_px.max(side_px), height_px);
        Self {
            frame: copied(frame, &columns, &rows),
            left_px: columns.start,
            top_px: rows.start,
            width_px,
            height_px,
        }
    }

    /// Returns the same part with other pixels. They must be of the part's size.
    pub fn with_pixels(&self, frame: Frame) -> Self {
        Self {
            frame,
            ..self.clone()
        }
    }

    /// Returns the pixels there are, as a frame of the part's size.
    pub fn pixels(&self) -> &Frame {
        &self.frame
    }

    /// Returns where the part begins on the whole picture, columns and rows.
    pub fn begins_px(&self) -> (u32, u32) {
        (self.left_px, self.top_px)
    }

    /// Returns width and height of the whole picture.
    pub fn size_px(&self) -> (u32, u32) {
        (self.width_px, self.height_px)
    }

    /// Returns the frame's presentation time on the stream's timeline.
    pub fn at(&self) -> StreamTime {
        self.frame.at
    }

    /// Returns whether no pixel of the picture is missing.
    pub fn is_whole(&self) -> bool {
        (self.frame.width_px(), self.frame.height_px()) == self.size_px()
    }

    /// Returns whether it has all of these pixels of the picture.
    pub fn holds(&self, columns: &Range<u32>, rows: &Range<u32>) -> bool {
        let within = |wanted: &Range<u32>, from: u32, length: u32| {
            wanted.is_empty() || (from <= wanted.start && wanted.end <= from + length)
        };
        within(columns, self.left_px, self.frame.width_px())
            && within(rows, self.top_px, self.frame.height_px())
    }
}

/// Returns where `length_px` around `middle_px` lie within 0..`limit_px`, between even places.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "clamped to the picture"
)]
fn span(middle_px: f64, length_px: f64, limit_px: u32) -> Range<u32> {
    let limit = f64::from(limit_px);
    let length_px = length_px.clamp(1.0, limit);
    let from = (middle_px - length_px / 2.0).clamp(0.0, limit - length_px);
    let to = (from + length_px).ceil() as u32;
    (from as u32) / 2 * 2..to.next_multiple_of(2).min(limit_px)
}

fn copied(frame: &Frame, columns: &Range<u32>, rows: &Range<u32>) -> Frame {
    let part = |plane: Plane<'_>, shrink: usize| {
        let columns = columns.start as usize / shrink..(columns.end as usize).div_ceil(shrink);
        let rows = rows.start as usize / shrink..(rows.end as usize).div_ceil(shrink);
        let mut bytes = Vec::with_capacity(columns.len() * rows.len());
        for y in rows {
            bytes.extend_from_slice(&plane.row(y)[columns.clone()]);
        }
        (bytes, columns.len())
    };
    let (blue, red) = frame.chroma();
    let planes = Part([part(frame.luma(), 1), part(blue, 2), part(red, 2)]);
    let (width_px, height_px) = (columns.end - columns.start, rows.end - rows.start);
    frame.with_planes(width_px, height_px, Arc::new(planes))
}

/// Bytes of each plane's part, row after row, and the bytes of a row.
struct Part([(Vec<u8>, usize); 3]);

impl Planes for Part {
    fn plane(&self, index: usize) -> (&[u8], usize) {
        let (bytes, stride) = &self.0[index];
        (bytes, *stride)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame() -> Frame {
        let luma = (0..61 * 41_u32).map(|index| u8::try_from(index % 251).expect("under 251"));
        Frame::from_luma(StreamTime::ZERO, 61, 41, luma.collect())
    }

    fn area(x_px: f64, y_px: f64) -> BoxPx {
        BoxPx {
            x_px,
            y_px,
            width_px: 4.0,
            height_px: 6.0,
        }
    }

    #[test]
    fn a_part_has_the_pixels_that_the_picture_has_there() {
        let frame = frame();
        for place in [(30.3, 20.7), (1.0, 40.0), (60.9, 0.0), (-5.0, 90.0)] {
            let part = Cutout::around(&frame, &area(place.0, place.1), 12.0);
            let (left, top) = part.begins_px();
            let (pixels, whole) = (part.pixels().luma(), frame.luma());
            assert!(!part.is_whole() && part.size_px() == (61, 41));
            assert!((12..=16).contains(&pixels.width_px), "{}", pixels.width_px);
            assert!((12..=16).contains(&pixels.height_px));
            for y in 0..pixels.height_px {
                let row = &whole.row(y + top as usize)[left as usize..];
                assert_eq!(pixels.row(y), &row[..pixels.width_px]);
            }
            let (blue, _) = part.pixels().chroma();
            assert_eq!(blue.row(blue.height_px - 1), vec![128; blue.width_px]);
        }
    }

    #[test]
    fn says_which_pixels_it_has() {
        let part = Cutout::around(&frame(), &area(30.0, 20.0), 12.0);
        assert!(part.holds(&(24..36), &(14..26)));
        assert!(!part.holds(&(20..36), &(14..26)) && !part.holds(&(24..36), &(14..29)));
        assert!(Cutout::whole(frame()).holds(&(0..61), &(0..41)));
        let all = Cutout::around(&frame(), &area(30.0, 20.0), 500.0);
        assert!(all.is_whole());
    }
}
