-- Enrollments. `created_by` is the key of the call that created it, by which that call is undone. Times are RFC 3339 in
-- UTC. A student has at most one live enrollment in a course.
CREATE TABLE enrollment_enrollments (
    id         TEXT NOT NULL PRIMARY KEY,
    student_id TEXT NOT NULL,
    course_id  TEXT NOT NULL,
    status     TEXT NOT NULL CHECK (status IN ('active', 'completed', 'cancelled')),
    payment_id TEXT,
    grade      TEXT,
    created_by TEXT NOT NULL UNIQUE,
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL
);
CREATE UNIQUE INDEX enrollment_enrollments_live ON enrollment_enrollments (student_id, course_id)
    WHERE status IN ('active', 'completed');
CREATE INDEX enrollment_enrollments_student ON enrollment_enrollments (student_id, id);
CREATE INDEX enrollment_enrollments_status ON enrollment_enrollments (status, id);
