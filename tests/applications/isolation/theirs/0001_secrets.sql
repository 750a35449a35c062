CREATE TABLE secrets (id BIGINT PRIMARY KEY, word TEXT NOT NULL);
INSERT INTO secrets (id, word) VALUES (1, 'of nobody else');
