//! Decodes packets with libavcodec. Only 8-bit 4:2:0 leaves this file; anything else is converted.
//!
//! A damaged packet is counted and skipped, never an end: the decoder resynchronises at the next
//! key picture, and what it gives until then says that it is damaged. Frames leave in the order of
//! their times, each later than the one before. One thread a decoder: many cameras fill the cores,
//! and replay stays deterministic.

mod converter;
pub mod device;

use std::collections::VecDeque;
use std::sync::Arc;

use ffmpeg_next as ff;
use jiff::Timestamp;

use self::converter::Converter;
use self::device::Device;
use crate::clock::StreamTime;
use crate::decode::frame::{Frame, Planes};
use crate::decode::turned::turned;
use crate::source::file::quiet_libav;
use crate::source::{Codec, Packet, StreamInfo};

/// The largest picture that is decoded, 8192 x 8192: 96 MiB a frame, and a decoder holds up to 17.
/// Larger ones (a damaged header can claim any size) are refused.
pub const PIXELS_MAX: u64 = 8192 * 8192;

/// Why a decoder cannot work.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    #[error("this FFmpeg has no decoder for {0:?}; install Debian's libavcodec with that codec")]
    NoDecoder(Codec),
    #[error("cannot open the decoder for {codec:?}")]
    Open { codec: Codec, source: ff::Error },
    #[error(
        "pictures of {width_px}x{height_px} are larger than the {PIXELS_MAX} pixels (8192x8192) \
         that are decoded; set the camera to a smaller picture"
    )]
    TooLarge { width_px: u32, height_px: u32 },
}

/// What went wrong so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DecodeCounters {
    /// Packets the decoder refused.
    pub refused_packets: u64,
    /// Frames with damage: concealed by the decoder, or built on what was lost.
    pub damaged_frames: u64,
    /// Frames in a pixel format that could not be converted.
    pub unconverted_frames: u64,
    /// Frames thrown away because their time was not after the frame before.
    pub late_frames: u64,
}

/// How much of the loop filter is done: what smooths the edges of an encoder's blocks takes a quarter
/// to a third of the time of decoding.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LoopFilter {
    /// All of it, as the standard says: pictures that people look at.
    #[default]
    Whole,
    /// Key pictures only. The others drift from what the camera sent, by up to two grey levels on
    /// average where little is coded anew, and are right again at the next key picture.
    KeyPictures,
}

/// One stream's decoder.
pub struct Decoder {
    info: StreamInfo,
    filter: LoopFilter,
    device: Option<Device>,
    inner: ff::decoder::Video,
    times: FrameTimes,
    /// The key picture that comes out once more, and not to anybody.
    shown_us: Option<i64>,
    damage: Damage,
    converter: Option<Converter>,
    counters: DecodeCounters,
}

impl Decoder {
    /// Opens a decoder for the stream. Fails when FFmpeg lacks the codec or refuses its parameters,
    /// and when the pictures are too large.
    pub fn open(info: &StreamInfo) -> Result<Self, DecodeError> {
        Self::open_with(info, LoopFilter::Whole, None)
    }

    /// Opens a decoder for the stream that does so much of the loop filter and decodes on `device`
    /// where that can, which always filters all. Fails like [`Decoder::open`].
    pub fn open_with(
        info: &StreamInfo,
        filter: LoopFilter,
        device: Option<&Device>,
    ) -> Result<Self, DecodeError> {
        quiet_libav();
        let (width_px, height_px) = (info.width_px, info.height_px);
        if u64::from(width_px) * u64::from(height_px) > PIXELS_MAX {
            return Err(DecodeError::TooLarge {
                width_px,
                height_px,
            });
        }
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
        if let Some(device) = device {
            device.lend_to(&mut context);
        }
        let mut decoder = context.decoder();
        if filter == LoopFilter::KeyPictures {
            decoder.skip_loop_filter(ff::Discard::NonKey);
        }
        decoder.set_packet_time_base((1, 1_000_000));
        // A change of size in mid-stream must keep to the limit as well.
        let mut options = ff::Dictionary::new();
        options.set("max_pixels", &PIXELS_MAX.to_string());
        let inner = decoder
            .open_as_with(codec, options)
            .and_then(ff::decoder::Opened::video)
            .map_err(failed)?;
        Ok(Self {
            info: info.clone(),
            filter,
            device: device.cloned(),
            inner,
            times: FrameTimes::default(),
            shown_us: None,
            damage: Damage::default(),
            converter: None,
            counters: DecodeCounters::default(),
        })
    }

    /// Decodes one packet and hands each finished frame to `emit`, in presentation order.
    /// A packet that cannot be decoded is counted, not an error.
    pub fn push(&mut self, packet: &Packet, mut emit: impl FnMut(Frame)) {
        self.times.expect(packet.at.as_micros(), packet.captured_at);
        self.damage.packet(packet);
        if packet.data.is_empty() {
            // To libavcodec an empty packet is the stream's end, after which it takes no other.
            self.refused();
            return;
        }
        self.send(packet);
        self.drain(&mut emit);
    }

    fn send(&mut self, packet: &Packet) {
        // libavcodec wants padding behind the data, so the bytes are copied: 20 kB a picture, under
        // a thousandth of the time that decoding takes.
        let mut encoded = ff::Packet::copy(&packet.data);
        encoded.set_pts(Some(packet.at.as_micros()));
        encoded.set_dts(Some(packet.decode_at.as_micros()));
        if packet.key {
            encoded.set_flags(ff::packet::Flags::KEY);
        }
        if self.inner.send_packet(&encoded).is_err() {
            self.refused();
        }
    }

    /// Hands out the frames still held back. Decoding goes on with a key picture, if at all.
    pub fn finish(&mut self, mut emit: impl FnMut(Frame)) {
        // Fails only when the end was already sent; draining is right either way.
        self.inner.send_eof().ok();
        self.drain(&mut emit);
        self.inner.flush();
    }

    /// Decodes a key picture by itself, whatever came before, and returns its frame, none where it
    /// cannot be decoded alone. Nothing is between two keys that are decoded so: what lies between
    /// them may follow later ([`Decoder::push_again`]), up to [`Decoder::shown`].
    pub fn alone(&mut self, key: &Packet) -> Option<Frame> {
        let newest_us = self.times.newest_us;
        let mut frame = None;
        self.inner.flush();
        self.push(key, |decoded| frame = Some(decoded));
        self.finish(|decoded| frame = Some(decoded));
        self.times.newest_us = newest_us;
        frame
    }

    /// Notes that a frame from [`Decoder::alone`] has left: no earlier one may follow.
    pub fn shown(&mut self, frame: &Frame) {
        self.times.newest_us = Some(frame.at.as_micros());
    }

    /// Begins with a key picture that was shown before, for those that are built on it.
    pub fn push_again(&mut self, key: &Packet) {
        self.inner.flush();
        self.shown_us = Some(key.at.as_micros());
        self.send(key);
        self.drain(&mut drop);
    }

    /// Returns a decoder for the next timeline of a stream: this one where it decodes the same and has
    /// met no damage, for its pictures' memory is there already (2 s of 1080p are 150 MiB, which to
    /// fill with zeros takes a tenth of the time of decoding them), or else a new one. Fails like
    /// [`Decoder::open`].
    pub fn renewed(mut self, info: &StreamInfo) -> Result<Self, DecodeError> {
        if self.info != *info || self.counters != DecodeCounters::default() {
            return Self::open_with(info, self.filter, self.device.as_ref());
        }
        self.inner.flush();
        self.times = FrameTimes::default();
        self.shown_us = None;
        self.damage = Damage::default();
        Ok(self)
    }

    /// Returns what went wrong so far.
    pub fn counters(&self) -> DecodeCounters {
        self.counters
    }

    fn refused(&mut self) {
        self.counters.refused_packets += 1;
        self.damage.begins();
    }

    fn drain(&mut self, emit: &mut impl FnMut(Frame)) {
        // A packet gives a few frames at most; the bound is against a decoder that never says no.
        for _ in 0..FRAMES_A_PACKET_MAX {
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
                    self.refused();
                    return;
                }
            }
        }
    }

    fn frame(&mut self, picture: ff::frame::Video) -> Option<Frame> {
        let pts = picture.pts().or_else(|| picture.timestamp())?;
        if self.shown_us.take_if(|shown_us| *shown_us == pts).is_some() {
            return None;
        }
        let Some((at_us, captured_at)) = self.times.of_frame(pts) else {
            self.counters.late_frames += u64::from(pts >= 0);
            return None;
        };
        let concealed = picture.is_corrupt() || picture.has_decode_errors();
        let damaged = self.damage.frame(at_us, concealed);
        self.counters.damaged_frames += u64::from(damaged);
        let key = picture.is_key();
        let Some(picture) = device::fetched(picture).and_then(|picture| self.planar(picture))
        else {
            self.counters.unconverted_frames += 1;
            return None;
        };
        let (width_px, height_px) = (picture.width(), picture.height());
        let mut frame = Frame::new(
            StreamTime::from_micros(at_us),
            captured_at,
            width_px,
            height_px,
            Arc::new(Picture(picture)),
        );
        frame.key = key;
        frame.damaged = damaged;
        Some(turned(frame, self.info.turn))
    }

    /// Returns the picture as 8-bit 4:2:0, the same one where it already is.
    fn planar(&mut self, picture: ff::frame::Video) -> Option<ff::frame::Video> {
        use ff::format::Pixel;
        let (width_px, height_px) = (picture.width(), picture.height());
        if width_px == 0 || height_px == 0 {
            return None;
        }
        let is_planar = matches!(picture.format(), Pixel::YUV420P | Pixel::YUVJ420P);
        // Some old formats stand upside down, with a stride below zero: converting turns them.
        let upright = (0..picture.planes()).all(|plane| picture.stride(plane) <= STRIDE_MAX);
        if is_planar && upright && picture.planes() >= 3 {
            return Some(picture);
        }
        let wanted = (picture.format(), width_px, height_px);
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

/// More than any decoder holds back (H.264 and H.265: 16).
const FRAMES_A_PACKET_MAX: usize = 64;

/// Above any real stride; what is above is one below zero, read as unsigned.
const STRIDE_MAX: usize = 1 << 30;

/// The times of the frames still inside the decoder, and of the newest that left.
#[derive(Debug, Default)]
struct FrameTimes {
    /// Presentation and capture time, in the order of the packets.
    inside: VecDeque<(i64, Timestamp)>,
    newest_us: Option<i64>,
    /// The packets' times were not in the order of presentation (a container without presentation
    /// times): frames take the next time there is instead of their packet's.
    in_order: bool,
}

/// Frames a decoder can hold back at most: H.264 and H.265 reorder up to 16; twice that to be safe.
const INSIDE_MAX: usize = 32;

impl FrameTimes {
    fn expect(&mut self, at_us: i64, captured_at: Timestamp) {
        if self.inside.len() == INSIDE_MAX {
            self.inside.pop_front();
        }
        self.inside.push_back((at_us, captured_at));
    }

    /// Returns when a frame is presented and was captured; none when it must not leave: it lies
    /// before the timeline's beginning or not after the frame before.
    fn of_frame(&mut self, pts: i64) -> Option<(i64, Timestamp)> {
        if pts < 0 {
            return None;
        }
        let after = self.newest_us.unwrap_or(-1);
        self.in_order |= pts <= after;
        let later = |(at, _): &&(i64, Timestamp)| *at > after;
        let found = if self.in_order {
            self.inside.iter().filter(later).min_by_key(|(at, _)| *at)
        } else {
            self.inside.iter().find(|(at, _)| *at == pts)
        };
        let (at_us, captured_at) = match found {
            Some(found) => *found,
            None if self.in_order => return None,
            // libavcodec made the time up, or the packet is long gone from the list.
            None => (pts, self.inside.front()?.1),
        };
        self.newest_us = Some(at_us);
        self.inside.retain(|(at, _)| *at > at_us);
        Some((at_us, captured_at))
    }
}

/// Which frames are built on something missing: from a loss up to the next key picture.
#[derive(Debug)]
struct Damage {
    /// When it began: the newest packet's time then; none while all is well.
    since_us: Option<i64>,
    /// The first key picture after that: from here on all is well.
    until_us: Option<i64>,
    newest_us: i64,
}

impl Default for Damage {
    fn default() -> Self {
        // Nothing can be decoded rightly before the first key picture.
        Self {
            since_us: Some(i64::MIN),
            until_us: None,
            newest_us: i64::MIN,
        }
    }
}

/// Without key pictures (encoders that refresh the picture in stripes), damage is over after this.
const DAMAGE_US_MAX: i64 = 10_000_000;

impl Damage {
    fn begins(&mut self) {
        self.since_us.get_or_insert(self.newest_us);
        self.until_us = None;
    }

    /// Takes what a packet says, before it is decoded.
    fn packet(&mut self, packet: &Packet) {
        self.newest_us = packet.at.as_micros();
        if self.since_us == Some(i64::MIN) {
            self.since_us = Some(self.newest_us);
        }
        if packet.lost > 0 && !packet.key {
            self.begins();
        }
        if packet.key && self.since_us.is_some() {
            self.until_us.get_or_insert(self.newest_us);
        }
    }

    /// Returns whether a frame is damaged. One that the decoder had to conceal damages those that
    /// follow it as well.
    fn frame(&mut self, at_us: i64, concealed: bool) -> bool {
        let healed = self.until_us.is_some_and(|until_us| at_us >= until_us);
        let faded = self
            .since_us
            .is_some_and(|since_us| at_us.saturating_sub(since_us) > DAMAGE_US_MAX);
        if healed || faded {
            (self.since_us, self.until_us) = (None, None);
        }
        if concealed && self.since_us.is_none() {
            self.since_us = Some(at_us);
        }
        self.since_us.is_some()
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
        Codec::Other(number) => {
            // SAFETY: the number came from FFmpeg's own AVCodecID in source/file.rs, in this process.
            unsafe { std::mem::transmute::<u32, ff::ffi::AVCodecID>(number) }.into()
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn leave(order: &[i64], pts: &[i64]) -> Vec<Option<i64>> {
        let mut times = FrameTimes::default();
        for at in order {
            times.expect(*at, Timestamp::UNIX_EPOCH);
        }
        pts.iter()
            .map(|pts| times.of_frame(*pts).map(|(at, _)| at))
            .collect()
    }

    #[test]
    fn frames_keep_their_packets_times() {
        let left = leave(&[0, 120, 40, 80], &[0, 40, 80, 120]);
        assert_eq!(left, [Some(0), Some(40), Some(80), Some(120)]);
    }

    #[test]
    fn times_that_are_not_presentation_times_are_put_in_order() {
        // A container that tells decoding times only: I P B B leave as I B B P.
        let left = leave(&[0, 40, 80, 120, 160], &[0, 80, 120, 40, 160]);
        assert_eq!(left[0], Some(0));
        let known: Vec<i64> = left.into_iter().flatten().collect();
        assert!(known.windows(2).all(|pair| pair[0] < pair[1]), "{known:?}");
    }

    #[test]
    fn frames_before_the_beginning_and_repeated_ones_do_not_leave() {
        let left = leave(&[-40, 0, 40], &[-40, 0, 40, 40]);
        assert_eq!(left, [None, Some(0), Some(40), None]);
    }

    fn packet(at_us: i64, key: bool, lost: u32) -> Packet {
        Packet {
            data: Bytes::new(),
            at: StreamTime::from_micros(at_us),
            decode_at: StreamTime::from_micros(at_us),
            captured_at: Timestamp::UNIX_EPOCH,
            key,
            lost,
        }
    }

    fn damaged(packets: &[(i64, bool, u32)]) -> Vec<bool> {
        let mut damage = Damage::default();
        packets
            .iter()
            .map(|&(at, key, lost)| {
                damage.packet(&packet(at, key, lost));
                damage.frame(at, false)
            })
            .collect()
    }

    #[test]
    fn damage_lasts_from_a_loss_to_the_next_key_picture() {
        let seen = damaged(&[
            (0, true, 0),
            (40, false, 0),
            (80, false, 3),
            (120, false, 0),
            (160, true, 0),
            (200, false, 0),
        ]);
        assert_eq!(seen, [false, false, true, true, false, false]);
    }

    #[test]
    fn damage_lasts_until_the_first_key_picture_and_fades_without_any() {
        assert_eq!(damaged(&[(0, false, 0), (40, true, 0)]), [true, false]);
        let late = DAMAGE_US_MAX + 1;
        assert_eq!(damaged(&[(0, false, 0), (late, false, 0)]), [true, false]);
    }

    #[test]
    fn a_key_picture_after_a_loss_is_whole() {
        assert_eq!(damaged(&[(0, true, 0), (40, true, 7)]), [false, false]);
    }

    #[test]
    fn frames_held_back_before_a_key_picture_stay_damaged() {
        let mut damage = Damage::default();
        damage.packet(&packet(0, true, 0));
        assert!(!damage.frame(0, false));
        damage.packet(&packet(40, false, 1));
        damage.packet(&packet(80, true, 0));
        assert!(damage.frame(40, false));
        assert!(!damage.frame(80, false));
    }
}
