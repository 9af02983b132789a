//! Where packets come from: cameras over RTSP, and recordings.
//!
//! A source never decodes and never waits for a stage behind it without a bound.

pub mod file;
pub mod live;
pub mod nal;
mod outlet;
pub mod ring;
pub mod rtsp;

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;

use crate::clock::StreamTime;

/// How a stream is encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Codec {
    H264,
    H265,
    /// Any other codec a recording may hold, by FFmpeg's own number.
    Other(u32),
}

/// How the packets of a stream frame their NAL units; says what `extra_data` holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// Length-prefixed NAL units, `extra_data` is avcC or hvcC (MP4, retina's default).
    LengthPrefixed,
    /// Start codes, `extra_data` is empty or parameter sets with start codes.
    AnnexB,
    /// Not NAL units.
    Opaque,
}

/// What a decoder or a muxer must know before the first packet.
#[derive(Clone, Debug, PartialEq)]
pub struct StreamInfo {
    pub codec: Codec,
    pub framing: Framing,
    pub extra_data: Bytes,
    /// 0 where the container does not say.
    pub width_px: u32,
    /// 0 where the container does not say.
    pub height_px: u32,
    /// Codec details of recordings that only FFmpeg needs, in its own numbering; 0 and -1 for RTSP.
    pub codec_tag: u32,
    pub pixel_format: i32,
    pub bits_per_sample: i32,
    /// How the pictures are to be turned before anybody looks at them. Width and height are those of
    /// before.
    pub turn: Turn,
}

impl StreamInfo {
    /// Returns whether browsers show the stream as it is.
    pub fn is_shown_by_browsers(&self) -> bool {
        self.codec == Codec::H264 && self.turn == Turn::None
    }
}

/// How a picture is turned to stand upright, clockwise: phones record all that they see lying down, and
/// say how they were held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Turn {
    #[default]
    None,
    Quarter,
    Half,
    ThreeQuarters,
}

/// One encoded picture.
#[derive(Clone)]
pub struct Packet {
    pub data: Bytes,
    /// Presentation time on this timeline.
    pub at: StreamTime,
    /// Decoding time on this timeline: at most `at`, never going back.
    pub decode_at: StreamTime,
    /// Wall time of capture: from RTCP sender reports where there are any, else of arrival.
    pub captured_at: Timestamp,
    /// Whether decoding can begin here.
    pub key: bool,
    /// RTP packets lost just before this picture.
    pub lost: u32,
}

impl fmt::Debug for Packet {
    /// Shows all but the picture's bytes: they belong in no log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (bytes, key) = (self.data.len(), if self.key { ", key" } else { "" });
        write!(
            f,
            "Packet({bytes} bytes at {}, decoded at {}{key}, {} lost)",
            self.at, self.decode_at, self.lost
        )
    }
}

/// What a source has to say, in order.
#[derive(Clone, Debug)]
pub enum SourceEvent {
    /// A timeline begins: at the first connection, after each reconnect, when the parameters
    /// change, and when timestamps jump. Decoder and tracks start anew.
    Start(Arc<StreamInfo>),
    Packet(Packet),
    /// The timeline is over; for a camera another `Start` follows when it comes back.
    End,
}
