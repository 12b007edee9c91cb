-- Calls, transcripts, cases with their events, call-backs, users, jobs.
-- Ids are UUIDv7 text, times milliseconds since 1970 (UTC), documents JSON text, flags 0 or 1.

CREATE TABLE cases (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    number TEXT NOT NULL UNIQUE,
    version BIGINT NOT NULL,
    state TEXT NOT NULL,
    channel TEXT NOT NULL,
    call_id TEXT UNIQUE,
    unit_due BIGINT,
    -- What `q` is looked for in, lower case.
    search TEXT NOT NULL,
    created BIGINT NOT NULL,
    updated BIGINT NOT NULL
);
CREATE INDEX cases_by_state ON cases (state, id);

-- Units that have a part in a case now.
CREATE TABLE case_units (
    unit TEXT NOT NULL,
    case_id TEXT NOT NULL REFERENCES cases (id),
    PRIMARY KEY (unit, case_id)
);
CREATE INDEX case_units_by_case ON case_units (case_id);

-- The truth of a case; never updated, never deleted.
CREATE TABLE case_events (
    case_id TEXT NOT NULL REFERENCES cases (id),
    seq BIGINT NOT NULL,
    -- The case's version once this event is in.
    version BIGINT NOT NULL,
    at BIGINT NOT NULL,
    -- Who did it, as JSON.
    actor TEXT NOT NULL,
    -- The event, as JSON.
    body TEXT NOT NULL,
    PRIMARY KEY (case_id, seq)
);

-- The last number given on each of the city's days.
CREATE TABLE case_numbers (
    day TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    last BIGINT NOT NULL
);

CREATE TABLE calls (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    direction TEXT NOT NULL,
    caller TEXT,
    called TEXT NOT NULL,
    seat TEXT,
    started BIGINT NOT NULL,
    answered BIGINT,
    ended BIGINT,
    end_reason TEXT,
    recording_state TEXT NOT NULL,
    recording_key TEXT,
    sha256 TEXT,
    samples BIGINT,
    case_id TEXT REFERENCES cases (id)
);
CREATE INDEX calls_open ON calls (ended);

CREATE TABLE transcripts (
    call_id TEXT COLLATE "C" NOT NULL PRIMARY KEY REFERENCES calls (id),
    utterances TEXT NOT NULL,
    final BIGINT NOT NULL,
    made BIGINT NOT NULL
);

CREATE TABLE callbacks (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    -- missed or followup
    kind TEXT NOT NULL,
    call_id TEXT REFERENCES calls (id),
    case_id TEXT REFERENCES cases (id),
    phone TEXT,
    reason TEXT NOT NULL,
    -- open or done
    state TEXT NOT NULL,
    created BIGINT NOT NULL,
    UNIQUE (kind, call_id)
);
CREATE INDEX callbacks_by_state ON callbacks (state, id);

CREATE TABLE users (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    unit TEXT,
    extension TEXT UNIQUE,
    -- Argon2id in PHC form; NULL where no log-in by password is possible.
    password TEXT,
    -- 1: the password was given out once and has to be changed at the first log-in.
    one_time BIGINT NOT NULL,
    created BIGINT NOT NULL
);
CREATE TABLE user_roles (
    user_id TEXT NOT NULL REFERENCES users (id),
    role TEXT NOT NULL,
    PRIMARY KEY (user_id, role)
);
-- SHA-256 of a token, in hex; the token itself is known only to its owner.
CREATE TABLE tokens (
    hash TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    user_id TEXT NOT NULL REFERENCES users (id),
    created BIGINT NOT NULL
);

CREATE TABLE jobs (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    kind TEXT NOT NULL,
    -- A second job of the same kind and key is the same job.
    key TEXT NOT NULL,
    -- waiting, leased, done or dead
    state TEXT NOT NULL,
    attempts BIGINT NOT NULL,
    run_at BIGINT NOT NULL,
    -- Names one lease, so that a worker which lost it cannot finish the job.
    lease TEXT,
    worker TEXT,
    leased_until BIGINT,
    error TEXT,
    created BIGINT NOT NULL,
    updated BIGINT NOT NULL,
    UNIQUE (kind, key)
);
CREATE INDEX jobs_to_run ON jobs (kind, state, run_at);
