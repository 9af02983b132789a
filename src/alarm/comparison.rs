//! An alarm beside what a replay of its evidence found: what an auditor is told. Pure.
//!
//! A clip begins some ten seconds before the alarm, and the live watch had looked at the scene for
//! hours: its noise model and its looks into the car stand elsewhere. So what depends on them has a
//! tolerance, which is stated beside each value; what a recording alone decides must be the same.

use serde::{Deserialize, Serialize};

use super::{Alarm, Origin, TrackPoint};

/// Values that differ by no more than storing and rounding them are the same: clips tell time in
/// ticks of 1/90000 s, tracks are kept to a tenth of a pixel.
const SAME_S: f64 = 0.001;
const SAME_SCORE: f64 = 0.0005;
const SAME_PX: f64 = 0.101;

/// What a replay that begins with the clip may differ by. Measured on three cameras that had been
/// watched for up to 30 s before the clip began: times and floors were the same, scores up to 0.06 and
/// tracks up to 2.7 px (a fifth of the object) apart. A look into a car may come two looks, 0.4 s, later.
const TOLERANCE_S: f64 = 0.4;
const TOLERANCE_SCORE: f64 = 0.15;
const TOLERANCE_FLOOR: f64 = 1.0;
/// Times the size of the object, so that a bag and a nut are judged alike.
const TOLERANCE_SIZES: f64 = 1.0;

/// An alarm that the replay raised further away than this is another one.
const NEAR_S: f64 = 3.0;

/// The whole comparison's result.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum ReplayVerdict {
    /// Every value is the same, but for rounding.
    Same,
    /// The same alarm, with every value within its tolerance.
    WithinTolerance,
    /// The alarm was raised again, and something about it differs by more.
    Differs,
    /// The alarm was not raised again.
    NotFound,
}

impl ReplayVerdict {
    /// Returns the name used in JSON, SQL and pages.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Same => "same",
            Self::WithinTolerance => "within_tolerance",
            Self::Differs => "differs",
            Self::NotFound => "not_found",
        }
    }
}

/// What is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ReplayPart {
    /// Seconds on the stream's timeline.
    StartedAtS,
    RaisedAtS,
    EndedAtS,
    Score,
    Floor,
    FloorMin,
    FloorMax,
    /// How many points of the track the other has too, at the same moment.
    TrackPoints,
    /// How far the tracks are apart where both have a point, at the most, pixels.
    TrackApartPx,
}

/// How two values agree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Agreement {
    Same,
    WithinTolerance,
    Beyond,
    /// The clip ends before the alarm did: its end cannot be compared.
    NotInClip,
}

/// One value, old and new.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ReplayRow {
    pub part: ReplayPart,
    pub recorded: Option<f64>,
    pub replayed: Option<f64>,
    pub tolerance: f64,
    pub agreement: Agreement,
}

/// An alarm and its replay.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Comparison {
    pub verdict: ReplayVerdict,
    /// None where the alarm was not raised again.
    pub rows: Vec<ReplayRow>,
}

/// An alarm that a replay raised.
#[derive(Clone, Copy, Debug)]
pub struct Replayed<'a> {
    /// As it was when it was raised.
    pub raised: &'a Alarm,
    /// As it was when it was over.
    pub alarm: &'a Alarm,
    /// It lasted when the clip ended.
    pub cut: bool,
}

/// Compares `recorded` with the nearest alarm of its kind among `replayed`; returns which that is.
pub fn compare(recorded: &Alarm, replayed: &[Replayed<'_>]) -> (Comparison, Option<usize>) {
    let apart_s = |other: &Alarm| other.raised_at.secs_since(recorded.raised_at).abs();
    let alike = replayed
        .iter()
        .enumerate()
        .filter(|(_, other)| other.alarm.kind == recorded.kind && apart_s(other.alarm) <= NEAR_S);
    let nearest = alike.min_by(|a, b| apart_s(a.1.alarm).total_cmp(&apart_s(b.1.alarm)));
    let Some((index, found)) = nearest else {
        let verdict = ReplayVerdict::NotFound;
        let rows = Vec::new();
        return (Comparison { verdict, rows }, None);
    };
    let rows = rows(recorded, *found);
    let is = |agreement| rows.iter().any(|row| row.agreement == agreement);
    let verdict = if is(Agreement::Beyond) {
        ReplayVerdict::Differs
    } else if is(Agreement::WithinTolerance) {
        ReplayVerdict::WithinTolerance
    } else {
        ReplayVerdict::Same
    };
    (Comparison { verdict, rows }, Some(index))
}

fn rows(old: &Alarm, found: Replayed<'_>) -> Vec<ReplayRow> {
    use ReplayPart as P;
    // A manifest that was written while the alarm lasted holds what was known at its raising.
    let new = match old.ended_at {
        Some(_) => found.alarm,
        None => found.raised,
    };
    let time = |part, old: f64, new: f64| row(part, Some(old), Some(new), SAME_S, TOLERANCE_S);
    let mut rows = vec![
        time(
            P::StartedAtS,
            old.started_at.as_secs_f64(),
            new.started_at.as_secs_f64(),
        ),
        time(
            P::RaisedAtS,
            old.raised_at.as_secs_f64(),
            new.raised_at.as_secs_f64(),
        ),
        end(old, found),
        row(
            P::Score,
            Some(old.score),
            Some(new.score),
            SAME_SCORE,
            TOLERANCE_SCORE,
        ),
    ];
    type Bound = fn(&Origin) -> Option<i32>;
    let floors: [(P, Bound); 3] = [
        (P::Floor, |origin| origin.floor),
        (P::FloorMin, |origin| origin.floor_min),
        (P::FloorMax, |origin| origin.floor_max),
    ];
    for (part, floor) in floors {
        let of = |alarm: &Alarm| alarm.origin.as_ref().and_then(floor).map(f64::from);
        if of(old).is_some() || of(new).is_some() {
            rows.push(row(part, of(old), of(new), 0.0, TOLERANCE_FLOOR));
        }
    }
    if !old.track.is_empty() {
        rows.extend(tracks(old, new));
    }
    rows
}

/// Compares ends. An alarm that lasts at the end of the clip may have ended any time after it.
fn end(old: &Alarm, found: Replayed<'_>) -> ReplayRow {
    let recorded = old.ended_at.map(|at| at.as_secs_f64());
    let clip_ends = found.alarm.ended_at.map(|at| at.as_secs_f64());
    let replayed = clip_ends.filter(|_| !found.cut);
    let compared = row(
        ReplayPart::EndedAtS,
        recorded,
        replayed,
        SAME_S,
        TOLERANCE_S,
    );
    let is_after_clip =
        recorded.is_none_or(|at| clip_ends.is_some_and(|end| at >= end - TOLERANCE_S));
    if found.cut && is_after_clip {
        let agreement = Agreement::NotInClip;
        return ReplayRow {
            agreement,
            ..compared
        };
    }
    compared
}

/// Compares tracks where both have a point: how many of the shorter one's there are, and how far
/// apart. Looking back may begin a track earlier or later.
fn tracks(old: &Alarm, new: &Alarm) -> [ReplayRow; 2] {
    let near = |point: &TrackPoint| {
        new.track
            .iter()
            .find(|other| other.at.secs_since(point.at).abs() <= SAME_S)
    };
    let (mut common, mut apart_px, mut size_px) = (0_u32, 0.0_f64, 0.0_f64);
    for point in &old.track {
        let Some(other) = near(point) else { continue };
        let (dx, dy) = (
            point.area.x_px - other.area.x_px,
            point.area.y_px - other.area.y_px,
        );
        common += 1;
        apart_px = apart_px.max(dx.hypot(dy));
        size_px = size_px.max(point.area.width_px.max(point.area.height_px));
    }
    let count = |alarm: &Alarm| u32::try_from(alarm.track.len()).unwrap_or(u32::MAX);
    let (of_old, of_new) = (count(old), count(new));
    let half = f64::from(of_old.min(of_new)) / 2.0;
    let points = ReplayRow {
        part: ReplayPart::TrackPoints,
        recorded: Some(f64::from(of_old)),
        replayed: Some(f64::from(common)),
        tolerance: (f64::from(of_old) - half).max(0.0),
        agreement: if common == of_old && common == of_new {
            Agreement::Same
        } else if f64::from(common) >= half {
            Agreement::WithinTolerance
        } else {
            Agreement::Beyond
        },
    };
    let tolerance = TOLERANCE_SIZES * size_px;
    let apart = row(
        ReplayPart::TrackApartPx,
        Some(0.0),
        Some(apart_px),
        SAME_PX,
        tolerance,
    );
    [points, apart]
}

fn row(
    part: ReplayPart,
    recorded: Option<f64>,
    replayed: Option<f64>,
    same: f64,
    tolerance: f64,
) -> ReplayRow {
    let agreement = match (recorded, replayed) {
        (None, None) => Agreement::Same,
        (Some(old), Some(new)) if (old - new).abs() <= same => Agreement::Same,
        (Some(old), Some(new)) if (old - new).abs() <= tolerance => Agreement::WithinTolerance,
        _ => Agreement::Beyond,
    };
    ReplayRow {
        part,
        recorded,
        replayed,
        tolerance,
        agreement,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alarm::AlarmKind;
    use crate::clock::StreamTime;
    use crate::geometry::BoxPx;

    fn fall() -> Alarm {
        let at = StreamTime::from_secs_f64;
        let area = |y_px| BoxPx {
            x_px: 400.0,
            y_px,
            width_px: 8.0,
            height_px: 10.0,
        };
        Alarm {
            kind: AlarmKind::FallingObject,
            started_at: at(100.0),
            raised_at: at(100.8),
            ended_at: Some(at(102.0)),
            score: 0.9,
            track: (0..6)
                .map(|n| TrackPoint {
                    at: at(100.0 + 0.04 * f64::from(n)),
                    area: area(20.0 * f64::from(n)),
                })
                .collect(),
            origin: Some(Origin {
                x_px: 400.0,
                y_px: 0.0,
                floor: Some(9),
                floor_min: Some(8),
                floor_max: Some(10),
            }),
        }
    }

    fn of(recorded: &Alarm, replayed: &Alarm, cut: bool) -> Comparison {
        let found = Replayed {
            raised: replayed,
            alarm: replayed,
            cut,
        };
        compare(recorded, &[found]).0
    }

    fn agreement(comparison: &Comparison, part: ReplayPart) -> Agreement {
        let row = comparison.rows.iter().find(|row| row.part == part);
        row.expect("it is compared").agreement
    }

    #[test]
    fn an_alarm_is_the_same_as_itself_but_for_rounding() {
        assert_eq!(of(&fall(), &fall(), false).verdict, ReplayVerdict::Same);
        let mut rounded = fall();
        rounded.raised_at = rounded.raised_at + std::time::Duration::from_micros(11);
        rounded.track[2].area.x_px += 0.1;
        assert_eq!(of(&fall(), &rounded, false).verdict, ReplayVerdict::Same);
    }

    #[test]
    fn each_part_can_differ_and_is_named() {
        let later = |at: StreamTime, ms| at + std::time::Duration::from_millis(ms);
        type Change = fn(&mut Alarm);
        let cases: [(ReplayPart, Change, Change); 5] = [
            (
                ReplayPart::RaisedAtS,
                |a| a.raised_at = StreamTime::from_secs_f64(100.9),
                |a| a.raised_at = StreamTime::from_secs_f64(101.9),
            ),
            (ReplayPart::Score, |a| a.score = 0.85, |a| a.score = 0.5),
            (
                ReplayPart::Floor,
                |a| a.origin.as_mut().expect("one").floor = Some(10),
                |a| a.origin.as_mut().expect("one").floor = Some(12),
            ),
            (
                ReplayPart::TrackApartPx,
                |a| a.track[3].area.x_px += 4.0,
                |a| a.track[3].area.x_px += 40.0,
            ),
            (
                ReplayPart::TrackPoints,
                |a| {
                    a.track.pop();
                },
                |a| {
                    a.track
                        .iter_mut()
                        .for_each(|point| point.at = StreamTime::from_secs_f64(50.0))
                },
            ),
        ];
        for (part, little, much) in cases {
            let mut near = fall();
            little(&mut near);
            let comparison = of(&fall(), &near, false);
            assert_eq!(
                comparison.verdict,
                ReplayVerdict::WithinTolerance,
                "{part:?}"
            );
            assert_eq!(agreement(&comparison, part), Agreement::WithinTolerance);
            let mut far = fall();
            much(&mut far);
            let comparison = of(&fall(), &far, false);
            assert_eq!(comparison.verdict, ReplayVerdict::Differs, "{part:?}");
            assert_eq!(agreement(&comparison, part), Agreement::Beyond);
        }
        let mut gone = fall();
        gone.raised_at = later(gone.raised_at, 5_000);
        assert_eq!(of(&fall(), &gone, false).verdict, ReplayVerdict::NotFound);
        gone = fall();
        gone.kind = AlarmKind::EbikeInElevator;
        assert_eq!(of(&fall(), &gone, false).verdict, ReplayVerdict::NotFound);
    }

    #[test]
    fn an_end_after_the_clip_is_not_compared_and_one_within_it_is() {
        let mut cut = fall();
        cut.ended_at = Some(StreamTime::from_secs_f64(101.0));
        let comparison = of(&fall(), &cut, true);
        assert_eq!(
            agreement(&comparison, ReplayPart::EndedAtS),
            Agreement::NotInClip
        );
        assert_eq!(comparison.verdict, ReplayVerdict::Same);
        // It was over before the clip was, and in the replay it was not.
        cut.ended_at = Some(StreamTime::from_secs_f64(110.0));
        assert_eq!(of(&fall(), &cut, true).verdict, ReplayVerdict::Differs);
    }

    #[test]
    fn an_alarm_that_lasted_is_compared_with_what_was_known_at_its_raising() {
        let (mut recorded, raised, mut whole) = (fall(), fall(), fall());
        recorded.ended_at = None;
        whole.score = 0.1;
        whole.track.clear();
        let found = Replayed {
            raised: &raised,
            alarm: &whole,
            cut: true,
        };
        let (comparison, _) = compare(&recorded, &[found]);
        assert_eq!(comparison.verdict, ReplayVerdict::Same, "{comparison:?}");
    }

    #[test]
    fn the_nearest_of_several_is_taken() {
        let mut other = fall();
        other.raised_at = StreamTime::from_secs_f64(102.5);
        let own = fall();
        let both = [
            Replayed {
                raised: &other,
                alarm: &other,
                cut: false,
            },
            Replayed {
                raised: &own,
                alarm: &own,
                cut: false,
            },
        ];
        assert_eq!(compare(&fall(), &both).1, Some(1));
    }
}
