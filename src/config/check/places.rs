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

    /// Returns the id of the building or elevator that the camera watches. A name that fits none of
    /// those that are listed for its site is a failure: reports would silently miss the camera. Where
    /// none is listed, reports count nothing, which is worth a word.
    fn watches(&mut self, file: &file::File, camera: &file::Camera) -> Option<String> {
        let site = camera.site.get_ref();
        let buildings: Vec<_> = file
            .building
            .iter()
            .filter(|one| one.site.get_ref() == site)
            .collect();
        let building = buildings
            .iter()
            .find(|one| one.is_called(camera.building()));
        if building.is_none() {
            let known = buildings.iter().flat_map(|one| one.names()).collect();
            self.unlisted("building", camera.building.as_ref(), known);
        }
        // A building may be named by its id at one place and by its name at another.
        let is_same_building = |named: &str| {
            named == camera.building() || building.is_some_and(|one| one.is_called(named))
        };
        let elevators: Vec<_> = file
            .elevator
            .iter()
            .filter(|one| one.site.get_ref() == site)
            .filter(|one| one.building.is_empty() || is_same_building(&one.building))
            .collect();
        let elevator = elevators
            .iter()
            .find(|one| one.is_called(camera.elevator()));
        if elevator.is_none() {
            let listed = file
                .elevator
                .iter()
                .filter(|one| one.site.get_ref() == site);
            let fitting = elevators.iter().flat_map(|one| one.names());
            // Those of this building first: of two that are as near the first is named.
            let known = fitting.chain(listed.flat_map(|one| one.names())).collect();
            self.unlisted("elevator", camera.elevator.as_ref(), known);
        }
        match camera.kind {
            Kind::Facade => building.map(|one| one.id.get_ref().clone()),
            Kind::Elevator => elevator.map(|one| one.id.get_ref().clone()),
        }
    }

    /// Tells that a camera names a building or elevator which is not among the `known` names.
    fn unlisted(&mut self, key: &str, named: Option<&Spanned<String>>, known: Vec<&str>) {
        let Some(named) = named.filter(|named| !named.get_ref().is_empty()) else {
            return;
        };
        let name = named.get_ref();
        if known.is_empty() {
            let line = file::line_of(self.text, named.span().start);
            let told = format!(
                "{key} {name:?}: the camera's site lists no [[{key}]], so reports count nothing for this camera"
            );
            self.advice.push(Problem::new(Some(line), told));
            return;
        }
        let alike = |known: &str| strsim::jaro_winkler(known, name);
        let nearest = known
            .iter()
            .rev()
            .max_by(|a, b| alike(a).total_cmp(&alike(b)));
        let nearest = nearest.copied().unwrap_or_default();
        let told = if nearest == name {
            format!("the [[{key}]] {name:?} is in another building than this camera says")
        } else {
            format!(
                "{key} {name:?} is no [[{key}]] of the camera's site; did you mean {nearest:?}?"
            )
        };
        self.tell(Some(named), told);
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
