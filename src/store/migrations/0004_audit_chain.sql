-- The chain begins: every further row carries its digest and that of the row before. Rows of before
-- stay as they are; the first new one covers them (see store/audit.rs).
CREATE TRIGGER audit_is_never_unchained BEFORE INSERT ON audit
WHEN NEW.sha256 IS NULL OR NEW.previous_sha256 IS NULL
BEGIN
    SELECT RAISE(ABORT, 'an audit row is never unchained');
END;

CREATE TRIGGER audit_is_never_out_of_order BEFORE INSERT ON audit
WHEN NEW.seq <> (SELECT coalesce(max(seq), 0) + 1 FROM audit)
BEGIN
    SELECT RAISE(ABORT, 'an audit row is never out of order');
END;

-- For the auditor's page: who did it, what was done, to what.
CREATE INDEX audit_of_who ON audit (who, seq);
CREATE INDEX audit_of_action ON audit (action, seq);
CREATE INDEX audit_of_object ON audit (object, seq);
