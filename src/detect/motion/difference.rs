//! The hot loop: the three-frame minimum difference at full resolution.
//!
//! A pixel counts with the smaller of its differences to a picture before and a picture after, and
//! only where both have the same sign: what was there for this moment alone. Slow light changes and
//! an encoder's key-picture step differ from one side only and vanish. Never downscales, never
//! allocates once its buffers have their size; rows are plain bytes so that the compiler
//! vectorises them.

use std::ops::Range;

use crate::decode::Plane;

/// Side of the square blocks that noise is learnt for, pixels. Objects are 3 to 30 px: one block
/// holds most of them, and 16 bytes are one vector register.
pub(crate) const BLOCK_PX: usize = 16;

/// A picture's neighbour in time, with the whole-pixel shift that lays it over the picture.
#[derive(Clone, Copy)]
pub(crate) struct Shifted<'a> {
    pub(crate) plane: Plane<'a>,
    /// The neighbour's pixel for (x, y) stands at (x + dx, y + dy).
    pub(crate) dx: isize,
    pub(crate) dy: isize,
}

/// Three pictures laid over each other.
#[derive(Clone, Copy)]
pub(crate) struct Triple<'a> {
    pub(crate) before: Shifted<'a>,
    pub(crate) now: Plane<'a>,
    pub(crate) after: Shifted<'a>,
}

impl<'a> Triple<'a> {
    /// Returns the signed minimum difference at (x, y); 0 where a neighbour has no such pixel.
    pub(crate) fn at(&self, x: usize, y: usize) -> i16 {
        let now = self.now.data[y * self.now.stride + x];
        let (Some(before), Some(after)) = (self.before.at(x, y), self.after.at(x, y)) else {
            return 0;
        };
        minimum(now, before, after)
    }

    /// Puts the signed minimum differences of row `y` from column `left` on into `differences`.
    #[inline]
    pub(crate) fn read(&self, left: usize, y: usize, differences: &mut [i16]) {
        if self.before.is_shifted() || self.after.is_shifted() {
            for (x, difference) in (left..).zip(differences) {
                *difference = self.at(x, y);
            }
            return;
        }
        let length = differences.len();
        let part = |plane: &Plane<'a>| &plane.data[y * plane.stride + left..][..length];
        let (before, after) = (part(&self.before.plane), part(&self.after.plane));
        let around = part(&self.now).iter().zip(before.iter().zip(after));
        for (difference, (&now, (&before, &after))) in differences.iter_mut().zip(around) {
            *difference = minimum(now, before, after);
        }
    }

    /// Raises `columns` to the minimum differences of the rows `rows` from column `left` on. Nearly
    /// always nothing is shifted, and what is asked for is a few blocks: no row need be measured out.
    pub(crate) fn raise_maxima(&self, left: usize, rows: Range<usize>, columns: &mut [u8]) {
        if self.before.is_shifted() || self.after.is_shifted() {
            for y in rows {
                self.raise_shifted(left, y, columns);
            }
            return;
        }
        let length = columns.len();
        let part = |plane: &Plane<'_>, y: usize| y * plane.stride + left;
        for y in rows {
            let (now, before) = (part(&self.now, y), part(&self.before.plane, y));
            let after = part(&self.after.plane, y);
            raise_maxima(
                columns,
                &self.now.data[now..now + length],
                &self.before.plane.data[before..before + length],
                &self.after.plane.data[after..after + length],
            );
        }
    }

    fn raise_shifted(&self, left: usize, y: usize, columns: &mut [u8]) {
        let (Some(before), Some(after)) = (self.before.row(y), self.after.row(y)) else {
            return;
        };
        let start = before.start_x.max(after.start_x).max(left);
        let end = before.end_x.min(after.end_x).min(left + columns.len());
        if start >= end {
            return;
        }
        raise_maxima(
            &mut columns[start - left..end - left],
            &self.now.row(y)[start..end],
            &before.bytes[start - before.start_x..end - before.start_x],
            &after.bytes[start - after.start_x..end - after.start_x],
        );
    }
}

/// Returns the smaller of a pixel's differences to before and after, 0 where their signs differ.
#[inline(always)]
fn minimum(now: u8, before: u8, after: u8) -> i16 {
    let brighter = now.saturating_sub(before).min(now.saturating_sub(after));
    let darker = before.saturating_sub(now).min(after.saturating_sub(now));
    i16::from(brighter) - i16::from(darker)
}

struct ShiftedRow<'a> {
    bytes: &'a [u8],
    start_x: usize,
    end_x: usize,
}

impl<'a> Shifted<'a> {
    /// Returns whether it does not lie over the picture as it is.
    pub(crate) fn is_shifted(&self) -> bool {
        (self.dx, self.dy) != (0, 0)
    }

    fn at(&self, x: usize, y: usize) -> Option<u8> {
        let x = x.checked_add_signed(self.dx)?;
        let y = y.checked_add_signed(self.dy)?;
        let inside = x < self.plane.width_px && y < self.plane.height_px;
        inside.then(|| self.plane.data[y * self.plane.stride + x])
    }

    /// Returns the part of this picture's row that lies over row `y` of the one in the middle.
    fn row(&self, y: usize) -> Option<ShiftedRow<'a>> {
        let own_y = y.checked_add_signed(self.dy)?;
        if own_y >= self.plane.height_px {
            return None;
        }
        let row = self.plane.row(own_y);
        let shift = self.dx.unsigned_abs().min(row.len());
        Some(if self.dx >= 0 {
            ShiftedRow {
                bytes: &row[shift..],
                start_x: 0,
                end_x: row.len() - shift,
            }
        } else {
            ShiftedRow {
                bytes: &row[..row.len() - shift],
                start_x: shift,
                end_x: row.len(),
            }
        })
    }
}

#[inline(always)]
fn raise_maxima(maxima: &mut [u8], now: &[u8], before: &[u8], after: &[u8]) {
    for (((maximum, &now), &before), &after) in maxima.iter_mut().zip(now).zip(before).zip(after) {
        let brighter = now.saturating_sub(before).min(now.saturating_sub(after));
        let darker = before.saturating_sub(now).min(after.saturating_sub(now));
        *maximum = (*maximum).max(brighter | darker);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plane(data: &[u8], width_px: usize) -> Plane<'_> {
        Plane {
            data,
            stride: width_px,
            width_px,
            height_px: data.len() / width_px,
        }
    }

    fn unshifted(plane: Plane<'_>) -> Shifted<'_> {
        Shifted {
            plane,
            dx: 0,
            dy: 0,
        }
    }

    #[test]
    fn only_what_is_there_for_one_moment_counts() {
        //             same, flash, ramp, step, dark flash
        let before = [10, 10, 10, 10, 90];
        let now = [10, 60, 20, 50, 20];
        let after = [10, 12, 30, 50, 80];
        let triple = Triple {
            before: unshifted(plane(&before, 5)),
            now: plane(&now, 5),
            after: unshifted(plane(&after, 5)),
        };
        let values: Vec<i16> = (0..5).map(|x| triple.at(x, 0)).collect();
        assert_eq!(values, [0, 48, 0, 0, -60]);
        let mut columns = [0; 5];
        triple.raise_maxima(0, 0..1, &mut columns);
        assert_eq!(columns, [0, 48, 0, 0, 60]);
    }

    #[test]
    fn a_shifted_neighbour_is_laid_over_the_picture() {
        let scene = [5, 5, 90, 5, 5, 5];
        let moved = [5, 90, 5, 5, 5, 5];
        let triple = Triple {
            before: Shifted {
                plane: plane(&moved, 6),
                dx: -1,
                dy: 0,
            },
            now: plane(&scene, 6),
            after: unshifted(plane(&scene, 6)),
        };
        let mut columns = [0; 6];
        triple.raise_maxima(0, 0..1, &mut columns);
        assert_eq!(columns, [0; 6]);
        assert_eq!(triple.at(2, 0), 0);
    }
}
