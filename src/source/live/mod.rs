//! Each camera's packets for whoever watches it live.
//!
//! A camera's thread puts its packets here and never waits: a viewer that is slow loses packets, and
//! goes on at the next key picture. A late viewer begins with the last key picture. No packet's bytes
//! are copied.

pub mod fragment;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::broadcast;

use super::{Packet, SourceEvent, StreamInfo};
use crate::id::CameraId;

/// Packets that a viewer may be behind: 5 s at 25 a second. Beyond it the oldest are lost to it.
const BEHIND_MAX: usize = 128;
/// Bytes of the newest group of pictures that are kept for late viewers; of a larger group there are
/// none, and they begin with the next key picture.
const GROUP_BYTES_MAX: usize = 16 << 20;

/// All cameras' live packets; clones share them.
#[derive(Clone, Debug, Default)]
pub struct Live {
    cameras: Arc<Mutex<BTreeMap<CameraId, Channel>>>,
}

#[derive(Debug)]
struct Channel {
    info: Option<Arc<StreamInfo>>,
    /// From the last key picture on.
    group: Vec<Packet>,
    group_bytes: usize,
    viewers: broadcast::Sender<SourceEvent>,
}

/// A viewer's place: what it begins with, and what follows.
#[derive(Debug)]
pub struct Viewer {
    /// None while the camera is away.
    pub info: Option<Arc<StreamInfo>>,
    /// The newest group of pictures so far, beginning with a key picture.
    pub group: Vec<Packet>,
    pub following: broadcast::Receiver<SourceEvent>,
}

impl Live {
    /// Takes what a source says.
    pub fn publish(&self, camera: &CameraId, event: &SourceEvent) {
        let mut cameras = self.lock();
        match cameras.get_mut(camera) {
            Some(channel) => channel.take(event),
            None => {
                let mut channel = Channel::default();
                channel.take(event);
                cameras.insert(camera.clone(), channel);
            }
        }
    }

    /// Returns a viewer's place before the camera.
    pub fn watch(&self, camera: &CameraId) -> Viewer {
        let mut cameras = self.lock();
        let channel = cameras.entry(camera.clone()).or_default();
        Viewer {
            info: channel.info.clone(),
            group: channel.group.clone(),
            following: channel.viewers.subscribe(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<CameraId, Channel>> {
        // A channel is whole after each step: a panic leaves nothing half done.
        self.cameras.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Channel {
    fn default() -> Self {
        Self {
            info: None,
            group: Vec::new(),
            group_bytes: 0,
            viewers: broadcast::Sender::new(BEHIND_MAX),
        }
    }
}

impl Channel {
    fn take(&mut self, event: &SourceEvent) {
        match event {
            SourceEvent::Start(info) => {
                self.clear();
                self.info = Some(Arc::clone(info));
            }
            SourceEvent::End => {
                self.clear();
                self.info = None;
            }
            SourceEvent::Packet(packet) => self.keep(packet),
        }
        // Nobody watches: that is no failure.
        self.viewers.send(event.clone()).ok();
    }

    fn keep(&mut self, packet: &Packet) {
        if packet.key {
            self.clear();
        } else if self.group.is_empty() {
            return;
        }
        self.group_bytes += packet.data.len();
        self.group.push(packet.clone());
        if self.group_bytes > GROUP_BYTES_MAX {
            self.clear();
        }
    }

    fn clear(&mut self) {
        self.group.clear();
        self.group_bytes = 0;
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::clock::StreamTime;
    use crate::source::{Codec, Framing, Turn};

    fn packet(number: i64, key: bool) -> SourceEvent {
        let at = StreamTime::from_micros(number * 40_000);
        SourceEvent::Packet(Packet {
            data: Bytes::from_static(&[0; 1000]),
            at,
            decode_at: at,
            captured_at: jiff::Timestamp::UNIX_EPOCH,
            key,
            lost: 0,
        })
    }

    fn start() -> SourceEvent {
        SourceEvent::Start(Arc::new(StreamInfo {
            codec: Codec::H264,
            framing: Framing::LengthPrefixed,
            extra_data: Bytes::new(),
            width_px: 2,
            height_px: 2,
            codec_tag: 0,
            pixel_format: -1,
            bits_per_sample: 0,
            turn: Turn::None,
        }))
    }

    fn camera() -> CameraId {
        CameraId::parse("north").expect("an id")
    }

    #[tokio::test]
    async fn a_late_viewer_begins_with_the_last_key_picture_and_misses_nothing() {
        let live = Live::default();
        live.publish(&camera(), &start());
        for number in 0..25 {
            live.publish(&camera(), &packet(number, number % 10 == 0));
        }
        let mut viewer = live.watch(&camera());
        assert_eq!(viewer.group.len(), 5);
        assert!(viewer.group[0].key && viewer.info.is_some());
        live.publish(&camera(), &packet(25, false));
        let SourceEvent::Packet(next) = viewer.following.recv().await.expect("it follows") else {
            panic!("a packet follows");
        };
        assert_eq!(next.at.as_micros(), 25 * 40_000);
        live.publish(&camera(), &SourceEvent::End);
        assert!(live.watch(&camera()).info.is_none());
    }

    #[tokio::test]
    async fn a_slow_viewer_is_told_that_it_lost_packets() {
        let live = Live::default();
        let mut viewer = live.watch(&camera());
        for number in 0..1000 {
            live.publish(&camera(), &packet(number, number % 10 == 0));
        }
        let lost = viewer.following.recv().await;
        assert!(matches!(lost, Err(broadcast::error::RecvError::Lagged(_))));
    }

    #[test]
    fn a_group_that_never_ends_is_not_kept_for_ever() {
        let live = Live::default();
        live.publish(&camera(), &packet(0, true));
        for number in 1..20_000 {
            live.publish(&camera(), &packet(number, false));
        }
        assert!(live.watch(&camera()).group.len() < 20_000);
    }
}
