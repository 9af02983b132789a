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

/// And no larger than so many times the middle one: a slow creep of sizes is no new normal.
const MIDDLE_TIMES: usize = 3;

/// Packets within which a sign must come before the first picture that is seen to move: half a
/// second at 25 a second, a look of 0.2 s and the decoder's delay included.
const SIGN_PACKETS: u32 = 12;

/// Beginnings of motion that the sizes must have told in a row once they have missed one.
const PROOFS: u32 = 3;

/// One timeline's packet sizes.
#[derive(Debug, Default)]
pub(super) struct Sizes {
    still: VecDeque<usize>,
    /// Scratch for the middle one.
    sorted: Vec<usize>,
    limit: usize,
    was_idle: bool,
    since_sign: u32,
    /// Beginnings of motion that have yet to be told.
    to_prove: u32,
}

impl Sizes {
    /// Takes the next packet; `idle` is what the watch says of the pictures so far. Returns whether
    /// the packet says that something begins to move.
    pub(super) fn take(&mut self, packet: &Packet, idle: bool) -> bool {
        let began = self.was_idle && !idle;
        if began && self.to_prove > 0 {
            let told = self.since_sign <= SIGN_PACKETS;
            self.to_prove = if told { self.to_prove - 1 } else { PROOFS };
        }
        if idle && !self.was_idle {
            self.still.clear();
            self.since_sign = u32::MAX;
        }
        self.was_idle = idle;
        if packet.key {
            self.set_limit();
            return false;
        }
        let size = packet.data.len();
        let sign = self.still.len() >= STILL_MIN && size > self.limit;
        self.since_sign = if sign {
            0
        } else {
            self.since_sign.saturating_add(1)
        };
        if idle && !sign {
            if self.still.len() == STILL_MAX {
                self.still.pop_front();
            }
            self.still.push_back(size);
            if self.still.len() <= STILL_MIN {
                self.set_limit();
            }
        }
        sign
    }

    /// Returns whether sizes would tell that something begins to move.
    pub(super) fn can_tell(&self) -> bool {
        self.to_prove == 0 && self.still.len() >= STILL_MIN
    }

    /// Notes that something moved of which no size gave a sign.
    pub(super) fn distrust(&mut self) {
        self.to_prove = PROOFS;
    }

    fn set_limit(&mut self) {
        self.sorted.clear();
        self.sorted.extend(&self.still);
        self.sorted.sort_unstable();
        let largest = self.sorted.last().copied().unwrap_or(0);
        let middle = self.sorted.get(self.sorted.len() / 2).copied().unwrap_or(0);
        let limit = largest + largest / SHARE_MORE;
        self.limit = limit.min(MIDDLE_TIMES * middle) + BYTES_MORE;
    }
}
