//! How long ordinary video is kept, where, and in how much room.

use std::time::Duration;

use super::Check;
use crate::config::{Footage, file};

/// The folder of footage in the data directory where none is named.
const FOLDER: &str = "footage";

impl Check<'_> {
    pub(super) fn footage(&mut self, file: &file::File) -> Option<Footage> {
        let given = &file.footage;
        let days = self.within(&given.days, "footage.days", 1..=365);
        let budget_mib = given
            .budget_mib
            .as_ref()
            .map(|mib| self.within(mib, "footage.budget_mib", 1..=1_000_000_000));
        let dir = match &given.dir {
            Some(dir) => self.folder.join(dir),
            None => self.folder.join(&file.data_dir).join(FOLDER),
        };
        Some(Footage {
            kept: Duration::from_secs(days? * 24 * 3600),
            budget_bytes: match budget_mib {
                Some(mib) => Some(mib? << 20),
                None => None,
            },
            dir,
        })
    }
}
