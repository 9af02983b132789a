//! A decoded picture: 8-bit planar YUV 4:2:0, shared by `Arc`. Cloning a frame copies no pixel.

use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;

use crate::clock::StreamTime;

/// Where a frame's pixels live; plane 0 is luma, 1 and 2 are blue and red chroma at half size.
pub trait Planes: Send + Sync {
    /// Returns plane `index`'s bytes and its stride in bytes.
    fn plane(&self, index: usize) -> (&[u8], usize);
}

/// One plane of a frame: `height_px` rows of `width_px` bytes, `stride` bytes apart.
#[derive(Clone, Copy)]
pub struct Plane<'a> {
    pub data: &'a [u8],
    pub stride: usize,
    pub width_px: usize,
    pub height_px: usize,
}

impl<'a> Plane<'a> {
    /// Returns row `y` (0..height) without its padding.
    pub fn row(&self, y: usize) -> &'a [u8] {
        let start = y * self.stride;
        &self.data[start..start + self.width_px]
    }
}

/// One decoded picture of a stream.
#[derive(Clone)]
pub struct Frame {
    /// Presentation time on the stream's timeline.
    pub at: StreamTime,
    /// Wall time of capture.
    pub captured_at: Timestamp,
    /// Whether it is a key picture: the encoder starts anew here, which can shift all pixels a bit.
    pub key: bool,
    /// Whether it may show what was not there: the decoder had to conceal missing or damaged parts,
    /// or something it is built on was lost. True from a loss up to the next key picture; motion in
    /// such a frame proves nothing.
    pub damaged: bool,
    width_px: u32,
    height_px: u32,
    planes: Arc<dyn Planes>,
}

impl Frame {
    /// Returns a frame over `planes`, which must hold 4:2:0 planes of the given luma size.
    pub fn new(
        at: StreamTime,
        captured_at: Timestamp,
        width_px: u32,
        height_px: u32,
        planes: Arc<dyn Planes>,
    ) -> Self {
        Self {
            at,
            captured_at,
            key: false,
            damaged: false,
            width_px,
            height_px,
            planes,
        }
    }

    /// Returns other planes of the same moment, of the given luma size: a copy, or a part.
    pub fn with_planes(&self, width_px: u32, height_px: u32, planes: Arc<dyn Planes>) -> Self {
        Self {
            width_px,
            height_px,
            planes,
            ..*self
        }
    }

    /// Returns a grey frame from luma bytes, row after row without padding.
    ///
    /// # Panics
    /// When `luma` is not `width_px * height_px` bytes.
    pub fn from_luma(at: StreamTime, width_px: u32, height_px: u32, luma: Vec<u8>) -> Self {
        let (width, height) = (width_px as usize, height_px as usize);
        assert_eq!(
            luma.len(),
            width * height,
            "luma bytes of a {width}x{height} picture"
        );
        let chroma_stride = width.div_ceil(2);
        let chroma = vec![128; chroma_stride * height.div_ceil(2)];
        let planes = GreyPlanes {
            luma,
            stride: width,
            chroma,
            chroma_stride,
        };
        Self::new(
            at,
            Timestamp::UNIX_EPOCH,
            width_px,
            height_px,
            Arc::new(planes),
        )
    }

    /// Returns the picture's width.
    pub fn width_px(&self) -> u32 {
        self.width_px
    }

    /// Returns the picture's height.
    pub fn height_px(&self) -> u32 {
        self.height_px
    }

    /// Returns the brightness plane, full resolution, 0..255.
    pub fn luma(&self) -> Plane<'_> {
        self.plane(0, self.width_px as usize, self.height_px as usize)
    }

    /// Returns the blue-difference (Cb) and red-difference (Cr) planes at half resolution, 128 = none.
    pub fn chroma(&self) -> (Plane<'_>, Plane<'_>) {
        let width = (self.width_px as usize).div_ceil(2);
        let height = (self.height_px as usize).div_ceil(2);
        (self.plane(1, width, height), self.plane(2, width, height))
    }

    fn plane(&self, index: usize, width_px: usize, height_px: usize) -> Plane<'_> {
        let (data, stride) = self.planes.plane(index);
        Plane {
            data,
            stride,
            width_px,
            height_px,
        }
    }
}

impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Frame({}x{} at {})",
            self.width_px, self.height_px, self.at
        )
    }
}

struct GreyPlanes {
    luma: Vec<u8>,
    stride: usize,
    chroma: Vec<u8>,
    chroma_stride: usize,
}

impl Planes for GreyPlanes {
    fn plane(&self, index: usize) -> (&[u8], usize) {
        match index {
            0 => (&self.luma, self.stride),
            _ => (&self.chroma, self.chroma_stride),
        }
    }
}
