-- What managers review by. The floor is read from the alarm's own JSON; the indexes hold all that a
-- filter asks for, so that rows with their tracks are read only for what is shown. With 100,000
-- alarms each list, calendar and chart is found in the index alone.
ALTER TABLE alarm ADD COLUMN floor INTEGER
    GENERATED ALWAYS AS (json_extract(origin, '$.floor')) VIRTUAL;
ALTER TABLE alarm ADD COLUMN origin_x_px REAL
    GENERATED ALWAYS AS (json_extract(origin, '$.x_px')) VIRTUAL;
ALTER TABLE alarm ADD COLUMN origin_y_px REAL
    GENERATED ALWAYS AS (json_extract(origin, '$.y_px')) VIRTUAL;

DROP INDEX alarm_newest;
DROP INDEX alarm_newest_of_camera;
DROP INDEX alarm_newest_of_site;
CREATE INDEX alarm_newest
    ON alarm (raised_at_ms, id, kind, state, score, site, camera, place, floor, disposition);
CREATE INDEX alarm_newest_of_camera
    ON alarm (camera, raised_at_ms, id, kind, state, score, site, place, floor, disposition);
CREATE INDEX alarm_newest_of_site
    ON alarm (site, raised_at_ms, id, kind, state, score, camera, place, floor, disposition);
CREATE INDEX alarm_newest_of_place
    ON alarm (place, raised_at_ms, id, kind, state, score, site, camera, floor, disposition);

-- Where falls came from, for the places that repeat.
CREATE INDEX alarm_origin
    ON alarm (raised_at_ms, site, camera, floor, origin_x_px, origin_y_px, scene_sha256, disposition,
        id, kind)
    WHERE kind = 'falling_object';

-- What is reviewed, counted; and what people found it to be, by camera.
CREATE INDEX alarm_event ON alarm (raised_at_ms, kind)
    WHERE kind IN ('falling_object', 'ebike_in_elevator');
CREATE INDEX alarm_found ON alarm (camera, disposition, raised_at_ms, site, kind)
    WHERE kind IN ('falling_object', 'ebike_in_elevator');
CREATE INDEX alarm_ride ON alarm (camera, place, raised_at_ms, disposition, site, kind)
    WHERE kind = 'ebike_in_elevator';

-- Who has looked through which alarm. The order is that of the lists.
CREATE TABLE review (
    account      TEXT NOT NULL,
    raised_at_ms INTEGER NOT NULL,                 -- the alarm's
    alarm        TEXT NOT NULL REFERENCES alarm (id) ON DELETE CASCADE,
    at_ms        INTEGER NOT NULL,
    PRIMARY KEY (account, raised_at_ms, alarm)
) STRICT, WITHOUT ROWID;

CREATE INDEX review_of_alarm ON review (alarm);
