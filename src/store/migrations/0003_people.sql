-- Who may do what. No password, session or token can be read here: only hashes and digests.

CREATE TABLE account (
    name            TEXT PRIMARY KEY NOT NULL,
    roles           TEXT NOT NULL CHECK (json_valid(roles)), -- JSON, e.g. ["admin","manager"]
    password        TEXT NOT NULL,                 -- Argon2id with salt and parameters
    must_change     INTEGER NOT NULL CHECK (must_change IN (0, 1)),
    created_at_ms   INTEGER NOT NULL,
    disabled_at_ms  INTEGER,
    failures        INTEGER NOT NULL DEFAULT 0,    -- wrong passwords since the last right one
    locked_until_ms INTEGER,
    signed_in_at_ms INTEGER                        -- the last time
) STRICT, WITHOUT ROWID;

CREATE TABLE session (
    sha256        TEXT PRIMARY KEY NOT NULL,
    account       TEXT NOT NULL REFERENCES account (name) ON DELETE CASCADE,
    client        TEXT NOT NULL,                   -- the address it was begun from
    created_at_ms INTEGER NOT NULL,
    seen_at_ms    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX session_of_account ON session (account, created_at_ms);

CREATE TABLE token (
    name          TEXT PRIMARY KEY NOT NULL,
    roles         TEXT NOT NULL CHECK (json_valid(roles)),
    sha256        TEXT NOT NULL UNIQUE,
    created_at_ms INTEGER NOT NULL,
    created_by    TEXT NOT NULL,
    expires_at_ms INTEGER,
    revoked_at_ms INTEGER
) STRICT, WITHOUT ROWID;
