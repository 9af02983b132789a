-- The rules of the configuration as the last start found them: what has changed since is a row of the log.
CREATE TABLE policy (
    rule  TEXT PRIMARY KEY NOT NULL, -- e.g. retention.evidence_days
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;
