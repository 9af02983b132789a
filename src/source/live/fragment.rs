//! Fragmented MP4 of H.264 for a browser's Media Source Extensions: an opening, then one fragment a
//! picture. Pure: no I/O, no clock.
//!
//! Boxes are named by ISO/IEC 14496-12 (8.8, movie fragments) and 14496-15 (5.4, `avc1`). A picture is
//! copied once, into its fragment, and neither decoded nor encoded.

use bytes::Bytes;

use crate::clock::StreamTime;
use crate::source::{Framing, Packet, StreamInfo, nal};

/// A clock of 90 kHz, as RTP has it.
const TICKS_PER_SECOND: u32 = 90_000;
/// A picture lasts as long as this when nobody knows better.
const DURATION_TICKS: u32 = TICKS_PER_SECOND / 25;
/// And no longer than this: a camera that pauses leaves a gap instead.
const DURATION_TICKS_MAX: i64 = TICKS_PER_SECOND as i64 * 2;

/// Sample flags (14496-12, 8.8.3.1): depends on no other picture.
const KEY_FLAGS: u32 = 0x0200_0000;
/// Depends on others, and is no key picture.
const OTHER_FLAGS: u32 = 0x0101_0000;

/// Why a stream cannot be shown as it is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotLive {
    #[error("only upright H.264 is shown live; browsers play nothing else everywhere")]
    Codec,
    #[error("the stream has not told its parameter sets")]
    NoParameters,
}

/// Makes fragments of one timeline.
#[derive(Debug)]
pub struct Fragments {
    avcc: Bytes,
    framing: Framing,
    size_px: (u32, u32),
    /// Decoding time of the first picture, from which the fragments' times run.
    zero: Option<StreamTime>,
    /// The picture whose duration the next one tells.
    held: Option<Packet>,
    sequence: u32,
}

impl Fragments {
    /// Returns the maker for a timeline whose first key picture is `first`. Fails where a browser
    /// could not play it.
    pub fn new(info: &StreamInfo, first: &Packet) -> Result<Self, NotLive> {
        if !info.is_shown_by_browsers() {
            return Err(NotLive::Codec);
        }
        let avcc = match info.framing {
            Framing::LengthPrefixed => info.extra_data.clone(),
            Framing::AnnexB => configuration(&info.extra_data, &first.data)?,
            Framing::Opaque => return Err(NotLive::Codec),
        };
        // Version, profile, compatibility, level, size of lengths, and at least one set's head.
        if avcc.len() < 8 || avcc[0] != 1 {
            return Err(NotLive::NoParameters);
        }
        Ok(Self {
            avcc,
            framing: info.framing,
            size_px: (info.width_px, info.height_px),
            zero: None,
            held: None,
            sequence: 0,
        })
    }

    /// Returns the codec as browsers name it (RFC 6381), such as `avc1.64001f`.
    pub fn codec(&self) -> String {
        let [profile, compatible, level] = [self.avcc[1], self.avcc[2], self.avcc[3]];
        format!("avc1.{profile:02x}{compatible:02x}{level:02x}")
    }

    /// Returns the opening: what a player must have before the first fragment.
    pub fn opening(&self) -> Bytes {
        let mut out = Vec::with_capacity(1024);
        boxed(&mut out, b"ftyp", |out| {
            out.extend_from_slice(b"iso6\0\0\0\0iso6avc1mp41");
        });
        boxed(&mut out, b"moov", |out| {
            boxed(out, b"mvhd", movie_header);
            boxed(out, b"trak", |out| self.track(out));
            boxed(out, b"mvex", |out| {
                boxed(out, b"trex", |out| {
                    words(out, &[0, 1, 1, 0, 0, 0]);
                });
            });
        });
        out.into()
    }

    /// Takes the next packet, and returns the fragment of the one before: only now is it known how
    /// long that is shown. Packets before the first key picture are left out.
    pub fn push(&mut self, packet: Packet) -> Option<Bytes> {
        if self.zero.is_none() {
            if !packet.key {
                return None;
            }
            self.zero = Some(packet.decode_at.min(packet.at));
        }
        let next_us = packet.decode_at.as_micros();
        let before = self.held.replace(packet)?;
        let ticks = ticks(next_us - before.decode_at.as_micros());
        let duration = match ticks {
            1..=DURATION_TICKS_MAX => u32::try_from(ticks).unwrap_or(DURATION_TICKS),
            _ => DURATION_TICKS,
        };
        Some(self.fragment(&before, duration))
    }

    /// Forgets the picture that is held back: what follows begins with a key picture.
    pub fn skip(&mut self) {
        self.held = None;
    }

    /// Returns when a picture is shown on the player's clock, seconds.
    pub fn shown_at_s(&self, packet: &Packet) -> f64 {
        self.zero.map_or(0.0, |zero| packet.at.secs_since(zero))
    }

    fn fragment(&mut self, packet: &Packet, duration: u32) -> Bytes {
        let zero_us = self.zero.map_or(0, StreamTime::as_micros);
        let decoded = ticks(packet.decode_at.as_micros() - zero_us).max(0);
        let offset = ticks(packet.at.as_micros() - packet.decode_at.as_micros());
        let data = match self.framing {
            Framing::AnnexB => length_prefixed(&packet.data),
            Framing::LengthPrefixed | Framing::Opaque => packet.data.clone(),
        };
        self.sequence = self.sequence.wrapping_add(1);
        let mut out = Vec::with_capacity(data.len() + 128);
        let mut data_offset_at = 0;
        boxed(&mut out, b"moof", |out| {
            boxed(out, b"mfhd", |out| words(out, &[0, self.sequence]));
            boxed(out, b"traf", |out| {
                // Offsets count from the beginning of this fragment.
                boxed(out, b"tfhd", |out| words(out, &[0x0002_0000, 1]));
                boxed(out, b"tfdt", |out| {
                    words(out, &[0x0100_0000]);
                    out.extend_from_slice(&decoded.to_be_bytes());
                });
                boxed(out, b"trun", |out| {
                    // Version 1: composition offsets may be negative. Present: data offset,
                    // duration, size, flags, composition offset.
                    words(out, &[0x0100_0f01, 1]);
                    data_offset_at = out.len();
                    words(out, &[0, duration, size(data.len())]);
                    let flags = if packet.key { KEY_FLAGS } else { OTHER_FLAGS };
                    words(out, &[flags]);
                    let offset = i32::try_from(offset).unwrap_or(0);
                    out.extend_from_slice(&offset.to_be_bytes());
                });
            });
        });
        let data_offset = size(out.len() + 8).to_be_bytes();
        out[data_offset_at..data_offset_at + 4].copy_from_slice(&data_offset);
        boxed(&mut out, b"mdat", |out| out.extend_from_slice(&data));
        out.into()
    }

    fn track(&self, out: &mut Vec<u8>) {
        let (width_px, height_px) = self.size_px;
        boxed(out, b"tkhd", |out| {
            // Enabled and in the movie; track 1; of no duration of its own.
            words(out, &[3, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
            words(out, &MATRIX);
            words(out, &[width_px << 16, height_px << 16]);
        });
        boxed(out, b"mdia", |out| {
            boxed(out, b"mdhd", |out| {
                words(out, &[0, 0, 0, TICKS_PER_SECOND, 0, 0x55c4_0000]);
            });
            boxed(out, b"hdlr", |out| {
                words(out, &[0, 0]);
                out.extend_from_slice(b"vide");
                words(out, &[0, 0, 0]);
                out.push(0);
            });
            boxed(out, b"minf", |out| {
                boxed(out, b"vmhd", |out| words(out, &[1, 0, 0]));
                boxed(out, b"dinf", |out| {
                    boxed(out, b"dref", |out| {
                        words(out, &[0, 1]);
                        boxed(out, b"url ", |out| words(out, &[1]));
                    });
                });
                boxed(out, b"stbl", |out| self.sample_tables(out));
            });
        });
    }

    fn sample_tables(&self, out: &mut Vec<u8>) {
        boxed(out, b"stsd", |out| {
            words(out, &[0, 1]);
            boxed(out, b"avc1", |out| {
                words(out, &[0, 1, 0, 0, 0, 0]);
                let half = |px: u32| u16::try_from(px).unwrap_or(u16::MAX).to_be_bytes();
                out.extend_from_slice(&half(self.size_px.0));
                out.extend_from_slice(&half(self.size_px.1));
                // 72 dots an inch, one picture a sample, no name, 24 bits of colour.
                words(out, &[0x0048_0000, 0x0048_0000, 0]);
                out.extend_from_slice(&[0, 1]);
                out.extend_from_slice(&[0; 32]);
                out.extend_from_slice(&[0, 0x18, 0xff, 0xff]);
                boxed(out, b"avcC", |out| out.extend_from_slice(&self.avcc));
            });
        });
        // Empty: all samples are in fragments.
        boxed(out, b"stts", |out| words(out, &[0, 0]));
        boxed(out, b"stsc", |out| words(out, &[0, 0]));
        boxed(out, b"stsz", |out| words(out, &[0, 0, 0]));
        boxed(out, b"stco", |out| words(out, &[0, 0]));
    }
}

/// No rotation and no scaling.
const MATRIX: [u32; 9] = [0x0001_0000, 0, 0, 0, 0x0001_0000, 0, 0, 0, 0x4000_0000];

fn movie_header(out: &mut Vec<u8>) {
    words(out, &[0, 0, 0, TICKS_PER_SECOND, 0]);
    // Normal speed and volume.
    words(out, &[0x0001_0000, 0x0100_0000, 0, 0]);
    words(out, &MATRIX);
    // The next track would be 2.
    words(out, &[0, 0, 0, 0, 0, 0, 2]);
}

/// Writes a box: its size, its name, and what `fill` writes.
fn boxed(out: &mut Vec<u8>, name: &[u8; 4], fill: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(name);
    fill(out);
    let length = size(out.len() - start).to_be_bytes();
    out[start..start + 4].copy_from_slice(&length);
}

fn words(out: &mut Vec<u8>, values: &[u32]) {
    for value in values {
        out.extend_from_slice(&value.to_be_bytes());
    }
}

fn size(bytes: usize) -> u32 {
    // A picture is bounded by the source to far less.
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

fn ticks(us: i64) -> i64 {
    us * i64::from(TICKS_PER_SECOND / 1000) / 1000
}

/// Returns the decoder's configuration (`avcC`, 14496-15, 5.3.3.1) from the parameter sets of a raw
/// stream.
fn configuration(extra: &[u8], first: &[u8]) -> Result<Bytes, NotLive> {
    let of = |kind: u8| {
        let all = nal::units(extra).into_iter().chain(nal::units(first));
        all.into_iter()
            .find(|unit| unit.first().is_some_and(|head| head & 0x1f == kind))
    };
    let (Some(sps), Some(pps)) = (of(7), of(8)) else {
        return Err(NotLive::NoParameters);
    };
    let [_, profile, compatible, level, ..] = *sps else {
        return Err(NotLive::NoParameters);
    };
    let mut out = vec![1, profile, compatible, level, 0xff, 0xe1];
    let length = |set: &[u8]| u16::try_from(set.len()).map_err(|_| NotLive::NoParameters);
    out.extend_from_slice(&length(sps)?.to_be_bytes());
    out.extend_from_slice(sps);
    out.push(1);
    out.extend_from_slice(&length(pps)?.to_be_bytes());
    out.extend_from_slice(pps);
    Ok(out.into())
}

fn length_prefixed(raw: &[u8]) -> Bytes {
    let mut out = Vec::with_capacity(raw.len() + 16);
    for unit in nal::units(raw) {
        words(&mut out, &[size(unit.len())]);
        out.extend_from_slice(unit);
    }
    out.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::{Codec, Turn};

    const RAW: [u8; 20] = [
        0, 0, 0, 1, 0x67, 0x64, 0, 0x1f, 7, 0, 0, 1, 0x68, 6, 0, 0, 0, 1, 0x65, 9,
    ];

    fn info(codec: Codec) -> StreamInfo {
        StreamInfo {
            codec,
            framing: Framing::AnnexB,
            extra_data: Bytes::new(),
            width_px: 640,
            height_px: 360,
            codec_tag: 0,
            pixel_format: -1,
            bits_per_sample: 0,
            turn: Turn::None,
        }
    }

    fn packet(at_ms: i64, decode_ms: i64, key: bool) -> Packet {
        Packet {
            data: Bytes::from_static(&RAW),
            at: StreamTime::from_micros(at_ms * 1000),
            decode_at: StreamTime::from_micros(decode_ms * 1000),
            captured_at: jiff::Timestamp::UNIX_EPOCH,
            key,
            lost: 0,
        }
    }

    /// Returns the boxes at one level, by name.
    fn boxes(data: &[u8]) -> Vec<(String, &[u8])> {
        let mut found = Vec::new();
        let mut rest = data;
        while let [a, b, c, d, ..] = *rest {
            let length = u32::from_be_bytes([a, b, c, d]) as usize;
            let name = String::from_utf8_lossy(&rest[4..8]).into_owned();
            found.push((name, &rest[8..length]));
            rest = &rest[length..];
        }
        found
    }

    fn within<'a>(data: &'a [u8], path: &[&str]) -> &'a [u8] {
        path.iter().fold(data, |data, name| {
            let found = boxes(data).into_iter().find(|(known, _)| known == name);
            found.unwrap_or_else(|| panic!("no {name}")).1
        })
    }

    fn word(data: &[u8], at: usize) -> u32 {
        let bytes = data[at..at + 4].try_into().expect("four bytes");
        u32::from_be_bytes(bytes)
    }

    #[test]
    fn the_opening_tells_the_codec_and_the_size() {
        let made = Fragments::new(&info(Codec::H264), &packet(0, 0, true)).expect("H.264");
        assert_eq!(made.codec(), "avc1.64001f");
        let opening = made.opening();
        let header = within(&opening, &["moov", "trak", "tkhd"]);
        assert_eq!(word(header, header.len() - 8) >> 16, 640);
        let entry = within(&opening, &["moov", "trak", "mdia", "minf", "stbl", "stsd"]);
        let entry = within(&entry[8..], &["avc1"]);
        let (name, avcc) = &boxes(&entry[78..])[0];
        assert_eq!(name, "avcC");
        assert_eq!(avcc[..8], [1, 0x64, 0, 0x1f, 0xff, 0xe1, 0, 5]);
    }

    #[test]
    fn a_fragment_holds_one_picture_with_its_times() {
        let mut made = Fragments::new(&info(Codec::H264), &packet(1000, 960, true)).expect("H.264");
        assert!(
            made.push(packet(920, 920, false)).is_none(),
            "no key picture yet"
        );
        assert!(
            made.push(packet(1000, 960, true)).is_none(),
            "how long it lasts is not known"
        );
        let first = made
            .push(packet(1080, 1000, false))
            .expect("the first picture");
        let run = within(&first, &["moof", "traf", "trun"]);
        assert_eq!((word(run, 12), word(run, 20)), (3600, KEY_FLAGS));
        assert_eq!(word(run, 24), 3600, "shown 40 ms after it is decoded");
        let data_offset = word(run, 8) as usize;
        let length = word(run, 16) as usize;
        assert_eq!(data_offset + length, first.len());
        // Length-prefixed now.
        assert_eq!(first[data_offset..data_offset + 5], [0, 0, 0, 5, 0x67]);
        let second = made.push(packet(1040, 1040, false)).expect("the second");
        let time = within(&second, &["moof", "traf", "tfdt"]);
        assert_eq!((word(time, 4), word(time, 8)), (0, 3600));
        assert_eq!(
            word(within(&second, &["moof", "traf", "trun"]), 20),
            OTHER_FLAGS
        );
    }

    #[test]
    fn what_browsers_do_not_play_is_refused() {
        let refused = Fragments::new(&info(Codec::H265), &packet(0, 0, true)).err();
        assert_eq!(refused, Some(NotLive::Codec));
        let mut bare = packet(0, 0, true);
        bare.data = Bytes::from_static(&[0, 0, 1, 0x65, 9]);
        let refused = Fragments::new(&info(Codec::H264), &bare).err();
        assert_eq!(refused, Some(NotLive::NoParameters));
    }
}
