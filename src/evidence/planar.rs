//! A picture's planes to write on: a copy of a frame, row after row without padding.

use std::sync::Arc;

use crate::decode::frame::{Frame, Plane, Planes};

/// 8-bit 4:2:0, luma and both chromas at half size.
#[derive(Clone, Debug)]
pub struct Planar {
    width_px: u32,
    height_px: u32,
    planes: [Vec<u8>; 3],
}

impl Planar {
    /// Returns a copy of the frame's planes.
    pub fn of(frame: &Frame) -> Self {
        let (blue, red) = frame.chroma();
        Self {
            width_px: frame.width_px(),
            height_px: frame.height_px(),
            planes: [frame.luma(), blue, red].map(packed),
        }
    }

    /// Returns width and height of the luma plane.
    pub fn size_px(&self) -> (u32, u32) {
        (self.width_px, self.height_px)
    }

    /// Returns luma, blue and red chroma; chroma has half of the columns and rows, rounded up.
    pub fn planes(&self) -> [&[u8]; 3] {
        let [luma, blue, red] = &self.planes;
        [luma, blue, red]
    }

    /// Returns the planes to write on.
    pub fn planes_mut(&mut self) -> [&mut [u8]; 3] {
        let [luma, blue, red] = &mut self.planes;
        [luma, blue, red]
    }

    /// Returns it as a frame of the same moment as `like`.
    pub fn into_frame(self, like: &Frame) -> Frame {
        let (width_px, height_px) = self.size_px();
        like.with_planes(width_px, height_px, Arc::new(self))
    }
}

impl Planes for Planar {
    fn plane(&self, index: usize) -> (&[u8], usize) {
        let width = self.width_px as usize;
        match index {
            0 => (&self.planes[0], width),
            _ => (&self.planes[index], width.div_ceil(2)),
        }
    }
}

fn packed(plane: Plane<'_>) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(plane.width_px * plane.height_px);
    for y in 0..plane.height_px {
        bytes.extend_from_slice(plane.row(y));
    }
    bytes
}
