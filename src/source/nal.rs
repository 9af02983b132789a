//! NAL units of H.264 and H.265, as raw streams (annex B) and as MP4 and RTSP frame them. Pure.

use super::{Codec, Framing, StreamInfo};

/// Returns the NAL units between the start codes `00 00 01`, without trailing zeros.
pub fn units(data: &[u8]) -> Vec<&[u8]> {
    let mut starts: Vec<usize> = Vec::new();
    let mut index = 0;
    while index + 3 <= data.len() {
        if data[index..index + 3] == [0, 0, 1] {
            starts.push(index + 3);
            index += 3;
        } else {
            index += 1;
        }
    }
    let ends = starts.iter().skip(1).map(|start| start - 3);
    starts
        .iter()
        .zip(ends.chain([data.len()]))
        .map(|(start, end)| {
            let unit = &data[*start..end];
            let kept = unit.iter().rposition(|byte| *byte != 0);
            &unit[..kept.map_or(0, |last| last + 1)]
        })
        .collect()
}

/// Returns whether a picture needs no other, and none across it: an IDR of H.264, an IDR or BLA of
/// H.265 (ITU-T H.264 table 7-1, H.265 table 7-1). Not a CRA of H.265, which pictures shown before it
/// may need beside the group before; nor a place to begin at in a stream that refreshes its picture
/// in stripes, for what begins there is whole only after a while.
pub fn stands_alone(info: &StreamInfo, picture: &[u8]) -> bool {
    match info.codec {
        Codec::H264 => heads(info, picture).any(|head| head & 0x1f == 5),
        Codec::H265 => heads(info, picture).any(|head| (16..=20).contains(&(head >> 1 & 0x3f))),
        Codec::Other(_) => false,
    }
}

/// Returns whether decoding may begin with a picture: an IDR, and of H.265 a BLA or CRA as well, after which
/// pictures that are shown before it are to be left out (ITU-T H.265 table 7-1).
pub fn may_begin(info: &StreamInfo, picture: &[u8]) -> bool {
    match info.codec {
        Codec::H265 => heads(info, picture).any(|head| (16..=21).contains(&(head >> 1 & 0x3f))),
        _ => stands_alone(info, picture),
    }
}

/// Returns the first byte of each NAL unit, which tells its type.
fn heads<'a>(info: &StreamInfo, picture: &'a [u8]) -> impl Iterator<Item = u8> + use<'a> {
    let units = match info.framing {
        Framing::AnnexB => units(picture),
        Framing::LengthPrefixed => prefixed(picture, length_bytes(info)),
        Framing::Opaque => Vec::new(),
    };
    units
        .into_iter()
        .map(|unit| unit.first().copied().unwrap_or(0))
}

/// Returns the bytes of a unit's length: avcC and hvcC tell them less one.
fn length_bytes(info: &StreamInfo) -> usize {
    let place = if info.codec == Codec::H264 { 4 } else { 21 };
    let byte = info.extra_data.get(place).copied().unwrap_or(3);
    usize::from(byte & 3) + 1
}

/// Returns the NAL units behind their lengths, as far as they are whole.
fn prefixed(mut data: &[u8], length_bytes: usize) -> Vec<&[u8]> {
    let mut units = Vec::new();
    while let Some((length, rest)) = data.split_at_checked(length_bytes) {
        let length = length
            .iter()
            .fold(0_usize, |sum, byte| sum << 8 | usize::from(*byte));
        let Some((unit, rest)) = rest.split_at_checked(length) else {
            break;
        };
        units.push(unit);
        data = rest;
    }
    units
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::source::Turn;

    fn info(codec: Codec, framing: Framing, extra_data: &[u8]) -> StreamInfo {
        StreamInfo {
            codec,
            framing,
            extra_data: Bytes::copy_from_slice(extra_data),
            width_px: 0,
            height_px: 0,
            codec_tag: 0,
            pixel_format: -1,
            bits_per_sample: 0,
            turn: Turn::None,
        }
    }

    #[test]
    fn tells_a_picture_that_needs_no_other() {
        let raw = info(Codec::H264, Framing::AnnexB, &[]);
        assert!(stands_alone(&raw, &[0, 0, 1, 0x67, 9, 0, 0, 1, 0x65, 8]));
        assert!(
            !stands_alone(&raw, &[0, 0, 1, 0x06, 9, 0, 0, 1, 0x41, 8]),
            "recovery point"
        );
        let mp4 = info(
            Codec::H264,
            Framing::LengthPrefixed,
            &[1, 0x64, 0, 0x1f, 0xff],
        );
        assert!(stands_alone(
            &mp4,
            &[0, 0, 0, 2, 0x06, 1, 0, 0, 0, 2, 0x25, 1]
        ));
        assert!(!stands_alone(&mp4, &[0, 0, 0, 2, 0x41, 1]));
        assert!(!stands_alone(&mp4, &[0, 0, 0, 9, 0x65]), "cut off");
        let h265 = info(Codec::H265, Framing::AnnexB, &[]);
        assert!(stands_alone(&h265, &[0, 0, 1, 0x26, 1, 7]));
        assert!(!stands_alone(&h265, &[0, 0, 1, 0x2a, 1, 7]), "CRA");
        assert!(may_begin(
            &h265,
            &[0, 0, 1, 0x4e, 1, 5, 0, 0, 1, 0x2a, 1, 7]
        ));
        assert!(!may_begin(&h265, &[0, 0, 1, 0x02, 1, 7]));
        assert!(may_begin(&raw, &[0, 0, 1, 0x65, 8]));
        assert!(!stands_alone(&h265, &[0, 0, 1, 0x02, 1, 7]));
    }

    #[test]
    fn finds_units_behind_short_and_long_start_codes() {
        let raw = [0, 0, 0, 1, 0x67, 5, 0, 0, 1, 0x68, 6, 0, 0, 0, 1, 0x65, 9];
        assert_eq!(units(&raw), [&[0x67, 5][..], &[0x68, 6], &[0x65, 9]]);
        assert!(units(&[1, 2, 3]).is_empty());
    }
}
