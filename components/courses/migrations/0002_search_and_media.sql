-- What a query is matched with, in lower case: a row of its own, because indexing is a step of its own and is undone
-- on its own. A course without a row is not found.
CREATE TABLE courses_search (
    course_id  TEXT NOT NULL PRIMARY KEY REFERENCES courses_courses (id),
    body       TEXT NOT NULL,
    indexed_by TEXT NOT NULL
);
CREATE INDEX courses_search_indexed_by ON courses_search (indexed_by);
INSERT INTO courses_search (course_id, body, indexed_by) SELECT id, search, '' FROM courses_courses;
ALTER TABLE courses_courses DROP COLUMN search;

-- By the key of the call that made the course, that call is undone; empty for a course that nobody takes back. A
-- course that anybody knows of is never deleted: its id is told when its making is over.
ALTER TABLE courses_courses ADD COLUMN created_by TEXT NOT NULL DEFAULT '';
CREATE INDEX courses_courses_created_by ON courses_courses (created_by);

-- Pictures of courses. `kind` is cover.
CREATE TABLE courses_media (
    course_id  TEXT NOT NULL REFERENCES courses_courses (id),
    kind       TEXT NOT NULL,
    media_type TEXT NOT NULL,
    content    TEXT NOT NULL,
    made_by    TEXT NOT NULL,
    PRIMARY KEY (course_id, kind)
);
CREATE INDEX courses_media_made_by ON courses_media (made_by);
