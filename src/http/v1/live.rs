//! A camera's live video over a WebSocket, for Media Source Extensions: the camera's own pictures in
//! fragments of MP4, neither decoded nor encoded. Where something in them is hidden from the viewer, or
//! browsers do not play them (H.265), they are encoded anew (`relays`).
//!
//! A viewer answers the message before each key picture with a text of its own. Without that, what
//! the sockets on the way hold (many seconds of video) would be how far it falls behind.
//!
//! What is hidden can change while somebody watches: then the viewing ends, and the viewer comes back
//! to what may be shown.
//!
//! Bounds: [`Limits::live_viewers`](crate::http::Limits) at a time; a viewer is at most
//! `source::live`'s queue behind, or [`OWES_MAX`] with an answer, and then goes on at the next key
//! picture; one that takes nothing for
//! [`SEND_MAX`] is sent away. The look is written down before the first byte, and again for each
//! sitting of ten minutes; the viewer's session or token is looked at as for the alarm stream.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::extract::{Path, State};
use axum::response::Response;
use bytes::Bytes;
use serde_json::json;
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::broadcast::error::RecvError;

use super::cameras;
use crate::evidence::Hidden;
use crate::http::access::{self, Principal};
use crate::http::error::ApiError;
use crate::http::openapi::NotFound;
use crate::http::query::NoQuery;
use crate::http::relays::Relayed;
use crate::http::{CameraInfo, Service, looks, sight};
use crate::source::live::Viewer;
use crate::source::live::fragment::{Fragments, NotLive};
use crate::source::{Codec, Packet, SourceEvent, StreamInfo};
use crate::store::AuditOutcome;

/// What a look is called in the audit log.
pub(in crate::http) const LOOK: &str = "live.seen";
/// Waits no longer for a viewer to take what it is sent.
const SEND_MAX: Duration = Duration::from_secs(10);
/// A viewer that owes an answer for longer than this is behind, and is sent no more until it comes.
const OWES_MAX: Duration = Duration::from_secs(2);
/// Looks this often whether the viewer still may, and gives a sign of life.
const RECHECK: Duration = Duration::from_secs(1);
/// Why a camera is not shown live where the configuration lets none be encoded.
const NOT_ENCODED: &str =
    "something in its video is hidden, or it is H.265, and privacy.live_encodings is 0";
/// What a viewer may say at a time: an answer is one letter.
const MESSAGE_BYTES_MAX: usize = 1024;

/// A camera's live video, as a WebSocket. What is hidden from the viewer is hidden in it. A text message `{"codec"}` comes first and begins
/// a timeline, as it does after each pause of the camera; binary messages are fragments of MP4 to be
/// appended in order; a text message `{"shown_at_s","captured_at_ms"}` before each key picture ties the
/// player's clock to the camera's, and is to be answered with any text, by which a slow viewer is told;
/// `{"away"}` says that the camera shows nothing, `{"full"}` that so many other cameras are
/// encoded anew for others, `{"refused"}` why it cannot be shown.
#[utoipa::path(
    get,
    operation_id = "camera_live",
    path = "/api/v1/cameras/{id}/live",
    tag = "cameras",
    params(("id" = String, Path, description = "The camera's id in the config")),
    responses((status = 101, description = "The video follows"), NotFound)
)]
pub(crate) async fn watch(
    State(service): State<Arc<Service>>,
    who: Principal,
    Path(id): Path<String>,
    _: NoQuery,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, ApiError> {
    let camera = cameras::find(&service.api, &id)?.clone();
    let upgrade = upgrade.map_err(|_| ApiError::BadHeader {
        name: "Upgrade",
        allowed: "websocket, with what RFC 6455 asks for",
    })?;
    if service.stop.is_cancelled() {
        return Err(ApiError::Stopping);
    }
    let free = Arc::clone(&service.live_viewers).try_acquire_owned();
    let permit = free.map_err(|_| ApiError::Busy {
        what: "viewers of live video",
    })?;
    let viewing = Viewing {
        service,
        who,
        camera,
        way: Way::Own,
        fragments: None,
        info: None,
        wants_key: true,
        owed: VecDeque::new(),
        _counted: Counted::new(permit),
    };
    let upgrade = upgrade.max_message_size(MESSAGE_BYTES_MAX);
    Ok(upgrade.on_upgrade(|socket| viewing.run(socket)))
}

/// By which way a camera's video comes.
enum Way {
    /// As the camera sends it.
    Own,
    Encoded {
        /// It runs as long as somebody holds it.
        _relayed: Arc<Relayed>,
    },
}

/// One viewer.
struct Viewing {
    service: Arc<Service>,
    who: Principal,
    camera: CameraInfo,
    way: Way,
    info: Option<Arc<StreamInfo>>,
    /// None until the timeline's first key picture.
    fragments: Option<Fragments>,
    /// What comes before the next key picture cannot be shown.
    wants_key: bool,
    /// When each message was sent that is not answered yet (monotonic). At most as many as there are
    /// key pictures in [`OWES_MAX`].
    owed: VecDeque<Duration>,
    _counted: Counted,
}

/// Why a viewing ends; the viewer comes back if it wants to.
enum End {
    /// It has gone, does not read, or may not any more; or the service stops.
    Gone,
    /// The video cannot be shown, and it was told so.
    Refused,
}

impl Viewing {
    async fn run(mut self, mut socket: WebSocket) {
        let Ok(viewer) = self.choose(&mut socket).await else {
            return;
        };
        let Viewer {
            info,
            group,
            mut following,
        } = viewer;
        let Ok(()) = self.begin(&mut socket, info, group).await else {
            return;
        };
        let stop = self.service.stop.clone();
        let mut recheck = tokio::time::interval(RECHECK);
        recheck.reset();
        loop {
            let went_on = tokio::select! {
                () = stop.cancelled() => Err(End::Gone),
                said = socket.recv() => match said {
                    Some(Ok(Message::Close(_)) | Err(_)) | None => Err(End::Gone),
                    Some(Ok(Message::Text(_))) => {
                        self.owed.pop_front();
                        Ok(())
                    }
                    Some(Ok(_)) => Ok(()),
                },
                event = following.recv() => match event {
                    Ok(event) => self.take(&mut socket, event).await,
                    Err(RecvError::Lagged(packets)) => {
                        self.skip(packets);
                        Ok(())
                    }
                    Err(RecvError::Closed) => Err(End::Gone),
                },
                _ = recheck.tick() => self.recheck(&mut socket).await,
            };
            if went_on.is_err() {
                // Best effort: the connection ends in any case.
                send(&mut socket, Message::Close(None)).await.ok();
                return;
            }
        }
    }

    /// Chooses the way by which the video comes, and returns the viewer's place there.
    async fn choose(&mut self, socket: &mut WebSocket) -> Result<Viewer, End> {
        let service = &self.service;
        let (live, id) = (&service.api.live, &self.camera.id);
        let own = live.watch(id);
        let info = own.info.as_deref();
        let hidden = sight::of_camera(service, &self.who, &self.camera);
        if hidden == Hidden::Nothing && info.is_none_or(StreamInfo::is_shown_by_browsers) {
            return Ok(own);
        }
        let Ok(relayed) = service.relays.of(service, &self.camera, &hidden) else {
            let most = service.api.privacy.live_encodings;
            let said = match most {
                0 => json!({ "refused": NOT_ENCODED }),
                most => json!({ "full": most }),
            };
            say(socket, &said).await?;
            send(socket, Message::Close(None)).await?;
            return Err(End::Refused);
        };
        let mut viewer = relayed.live.watch(id);
        // Away is the camera, not an encoding that just begins.
        if own.info.is_some() && viewer.info.is_none() {
            viewer.info = own.info;
        }
        self.way = Way::Encoded { _relayed: relayed };
        Ok(viewer)
    }

    /// Returns whether the camera's own video may not be shown any more.
    fn is_uncovered(&self) -> bool {
        matches!(self.way, Way::Own) && sight::hides_any(&self.service, &self.who, &self.camera)
    }

    /// Shows what there is already, so that the viewer need not wait for a key picture.
    async fn begin(
        &mut self,
        socket: &mut WebSocket,
        info: Option<Arc<StreamInfo>>,
        group: Vec<Packet>,
    ) -> Result<(), End> {
        if info.is_none() {
            say(socket, &json!({ "away": true })).await?;
        }
        self.info = info;
        for packet in group {
            self.show(socket, packet).await?;
        }
        Ok(())
    }

    async fn take(&mut self, socket: &mut WebSocket, event: SourceEvent) -> Result<(), End> {
        match event {
            SourceEvent::Packet(packet) => self.show(socket, packet).await,
            SourceEvent::Start(info) => {
                self.restart(Some(info));
                Ok(())
            }
            SourceEvent::End => {
                self.restart(None);
                say(socket, &json!({ "away": true })).await
            }
        }
    }

    fn restart(&mut self, info: Option<Arc<StreamInfo>>) {
        self.info = info;
        self.fragments = None;
        self.wants_key = true;
    }

    /// Goes on at the next key picture: the viewer was too slow for what is lost.
    fn skip(&mut self, packets: u64) {
        metrics::counter!("plumb_http_live_packets_skipped_total").increment(packets);
        self.wants_key = true;
        if let Some(fragments) = &mut self.fragments {
            fragments.skip();
        }
    }

    /// Returns whether the viewer has not taken what was sent a while ago.
    fn is_behind(&self) -> bool {
        let now = self.service.api.clock.monotonic();
        let oldest = self.owed.front();
        oldest.is_some_and(|sent_at| now.saturating_sub(*sent_at) > OWES_MAX)
    }

    async fn show(&mut self, socket: &mut WebSocket, packet: Packet) -> Result<(), End> {
        if self.is_uncovered() {
            return Err(End::Gone);
        }
        if self.is_behind() {
            self.skip(1);
            return Ok(());
        }
        if self.wants_key && !packet.key {
            return Ok(());
        }
        let Some(info) = &self.info else {
            return Ok(());
        };
        self.wants_key = false;
        let fragments = match &mut self.fragments {
            Some(fragments) => fragments,
            None => match Fragments::new(info, &packet) {
                Ok(fragments) => {
                    say(socket, &json!({ "codec": fragments.codec() })).await?;
                    send(socket, Message::Binary(fragments.opening())).await?;
                    self.fragments.insert(fragments)
                }
                // It sends another codec than before: to be encoded anew.
                Err(NotLive::Codec) if !matches!(info.codec, Codec::Other(_)) => {
                    return Err(End::Gone);
                }
                Err(error) => {
                    say(socket, &json!({ "refused": error.to_string() })).await?;
                    return Err(End::Refused);
                }
            },
        };
        let (is_key, captured_at_ms) = (packet.key, packet.captured_at.as_millisecond());
        let at = packet.clone();
        let made: Option<Bytes> = fragments.push(packet);
        if is_key {
            let shown_at_s = fragments.shown_at_s(&at);
            self.owed.push_back(self.service.api.clock.monotonic());
            let tie = json!({ "shown_at_s": shown_at_s, "captured_at_ms": captured_at_ms });
            say(socket, &tie).await?;
        }
        match made {
            Some(fragment) => send(socket, Message::Binary(fragment)).await,
            None => Ok(()),
        }
    }

    /// Ends the viewing of whoever may not see this any more; writes down that others go on.
    async fn recheck(&self, socket: &mut WebSocket) -> Result<(), End> {
        if self.is_uncovered() || !access::still_holds(&self.service, &self.who).await {
            return Err(End::Gone);
        }
        let object = format!("{}/live", self.camera.id);
        let (who, done) = (&self.who, AuditOutcome::Done);
        let noted = looks::note(&self.service, who, LOOK, &object, done).await;
        noted.map_err(|_| End::Gone)?;
        send(socket, Message::Ping(Bytes::new())).await
    }
}

async fn say(socket: &mut WebSocket, value: &serde_json::Value) -> Result<(), End> {
    send(socket, Message::Text(value.to_string().into())).await
}

async fn send(socket: &mut WebSocket, message: Message) -> Result<(), End> {
    let sent = tokio::time::timeout(SEND_MAX, socket.send(message)).await;
    match sent {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) | Err(_) => Err(End::Gone),
    }
}

/// A viewer that is counted as long as it watches.
struct Counted {
    _permit: OwnedSemaphorePermit,
}

impl Counted {
    fn new(permit: OwnedSemaphorePermit) -> Self {
        metrics::gauge!("plumb_http_live_viewers").increment(1);
        Self { _permit: permit }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        metrics::gauge!("plumb_http_live_viewers").decrement(1);
    }
}
