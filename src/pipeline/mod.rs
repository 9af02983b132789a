//! Joins one camera's stages, from source to alarm, with named bounds.

pub mod elevator;
pub mod facade;
pub mod fault;
pub mod tracks_file;
pub mod camera;
pub mod decoding;
mod checkpoints;
pub mod checks;
pub mod recorder;
pub mod replay;
pub mod service;

mod kept;
mod pictures;
pub mod bundles;
pub mod footage;
pub mod retention;
mod described;
mod found;
mod upkeep;
mod replayer;
mod stir;
mod rate;
mod pace;

use std::path::Path;

use crate::alarm::AlarmChange;
use crate::decode::{Frame, Past};
use crate::detect::ebike::EbikeDetector;
use crate::detect::{Inference, Models, Runtime, SessionError};
use crate::evidence::manifest::ModelRecord;
use crate::scene::{Kind, Scene};
use crate::verify::Verifier;
use elevator::ElevatorWatch;
use facade::FacadeWatch;
use pace::Pace;

/// Looks at one stream's frames and says what happened. Runs on the camera's own thread, so that
/// replay and service do the same; it must not wait for anything but its own arithmetic.
pub trait Watch: Send {
    /// Looks at the next frame. `changes` takes what it means, in order.
    fn push(&mut self, frame: &Frame, changes: &mut Vec<AlarmChange>);

    /// Judges by another scene from the next frame on. No frame is forgotten; what must begin anew
    /// because heights change their meaning ends what is raised.
    fn set_scene(&mut self, scene: Scene, changes: &mut Vec<AlarmChange>);

    /// Forgets the timeline: the next frame may show anything at any time. Ends what is raised.
    fn restart(&mut self, changes: &mut Vec<AlarmChange>);

    /// Lets the watch have older frames of the timeline decoded once more, so that it need not keep
    /// them. They are the same to the byte: nothing that it says changes.
    fn look_back_by(&mut self, _past: Past) {}

    /// Returns whether nothing happens, so that packets may be held back undecoded as long as their
    /// sizes say that this goes on.
    fn is_idle(&self) -> bool {
        false
    }

    /// Returns whether a frame that was not pushed yet shows what the newest one showed.
    fn is_still(&self, _frame: &Frame) -> bool {
        false
    }

    /// Returns what makes the watch itself blind at the moment, for the camera's health.
    fn condition(&self) -> Condition {
        Condition::default()
    }
}

/// What keeps a watch from seeing, as of its newest frame.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Condition {
    /// More motion than it can tell a fall from.
    pub flooded: bool,
    /// The camera's own movement since the frame before, pixels.
    pub shake_px: f64,
}

/// The models, opened once and shared by all cameras.
#[derive(Clone)]
pub struct Detectors {
    models: Models,
    verifier: Verifier,
    ebike: EbikeDetector,
}

impl Detectors {
    /// Opens ONNX Runtime and the models; where none is given, those beside the program or above
    /// it. Fails when one is missing, or is not what models.toml says.
    pub fn load(runtime: Option<&Path>, models: Option<&Path>) -> Result<Self, SessionError> {
        Self::load_with(runtime, models, Inference::default())
    }

    /// Does the same with models that are computed as `inference` says. Fails also when ONNX Runtime
    /// does not have its provider or cannot use it here.
    pub fn load_with(
        runtime: Option<&Path>,
        models: Option<&Path>,
        inference: Inference,
    ) -> Result<Self, SessionError> {
        let runtime = Runtime::load(runtime)?.with(inference)?;
        let models = Models::open(&runtime, models)?;
        let (verifier, ebike) = (Verifier::load(&models)?, EbikeDetector::load(&models)?);
        Ok(Self {
            models,
            verifier,
            ebike,
        })
    }

    /// Returns a watch for one camera.
    pub fn watch(&self, kind: Kind, scene: Scene) -> Box<dyn Watch> {
        match kind {
            Kind::Facade => Box::new(FacadeWatch::new(scene.facade, self.verifier.clone())),
            Kind::Elevator => Box::new(ElevatorWatch::new(scene.elevator, self.ebike.clone())),
        }
    }

    /// Returns a watch for one live camera, which looks less often where there is no time to look.
    fn watch_live(&self, kind: Kind, scene: Scene, pace: Pace) -> Box<dyn Watch> {
        match kind {
            Kind::Facade => self.watch(kind, scene),
            Kind::Elevator => Box::new(
                ElevatorWatch::new(scene.elevator, self.ebike.clone()).at_the_pace_of(pace),
            ),
        }
    }

    /// Returns the e-bike detector.
    pub fn ebike(&self) -> &EbikeDetector {
        &self.ebike
    }

    /// Returns the falling-object model.
    pub fn verifier(&self) -> &Verifier {
        &self.verifier
    }

    /// Returns the models' names and digests, for manifests.
    pub fn digests(&self) -> Vec<ModelRecord> {
        let record = |(name, sha256): (&str, &str)| ModelRecord {
            name: name.to_owned(),
            sha256: sha256.to_owned(),
        };
        self.models.digests().map(record).collect()
    }
}
