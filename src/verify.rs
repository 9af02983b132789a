//! The falling-object model over patches along a live track: whether it looks like a fall.
//!
//! Only tracks that gravity has let through come here, so it runs seldom. Its veto is careful: the
//! threshold stands in models.toml. It must never raise what the judge did not.

use std::sync::Arc;

use ndarray::{Array4, ArrayViewMut3, s};
use serde::Deserialize;

use crate::clock::StreamTime;
use crate::decode::{Frame, Plane};
use crate::detect::models::Models;
use crate::detect::session::{Session, SessionError};
use crate::geometry::Point;
use crate::track::accelerating::Sighting;

/// Side of a patch, pixels, at the camera's own resolution.
pub const PATCH_PX: usize = 32;

/// Moments along the track that are looked at.
pub const MOMENTS: usize = 8;

/// Views of each moment: the picture and its change, near and wide.
pub const VIEWS: usize = 4;

/// Pixels of the picture that one of a wide view stands for, across and down.
const WIDE_PX: usize = 3;

/// How long before each moment the same place is looked at, seconds.
const BEFORE_S: f64 = 0.12;

/// The model's name in models.toml.
pub const MODEL: &str = "verifier";

/// What the model tells apart, in its order. Traffic is what moves by itself: people, vehicles,
/// drones, baskets on ropes.
pub const CLASSES: [&str; 8] = [
    "falling_object",
    "drifting_object",
    "bird",
    "insect",
    "foliage_laundry",
    "rain_snow",
    "light_reflection",
    "traffic",
];

/// How a track looks: a score for each of [`CLASSES`], 0..1, together 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Looks(pub [f32; CLASSES.len()]);

impl Looks {
    /// Returns how much it looks like something that falls, with or without much drag, 0..1.
    pub fn falls(&self) -> f64 {
        f64::from(self.0[0] + self.0[1])
    }
}

/// What tells how a stack of patches looks. The model does; tests may bring their own.
pub trait Eye: Send + Sync {
    /// Returns the looks of `[1, 32, 32, 32]` patches.
    fn looks(&self, patches: &Array4<f32>) -> Result<Looks, SessionError>;
}

/// The second opinion on falls. Cloning shares the model.
#[derive(Clone)]
pub struct Verifier {
    eye: Arc<dyn Eye>,
    threshold: f64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// The model's classes in its order; must be those of [`CLASSES`].
    classes: Vec<String>,
    /// Least share of falling and drifting together that lets a fall through, 0..1.
    threshold: f64,
}

impl Verifier {
    /// Opens the shipped model. Fails when it is missing, changed, or takes or gives something else
    /// than 32 views of 32 x 32 and a score for each class.
    pub fn load(models: &Models) -> Result<Self, SessionError> {
        let session = models.session(MODEL)?;
        let settings: Settings = models.settings(MODEL)?;
        if settings.classes != CLASSES {
            let message = format!("its classes must be {CLASSES:?}");
            return Err(models.unsuitable(MODEL, message));
        }
        if !(0.0..=1.0).contains(&settings.threshold) {
            return Err(models.unsuitable(MODEL, "its threshold must be 0 to 1"));
        }
        let (input, output) = models.shapes(MODEL)?;
        let patches = [(MOMENTS * VIEWS) as i64, PATCH_PX as i64, PATCH_PX as i64];
        let scores = [CLASSES.len() as i64];
        if input.get(1..) != Some(&patches[..]) || output.get(1..) != Some(&scores[..]) {
            let message = format!("it must take [n, {patches:?}] and give [n, {scores:?}]");
            return Err(models.unsuitable(MODEL, message));
        }
        Ok(Self::new(Arc::new(Model(session)), settings.threshold))
    }

    /// Returns a verifier that asks `eye` and lets through what falls by at least `threshold`.
    pub fn new(eye: Arc<dyn Eye>, threshold: f64) -> Self {
        Self { eye, threshold }
    }

    /// Returns whether the patches look like a fall, and how much. A model that fails lets the fall
    /// through: a miss can kill.
    pub fn confirms(&self, patches: &Array4<f32>) -> (bool, Option<Looks>) {
        match self.eye.looks(patches) {
            Ok(looks) => (looks.falls() >= self.threshold, Some(looks)),
            Err(error) => {
                tracing::error!(%error, "the verifier failed; the fall is raised without it");
                (true, None)
            }
        }
    }
}

struct Model(Session);

impl Eye for Model {
    fn looks(&self, patches: &Array4<f32>) -> Result<Looks, SessionError> {
        self.0.run_with(patches.view(), |scores| {
            let mut looks = [0.0; CLASSES.len()];
            for (look, score) in looks.iter_mut().zip(scores.iter()) {
                *look = *score;
            }
            Looks(looks)
        })
    }
}

/// Cuts the patches along the sightings out of `frames` (oldest first): at eight moments evenly
/// along those sightings whose frames are still kept, the picture around the object without its
/// mean and its change since 0.12 s before, both over 64; then the same two of three times the
/// surroundings, three pixels in one. Returns none where no frame is kept.
pub fn cut_patches<'f>(
    sightings: &[Sighting],
    frames: impl Fn(StreamTime) -> Option<&'f Frame>,
) -> Option<Array4<f32>> {
    let kept = sightings
        .iter()
        .position(|sighting| frames(sighting.at).is_some_and(|frame| frame.at == sighting.at))?;
    let sightings = &sightings[kept..];
    let mut patches = Array4::zeros((1, VIEWS * MOMENTS, PATCH_PX, PATCH_PX));
    for moment in 0..MOMENTS {
        let sighting = &sightings[moment * (sightings.len() - 1) / (MOMENTS - 1)];
        let frame = frames(sighting.at)?;
        let earlier_at = sighting.at - std::time::Duration::from_secs_f64(BEFORE_S);
        let earlier = frames(earlier_at).unwrap_or(frame);
        let (now, then) = (frame.luma(), earlier.luma());
        for (view, px) in [(0, 1), (2, WIDE_PX)] {
            let channel = VIEWS * moment + view;
            let views = patches.slice_mut(s![0, channel..channel + 2, .., ..]);
            look_around(views, (&now, &then), sighting.area.centre(), px);
        }
    }
    Some(patches)
}

/// Fills two views, the picture around `centre` and its change, `px` pixels in one, both over 64.
fn look_around(
    mut views: ArrayViewMut3<'_, f32>,
    (now, then): (&Plane<'_>, &Plane<'_>),
    centre: Point,
    px: usize,
) {
    let (left, top) = (corner(centre.x, px), corner(centre.y, px));
    let share = 1.0 / (64 * px * px) as f32;
    let mut sum = 0.0;
    for y in 0..PATCH_PX * px {
        let row = place(top, y, now.height_px) * now.stride;
        let then_row = place(top, y, then.height_px) * then.stride;
        for x in 0..PATCH_PX * px {
            let column = place(left, x, now.width_px);
            let luma = f32::from(now.data[row + column]) * share;
            let before = f32::from(then.data[then_row + column]) * share;
            sum += luma;
            views[[0, y / px, x / px]] += luma;
            views[[1, y / px, x / px]] += luma - before;
        }
    }
    let mean = sum / (PATCH_PX * PATCH_PX) as f32;
    views
        .slice_mut(s![0, .., ..])
        .mapv_inplace(|luma| luma - mean);
}

#[expect(clippy::cast_possible_truncation, reason = "a place on a picture")]
fn corner(centre_px: f64, px: usize) -> i64 {
    centre_px.floor() as i64 - (PATCH_PX * px / 2) as i64
}

/// Returns the row or column `offset` after `start`, the nearest one within `limit` beyond the edge.
fn place(start: i64, offset: usize, limit: usize) -> usize {
    let place = start.saturating_add(i64::try_from(offset).unwrap_or(0));
    usize::try_from(place.max(0)).unwrap_or(0).min(limit - 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::BoxPx;

    #[test]
    fn near_and_wide_views_show_the_thing_in_their_middle() {
        let picture = |micros: i64, bright: bool| {
            let (width_px, height_px) = (200, 120);
            let inside = |x: u32, y: u32| bright && (98..104).contains(&x) && (58..64).contains(&y);
            let luma = (0..height_px)
                .flat_map(|y| (0..width_px).map(move |x| if inside(x, y) { 164 } else { 100 }))
                .collect();
            Frame::from_luma(StreamTime::from_micros(micros), width_px, height_px, luma)
        };
        let (before, after) = (picture(0, false), picture(200_000, true));
        let sighting = Sighting {
            at: after.at,
            area: BoxPx {
                x_px: 101.0,
                y_px: 61.0,
                width_px: 6.0,
                height_px: 6.0,
            },
            mass: 1.0,
            contrast: 64.0,
        };
        let patches = cut_patches(&[sighting], |at| {
            Some(if at >= after.at { &after } else { &before })
        })
        .expect("both frames are kept");
        assert_eq!(patches.dim(), (1, VIEWS * MOMENTS, PATCH_PX, PATCH_PX));
        for channel in [1, 3] {
            assert!((patches[[0, channel, 16, 16]] - 1.0).abs() < 1e-4);
            assert!(patches[[0, channel, 2, 2]].abs() < 1e-4);
        }
        let near: f32 = patches.slice(s![0, 1, .., ..]).sum();
        assert!((near - 36.0).abs() < 1e-2, "{near}");
    }
}
