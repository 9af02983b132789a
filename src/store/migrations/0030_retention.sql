-- Legal hold, deleted evidence, and an end to the log of changes.
ALTER TABLE alarm ADD COLUMN held_at_ms INTEGER;
ALTER TABLE alarm ADD COLUMN held_by TEXT;
ALTER TABLE alarm ADD COLUMN held_reason TEXT;
ALTER TABLE alarm ADD COLUMN evidence_deleted_at_ms INTEGER;
ALTER TABLE alarm ADD COLUMN evidence_deleted_by TEXT
    CHECK (evidence_deleted_by IN ('age', 'room'));

CREATE INDEX alarm_held ON alarm (id) WHERE held_at_ms IS NOT NULL;
CREATE INDEX alarm_with_evidence ON alarm (raised_at_ms, id)
    WHERE evidence_folder IS NOT NULL AND held_at_ms IS NULL;

-- Folders that the rows above do not know any more and that the disk may still have.
CREATE TABLE evidence_removal (
    alarm  TEXT PRIMARY KEY NOT NULL,
    folder TEXT NOT NULL                           -- below the evidence root
) STRICT, WITHOUT ROWID;

CREATE INDEX event_age ON event (at_ms, seq);
