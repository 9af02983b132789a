//! Where a source hands its packets over: a bounded queue to the camera's own thread.
//!
//! Never waits within a timeline. When the queue is full the camera's packets are dropped up to the
//! next key picture that finds room, and counted: a slow stage costs its own camera's pictures and
//! nobody else's.

use std::sync::Arc;

use tokio::sync::mpsc::{self, error::TrySendError};

use crate::health::{Board, Link};
use crate::id::CameraId;
use crate::source::{Codec, Packet, SourceEvent, StreamInfo};

/// How many events a camera's queue should hold: 10 s at 25 pictures a second.
pub const EVENTS_MAX: usize = 256;

/// One camera's way out of its source.
pub(super) struct Outlet {
    camera: CameraId,
    events: mpsc::Sender<SourceEvent>,
    board: Board,
    /// A timeline is to begin with the next key picture.
    fresh: bool,
    /// Nothing can be passed on before a key picture: at a start, and after the queue was full.
    waits_for_key: bool,
    /// Whether it waits because the queue was full.
    overflows: bool,
    /// Whether the stage behind stands within a timeline.
    open: bool,
    packets: metrics::Counter,
    dropped: metrics::Counter,
}

impl Outlet {
    pub(super) fn new(camera: CameraId, events: mpsc::Sender<SourceEvent>, board: Board) -> Self {
        let id = camera.to_string();
        Self {
            packets: metrics::counter!("plumb_source_packets_total", "camera" => id.clone()),
            dropped: metrics::counter!("plumb_source_frames_dropped_total", "camera" => id),
            camera,
            events,
            board,
            fresh: true,
            waits_for_key: true,
            overflows: false,
            open: false,
        }
    }

    /// Ends the timeline: another begins with the next key picture.
    pub(super) fn restart(&mut self) {
        (self.fresh, self.waits_for_key, self.overflows) = (true, true, false);
    }

    /// Offers one encoded picture, `packet` made only when it is passed on; returns whether it was.
    pub(super) fn offer(
        &mut self,
        info: &Arc<StreamInfo>,
        key: bool,
        packet: impl FnOnce() -> Packet,
    ) -> bool {
        self.packets.increment(1);
        if self.waits_for_key && !key {
            if self.overflows {
                self.note_dropped();
            }
            return false;
        }
        let mut room = match self.events.try_reserve_many(1 + usize::from(self.fresh)) {
            Ok(room) => room,
            Err(TrySendError::Full(())) => {
                (self.waits_for_key, self.overflows) = (true, true);
                self.note_dropped();
                return false;
            }
            // Whoever runs the source sees by itself that nobody receives.
            Err(TrySendError::Closed(())) => return false,
        };
        if self.fresh
            && let Some(room) = room.next()
        {
            room.send(SourceEvent::Start(Arc::clone(info)));
        }
        if let Some(room) = room.next() {
            room.send(SourceEvent::Packet(packet()));
        }
        drop(room);
        if self.fresh {
            self.note_online(info);
        }
        (self.open, self.fresh) = (true, false);
        (self.waits_for_key, self.overflows) = (false, false);
        true
    }

    /// Tells the stage behind that the timeline is over, waiting until it has room: this camera has
    /// nothing else to bring, and what is raised must end.
    pub(super) async fn end(&mut self) {
        self.restart();
        if self.open && self.events.send(SourceEvent::End).await.is_ok() {
            self.open = false;
        }
    }

    fn note_online(&self, info: &StreamInfo) {
        self.board.update(&self.camera, |health| {
            health.link = Link::Online;
            health.error = None;
            health.codec = match info.codec {
                Codec::H264 => Some("h264".to_owned()),
                Codec::H265 => Some("h265".to_owned()),
                Codec::Other(_) => None,
            };
            (health.width_px, health.height_px) = (info.width_px, info.height_px);
        });
    }

    fn note_dropped(&self) {
        self.dropped.increment(1);
        self.board
            .update(&self.camera, |health| health.frames_dropped += 1);
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use jiff::Timestamp;

    use super::*;
    use crate::clock::StreamTime;
    use crate::source::{Framing, Turn};

    fn info() -> Arc<StreamInfo> {
        Arc::new(StreamInfo {
            codec: Codec::H264,
            framing: Framing::LengthPrefixed,
            extra_data: Bytes::new(),
            width_px: 16,
            height_px: 16,
            codec_tag: 0,
            pixel_format: -1,
            bits_per_sample: 0,
            turn: Turn::None,
        })
    }

    fn packet(key: bool) -> Packet {
        Packet {
            data: Bytes::from_static(b"x"),
            at: StreamTime::ZERO,
            decode_at: StreamTime::ZERO,
            captured_at: Timestamp::UNIX_EPOCH,
            key,
            lost: 0,
        }
    }

    #[test]
    fn drops_up_to_the_next_key_picture_when_the_queue_is_full() {
        let (events, mut received) = mpsc::channel(3);
        let board = Board::default();
        let camera = CameraId::parse("a").unwrap();
        let mut outlet = Outlet::new(camera.clone(), events, board.clone());
        let mut offer = |key| outlet.offer(&info(), key, || packet(key));

        assert!(!offer(false), "before the first key picture");
        assert!(offer(true) && offer(false));
        assert!(!offer(false), "full");
        assert!(matches!(received.try_recv(), Ok(SourceEvent::Start(_))));
        assert!(
            !offer(false),
            "there is room, but the picture before is missing"
        );
        assert!(offer(true));
        assert_eq!(board.camera(&camera).unwrap().frames_dropped, 2);
        let rest: Vec<_> = std::iter::from_fn(|| received.try_recv().ok()).collect();
        assert!(
            rest.iter()
                .all(|event| matches!(event, SourceEvent::Packet(_)))
        );
        assert_eq!(rest.len(), 3);
    }

    #[test]
    fn a_start_is_never_lost_to_a_full_queue() {
        let (events, mut received) = mpsc::channel(2);
        let board = Board::default();
        let mut outlet = Outlet::new(CameraId::parse("a").unwrap(), events, board);
        assert!(outlet.offer(&info(), true, || packet(true)));
        outlet.restart();
        assert!(!outlet.offer(&info(), true, || packet(true)));
        while received.try_recv().is_ok() {}
        assert!(outlet.offer(&info(), true, || packet(true)));
        assert!(matches!(received.try_recv(), Ok(SourceEvent::Start(_))));
    }
}
