//! All that pages say, one file a language. A text that is missing in a language does not compile.

mod en;
mod zh;

pub(crate) use en::EN;
pub(crate) use zh::ZH;

use crate::alarm::AlarmKind;
use crate::store::{AlarmState, Disposition};

macro_rules! texts {
    ($($name:ident),+ $(,)?) => {
        /// The texts of one language.
        #[derive(Debug)]
        pub(crate) struct Texts {
            $(pub(crate) $name: &'static str),+
        }

        #[cfg(test)]
        impl Texts {
            fn all(&self) -> Vec<(&'static str, &'static str)> {
                vec![$((stringify!($name), self.$name)),+]
            }
        }
    };
}

pub(crate) mod records;

texts!(
    // Everywhere.
    skip,
    navigation,
    sign_out,
    home,
    change_password,
    role_operator,
    role_manager,
    role_auditor,
    role_maintainer,
    role_admin,
    // Signing in.
    sign_in,
    sign_in_lead,
    account,
    password,
    sign_in_wrong,
    sign_in_too_many,
    minutes,
    // The own password.
    password_one_time,
    password_old,
    password_new,
    password_again,
    password_rule,
    password_not_twice,
    password_length,
    password_holds_name,
    password_same,
    password_monotone,
    password_old_wrong,
    // Roles of somebody.
    home_roles,
    // What went wrong.
    problem,
    problem_forbidden,
    problem_not_found,
    problem_server,
    problem_request,
    problem_request_id,
    // Where people go.
    board,
    alarms,
    cameras,
    audit,
    accounts,
    // The board.
    raised_title,
    raised_empty,
    taken_title,
    taken_empty,
    more_in_list,
    link_connecting,
    link_live,
    link_lost,
    link_signed_out,
    sound_off,
    sound_on,
    sound_silent,
    keys,
    key_move,
    key_open,
    key_sound,
    needs_script,
    ago,
    // An alarm.
    score,
    ended,
    lasts,
    in_hand_of,
    escalated,
    shelves,
    shelves_lead,
    shelves_open,
    shelves_ended,
    shelves_empty,
    shelved,
    shelved_count,
    shelved_only,
    shelved_not,
    shelve,
    shelve_for,
    unshelve,
    until,
    acknowledge,
    close,
    assign,
    note,
    cancel,
    save,
    close_title,
    disposition,
    note_title,
    assign_title,
    assign_to,
    taken_by,
    failed,
    done,
    state,
    state_raised,
    state_acknowledged,
    state_closed,
    disposition_confirmed,
    disposition_false_alarm,
    disposition_technical,
    disposition_test,
    kind,
    kind_falling_object,
    kind_ebike,
    kind_no_picture,
    kind_frozen_picture,
    kind_occluded,
    kind_view_moved,
    kind_shake,
    kind_slow_frames,
    kind_clock_drift,
    kind_flooded,
    kind_disk_filling,
    kind_disk_full,
    floor_exact,
    floor_between,
    floor_word,
    from_floor,
    site,
    place,
    camera,
    raised_at,
    acknowledged,
    closed,
    id,
    changed_elsewhere,
    reload,
    evidence,
    evidence_pending,
    evidence_none,
    evidence_missing,
    clip,
    clip_failed,
    show_track,
    to_event,
    speed,
    strobe,
    strobe_alt,
    snapshot,
    fall_chart,
    fitted_g,
    fall_chart_hint,
    floor_chart,
    ride_chart,
    ride_chart_hint,
    ride_first,
    ride_raised,
    ride_ended,
    notes,
    notes_empty,
    // Deliveries.
    deliveries,
    deliveries_empty,
    receivers_empty,
    receiver,
    message,
    attempts,
    retry,
    waiting,
    oldest,
    dead,
    why,
    delivery_pending,
    delivery_sending,
    delivery_delivered,
    delivery_dead,
    delivery_cancelled,
    // The list.
    any,
    from_day,
    to_day,
    search,
    clear,
    who,
    older,
    alarms_empty,
    // Cameras.
    online,
    offline,
    picture,
    fps,
    lost,
    dropped,
    reconnects,
    last_frame,
    last_alarm,
    last_alarm_one,
    wall,
    per_second,
    live_start,
    live_stop,
    live_latency,
    live_away,
    cameras_no_pictures,
    // The review.
    review,
    review_events,
    review_mark,
    review_open,
    review_done,
    review_do,
    review_mark_all,
    review_hint,
    month_earlier,
    month_later,
    weekdays,
    buildings,
    elevators,
    disposition_word,
    newer_one,
    older_one,
    to_list,
    places,
    places_windows,
    places_hint,
    places_across,
    places_elevators,
    places_newest,
    places_all,
    places_empty,
    count,
    period,
    days,
    trends,
    trends_chart,
    trends_faults,
    trends_table,
    trends_day,
    trends_week,
    trends_sum,
    trends_false,
    trends_false_hint,
    trends_share,
    trends_false_count,
    trends_judged,
    // The scene of a camera.
    scene,
    scene_lead,
    scene_lead_car,
    scene_coarse,
    scene_no_picture,
    scene_select,
    scene_line,
    scene_mask,
    scene_opening,
    scene_car_floor,
    scene_how_line,
    scene_how_polygon,
    scene_how_select,
    scene_undo,
    scene_redo,
    scene_remove,
    scene_add,
    scene_corner,
    scene_left,
    scene_right,
    scene_floors,
    scene_storey,
    scene_repeat,
    scene_new_picture,
    scene_saved,
    scene_unsaved,
    scene_unchanged,
    scene_changed_by,
    scene_draw,
    scene_see,
    coverage,
    coverage_lead,
    coverage_floors,
    coverage_none,
    coverage_openings,
    coverage_no_openings,
    coverage_no_gaps,
    coverage_gap_floor,
    coverage_gap_floors,
    coverage_outside_picture,
    coverage_masked,
    coverage_no_openings_here,
    coverage_opening_masked,
    coverage_no_floor_lines,
    coverage_car,
    coverage_no_car,
    // The audit log.
    audit_lead,
    audit_checkpoint,
    audit_empty,
    // Replays.
    replays,
    replays_lead,
    replays_empty,
    replay,
    replay_this,
    replay_a_recording,
    replay_recording,
    replay_as_camera,
    replay_no_folder,
    replay_folder_empty,
    replay_done_before,
    replay_running,
    replay_failed,
    replay_cancelled,
    replay_same,
    replay_within,
    replay_differs,
    replay_not_found,
    replay_first,
    replay_same_long,
    replay_within_long,
    replay_differs_long,
    replay_not_found_long,
    replay_recording_first,
    replay_recording_same,
    replay_recording_differs,
    replay_progress,
    replay_to_alarm,
    replay_table,
    replay_value,
    replay_old,
    replay_new,
    replay_tolerance,
    replay_started,
    replay_floor_min,
    replay_floor_max,
    replay_points,
    replay_apart,
    replay_row_same,
    replay_row_within,
    replay_row_beyond,
    replay_row_not_in_clip,
    replay_chart,
    replay_chart_hint,
    replay_facts,
    replay_read,
    replay_read_value,
    replay_model,
    replay_scene,
    replay_version,
    replay_output,
    replay_before,
    replay_before_same,
    replay_before_differs,
    replay_others,
    replay_other,
    // The service itself.
    service,
    service_lead,
    service_checks,
    service_what,
    service_ok,
    service_bad,
    service_ready,
    service_models,
    service_audit_key,
    service_deliveries,
    service_metrics,
    service_metrics_hint,
    service_metric,
    service_labels,
    service_value,
    service_meaning,
    row,
    time,
    action,
    object,
    outcome,
    detail,
    refused,
    // Accounts.
    display_name,
    account_rule,
    account_add,
    account_reset,
    account_disable,
    account_enable,
    account_disabled,
    account_locked,
    account_one_time,
    role_manager_admin,
    in_use,
    signed_in,
    tokens,
    tokens_empty,
    token_name,
    token_days,
    token_add,
    token_revoke,
    expires,
    revoked,
    told_once,
    told_once_hint,
    ok,
);

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
        }
    }

    /// Returns all kinds of alarm, with the word that filters use.
    pub(crate) fn kinds(&self) -> [(&'static str, &'static str); 12] {
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

/// Returns the text with each `{}` replaced, in order.
pub(crate) fn fill(text: &str, values: &[&dyn std::fmt::Display]) -> String {
    let mut filled = text.to_owned();
    for value in values {
        filled = filled.replacen("{}", &value.to_string(), 1);
    }
    filled
}

/// Fails where a text is empty, in the wrong language, or holds other places than its twin.
#[cfg(test)]
fn check_languages(zh: &[(&str, &str)], en: &[(&str, &str)]) {
    for ((name, zh), (_, en)) in zh.iter().zip(en) {
        assert!(!zh.trim().is_empty() && !en.trim().is_empty(), "{name}");
        assert!(zh.chars().any(|c| c as u32 > 0x2E80), "{name}: {zh}");
        assert!(en.chars().all(|c| (c as u32) < 0x2E80), "{name}: {en}");
        assert_eq!(zh.matches("{}").count(), en.matches("{}").count(), "{name}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_take_their_places() {
        assert_eq!(
            fill(EN.floor_between, &[&14, &13, &15]),
            "Floor 14 (13 to 15)"
        );
        assert_eq!(fill(ZH.floor_exact, &[&3]), "3 层");
    }

    #[test]
    fn no_text_is_empty_or_left_in_the_other_language() {
        check_languages(&ZH.all(), &EN.all());
    }
}
