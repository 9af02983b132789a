//! Footage: a camera's ordinary video, kept on the disk in a ring of segments, whatever happens before
//! it. Packets are copied, never decoded or encoded.
//!
//! ```text
//! writer   one a camera, a viewer of its live packets: segments as `.part`     (writer.rs, segment.rs)
//! whole    one for all: a closed segment becomes an MP4 that can be wound       (whole.rs)
//! ```
//!
//! What holds here, and must go on holding:
//! - It costs an alarm and its evidence nothing: a writer takes what live viewers get, has a thread of
//!   its own with a low priority, and loses packets where the disk is slow. What is lost is counted.
//! - A segment begins with a key picture and holds one timeline. Where nothing was lost the next one
//!   begins with the picture after its last, and at the moment at which it ends.
//! - In memory is at most a group of pictures: a part is written a fragment at a time, so that a crash
//!   of the service takes no more than that, and a power cut no more than [`SYNC_EVERY`] before.
//! - Below the root lie `parts/`, which is the queue of what is still to be made whole, and one folder a
//!   camera and day. A part goes only when its segment is on the disk and the store has its row; done
//!   twice, it gives the same file and the same row. So a row names a whole file, always.

pub mod segment;
pub mod whole;
pub mod writer;

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;

use crate::evidence::clip::ClipError;
use crate::id::CameraId;
use crate::source::file::FileError;
use crate::source::{Codec, Packet, StreamInfo, nal};

pub use segment::Part;
pub use whole::{Parts, make_whole};
pub use writer::{FootageRules, SceneDigest, Writer};

/// A segment lasts so long, and then to the next key picture.
pub const SEGMENT: Duration = Duration::from_secs(60);
/// A camera that sends no key picture for so many segments' time gets no longer one.
pub const SEGMENT_STRETCH: u32 = 5;
/// How often a part is forced onto the disk: a fsync makes alarms' commits wait for the disk, too.
pub const SYNC_EVERY: Duration = Duration::from_secs(10);

/// The folder of what is not whole yet, below the root. No camera can have a name with this sign.
const PARTS: &str = "~parts";

/// One segment as it lies on the disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    pub camera: CameraId,
    pub starts_at_ms: i64,
    /// The next one's begin where nothing was lost between.
    pub ends_at_ms: i64,
    /// Of the scene in force when it began: what its masks cover nobody is to see.
    pub scene_sha256: Option<String>,
    /// Below the root.
    pub path: String,
    pub size_bytes: u64,
    /// SHA-256, 64 hexadecimal digits.
    pub sha256: String,
    pub codec: &'static str,
    pub pictures: u64,
}

/// Why a segment cannot be written or made whole.
#[derive(Debug, thiserror::Error)]
pub enum FootageError {
    #[error("the footage folder {path} cannot be made; is its disk there and writable?")]
    Folder { path: PathBuf, source: io::Error },
    #[error("{path} cannot be written; is the disk full or read-only?")]
    Write { path: PathBuf, source: io::Error },
    #[error("packets cannot be put into an MP4")]
    Mux(#[from] ClipError),
    #[error("what was written cannot be read")]
    Read(#[from] FileError),
}

/// Returns whether decoding can begin with the packet. Sources say so of IDR pictures alone; a camera of
/// H.265 may send CRA pictures in their place for hours.
fn can_begin(info: &StreamInfo, packet: &Packet) -> bool {
    packet.key || nal::may_begin(info, &packet.data)
}

/// Returns the word for a codec that footage can have.
fn word_of(codec: Codec) -> &'static str {
    match codec {
        Codec::H264 => "h264",
        Codec::H265 => "h265",
        Codec::Other(_) => "other",
    }
}

/// Returns a segment's path below the root: `<camera>/<yyyy-mm-dd>/<hhmmss>-<ms>.mp4`, in UTC.
fn path_of(camera: &CameraId, starts_at_ms: i64) -> String {
    let at = Timestamp::from_millisecond(starts_at_ms).unwrap_or(Timestamp::UNIX_EPOCH);
    // A timestamp is written in UTC.
    let (day, time) = (at.strftime("%Y-%m-%d"), at.strftime("%H%M%S"));
    format!(
        "{camera}/{day}/{time}-{:03}.mp4",
        starts_at_ms.rem_euclid(1000)
    )
}

/// Makes the folder. That it is there is no failure.
fn make_folder(path: &Path) -> Result<(), FootageError> {
    std::fs::create_dir_all(path).map_err(|source| FootageError::Folder {
        path: path.to_path_buf(),
        source,
    })
}

/// Returns whether two folders lie on one file system: what is deleted in one makes room in the other.
/// A folder that is not there yet lies where the nearest one above it does.
pub fn share_a_disk(one: &Path, other: &Path) -> bool {
    let device = |path: &Path| {
        let existing = path.ancestors().find(|path| path.exists())?;
        Some(std::fs::metadata(existing).ok()?.dev())
    };
    let (one, other) = (device(one), device(other));
    one.is_some() && one == other
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_lies_in_its_cameras_and_days_folder() {
        let camera = CameraId::parse("b3-east").expect("an id");
        assert_eq!(
            path_of(&camera, 1_769_853_600_042),
            "b3-east/2026-01-31/100000-042.mp4"
        );
        assert!(CameraId::parse(PARTS).is_err(), "no camera's folder");
    }
}
