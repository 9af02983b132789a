//! Cameras over RTSP, through retina: `run` tries again for ever, `run_once` does it once.
//!
//! One camera's trouble stays its own: each has its own task, deadlines and queue, and when the
//! stage behind is full the camera's own packets are dropped up to its next key picture, counted as
//! `frames_dropped`; nothing here ever waits for another camera. A lost RTP packet is told with the
//! next picture (`Packet::lost`); the decoder marks what follows as damaged up to the next key
//! picture. No password and no secret part of a URL leaves this folder, in a log or an error.
//!
//! Over UDP retina has no reorder buffer and leaves the socket's receive buffer as the system gives
//! it: a key picture of many packets can overflow 208 KiB. The loss is counted; where it shows,
//! raise `net.core.rmem_default`, or use TCP.

mod backoff;
mod delivery;
mod failure;
mod timeline;
mod url;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use retina::client as rtsp;
use retina::codec::{CodecItem, FrameFormat, ParametersRef, VideoParametersCodec};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

pub use self::backoff::Retry;
pub use self::failure::{Cause, Failure};
pub use self::url::{CameraUrl, Credentials, UrlError};
pub use super::outlet::EVENTS_MAX;

use self::backoff::Backoff;
use self::delivery::Delivery;
use crate::clock::Clock;
use crate::health::{Board, Link};
use crate::id::CameraId;
use crate::source::{Codec, Framing, Packet, SourceEvent, StreamInfo, Turn};

/// How RTP travels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Transport {
    /// Within the RTSP connection: nothing is lost, a slow network delays.
    #[default]
    Tcp,
    /// Beside it: for a local network; what is lost or out of order is gone.
    Udp,
}

impl Transport {
    fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        }
    }
}

/// How long a camera may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadlines {
    /// From the first packet out to the answer to PLAY.
    pub connect: Duration,
    /// From one picture to the next.
    pub stall: Duration,
    /// From PLAY to the first picture that can be decoded by itself.
    pub key_picture: Duration,
}

impl Default for Deadlines {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            stall: Duration::from_secs(5),
            key_picture: Duration::from_secs(20),
        }
    }
}

/// One camera, as the config describes it.
#[derive(Clone, Debug)]
pub struct RtspCamera {
    pub id: CameraId,
    pub url: CameraUrl,
    /// The login; where there is none, the one that stands in the URL.
    pub credentials: Option<Credentials>,
    pub transport: Transport,
    pub deadlines: Deadlines,
    pub retry: Retry,
}

impl RtspCamera {
    /// Returns a camera with the default transport, deadlines and waits.
    pub fn new(id: CameraId, url: CameraUrl) -> Self {
        Self {
            id,
            url,
            credentials: None,
            transport: Transport::default(),
            deadlines: Deadlines::default(),
            retry: Retry::default(),
        }
    }

    fn credentials(&self) -> Option<&Credentials> {
        self.credentials.as_ref().or(self.url.credentials())
    }

    /// Returns what others said on one line and without secrets.
    fn scrub(&self, text: &str) -> String {
        let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
        self.url.scrub(&line, self.credentials())
    }
}

/// Brings one camera's packets, for ever: connects, delivers, and after each failure waits and tries
/// again. Ends when `stop` is cancelled or nobody receives `events` any more. Each failure goes
/// to `board` and the metrics by its cause, and once into the log.
pub async fn run(
    camera: RtspCamera,
    events: mpsc::Sender<SourceEvent>,
    board: Board,
    clock: Arc<dyn Clock>,
    stop: CancellationToken,
) {
    let mut backoff = Backoff::new(camera.retry);
    let mut delivery = Delivery::new(&camera, events.clone(), board.clone());
    board.update(&camera.id, |health| health.link = Link::Connecting);
    loop {
        let failure = tokio::select! {
            () = stop.cancelled() => break,
            () = events.closed() => break,
            failure = run_once(&camera, &mut delivery, clock.as_ref()) => failure,
        };
        let delivered = delivery.end(clock.monotonic());
        let jitter = rand::random::<f64>();
        let wait = match failure.cause {
            Cause::Unauthorized => backoff.longest(jitter),
            _ => backoff.after(delivered, jitter),
        };
        note(&camera, &board, &failure, wait);
        tokio::select! {
            () = stop.cancelled() => break,
            () = delivery.tell_end() => {}
        }
        tokio::select! {
            () = stop.cancelled() => break,
            () = events.closed() => break,
            () = tokio::time::sleep(wait) => {}
        }
    }
    delivery.end(clock.monotonic());
    // Stopping must not wait for a stage that is stuck; with the sender gone it ends anyway.
    timeout(STOP_WAIT, delivery.tell_end()).await.ok();
    timeout(STOP_WAIT, delivery.sessions.await_teardown())
        .await
        .ok();
    board.update(&camera.id, |health| health.link = Link::Offline);
}

/// How long stopping may wait for the queue, and for the camera's answer to TEARDOWN.
const STOP_WAIT: Duration = Duration::from_millis(500);

fn note(camera: &RtspCamera, board: &Board, failure: &Failure, wait: Duration) {
    let cause = failure.cause.name();
    tracing::warn!(
        camera.id = %camera.id,
        cause,
        retry_s = wait.as_secs_f64(),
        "camera {} is offline: {failure}",
        camera.id
    );
    metrics::counter!(
        "plumb_source_failures_total", "camera" => camera.id.to_string(), "cause" => cause
    )
    .increment(1);
    board.update(&camera.id, |health| {
        health.link = Link::Offline;
        health.error = Some(failure.to_string());
        *health.failures.entry(cause.to_owned()).or_default() += 1;
    });
}

/// What a first look at a camera found.
#[derive(Clone, Debug)]
pub struct Probe {
    pub info: Arc<StreamInfo>,
    /// The first key picture.
    pub first: Packet,
}

/// Connects once and returns the stream and its first key picture, or what is wrong and what to do.
pub async fn probe(camera: &RtspCamera, clock: &dyn Clock) -> Result<Probe, Failure> {
    let (events, mut received) = mpsc::channel(2);
    let mut delivery = Delivery::new(camera, events, Board::default());
    let first = async {
        let mut info = None;
        while let Some(event) = received.recv().await {
            match (event, info.take()) {
                (SourceEvent::Start(started), _) => info = Some(started),
                (SourceEvent::Packet(first), Some(info)) => return Some(Probe { info, first }),
                _ => {}
            }
        }
        None
    };
    let found = tokio::select! {
        failure = run_once(camera, &mut delivery, clock) => Err(failure),
        Some(probe) = first => Ok(probe),
    };
    timeout(STOP_WAIT, delivery.sessions.await_teardown())
        .await
        .ok();
    found
}

/// Connects and delivers until the connection fails; returns why.
async fn run_once(camera: &RtspCamera, delivery: &mut Delivery, clock: &dyn Clock) -> Failure {
    let sessions = Arc::clone(&delivery.sessions);
    let mut media = match timeout(camera.deadlines.connect, connect(camera, sessions)).await {
        Ok(Ok(media)) => media,
        Ok(Err(failure)) => return failure,
        Err(_) => return Failure::connect_timeout(camera),
    };
    delivery.begin(media.clock_rate_hz);
    let mut stalls_at = Instant::now() + camera.deadlines.stall;
    let key_by = Instant::now() + camera.deadlines.key_picture;
    loop {
        let item = match timeout_at(stalls_at, media.demuxed.next()).await {
            Ok(Some(Ok(item))) => item,
            Ok(Some(Err(error))) => return Failure::of_session(camera, &error).await,
            Ok(None) => return Failure::closed(camera),
            Err(_) => return Failure::stalled(camera),
        };
        match item {
            CodecItem::VideoFrame(frame) => {
                stalls_at = Instant::now() + camera.deadlines.stall;
                if frame.has_new_parameters() || media.info.is_none() {
                    media.take_parameters(delivery);
                }
                delivery.picture(frame, media.info.as_ref(), clock);
                if !delivery.delivers() && Instant::now() > key_by {
                    return Failure::no_key_picture(camera);
                }
            }
            CodecItem::Rtcp(report) => delivery.report(&report, clock),
            _ => {}
        }
    }
}

/// A camera that plays.
struct Media {
    demuxed: rtsp::Demuxed,
    stream: usize,
    clock_rate_hz: u32,
    /// None until the parameter sets came.
    info: Option<Arc<StreamInfo>>,
}

impl Media {
    /// Takes the parameters as of the newest picture; where they changed, a new timeline begins.
    fn take_parameters(&mut self, delivery: &mut Delivery) {
        let parameters = self.demuxed.streams()[self.stream].parameters();
        let Some(ParametersRef::Video(parameters)) = parameters else {
            return;
        };
        let codec = match parameters.codec_params() {
            VideoParametersCodec::H264 { .. } => Codec::H264,
            VideoParametersCodec::H265 { .. } => Codec::H265,
            _ => return,
        };
        let (width_px, height_px) = parameters.pixel_dimensions();
        let info = StreamInfo {
            codec,
            framing: Framing::LengthPrefixed,
            extra_data: Bytes::copy_from_slice(parameters.extra_data()),
            width_px,
            height_px,
            codec_tag: 0,
            pixel_format: -1,
            bits_per_sample: 0,
            turn: Turn::None,
        };
        if self.info.as_deref() != Some(&info) {
            delivery.new_timeline();
            self.info = Some(Arc::new(info));
        }
    }
}

/// DESCRIBE, SETUP and PLAY.
async fn connect(camera: &RtspCamera, sessions: Arc<rtsp::SessionGroup>) -> Result<Media, Failure> {
    let login = camera.credentials().map(|login| rtsp::Credentials {
        username: login.username().to_owned(),
        password: login.password().to_owned(),
    });
    let options = rtsp::SessionOptions::default()
        .creds(login)
        .session_group(sessions)
        .user_agent(concat!("plumb/", env!("CARGO_PKG_VERSION")).to_owned());
    let mut session = match rtsp::Session::describe(camera.url.request(), options).await {
        Ok(session) => session,
        Err(error) => return Err(Failure::of_session(camera, &error).await),
    };
    let stream = video_stream(camera, session.streams())?;
    let clock_rate_hz = session.streams()[stream].clock_rate_hz();
    let transport = match camera.transport {
        Transport::Tcp => rtsp::Transport::Tcp(rtsp::TcpTransportOptions::default()),
        Transport::Udp => rtsp::Transport::Udp(rtsp::UdpTransportOptions::default()),
    };
    // MP4's format: decoders take it, and evidence can be copied into a file as it is.
    let setup = rtsp::SetupOptions::default()
        .transport(transport)
        .frame_format(FrameFormat::MP4);
    if let Err(error) = session.setup(stream, setup).await {
        return Err(Failure::of_session(camera, &error).await);
    }
    let playing = match session.play(rtsp::PlayOptions::default()).await {
        Ok(playing) => playing,
        Err(error) => return Err(Failure::of_session(camera, &error).await),
    };
    match playing.demuxed() {
        Ok(demuxed) => Ok(Media {
            demuxed,
            stream,
            clock_rate_hz,
            info: None,
        }),
        Err(error) => Err(Failure::of_session(camera, &error).await),
    }
}

/// Returns the first H.264 or H.265 stream's index.
fn video_stream(camera: &RtspCamera, streams: &[rtsp::Stream]) -> Result<usize, Failure> {
    let video = || streams.iter().filter(|stream| stream.media() == "video");
    let wanted = |stream: &rtsp::Stream| {
        stream.media() == "video" && matches!(stream.encoding_name(), "h264" | "h265")
    };
    if let Some(index) = streams.iter().position(wanted) {
        return Ok(index);
    }
    let url = &camera.url;
    Err(match video().next() {
        Some(other) => Failure::new(
            Cause::UnsupportedCodec,
            format!(
                "{url} sends {}; set the camera to H.264 or H.265",
                other.encoding_name()
            ),
        ),
        None => Failure::new(
            Cause::NoVideo,
            format!("{url} offers no video; check the path of the URL"),
        ),
    })
}
