//! Figures for Prometheus: the one list of every metric, the recorder, and the text it renders.
//!
//! Base: any stage may count through the `metrics` macros; a name that is not in [`METRICS`] fails
//! a test. It opens no socket of its own, and no label may hold a secret or a URL.

use std::sync::{Mutex, OnceLock, PoisonError};

use metrics::Unit;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

/// What a metric's value does over time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Only grows; starts at 0 with the service.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts observations in buckets.
    Histogram,
}

/// One metric, as `/metrics` describes it.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    pub name: &'static str,
    pub shape: Shape,
    pub unit: Unit,
    pub help: &'static str,
}

const fn counter(name: &'static str, unit: Unit, help: &'static str) -> Metric {
    Metric {
        name,
        shape: Shape::Counter,
        unit,
        help,
    }
}

const fn gauge(name: &'static str, unit: Unit, help: &'static str) -> Metric {
    Metric {
        name,
        shape: Shape::Gauge,
        unit,
        help,
    }
}

const fn histogram(name: &'static str, unit: Unit, help: &'static str) -> Metric {
    Metric {
        name,
        shape: Shape::Histogram,
        unit,
        help,
    }
}

/// Every metric that Plumb has, in the order of the stream.
pub const METRICS: &[Metric] = &[
    gauge(
        "plumb_build_info",
        Unit::Count,
        "Always 1; the version is a label",
    ),
    counter(
        "plumb_process_cpu_ms_total",
        Unit::Milliseconds,
        "CPU time of the process",
    ),
    gauge(
        "plumb_evidence_used_bytes",
        Unit::Bytes,
        "Evidence on the disk",
    ),
    gauge(
        "plumb_evidence_held_bytes",
        Unit::Bytes,
        "Evidence that is held and never deleted",
    ),
    gauge(
        "plumb_evidence_renditions_bytes",
        Unit::Bytes,
        "Copies of evidence in which something is hidden",
    ),
    gauge(
        "plumb_evidence_room_bytes",
        Unit::Bytes,
        "What evidence may take",
    ),
    gauge(
        "plumb_footage_used_bytes",
        Unit::Bytes,
        "Ordinary video on the disk, by camera",
    ),
    gauge(
        "plumb_footage_oldest_seconds",
        Unit::Seconds,
        "How far a camera's ordinary video reaches back",
    ),
    counter(
        "plumb_footage_written_bytes_total",
        Unit::Bytes,
        "Ordinary video written to the disk",
    ),
    counter(
        "plumb_footage_packets_lost_total",
        Unit::Count,
        "Packets that the disk was too slow or too full to keep as ordinary video",
    ),
    gauge(
        "plumb_process_resident_bytes",
        Unit::Bytes,
        "Memory of the process in RAM",
    ),
    gauge(
        "plumb_camera_online",
        Unit::Count,
        "1 while packets arrive from the camera",
    ),
    gauge(
        "plumb_camera_frames_per_second",
        Unit::CountPerSecond,
        "Frame rate of the last seconds",
    ),
    gauge(
        "plumb_camera_frame_age_seconds",
        Unit::Seconds,
        "Age of the camera's newest frame",
    ),
    gauge(
        "plumb_camera_fault",
        Unit::Count,
        "1 while the camera has the fault that kind names",
    ),
    counter(
        "plumb_source_packets_total",
        Unit::Count,
        "Packets received",
    ),
    counter(
        "plumb_source_rtp_lost_total",
        Unit::Count,
        "RTP packets that never arrived",
    ),
    counter(
        "plumb_source_frames_dropped_total",
        Unit::Count,
        "Packets dropped, the decoder was behind",
    ),
    counter(
        "plumb_source_timestamp_jumps_total",
        Unit::Count,
        "Times a camera's timestamps jumped",
    ),
    counter(
        "plumb_source_reconnects_total",
        Unit::Count,
        "Times the camera was connected to again",
    ),
    counter(
        "plumb_source_failures_total",
        Unit::Count,
        "Failures of the connection, by cause",
    ),
    counter("plumb_decode_frames_total", Unit::Count, "Frames decoded"),
    counter(
        "plumb_decode_errors_total",
        Unit::Count,
        "Packets or frames that could not be decoded",
    ),
    counter(
        "plumb_detect_failures_total",
        Unit::Count,
        "Looks into a car at which the detector failed",
    ),
    counter(
        "plumb_detect_looks_total",
        Unit::Count,
        "Looks of the detector into a car, by camera",
    ),
    counter(
        "plumb_detect_looks_skipped_total",
        Unit::Count,
        "Looks into a car left out because looks took long, by camera",
    ),
    counter(
        "plumb_pipeline_frames_dropped_total",
        Unit::Count,
        "Frames dropped, a stage was full",
    ),
    gauge(
        "plumb_store_in_memory",
        Unit::Count,
        "1 while the disk takes nothing and alarms are kept in memory",
    ),
    counter(
        "plumb_store_disk_failures_total",
        Unit::Count,
        "Times the disk failed and memory took over",
    ),
    counter(
        "plumb_store_alarms_forgotten_total",
        Unit::Count,
        "Delivered alarms that left full memory without reaching the disk",
    ),
    counter(
        "plumb_deliver_unkept_total",
        Unit::Count,
        "Changes of alarms that neither disk nor memory kept",
    ),
    gauge(
        "plumb_deliver_pending",
        Unit::Count,
        "Deliveries that are neither delivered nor given up, by endpoint",
    ),
    gauge(
        "plumb_deliver_oldest_age_ms",
        Unit::Milliseconds,
        "Age of the oldest of them, 0 where there is none",
    ),
    gauge(
        "plumb_deliver_dead",
        Unit::Count,
        "Deliveries given up, by endpoint",
    ),
    counter(
        "plumb_deliver_attempts_total",
        Unit::Count,
        "Attempts, by endpoint and outcome",
    ),
    counter(
        "plumb_deliver_escalations_total",
        Unit::Count,
        "Steps of escalation that were taken, by step",
    ),
    histogram(
        "plumb_deliver_delay_ms",
        Unit::Milliseconds,
        "Time from an event to its delivery, by endpoint",
    ),
    counter(
        "plumb_deliver_endpoints_disabled_total",
        Unit::Count,
        "Endpoints that answered 410 and are disabled",
    ),
    counter(
        "plumb_http_requests_total",
        Unit::Count,
        "Requests answered, by route and status",
    ),
    histogram(
        "plumb_http_request_seconds",
        Unit::Seconds,
        "Time to the head of an answer, by route",
    ),
    gauge(
        "plumb_http_stream_clients",
        Unit::Count,
        "Clients of the alarm stream that are connected",
    ),
    counter(
        "plumb_http_connections_refused_total",
        Unit::Count,
        "Connections of clients that had as many as they may",
    ),
    gauge(
        "plumb_http_live_encodings",
        Unit::Count,
        "Cameras whose live video is encoded anew",
    ),
    gauge(
        "plumb_http_live_viewers",
        Unit::Count,
        "Viewers of live video",
    ),
    counter(
        "plumb_http_live_packets_skipped_total",
        Unit::Count,
        "Packets that slow viewers of live video lost",
    ),
];

/// Bounds of the buckets of every `_seconds` histogram: a cheap answer to a minute's retry.
const SECONDS_BUCKETS: [f64; 14] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0,
];

/// Bounds of the buckets of every `_ms` histogram: a webhook's first attempt to its last.
const MS_BUCKETS: [f64; 14] = [
    5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1e3, 2.5e3, 5e3, 15e3, 60e3, 3.6e6, 86.4e6,
];

/// The recorder could not be installed.
#[derive(Debug, thiserror::Error)]
#[error("another metrics recorder is installed in this process")]
pub struct RecorderTaken;

/// The process's recorder.
#[derive(Clone, Debug)]
pub struct Metrics {
    handle: PrometheusHandle,
}

impl Metrics {
    /// Installs the recorder for the whole process, or returns the one installed before.
    ///
    /// Fails when a recorder that is not Plumb's is in its place.
    pub fn install() -> Result<Self, RecorderTaken> {
        static INSTALLED: OnceLock<Metrics> = OnceLock::new();
        static INSTALLING: Mutex<()> = Mutex::new(());
        let _one_at_a_time = INSTALLING.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(metrics) = INSTALLED.get() {
            return Ok(metrics.clone());
        }
        let recorder = builder().build_recorder();
        let handle = recorder.handle();
        metrics::set_global_recorder(recorder).map_err(|_| RecorderTaken)?;
        describe();
        Ok(INSTALLED.get_or_init(|| Self { handle }).clone())
    }

    /// Returns everything recorded so far in Prometheus' text format.
    pub fn render(&self) -> String {
        self.handle.render()
    }

    /// Folds what histograms have taken since the last time. Without it (or a scrape) they grow.
    pub fn upkeep(&self) {
        self.handle.run_upkeep();
    }
}

/// Returns the text of what `record` sets, and of nothing else: for figures that are read from
/// somewhere at the moment of a scrape, so that what is gone from there is gone from the text.
pub fn render_now(record: impl FnOnce()) -> String {
    let recorder = builder().build_recorder();
    let handle = recorder.handle();
    metrics::with_local_recorder(&recorder, || {
        describe();
        record();
    });
    handle.render()
}

fn builder() -> PrometheusBuilder {
    PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS_BUCKETS)
        .and_then(|builder| {
            let suffix = Matcher::Suffix("_ms".to_owned());
            builder.set_buckets_for_metric(suffix, &MS_BUCKETS)
        })
        .expect("the lists of buckets are not empty")
}

fn describe() {
    for metric in METRICS {
        match metric.shape {
            Shape::Counter => metrics::describe_counter!(metric.name, metric.unit, metric.help),
            Shape::Gauge => metrics::describe_gauge!(metric.name, metric.unit, metric.help),
            Shape::Histogram => metrics::describe_histogram!(metric.name, metric.unit, metric.help),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_their_unit_and_shape() {
        for metric in METRICS {
            let Metric { name, shape, .. } = metric;
            assert!(name.starts_with("plumb_"), "{name}");
            assert_eq!(name.ends_with("_total"), *shape == Shape::Counter, "{name}");
            let bare = name.trim_end_matches("_total");
            match metric.unit {
                Unit::Seconds => assert!(bare.ends_with("_seconds"), "{name}"),
                Unit::Milliseconds => {
                    assert!(bare.ends_with("_ms"), "{name}");
                }
                Unit::Bytes => assert!(bare.ends_with("_bytes"), "{name}"),
                _ => {}
            }
            assert_eq!(
                METRICS.iter().filter(|other| other.name == *name).count(),
                1
            );
        }
    }

    #[test]
    fn renders_only_what_was_set_now() {
        let text = render_now(|| {
            metrics::gauge!("plumb_camera_online", "camera" => "north").set(1.0);
            metrics::histogram!("plumb_http_request_seconds").record(0.02);
        });
        assert!(
            text.contains("# HELP plumb_camera_online 1 while packets"),
            "{text}"
        );
        assert!(
            text.contains("plumb_camera_online{camera=\"north\"} 1"),
            "{text}"
        );
        assert!(
            text.contains("plumb_http_request_seconds_bucket{le=\"0.025\"} 1"),
            "{text}"
        );
        assert!(!render_now(|| {}).contains("plumb_camera_online{"));
    }
}
