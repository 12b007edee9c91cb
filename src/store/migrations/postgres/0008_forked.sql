-- Calls that a switch carried and forked to the line (SIPREC, RFC 7866).

-- `line`, `forked` or `forked_untold`.
ALTER TABLE calls ADD COLUMN origin TEXT NOT NULL DEFAULT 'line';
-- What the switch calls it.
ALTER TABLE calls ADD COLUMN session_id TEXT;
