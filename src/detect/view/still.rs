//! Whether anything changes in the picture. A live sensor has noise, a clock on the picture has
//! digits; a frozen one shows only what the encoder does to the same picture again and again.

use crate::clock::StreamTime;

/// Seconds between the pictures that are compared.
const APART_S: f64 = 0.95;

/// Mean and largest difference that a frozen picture shows from frame to frame: none, or the last
/// refinements of the encoder.
const SAME_MEAN: f64 = 0.02;
const SAME_MOST: u8 = 2;

/// The same from key picture to key picture, where each is encoded anew: x264 takes 2 s to settle
/// on one, with a mean of 0.23 on the way; a live picture with sensor noise differs by 3.
const SAME_KEY_MEAN: f64 = 0.3;
const SAME_KEY_MOST: u8 = 8;

/// A mean difference that no encoder makes of one picture.
const CHANGED_MEAN: f64 = 3.0;

/// What the last compared pictures looked like, and since when nothing changed.
#[derive(Debug, Default)]
pub(super) struct Still {
    frames: Series,
    keys: Series,
}

#[derive(Debug, Default)]
struct Series {
    last: Option<StreamTime>,
    bytes: Vec<u8>,
    since: Option<StreamTime>,
}

impl Still {
    /// Returns whether the next key picture should be looked at, whatever the pace.
    pub(super) fn wants_key(&self, now: StreamTime) -> bool {
        self.keys.is_due(now)
    }

    /// Returns for how many seconds nothing has changed. `bytes` are the sampled rows.
    pub(super) fn seconds(&mut self, bytes: &[u8], key: bool, now: StreamTime) -> f64 {
        if self.frames.is_due(now) {
            if !is_same(&self.frames.bytes, bytes, CHANGED_MEAN, u8::MAX) {
                // Another picture altogether; the next key picture may be seconds away.
                self.keys.since = None;
            }
            self.frames.compare(bytes, now, SAME_MEAN, SAME_MOST);
        }
        if key && self.keys.is_due(now) {
            self.keys.compare(bytes, now, SAME_KEY_MEAN, SAME_KEY_MOST);
        }
        self.frames.seconds(now).max(self.keys.seconds(now))
    }
}

impl Series {
    fn is_due(&self, now: StreamTime) -> bool {
        self.last.is_none_or(|last| now.secs_since(last) >= APART_S)
    }

    fn compare(&mut self, bytes: &[u8], now: StreamTime, same_mean: f64, same_most: u8) {
        let last = self.last.replace(now);
        let comparable = self.bytes.len() == bytes.len();
        let same = last.filter(|_| comparable && is_same(&self.bytes, bytes, same_mean, same_most));
        // The stillness began no later than the picture before.
        self.since = same.map(|last| self.since.unwrap_or(last));
        self.bytes.clear();
        self.bytes.extend_from_slice(bytes);
    }

    /// Counts to the last comparison only: what came after it is not known yet.
    fn seconds(&self, now: StreamTime) -> f64 {
        match (self.since, self.last) {
            (Some(since), Some(last)) => last.min(now).secs_since(since),
            _ => 0.0,
        }
    }
}

/// Compares the bytes that both have.
fn is_same(a: &[u8], b: &[u8], mean: f64, most: u8) -> bool {
    let mut sum = 0_u64;
    for (a, b) in a.chunks(4096).zip(b.chunks(4096)) {
        let mut largest = 0_u8;
        let mut part = 0_u32;
        for (a, b) in a.iter().zip(b) {
            let off = a.abs_diff(*b);
            largest = largest.max(off);
            part += u32::from(off);
        }
        if largest > most {
            return false;
        }
        sum += u64::from(part);
    }
    sum as f64 <= mean * a.len() as f64
}
