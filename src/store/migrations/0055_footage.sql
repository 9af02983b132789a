-- Ordinary video, one row a segment on the disk.
CREATE TABLE footage_segment (
    id           INTEGER PRIMARY KEY AUTOINCREMENT, -- never used twice: links and looks name it
    camera       TEXT NOT NULL,
    starts_at_ms INTEGER NOT NULL,
    ends_at_ms   INTEGER NOT NULL,
    path         TEXT NOT NULL UNIQUE, -- below the folder of footage
    size_bytes   INTEGER NOT NULL,
    sha256       TEXT NOT NULL,
    codec        TEXT NOT NULL,
    pictures     INTEGER NOT NULL,
    scene_sha256 TEXT, -- in force when it began
    aged_from_ms INTEGER NOT NULL -- steady time
) STRICT;
CREATE INDEX footage_of_camera ON footage_segment (camera, starts_at_ms, ends_at_ms);
CREATE INDEX footage_age ON footage_segment (aged_from_ms, id);

-- How much there is, a row a camera: counting a month of minutes would take too long.
CREATE TABLE footage_use (
    camera     TEXT PRIMARY KEY,
    segments   INTEGER NOT NULL,
    size_bytes INTEGER NOT NULL
) STRICT;
CREATE TRIGGER footage_added AFTER INSERT ON footage_segment BEGIN
    INSERT INTO footage_use VALUES (NEW.camera, 1, NEW.size_bytes)
    ON CONFLICT (camera) DO UPDATE SET
        segments = segments + 1, size_bytes = size_bytes + excluded.size_bytes;
END;
CREATE TRIGGER footage_resized AFTER UPDATE OF size_bytes ON footage_segment BEGIN
    UPDATE footage_use SET size_bytes = size_bytes - OLD.size_bytes + NEW.size_bytes
    WHERE camera = NEW.camera;
END;
CREATE TRIGGER footage_gone AFTER DELETE ON footage_segment BEGIN
    UPDATE footage_use SET segments = segments - 1, size_bytes = size_bytes - OLD.size_bytes
    WHERE camera = OLD.camera;
END;

-- Files whose rows are gone and that are still to be removed.
CREATE TABLE footage_removal (
    path    TEXT PRIMARY KEY,
    segment INTEGER NOT NULL
) STRICT;

-- What went since the audit log was told of it, by rule.
CREATE TABLE footage_pruned (
    rule       TEXT PRIMARY KEY,
    segments   INTEGER NOT NULL,
    size_bytes INTEGER NOT NULL,
    from_ms    INTEGER NOT NULL,
    to_ms      INTEGER NOT NULL,
    at_ms      INTEGER NOT NULL, -- of the newest deletion, steady time
    told_at_ms INTEGER           -- steady time; NULL before the first time
) STRICT;
