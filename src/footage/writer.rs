//! The writer of one camera's footage: takes its live packets, cuts them into segments, and counts what
//! it could not keep. Blocks on the disk: it belongs on a thread of its own.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::segment::OpenSegment;
use super::{FootageError, SEGMENT_STRETCH, can_begin};
use crate::clock::Clock;
use crate::evidence::room::Room;
use crate::id::CameraId;
use crate::source::live::{Live, Viewer};
use crate::source::{Packet, SourceEvent, StreamInfo};

/// How often the disk is asked for its room.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// After a disk's failure nothing is tried for so long.
const REST: Duration = Duration::from_secs(10);

/// By what a camera's footage is written.
#[derive(Clone, Debug)]
pub struct FootageRules {
    /// Where all cameras' footage lies.
    pub root: PathBuf,
    /// A segment's length; then it goes on to the next key picture.
    pub length: Duration,
    /// With less room than this nothing is written.
    pub room: Room,
}

/// Says which scene of a camera is in force: its digest, none where there is none.
pub type SceneDigest = Box<dyn Fn() -> Option<String> + Send>;

/// Writes one camera's footage.
pub struct Writer {
    camera: CameraId,
    rules: FootageRules,
    clock: Arc<dyn Clock>,
    scene: SceneDigest,
    /// Told when a segment is closed.
    closed: watch::Sender<u64>,
    info: Option<Arc<StreamInfo>>,
    open: Option<OpenSegment>,
    /// When the disk is looked at next (monotonic), and whether it had room.
    look_at: Duration,
    has_room: bool,
    /// Nothing is tried before (monotonic).
    rests_until: Duration,
    lost: u64,
}

impl Writer {
    /// Returns the writer; `closed` is told each time a segment is closed.
    pub fn new(
        camera: CameraId,
        rules: FootageRules,
        clock: Arc<dyn Clock>,
        scene: SceneDigest,
        closed: watch::Sender<u64>,
    ) -> Self {
        // The figure is there from the start, so that a person sees that nothing is lost.
        count_lost(&camera, 0);
        Self {
            camera,
            rules,
            clock,
            scene,
            closed,
            info: None,
            open: None,
            look_at: Duration::ZERO,
            has_room: true,
            rests_until: Duration::ZERO,
            lost: 0,
        }
    }

    /// Writes until `stop`, and then what is still waiting.
    pub async fn run(mut self, live: &Live, stop: CancellationToken) {
        let mut following = self.join(live.watch(&self.camera));
        loop {
            match stop.run_until_cancelled(following.recv()).await {
                Some(Ok(event)) => self.take(&event),
                Some(Err(RecvError::Lagged(missed))) => {
                    let behind = missed + following.len() as u64;
                    following = self.rejoin(live.watch(&self.camera), behind);
                }
                Some(Err(RecvError::Closed)) | None => break,
            }
        }
        // The sources have ended: what is here is the rest.
        while let Ok(event) = following.try_recv() {
            self.take(&event);
        }
        self.close(None);
    }

    /// Begins with a viewer's place.
    pub fn join(&mut self, viewer: Viewer) -> Receiver<SourceEvent> {
        self.info = viewer.info;
        for packet in &viewer.group {
            self.packet(packet);
        }
        viewer.following
    }

    /// Goes on with a viewer's new place after the disk was so slow that `behind` events were not taken.
    /// What the newest group of pictures still has of them is not lost.
    pub fn rejoin(&mut self, viewer: Viewer, behind: u64) -> Receiver<SourceEvent> {
        let goes_on = match (&self.open, &viewer.info, viewer.group.first()) {
            (Some(open), Some(info), Some(first)) => open.has(info, first),
            _ => false,
        };
        if !goes_on {
            self.close(None);
        }
        self.info = viewer.info.clone();
        let mut kept = 0;
        for packet in &viewer.group {
            let known = self.open.as_ref().zip(viewer.info.as_ref());
            if known.is_some_and(|(open, info)| open.has(info, packet)) {
                continue;
            }
            kept += 1;
            self.packet(packet);
        }
        self.lose(behind.saturating_sub(kept));
        viewer.following
    }

    /// Takes what the source says next.
    pub fn take(&mut self, event: &SourceEvent) {
        match event {
            SourceEvent::Start(info) => {
                self.close(None);
                self.info = Some(Arc::clone(info));
            }
            SourceEvent::Packet(packet) => self.packet(packet),
            SourceEvent::End => {
                self.close(None);
                self.info = None;
            }
        }
    }

    /// Returns how many packets could not be kept.
    pub fn lost(&self) -> u64 {
        self.lost
    }

    fn packet(&mut self, packet: &Packet) {
        let begins = (self.info.as_ref()).is_some_and(|info| can_begin(info, packet));
        let packet = &Packet {
            key: begins,
            ..packet.clone()
        };
        if begins && self.turn(packet) {
            return;
        }
        if self.is_overlong() {
            // It goes on with the next key picture, whenever that comes.
            self.close(None);
        }
        let Some(open) = &mut self.open else {
            return self.lose(1);
        };
        if open.is_before(packet) {
            // It needs pictures of before the segment.
            return self.lose(1);
        }
        if let Err(error) = open.push(packet) {
            self.fail(&error);
            self.lose(1);
        }
    }

    /// Does what a key picture allows: ends a segment that is long enough, and begins the next. Returns
    /// whether one begins with it.
    fn turn(&mut self, packet: &Packet) -> bool {
        let has_room = self.looks_for_room();
        let lasts = self.open.as_ref().map(OpenSegment::lasts);
        if lasts.is_some_and(|lasts| lasts >= self.rules.length || !has_room) {
            self.close(Some(packet));
        }
        let rests = self.clock.monotonic() < self.rests_until;
        let Some(info) = self.info.clone().filter(|_| self.open.is_none()) else {
            return false;
        };
        if !has_room || rests {
            return false;
        }
        match OpenSegment::begin(
            &self.rules.root,
            &self.camera,
            &info,
            packet,
            (self.scene)(),
        ) {
            Ok(open) => self.open = Some(open),
            Err(error) => self.fail(&error),
        }
        self.open.is_some()
    }

    fn is_overlong(&self) -> bool {
        let most = self.rules.length.saturating_mul(SEGMENT_STRETCH);
        self.open.as_ref().is_some_and(|open| open.lasts() >= most)
    }

    fn close(&mut self, next: Option<&Packet>) {
        let Some(open) = self.open.take() else { return };
        let in_memory = open.in_memory();
        match open.close(next.map(|packet| packet.captured_at)) {
            Ok(()) => self.closed.send_modify(|count| *count += 1),
            Err(error) => {
                self.lose(in_memory);
                self.fail(&error);
            }
        }
    }

    /// Gives the segment up and rests. What is on the disk of it is made whole later.
    fn fail(&mut self, error: &FootageError) {
        tracing::warn!(
            camera.id = %self.camera, error = error as &dyn std::error::Error,
            "footage could not be written; it is tried again"
        );
        if let Some(open) = self.open.take() {
            self.lose(open.in_memory());
            open.give_up();
        }
        self.closed.send_modify(|count| *count += 1);
        self.rests_until = self.clock.monotonic() + REST;
    }

    fn looks_for_room(&mut self) -> bool {
        let now = self.clock.monotonic();
        if now < self.look_at {
            return self.has_room;
        }
        self.look_at = now + LOOK_EVERY;
        let lacks = self.rules.room.lacks(&self.rules.root);
        match (&lacks, self.has_room) {
            (Some(reason), true) => {
                tracing::warn!(camera.id = %self.camera, reason, "footage is not written");
            }
            (None, false) => tracing::info!(camera.id = %self.camera, "footage is written again"),
            _ => {}
        }
        self.has_room = lacks.is_none();
        self.has_room
    }

    fn lose(&mut self, packets: u64) {
        if packets > 0 {
            self.lost += packets;
            count_lost(&self.camera, packets);
        }
    }
}

fn count_lost(camera: &CameraId, packets: u64) {
    metrics::counter!("plumb_footage_packets_lost_total", "camera" => camera.to_string())
        .increment(packets);
}
