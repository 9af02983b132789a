-- When the service itself ran: a row a run, whose end is moved on about once a minute. What lies
-- between two runs nobody watched.
CREATE TABLE service_run (
    id            INTEGER PRIMARY KEY,
    started_at_ms INTEGER NOT NULL,
    seen_at_ms    INTEGER NOT NULL
) STRICT;

CREATE INDEX service_run_by_time ON service_run (seen_at_ms);
