//! From a camera's RTP timestamps to the stream's time and the wall time of capture. Pure: what
//! arrives when is told, nothing is read from a clock.

use std::time::Duration;

use jiff::Timestamp;

use crate::clock::StreamTime;

/// When a picture was stamped by the camera and when it arrived here.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stamp {
    /// RTP time in clock units, without wrapping (retina unwraps its 32 bits).
    pub(super) rtp: i64,
    /// Whether the picture needs no other: nothing after it is presented before it.
    pub(super) key: bool,
    /// Monotonic time of arrival.
    pub(super) arrived: Duration,
    /// Wall time of arrival.
    pub(super) arrived_at: Timestamp,
}

/// Whether a picture goes on with the timeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Continues,
    /// The camera's timestamps do not fit the time that has passed: a new timeline begins.
    Jumped,
    /// Pictures come in another order than they are shown in, which the timeline did not allow
    /// for yet: a new one begins at the next key picture. Once a camera at most, or nearly.
    Reordered,
}

/// Timestamps may run ahead of arrival by this much, or back: beyond it they jumped. Network
/// delay makes pictures late, never early; B pictures go back by a few frames.
const JUMP_S: f64 = 1.0;
/// Arrival may fall behind timestamps by this much more than lately: TCP can hold back seconds, but
/// not more than the stall deadline by far.
const LATE_S: f64 = 10.0;
/// The time over which "lately" is forgotten, so that a camera's clock may run a bit slow for ever.
const LATENESS_WINDOW: Duration = Duration::from_secs(60);
/// Decoding goes ahead of presentation by this much where pictures are reordered: 12 frames at
/// 25 a second, where encoders of cameras hold back one to four.
const REORDER_FIRST_US: i64 = 480_000;

/// Maps one connection's RTP time to stream time.
#[derive(Debug)]
pub(super) struct Timeline {
    clock_rate: f64,
    /// RTP time of the timeline's first picture; none before it began.
    base: Option<i64>,
    last: Option<Stamp>,
    /// Highest RTP time so far, in this timeline.
    newest: i64,
    lateness: Lateness,
    reorder_us: i64,
    last_decode_us: i64,
}

impl Timeline {
    /// Returns a timeline that has not begun. `clock_rate_hz` is the RTP clock's; `reorder_us` what
    /// an earlier connection to the same camera learnt, 0 for none.
    pub(super) fn new(clock_rate_hz: u32, reorder_us: i64) -> Self {
        Self {
            clock_rate: f64::from(clock_rate_hz.max(1)),
            base: None,
            last: None,
            newest: i64::MIN,
            lateness: Lateness::default(),
            reorder_us,
            last_decode_us: i64::MIN,
        }
    }

    /// Returns by how much decoding goes ahead of presentation.
    pub(super) fn reorder_us(&self) -> i64 {
        self.reorder_us
    }

    /// Forgets the timeline: the next picture that is placed begins another.
    pub(super) fn restart(&mut self) {
        self.base = None;
        self.last = None;
        self.newest = i64::MIN;
        self.lateness = Lateness::default();
        self.last_decode_us = i64::MIN;
    }

    /// Looks at the next picture, whether or not it will be passed on, and says whether it goes on
    /// with the timeline. After anything but `Continues` the timeline is forgotten.
    pub(super) fn look(&mut self, stamp: Stamp) -> Step {
        let Some(last) = self.last else {
            self.last = Some(stamp);
            self.newest = stamp.rtp;
            return Step::Continues;
        };
        let since_newest_s = self.seconds(stamp.rtp.saturating_sub(self.newest));
        let since_arrival_s = (stamp.arrived.saturating_sub(last.arrived)).as_secs_f64();
        let ahead = since_newest_s - since_arrival_s > JUMP_S;
        let back = since_newest_s < -JUMP_S || (stamp.key && since_newest_s <= 0.0);
        let lateness_s = stamp.arrived.as_secs_f64() - self.seconds(stamp.rtp);
        let late = self.lateness.growth_s(stamp.arrived, lateness_s) > LATE_S;
        if ahead || back || late {
            self.restart();
            return Step::Jumped;
        }
        let behind_us = self.micros(self.newest.saturating_sub(stamp.rtp));
        if behind_us > 0 && behind_us >= self.reorder_us {
            let wanted = behind_us.saturating_mul(2).max(REORDER_FIRST_US);
            self.restart();
            self.reorder_us = wanted;
            return Step::Reordered;
        }
        self.newest = self.newest.max(stamp.rtp);
        self.last = Some(stamp);
        Step::Continues
    }

    /// Places a picture that is passed on; the first one begins the timeline. Returns its time of
    /// presentation and of decoding; the latter never goes back and never passes the former.
    pub(super) fn place(&mut self, rtp: i64) -> (StreamTime, StreamTime) {
        let base = *self.base.get_or_insert(rtp);
        let at_us = self.micros(rtp.saturating_sub(base));
        // Exact where nothing is reordered; else the newest so far less the head start, which is
        // below every picture to come.
        let newest_us = self.micros(self.newest.max(rtp).saturating_sub(base));
        let decode_us = newest_us
            .saturating_sub(self.reorder_us)
            .max(self.last_decode_us.saturating_add(1))
            .min(at_us);
        self.last_decode_us = decode_us;
        (
            StreamTime::from_micros(at_us),
            StreamTime::from_micros(decode_us),
        )
    }

    fn seconds(&self, units: i64) -> f64 {
        units as f64 / self.clock_rate
    }

    #[expect(clippy::cast_possible_truncation, reason = "a float cast saturates")]
    fn micros(&self, units: i64) -> i64 {
        (self.seconds(units) * 1e6).round() as i64
    }
}

/// The least lateness of the last one to two windows: what the way here takes when it is free.
#[derive(Debug, Default)]
struct Lateness {
    window_start: Duration,
    least_before_s: Option<f64>,
    least_now_s: Option<f64>,
}

impl Lateness {
    /// Takes one picture's lateness and returns by how much it is above the least of late.
    fn growth_s(&mut self, arrived: Duration, lateness_s: f64) -> f64 {
        if arrived.saturating_sub(self.window_start) > LATENESS_WINDOW {
            self.window_start = arrived;
            self.least_before_s = self.least_now_s.take();
        }
        let now_s = self
            .least_now_s
            .map_or(lateness_s, |least| least.min(lateness_s));
        self.least_now_s = Some(now_s);
        lateness_s - self.least_before_s.map_or(now_s, |least| least.min(now_s))
    }
}

/// Beyond this a camera's clock is not set by anything, and arrival tells capture better.
const TRUSTED_OFFSET_MS: i64 = 10_000;
/// A rate needs at least this long a base: reports jitter by milliseconds.
const DRIFT_BASE: Duration = Duration::from_secs(60);
/// After this long the base moves on.
const DRIFT_BASE_MOST: Duration = Duration::from_secs(600);

/// What a camera's RTCP sender reports say about its clock.
#[derive(Debug, Default)]
pub(super) struct CameraClock {
    /// The newest report: RTP time and the camera's wall time at that RTP time.
    newest: Option<(i64, Timestamp)>,
    offset_ms: Option<i64>,
    /// Where the rate is measured from, and where it will be next.
    from: Option<(Duration, i64)>,
    next_from: Option<(Duration, i64)>,
    drift_ppm: Option<f64>,
}

impl CameraClock {
    /// Takes a report: RTP time, the camera's wall time in NTP's format, and when it arrived.
    /// A report without a time (0, or one before 1970) is ignored.
    pub(super) fn report(&mut self, rtp: i64, ntp: u64, arrived: Duration, arrived_at: Timestamp) {
        let Some(wall) = ntp_wall(ntp) else { return };
        let offset_ms = wall.as_millisecond() - arrived_at.as_millisecond();
        self.newest = Some((rtp, wall));
        self.offset_ms = Some(offset_ms);
        let from = *self.from.get_or_insert((arrived, offset_ms));
        let base = arrived.saturating_sub(from.0);
        if base >= DRIFT_BASE {
            self.drift_ppm = Some((offset_ms - from.1) as f64 * 1e3 / base.as_secs_f64());
        }
        if base >= DRIFT_BASE_MOST / 2 && self.next_from.is_none() {
            self.next_from = Some((arrived, offset_ms));
        }
        if base >= DRIFT_BASE_MOST {
            self.from = self.next_from.take();
        }
    }

    /// Returns the camera's wall time less ours, in milliseconds, as of the newest report.
    pub(super) fn offset_ms(&self) -> Option<i64> {
        self.offset_ms
    }

    /// Returns how fast that offset grows, in millionths; none in the first minute.
    pub(super) fn drift_ppm(&self) -> Option<f64> {
        self.drift_ppm
    }

    /// Returns when a picture was captured: by the camera's clock where reports allow and it is
    /// less than 10 s off ours, else when it arrived.
    pub(super) fn captured_at(&self, stamp: Stamp, clock_rate_hz: u32) -> Timestamp {
        let trusted = self
            .offset_ms
            .is_some_and(|ms| ms.abs() <= TRUSTED_OFFSET_MS);
        let Some((rtp, wall)) = self.newest.filter(|_| trusted) else {
            return stamp.arrived_at;
        };
        let since = i128::from(stamp.rtp) - i128::from(rtp);
        let since_us = since * 1_000_000 / i128::from(clock_rate_hz.max(1));
        let micros = i128::from(wall.as_microsecond()) + since_us;
        i64::try_from(micros)
            .ok()
            .and_then(|micros| Timestamp::from_microsecond(micros).ok())
            // A report of another timeline than the picture's would put it anywhere.
            .filter(|at| {
                (at.as_millisecond() - stamp.arrived_at.as_millisecond()).abs()
                    <= 2 * TRUSTED_OFFSET_MS
            })
            .unwrap_or(stamp.arrived_at)
    }
}

/// Seconds from NTP's beginning, 1900, to 1970 (RFC 5905, section 6).
const NTP_TO_UNIX_S: i64 = 2_208_988_800;

/// Returns the wall time of an NTP timestamp; none for 0 and what lies before 1970. NTP's second
/// era begins in 2036.
fn ntp_wall(ntp: u64) -> Option<Timestamp> {
    let seconds = i64::try_from(ntp >> 32).ok()?;
    let nanos = i32::try_from(((ntp & 0xffff_ffff) * 1_000_000_000) >> 32).ok()?;
    let unix_s = match seconds {
        0 => return None,
        _ if seconds >= NTP_TO_UNIX_S => seconds - NTP_TO_UNIX_S,
        // Low numbers: either a clock that was never set, or the second era.
        _ if seconds < 1 << 31 => seconds - NTP_TO_UNIX_S + (1 << 32),
        _ => return None,
    };
    Timestamp::new(unix_s, nanos).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: i64 = 90_000;

    #[expect(clippy::cast_possible_truncation, reason = "small numbers")]
    fn stamp(rtp_s: f64, arrived_s: f64, key: bool) -> Stamp {
        Stamp {
            rtp: (rtp_s * RATE as f64) as i64,
            key,
            arrived: Duration::from_secs_f64(arrived_s),
            arrived_at: Timestamp::from_microsecond((arrived_s * 1e6) as i64).unwrap(),
        }
    }

    fn looks(steps: &[(f64, f64, bool)]) -> Vec<Step> {
        let mut timeline = Timeline::new(90_000, 0);
        steps
            .iter()
            .map(|&(rtp, arrived, key)| timeline.look(stamp(rtp, arrived, key)))
            .collect()
    }

    #[test]
    fn late_pictures_and_their_burst_are_no_jump() {
        let mut steps = vec![(100.0, 0.0, true)];
        steps.extend((1..75).map(|n| (100.0 + 0.04 * f64::from(n), 3.0, n % 25 == 0)));
        assert!(looks(&steps).iter().all(|step| *step == Step::Continues));
    }

    #[test]
    fn a_jump_forwards_or_backwards_is_noticed() {
        for to in [105.0, 98.0] {
            let steps = looks(&[(100.0, 0.0, true), (100.04, 0.04, false), (to, 0.08, false)]);
            assert_eq!(steps[2], Step::Jumped, "to {to}");
        }
        // A small step back is told from reordering by the key picture.
        let steps = looks(&[
            (100.0, 0.0, true),
            (100.04, 0.04, false),
            (99.9, 0.08, true),
        ]);
        assert_eq!(steps[2], Step::Jumped);
    }

    #[test]
    fn a_clock_that_stands_still_is_noticed() {
        let steps: Vec<_> = (0..400)
            .map(|n| (100.0, 0.04 * f64::from(n), n == 0))
            .collect();
        assert!(looks(&steps).contains(&Step::Jumped));
    }

    #[test]
    fn a_clock_that_runs_slightly_slow_for_a_day_is_no_jump() {
        let mut timeline = Timeline::new(90_000, 0);
        for second in 0..86_400 {
            let arrived = f64::from(second);
            let step = timeline.look(stamp(arrived * 0.9995, arrived, true));
            assert_eq!(step, Step::Continues, "at {second}");
        }
    }

    #[test]
    fn decoding_time_never_goes_back_and_never_passes_presentation() {
        let mut timeline = Timeline::new(90_000, 0);
        // I P b b b P b b b, as x265 sends it.
        let order = [0, 4, 2, 1, 3, 8, 6, 5, 7, 9, 13, 11, 10, 12];
        let mut reordered = 0;
        let mut began = false;
        let mut last = StreamTime::from_micros(i64::MIN);
        for (n, picture) in order.iter().cycle().take(60).enumerate() {
            let round = n / order.len() * 14;
            let seconds = 0.04 * (round as f64 + f64::from(*picture));
            let stamp = stamp(seconds, 0.04 * n as f64, *picture == 0);
            if timeline.look(stamp) != Step::Continues {
                reordered += 1;
                began = false;
                last = StreamTime::from_micros(i64::MIN);
            } else if began || stamp.key {
                began = true;
                let (at, decode_at) = timeline.place(stamp.rtp);
                assert!(decode_at <= at && decode_at > last, "{n}: {decode_at} {at}");
                last = decode_at;
            }
        }
        assert_eq!(reordered, 1);
        assert_eq!(timeline.reorder_us(), REORDER_FIRST_US);
    }

    #[test]
    fn capture_time_follows_sender_reports_and_ignores_absurd_ones() {
        let wall = Timestamp::from_second(1_750_000_000).unwrap();
        let ntp = |seconds: i64| u64::try_from(seconds + NTP_TO_UNIX_S).unwrap() << 32;
        let picture = Stamp {
            rtp: 2 * RATE,
            key: false,
            arrived: Duration::ZERO,
            arrived_at: wall,
        };

        let mut clock = CameraClock::default();
        clock.report(0, ntp(wall.as_second() - 3), Duration::ZERO, wall);
        assert_eq!(clock.offset_ms(), Some(-3000));
        assert_eq!(
            clock.captured_at(picture, 90_000).as_second(),
            wall.as_second() - 1
        );

        // Eight hours off: local time sent as universal time.
        clock.report(0, ntp(wall.as_second() + 28_800), Duration::ZERO, wall);
        assert_eq!(clock.captured_at(picture, 90_000), wall);
        assert_eq!(clock.offset_ms(), Some(28_800_000));

        let mut unset = CameraClock::default();
        unset.report(0, 0, Duration::ZERO, wall);
        // A clock that was never set: 1970 by its own count, and before.
        unset.report(0, ntp(-1), Duration::ZERO, wall);
        assert_eq!(unset.offset_ms(), None);
        unset.report(0, ntp(5), Duration::ZERO, wall);
        assert_eq!(unset.captured_at(picture, 90_000), wall);
    }

    #[test]
    fn drift_is_the_growth_of_the_offset() {
        let mut clock = CameraClock::default();
        let start = 1_750_000_000_000_i64;
        for second in (0..1500).step_by(5) {
            // 200 millionths fast.
            let camera_us = start * 1000 + second * 1_000_200;
            let seconds = camera_us / 1_000_000 + NTP_TO_UNIX_S;
            let fraction = ((camera_us % 1_000_000) << 32) / 1_000_000;
            let ntp = (u64::try_from(seconds).unwrap() << 32) | u64::try_from(fraction).unwrap();
            let now = Timestamp::from_millisecond(start + second * 1000).unwrap();
            clock.report(
                0,
                ntp,
                Duration::from_secs(u64::try_from(second).unwrap()),
                now,
            );
        }
        let drift = clock.drift_ppm().unwrap();
        assert!((drift - 200.0).abs() < 10.0, "{drift}");
    }

    #[test]
    fn ntp_goes_on_after_2036() {
        assert_eq!(ntp_wall(1 << 32).unwrap().as_second(), 2_085_978_497);
        assert_eq!(ntp_wall(0), None);
    }
}
