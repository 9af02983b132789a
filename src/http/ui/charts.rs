//! Charts on the alarm page, as SVG: the height of a fall over time with the gravity that fits it,
//! the floor with its interval, the ride of an e-bike. Texts go through the page's own words; every
//! number is written here.

use std::fmt::Write;

use super::texts::{Texts, fill};
use crate::alarm::TrackPoint;
use crate::clock::StreamTime;
use crate::geometry::{BoxPx, Point};
use crate::polynomial;
use crate::scene::facade::FacadeScene;
use crate::store::AlarmRecord;

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 280.0;
const LEFT: f64 = 56.0;
const BOTTOM: f64 = 40.0;
const MARGIN: f64 = 16.0;

const LINE: &str = "#2c3641";
const FITTED: &str = "#8fc4ff";
const SEEN: &str = "#ffd34d";
const ALARM: &str = "#ff6b5e";

/// The height of a fall over time.
pub(super) struct FallChart {
    pub(super) svg: String,
    /// The acceleration of the fitted curve; none where heights are pixels only.
    pub(super) g_text: Option<String>,
}

/// Returns the chart of a track; none with too few points to fit a curve through. `facade` gives
/// metres and the picture's size.
pub(super) fn fall(
    t: &Texts,
    track: &[TrackPoint],
    facade: Option<(&FacadeScene, (u32, u32))>,
) -> Option<FallChart> {
    let first = track.first()?;
    let map = facade.and_then(|(scene, (width, height))| scene.map(width, height));
    let height = |point: &TrackPoint| match &map {
        Some(map) => map.height_m(Point::new(point.area.x_px, point.area.y_px)),
        None => -point.area.y_px,
    };
    let seen: Vec<(f64, f64)> = track
        .iter()
        .map(|point| (point.at.secs_since(first.at), height(point)))
        .collect();
    let curve = parabola(&seen)?;
    let lowest_px = if map.is_none() {
        seen.iter().map(|(_, h)| *h).fold(f64::INFINITY, f64::min)
    } else {
        0.0
    };
    // Without a scene: pixels above the lowest point seen.
    let seen: Vec<_> = seen.iter().map(|(at, h)| (*at, h - lowest_px)).collect();
    let value = |at: f64| curve[0] + curve[1] * at + curve[2] * at * at - lowest_px;
    let last = seen.last()?.0.max(1e-3);
    let tops = seen.iter().map(|(_, h)| *h).chain([value(0.0)]);
    let top = tops.fold(1.0, f64::max) * 1.05;
    let unit = if map.is_some() { "m" } else { "px" };
    let axes = Axes { last, top };
    let mut svg = axes.open(t.fall_chart, unit);
    let points: Vec<String> = (0..=40)
        .map(|step| {
            let at = last * f64::from(step) / 40.0;
            axes.place(at, value(at))
        })
        .collect();
    for (at, h) in &seen {
        let (x, y) = (axes.x(*at), axes.y(*h));
        let _ = write!(
            svg,
            "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\" fill=\"{SEEN}\" fill-opacity=\"0.55\"/>"
        );
    }
    // Over the dots, which stand so close that they would hide it.
    let _ = write!(
        svg,
        "<polyline points=\"{}\" fill=\"none\" stroke=\"{FITTED}\" stroke-width=\"2\"/>",
        points.join(" ")
    );
    svg.push_str("</svg>");
    let g_text = map.is_some().then(|| format!("{:.1}", -2.0 * curve[2]));
    Some(FallChart { svg, g_text })
}

struct Axes {
    last: f64,
    top: f64,
}

impl Axes {
    fn x(&self, at: f64) -> f64 {
        LEFT + at / self.last * (WIDTH - LEFT - MARGIN)
    }

    fn y(&self, value: f64) -> f64 {
        HEIGHT - BOTTOM - value / self.top * (HEIGHT - BOTTOM - MARGIN)
    }

    fn place(&self, at: f64, value: f64) -> String {
        format!("{:.1},{:.1}", self.x(at), self.y(value))
    }

    /// Begins the drawing with its axes and their numbers.
    fn open(&self, label: &str, unit: &str) -> String {
        let mut svg = svg(label, HEIGHT);
        for step in round_steps(self.top) {
            let y = self.y(step);
            let _ = write!(
                svg,
                "<line x1=\"{LEFT}\" y1=\"{y:.1}\" x2=\"{WIDTH}\" y2=\"{y:.1}\" stroke=\"{LINE}\"/>\
                 <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{step} {unit}</text>",
                LEFT - 6.0,
                y + 4.0
            );
        }
        for step in round_steps(self.last) {
            let x = self.x(step);
            let _ = write!(
                svg,
                "<text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{step} s</text>",
                HEIGHT - BOTTOM + 20.0
            );
        }
        svg
    }
}

/// Returns two tracks of one alarm in one drawing, in the picture's own proportions: rings for the
/// recorded one, dots for the replayed one; none where both are empty.
pub(super) fn two_tracks(
    t: &Texts,
    recorded: &[TrackPoint],
    replayed: &[TrackPoint],
) -> Option<String> {
    const DRAWN_HEIGHT: f64 = 360.0;
    let places = || recorded.iter().chain(replayed).map(|point| &point.area);
    places().next()?;
    let ends = |of: fn(&BoxPx) -> f64| {
        let values = || places().map(of);
        let (low, high) = (
            values().fold(f64::INFINITY, f64::min),
            values().fold(f64::NEG_INFINITY, f64::max),
        );
        (low, (high - low).max(1.0))
    };
    let ((left, width), (top, height)) = (ends(|area| area.x_px), ends(|area| area.y_px));
    let scale = ((WIDTH - 2.0 * MARGIN) / width).min((DRAWN_HEIGHT - 2.0 * MARGIN) / height);
    let (room_x, room_y) = (WIDTH - width * scale, DRAWN_HEIGHT - height * scale);
    let mut svg = svg(t.replay_chart, DRAWN_HEIGHT);
    for (track, look) in [
        (
            recorded,
            format!("r=\"7\" fill=\"none\" stroke=\"{FITTED}\" stroke-width=\"1.5\""),
        ),
        (replayed, format!("r=\"3\" fill=\"{SEEN}\"")),
    ] {
        for point in track {
            let x = room_x / 2.0 + (point.area.x_px - left) * scale;
            let y = room_y / 2.0 + (point.area.y_px - top) * scale;
            let _ = write!(svg, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" {look}/>");
        }
    }
    svg.push_str("</svg>");
    Some(svg)
}

/// Returns 0 and some round numbers up to `last`.
pub(super) fn round_steps(last: f64) -> Vec<f64> {
    let rough = last / 4.0;
    let power = 10_f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0]
        .iter()
        .map(|factor| factor * power)
        .find(|step| *step >= rough)
        .unwrap_or(power);
    let mut steps = Vec::new();
    let mut at = 0.0;
    while at <= last && steps.len() < 8 {
        // 0.30000000000000004 is no number for people.
        steps.push((at * 1e6).round() / 1e6);
        at += step;
    }
    steps
}

/// Fits h = a + b t + c t^2 by least squares; none with fewer than four points or no time between.
fn parabola(seen: &[(f64, f64)]) -> Option<[f64; 3]> {
    if seen.len() < 4 {
        return None;
    }
    polynomial::fit(seen)
}

/// Returns the building's floors as a bar with the interval of the floor of origin; none where the
/// Returns the ride as a line in time: when the e-bike was first seen, when the alarm was raised,
/// each look that found it, and its end.
pub(super) fn ride(t: &Texts, alarm: &AlarmRecord, track: &[TrackPoint]) -> String {
    const HIGH: f64 = 120.0;
    let start = alarm.started_at_s;
    let seen = track.iter().map(|point| point.at.as_secs_f64());
    let ends = seen.chain([alarm.raised_at_s]).chain(alarm.ended_at_s);
    let length = (ends.fold(start, f64::max) - start).max(1.0);
    let x = |at_s: f64| MARGIN + (at_s - start) / length * (WIDTH - 2.0 * MARGIN);
    let mut svg = svg(t.ride_chart, HIGH);
    let end = x(alarm.ended_at_s.unwrap_or(start + length));
    let _ = write!(
        svg,
        "<rect x=\"{MARGIN}\" y=\"52\" width=\"{:.1}\" height=\"16\" fill=\"#8a3b34\"/>",
        (end - MARGIN).max(1.0)
    );
    for point in track {
        let at = x(StreamTime::as_secs_f64(point.at));
        let _ = write!(
            svg,
            "<circle cx=\"{at:.1}\" cy=\"60\" r=\"2.5\" fill=\"{SEEN}\"/>"
        );
    }
    let raised = x(alarm.raised_at_s);
    let _ = write!(
        svg,
        "<line x1=\"{raised:.1}\" y1=\"36\" x2=\"{raised:.1}\" y2=\"84\" stroke=\"{ALARM}\" stroke-width=\"3\"/>"
    );
    let anchor = |at: f64| match at {
        at if at < WIDTH * 0.2 => "start",
        at if at > WIDTH * 0.8 => "end",
        _ => "middle",
    };
    let mut label = |at: f64, y: f64, text: String| {
        let anchor = anchor(at);
        let _ = write!(
            svg,
            "<text x=\"{at:.1}\" y=\"{y}\" text-anchor=\"{anchor}\">{text}</text>"
        );
    };
    let seconds = |at_s: f64| format!("{:.1}", at_s - start);
    label(
        raised,
        28.0,
        fill(t.ride_raised, &[&seconds(alarm.raised_at_s)]),
    );
    label(MARGIN, 106.0, t.ride_first.to_owned());
    if let Some(ended_at_s) = alarm.ended_at_s {
        label(end, 106.0, fill(t.ride_ended, &[&seconds(ended_at_s)]));
    }
    svg.push_str("</svg>");
    svg
}

/// Begins a drawing as wide as all of them.
pub(super) fn svg(label: &str, height: f64) -> String {
    format!("<svg viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"{label}\">")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::BoxPx;
    use crate::http::ui::texts::EN;
    use crate::scene::facade::FloorLine;

    /// A picture of 1000 x 1000 px in which 10 px are a metre, and 3 m a floor.
    fn facade() -> FacadeScene {
        let line = |floor: i32| {
            let y = 1.0 - f64::from(floor - 1) * 0.03;
            FloorLine {
                floor,
                left: Point::new(0.0, y),
                right: Point::new(1.0, y),
            }
        };
        FacadeScene {
            floors: 24,
            storey_height_m: 3.0,
            floor_lines: vec![line(1), line(10), line(20)],
            masks: Vec::new(),
            openings: Vec::new(),
        }
    }

    fn falling() -> Vec<TrackPoint> {
        (0..30)
            .map(|step| {
                let at_s = f64::from(step) / 25.0;
                let height_m = 45.0 - 0.5 * 9.8 * at_s * at_s;
                let y_px = 1000.0 - 10.0 * height_m;
                TrackPoint {
                    at: StreamTime::from_secs_f64(7.0 + at_s),
                    area: BoxPx::from_corners(498.0, y_px - 2.0, 502.0, y_px + 2.0),
                }
            })
            .collect()
    }

    #[test]
    fn the_fitted_curve_of_a_free_fall_is_gravity() {
        let scene = facade();
        let chart = fall(&EN, &falling(), Some((&scene, (1000, 1000)))).expect("enough points");
        assert_eq!(chart.g_text.as_deref(), Some("9.8"));
        assert_eq!(chart.svg.matches("<circle").count(), 30);
        let plain = fall(&EN, &falling(), None).expect("enough points");
        assert_eq!(plain.g_text, None, "pixels have no gravity");
        assert!(plain.svg.contains(" px<"), "{}", plain.svg);
        assert!(fall(&EN, &falling()[..3], None).is_none());
    }

    #[test]
    fn axes_carry_round_numbers() {
        assert_eq!(round_steps(1.16), [0.0, 0.5, 1.0]);
        assert_eq!(round_steps(47.0), [0.0, 20.0, 40.0]);
    }
}
