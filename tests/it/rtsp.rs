//! Cameras over RTSP: GStreamer's server as the camera, and small servers that misbehave.

use std::sync::Arc;
use std::time::Duration;

use plumb::clock::SystemClock;
use plumb::decode::Decoder;
use plumb::health::Board;
use plumb::id::CameraId;
use plumb::source::rtsp::{self, CameraUrl, Cause, Deadlines, Retry, RtspCamera, Transport};
use plumb::source::{Codec, SourceEvent};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::cameras::{Cameras, H264, H265, clip};

/// No test waits longer than this for anything.
const PATIENCE: Duration = Duration::from_secs(20);

fn camera(id: &str, url: &str) -> RtspCamera {
    let mut camera = RtspCamera::new(CameraId::parse(id).unwrap(), CameraUrl::parse(url).unwrap());
    camera.deadlines = Deadlines {
        connect: Duration::from_secs(5),
        stall: Duration::from_secs(3),
        key_picture: Duration::from_secs(5),
    };
    camera.retry = Retry {
        first: Duration::from_millis(20),
        most: Duration::from_millis(200),
        good_after: Duration::from_secs(30),
    };
    camera
}

/// A camera's run and what it delivers.
struct Running {
    events: mpsc::Receiver<SourceEvent>,
    board: Board,
    id: CameraId,
    stop: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

impl Running {
    fn start(camera: RtspCamera) -> Self {
        Self::start_with_room(camera, rtsp::EVENTS_MAX)
    }

    fn start_with_room(camera: RtspCamera, room: usize) -> Self {
        let (sender, events) = mpsc::channel(room);
        let (board, stop) = (Board::default(), CancellationToken::new());
        let id = camera.id.clone();
        let clock = Arc::new(SystemClock::new());
        let task = tokio::spawn(rtsp::run(
            camera,
            sender,
            board.clone(),
            clock,
            stop.clone(),
        ));
        Self {
            events,
            board,
            id,
            stop,
            task,
        }
    }

    async fn event(&mut self) -> SourceEvent {
        let event = tokio::time::timeout(PATIENCE, self.events.recv()).await;
        event.expect("an event in time").expect("the run goes on")
    }

    /// Receives until `wanted` pictures are decoded; returns the codec and their sizes.
    async fn decode(&mut self, wanted: usize) -> (Codec, Vec<(u32, u32)>) {
        let mut codec = None;
        let mut decoder = None;
        let mut sizes = Vec::new();
        while sizes.len() < wanted {
            match self.event().await {
                SourceEvent::Start(info) => {
                    codec = Some(info.codec);
                    decoder = Some(Decoder::open(&info).unwrap());
                }
                SourceEvent::Packet(packet) => {
                    assert!(packet.decode_at <= packet.at, "{packet:?}");
                    let decoder = decoder.as_mut().expect("a start comes before packets");
                    decoder.push(&packet, |frame| {
                        sizes.push((frame.width_px(), frame.height_px()));
                    });
                }
                SourceEvent::End => {}
            }
        }
        (codec.unwrap(), sizes)
    }

    async fn failures(&self, cause: &str, wanted: u64) {
        let seen = async {
            loop {
                let health = self.board.camera(&self.id).unwrap_or_default();
                if health
                    .failures
                    .get(cause)
                    .is_some_and(|count| *count >= wanted)
                {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        if tokio::time::timeout(PATIENCE, seen).await.is_err() {
            panic!("no {wanted} {cause}: {:?}", self.board.camera(&self.id));
        }
    }

    async fn stop(self) {
        self.stop.cancel();
        drop(self.events);
        tokio::time::timeout(PATIENCE, self.task)
            .await
            .expect("it stops")
            .unwrap();
    }
}

#[tokio::test]
async fn plays_both_codecs_over_both_transports() {
    let folder = tempfile::tempdir().unwrap();
    let a = clip(folder.path(), "a.mp4", "320x240", 2.0, H264);
    let b = clip(folder.path(), "b.mp4", "256x144", 2.0, H265);
    let cameras = Cameras::serve(
        &[format!("a={}", a.display()), format!("b={}", b.display())],
        &[],
    );
    for (name, codec, size) in [
        ("a", Codec::H264, (320, 240)),
        ("b", Codec::H265, (256, 144)),
    ] {
        for transport in [Transport::Tcp, Transport::Udp] {
            let mut camera = camera(name, &cameras.url("", name));
            camera.transport = transport;
            let mut running = Running::start(camera);
            let (found, sizes) = running.decode(20).await;
            assert_eq!(found, codec, "{transport:?}");
            assert!(sizes.iter().all(|found| *found == size), "{sizes:?}");
            let health = running.board.camera(&running.id).unwrap();
            assert_eq!(health.failures.len(), 0, "{health:?}");
            running.stop().await;
        }
    }
}

#[tokio::test]
async fn a_wrong_password_is_unauthorized_and_never_repeated() {
    let folder = tempfile::tempdir().unwrap();
    let a = format!(
        "a={}",
        clip(folder.path(), "a.mp4", "320x240", 1.0, H264).display()
    );
    for method in ["--digest", "--basic"] {
        let cameras = Cameras::serve(
            std::slice::from_ref(&a),
            &["--user", "viewer", "--password", "correct horse", method],
        );
        let good = camera("good", &cameras.url("viewer:correct%20horse@", "a"));
        let found = rtsp::probe(&good, &SystemClock::new()).await.unwrap();
        assert!(found.first.key, "{method}");

        let bad = camera("bad", &cameras.url("viewer:battery-staple@", "a"));
        let failure = rtsp::probe(&bad, &SystemClock::new()).await.unwrap_err();
        assert_eq!(failure.cause, Cause::Unauthorized, "{method}");
        let said = format!("{failure} {failure:?} {bad:?}");
        assert!(!said.contains("staple"), "{said}");
    }
}
