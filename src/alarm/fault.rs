//! Camera health as an alarm: which figures make a fault, for how long, and when it is over.
//!
//! Pure: figures in, turns out. Each fault has two thresholds and two hold times, so that a figure
//! at its limit neither raises and ends in turns nor holds for ever. Between the thresholds, and
//! while a figure cannot be had, a fault stays as it is.

use std::time::Duration;

use super::AlarmKind;
use crate::clock::StreamTime;
use crate::detect::view::PictureFigures;
use crate::scene::Kind;

/// What is known of a camera at one moment. None where it cannot be known now.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Figures {
    /// Seconds since the newest frame.
    pub silent_s: f64,
    /// Frames a second by presentation time, over the last 10 s.
    pub fps: Option<f64>,
    /// The watch cannot tell a fall from the rest of the motion.
    pub flooded: bool,
    /// How far the whole picture moves from frame to frame by the watch's own account, pixels.
    pub jitter_px: f64,
    /// How far the camera's clock is from ours, or has crept away from it, seconds.
    pub clock_off_s: Option<f64>,
    pub picture: Option<PictureFigures>,
}

/// A fault that began or ended.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Turn {
    /// `since` is when its figure first went bad.
    Raised {
        kind: AlarmKind,
        since: StreamTime,
    },
    Ended {
        kind: AlarmKind,
    },
}

/// What one figure says of one fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sign {
    Bad,
    Good,
    /// Between the thresholds, or unknown.
    Neither,
}

/// The fault watch's memory: one latch a fault, nothing that grows.
#[derive(Debug)]
pub struct FaultRules {
    kind: Kind,
    latches: [Latch; 8],
    /// When a raised view's new picture became stable, to make it the reference in the end.
    moved_since: Option<StreamTime>,
}

/// No frame for this long is no picture. A reconnect takes about 3 s.
const SILENT_S: f64 = 10.0;
/// Below this a fall of two storeys (0.5 s late in a long fall) shows on too few frames.
const FPS_MIN: f64 = 20.0;
/// A camera of exactly 20 a second counts 19.9 over a window now and then.
const FPS_SLACK: f64 = 0.5;
/// Shake of less than this moves no candidate by more than the motion stage takes out.
const SHAKE_RAISE_PX: f64 = 1.5;
const SHAKE_CLEAR_PX: f64 = 0.8;
/// Evidence with a clock farther off cannot be matched with other cameras'.
const CLOCK_RAISE_S: f64 = 10.0;
const CLOCK_CLEAR_S: f64 = 5.0;
/// Spread of area means of a covered lens; walls in fog keep more than twice that.
const UNIFORM: f64 = 4.0;
/// An elevator's light is off: it tells nothing, it is off whenever the car is idle.
const DARK_CAR: f64 = 40.0;
/// A black picture; limited-range black is 16, noise adds a little.
const BLACK: f64 = 24.0;
const LOST_RAISE: f64 = 0.75;
const LOST_CLEAR: f64 = 0.45;
/// A view that fits better elsewhere, by this much and at least this far, has been moved.
const MOVED_GAIN: f64 = 0.25;
const MOVED_FIT: f64 = 0.55;
const MOVED_SHIFT_REL: f64 = 0.02;
/// A view that fits nowhere is another view.
const STRANGE: f64 = 0.25;
/// A view that fits its place.
const FAMILIAR: f64 = 0.5;

/// After this long a moved view is the view: the fault ends and the reference is learnt anew.
pub const ADOPT_AFTER: Duration = Duration::from_secs(600);

impl FaultRules {
    /// Returns rules for a camera that looks at `kind`, with nothing raised.
    pub fn new(kind: Kind) -> Self {
        use AlarmKind as K;
        // What a person in the car covers for a ride must not be a fault.
        let car = |facade_s: f64, car_s: f64| match kind {
            Kind::Facade => facade_s,
            Kind::Elevator => car_s,
        };
        let latches = [
            Latch::new(K::NoPicture, 0.0, 2.0),
            // Held for longer than the picture's stillness takes to be looked at again: a lens that
            // was covered and is freed shows contrast first and motion a second later.
            Latch::new(K::FrozenPicture, 1.5, 1.0),
            Latch::new(K::Occluded, car(12.0, 30.0), 3.0),
            Latch::new(K::ViewMoved, car(20.0, 120.0), 10.0),
            // Longer than the window it is taken over: one nudge is no shake.
            Latch::new(K::Shake, 3.0, 5.0),
            Latch::new(K::SlowFrames, 0.0, 5.0),
            Latch::new(K::ClockDrift, 60.0, 60.0),
            Latch::new(K::Flooded, 5.0, 10.0),
        ];
        Self {
            kind,
            latches,
            moved_since: None,
        }
    }

    /// Judges the figures of the moment `now`, which never goes back.
    pub fn judge(&mut self, now: StreamTime, figures: &Figures, turns: &mut Vec<Turn>) {
        for index in 0..self.latches.len() {
            let kind = self.latches[index].kind;
            let sign = self.sign(kind, figures);
            turns.extend(self.latches[index].update(now, sign));
        }
        let moved = self.is_raised(AlarmKind::ViewMoved);
        self.moved_since = moved.then(|| self.moved_since.unwrap_or(now));
    }

    /// Ends the moved view if it has stayed for [`ADOPT_AFTER`]; true says that the reference is
    /// to be learnt anew.
    pub fn adopt_view(&mut self, now: StreamTime, turns: &mut Vec<Turn>) -> bool {
        let stays = self
            .moved_since
            .is_some_and(|since| now.secs_since(since) >= ADOPT_AFTER.as_secs_f64());
        if stays {
            self.moved_since = None;
            turns.extend(self.end(AlarmKind::ViewMoved));
        }
        stays
    }

    /// Ends everything that is raised.
    pub fn finish(&mut self, turns: &mut Vec<Turn>) {
        let kinds: Vec<AlarmKind> = self.raised().collect();
        for kind in kinds {
            turns.extend(self.end(kind));
        }
        self.moved_since = None;
    }

    /// Returns what is raised now.
    pub fn raised(&self) -> impl Iterator<Item = AlarmKind> + '_ {
        let raised = self.latches.iter().filter(|latch| latch.raised);
        raised.map(|latch| latch.kind)
    }

    /// Returns whether the reference may learn: not from a picture that is being doubted.
    pub fn may_learn(&self) -> bool {
        use AlarmKind::{FrozenPicture, Occluded, ViewMoved};
        let doubted = |latch: &Latch| latch.raised || latch.bad_since.is_some();
        !self
            .latches
            .iter()
            .filter(|latch| matches!(latch.kind, FrozenPicture | Occluded | ViewMoved))
            .any(doubted)
    }

    fn is_raised(&self, kind: AlarmKind) -> bool {
        self.raised().any(|raised| raised == kind)
    }

    fn end(&mut self, kind: AlarmKind) -> Option<Turn> {
        let latch = self.latches.iter_mut().find(|latch| latch.kind == kind)?;
        let was_raised = latch.raised;
        *latch = Latch::new(kind, latch.raise_after_s, latch.clear_after_s);
        was_raised.then_some(Turn::Ended { kind })
    }

    fn sign(&self, kind: AlarmKind, figures: &Figures) -> Sign {
        let silent = figures.silent_s > 1.0;
        match kind {
            AlarmKind::NoPicture => above(Some(figures.silent_s), SILENT_S, 1.0),
            // All others need frames to be judged.
            _ if silent => Sign::Neither,
            AlarmKind::FrozenPicture => self.frozen(figures),
            AlarmKind::Occluded => self.occluded(figures),
            AlarmKind::ViewMoved => self.moved(figures),
            AlarmKind::Flooded if figures.flooded => Sign::Bad,
            AlarmKind::Flooded => Sign::Good,
            AlarmKind::ClockDrift => above(figures.clock_off_s, CLOCK_RAISE_S, CLOCK_CLEAR_S),
            // An elevator shakes as it travels, and needs no more than a few frames a second.
            _ if self.kind == Kind::Elevator => Sign::Good,
            AlarmKind::Shake => above(shake_px(figures), SHAKE_RAISE_PX, SHAKE_CLEAR_PX),
            AlarmKind::SlowFrames => {
                let short = figures.fps.map(|fps| FPS_MIN - fps);
                above(short, FPS_SLACK, FPS_SLACK / 2.0)
            }
            AlarmKind::FallingObject
            | AlarmKind::EbikeInElevator
            | AlarmKind::DiskFilling
            | AlarmKind::DiskFull
            | AlarmKind::ClockLeapt => Sign::Neither,
        }
    }

    fn frozen(&self, figures: &Figures) -> Sign {
        let Some(picture) = figures.picture else {
            return Sign::Neither;
        };
        let blank = picture.contrast < UNIFORM || self.dark_car(&picture);
        match self.kind {
            // Nothing to see moves nothing: a covered lens has its own fault.
            _ if blank && picture.still_s > 0.0 => Sign::Neither,
            Kind::Facade => above(Some(picture.still_s), 9.0, 1.0),
            // An idle lit car can rest for seconds without a change that the encoder finds worth sending.
            Kind::Elevator => above(Some(picture.still_s), 29.0, 1.0),
        }
    }

    fn occluded(&self, figures: &Figures) -> Sign {
        let Some(picture) = figures.picture else {
            return Sign::Neither;
        };
        if self.dark_car(&picture) {
            return Sign::Neither;
        }
        let lost = above(picture.lost_share, LOST_RAISE, LOST_CLEAR);
        if picture.contrast < UNIFORM {
            // Black at a facade may be night: only where there was something to see is it a cover.
            let night = picture.brightness < BLACK && picture.lost_share.is_none();
            return if night { Sign::Neither } else { Sign::Bad };
        }
        // Without a reference, a picture with contrast is a picture.
        match picture.lost_share {
            None => Sign::Good,
            Some(_) => lost,
        }
    }

    fn moved(&self, figures: &Figures) -> Sign {
        let Some(picture) = figures.picture else {
            return Sign::Neither;
        };
        let (Some(view), Some(lost)) = (picture.view, picture.lost_share) else {
            return Sign::Neither;
        };
        // A picture without structure has no place; a dark car has none either.
        if lost > LOST_CLEAR && view.best_likeness < MOVED_FIT || self.dark_car(&picture) {
            return Sign::Neither;
        }
        let elsewhere = view.best_likeness >= MOVED_FIT
            && view.best_likeness - view.likeness >= MOVED_GAIN
            && view.shift_rel >= MOVED_SHIFT_REL;
        if elsewhere || view.best_likeness < STRANGE {
            Sign::Bad
        } else if view.likeness >= FAMILIAR {
            Sign::Good
        } else {
            Sign::Neither
        }
    }

    fn dark_car(&self, picture: &PictureFigures) -> bool {
        self.kind == Kind::Elevator && picture.brightness < DARK_CAR
    }
}

/// Returns the larger of slow swing and fast jitter; either spoils what is known of each pixel.
fn shake_px(figures: &Figures) -> Option<f64> {
    let swing_px = figures.picture.and_then(|picture| picture.shake_px)?;
    Some(swing_px.max(figures.jitter_px))
}

/// Returns bad above `raise`, good at or below `clear`.
fn above(figure: Option<f64>, raise: f64, clear: f64) -> Sign {
    match figure {
        Some(figure) if figure > raise => Sign::Bad,
        Some(figure) if figure <= clear => Sign::Good,
        _ => Sign::Neither,
    }
}

/// One fault's state: bad for `raise_after_s` raises it, good for `clear_after_s` ends it.
#[derive(Debug)]
struct Latch {
    kind: AlarmKind,
    raise_after_s: f64,
    clear_after_s: f64,
    raised: bool,
    bad_since: Option<StreamTime>,
    good_since: Option<StreamTime>,
}

impl Latch {
    fn new(kind: AlarmKind, raise_after_s: f64, clear_after_s: f64) -> Self {
        Self {
            kind,
            raise_after_s,
            clear_after_s,
            raised: false,
            bad_since: None,
            good_since: None,
        }
    }

    fn update(&mut self, now: StreamTime, sign: Sign) -> Option<Turn> {
        let kind = self.kind;
        match sign {
            Sign::Bad => {
                self.good_since = None;
                let since = *self.bad_since.get_or_insert(now);
                let due = !self.raised && now.secs_since(since) >= self.raise_after_s;
                self.raised |= due;
                due.then_some(Turn::Raised { kind, since })
            }
            Sign::Good => {
                self.bad_since = None;
                let since = *self.good_since.get_or_insert(now);
                let due = self.raised && now.secs_since(since) >= self.clear_after_s;
                self.raised &= !due;
                due.then_some(Turn::Ended { kind })
            }
            Sign::Neither => {
                self.good_since = None;
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::view::ViewFigures;
    use proptest::prelude::*;

    fn at(second: f64) -> StreamTime {
        StreamTime::from_secs_f64(second)
    }

    fn healthy() -> Figures {
        Figures {
            silent_s: 0.04,
            fps: Some(25.0),
            flooded: false,
            jitter_px: 0.1,
            clock_off_s: Some(0.2),
            picture: Some(PictureFigures {
                brightness: 110.0,
                contrast: 40.0,
                still_s: 0.0,
                lost_share: Some(0.05),
                shake_px: Some(0.1),
                view: Some(ViewFigures {
                    likeness: 0.95,
                    best_likeness: 0.95,
                    shift_rel: 0.0,
                }),
            }),
        }
    }

    fn picture(change: impl Fn(&mut PictureFigures)) -> Figures {
        let mut figures = healthy();
        change(figures.picture.as_mut().expect("it is there"));
        figures
    }

    /// Feeds the same figures from `from` to `to`, ten times a second.
    fn feed(rules: &mut FaultRules, from: f64, to: f64, figures: &Figures) -> Vec<(f64, Turn)> {
        let mut found = Vec::new();
        let mut turns = Vec::new();
        let times = (0_u32..).map(|step| from + f64::from(step) / 10.0);
        for now in times.take_while(|now| *now < to - 0.05) {
            rules.judge(at(now), figures, &mut turns);
            found.extend(turns.drain(..).map(|turn| (now, turn)));
        }
        found
    }

    #[test]
    fn a_healthy_camera_raises_nothing() {
        for kind in [Kind::Facade, Kind::Elevator] {
            assert!(feed(&mut FaultRules::new(kind), 0.0, 300.0, &healthy()).is_empty());
        }
    }

    #[test]
    fn each_bad_figure_raises_its_fault_and_a_good_one_ends_it() {
        use AlarmKind as K;
        let shifted = ViewFigures {
            likeness: 0.2,
            best_likeness: 0.8,
            shift_rel: 0.06,
        };
        let cases: [(K, Figures); 8] = [
            (
                K::NoPicture,
                Figures {
                    silent_s: 11.0,
                    ..healthy()
                },
            ),
            (
                K::SlowFrames,
                Figures {
                    fps: Some(12.5),
                    ..healthy()
                },
            ),
            (K::Shake, picture(|p| p.shake_px = Some(2.4))),
            (
                K::ClockDrift,
                Figures {
                    clock_off_s: Some(40.0),
                    ..healthy()
                },
            ),
            (
                K::Flooded,
                Figures {
                    flooded: true,
                    ..healthy()
                },
            ),
            (K::FrozenPicture, picture(|p| p.still_s = 10.5)),
            (K::Occluded, picture(|p| p.lost_share = Some(0.9))),
            (K::ViewMoved, picture(|p| p.view = Some(shifted))),
        ];
        for (kind, bad) in cases {
            let mut rules = FaultRules::new(Kind::Facade);
            let raised = feed(&mut rules, 0.0, 100.0, &bad);
            assert!(
                matches!(raised[..], [(_, Turn::Raised { kind: found, .. })] if found == kind),
                "{kind:?}: {raised:?}"
            );
            let ended = feed(&mut rules, 100.0, 200.0, &healthy());
            assert!(
                matches!(ended[..], [(_, Turn::Ended { kind: found })] if found == kind),
                "{kind:?}: {ended:?}"
            );
        }
    }

    #[test]
    fn a_light_switched_off_in_a_car_is_no_fault() {
        let dark = picture(|p| {
            (p.brightness, p.contrast, p.still_s) = (17.0, 0.5, 500.0);
            p.lost_share = Some(1.0);
            p.view = Some(ViewFigures::default());
        });
        let mut rules = FaultRules::new(Kind::Elevator);
        assert!(feed(&mut rules, 0.0, 600.0, &dark).is_empty());
        // At a facade that was seen before, the same picture is a cover over the lens.
        let mut rules = FaultRules::new(Kind::Facade);
        let turns = feed(&mut rules, 0.0, 60.0, &dark);
        assert!(matches!(
            turns[..],
            [(
                _,
                Turn::Raised {
                    kind: AlarmKind::Occluded,
                    ..
                }
            )]
        ));
    }

    #[test]
    fn a_lorry_before_the_lens_for_ten_seconds_is_no_cover() {
        let mut rules = FaultRules::new(Kind::Facade);
        let covered = picture(|p| p.lost_share = Some(0.9));
        assert!(feed(&mut rules, 0.0, 10.0, &covered).is_empty());
        assert!(feed(&mut rules, 10.0, 60.0, &healthy()).is_empty());
    }

    #[test]
    fn a_moved_view_becomes_the_view_in_the_end() {
        let moved = picture(|p| {
            p.view = Some(ViewFigures {
                likeness: 0.1,
                best_likeness: 0.15,
                shift_rel: 0.3,
            });
        });
        let mut rules = FaultRules::new(Kind::Facade);
        assert_eq!(feed(&mut rules, 0.0, 60.0, &moved).len(), 1);
        assert!(!rules.may_learn());
        let mut turns = Vec::new();
        assert!(!rules.adopt_view(at(600.0), &mut turns));
        assert!(rules.adopt_view(at(621.0), &mut turns));
        assert_eq!(
            turns,
            [Turn::Ended {
                kind: AlarmKind::ViewMoved
            }]
        );
        assert!(rules.may_learn());
    }

    #[test]
    fn silence_leaves_the_picture_s_faults_as_they_are() {
        let mut rules = FaultRules::new(Kind::Facade);
        let covered = picture(|p| p.lost_share = Some(0.9));
        assert_eq!(feed(&mut rules, 0.0, 20.0, &covered).len(), 1);
        let silent = Figures {
            silent_s: 5.0,
            ..healthy()
        };
        assert!(feed(&mut rules, 20.0, 60.0, &silent).is_empty());
    }

    proptest! {
        #[test]
        fn raised_and_ended_take_turns(signs in prop::collection::vec((0.0..20.0, 0.0..4.0), 1..300)) {
            let mut rules = FaultRules::new(Kind::Facade);
            let mut raised = std::collections::BTreeSet::new();
            let mut turns = Vec::new();
            let mut now = 0.0;
            for (silent_s, shake_px) in signs {
                now += 0.5;
                let figures = Figures { silent_s, jitter_px: shake_px, ..healthy() };
                rules.judge(at(now), &figures, &mut turns);
            }
            rules.finish(&mut turns);
            for turn in turns {
                match turn {
                    Turn::Raised { kind, .. } => prop_assert!(raised.insert(kind)),
                    Turn::Ended { kind } => prop_assert!(raised.remove(&kind)),
                }
            }
            prop_assert!(raised.is_empty());
        }
    }
}
