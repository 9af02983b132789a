//! Live video that is encoded anew, for whoever must not see all of a camera's own or cannot play it:
//! the camera's packets are decoded, what is hidden is hidden, and the pictures are encoded as H.264.
//!
//! One encoding serves all viewers of a camera who may see the same. It begins with the first and ends
//! with the last of them, on a thread of its own with a low priority; [`Privacy::live_encodings`] run at
//! a time. One that cannot keep up goes on at the newest key picture that waits, which is always shown:
//! what is shown is now, if need be a picture a key interval.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::runtime::Handle;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::replays::yield_to_cameras;
use super::scenes::CameraScene;
use super::{CameraInfo, Privacy, SceneInForce, Service};
use crate::decode::{Decoder, Frame};
use crate::evidence::planar::Planar;
use crate::evidence::relay::Relay;
use crate::evidence::{Hidden, Redactor};
use crate::id::CameraId;
use crate::scene::Kind;
use crate::source::live::{Live, Viewer};
use crate::source::{Packet, SourceEvent, StreamInfo};

/// With more packets than this waiting, half a second of 25 a second, what lies before the newest key
/// picture is left out, and other pictures are decoded and not encoded: what is shown must be now.
const BEHIND_MAX: usize = 12;
/// Packets that are taken out of the camera's queue at a time; what does not fit stays there.
const WAITING_MAX: usize = 512;

/// The encodings that run.
#[derive(Debug)]
pub(super) struct Relays {
    running: Mutex<HashMap<Which, Weak<Relayed>>>,
    places: Arc<Semaphore>,
}

/// A camera, and whether people are hidden in what it shows.
type Which = (CameraId, bool);

/// A camera's video, encoded anew for as long as somebody holds this.
#[derive(Debug)]
pub(super) struct Relayed {
    /// Where it comes out, under the camera's id.
    pub(super) live: Live,
    stop: CancellationToken,
}

impl Drop for Relayed {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// All places are taken.
pub(super) struct Full;

impl Relays {
    pub(super) fn new(privacy: &Privacy) -> Self {
        Self {
            running: Mutex::default(),
            places: Arc::new(Semaphore::new(privacy.live_encodings)),
        }
    }

    /// Returns the camera's video with `hidden` hidden, begun now where nobody watches it yet. Fails when
    /// as many others are encoded as may be.
    pub(super) fn of(
        &self,
        service: &Service,
        camera: &CameraInfo,
        hidden: &Hidden,
    ) -> Result<Arc<Relayed>, Full> {
        let which = (camera.id.clone(), *hidden == Hidden::People);
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(relayed) = running.get(&which).and_then(Weak::upgrade) {
            return Ok(relayed);
        }
        let place = Arc::clone(&self.places).try_acquire_owned();
        let place = place.map_err(|_| Full)?;
        let scene = service.api.scenes.get(&camera.id);
        let scene = scene.filter(|_| camera.kind == Kind::Facade);
        let relayed = Arc::new(Relayed {
            live: Live::default(),
            stop: service.stop.child_token(),
        });
        let (from, to) = (service.api.live.clone(), relayed.live.clone());
        let hiding = Hiding::new(hidden, scene.cloned());
        let (camera_id, counted) = (camera.id.clone(), Counted::new(place));
        // Made on its thread: an encoder must not move to another.
        let encoding = move || Encoding {
            camera: camera_id,
            from,
            to,
            hiding,
            decoder: None,
            wants_key: true,
            relay: None,
            _counted: counted,
        };
        let (stop, runtime) = (relayed.stop.clone(), Handle::current());
        let spawned = std::thread::Builder::new()
            .name(format!("live {}", camera.id))
            .spawn(move || encoding().run(&stop, &runtime));
        if let Err(error) = spawned {
            warn!(%error, camera.id = %camera.id, "the thread that encodes live video cannot be started");
            return Err(Full);
        }
        running.retain(|_, relayed| relayed.strong_count() > 0);
        running.insert(which, Arc::downgrade(&relayed));
        Ok(relayed)
    }
}

/// What is hidden in a camera's pictures, now.
struct Hiding {
    /// A facade's, whose masks may be drawn anew at any moment.
    scene: Option<SceneInForce>,
    /// By which the redactor was made.
    of: Option<Arc<CameraScene>>,
    redactor: Redactor,
}

impl Hiding {
    fn new(hidden: &Hidden, scene: Option<SceneInForce>) -> Self {
        Self {
            scene,
            of: None,
            redactor: Redactor::new(hidden.clone()),
        }
    }

    fn hide(&mut self, picture: &mut Planar) {
        let now = self.scene.as_ref().map(SceneInForce::current);
        if let Some(now) =
            now.filter(|now| !self.of.as_ref().is_some_and(|of| Arc::ptr_eq(of, now)))
        {
            let facade = now.scene.facade.as_ref();
            let masks = facade.map_or_else(Vec::new, |facade| facade.masks.clone());
            self.redactor = Redactor::new(Hidden::by_masks(masks));
            self.of = Some(now);
        }
        self.redactor.planes(picture, None);
    }
}

/// One encoding, on its thread.
struct Encoding {
    camera: CameraId,
    from: Live,
    to: Live,
    hiding: Hiding,
    decoder: Option<Decoder>,
    /// What comes before the next key picture cannot be decoded.
    wants_key: bool,
    /// For pictures of this size.
    relay: Option<(Relay, (u32, u32))>,
    _counted: Counted,
}

/// Whether a decoded picture is encoded as well.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Encoded {
    Yes,
    No,
}

impl Encoding {
    fn run(mut self, stop: &CancellationToken, runtime: &Handle) {
        yield_to_cameras();
        let Viewer {
            info,
            group,
            mut following,
        } = self.from.watch(&self.camera);
        if let Some(info) = info {
            self.begin(&info);
        }
        // Of what was before the first viewer came only the newest picture is shown.
        let newest = group.len().saturating_sub(1);
        for (index, packet) in group.into_iter().enumerate() {
            let encoded = if index == newest {
                Encoded::Yes
            } else {
                Encoded::No
            };
            self.take(&packet, encoded);
        }
        let mut waiting = VecDeque::new();
        loop {
            if waiting.is_empty() {
                let next = stop.run_until_cancelled(following.recv());
                match runtime.block_on(next) {
                    Some(Ok(event)) => waiting.push_back(event),
                    Some(Err(RecvError::Lagged(_))) => self.wants_key = true,
                    Some(Err(RecvError::Closed)) | None => return,
                }
            }
            while let Some(event) = drained(&mut following, &waiting) {
                match event {
                    Ok(event) => waiting.push_back(event),
                    Err(TryRecvError::Lagged(_)) => {
                        waiting.retain(|event| !matches!(event, SourceEvent::Packet(_)));
                        self.wants_key = true;
                    }
                    Err(TryRecvError::Empty | TryRecvError::Closed) => break,
                }
            }
            if stop.is_cancelled() {
                return;
            }
            leave_out(&mut waiting);
            self.next(&mut waiting);
        }
    }

    /// Does with the first event that waits what is to be done.
    fn next(&mut self, waiting: &mut VecDeque<SourceEvent>) {
        match waiting.pop_front() {
            Some(SourceEvent::Start(info)) => self.begin(&info),
            Some(SourceEvent::Packet(packet)) => {
                let is_left_out = waiting.len() > BEHIND_MAX && !packet.key;
                let encoded = if is_left_out {
                    Encoded::No
                } else {
                    Encoded::Yes
                };
                self.take(&packet, encoded);
            }
            Some(SourceEvent::End) => {
                (self.decoder, self.relay) = (None, None);
                self.to.publish(&self.camera, &SourceEvent::End);
            }
            None => {}
        }
    }

    fn begin(&mut self, info: &StreamInfo) {
        self.relay = None;
        self.wants_key = true;
        self.decoder = Decoder::open(info)
            .inspect_err(
                |error| warn!(%error, camera.id = %self.camera, "live video cannot be decoded"),
            )
            .ok();
    }

    fn take(&mut self, packet: &Packet, encoded: Encoded) {
        let Some(decoder) = &mut self.decoder else {
            return;
        };
        if self.wants_key && !packet.key {
            return;
        }
        self.wants_key = false;
        let mut frames = Vec::new();
        decoder.push(packet, |frame| frames.push(frame));
        for frame in frames.iter().filter(|_| encoded == Encoded::Yes) {
            self.show(frame);
        }
    }

    fn show(&mut self, frame: &Frame) {
        let size_px = (frame.width_px(), frame.height_px());
        let mut picture = Planar::of(frame);
        self.hiding.hide(&mut picture);
        let kept = self.relay.take().filter(|(_, of)| *of == size_px);
        let (mut relay, is_new) = match kept {
            Some((relay, _)) => (relay, false),
            None => match Relay::open(size_px.0, size_px.1) {
                Ok(relay) => (relay, true),
                Err(error) => {
                    warn!(%error, camera.id = %self.camera, "live video cannot be encoded");
                    self.decoder = None;
                    return;
                }
            },
        };
        if is_new {
            let info = Arc::new(relay.info());
            self.to.publish(&self.camera, &SourceEvent::Start(info));
        }
        match relay.push(&picture, frame.at, frame.captured_at) {
            Ok(packet) => {
                if let Some(packet) = packet {
                    self.to.publish(&self.camera, &SourceEvent::Packet(packet));
                }
                self.relay = Some((relay, size_px));
            }
            // Made anew with the next picture.
            Err(error) => {
                warn!(%error, camera.id = %self.camera, "a picture is left out of live video")
            }
        }
    }
}

/// Returns what the camera's queue has besides what waits already; none where no more may wait.
fn drained(
    following: &mut Receiver<SourceEvent>,
    waiting: &VecDeque<SourceEvent>,
) -> Option<Result<SourceEvent, TryRecvError>> {
    (waiting.len() < WAITING_MAX).then(|| following.try_recv())
}

/// Leaves out what lies before the newest key picture where too much waits. What a stream begins or ends
/// with is never left out.
fn leave_out(waiting: &mut VecDeque<SourceEvent>) {
    if waiting.len() <= BEHIND_MAX {
        return;
    }
    let packets = waiting
        .iter()
        .take_while(|event| matches!(event, SourceEvent::Packet(_)))
        .count();
    let is_key = |event: &SourceEvent| matches!(event, SourceEvent::Packet(packet) if packet.key);
    if let Some(newest) = waiting.iter().take(packets).rposition(is_key) {
        waiting.drain(..newest);
    }
}

/// An encoding that is counted as long as its thread runs.
struct Counted {
    _place: OwnedSemaphorePermit,
}

impl Counted {
    fn new(place: OwnedSemaphorePermit) -> Self {
        metrics::gauge!("plumb_http_live_encodings").increment(1);
        Self { _place: place }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        metrics::gauge!("plumb_http_live_encodings").decrement(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::StreamTime;

    fn packet(number: i64, key: bool) -> SourceEvent {
        let at = StreamTime::from_micros(number * 40_000);
        SourceEvent::Packet(Packet {
            data: Vec::new().into(),
            at,
            decode_at: at,
            captured_at: jiff::Timestamp::UNIX_EPOCH,
            key,
            lost: 0,
        })
    }

    fn left(mut waiting: VecDeque<SourceEvent>) -> Vec<i64> {
        leave_out(&mut waiting);
        let at = |event: &SourceEvent| match event {
            SourceEvent::Packet(packet) => packet.at.as_micros() / 40_000,
            _ => -1,
        };
        waiting.iter().map(at).collect()
    }

    #[test]
    fn what_is_too_far_behind_goes_on_at_the_newest_key_picture() {
        let stream = |from: i64, to: i64| (from..to).map(|number| packet(number, number % 25 == 0));
        // Half a second is caught up with.
        assert_eq!(left(stream(20, 32).collect()).first(), Some(&20));
        assert_eq!(left(stream(1, 80).collect())[..2], [75, 76]);
        // Without a key picture there is nowhere to go on.
        assert_eq!(left(stream(1, 20).collect()).len(), 19);
        // Where the stream begins anew is never left out.
        let mut anew: VecDeque<_> = stream(1, 30).collect();
        anew.push_back(SourceEvent::End);
        anew.extend(stream(50, 80));
        let left = left(anew);
        assert_eq!(left[..6], [25, 26, 27, 28, 29, -1]);
        assert_eq!(left[6..8], [50, 51]);
    }
}
