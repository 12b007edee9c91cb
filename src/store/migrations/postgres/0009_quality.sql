-- How well both sides of a call could be heard, as JSON; empty for calls without sound and for those of before.
ALTER TABLE calls ADD COLUMN quality TEXT;
