-- The read model of the projection course-enrollments: who is in a course, as its teacher looks for them. Made of events
-- alone, so that it can be made anew. Times are RFC 3339 in UTC.
CREATE TABLE enrollment_course_enrollments (
    enrollment_id TEXT NOT NULL PRIMARY KEY,
    course_id     TEXT NOT NULL,
    student_id    TEXT NOT NULL,
    status        TEXT NOT NULL,
    grade         TEXT,
    since         TEXT NOT NULL,
    updated_at    TEXT NOT NULL
);
CREATE INDEX enrollment_course_enrollments_course ON enrollment_course_enrollments (course_id, since, enrollment_id);
