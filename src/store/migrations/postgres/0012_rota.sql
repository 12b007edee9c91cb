-- Officials' turns on the lines.

CREATE TABLE rota (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    user_id TEXT NOT NULL REFERENCES users (id),
    -- As it is announced: 副市长.
    rank TEXT NOT NULL,
    starts BIGINT NOT NULL,
    ends BIGINT NOT NULL,
    -- NULL: all desks.
    desk TEXT,
    -- A JSON list, as announced.
    topics TEXT NOT NULL
);
CREATE INDEX rota_by_starts ON rota (starts);

-- At which seat an official sits; at most one each.
CREATE TABLE sign_ins (
    seat TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    user_id TEXT NOT NULL UNIQUE REFERENCES users (id),
    since BIGINT NOT NULL
);

-- The official who sat at the seat that took the call.
ALTER TABLE calls ADD COLUMN official TEXT;
CREATE INDEX calls_by_official ON calls (official, id) WHERE official IS NOT NULL;
