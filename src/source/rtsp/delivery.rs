//! From retina's pictures to packets on a sound timeline, over all connections of one camera.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use retina::client::SessionGroup;
use retina::codec::VideoFrame;
use tokio::sync::mpsc;

use super::RtspCamera;
use super::timeline::{CameraClock, Stamp, Step, Timeline};
use crate::clock::Clock;
use crate::health::Board;
use crate::id::CameraId;
use crate::source::outlet::Outlet;
use crate::source::{Packet, SourceEvent, StreamInfo};

/// What one camera hands to the stage behind.
pub(super) struct Delivery {
    camera: CameraId,
    outlet: Outlet,
    board: Board,
    pub(super) sessions: Arc<SessionGroup>,
    clock_rate_hz: u32,
    timeline: Timeline,
    camera_clock: CameraClock,
    /// RTP packets lost before the picture that comes next.
    lost: u32,
    /// When this connection delivered its first picture.
    delivers_since: Option<Duration>,
    connections: u64,
    lost_total: metrics::Counter,
    jumps_total: metrics::Counter,
}

impl Delivery {
    pub(super) fn new(
        camera: &RtspCamera,
        events: mpsc::Sender<SourceEvent>,
        board: Board,
    ) -> Self {
        let id = || camera.id.to_string();
        Self {
            camera: camera.id.clone(),
            outlet: Outlet::new(camera.id.clone(), events, board.clone()),
            board,
            sessions: Arc::new(SessionGroup::default().named(id())),
            clock_rate_hz: 90_000,
            timeline: Timeline::new(90_000, 0),
            camera_clock: CameraClock::default(),
            lost: 0,
            delivers_since: None,
            connections: 0,
            lost_total: metrics::counter!("plumb_source_rtp_lost_total", "camera" => id()),
            jumps_total: metrics::counter!(
                "plumb_source_timestamp_jumps_total", "camera" => id()
            ),
        }
    }

    /// A connection plays.
    pub(super) fn begin(&mut self, clock_rate_hz: u32) {
        self.clock_rate_hz = clock_rate_hz;
        self.timeline = Timeline::new(clock_rate_hz, self.timeline.reorder_us());
        self.camera_clock = CameraClock::default();
        self.outlet.restart();
        self.lost = 0;
        self.delivers_since = None;
        let again = u64::from(self.connections > 0);
        self.connections += 1;
        self.board
            .update(&self.camera, |health| health.reconnects += again);
    }

    /// Returns whether this connection delivered a picture yet.
    pub(super) fn delivers(&self) -> bool {
        self.delivers_since.is_some()
    }

    /// The connection is over; returns for how long it delivered.
    pub(super) fn end(&mut self, now: Duration) -> Duration {
        self.new_timeline();
        let since = self.delivers_since.take();
        since.map_or(Duration::ZERO, |since| now.saturating_sub(since))
    }

    /// Tells the stage behind that the timeline is over, waiting until it has room.
    pub(super) async fn tell_end(&mut self) {
        self.outlet.end().await;
    }

    /// Begins another timeline with the next key picture, as new parameters demand.
    pub(super) fn new_timeline(&mut self) {
        self.timeline.restart();
        self.outlet.restart();
    }

    /// Takes an RTCP packet: a sender report tells the camera's wall time.
    pub(super) fn report(
        &mut self,
        report: &retina::rtcp::ReceivedCompoundPacket,
        clock: &dyn Clock,
    ) {
        let Some(rtp) = report.rtp_timestamp() else {
            return;
        };
        let first = report.pkts().next();
        let Some(Ok(Some(sent))) = first.map(retina::rtcp::PacketRef::as_sender_report) else {
            return;
        };
        let ntp = sent.ntp_timestamp().0;
        self.camera_clock
            .report(rtp.timestamp(), ntp, clock.monotonic(), clock.now());
        let (offset_ms, drift_ppm) = (self.camera_clock.offset_ms(), self.camera_clock.drift_ppm());
        self.board.update(&self.camera, |health| {
            health.clock_offset_ms = offset_ms;
            health.clock_drift_ppm = drift_ppm;
        });
    }

    /// Takes a picture; passes it on where it fits a timeline and the queue has room.
    pub(super) fn picture(
        &mut self,
        frame: VideoFrame,
        info: Option<&Arc<StreamInfo>>,
        clock: &dyn Clock,
    ) {
        self.count(&frame);
        // Parameter sets alone are no picture.
        if frame.data().is_empty() {
            return;
        }
        let stamp = Stamp {
            rtp: frame.timestamp().timestamp(),
            key: frame.is_random_access_point(),
            arrived: clock.monotonic(),
            arrived_at: clock.now(),
        };
        match self.timeline.look(stamp) {
            Step::Continues => {}
            Step::Jumped => {
                tracing::info!(
                    camera.id = %self.camera,
                    "timestamps of camera {} jumped; a new timeline begins",
                    self.camera
                );
                self.jumps_total.increment(1);
                self.outlet.restart();
                // It may itself be the key picture that begins the next timeline.
                self.timeline.look(stamp);
            }
            Step::Reordered => self.outlet.restart(),
        }
        let Some(info) = info else { return };
        let (timeline, lost) = (&mut self.timeline, &mut self.lost);
        let captured_at = self.camera_clock.captured_at(stamp, self.clock_rate_hz);
        let sent = self.outlet.offer(info, stamp.key, || {
            let (at, decode_at) = timeline.place(stamp.rtp);
            Packet {
                data: Bytes::from(frame.into_data()),
                at,
                decode_at,
                captured_at,
                key: stamp.key,
                lost: std::mem::take(lost),
            }
        });
        if sent {
            self.delivers_since.get_or_insert(stamp.arrived);
        }
    }

    fn count(&mut self, frame: &VideoFrame) {
        let lost = u32::from(frame.loss());
        self.lost = self.lost.saturating_add(lost);
        self.lost_total.increment(u64::from(lost));
        self.board.update(&self.camera, |health| {
            health.packets += 1;
            health.packets_lost += u64::from(lost);
        });
    }
}
