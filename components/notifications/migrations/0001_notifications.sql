-- What a user is told. Ids are UUIDv7, so that their order is the order of arrival.
CREATE TABLE notifications_notifications (
    id         TEXT NOT NULL PRIMARY KEY,
    user_id    TEXT NOT NULL,
    kind       TEXT NOT NULL,
    title      TEXT NOT NULL,
    body       TEXT NOT NULL,
    created_at TEXT NOT NULL
);
CREATE INDEX notifications_notifications_user ON notifications_notifications (user_id, id);
