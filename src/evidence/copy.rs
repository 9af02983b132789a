//! Makes copies of an alarm's evidence that may be shown: for people who look, and for what leaves the
//! house by a ticket. Blocks for seconds a clip. The evidence itself is only read, and only as it was
//! recorded: what was changed since is refused.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use image::{RgbImage, imageops};

use super::clip::ClipError;
use super::manifest::Manifest;
use super::planar::Planar;
use super::recode::Recoder;
use super::redact::{self, Hidden, Redactor};
use super::{CLIP, EvidenceFile, MANIFEST, STROBE, digest_file, picture, strobe, write};
use crate::alarm::{Alarm, TrackPoint};
use crate::clock::StreamTime;
use crate::decode::{Cutout, DecodeError, Decoder, Frame};
use crate::geometry::Polygon;
use crate::scene::facade::FacadeScene;
use crate::source::file::{FileError, Recording};

/// A picture of the clip is that of a track's point when their times differ by less than this.
const SAME_MOMENT_S: f64 = 0.005;
/// Pictures of the clip from which a strobe picture is drawn anew, as many as it had at first.
const SHOTS_MAX: usize = 16;

/// Why there is no copy of a file.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    #[error("it is not as it was recorded: the evidence was changed")]
    Changed,
    #[error("its evidence is not on the disk any more")]
    Gone,
    #[error("it cannot be read or written")]
    Io(#[from] io::Error),
    #[error("it is no picture")]
    Picture(#[from] image::ImageError),
    #[error("the clip cannot be read")]
    Read(#[from] FileError),
    #[error("the clip cannot be decoded")]
    Decode(#[from] DecodeError),
    #[error("the clip cannot be encoded")]
    Clip(#[from] ClipError),
    #[error("no picture of the clip could be decoded")]
    Empty,
    #[error("the service stops")]
    Stopped,
}

/// Makes the copies of one alarm's files.
pub struct Copyist<'a> {
    /// The alarm's evidence.
    pub folder: PathBuf,
    pub track: &'a [TrackPoint],
    pub raised_at_s: f64,
    pub hidden: Hidden,
    /// Floor lines, for pictures that are drawn anew.
    pub facade: Option<FacadeScene>,
    /// Written over all of them.
    pub watermark: Option<String>,
    /// Asked between two pictures.
    pub goes_on: &'a dyn Fn() -> bool,
}

impl Copyist<'_> {
    /// Makes the copy of one file at `made`, whole or not at all.
    pub fn copy(&self, file: &EvidenceFile, made: &Path) -> Result<(), CopyError> {
        let path = self.unchanged(file)?;
        match file.name.as_str() {
            CLIP => self.copy_clip(&path, made),
            _ => self.copy_picture(&path, &file.name, made),
        }
    }

    /// Makes the copy of one file that is video, whatever its name, at `made`, whole or not at all.
    pub fn copy_video(&self, file: &EvidenceFile, made: &Path) -> Result<(), CopyError> {
        self.copy_clip(&self.unchanged(file)?, made)
    }

    /// Returns where the file lies. Fails where it is not as it was recorded.
    fn unchanged(&self, file: &EvidenceFile) -> Result<PathBuf, CopyError> {
        let path = self.folder.join(&file.name);
        let (size_bytes, sha256) = digest_file(&path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => CopyError::Gone,
            _ => CopyError::Io(error),
        })?;
        if (size_bytes, &sha256) != (file.size_bytes, &file.sha256) {
            return Err(CopyError::Changed);
        }
        Ok(path)
    }

    fn copy_clip(&self, path: &Path, made: &Path) -> Result<(), CopyError> {
        let starts_at = self.manifest().and_then(|all| clip_start(&all));
        let mut redactor = Redactor::new(self.hidden.clone());
        let mut recoder = None;
        self.each_frame(path, |frame| {
            let on_stream = starts_at.map(|start| after(start, frame.at));
            let thing = on_stream.and_then(|at| redact::place_at(self.track, at));
            let recoder = match &mut recoder {
                Some(recoder) => recoder,
                none => none.insert(Recoder::create(made, frame.width_px(), frame.height_px())?),
            };
            let Some(watermark) = &self.watermark else {
                let mut shown = Planar::of(frame);
                redactor.planes(&mut shown, thing.as_ref());
                recoder.push_planes(&shown, frame.at)?;
                return Ok(Next::More);
            };
            let mut shown = picture::colour(frame);
            redactor.still(&mut shown, frame.height_px(), thing.as_ref());
            redact::watermark(&mut shown, watermark);
            recoder.push(&shown, frame.at)?;
            Ok(Next::More)
        })?;
        Ok(recoder.ok_or(CopyError::Empty)?.finish()?)
    }

    /// Makes the copy of a picture. What a mask covers may stand in its enlargement as well, so it is
    /// drawn anew from the clip unless the mask was there when it was drawn first.
    fn copy_picture(&self, path: &Path, name: &str, made: &Path) -> Result<(), CopyError> {
        let bytes = fs::read(path)?;
        let decode = || image::load_from_memory_with_format(&bytes, image::ImageFormat::Jpeg);
        let mut shown = match &self.hidden {
            Hidden::Masks(masks) if !picture::is_masked(&bytes, masks) => {
                match self.redrawn(name, masks) {
                    Some(anew) => anew,
                    // Without a clip nobody can tell what stands where on it.
                    None => {
                        let mut shown = decode()?.to_rgb8();
                        redact::pixelate(&mut shown);
                        shown
                    }
                }
            }
            Hidden::People => {
                let raised_at = StreamTime::from_secs_f64(self.raised_at_s);
                let thing = redact::place_at(self.track, raised_at);
                let mut redactor = Redactor::new(Hidden::People);
                self.within_caption(decode()?.to_rgb8(), |shown| {
                    let height_px = shown.height();
                    redactor.still(shown, height_px, thing.as_ref());
                })
            }
            Hidden::Masks(_) | Hidden::Nothing => decode()?.to_rgb8(),
        };
        if let Some(watermark) = &self.watermark {
            redact::watermark(&mut shown, watermark);
        }
        Ok(super::write_whole(made, &picture::jpeg(&shown)?)?)
    }

    /// Draws a picture anew, from the clip with `masks` in black; none where the clip does not show
    /// the moment.
    fn redrawn(&self, name: &str, masks: &[Polygon]) -> Option<RgbImage> {
        let manifest = self.manifest()?;
        let starts_at = clip_start(&manifest)?;
        let record = &manifest.alarm;
        let alarm = Alarm {
            kind: record.kind,
            started_at: StreamTime::from_secs_f64(record.started_at_s),
            raised_at: StreamTime::from_secs_f64(record.raised_at_s),
            ended_at: None,
            score: record.score,
            track: record.track.clone(),
            origin: record.origin,
        };
        let moments = match name {
            STROBE => evenly(&alarm.track),
            _ => vec![alarm.raised_at],
        };
        let last = *moments.last()?;
        let mut redactor = Redactor::new(Hidden::Masks(masks.to_vec()));
        let mut frames: Vec<Cutout> = Vec::new();
        let read = self.each_frame(&self.folder.join(CLIP), |frame| {
            let at = after(starts_at, frame.at);
            if moments.iter().any(|moment| is_same(*moment, at)) && frames.len() < SHOTS_MAX {
                let mut shown = Planar::of(frame);
                redactor.planes(&mut shown, None);
                let mut shown = shown.into_frame(frame);
                shown.at = at;
                frames.push(Cutout::whole(shown));
            }
            let is_past = at > last && !is_same(last, at);
            Ok(if is_past { Next::Enough } else { Next::More })
        });
        read.ok()?;
        let caption = write::caption_of(record, manifest.site.as_ref(), &manifest.camera);
        if name == STROBE {
            return strobe::draw(&alarm, &frames, self.facade.as_ref(), &caption);
        }
        let frame = frames.last()?.pixels();
        let object = alarm.track.iter().find(|point| is_same(point.at, frame.at));
        let area = object.map(|point| &point.area);
        Some(picture::snapshot(frame, area, &caption))
    }

    fn each_frame(
        &self,
        path: &Path,
        mut look: impl FnMut(&Frame) -> Result<Next, CopyError>,
    ) -> Result<(), CopyError> {
        let mut recording = Recording::open(path)?;
        let mut decoder = Decoder::open(recording.info())?;
        let mut frames = Vec::new();
        loop {
            if !(self.goes_on)() {
                return Err(CopyError::Stopped);
            }
            let packet = recording.next_packet()?;
            match &packet {
                Some(packet) => decoder.push(packet, |frame| frames.push(frame)),
                None => decoder.finish(|frame| frames.push(frame)),
            }
            for frame in frames.drain(..) {
                if look(&frame)? == Next::Enough {
                    return Ok(());
                }
            }
            if packet.is_none() {
                return Ok(());
            }
        }
    }

    fn manifest(&self) -> Option<Manifest> {
        let bytes = fs::read(self.folder.join(MANIFEST)).ok()?;
        serde_json::from_slice(&bytes).ok()
    }

    /// Changes a snapshot's picture, and writes its caption below anew, so that nothing stands there that
    /// was not changed. Where the manifest does not tell how high the picture is, all of it is changed.
    fn within_caption(&self, still: RgbImage, change: impl FnOnce(&mut RgbImage)) -> RgbImage {
        let manifest = self.manifest();
        let rows = manifest.as_ref().and_then(|all| rows_of(all, &still));
        let (Some(manifest), Some(rows)) = (manifest, rows) else {
            let mut whole = still;
            change(&mut whole);
            return whole;
        };
        let mut shown = imageops::crop_imm(&still, 0, 0, still.width(), rows).to_image();
        change(&mut shown);
        let (site, camera) = (manifest.site.as_ref(), &manifest.camera);
        picture::with_caption(shown, &write::caption_of(&manifest.alarm, site, camera))
    }
}

/// Returns how many rows of a snapshot are the camera's picture; none where there is no caption below it.
fn rows_of(manifest: &Manifest, still: &RgbImage) -> Option<u32> {
    let stream = manifest.stream.as_ref()?;
    let rows = u64::from(still.width()) * u64::from(stream.height_px);
    let rows = rows.div_ceil(u64::from(stream.width_px.max(1)));
    u32::try_from(rows)
        .ok()
        .filter(|rows| *rows < still.height())
}

/// Whether a look at a clip goes on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Next {
    More,
    Enough,
}

fn clip_start(manifest: &Manifest) -> Option<StreamTime> {
    let span = manifest.clip.as_ref()?;
    Some(StreamTime::from_secs_f64(span.starts_at_s))
}

fn after(start: StreamTime, at: StreamTime) -> StreamTime {
    StreamTime::from_secs_f64(start.as_secs_f64() + at.as_secs_f64())
}

fn is_same(one: StreamTime, other: StreamTime) -> bool {
    one.secs_since(other).abs() < SAME_MOMENT_S
}

/// Returns the times of at most [`SHOTS_MAX`] points, from the first to the last.
fn evenly(track: &[TrackPoint]) -> Vec<StreamTime> {
    if track.len() <= SHOTS_MAX {
        return track.iter().map(|point| point.at).collect();
    }
    let of = |shot: usize| track[shot * (track.len() - 1) / (SHOTS_MAX - 1)].at;
    (0..SHOTS_MAX).map(of).collect()
}
