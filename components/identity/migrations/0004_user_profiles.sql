-- The read model of the projection user-profiles: accounts as admins look for them. Made of events alone, so that it can
-- be made anew. Times are RFC 3339 in UTC.
CREATE TABLE identity_user_profiles (
    user_id       TEXT NOT NULL PRIMARY KEY,
    email         TEXT NOT NULL,
    name          TEXT NOT NULL,
    role          TEXT NOT NULL,
    registered_at TEXT NOT NULL,
    updated_at    TEXT NOT NULL
);
CREATE INDEX identity_user_profiles_registered_at ON identity_user_profiles (registered_at, user_id);
CREATE INDEX identity_user_profiles_name ON identity_user_profiles (name, user_id);

-- The words of e-mail and name.
CREATE TABLE identity_user_profile_terms (
    term TEXT NOT NULL,
    id   TEXT NOT NULL,
    PRIMARY KEY (term, id)
);
CREATE INDEX identity_user_profile_terms_id ON identity_user_profile_terms (id);
