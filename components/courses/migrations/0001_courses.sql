-- Courses. `price` is in minor units of `currency` (ISO 4217). `prerequisites` is a JSON array of
-- course ids; courses are never deleted. `search` is what a query is matched with, in lower case.
-- `created_at` is RFC 3339 in UTC.
CREATE TABLE courses_courses (
    id          TEXT    NOT NULL PRIMARY KEY,
    code        TEXT    NOT NULL,
    title       TEXT    NOT NULL,
    description TEXT    NOT NULL,
    teacher_id  TEXT    NOT NULL,
    capacity    BIGINT  NOT NULL CHECK (capacity > 0),
    price       BIGINT  NOT NULL CHECK (price >= 0),
    currency    TEXT    NOT NULL,
    prerequisites TEXT  NOT NULL,
    published   BOOLEAN NOT NULL,
    seats_taken BIGINT  NOT NULL DEFAULT 0 CHECK (seats_taken >= 0),
    search      TEXT    NOT NULL,
    created_at  TEXT    NOT NULL,
    CHECK (seats_taken <= capacity)
);

-- A seat that is held. `reserved_by` is the key of the call that took it, by which that call is undone.
CREATE TABLE courses_seats (
    course_id   TEXT NOT NULL REFERENCES courses_courses (id),
    student_id  TEXT NOT NULL,
    reserved_by TEXT NOT NULL,
    PRIMARY KEY (course_id, student_id)
);
CREATE INDEX courses_seats_reserved_by ON courses_seats (reserved_by);
