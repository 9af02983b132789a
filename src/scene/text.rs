//! A scene as the text of its file: a new one, or what a person wrote with what has changed in it. A
//! comment, the order of keys and the way in which a number is written stay.

use std::fmt::Write;

use toml_edit::{Array, ArrayOfTables, DocumentMut, Item, Table, TableLike, Value};

use super::Scene;
use super::facade::{FacadeScene, STOREY_HEIGHT_M};
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
            for (key, items) in lists(facade) {
                let _ = writeln!(text, "{key} = [");
                for item in items {
                    let _ = writeln!(text, "  {item},");
                }
                text.push_str("]\n");
            }
        }
        if let Some(elevator) = &self.elevator {
            let floor = polygon(&elevator.car_floor);
            let _ = write!(text, "[elevator]\ncar_floor = {floor}\n");
        }
        text
    }

    /// Returns `old`, the text of a scene file, with what is other in this scene changed in it. Where
    /// that cannot be done it is a new text.
    pub fn to_toml_over(&self, old: &str) -> String {
        let written = self.written_over(old);
        let reads_back = |text: &String| {
            let read: Option<Self> = toml::from_str(text).ok();
            // What was not touched keeps digits that a new text would round away.
            read.is_some_and(|read| read.to_toml() == self.to_toml())
        };
        written.filter(reads_back).unwrap_or_else(|| self.to_toml())
    }

    fn written_over(&self, old: &str) -> Option<String> {
        let mut file: DocumentMut = old.parse().ok()?;
        match &self.facade {
            Some(facade) => {
                let table = part(&mut file, "facade")?;
                put(table, "floors", Value::from(i64::from(facade.floors)));
                if facade.storey_height_m != STOREY_HEIGHT_M
                    || table.contains_key("storey_height_m")
                {
                    put(
                        table,
                        "storey_height_m",
                        value(&decimal(facade.storey_height_m))?,
                    );
                }
                for (key, items) in lists(facade) {
                    put_list(table, key, &items)?;
                }
            }
            None => drop(file.remove("facade")),
        }
        match &self.elevator {
            Some(elevator) => {
                let corners: Vec<_> = elevator
                    .car_floor
                    .corners
                    .iter()
                    .copied()
                    .map(point)
                    .collect();
                put_list(part(&mut file, "elevator")?, "car_floor", &corners)?;
            }
            None => drop(file.remove("elevator")),
        }
        Some(file.to_string())
    }
}

/// Returns a part of the file, made where there is none.
fn part<'a>(file: &'a mut DocumentMut, key: &str) -> Option<&'a mut dyn TableLike> {
    file.entry(key)
        .or_insert_with(toml_edit::table)
        .as_table_like_mut()
}

/// Puts a value in the place of the old one, with the comment that stands beside it; one that says the
/// same stays as it is written.
fn put(table: &mut dyn TableLike, key: &str, new: Value) {
    match table.get_mut(key).and_then(Item::as_value_mut) {
        Some(old) if said(old) == said(&new) => {}
        Some(old) => {
            let decor = old.decor().clone();
            *old = new;
            *old.decor_mut() = decor;
        }
        None => drop(table.insert(key, Item::Value(new))),
    }
}

/// Puts the items into the list of that key. None where one of them is no TOML.
fn put_list(table: &mut dyn TableLike, key: &str, items: &[String]) -> Option<()> {
    let new: Vec<Value> = items
        .iter()
        .map(|item| value(item))
        .collect::<Option<_>>()?;
    if let Some(tables) = table.get_mut(key).and_then(Item::as_array_of_tables_mut) {
        return merge_tables(tables, &new);
    }
    match table.get_mut(key).and_then(Item::as_array_mut) {
        Some(array) => merge(array, &new),
        None if new.is_empty() => drop(table.remove(key)),
        None => {
            let mut array = Array::new();
            merge(&mut array, &new);
            table.insert(key, Item::Value(Value::Array(array)));
        }
    }
    Some(())
}

/// Makes `array` hold the new items. One that says the same as before stays with all that was written
/// around it, one that has changed takes its predecessor's place, and the comment of one that went
/// stands before the next.
fn merge(array: &mut Array, new: &[Value]) {
    let old: Vec<Value> = array.iter().cloned().collect();
    if old.iter().map(said).eq(new.iter().map(said)) {
        return;
    }
    let places = places(&old, new);
    let is_tall = old.iter().any(|item| prefix(item).contains('\n')) || !is_points(new);
    let fresh = |index: usize| match (is_tall, index) {
        (true, _) => "\n  ",
        (false, 0) => "",
        (false, _) => " ",
    };
    let mut tail = array.trailing().as_str().unwrap_or_default().to_owned();
    let mut gone = old
        .iter()
        .enumerate()
        .filter(|(index, item)| !places.contains(&Some(*index)) && prefix(item).contains('#'))
        .map(|(index, item)| (index, prefix(item).trim_end().to_owned()))
        .peekable();
    array.clear();
    for (index, (item, place)) in new.iter().zip(&places).enumerate() {
        let mut item = item.clone();
        let mut before = fresh(index).to_owned();
        if let Some(place) = place {
            let was = &old[*place];
            if said(was) == said(&item) {
                item = was.clone();
            }
            before = prefix(was).to_owned();
            while let Some((_, comment)) = gone.next_if(|(index, _)| index < place) {
                before.insert_str(0, &comment);
            }
        } else if tail.contains('#') {
            // It stood beside the last one.
            before.insert_str(0, tail.trim_end());
            tail = "\n".to_owned();
        }
        item.decor_mut().set_prefix(before);
        item.decor_mut().set_suffix("");
        array.push_formatted(item);
    }
    for (_, comment) in gone {
        tail = format!("{comment}\n{}", tail.trim_start_matches(['\n', ' ']));
    }
    if is_tall && !tail.contains('\n') && !new.is_empty() {
        tail.push('\n');
    }
    array.set_trailing(tail);
    array.set_trailing_comma(is_tall && !new.is_empty());
}

/// The same for a list that is written as tables of their own, such as `[[facade.floor_lines]]`; the
/// comment of one that went stands before the next, or goes with it where it was the last. None where a
/// new item is no table.
fn merge_tables(tables: &mut ArrayOfTables, new: &[Value]) -> Option<()> {
    let inline = |table: &Table| Value::InlineTable(table.clone().into_inline_table());
    let old: Vec<Table> = tables.iter().cloned().collect();
    let values: Vec<Value> = old.iter().map(inline).collect();
    if values.iter().map(said).eq(new.iter().map(said)) {
        return Some(());
    }
    let places = places(&values, new);
    let comment = |table: &Table| {
        let prefix = table.decor().prefix().and_then(|raw| raw.as_str());
        prefix.unwrap_or_default().to_owned()
    };
    let mut gone = (0..old.len())
        .filter(|index| !places.contains(&Some(*index)) && comment(&old[*index]).contains('#'))
        .peekable();
    tables.clear();
    for (item, place) in new.iter().zip(&places) {
        let mut table = place.map_or_else(Table::new, |place| old[place].clone());
        // Where it stands in the file follows from its neighbours.
        table.set_position(None);
        for (key, value) in item.as_inline_table()? {
            // Not the spaces that stood within the braces.
            put(&mut table, key, value.clone().decorated(" ", ""));
        }
        let mut before = place.map_or_else(|| "\n".to_owned(), |_| comment(&table));
        while let Some(index) = gone.next_if(|index| place.is_some_and(|place| *index < place)) {
            before.insert_str(0, comment(&old[index]).trim_end());
        }
        table.decor_mut().set_prefix(before);
        tables.push(table);
    }
    Some(())
}

/// Returns for each new item which old one's place it takes: that of the one which says the same, else
/// that of the one which stood there and is gone.
fn places(old: &[Value], new: &[Value]) -> Vec<Option<usize>> {
    let old_said: Vec<String> = old.iter().map(said).collect();
    let mut is_taken = vec![false; old.len()];
    let mut places: Vec<Option<usize>> = Vec::new();
    for item in new {
        let said = said(item);
        let found = (0..old.len()).find(|index| !is_taken[*index] && old_said[*index] == said);
        if let Some(found) = found {
            is_taken[found] = true;
        }
        places.push(found);
    }
    for (index, place) in places.iter_mut().enumerate() {
        if place.is_none() && is_taken.get(index) == Some(&false) {
            is_taken[index] = true;
            *place = Some(index);
        }
    }
    places
}

/// Returns whether these are the corners of one polygon, which stand in one line.
fn is_points(items: &[Value]) -> bool {
    let is_number = |value: &Value| value.is_float() || value.is_integer();
    items.iter().all(|item| {
        item.as_array()
            .is_some_and(|pair| pair.iter().all(is_number))
    })
}

fn prefix(item: &Value) -> &str {
    let prefix = item.decor().prefix();
    prefix.and_then(|raw| raw.as_str()).unwrap_or_default()
}

/// Returns what a value says, whatever stands around it: numbers as a new text would write them.
fn said(value: &Value) -> String {
    match value {
        Value::Integer(number) => number.value().to_string(),
        Value::Float(number) => decimal(*number.value()),
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(coordinate).collect();
            format!("[{}]", items.join(","))
        }
        Value::InlineTable(table) => {
            let mut pairs: Vec<String> = table
                .iter()
                .map(|(key, value)| format!("{key}={}", said(value)))
                .collect();
            pairs.sort_unstable();
            format!("{{{}}}", pairs.join(","))
        }
        other => other.to_string(),
    }
}

/// A coordinate of 0 or 1 may be written as a whole number.
fn coordinate(value: &Value) -> String {
    match value {
        Value::Integer(number) => decimal(*number.value() as f64),
        other => said(other),
    }
}

fn value(text: &str) -> Option<Value> {
    text.parse().ok()
}

fn lists(facade: &FacadeScene) -> [(&'static str, Vec<String>); 3] {
    let line = |line: &super::facade::FloorLine| {
        let (left, right) = (point(line.left), point(line.right));
        format!(
            "{{ floor = {}, left = {left}, right = {right} }}",
            line.floor
        )
    };
    [
        ("floor_lines", facade.floor_lines.iter().map(line).collect()),
        ("masks", facade.masks.iter().map(polygon).collect()),
        ("openings", facade.openings.iter().map(polygon).collect()),
    ]
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

    const FACADE: &str = "[facade]\nfloors = 20\nstorey_height_m = 3.2\nfloor_lines = [\n\
        { floor = 3, left = [0.1, 1.0], right = [0.9, 0.95] },\n\
        { floor = 9, left = [0.2, 0.5], right = [0.8, 0.45] } ]\n\
        masks = [ [[0.0, 0.0], [0.1, 0.0], [0.1, 1.0]] ]\n\
        openings = [ [[0.3, 0.3], [0.4, 0.3], [0.4, 0.4]] ]\n";
    const CAR: &str = "[elevator]\ncar_floor = [[0.2, 0.5], [0.8, 0.5], [0.9, 1.0], [0.1, 1.0]]\n";

    /// As an installer writes it, with a reason for each thing.
    const BY_HAND: &str = "# Tower 12, seen from the car park.\n\
        [facade] # the south side\n\
        # Measured with a tape.\n\
        storey_height_m = 2.95   # not 3\n\
        floors = 24\n\
        masks = [\n\
        \x20 # the plane tree\n\
        \x20 [[0, 0.8], [0.123456, 0.8], [0.1, 1]], # cut it back?\n\
        \x20 # the road\n\
        \x20 [[0.5, 0.9], [0.9, 0.9], [0.9, 1.0]],\n\
        ]\n\
        floor_lines = [\n\
        \x20 { left = [0.1, 0.95], right = [0.9, 0.94], floor = 3 }, # balcony\n\
        \x20 { left = [0.1, 0.50], right = [0.9, 0.49], floor = 9 },\n\
        ]\n";

    fn scene(text: &str) -> Scene {
        toml::from_str(text).expect("a scene")
    }

    #[test]
    fn the_text_reads_back_as_the_scene() {
        for text in [FACADE, CAR, ""] {
            let scene = scene(text);
            let written = scene.to_toml();
            assert_eq!(toml::from_str::<Scene>(&written), Ok(scene), "{written}");
        }
    }

    #[test]
    fn what_has_not_changed_stays_as_it_was_written() {
        for text in [BY_HAND, FACADE, CAR] {
            assert_eq!(scene(text).to_toml_over(text), text);
        }
    }

    #[test]
    fn a_change_touches_what_has_changed_and_nothing_else() {
        let mut drawn = scene(BY_HAND);
        let facade = drawn.facade.as_mut().expect("a facade");
        facade.floors = 25;
        facade.floor_lines[1].floor = 10;
        let expected = BY_HAND.replace("floors = 24", "floors = 25").replace(
            "{ left = [0.1, 0.50], right = [0.9, 0.49], floor = 9 }",
            "{ floor = 10, left = [0.1, 0.5], right = [0.9, 0.49] }",
        );
        assert_eq!(drawn.to_toml_over(BY_HAND), expected);
    }

    #[test]
    fn a_list_of_tables_stays_one() {
        let by_hand = "# Tower 7\n[facade]\nfloors = 24\n\n# the balcony\n[[facade.floor_lines]]\n\
            floor = 3 # counted twice\nleft = [0.1, 0.95]\nright = [0.9, 0.94]\n\n\
            # the gutter\n[[facade.floor_lines]]\nfloor = 9\nleft = [0.1, 0.5]\nright = [0.9, 0.49]\n";
        let mut drawn = scene(by_hand);
        assert_eq!(drawn.to_toml_over(by_hand), by_hand);
        let lines = &mut drawn.facade.as_mut().expect("a facade").floor_lines;
        lines[0].floor = 4;
        lines.push(super::super::facade::FloorLine {
            floor: 15,
            left: Point { x: 0.1, y: 0.1 },
            right: Point { x: 0.9, y: 0.1 },
        });
        let written = drawn.to_toml_over(by_hand);
        let added = "\n[[facade.floor_lines]]\nfloor = 15\nleft = [0.1, 0.1]\nright = [0.9, 0.1]\n";
        let expected = by_hand.replace("floor = 3 #", "floor = 4 #") + added;
        assert_eq!(written, expected);
        drawn
            .facade
            .as_mut()
            .expect("a facade")
            .floor_lines
            .remove(0);
        let written = drawn.to_toml_over(&written);
        assert_eq!(scene(&written).to_toml(), drawn.to_toml());
        assert!(
            written.contains("[[facade.floor_lines]]\nfloor = 9\n"),
            "{written}"
        );
        assert!(
            written.contains("# the balcony") && written.contains("# the gutter"),
            "{written}"
        );
    }

    #[test]
    fn what_goes_leaves_its_comment_and_what_comes_stands_at_the_end() {
        let mut drawn = scene(BY_HAND);
        let facade = drawn.facade.as_mut().expect("a facade");
        facade.masks.remove(0);
        facade.floor_lines.push(super::super::facade::FloorLine {
            floor: 15,
            left: Point { x: 0.1, y: 0.1 },
            right: Point { x: 0.9, y: 0.1 },
        });
        let written = drawn.to_toml_over(BY_HAND);
        for comment in BY_HAND.lines().filter_map(|line| line.split_once('#')) {
            assert!(written.contains(comment.1), "{} in {written}", comment.1);
        }
        let lines: Vec<_> = written.lines().map(str::trim).collect();
        let at = |wanted: &str| {
            lines
                .iter()
                .position(|line| line.contains(wanted))
                .expect(wanted)
        };
        assert!(at("plane tree") < at("the road") && at("the road") < at("[[0.5, 0.9]"));
        assert_eq!(at("floor = 15"), at("floor = 9") + 1);
        assert_eq!(lines[at("floor = 15") + 1], "]");
        assert_eq!(scene(&written).to_toml(), drawn.to_toml());
    }

    #[test]
    fn a_file_without_a_part_gets_it_and_what_is_no_scene_is_written_anew() {
        let facade = scene(FACADE);
        let written = facade.to_toml_over("# Not drawn yet.\n");
        assert!(written.contains("# Not drawn yet.\n"), "{written}");
        assert_eq!(scene(&written), facade);
        let car = scene(CAR);
        assert_eq!(car.to_toml_over("car_floor = ["), car.to_toml());
        assert_eq!(Scene::default().to_toml_over("# Kept.\n").trim(), "# Kept.");
    }

    #[test]
    fn coordinates_are_rounded_and_stay_decimal() {
        assert_eq!(decimal(0.123_456), "0.1235");
        assert_eq!(decimal(3.0), "3.0");
    }
}
