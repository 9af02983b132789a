-- What ends by itself ends by steady time (clock::Steady), so that a clock that is set neither ends it
-- early nor makes it last. Times of before are taken over by how far the wall clock is ahead.
ALTER TABLE session RENAME COLUMN created_at_ms TO aged_from_ms;
ALTER TABLE session RENAME COLUMN seen_at_ms TO idle_from_ms;
UPDATE session SET aged_from_ms = aged_from_ms - coalesce((SELECT lag_ms FROM steady_time), 0),
    idle_from_ms = idle_from_ms - coalesce((SELECT lag_ms FROM steady_time), 0);

ALTER TABLE account RENAME COLUMN locked_until_ms TO lock_holds_until_ms;
UPDATE account SET lock_holds_until_ms =
    lock_holds_until_ms - coalesce((SELECT lag_ms FROM steady_time), 0);

-- From when a secret waits for the code that confirms it.
ALTER TABLE second_factor RENAME COLUMN begun_at_ms TO aged_from_ms;
UPDATE second_factor SET aged_from_ms = aged_from_ms - coalesce((SELECT lag_ms FROM steady_time), 0);

-- expires_at_ms tells people.
ALTER TABLE token ADD COLUMN holds_until_ms INTEGER;
UPDATE token SET holds_until_ms = expires_at_ms - coalesce((SELECT lag_ms FROM steady_time), 0);
ALTER TABLE ticket ADD COLUMN holds_until_ms INTEGER;
UPDATE ticket SET holds_until_ms = expires_at_ms - coalesce((SELECT lag_ms FROM steady_time), 0);

-- From when a delivery is tried: it is given up a day later.
ALTER TABLE delivery RENAME COLUMN first_attempt_at_ms TO tried_from_ms;
UPDATE delivery SET tried_from_ms = tried_from_ms - coalesce((SELECT lag_ms FROM steady_time), 0)
    WHERE state IN ('pending', 'sending') AND tried_from_ms IS NOT NULL;
