-- The second factor of an account. Its secret stands here as it is, since each code is computed from
-- it: whoever reads this file can make codes, and still lacks the password.

CREATE TABLE second_factor (
    account        TEXT PRIMARY KEY NOT NULL REFERENCES account (name) ON DELETE CASCADE,
    secret         BLOB NOT NULL CHECK (length(secret) = 20),
    begun_at_ms    INTEGER NOT NULL,
    in_force_at_ms INTEGER,                       -- NULL until a code has confirmed it
    last_step      INTEGER NOT NULL DEFAULT 0     -- of the last code that counted: none counts twice
) STRICT, WITHOUT ROWID;

CREATE TABLE recovery_code (
    account    TEXT NOT NULL REFERENCES second_factor (account) ON DELETE CASCADE,
    sha256     TEXT NOT NULL,
    used_at_ms INTEGER,
    PRIMARY KEY (account, sha256)
) STRICT, WITHOUT ROWID;

-- The password was shown, and the code is still to come: such a session opens nothing.
ALTER TABLE session ADD COLUMN code_due INTEGER NOT NULL DEFAULT 0 CHECK (code_due IN (0, 1));
