//! Recordings: any container libavformat reads. Reads one packet at a time, never ahead, never from
//! anywhere but the file named. `run` plays one as a camera, at its own pace.

mod play;

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Once};

use bytes::Bytes;
use ffmpeg_next as ff;
use jiff::Timestamp;

pub use self::play::{FileCamera, Repeat, run};
use crate::clock::StreamTime;
use crate::source::{Codec, Framing, Packet, StreamInfo, Turn};

/// Why a recording cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    #[error("cannot open {path}")]
    Access { path: PathBuf, source: io::Error },
    #[error("{path} is a folder; name a recording in it")]
    Folder { path: PathBuf },
    #[error("{path} is empty; was the recording written?")]
    Empty { path: PathBuf },
    #[error(
        "{path} has no index (moov): the recording is not finished or was cut off; \
         record it to its end, or use a container that needs no end, as .mkv or .ts"
    )]
    Unfinished { path: PathBuf },
    #[error("{path} is not a recording that FFmpeg can read")]
    NotARecording { path: PathBuf, source: ff::Error },
    #[error("{path} holds no video stream")]
    NoVideo { path: PathBuf },
    #[error("reading {path} failed after {packets} packets")]
    Read {
        path: PathBuf,
        packets: u64,
        source: ff::Error,
    },
    #[error(
        "{path} breaks off after {read_s:.1} s of {duration_s:.1} s; what there was has been read"
    )]
    Truncated {
        path: PathBuf,
        read_s: f64,
        duration_s: f64,
    },
}

/// One recording, opened.
pub struct Recording {
    input: ff::format::context::Input,
    path: PathBuf,
    stream: usize,
    time_base: ff::Rational,
    /// Where the timeline begins, in the stream's time base; none until the first packet.
    first_pts: Option<i64>,
    frame_us: i64,
    /// Added to every time, so that a timestamp that jumps back does not.
    shift_us: i64,
    next_decode_us: i64,
    /// How far presentation got.
    read_us: i64,
    /// How long the container says the video is.
    expected_us: Option<i64>,
    info: Arc<StreamInfo>,
    packets: u64,
    ended: bool,
}

/// Decoding times may go back by this much before it counts as a jump.
const BACK_US: i64 = 1_000_000;

/// A recording may be shorter than its container says by this much: containers round, and some
/// count the last picture's duration twice.
const SHORT_US: i64 = 300_000;

/// How often reading may say "try again" in a row: files have no reason to.
const TRIES_MAX: u32 = 100;

impl Recording {
    /// Opens the recording and finds its best video stream.
    /// Fails when it is not there, is no recording, is not finished, or has no video.
    pub fn open(path: &Path) -> Result<Self, FileError> {
        quiet_libav();
        look_at(path)?;
        let input = open_input(path)?;
        let owned = || path.to_path_buf();
        let best = input
            .streams()
            .best(ff::media::Type::Video)
            .filter(|stream| stream.parameters().id() != ff::codec::Id::None)
            .ok_or_else(|| FileError::NoVideo { path: owned() })?;
        let (stream, time_base) = (best.index(), best.time_base());
        let rate = f64::from(best.avg_frame_rate());
        let rate = if rate.is_finite() && rate > 0.0 {
            rate
        } else {
            25.0
        };
        let known = |value: i64| (value != ff::ffi::AV_NOPTS_VALUE).then_some(value);
        let info = Arc::new(StreamInfo {
            turn: turn_of(&best),
            ..stream_info(&best.parameters())
        });
        let expected_us = known(best.duration()).map(|units| micros(units, time_base));
        Ok(Self {
            path: owned(),
            stream,
            time_base,
            // What an edit list hides lies before this, and so before zero.
            first_pts: known(best.start_time()),
            frame_us: StreamTime::from_secs_f64(1.0 / rate).as_micros(),
            shift_us: 0,
            next_decode_us: i64::MIN,
            read_us: 0,
            expected_us: expected_us.filter(|us| *us > 0),
            info,
            packets: 0,
            ended: false,
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

    /// Returns the next packet in decoding order, or none at the end. Times before zero belong to
    /// pictures that the recording hides. Fails once, when all packets that can be read are read
    /// and the recording breaks off or is shorter than its container says.
    pub fn next_packet(&mut self) -> Result<Option<Packet>, FileError> {
        let mut tries = 0;
        while !self.ended {
            let mut packet = ff::Packet::empty();
            match packet.read(&mut self.input) {
                Ok(()) if packet.stream() == self.stream && packet.size() > 0 => {
                    self.packets += 1;
                    return Ok(Some(self.packet(&packet)));
                }
                Ok(()) => {}
                Err(ff::Error::Eof) => {
                    self.ended = true;
                    self.check_length()?;
                }
                Err(ff::Error::Other {
                    errno: ff::error::EAGAIN,
                }) if tries < TRIES_MAX => tries += 1,
                Err(source) => {
                    self.ended = true;
                    return Err(FileError::Read {
                        path: self.path.clone(),
                        packets: self.packets,
                        source,
                    });
                }
            }
        }
        Ok(None)
    }

    fn packet(&mut self, packet: &ff::Packet) -> Packet {
        let raw = packet.pts().or_else(|| packet.dts());
        let first = *self.first_pts.get_or_insert_with(|| raw.unwrap_or(0));
        let relative = |value: i64| micros(value.saturating_sub(first), self.time_base);
        let began = self.next_decode_us != i64::MIN;
        let next_us = if began { self.next_decode_us } else { 0 };
        // Containers without timestamps (raw streams) get them from the frame rate.
        let decode_us = packet.dts().map(relative);
        let decode_us = decode_us.map_or(next_us, |us| us.saturating_add(self.shift_us));
        let back_us = if began {
            next_us.saturating_sub(decode_us)
        } else {
            0
        };
        let jump_us = if back_us > BACK_US { back_us } else { 0 };
        self.shift_us = self.shift_us.saturating_add(jump_us);
        let at_us = packet.pts().or_else(|| packet.dts()).map(relative);
        let at_us = at_us.map_or(next_us, |us| us.saturating_add(self.shift_us));
        let decode_us = decode_us.saturating_add(jump_us);
        self.next_decode_us = decode_us.saturating_add(self.frame_us);
        let duration_us = match packet.duration() {
            0 => self.frame_us,
            units => micros(units, self.time_base),
        };
        self.read_us = self.read_us.max(at_us.saturating_add(duration_us));
        Packet {
            data: Bytes::copy_from_slice(packet.data().unwrap_or_default()),
            at: StreamTime::from_micros(at_us),
            decode_at: StreamTime::from_micros(decode_us.min(at_us)),
            captured_at: Timestamp::from_microsecond(at_us).unwrap_or(Timestamp::UNIX_EPOCH),
            key: packet.is_key(),
            lost: 0,
        }
    }

    /// Compares what was read with what the container says.
    fn check_length(&self) -> Result<(), FileError> {
        let read_us = self.read_us - self.shift_us;
        match self.expected_us {
            Some(expected_us) if read_us + SHORT_US + 2 * self.frame_us < expected_us => {
                Err(FileError::Truncated {
                    path: self.path.clone(),
                    read_s: StreamTime::from_micros(read_us).as_secs_f64(),
                    duration_s: StreamTime::from_micros(expected_us).as_secs_f64(),
                })
            }
            _ => Ok(()),
        }
    }
}

fn micros(units: i64, base: ff::Rational) -> i64 {
    let us = i128::from(units) * 1_000_000 * i128::from(base.numerator())
        / i128::from(base.denominator().max(1));
    i64::try_from(us).unwrap_or(i64::MAX)
}

/// Fails for what is no file with anything in it: libavformat's own words for it help nobody.
fn look_at(path: &Path) -> Result<(), FileError> {
    let owned = || path.to_path_buf();
    let access = |source| FileError::Access {
        path: owned(),
        source,
    };
    let found = fs::metadata(path).map_err(access)?;
    if found.is_dir() {
        return Err(FileError::Folder { path: owned() });
    }
    fs::File::open(path).map_err(access)?;
    if found.is_file() && found.len() == 0 {
        return Err(FileError::Empty { path: owned() });
    }
    Ok(())
}

fn open_input(path: &Path) -> Result<ff::format::context::Input, FileError> {
    // A playlist named as a recording must not make it open anything else.
    let mut options = ff::Dictionary::new();
    options.set("protocol_whitelist", "file");
    ff::format::input_with_dictionary(path, options).map_err(|source| {
        let path = path.to_path_buf();
        if source == ff::Error::InvalidData && is_mp4(&path) {
            FileError::Unfinished { path }
        } else {
            FileError::NotARecording { path, source }
        }
    })
}

/// Returns whether the file begins as MP4 and QuickTime do: a box named `ftyp`.
fn is_mp4(path: &Path) -> bool {
    let mut head = [0; 8];
    let read = fs::File::open(path).and_then(|mut file| file.read_exact(&mut head));
    read.is_ok() && &head[4..] == b"ftyp"
}

/// Sends libav's own messages, warnings and worse, to the log at debug level, once and for all;
/// it would write them to stderr, thousands a second for a damaged stream.
pub(crate) fn quiet_libav() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        #[expect(
            unsafe_code,
            reason = "libav takes its log's receiver as a C function only"
        )]
        // SAFETY: the function has the type libav asks for and lives as long as the program.
        unsafe {
            ff::ffi::av_log_set_callback(Some(libav_says));
        }
    });
}

#[expect(unsafe_code, reason = "called by libav, with its message in C's form")]
unsafe extern "C" fn libav_says(
    context: *mut std::ffi::c_void,
    level: std::ffi::c_int,
    format: *const std::ffi::c_char,
    arguments: *mut ff::ffi::__va_list_tag,
) {
    if level > ff::ffi::AV_LOG_WARNING || !tracing::enabled!(tracing::Level::DEBUG) {
        return;
    }
    let mut line = [0; 512];
    let mut prefix = 1;
    // SAFETY: all pointers but the last two are libav's own, passed on unchanged within the call;
    // libav writes at most the given size into `line`, its final 0 included.
    unsafe {
        ff::ffi::av_log_format_line(
            context,
            level,
            format,
            arguments,
            line.as_mut_ptr().cast(),
            512,
            &raw mut prefix,
        );
    }
    let text: &[u8] = line.split(|byte| *byte == 0).next().unwrap_or_default();
    tracing::debug!("libav: {}", String::from_utf8_lossy(text).trim_end());
}

/// Returns how the recording says its pictures are to be turned (ISO 14496-12, 8.3.2: the matrix of the
/// track). To the nearest quarter; mirrored pictures stay as they are.
fn turn_of(stream: &ff::format::stream::Stream<'_>) -> Turn {
    let matrix = stream
        .side_data()
        .find(|data| data.kind() == ff::packet::side_data::Type::DisplayMatrix);
    let Some(matrix) = matrix else {
        return Turn::None;
    };
    let entry = |n: usize| {
        let bytes = matrix.data().get(n * 4..n * 4 + 4);
        let bytes = bytes.and_then(|bytes| bytes.try_into().ok());
        bytes.map_or(0, |bytes| i64::from(i32::from_ne_bytes(bytes)))
    };
    // x' = a x + c y, y' = b x + d y, with y downwards.
    let (a, b, c, d) = (entry(0), entry(1), entry(3), entry(4));
    if a * d - b * c <= 0 {
        return Turn::None;
    }
    match (a.abs() >= b.abs(), a > 0, b > 0) {
        (true, true, _) => Turn::None,
        (true, false, _) => Turn::Half,
        (false, _, true) => Turn::Quarter,
        (false, _, false) => Turn::ThreeQuarters,
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
        turn: Turn::None,
    }
}
