//! What is shown to whom.

use super::Check;
use crate::auth::{Role, SEE_PEOPLE};
use crate::config::file;
use crate::http::Privacy;

/// Each takes a part of a core that the cameras need as well.
const ENCODINGS_MAX: u64 = 16;

impl Check<'_> {
    pub(super) fn privacy(&mut self, given: &file::Privacy) -> Option<Privacy> {
        let mut see_people = Vec::new();
        for name in given.see_people.get_ref() {
            let role = name.parse().ok();
            let Some(role) = role.filter(|role: &Role| SEE_PEOPLE.contains(role)) else {
                let message = format!(
                    "privacy.see_people cannot name {name:?}: some of operator, manager and auditor, for \
                     nobody else sees evidence"
                );
                self.tell(Some(&given.see_people), message);
                return None;
            };
            see_people.push(role);
        }
        let encodings = *given.live_encodings.get_ref();
        if encodings > ENCODINGS_MAX {
            let message = format!("privacy.live_encodings is a number from 0 to {ENCODINGS_MAX}");
            self.tell(Some(&given.live_encodings), message);
            return None;
        }
        Some(Privacy {
            see_people,
            live_encodings: usize::try_from(encodings).unwrap_or(0),
        })
    }
}
