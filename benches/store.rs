//! What it costs to keep an alarm: its row, its delivery, its event and its audit row in one
//! transaction, on the disk before it returns. The disk's own flush is most of it.

use std::sync::Arc;

use criterion::{Criterion, criterion_group, criterion_main};
use jiff::Timestamp;
use plumb::alarm::{Alarm, AlarmKind, TrackPoint};
use plumb::clock::{StreamTime, SystemClock};
use plumb::geometry::BoxPx;
use plumb::id::{AlarmId, CameraId, EndpointId, SiteId};
use plumb::store::{Hears, NewAlarm, Route, Shelved, Store};

fn fall() -> NewAlarm {
    let now = Timestamp::now();
    let point = |step: i64| TrackPoint {
        at: StreamTime::from_micros(step * 40_000),
        area: BoxPx::from_corners(100.0, 10.0, 110.0, 22.0 + step as f64),
    };
    NewAlarm {
        id: AlarmId::new(now),
        camera: CameraId::parse("north").expect("an id"),
        site: SiteId::parse("site").expect("an id"),
        place: "Building 7".to_owned(),
        started_at_ms: now.as_millisecond() - 900,
        raised_at_ms: now.as_millisecond(),
        alarm: Alarm {
            kind: AlarmKind::FallingObject,
            started_at: StreamTime::ZERO,
            raised_at: StreamTime::from_micros(900_000),
            ended_at: None,
            score: 0.9,
            track: (0..20).map(point).collect(),
            origin: None,
        },
        scene_sha256: None,
    }
}

fn commit(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    // Beside the build, as the data directory is on a disk: a folder for temporary files may be in memory.
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
    let route = Route {
        endpoint: EndpointId::parse("desk").expect("an id"),
        url_sha256: "00".repeat(32),
        kinds: Vec::new(),
        sites: Vec::new(),
        min_score: 0.0,
        hears: Hears::Alarms,
        shelved: Shelved::Held,
    };
    let opened = Store::open(folder.path(), vec![route], Arc::new(SystemClock::new()));
    let store = runtime.block_on(opened).expect("a store");
    let mut group = criterion.benchmark_group("store");
    group.sample_size(20);
    group.bench_function("commit an alarm", |bencher| {
        bencher.iter(|| runtime.block_on(store.raise(&fall())).expect("committed"));
    });
    group.finish();
    runtime.block_on(store.close());
}

criterion_group!(benches, commit);
criterion_main!(benches);
