-- Payments. `amount` is in minor units of `currency` (ISO 4217). `charged_by` is the key of the call that charged, by
-- which that call is undone. Times are RFC 3339 in UTC.
CREATE TABLE payments_payments (
    id            TEXT   NOT NULL PRIMARY KEY,
    student_id    TEXT   NOT NULL,
    enrollment_id TEXT   NOT NULL,
    amount        BIGINT NOT NULL CHECK (amount >= 0),
    currency      TEXT   NOT NULL,
    provider      TEXT   NOT NULL,
    status        TEXT   NOT NULL CHECK (status IN ('charged', 'refunded')),
    charged_by    TEXT   NOT NULL UNIQUE,
    charged_at    TEXT   NOT NULL,
    refunded_at   TEXT
);
CREATE INDEX payments_payments_student ON payments_payments (student_id, id);

-- The attempts of a charge that the sandbox provider refused for now, by the key of the charge.
CREATE TABLE payments_attempts (
    charged_by TEXT   NOT NULL,
    attempt    BIGINT NOT NULL,
    PRIMARY KEY (charged_by, attempt)
);
