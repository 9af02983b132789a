//! Looks for a known object where it must have been, on frames that are still kept.
//!
//! Where a track says an object was, a threshold far below the one for candidates is enough: only
//! a small window is looked at, against a frame on which the object has left it. Never looks
//! outside that window, so it finds nothing that the track did not lead to.

use crate::decode::Frame;
use crate::geometry::{BoxPx, Point};

/// What is looked for.
#[derive(Clone, Copy, Debug)]
pub struct Wanted {
    /// Where it should be.
    pub place: Point,
    /// How far from there it may be, pixels across and down.
    pub reach_px: (f64, f64),
    /// Its size when it was last seen.
    pub size_px: (f64, f64),
    /// Its contrast when it was last seen; the sign counts.
    pub contrast: f64,
}

/// What was found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Found {
    pub area: BoxPx,
    pub mass: f64,
}

/// Pixels a window may have across or down: larger ones are cut.
const WINDOW_MAX_PX: usize = 160;

/// Looks for the object on `frame`, against `empty`, a frame on which it is elsewhere.
/// Returns none where nothing in the window stands out from the window's own noise.
pub fn recall(frame: &Frame, empty: &Frame, wanted: &Wanted) -> Option<Found> {
    let (now, then) = (frame.luma(), empty.luma());
    if (now.width_px, now.height_px) != (then.width_px, then.height_px) {
        return None;
    }
    let half_x = wanted.reach_px.0 + wanted.size_px.0 / 2.0 + 2.0;
    let half_y = wanted.reach_px.1 + wanted.size_px.1 / 2.0 + 2.0;
    let columns = span(wanted.place.x, half_x, now.width_px)?;
    let rows = span(wanted.place.y, half_y, now.height_px)?;
    let difference = |x: usize, y: usize| {
        f64::from(now.data[y * now.stride + x]) - f64::from(then.data[y * then.stride + x])
    };
    // The window's own noise: its light may have changed as a whole, and its texture flickers.
    let mut values: Vec<f64> = Vec::with_capacity(rows.len() * columns.len());
    for y in rows.clone() {
        values.extend(columns.clone().map(|x| difference(x, y)));
    }
    let middle = quantile(&mut values, 0.5);
    for value in &mut values {
        *value = (*value - middle).abs();
    }
    let noise = quantile(&mut values, 0.5) * 1.5;
    let floor = (2.5 * noise).max(0.3 * wanted.contrast.abs()).max(4.0);
    let mut sums = Sums::default();
    for y in rows {
        for x in columns.clone() {
            let away = difference(x, y) - middle;
            if away.abs() >= floor {
                sums.add(x, y, away.abs());
            }
        }
    }
    sums.found(wanted)
}

fn span(middle: f64, half: f64, limit: usize) -> Option<std::ops::Range<usize>> {
    let from = (middle - half).max(0.0).floor();
    let to = (middle + half).min(limit as f64).ceil();
    if from >= to {
        return None;
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "clamped to the picture"
    )]
    let (from, to) = (from as usize, to as usize);
    Some(from..to.min(from + WINDOW_MAX_PX))
}

fn quantile(values: &mut [f64], share: f64) -> f64 {
    if values.is_empty() {
        return 0.0;
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "an index into the values"
    )]
    let index = ((values.len() - 1) as f64 * share) as usize;
    *values.select_nth_unstable_by(index, f64::total_cmp).1
}

#[derive(Default)]
struct Sums {
    mass: f64,
    x: f64,
    y: f64,
    xx: f64,
    yy: f64,
    count: f64,
}

impl Sums {
    fn add(&mut self, x: usize, y: usize, weight: f64) {
        let (x, y) = (x as f64 + 0.5, y as f64 + 0.5);
        self.mass += weight;
        self.x += weight * x;
        self.y += weight * y;
        self.xx += weight * x * x;
        self.yy += weight * y * y;
        self.count += 1.0;
    }

    fn found(&self, wanted: &Wanted) -> Option<Found> {
        // A tenth of the object's own box, and no less than three pixels.
        let least = (0.1 * wanted.size_px.0 * wanted.size_px.1).max(3.0);
        if self.count < least {
            return None;
        }
        let (x, y) = (self.x / self.mass, self.y / self.mass);
        let spread = |squares: f64, middle: f64| {
            // A filled box has a variance of its side squared over twelve.
            ((squares / self.mass - middle * middle).max(0.0) * 12.0).sqrt()
        };
        let (width, height) = (spread(self.xx, x), spread(self.yy, y));
        // Spread over much more than the object: the window changed, not the object came.
        let loose = width > 2.0 * wanted.size_px.0 + 4.0 || height > 2.0 * wanted.size_px.1 + 4.0;
        let aside = (x - wanted.place.x).abs() > wanted.reach_px.0 + 1.0
            || (y - wanted.place.y).abs() > wanted.reach_px.1 + 1.0;
        if loose || aside {
            return None;
        }
        Some(Found {
            area: BoxPx {
                x_px: x,
                y_px: y,
                width_px: width.max(1.0),
                height_px: height.max(1.0),
            },
            mass: self.mass,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::StreamTime;

    fn picture(object: Option<(usize, usize)>) -> Frame {
        let mut luma = vec![0_u8; 100 * 100];
        for (index, byte) in luma.iter_mut().enumerate() {
            *byte = 100 + u8::try_from(index * 7 % 5).expect("under 5");
        }
        if let Some((left, top)) = object {
            for y in top..top + 4 {
                luma[y * 100 + left..y * 100 + left + 4].fill(122);
            }
        }
        Frame::from_luma(StreamTime::ZERO, 100, 100, luma)
    }

    fn wanted() -> Wanted {
        Wanted {
            place: Point::new(42.0, 51.0),
            reach_px: (5.0, 5.0),
            size_px: (4.0, 4.0),
            contrast: 20.0,
        }
    }

    #[test]
    fn finds_a_faint_object_near_where_it_must_be() {
        let found = recall(&picture(Some((41, 48))), &picture(None), &wanted()).expect("there");
        assert!((found.area.x_px - 43.0).abs() < 0.6, "{found:?}");
        assert!((found.area.y_px - 50.0).abs() < 0.6, "{found:?}");
    }

    #[test]
    fn finds_nothing_where_nothing_is() {
        assert_eq!(recall(&picture(None), &picture(None), &wanted()), None);
        let elsewhere = picture(Some((80, 80)));
        assert_eq!(recall(&elsewhere, &picture(None), &wanted()), None);
    }
}
