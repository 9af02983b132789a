//! How long ordinary video is kept, where, and in how much room.

use std::ops::RangeInclusive;
use std::time::Duration;

use toml::Spanned;

use super::Check;
use crate::config::{Footage, file};

/// The folder of footage in the data directory where none is named.
const FOLDER: &str = "footage";

impl Check<'_> {
    pub(super) fn footage(&mut self, file: &file::File) -> Option<Footage> {
        let given = &file.footage;
        let days = self.footage_within(&given.days, "days", 1..=365);
        let budget_mib = given
            .budget_mib
            .as_ref()
            .map(|mib| self.footage_within(mib, "budget_mib", 1..=1_000_000_000));
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

    fn footage_within(
        &mut self,
        given: &Spanned<u64>,
        key: &str,
        range: RangeInclusive<u64>,
    ) -> Option<u64> {
        if range.contains(given.get_ref()) {
            return Some(*given.get_ref());
        }
        let (least, most) = (range.start(), range.end());
        let message = format!("footage.{key} is a number from {least} to {most}");
        self.tell(Some(given), message);
        None
    }
}
