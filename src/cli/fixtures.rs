//! The project's own clips with what a person expects of them, for the demo and the bench.

use std::path::{Path, PathBuf};

use anyhow::Context;
use serde::Deserialize;

use crate::scene::Kind;

/// One clip of `fixtures/video` and the alarms that a person expects of it.
#[derive(Debug)]
pub(super) struct Fixture {
    pub clip: PathBuf,
    pub scene: PathBuf,
    pub truth: Truth,
}

#[derive(Debug, Deserialize)]
pub(super) struct Truth {
    pub kind: Kind,
    pub description: String,
    pub duration_s: f64,
    #[serde(default)]
    pub alarm: Vec<Expected>,
}

/// One alarm that a person expects; times in seconds from the clip's first frame.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Expected {
    pub kind: String,
    /// A fall: when it has fallen two storeys.
    pub two_storeys_at_s: Option<f64>,
    /// A fall's floor of origin.
    pub floor: Option<i32>,
    /// A ride: when half of the e-bike is inside.
    pub half_inside_at_s: Option<f64>,
    /// A ride: when the e-bike has left.
    pub left_at_s: Option<f64>,
}

/// How long before it is due and after it is over an alarm's cause may be in the picture.
const AROUND_S: f64 = 5.0;

impl Expected {
    /// Returns whether it has anything to do with what happens from `from_s` to `to_s`.
    pub(super) fn is_within(&self, from_s: f64, to_s: f64) -> bool {
        let due_s = self.due_at_s();
        let over_s = self.left_at_s.unwrap_or(due_s) + AROUND_S;
        due_s - AROUND_S < to_s && over_s > from_s
    }

    /// Returns the moment from which the alarm could have been raised.
    pub(super) fn due_at_s(&self) -> f64 {
        self.two_storeys_at_s
            .or(self.half_inside_at_s)
            .unwrap_or(0.0)
    }
}

/// Returns the `fixtures` folder: the given one, or the one beside the program or above it.
/// Fails when there is none.
pub(super) fn folder(given: Option<&Path>) -> anyhow::Result<PathBuf> {
    if let Some(given) = given {
        return Ok(given.to_path_buf());
    }
    let program = std::env::current_exe().unwrap_or_default();
    let here = std::env::current_dir().unwrap_or_default();
    let above = program.ancestors().skip(1).chain(here.ancestors());
    above
        .map(|folder| folder.join("fixtures"))
        .find(|folder| folder.join("video").is_dir())
        .context("there is no fixtures folder beside the program or above it; give --fixtures")
}

/// Reads one clip's expectations. Fails naming the file.
pub(super) fn read(folder: &Path, name: &str) -> anyhow::Result<Fixture> {
    let path = folder.join("video").join(format!("{name}.toml"));
    let text = std::fs::read_to_string(&path)
        .with_context(|| format!("cannot read {}", path.display()))?;
    let truth =
        toml::from_str(&text).with_context(|| format!("{} is not as expected", path.display()))?;
    Ok(Fixture {
        clip: path.with_extension("mp4"),
        scene: path.with_extension("scene.toml"),
        truth,
    })
}
