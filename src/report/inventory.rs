//! What there is to be watched, as the configuration gives it: also what no camera watches.

use crate::id::{CameraId, SiteId};
use crate::scene::Kind;

/// Everything there is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Inventory {
    pub sites: Vec<SiteEntry>,
    pub buildings: Vec<Building>,
    pub elevators: Vec<Elevator>,
    pub cameras: Vec<CameraEntry>,
}

/// A compound.
#[derive(Clone, Debug, PartialEq)]
pub struct SiteEntry {
    pub id: SiteId,
    pub name: String,
    /// The division's six digits.
    pub civil_code: Option<String>,
}

/// A building.
#[derive(Clone, Debug, PartialEq)]
pub struct Building {
    pub id: String,
    pub site: SiteId,
    pub name: String,
    pub floors: i32,
}

/// An elevator.
#[derive(Clone, Debug, PartialEq)]
pub struct Elevator {
    pub id: String,
    pub site: SiteId,
    pub name: String,
}

/// A camera.
#[derive(Clone, Debug, PartialEq)]
pub struct CameraEntry {
    pub id: CameraId,
    pub site: SiteId,
    pub name: String,
    pub kind: Kind,
    /// The building or elevator that it watches.
    pub watches: Option<String>,
    /// By GB/T 28181, checked.
    pub code: Option<String>,
    /// Longitude and latitude, degrees.
    pub place: Option<(f64, f64)>,
}
