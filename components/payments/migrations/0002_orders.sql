-- The read model of the projections order-history and order-courses: what a student was charged and refunded, and for
-- which course. Made of events alone, so that it can be made anew. Amounts are minor units of `currency` (ISO 4217),
-- times RFC 3339 in UTC.
CREATE TABLE payments_orders (
    payment_id    TEXT   NOT NULL PRIMARY KEY,
    student_id    TEXT   NOT NULL,
    enrollment_id TEXT   NOT NULL,
    amount        BIGINT NOT NULL,
    currency      TEXT   NOT NULL,
    provider      TEXT   NOT NULL,
    status        TEXT   NOT NULL,
    charged_at    TEXT   NOT NULL,
    refunded_at   TEXT
);
CREATE INDEX payments_orders_student ON payments_orders (student_id, charged_at, payment_id);

-- The course of an enrollment, and the title of a course: other contexts tell, and a moment later.
CREATE TABLE payments_order_enrollments (
    enrollment_id TEXT NOT NULL PRIMARY KEY,
    course_id     TEXT NOT NULL
);
CREATE TABLE payments_order_courses (
    course_id    TEXT NOT NULL PRIMARY KEY,
    course_title TEXT NOT NULL
);
