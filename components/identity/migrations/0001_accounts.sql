-- Accounts. `created_by` is the key of the call that made the account, by which that call is undone.
-- `preferences` is JSON. Times are RFC 3339 in UTC, except `*_ms` (milliseconds) and `*_s` (seconds) since the Unix epoch.
CREATE TABLE identity_accounts (
    id            TEXT   NOT NULL PRIMARY KEY,
    email         TEXT   NOT NULL UNIQUE,
    name          TEXT   NOT NULL,
    role          TEXT   NOT NULL CHECK (role IN ('admin', 'staff', 'teacher', 'student')),
    password_hash TEXT,
    preferences   TEXT   NOT NULL DEFAULT '{}',
    created_at    TEXT   NOT NULL,
    created_by    TEXT   NOT NULL,
    -- Access tokens issued before this second are void; see the sessions library.
    tokens_valid_from_s BIGINT NOT NULL DEFAULT 0,
    last_issued_at_s    BIGINT NOT NULL DEFAULT 0
);
CREATE INDEX identity_accounts_created_by ON identity_accounts (created_by);
CREATE INDEX identity_accounts_role ON identity_accounts (role);
