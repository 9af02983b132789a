//! Makes a part whole: a plain MP4 with its index at the front, which browsers wind, on the disk under
//! its final name. A stream copy; blocks for as long as the disk takes for a minute of video.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use super::segment::{Known, mark_torn};
use super::{FootageError, PARTS, Part, Segment, make_folder, path_of, word_of};
use crate::evidence::mux::{Layout, Mux, Placing, TICKS_PER_SECOND, Ticks};
use crate::evidence::{digest_file, part_path, publish};
use crate::source::Packet;
use crate::source::file::{FileError, Recording};

/// Parts that are looked at in one turn.
const PARTS_MAX: usize = 1024;

/// The queue of parts below a root.
#[derive(Clone, Debug)]
pub struct Parts {
    root: PathBuf,
}

impl Parts {
    /// Returns the queue. Call it before any writer begins: what is still open then was left by a crash.
    pub fn of(root: &Path) -> Self {
        let torn = mark_torn(root);
        if torn > 0 {
            tracing::warn!(
                segments = torn,
                "footage that the last run was writing is made whole as far as it goes"
            );
        }
        Self {
            root: root.to_path_buf(),
        }
    }

    /// Returns what is to be made whole, oldest first.
    pub fn waiting(&self) -> Vec<Part> {
        let entries = fs::read_dir(self.root.join(PARTS)).into_iter().flatten();
        let paths = entries.filter_map(Result::ok).map(|entry| entry.path());
        let mut parts: Vec<Part> = paths.filter_map(Part::of).take(PARTS_MAX).collect();
        parts.sort_by_key(|part| part.starts_at_ms);
        parts
    }

    /// Returns the root.
    pub fn root(&self) -> &Path {
        &self.root
    }
}

/// Makes the part's segment, and returns it; none where nothing can be had of the part. The part stays
/// until [`Part::remove`]: first its row must be in the store.
pub fn make_whole(root: &Path, part: &Part) -> Result<Option<Segment>, FootageError> {
    if part.known.is_none() {
        let cut = cut_to_whole_boxes(&part.path);
        cut.map_err(|source| FootageError::Write {
            path: part.path.clone(),
            source,
        })?;
    }
    let recording = match Recording::open(&part.path) {
        Ok(recording) => recording,
        // Not even its head was written.
        Err(error) if part.known.is_none() && !matches!(error, FileError::Access { .. }) => {
            return Ok(None);
        }
        Err(error) => return Err(error.into()),
    };
    let codec = word_of(recording.info().codec);
    let relative = path_of(&part.camera, part.starts_at_ms);
    let path = root.join(&relative);
    make_folder(path.parent().unwrap_or(root))?;
    let unfinished = part_path(&path);
    let copied = copy(part, recording, &unfinished).and_then(|known| {
        let Some(known) = known else { return Ok(None) };
        let published = publish(&unfinished, &path).and_then(|()| digest_file(&path));
        let (size_bytes, sha256) = published.map_err(|source| FootageError::Write {
            path: path.clone(),
            source,
        })?;
        Ok(Some(Segment {
            camera: part.camera.clone(),
            starts_at_ms: part.starts_at_ms,
            ends_at_ms: known.ends_at_ms,
            scene_sha256: part.scene_sha256.clone(),
            path: relative,
            size_bytes,
            sha256,
            codec,
            pictures: known.pictures,
        }))
    });
    if !matches!(copied, Ok(Some(_))) {
        // Best effort: a full disk needs the room back.
        fs::remove_file(&unfinished).ok();
    }
    copied
}

impl Part {
    /// Removes the part. That it is gone is no failure.
    pub fn remove(&self) -> io::Result<()> {
        match fs::remove_file(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

/// Copies the part's packets; returns what they are, none where there is none.
fn copy(part: &Part, mut recording: Recording, to: &Path) -> Result<Option<Known>, FootageError> {
    let pictures = match part.known {
        Some(known) => known.pictures,
        None => count(part)?,
    };
    let layout = Layout::IndexInRoom {
        pictures: usize::try_from(pictures).unwrap_or(0),
    };
    let info = recording.info().clone();
    let (mut placing, mut held): (_, Option<(Packet, Ticks)>) = (Placing::default(), None);
    let (mut mux, mut copied, mut lasts_us) = (None, 0, 0);
    // What breaks off ends there: all before it has been read.
    while let Ok(Some(packet)) = recording.next_packet() {
        let mux = match &mut mux {
            Some(mux) => mux,
            none => none.insert(Mux::create(to, &info, &packet.data, layout)?),
        };
        let mut ticks = placing.place(&packet);
        if let Some((before, mut times)) = held.take() {
            times.duration = ticks.decoded - times.decoded;
            ticks.duration = times.duration;
            mux.push(&before, times)?;
        }
        lasts_us = lasts_us.max(packet.at.as_micros());
        held = Some((packet, ticks));
        copied += 1;
    }
    let (Some(mut mux), Some((last, mut times))) = (mux, held) else {
        return Ok(None);
    };
    if times.duration <= 0 {
        times.duration = TICKS_PER_SECOND / 25;
    }
    let last_us = times.duration * 1_000_000 / TICKS_PER_SECOND;
    mux.push(&last, times)?;
    mux.finish()?;
    let ends_at_ms = part.starts_at_ms + (lasts_us + last_us) / 1_000;
    Ok(Some(Known {
        ends_at_ms: part.known.map_or(ends_at_ms, |known| known.ends_at_ms),
        pictures: copied,
    }))
}

fn count(part: &Part) -> Result<u64, FootageError> {
    let (mut recording, mut pictures) = (Recording::open(&part.path)?, 0);
    while let Ok(Some(_)) = recording.next_packet() {
        pictures += 1;
    }
    Ok(pictures)
}

/// Cuts off what a crash has left of a fragment: libavformat would take half a picture for a whole one.
fn cut_to_whole_boxes(path: &Path) -> io::Result<()> {
    let mut file = File::options().read(true).write(true).open(path)?;
    let length = file.metadata()?.len();
    let whole = whole_bytes(&mut file, length)?;
    if whole < length {
        file.set_len(whole)?;
    }
    Ok(())
}

/// Returns how many bytes the boxes take that stand there whole (ISO/IEC 14496-12, 4.2): a fragment's
/// head (`moof`) counts only with its data.
fn whole_bytes(file: &mut (impl Read + Seek), length: u64) -> io::Result<u64> {
    let (mut at, mut whole) = (0, 0);
    let mut head = [0; 8];
    while at + 8 <= length {
        file.seek(SeekFrom::Start(at))?;
        file.read_exact(&mut head)?;
        let [a, b, c, d, name @ ..] = head;
        let size = u64::from(u32::from_be_bytes([a, b, c, d]));
        if size < 8 || at + size > length {
            break;
        }
        at += size;
        if &name != b"moof" {
            whole = at;
        }
    }
    Ok(whole)
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    fn boxed(name: &[u8; 4], content: usize) -> Vec<u8> {
        let size = u32::try_from(content + 8).expect("small");
        let mut bytes = size.to_be_bytes().to_vec();
        bytes.extend_from_slice(name);
        bytes.resize(content + 8, 0);
        bytes
    }

    #[test]
    fn a_fragment_without_all_of_its_data_does_not_count() {
        let mut file = boxed(b"ftyp", 16);
        file.extend(boxed(b"moov", 100));
        file.extend(boxed(b"moof", 50));
        file.extend(boxed(b"mdat", 900));
        let whole = file.len() as u64;
        file.extend(boxed(b"moof", 50));
        file.extend(&boxed(b"mdat", 900)[..300]);
        let of = |bytes: &[u8]| {
            let length = bytes.len() as u64;
            whole_bytes(&mut Cursor::new(bytes), length).expect("readable")
        };
        assert_eq!(of(&file), whole);
        assert_eq!(of(&file[..file.len() - 308]), whole, "a head alone");
        assert_eq!(of(&file[..file.len() - 304]), whole, "half a size");
        assert_eq!(of(&file[..10]), 0);
        assert_eq!(of(&[0; 64]), 0);
    }
}
