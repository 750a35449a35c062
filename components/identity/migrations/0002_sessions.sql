-- A family holds all refresh tokens that come from one login, each good for one use.
CREATE TABLE identity_refresh_families (
    id         TEXT   NOT NULL PRIMARY KEY,
    account_id TEXT   NOT NULL REFERENCES identity_accounts (id) ON DELETE CASCADE,
    -- When the last of its tokens expires.
    expires_at_ms BIGINT NOT NULL,
    ended_at_ms   BIGINT
);
CREATE INDEX identity_refresh_families_account ON identity_refresh_families (account_id);

-- `digest` is the SHA-256 of the token: what is stored here cannot be used to log in.
CREATE TABLE identity_refresh_tokens (
    digest        TEXT   NOT NULL PRIMARY KEY,
    family_id     TEXT   NOT NULL REFERENCES identity_refresh_families (id) ON DELETE CASCADE,
    expires_at_ms BIGINT NOT NULL,
    used_at_ms    BIGINT
);
CREATE INDEX identity_refresh_tokens_family ON identity_refresh_tokens (family_id);

-- The last five failed logins by e-mail and address, oldest first; 0 stands for none. One row, so that one UPDATE
-- decides whether another attempt is let through, however many arrive at once.
CREATE TABLE identity_login_failures (
    email   TEXT   NOT NULL,
    address TEXT   NOT NULL,
    first_ms  BIGINT NOT NULL,
    second_ms BIGINT NOT NULL,
    third_ms  BIGINT NOT NULL,
    fourth_ms BIGINT NOT NULL,
    fifth_ms  BIGINT NOT NULL,
    PRIMARY KEY (email, address)
);
CREATE INDEX identity_login_failures_fifth ON identity_login_failures (fifth_ms);
