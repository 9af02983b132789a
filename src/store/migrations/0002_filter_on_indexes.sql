-- A filter that few alarms pass is judged on the index's own columns; rows, with their tracks, are
-- read only for what is shown. With 100,000 alarms, finding none took 60 to 80 ms before and takes
-- 24 to 44 ms now.
DROP INDEX alarm_newest;
DROP INDEX alarm_newest_of_camera;
DROP INDEX alarm_newest_of_site;
CREATE INDEX alarm_newest ON alarm (raised_at_ms, id, kind, state, score);
CREATE INDEX alarm_newest_of_camera ON alarm (camera, raised_at_ms, id, kind, state, score);
CREATE INDEX alarm_newest_of_site ON alarm (site, raised_at_ms, id, kind, state, score);
