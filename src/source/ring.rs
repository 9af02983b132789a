//! The last seconds of encoded packets of one camera, for the pre-roll of evidence.
//!
//! Bounded by time and by bytes, always begins at a key picture, never copies a packet's bytes, and
//! never holds packets of two timelines.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::StreamTime;
use crate::source::{Packet, SourceEvent, StreamInfo};

/// How much a ring keeps, unless told otherwise: the pre-roll of an alarm.
pub const KEEP: Duration = Duration::from_secs(10);

/// How many bytes a ring keeps at most: 10 s at 50 Mbit/s, four times a 4K camera's rate.
pub const BYTES_MAX: usize = 64 << 20;

/// One camera's newest packets.
#[derive(Debug)]
pub struct Ring {
    keep: Duration,
    bytes_max: usize,
    info: Option<Arc<StreamInfo>>,
    packets: VecDeque<Packet>,
    bytes: usize,
}

impl Default for Ring {
    fn default() -> Self {
        Self::new(KEEP, BYTES_MAX)
    }
}

impl Ring {
    /// Returns an empty ring that keeps at least the last `keep` (back to the key picture before)
    /// as long as that is at most `bytes_max` bytes. Over that the oldest groups of pictures go
    /// first; a single group that is larger is not kept at all.
    pub fn new(keep: Duration, bytes_max: usize) -> Self {
        Self {
            keep,
            bytes_max,
            info: None,
            packets: VecDeque::new(),
            bytes: 0,
        }
    }

    /// Takes what a source says: a start clears the ring, a packet is kept, an end changes nothing.
    pub fn take(&mut self, event: &SourceEvent) {
        match event {
            SourceEvent::Start(info) => self.start(Arc::clone(info)),
            SourceEvent::Packet(packet) => self.push(packet.clone()),
            SourceEvent::End => {}
        }
    }

    /// Begins a new timeline: nothing of the one before is kept.
    pub fn start(&mut self, info: Arc<StreamInfo>) {
        self.clear();
        self.info = Some(info);
    }

    /// Keeps a packet. Packets before the first key picture cannot be decoded and are left out.
    pub fn push(&mut self, packet: Packet) {
        if self.packets.is_empty() && !packet.key {
            return;
        }
        let (key, at) = (packet.key, packet.at);
        self.bytes += packet.data.len();
        self.packets.push_back(packet);
        if key {
            let oldest_needed = at - self.keep;
            while self.second_key().is_some_and(|(_, at)| at <= oldest_needed) {
                self.drop_group();
            }
        }
        while self.bytes > self.bytes_max {
            self.drop_group();
        }
    }

    /// Returns what a decoder or muxer must know of these packets; none before the first start.
    pub fn info(&self) -> Option<&Arc<StreamInfo>> {
        self.info.as_ref()
    }

    /// Returns the packets from the key picture at or before `at` on, in decoding order; from the
    /// oldest kept when `at` is older. Their bytes are shared with the ring.
    pub fn since(&self, at: StreamTime) -> Vec<Packet> {
        let begins = |packet: &Packet| packet.key && packet.at <= at;
        let first = self.packets.iter().rposition(begins).unwrap_or(0);
        self.packets.range(first..).cloned().collect()
    }

    /// Returns how many packets it holds.
    pub fn packets(&self) -> usize {
        self.packets.len()
    }

    /// Returns the bytes of encoded pictures it holds.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    fn clear(&mut self) {
        self.packets.clear();
        self.bytes = 0;
    }

    fn second_key(&self) -> Option<(usize, StreamTime)> {
        let mut packets = self.packets.iter().enumerate().skip(1);
        packets.find_map(|(index, packet)| packet.key.then_some((index, packet.at)))
    }

    /// Drops the oldest group of pictures; all of it when there is only one.
    fn drop_group(&mut self) {
        let end = self
            .second_key()
            .map_or(self.packets.len(), |(index, _)| index);
        for packet in self.packets.drain(..end) {
            self.bytes -= packet.data.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use jiff::Timestamp;
    use proptest::prelude::*;

    use super::*;
    use crate::source::Turn;

    fn packet(frame: i64, key: bool, bytes: usize) -> Packet {
        let at = StreamTime::from_micros(frame * 40_000);
        Packet {
            data: Bytes::from(vec![0; bytes]),
            at,
            decode_at: at,
            captured_at: Timestamp::UNIX_EPOCH,
            key,
            lost: 0,
        }
    }

    #[test]
    fn begins_at_the_key_picture_before_the_moment_asked_for() {
        let mut ring = Ring::default();
        for frame in 0..1000 {
            ring.push(packet(frame, frame % 50 == 7, 100));
        }
        let kept = ring.since(StreamTime::ZERO);
        assert!(kept[0].key);
        // Ten seconds are 250 frames; the group that holds the oldest of them is whole.
        assert_eq!(kept[0].at, StreamTime::from_micros(707 * 40_000));
        let recent = ring.since(StreamTime::from_micros(990 * 40_000));
        assert_eq!(recent[0].at, StreamTime::from_micros(957 * 40_000));
        assert_eq!(recent.len(), 43);
    }

    #[test]
    fn shares_the_bytes() {
        let mut ring = Ring::default();
        let first = packet(0, true, 10);
        ring.push(first.clone());
        assert_eq!(
            ring.since(StreamTime::ZERO)[0].data.as_ptr(),
            first.data.as_ptr()
        );
    }

    #[test]
    fn a_new_timeline_clears_it() {
        let mut ring = Ring::default();
        ring.push(packet(0, true, 10));
        let info = Arc::new(StreamInfo {
            codec: crate::source::Codec::H264,
            framing: crate::source::Framing::AnnexB,
            extra_data: Bytes::new(),
            width_px: 0,
            height_px: 0,
            codec_tag: 0,
            pixel_format: -1,
            bits_per_sample: 0,
            turn: Turn::None,
        });
        ring.take(&SourceEvent::Start(info));
        assert!(ring.since(StreamTime::ZERO).is_empty());
        assert_eq!(ring.bytes(), 0);
        assert!(ring.info().is_some());
    }

    proptest! {
        #[test]
        fn stays_within_its_bytes_and_begins_at_a_key_picture(
            frames in prop::collection::vec((any::<bool>(), 0_usize..600), 0..300),
        ) {
            let mut ring = Ring::new(KEEP, 1000);
            for (frame, (key, bytes)) in (0..).zip(frames) {
                ring.push(packet(frame, key, bytes));
                prop_assert!(ring.bytes() <= 1000);
                let kept = ring.since(StreamTime::ZERO);
                prop_assert!(kept.first().is_none_or(|packet| packet.key));
                prop_assert_eq!(ring.bytes(), kept.iter().map(|p| p.data.len()).sum::<usize>());
            }
        }
    }
}
