//! Encodes pictures as they come (H.264, no picture held back), for whoever watches a camera live
//! whose own video cannot be shown. Nothing of it is kept.

use bytes::Bytes;
use ffmpeg_next as ff;
use jiff::Timestamp;

use super::planar::Planar;
use super::recode::as_frame;
use crate::clock::StreamTime;
use crate::source::file::quiet_libav;
use crate::source::{Codec, Framing, Packet, StreamInfo, Turn};

/// Live video is at most this wide: a tile of the wall is 640 pixels across, and 1080p costs twice
/// as much of a core.
const WIDTH_PX_MAX: u32 = 1280;
/// A key picture each second at 25 a second: whoever comes later or was too slow waits for one.
const GROUP: u32 = 25;
/// What the stream's level is reckoned with; pictures carry times of their own.
const PICTURES_PER_SECOND: i32 = 25;
const MICROS_PER_SECOND: i32 = 1_000_000;

/// Why pictures cannot be encoded.
#[derive(Debug, thiserror::Error)]
#[error("{step} failed; live video needs an H.264 encoder (Debian's libavcodec has one)")]
pub struct RelayError {
    step: &'static str,
    source: ff::Error,
}

/// An encoder for pictures of one size.
pub struct Relay {
    encoder: ff::encoder::video::Encoder,
    scaler: Option<ff::software::scaling::Context>,
    from_px: (u32, u32),
    to_px: (u32, u32),
    last_us: i64,
}

impl Relay {
    /// Returns an encoder for pictures of `width_px` x `height_px`; an odd row or column is left out.
    /// Fails when this FFmpeg has no H.264 encoder, or there is nothing to encode.
    pub fn open(width_px: u32, height_px: u32) -> Result<Self, RelayError> {
        quiet_libav();
        let failed = |step| move |source| RelayError { step, source };
        let from_px = (width_px & !1, height_px & !1);
        if from_px.0 == 0 || from_px.1 == 0 {
            return Err(failed("opening the encoder")(ff::Error::InvalidData));
        }
        let to_px = scaled(from_px);
        let codec = ff::encoder::find_by_name("libx264")
            .or_else(|| ff::encoder::find(ff::codec::Id::H264))
            .ok_or(ff::Error::EncoderNotFound)
            .map_err(failed("finding the encoder"))?;
        let encoder = open_encoder(codec, to_px).map_err(failed("opening the encoder"))?;
        let planar = ff::format::Pixel::YUV420P;
        let scaler = (from_px != to_px).then(|| {
            let flags = ff::software::scaling::Flags::BILINEAR;
            let (from, to) = (from_px, to_px);
            ff::software::scaling::Context::get(planar, from.0, from.1, planar, to.0, to.1, flags)
        });
        Ok(Self {
            encoder,
            scaler: scaler.transpose().map_err(failed("opening the scaler"))?,
            from_px,
            to_px,
            last_us: -1,
        })
    }

    /// Returns what a viewer must know before the first packet. Its parameter sets come with each
    /// key picture.
    pub fn info(&self) -> StreamInfo {
        StreamInfo {
            codec: Codec::H264,
            framing: Framing::AnnexB,
            extra_data: Bytes::new(),
            width_px: self.to_px.0,
            height_px: self.to_px.1,
            codec_tag: 0,
            pixel_format: -1,
            bits_per_sample: 0,
            turn: Turn::None,
        }
    }

    /// Encodes one picture, of the size that was said; returns its packet, none where the encoder
    /// holds it back.
    pub fn push(
        &mut self,
        picture: &Planar,
        at: StreamTime,
        captured_at: Timestamp,
    ) -> Result<Option<Packet>, RelayError> {
        let failed = |step| move |source| RelayError { step, source };
        let mut frame = as_frame(picture, self.from_px.0, self.from_px.1);
        if let Some(scaler) = &mut self.scaler {
            let mut small = ff::frame::Video::empty();
            let run = scaler.run(&frame, &mut small);
            run.map_err(failed("scaling a picture"))?;
            frame = small;
        }
        self.last_us = at.as_micros().max(self.last_us + 1);
        frame.set_pts(Some(self.last_us));
        let sent = self.encoder.send_frame(&frame);
        sent.map_err(failed("encoding a picture"))?;
        let mut encoded = ff::Packet::empty();
        if self.encoder.receive_packet(&mut encoded).is_err() {
            return Ok(None);
        }
        let at = StreamTime::from_micros(encoded.pts().unwrap_or(self.last_us));
        Ok(Some(Packet {
            data: Bytes::copy_from_slice(encoded.data().unwrap_or_default()),
            at,
            // No picture depends on a later one.
            decode_at: at,
            captured_at,
            key: encoded.is_key(),
            lost: 0,
        }))
    }
}

fn scaled((width, height): (u32, u32)) -> (u32, u32) {
    if width <= WIDTH_PX_MAX {
        return (width, height);
    }
    let rows = u64::from(height) * u64::from(WIDTH_PX_MAX) / u64::from(width);
    let rows = u32::try_from(rows).unwrap_or(height);
    (WIDTH_PX_MAX, (rows & !1).max(2))
}

fn open_encoder(
    codec: ff::Codec,
    (width_px, height_px): (u32, u32),
) -> Result<ff::encoder::video::Encoder, ff::Error> {
    let context = ff::codec::context::Context::new_with_codec(codec);
    let mut encoder = context.encoder().video()?;
    encoder.set_width(width_px);
    encoder.set_height(height_px);
    encoder.set_format(ff::format::Pixel::YUV420P);
    encoder.set_time_base((1, MICROS_PER_SECOND));
    // Of the time base alone a level would follow that no player has.
    encoder.set_frame_rate(Some((PICTURES_PER_SECOND, 1)));
    encoder.set_gop(GROUP);
    let mut options = ff::Dictionary::new();
    options.set("preset", "superfast");
    options.set("tune", "zerolatency");
    options.set("crf", "25");
    // Cameras need the other cores.
    options.set("threads", "1");
    encoder.open_with(options)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::{Decoder, Frame};

    #[test]
    fn each_picture_leaves_at_once_smaller_and_can_be_decoded() {
        let mut relay = Relay::open(1921, 1080).expect("an encoder");
        let mut decoder = Decoder::open(&relay.info()).expect("a decoder");
        let mut decoded = Vec::new();
        for number in 0..30_i64 {
            let at = StreamTime::from_micros(number * 40_000);
            let luma = vec![u8::try_from(50 + number).expect("a byte"); 1921 * 1080];
            let picture = Planar::of(&Frame::from_luma(at, 1921, 1080, luma));
            let packet = relay.push(&picture, at, Timestamp::UNIX_EPOCH);
            let packet = packet.expect("encoded").expect("none is held back");
            assert_eq!((packet.at, packet.key), (at, number % 25 == 0));
            decoder.push(&packet, |frame| decoded.push(frame));
        }
        decoder.finish(|frame| decoded.push(frame));
        assert_eq!(decoded.len(), 30);
        let last = decoded.last().expect("a picture");
        assert_eq!((last.width_px(), last.height_px()), (1280, 720));
        assert!(last.luma().row(300)[600].abs_diff(79) < 3);
    }
}
