//! Turns pictures upright: a copy of a frame, a quarter turn or more from how it was decoded.
//!
//! Only recordings of phones and the like say that they lie down; what a camera sends is never copied.

use std::sync::Arc;

use super::frame::{Frame, Plane, Planes};
use crate::source::Turn;

/// Rows and columns that are turned together: both sides of the copy stay in the first-level cache.
const TILE_PX: usize = 32;

/// Returns the frame turned; the same one where there is nothing to turn.
pub(super) fn turned(frame: Frame, turn: Turn) -> Frame {
    if turn == Turn::None {
        return frame;
    }
    let (blue, red) = frame.chroma();
    let planes = [frame.luma(), blue, red].map(|plane| turned_plane(&plane, turn));
    let (width_px, height_px) = match turn {
        Turn::None | Turn::Half => (frame.width_px(), frame.height_px()),
        Turn::Quarter | Turn::ThreeQuarters => (frame.height_px(), frame.width_px()),
    };
    frame.with_planes(width_px, height_px, Arc::new(Turned(planes)))
}

/// Each plane's bytes, row after row without padding, and its width.
struct Turned([(Vec<u8>, usize); 3]);

impl Planes for Turned {
    fn plane(&self, index: usize) -> (&[u8], usize) {
        let (bytes, stride) = &self.0[index];
        (bytes, *stride)
    }
}

fn turned_plane(from: &Plane<'_>, turn: Turn) -> (Vec<u8>, usize) {
    let (from_width, from_height) = (from.width_px, from.height_px);
    let (width, height) = match turn {
        Turn::None | Turn::Half => (from_width, from_height),
        Turn::Quarter | Turn::ThreeQuarters => (from_height, from_width),
    };
    let mut bytes = vec![0; width * height];
    for top in (0..from_height).step_by(TILE_PX) {
        for left in (0..from_width).step_by(TILE_PX) {
            for y in top..from_height.min(top + TILE_PX) {
                let row = from.row(y);
                for (x, value) in row.iter().enumerate().take(left + TILE_PX).skip(left) {
                    let to = match turn {
                        Turn::None => y * width + x,
                        Turn::Quarter => x * width + (from_height - 1 - y),
                        Turn::Half => (height - 1 - y) * width + (width - 1 - x),
                        Turn::ThreeQuarters => (height - 1 - x) * width + y,
                    };
                    bytes[to] = *value;
                }
            }
        }
    }
    (bytes, width)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::StreamTime;

    fn luma(frame: &Frame) -> Vec<u8> {
        let luma = frame.luma();
        (0..luma.height_px)
            .flat_map(|y| luma.row(y).to_vec())
            .collect()
    }

    #[test]
    fn each_turn_puts_every_pixel_where_it_belongs() {
        // 1 2 3
        // 4 5 6
        let frame = Frame::from_luma(StreamTime::ZERO, 3, 2, vec![1, 2, 3, 4, 5, 6]);
        for (turn, size, expected) in [
            (Turn::None, (3, 2), [1, 2, 3, 4, 5, 6]),
            (Turn::Quarter, (2, 3), [4, 1, 5, 2, 6, 3]),
            (Turn::Half, (3, 2), [6, 5, 4, 3, 2, 1]),
            (Turn::ThreeQuarters, (2, 3), [3, 6, 2, 5, 1, 4]),
        ] {
            let upright = turned(frame.clone(), turn);
            assert_eq!((upright.width_px(), upright.height_px()), size, "{turn:?}");
            assert_eq!(luma(&upright), expected, "{turn:?}");
            let (blue, red) = upright.chroma();
            assert_eq!(blue.row(blue.height_px - 1).len(), red.width_px);
        }
    }

    #[test]
    fn four_quarters_are_the_picture_itself_also_across_tiles() {
        let (width, height) = (70_u32, 45_u32);
        let bytes = (0..width * height)
            .map(|n| (n % 251) as u8)
            .collect::<Vec<_>>();
        let frame = Frame::from_luma(StreamTime::ZERO, width, height, bytes.clone());
        let again = (0..4).fold(frame.clone(), |frame, _| turned(frame, Turn::Quarter));
        assert_eq!(luma(&again), bytes);
        let half = turned(turned(frame.clone(), Turn::Quarter), Turn::Quarter);
        assert_eq!(luma(&half), luma(&turned(frame.clone(), Turn::Half)));
        let back = turned(turned(frame, Turn::Quarter), Turn::ThreeQuarters);
        assert_eq!(luma(&back), bytes);
    }
}
