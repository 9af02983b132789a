//! How much room the disk has, and where evidence must not be written any more.

use std::fmt;
use std::io;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

/// Where the disk's free room is learnt; tests have a disk of their own.
pub trait Disk: Send + Sync + fmt::Debug {
    /// Returns how many bytes can still be written to the file system of `path`.
    fn free_bytes(&self, path: &Path) -> io::Result<u64>;
}

/// The machine's own disks.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemDisk;

impl Disk for SystemDisk {
    fn free_bytes(&self, path: &Path) -> io::Result<u64> {
        let figures = rustix::fs::statvfs(path)?;
        Ok(figures.f_bavail.saturating_mul(figures.f_frsize))
    }
}

/// Judges whether there is room for more evidence; clones share the disk.
#[derive(Clone, Debug)]
pub struct Room {
    pub disk: Arc<dyn Disk>,
    /// With less than this free, no evidence is written: the database needs what is left.
    pub floor_bytes: u64,
}

impl Room {
    /// Returns why evidence cannot be written below `root`; none where it can. A disk that does not
    /// tell is tried.
    pub fn lacks(&self, root: &Path) -> Option<String> {
        let existing = root.ancestors().find(|path| path.exists())?;
        let free_bytes = self.disk.free_bytes(existing).ok()?;
        (free_bytes < self.floor_bytes).then(|| {
            format!(
                "the disk has {} MiB left, which the database needs",
                free_bytes >> 20
            )
        })
    }
}

/// Returns the path of `parts` below `root`; none where a part could lead elsewhere.
pub fn below<'a>(root: &Path, parts: impl IntoIterator<Item = &'a str>) -> Option<PathBuf> {
    let mut path = root.to_owned();
    for part in parts {
        let part = Path::new(part);
        let mut components = part.components();
        let is_plain = components.all(|part| matches!(part, Component::Normal(_)));
        if !is_plain || part.as_os_str().is_empty() {
            return None;
        }
        path.push(part);
    }
    Some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Free(u64);

    impl Disk for Free {
        fn free_bytes(&self, _: &Path) -> io::Result<u64> {
            Ok(self.0)
        }
    }

    #[test]
    fn no_evidence_is_written_where_the_database_needs_the_rest() {
        let folder = tempfile::tempdir().expect("a folder");
        let lacks = |free| {
            let room = Room {
                disk: Arc::new(Free(free)),
                floor_bytes: 1 << 20,
            };
            room.lacks(&folder.path().join("not/made/yet"))
        };
        assert!(lacks((1 << 20) - 1).is_some());
        assert_eq!(lacks(1 << 20), None);
        assert!(SystemDisk.free_bytes(folder.path()).expect("a disk") > 0);
    }

    #[test]
    fn a_row_cannot_lead_out_of_the_evidence_folder() {
        let root = Path::new("/evidence");
        let inside = below(root, ["2026/01/a", "clip.mp4"]);
        assert_eq!(inside, Some(PathBuf::from("/evidence/2026/01/a/clip.mp4")));
        for (folder, name) in [
            ("..", "x"),
            ("a/../..", "x"),
            ("/etc", "passwd"),
            ("a", "../x"),
            ("", "x"),
        ] {
            assert_eq!(below(root, [folder, name]), None, "{folder}/{name}");
        }
    }
}
