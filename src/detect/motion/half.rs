//! A picture at half its size, each pixel the mean of four: large faint things stand out from the
//! noise twice as far.

use std::ops::Range;

use crate::decode::Plane;
use crate::detect::wide::widest;

/// A picture at half its size; an odd last row or column is left out.
#[derive(Clone, Debug, Default)]
pub(super) struct Half {
    bytes: Vec<u8>,
    width_px: usize,
    height_px: usize,
}

impl Half {
    /// Begins a picture, reusing the buffer.
    pub(super) fn begin(&mut self, plane: &Plane<'_>) {
        self.width_px = plane.width_px / 2;
        self.height_px = plane.height_px / 2;
        self.bytes.resize(self.width_px * self.height_px, 0);
    }

    /// Takes in rows of the picture, from an even one on.
    pub(super) fn read_rows(&mut self, plane: &Plane<'_>, rows: Range<usize>) {
        let rows = rows.start / 2..(rows.end / 2).min(self.height_px);
        let width_px = self.width_px;
        let bytes = &mut self.bytes[rows.start * width_px..rows.end * width_px];
        let halves = bytes.chunks_exact_mut(width_px.max(1));
        for (y, halves) in rows.zip(halves) {
            let (upper, lower) = (plane.row(2 * y), plane.row(2 * y + 1));
            widest(|| halve(halves, upper, lower));
        }
    }

    pub(super) fn plane(&self) -> Plane<'_> {
        Plane {
            data: &self.bytes,
            stride: self.width_px,
            width_px: self.width_px,
            height_px: self.height_px,
        }
    }
}

/// Puts the mean of each two by two pixels of two rows into `halves`. Pairs of bytes are summed as the
/// two halves of a word, which the compiler vectorises.
#[expect(clippy::cast_possible_truncation, reason = "a mean of bytes is a byte")]
#[inline(always)]
fn halve(halves: &mut [u8], upper: &[u8], lower: &[u8]) {
    let (upper, lower) = (upper.as_chunks::<2>().0, lower.as_chunks::<2>().0);
    for ((half, &a), &b) in halves.iter_mut().zip(upper).zip(lower) {
        let (a, b) = (u16::from_le_bytes(a), u16::from_le_bytes(b));
        let sum = (a & 0xff) + (a >> 8) + (b & 0xff) + (b >> 8);
        *half = ((sum + 2) >> 2) as u8;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_pixel_is_the_mean_of_four() {
        let bytes = [1, 3, 9, 0, 0, 5, 7, 9, 0, 0];
        let mut half = Half::default();
        let plane = Plane {
            data: &bytes,
            stride: 5,
            width_px: 5,
            height_px: 2,
        };
        half.begin(&plane);
        half.read_rows(&plane, 0..2);
        assert_eq!(half.plane().row(0), [4, 5]);
        assert_eq!((half.plane().width_px, half.plane().height_px), (2, 1));
    }
}
