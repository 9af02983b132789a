//! The frames that go with a fall's alarm: of all but the newest only what is around the thing.
//!
//! Whole frames of all moments would be 100 MiB an alarm at 1080p. The parts are large enough for
//! whatever the evidence's pictures show of them, and for a thing that turns out to be beside.

use std::time::Duration;

use super::kept::Kept;
use crate::alarm::AlarmKey;
use crate::clock::StreamTime;
use crate::decode::{Cutout, Frame};
use crate::geometry::BoxPx;
use crate::track::accelerating::Track;

/// Frames an alarm carries at most.
pub(super) const ALARM_FRAMES_MAX: usize = 16;

/// Time between the frames an alarm carries after it was raised.
const ALARM_FRAMES_STEP: Duration = Duration::from_millis(70);

/// Side of a part as a share of the picture's shorter one: the strobe picture enlarges up to 0.24 of it
/// (things of 0.15 at most), and as much again lies around for what the track comes to be told by.
const PART_SHARE: f64 = 0.44;

/// The same as a multiple of the thing's size, and pixels added: it is cut out with 0.35 of its size to
/// each side.
const PART_SIZES: f64 = 2.0;
const PART_ROOM_PX: f64 = 16.0;

/// The frames that go with an alarm's end.
pub(super) struct Pictures {
    pub(super) key: AlarmKey,
    parts: Vec<Cutout>,
    /// Whole: what the others' things are shown on, and where the thing is on it.
    newest: Option<(Frame, BoxPx)>,
}

impl Pictures {
    /// Returns none yet, for the alarm of this key.
    pub(super) fn new(key: AlarmKey) -> Self {
        Self {
            key,
            parts: Vec::new(),
            newest: None,
        }
    }

    /// Returns whether a frame of this moment would be one more.
    pub(super) fn wants(&self, at: StreamTime) -> bool {
        let newest = self.newest.as_ref();
        let due = newest.is_none_or(|(frame, _)| at >= frame.at + ALARM_FRAMES_STEP);
        due && self.parts.len() + 1 < ALARM_FRAMES_MAX
    }

    /// Adds a frame that shows the thing in `area`.
    pub(super) fn push(&mut self, frame: &Frame, area: BoxPx) {
        let before = self.newest.replace((frame.clone(), area));
        if let Some((frame, area)) = before {
            self.parts.push(part(&frame, &area));
        }
    }

    /// Returns them, oldest first.
    pub(super) fn into_frames(self) -> Vec<Cutout> {
        let newest = self.newest.map(|(frame, _)| Cutout::whole(frame));
        self.parts.into_iter().chain(newest).collect()
    }
}

/// Returns up to sixteen kept frames evenly along the track, oldest first, the newest last and whole.
pub(super) fn frames_along(track: &Track, kept: &Kept) -> Vec<Cutout> {
    let from = track.sightings.first().map_or(StreamTime::ZERO, |s| s.at);
    let during: Vec<&Frame> = kept.during(from, track.last().at).collect();
    let count = during.len().min(ALARM_FRAMES_MAX);
    let shown = |index: usize| {
        let frame = during[(index + 1) * during.len() / count - 1];
        if index + 1 == count {
            return Cutout::whole(frame.clone());
        }
        part(frame, &area_at(track, frame.at))
    };
    (0..count).map(shown).collect()
}

/// Returns where the thing is at `at`: between its sightings before and after, where it was not seen.
fn area_at(track: &Track, at: StreamTime) -> BoxPx {
    let after = track.sightings.partition_point(|sighting| sighting.at < at);
    let next = track.sightings.get(after).unwrap_or(track.last());
    match after.checked_sub(1) {
        Some(before) if next.at != at => next.area.with(&track.sightings[before].area),
        _ => next.area,
    }
}

fn part(frame: &Frame, area: &BoxPx) -> Cutout {
    let shorter_px = f64::from(frame.width_px().min(frame.height_px()));
    let thing_px = area.width_px.max(area.height_px);
    let side_px = (PART_SHARE * shorter_px).max(PART_SIZES * thing_px + PART_ROOM_PX);
    Cutout::around(frame, area, side_px)
}
