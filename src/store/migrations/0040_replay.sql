-- Replays that auditors asked for: one at a time, with what came of each.
CREATE TABLE replay (
    id             INTEGER PRIMARY KEY AUTOINCREMENT,
    alarm          TEXT,                            -- whose evidence; none for a recording
    recording      TEXT,                            -- a file's name in the folder of recordings
    camera         TEXT NOT NULL,
    state          TEXT NOT NULL CHECK (state IN ('running', 'done', 'failed', 'cancelled')),
    asked_by       TEXT NOT NULL,
    asked_at_ms    INTEGER NOT NULL,
    finished_at_ms INTEGER,
    verdict        TEXT,
    reason         TEXT,                            -- why it failed
    input_sha256   TEXT,                            -- of all that decides what comes out
    result         TEXT                             -- JSON
) STRICT;

CREATE UNIQUE INDEX replay_one_at_a_time ON replay (state) WHERE state = 'running';
CREATE INDEX replay_of_alarm ON replay (alarm, id);
CREATE INDEX replay_of_input ON replay (input_sha256, id) WHERE state = 'done';
