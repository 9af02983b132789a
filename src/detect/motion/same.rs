//! Which blocks of a picture are to the byte what they were on the picture before.
//!
//! Of what is still, an encoder sends nothing, and the decoder copies it: where nothing happens most
//! blocks are the same. Where a picture is the same as the one after it, or as the one before, the
//! three-frame difference is 0, and none of the three need be read. Never changes what is found: it
//! only says where the answer is known.

use super::difference::BLOCK_PX;
use crate::decode::Plane;
use crate::detect::wide::widest;

/// The blocks of one picture against the picture before, row after row.
#[derive(Debug, Default)]
pub(super) struct Same {
    /// 1 where all bytes are the same, 0 elsewhere; empty while nobody has looked.
    blocks: Vec<u8>,
    /// Bits that differ in any row of the strip, by column.
    differing: Vec<u8>,
}

impl Same {
    /// Begins a picture that has not been held against the one before.
    pub(super) fn clear(&mut self) {
        self.blocks.clear();
    }

    /// Holds the next strip of [`BLOCK_PX`] rows, which begins at `top`, against the picture before.
    pub(super) fn read_strip(&mut self, now: &Plane<'_>, before: &Plane<'_>, top: usize) {
        let bottom = (top + BLOCK_PX).min(now.height_px);
        let Self { blocks, differing } = self;
        differing.clear();
        differing.resize(now.width_px, 0);
        for y in top..bottom {
            let (now, before) = (now.row(y), before.row(y));
            widest(|| differ(differing, now, before));
        }
        let any = |columns: &[u8]| columns.iter().fold(0, |any, bits| any | bits);
        let strip = differing.chunks(BLOCK_PX);
        blocks.extend(strip.map(|columns| u8::from(any(columns) == 0)));
    }

    /// Returns whether the whole picture is the one before.
    pub(super) fn is_all(&self) -> bool {
        !self.blocks.is_empty() && self.blocks.iter().all(|&same| same == 1)
    }

    /// Takes out of `all` the blocks that are not the same. Returns whether that is known.
    pub(super) fn narrow(&self, all: &mut [u8]) -> bool {
        for (all, &same) in all.iter_mut().zip(&self.blocks) {
            *all &= same;
        }
        self.blocks.len() == all.len()
    }
}

#[inline(always)]
fn differ(differing: &mut [u8], now: &[u8], before: &[u8]) {
    for ((differing, &now), &before) in differing.iter_mut().zip(now).zip(before) {
        *differing |= now ^ before;
    }
}

/// Puts into `halves` which blocks of a picture of half the size lie all in blocks that are 1 in
/// `blocks`, `across` and `down` of them; there are `halves_across` a row.
pub(super) fn halve(blocks: &[u8], across: usize, halves: &mut [u8], halves_across: usize) {
    for (row, halves) in halves.chunks_exact_mut(halves_across.max(1)).enumerate() {
        let strip = |row: usize| blocks.chunks_exact(across.max(1)).nth(row);
        let (Some(upper), lower) = (strip(2 * row), strip(2 * row + 1)) else {
            halves.fill(0);
            continue;
        };
        let lower = lower.unwrap_or(upper);
        let pairs = upper.chunks(2).zip(lower.chunks(2));
        for (half, (upper, lower)) in halves.iter_mut().zip(pairs) {
            *half = upper.iter().chain(lower).fold(1, |all, same| all & same);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plane(bytes: &[u8]) -> Plane<'_> {
        Plane {
            data: bytes,
            stride: 40,
            width_px: 40,
            height_px: 36,
        }
    }

    #[test]
    fn a_block_is_the_same_when_all_its_bytes_are() {
        let before = [7_u8; 40 * 36];
        let mut now = before;
        // The last column of the middle block, and the last row's last.
        now[15 * 40 + 31] = 6;
        now[35 * 40 + 39] = 8;
        let mut same = Same::default();
        assert!(!same.is_all());
        for top in (0..36).step_by(BLOCK_PX) {
            same.read_strip(&plane(&now), &plane(&before), top);
        }
        let mut all = [1; 9];
        assert!(same.narrow(&mut all));
        assert_eq!(all, [1, 0, 1, 1, 1, 1, 1, 1, 0]);
        assert!(!same.is_all());
        let mut halves = [9; 4];
        halve(&all, 3, &mut halves, 2);
        assert_eq!(halves, [0, 1, 1, 0]);
        same.clear();
        assert!(!same.narrow(&mut all));
    }
}
