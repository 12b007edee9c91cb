-- Who read, revealed, exported, logged in or changed rights. Each entry holds the hash of the one before it; what is
-- hashed, and how, stands in domain/audit.
CREATE TABLE audit (
    -- 1, 2, 3 … without a gap.
    seq BIGINT NOT NULL PRIMARY KEY,
    at BIGINT NOT NULL,
    -- No reference: an entry outlives everybody.
    user_id TEXT COLLATE "C",
    name TEXT NOT NULL,
    action TEXT COLLATE "C" NOT NULL,
    -- call:ID, case:ID, user:ID …
    subject TEXT COLLATE "C" NOT NULL,
    -- JSON.
    detail TEXT NOT NULL,
    prev TEXT NOT NULL,
    hash TEXT NOT NULL
);
CREATE INDEX audit_by_user ON audit (user_id, seq);
CREATE INDEX audit_by_subject ON audit (subject, seq);
CREATE INDEX audit_by_action ON audit (action, seq);

CREATE FUNCTION audit_is_never_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the audit is never changed';
END
$$;
CREATE TRIGGER audit_is_not_changed BEFORE UPDATE ON audit
    FOR EACH ROW EXECUTE FUNCTION audit_is_never_changed();
CREATE TRIGGER audit_is_not_deleted BEFORE DELETE ON audit
    FOR EACH ROW EXECUTE FUNCTION audit_is_never_changed();
CREATE TRIGGER audit_is_not_emptied BEFORE TRUNCATE ON audit
    FOR EACH STATEMENT EXECUTE FUNCTION audit_is_never_changed();

-- Where the chain ends. Its one row is what those who append wait for.
CREATE TABLE audit_head (
    id BIGINT NOT NULL PRIMARY KEY,
    seq BIGINT NOT NULL,
    hash TEXT NOT NULL
);
INSERT INTO audit_head (id, seq, hash)
VALUES (1, 0, '0000000000000000000000000000000000000000000000000000000000000000');

-- Heads that were signed, one a day of the city, each to be stored beside the recordings.
CREATE TABLE audit_exports (
    -- 1, 2, 3 … without a gap.
    number BIGINT NOT NULL PRIMARY KEY,
    -- 2026-11-23
    day TEXT COLLATE "C" NOT NULL UNIQUE,
    -- The signed head, as JSON.
    head TEXT NOT NULL,
    -- When it was written into the store; NULL until then.
    stored BIGINT
);
CREATE TRIGGER audit_exports_are_not_changed BEFORE UPDATE OF number, day, head ON audit_exports
    FOR EACH ROW EXECUTE FUNCTION audit_is_never_changed();
CREATE TRIGGER audit_exports_are_not_deleted BEFORE DELETE ON audit_exports
    FOR EACH ROW EXECUTE FUNCTION audit_is_never_changed();
CREATE TRIGGER audit_exports_are_not_emptied BEFORE TRUNCATE ON audit_exports
    FOR EACH STATEMENT EXECUTE FUNCTION audit_is_never_changed();
