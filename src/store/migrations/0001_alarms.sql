-- Alarms, the log of their changes, and the outbox. Times end in _at_ms: Unix milliseconds.

CREATE TABLE alarm (
    id                 TEXT PRIMARY KEY NOT NULL, -- UUID of version 7
    camera             TEXT NOT NULL,
    site               TEXT NOT NULL,
    place              TEXT NOT NULL,             -- building or elevator
    kind               TEXT NOT NULL,
    state              TEXT NOT NULL CHECK (state IN ('raised', 'acknowledged', 'closed')),
    score              REAL NOT NULL,
    started_at_ms      INTEGER NOT NULL,
    raised_at_ms       INTEGER NOT NULL,
    ended_at_ms        INTEGER,
    end_reason         TEXT CHECK (end_reason IN ('observed', 'restart')),
    stream_started_us  INTEGER NOT NULL,          -- on the stream's own timeline
    stream_raised_us   INTEGER NOT NULL,
    stream_ended_us    INTEGER,
    track              TEXT NOT NULL,             -- JSON, as replay prints it
    origin             TEXT,                      -- JSON
    scene_sha256       TEXT,
    evidence           TEXT NOT NULL CHECK (evidence IN ('pending', 'ready', 'missing')),
    evidence_reason    TEXT,                      -- why it, or a part of it, is missing
    evidence_folder    TEXT,                      -- below the evidence root
    acknowledged_at_ms INTEGER,
    acknowledged_by    TEXT,
    closed_at_ms       INTEGER,
    closed_by          TEXT,
    disposition        TEXT CHECK (disposition IN ('confirmed', 'false_alarm', 'technical', 'test')),
    note               TEXT
) STRICT;

CREATE INDEX alarm_newest ON alarm (raised_at_ms, id);
CREATE INDEX alarm_newest_of_camera ON alarm (camera, raised_at_ms, id);
CREATE INDEX alarm_newest_of_site ON alarm (site, raised_at_ms, id);
CREATE INDEX alarm_lasting ON alarm (id) WHERE ended_at_ms IS NULL;
CREATE INDEX alarm_without_evidence ON alarm (id) WHERE evidence = 'pending';

CREATE TABLE evidence_file (
    alarm      TEXT NOT NULL REFERENCES alarm (id) ON DELETE CASCADE,
    name       TEXT NOT NULL,
    media_type TEXT NOT NULL,
    size_bytes INTEGER NOT NULL,
    sha256     TEXT NOT NULL,
    PRIMARY KEY (alarm, name)
) STRICT, WITHOUT ROWID;

-- What changed, in the order of its commits. One writer: a seq that can be read has no smaller
-- one still to come.
CREATE TABLE event (
    seq    INTEGER PRIMARY KEY AUTOINCREMENT,
    at_ms  INTEGER NOT NULL,
    kind   TEXT NOT NULL,
    alarm  TEXT REFERENCES alarm (id) ON DELETE CASCADE,
    camera TEXT,
    site   TEXT,
    body   TEXT NOT NULL,                          -- JSON, as it was at that moment
    UNIQUE (alarm, kind)
) STRICT;

CREATE TRIGGER event_is_never_changed BEFORE UPDATE ON event
BEGIN
    SELECT RAISE(ABORT, 'an event is never changed');
END;

CREATE TABLE endpoint (
    id              TEXT PRIMARY KEY NOT NULL,
    url_sha256      TEXT NOT NULL,                 -- a URL may hold a secret: only its digest
    disabled_reason TEXT,
    disabled_at_ms  INTEGER
) STRICT;

CREATE TABLE delivery (
    id                  TEXT PRIMARY KEY NOT NULL, -- the webhook-id
    event_seq           INTEGER NOT NULL REFERENCES event (seq) ON DELETE CASCADE,
    alarm               TEXT NOT NULL REFERENCES alarm (id) ON DELETE CASCADE,
    endpoint            TEXT NOT NULL REFERENCES endpoint (id),
    camera              TEXT NOT NULL,
    state               TEXT NOT NULL
        CHECK (state IN ('pending', 'sending', 'delivered', 'dead', 'cancelled')),
    attempts            INTEGER NOT NULL DEFAULT 0, -- since it was queued or sent again
    created_at_ms       INTEGER NOT NULL,
    first_attempt_at_ms INTEGER,
    next_at_ms          INTEGER NOT NULL,
    settled_at_ms       INTEGER,
    last_error          TEXT,
    UNIQUE (endpoint, event_seq)
) STRICT;

-- The head of each camera's queue is found by one seek.
CREATE INDEX delivery_open ON delivery (endpoint, camera, event_seq)
    WHERE state IN ('pending', 'sending');
CREATE INDEX delivery_age ON delivery (created_at_ms) WHERE state IN ('pending', 'sending');
CREATE INDEX delivery_dead ON delivery (settled_at_ms, id) WHERE state = 'dead';
CREATE INDEX delivery_of_alarm ON delivery (alarm, event_seq);
CREATE INDEX delivery_of_event ON delivery (event_seq);

CREATE TABLE attempt (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    delivery    TEXT NOT NULL REFERENCES delivery (id) ON DELETE CASCADE,
    at_ms       INTEGER NOT NULL,
    duration_ms INTEGER NOT NULL,
    status      INTEGER,                           -- HTTP, none where no answer came
    error       TEXT                               -- none when it was delivered
) STRICT;

CREATE INDEX attempt_of_delivery ON attempt (delivery, id);

-- Who did what. No statement can change or remove a row.
CREATE TABLE audit (
    seq             INTEGER PRIMARY KEY AUTOINCREMENT,
    at_ms           INTEGER NOT NULL,
    who             TEXT NOT NULL,
    action          TEXT NOT NULL,
    object          TEXT NOT NULL,
    outcome         TEXT NOT NULL CHECK (outcome IN ('done', 'refused')),
    detail          TEXT,
    previous_sha256 TEXT,                          -- the chain: empty until it is kept
    sha256          TEXT
) STRICT;

CREATE TRIGGER audit_is_never_changed BEFORE UPDATE ON audit
BEGIN
    SELECT RAISE(ABORT, 'an audit row is never changed');
END;

CREATE TRIGGER audit_is_never_removed BEFORE DELETE ON audit
BEGIN
    SELECT RAISE(ABORT, 'an audit row is never removed');
END;

-- INSERT OR REPLACE would remove the old row without a DELETE trigger.
CREATE TRIGGER audit_is_never_replaced BEFORE INSERT ON audit
WHEN EXISTS (SELECT 1 FROM audit WHERE seq = NEW.seq)
BEGIN
    SELECT RAISE(ABORT, 'an audit row is never replaced');
END;
