-- Days off and worked weekends, by year. The highest revision of a year is in force; none is ever changed or deleted.
CREATE TABLE calendar_years (
    -- Counts all years together, so that one number says whether anything is new.
    revision BIGINT NOT NULL PRIMARY KEY,
    year BIGINT NOT NULL,
    -- The year as announced, as JSON.
    body TEXT NOT NULL,
    -- settings or import
    origin TEXT NOT NULL,
    -- Who put it there.
    made_by TEXT NOT NULL,
    made BIGINT NOT NULL,
    -- How far open cases have been brought to it: running, done, or superseded by a later revision.
    recalculation TEXT NOT NULL,
    -- The last case that was looked at.
    reached TEXT,
    changed BIGINT NOT NULL,
    unchanged BIGINT NOT NULL
);
CREATE INDEX calendar_years_by_year ON calendar_years (year, revision);
