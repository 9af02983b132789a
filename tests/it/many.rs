//! A database with very many alarms, written by SQL of its own: raising them one by one would take
//! the disk an hour. Also what is asked of it.

use std::path::Path;

use plumb::alarm::AlarmKind;
use plumb::id::{CameraId, SiteId};
use plumb::store::{AlarmFilter, AlarmState};
use sqlx::{AssertSqlSafe, Connection, SqliteConnection};

/// 2024-01-01T00:00:00Z.
pub(crate) const FIRST_MS: i64 = 1_704_067_200_000;
/// Between two alarms: ten minutes, so that a hundred thousand are two years.
pub(crate) const STEP_MS: i64 = 600_000;

/// Writes `count` alarms of 40 cameras at 4 sites: mostly falls that are closed, some e-bikes, some
/// faults; one in a thousand is not closed yet. A tenth as many rows go into the audit log.
pub(crate) async fn fill(data_dir: &Path, count: u32) {
    let url = format!("sqlite://{}", data_dir.join("plumb.sqlite").display());
    let mut shell = SqliteConnection::connect(&url).await.expect("a database");
    let sql = format!(
        "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < {count}) \
         INSERT INTO alarm (id, camera, site, place, kind, state, score, started_at_ms, raised_at_ms, \
         ended_at_ms, end_reason, stream_started_us, stream_raised_us, stream_ended_us, track, \
         evidence, acknowledged_at_ms, acknowledged_by, closed_at_ms, closed_by, disposition) \
         SELECT printf('%08x-%04x-7000-8000-%012x', i >> 16, i & 65535, i), 'camera-' || (i % 40), \
         'site-' || (i % 4), 'Building ' || (i % 40), \
         CASE WHEN i % 500 = 7 THEN 'view_moved' WHEN i % 5 = 1 THEN 'ebike_in_elevator' \
         ELSE 'falling_object' END, \
         CASE WHEN i % 1000 = 3 THEN 'raised' ELSE 'closed' END, 0.5 + (i % 50) / 100.0, \
         {FIRST_MS} + i * {STEP_MS} - 900, {FIRST_MS} + i * {STEP_MS}, {FIRST_MS} + i * {STEP_MS} + 5000, \
         'observed', 1000000, 1900000, 6900000, '[]', 'ready', \
         {FIRST_MS} + i * {STEP_MS} + 60000, 'li.na', {FIRST_MS} + i * {STEP_MS} + 90000, 'li.na', \
         CASE WHEN i % 1000 = 3 THEN NULL ELSE 'false_alarm' END FROM n"
    );
    run(&mut shell, sql).await;
    run(&mut shell, "ANALYZE".to_owned()).await;
    shell.close().await.expect("it closes");
}

async fn run(shell: &mut SqliteConnection, sql: String) {
    let ran = sqlx::query(AssertSqlSafe(sql)).execute(shell).await;
    ran.expect("it is committed");
}

/// Returns what people ask for, with a name.
pub(crate) fn filters() -> Vec<(&'static str, AlarmFilter)> {
    let site = || SiteId::parse("site-2").ok();
    let camera = || CameraId::parse("camera-7").ok();
    type Change<'a> = Box<dyn Fn(&mut AlarmFilter) + 'a>;
    let wanted: Vec<(&'static str, Change<'_>)> = vec![
        ("newest", Box::new(|_| {})),
        ("site", Box::new(|f| f.site = site())),
        ("camera", Box::new(|f| f.camera = camera())),
        (
            "common kind",
            Box::new(|f| f.kind = Some(AlarmKind::FallingObject)),
        ),
        (
            "rare kind",
            Box::new(|f| f.kind = Some(AlarmKind::ViewMoved)),
        ),
        (
            "kind of which there is none",
            Box::new(|f| f.kind = Some(AlarmKind::Shake)),
        ),
        (
            "not closed",
            Box::new(|f| f.state = Some(AlarmState::Raised)),
        ),
        (
            "state of which there is none",
            Box::new(|f| f.state = Some(AlarmState::Acknowledged)),
        ),
        (
            "day long ago",
            Box::new(|f| {
                f.from_ms = Some(FIRST_MS + 86_400_000);
                f.to_ms = Some(FIRST_MS + 2 * 86_400_000);
            }),
        ),
        (
            "camera and absent kind",
            Box::new(|f| {
                f.camera = camera();
                f.kind = Some(AlarmKind::Shake);
            }),
        ),
        (
            "site and not closed",
            Box::new(|f| {
                f.site = site();
                f.state = Some(AlarmState::Raised);
            }),
        ),
        ("score that none has", Box::new(|f| f.min_score = Some(1.0))),
    ];
    let filled = |change: Change<'_>| {
        let mut filter = AlarmFilter::default();
        change(&mut filter);
        filter
    };
    wanted
        .into_iter()
        .map(|(name, change)| (name, filled(change)))
        .collect()
}
