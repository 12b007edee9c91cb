-- The operators' telephones: what each extension shows when it registers.

CREATE TABLE seats (
    -- `8001`.
    extension TEXT NOT NULL PRIMARY KEY,
    -- Whose it is; NULL: a telephone that belongs to nobody in particular.
    user_id TEXT REFERENCES users (id),
    -- HA1 of the extension's SIP secret (RFC 7616), sealed by the vault, in hex; the secret itself is not kept.
    ha1_md5 TEXT NOT NULL,
    ha1_sha256 TEXT NOT NULL,
    created BIGINT NOT NULL,
    -- When the secret was made.
    changed BIGINT NOT NULL
);
CREATE INDEX seats_by_user ON seats (user_id);
