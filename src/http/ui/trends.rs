//! Trends: alarms by day or week and kind, and the share of false alarms of each camera. Each chart
//! has its table beside it.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::response::Response;

use super::charts::{round_steps, svg};
use super::language::Language;
use super::period::{CHOICES, Period};
use super::view::camera_name;
use super::{Frame, page};
use crate::http::Service;
use crate::http::access::Principal;
use crate::http::error::ApiError;
use crate::http::query::Query;
use crate::id::CameraId;
use crate::store::{Disposition, DispositionCount, KindCounts};

const WIDTH: f64 = 640.0;
const HIGH: f64 = 260.0;
const LEFT: f64 = 44.0;
const BOTTOM: f64 = 30.0;
const TOP: f64 = 12.0;
/// Falls, e-bikes, camera faults, from below.
const COLOURS: [&str; 3] = ["#ff6b5e", "#ffd34d", "#7d8fa1"];
/// Fewer judged alarms say nothing of a share.
const JUDGED_LEAST: u32 = 5;

#[derive(Template)]
#[template(path = "trends.html", config = "src/http/ui/askama.toml")]
struct TrendsPage {
    frame: Frame,
    period: Period,
    choices: [u32; 3],
    sites: Vec<(String, String)>,
    steps: Vec<Step>,
    totals: [u32; 3],
    chart: String,
    cameras: Vec<Share>,
}

/// One day or week.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Step {
    day: String,
    counts: [u32; 3],
}

/// What the alarms of one camera were found to be.
#[derive(Clone, Debug, Default, PartialEq)]
struct Share {
    camera: String,
    name: String,
    events: u32,
    /// Closed with a disposition.
    judged: u32,
    false_alarms: u32,
    /// Percent of those that were judged; none where they are too few.
    percent: Option<u32>,
}

/// The page.
pub(crate) async fn show(
    State(service): State<Arc<Service>>,
    who: Principal,
    language: Language,
    Query(period): Query<Period>,
) -> Result<Response, ApiError> {
    let (api, t) = (&service.api, language.texts());
    let now = api.clock.now();
    let (days, site) = (period.steps(now), period.site.as_ref());
    let counts = api.store.kind_counts(site, &period.spans(&days)).await?;
    let step = |(day, found): (&jiff::civil::Date, &KindCounts)| Step {
        day: day.to_string(),
        counts: [found.falls, found.ebikes, found.faults],
    };
    let steps: Vec<Step> = days.iter().zip(&counts).map(step).collect();
    let found = api
        .store
        .disposition_counts(site, period.whole(now))
        .await?;
    let mut cameras = shares(&found);
    for share in &mut cameras {
        if let Ok(id) = CameraId::parse(&share.camera) {
            share.name = camera_name(api, &id);
        }
    }
    let totals = [0, 1, 2].map(|series| steps.iter().map(|step| step.counts[series]).sum());
    let sites = api.sites.iter();
    page(&TrendsPage {
        frame: Frame::of(language, "/review/trends", &who),
        choices: CHOICES,
        sites: sites
            .map(|site| (site.id.to_string(), site.name.clone()))
            .collect(),
        chart: chart(t.trends_chart, &steps),
        steps,
        totals,
        cameras,
        period,
    })
}

/// Returns each camera's shares, the one with the most false alarms first.
fn shares(found: &[DispositionCount]) -> Vec<Share> {
    let mut cameras: BTreeMap<&str, Share> = BTreeMap::new();
    for row in found {
        let share = cameras.entry(row.camera.as_str()).or_default();
        share.events += row.count;
        // A test says nothing of the camera.
        share.judged += match row.disposition {
            None | Some(Disposition::Test) => 0,
            Some(_) => row.count,
        };
        if row.disposition == Some(Disposition::FalseAlarm) {
            share.false_alarms += row.count;
        }
    }
    let mut shares: Vec<Share> = cameras
        .into_iter()
        .map(|(camera, share)| Share {
            camera: camera.to_owned(),
            percent: (share.judged >= JUDGED_LEAST)
                .then(|| (100 * share.false_alarms + share.judged / 2) / share.judged),
            ..share
        })
        .collect();
    shares.sort_by_key(|share| std::cmp::Reverse((share.percent, share.false_alarms)));
    shares
}

/// Returns the steps as bars of three parts on each other.
fn chart(label: &str, steps: &[Step]) -> String {
    let sums = steps.iter().map(|step| step.counts.iter().sum::<u32>());
    let top = f64::from(sums.max().unwrap_or(0).max(4));
    let y = |value: f64| HIGH - BOTTOM - value / top * (HIGH - BOTTOM - TOP);
    let mut drawn = svg(label, HIGH);
    for value in round_steps(top)
        .into_iter()
        .filter(|value| value.fract() == 0.0)
    {
        let at = y(value);
        let _ = write!(
            drawn,
            "<line x1=\"{LEFT}\" y1=\"{at:.1}\" x2=\"{WIDTH}\" y2=\"{at:.1}\" stroke=\"#2c3641\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{value}</text>",
            LEFT - 6.0,
            at + 4.0
        );
    }
    let wide = (WIDTH - LEFT) / steps.len().max(1) as f64;
    // Every so many steps a day is written, so that none covers the next.
    let written = (70.0 / wide).ceil().max(1.0);
    for (index, step) in steps.iter().enumerate() {
        let x = LEFT + index as f64 * wide;
        let mut below = 0.0;
        for (count, colour) in step.counts.iter().zip(COLOURS) {
            let above = below + f64::from(*count);
            let _ = write!(
                drawn,
                "<rect x=\"{:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{:.1}\" fill=\"{colour}\"/>",
                x + 0.1 * wide,
                y(above),
                0.8 * wide,
                y(below) - y(above)
            );
            below = above;
        }
        if (index as f64 % written) < 0.5 {
            // The year stands in the table.
            let day = step.day.get(5..).unwrap_or(&step.day);
            let _ = write!(
                drawn,
                "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{day}</text>",
                (x + wide / 2.0).clamp(LEFT + 12.0, WIDTH - 20.0),
                HIGH - BOTTOM + 20.0
            );
        }
    }
    drawn.push_str("</svg>");
    drawn
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_is_of_what_was_judged_and_few_say_nothing() {
        let row = |camera: &str, disposition, count| DispositionCount {
            camera: CameraId::parse(camera).expect("an id"),
            disposition,
            count,
        };
        let found = shares(&[
            row("a", None, 90),
            row("a", Some(Disposition::Confirmed), 6),
            row("a", Some(Disposition::FalseAlarm), 2),
            row("a", Some(Disposition::Test), 5),
            row("b", Some(Disposition::FalseAlarm), 4),
        ]);
        assert_eq!(
            (found[0].camera.as_str(), found[0].percent),
            ("a", Some(25))
        );
        assert_eq!((found[0].events, found[0].judged), (103, 8));
        assert_eq!((found[1].camera.as_str(), found[1].percent), ("b", None));
    }

    #[test]
    fn bars_stand_on_each_other_and_reach_as_high_as_their_sum() {
        let step = |counts| Step {
            day: "2026-01-31".to_owned(),
            counts,
        };
        let drawn = chart("x", &[step([4, 2, 2]), step([0, 0, 0])]);
        assert_eq!(drawn.matches("<rect").count(), 6);
        assert!(drawn.contains(&format!("y=\"{TOP:.1}\"")), "{drawn}");
        assert!(drawn.contains(">01-31<"));
    }
}
