//! Buildings, elevators and what cameras watch, with their codes: what reports count.

use std::collections::HashSet;

use toml::Spanned;

use super::Check;
use crate::config::{Site, file};
use crate::id::{CameraId, SiteId};
use crate::report::code;
use crate::report::inventory::{Building, CameraEntry, Elevator, Inventory, SiteEntry};
use crate::scene::Kind;

impl Check<'_> {
    /// Returns what there is. What is wrong with it is told, and left out.
    pub(super) fn inventory(&mut self, file: &file::File, sites: &[Site]) -> Inventory {
        self.unique("building", file.building.iter().map(|one| &one.id));
        self.unique("elevator", file.elevator.iter().map(|one| &one.id));
        self.codes_once(&file.camera);
        Inventory {
            sites: sites
                .iter()
                .map(|site| self.site_entry(file, site))
                .collect(),
            buildings: file
                .building
                .iter()
                .filter_map(|one| self.building(one, sites))
                .collect(),
            elevators: file
                .elevator
                .iter()
                .filter_map(|one| self.elevator(one, sites))
                .collect(),
            cameras: file
                .camera
                .iter()
                .filter_map(|camera| self.camera_entry(file, camera))
                .collect(),
        }
    }

    fn site_entry(&mut self, file: &file::File, site: &Site) -> SiteEntry {
        let written = file
            .site
            .iter()
            .find(|one| one.id.get_ref() == site.id.as_str());
        let given = written.and_then(|one| one.civil_code.as_ref());
        let problem = given.and_then(|code| code::division_problem(code.get_ref()));
        if let Some(problem) = &problem {
            self.tell(given, format!("civil_code {problem}"));
        }
        SiteEntry {
            id: site.id.clone(),
            name: site.name.clone(),
            civil_code: given
                .filter(|_| problem.is_none())
                .map(|code| code.get_ref().clone()),
        }
    }

    fn building(&mut self, building: &file::Building, sites: &[Site]) -> Option<Building> {
        let site = self.known_site(&building.site, sites);
        let floors = *building.floors.get_ref();
        if !(1..=200).contains(&floors) {
            self.tell(
                Some(&building.floors),
                format!("floors {floors} is not within 1 to 200"),
            );
        }
        let id: SiteId = self.id(&building.id)?;
        Some(Building {
            id: id.to_string(),
            site: site?,
            name: building.name.clone().unwrap_or_else(|| id.to_string()),
            floors,
        })
    }

    fn elevator(&mut self, elevator: &file::Elevator, sites: &[Site]) -> Option<Elevator> {
        let site = self.known_site(&elevator.site, sites);
        let id: SiteId = self.id(&elevator.id)?;
        Some(Elevator {
            id: id.to_string(),
            site: site?,
            name: elevator.name.clone().unwrap_or_else(|| id.to_string()),
        })
    }

    fn camera_entry(&mut self, file: &file::File, camera: &file::Camera) -> Option<CameraEntry> {
        let id: CameraId = camera.id.get_ref().parse().ok()?;
        let site: SiteId = camera.site.get_ref().parse().ok()?;
        let written = file
            .site
            .iter()
            .find(|one| one.id.get_ref() == site.as_str());
        let division = written.and_then(|one| one.civil_code.as_ref());
        let division = division.map(|code| code.get_ref().as_str());
        let watches = self.watches(file, camera);
        Some(CameraEntry {
            name: camera.name.clone().unwrap_or_else(|| id.to_string()),
            id,
            site,
            kind: camera.kind,
            watches,
            code: self.camera_code(camera.code.as_ref(), division),
            place: self.place(camera),
        })
    }

    fn camera_code(
        &mut self,
        code: Option<&Spanned<String>>,
        division: Option<&str>,
    ) -> Option<String> {
        let code = code?;
        if let Some(problem) = code::camera_problem(code.get_ref(), division) {
            self.tell(
                Some(code),
                format!("the camera's code (GB/T 28181) {problem}"),
            );
            return None;
        }
        Some(code.get_ref().clone())
    }

    fn codes_once(&mut self, cameras: &[file::Camera]) {
        let mut seen = HashSet::new();
        for code in cameras.iter().filter_map(|camera| camera.code.as_ref()) {
            if !seen.insert(code.get_ref()) {
                let told = format!("the camera's code {:?} is used twice", code.get_ref());
                self.tell(Some(code), told);
            }
        }
    }

    fn watches(&mut self, file: &file::File, camera: &file::Camera) -> Option<String> {
        let (key, given, other, known): (_, _, _, Vec<&str>) = match camera.kind {
            Kind::Facade => (
                "building",
                &camera.building,
                &camera.elevator,
                file.building
                    .iter()
                    .map(|one| one.id.get_ref().as_str())
                    .collect(),
            ),
            Kind::Elevator => (
                "elevator",
                &camera.elevator,
                &camera.building,
                file.elevator
                    .iter()
                    .map(|one| one.id.get_ref().as_str())
                    .collect(),
            ),
        };
        if let Some(other) = other {
            let told = format!(
                "a camera of kind {} watches a {key}: use that key",
                camera.kind
            );
            self.tell(Some(other), told);
        }
        let given = given.as_ref()?;
        if !known.contains(&given.get_ref().as_str()) {
            let told = format!("there is no [[{key}]] with id {:?}", given.get_ref());
            self.tell(Some(given), told);
        }
        Some(given.get_ref().clone())
    }

    fn place(&mut self, camera: &file::Camera) -> Option<(f64, f64)> {
        match (&camera.longitude, &camera.latitude) {
            (Some(longitude), Some(latitude)) => {
                let place = (*longitude.get_ref(), *latitude.get_ref());
                let is_real =
                    (-180.0..=180.0).contains(&place.0) && (-90.0..=90.0).contains(&place.1);
                if !is_real {
                    self.tell(
                        Some(longitude),
                        "longitude is within -180 to 180, latitude within -90 to 90",
                    );
                }
                is_real.then_some(place)
            }
            (Some(one), None) | (None, Some(one)) => {
                self.tell(
                    Some(one),
                    "longitude and latitude go together: give both or none",
                );
                None
            }
            (None, None) => None,
        }
    }
}
