//! A scene as the text of its file. The same scene gives the same text, so that its digest names it.

use std::fmt::Write;

use super::Scene;
use crate::geometry::{Point, Polygon};

impl Scene {
    /// Returns the text of a scene file that reads back as this scene. Coordinates are rounded to
    /// 0.0001, a fifth of a pixel of a 1080p picture.
    pub fn to_toml(&self) -> String {
        let mut text = String::from("# Drawn in the console. Coordinates are relative, 0 to 1.\n");
        if let Some(facade) = &self.facade {
            let (floors, storey) = (facade.floors, decimal(facade.storey_height_m));
            let _ = write!(
                text,
                "[facade]\nfloors = {floors}\nstorey_height_m = {storey}\n"
            );
            let lines = facade.floor_lines.iter().map(|line| {
                let (left, right) = (point(line.left), point(line.right));
                format!(
                    "{{ floor = {}, left = {left}, right = {right} }}",
                    line.floor
                )
            });
            list(&mut text, "floor_lines", lines);
            list(&mut text, "masks", facade.masks.iter().map(polygon));
            list(&mut text, "openings", facade.openings.iter().map(polygon));
        }
        if let Some(elevator) = &self.elevator {
            let floor = polygon(&elevator.car_floor);
            let _ = write!(text, "[elevator]\ncar_floor = {floor}\n");
        }
        text
    }
}

fn list(text: &mut String, key: &str, items: impl Iterator<Item = String>) {
    let _ = writeln!(text, "{key} = [");
    for item in items {
        let _ = writeln!(text, "  {item},");
    }
    text.push_str("]\n");
}

fn polygon(polygon: &Polygon) -> String {
    let corners: Vec<String> = polygon.corners.iter().copied().map(point).collect();
    format!("[{}]", corners.join(", "))
}

fn point(point: Point) -> String {
    format!("[{}, {}]", decimal(point.x), decimal(point.y))
}

/// TOML tells a whole number from a decimal one: there is always a point.
fn decimal(value: f64) -> String {
    format!("{:?}", (value * 1e4).round() / 1e4)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_reads_back_as_the_scene() {
        let text = "[facade]\nfloors = 20\nstorey_height_m = 3.2\nfloor_lines = [\n\
            { floor = 3, left = [0.1, 1.0], right = [0.9, 0.95] },\n\
            { floor = 9, left = [0.2, 0.5], right = [0.8, 0.45] } ]\n\
            masks = [ [[0.0, 0.0], [0.1, 0.0], [0.1, 1.0]] ]\n\
            openings = [ [[0.3, 0.3], [0.4, 0.3], [0.4, 0.4]] ]\n";
        let car = "[elevator]\ncar_floor = [[0.2, 0.5], [0.8, 0.5], [0.9, 1.0], [0.1, 1.0]]\n";
        for text in [text, car, ""] {
            let scene: Scene = toml::from_str(text).expect("a scene");
            let written = scene.to_toml();
            assert_eq!(toml::from_str::<Scene>(&written), Ok(scene), "{written}");
        }
    }

    #[test]
    fn coordinates_are_rounded_and_stay_decimal() {
        assert_eq!(decimal(0.123_456), "0.1235");
        assert_eq!(decimal(3.0), "3.0");
    }
}
