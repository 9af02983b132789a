//! What happened: the rules that make an alarm of tracks and verdicts. Pure: no I/O, no clock.

pub mod ebike;
pub mod falling;
pub mod fault;
pub mod comparison;

use serde::{Deserialize, Serialize};

use crate::clock::StreamTime;
use crate::decode::Cutout;
use crate::geometry::BoxPx;

/// What an alarm says happened.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    utoipa::ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum AlarmKind {
    /// An object fell or was thrown from a building. Latches.
    FallingObject,
    /// An e-bike is inside an elevator car. A state: it ends when the e-bike has left.
    EbikeInElevator,
    /// Camera faults; each is a state and ends by itself.
    NoPicture,
    FrozenPicture,
    Occluded,
    ViewMoved,
    Shake,
    /// Under 20 frames a second at a facade: falls may be missed.
    SlowFrames,
    ClockDrift,
    /// More motion than a fall can be told from (rain, a cloud, foliage): falls may be missed.
    Flooded,
    /// Evidence has taken most of the room that it may take.
    DiskFilling,
    /// It has taken all of it: evidence is deleted before its time, or not kept at all.
    DiskFull,
    /// The machine's wall clock was set by much: times of before and after do not fit together.
    ClockLeapt,
}

impl AlarmKind {
    /// Returns the name used in JSON, SQL, metrics and pages.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::FallingObject => "falling_object",
            Self::EbikeInElevator => "ebike_in_elevator",
            Self::NoPicture => "no_picture",
            Self::FrozenPicture => "frozen_picture",
            Self::Occluded => "occluded",
            Self::ViewMoved => "view_moved",
            Self::Shake => "shake",
            Self::SlowFrames => "slow_frames",
            Self::ClockDrift => "clock_drift",
            Self::Flooded => "flooded",
            Self::DiskFilling => "disk_filling",
            Self::DiskFull => "disk_full",
            Self::ClockLeapt => "clock_leapt",
        }
    }

    /// Returns whether this is a fault of a camera or of the service, rather than an event before a
    /// camera.
    pub fn is_fault(self) -> bool {
        !matches!(self, Self::FallingObject | Self::EbikeInElevator)
    }
}

/// The object at one moment. In JSON: `{"at_s","x_px","y_px","width_px","height_px"}`, the centre
/// and size to a tenth of a pixel.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(from = "TrackPointRecord", into = "TrackPointRecord")]
pub struct TrackPoint {
    pub at: StreamTime,
    pub area: BoxPx,
}

/// Where a fall began.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Origin {
    /// Centre of the object where it was first seen, full-resolution pixels.
    pub x_px: f64,
    pub y_px: f64,
    /// The likeliest floor, counted from 1 at the ground; none without floor lines.
    pub floor: Option<i32>,
    /// Bounds that hold the true floor 95 times in 100.
    pub floor_min: Option<i32>,
    pub floor_max: Option<i32>,
}

/// An alarm on one stream's timeline.
#[derive(Clone, Debug, PartialEq)]
pub struct Alarm {
    pub kind: AlarmKind,
    /// The earliest moment at which it was seen, also by looking back.
    pub started_at: StreamTime,
    /// Stream time of the frame that made it fire.
    pub raised_at: StreamTime,
    /// When it was over; none while it lasts.
    pub ended_at: Option<StreamTime>,
    /// 0..1.
    pub score: f64,
    pub track: Vec<TrackPoint>,
    pub origin: Option<Origin>,
}

/// Names an alarm between its raising and its end, within one camera's watch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AlarmKey(pub u64);

/// What a watch has to say about alarms, in order. Every `Raised` is followed by one `Ended`,
/// at the latest when the watch is finished.
#[derive(Clone, Debug)]
pub enum AlarmChange {
    /// It fired. `frames` show it (at most 16, oldest first, the best picture last, which is whole).
    Raised {
        key: AlarmKey,
        alarm: Alarm,
        frames: Vec<Cutout>,
    },
    /// It is over; `alarm` is the whole story: full track, origin, end.
    /// `frames` are further ones since it was raised (at most 16, the last of them whole).
    Ended {
        key: AlarmKey,
        alarm: Alarm,
        frames: Vec<Cutout>,
    },
}

#[derive(Serialize, Deserialize, utoipa::ToSchema)]
pub struct TrackPointRecord {
    pub at_s: f64,
    pub x_px: f64,
    pub y_px: f64,
    pub width_px: f64,
    pub height_px: f64,
}

impl From<TrackPoint> for TrackPointRecord {
    fn from(point: TrackPoint) -> Self {
        let tenth = |value: f64| (value * 10.0).round() / 10.0;
        Self {
            at_s: point.at.as_secs_f64(),
            x_px: tenth(point.area.x_px),
            y_px: tenth(point.area.y_px),
            width_px: tenth(point.area.width_px),
            height_px: tenth(point.area.height_px),
        }
    }
}

impl From<TrackPointRecord> for TrackPoint {
    fn from(record: TrackPointRecord) -> Self {
        Self {
            at: StreamTime::from_secs_f64(record.at_s),
            area: BoxPx {
                x_px: record.x_px,
                y_px: record.y_px,
                width_px: record.width_px,
                height_px: record.height_px,
            },
        }
    }
}
