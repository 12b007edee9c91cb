-- What operators are good at: dialects, topics, desks of experts.

-- A JSON list of names, as the desks of the settings have them.
ALTER TABLE users ADD COLUMN skills TEXT NOT NULL DEFAULT '[]';
