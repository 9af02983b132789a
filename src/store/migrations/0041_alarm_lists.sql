-- So that a list of a rare kind or state does not walk through all alarms there are.
CREATE INDEX alarm_newest_of_kind ON alarm (kind, raised_at_ms, id);
CREATE INDEX alarm_newest_of_state ON alarm (state, raised_at_ms, id);
