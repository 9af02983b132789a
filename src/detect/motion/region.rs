//! Connected pixels become candidates, with bounds that hold in any weather.
//!
//! Grows a region from each pixel above its block's threshold, over pixels at half of it. Never
//! follows a region further than its bound; what is larger is reported with what was seen.

use std::ops::Range;

use super::difference::Triple;
use crate::geometry::BoxPx;

/// Something that is where it was not a moment ago, and is not a moment later.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Candidate {
    /// Where it is: the box around its pixels, centred on their weighted middle.
    pub area: BoxPx,
    /// Sum of its pixels' differences, grey levels.
    pub mass: f32,
    /// Mean difference to what is there before and after: above 0 brighter, below 0 darker.
    pub contrast: f32,
    /// Its strongest pixel in units of its block's threshold, from 1 up.
    pub strength: f32,
    /// Its number of pixels.
    pub pixels: u32,
}

impl Candidate {
    /// Returns what was found on a picture of half the size as it stands on the whole one.
    pub(super) fn doubled(&self) -> Self {
        let area = &self.area;
        Self {
            area: BoxPx {
                x_px: 2.0 * area.x_px,
                y_px: 2.0 * area.y_px,
                width_px: 2.0 * area.width_px,
                height_px: 2.0 * area.height_px,
            },
            mass: 4.0 * self.mass,
            pixels: 4 * self.pixels,
            ..*self
        }
    }
}

/// Pixels a region may take; a bigger one is cut off there. Objects are 3 to 50 px wide.
const REGION_PIXELS_MAX: usize = 4096;

/// Regions that a picture may have at most.
pub(super) const REGIONS_MAX: u16 = 2048;

/// The largest number of a region: twice it and one more is noted.
const NUMBER_MAX: u16 = u16::MAX / 2;

/// How far apart two pixels of one region may be: glass bars and encoders tear small things apart.
const REACH_PX: usize = 2;

/// Pixels of a row within reach of one.
const ROW_PX: usize = 2 * REACH_PX + 1;

/// Grows regions, keeping its buffers.
#[derive(Debug, Default)]
pub(crate) struct Regions {
    /// Twice the number of the region that looked at a pixel last, and one more if it took it. Numbers
    /// go on from picture to picture, so that hardly ever anything must be cleared.
    looked_by: Vec<u16>,
    /// The newest region's number, and that of the newest one before this picture's first.
    number: u16,
    before: u16,
    width_px: usize,
    height_px: usize,
    queue: Vec<(u16, u16)>,
}

impl Regions {
    /// Returns buffers for pictures of the given size.
    pub(crate) fn new(width_px: usize, height_px: usize) -> Self {
        Self {
            looked_by: vec![0; width_px * height_px],
            number: 0,
            before: 0,
            width_px,
            height_px,
            queue: Vec::with_capacity(REGION_PIXELS_MAX),
        }
    }

    /// Begins the next picture: no pixel is taken.
    pub(crate) fn begin(&mut self) {
        if self.number > NUMBER_MAX - REGIONS_MAX {
            self.looked_by.fill(0);
            self.number = 0;
        }
        self.before = self.number;
    }

    /// Returns whether the pixel belongs to a region of this picture already.
    pub(crate) fn is_taken(&self, x: usize, y: usize) -> bool {
        let looked_by = self.looked_by[y * self.width_px + x];
        looked_by % 2 == 1 && looked_by / 2 > self.before
    }

    /// Grows the region around the pixel (`x`, `y`), whose block has `threshold`, over pixels of at
    /// least `floor` grey levels.
    pub(crate) fn grow(
        &mut self,
        triple: &Triple<'_>,
        (x, y): (usize, usize),
        threshold: f32,
        floor: i16,
    ) -> Candidate {
        self.queue.clear();
        self.number += 1;
        self.take(x, y);
        let mut sums = Sums::default();
        let mut next = 0;
        while let Some(&(x, y)) = self.queue.get(next) {
            next += 1;
            let (x, y) = (usize::from(x), usize::from(y));
            sums.add(x, y, triple.at(x, y));
            let columns = x.saturating_sub(REACH_PX)..(x + REACH_PX + 1).min(self.width_px);
            for near_y in y.saturating_sub(REACH_PX)..(y + REACH_PX + 1).min(self.height_px) {
                self.look(triple, columns.clone(), near_y, floor);
            }
        }
        sums.candidate(threshold)
    }

    /// Takes what differs by `floor` among a few pixels of a row, and notes the others as looked at.
    fn look(&mut self, triple: &Triple<'_>, columns: Range<usize>, y: usize, floor: i16) {
        let (mine, before) = (2 * self.number, 2 * self.before + 1);
        let looked_by = &mut self.looked_by[y * self.width_px..][columns.clone()];
        // Nearly always this region has looked at all of them, or taken them: nothing but the lowest bit
        // differs. As many as a row mostly has are compared at once.
        if let Ok(row) = <&[u16; ROW_PX]>::try_from(&*looked_by)
            && row.iter().fold(0, |others, by| others | (by ^ mine)) <= 1
        {
            return;
        }
        let is_settled = |by: u16| by == mine || (by % 2 == 1 && by > before);
        let mut differences = [0; ROW_PX];
        let differences = &mut differences[..looked_by.len()];
        triple.read(columns.start, y, differences);
        for ((by, &difference), x) in looked_by.iter_mut().zip(&*differences).zip(columns) {
            if is_settled(*by) || self.queue.len() >= REGION_PIXELS_MAX {
                continue;
            }
            *by = mine;
            if difference.abs() >= floor {
                *by += 1;
                enqueue(&mut self.queue, x, y);
            }
        }
    }

    fn take(&mut self, x: usize, y: usize) {
        self.looked_by[y * self.width_px + x] = 2 * self.number + 1;
        enqueue(&mut self.queue, x, y);
    }
}

fn enqueue(queue: &mut Vec<(u16, u16)>, x: usize, y: usize) {
    let place = (u16::try_from(x), u16::try_from(y));
    if let (Ok(x), Ok(y)) = place {
        queue.push((x, y));
    }
}

#[derive(Default)]
struct Sums {
    pixels: u32,
    mass: f64,
    signed: f64,
    x: f64,
    y: f64,
    peak: i16,
    left: usize,
    right: usize,
    top: usize,
    bottom: usize,
}

impl Sums {
    fn add(&mut self, x: usize, y: usize, difference: i16) {
        let weight = f64::from(difference.abs());
        if self.pixels == 0 {
            (self.left, self.right, self.top, self.bottom) = (x, x, y, y);
        }
        self.left = self.left.min(x);
        self.right = self.right.max(x);
        self.top = self.top.min(y);
        self.bottom = self.bottom.max(y);
        self.pixels += 1;
        self.mass += weight;
        self.signed += f64::from(difference);
        self.x += weight * (x as f64 + 0.5);
        self.y += weight * (y as f64 + 0.5);
        self.peak = self.peak.max(difference.abs());
    }

    #[expect(
        clippy::cast_possible_truncation,
        reason = "single precision is plenty for sums of at most 4096 bytes"
    )]
    fn candidate(&self, threshold: f32) -> Candidate {
        let mass = self.mass.max(1.0);
        Candidate {
            area: BoxPx {
                x_px: self.x / mass,
                y_px: self.y / mass,
                width_px: (self.right - self.left + 1) as f64,
                height_px: (self.bottom - self.top + 1) as f64,
            },
            mass: mass as f32,
            contrast: (self.signed / f64::from(self.pixels.max(1))) as f32,
            strength: f32::from(self.peak) / threshold.max(1.0),
            pixels: self.pixels,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::Plane;
    use crate::detect::motion::difference::Shifted;

    const SIDE_PX: usize = 20;

    fn plane(data: &[u8]) -> Plane<'_> {
        Plane {
            data,
            stride: SIDE_PX,
            width_px: SIDE_PX,
            height_px: SIDE_PX,
        }
    }

    #[test]
    fn a_region_is_the_same_on_every_picture_however_many_there_were() {
        let empty = [40; SIDE_PX * SIDE_PX];
        let mut flash = empty;
        // Two strokes a glass bar apart, one of them at the picture's edge, and a pixel out of reach.
        for y in 2..8 {
            flash[y * SIDE_PX] = 90;
            flash[y * SIDE_PX + 2] = 70;
        }
        flash[5 * SIDE_PX + 6] = 90;
        let around = Shifted {
            plane: plane(&empty),
            dx: 0,
            dy: 0,
        };
        let triple = Triple {
            before: around,
            now: plane(&flash),
            after: around,
        };
        let mut regions = Regions::new(SIDE_PX, SIDE_PX);
        // So many that numbers begin anew.
        for picture in 0..u32::from(NUMBER_MAX) + 10 {
            regions.begin();
            assert!(!regions.is_taken(0, 2), "picture {picture}");
            let region = regions.grow(&triple, (0, 2), 20.0, 10);
            assert_eq!((region.pixels, region.area.width_px), (12, 3.0));
            assert!(regions.is_taken(2, 7) && !regions.is_taken(6, 5));
        }
        // A neighbour that must be shifted is read pixel by pixel, to the same end.
        let shifted = Triple {
            before: Shifted { dx: 1, ..around },
            ..triple
        };
        regions.begin();
        let region = regions.grow(&shifted, (0, 2), 20.0, 10);
        assert_eq!((region.pixels, region.mass), (12, 480.0));
    }
}
