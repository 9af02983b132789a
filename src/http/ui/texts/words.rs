//! What pages call the words that programs use: roles, kinds, states, dispositions.

use super::Texts;
use crate::alarm::AlarmKind;
use crate::store::{AlarmState, Disposition};

impl Texts {
    /// Returns what pages call a role.
    pub(crate) fn role(&self, role: &crate::auth::Role) -> &'static str {
        use crate::auth::Role;
        match role {
            Role::Operator => self.role_operator,
            Role::Manager => self.role_manager,
            Role::Auditor => self.role_auditor,
            Role::Maintainer => self.role_maintainer,
            Role::Admin => self.role_admin,
        }
    }
}

impl Texts {
    /// Returns what pages call a kind of alarm.
    pub(crate) fn kind_of(&self, kind: AlarmKind) -> &'static str {
        match kind {
            AlarmKind::FallingObject => self.kind_falling_object,
            AlarmKind::EbikeInElevator => self.kind_ebike,
            AlarmKind::NoPicture => self.kind_no_picture,
            AlarmKind::FrozenPicture => self.kind_frozen_picture,
            AlarmKind::Occluded => self.kind_occluded,
            AlarmKind::ViewMoved => self.kind_view_moved,
            AlarmKind::Shake => self.kind_shake,
            AlarmKind::SlowFrames => self.kind_slow_frames,
            AlarmKind::ClockDrift => self.kind_clock_drift,
            AlarmKind::Flooded => self.kind_flooded,
            AlarmKind::DiskFilling => self.kind_disk_filling,
            AlarmKind::DiskFull => self.kind_disk_full,
            AlarmKind::ClockLeapt => self.kind_clock_leapt,
        }
    }

    /// Returns all kinds of alarm, with the word that filters use.
    pub(crate) fn kinds(&self) -> [(&'static str, &'static str); 13] {
        use AlarmKind as K;
        let kinds = [
            K::FallingObject,
            K::EbikeInElevator,
            K::NoPicture,
            K::FrozenPicture,
            K::Occluded,
            K::ViewMoved,
            K::Shake,
            K::SlowFrames,
            K::ClockDrift,
            K::Flooded,
            K::DiskFilling,
            K::DiskFull,
            K::ClockLeapt,
        ];
        kinds.map(|kind| (kind.as_str(), self.kind_of(kind)))
    }

    /// Returns what pages call the fault of that word; the word itself is no text for people.
    pub(crate) fn kind_named(&self, word: &str) -> &'static str {
        let found = self.kinds().into_iter().find(|(known, _)| *known == word);
        found.map_or(self.problem, |(_, text)| text)
    }

    /// Returns what pages call a state of an alarm.
    pub(crate) fn state_of(&self, state: AlarmState) -> &'static str {
        match state {
            AlarmState::Raised => self.state_raised,
            AlarmState::Acknowledged => self.state_acknowledged,
            AlarmState::Closed => self.state_closed,
        }
    }

    /// Returns all states of an alarm, with the word that filters use.
    pub(crate) fn states(&self) -> [(&'static str, &'static str); 3] {
        use AlarmState as S;
        [S::Raised, S::Acknowledged, S::Closed].map(|state| (state.as_str(), self.state_of(state)))
    }

    /// Returns what pages call a disposition.
    pub(crate) fn disposition_of(&self, disposition: Disposition) -> &'static str {
        match disposition {
            Disposition::Confirmed => self.disposition_confirmed,
            Disposition::FalseAlarm => self.disposition_false_alarm,
            Disposition::Technical => self.disposition_technical,
            Disposition::Test => self.disposition_test,
        }
    }

    /// Returns all dispositions, with the word that the API uses.
    pub(crate) fn dispositions(&self) -> [(&'static str, &'static str); 4] {
        use Disposition as D;
        let all = [D::Confirmed, D::FalseAlarm, D::Technical, D::Test];
        all.map(|disposition| (disposition.as_str(), self.disposition_of(disposition)))
    }

    /// Returns the roles that one person can have, with the words that scripts send.
    pub(crate) fn role_choices(&self) -> [(&'static str, &'static str); 6] {
        [
            ("operator", self.role_operator),
            ("manager", self.role_manager),
            ("auditor", self.role_auditor),
            ("maintainer", self.role_maintainer),
            ("admin", self.role_admin),
            ("manager+admin", self.role_manager_admin),
        ]
    }
}
