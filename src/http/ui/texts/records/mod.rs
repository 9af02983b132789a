//! What the pages of records say: hold and deletion, exports, reports.

mod en;
mod figures;
mod zh;

pub(crate) use en::EN;
pub(crate) use zh::ZH;

use crate::store::DeletionRule;

texts!(
    hold,
    hold_title,
    hold_hint,
    release,
    release_title,
    held,
    reason,
    cancel,
    deleted,
    deleted_age,
    deleted_room,
    // Exports.
    export_this,
    exports,
    exports_lead,
    exports_empty,
    ask,
    ask_hint,
    from,
    to,
    days,
    treatment,
    treatment_protected,
    treatment_plain,
    ticket,
    scope,
    scope_alarms,
    alarm_count,
    ticket_asked,
    ticket_refused,
    ticket_making,
    ticket_ready,
    ticket_failed,
    ticket_expired,
    decided_by,
    until,
    downloads,
    approve,
    refuse,
    download,
    // Reports.
    reports,
    report_csv,
    sites_with_ebike_alarm,
    site,
    figure,
    numerator,
    denominator,
    share,
    wanted,
    thing,
    gaps,
    report_hint,
    report_period,
    report_this_month,
    report_last_month,
    report_last_30_days,
    report_days,
    report_show,
    report_bad_days,
    report_unwatched,
    report_unwatched_row,
    report_unwatched_more,
    figure_buildings,
    figure_openings,
    figure_elevators,
    figure_online,
    figure_pictures,
    figure_intact,
    figure_compliance,
    gap_no_camera,
    gap_offline,
    gap_too_short,
    gap_no_hours,
    no_hours,
    gap_no_scene,
    gap_no_openings,
    gap_floors,
    gap_openings,
    gap_not_tested,
    gap_no_code,
    gap_no_name,
    gap_no_division,
    gap_no_place,
);

impl Texts {
    /// Returns what a manager can do with evidence, with the words that scripts send.
    pub(crate) fn hold_acts(&self) -> [(&'static str, &'static str); 2] {
        [("hold", self.hold_title), ("release", self.release_title)]
    }

    /// Returns what pages call a rule by which evidence was deleted.
    pub(crate) fn rule(&self, rule: &DeletionRule) -> &'static str {
        match rule {
            DeletionRule::Age => self.deleted_age,
            DeletionRule::Room => self.deleted_room,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_is_empty_or_left_in_the_other_language() {
        super::super::check_languages(&ZH.all(), &EN.all());
    }
}
