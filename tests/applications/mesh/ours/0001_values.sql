CREATE TABLE things (
    id BIGINT PRIMARY KEY,
    flag BOOLEAN,
    real DOUBLE PRECISION,
    label TEXT UNIQUE,
    bytes BYTEA
);
