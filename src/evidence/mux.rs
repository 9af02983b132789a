//! Puts encoded packets into an MP4 file as they are: clips and footage. Never decodes or encodes.
//!
//! H.264 is tagged `avc1` and H.265 `hvc1`, and timestamps begin at 0 with the first packet, which must
//! be a key picture. Annex B and length-prefixed streams both work.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use ffmpeg_next as ff;

use super::clip::ClipError;
use crate::clock::StreamTime;
use crate::decode::ffmpeg::parameters;
use crate::source::file::quiet_libav;
use crate::source::{Codec, Framing, Packet, StreamInfo, Turn, nal};

/// A clock of 90 kHz, as RTP and most cameras use: no timestamp is rounded by more than 6 us.
pub(crate) const TICKS_PER_SECOND: i64 = 90_000;
/// The index at the front takes at most this for the track itself, without its decoder's parameters.
const INDEX_BYTES: usize = 8 * 1024;
/// And so much for a picture: its size, and where all of them differ its duration and offset, and the
/// key pictures' list (ISO/IEC 14496-12, 8.6 and 8.7); chunks are a megabyte.
const INDEX_BYTES_A_PICTURE: usize = 28;
/// A fragment ends with its group of pictures, or where it takes so much or lasts so long: all of it is
/// in memory until then.
const FRAGMENT_BYTES_MAX: &str = "8388608";
const FRAGMENT_US_MAX: &str = "10000000";

/// How the file is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Layout {
    /// The index is moved to the front at the end, which writes the file a second time.
    IndexMoved,
    /// Of so many pictures at the most: the index goes into room that is left for it at the front.
    IndexInRoom { pictures: usize },
    /// Fragment after fragment, each given to the system as soon as it is whole: what a crash leaves
    /// can be read up to there.
    Fragments,
}

/// When a packet is shown and decoded, and for how long it lasts, in ticks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ticks {
    pub(crate) shown: i64,
    pub(crate) decoded: i64,
    pub(crate) duration: i64,
}

/// Places packets in ticks from the first one. MP4 demands that decoding times rise, and are never
/// after the picture is shown; a stream that breaks it is bent by a tick.
#[derive(Debug, Default)]
pub(crate) struct Placing {
    first_us: Option<i64>,
    last_decoded: Option<i64>,
}

impl Placing {
    /// Returns the packet's place; how long it lasts only the next one tells.
    pub(crate) fn place(&mut self, packet: &Packet) -> Ticks {
        let first_us = *self.first_us.get_or_insert(packet.at.as_micros());
        // To the nearest: a stream's own times are such ticks already, and come out as they were.
        let ticks = |at: StreamTime| {
            let thousandths = (at.as_micros() - first_us) * (TICKS_PER_SECOND / 1_000);
            (thousandths + 500).div_euclid(1_000)
        };
        let after_last = self.last_decoded.map_or(i64::MIN, |last| last + 1);
        let decoded = ticks(packet.decode_at.min(packet.at)).max(after_last);
        self.last_decoded = Some(decoded);
        Ticks {
            shown: ticks(packet.at).max(decoded),
            decoded,
            duration: 0,
        }
    }
}

/// A file that is being written.
pub(crate) struct Mux {
    path: PathBuf,
    output: ff::format::context::Output,
    time_base: ff::Rational,
}

impl Mux {
    /// Begins the file at `path` for packets of the stream; `first` is its first picture. Fails when MP4
    /// cannot hold the codec, or the disk fails.
    pub(crate) fn create(
        path: &Path,
        info: &StreamInfo,
        first: &[u8],
        layout: Layout,
    ) -> Result<Self, ClipError> {
        quiet_libav();
        let info = with_parameter_sets(info, first);
        let failed = |step| {
            let path = path.to_path_buf();
            move |source| ClipError::Mux { step, path, source }
        };
        let text = path.to_str().ok_or_else(|| ClipError::Path {
            path: path.to_path_buf(),
        })?;
        // The protocol is named so that a colon in the path is not taken for one.
        let mut output =
            ff::format::output_as(&format!("file:{text}"), "mp4").map_err(failed("opening"))?;
        let mut stream = output
            .add_stream(ff::encoder::find(ff::codec::Id::None))
            .map_err(failed("laying out"))?;
        let ticks = i32::try_from(TICKS_PER_SECOND).expect("90000 fits");
        stream.set_time_base((1, ticks));
        stream.set_parameters(parameters(&info));
        lay_down(&mut stream, info.turn);
        output
            .write_header_with(options(layout, &info))
            .map_err(failed("the header"))?;
        let time_base = output
            .stream(0)
            .map_or((1, ticks).into(), |stream| stream.time_base());
        Ok(Self {
            path: path.to_path_buf(),
            output,
            time_base,
        })
    }

    /// Adds the next packet, in decoding order.
    pub(crate) fn push(&mut self, packet: &Packet, times: Ticks) -> Result<(), ClipError> {
        let mut encoded = ff::Packet::copy(&packet.data);
        encoded.set_stream(0);
        encoded.set_pts(Some(times.shown));
        encoded.set_dts(Some(times.decoded));
        encoded.set_duration(times.duration);
        if packet.key {
            encoded.set_flags(ff::codec::packet::Flags::KEY);
        }
        let ticks = i32::try_from(TICKS_PER_SECOND).expect("90000 fits");
        encoded.rescale_ts((1, ticks), self.time_base);
        let written = encoded.write_interleaved(&mut self.output);
        written.map_err(|source| self.failed("a picture", source))
    }

    /// Ends the file. It is whole then, and not on the disk yet.
    pub(crate) fn finish(mut self) -> Result<(), ClipError> {
        let written = self.output.write_trailer();
        written.map_err(|source| self.failed("the index", source))
    }

    fn failed(&self, step: &'static str, source: ff::Error) -> ClipError {
        ClipError::Mux {
            step,
            path: self.path.clone(),
            source,
        }
    }
}

fn options(layout: Layout, info: &StreamInfo) -> ff::Dictionary<'static> {
    let mut options = ff::Dictionary::new();
    match layout {
        Layout::IndexMoved => options.set("movflags", "+faststart"),
        Layout::IndexInRoom { pictures } => {
            let bytes = INDEX_BYTES + info.extra_data.len() + pictures * INDEX_BYTES_A_PICTURE;
            options.set("moov_size", &bytes.to_string());
        }
        Layout::Fragments => {
            options.set("movflags", "+frag_keyframe+empty_moov+default_base_moof");
            options.set("frag_size", FRAGMENT_BYTES_MAX);
            options.set("frag_duration", FRAGMENT_US_MAX);
            options.set("flush_packets", "1");
        }
    }
    options
}

/// Writes into the file how its pictures are to be turned, as the recording that they came from said.
#[expect(unsafe_code, reason = "ffmpeg-next cannot add side data to a stream")]
fn lay_down(stream: &mut ff::format::stream::StreamMut<'_>, turn: Turn) {
    let one = 1 << 16;
    // ISO 14496-12, 8.3.2: 16.16, the last column 2.30.
    let (a, b, c, d) = match turn {
        Turn::None => return,
        Turn::Quarter => (0, one, -one, 0),
        Turn::Half => (-one, 0, 0, -one),
        Turn::ThreeQuarters => (0, -one, one, 0),
    };
    let matrix: [i32; 9] = [a, b, 0, c, d, 0, 0, 0, 1 << 30];
    let kind = ff::ffi::AVPacketSideDataType::AV_PKT_DATA_DISPLAYMATRIX;
    // SAFETY: the stream is the output's own, and not null while that lives; FFmpeg gives as many bytes
    // as were asked for, or null, and frees them with the stream.
    unsafe {
        let bytes =
            ff::ffi::av_stream_new_side_data(stream.as_mut_ptr(), kind, size_of_val(&matrix));
        if !bytes.is_null() {
            std::ptr::copy_nonoverlapping(matrix.as_ptr().cast(), bytes, size_of_val(&matrix));
        }
    }
}

/// Returns the stream's description as MP4 wants it: tagged for browsers, and with the parameter
/// sets of the first picture where a raw stream carries them only there.
fn with_parameter_sets(info: &StreamInfo, first: &[u8]) -> StreamInfo {
    let mut info = info.clone();
    info.codec_tag = match info.codec {
        Codec::H264 => u32::from_le_bytes(*b"avc1"),
        Codec::H265 => u32::from_le_bytes(*b"hvc1"),
        Codec::Other(_) => 0,
    };
    if info.framing == Framing::AnnexB && info.extra_data.is_empty() {
        info.extra_data = parameter_sets(info.codec, first);
    }
    info
}

/// Returns the parameter sets among an Annex B picture's NAL units, with start codes.
fn parameter_sets(codec: Codec, picture: &[u8]) -> Bytes {
    let mut sets = Vec::new();
    for unit in nal::units(picture) {
        let wanted = match (codec, unit.first()) {
            // SPS and PPS (H.264, table 7-1); VPS, SPS and PPS (H.265, table 7-1).
            (Codec::H264, Some(head)) => matches!(head & 0x1f, 7 | 8),
            (Codec::H265, Some(head)) => matches!((head >> 1) & 0x3f, 32..=34),
            _ => false,
        };
        if wanted {
            sets.extend_from_slice(&[0, 0, 0, 1]);
            sets.extend_from_slice(unit);
        }
    }
    sets.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_parameter_sets_of_a_raw_picture() {
        let picture = [0, 0, 0, 1, 0x67, 5, 0, 0, 1, 0x68, 6, 0, 0, 0, 1, 0x65, 9];
        assert_eq!(
            parameter_sets(Codec::H264, &picture)[..],
            [0, 0, 0, 1, 0x67, 5, 0, 0, 0, 1, 0x68, 6]
        );
    }
}
