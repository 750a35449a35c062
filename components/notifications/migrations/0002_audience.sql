-- Whom it is for: an account's id, or `role:admin` for whoever is an admin when they look. `about` is the subject of
-- the event that told it, by which it is taken back.
ALTER TABLE notifications_notifications RENAME COLUMN user_id TO audience;
ALTER TABLE notifications_notifications ADD COLUMN about TEXT NOT NULL DEFAULT '';
CREATE INDEX notifications_notifications_about ON notifications_notifications (about, kind);
