//! The acceptance table of a small community.

use super::inventory::{Building, Elevator};
use super::*;
use crate::id::SiteId;

const HOUR_MS: i64 = 3_600_000;

fn camera(id: &str, kind: Kind, watches: Option<&str>) -> CameraEntry {
    CameraEntry {
        id: id.parse().expect("an id"),
        site: "garden".parse().expect("an id"),
        name: format!("Camera {id}"),
        kind,
        watches: watches.map(str::to_owned),
        code: Some("37078100011327000001".to_owned()),
        place: Some((119.9, 36.8)),
    }
}

fn inventory() -> Inventory {
    let site: SiteId = "garden".parse().expect("an id");
    let building = |id: &str, floors| Building {
        id: id.to_owned(),
        site: site.clone(),
        name: format!("Building {id}"),
        floors,
    };
    let elevator = |id: &str| Elevator {
        id: id.to_owned(),
        site: site.clone(),
        name: format!("Elevator {id}"),
    };
    Inventory {
        sites: vec![SiteEntry {
            id: site.clone(),
            name: "Garden".to_owned(),
            civil_code: Some("370781".to_owned()),
        }],
        buildings: vec![building("b1", 24), building("b2", 30), building("b3", 6)],
        elevators: vec![elevator("e1"), elevator("e2"), elevator("e3")],
        cameras: vec![
            camera("north", Kind::Facade, Some("b1")),
            camera("lift-1", Kind::Elevator, Some("e1")),
            camera("lift-2", Kind::Elevator, Some("e2")),
        ],
    }
}

fn covered(openings: usize, watched: usize) -> Coverage {
    Coverage {
        floors: vec![crate::scene::coverage::FloorCoverage {
            floor: 3,
            in_picture: 1.0,
            watched: 1.0,
            openings,
        }],
        openings,
        openings_watched: watched,
        ..Coverage::default()
    }
}

fn fault(id: &str, kind: AlarmKind, from_h: i64, to_h: Option<i64>) -> FaultSpan {
    FaultSpan {
        camera: id.parse().expect("an id"),
        kind,
        started_at_ms: from_h * HOUR_MS,
        ended_at_ms: to_h.map(|hour| hour * HOUR_MS),
    }
}

fn table(inventory: &Inventory, faults: &[FaultSpan]) -> SiteFigures {
    whole(inventory, faults, &[hours_span(-50, 200)])
        .sites
        .remove(0)
}

fn hours_span(from_h: i64, to_h: i64) -> Span {
    Span {
        from_ms: from_h * HOUR_MS,
        to_ms: to_h * HOUR_MS,
    }
}

fn whole(inventory: &Inventory, faults: &[FaultSpan], runs: &[Span]) -> Acceptance {
    let coverage = BTreeMap::from([("north".parse().expect("an id"), covered(40, 38))]);
    let rides = BTreeMap::from([("lift-1".parse().expect("an id"), 5)]);
    let known = Known {
        inventory,
        coverage: &coverage,
        faults,
        runs,
        rides: &rides,
        online: &|id| id.as_str() != "lift-2",
        from_ms: 0,
        to_ms: 100 * HOUR_MS,
    };
    acceptance(&known)
}

fn of(site: &SiteFigures, figure: Figure) -> &Rate {
    let mut rates = site.rates.iter();
    rates
        .find(|rate| rate.figure == figure)
        .expect("each is there")
}

#[test]
fn each_rate_names_what_counts_and_what_lacks_what() {
    let site = table(&inventory(), &[]);
    let buildings = of(&site, Figure::Buildings);
    assert_eq!((buildings.numerator, buildings.denominator), (1.0, 2.0));
    assert_eq!(buildings.items[0].gaps, []);
    assert_eq!(buildings.items[1].gaps, [Gap::NoCamera]);
    let openings = of(&site, Figure::Openings);
    assert_eq!(openings.share, Some(0.95));
    assert_eq!(openings.items[0].gaps, [Gap::OpeningsMissed]);
    let elevators = of(&site, Figure::Elevators);
    let gaps: Vec<_> = elevators
        .items
        .iter()
        .map(|item| item.gaps.clone())
        .collect();
    assert_eq!(
        gaps,
        [
            vec![],
            vec![Gap::Offline, Gap::NotTested],
            vec![Gap::NoCamera]
        ]
    );
    assert_eq!(of(&site, Figure::Pictures).numerator, 2.0);
    assert_eq!(of(&site, Figure::Compliance).share, Some(1.0));
}

#[test]
fn hours_are_those_without_faults_and_overlaps_count_once() {
    let faults = [
        fault("north", AlarmKind::NoPicture, -5, Some(10)),
        fault("north", AlarmKind::Occluded, 5, Some(20)),
        fault("north", AlarmKind::Shake, 90, None),
        fault("lift-1", AlarmKind::NoPicture, 95, Some(200)),
    ];
    let site = table(&inventory(), &faults);
    let hours = |figure| {
        let items = &of(&site, figure).items;
        items
            .iter()
            .map(|item| item.counts.round())
            .collect::<Vec<_>>()
    };
    assert_eq!(hours(Figure::Online), [90.0, 95.0, 100.0]);
    assert_eq!(hours(Figure::Intact), [70.0, 95.0, 100.0]);
    assert_eq!(of(&site, Figure::Intact).items[0].gaps, [Gap::TooShort]);
    assert_eq!(of(&site, Figure::Online).items[0].gaps, []);
}

#[test]
fn a_camera_without_a_scene_covers_no_building() {
    let mut inventory = inventory();
    inventory
        .cameras
        .push(camera("south", Kind::Facade, Some("b2")));
    inventory.cameras[0].code = None;
    inventory.cameras[0].place = None;
    let site = table(&inventory, &[]);
    assert_eq!(of(&site, Figure::Buildings).items[1].gaps, [Gap::NoScene]);
    let compliance = of(&site, Figure::Compliance);
    assert_eq!(compliance.items[0].gaps, [Gap::NoCode, Gap::NoPlace]);
    assert_eq!(compliance.share, Some(0.75));
}

#[test]
fn hours_in_which_the_service_did_not_run_count_for_nobody_and_are_named() {
    let faults = [
        fault("north", AlarmKind::NoPicture, 10, Some(30)),
        fault("lift-1", AlarmKind::NoPicture, 45, Some(55)),
    ];
    // Off from hour 20 to 40 and from 90 on; the two runs before meet.
    let runs = [hours_span(0, 10), hours_span(10, 20), hours_span(40, 90)];
    let table = whole(&inventory(), &faults, &runs);
    assert_eq!((table.hours, table.watched_hours), (100.0, 70.0));
    assert_eq!(table.unwatched, [hours_span(20, 40), hours_span(90, 100)]);
    let online = &of(&table.sites[0], Figure::Online).items;
    let told: Vec<_> = online
        .iter()
        .map(|item| (item.counts.round(), item.of))
        .collect();
    // Of the fault from 10 to 30 only the half counts that somebody could see.
    assert_eq!(told, [(60.0, 70.0), (60.0, 70.0), (70.0, 70.0)]);
    assert_eq!(online[0].gaps, [Gap::TooShort]);
}

#[test]
fn a_time_that_nobody_watched_proves_nothing() {
    let table = whole(&inventory(), &[], &[]);
    let site = &table.sites[0];
    assert_eq!(of(site, Figure::Online).share, None);
    assert!(of(site, Figure::Online).lacks_hours());
    assert_eq!(of(site, Figure::Buildings).items[0].gaps, [Gap::NoHours]);
    assert_eq!(table.unwatched, [hours_span(0, 100)]);
}

#[test]
fn some_seconds_make_no_rate_of_hours() {
    let seconds = |seconds: i64| Span {
        from_ms: 0,
        to_ms: seconds * 1000,
    };
    let table = whole(&inventory(), &[], &[seconds(40)]);
    for figure in [Figure::Online, Figure::Intact] {
        let rate = of(&table.sites[0], figure);
        assert_eq!((rate.share, rate.denominator), (None, 0.0));
        assert!(rate.lacks_hours() && !rate.is_met());
        assert!(rate.items.iter().all(|item| item.gaps == [Gap::NoHours]));
    }
    assert!(!of(&table.sites[0], Figure::Compliance).lacks_hours());
    let later = whole(&inventory(), &[], &[seconds(360)]);
    assert_eq!(of(&later.sites[0], Figure::Online).share, Some(1.0));
}
