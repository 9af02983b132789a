//! What a camera looks at, in relative coordinates 0..1, from a scene file. Pure.

pub mod elevator;
pub mod facade;

use serde::Deserialize;

/// A scene file: what one camera looks at.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scene {
    pub facade: Option<facade::FacadeScene>,
    pub elevator: Option<elevator::ElevatorScene>,
}
