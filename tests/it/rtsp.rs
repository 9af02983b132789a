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
use plumb::source::{Codec, Packet, SourceEvent};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::cameras::{Cameras, H264, H265, clip};
use crate::scripted::{self, Step, read_request};

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
    let offset_ms = |running: &Running| {
        let health = running.board.camera(&running.id);
        health.and_then(|health| health.clock_offset_ms)
    };
    let mut last = None;
    // The first report comes after a few seconds, by chance (RFC 3550, section 6.2).
    for _ in 0..500 {
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
        assert!(age.as_secs_f64().abs() < 5.0, "captured {age} ago");
        if packet.at.as_secs_f64() > 1.5 && offset_ms(&running).is_some() {
            break;
        }
    }
    let offset_ms = offset_ms(&running);
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

/// Pictures of a scripted camera, `first` on, a frame apart from RTP time `rtp` on.
fn pictures(count: u32, rtp: u32) -> impl Iterator<Item = Step> {
    (0..count).map(move |n| Step::Picture(rtp.wrapping_add(n * 3600)))
}

/// Runs a scripted camera and returns its first events; the clip has a key picture every ten.
async fn scripted_events(script: Vec<Step>, wanted: usize) -> (Vec<SourceEvent>, Running) {
    let folder = tempfile::tempdir().unwrap();
    let clip = clip(folder.path(), "a.mp4", "64x64", 2.0, H264);
    let url = scripted::camera(&clip, script).await;
    let mut running = Running::start(camera("scripted", &url));
    let mut events = Vec::new();
    while events.len() < wanted {
        events.push(running.event().await);
    }
    (events, running)
}

fn starts(events: &[SourceEvent]) -> usize {
    events
        .iter()
        .filter(|event| matches!(event, SourceEvent::Start(_)))
        .count()
}

fn packets(events: &[SourceEvent]) -> Vec<&Packet> {
    let mut packets = Vec::new();
    for event in events {
        if let SourceEvent::Packet(packet) = event {
            packets.push(packet);
        }
    }
    packets
}

#[tokio::test]
async fn a_timestamp_that_jumps_begins_a_new_timeline_at_the_next_key_picture() {
    for to in [100 * 90_000, 0_u32.wrapping_sub(100 * 90_000)] {
        // It jumps at picture 15; 20 is the next key picture.
        let script = pictures(15, 0).chain(pictures(15, to)).collect();
        let (events, running) = scripted_events(script, 2 + 15 + 10 - 1).await;
        assert_eq!(starts(&events), 2);
        assert!(matches!(events[16], SourceEvent::Start(_)), "{events:?}");
        let times: Vec<i64> = packets(&events).iter().map(|p| p.at.as_micros()).collect();
        assert_eq!(times[14..17], [560_000, 0, 40_000]);
        running.stop().await;
    }
}

#[tokio::test]
async fn a_timestamp_that_wraps_goes_on() {
    let script = pictures(30, u32::MAX - 10 * 3600).collect();
    let (events, running) = scripted_events(script, 30).await;
    assert_eq!(starts(&events), 1);
    for (number, packet) in (0..).zip(packets(&events)) {
        assert_eq!(packet.at.as_micros(), number * 40_000);
    }
    running.stop().await;
}

#[tokio::test]
async fn lost_packets_are_told_with_the_picture_that_follows() {
    let mut script: Vec<Step> = pictures(30, 0).collect();
    script.insert(13, Step::Lose(3));
    let (events, running) = scripted_events(script, 25).await;
    let lost: Vec<u32> = packets(&events).iter().map(|packet| packet.lost).collect();
    assert_eq!(lost.iter().sum::<u32>(), 3, "{lost:?}");
    assert_eq!(lost[13], 3);
    assert_eq!(running.board.camera(&running.id).unwrap().packets_lost, 3);
    running.stop().await;
}

#[tokio::test]
async fn capture_times_follow_a_sane_report_and_ignore_an_absurd_one() {
    let now = SystemClock::new().now();
    let ntp = |seconds: i64| u64::try_from(seconds + 2_208_988_800).unwrap() << 32;
    // Two seconds behind us is a camera's clock; 1970 and next year are none.
    for (wall, trusted) in [
        (now.as_second() - 2, true),
        (now.as_second() + 31_536_000, false),
        (5, false),
    ] {
        let report = Step::Report {
            ntp: ntp(wall),
            rtp: 0,
        };
        let script = std::iter::once(report).chain(pictures(20, 0)).collect();
        let (events, running) = scripted_events(script, 12).await;
        let captured_at = packets(&events)[10].captured_at;
        let off = captured_at.as_second() - if trusted { wall } else { now.as_second() };
        assert!(
            (0..=1).contains(&off) || (!trusted && off < 20),
            "{captured_at} for {wall}"
        );
        running.stop().await;
    }
}

#[tokio::test]
async fn a_camera_without_key_pictures_is_told_so() {
    let folder = tempfile::tempdir().unwrap();
    let endless = [H264, &["-g", "1000"]].concat();
    let clip = clip(folder.path(), "a.mp4", "64x64", 2.0, &endless);
    let wait = Step::Wait(Duration::from_millis(20));
    let rest = pictures(40, 0).flat_map(|picture| [picture, wait]);
    let url = scripted::camera(&clip, std::iter::once(Step::Skip).chain(rest).collect()).await;
    let mut blind = camera("blind", &url);
    blind.deadlines.key_picture = Duration::from_millis(200);
    let failure = failure_of(blind, PATIENCE).await;
    assert_eq!(failure.cause, Cause::NoKeyPicture, "{failure}");
    assert!(
        failure.to_string().contains("I-frame interval"),
        "{failure}"
    );
}
