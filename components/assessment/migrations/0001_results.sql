-- What the submissions of each course come to: a read model, written by the projection `assessment-results` alone. A
-- submission without a score counts as submitted; `scored`, `score_sum` and `passed` know nothing of it.
CREATE TABLE assessment_results (
    course    TEXT   NOT NULL PRIMARY KEY,
    submitted BIGINT NOT NULL CHECK (submitted >= 0),
    scored    BIGINT NOT NULL CHECK (scored >= 0),
    score_sum BIGINT NOT NULL CHECK (score_sum >= 0),
    passed    BIGINT NOT NULL CHECK (passed >= 0)
);
