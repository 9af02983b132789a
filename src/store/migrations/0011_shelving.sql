-- Shelving: for a time, and for a reason, alarms of a camera or of a kind are kept and counted but
-- not announced.
CREATE TABLE shelf (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    camera      TEXT,                              -- NULL: every camera
    kind        TEXT,                              -- NULL: every kind
    reason      TEXT NOT NULL,
    begun_at_ms INTEGER NOT NULL,
    begun_by    TEXT NOT NULL,
    until_ms    INTEGER NOT NULL CHECK (until_ms > begun_at_ms),
    ended_at_ms INTEGER,                           -- by itself or by somebody
    ended_by    TEXT,
    CHECK (camera IS NOT NULL OR kind IS NOT NULL)
) STRICT;
CREATE INDEX shelf_open ON shelf (until_ms) WHERE ended_at_ms IS NULL;

ALTER TABLE alarm ADD COLUMN shelf INTEGER REFERENCES shelf (id); -- the one it was raised under
ALTER TABLE alarm ADD COLUMN shelved INTEGER NOT NULL DEFAULT 0;  -- 1 while it is not announced
ALTER TABLE alarm ADD COLUMN unshelved_at_ms INTEGER;

CREATE INDEX alarm_of_shelf ON alarm (shelf) WHERE shelf IS NOT NULL;
CREATE INDEX alarm_shelved ON alarm (raised_at_ms, id) WHERE shelved = 1;
DROP INDEX alarm_waiting;
CREATE INDEX alarm_waiting ON alarm (raised_at_ms, id) WHERE state = 'raised' AND shelved = 0;
