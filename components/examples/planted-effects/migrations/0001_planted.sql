CREATE TABLE planted_notes (key TEXT NOT NULL PRIMARY KEY, what TEXT NOT NULL, noted_at TEXT NOT NULL);
CREATE TABLE planted_counters (name TEXT NOT NULL PRIMARY KEY, n BIGINT NOT NULL);
INSERT INTO planted_counters (name, n) VALUES ('orders', 0);
