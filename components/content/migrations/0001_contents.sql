-- Content of courses. `kind` is article or video, `status` uploaded or published. Ids are UUIDv7. `*_by` is the key of
-- the call (or the id of the event) that wrote a row, by which that call is undone. Times are RFC 3339 in UTC.
CREATE TABLE content_contents (
    id          TEXT NOT NULL PRIMARY KEY,
    course_id   TEXT NOT NULL,
    author_id   TEXT NOT NULL,
    title       TEXT NOT NULL,
    kind        TEXT NOT NULL CHECK (kind IN ('article', 'video')),
    text        TEXT NOT NULL,
    status      TEXT NOT NULL CHECK (status IN ('uploaded', 'published')),
    created_at  TEXT NOT NULL,
    uploaded_by TEXT NOT NULL
);
CREATE INDEX content_contents_course ON content_contents (course_id, id);
CREATE INDEX content_contents_uploaded_by ON content_contents (uploaded_by);

-- What processing made of a text.
CREATE TABLE content_results (
    content_id TEXT   NOT NULL PRIMARY KEY REFERENCES content_contents (id),
    words      BIGINT NOT NULL,
    minutes    BIGINT NOT NULL,
    excerpt    TEXT   NOT NULL,
    made_by    TEXT   NOT NULL
);
CREATE INDEX content_results_made_by ON content_results (made_by);

-- The most frequent terms of a result; `place` 0 is the most frequent.
CREATE TABLE content_terms (
    content_id  TEXT   NOT NULL REFERENCES content_results (content_id),
    place       BIGINT NOT NULL,
    term        TEXT   NOT NULL,
    occurrences BIGINT NOT NULL,
    PRIMARY KEY (content_id, place)
);

-- Which content a search for a term finds.
CREATE TABLE content_index (
    term       TEXT NOT NULL,
    content_id TEXT NOT NULL REFERENCES content_contents (id),
    indexed_by TEXT NOT NULL,
    PRIMARY KEY (term, content_id)
);
CREATE INDEX content_index_indexed_by ON content_index (indexed_by);
CREATE INDEX content_index_content ON content_index (content_id);

-- Choreographed runs, as a reader sees them; the events alone drive them. `status` is running, compensating, completed or
-- compensated.
CREATE TABLE content_runs (
    id         TEXT NOT NULL PRIMARY KEY,
    content_id TEXT NOT NULL,
    author_id  TEXT NOT NULL,
    status     TEXT NOT NULL,
    error      TEXT
);
CREATE TABLE content_run_steps (
    run_id TEXT    NOT NULL REFERENCES content_runs (id),
    number BIGINT  NOT NULL,
    name   TEXT    NOT NULL,
    undo   BOOLEAN NOT NULL,
    status TEXT    NOT NULL,
    error  TEXT,
    at     TEXT    NOT NULL,
    PRIMARY KEY (run_id, number)
);
