//! Makes a ticket's bundle: each clip and picture as the ticket allows it to be seen, the ticket's
//! number over all of them, a manifest, a signature. Blocks for seconds a clip: it belongs on the
//! blocking pool. What cannot be made is named in the manifest; the rest is bundled all the same.

use std::fs::{self, File};
use std::io::{self, Seek, Write};
use std::path::{Path, PathBuf};

use image::RgbImage;
use jiff::Timestamp;
use serde::Serialize;
use zip::CompressionMethod;
use zip::result::ZipError;
use zip::write::{SimpleFileOptions, ZipWriter};

use super::manifest::{
    AlarmEntry, FORMAT, FileEntry, MANIFEST, Manifest, SIGNATURE, SignatureFile, TicketEntry,
};
use crate::alarm::{AlarmKind, TrackPoint};
use crate::audit::Key;
use crate::clock::StreamTime;
use crate::decode::{DecodeError, Decoder};
use crate::detect::ebike::EbikeDetector;
use crate::evidence::clip::ClipError;
use crate::evidence::recode::Recoder;
use crate::evidence::room::below;
use crate::evidence::{
    self, CLIP, EvidenceFile, MissingFile, Redactor, SNAPSHOT, STROBE, digest_file, picture,
    publish, reason_of, redact, sha256_hex,
};
use crate::geometry::Polygon;
use crate::id::{AlarmId, CameraId};
use crate::scene::Kind;
use crate::source::file::{FileError, Recording};
use crate::store::{AlarmDetail, AlarmRecord, Scope, TicketRecord};

/// Why there is no bundle.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    #[error("{path} cannot be written; is the disk full or read-only?")]
    Write { path: PathBuf, source: io::Error },
    #[error("the archive {path} cannot be written")]
    Archive { path: PathBuf, source: ZipError },
    #[error("the service stops; the bundle is made after its start")]
    Stopped,
}

/// Why one file is not in the bundle.
#[derive(Debug, thiserror::Error)]
enum Problem {
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

/// What a camera looks at, as far as redaction goes.
#[derive(Clone, Debug)]
pub struct View {
    pub kind: Kind,
    pub masks: Vec<Polygon>,
}

/// All that a bundle is made of.
pub struct Making<'a> {
    pub ticket: &'a TicketRecord,
    pub alarms: &'a [AlarmDetail],
    pub evidence_root: &'a Path,
    /// Returns what a camera looks at; none where the configuration does not know it any more.
    pub view_of: &'a dyn Fn(&CameraId) -> Option<View>,
    /// Finds people; none where the models are not at hand.
    pub detector: Option<&'a EbikeDetector>,
    pub key: &'a Key,
    pub now: Timestamp,
    /// Asked between two pictures.
    pub goes_on: &'a dyn Fn() -> bool,
}

/// `alarm.json` of a bundle.
#[derive(Serialize)]
struct AlarmFile<'a> {
    #[serde(flatten)]
    alarm: &'a AlarmRecord,
    track: &'a [TrackPoint],
}

impl Making<'_> {
    /// Makes the bundle at `path`, whole or not at all, and returns its size and SHA-256.
    pub fn write(&self, path: &Path) -> Result<(u64, String), BundleError> {
        let failed = |source| BundleError::Write {
            path: path.to_path_buf(),
            source,
        };
        let work = path.with_extension("work");
        let part = evidence::part_path(path);
        fs::create_dir_all(&work).map_err(failed)?;
        let made = self.archive(&part, &work);
        // Best effort either way: what is left over is overwritten next time.
        fs::remove_dir_all(&work).ok();
        if made.is_err() {
            fs::remove_file(&part).ok();
        }
        made?;
        publish(&part, path).map_err(failed)?;
        digest_file(path).map_err(failed)
    }

    fn archive(&self, part: &Path, work: &Path) -> Result<(), BundleError> {
        let io_failed = |source| BundleError::Write {
            path: part.to_path_buf(),
            source,
        };
        let file = File::create(part).map_err(io_failed)?;
        let mut archive = Archive {
            zip: ZipWriter::new(file),
            path: part.to_path_buf(),
            files: Vec::new(),
            missing: Vec::new(),
        };
        for alarm in self.alarms {
            self.add_alarm(&mut archive, alarm, work)?;
        }
        let manifest = self.manifest(&archive).to_bytes();
        let signature = SignatureFile::sign(&manifest, self.key).to_bytes();
        archive.put(MANIFEST, &manifest)?;
        archive.put(SIGNATURE, &signature)?;
        archive.finish()
    }

    fn add_alarm(
        &self,
        archive: &mut Archive<File>,
        alarm: &AlarmDetail,
        work: &Path,
    ) -> Result<(), BundleError> {
        let mut copyist = Copyist::new(self, alarm);
        for name in [CLIP, SNAPSHOT, STROBE] {
            let Some(file) = alarm.files.iter().find(|file| file.name == name) else {
                continue;
            };
            let made = work.join(name);
            let whole_name = entry_name(alarm.alarm.id, name);
            match copyist.copy(file, &made) {
                Ok(()) => archive.add(whole_name, file, &made)?,
                Err(Problem::Stopped) => return Err(BundleError::Stopped),
                Err(problem) => archive.missing.push(MissingFile {
                    name: whole_name,
                    reason: reason_of(&problem),
                }),
            }
        }
        if alarm.files.is_empty() {
            archive.missing.push(MissingFile {
                name: entry_name(alarm.alarm.id, CLIP),
                reason: alarm.alarm.evidence_reason.clone().unwrap_or_default(),
            });
        }
        let told = AlarmFile {
            alarm: &alarm.alarm,
            track: &alarm.track,
        };
        let mut bytes = serde_json::to_vec_pretty(&told).expect("an alarm always becomes JSON");
        bytes.push(b'\n');
        let name = entry_name(alarm.alarm.id, "alarm.json");
        archive.put(&name, &bytes)?;
        archive.files.push(FileEntry {
            name,
            media_type: "application/json".to_owned(),
            size_bytes: bytes.len() as u64,
            sha256: sha256_hex(&bytes),
            source_sha256: None,
        });
        Ok(())
    }

    fn manifest(&self, archive: &Archive<File>) -> Manifest {
        let ticket = self.ticket;
        let alarm = |detail: &AlarmDetail| AlarmEntry {
            id: detail.alarm.id,
            kind: detail.alarm.kind,
            site: detail.alarm.site.clone(),
            camera: detail.alarm.camera.clone(),
            raised_at_ms: detail.alarm.raised_at_ms,
            evidence_sha256: detail
                .files
                .iter()
                .find(|file| file.name == evidence::MANIFEST)
                .map(|file| file.sha256.clone()),
        };
        Manifest {
            format: FORMAT.to_owned(),
            plumb_version: env!("CARGO_PKG_VERSION").to_owned(),
            made_at_ms: self.now.as_millisecond(),
            ticket: TicketEntry {
                number: ticket.id.to_string(),
                reason: ticket.reason.clone(),
                scope: in_words(&ticket.scope),
                treatment: ticket.treatment,
                asked_by: ticket.asked_by.clone(),
                asked_at_ms: ticket.asked_at_ms,
                approved_by: ticket.decided_by.clone().unwrap_or_default(),
                approved_at_ms: ticket.decided_at_ms.unwrap_or_default(),
                expires_at_ms: ticket.expires_at_ms.unwrap_or_default(),
            },
            alarms: self.alarms.iter().map(alarm).collect(),
            files: archive.files.clone(),
            missing: archive.missing.clone(),
        }
    }
}

fn entry_name(alarm: AlarmId, name: &str) -> String {
    format!("alarms/{alarm}/{name}")
}

fn in_words(scope: &Scope) -> String {
    let moment = |at_ms: &i64| {
        Timestamp::from_millisecond(*at_ms).map_or_else(|_| at_ms.to_string(), |at| at.to_string())
    };
    match scope {
        Scope::Alarms(ids) => format!("{} chosen alarms", ids.len()),
        Scope::Camera {
            camera,
            from_ms,
            to_ms,
        } => format!(
            "camera {camera} from {} to {}",
            moment(from_ms),
            moment(to_ms)
        ),
    }
}

/// A bundle that is being written.
struct Archive<W: Write + Seek> {
    zip: ZipWriter<W>,
    path: PathBuf,
    files: Vec<FileEntry>,
    missing: Vec<MissingFile>,
}

impl Archive<File> {
    fn add(&mut self, name: String, of: &EvidenceFile, made: &Path) -> Result<(), BundleError> {
        let failed = |source| BundleError::Write {
            path: made.to_path_buf(),
            source,
        };
        let (size_bytes, sha256) = digest_file(made).map_err(failed)?;
        self.begin(&name)?;
        let mut file = File::open(made).map_err(failed)?;
        io::copy(&mut file, &mut self.zip).map_err(failed)?;
        fs::remove_file(made).map_err(failed)?;
        self.files.push(FileEntry {
            name,
            media_type: of.media_type.clone(),
            size_bytes,
            sha256,
            source_sha256: Some(of.sha256.clone()),
        });
        Ok(())
    }

    fn put(&mut self, name: &str, bytes: &[u8]) -> Result<(), BundleError> {
        self.begin(name)?;
        let path = self.path.clone();
        self.zip
            .write_all(bytes)
            .map_err(|source| BundleError::Write { path, source })
    }

    fn begin(&mut self, name: &str) -> Result<(), BundleError> {
        let options = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
        let path = self.path.clone();
        self.zip
            .start_file(name, options)
            .map_err(|source| BundleError::Archive { path, source })
    }

    fn finish(self) -> Result<(), BundleError> {
        let path = self.path;
        let file = self.zip.finish().map_err(|source| BundleError::Archive {
            path: path.clone(),
            source,
        })?;
        file.sync_all()
            .map_err(|source| BundleError::Write { path, source })
    }
}

/// Makes the copies of one alarm's files.
struct Copyist<'a> {
    making: &'a Making<'a>,
    alarm: &'a AlarmDetail,
    folder: Option<PathBuf>,
    manifest: Option<evidence::manifest::Manifest>,
    redactor: Redactor,
    watermark: String,
    /// The clip's picture nearest to the raising, as it was put into the copy.
    moment: Option<(f64, RgbImage)>,
}

impl<'a> Copyist<'a> {
    fn new(making: &'a Making<'a>, alarm: &'a AlarmDetail) -> Self {
        let folder = alarm.evidence_folder.as_deref();
        let folder = folder.and_then(|folder| below(making.evidence_root, [folder]));
        let manifest = folder.as_ref().and_then(|folder| {
            let bytes = fs::read(folder.join(evidence::MANIFEST)).ok()?;
            serde_json::from_slice(&bytes).ok()
        });
        let view = (making.view_of)(&alarm.alarm.camera).unwrap_or(View {
            // Of a camera that nobody knows any more, as little as possible is shown.
            kind: match alarm.alarm.kind {
                AlarmKind::FallingObject => Kind::Facade,
                _ => Kind::Elevator,
            },
            masks: Vec::new(),
        });
        let at = making.now.strftime("%Y-%m-%d %H:%M UTC");
        let ticket = making.ticket;
        Self {
            making,
            alarm,
            folder,
            manifest,
            redactor: Redactor {
                treatment: ticket.treatment,
                kind: view.kind,
                masks: view.masks,
                detector: making.detector.cloned(),
            },
            watermark: format!("{} · {} · {at}", ticket.id, ticket.asked_by),
            moment: None,
        }
    }

    /// Makes the copy of one file at `made`. The clip comes first.
    fn copy(&mut self, file: &EvidenceFile, made: &Path) -> Result<(), Problem> {
        let folder = self.folder.as_ref().ok_or(Problem::Gone)?;
        let path = folder.join(&file.name);
        let (size_bytes, sha256) = digest_file(&path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => Problem::Gone,
            _ => Problem::Io(error),
        })?;
        if (size_bytes, &sha256) != (file.size_bytes, &file.sha256) {
            return Err(Problem::Changed);
        }
        match file.name.as_str() {
            CLIP => self.copy_clip(&path, made),
            _ => self.copy_picture(&path, made),
        }
    }

    fn copy_clip(&mut self, path: &Path, made: &Path) -> Result<(), Problem> {
        let mut recording = Recording::open(path)?;
        let mut decoder = Decoder::open(recording.info())?;
        let mut recoder = None;
        let mut frames = Vec::new();
        loop {
            if !(self.making.goes_on)() {
                return Err(Problem::Stopped);
            }
            let packet = recording.next_packet()?;
            match &packet {
                Some(packet) => decoder.push(packet, |frame| frames.push(frame)),
                None => decoder.finish(|frame| frames.push(frame)),
            }
            for frame in frames.drain(..) {
                let mut shown = picture::colour(&frame);
                self.redact_moment(&mut shown, frame.at);
                let recoder = match &mut recoder {
                    Some(recoder) => recoder,
                    none => none.insert(Recoder::create(made, shown.width(), shown.height())?),
                };
                recoder.push(&shown, frame.at)?;
            }
            if packet.is_none() {
                break;
            }
        }
        Ok(recoder.ok_or(Problem::Empty)?.finish()?)
    }

    /// Redacts and marks a picture of the clip, shown at `at` from the clip's begin.
    fn redact_moment(&mut self, shown: &mut RgbImage, at: StreamTime) {
        let span = self.manifest.as_ref().and_then(|all| all.clip.as_ref());
        let starts_at_s = span.map(|span| span.starts_at_s);
        let on_stream =
            starts_at_s.map(|start| StreamTime::from_secs_f64(start + at.as_secs_f64()));
        let thing = on_stream.and_then(|at| redact::place_at(&self.alarm.track, at));
        let height_px = shown.height();
        self.redactor.redact(shown, height_px, thing.as_ref());
        redact::watermark(shown, &self.watermark);
        let Some(on_stream) = on_stream else { return };
        let off_s = (on_stream.as_secs_f64() - self.alarm.alarm.raised_at_s).abs();
        if self
            .moment
            .as_ref()
            .is_none_or(|(best_s, _)| off_s < *best_s)
        {
            self.moment = Some((off_s, shown.clone()));
        }
    }

    /// Makes the copy of a picture. An elevator's is made anew from the clip, in which the e-bike's
    /// place is known; without a clip all of it is pixelated.
    fn copy_picture(&mut self, path: &Path, made: &Path) -> Result<(), Problem> {
        let is_car = self.redactor.kind == Kind::Elevator;
        let is_plain = self.redactor.treatment == super::Treatment::Plain;
        let shown = match self.moment.take() {
            Some((_, moment)) if is_car && !is_plain => moment,
            _ => {
                let bytes = fs::read(path)?;
                let decoded = image::load_from_memory_with_format(&bytes, image::ImageFormat::Jpeg);
                let mut shown = decoded?.to_rgb8();
                let height_px = self.height_in(&shown);
                self.redactor.redact(&mut shown, height_px, None);
                redact::watermark(&mut shown, &self.watermark);
                shown
            }
        };
        Ok(fs::write(made, picture::jpeg(&shown)?)?)
    }

    /// Returns how many rows of a still are the camera's picture: a caption stands below it, and a
    /// strobe picture is enlarged.
    fn height_in(&self, still: &RgbImage) -> u32 {
        let stream = self.manifest.as_ref().and_then(|all| all.stream.as_ref());
        let Some(stream) = stream.filter(|stream| stream.width_px > 0) else {
            return still.height();
        };
        let rows = u64::from(still.width()) * u64::from(stream.height_px);
        let rows = rows.div_ceil(u64::from(stream.width_px));
        u32::try_from(rows).map_or(still.height(), |rows| rows.min(still.height()))
    }
}
