//! The text of `/metrics`: what was counted, and what is read at the moment of the scrape from the
//! board, the store and the process.

use std::time::Duration;

use super::Api;
use super::error::ApiError;
use crate::alarm::AlarmKind;
use crate::deliver::outbox;
use crate::health::{Board, CameraHealth, Link};
use crate::id::CameraId;

const FAULTS: [AlarmKind; 8] = [
    AlarmKind::NoPicture,
    AlarmKind::FrozenPicture,
    AlarmKind::Occluded,
    AlarmKind::ViewMoved,
    AlarmKind::Shake,
    AlarmKind::SlowFrames,
    AlarmKind::ClockDrift,
    AlarmKind::Flooded,
];

/// Returns everything Plumb counts in Prometheus' text format.
pub(super) async fn render(api: &Api) -> Result<String, ApiError> {
    outbox::measure(&api.store).await?;
    let now_ms = api.clock.now().as_millisecond();
    let mut text = api.metrics.render();
    text.push_str(&crate::metrics::render_now(|| {
        record_process();
        record_cameras(&api.board, now_ms);
    }));
    Ok(text)
}

fn record_process() {
    metrics::gauge!("plumb_build_info", "version" => env!("CARGO_PKG_VERSION")).set(1.0);
    let used = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    let used = Duration::try_from(used).unwrap_or_default();
    let used_ms = u64::try_from(used.as_millis()).unwrap_or(u64::MAX);
    metrics::counter!("plumb_process_cpu_ms_total").absolute(used_ms);
    // A few hundred bytes that the kernel makes up on the spot: no disk is waited for.
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    if let Some(resident_kib) = resident_kib(&status) {
        metrics::gauge!("plumb_process_resident_bytes").set(resident_kib * 1024.0);
    }
}

fn resident_kib(status: &str) -> Option<f64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().trim_end_matches(" kB").parse().ok()
}

fn record_cameras(board: &Board, now_ms: i64) {
    for (camera, health) in board.snapshot() {
        record_camera(&camera, &health, now_ms);
    }
}

fn record_camera(camera: &CameraId, health: &CameraHealth, now_ms: i64) {
    let label = || camera.as_str().to_owned();
    let gauge = |name: &'static str, value: f64| {
        metrics::gauge!(name, "camera" => label()).set(value);
    };
    let counter = |name: &'static str, value: u64| {
        metrics::counter!(name, "camera" => label()).absolute(value);
    };
    gauge(
        "plumb_camera_online",
        f64::from(u8::from(health.link == Link::Online)),
    );
    gauge("plumb_camera_frames_per_second", health.fps);
    if let Some(at_ms) = health.last_frame_at_ms {
        gauge(
            "plumb_camera_frame_age_seconds",
            (now_ms - at_ms) as f64 / 1000.0,
        );
    }
    counter("plumb_source_reconnects_total", health.reconnects);
    counter("plumb_decode_frames_total", health.frames);
    counter("plumb_decode_errors_total", health.decode_errors);
    counter("plumb_detect_looks_total", health.looks);
    counter("plumb_detect_looks_skipped_total", health.looks_skipped);
    counter("plumb_pipeline_frames_dropped_total", health.frames_dropped);
    for fault in FAULTS {
        let kind = fault.as_str();
        let raised = f64::from(u8::from(health.faults.iter().any(|name| name == kind)));
        metrics::gauge!("plumb_camera_fault", "camera" => label(), "kind" => kind).set(raised);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_resident_memory() {
        assert_eq!(
            resident_kib("Name:\tx\nVmRSS:\t   1234 kB\nThreads: 1\n"),
            Some(1234.0)
        );
        assert_eq!(resident_kib(""), None);
    }

    #[test]
    fn a_fault_that_is_over_reads_zero() {
        let board = Board::default();
        let camera = CameraId::parse("north").expect("an id");
        board.update(&camera, |health| {
            health.faults = vec!["shake".to_owned()];
            health.last_frame_at_ms = Some(1_000);
            health.looks_skipped = 7;
        });
        let text = crate::metrics::render_now(|| record_cameras(&board, 3_500));
        for line in [
            "plumb_camera_fault{camera=\"north\",kind=\"shake\"} 1",
            "plumb_camera_fault{camera=\"north\",kind=\"occluded\"} 0",
            "plumb_camera_frame_age_seconds{camera=\"north\"} 2.5",
            "plumb_detect_looks_skipped_total{camera=\"north\"} 7",
        ] {
            assert!(
                text.lines().any(|other| other == line),
                "{line} is missing in {text}"
            );
        }
    }
}
