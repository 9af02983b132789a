//! From pictures to a model's input: scaled to fit, centred, black bars, normalised.
//!
//! Reads a frame's planes where they lie: there is no full-size RGB picture in between, and no
//! allocation once the size of the pictures is known. Must not know what a model looks for.

use image::RgbImage;
use ndarray::{Array4, ArrayView4, Axis};
use serde::Deserialize;

use crate::decode::Frame;
use crate::detect::wide::widest;
use crate::geometry::BoxPx;

/// The order of a model's colour channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ChannelOrder {
    Bgr,
    Rgb,
}

/// What a model wants to see.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PictureSpec {
    pub width_px: u32,
    pub height_px: u32,
    pub colour: ChannelOrder,
    /// `(value - mean) / std` goes in, value 0..255, per channel in `colour`'s order.
    pub mean: [f32; 3],
    pub std: [f32; 3],
}

/// A model's input, filled with one picture after the other.
#[derive(Clone, Debug)]
pub struct PictureTensor {
    spec: PictureSpec,
    values: Array4<f32>,
    plan: Option<Plan>,
    luma: Row,
    chroma: [Row; 2],
}

/// How pictures of one size are laid into the input.
#[derive(Clone, Debug)]
struct Plan {
    picture: (u32, u32),
    letterbox: Letterbox,
    columns: Taps,
    rows: Taps,
    chroma_columns: Taps,
    chroma_rows: Taps,
}

impl PictureTensor {
    /// Returns an input of the given kind; it is all bars until it is filled.
    pub fn new(spec: PictureSpec) -> Self {
        let shape = (1, 3, spec.height_px as usize, spec.width_px as usize);
        Self {
            spec,
            values: Array4::zeros(shape),
            plan: None,
            luma: Row::default(),
            chroma: [Row::default(), Row::default()],
        }
    }

    /// Returns the input as the model takes it: [1, 3, height, width].
    pub fn values(&self) -> ArrayView4<'_, f32> {
        self.values.view()
    }

    /// Lays a decoded frame into the input; returns the way back to its pixels.
    pub fn fill_from_frame(&mut self, frame: &Frame) -> Letterbox {
        let letterbox = self.prepare(frame.width_px(), frame.height_px());
        let plan = self.plan.as_ref().expect("prepared just above");
        let (luma, (blue, red)) = (frame.luma(), frame.chroma());
        let matrix = Matrix::of_height(frame.height_px());
        let mut writer = Writer::new(&self.spec, letterbox, &mut self.values);
        for y in 0..letterbox.inner_height_px {
            let [cb_row, cr_row] = &mut self.chroma;
            let brightness = self
                .luma
                .reduce::<1>(&plan.columns, &plan.rows, y, |i| luma.row(i));
            let cb =
                cb_row.reduce::<1>(&plan.chroma_columns, &plan.chroma_rows, y, |i| blue.row(i));
            let cr = cr_row.reduce::<1>(&plan.chroma_columns, &plan.chroma_rows, y, |i| red.row(i));
            let colours = brightness.iter().zip(cb).zip(cr);
            writer.put_row(y, colours.map(|((y, cb), cr)| matrix.rgb(*y, *cb, *cr)));
        }
        letterbox
    }

    /// Lays a picture into the input; returns the way back to its pixels.
    /// An empty picture leaves nothing but bars.
    pub fn fill_from_picture(&mut self, picture: &RgbImage) -> Letterbox {
        let letterbox = self.prepare(picture.width(), picture.height());
        let plan = self.plan.as_ref().expect("prepared just above");
        let stride = picture.width() as usize * 3;
        let bytes = picture.as_raw();
        let mut writer = Writer::new(&self.spec, letterbox, &mut self.values);
        for y in 0..letterbox.inner_height_px {
            let row = self.luma.reduce::<3>(&plan.columns, &plan.rows, y, |i| {
                &bytes[i * stride..(i + 1) * stride]
            });
            let pixels = row.chunks_exact(3);
            writer.put_row(y, pixels.map(|rgb| [rgb[0], rgb[1], rgb[2]]));
        }
        letterbox
    }

    fn prepare(&mut self, width_px: u32, height_px: u32) -> Letterbox {
        let picture = (width_px, height_px);
        if let Some(plan) = self.plan.as_ref().filter(|plan| plan.picture == picture) {
            return plan.letterbox;
        }
        let letterbox = Letterbox::new(picture, (self.spec.width_px, self.spec.height_px));
        let (columns, rows) = (letterbox.inner_width_px, letterbox.inner_height_px);
        let (width, height) = (width_px as usize, height_px as usize);
        // A chroma sample stands for two luma samples each way, also the last of an odd size.
        self.plan = Some(Plan {
            picture,
            letterbox,
            columns: Taps::new(columns, width, f64::from(width_px)),
            rows: Taps::new(rows, height, f64::from(height_px)),
            chroma_columns: Taps::new(columns, width.div_ceil(2), f64::from(width_px) / 2.0),
            chroma_rows: Taps::new(rows, height.div_ceil(2), f64::from(height_px) / 2.0),
        });
        for (channel, mut plane) in self.values.axis_iter_mut(Axis(1)).enumerate() {
            plane.fill(-self.spec.mean[channel] / self.spec.std[channel]);
        }
        letterbox
    }
}

/// Where a picture lies in a model's input.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Letterbox {
    /// Input pixels per picture pixel.
    scale_x: f64,
    scale_y: f64,
    left_px: usize,
    top_px: usize,
    inner_width_px: usize,
    inner_height_px: usize,
}

impl Letterbox {
    /// Returns the place of a picture of the size `picture` in an input of the size `input`.
    pub fn new(picture: (u32, u32), input: (u32, u32)) -> Self {
        let (width, height) = (f64::from(picture.0.max(1)), f64::from(picture.1.max(1)));
        let scale = (f64::from(input.0) / width).min(f64::from(input.1) / height);
        let inner_width_px = scaled(width * scale, input.0);
        let inner_height_px = scaled(height * scale, input.1);
        Self {
            scale_x: inner_width_px as f64 / width,
            scale_y: inner_height_px as f64 / height,
            left_px: (input.0 as usize - inner_width_px) / 2,
            top_px: (input.1 as usize - inner_height_px) / 2,
            inner_width_px,
            inner_height_px,
        }
    }

    /// Returns an area of the input in the picture's full-resolution pixels.
    pub fn to_picture(&self, area: &BoxPx) -> BoxPx {
        BoxPx {
            x_px: (area.x_px - self.left_px as f64) / self.scale_x,
            y_px: (area.y_px - self.top_px as f64) / self.scale_y,
            width_px: area.width_px / self.scale_x,
            height_px: area.height_px / self.scale_y,
        }
    }

    /// Returns an area of the picture in the input's pixels.
    pub fn to_input(&self, area: &BoxPx) -> BoxPx {
        BoxPx {
            x_px: area.x_px * self.scale_x + self.left_px as f64,
            y_px: area.y_px * self.scale_y + self.top_px as f64,
            width_px: area.width_px * self.scale_x,
            height_px: area.height_px * self.scale_y,
        }
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a length between 1 and the input's"
)]
fn scaled(length: f64, max: u32) -> usize {
    (length.round() as usize).clamp(1, max as usize)
}

/// Writes normalised pixels into the inner part of the input.
struct Writer<'a> {
    planes: [&'a mut [f32]; 3],
    stride: usize,
    offset: usize,
    inner_width_px: usize,
    /// value * gain + bias, in red, green, blue.
    gain: [f32; 3],
    bias: [f32; 3],
}

impl<'a> Writer<'a> {
    fn new(spec: &PictureSpec, letterbox: Letterbox, values: &'a mut Array4<f32>) -> Self {
        let stride = spec.width_px as usize;
        let plane_len = stride * spec.height_px as usize;
        let values = values
            .as_slice_mut()
            .expect("the input is made in standard layout and never sliced");
        let (first, rest) = values.split_at_mut(plane_len);
        let (second, third) = rest.split_at_mut(plane_len);
        let (planes, order) = match spec.colour {
            ChannelOrder::Rgb => ([first, second, third], [0, 1, 2]),
            ChannelOrder::Bgr => ([third, second, first], [2, 1, 0]),
        };
        Self {
            planes,
            stride,
            offset: letterbox.top_px * stride + letterbox.left_px,
            inner_width_px: letterbox.inner_width_px,
            gain: order.map(|channel| 1.0 / spec.std[channel]),
            bias: order.map(|channel| -spec.mean[channel] / spec.std[channel]),
        }
    }

    /// Writes one row of red, green and blue, 0..255.
    fn put_row(&mut self, y: usize, pixels: impl Iterator<Item = [f32; 3]>) {
        let start = self.offset + y * self.stride;
        let row = start..start + self.inner_width_px;
        let [red, green, blue] = &mut self.planes;
        let places = red[row.clone()]
            .iter_mut()
            .zip(&mut green[row.clone()])
            .zip(&mut blue[row]);
        let (gain, bias) = (self.gain, self.bias);
        for (((red, green), blue), rgb) in places.zip(pixels) {
            *red = rgb[0] * gain[0] + bias[0];
            *green = rgb[1] * gain[1] + bias[1];
            *blue = rgb[2] * gain[2] + bias[2];
        }
    }
}

/// From limited-range YUV to RGB. Streams seldom say which matrix they use; HD is BT.709 and less
/// is BT.601, as ITU-R BT.709 and BT.601 define them.
#[derive(Clone, Copy)]
struct Matrix {
    red_cr: f32,
    green_cb: f32,
    green_cr: f32,
    blue_cb: f32,
}

impl Matrix {
    fn of_height(height_px: u32) -> Self {
        // With Kr, Kb: R = Y + 2 (1 - Kr) Cr, B = Y + 2 (1 - Kb) Cb, G the rest.
        let (kr, kb) = if height_px >= 720 {
            (0.2126_f32, 0.0722_f32)
        } else {
            (0.299_f32, 0.114_f32)
        };
        let kg = 1.0 - kr - kb;
        let chroma_gain = 255.0 / 224.0;
        Self {
            red_cr: 2.0 * (1.0 - kr) * chroma_gain,
            green_cb: -2.0 * kb * (1.0 - kb) / kg * chroma_gain,
            green_cr: -2.0 * kr * (1.0 - kr) / kg * chroma_gain,
            blue_cb: 2.0 * (1.0 - kb) * chroma_gain,
        }
    }

    fn rgb(self, luma: f32, cb: f32, cr: f32) -> [f32; 3] {
        let y = (luma - 16.0) * (255.0 / 219.0);
        let (cb, cr) = (cb - 128.0, cr - 128.0);
        [
            y + self.red_cr * cr,
            y + self.green_cb * cb + self.green_cr * cr,
            y + self.blue_cb * cb,
        ]
        .map(|value| value.clamp(0.0, 255.0))
    }
}

/// For each place of the scaled picture, which samples make it and by how much: the mean over its
/// area when scaled down, between the two nearest when scaled up.
#[derive(Clone, Debug)]
struct Taps {
    /// Index of the first sample, and of its weight; ends with one past the last weight.
    starts: Vec<(usize, usize)>,
    weights: Vec<f32>,
}

impl Taps {
    /// Returns the taps of `count` places over `samples` samples, which span `length` of them.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "sample numbers are small and not negative; weights need no more than f32"
    )]
    fn new(count: usize, samples: usize, length: f64) -> Self {
        let step = length / count as f64;
        let last = samples.saturating_sub(1);
        let mut taps = Self {
            starts: Vec::with_capacity(count + 1),
            weights: Vec::new(),
        };
        for place in 0..count {
            let (from, to) = (place as f64 * step, (place + 1) as f64 * step);
            if step < 1.0 {
                let centre = (f64::midpoint(from, to) - 0.5).max(0.0);
                let first = (centre as usize).min(last);
                taps.starts.push((first, taps.weights.len()));
                if first < last {
                    let share = centre - first as f64;
                    taps.weights.extend([1.0 - share as f32, share as f32]);
                } else {
                    taps.weights.push(1.0);
                }
                continue;
            }
            let first = (from as usize).min(last);
            let end = (to.ceil() as usize).clamp(first + 1, samples.max(1));
            taps.starts.push((first, taps.weights.len()));
            for sample in first..end {
                let share = (to.min((sample + 1) as f64) - from.max(sample as f64)).max(1e-6);
                taps.weights.push((share / (to - from)) as f32);
            }
        }
        taps.starts.push((0, taps.weights.len()));
        taps
    }

    /// Returns the first sample of `place` and its weights.
    fn at(&self, place: usize) -> (usize, &[f32]) {
        let (first, begin) = self.starts[place];
        (first, &self.weights[begin..self.starts[place + 1].1])
    }
}

/// Room for one row on its way from the picture to the input.
#[derive(Clone, Debug, Default)]
struct Row {
    /// Full width, rows already summed.
    wide: Vec<f32>,
    narrow: Vec<f32>,
}

impl Row {
    /// Returns row `y` of the scaled picture, from samples of `CHANNELS` bytes side by side.
    /// Rows are summed first: that pass is the long one, and it has no gathering in it.
    fn reduce<'p, const CHANNELS: usize>(
        &mut self,
        columns: &Taps,
        rows: &Taps,
        y: usize,
        source: impl Fn(usize) -> &'p [u8],
    ) -> &[f32] {
        let (first_row, row_weights) = rows.at(y);
        for (offset, &weight) in row_weights.iter().enumerate() {
            let samples = source(first_row + offset);
            if offset == 0 {
                self.wide.resize(samples.len(), 0.0);
                widest(|| weigh(&mut self.wide, samples, weight));
            } else {
                widest(|| add_weighed(&mut self.wide, samples, weight));
            }
        }
        self.narrow.clear();
        for x in 0..columns.starts.len() - 1 {
            let (first, weights) = columns.at(x);
            let samples = &self.wide[first * CHANNELS..(first + weights.len()) * CHANNELS];
            let mut sums = [0.0; CHANNELS];
            for (pixel, weight) in samples.chunks_exact(CHANNELS).zip(weights) {
                for (sum, sample) in sums.iter_mut().zip(pixel) {
                    *sum += sample * weight;
                }
            }
            self.narrow.extend(sums);
        }
        &self.narrow
    }
}

#[inline(always)]
fn weigh(sums: &mut [f32], samples: &[u8], weight: f32) {
    for (sum, &sample) in sums.iter_mut().zip(samples) {
        *sum = f32::from(sample) * weight;
    }
}

#[inline(always)]
fn add_weighed(sums: &mut [f32], samples: &[u8], weight: f32) {
    for (sum, &sample) in sums.iter_mut().zip(samples) {
        *sum += f32::from(sample) * weight;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::StreamTime;

    fn spec(width_px: u32, height_px: u32) -> PictureSpec {
        PictureSpec {
            width_px,
            height_px,
            colour: ChannelOrder::Bgr,
            mean: [0.0; 3],
            std: [1.0; 3],
        }
    }

    #[test]
    fn areas_go_to_the_input_and_back_unchanged() {
        for picture in [
            (1920, 1080),
            (1080, 1920),
            (333, 777),
            (1, 1),
            (7680, 4320),
            (5000, 3),
        ] {
            let letterbox = Letterbox::new(picture, (416, 416));
            let area = BoxPx::from_corners(0.1, 0.2, f64::from(picture.0), 1.0);
            let back = letterbox.to_picture(&letterbox.to_input(&area));
            for (a, b) in [
                (back.x_px, area.x_px),
                (back.y_px, area.y_px),
                (back.width_px, area.width_px),
                (back.height_px, area.height_px),
            ] {
                assert!((a - b).abs() < 1e-9, "{picture:?}: {a} for {b}");
            }
        }
    }

    #[test]
    fn a_wide_picture_has_bars_above_and_below() {
        let mut input = PictureTensor::new(spec(8, 8));
        input.fill_from_picture(&RgbImage::from_pixel(16, 8, image::Rgb([10, 20, 30])));
        let values = input.values();
        assert_eq!(values[[0, 0, 1, 4]], 0.0);
        assert_eq!(values[[0, 0, 6, 4]], 0.0);
        for (channel, value) in [(0, 30.0), (1, 20.0), (2, 10.0)] {
            for y in 2..6 {
                let found = values[[0, channel, y, 7]];
                assert!(
                    (found - value).abs() < 1e-4,
                    "channel {channel} row {y}: {found}"
                );
            }
        }
    }

    #[test]
    fn scaling_down_takes_the_mean() {
        let picture = RgbImage::from_fn(9, 9, |x, y| {
            image::Rgb([u8::try_from(x * 9 + y).unwrap(); 3])
        });
        let mut input = PictureTensor::new(spec(2, 2));
        input.fill_from_picture(&picture);
        let mean = input.values().mean().expect("not empty");
        assert!((mean - 40.0).abs() < 1e-3, "{mean}");
    }

    #[test]
    fn bars_stay_black_when_the_size_changes() {
        let mut input = PictureTensor::new(spec(8, 8));
        let white = image::Rgb([255; 3]);
        input.fill_from_picture(&RgbImage::from_pixel(8, 8, white));
        input.fill_from_picture(&RgbImage::from_pixel(8, 2, white));
        let sum: f32 = input.values().iter().sum();
        assert!((sum - 255.0 * 8.0 * 2.0 * 3.0).abs() < 0.5, "{sum}");
    }

    #[test]
    fn frames_and_pictures_of_the_same_scene_agree() {
        let luma: Vec<u8> = (0..64 * 36)
            .map(|i| u8::try_from(16 + (i * 7) % 219).unwrap())
            .collect();
        let grey = |&y: &u8| ((f32::from(y) - 16.0) * 255.0 / 219.0).round();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "0..=255"
        )]
        let rgb: Vec<u8> = luma.iter().flat_map(|y| [grey(y) as u8; 3]).collect();
        let mut from_frame = PictureTensor::new(spec(32, 32));
        let mut from_picture = PictureTensor::new(spec(32, 32));
        from_frame.fill_from_frame(&Frame::from_luma(StreamTime::ZERO, 64, 36, luma));
        from_picture.fill_from_picture(&RgbImage::from_raw(64, 36, rgb).expect("its size"));
        let difference = (&from_frame.values() - &from_picture.values()).mapv(f32::abs);
        let worst = difference.iter().copied().fold(0.0, f32::max);
        assert!(worst < 1.0, "{worst}");
    }

    #[test]
    fn odd_and_tiny_pictures_fit() {
        for (width_px, height_px) in [(1, 1), (3, 1), (1, 5), (1919, 1079), (417, 415)] {
            let luma = vec![235; width_px as usize * height_px as usize];
            let mut input = PictureTensor::new(spec(416, 416));
            input.fill_from_frame(&Frame::from_luma(
                StreamTime::ZERO,
                width_px,
                height_px,
                luma,
            ));
            let centre = input.values()[[0, 1, 208, 208]];
            assert!(
                (centre - 255.0).abs() < 0.1,
                "{width_px}x{height_px}: {centre}"
            );
        }
    }
}
