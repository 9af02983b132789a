//! Decodes packets with libavcodec. Only 8-bit 4:2:0 leaves this file; anything else is converted.
//!
//! A damaged packet is counted and skipped, never an end: the decoder resynchronises at the next
//! key picture. One thread a decoder: many cameras fill the cores, and replay stays deterministic.

use std::collections::VecDeque;
use std::sync::Arc;

use ffmpeg_next as ff;
use jiff::Timestamp;

use crate::clock::StreamTime;
use crate::decode::frame::{Frame, Planes};
use crate::source::{Codec, Packet, StreamInfo};

/// Why a decoder cannot work.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    #[error("this FFmpeg has no decoder for {0:?}; install Debian's libavcodec with that codec")]
    NoDecoder(Codec),
    #[error("cannot open the decoder for {codec:?}")]
    Open { codec: Codec, source: ff::Error },
}

/// What went wrong so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DecodeCounters {
    /// Packets the decoder refused.
    pub refused_packets: u64,
    /// Frames with concealed damage.
    pub damaged_frames: u64,
    /// Frames in a pixel format that could not be converted.
    pub unconverted_frames: u64,
}

/// One stream's decoder.
pub struct Decoder {
    inner: ff::decoder::Video,
    /// Capture times by presentation time, for the frames still inside the decoder.
    captured: VecDeque<(i64, Timestamp)>,
    converter: Option<Converter>,
    counters: DecodeCounters,
}

/// Frames a decoder can hold back at most: H.264 and H.265 reorder up to 16; twice that to be safe.
const CAPTURED_MAX: usize = 32;

impl Decoder {
    /// Opens a decoder for the stream. Fails when FFmpeg lacks the codec or refuses its parameters.
    pub fn open(info: &StreamInfo) -> Result<Self, DecodeError> {
        let parameters = parameters(info);
        let codec = ff::decoder::find(parameters.id()).ok_or(DecodeError::NoDecoder(info.codec))?;
        let failed = |source| DecodeError::Open {
            codec: info.codec,
            source,
        };
        let mut context = ff::codec::Context::from_parameters(parameters).map_err(failed)?;
        context.set_threading(ff::threading::Config {
            count: 1,
            ..Default::default()
        });
        let mut decoder = context.decoder();
        decoder.set_packet_time_base((1, 1_000_000));
        let inner = decoder
            .open_as(codec)
            .and_then(ff::decoder::Opened::video)
            .map_err(failed)?;
        Ok(Self {
            inner,
            captured: VecDeque::new(),
            converter: None,
            counters: DecodeCounters::default(),
        })
    }

    /// Decodes one packet and hands each finished frame to `emit`, in presentation order.
    /// A packet that cannot be decoded is counted, not an error.
    pub fn push(&mut self, packet: &Packet, mut emit: impl FnMut(Frame)) {
        if self.captured.len() == CAPTURED_MAX {
            self.captured.pop_front();
        }
        self.captured
            .push_back((packet.at.as_micros(), packet.captured_at));
        let mut encoded = ff::Packet::copy(&packet.data);
        encoded.set_pts(Some(packet.at.as_micros()));
        encoded.set_dts(Some(packet.decode_at.as_micros()));
        if self.inner.send_packet(&encoded).is_err() {
            self.counters.refused_packets += 1;
        }
        self.drain(&mut emit);
    }

    /// Hands out the frames still held back, at the end of a timeline.
    pub fn finish(&mut self, mut emit: impl FnMut(Frame)) {
        // Fails only when the end was already sent; draining is right either way.
        self.inner.send_eof().ok();
        self.drain(&mut emit);
    }

    /// Returns what went wrong so far.
    pub fn counters(&self) -> DecodeCounters {
        self.counters
    }

    fn drain(&mut self, emit: &mut impl FnMut(Frame)) {
        loop {
            let mut picture = ff::frame::Video::empty();
            match self.inner.receive_frame(&mut picture) {
                Ok(()) => {
                    if let Some(frame) = self.frame(picture) {
                        emit(frame);
                    }
                }
                Err(
                    ff::Error::Other {
                        errno: ff::error::EAGAIN,
                    }
                    | ff::Error::Eof,
                ) => return,
                Err(_) => {
                    self.counters.refused_packets += 1;
                    return;
                }
            }
        }
    }

    fn frame(&mut self, picture: ff::frame::Video) -> Option<Frame> {
        let pts = picture.timestamp().or_else(|| picture.pts())?;
        let captured_at = self.captured_at(pts);
        let damaged = picture.is_corrupt() || picture.has_decode_errors();
        self.counters.damaged_frames += u64::from(damaged);
        let key = picture.is_key();
        let Some(picture) = self.planar(picture) else {
            self.counters.unconverted_frames += 1;
            return None;
        };
        let (width_px, height_px) = (picture.width(), picture.height());
        let mut frame = Frame::new(
            StreamTime::from_micros(pts),
            captured_at,
            width_px,
            height_px,
            Arc::new(Picture(picture)),
        );
        frame.key = key;
        frame.damaged = damaged;
        Some(frame)
    }

    fn captured_at(&mut self, pts: i64) -> Timestamp {
        let found = self.captured.iter().position(|(at, _)| *at == pts);
        found
            .and_then(|index| self.captured.remove(index))
            .or_else(|| self.captured.front().copied())
            .map_or(Timestamp::UNIX_EPOCH, |(_, captured_at)| captured_at)
    }

    /// Returns the picture as 8-bit 4:2:0, the same one where it already is.
    fn planar(&mut self, picture: ff::frame::Video) -> Option<ff::frame::Video> {
        use ff::format::Pixel;
        if matches!(picture.format(), Pixel::YUV420P | Pixel::YUVJ420P) {
            return Some(picture);
        }
        let wanted = (picture.format(), picture.width(), picture.height());
        if self
            .converter
            .as_ref()
            .is_none_or(|converter| converter.from != wanted)
        {
            self.converter = Converter::new(wanted).ok();
        }
        let mut planar = ff::frame::Video::empty();
        self.converter
            .as_mut()?
            .scaler
            .run(&picture, &mut planar)
            .ok()?;
        Some(planar)
    }
}

/// Turns other pixel formats (10 bit, 4:2:2, RGB of some recordings) into 8-bit 4:2:0.
struct Converter {
    from: (ff::format::Pixel, u32, u32),
    scaler: ff::software::scaling::Context,
}

// SAFETY: a scaling context is used by the one thread that owns the decoder; nothing in it is
// bound to the thread that made it. ffmpeg-next only lacks the marker.
#[expect(unsafe_code, reason = "decoders move to their camera's thread")]
unsafe impl Send for Converter {}

impl Converter {
    fn new(from: (ff::format::Pixel, u32, u32)) -> Result<Self, ff::Error> {
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

struct Picture(ff::frame::Video);

impl Planes for Picture {
    fn plane(&self, index: usize) -> (&[u8], usize) {
        (self.0.data(index), self.0.stride(index))
    }
}

/// Returns the stream's description as libavcodec's parameters, for decoders and muxers.
#[expect(
    unsafe_code,
    reason = "ffmpeg-next has no setters for extradata, size and pixel format"
)]
pub(crate) fn parameters(info: &StreamInfo) -> ff::codec::Parameters {
    let mut parameters = ff::codec::Parameters::new();
    parameters.set_medium(ff::media::Type::Video);
    parameters.set_id(codec_id(info.codec));
    // SAFETY: `parameters` owns its AVCodecParameters. The extradata is allocated by av_mallocz with
    // the padding FFmpeg demands, and is freed by avcodec_parameters_free.
    unsafe {
        let raw = parameters.as_mut_ptr();
        (*raw).width = i32::try_from(info.width_px).unwrap_or(0);
        (*raw).height = i32::try_from(info.height_px).unwrap_or(0);
        (*raw).codec_tag = info.codec_tag;
        (*raw).format = info.pixel_format;
        (*raw).bits_per_coded_sample = info.bits_per_sample;
        let padding = ff::ffi::AV_INPUT_BUFFER_PADDING_SIZE as usize;
        let extra = ff::ffi::av_mallocz(info.extra_data.len() + padding).cast::<u8>();
        if !extra.is_null() && !info.extra_data.is_empty() {
            std::ptr::copy_nonoverlapping(info.extra_data.as_ptr(), extra, info.extra_data.len());
            (*raw).extradata = extra;
            (*raw).extradata_size = i32::try_from(info.extra_data.len()).unwrap_or(0);
        } else {
            ff::ffi::av_free(extra.cast());
        }
    }
    parameters
}

#[expect(
    unsafe_code,
    reason = "recordings hold codecs that Plumb knows by FFmpeg's number only"
)]
fn codec_id(codec: Codec) -> ff::codec::Id {
    match codec {
        Codec::H264 => ff::codec::Id::H264,
        Codec::H265 => ff::codec::Id::HEVC,
        // SAFETY: the number came from FFmpeg's own AVCodecID in source/file.rs, in this process.
        Codec::Other(number) => {
            unsafe { std::mem::transmute::<u32, ff::ffi::AVCodecID>(number) }.into()
        }
    }
}
