-- Every scene that a camera was judged by, so that an alarm's scene can be found by its digest. The
-- newest row of a camera is the scene in force.
CREATE TABLE scene (
    seq    INTEGER PRIMARY KEY AUTOINCREMENT,
    camera TEXT NOT NULL,
    sha256 TEXT,                                   -- none where the scene was taken away
    text   TEXT,                                   -- the scene file
    at_ms  INTEGER NOT NULL,
    who    TEXT NOT NULL
) STRICT;

CREATE INDEX scene_of_camera ON scene (camera, seq);
CREATE INDEX scene_of_digest ON scene (sha256);

CREATE TRIGGER scene_is_never_changed BEFORE UPDATE ON scene
BEGIN
    SELECT RAISE(ABORT, 'a scene is never changed');
END;
