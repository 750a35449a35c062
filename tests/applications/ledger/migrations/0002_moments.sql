CREATE TABLE ledger_moments (event_id TEXT PRIMARY KEY, at_ms BIGINT NOT NULL, chance TEXT NOT NULL);
