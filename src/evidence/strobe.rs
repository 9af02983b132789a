//! The strobe picture: a whole fall in one still, for someone who has one second to understand it.
//!
//! The object stands at each of its positions as the camera saw it there: cut out of its own frame
//! where that frame differs from the background, never smeared and never painted.

use std::ops::Range;

use image::imageops::{self, FilterType};
use image::{Rgb, RgbImage};

use super::ink::{self, AMBER, CYAN, Pen, RED, Side, WHITE};
use super::picture::{colour, enlarge, grown, pixel_of, unit_px, with_caption};
use crate::alarm::{Alarm, TrackPoint};
use crate::clock::StreamTime;
use crate::decode::{Cutout, Frame};
use crate::geometry::{BoxPx, Point};
use crate::scene::facade::FacadeScene;

mod curve;

/// The longer side of the picture at least: small cameras are enlarged so that words stay legible.
const LONG_SIDE_PX: f64 = 1920.0;

/// A frame belongs to the track point nearest in time, if that is nearer than this.
const SAME_MOMENT_S: f64 = 0.005;

/// Positions stand at least this many object sizes apart, so that none covers another.
const APART: f64 = 1.25;

/// Enlarged moments in the strip at the side.
const STRIP_MAX: usize = 5;

/// One position of the object and the frame that shows it there.
struct Shot<'a> {
    shown: &'a Cutout,
    at: StreamTime,
    area: BoxPx,
}

/// Returns the fall in one still, the caption and a line of figures on a bar below.
/// None when no frame shows a point of the track, or none is whole.
pub fn draw(
    alarm: &Alarm,
    frames: &[Cutout],
    scene: Option<&FacadeScene>,
    caption: &str,
) -> Option<RgbImage> {
    let shots = spread(shots(alarm, frames));
    let last = shots.last()?;
    let still = composite(&shots, background(&shots, frames)?);
    let (width, height) = (f64::from(still.width()), f64::from(still.height()));
    let scale = (LONG_SIDE_PX / width.max(height)).max(1.0);
    let size = |side: f64| u32::try_from(ink::whole(side * scale)).unwrap_or(1);
    let mut sheet = if scale > 1.0 {
        imageops::resize(&still, size(width), size(height), FilterType::CatmullRom)
    } else {
        still
    };
    let plan = Plan {
        unit: unit_px(&sheet),
        scale,
        // Words and strip stand on opposite sides of the track.
        marks: if last.area.x_px > width * 0.6 {
            Side::Left
        } else {
            Side::Right
        },
    };
    if let Some(scene) = scene {
        plan.floor_lines(&mut sheet, scene, alarm);
    }
    plan.path(&mut sheet, alarm, &shots);
    plan.marks(&mut sheet, alarm, &shots);
    let sheet = plan.with_strip(sheet, alarm, &shots);
    let figures = figures(alarm, scene, width, height);
    Some(with_caption(sheet, &format!("{caption}\n{figures}")))
}

/// Pairs frames with the track's points, in the order of time.
fn shots<'a>(alarm: &Alarm, frames: &'a [Cutout]) -> Vec<Shot<'a>> {
    let Some(size) = frames.last().map(Cutout::size_px) else {
        return Vec::new();
    };
    let nearest = |shown: &Cutout| -> Option<TrackPoint> {
        let off = |point: &TrackPoint| point.at.secs_since(shown.at()).abs();
        let point = alarm
            .track
            .iter()
            .min_by(|a, b| off(a).total_cmp(&off(b)))?;
        (off(point) < SAME_MOMENT_S).then_some(*point)
    };
    let mut shots: Vec<Shot<'a>> = frames
        .iter()
        .filter(|shown| shown.size_px() == size)
        .filter_map(|shown| {
            nearest(shown).map(|point| Shot {
                shown,
                at: point.at,
                area: point.area,
            })
        })
        // Another track may have come to tell the fall than the one that the part was cut out for.
        .filter(|shot| {
            let [columns, rows] = around(&shot.area, size);
            shot.shown.holds(&columns, &rows)
        })
        .collect();
    shots.sort_by_key(|shot| shot.at);
    shots.dedup_by_key(|shot| shot.at);
    shots
}

/// Keeps the first and last position, and of those between as many as stand free of each other.
fn spread(shots: Vec<Shot<'_>>) -> Vec<Shot<'_>> {
    let Some(last) = shots.last().map(|shot| shot.area) else {
        return shots;
    };
    let side = |area: &BoxPx| area.width_px.max(area.height_px).max(4.0);
    let apart = |a: &BoxPx, b: &BoxPx| {
        a.centre().distance(b.centre()) >= APART * f64::midpoint(side(a), side(b))
    };
    let end = shots.len() - 1;
    let mut kept: Vec<Shot<'_>> = Vec::with_capacity(shots.len());
    for (index, shot) in shots.into_iter().enumerate() {
        let free = kept
            .last()
            .is_none_or(|before| apart(&before.area, &shot.area));
        if index == end || (free && apart(&shot.area, &last)) {
            kept.push(shot);
        }
    }
    kept
}

/// Returns what the objects are cut into: the last shot's frame, or the whole one nearest to it.
fn background<'a>(shots: &[Shot<'_>], frames: &'a [Cutout]) -> Option<&'a Frame> {
    let last = shots.last()?;
    let off = |shown: &&Cutout| shown.at().secs_since(last.shown.at()).abs();
    let size_px = last.shown.size_px();
    let whole = frames
        .iter()
        .filter(|shown| shown.is_whole() && shown.size_px() == size_px);
    let nearest = whole.min_by(|a, b| off(a).total_cmp(&off(b)));
    nearest.map(Cutout::pixels)
}

/// Returns the background with the object of each shot of another moment cut into it.
fn composite(shots: &[Shot<'_>], background: &Frame) -> RgbImage {
    let mut still = colour(background);
    let others = shots.iter().filter(|shot| shot.shown.at() != background.at);
    for shot in others {
        cut_in(&mut still, background, shot);
    }
    still
}

/// Returns columns and rows around an object in which its pixels are looked for.
fn around(area: &BoxPx, (width, height): (u32, u32)) -> [Range<u32>; 2] {
    let room = (area.width_px.max(area.height_px) * 0.35).max(3.0);
    let [left, top, right, bottom] = grown(area, room);
    let range = |low: f64, high: f64, size: u32| {
        let low = u32::try_from(ink::whole(low.floor())).unwrap_or(0);
        let high = u32::try_from(ink::whole(high.ceil())).unwrap_or(0);
        low.min(size)..high.min(size)
    };
    [range(left, right, width), range(top, bottom, height)]
}

/// Copies the object of `shot` into `still`: those pixels around its box where its frame differs
/// from the background by more than noise does.
fn cut_in(still: &mut RgbImage, background: &Frame, shot: &Shot<'_>) {
    let [columns, rows] = around(&shot.area, still.dimensions());
    let (here, there) = (shot.shown.pixels().luma(), background.luma());
    let (left, top) = shot.shown.begins_px();
    let differs = |x: u32, y: u32| {
        let own = here.row((y - top) as usize)[(x - left) as usize];
        own.abs_diff(there.row(y as usize)[x as usize])
    };
    let mut all: Vec<u8> = rows
        .clone()
        .flat_map(|y| columns.clone().map(move |x| (x, y)))
        .map(|(x, y)| differs(x, y))
        .collect();
    if all.is_empty() {
        return;
    }
    // The object fills less than half of the region, so the median is noise.
    let middle = all.len() / 2;
    let (_, median, _) = all.select_nth_unstable(middle);
    let threshold = median.saturating_mul(3).max(9);
    let pixel = pixel_of(shot.shown);
    for y in rows.clone() {
        for x in columns.clone() {
            // A pixel belongs to the object if it or a neighbour stands out: closes small holes.
            let near = |d: i64| move |v: u32| u32::try_from(i64::from(v) + d).ok();
            let stands_out = [(0, 0), (-1, 0), (1, 0), (0, -1), (0, 1)]
                .into_iter()
                .filter_map(|(dx, dy)| Some((near(dx)(x)?, near(dy)(y)?)))
                .filter(|(x, y)| columns.contains(x) && rows.contains(y))
                .any(|(x, y)| differs(x, y) > threshold);
            if stands_out {
                still.put_pixel(x, y, Rgb(pixel(x as usize, y as usize)));
            }
        }
    }
}

/// How the sheet is laid out, in pixels of the sheet.
struct Plan {
    unit: f64,
    scale: f64,
    marks: Side,
}

impl Plan {
    fn on_sheet(&self, point: Point) -> Point {
        Point::new(point.x * self.scale, point.y * self.scale)
    }

    fn letters(&self) -> f64 {
        24.0 * self.unit
    }

    /// The direction of the marks: +1 to the right, -1 to the left.
    fn toward_marks(&self) -> f64 {
        if self.marks == Side::Left { -1.0 } else { 1.0 }
    }

    fn floor_lines(&self, sheet: &mut RgbImage, scene: &FacadeScene, alarm: &Alarm) {
        let origin = alarm.origin.and_then(|origin| origin.floor);
        let letters = 18.0 * self.unit;
        let mut free_below = f64::INFINITY;
        let mut lines = scene.floor_lines.clone();
        lines.sort_by_key(|line| line.floor);
        for line in &lines {
            let left = line.left.to_px(sheet.width(), sheet.height());
            let right = line.right.to_px(sheet.width(), sheet.height());
            let here = origin == Some(line.floor);
            let pen = Pen {
                colour: CYAN,
                width_px: if here { 3.0 } else { 1.5 } * self.unit,
                cover: if here { 0.95 } else { 0.45 },
            };
            ink::line(sheet, left, right, pen);
            // From the ground up, a number wherever there is room above the one before.
            let anchor = if left.x <= right.x { left } else { right };
            if anchor.y + letters * 1.6 <= free_below || here {
                let text = format!("{}", line.floor);
                let plate = ink::label(sheet, anchor, Side::Left, &text, letters, CYAN);
                free_below = plate[1];
            }
        }
    }

    /// Draws the fitted curve, leaving the object's positions free.
    fn path(&self, sheet: &mut RgbImage, alarm: &Alarm, shots: &[Shot<'_>]) {
        let Some(curve) = curve::Curve::fit(&alarm.track) else {
            return;
        };
        let pen = Pen {
            colour: AMBER,
            width_px: 2.0 * self.unit,
            cover: 0.75,
        };
        let room = 3.0 * self.unit / self.scale;
        let covered = |point: Point| {
            shots.iter().any(|shot| {
                let [left, top, right, bottom] = grown(&shot.area, room);
                (left..=right).contains(&point.x) && (top..=bottom).contains(&point.y)
            })
        };
        for two in curve.points(160).windows(2) {
            if !covered(two[0]) && !covered(two[1]) {
                ink::line(sheet, self.on_sheet(two[0]), self.on_sheet(two[1]), pen);
            }
        }
    }

    /// Frames each position and writes when it was there; rings the origin and names its floor.
    fn marks(&self, sheet: &mut RgbImage, alarm: &Alarm, shots: &[Shot<'_>]) {
        let mut plates: Vec<[f64; 4]> = Vec::new();
        let thin = Pen {
            colour: AMBER,
            width_px: 1.5 * self.unit,
            cover: 0.9,
        };
        let room = 4.0 * self.unit / self.scale;
        for shot in shots {
            let area = grown(&shot.area, room).map(|edge| edge * self.scale);
            ink::corners(sheet, area, thin);
        }
        self.origin(sheet, alarm, &mut plates);
        // The last position first: of marks too close together the later ones matter more.
        for shot in shots.iter().rev() {
            let text = format!("{:.2} s", shot.at.secs_since(alarm.started_at));
            self.mark(sheet, shot.area, &text, AMBER, &mut plates);
        }
    }

    fn origin(&self, sheet: &mut RgbImage, alarm: &Alarm, plates: &mut Vec<[f64; 4]>) {
        let Some(first) = alarm.track.first() else {
            return;
        };
        let mut area = first.area;
        if let Some(origin) = alarm.origin {
            (area.x_px, area.y_px) = (origin.x_px, origin.y_px);
        }
        let pen = Pen {
            colour: RED,
            width_px: 3.5 * self.unit,
            cover: 1.0,
        };
        let radius = (area.width_px.max(area.height_px) * 0.8 * self.scale).max(20.0 * self.unit);
        ink::ring(sheet, self.on_sheet(area.centre()), radius, pen);
        area.width_px = 2.0 * radius / self.scale;
        self.mark(sheet, area, &origin_words(alarm), WHITE, plates);
    }

    /// Writes `text` beside `area`, joined to it by a line; not where another mark stands already.
    fn mark(
        &self,
        sheet: &mut RgbImage,
        area: BoxPx,
        text: &str,
        colour: Rgb<u8>,
        plates: &mut Vec<[f64; 4]>,
    ) {
        let direction = self.toward_marks();
        let edge = Point::new(area.x_px + direction * area.width_px / 2.0, area.y_px);
        let start = self.on_sheet(edge);
        let start = Point::new(start.x + direction * 6.0 * self.unit, start.y);
        let anchor = Point::new(start.x + direction * 46.0 * self.unit, start.y);
        let half = self.letters() * 0.8;
        let taken = |plate: &[f64; 4]| anchor.y + half > plate[1] && anchor.y - half < plate[3];
        if plates.iter().any(taken) {
            return;
        }
        let pen = Pen {
            colour,
            width_px: 1.5 * self.unit,
            cover: 0.7,
        };
        ink::line(sheet, start, anchor, pen);
        plates.push(ink::label(
            sheet,
            anchor,
            self.marks,
            text,
            self.letters(),
            colour,
        ));
    }

    /// Adds a column with enlarged moments of the fall, at the side away from the marks.
    fn with_strip(&self, sheet: RgbImage, alarm: &Alarm, shots: &[Shot<'_>]) -> RgbImage {
        let size = |shot: &Shot<'_>| shot.area.width_px.max(shot.area.height_px);
        let largest = shots.iter().map(size).fold(0.0, f64::max);
        let height = f64::from(sheet.height());
        // An object that is large already needs no glass.
        if largest * self.scale > height * 0.15 {
            return sheet;
        }
        let gap = 10.0 * self.unit;
        let side = ((height - gap) / STRIP_MAX as f64 - gap).max(1.0);
        let column = u32::try_from(ink::whole(side + 2.0 * gap)).unwrap_or(0);
        let mut wide = RgbImage::new(sheet.width() + column, sheet.height());
        let (sheet_x, strip_x) = match self.marks {
            Side::Left => (0, f64::from(sheet.width()) + gap),
            Side::Right | Side::Below => (column, gap),
        };
        imageops::replace(&mut wide, &sheet, i64::from(sheet_x), 0);
        let seen = (largest * 1.6).max(16.0);
        for (row, shot) in pick(shots, STRIP_MAX).into_iter().enumerate() {
            let top = gap + row as f64 * (side + gap);
            self.moment(&mut wide, shot, alarm, [strip_x, top, side, seen]);
        }
        wide
    }

    /// Puts what lies within `seen` pixels of the object into a square of `side` at `left`, `top`.
    fn moment(&self, wide: &mut RgbImage, shot: &Shot<'_>, alarm: &Alarm, place: [f64; 4]) {
        let [left, top, side, seen] = place;
        let Some(enlarged) = enlarge(shot.shown, shot.area.centre(), seen, side) else {
            return;
        };
        let (x, y) = (ink::whole(left), ink::whole(top));
        imageops::replace(wide, &enlarged, i64::from(x), i64::from(y));
        let pen = Pen {
            colour: AMBER,
            width_px: 2.0 * self.unit,
            cover: 1.0,
        };
        ink::outline(wide, [left, top, left + side, top + side], pen);
        let text = format!("{:.2} s", shot.at.secs_since(alarm.started_at));
        let letters = 18.0 * self.unit;
        let foot = Point::new(left + side / 2.0, top + side - letters * 1.6);
        ink::label(wide, foot, Side::Below, &text, letters, AMBER);
    }
}

/// Returns up to `most` shots, evenly from the first to the last.
fn pick<'a, 'b>(shots: &'b [Shot<'a>], most: usize) -> Vec<&'b Shot<'a>> {
    if shots.len() <= most {
        return shots.iter().collect();
    }
    (0..most)
        .map(|n| &shots[n * (shots.len() - 1) / (most - 1)])
        .collect()
}

fn origin_words(alarm: &Alarm) -> String {
    let floors = alarm.origin.and_then(|origin| {
        let floor = origin.floor?;
        Some(match (origin.floor_min, origin.floor_max) {
            (Some(min), Some(max)) if min != max => format!("floor {floor} ({min}–{max})"),
            _ => format!("floor {floor}"),
        })
    });
    floors.unwrap_or_else(|| "first seen here".to_owned())
}

/// Returns how far and how long it fell, in storeys and metres where the scene tells.
fn figures(alarm: &Alarm, scene: Option<&FacadeScene>, width: f64, height: f64) -> String {
    let (Some(first), Some(last)) = (alarm.track.first(), alarm.track.last()) else {
        return String::new();
    };
    let seconds = last.at.secs_since(first.at);
    let storeys = scene.and_then(|scene| {
        let at = |point: &TrackPoint| {
            let centre = point.area.centre();
            storey(scene, Point::new(centre.x / width, centre.y / height))
        };
        Some((at(first)? - at(last)?, scene.storey_height_m))
    });
    let origin = origin_words(alarm);
    match storeys {
        Some((storeys, storey_m)) => format!(
            "{origin} · fell {storeys:.1} storeys (about {:.0} m) in {seconds:.2} s",
            storeys * storey_m
        ),
        None => format!(
            "fell {:.0} px in {seconds:.2} s · no floor lines, so the floor is unknown",
            last.area.y_px - first.area.y_px
        ),
    }
}

/// Returns the height at a relative point in storeys, between floor lines or just beyond them.
fn storey(scene: &FacadeScene, at: Point) -> Option<f64> {
    let mut lines: Vec<(f64, f64)> = scene
        .floor_lines
        .iter()
        .filter(|line| (line.right.x - line.left.x).abs() > 1e-6)
        .map(|line| {
            let share = (at.x - line.left.x) / (line.right.x - line.left.x);
            let y = line.left.y + share * (line.right.y - line.left.y);
            (y, f64::from(line.floor))
        })
        .collect();
    lines.sort_by(|a, b| a.0.total_cmp(&b.0));
    let above = lines.windows(2).position(|two| at.y <= two[1].0);
    let index = above.unwrap_or(lines.len().checked_sub(2)?);
    let [(y0, floor0), (y1, floor1)] = [*lines.get(index)?, *lines.get(index + 1)?];
    let height = floor0 + (at.y - y0) / (y1 - y0).max(1e-9) * (floor1 - floor0);
    height.is_finite().then_some(height)
}

#[cfg(test)]
mod tests;
