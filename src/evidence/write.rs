//! Writes one alarm's folder: pictures as they come, then clip and manifest, then nothing more.
//!
//! A file that fails is named with its reason and the others are still written.

use std::fs;
use std::path::{Path, PathBuf};

use super::clip::{self, ClipSpan};
use super::collector::{Pictures, ROLL, Seal, Shared, draws_track, lock};
use super::manifest::{AlarmRecord, FORMAT, Manifest, StreamRecord};
use super::planar::Planar;
use super::redact::{Hidden, Redactor};
use super::{
    CLIP, Evidence, EvidenceError, EvidenceFile, MANIFEST, MissingFile, SNAPSHOT, STROBE,
    digest_file, picture, reason_of, sha256_hex, strobe, write_whole,
};
use crate::alarm::Alarm;
use crate::clock::StreamTime;
use crate::decode::{Cutout, Frame};
use crate::geometry::{BoxPx, Polygon};
use crate::id::{CameraId, SiteId};

/// What is in the folder so far.
#[derive(Debug, Default)]
pub(super) struct FolderState {
    files: Vec<EvidenceFile>,
    missing: Vec<MissingFile>,
    sealed: bool,
    /// What the snapshot in the folder was drawn from.
    snapshot: Option<SnapshotOf>,
}

/// What a snapshot shows: the same is not drawn twice.
#[derive(Clone, Debug, PartialEq)]
struct SnapshotOf {
    frame_at: StreamTime,
    object: Option<BoxPx>,
    caption: String,
}

/// Writes what is due: pending pictures always, clip and manifest with `seal`.
pub(super) fn write(
    shared: &Shared,
    seal: Option<&Seal>,
    root: &Path,
) -> Result<Evidence, EvidenceError> {
    let mut state = lock(&shared.folder);
    let relative = folder_of(shared);
    let folder = root.join(&relative);
    if !state.sealed {
        fs::create_dir_all(&folder).map_err(|source| EvidenceError::Folder {
            path: folder.clone(),
            source,
        })?;
        let pending = lock(&shared.pictures).take();
        if let Some(pictures) = pending {
            state.draw(shared, &folder, &pictures);
        }
        if let Some(seal) = seal {
            state.seal(shared, &folder, seal)?;
        }
    }
    Ok(Evidence {
        alarm: shared.id,
        folder: relative,
        files: state.files.clone(),
        missing: state.missing.clone(),
        sealed: state.sealed,
    })
}

fn folder_of(shared: &Shared) -> PathBuf {
    // A timestamp is written in UTC.
    let day = shared.raised_at.strftime("%Y-%m-%d");
    PathBuf::from(day.to_string()).join(shared.id.to_string())
}

impl FolderState {
    fn draw(&mut self, shared: &Shared, folder: &Path, pictures: &Pictures) {
        let record = AlarmRecord::new(shared.id, shared.raised_at, &pictures.alarm);
        let caption = caption_of(
            &record,
            shared.context.site.as_ref(),
            &shared.context.camera,
        );
        // What a mask covers is in the clip alone: a picture that is drawn without it can be shown
        // as it is, also its enlargements.
        let facade = shared.context.facade.as_ref();
        let masks = facade.map_or(&[][..], |facade| &facade.masks);
        let frames = masked(&pictures.frames, masks);
        let jpeg = |picture| picture::jpeg_masked(&picture, masks);
        // The best picture stands last, and is whole.
        let best = frames.last().filter(|shown| shown.is_whole());
        let drawn = best.map(|best| SnapshotOf {
            frame_at: best.at(),
            object: box_at(&pictures.alarm, best.pixels()).copied(),
            caption: caption.clone(),
        });
        if drawn.is_none() || drawn != self.snapshot {
            let snapshot = match (best, &drawn) {
                (Some(best), Some(of)) => {
                    let object = of.object.as_ref();
                    jpeg(picture::snapshot(best.pixels(), object, &caption)).map_err(Into::into)
                }
                _ => Err(Absent::NoFrame.into()),
            };
            if self.put(folder, SNAPSHOT, "image/jpeg", snapshot) == Put::Written {
                self.snapshot = drawn;
            }
        }
        if draws_track(pictures.alarm.kind) {
            let strobe = strobe::draw(&pictures.alarm, &frames, facade, &caption)
                .ok_or(Problem::Absent(Absent::NoFrame))
                .and_then(|strobe| jpeg(strobe).map_err(Into::into));
            self.put(folder, STROBE, "image/jpeg", strobe);
        }
    }

    fn seal(&mut self, shared: &Shared, folder: &Path, seal: &Seal) -> Result<(), EvidenceError> {
        let clip = self.cut_clip(folder, seal);
        self.files.sort_by(|a, b| a.name.cmp(&b.name));
        let context = &shared.context;
        let manifest = Manifest {
            format: FORMAT.to_owned(),
            plumb_version: env!("CARGO_PKG_VERSION").to_owned(),
            alarm: AlarmRecord::new(shared.id, shared.raised_at, &seal.alarm),
            camera: context.camera.clone(),
            site: context.site.clone(),
            stream: seal.info.as_deref().map(StreamRecord::from),
            models: context.models.clone(),
            scene_sha256: context.scene_sha256.clone(),
            clip,
            files: self.files.clone(),
            missing: self.missing.clone(),
            manifest_sha256: String::new(),
        };
        let bytes = manifest.to_bytes();
        let path = folder.join(MANIFEST);
        write_whole(&path, &bytes).map_err(|source| EvidenceError::Write { path, source })?;
        self.files.push(file(MANIFEST, "application/json", &bytes));
        self.sealed = true;
        Ok(())
    }

    fn cut_clip(&mut self, folder: &Path, seal: &Seal) -> Option<ClipSpan> {
        let made = write_clip(folder, seal);
        match made {
            Ok((span, file)) => {
                self.note(file);
                Some(span)
            }
            Err(problem) => {
                self.miss(CLIP, reason_of(&problem));
                None
            }
        }
    }

    fn put(
        &mut self,
        folder: &Path,
        name: &str,
        media_type: &str,
        made: Result<Vec<u8>, Problem>,
    ) -> Put {
        let written = made.and_then(|bytes| {
            let path = folder.join(name);
            match write_whole(&path, &bytes) {
                Ok(()) => Ok(file(name, media_type, &bytes)),
                Err(source) => Err(Problem::Evidence(EvidenceError::Write { path, source })),
            }
        });
        match written {
            Ok(file) => {
                self.note(file);
                return Put::Written;
            }
            // An earlier picture stays: a second one that fails takes nothing away.
            Err(_) if self.files.iter().any(|file| file.name == name) => {}
            Err(problem) => self.miss(name, reason_of(&problem)),
        }
        Put::Failed
    }

    fn note(&mut self, file: EvidenceFile) {
        self.missing.retain(|missing| missing.name != file.name);
        self.files.retain(|known| known.name != file.name);
        self.files.push(file);
    }

    fn miss(&mut self, name: &str, reason: String) {
        self.missing.retain(|missing| missing.name != name);
        self.missing.push(MissingFile {
            name: name.to_owned(),
            reason,
        });
    }
}

/// What became of a file.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Put {
    Written,
    Failed,
}

/// Why one file is not there.
#[derive(Debug, thiserror::Error)]
enum Problem {
    #[error(transparent)]
    Evidence(#[from] EvidenceError),
    #[error(transparent)]
    Absent(#[from] Absent),
}

#[derive(Debug, thiserror::Error)]
enum Absent {
    #[error("no decoded frame shows it")]
    NoFrame,
    #[error("the camera had sent no picture")]
    NoPicture,
}

impl From<image::ImageError> for Problem {
    fn from(error: image::ImageError) -> Self {
        Self::Evidence(error.into())
    }
}

fn write_clip(folder: &Path, seal: &Seal) -> Result<(ClipSpan, EvidenceFile), Problem> {
    let (Some(info), false) = (&seal.info, seal.packets.is_empty()) else {
        return Err(Absent::NoPicture.into());
    };
    let path = folder.join(CLIP);
    let mut span =
        clip::write(&path, info, &seal.packets, seal.from, seal.to).map_err(EvidenceError::from)?;
    span.cut = cut_of(seal, &span);
    let (size_bytes, sha256) =
        digest_file(&path).map_err(|source| EvidenceError::Write { path, source })?;
    let file = EvidenceFile {
        name: CLIP.to_owned(),
        media_type: "video/mp4".to_owned(),
        size_bytes,
        sha256,
    };
    Ok((span, file))
}

/// Returns why the clip is shorter than wanted, at either end; none when it is whole.
fn cut_of(seal: &Seal, span: &ClipSpan) -> Option<String> {
    let late_s = span.starts_at_s - seal.from.as_secs_f64();
    let begin = (late_s > 0.0).then(|| {
        let before_s = ROLL.as_secs_f64() - late_s;
        format!("it begins {before_s:.1} s before the alarm: there was no earlier key picture")
    });
    let end = seal.cut.clone();
    match (begin, end) {
        (Some(begin), Some(end)) => Some(format!("{begin}; {end}")),
        (begin, end) => begin.or(end),
    }
}

fn file(name: &str, media_type: &str, bytes: &[u8]) -> EvidenceFile {
    EvidenceFile {
        name: name.to_owned(),
        media_type: media_type.to_owned(),
        size_bytes: bytes.len() as u64,
        sha256: sha256_hex(bytes),
    }
}

/// Returns where the object is on `frame`, if the track knows.
fn box_at<'a>(alarm: &'a Alarm, frame: &Frame) -> Option<&'a BoxPx> {
    alarm
        .track
        .iter()
        .find(|point| point.at == frame.at)
        .map(|point| &point.area)
}

/// Returns the frames with `masks` in black.
fn masked(frames: &[Cutout], masks: &[Polygon]) -> Vec<Cutout> {
    if masks.is_empty() {
        return frames.to_vec();
    }
    let mut redactor = Redactor::new(Hidden::Masks(masks.to_vec()));
    let masked = frames.iter().map(|shown| {
        let mut planes = Planar::of(shown.pixels());
        redactor.part(&mut planes, shown.begins_px(), shown.size_px());
        shown.with_pixels(planes.into_frame(shown.pixels()))
    });
    masked.collect()
}

/// Returns what stands below an alarm's pictures.
pub(super) fn caption_of(alarm: &AlarmRecord, site: Option<&SiteId>, camera: &CameraId) -> String {
    let kind = alarm.kind.as_str().replace('_', " ");
    let raised_at = alarm.raised_at.strftime("%Y-%m-%d %H:%M:%S UTC");
    let place = match site {
        Some(site) => format!("{site} · {camera}"),
        None => camera.to_string(),
    };
    format!("{kind} · {place} · {raised_at} · score {:.2}", alarm.score)
}
