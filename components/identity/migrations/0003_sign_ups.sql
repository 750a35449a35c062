-- Sign-ups, for statistics. A row stays when its account goes. `tracked_by` is the key of the call that wrote it, by
-- which that call is undone.
CREATE TABLE identity_sign_ups (
    account_id   TEXT NOT NULL PRIMARY KEY,
    signed_up_at TEXT NOT NULL,
    tracked_by   TEXT NOT NULL
);
CREATE INDEX identity_sign_ups_signed_up_at ON identity_sign_ups (signed_up_at);
CREATE INDEX identity_sign_ups_tracked_by ON identity_sign_ups (tracked_by);
