-- What was announced, for screens that follow along, and answers to creating calls.
CREATE TABLE stream_events (
    -- 1, 2, 3 … in the order of the commits.
    seq BIGINT NOT NULL PRIMARY KEY,
    at BIGINT NOT NULL,
    -- call, transcript, draft, case, queue or seat
    kind TEXT NOT NULL,
    -- Id of the call or case.
    subject TEXT NOT NULL,
    -- Of a case: the units that have a part in it, as JSON.
    units TEXT,
    -- JSON, without personal data.
    data TEXT NOT NULL
);
CREATE INDEX stream_events_by_age ON stream_events (at);

-- The last number given. Its one row is what those who announce wait for.
CREATE TABLE stream_head (
    id BIGINT NOT NULL PRIMARY KEY,
    -- Names this database's stream.
    epoch TEXT NOT NULL,
    seq BIGINT NOT NULL
);
INSERT INTO stream_head (id, epoch, seq) VALUES (1, substr(md5(random()::text || clock_timestamp()::text), 1, 8), 0);

-- Creating calls that came with a key.
CREATE TABLE idempotency (
    user_id TEXT COLLATE "C" NOT NULL REFERENCES users (id),
    key TEXT COLLATE "C" NOT NULL,
    -- SHA-256 of what was asked for, in hex.
    request TEXT NOT NULL,
    -- running, done (the answer is not kept) or answered
    state TEXT NOT NULL,
    status BIGINT,
    kind TEXT,
    body TEXT,
    created BIGINT NOT NULL,
    PRIMARY KEY (user_id, key)
);
CREATE INDEX idempotency_by_age ON idempotency (created);
