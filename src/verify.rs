//! The falling-object model over patches along a live track: whether it looks like a fall.
//!
//! Only tracks that gravity has let through come here, so it runs seldom. Its veto is careful: the
//! threshold stands in models.toml. It must never raise what the judge did not.

use std::sync::Arc;

use ndarray::{Array4, s};
use serde::Deserialize;

use crate::clock::StreamTime;
use crate::decode::{Frame, Plane};
use crate::detect::models::Models;
use crate::detect::session::{Session, SessionError};
use crate::track::accelerating::Sighting;

/// Side of a patch, pixels, at the camera's own resolution.
pub const PATCH_PX: usize = 32;

/// Moments along the track that are looked at.
pub const MOMENTS: usize = 8;

/// How long before each moment the same place is looked at, seconds.
const BEFORE_S: f64 = 0.12;

/// The model's name in models.toml.
const MODEL: &str = "verifier";

/// What the model tells apart, in its order.
pub const CLASSES: [&str; 7] = [
    "falling_object",
    "drifting_object",
    "bird",
    "insect",
    "foliage_laundry",
    "rain_snow",
    "light_reflection",
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
    /// Returns the looks of `[1, 16, 32, 32]` patches.
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
    /// than sixteen 32 x 32 patches and a score for each class.
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
        let patches = [(MOMENTS * 2) as i64, PATCH_PX as i64, PATCH_PX as i64];
        if input.get(1..) != Some(&patches[..]) || output.get(1..) != Some(&[7][..]) {
            let message = format!("it must take [n, {patches:?}] and give [n, 7]");
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
/// mean, and its change since 0.12 s before; both over 64. Returns none where no frame is kept.
pub fn cut_patches<'f>(
    sightings: &[Sighting],
    frames: impl Fn(StreamTime) -> Option<&'f Frame>,
) -> Option<Array4<f32>> {
    let kept = sightings
        .iter()
        .position(|sighting| frames(sighting.at).is_some_and(|frame| frame.at == sighting.at))?;
    let sightings = &sightings[kept..];
    let mut patches = Array4::zeros((1, 2 * MOMENTS, PATCH_PX, PATCH_PX));
    for moment in 0..MOMENTS {
        let sighting = &sightings[moment * (sightings.len() - 1) / (MOMENTS - 1)];
        let frame = frames(sighting.at)?;
        let earlier_at = sighting.at - std::time::Duration::from_secs_f64(BEFORE_S);
        let earlier = frames(earlier_at).unwrap_or(frame);
        let (left, top) = (corner(sighting.area.x_px), corner(sighting.area.y_px));
        let (now, then) = (frame.luma(), earlier.luma());
        let mut sum = 0.0;
        for y in 0..PATCH_PX {
            for x in 0..PATCH_PX {
                let luma = pixel(&now, left, top, x, y);
                sum += luma;
                patches[[0, 2 * moment, y, x]] = luma;
                patches[[0, 2 * moment + 1, y, x]] = (luma - pixel(&then, left, top, x, y)) / 64.0;
            }
        }
        let mean = sum / (PATCH_PX * PATCH_PX) as f32;
        patches
            .slice_mut(s![0, 2 * moment, .., ..])
            .mapv_inplace(|luma| (luma - mean) / 64.0);
    }
    Some(patches)
}

#[expect(clippy::cast_possible_truncation, reason = "a place on a picture")]
fn corner(centre_px: f64) -> i64 {
    centre_px.floor() as i64 - PATCH_PX as i64 / 2
}

/// Returns the pixel `x`, `y` right and below of the corner, the nearest one beyond the edge.
fn pixel(plane: &Plane<'_>, left: i64, top: i64, x: usize, y: usize) -> f32 {
    let clamp = |start: i64, offset: usize, limit: usize| {
        let place = start.saturating_add(i64::try_from(offset).unwrap_or(0));
        usize::try_from(place.max(0)).unwrap_or(0).min(limit - 1)
    };
    let (x, y) = (
        clamp(left, x, plane.width_px),
        clamp(top, y, plane.height_px),
    );
    f32::from(plane.data[y * plane.stride + x])
}
