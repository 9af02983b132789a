//! Recordings: any container libavformat reads. Reads one packet at a time, never ahead.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use ffmpeg_next as ff;
use jiff::Timestamp;

use crate::clock::StreamTime;
use crate::source::{Codec, Framing, Packet, StreamInfo};

/// Why a recording cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    #[error("cannot open {path} as a recording; is it a video file, and whole?")]
    Open { path: PathBuf, source: ff::Error },
    #[error("{path} holds no video stream")]
    NoVideo { path: PathBuf },
    #[error("reading {path} failed after {packets} packets")]
    Read {
        path: PathBuf,
        packets: u64,
        source: ff::Error,
    },
}

/// One recording, opened.
pub struct Recording {
    input: ff::format::context::Input,
    path: PathBuf,
    stream: usize,
    time_base: ff::Rational,
    first_pts: Option<i64>,
    frame_us: i64,
    next_decode_us: i64,
    info: Arc<StreamInfo>,
    packets: u64,
}

impl Recording {
    /// Opens the recording and finds its best video stream.
    /// Fails when libavformat cannot read it or it has no video.
    pub fn open(path: &Path) -> Result<Self, FileError> {
        let owned = || path.to_path_buf();
        let input = ff::format::input(path).map_err(|source| FileError::Open {
            path: owned(),
            source,
        })?;
        let best = input
            .streams()
            .best(ff::media::Type::Video)
            .ok_or_else(|| FileError::NoVideo { path: owned() })?;
        let (stream, time_base) = (best.index(), best.time_base());
        let rate = f64::from(best.avg_frame_rate());
        let rate = if rate.is_finite() && rate > 0.0 {
            rate
        } else {
            25.0
        };
        let info = Arc::new(stream_info(&best.parameters()));
        let frame_us = StreamTime::from_secs_f64(1.0 / rate).as_micros();
        Ok(Self {
            path: owned(),
            stream,
            time_base,
            first_pts: None,
            frame_us,
            next_decode_us: 0,
            info,
            packets: 0,
            input,
        })
    }

    /// Returns what a decoder must know.
    pub fn info(&self) -> &Arc<StreamInfo> {
        &self.info
    }

    /// Returns the duration the container claims, in seconds, if it claims one.
    pub fn duration_s(&self) -> Option<f64> {
        let duration = self.input.duration();
        (duration > 0).then(|| duration as f64 / f64::from(ff::ffi::AV_TIME_BASE))
    }

    /// Returns the next packet in decoding order, or none at the end.
    /// Fails when the file breaks off in a way libavformat cannot read past.
    pub fn next_packet(&mut self) -> Result<Option<Packet>, FileError> {
        loop {
            let mut packet = ff::Packet::empty();
            match packet.read(&mut self.input) {
                Ok(()) if packet.stream() == self.stream => {
                    self.packets += 1;
                    return Ok(Some(self.packet(&packet)));
                }
                Ok(()) => {}
                Err(ff::Error::Eof) => return Ok(None),
                Err(source) => {
                    return Err(FileError::Read {
                        path: self.path.clone(),
                        packets: self.packets,
                        source,
                    });
                }
            }
        }
    }

    fn packet(&mut self, packet: &ff::Packet) -> Packet {
        let to_us = |value: i64, base: ff::Rational| {
            let us = i128::from(value) * 1_000_000 * i128::from(base.numerator())
                / i128::from(base.denominator().max(1));
            i64::try_from(us).unwrap_or(i64::MAX)
        };
        let raw = packet.pts().or_else(|| packet.dts());
        let first = *self.first_pts.get_or_insert_with(|| raw.unwrap_or(0));
        // Containers without timestamps (raw streams) get them from the frame rate.
        let at_us = raw.map_or(self.next_decode_us, |pts| {
            to_us(pts - first, self.time_base)
        });
        let decode_us = packet.dts().map_or(self.next_decode_us, |dts| {
            to_us(dts - first, self.time_base)
        });
        self.next_decode_us = decode_us + self.frame_us;
        let at = StreamTime::from_micros(at_us);
        let captured_at = Timestamp::from_microsecond(at_us).unwrap_or(Timestamp::UNIX_EPOCH);
        Packet {
            data: Bytes::copy_from_slice(packet.data().unwrap_or_default()),
            at,
            decode_at: StreamTime::from_micros(decode_us),
            captured_at,
            key: packet.is_key(),
            lost: 0,
        }
    }
}

#[expect(
    unsafe_code,
    reason = "ffmpeg-next has no getters for extradata, size and pixel format"
)]
fn stream_info(parameters: &ff::codec::Parameters) -> StreamInfo {
    // SAFETY: the pointer is valid while `parameters` lives, and extradata_size bytes stand at
    // extradata when it is not null; both are FFmpeg's own promise.
    let (raw, extra_data) = unsafe {
        let raw = &*parameters.as_ptr();
        let size = usize::try_from(raw.extradata_size).unwrap_or(0);
        let extra = if raw.extradata.is_null() {
            Bytes::new()
        } else {
            Bytes::copy_from_slice(std::slice::from_raw_parts(raw.extradata, size))
        };
        (raw, extra)
    };
    let codec = match parameters.id() {
        ff::codec::Id::H264 => Codec::H264,
        ff::codec::Id::HEVC => Codec::H265,
        _ => Codec::Other(raw.codec_id as u32),
    };
    let framing = match codec {
        Codec::Other(_) => Framing::Opaque,
        // avcC and hvcC begin with their version, 1; parameter sets with a start code, 0.
        _ if extra_data.first() == Some(&1) => Framing::LengthPrefixed,
        _ => Framing::AnnexB,
    };
    StreamInfo {
        codec,
        framing,
        extra_data,
        width_px: u32::try_from(raw.width).unwrap_or(0),
        height_px: u32::try_from(raw.height).unwrap_or(0),
        codec_tag: raw.codec_tag,
        pixel_format: raw.format,
        bits_per_sample: raw.bits_per_coded_sample,
    }
}
