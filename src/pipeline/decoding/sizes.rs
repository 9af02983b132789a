//! What the sizes of a still camera's packets say: whether something begins to move.
//!
//! An encoder spends its bytes on what changes. Of an empty car it sends small pictures of much the
//! same size; a door that opens makes the very next one several times as large. Not every camera
//! does so (one may pad its packets, or refresh the picture in stripes): whether the sizes tell is
//! learnt from what the decoded pictures show, and where they failed once they must prove themselves.

use std::collections::VecDeque;

use crate::source::Packet;

/// Still pictures whose sizes are remembered: ten seconds at 25 a second.
const STILL_MAX: usize = 250;

/// Still pictures that must be known: two seconds at 12 a second.
const STILL_MIN: usize = 24;

/// Larger than the largest still picture by this share and this many bytes is a sign.
const SHARE_MORE: usize = 4;
const BYTES_MORE: usize = 200;

/// Still pictures of which the largest is so many times the mean say little: what moves is hardly larger.
/// Unless it is small beside a key picture: what moves takes a good part of one.
const LARGEST_TIMES: usize = 4;
const KEY_PARTS: usize = 16;

/// Packets within which a sign must come before the first picture that is seen to move: half a
/// second at 25 a second, a look of 0.2 s and the decoder's delay included.
const SIGN_PACKETS: u32 = 12;

/// Beginnings of motion that the sizes must have told in a row once they have missed one.
const PROOFS: u32 = 3;

/// How it is known that nothing moves on a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// It was decoded and looked at.
    Decoded,
    /// By its packet's size alone.
    Held,
}

/// One timeline's packet sizes.
#[derive(Debug, Default)]
pub(super) struct Sizes {
    still: VecDeque<usize>,
    largest: usize,
    bytes: usize,
    /// The newest key picture's size.
    key_bytes: usize,
    /// The largest sign since which nothing was seen to move yet.
    unproved: usize,
    was_idle: bool,
    since_sign: u32,
    /// Beginnings of motion that have yet to be told.
    to_prove: u32,
}

impl Sizes {
    /// Takes the next packet; `idle` is what the watch says of the pictures so far. Returns whether
    /// the packet says that something begins to move.
    pub(super) fn take(&mut self, packet: &Packet, idle: bool, told: Told) -> bool {
        let began = self.was_idle && !idle;
        if began && self.to_prove > 0 {
            let told = self.since_sign <= SIGN_PACKETS;
            self.to_prove = if told { self.to_prove - 1 } else { PROOFS };
        }
        if idle && !self.was_idle {
            self.still.clear();
            (self.largest, self.bytes, self.unproved) = (0, 0, 0);
            self.since_sign = u32::MAX;
        }
        self.was_idle = idle;
        if packet.key {
            self.key_bytes = packet.data.len();
            return false;
        }
        let size = packet.data.len();
        let limit = self.largest + self.largest / SHARE_MORE + BYTES_MORE;
        let sign = self.still.len() >= STILL_MIN && size > limit;
        self.since_sign = if sign {
            0
        } else {
            self.since_sign.saturating_add(1)
        };
        if !idle {
            self.unproved = 0;
        } else if sign {
            self.unproved = self.unproved.max(size);
        } else {
            // A sign after which nothing moved was none: the encoder does that by itself.
            if self.since_sign == SIGN_PACKETS && self.unproved > 0 {
                let size = std::mem::take(&mut self.unproved);
                self.remember(size);
            }
            // What nobody looked at is no measure of what is still: a slow creep is no new normal.
            self.remember(match told {
                Told::Decoded => size,
                Told::Held => size.min(self.largest),
            });
        }
        sign
    }

    fn remember(&mut self, size: usize) {
        let oldest = match self.still.len() {
            STILL_MAX => self.still.pop_front(),
            _ => None,
        };
        self.still.push_back(size);
        self.bytes = self.bytes + size - oldest.unwrap_or(0);
        self.largest = self.largest.max(size);
        if oldest == Some(self.largest) {
            self.largest = self.still.iter().copied().max().unwrap_or(0);
        }
    }

    /// Returns whether sizes would tell that something begins to move.
    pub(super) fn can_tell(&self) -> bool {
        let mean = self.bytes / self.still.len().max(1);
        let even = LARGEST_TIMES * mean + BYTES_MORE;
        let even = self.largest <= even.max(self.key_bytes / KEY_PARTS);
        self.to_prove == 0 && self.still.len() >= STILL_MIN && even
    }

    /// Notes that something moved of which no size gave a sign.
    pub(super) fn distrust(&mut self) {
        self.to_prove = PROOFS;
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use jiff::Timestamp;

    use super::*;
    use crate::clock::StreamTime;

    fn packet(bytes: usize) -> Packet {
        Packet {
            data: Bytes::from(vec![0; bytes]),
            at: StreamTime::ZERO,
            decode_at: StreamTime::ZERO,
            captured_at: Timestamp::UNIX_EPOCH,
            key: false,
            lost: 0,
        }
    }

    /// Returns sizes that have seen ten quiet seconds of 400 to 440 bytes.
    fn quiet() -> Sizes {
        let mut sizes = Sizes::default();
        for number in 0..120 {
            let sign = sizes.take(&packet(400 + number % 3 * 20), true, Told::Decoded);
            assert!(!sign);
        }
        assert!(sizes.can_tell());
        sizes
    }

    #[test]
    fn a_larger_packet_is_a_sign_and_noise_is_none() {
        let mut sizes = quiet();
        assert!(!sizes.take(&packet(500), true, Told::Held));
        assert!(sizes.take(&packet(1200), true, Told::Held));
    }

    #[test]
    fn a_creep_that_nobody_looked_at_is_no_new_normal() {
        let mut sizes = quiet();
        let grown = (0..200).map(|step| 440 + 10 * step);
        let signs = grown.filter(|size| sizes.take(&packet(*size), true, Told::Held));
        assert!(signs.count() > 150);
    }

    #[test]
    fn what_the_encoder_does_by_itself_is_learnt() {
        let mut sizes = quiet();
        assert!(sizes.take(&packet(900), true, Told::Decoded));
        for _ in 0..=SIGN_PACKETS {
            sizes.take(&packet(420), true, Told::Decoded);
        }
        assert!(!sizes.take(&packet(900), true, Told::Decoded));
        assert!(sizes.can_tell());
        // So large beside the others that what moves would not stand out.
        let mut sizes = quiet();
        sizes.take(&packet(9000), true, Told::Decoded);
        for _ in 0..=SIGN_PACKETS {
            sizes.take(&packet(420), true, Told::Decoded);
        }
        assert!(!sizes.can_tell());
    }

    #[test]
    fn sizes_that_missed_once_must_prove_themselves() {
        let mut sizes = quiet();
        sizes.distrust();
        assert!(!sizes.can_tell());
        let mut rides = 0;
        while !sizes.can_tell() {
            // Something moves, told at once; then ten quiet seconds.
            sizes.take(&packet(3000), true, Told::Decoded);
            for _ in 0..40 {
                sizes.take(&packet(3000), false, Told::Decoded);
            }
            for _ in 0..120 {
                sizes.take(&packet(420), true, Told::Decoded);
            }
            rides += 1;
            assert!(rides < 10, "it never trusts again");
        }
        assert_eq!(rides, PROOFS);
        // Motion without a sign: the count begins anew.
        sizes.distrust();
        sizes.take(&packet(420), false, Told::Decoded);
        assert!(!sizes.can_tell());
    }
}
