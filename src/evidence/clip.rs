//! The clip: encoded packets copied into an MP4 that a browser plays. Never decodes or encodes.
//!
//! The index stands at the front (faststart), and timestamps begin at 0 with a key picture (`mux`).

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use ffmpeg_next as ff;
use serde::{Deserialize, Serialize};

use super::mux::{Layout, Mux, Placing, TICKS_PER_SECOND, Ticks};
use super::{part_path, publish};
use crate::clock::StreamTime;
use crate::source::{Packet, StreamInfo};

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
    if chosen.is_empty() {
        return Err(ClipError::NoKeyPicture {
            packets: packets.len(),
        });
    }
    let part = part_path(path);
    let muxed = mux(&part, info, &chosen).and_then(|()| {
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
    let first = chosen.first().map_or(&[][..], |packet| &packet.data);
    let mut mux = Mux::create(part, info, first, Layout::IndexMoved)?;
    for (packet, times) in chosen.iter().zip(ticks_of(chosen)) {
        mux.push(packet, times)?;
    }
    mux.finish()
}

/// Returns the packets' times in ticks from the first picture.
fn ticks_of(chosen: &[&Packet]) -> Vec<Ticks> {
    let mut placing = Placing::default();
    let mut times: Vec<Ticks> = chosen.iter().map(|packet| placing.place(packet)).collect();
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

#[cfg(test)]
mod tests {
    use bytes::Bytes;

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
}
