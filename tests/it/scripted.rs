//! A camera that sends what a script says: timestamps that jump or wrap, packets that are missing,
//! reports that are absurd. What GStreamer's server is too well made for.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use plumb::source::file::Recording;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// One thing that the camera sends.
#[derive(Clone, Copy)]
pub(crate) enum Step {
    /// The clip's next picture with this RTP timestamp.
    Picture(u32),
    /// The clip's next picture is not sent.
    Skip,
    /// This many RTP packets are missing from here on.
    Lose(u16),
    /// A sender report: this wall time, in NTP's format, at this RTP timestamp.
    Report {
        ntp: u64,
        rtp: u32,
    },
    Wait(Duration),
}

/// Serves `clip` (H.264 in MP4, small pictures) by the script, to each client that comes; returns
/// the URL. After the script it is silent.
pub(crate) async fn camera(clip: &Path, script: Vec<Step>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("rtsp://{}/live", listener.local_addr().unwrap());
    let source = Source::read(clip);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            serve(stream, &source, &script).await;
        }
    });
    url
}

/// A clip's parameter sets, base64, and its pictures' NAL units.
struct Source {
    parameter_sets: String,
    pictures: Vec<Vec<Vec<u8>>>,
}

impl Source {
    fn read(clip: &Path) -> Self {
        let mut recording = Recording::open(clip).unwrap();
        // avcC: five bytes, the number of SPS and the SPS with their lengths, the same for PPS.
        let config = recording.info().extra_data.to_vec();
        let sps_bytes = usize::from(u16::from_be_bytes([config[6], config[7]]));
        let sps = &config[8..8 + sps_bytes];
        let rest = &config[8 + sps_bytes + 1..];
        let pps_bytes = usize::from(u16::from_be_bytes([rest[0], rest[1]]));
        let pps = &rest[2..2 + pps_bytes];
        let parameter_sets = format!("{},{}", STANDARD.encode(sps), STANDARD.encode(pps));
        let mut pictures = Vec::new();
        while let Some(packet) = recording.next_packet().unwrap() {
            let mut units = Vec::new();
            let mut rest = &packet.data[..];
            while let Some((length, after)) = rest.split_first_chunk::<4>() {
                let (unit, after) = after.split_at(u32::from_be_bytes(*length) as usize);
                units.push(unit.to_vec());
                rest = after;
            }
            pictures.push(units);
        }
        Self {
            parameter_sets,
            pictures,
        }
    }
}

async fn serve(mut stream: TcpStream, source: &Source, script: &[Step]) {
    while let Some(request) = read_request(&mut stream).await {
        let sequence = request
            .lines()
            .find(|line| line.starts_with("CSeq"))
            .unwrap()
            .to_owned();
        let method = request.split(' ').next().unwrap().to_owned();
        let (headers, body) = match method.as_str() {
            "DESCRIBE" => {
                let sdp = format!(
                    "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\nm=video 0 RTP/AVP 96\r\n\
                     a=rtpmap:96 H264/90000\r\na=fmtp:96 packetization-mode=1;\
                     sprop-parameter-sets={}\r\na=control:track1\r\n",
                    source.parameter_sets
                );
                ("Content-Type: application/sdp\r\n", sdp)
            }
            "SETUP" => {
                let transport = "Session: 1\r\n\
                                 Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n";
                (transport, String::new())
            }
            _ => ("Session: 1\r\n", String::new()),
        };
        let length = body.len();
        let answer = format!(
            "RTSP/1.0 200 OK\r\n{sequence}\r\n{headers}Content-Length: {length}\r\n\r\n{body}"
        );
        if stream.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
        if method == "PLAY" && send(&mut stream, source, script).await.is_err() {
            return;
        }
    }
}

async fn send(stream: &mut TcpStream, source: &Source, script: &[Step]) -> std::io::Result<()> {
    let mut pictures = source.pictures.iter();
    let mut number = 100_u16;
    for step in script {
        match *step {
            Step::Wait(wait) => tokio::time::sleep(wait).await,
            Step::Skip => drop(pictures.next()),
            Step::Lose(packets) => number = number.wrapping_add(packets),
            Step::Report { ntp, rtp } => {
                let mut report = vec![0x80, 200, 0, 6];
                report.extend(SENDER.to_be_bytes());
                report.extend(ntp.to_be_bytes());
                report.extend(rtp.to_be_bytes());
                report.extend([0; 8]);
                stream.write_all(&interleaved(1, &report)).await?;
            }
            Step::Picture(rtp) => {
                let units = pictures.next().expect("the clip is long enough");
                for (index, unit) in units.iter().enumerate() {
                    let last = index + 1 == units.len();
                    let mut packet = vec![0x80, if last { 0x80 | 96 } else { 96 }];
                    packet.extend(number.to_be_bytes());
                    packet.extend(rtp.to_be_bytes());
                    packet.extend(SENDER.to_be_bytes());
                    packet.extend(unit);
                    stream.write_all(&interleaved(0, &packet)).await?;
                    number = number.wrapping_add(1);
                }
            }
        }
    }
    Ok(())
}

/// The one sender's number.
const SENDER: u32 = 0x0707_0707;

fn interleaved(channel: u8, packet: &[u8]) -> Vec<u8> {
    let length = u16::try_from(packet.len()).expect("test pictures are small");
    let mut framed = vec![b'$', channel];
    framed.extend(length.to_be_bytes());
    framed.extend(packet);
    framed
}

/// Reads one request, up to its empty line; none when the client is gone.
pub(crate) async fn read_request(stream: &mut TcpStream) -> Option<String> {
    let mut request = Vec::new();
    let mut byte = [0];
    while !request.ends_with(b"\r\n\r\n") {
        if stream.read(&mut byte).await.ok()? == 0 {
            return None;
        }
        request.push(byte[0]);
    }
    String::from_utf8(request).ok()
}
