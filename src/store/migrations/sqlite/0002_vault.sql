-- Numbers are found by a keyed hash, recordings have an end, the keys belong to this database.

-- 1: the recording is kept however old it is.
ALTER TABLE calls ADD COLUMN hold BIGINT NOT NULL DEFAULT 0;
-- Keyed hash of the caller's number, in hex; see the room `vault`.
ALTER TABLE calls ADD COLUMN caller_hash TEXT;
CREATE INDEX calls_by_caller ON calls (caller_hash, id);
CREATE INDEX calls_by_recording ON calls (recording_state, ended);
CREATE INDEX calls_without_case ON calls (recording_state, case_id, ended);

ALTER TABLE callbacks ADD COLUMN phone_hash TEXT;
CREATE INDEX callbacks_by_phone ON callbacks (phone_hash, id);

-- What this database is tied to outside of it, by name.
CREATE TABLE marks (
    name TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
);
