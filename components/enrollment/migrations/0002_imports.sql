-- Courses and registrations of another system, loaded by keyed commits and worked through by a saga.
CREATE TABLE enrollment_import_courses (
    import_id TEXT   NOT NULL,
    code      TEXT   NOT NULL,
    title     TEXT   NOT NULL,
    capacity  BIGINT NOT NULL,
    PRIMARY KEY (import_id, code)
);
CREATE TABLE enrollment_import_rows (
    import_id    TEXT   NOT NULL,
    position     BIGINT NOT NULL,
    student      TEXT   NOT NULL,
    course       TEXT   NOT NULL,
    final_result TEXT   NOT NULL,
    registered_day BIGINT,
    PRIMARY KEY (import_id, position)
);

-- What each chunk of rows came to, once all its rows are done.
CREATE TABLE enrollment_import_chunks (
    import_id   TEXT   NOT NULL,
    first       BIGINT NOT NULL,
    worked      BIGINT NOT NULL,
    enrollments BIGINT NOT NULL,
    cancelled   BIGINT NOT NULL,
    completed   BIGINT NOT NULL,
    failed      BIGINT NOT NULL,
    PRIMARY KEY (import_id, first)
);
