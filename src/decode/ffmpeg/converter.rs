//! Other pixel formats become 8-bit 4:2:0.

use ffmpeg_next as ff;

/// Turns other pixel formats (10 bit, 4:2:2, RGB of some recordings) into 8-bit 4:2:0.
pub(super) struct Converter {
    pub(super) from: (ff::format::Pixel, u32, u32),
    pub(super) scaler: ff::software::scaling::Context,
}

// SAFETY: a scaling context is used by the one thread that owns the decoder; nothing in it is
// bound to the thread that made it. ffmpeg-next only lacks the marker.
#[expect(unsafe_code, reason = "decoders move to their camera's thread")]
unsafe impl Send for Converter {}

impl Converter {
    pub(super) fn new(from: (ff::format::Pixel, u32, u32)) -> Result<Self, ff::Error> {
        let (format, width, height) = from;
        let scaler = ff::software::scaling::Context::get(
            format,
            width,
            height,
            ff::format::Pixel::YUV420P,
            width,
            height,
            ff::software::scaling::Flags::BILINEAR,
        )?;
        Ok(Self { from, scaler })
    }
}
