//! Judges the steps of escalation.

use std::time::Duration;

use super::{Check, Site, file};
use crate::deliver::EndpointConfig;
use crate::id::EscalationId;
use crate::store::Escalation;

/// Seconds after which a step may be taken.
const AFTER_S: std::ops::RangeInclusive<u64> = 10..=86_400;

impl Check<'_> {
    pub(super) fn escalation(
        &mut self,
        step: &file::Escalation,
        sites: &[Site],
        endpoints: &[EndpointConfig],
    ) -> Option<Escalation> {
        let id: EscalationId = self.id(&step.id)?;
        let after_s = *step.after_s.get_ref();
        if !AFTER_S.contains(&after_s) {
            let range = format!("{} to {} seconds", AFTER_S.start(), AFTER_S.end());
            let problem = format!("after_s = {after_s} is not within {range}");
            self.tell(Some(&step.after_s), problem);
        }
        if step.endpoints.get_ref().is_empty() {
            let problem = "an escalation needs at least one endpoint to go to";
            self.tell(Some(&step.endpoints), problem);
        }
        let mut told = Vec::new();
        for name in step.endpoints.get_ref() {
            let found = endpoints.iter().find(|known| known.id.as_str() == name);
            match found {
                Some(found) => told.push(found.id.clone()),
                None => self.tell(
                    Some(&step.endpoints),
                    format!("there is no [[endpoint]] with id {name:?}"),
                ),
            }
        }
        let wanted: Vec<_> = step
            .sites
            .iter()
            .map(|site| self.known_site(site, sites))
            .collect();
        Some(Escalation {
            id,
            after: Duration::from_secs(after_s),
            kinds: step.kinds.clone(),
            sites: wanted.into_iter().collect::<Option<_>>()?,
            endpoints: told,
        })
    }
}
