//! The clip: encoded packets copied into an MP4 that a browser plays. Never decodes or encodes.
//!
//! The index stands at the front (faststart), H.264 is tagged `avc1` and H.265 `hvc1`, and
//! timestamps begin at 0 with a key picture. Annex B and length-prefixed streams both work.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use ffmpeg_next as ff;
use serde::{Deserialize, Serialize};

use crate::clock::StreamTime;
use crate::decode::ffmpeg::parameters;
use crate::source::{Codec, Framing, Packet, StreamInfo, Turn, nal};

use super::{part_path, publish};

/// Why there is no clip.
#[derive(Debug, thiserror::Error)]
pub enum ClipError {
    #[error("none of the {packets} packets at hand is a key picture to begin with")]
    NoKeyPicture { packets: usize },
    #[error("path {path} is not UTF-8, which FFmpeg needs; choose another data directory")]
    Path { path: PathBuf },
    #[error("{step} of {path} failed; MP4 must hold the codec, and the disk must have room")]
    Mux {
        step: &'static str,
        path: PathBuf,
        source: ff::Error,
    },
    #[error("{path} cannot be put on disk; is it full or read-only?")]
    Publish { path: PathBuf, source: io::Error },
}

/// What a clip shows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClipSpan {
    /// Stream time of the first picture, seconds; the clip's own time 0.
    pub starts_at_s: f64,
    /// Stream time of the last picture, seconds.
    pub ends_at_s: f64,
    pub pictures: u64,
    /// Why it is shorter than 10 s before to 10 s after; none when it is not.
    pub cut: Option<String>,
}

/// A clock of 90 kHz, as RTP and most cameras use: no timestamp is rounded by more than 6 us.
const TICKS_PER_SECOND: i64 = 90_000;

/// Copies `packets` (one timeline, decoding order) into an MP4 at `path`, from the last key picture
/// at or before `from` (or the first one there is) up to `to`.
/// Fails when there is no key picture, MP4 cannot hold the codec, or the disk fails; then there is
/// no file at `path`.
pub fn write(
    path: &Path,
    info: &StreamInfo,
    packets: &[Packet],
    from: StreamTime,
    to: StreamTime,
) -> Result<ClipSpan, ClipError> {
    let chosen = select(packets, from, to);
    let Some(first) = chosen.first() else {
        return Err(ClipError::NoKeyPicture {
            packets: packets.len(),
        });
    };
    let info = with_parameter_sets(info, &first.data);
    let part = part_path(path);
    let muxed = mux(&part, &info, &chosen).and_then(|()| {
        publish(&part, path).map_err(|source| ClipError::Publish {
            path: path.to_path_buf(),
            source,
        })
    });
    if muxed.is_err() {
        // Best effort: a full disk needs the room back. The first error is the one that matters.
        fs::remove_file(&part).ok();
    }
    muxed.map(|()| span(&chosen))
}

/// Returns the packets to copy. Those shown before the first key picture go, as they need pictures
/// from before it.
fn select(packets: &[Packet], from: StreamTime, to: StreamTime) -> Vec<&Packet> {
    let keys = || packets.iter().enumerate().filter(|(_, packet)| packet.key);
    let start = keys()
        .take_while(|(_, packet)| packet.at <= from)
        .last()
        .or_else(|| keys().next())
        .map(|(index, _)| index);
    let Some(start) = start else {
        return Vec::new();
    };
    let first_at = packets[start].at;
    // Up to the last one to be shown, in decoding order: a picture beyond the end stays where one
    // before the end is predicted from it.
    let end = packets.iter().rposition(|packet| packet.at <= to);
    let end = end.map_or(start, |end| end.max(start));
    packets[start..=end]
        .iter()
        .filter(|packet| packet.at >= first_at)
        .collect()
}

fn span(chosen: &[&Packet]) -> ClipSpan {
    let starts_at = chosen.first().map_or(StreamTime::ZERO, |packet| packet.at);
    let ends_at = chosen.iter().map(|packet| packet.at).max();
    ClipSpan {
        starts_at_s: starts_at.as_secs_f64(),
        ends_at_s: ends_at.unwrap_or(starts_at).as_secs_f64(),
        pictures: chosen.len() as u64,
        cut: None,
    }
}

fn mux(part: &Path, info: &StreamInfo, chosen: &[&Packet]) -> Result<(), ClipError> {
    let failed = |step| {
        move |source| ClipError::Mux {
            step,
            path: part.to_path_buf(),
            source,
        }
    };
    let text = part.to_str().ok_or_else(|| ClipError::Path {
        path: part.to_path_buf(),
    })?;
    // The protocol is named so that a colon in the path is not taken for one.
    let mut output =
        ff::format::output_as(&format!("file:{text}"), "mp4").map_err(failed("opening"))?;
    let mut stream = output
        .add_stream(ff::encoder::find(ff::codec::Id::None))
        .map_err(failed("laying out"))?;
    let ticks = i32::try_from(TICKS_PER_SECOND).expect("90000 fits");
    stream.set_time_base((1, ticks));
    stream.set_parameters(parameters(info));
    lay_down(&mut stream, info.turn);
    let mut options = ff::Dictionary::new();
    options.set("movflags", "+faststart");
    output
        .write_header_with(options)
        .map_err(failed("the header"))?;
    let time_base = output
        .stream(0)
        .map_or((1, ticks).into(), |stream| stream.time_base());
    for (packet, times) in chosen.iter().zip(ticks_of(chosen)) {
        let mut encoded = ff::Packet::copy(&packet.data);
        encoded.set_stream(0);
        encoded.set_pts(Some(times.shown));
        encoded.set_dts(Some(times.decoded));
        encoded.set_duration(times.duration);
        if packet.key {
            encoded.set_flags(ff::codec::packet::Flags::KEY);
        }
        encoded.rescale_ts((1, ticks), time_base);
        encoded
            .write_interleaved(&mut output)
            .map_err(failed("a picture"))?;
    }
    output.write_trailer().map_err(failed("the index"))
}

/// Writes into the clip how its pictures are to be turned, as the recording that they came from said.
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

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Ticks {
    shown: i64,
    decoded: i64,
    duration: i64,
}

/// Returns the packets' times in ticks from the first picture. MP4 demands that decoding times
/// rise, and are never after the picture is shown; a stream that breaks it is bent by a tick.
fn ticks_of(chosen: &[&Packet]) -> Vec<Ticks> {
    let first = chosen.first().map_or(0, |packet| packet.at.as_micros());
    // To the nearest: a stream's own times are such ticks already, and come out as they were.
    let ticks = |at: StreamTime| {
        let thousandths = (at.as_micros() - first) * (TICKS_PER_SECOND / 1_000);
        (thousandths + 500).div_euclid(1_000)
    };
    let mut times: Vec<Ticks> = Vec::with_capacity(chosen.len());
    for packet in chosen {
        let after_last = times.last().map_or(i64::MIN, |last| last.decoded + 1);
        let decoded = ticks(packet.decode_at.min(packet.at)).max(after_last);
        times.push(Ticks {
            shown: ticks(packet.at).max(decoded),
            decoded,
            duration: 0,
        });
    }
    // The last picture lasts as long as the one before it; a lone one a 25th of a second.
    let mut duration = TICKS_PER_SECOND / 25;
    for index in 0..times.len() {
        if let Some(next) = times.get(index + 1) {
            duration = next.decoded - times[index].decoded;
        }
        times[index].duration = duration;
    }
    times
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

    fn packet(at_ms: i64, decode_ms: i64, key: bool) -> Packet {
        Packet {
            data: Bytes::new(),
            at: StreamTime::from_micros(at_ms * 1_000),
            decode_at: StreamTime::from_micros(decode_ms * 1_000),
            captured_at: jiff::Timestamp::UNIX_EPOCH,
            key,
            lost: 0,
        }
    }

    fn times_ms(chosen: &[&Packet]) -> Vec<i64> {
        chosen.iter().map(|p| p.at.as_micros() / 1_000).collect()
    }

    #[test]
    fn begins_at_the_last_key_picture_before_the_wanted_time() {
        let packets: Vec<Packet> = (0..10)
            .map(|n| packet(n * 100, n * 100, n % 3 == 0))
            .collect();
        let at = |ms: i64| StreamTime::from_micros(ms * 1_000);
        let chosen = select(&packets, at(450), at(700));
        assert_eq!(times_ms(&chosen), [300, 400, 500, 600, 700]);
        // Nothing before: the first key picture there is.
        let chosen = select(&packets[1..], at(0), at(400));
        assert_eq!(times_ms(&chosen), [300, 400]);
        assert!(select(&packets[1..3], at(0), at(400)).is_empty());
    }

    #[test]
    fn leaves_out_pictures_shown_before_the_first_key_picture() {
        let packets = [
            packet(100, 0, true),
            packet(60, 40, false),
            packet(180, 80, false),
            packet(140, 120, false),
        ];
        let chosen = select(&packets, StreamTime::ZERO, StreamTime::from_micros(180_000));
        assert_eq!(times_ms(&chosen), [100, 180, 140]);
        // The picture at 180 ms is needed for the one at 140 ms, though beyond the end.
        let chosen = select(&packets, StreamTime::ZERO, StreamTime::from_micros(150_000));
        assert_eq!(times_ms(&chosen), [100, 180, 140]);
        let chosen = select(&packets, StreamTime::ZERO, StreamTime::from_micros(120_000));
        assert_eq!(times_ms(&chosen), [100]);
    }

    #[test]
    fn decoding_times_rise_even_where_the_camera_repeats_one() {
        let packets = [
            packet(1_000, 1_000, true),
            packet(1_040, 1_000, false),
            packet(1_040, 1_040, false),
        ];
        let chosen: Vec<&Packet> = packets.iter().collect();
        let times = ticks_of(&chosen);
        assert_eq!(times[0].shown, 0);
        assert!(times.windows(2).all(|two| two[0].decoded < two[1].decoded));
        assert!(times.iter().all(|ticks| ticks.decoded <= ticks.shown));
    }

    #[test]
    fn finds_the_parameter_sets_of_a_raw_picture() {
        let picture = [0, 0, 0, 1, 0x67, 5, 0, 0, 1, 0x68, 6, 0, 0, 0, 1, 0x65, 9];
        assert_eq!(
            parameter_sets(Codec::H264, &picture)[..],
            [0, 0, 0, 1, 0x67, 5, 0, 0, 0, 1, 0x68, 6]
        );
    }
}
