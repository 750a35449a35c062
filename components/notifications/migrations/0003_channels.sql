-- How a user wants to be told besides in the application; no row for whoever has not said.
CREATE TABLE notifications_preferences (
    user_id    TEXT NOT NULL PRIMARY KEY,
    sms_number TEXT NOT NULL,
    updated_at TEXT NOT NULL
);
-- What came of a notification on a channel outside. It stays when the notification is taken back: what was sent was sent.
CREATE TABLE notifications_deliveries (
    notification_id TEXT   NOT NULL,
    channel         TEXT   NOT NULL,
    status          TEXT   NOT NULL CHECK (status IN ('sent', 'refused', 'unavailable')),
    detail          TEXT   NOT NULL,
    parts           BIGINT NOT NULL,
    created_at      TEXT   NOT NULL,
    PRIMARY KEY (notification_id, channel)
);
