//! What one camera hands to the stage behind: events in a bounded queue, on a sound timeline.
//! Never waits within a connection: without room, pictures are dropped up to a key picture.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use retina::client::SessionGroup;
use retina::codec::VideoFrame;
use tokio::sync::mpsc::{self, error::TrySendError};

use super::RtspCamera;
use super::timeline::{CameraClock, Stamp, Step, Timeline};
use crate::clock::Clock;
use crate::health::{Board, Link};
use crate::id::CameraId;
use crate::source::{Codec, Packet, SourceEvent, StreamInfo};

/// What one camera hands to the stage behind, over all its connections.
pub(super) struct Delivery {
    camera: CameraId,
    events: mpsc::Sender<SourceEvent>,
    board: Board,
    pub(super) sessions: Arc<SessionGroup>,
    clock_rate_hz: u32,
    timeline: Timeline,
    camera_clock: CameraClock,
    /// Nothing can be passed on before a key picture: at a start, and after the queue was full.
    waits_for_key: bool,
    /// Whether it waits because the queue was full.
    overflows: bool,
    /// RTP packets lost before the picture that comes next.
    lost: u32,
    /// Whether this connection delivered anything, and since when.
    pub(super) delivered: bool,
    delivers_since: Option<Duration>,
    /// Whether the stage behind stands within a timeline.
    open: bool,
    connections: u64,
    counters: Counters,
}

struct Counters {
    packets: metrics::Counter,
    lost: metrics::Counter,
    dropped: metrics::Counter,
    jumps: metrics::Counter,
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
            events,
            board,
            sessions: Arc::new(SessionGroup::default().named(id())),
            clock_rate_hz: 90_000,
            timeline: Timeline::new(90_000, 0),
            camera_clock: CameraClock::default(),
            waits_for_key: true,
            overflows: false,
            lost: 0,
            delivered: false,
            delivers_since: None,
            open: false,
            connections: 0,
            counters: Counters {
                packets: metrics::counter!("plumb_source_packets_total", "camera" => id()),
                lost: metrics::counter!("plumb_source_rtp_lost_total", "camera" => id()),
                dropped: metrics::counter!("plumb_source_frames_dropped_total", "camera" => id()),
                jumps: metrics::counter!("plumb_source_timestamp_jumps_total", "camera" => id()),
            },
        }
    }

    /// A connection plays.
    pub(super) fn begin(&mut self, clock_rate_hz: u32) {
        self.clock_rate_hz = clock_rate_hz;
        self.timeline = Timeline::new(clock_rate_hz, self.timeline.reorder_us());
        self.camera_clock = CameraClock::default();
        self.waits_for_key = true;
        self.lost = 0;
        self.delivered = false;
        self.delivers_since = None;
        let again = u64::from(self.connections > 0);
        self.connections += 1;
        self.board
            .update(&self.camera, |health| health.reconnects += again);
    }

    /// The connection is over; returns for how long it delivered.
    pub(super) fn end(&mut self, now: Duration) -> Duration {
        self.timeline.restart();
        self.waits_for_key = true;
        let since = self.delivers_since.take();
        since.map_or(Duration::ZERO, |since| now.saturating_sub(since))
    }

    /// Tells the stage behind that the timeline is over, waiting until it has room: this camera has
    /// nothing else to bring, and what is raised must end.
    pub(super) async fn tell_end(&mut self) {
        if self.open && self.events.send(SourceEvent::End).await.is_ok() {
            self.open = false;
        }
    }

    /// The stream's parameters are new or have changed.
    pub(super) fn parameters(&mut self, info: &StreamInfo) {
        self.timeline.restart();
        self.waits_for_key = true;
        self.board.update(&self.camera, |health| {
            let name = match info.codec {
                Codec::H265 => "h265",
                _ => "h264",
            };
            health.codec = Some(name.to_owned());
            (health.width_px, health.height_px) = (info.width_px, info.height_px);
        });
    }

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

    pub(super) fn picture(
        &mut self,
        frame: VideoFrame,
        info: Option<&Arc<StreamInfo>>,
        clock: &dyn Clock,
    ) {
        let lost = u32::from(frame.loss());
        self.lost = self.lost.saturating_add(lost);
        self.counters.packets.increment(1);
        self.counters.lost.increment(u64::from(lost));
        self.board.update(&self.camera, |health| {
            health.packets += 1;
            health.packets_lost += u64::from(lost);
        });
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
                tracing::info!(camera.id = %self.camera, "timestamps of camera {} jumped", self.camera);
                self.counters.jumps.increment(1);
                self.waits_for_key = true;
                // The picture itself may be the key picture that begins the next timeline.
                self.timeline.look(stamp);
            }
            Step::Reordered => self.waits_for_key = true,
        }
        let Some(info) = info else { return };
        if self.waits_for_key && !stamp.key {
            if self.overflows {
                self.note_dropped();
            }
            return;
        }
        self.pass_on(frame, stamp, info);
    }

    fn note_dropped(&self) {
        self.counters.dropped.increment(1);
        self.board
            .update(&self.camera, |health| health.frames_dropped += 1);
    }

    fn pass_on(&mut self, frame: VideoFrame, stamp: Stamp, info: &Arc<StreamInfo>) {
        let starts = !self.timeline.began();
        let mut room = match self.events.try_reserve_many(1 + usize::from(starts)) {
            Ok(room) => room,
            Err(TrySendError::Full(())) => {
                (self.waits_for_key, self.overflows) = (true, true);
                self.note_dropped();
                return;
            }
            // `run` sees by itself that nobody receives.
            Err(TrySendError::Closed(())) => return,
        };
        let (at, decode_at) = self.timeline.place(stamp.rtp);
        let packet = Packet {
            captured_at: self.camera_clock.captured_at(stamp, self.clock_rate_hz),
            data: Bytes::from(frame.into_data()),
            at,
            decode_at,
            key: stamp.key,
            lost: std::mem::take(&mut self.lost),
        };
        if starts && let Some(room) = room.next() {
            room.send(SourceEvent::Start(Arc::clone(info)));
        }
        if let Some(room) = room.next() {
            room.send(SourceEvent::Packet(packet));
        }
        (self.open, self.waits_for_key, self.overflows) = (true, false, false);
        if !self.delivered {
            self.delivered = true;
            self.delivers_since = Some(stamp.arrived);
            self.board.update(&self.camera, |health| {
                health.link = Link::Online;
                health.error = None;
            });
        }
    }
}
