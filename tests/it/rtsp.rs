//! Cameras over RTSP: GStreamer's server as the camera, and small servers that misbehave.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::time::Duration;

use plumb::clock::{Clock, SystemClock};
use plumb::decode::Decoder;
use plumb::health::Board;
use plumb::id::CameraId;
use plumb::source::rtsp::{
    self, CameraUrl, Cause, Deadlines, Failure, Retry, RtspCamera, Transport,
};
use plumb::source::{Codec, SourceEvent};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
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

/// What a small server does with its n-th request, after which it is silent.
enum Then {
    Silent,
    Closes,
}

/// A server that answers DESCRIBE when `describes`, and does `then` with the next request.
async fn misbehaving(describes: bool, then: Then) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let mut kept = Vec::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            if describes {
                read_request(&mut stream).await;
                let sdp = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n\
                           m=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\na=control:track1\r\n";
                let answer = format!(
                    "RTSP/1.0 200 OK\r\nCSeq: 1\r\nContent-Type: application/sdp\r\n\
                     Content-Length: {}\r\n\r\n{sdp}",
                    sdp.len()
                );
                stream.write_all(answer.as_bytes()).await.ok();
            }
            match then {
                Then::Silent => kept.push(stream),
                Then::Closes => drop(stream),
            }
        }
    });
    port
}

async fn read_request(stream: &mut TcpStream) {
    let mut request = Vec::new();
    let mut byte = [0];
    while !request.ends_with(b"\r\n\r\n") && stream.read(&mut byte).await.is_ok_and(|n| n == 1) {
        request.push(byte[0]);
    }
}

async fn failure_of(mut camera: RtspCamera, connect: Duration) -> Failure {
    camera.deadlines.connect = connect;
    let clock = SystemClock::new();
    let probed = rtsp::probe(&camera, &clock);
    let found = tokio::time::timeout(PATIENCE, probed)
        .await
        .expect("it gives up in time");
    found.expect_err("the camera misbehaves")
}

#[tokio::test]
async fn each_way_to_misbehave_is_told_by_its_name() {
    let soon = Duration::from_millis(300);
    let at = |port: u16| camera("bad", &format!("rtsp://127.0.0.1:{port}/live"));

    let silent = at(misbehaving(false, Then::Silent).await);
    assert_eq!(failure_of(silent, soon).await.cause, Cause::ConnectTimeout);

    let after_describe = at(misbehaving(true, Then::Silent).await);
    assert_eq!(
        failure_of(after_describe, soon).await.cause,
        Cause::ConnectTimeout
    );

    let closes = at(misbehaving(true, Then::Closes).await);
    let failure = failure_of(closes, PATIENCE).await;
    assert_eq!(failure.cause, Cause::Protocol, "{failure}");

    let port = TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let failure = failure_of(at(port), PATIENCE).await;
    assert_eq!(failure.cause, Cause::Refused, "{failure}");
    assert!(failure.to_string().contains(&port.to_string()), "{failure}");
}

#[tokio::test]
async fn a_wrong_path_is_not_found_and_a_missing_login_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let a = format!(
        "a={}",
        clip(folder.path(), "a.mp4", "160x120", 1.0, H264).display()
    );
    let open = Cameras::serve(std::slice::from_ref(&a), &[]);
    let failure = failure_of(camera("a", &open.url("", "b")), PATIENCE).await;
    assert_eq!(failure.cause, Cause::NotFound, "{failure}");

    let guarded = Cameras::serve(&[a], &["--user", "u", "--password", "p", "--digest"]);
    let failure = failure_of(camera("a", &guarded.url("", "a")), PATIENCE).await;
    assert_eq!(failure.cause, Cause::Unauthorized);
    assert!(
        failure.to_string().contains("none is configured"),
        "{failure}"
    );
}

#[tokio::test]
async fn a_camera_that_refuses_udp_is_told_to_try_tcp() {
    let folder = tempfile::tempdir().unwrap();
    let a = format!(
        "a={}",
        clip(folder.path(), "a.mp4", "160x120", 1.0, H264).display()
    );
    let cameras = Cameras::serve(&[a], &["--tcp-only"]);
    let mut udp = camera("a", &cameras.url("", "a"));
    udp.transport = Transport::Udp;
    let failure = failure_of(udp, PATIENCE).await;
    assert_eq!(failure.cause, Cause::Rejected);
    assert!(failure.to_string().contains("other transport"), "{failure}");
}

#[tokio::test]
async fn a_camera_that_dies_in_mid_stream_comes_back_and_disturbs_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let a = format!(
        "a={}",
        clip(folder.path(), "a.mp4", "160x120", 2.0, H264).display()
    );
    let dying = Cameras::serve(std::slice::from_ref(&a), &[]);
    let steady = Cameras::serve(&[a.clone(), a.replacen("a=", "b=", 1)], &[]);
    let port = dying.port;
    let mut running = Running::start(camera("dying", &dying.url("", "a")));
    let mut others = ["a", "b"].map(|name| Running::start(camera(name, &steady.url("", name))));
    running.decode(5).await;
    drop(dying);
    running.failures("refused", 2).await;
    for other in &mut others {
        other.decode(30).await;
    }
    let mut ended = false;
    while !ended {
        ended = matches!(running.event().await, SourceEvent::End);
    }

    let _again = Cameras::serve_on(port, &[a], &[]);
    running.decode(5).await;
    let health = running.board.camera(&running.id).unwrap();
    assert!(
        health.reconnects >= 1 && health.error.is_none(),
        "{health:?}"
    );
    for other in others {
        let health = other.board.camera(&other.id).unwrap();
        assert!(
            health.failures.is_empty() && health.reconnects == 0,
            "{health:?}"
        );
        other.stop().await;
    }
    running.stop().await;
}

#[tokio::test]
async fn a_camera_that_stops_sending_is_stalled() {
    let folder = tempfile::tempdir().unwrap();
    let a = format!(
        "a={}",
        clip(folder.path(), "a.mp4", "160x120", 1.0, H264).display()
    );
    let cameras = Cameras::serve(&[a], &[]);
    let mut stalling = camera("a", &cameras.url("", "a"));
    stalling.deadlines.stall = Duration::from_millis(700);
    let mut running = Running::start(stalling);
    running.decode(5).await;
    cameras.freeze();
    running.failures("stalled", 1).await;
    running.stop().await;
}

#[tokio::test]
async fn a_change_of_size_in_mid_stream_begins_a_new_timeline() {
    let folder = tempfile::tempdir().unwrap();
    let a = clip(folder.path(), "a.mp4", "160x120", 0.8, H264);
    let b = clip(folder.path(), "b.mp4", "320x240", 0.8, H264);
    let cameras = Cameras::serve(&[format!("a={}+{}", a.display(), b.display())], &[]);
    let mut running = Running::start(camera("a", &cameras.url("", "a")));
    let mut starts = 0;
    let mut widths = Vec::new();
    while starts < 3 {
        match running.event().await {
            SourceEvent::Start(info) => {
                starts += 1;
                widths.push(info.width_px);
            }
            SourceEvent::Packet(packet) => assert!(packet.at.as_micros() < 1_500_000),
            SourceEvent::End => panic!("the connection broke"),
        }
    }
    assert_eq!(widths, [160, 320, 160]);
    running.stop().await;
}

#[tokio::test]
async fn capture_time_comes_from_the_cameras_reports_and_times_keep_their_distance() {
    let folder = tempfile::tempdir().unwrap();
    let a = format!(
        "a={}",
        clip(folder.path(), "a.mp4", "160x120", 1.0, H264).display()
    );
    let cameras = Cameras::serve(&[a], &[]);
    let mut running = Running::start(camera("a", &cameras.url("", "a")));
    let mut last = None;
    for _ in 0..60 {
        let SourceEvent::Packet(packet) = running.event().await else {
            continue;
        };
        if let Some(last) = last.replace(packet.at) {
            let step = packet.at.secs_since(last);
            assert!(
                (step - 0.04).abs() < 0.002,
                "{step} s from one picture to the next"
            );
        }
        let age = SystemClock::new().now().duration_since(packet.captured_at);
        assert!(age.as_secs_f64().abs() < 2.0, "captured {age} ago");
    }
    let offset_ms = running.board.camera(&running.id).unwrap().clock_offset_ms;
    assert!(offset_ms.is_some_and(|ms| ms.abs() < 2000), "{offset_ms:?}");
    running.stop().await;
}

#[tokio::test]
async fn a_stage_that_is_stuck_costs_pictures_and_is_counted() {
    let folder = tempfile::tempdir().unwrap();
    let a = format!(
        "a={}",
        clip(folder.path(), "a.mp4", "160x120", 1.0, H264).display()
    );
    let cameras = Cameras::serve(&[a], &[]);
    let mut running = Running::start_with_room(camera("a", &cameras.url("", "a")), 4);
    let dropped = async {
        while running
            .board
            .camera(&running.id)
            .is_none_or(|health| health.frames_dropped < 20)
        {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, dropped)
        .await
        .expect("pictures are dropped");
    // What was queued is whole, and what follows the gap begins at a key picture.
    let queued: Vec<_> = std::iter::from_fn(|| running.events.try_recv().ok()).collect();
    assert!(matches!(queued[0], SourceEvent::Start(_)));
    match running.event().await {
        SourceEvent::Packet(packet) => assert!(packet.key),
        other => panic!("{other:?}"),
    }
    running.stop().await;
}
