//! A cheap look at whole pictures, for the camera's health: is it a picture, is it still the same
//! view, does anything change in it, does it shake. Gives figures; `alarm::fault` judges them.
//!
//! Looks five times a second at two rows in twenty, so it costs well under 1 % of decoding. Its
//! memory has a fixed size, and what it has learnt of the view outlives a reconnect.

mod reference;
mod still;
mod swing;

use crate::clock::StreamTime;
use crate::decode::Frame;

use reference::{Reference, Structure};
use still::Still;
use swing::Swing;

/// What a look at the picture says.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct PictureFigures {
    /// Mean luma, 0..255.
    pub brightness: f64,
    /// Standard deviation of luma over the areas of the picture, 0..128.
    pub contrast: f64,
    /// For how long nothing has changed but what the encoder does by itself, seconds.
    pub still_s: f64,
    /// Share of the reference's structure that has vanished, 0..1; none before there is one.
    pub lost_share: Option<f64>,
    /// None before there is a reference, and for a moment after day and night vision change.
    pub view: Option<ViewFigures>,
    /// How far the picture swings about its place, pixels, root mean square over 2.4 s.
    pub shake_px: Option<f64>,
}

/// How the picture's structure lies against the reference's.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ViewFigures {
    /// Correlation where the reference is, -1..1.
    pub likeness: f64,
    /// The highest correlation at any shift, and that shift's length as a share of the width.
    pub best_likeness: f64,
    pub shift_rel: f64,
}

/// Areas across and down: 20 px of a 1080p picture, which takes sensor noise out and keeps windows.
const ACROSS: usize = 96;
const DOWN: usize = 54;
const ROWS_PER_AREA: usize = 2;

/// Seconds between looks; a little under a fifth, so that 25 frames a second give five.
const LOOK_EVERY_S: f64 = 0.19;

/// Mean distance from grey of a picture in colour, and of one from a camera in night vision.
const IN_COLOUR: f64 = 3.0;
const GREY: f64 = 1.0;

/// How long after a change between them the exposure settles.
const SETTLE_S: f64 = 20.0;

/// Below this contrast there is nothing to learn.
const CONTRAST_MIN: f64 = 4.0;

/// One camera's look.
#[derive(Debug)]
pub struct View {
    /// Darker pictures teach nothing: an elevator with its light off.
    learn_above: f64,
    size_px: (u32, u32),
    looked_at: Option<StreamTime>,
    rows: SampledRows,
    structure: Structure,
    reference: Reference,
    still: Still,
    swing: Swing,
    in_colour: Option<bool>,
    switched_at: Option<StreamTime>,
}

impl View {
    /// Returns a look that has learnt nothing, and learns from pictures brighter than `learn_above`.
    pub fn new(learn_above: f64) -> Self {
        Self {
            learn_above,
            size_px: (0, 0),
            looked_at: None,
            rows: SampledRows::default(),
            structure: Structure::default(),
            reference: Reference::default(),
            still: Still::default(),
            swing: Swing::default(),
            in_colour: None,
            switched_at: None,
        }
    }

    /// Looks at the frame if a look is due. `now` never goes back, also where the stream's time
    /// does; `learn` says whether the picture is trusted.
    pub fn look(&mut self, frame: &Frame, now: StreamTime, learn: bool) -> Option<PictureFigures> {
        let since = |at: Option<StreamTime>| at.map_or(f64::INFINITY, |at| now.secs_since(at));
        let key_due = frame.key && self.still.wants_key(now);
        if since(self.looked_at) < LOOK_EVERY_S && !key_due {
            return None;
        }
        let steady_s = since(self.looked_at).min(1.0);
        self.looked_at = Some(now);
        let size_px = (frame.width_px(), frame.height_px());
        if size_px != self.size_px {
            self.size_px = size_px;
            self.still = Still::default();
            self.swing = Swing::default();
        }
        self.rows.read(frame);
        let (brightness, contrast) = self.rows.brightness_and_contrast();
        self.structure.read(&self.rows.areas);
        let still_s = self.still.seconds(&self.rows.bytes, frame.key, now);
        let shake_px = self.swing.rms_px(&self.rows, frame, now);
        self.notice_night_vision(frame, contrast, now);
        let lost_share = self.reference.lost_share(&self.structure);
        let settling = since(self.switched_at) < SETTLE_S;
        let view = if settling {
            None
        } else {
            self.reference.compare(&self.structure, now)
        };
        if !settling
            && self.switched_at.take().is_some()
            && lost_share.is_none_or(|lost| lost < 0.5)
        {
            self.reference = Reference::default();
        }
        let worth = contrast >= CONTRAST_MIN && brightness > self.learn_above;
        if learn && worth && !settling {
            self.reference.learn(&self.structure, steady_s);
        }
        Some(PictureFigures {
            brightness,
            contrast,
            still_s,
            lost_share,
            view,
            shake_px,
        })
    }

    /// Forgets the view: what comes next is the new reference.
    pub fn forget(&mut self) {
        self.reference = Reference::default();
    }

    /// Notes when a picture in colour turns grey or back while it still shows something: the
    /// camera's night vision, which changes all brightness and is no other view.
    fn notice_night_vision(&mut self, frame: &Frame, contrast: f64, now: StreamTime) {
        let colour = colourfulness(frame);
        let in_colour = if colour > IN_COLOUR {
            true
        } else if colour < GREY {
            false
        } else {
            return;
        };
        if contrast < CONTRAST_MIN {
            return;
        }
        if self.in_colour.replace(in_colour) == Some(!in_colour) {
            self.switched_at = Some(now);
        }
    }
}

/// Returns the mean distance of chroma from grey, over one row in 32.
fn colourfulness(frame: &Frame) -> f64 {
    let (blue, red) = frame.chroma();
    let mut sum = 0_u64;
    let mut count = 0_u64;
    for y in (0..blue.height_px).step_by(32) {
        for plane in [&blue, &red] {
            let row = plane.row(y);
            sum += row
                .iter()
                .map(|byte| u64::from(byte.abs_diff(128)))
                .sum::<u64>();
            count += row.len() as u64;
        }
    }
    sum as f64 / count.max(1) as f64
}

/// The rows that are looked at, and the mean luma of each area.
#[derive(Debug, Default)]
struct SampledRows {
    /// The rows one after another, each of the picture's width.
    bytes: Vec<u8>,
    width_px: usize,
    /// `ACROSS` x `DOWN` means.
    areas: Vec<f32>,
}

impl SampledRows {
    fn read(&mut self, frame: &Frame) {
        let luma = frame.luma();
        self.width_px = luma.width_px;
        self.bytes.clear();
        self.areas.clear();
        self.areas.resize(ACROSS * DOWN, 0.0);
        let wanted = DOWN * ROWS_PER_AREA;
        for index in 0..wanted {
            // The middle of each of `wanted` bands; small pictures give some rows twice.
            let y = (2 * index + 1) * luma.height_px / (2 * wanted);
            let row = luma.row(y.min(luma.height_px.saturating_sub(1)));
            self.bytes.extend_from_slice(row);
            let areas = &mut self.areas[index / ROWS_PER_AREA * ACROSS..][..ACROSS];
            for (column, area) in areas.iter_mut().enumerate() {
                let start = (column * row.len() / ACROSS).min(row.len().saturating_sub(1));
                let end = ((column + 1) * row.len() / ACROSS).max(start + 1);
                let part = &row[start..end.min(row.len())];
                let sum: u32 = part.iter().map(|byte| u32::from(*byte)).sum();
                let count = part.len().max(1) * ROWS_PER_AREA;
                *area += mean(sum, count);
            }
        }
    }

    fn brightness_and_contrast(&self) -> (f64, f64) {
        let count = self.areas.len() as f64;
        let mean = self.areas.iter().map(|area| f64::from(*area)).sum::<f64>() / count;
        let off = |area: &f32| (f64::from(*area) - mean).powi(2);
        let variance = self.areas.iter().map(off).sum::<f64>() / count;
        (mean, variance.sqrt())
    }
}

#[expect(clippy::cast_precision_loss, reason = "sums of some hundred bytes")]
fn mean(sum: u32, count: usize) -> f32 {
    sum as f32 / count as f32
}

#[cfg(test)]
mod tests;
