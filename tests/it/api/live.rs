//! Live video over a WebSocket, read frame by frame: who may watch, where a viewer begins, and what a
//! slow one loses.

use bytes::Bytes;
use plumb::decode::Frame;
use plumb::source::file::Recording;
use plumb::source::{Codec, Framing, Packet, SourceEvent, StreamInfo, Turn};
use reqwest::{Response, Upgraded};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;

/// A key picture every ten, 25 pictures a second.
const GROUP: i64 = 10;
const STEP_TICKS: u64 = 3600;

fn info(codec: Codec) -> SourceEvent {
    SourceEvent::Start(Arc::new(StreamInfo {
        codec,
        framing: Framing::LengthPrefixed,
        extra_data: Bytes::from_static(&[1, 0x64, 0, 0x1f, 0xff, 0xe1, 0, 1, 0x67, 1, 0, 1, 0x68]),
        width_px: 640,
        height_px: 360,
        codec_tag: 0,
        pixel_format: -1,
        bits_per_sample: 0,
        turn: Turn::None,
    }))
}

fn picture(number: i64, size_bytes: usize) -> SourceEvent {
    let at = StreamTime::from_micros(number * 40_000);
    SourceEvent::Packet(Packet {
        data: Bytes::from(vec![0; size_bytes]),
        at,
        decode_at: at,
        captured_at: Timestamp::from_millisecond(MORNING_MS + number * 40).expect("in range"),
        key: number % GROUP == 0,
        lost: 0,
    })
}

fn north() -> CameraId {
    CameraId::parse("north").expect("an id")
}

fn asks(request: RequestBuilder) -> RequestBuilder {
    request
        .header("connection", "Upgrade")
        .header("upgrade", "websocket")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
}

/// What came over the socket.
#[derive(Debug)]
enum Said {
    Text(Value),
    Fragment(Vec<u8>),
    Other,
}

struct Socket(Upgraded);

impl Socket {
    async fn open(service: &Service) -> Self {
        let answer = asks(service.get("/api/v1/cameras/north/live")).send().await;
        let answer: Response = answer.expect("an answer");
        assert_eq!(answer.status(), StatusCode::SWITCHING_PROTOCOLS);
        Self(answer.upgrade().await.expect("a socket"))
    }

    /// Reads one frame (RFC 6455, 5.2); a service never masks its own.
    async fn next(&mut self) -> Said {
        let reading = async {
            let head = self.0.read_u16().await.expect("a frame");
            let length = match head & 0x7f {
                126 => u64::from(self.0.read_u16().await.expect("a length")),
                127 => self.0.read_u64().await.expect("a length"),
                short => u64::from(short),
            };
            let mut body = vec![0; usize::try_from(length).expect("it fits")];
            self.0.read_exact(&mut body).await.expect("a body");
            match (head >> 8) & 0xf {
                1 => {
                    let text: Value = serde_json::from_slice(&body).expect("JSON");
                    if text["shown_at_s"].is_number() {
                        // A text of one letter, with a mask that changes nothing.
                        let answer = [0x81, 0x81, 0, 0, 0, 0, b'k'];
                        self.0.write_all(&answer).await.expect("it is heard");
                    }
                    Said::Text(text)
                }
                2 => Said::Fragment(body),
                _ => Said::Other,
            }
        };
        let read = tokio::time::timeout(PATIENCE, reading).await;
        read.expect("something comes")
    }

    async fn text(&mut self) -> Value {
        loop {
            if let Said::Text(text) = self.next().await {
                return text;
            }
        }
    }

    async fn fragment(&mut self) -> Vec<u8> {
        loop {
            if let Said::Fragment(fragment) = self.next().await {
                return fragment;
            }
        }
    }
}

/// Returns a fragment's decoding time, and whether its picture is a key picture.
fn picture_of(fragment: &[u8]) -> (u64, bool) {
    let after = |name: &[u8]| {
        let at = fragment.windows(4).position(|window| window == name);
        &fragment[at.expect("the box") + 4..]
    };
    let time = after(b"tfdt")[4..12].try_into().expect("eight bytes");
    let flags = &after(b"trun")[20..24];
    (u64::from_be_bytes(time), flags == [2, 0, 0, 0])
}

#[tokio::test]
async fn a_late_viewer_begins_at_the_last_key_picture_and_its_look_is_written_down() {
    let service = Service::start().await;
    service.live.publish(&north(), &info(Codec::H264));
    for number in 0..25 {
        service.live.publish(&north(), &picture(number, 100));
    }
    let mut socket = Socket::open(&service).await;
    assert_eq!(socket.text().await, json!({ "codec": "avc1.64001f" }));
    let opening = socket.fragment().await;
    assert_eq!(&opening[4..8], b"ftyp");
    let tie = socket.text().await;
    assert_eq!(
        tie["captured_at_ms"],
        MORNING_MS + 800,
        "picture 20 is the last key picture"
    );
    for number in 0..4 {
        let (at, is_key) = picture_of(&socket.fragment().await);
        assert_eq!((at, is_key), (number * STEP_TICKS, number == 0));
    }
    service.live.publish(&north(), &picture(25, 100));
    assert_eq!(picture_of(&socket.fragment().await).0, 4 * STEP_TICKS);

    // The camera goes and comes back: a new timeline.
    service.live.publish(&north(), &SourceEvent::End);
    assert_eq!(socket.text().await, json!({ "away": true }));
    service.live.publish(&north(), &info(Codec::H264));
    service.live.publish(&north(), &picture(0, 100));
    assert!(socket.text().await["codec"].is_string());

    let audit = service.store.audit_after(0, 100).await.expect("rows");
    let looks: Vec<_> = audit
        .iter()
        .filter(|row| row.action == "live.seen")
        .collect();
    assert_eq!((looks.len(), looks[0].object.as_str()), (1, "north/live"));
}

#[tokio::test]
async fn a_slow_viewer_loses_pictures_and_goes_on_at_a_key_picture() {
    let service = Service::start().await;
    service.live.publish(&north(), &info(Codec::H264));
    service.live.publish(&north(), &picture(0, 100));
    let mut socket = Socket::open(&service).await;
    socket.fragment().await;
    // More than sockets and the queue hold, while the viewer reads nothing.
    for number in 1..1200 {
        service.live.publish(&north(), &picture(number, 200_000));
        tokio::task::yield_now().await;
    }
    let live = service.live.clone();
    let goes_on = tokio::spawn(async move {
        let mut tick = tokio::time::interval(Duration::from_millis(5));
        for number in 1200.. {
            tick.tick().await;
            live.publish(&north(), &picture(number, 1000));
        }
    });
    let (mut before, mut since_jump) = (0, None);
    while since_jump != Some(2 * GROUP) {
        let (at, is_key) = picture_of(&socket.fragment().await);
        if before > 0 && at != before + STEP_TICKS {
            assert!(is_key, "it went on at {at} without a key picture");
            since_jump = Some(0);
        } else {
            since_jump = since_jump.map(|count| count + 1);
        }
        before = at;
    }
    goes_on.abort();
}

#[tokio::test]
async fn without_encoders_h265_is_refused_in_words_and_other_pages_may_not_watch() {
    let service = with_encodings(0).await;
    service.live.publish(&north(), &info(Codec::H265));
    service.live.publish(&north(), &picture(0, 100));
    let mut socket = Socket::open(&service).await;
    let refused = socket.text().await;
    assert!(
        refused["refused"]
            .as_str()
            .expect("a reason")
            .contains("H.265"),
        "{refused}"
    );

    let path = "/api/v1/cameras/north/live";
    let foreign = asks(service.get(path)).header("origin", "http://evil.example");
    refusal(foreign, 403, "foreign-origin").await;
    refusal(
        asks(service.get("/api/v1/cameras/nowhere/live")),
        404,
        "not-found",
    )
    .await;
    refusal(service.get(path), 400, "bad-header").await;
}

#[tokio::test]
async fn there_are_only_so_many_viewers_and_a_revoked_token_ends_a_viewing() {
    let limits = Limits {
        live_viewers: 1,
        ..Limits::default()
    };
    let service = Service::start_within(limits).await;
    let mut socket = Socket::open(&service).await;
    assert_eq!(socket.text().await, json!({ "away": true }));
    refusal(asks(service.get("/api/v1/cameras/north/live")), 503, "busy").await;
    let name = TokenId::parse("tests").expect("an id");
    let revoked = service.store.revoke_token(&name, &Actor::service()).await;
    revoked.expect("it is revoked");
    // Signs of life until it is noticed, then the end.
    let ended = async {
        let mut byte = [0; 64];
        while socket.0.read(&mut byte).await.is_ok_and(|read| read > 0) {}
    };
    tokio::time::timeout(PATIENCE, ended)
        .await
        .expect("it ends");
}

#[tokio::test]
async fn a_picture_comes_in_the_width_asked_for() {
    let service = Service::start().await;
    let frame = plumb::decode::Frame::from_luma(StreamTime::ZERO, 1280, 720, vec![80; 1280 * 720]);
    service.latest.put(&north(), &frame);
    let path = "/api/v1/cameras/north/snapshot.jpg";
    for (query, width_px) in [("", 1280), ("?width=640", 640), ("?width=640", 640)] {
        let answer = service.get(&format!("{path}{query}")).send().await;
        let bytes = answer.expect("an answer").bytes().await.expect("a picture");
        let picture = image::load_from_memory(&bytes).expect("a JPEG");
        assert_eq!(picture.width(), width_px);
    }
    refusal(
        service.get(&format!("{path}?width=641")),
        400,
        "bad-parameter",
    )
    .await;
    let audit = service.store.audit_after(0, 100).await.expect("rows");
    let looks = audit.iter().filter(|row| row.action == "picture.seen");
    assert_eq!(looks.count(), 1, "one sitting");
}

async fn with_encodings(live_encodings: usize) -> Service {
    let privacy = Privacy {
        live_encodings,
        ..Privacy::default()
    };
    Service::start_with(
        Limits::default(),
        Arc::new(SystemClock::new()),
        SignIn::default(),
        privacy,
    )
    .await
}

/// Plays a recording as `camera`, at the pace at which it was recorded, over and over.
fn play(service: &Service, camera: &str, clip: &Path) -> JoinHandle<()> {
    let mut packets = Vec::new();
    let mut recording = Recording::open(clip).expect("a recording");
    while let Some(packet) = recording.next_packet().expect("whole") {
        packets.push(packet);
    }
    let info = Arc::clone(recording.info());
    let (live, camera) = (
        service.live.clone(),
        CameraId::parse(camera).expect("an id"),
    );
    live.publish(&camera, &SourceEvent::Start(info));
    tokio::spawn(async move {
        let mut tick = tokio::time::interval(Duration::from_millis(40));
        for round in 0_i64.. {
            for packet in &packets {
                tick.tick().await;
                let later =
                    |at: StreamTime| StreamTime::from_micros(at.as_micros() + round * 4_000_000);
                let packet = Packet {
                    at: later(packet.at),
                    decode_at: later(packet.decode_at),
                    ..packet.clone()
                };
                live.publish(&camera, &SourceEvent::Packet(packet));
            }
        }
    })
}

/// Returns what a viewer saw of `camera` until it had so many pictures.
async fn seen(service: &Service, token: &str, camera: &str, pictures: usize) -> Vec<Frame> {
    let url = format!("{}/api/v1/cameras/{camera}/live", service.url);
    let answer = asks(service.stranger.get(url).bearer_auth(token))
        .send()
        .await;
    let answer: Response = answer.expect("an answer");
    assert_eq!(answer.status(), StatusCode::SWITCHING_PROTOCOLS);
    let mut socket = Socket(answer.upgrade().await.expect("a socket"));
    assert!(
        socket.text().await["codec"]
            .as_str()
            .expect("H.264")
            .starts_with("avc1")
    );
    let mut all = socket.fragment().await;
    for _ in 0..pictures {
        all.extend(socket.fragment().await);
    }
    let frames = sight::frames(service.folder.path(), &all);
    assert!(frames.len() + 2 > pictures, "{} pictures", frames.len());
    frames
}

#[tokio::test]
async fn masks_are_black_in_live_video_and_so_is_one_that_is_drawn_meanwhile() {
    let service = Service::start().await;
    crate::evidence::record_clip(service.folder.path(), "north.mp4", 4);
    let playing = play(&service, "north", &service.folder.path().join("north.mp4"));
    // Its own pictures, until somebody draws a mask: then the viewing ends at once.
    let mut own = Socket::open(&service).await;
    assert!(own.text().await["codec"].is_string());
    sight::draw_mask(&service, &sight::LEFT_HALF).await;
    let ended = async {
        let mut bytes = [0; 4096];
        while own.0.read(&mut bytes).await.is_ok_and(|read| read > 0) {}
    };
    tokio::time::timeout(PATIENCE, ended)
        .await
        .expect("it ends");

    for frame in seen(&service, &service.token, "north", 30).await {
        let half = frame.width_px() as usize / 2;
        assert!(sight::brightest(&frame, 0..half - 16) < 40);
        assert!(sight::brightest(&frame, half + 16..2 * half) > 150);
    }
    playing.abort();
}

#[tokio::test]
async fn h265_and_elevators_for_who_may_not_see_people_are_encoded_anew() {
    let privacy = Privacy {
        see_people: vec![Role::Manager],
        ..Privacy::default()
    };
    let service = Service::start_with(
        Limits::default(),
        Arc::new(SystemClock::new()),
        SignIn::default(),
        privacy,
    )
    .await;
    let clip = crate::cameras::clip(
        service.folder.path(),
        "lift.mp4",
        "160x120",
        4.0,
        crate::cameras::H265,
    );
    let playing = play(&service, "lift-2", &clip);
    let operator = add_token(&service.store, "operator", Role::Operator).await;
    let step = |frames: &[Frame]| {
        let row = frames[5].luma().row(53).to_vec();
        row.chunks(8)
            .map(|block| u32::from(block[2].abs_diff(block[5])))
            .sum::<u32>()
    };
    let (plain, blocks) = (
        seen(&service, &service.token, "lift-2", 20).await,
        seen(&service, &operator, "lift-2", 20).await,
    );
    let (plain, blocks) = (step(&plain), step(&blocks));
    assert!(blocks * 4 < plain, "{blocks} of {plain}");
    playing.abort();
}

#[tokio::test]
async fn only_so_many_cameras_are_encoded_anew_and_the_place_is_free_again() {
    let service = with_encodings(1).await;
    let clip = crate::cameras::clip(
        service.folder.path(),
        "any.mp4",
        "160x120",
        4.0,
        crate::cameras::H265,
    );
    let playing = [
        play(&service, "north", &clip),
        play(&service, "lift-2", &clip),
    ];
    let mut first = Socket::open(&service).await;
    assert!(first.text().await["codec"].is_string());
    // A second viewer of the same camera takes no place, one of another camera would.
    let mut second = Socket::open(&service).await;
    assert!(second.text().await["codec"].is_string());
    let other = || async {
        let answer = asks(service.get("/api/v1/cameras/lift-2/live"))
            .send()
            .await;
        let answer: Response = answer.expect("an answer");
        Socket(answer.upgrade().await.expect("a socket"))
            .text()
            .await
    };
    assert_eq!(other().await, json!({ "full": 1 }));
    drop((first, second));
    let freed = async { while other().await["codec"].is_null() {} };
    tokio::time::timeout(PATIENCE, freed)
        .await
        .expect("its place is free");
    playing.iter().for_each(JoinHandle::abort);
}
