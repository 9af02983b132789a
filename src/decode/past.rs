//! The newest encoded pictures of a stream, to be decoded once more by whoever must look back.
//!
//! A decoded second of 1080p takes 75 MiB, encoded half a megabyte. A facade looks back only when
//! something falls; then the group of pictures is decoded again, which gives the same pixels. Shared
//! by the stage that decodes and the watch behind it, which take turns on one thread.
//!
//! Bounds: [`REACH`] back to the key picture before it, [`BYTES_MAX`] bytes, [`PACKETS_MAX`] packets
//! decoded at a time; what does not fit is not there, and the watch must keep its frames itself.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::ffmpeg::device::Device;
use super::ffmpeg::{Decoder, LoopFilter};
use super::frame::Frame;
use crate::clock::StreamTime;
use crate::source::ring::Ring;
use crate::source::{Packet, StreamInfo};

/// How far back frames can be had.
const REACH: Duration = Duration::from_millis(2000);

/// Bytes of packets kept at most: two seconds and a group of pictures at 20 Mbit/s.
const BYTES_MAX: usize = 16 << 20;

/// Packets decoded at a time at most, some 0.3 s of one core: a group of pictures of four seconds at
/// 25 a second, and two seconds before it.
const PACKETS_MAX: usize = 150;

/// A stream's newest packets, shared by clones.
#[derive(Clone, Debug)]
pub struct Past {
    ring: Arc<Mutex<Ring>>,
    filter: LoopFilter,
    device: Option<Device>,
}

impl Past {
    /// Returns an empty past of a stream that is decoded with so much of the loop filter, on `device`.
    pub fn new(info: &StreamInfo, filter: LoopFilter, device: Option<&Device>) -> Self {
        let mut ring = Ring::new(REACH, BYTES_MAX);
        ring.start(Arc::new(info.clone()));
        Self {
            ring: Arc::new(Mutex::new(ring)),
            filter,
            device: device.cloned(),
        }
    }

    /// Notes a packet that went to the decoder.
    pub fn push(&self, packet: &Packet) {
        self.lock().push(packet.clone());
    }

    /// Returns whether frames up to [`REACH`] ago can be had at a bearable cost.
    pub fn is_near(&self) -> bool {
        (1..=PACKETS_MAX).contains(&self.lock().packets())
    }

    /// Decodes once more and returns what `keep` makes of the frames from `from` on and before `until`,
    /// in order; none where that would take too long or cannot be done. All frames that are kept as they
    /// are hold on to the decoder's memory until the last of them is let go.
    pub fn frames<T>(
        &self,
        from: StreamTime,
        until: StreamTime,
        keep: impl Fn(Frame) -> T,
    ) -> Vec<T> {
        let (info, packets) = {
            let ring = self.lock();
            (ring.info().cloned(), ring.since(from))
        };
        let Some(info) = info.filter(|_| packets.len() <= PACKETS_MAX) else {
            return Vec::new();
        };
        let Ok(mut decoder) = Decoder::open_with(&info, self.filter, self.device.as_ref()) else {
            return Vec::new();
        };
        let mut frames = Vec::new();
        let mut over = false;
        let mut take = |frame: Frame| {
            over |= frame.at >= until;
            if frame.at >= from && frame.at < until {
                frames.push(keep(frame));
            }
            over
        };
        for packet in &packets {
            let mut over = false;
            decoder.push(packet, |frame| over |= take(frame));
            if over {
                return frames;
            }
        }
        decoder.finish(|frame| {
            take(frame);
        });
        frames
    }

    fn lock(&self) -> MutexGuard<'_, Ring> {
        // Nobody panics while holding it; a ring stays a ring in any case.
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
