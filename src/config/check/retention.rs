//! What is kept how long, and in how much room.

use std::ops::RangeInclusive;
use std::time::Duration;

use toml::Spanned;

use super::Check;
use crate::config::{Retention, file};

const DAY_S: u64 = 24 * 3600;

impl Check<'_> {
    pub(super) fn retention(&mut self, given: &file::Retention) -> Option<Retention> {
        let evidence_days = self.within(&given.evidence_days, "retention.evidence_days", 1..=3650);
        let event_days = self.within(&given.event_days, "retention.event_days", 7..=3650);
        let budget_mib = given
            .evidence_budget_mib
            .as_ref()
            .map(|mib| self.within(mib, "retention.evidence_budget_mib", 1..=1_000_000_000));
        let min_free_mib = self.within(
            &given.min_free_mib,
            "retention.min_free_mib",
            64..=1_000_000,
        );
        let warn = self.within(&given.warn_percent, "retention.warn_percent", 1..=100)?;
        let full = self.within(&given.full_percent, "retention.full_percent", 1..=100)?;
        if warn >= full {
            self.tell(
                Some(&given.warn_percent),
                "retention.warn_percent is not below retention.full_percent: it would warn too late",
            );
            return None;
        }
        let reserve_mib = self.within(&given.reserve_mib, "retention.reserve_mib", 0..=4096)?;
        Some(Retention {
            evidence: Duration::from_secs(evidence_days? * DAY_S),
            evidence_budget_bytes: match budget_mib {
                Some(mib) => Some(mib? << 20),
                None => None,
            },
            min_free_bytes: min_free_mib? << 20,
            warn_share: warn as f64 / 100.0,
            full_share: full as f64 / 100.0,
            reserve_bytes: reserve_mib << 20,
            events: Duration::from_secs(event_days? * DAY_S),
        })
    }

    /// Returns the number where it is allowed; tells of it otherwise. `key` with its table.
    pub(super) fn within(
        &mut self,
        given: &Spanned<u64>,
        key: &str,
        range: RangeInclusive<u64>,
    ) -> Option<u64> {
        if range.contains(given.get_ref()) {
            return Some(*given.get_ref());
        }
        let (least, most) = (range.start(), range.end());
        self.tell(
            Some(given),
            format!("{key} is a number from {least} to {most}"),
        );
        None
    }
}
