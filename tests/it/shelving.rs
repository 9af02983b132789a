//! Shelving: what is not announced, for how long, and what becomes of it then.

use std::sync::Arc;
use std::time::Duration;

use plumb::alarm::AlarmKind;
use plumb::clock::{Clock, DrivenClock};
use plumb::id::{AlarmId, CameraId, EndpointId, EscalationId};
use plumb::store::{
    Actor, AlarmFilter, AlarmRecord, Escalation, EventKind, Hears, NewShelf, Route, SHELF_MAX,
    Shelved, Store,
};

use crate::store::{clock, end_of, fall};

const HOUR: Duration = Duration::from_secs(3600);

fn route(id: &str, shelved: Shelved) -> Route {
    Route {
        endpoint: EndpointId::parse(id).expect("an id"),
        url_sha256: "00".repeat(32),
        kinds: Vec::new(),
        sites: Vec::new(),
        min_score: 0.0,
        hears: Hears::Alarms,
        shelved,
    }
}

fn shelf(camera: Option<&str>, kind: Option<AlarmKind>, lasts: Duration) -> NewShelf {
    NewShelf {
        camera: camera.map(|id| CameraId::parse(id).expect("an id")),
        kind,
        lasts,
        reason: "the lift is mended".to_owned(),
    }
}

/// A store with a guard room that hears what is announced and a recorder that hears all.
struct House {
    store: Store,
    clock: Arc<DrivenClock>,
    folder: tempfile::TempDir,
}

impl House {
    async fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let clock = clock();
        let store = open(&folder, &clock).await;
        Self {
            store,
            clock,
            folder,
        }
    }

    async fn raise(&self, camera: &str, kind: AlarmKind) -> plumb::store::NewAlarm {
        let mut new = fall(camera, self.clock.now());
        new.alarm.kind = kind;
        self.store.raise(&new).await.expect("a committed alarm");
        new
    }

    async fn shelve(&self, new: &NewShelf) -> i64 {
        let shelved = self.store.shelve(new, &Actor::account("li")).await;
        shelved.expect("it is shelved").id
    }

    async fn alarm(&self, id: AlarmId) -> AlarmRecord {
        let found = self.store.alarm(id).await.expect("a read");
        found.expect("the alarm").alarm
    }

    /// Returns whom the alarm was told, with the events.
    async fn told(&self, id: AlarmId) -> Vec<(EventKind, String)> {
        let found = self.store.alarm(id).await.expect("a read");
        let deliveries = found.expect("the alarm").deliveries.into_iter();
        deliveries
            .map(|d| (d.event, d.endpoint.to_string()))
            .collect()
    }

    async fn on_board(&self) -> Vec<AlarmId> {
        let filter = AlarmFilter {
            shelved: Some(false),
            ..AlarmFilter::default()
        };
        let page = self.store.alarms(&filter, None, 50).await.expect("a page");
        page.items.iter().map(|alarm| alarm.id).collect()
    }
}

async fn open(folder: &tempfile::TempDir, clock: &Arc<DrivenClock>) -> Store {
    let routes = vec![
        route("guard", Shelved::Held),
        route("recorder", Shelved::Sent),
    ];
    let opened = Store::open(folder.path(), routes, Arc::clone(clock) as _).await;
    opened.expect("a store")
}

#[tokio::test]
async fn what_is_shelved_is_kept_and_counted_and_told_only_to_who_asked_for_it() {
    let house = House::new().await;
    let before = house.raise("lift", AlarmKind::EbikeInElevator).await.id;
    let id = house.shelve(&shelf(Some("lift"), None, HOUR)).await;
    let under = house.raise("lift", AlarmKind::EbikeInElevator).await.id;
    let elsewhere = house.raise("gate", AlarmKind::FallingObject).await.id;

    assert!(house.alarm(under).await.shelved);
    assert_eq!(house.alarm(under).await.shelf, Some(id));
    assert!(
        !house.alarm(before).await.shelved,
        "it was announced before"
    );
    let told = house.told(under).await;
    assert_eq!(told, [(EventKind::AlarmRaised, "recorder".to_owned())]);
    assert_eq!(house.told(elsewhere).await.len(), 2);
    let board = house.on_board().await;
    assert!(board.contains(&before) && board.contains(&elsewhere) && !board.contains(&under));
    let open = house.store.open_shelves().await.expect("a read");
    assert_eq!((open.len(), open[0].alarms), (1, 1));
    let audit = house.store.audit_after(0, 500).await.expect("rows");
    let row = audit
        .iter()
        .find(|row| row.action == "shelf.begun")
        .expect("a row");
    assert_eq!(
        (row.who.as_str(), row.object.as_str()),
        ("li", format!("shelf/{id}").as_str())
    );
    let why = row.detail.as_deref().expect("a reason");
    assert!(
        why.contains("camera lift") && why.contains("the lift is mended"),
        "{why}"
    );
}

#[tokio::test]
async fn a_shelf_ends_by_itself_also_after_a_restart_and_what_goes_on_is_announced() {
    let house = House::new().await;
    let id = house.shelve(&shelf(Some("lift"), None, HOUR)).await;
    let lasting = house.raise("lift", AlarmKind::EbikeInElevator).await.id;
    let over = house.raise("lift", AlarmKind::EbikeInElevator).await;
    let ended = end_of(&over, 1000);
    house.store.end(&ended).await.expect("it has ended");
    house.clock.advance(HOUR / 2);
    assert_eq!(house.store.end_due_shelves().await.expect("a look"), 0);

    // Nothing but the store knows of it.
    house.store.close().await;
    let House {
        store,
        clock,
        folder,
    } = house;
    drop(store);
    let store = open(&folder, &clock).await;
    let house = House {
        store,
        clock,
        folder,
    };
    house.clock.advance(HOUR / 2);
    let late = house.raise("lift", AlarmKind::EbikeInElevator).await.id;
    assert!(!house.alarm(late).await.shelved, "its time is over");
    assert_eq!(house.store.end_due_shelves().await.expect("a look"), 1);
    assert_eq!(house.store.end_due_shelves().await.expect("a look"), 0);

    assert!(!house.alarm(lasting).await.shelved);
    let guard = (EventKind::AlarmUnshelved, "guard".to_owned());
    assert!(house.told(lasting).await.contains(&guard));
    assert!(house.alarm(over.id).await.shelved, "nothing of it goes on");
    let ended = house.store.ended_shelves(10).await.expect("a read");
    assert_eq!(
        (ended[0].id, ended[0].ended_by.as_deref()),
        (id, Some("plumb"))
    );
    assert_eq!(ended[0].alarms, 2);
}

#[tokio::test]
async fn a_clock_that_is_set_back_makes_no_shelf_hold_longer() {
    let house = House::new().await;
    house.shelve(&shelf(Some("lift"), None, HOUR)).await;
    house.clock.set_back(HOUR * 5);
    house.clock.advance(HOUR / 2);
    let under = house.raise("lift", AlarmKind::EbikeInElevator).await.id;
    assert!(!house.on_board().await.contains(&under));
    house.clock.advance(HOUR / 2);
    // What comes now is announced, also before the next look ends the shelf.
    let after = house.raise("lift", AlarmKind::EbikeInElevator).await.id;
    assert_eq!(house.store.end_due_shelves().await.expect("a look"), 1);
    let on_board = house.on_board().await;
    assert!(on_board.contains(&under) && on_board.contains(&after));
}

#[tokio::test]
async fn what_another_shelf_covers_stays_shelved_when_one_is_ended_by_hand() {
    let house = House::new().await;
    let kind = Some(AlarmKind::EbikeInElevator);
    let long = house.shelve(&shelf(None, kind, HOUR * 2)).await;
    let short = house.shelve(&shelf(Some("lift"), None, HOUR)).await;
    let both = house.raise("lift", AlarmKind::EbikeInElevator).await.id;
    let one = house.raise("lift", AlarmKind::Occluded).await.id;
    assert_eq!(
        house.alarm(both).await.shelf,
        Some(long),
        "the one that holds longest"
    );
    assert_eq!(house.alarm(one).await.shelf, Some(short));
    let wang = Actor::account("wang");
    house.store.unshelve(long, &wang).await.expect("it ends");
    assert_eq!(house.alarm(both).await.shelf, Some(short));
    assert!(house.alarm(both).await.shelved);
    let ended = house.store.unshelve(short, &wang).await.expect("it ends");
    assert_eq!(ended.ended_by.as_deref(), Some("wang"));
    let again = house.store.unshelve(short, &Actor::account("li")).await;
    assert_eq!(again.expect("no change").ended_by.as_deref(), Some("wang"));
    assert!(!house.alarm(both).await.shelved && !house.alarm(one).await.shelved);
    house
        .store
        .unshelve(99, &wang)
        .await
        .expect_err("there is none");
}

#[tokio::test]
async fn nothing_is_shelved_for_longer_than_a_shift_and_nothing_shelved_escalates() {
    let house = House::new().await;
    house.shelve(&shelf(Some("lift"), None, HOUR * 100)).await;
    let open = house.store.open_shelves().await.expect("a read");
    let lasts_ms = open[0].until_ms - open[0].begun_at_ms;
    assert_eq!(u128::try_from(lasts_ms), Ok(SHELF_MAX.as_millis()));
    let id = house.raise("lift", AlarmKind::EbikeInElevator).await.id;
    let step = Escalation {
        id: EscalationId::parse("chief").expect("an id"),
        after: Duration::from_secs(60),
        kinds: Vec::new(),
        sites: Vec::new(),
        endpoints: vec![EndpointId::parse("guard").expect("an id")],
    };
    house.clock.advance(SHELF_MAX);
    assert_eq!(house.store.escalate(&step).await.expect("a look"), 0);
    assert_eq!(house.store.end_due_shelves().await.expect("a look"), 1);
    assert_eq!(
        house.store.escalate(&step).await.expect("a look"),
        0,
        "only just announced"
    );
    house.clock.advance(step.after);
    assert_eq!(house.store.escalate(&step).await.expect("a look"), 1);
    assert!(house.alarm(id).await.escalated_at_ms.is_some());
}
