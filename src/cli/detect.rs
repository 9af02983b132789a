//! `plumb detect`: what the e-bike detector sees on pictures, without tracks or rules.

use std::fs::File;
use std::io::{Cursor, Read as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader, RgbImage};
use serde::Serialize;

use super::output::{self, Output};
use crate::detect::ebike::{Detection, EbikeDetector, Least};
use crate::detect::{Models, Runtime};

/// The largest picture read: 128 million pixels, four times 8K; half a GiB while it is decoded.
const PIXELS_MAX: u64 = 128 << 20;
const FILE_SIZE_MAX_BYTES: u64 = 256 << 20;

#[derive(clap::Args)]
pub struct Args {
    /// Pictures, JPEG or PNG.
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<PathBuf>,
    /// The model to ask.
    #[arg(long, value_enum)]
    model: Model,
    /// Least score, 0..1; without it the one that alarms use.
    #[arg(long, value_name = "F", value_parser = score)]
    min_score: Option<f64>,
    /// Print JSON lines.
    #[arg(long)]
    json: bool,
}

/// The models that look at single pictures.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Model {
    Ebike,
}

/// Runs the command. A picture that cannot be read is told and makes the exit code 1, after the
/// others were looked at. Fails when the model cannot be used.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let models = Models::open(&Runtime::load(None)?, None)?;
    let mut detector = match args.model {
        Model::Ebike => EbikeDetector::load(&models)?,
    };
    let least = args.min_score.map_or(Least::Alarm, Least::Score);
    let mut out = Output::stdout();
    let bar = output::progress(args.images.len() as u64, "detect");
    let mut exit = ExitCode::SUCCESS;
    for path in &args.images {
        match read_picture(path) {
            Ok(picture) => {
                let detections = detector
                    .detect_picture(&picture, least)
                    .with_context(|| format!("cannot look at {}", path.display()))?;
                let record = Record::new(path, &picture, &detections);
                bar.suspend(|| record.print(&mut out, args.json))?;
            }
            Err(error) => exit = bar.suspend(|| output::report(&error)),
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    Ok(exit)
}

fn score(text: &str) -> Result<f64, String> {
    let score: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    if (0.0..=1.0).contains(&score) {
        Ok(score)
    } else {
        Err("a score is 0 to 1".to_owned())
    }
}

/// Reads a picture the way it is meant to be seen (its EXIF orientation applied).
/// Fails when it is missing, broken off, too large, or neither JPEG nor PNG.
fn read_picture(path: &Path) -> anyhow::Result<RgbImage> {
    let shown = path.display();
    let unreadable = || format!("cannot read {shown} as a JPEG or PNG picture");
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(FILE_SIZE_MAX_BYTES).read_to_end(&mut bytes))
        .with_context(|| format!("cannot read {shown}"))?;
    // By its content: a name says nothing sure.
    let format = image::guess_format(&bytes).with_context(unreadable)?;
    if format == ImageFormat::Jpeg && !is_whole_jpeg(&bytes) {
        anyhow::bail!("{}: it breaks off before its end", unreadable());
    }
    let reader = ImageReader::with_format(Cursor::new(&bytes), format);
    let mut decoder = reader.into_decoder().with_context(unreadable)?;
    let (width, height) = decoder.dimensions();
    if u64::from(width) * u64::from(height) > PIXELS_MAX {
        anyhow::bail!("{}: {width}x{height} is too large", unreadable());
    }
    let orientation = decoder.orientation().with_context(unreadable)?;
    let mut picture = DynamicImage::from_decoder(decoder).with_context(unreadable)?;
    picture.apply_orientation(orientation);
    Ok(picture.into_rgb8())
}

/// Returns whether the last scan of a JPEG has an end. The decoder fills what is missing with grey
/// and says nothing; in a scan the end marker cannot stand for anything else (ITU-T T.81, B.1.1.5).
fn is_whole_jpeg(bytes: &[u8]) -> bool {
    let scan = bytes.windows(2).rposition(|marker| marker == [0xFF, 0xDA]);
    scan.is_some_and(|start| {
        bytes[start..]
            .windows(2)
            .any(|marker| marker == [0xFF, 0xD9])
    })
}

#[derive(Serialize)]
struct Record {
    record: &'static str,
    path: String,
    width_px: u32,
    height_px: u32,
    detections: Vec<DetectionRecord>,
}

#[derive(Serialize)]
struct DetectionRecord {
    class: &'static str,
    score: f64,
    x_px: f64,
    y_px: f64,
    width_px: f64,
    height_px: f64,
}

impl Record {
    fn new(path: &Path, picture: &RgbImage, detections: &[Detection]) -> Self {
        Self {
            record: "image",
            path: path.display().to_string(),
            width_px: picture.width(),
            height_px: picture.height(),
            detections: detections.iter().map(DetectionRecord::new).collect(),
        }
    }

    fn print(&self, out: &mut Output, json: bool) -> anyhow::Result<()> {
        if json {
            return out.json(self);
        }
        let (width, height) = (self.width_px, self.height_px);
        out.line(&format!("{} ({width}x{height})", self.path))?;
        if self.detections.is_empty() {
            out.line("  nothing")?;
        }
        for found in &self.detections {
            out.line(&format!(
                "  {:<10} {:.2}  at {:.0}, {:.0}  {:.0} x {:.0} px",
                found.class, found.score, found.x_px, found.y_px, found.width_px, found.height_px
            ))?;
        }
        out.flush()
    }
}

impl DetectionRecord {
    fn new(found: &Detection) -> Self {
        let rounded = |value: f64, parts: f64| (value * parts).round() / parts;
        Self {
            class: found.class.as_str(),
            score: rounded(found.score, 10_000.0),
            x_px: rounded(found.area.x_px, 10.0),
            y_px: rounded(found.area.y_px, 10.0),
            width_px: rounded(found.area.width_px, 10.0),
            height_px: rounded(found.area.height_px, 10.0),
        }
    }
}
