//! What an error of SQLite means to a caller. Spin hands over the engine's text and no code, so it is read here; a text
//! that says nothing of itself (that of a trigger's RAISE) is an invalid statement.

use crate::bindings::weft::sql::types::{ConstraintKind, ConstraintViolation, Error};

/// The kinds of violations by the words that the engine begins them with.
const CONSTRAINTS: [(&str, ConstraintKind); 4] = [
    ("UNIQUE constraint failed", ConstraintKind::Unique),
    ("NOT NULL constraint failed", ConstraintKind::NotNull),
    ("CHECK constraint failed", ConstraintKind::Check),
    ("FOREIGN KEY constraint failed", ConstraintKind::ForeignKey),
];

/// Texts that tell of the database rather than of the statement.
const UNAVAILABLE: [&str; 8] = [
    "database is locked",
    "database table is locked",
    "database or disk is full",
    "disk I/O error",
    "database disk image is malformed",
    "file is not a database",
    "unable to open database file",
    "attempt to write a readonly database",
];

/// The error that a text of the engine stands for.
pub(crate) fn portable(text: &str) -> Error {
    for (begin, kind) in CONSTRAINTS {
        if let Some(rest) = text.strip_prefix(begin) {
            let subject = rest.strip_prefix(": ").unwrap_or_default().to_owned();
            return Error::Constraint(ConstraintViolation { kind, subject, statement: 0 });
        }
    }
    if text.starts_with("not authorized") || text.starts_with("access denied") {
        return Error::Denied(text.to_owned());
    }
    if text.contains("too big") || text.contains("exceeds limit") || text == "out of memory" {
        return Error::TooLarge(format!("{text}; ask for less, or open a cursor"));
    }
    if UNAVAILABLE.iter().any(|known| text.contains(known)) {
        return Error::Unavailable((false, text.to_owned()));
    }
    Error::Invalid(text.to_owned())
}

/// The same error, of the statement at `index` of its batch.
pub(crate) fn at_statement(error: Error, index: usize) -> Error {
    let at = u32::try_from(index).unwrap_or(u32::MAX);
    match error {
        Error::Constraint(violation) => Error::Constraint(ConstraintViolation { statement: at, ..violation }),
        Error::UnexpectedRows(mut rows) => {
            rows.statement = at;
            Error::UnexpectedRows(rows)
        }
        Error::Invalid(text) => Error::Invalid(format!("statement {index}: {text}")),
        Error::Denied(text) => Error::Denied(format!("statement {index}: {text}")),
        Error::TooLarge(text) => Error::TooLarge(format!("statement {index}: {text}")),
        other => other,
    }
}

/// An error in words, for a log.
#[must_use]
pub fn describe(error: &Error) -> String {
    match error {
        Error::KeyReused => "the key is recorded with another fingerprint".to_owned(),
        Error::Revoked => "the key was revoked".to_owned(),
        Error::Constraint(violation) => {
            format!("statement {} violates {:?} on {}", violation.statement, violation.kind, violation.subject)
        }
        Error::UnexpectedRows(rows) => {
            format!("statement {} changed {} rows, not {}", rows.statement, rows.actual, rows.expected)
        }
        Error::Invalid(text) | Error::Denied(text) | Error::TooLarge(text) => text.clone(),
        Error::TransactionOpen => "a transaction is open in this instance".to_owned(),
        Error::TransactionClosed => "the transaction has ended".to_owned(),
        Error::Unavailable((_, text)) => text.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_the_engine_are_told_apart() {
        let violation = |kind, subject: &str| {
            Error::Constraint(ConstraintViolation { kind, subject: subject.to_owned(), statement: 0 })
        };
        for (text, error) in [
            ("UNIQUE constraint failed: rules.id", violation(ConstraintKind::Unique, "rules.id")),
            ("NOT NULL constraint failed: rules.name", violation(ConstraintKind::NotNull, "rules.name")),
            ("CHECK constraint failed: grown_up", violation(ConstraintKind::Check, "grown_up")),
            ("FOREIGN KEY constraint failed", violation(ConstraintKind::ForeignKey, "")),
        ] {
            assert_eq!(portable(text), error);
        }
        assert!(matches!(portable("database is locked"), Error::Unavailable((false, _))));
        assert!(matches!(portable("no such table: nowhere in SELECT 1 at offset 7"), Error::Invalid(_)));
        assert!(matches!(portable("query result exceeds limit of 1 bytes"), Error::TooLarge(_)));
    }
}
