//! NAL units as raw streams frame them (H.264 and H.265, annex B). Pure.

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_units_behind_short_and_long_start_codes() {
        let raw = [0, 0, 0, 1, 0x67, 5, 0, 0, 1, 0x68, 6, 0, 0, 0, 1, 0x65, 9];
        assert_eq!(units(&raw), [&[0x67, 5][..], &[0x68, 6], &[0x65, 9]]);
        assert!(units(&[1, 2, 3]).is_empty());
    }
}
