//! Room that the database keeps for itself: a file that is given back to the disk when nothing else
//! is left, so that alarms can still be committed where something else has filled the disk.

use std::fs::{self, File};
use std::io;
use std::path::PathBuf;

use rustix::fs::{FallocateFlags, fallocate};

use super::{Durability, Store};

/// The reserve's file name in the data directory.
const RESERVE: &str = "plumb.reserve";

impl Store {
    /// Sees to it that `size_bytes` of the disk are held for the database; 0 gives them back. Blocks
    /// for milliseconds: the blocks are reserved, not written. A store in memory holds none.
    pub fn keep_reserve(&self, size_bytes: u64) -> io::Result<()> {
        let Some(path) = self.reserve_path() else {
            return Ok(());
        };
        if size_bytes == 0 {
            return gone(fs::remove_file(path));
        }
        if fs::metadata(&path).is_ok_and(|file| file.len() == size_bytes) {
            return Ok(());
        }
        let file = File::create(&path)?;
        let reserved = fallocate(&file, FallocateFlags::empty(), 0, size_bytes);
        if let Err(error) = reserved {
            // What was got of it would be missing elsewhere.
            fs::remove_file(&path)?;
            return Err(error.into());
        }
        Ok(())
    }

    /// Gives the reserve back to the disk, and returns whether there was one.
    pub(crate) fn spend_reserve(&self) -> bool {
        let removed = self.reserve_path().map(fs::remove_file);
        matches!(removed, Some(Ok(())))
    }

    fn reserve_path(&self) -> Option<PathBuf> {
        match self.0.durability {
            Durability::Disk => Some(self.0.path.with_file_name(RESERVE)),
            Durability::Volatile => None,
        }
    }
}

fn gone(removed: io::Result<()>) -> io::Result<()> {
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}
