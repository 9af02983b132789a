//! The stages for an auditor's replay. It opens models of its own, so that no camera ever waits for
//! a turn at one that a replay, with a low priority, holds.

use std::path::{Path, PathBuf};

use super::Detectors;
use super::replay::{Replay, ReplayError};
use crate::detect::Inference;
use crate::evidence::manifest::ModelRecord;
use crate::http::{ReplayOrder, ReplayOutcome, ReplayedAlarm, Replayer};
use crate::scene::Kind;
use crate::source::file::FileError;
use crate::store::ReplayModel;
use crate::{detect, verify};

/// Replays with the models that the service runs on.
#[derive(Debug)]
pub(super) struct StageReplayer {
    runtime: Option<PathBuf>,
    models_dir: Option<PathBuf>,
    inference: Inference,
    models: Vec<ModelRecord>,
}

impl StageReplayer {
    /// Returns a replayer with the models that `detectors` has.
    pub(super) fn new(
        detectors: &Detectors,
        runtime: Option<&Path>,
        models_dir: Option<&Path>,
        inference: Inference,
    ) -> Self {
        Self {
            runtime: runtime.map(Path::to_path_buf),
            models_dir: models_dir.map(Path::to_path_buf),
            inference,
            models: detectors.digests(),
        }
    }
}

impl Replayer for StageReplayer {
    fn models(&self, kind: Kind) -> Vec<ReplayModel> {
        let name = match kind {
            Kind::Facade => verify::MODEL,
            Kind::Elevator => detect::ebike::MODEL,
        };
        let own = self.models.iter().filter(|model| model.name == name);
        own.map(|model| ReplayModel {
            name: model.name.clone(),
            sha256: model.sha256.clone(),
        })
        .collect()
    }

    fn replay(
        &self,
        order: &ReplayOrder,
        go_on: &mut dyn FnMut(f64) -> bool,
    ) -> Result<ReplayOutcome, String> {
        let (runtime, models_dir) = (self.runtime.as_deref(), self.models_dir.as_deref());
        let detectors = Detectors::load_with(runtime, models_dir, self.inference);
        let detectors = detectors.map_err(|error| told(&error))?;
        // The files may have been exchanged since the service opened its own.
        if detectors.digests() != self.models {
            return Err("the models on the disk are not those that the service runs on".to_owned());
        }
        let mut watch = detectors.watch(order.kind, order.scene.clone());
        let replay = Replay::open(&order.clip, order.kind).map_err(|error| told(&error))?;
        let mut replay = replay.starting_at(order.starts_at);
        let expected_s = replay.expected_s().unwrap_or(f64::INFINITY).max(0.1);
        let mut alarms = Vec::new();
        let read = replay.run(watch.as_mut(), |replay, over| {
            alarms.extend(over.into_iter().map(|told| ReplayedAlarm {
                raised: told.raised,
                alarm: told.alarm,
                cut: told.cut,
            }));
            match go_on(replay.duration_s() / expected_s) {
                true => Ok(()),
                false => Err(Stop::Asked),
            }
        });
        match read {
            Ok(()) | Err(Stop::Asked) => {}
            Err(Stop::File(error)) => return Err(told(&ReplayError::from(error))),
        }
        Ok(ReplayOutcome {
            alarms,
            frames: replay.frames(),
            duration_s: replay.duration_s(),
            wall_s: replay.wall().as_secs_f64(),
            is_whole: read.is_ok(),
        })
    }
}

/// Why reading ended early.
enum Stop {
    Asked,
    File(FileError),
}

impl From<FileError> for Stop {
    fn from(error: FileError) -> Self {
        Self::File(error)
    }
}

/// Returns an error and its causes, without the folders of this machine: the reason is shown on a
/// page.
fn told(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    // A folder may have blanks in its name: all from where a path begins to the last slash goes.
    let begins = text
        .match_indices('/')
        .find(|(at, _)| *at == 0 || text[..*at].ends_with([' ', '"', '(']));
    match (begins, text.rfind('/')) {
        (Some((from, _)), Some(to)) => format!("{}{}", &text[..from], &text[to + 1..]),
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_tells_no_folders() {
        let path = PathBuf::from("/srv/plumb data/evidence/2026-01-31/x/clip.mp4");
        let error = FileError::Empty { path };
        let text = told(&error);
        assert!(text.contains("clip.mp4 is empty"), "{text}");
        assert!(!text.contains("evidence"), "{text}");
    }
}
