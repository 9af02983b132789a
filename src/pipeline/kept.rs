//! The newest frames of a facade, and looking back in them: where a fall was before it was noticed.
//!
//! Shares the decoder's frames. While nothing falls it keeps few and has the others decoded once
//! more when they are wanted; where that cannot be had, or is wanted often, it keeps them all, within
//! a bound of bytes and time; beyond it the oldest go early, and looking back reaches less far.

use std::collections::VecDeque;
use std::time::Duration;

use crate::alarm::TrackPoint;
use crate::alarm::falling::verdict::Verdict;
use crate::clock::StreamTime;
use crate::decode::{Frame, Past};
use crate::detect::motion::recall::{Wanted, recall};
use crate::evidence::planar::Planar;
use crate::geometry::Point;
use crate::track::accelerating::{Sighting, Track};

/// How long frames are kept for looking back: a fall of two storeys takes 1.1 s.
const KEEP: Duration = Duration::from_millis(1700);

/// How long they are kept where older ones can be decoded once more: what motion and the pictures of an
/// alarm that goes on ask for.
const KEEP_NEAR: Duration = Duration::from_millis(250);

/// All are kept for so long after older ones were wanted: in a snow storm the next fall is not far.
const KEEP_ALL: Duration = Duration::from_millis(1000);

/// Bytes of frames kept at most, 192 MiB: 60 frames of 1080p. Beyond it the oldest go early, and
/// looking back reaches less far.
const KEEP_BYTES_MAX: usize = 192 << 20;

/// Time before the apex in which a thing counts as falling already: the hand that lets it go moves.
const RELEASE: Duration = Duration::from_millis(120);

/// The newest frames.
#[derive(Default)]
pub(super) struct Kept {
    frames: VecDeque<Frame>,
    /// How many of them, the oldest, are not in the decoder's memory.
    own: usize,
    bytes: usize,
    past: Option<Past>,
    all_until: Option<StreamTime>,
    /// The newest frame that was let go before its time, since they were last got back.
    let_go_at: Option<StreamTime>,
}

impl Kept {
    /// Has older frames decoded by `past` from now on.
    pub(super) fn look_back_by(&mut self, past: Past) {
        self.past = Some(past);
    }

    /// Gets back the frames of the last [`KEEP`] that were let go.
    pub(super) fn recall(&mut self) {
        let (Some(newest), Some(oldest)) = (self.frames.back(), self.frames.front()) else {
            return;
        };
        let (from, until) = (newest.at - KEEP, oldest.at);
        let has_room = self.bytes + size_bytes(newest) <= KEEP_BYTES_MAX;
        self.all_until = Some(newest.at + KEEP_ALL);
        let Some(past) = self
            .past
            .as_ref()
            .filter(|_| has_room && self.let_go_at.is_some_and(|at| at >= from))
        else {
            return;
        };
        for frame in past
            .frames(from, until, |frame| own(&frame))
            .into_iter()
            .rev()
        {
            if self.bytes + size_bytes(&frame) > KEEP_BYTES_MAX {
                break;
            }
            self.bytes += size_bytes(&frame);
            self.frames.push_front(frame);
            self.own += 1;
        }
        self.let_go_at = None;
    }

    pub(super) fn push(&mut self, frame: &Frame) {
        self.frames.push_back(frame.clone());
        self.bytes += size_bytes(frame);
        self.let_go(frame.at);
    }

    fn let_go(&mut self, now: StreamTime) {
        let can_come_back = self.past.as_ref().is_some_and(Past::is_near);
        let near = self.all_until.is_none_or(|until| until < now) && can_come_back;
        let keep = if near { KEEP_NEAR } else { KEEP };
        while let Some(oldest) = self.frames.front() {
            let fresh = now <= oldest.at + keep;
            if (fresh && self.bytes <= KEEP_BYTES_MAX) || self.frames.len() == 1 {
                break;
            }
            self.bytes -= size_bytes(oldest);
            self.let_go_at = Some(oldest.at);
            self.frames.pop_front();
            self.own = self.own.saturating_sub(1);
        }
        if can_come_back && !near {
            self.copy_old(now);
        }
    }

    /// Copies what is kept for a moment only, for a decoder never gives back the memory of the most
    /// frames that were out at once.
    fn copy_old(&mut self, now: StreamTime) {
        let decoders = self.frames.iter_mut().skip(self.own);
        for frame in decoders.take_while(|frame| now > frame.at + KEEP_NEAR) {
            *frame = own(frame);
            self.own += 1;
        }
    }

    /// Forgets all frames.
    pub(super) fn clear(&mut self) {
        self.frames.clear();
        (self.bytes, self.own) = (0, 0);
        self.past = None;
        (self.all_until, self.let_go_at) = (None, None);
    }

    /// Returns the kept frames from `from` up to `to`, in order.
    pub(super) fn during(&self, from: StreamTime, to: StreamTime) -> impl Iterator<Item = &Frame> {
        let frames = self.frames.iter();
        frames.filter(move |frame| frame.at >= from && frame.at <= to)
    }

    /// Returns the newest kept frame that is not later than `at`.
    pub(super) fn at(&self, at: StreamTime) -> Option<&Frame> {
        let after = self.frames.partition_point(|frame| frame.at <= at);
        after.checked_sub(1).map(|index| &self.frames[index])
    }
}

/// Follows the fall backwards from its first sighting over the kept frames. Returns what was found,
/// in order of time.
pub(super) fn look_back(track: &Track, verdict: &Verdict, kept: &Kept) -> Vec<TrackPoint> {
    let sightings = &track.sightings[verdict.first..];
    let first = sightings[0];
    let few = &sightings[..sightings.len().min(8)];
    let mean = |of: fn(&Sighting) -> f64| few.iter().map(of).sum::<f64>() / few.len() as f64;
    let size_px = (mean(|s| s.area.width_px), mean(|s| s.area.height_px));
    let contrast = mean(|s| f64::from(s.contrast));
    let Some(empty) = kept.frames.back() else {
        return Vec::new();
    };
    let mut found = Vec::new();
    let mut missed = 0;
    let mut last = first.area;
    let mut last_at = first.at;
    let apex = verdict.apex();
    let apex_px = verdict.place(apex).y;
    for frame in kept.frames.iter().rev().filter(|f| f.at < first.at) {
        if missed >= 3 {
            break;
        }
        let expected = verdict.place(frame.at);
        let before_s = last_at.secs_since(frame.at);
        // Slow at the start: it cannot be further from where it was last than its speed allows.
        let drift = 2.0 + 0.1 * size_px.1 + 20.0 * before_s;
        let wanted = Wanted {
            place: Point::new(
                last.x_px + (expected.x - verdict.place(last_at).x),
                (last.y_px + expected.y - verdict.place(last_at).y).min(last.y_px + drift),
            ),
            reach_px: (drift, drift),
            size_px,
            contrast,
        };
        // Before its apex it either rose to it or was held there; what is held does not fall yet.
        let held = |y_px: f64| frame.at < apex - RELEASE && y_px < apex_px + 4.0;
        match recall(frame, empty, &wanted) {
            Some(seen) if held(seen.area.y_px) => break,
            Some(seen) => {
                last = seen.area;
                last_at = frame.at;
                missed = 0;
                found.push(TrackPoint {
                    at: frame.at,
                    area: seen.area,
                });
            }
            _ => missed += 1,
        }
    }
    found.reverse();
    found
}

/// Returns a copy that is not in the decoder's memory.
fn own(frame: &Frame) -> Frame {
    Planar::of(frame).into_frame(frame)
}

fn size_bytes(frame: &Frame) -> usize {
    // Luma and two chroma planes of a quarter each.
    frame.width_px() as usize * frame.height_px() as usize * 3 / 2
}
