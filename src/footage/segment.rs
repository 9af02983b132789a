//! One segment while it is written: a fragmented MP4 under the name of a part. The name holds what the
//! row will need, so that nothing else must survive a crash.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::{FootageError, PARTS, SYNC_EVERY, make_folder};
use crate::clock::StreamTime;
use crate::evidence::mux::{Layout, Mux, Placing, TICKS_PER_SECOND, Ticks};
use crate::id::CameraId;
use crate::source::{Packet, StreamInfo};

/// What stands between the parts of a name: no id of a camera holds it.
const BETWEEN: char = '~';
/// In the place of a scene's digest.
const NO_SCENE: &str = "none";
/// Being written.
const OPEN: &str = "part";
/// Written to its end.
const CLOSED: &str = "closed";
/// Left behind by a crash.
const TORN: &str = "torn";
/// The next segment begins where this one ends when both clocks, the camera's timeline and the wall's,
/// agree so far; else one of them was set.
const JOIN_MS: i64 = 2_000;

/// A segment that is being written.
pub struct OpenSegment {
    path: PathBuf,
    camera: CameraId,
    scene_sha256: Option<String>,
    starts_at: Timestamp,
    info: Arc<StreamInfo>,
    mux: Mux,
    placing: Placing,
    /// The packet whose duration the next one tells.
    held: (Packet, Ticks),
    first_at: StreamTime,
    newest_at: StreamTime,
    pictures: u64,
    /// Since the newest key picture.
    in_group: u64,
    synced_at: StreamTime,
}

impl OpenSegment {
    /// Begins a segment with a key picture, while the scene of that digest is in force. Fails when the disk does, or MP4 cannot hold the stream.
    pub fn begin(
        root: &Path,
        camera: &CameraId,
        info: &Arc<StreamInfo>,
        first: &Packet,
        scene_sha256: Option<String>,
    ) -> Result<Self, FootageError> {
        let parts = root.join(PARTS);
        make_folder(&parts)?;
        let starts_at_ms = first.captured_at.as_millisecond();
        let scene = scene_sha256.as_deref().unwrap_or(NO_SCENE);
        let name = format!("{camera}{BETWEEN}{starts_at_ms}{BETWEEN}{scene}.{OPEN}");
        let path = parts.join(name);
        let mux = Mux::create(&path, info, &first.data, Layout::Fragments);
        let mux = mux.inspect_err(|_| {
            // Best effort: a full disk needs the room back.
            fs::remove_file(&path).ok();
        })?;
        let mut placing = Placing::default();
        let ticks = placing.place(first);
        Ok(Self {
            path,
            camera: camera.clone(),
            scene_sha256,
            starts_at: first.captured_at,
            info: Arc::clone(info),
            mux,
            placing,
            held: (first.clone(), ticks),
            first_at: first.at,
            newest_at: first.at,
            pictures: 1,
            in_group: 1,
            synced_at: first.at,
        })
    }

    /// Adds the timeline's next packet, in decoding order.
    pub fn push(&mut self, packet: &Packet) -> Result<(), FootageError> {
        let ticks = self.placing.place(packet);
        let (mut before, next) = (self.held.1, (packet.clone(), ticks));
        before.duration = ticks.decoded - before.decoded;
        self.mux.push(&self.held.0, before)?;
        self.held = next;
        self.held.1.duration = before.duration;
        self.newest_at = self.newest_at.max(packet.at);
        self.pictures += 1;
        self.in_group = if packet.key { 1 } else { self.in_group + 1 };
        let unsynced_s = packet.at.secs_since(self.synced_at);
        if packet.key && unsynced_s >= SYNC_EVERY.as_secs_f64() {
            self.sync()?;
            self.synced_at = packet.at;
        }
        Ok(())
    }

    /// Returns whether the packet is shown before the segment's first picture.
    pub fn is_before(&self, packet: &Packet) -> bool {
        packet.at < self.first_at
    }

    /// Returns for how long it lasts so far.
    pub fn lasts(&self) -> Duration {
        let seconds = self.newest_at.secs_since(self.first_at);
        Duration::from_secs_f64(seconds.max(0.0))
    }

    /// Returns whether the packet is of this segment's timeline and was taken already.
    pub fn has(&self, info: &Arc<StreamInfo>, packet: &Packet) -> bool {
        Arc::ptr_eq(&self.info, info) && packet.decode_at <= self.held.0.decode_at
    }

    /// Ends it: `next` is when the picture after its last one was captured, where there is one of the
    /// same timeline. What cannot be ended is made whole as after a crash.
    pub fn close(self, next: Option<Timestamp>) -> Result<(), FootageError> {
        let (ends_at_ms, path) = (self.ends_at_ms(next), self.path.clone());
        let part = Part {
            camera: self.camera.clone(),
            starts_at_ms: self.starts_at.as_millisecond(),
            scene_sha256: self.scene_sha256.clone(),
            known: None,
            path: path.clone(),
        };
        let name = part.closed_name(ends_at_ms, self.pictures);
        let closed = self.finish().and_then(|()| {
            let closed = fs::rename(&path, path.with_file_name(name));
            closed.map_err(|source| FootageError::Write {
                path: path.clone(),
                source,
            })
        });
        if closed.is_err() {
            tear(&path);
        }
        closed
    }

    fn finish(mut self) -> Result<(), FootageError> {
        let (last, mut ticks) = self.held;
        if ticks.duration <= 0 {
            ticks.duration = TICKS_PER_SECOND / 25;
        }
        self.mux.push(&last, ticks)?;
        Ok(self.mux.finish()?)
    }

    /// Returns how many pictures are in memory only.
    pub fn in_memory(&self) -> u64 {
        self.in_group
    }

    /// Gives it up; what is on the disk of it is made whole as after a crash.
    pub fn give_up(self) {
        let path = self.path.clone();
        drop(self);
        tear(&path);
    }

    fn ends_at_ms(&self, next: Option<Timestamp>) -> i64 {
        let last_us = self.held.1.duration.max(0) * 1_000_000 / TICKS_PER_SECOND;
        let lasts_us = self.newest_at.as_micros() - self.first_at.as_micros() + last_us;
        let by_timeline = self.starts_at.as_millisecond() + lasts_us.max(0) / 1_000;
        let next = next.map(Timestamp::as_millisecond);
        let fits = |next: &i64| (next - by_timeline).abs() <= JOIN_MS;
        next.filter(fits).unwrap_or(by_timeline)
    }

    fn sync(&self) -> Result<(), FootageError> {
        let synced = File::open(&self.path).and_then(|file| file.sync_data());
        synced.map_err(|source| FootageError::Write {
            path: self.path.clone(),
            source,
        })
    }
}

/// A segment that is still to be made whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    pub camera: CameraId,
    pub starts_at_ms: i64,
    /// Of the scene that was in force when it began; none where there was none.
    pub scene_sha256: Option<String>,
    /// None of one that a crash has left.
    pub known: Option<Known>,
    pub path: PathBuf,
}

/// What is known of a segment that was written to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Known {
    pub ends_at_ms: i64,
    pub pictures: u64,
}

impl Part {
    /// Returns the part of that name; none where it is none, or is still being written.
    pub(super) fn of(path: PathBuf) -> Option<Self> {
        let name = path.file_name()?.to_str()?;
        let (stem, ending) = name.rsplit_once('.')?;
        let mut fields = stem.split(BETWEEN);
        let camera = CameraId::parse(fields.next()?).ok()?;
        let starts_at_ms = fields.next()?.parse().ok()?;
        let scene = fields.next()?;
        let known = match ending {
            CLOSED => Some(Known {
                ends_at_ms: fields.next()?.parse().ok()?,
                pictures: fields.next()?.parse().ok()?,
            }),
            TORN => None,
            _ => return None,
        };
        Some(Self {
            camera,
            starts_at_ms,
            scene_sha256: (scene != NO_SCENE).then(|| scene.to_owned()),
            known,
            path,
        })
    }

    fn closed_name(&self, ends_at_ms: i64, pictures: u64) -> String {
        let (camera, starts_at_ms) = (&self.camera, self.starts_at_ms);
        let scene = self.scene_sha256.as_deref().unwrap_or(NO_SCENE);
        format!(
            "{camera}{BETWEEN}{starts_at_ms}{BETWEEN}{scene}{BETWEEN}{ends_at_ms}{BETWEEN}{pictures}.{CLOSED}"
        )
    }
}

fn tear(path: &Path) {
    // Best effort: at the next start it is found under its first name.
    fs::rename(path, path.with_extension(TORN)).ok();
}

/// Marks what the last run was still writing: nobody goes on with it.
pub(super) fn mark_torn(root: &Path) -> usize {
    let entries = fs::read_dir(root.join(PARTS)).into_iter().flatten();
    let open = entries
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|ending| ending == OPEN));
    // One that cannot be renamed stays for the start after this.
    open.filter(|path| fs::rename(path, path.with_extension(TORN)).is_ok())
        .count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parts_name_says_all_that_its_row_needs() {
        let part = Part {
            camera: CameraId::parse("b3-east.1").expect("an id"),
            starts_at_ms: 1_000,
            scene_sha256: Some("ab".repeat(32)),
            known: Some(Known {
                ends_at_ms: 61_040,
                pictures: 1501,
            }),
            path: PathBuf::new(),
        };
        let path = Path::new("/f/~parts").join(part.closed_name(61_040, 1501));
        let read = Part::of(path.clone()).expect("a part");
        assert_eq!(read, Part { path, ..part });
        let torn = Part::of(PathBuf::from("/f/~parts/b3-east.1~1000~none.torn")).expect("a part");
        assert_eq!((torn.starts_at_ms, torn.known), (1_000, None));
        assert_eq!(torn.scene_sha256, None);
        for other in [
            "b3-east.1~1000~none.part",
            "b3-east.1~1000~none.closed",
            "b3-east.1~1000.torn",
            "x.torn",
            "note",
        ] {
            assert_eq!(
                Part::of(Path::new("/f/~parts").join(other)),
                None,
                "{other}"
            );
        }
    }
}
