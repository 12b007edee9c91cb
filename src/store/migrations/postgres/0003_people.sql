-- People: their state, former passwords, second factor, sessions, failed log-ins; tokens with a name, a scope and an end.

ALTER TABLE users ADD COLUMN version BIGINT NOT NULL DEFAULT 1;
-- 1: no log-in, no token is taken.
ALTER TABLE users ADD COLUMN disabled BIGINT NOT NULL DEFAULT 0;
ALTER TABLE users ADD COLUMN password_set BIGINT;
-- The TOTP secret, sealed by the vault, in hex; in force once `totp_on` is 1.
ALTER TABLE users ADD COLUMN totp_secret TEXT;
ALTER TABLE users ADD COLUMN totp_on BIGINT NOT NULL DEFAULT 0;
-- The last step of which a code was taken; none of it or of an earlier one is taken again.
ALTER TABLE users ADD COLUMN totp_step BIGINT NOT NULL DEFAULT 0;
UPDATE users SET password_set = created WHERE password IS NOT NULL;

-- The latest passwords of each person, the current one among them: they may not come back.
CREATE TABLE passwords (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    user_id TEXT NOT NULL REFERENCES users (id),
    hash TEXT NOT NULL
);
CREATE INDEX passwords_by_user ON passwords (user_id, id);
INSERT INTO passwords (id, user_id, hash) SELECT id, id, password FROM users WHERE password IS NOT NULL;

CREATE TABLE sessions (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    -- SHA-256 of what the browser holds, in hex.
    hash TEXT COLLATE "C" NOT NULL UNIQUE,
    user_id TEXT NOT NULL REFERENCES users (id),
    created BIGINT NOT NULL,
    -- Written at most once a minute.
    seen BIGINT NOT NULL,
    ends BIGINT NOT NULL
);
CREATE INDEX sessions_by_user ON sessions (user_id, id);
CREATE INDEX sessions_by_end ON sessions (ends);

-- Log-ins that failed, by name and by address.
CREATE TABLE failures (
    -- `name:` and the SHA-256 of what was typed, or `address:` and the address.
    subject TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    failures BIGINT NOT NULL,
    -- How often it was locked in a row.
    locks BIGINT NOT NULL,
    locked_until BIGINT,
    latest BIGINT NOT NULL
);
CREATE INDEX failures_by_time ON failures (latest);

-- One administrator has asked to take somebody's second factor away; another one has to agree.
CREATE TABLE totp_recoveries (
    user_id TEXT COLLATE "C" NOT NULL PRIMARY KEY REFERENCES users (id),
    asked_by TEXT NOT NULL REFERENCES users (id),
    asked BIGINT NOT NULL
);

ALTER TABLE tokens ADD COLUMN id TEXT COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE tokens ADD COLUMN name TEXT NOT NULL DEFAULT '';
-- Names of rights, as JSON; NULL: all that its person has.
ALTER TABLE tokens ADD COLUMN scope TEXT;
ALTER TABLE tokens ADD COLUMN ends BIGINT NOT NULL DEFAULT 0;
-- The city's day it was last used on, `20261123`.
ALTER TABLE tokens ADD COLUMN used_day TEXT;
-- Tokens made before get an id of their time (UUIDv7) and end a year after they were made.
UPDATE tokens SET ends = created + 31536000000,
    id = substr(lpad(to_hex(created), 12, '0'), 1, 8) || '-' || substr(lpad(to_hex(created), 12, '0'), 9) || '-7'
        || substr(hash, 1, 3) || '-8' || substr(hash, 4, 3) || '-' || substr(hash, 7, 12);
CREATE UNIQUE INDEX tokens_by_id ON tokens (id);
CREATE INDEX tokens_by_user ON tokens (user_id, id);
