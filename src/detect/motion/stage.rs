//! One scale of the search: blocks that differ more than their own flicker grow regions, within
//! bounds that are spread over the picture.

use std::ops::Range;

use super::CANDIDATES_MAX;
use super::difference::{BLOCK_PX, Triple};
use super::noise::NoiseMap;
use super::region::{Candidate, REGIONS_MAX, Regions};
use crate::decode::Plane;
use crate::geometry::{Point, Polygon};

/// Regions the picture is divided into for its bounds, across and down.
const REGIONS_ACROSS: usize = 8;
const REGIONS_DOWN: usize = 6;
const REGIONS: usize = REGIONS_ACROSS * REGIONS_DOWN;

/// Share of a region's blocks that may move at once. A falling object takes under a tenth.
const MOVING_SHARE_MAX: f64 = 0.2;

/// Raw regions grown at most in one frame, before the fair choice.
const GROWN_MAX: usize = REGIONS_MAX as usize;

/// What depends on the picture's size: blocks, regions and their buffers.
pub(super) struct Stage {
    across: usize,
    noise: NoiseMap,
    ignored: Vec<bool>,
    region_of: Vec<u8>,
    columns: Vec<u8>,
    maxima: Vec<u8>,
    /// 1 for each block that moves more than it flickers, 0 for the others.
    marks: Vec<u8>,
    /// Blocks of each region.
    totals: [u32; REGIONS],
    moving: Vec<(u32, f32)>,
    regions: Regions,
    grown: Vec<(u8, Candidate)>,
}

impl Stage {
    /// Returns what has seen nothing yet, for pictures of the size of `plane`; blocks whose middle lies
    /// in one of `masks` are ignored.
    pub(super) fn new(plane: &Plane<'_>, masks: &[Polygon]) -> Self {
        let across = plane.width_px.div_ceil(BLOCK_PX);
        let down = plane.height_px.div_ceil(BLOCK_PX);
        let blocks = across * down;
        let mut stage = Self {
            across,
            noise: NoiseMap::new(blocks),
            ignored: Vec::with_capacity(blocks),
            region_of: Vec::with_capacity(blocks),
            columns: vec![0; plane.width_px],
            maxima: vec![0; blocks],
            marks: vec![0; blocks],
            totals: [0; REGIONS],
            moving: Vec::with_capacity(blocks),
            regions: Regions::new(plane.width_px, plane.height_px),
            grown: Vec::with_capacity(GROWN_MAX),
        };
        for row in 0..down {
            for column in 0..across {
                let x = (column as f64 + 0.5) / across as f64;
                let y = (row as f64 + 0.5) / down as f64;
                let middle = Point::new(x, y);
                stage
                    .ignored
                    .push(masks.iter().any(|mask| mask.contains(middle)));
                let region =
                    row * REGIONS_DOWN / down * REGIONS_ACROSS + column * REGIONS_ACROSS / across;
                stage.region_of.push(u8::try_from(region).unwrap_or(0));
                stage.totals[region] += 1;
            }
        }
        stage
    }

    /// Returns how many blocks there are, and how many a row.
    pub(super) fn blocks(&self) -> (usize, usize) {
        (self.maxima.len(), self.across)
    }

    /// Finds the candidates and learns the flicker. Where `still` is 1 a block is known to differ
    /// nowhere. Returns whether a bound was exceeded.
    pub(super) fn find(
        &mut self,
        triple: &Triple<'_>,
        still: &[u8],
        step_s: f64,
        candidates: &mut Vec<Candidate>,
    ) -> bool {
        self.measure(triple, still);
        let mut flooded = false;
        if self.noise.is_settled() {
            flooded |= self.pick_moving();
            flooded |= self.grow(triple);
            choose_fairly(&mut self.grown, candidates);
        }
        self.noise.learn(&self.maxima, step_s);
        flooded
    }

    fn measure(&mut self, triple: &Triple<'_>, still: &[u8]) {
        let (width, height) = (triple.now.width_px, triple.now.height_px);
        let strips = still.chunks_exact(self.across);
        for ((row, blocks), still) in self
            .maxima
            .chunks_exact_mut(self.across)
            .enumerate()
            .zip(strips)
        {
            let top = row * BLOCK_PX;
            self.columns.fill(0);
            for run in Runs::of(still) {
                let columns = run.start * BLOCK_PX..(run.end * BLOCK_PX).min(width);
                let rows = top..(top + BLOCK_PX).min(height);
                triple.raise_maxima(columns.start, rows, &mut self.columns[columns]);
            }
            fold_blocks(blocks, &self.columns);
        }
    }

    /// Lists the moving blocks with their thresholds, raised in regions where too many move.
    /// Returns whether any region was.
    fn pick_moving(&mut self) -> bool {
        // Ratios of maximum to threshold, in quarters, as a histogram for each region.
        const RATIOS: usize = 64;
        let mut counts = [[0_u32; RATIOS]; REGIONS];
        self.moving.clear();
        self.noise.mark_moving(&self.maxima, &mut self.marks);
        for (index, &mark) in self.marks.iter().enumerate() {
            if mark == 0 || self.ignored[index] {
                continue;
            }
            let (region, maximum) = (usize::from(self.region_of[index]), self.maxima[index]);
            let threshold = self.noise.threshold(index);
            counts[region][quarter(maximum, threshold).min(RATIOS - 1)] += 1;
            self.moving
                .push((u32::try_from(index).unwrap_or(u32::MAX), threshold));
        }
        let mut factors = [1.0_f32; REGIONS];
        for region in 0..REGIONS {
            let allowed = (f64::from(self.totals[region]) * MOVING_SHARE_MAX).max(12.0);
            let mut above: u32 = counts[region].iter().sum();
            let mut ratio = 0_u16;
            while f64::from(above) > allowed && usize::from(ratio) < RATIOS - 1 {
                above -= counts[region][usize::from(ratio)];
                ratio += 1;
            }
            factors[region] = f32::from(ratio) / 4.0;
        }
        let raised = factors.iter().filter(|&&factor| factor > 1.0).count();
        let (maxima, region_of) = (&self.maxima, &self.region_of);
        self.moving.retain_mut(|(index, threshold)| {
            let index = *index as usize;
            let factor = factors[usize::from(region_of[index])].max(1.0);
            *threshold *= factor;
            f32::from(maxima[index]) > *threshold
        });
        raised * 4 > REGIONS
    }

    /// Grows regions out of the moving blocks. Returns whether there were too many.
    fn grow(&mut self, triple: &Triple<'_>) -> bool {
        self.regions.begin();
        self.grown.clear();
        let (width, height) = (triple.now.width_px, triple.now.height_px);
        for &(index, threshold) in &self.moving {
            let index = index as usize;
            let (left, top) = (
                index % self.across * BLOCK_PX,
                index / self.across * BLOCK_PX,
            );
            let floor = (threshold * 0.5).max(self.noise.mean(index)).max(3.0);
            let mut row = [0_u8; BLOCK_PX];
            let row = &mut row[..(width - left).min(BLOCK_PX)];
            for y in top..(top + BLOCK_PX).min(height) {
                row.fill(0);
                triple.raise_maxima(left, y..y + 1, row);
                for (x, &difference) in (left..).zip(&*row) {
                    let strong = f32::from(difference) > threshold;
                    if !strong || self.regions.is_taken(x, y) {
                        continue;
                    }
                    if self.grown.len() >= GROWN_MAX {
                        return true;
                    }
                    #[expect(clippy::cast_possible_truncation, reason = "at most 255")]
                    let floor = floor.min(threshold) as i16;
                    let candidate = self.regions.grow(triple, (x, y), threshold, floor);
                    self.grown.push((self.region_of[index], candidate));
                }
            }
        }
        self.grown.len() > CANDIDATES_MAX
    }
}

/// Blocks in a row that are still, fewer than which are looked at with their neighbours: to begin anew
/// costs as much.
const STILL_MIN: usize = 4;

/// The runs of blocks in a row that must be looked at.
struct Runs<'a> {
    still: &'a [u8],
    next: usize,
}

impl<'a> Runs<'a> {
    fn of(still: &'a [u8]) -> Self {
        Self { still, next: 0 }
    }
}

impl Iterator for Runs<'_> {
    type Item = Range<usize>;

    fn next(&mut self) -> Option<Range<usize>> {
        let rest = self.still.get(self.next..)?;
        let start = self.next + rest.iter().position(|&still| still == 0)?;
        let mut end = start;
        for (index, &still) in self.still.iter().enumerate().skip(start) {
            if still == 0 {
                end = index + 1;
            } else if index >= end + STILL_MIN {
                break;
            }
        }
        self.next = end;
        Some(start..end)
    }
}

/// Puts the largest of each block's columns into `blocks`.
fn fold_blocks(blocks: &mut [u8], columns: &[u8]) {
    let (whole, rest) = columns.as_chunks::<BLOCK_PX>();
    let (wholes, last) = blocks.split_at_mut(whole.len());
    for (block, columns) in wholes.iter_mut().zip(whole) {
        *block = columns.iter().copied().fold(0, u8::max);
    }
    for block in last {
        *block = rest.iter().copied().fold(0, u8::max);
    }
}

/// Returns `maximum / threshold` in whole quarters.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "0 to 1020"
)]
fn quarter(maximum: u8, threshold: f32) -> usize {
    (f32::from(maximum) / threshold * 4.0) as usize
}

/// Moves at most [`CANDIDATES_MAX`] of `grown` to `candidates`: the strongest of each region, and no
/// region gets more while another has some left that it was not asked for.
fn choose_fairly(grown: &mut [(u8, Candidate)], candidates: &mut Vec<Candidate>) {
    if grown.len() <= CANDIDATES_MAX {
        candidates.extend(grown.iter().map(|(_, candidate)| *candidate));
        return;
    }
    let mut counts = [0_usize; REGIONS];
    for (region, _) in grown.iter() {
        counts[usize::from(*region)] += 1;
    }
    let mut quota = 1;
    while counts
        .iter()
        .map(|&count| count.min(quota + 1))
        .sum::<usize>()
        <= CANDIDATES_MAX
    {
        quota += 1;
    }
    grown.sort_unstable_by(|(_, a), (_, b)| {
        b.strength
            .total_cmp(&a.strength)
            .then(a.area.y_px.total_cmp(&b.area.y_px))
            .then(a.area.x_px.total_cmp(&b.area.x_px))
    });
    let mut taken = [0_usize; REGIONS];
    for (region, candidate) in grown.iter() {
        let taken = &mut taken[usize::from(*region)];
        if *taken < quota {
            *taken += 1;
            candidates.push(*candidate);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_at_what_moves_and_at_short_pauses_between() {
        let still = [1, 1, 0, 1, 1, 0, 1, 1, 1, 1, 1, 1, 0];
        let runs: Vec<_> = Runs::of(&still).collect();
        assert_eq!(runs, [2..6, 12..13]);
        assert_eq!(Runs::of(&[0; 5]).collect::<Vec<_>>(), vec![0..5]);
        assert_eq!(Runs::of(&[1; 5]).count(), 0);
    }
}
