-- Ages are counted by steady time: the wall clock as far as it can be believed (clock::Steady).
CREATE TABLE steady_time (
    id     INTEGER PRIMARY KEY CHECK (id = 1),
    at_ms  INTEGER NOT NULL, -- at the last look
    lag_ms INTEGER NOT NULL  -- how far the wall clock was ahead of it
) STRICT;

-- A store of before believes in the clock of its last run.
INSERT INTO steady_time SELECT 1, max(seen_at_ms), 0 FROM service_run HAVING max(seen_at_ms) IS NOT NULL;

-- From when an alarm's age counts: raised, or announced again when its shelf ended.
ALTER TABLE alarm ADD COLUMN aged_from_ms INTEGER;
UPDATE alarm SET aged_from_ms = max(raised_at_ms, coalesce(unshelved_at_ms, 0));

DROP INDEX alarm_with_evidence;
CREATE INDEX alarm_with_evidence ON alarm (aged_from_ms, id)
    WHERE evidence_folder IS NOT NULL AND held_at_ms IS NULL;
CREATE INDEX alarm_due ON alarm (aged_from_ms, id) WHERE state = 'raised' AND shelved = 0;

-- Until when a shelf holds; until_ms tells people.
ALTER TABLE shelf ADD COLUMN holds_until_ms INTEGER;
UPDATE shelf SET holds_until_ms = until_ms;
DROP INDEX shelf_open;
CREATE INDEX shelf_open ON shelf (holds_until_ms) WHERE ended_at_ms IS NULL;

-- Rows of before have none: their wall time counts.
ALTER TABLE event ADD COLUMN aged_from_ms INTEGER;
DROP INDEX event_age;
CREATE INDEX event_age ON event (coalesce(aged_from_ms, at_ms), seq);
