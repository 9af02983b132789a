//! Makes a ticket's bundle: each clip and picture as the ticket allows it to be seen, the ticket's
//! number over all of them, a manifest, a signature. Blocks for seconds a clip: it belongs on the
//! blocking pool. What cannot be made is named in the manifest; the rest is bundled all the same.

use std::fs::{self, File};
use std::io::{self, Seek, Write};
use std::path::{Path, PathBuf};

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
use crate::evidence::copy::{CopyError, Copyist};
use crate::evidence::room::below;
use crate::evidence::{
    self, CLIP, EvidenceFile, Hidden, MissingFile, SNAPSHOT, STROBE, Treatment, digest_file,
    publish, reason_of, sha256_hex,
};
use crate::geometry::Polygon;
use crate::id::AlarmId;
use crate::scene::Kind;
use crate::scene::facade::FacadeScene;
use crate::store::{AlarmDetail, AlarmRecord, FootageRecord, Scope, TicketRecord};

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

/// What a camera looks at, as far as redaction goes.
#[derive(Clone, Debug)]
pub struct View {
    pub kind: Kind,
    /// Those of the scene in force, and those by which the alarm was judged.
    pub masks: Vec<Polygon>,
    /// The facade by which the alarm was judged.
    pub facade: Option<FacadeScene>,
}

/// A segment of footage, and what of it is not to leave the house.
#[derive(Clone, Debug)]
pub struct FootagePart {
    pub record: FootageRecord,
    pub hidden: Hidden,
}

/// All that a bundle is made of.
pub struct Making<'a> {
    pub ticket: &'a TicketRecord,
    pub alarms: &'a [AlarmDetail],
    pub evidence_root: &'a Path,
    /// What the ticket covers of the ordinary video.
    pub footage: &'a [FootagePart],
    pub footage_root: &'a Path,
    /// Returns what an alarm's camera looks at; none where the configuration does not know it any
    /// more.
    pub view_of: &'a dyn Fn(&AlarmRecord) -> Option<View>,
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
        for part in self.footage {
            self.add_footage(&mut archive, part, work)?;
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
        let copyist = self.copyist(alarm);
        for name in [CLIP, SNAPSHOT, STROBE] {
            let Some(file) = alarm.files.iter().find(|file| file.name == name) else {
                continue;
            };
            let made = work.join(name);
            let whole_name = entry_name(alarm.alarm.id, name);
            let copied = match &copyist {
                Some(copyist) => copyist.copy(file, &made),
                None => Err(CopyError::Gone),
            };
            match copied {
                Ok(()) => archive.add(whole_name, file, &made)?,
                Err(CopyError::Stopped) => return Err(BundleError::Stopped),
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

    fn add_footage(
        &self,
        archive: &mut Archive<File>,
        part: &FootagePart,
        work: &Path,
    ) -> Result<(), BundleError> {
        let (name, file) = (format!("footage/{}", part.record.path), part.record.file());
        let path = below(self.footage_root, [part.record.path.as_str()]);
        let made = work.join("segment.mp4");
        let copied = match path.as_deref().and_then(Path::parent) {
            Some(folder) => {
                let copyist = Copyist {
                    folder: folder.to_path_buf(),
                    track: &[],
                    raised_at_s: 0.0,
                    hidden: part.hidden.clone(),
                    facade: None,
                    watermark: Some(self.watermark()),
                    goes_on: self.goes_on,
                };
                copyist.copy_video(&file, &made)
            }
            None => Err(CopyError::Gone),
        };
        match copied {
            Ok(()) => archive.add(name, &file, &made)?,
            Err(CopyError::Stopped) => return Err(BundleError::Stopped),
            Err(problem) => archive.missing.push(MissingFile {
                name,
                reason: reason_of(&problem),
            }),
        }
        Ok(())
    }

    fn watermark(&self) -> String {
        let (ticket, at) = (self.ticket, self.now.strftime("%Y-%m-%d %H:%M UTC"));
        format!("{} · {} · {at}", ticket.id, ticket.asked_by)
    }

    /// Returns what makes the copies of one alarm's files; none where its evidence is gone.
    fn copyist<'b>(&'b self, alarm: &'b AlarmDetail) -> Option<Copyist<'b>> {
        let folder = alarm.evidence_folder.as_deref()?;
        let folder = below(self.evidence_root, [folder])?;
        let view = (self.view_of)(&alarm.alarm).unwrap_or(View {
            // Of a camera that nobody knows any more, as little as possible is shown.
            kind: match alarm.alarm.kind {
                AlarmKind::FallingObject => Kind::Facade,
                _ => Kind::Elevator,
            },
            masks: Vec::new(),
            facade: None,
        });
        Some(Copyist {
            folder,
            track: &alarm.track,
            raised_at_s: alarm.alarm.raised_at_s,
            hidden: hidden_of(self.ticket.treatment, view.kind, view.masks),
            facade: view.facade,
            watermark: Some(self.watermark()),
            goes_on: self.goes_on,
        })
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

/// Returns what of a camera's pictures a ticket of that treatment does not give.
pub fn hidden_of(treatment: Treatment, kind: Kind, masks: Vec<Polygon>) -> Hidden {
    match (treatment, kind) {
        (Treatment::Plain, _) => Hidden::Nothing,
        (Treatment::Protected, Kind::Facade) => Hidden::by_masks(masks),
        (Treatment::Protected, Kind::Elevator) => Hidden::People,
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
        Scope::Footage {
            camera,
            from_ms,
            to_ms,
        } => format!(
            "footage of camera {camera} from {} to {}",
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
