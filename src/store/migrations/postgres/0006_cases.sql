-- Views of the cases' histories: the case as its events have made it, words to find it by, what operators corrected.

ALTER TABLE cases ADD COLUMN view TEXT NOT NULL DEFAULT '';
-- How the program wrote `view`; another number means that it has to be made anew from the events.
ALTER TABLE cases ADD COLUMN shape BIGINT NOT NULL DEFAULT 0;
CREATE INDEX cases_by_shape ON cases (shape, id);
CREATE INDEX cases_by_clock ON cases (id, unit_due) WHERE unit_due IS NOT NULL;

-- The case's state once more, so that a unit's cases in one state are found in their order.
ALTER TABLE case_units ALTER COLUMN case_id TYPE TEXT COLLATE "C";
ALTER TABLE case_units ADD COLUMN state TEXT NOT NULL DEFAULT '';
UPDATE case_units SET state = (SELECT state FROM cases WHERE id = case_id);
CREATE INDEX case_units_by_state ON case_units (unit, state, case_id);

-- Read in the cases' order when views are made anew.
ALTER TABLE case_events ALTER COLUMN case_id TYPE TEXT COLLATE "C";

-- What was heard and what was meant.
CREATE TABLE corrections (
    case_id TEXT COLLATE "C" NOT NULL REFERENCES cases (id),
    -- The event that corrected.
    seq BIGINT NOT NULL,
    field TEXT COLLATE "C" NOT NULL,
    at BIGINT NOT NULL,
    -- JSON; NULL where nothing was heard.
    heard TEXT,
    -- How sure the machine was, thousandths.
    permille BIGINT NOT NULL,
    -- The words that the value was heard in.
    words TEXT NOT NULL,
    -- JSON; NULL where nothing was meant.
    meant TEXT,
    PRIMARY KEY (case_id, seq, field)
);
CREATE INDEX corrections_by_time ON corrections (at, case_id, seq, field);
CREATE INDEX corrections_by_field ON corrections (field, at, case_id, seq);

-- Words of `cases.search` (see `domain::words`). New entries wait in a list that every search walks: it is kept short.
CREATE TABLE case_words (
    case_id TEXT COLLATE "C" NOT NULL PRIMARY KEY REFERENCES cases (id),
    words TSVECTOR NOT NULL
);
CREATE INDEX case_words_by_word ON case_words USING gin (words) WITH (gin_pending_list_limit = 256);
