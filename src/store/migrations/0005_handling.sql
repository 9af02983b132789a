-- no-transaction
-- Assigning and noting: what may happen to an alarm more than once. The log of changes held one
-- event of a kind for each alarm; now that holds only for what happens once. SQLite cannot drop a
-- constraint, so the table is made anew, by the steps of sqlite.org/lang_altertable.html (7); foreign
-- keys are off meanwhile, or dropping the old table would drop the deliveries with it.
PRAGMA foreign_keys = OFF;
BEGIN IMMEDIATE;

CREATE TABLE event_anew (
    seq    INTEGER PRIMARY KEY AUTOINCREMENT,
    at_ms  INTEGER NOT NULL,
    kind   TEXT NOT NULL,
    alarm  TEXT REFERENCES alarm (id) ON DELETE CASCADE,
    camera TEXT,
    site   TEXT,
    body   TEXT NOT NULL                           -- JSON, as it was at that moment
) STRICT;
INSERT INTO event_anew SELECT seq, at_ms, kind, alarm, camera, site, body FROM event;
DROP TABLE event;
ALTER TABLE event_anew RENAME TO event;

CREATE UNIQUE INDEX event_once ON event (alarm, kind)
    WHERE kind NOT IN ('alarm.assigned', 'alarm.noted');
CREATE INDEX event_of_alarm ON event (alarm, seq);

CREATE TRIGGER event_is_never_changed BEFORE UPDATE ON event
BEGIN
    SELECT RAISE(ABORT, 'an event is never changed');
END;

ALTER TABLE alarm ADD COLUMN assigned_to TEXT;

CREATE TABLE alarm_note (
    seq   INTEGER PRIMARY KEY AUTOINCREMENT,
    alarm TEXT NOT NULL REFERENCES alarm (id) ON DELETE CASCADE,
    at_ms INTEGER NOT NULL,
    who   TEXT NOT NULL,
    text  TEXT NOT NULL
) STRICT;
CREATE INDEX alarm_note_of_alarm ON alarm_note (alarm, seq);

CREATE TRIGGER alarm_note_is_never_changed BEFORE UPDATE ON alarm_note
BEGIN
    SELECT RAISE(ABORT, 'a note is never changed');
END;

COMMIT;
PRAGMA foreign_keys = ON;
