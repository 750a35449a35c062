-- The read model of the projection content-search: content of all courses, as it is searched. Made of events alone, so
-- that it can be made anew. Times are RFC 3339 in UTC.
CREATE TABLE content_search (
    content_id   TEXT NOT NULL PRIMARY KEY,
    course_id    TEXT NOT NULL,
    author_id    TEXT NOT NULL,
    title        TEXT NOT NULL,
    kind         TEXT NOT NULL,
    status       TEXT NOT NULL,
    words        BIGINT,
    minutes      BIGINT,
    excerpt      TEXT,
    uploaded_at  TEXT NOT NULL
);
CREATE INDEX content_search_course ON content_search (course_id);
CREATE INDEX content_search_uploaded_at ON content_search (uploaded_at, content_id);

-- The words of title and text.
CREATE TABLE content_search_terms (
    term TEXT NOT NULL,
    id   TEXT NOT NULL,
    PRIMARY KEY (term, id)
);
CREATE INDEX content_search_terms_id ON content_search_terms (id);

-- Courses as far as they say who may see their content.
CREATE TABLE content_search_courses (
    course_id  TEXT    NOT NULL PRIMARY KEY,
    teacher_id TEXT    NOT NULL,
    published  BOOLEAN NOT NULL
);
CREATE INDEX content_search_courses_teacher ON content_search_courses (teacher_id);
