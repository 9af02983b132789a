//! Connected pixels become candidates, with bounds that hold in any weather.
//!
//! Grows a region from each pixel above its block's threshold, over pixels at half of it. Never
//! follows a region further than its bound; what is larger is reported with what was seen.

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

/// How far apart two pixels of one region may be: glass bars and encoders tear small things apart.
const REACH_PX: usize = 2;

/// Grows regions, keeping its buffers.
#[derive(Debug, Default)]
pub(crate) struct Regions {
    /// Twice the number of the region that looked at a pixel last, and one more if it took it. Numbers
    /// go on from picture to picture, so that nothing must be cleared.
    looked_by: Vec<u32>,
    /// The newest region's number, and that of the newest one before this picture's first.
    number: u32,
    before: u32,
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
        // Far more than one picture's regions are left until it overflows.
        if self.number > u32::MAX / 4 {
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
            for near_y in y.saturating_sub(REACH_PX)..(y + REACH_PX + 1).min(self.height_px) {
                for near_x in x.saturating_sub(REACH_PX)..(x + REACH_PX + 1).min(self.width_px) {
                    let full = self.queue.len() >= REGION_PIXELS_MAX;
                    if full || self.is_settled(near_x, near_y) {
                        continue;
                    }
                    if triple.at(near_x, near_y).abs() >= floor {
                        self.take(near_x, near_y);
                    } else {
                        self.looked_by[near_y * self.width_px + near_x] = 2 * self.number;
                    }
                }
            }
        }
        sums.candidate(threshold)
    }

    /// Returns whether the pixel is taken or the region that grows has looked at it.
    fn is_settled(&self, x: usize, y: usize) -> bool {
        let looked_by = self.looked_by[y * self.width_px + x];
        looked_by == 2 * self.number || (looked_by % 2 == 1 && looked_by / 2 > self.before)
    }

    fn take(&mut self, x: usize, y: usize) {
        self.looked_by[y * self.width_px + x] = 2 * self.number + 1;
        let place = (u16::try_from(x), u16::try_from(y));
        if let (Ok(x), Ok(y)) = place {
            self.queue.push((x, y));
        }
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
