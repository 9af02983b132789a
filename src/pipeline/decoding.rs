//! From packets to frames: the decoder, and what is held back from it while nothing happens.
//!
//! An elevator stands empty most of the day. While the watch says that nothing stirs and the packets
//! say that this goes on ([`Sizes`]), a group of pictures is held back encoded and only its key
//! picture is decoded. At the first sign the held pictures are decoded at once and leave in order,
//! so that nothing is missed; when the next key picture shows the same empty car, they are let go.
//! Replay and service hold back alike: it hangs on the packets and the frames alone, never on a clock.
//!
//! Bound: [`HELD_MAX`] packets, [`HELD_BYTES_MAX`] bytes; a longer group is decoded as it comes.

mod sizes;

use self::sizes::{Sizes, Told};
use super::Watch;
use crate::decode::ffmpeg::DecodeCounters;
use crate::decode::{DecodeError, Decoder, Device, Frame, LoopFilter, Past};
use crate::scene::Kind;
use crate::source::{Codec, Packet, StreamInfo, nal};

/// Packets held back at most: two seconds at 30 a second and one to spare, the group of pictures that
/// most cameras send. At 1080p they take some 0.2 s to decode at once, by which a sign is acted on later.
const HELD_MAX: usize = 61;

/// Bytes held back at most: half a second of a camera at 64 Mbit/s, or all that an idle one sends.
const HELD_BYTES_MAX: usize = 4 << 20;

/// One stream's way from packets to frames.
pub struct Decoding {
    info: StreamInfo,
    kind: Kind,
    device: Option<Device>,
    decoder: Decoder,
    past: Option<Past>,
    sizes: Sizes,
    /// The group of pictures that is held back, its key picture first, which was shown already. Empty
    /// while all is decoded as it comes.
    held: Vec<Packet>,
    /// Packets since the newest picture that stands alone, it included, and of the group before.
    group: usize,
    group_before: usize,
    skipped: u64,
}

/// What happened to the packet that was pushed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pushed {
    /// It went to the decoder, and with it what was held back.
    Decoded,
    /// It is held back.
    Held,
}

impl Decoding {
    /// Opens a decoder for what a camera of this kind sends. Fails like [`Decoder::open`].
    pub fn open(info: &StreamInfo, kind: Kind) -> Result<Self, DecodeError> {
        Self::open_on(None, info, kind)
    }

    /// Opens one that decodes on `device` where that can. Fails like [`Decoder::open`].
    pub fn open_on(
        device: Option<&Device>,
        info: &StreamInfo,
        kind: Kind,
    ) -> Result<Self, DecodeError> {
        let decoder = Decoder::open_with(info, loop_filter(info, kind), device)?;
        Ok(Self::with(decoder, info, kind, device.cloned()))
    }

    /// Returns the same for the stream's next timeline, see [`Decoder::renewed`].
    pub fn renewed(self, info: &StreamInfo) -> Result<Self, DecodeError> {
        let decoder = self.decoder.renewed(info)?;
        Ok(Self::with(decoder, info, self.kind, self.device))
    }

    fn with(decoder: Decoder, info: &StreamInfo, kind: Kind, device: Option<Device>) -> Self {
        let past = || Past::new(info, loop_filter(info, kind), device.as_ref());
        let past = (kind == Kind::Facade).then(past);
        Self {
            info: info.clone(),
            kind,
            device,
            decoder,
            past,
            sizes: Sizes::default(),
            held: Vec::new(),
            group: 0,
            group_before: 0,
            skipped: 0,
        }
    }

    /// Takes the next packet; `frames` gets what there is to look at, in order. `watch` has looked at
    /// all frames before.
    pub fn push(&mut self, packet: &Packet, watch: &dyn Watch, frames: &mut Vec<Frame>) -> Pushed {
        if let Some(past) = &self.past {
            past.push(packet);
        }
        let idle = self.kind == Kind::Elevator && watch.is_idle();
        let told = if self.held.is_empty() {
            Told::Decoded
        } else {
            Told::Held
        };
        let sign = self.sizes.take(packet, idle, told);
        let alone = self.kind == Kind::Elevator && self.stands_alone(packet);
        if alone {
            self.group_before = std::mem::take(&mut self.group);
        }
        self.group += 1;
        if self.held.is_empty() {
            let fits = (1..=HELD_MAX).contains(&self.group_before);
            let may = idle && alone && fits && self.sizes.can_tell();
            if !may || !self.hold(packet, frames) {
                self.decoder.push(packet, |frame| frames.push(frame));
            }
            return Pushed::Decoded;
        }
        if alone {
            self.next_group(packet, idle, watch, frames);
            return Pushed::Decoded;
        }
        self.held.push(packet.clone());
        let full = self.held.len() > HELD_MAX || self.held_bytes() > HELD_BYTES_MAX;
        if !idle || sign || packet.lost > 0 || full {
            self.release(frames);
            return Pushed::Decoded;
        }
        Pushed::Held
    }

    fn stands_alone(&self, packet: &Packet) -> bool {
        packet.key && packet.lost == 0 && nal::stands_alone(&self.info, &packet.data)
    }

    /// Begins to hold back with this key picture, which is decoded alone. Returns whether it could be.
    fn hold(&mut self, key: &Packet, frames: &mut Vec<Frame>) -> bool {
        // What the decoder still has lies before the key picture.
        self.decoder.finish(|frame| frames.push(frame));
        let shown = self.decoder.alone(key);
        if let Some(frame) = shown {
            self.decoder.shown(&frame);
            frames.push(frame);
            self.held.push(key.clone());
            return true;
        }
        false
    }

    /// Looks at the key picture of the next group: the held one is let go when the car is as it was.
    fn next_group(&mut self, key: &Packet, idle: bool, watch: &dyn Watch, frames: &mut Vec<Frame>) {
        let shown = self.decoder.alone(key);
        let moved = shown.as_ref().is_none_or(|frame| !watch.is_still(frame));
        if moved {
            // Whatever it is, no packet's size gave a sign of it.
            self.sizes.distrust();
        }
        let goes_on = idle && !moved;
        if goes_on {
            self.skipped += self.held.len().saturating_sub(1) as u64;
            self.held.clear();
        } else {
            self.release(frames);
            self.decoder.finish(|frame| frames.push(frame));
        }
        let Some(frame) = shown else {
            self.decoder.push(key, |frame| frames.push(frame));
            return;
        };
        self.decoder.shown(&frame);
        frames.push(frame);
        if goes_on {
            self.held.push(key.clone());
        } else {
            self.decoder.push_again(key);
        }
    }

    /// Decodes what is held back; its key picture was shown already.
    fn release(&mut self, frames: &mut Vec<Frame>) {
        let mut held = self.held.drain(..);
        if let Some(key) = held.next() {
            self.decoder.push_again(&key);
        }
        for packet in held {
            self.decoder.push(&packet, |frame| frames.push(frame));
        }
    }

    /// Hands out all frames that are still held back, at the end of a timeline.
    pub fn finish(&mut self, frames: &mut Vec<Frame>) {
        self.release(frames);
        self.decoder.finish(|frame| frames.push(frame));
    }

    /// Returns the timeline's newest packets, for a watch that looks back.
    pub fn past(&self) -> Option<&Past> {
        self.past.as_ref()
    }

    /// Returns how many pictures were let go undecoded: nothing happened on them.
    pub fn skipped(&self) -> u64 {
        self.skipped
    }

    /// Returns what went wrong so far.
    pub fn counters(&self) -> DecodeCounters {
        self.decoder.counters()
    }

    fn held_bytes(&self) -> usize {
        self.held.iter().map(|packet| packet.data.len()).sum()
    }
}

/// Facades in H.264 go without the loop filter between key pictures: what falls is found as well, and it
/// takes a quarter to a third off decoding. H.265's does more: without it 30 of 52 falls were found where
/// it is 34 with it (benches/README.md). On an elevator's large moving things the blocks would show.
fn loop_filter(info: &StreamInfo, kind: Kind) -> LoopFilter {
    match (kind, info.codec) {
        (Kind::Facade, Codec::H264) => LoopFilter::KeyPictures,
        _ => LoopFilter::Whole,
    }
}
