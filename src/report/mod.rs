//! The community's acceptance table (indicators 14, 15 and 4) from what the service knows of itself:
//! each rate with its numerator, its denominator, the things that were counted and what each lacks.
//! Pure: an inventory, coverage and fault times in, figures out. It must never count a thing of which
//! nothing is known as one that works.
//!
//! How long a camera was online and intact is told by its stored fault alarms. Times at which the
//! service itself did not run raise no faults: nobody watched, and they count neither for a camera nor
//! against it. The table names them.

pub mod code;
pub mod csv;
pub mod inventory;
mod spans;

use std::collections::BTreeMap;

use serde::Serialize;

use crate::alarm::AlarmKind;
use crate::id::CameraId;
use crate::scene::Kind;
use crate::scene::coverage::{Coverage, GapReason};
use crate::store::{FaultSpan, Span};
use inventory::{CameraEntry, Inventory, SiteEntry};

/// Buildings from this many floors on are to be watched (indicator 14).
pub const TALL_FLOORS: i32 = 19;
/// The share at which a camera counts as online or intact, and each rate is wanted (indicator 4).
pub const WANTED_SHARE: f64 = 0.9;
/// The share of cameras that show a picture that is wanted (indicator 4).
const WANTED_PICTURES: f64 = 0.8;
/// A rate of hours is of six minutes at the least: of less there is no figure to be shown.
const HOURS_MIN_MS: i64 = 6 * 60 * 1000;
/// An elevator counts as tested for this long after an e-bike's alarm [P].
pub const TESTED_MS: i64 = 30 * 24 * 3600 * 1000;

/// What the figures are made of.
pub struct Known<'a> {
    pub inventory: &'a Inventory,
    /// What cameras with a scene cover.
    pub coverage: &'a BTreeMap<CameraId, Coverage>,
    /// Faults that reach into the period.
    pub faults: &'a [FaultSpan],
    /// When the service itself ran; they may overlap.
    pub runs: &'a [Span],
    /// The newest e-bike's alarm of each camera within the last 30 days, false ones left out.
    pub rides: &'a BTreeMap<CameraId, i64>,
    /// Cameras that were online at the end of the period.
    pub online: &'a dyn Fn(&CameraId) -> bool,
    /// The period, Unix milliseconds; the end is not part of it.
    pub from_ms: i64,
    pub to_ms: i64,
}

/// The table.
#[derive(Clone, Debug, PartialEq, Serialize, utoipa::ToSchema)]
pub struct Acceptance {
    pub from_ms: i64,
    pub to_ms: i64,
    /// Hours of the period, and of those in which the service ran: rates of hours are of these.
    pub hours: f64,
    pub watched_hours: f64,
    /// When it did not run, and nobody watched.
    pub unwatched: Vec<Span>,
    /// Indicator 15 over all sites: those in which an elevator's e-bikes raise an alarm.
    pub sites_with_ebike_alarm: usize,
    pub sites: Vec<SiteFigures>,
}

/// One site's part of it.
#[derive(Clone, Debug, PartialEq, Serialize, utoipa::ToSchema)]
pub struct SiteFigures {
    pub id: String,
    pub name: String,
    pub rates: Vec<Rate>,
}

/// What a rate is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Figure {
    /// Indicator 14: buildings of 19 floors and more that are watched whole.
    Buildings,
    /// Indicator 14: openings on floor 3 and above.
    Openings,
    /// Indicator 15: elevators watched by a working camera and tested.
    Elevators,
    /// Indicator 4: hours online.
    Online,
    /// Indicator 4: cameras that show a picture.
    Pictures,
    /// Indicator 4: hours without any fault.
    Intact,
    /// Indicator 4: cameras with code, name, division and place.
    Compliance,
}

/// One rate.
#[derive(Clone, Debug, PartialEq, Serialize, utoipa::ToSchema)]
pub struct Rate {
    pub figure: Figure,
    pub numerator: f64,
    pub denominator: f64,
    /// None where there is nothing to be counted.
    pub share: Option<f64>,
    /// What is asked for, 0..1.
    pub wanted: f64,
    pub items: Vec<Item>,
}

impl Rate {
    /// Returns whether there is something to be counted, and the service has not run for long enough.
    pub fn lacks_hours(&self) -> bool {
        let no_hours = |item: &Item| item.gaps.contains(&Gap::NoHours);
        self.share.is_none() && self.items.iter().any(no_hours)
    }

    /// Returns whether the share is what is asked for; not where there is nothing to be counted.
    pub fn is_met(&self) -> bool {
        self.share.is_some_and(|share| share >= self.wanted)
    }
}

/// One thing of a rate's denominator.
#[derive(Clone, Debug, PartialEq, Serialize, utoipa::ToSchema)]
pub struct Item {
    pub id: String,
    pub name: String,
    /// Its part of the numerator and of the denominator.
    pub counts: f64,
    pub of: f64,
    pub gaps: Vec<Gap>,
}

/// What a thing lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Gap {
    /// No camera watches it.
    NoCamera,
    /// Its camera is not online now.
    Offline,
    /// Its camera was online, or intact, for too little of the period.
    TooShort,
    /// The service ran for too little of the period to tell.
    NoHours,
    /// Its camera has no scene, or one without floor lines.
    NoScene,
    /// Its camera has a scene in which no openings are drawn: they cannot be counted.
    NoOpenings,
    /// These floors are not watched whole.
    Floors {
        from: i32,
        to: i32,
    },
    /// Some openings are masked or out of the picture.
    OpeningsMissed,
    /// No e-bike has raised an alarm there for 30 days.
    NotTested,
    NoCode,
    NoName,
    NoDivision,
    NoPlace,
}

/// Returns the table.
pub fn acceptance(known: &Known<'_>) -> Acceptance {
    let period = Span {
        from_ms: known.from_ms,
        to_ms: known.to_ms,
    };
    let counted = Counted {
        watched: spans::joined(known.runs.iter().copied(), period),
        known,
    };
    let inventory = known.inventory;
    let sites = inventory.sites.iter().map(|site| counted.site(site));
    let sites: Vec<SiteFigures> = sites.collect();
    let alarms = sites.iter().filter(|site| {
        let elevators = site.rates.iter().find(|r| r.figure == Figure::Elevators);
        elevators.is_some_and(|rate| rate.numerator > 0.0)
    });
    Acceptance {
        from_ms: known.from_ms,
        to_ms: known.to_ms,
        hours: hours(spans::length_ms(&[period])),
        watched_hours: hours(spans::length_ms(&counted.watched)),
        unwatched: spans::without(&[period], &counted.watched),
        sites_with_ebike_alarm: alarms.count(),
        sites,
    }
}

/// What is known, with the times that count.
struct Counted<'a> {
    known: &'a Known<'a>,
    /// When the service ran, within the period.
    watched: Vec<Span>,
}

impl Counted<'_> {
    fn site(&self, site: &SiteEntry) -> SiteFigures {
        let cameras: Vec<&CameraEntry> = self
            .known
            .inventory
            .cameras
            .iter()
            .filter(|camera| camera.site == site.id)
            .collect();
        let of_cameras = |item: &dyn Fn(&CameraEntry) -> Item| {
            cameras
                .iter()
                .map(|camera| item(camera))
                .collect::<Vec<_>>()
        };
        let rates = vec![
            rate(Figure::Buildings, 1.0, self.buildings(site, &cameras)),
            rate(Figure::Openings, 1.0, self.openings(&cameras)),
            rate(Figure::Elevators, 0.5, self.elevators(site, &cameras)),
            rate(
                Figure::Online,
                WANTED_SHARE,
                of_cameras(&|c| self.online_item(c)),
            ),
            rate(
                Figure::Pictures,
                WANTED_PICTURES,
                of_cameras(&|c| self.picture_item(c)),
            ),
            rate(
                Figure::Intact,
                WANTED_SHARE,
                of_cameras(&|c| self.intact_item(c)),
            ),
            rate(
                Figure::Compliance,
                WANTED_SHARE,
                of_cameras(&|c| compliance_item(site, c)),
            ),
        ];
        SiteFigures {
            id: site.id.to_string(),
            name: site.name.clone(),
            rates,
        }
    }

    fn buildings(&self, site: &SiteEntry, cameras: &[&CameraEntry]) -> Vec<Item> {
        let tall = self
            .known
            .inventory
            .buildings
            .iter()
            .filter(|building| building.site == site.id && building.floors >= TALL_FLOORS);
        tall.map(|building| {
            let own: Vec<_> = watching(cameras, Kind::Facade, &building.id).collect();
            let mut gaps = Vec::new();
            if own.is_empty() {
                gaps.push(Gap::NoCamera);
            }
            for camera in own {
                gaps.extend(self.facade_gaps(camera));
            }
            item(&building.id, &building.name, gaps)
        })
        .collect()
    }

    fn facade_gaps(&self, camera: &CameraEntry) -> Vec<Gap> {
        let mut gaps = self.camera_gaps(camera);
        let Some(coverage) = self.known.coverage.get(&camera.id) else {
            gaps.push(Gap::NoScene);
            return gaps;
        };
        if coverage.floors.is_empty() {
            gaps.push(Gap::NoScene);
            return gaps;
        }
        if coverage.openings == 0 {
            gaps.push(Gap::NoOpenings);
        }
        let floors = coverage.gaps.iter().map(|gap| match gap.reason {
            GapReason::NoFloorLines => Gap::NoScene,
            _ => Gap::Floors {
                from: gap.from_floor,
                to: gap.to_floor,
            },
        });
        gaps.extend(floors);
        gaps
    }

    fn openings(&self, cameras: &[&CameraEntry]) -> Vec<Item> {
        let facades = cameras.iter().filter(|camera| camera.kind == Kind::Facade);
        let counted = facades.filter_map(|camera| {
            let coverage = self.known.coverage.get(&camera.id)?;
            let mut gaps = self.camera_gaps(camera);
            let works = gaps.is_empty();
            if coverage.openings == 0 {
                gaps.push(Gap::NoOpenings);
            } else if coverage.openings_watched < coverage.openings {
                gaps.push(Gap::OpeningsMissed);
            }
            Some(Item {
                counts: if works {
                    coverage.openings_watched as f64
                } else {
                    0.0
                },
                of: coverage.openings as f64,
                ..item(camera.id.as_str(), &camera.name, gaps)
            })
        });
        counted.collect()
    }

    fn elevators(&self, site: &SiteEntry, cameras: &[&CameraEntry]) -> Vec<Item> {
        let own = self.known.inventory.elevators.iter();
        own.filter(|elevator| elevator.site == site.id)
            .map(|elevator| {
                let mut gaps = Vec::new();
                match watching(cameras, Kind::Elevator, &elevator.id).next() {
                    None => gaps.push(Gap::NoCamera),
                    Some(camera) => {
                        gaps.extend(self.camera_gaps(camera));
                        if !self.known.rides.contains_key(&camera.id) {
                            gaps.push(Gap::NotTested);
                        }
                    }
                }
                item(&elevator.id, &elevator.name, gaps)
            })
            .collect()
    }

    /// Returns why a camera does not count as one that works.
    fn camera_gaps(&self, camera: &CameraEntry) -> Vec<Gap> {
        let mut gaps = Vec::new();
        if !(self.known.online)(&camera.id) {
            gaps.push(Gap::Offline);
        }
        if self.watched.is_empty() {
            gaps.push(Gap::NoHours);
        } else if self.share_without(camera, |kind| kind == AlarmKind::NoPicture) < WANTED_SHARE {
            gaps.push(Gap::TooShort);
        }
        gaps
    }

    fn online_item(&self, camera: &CameraEntry) -> Item {
        self.hours(camera, |kind| kind == AlarmKind::NoPicture)
    }

    fn intact_item(&self, camera: &CameraEntry) -> Item {
        self.hours(camera, AlarmKind::is_fault)
    }

    fn picture_item(&self, camera: &CameraEntry) -> Item {
        let gaps = if (self.known.online)(&camera.id) {
            vec![]
        } else {
            vec![Gap::Offline]
        };
        item(camera.id.as_str(), &camera.name, gaps)
    }

    fn hours(&self, camera: &CameraEntry, bad: impl Fn(AlarmKind) -> bool) -> Item {
        let watched_ms = spans::length_ms(&self.watched);
        if watched_ms < HOURS_MIN_MS {
            let gaps = vec![Gap::NoHours];
            let none = item(camera.id.as_str(), &camera.name, gaps);
            return Item { of: 0.0, ..none };
        }
        let share = self.share_without(camera, bad);
        let of = hours(watched_ms);
        let mut gaps = Vec::new();
        if share < WANTED_SHARE {
            gaps.push(Gap::TooShort);
        }
        Item {
            counts: share * of,
            of,
            ..item(camera.id.as_str(), &camera.name, gaps)
        }
    }

    /// Returns the share of the watched time without a fault that is `bad`, 0..1; 0 where nobody watched
    /// at all. Faults may overlap.
    fn share_without(&self, camera: &CameraEntry, bad: impl Fn(AlarmKind) -> bool) -> f64 {
        let known = self.known;
        let own = known
            .faults
            .iter()
            .filter(|fault| fault.camera == camera.id && bad(fault.kind));
        let spans = own.map(|fault| Span {
            from_ms: fault.started_at_ms,
            to_ms: fault.ended_at_ms.unwrap_or(known.to_ms),
        });
        let period = Span {
            from_ms: known.from_ms,
            to_ms: known.to_ms,
        };
        let good = spans::without(&self.watched, &spans::joined(spans, period));
        spans::length_ms(&good) as f64 / spans::length_ms(&self.watched).max(1) as f64
    }
}

fn hours(length_ms: i64) -> f64 {
    length_ms as f64 / 3_600_000.0
}

fn watching<'a>(
    cameras: &'a [&CameraEntry],
    kind: Kind,
    place: &'a str,
) -> impl Iterator<Item = &'a CameraEntry> {
    let fits = move |camera: &&&CameraEntry| {
        camera.kind == kind && camera.watches.as_deref() == Some(place)
    };
    cameras.iter().filter(fits).copied()
}

fn compliance_item(site: &SiteEntry, camera: &CameraEntry) -> Item {
    let mut gaps = Vec::new();
    if camera.code.is_none() {
        gaps.push(Gap::NoCode);
    }
    if camera.name == camera.id.as_str() {
        gaps.push(Gap::NoName);
    }
    if site.civil_code.is_none() {
        gaps.push(Gap::NoDivision);
    }
    if camera.place.is_none() {
        gaps.push(Gap::NoPlace);
    }
    item(camera.id.as_str(), &camera.name, gaps)
}

/// Returns a thing that counts as one where it lacks nothing.
fn item(id: &str, name: &str, gaps: Vec<Gap>) -> Item {
    Item {
        id: id.to_owned(),
        name: name.to_owned(),
        counts: if gaps.is_empty() { 1.0 } else { 0.0 },
        of: 1.0,
        gaps,
    }
}

fn rate(figure: Figure, wanted: f64, items: Vec<Item>) -> Rate {
    let numerator = items
        .iter()
        .map(|item| item.counts)
        .fold(0.0, |sum, one| sum + one);
    let denominator: f64 = items
        .iter()
        .map(|item| item.of)
        .fold(0.0, |sum, one| sum + one);
    Rate {
        figure,
        numerator,
        denominator,
        share: (denominator > 0.0).then(|| numerator / denominator),
        wanted,
        items,
    }
}

#[cfg(test)]
mod tests;
