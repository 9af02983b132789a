//! Buildings, elevators and what cameras watch, with their codes: what reports count.

use std::collections::HashSet;

use toml::Spanned;

use super::Check;
use crate::config::{Problem, Site, file};
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

    /// Returns the id of the building or elevator that the camera watches. One that is not listed is
    /// no failure: the reports then say that nobody watches the listed ones.
    fn watches(&mut self, file: &file::File, camera: &file::Camera) -> Option<String> {
        let site = camera.site.get_ref();
        let (key, named, found) = match camera.kind {
            Kind::Facade => {
                let mut all = file.building.iter();
                let found =
                    all.find(|one| one.site.get_ref() == site && one.is_called(&camera.building));
                (
                    "building",
                    &camera.building,
                    found.map(|one| one.id.get_ref()),
                )
            }
            Kind::Elevator => {
                let mut all = file.elevator.iter();
                let found = all.find(|one| {
                    one.site.get_ref() == site
                        && one.is_called(&camera.elevator)
                        && (one.building.is_empty() || one.building == camera.building)
                });
                (
                    "elevator",
                    &camera.elevator,
                    found.map(|one| one.id.get_ref()),
                )
            }
        };
        if found.is_none()
            && !named.is_empty()
            && !(file.building.is_empty() && file.elevator.is_empty())
        {
            let line = file::line_of(self.text, camera.id.span().start);
            let told =
                format!("there is no [[{key}]] {named:?}: reports do not count this camera for it");
            self.advice.push(Problem::new(Some(line), told));
        }
        found.cloned()
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
