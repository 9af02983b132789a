-- Escalation: an alarm that nobody acknowledges goes on to further endpoints, step by step. It may
-- happen more than once to an alarm, and once a step.
DROP INDEX event_once;
CREATE UNIQUE INDEX event_once ON event (alarm, kind)
    WHERE kind NOT IN ('alarm.assigned', 'alarm.noted', 'alarm.escalated');

ALTER TABLE alarm ADD COLUMN escalated_at_ms INTEGER; -- the newest step

CREATE TABLE alarm_escalation (
    alarm     TEXT NOT NULL REFERENCES alarm (id) ON DELETE CASCADE,
    step      TEXT NOT NULL,                       -- the configuration's name for it
    at_ms     INTEGER NOT NULL,
    endpoints TEXT NOT NULL,                       -- JSON: whom it was told
    PRIMARY KEY (alarm, step)
) STRICT, WITHOUT ROWID;

-- What waits for somebody: few rows of many.
CREATE INDEX alarm_waiting ON alarm (raised_at_ms, id) WHERE state = 'raised';
