-- Who asked for what evidence to leave the house, who allowed it, and what became of it.
CREATE TABLE ticket (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    reason        TEXT NOT NULL,
    treatment     TEXT NOT NULL CHECK (treatment IN ('protected', 'plain')),
    scope         TEXT NOT NULL CHECK (json_valid(scope)),
    alarms        TEXT NOT NULL CHECK (json_valid(alarms)), -- ids, as the scope was when it was asked
    days          INTEGER NOT NULL,
    asked_by      TEXT NOT NULL,
    asked_at_ms   INTEGER NOT NULL,
    state         TEXT NOT NULL
        CHECK (state IN ('asked', 'refused', 'making', 'ready', 'failed', 'expired')),
    decided_by    TEXT CHECK (decided_by <> asked_by),      -- nobody decides on their own
    decided_at_ms INTEGER,
    decision_note TEXT,
    expires_at_ms INTEGER,
    size_bytes    INTEGER,
    sha256        TEXT,
    failure       TEXT,
    downloads     INTEGER NOT NULL DEFAULT 0,
    CHECK (state = 'asked' OR decided_by IS NOT NULL OR state = 'expired')
) STRICT;

CREATE INDEX ticket_open ON ticket (state, id) WHERE state IN ('asked', 'making', 'ready', 'failed');
