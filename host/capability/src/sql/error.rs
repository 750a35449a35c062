//! Why a database refused or did not answer, whose fault that is and whether to try again.

use weft_core::{Failure, Fault, Outcome, Reason};

/// The kinds of constraints that every engine has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ConstraintKind {
    /// UNIQUE or PRIMARY KEY
    Unique,
    /// REFERENCES
    ForeignKey,
    /// NOT NULL
    NotNull,
    /// CHECK, or a trigger that refuses.
    Check,
}

/// Why a database refused or did not answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SqlError {
    /// The key is recorded with another fingerprint.
    #[error("the key is recorded with another fingerprint: one key was used for two requests")]
    KeyReused,
    /// The key was revoked; nothing lands under it any more.
    #[error("the key was revoked")]
    Revoked,
    /// A constraint of the schema refuses.
    #[error("statement {statement} violates a {kind:?} constraint: {subject}")]
    Constraint {
        /// Which kind of constraint.
        kind: ConstraintKind,
        /// `table.column` for unique and not-null, the constraint's name where it has one.
        subject: String,
        /// Index of the statement, from 0.
        statement: u32,
    },
    /// A statement changed another number of rows than it had to.
    #[error("statement {statement} changed {actual} rows where {expected} were expected")]
    UnexpectedRows {
        /// Index of the statement, from 0.
        statement: u32,
        /// What the caller asked for.
        expected: u64,
        /// What would have happened.
        actual: u64,
    },
    /// Not valid or not portable SQL; says what and where.
    #[error("invalid: {0}")]
    Invalid(String),
    /// Not permitted.
    #[error("denied: {0}")]
    Denied(String),
    /// A limit was passed; says which.
    #[error("too large: {0}")]
    TooLarge(String),
    /// A transaction is open in this call.
    #[error("a transaction is open in this call: end it first")]
    TransactionOpen,
    /// The transaction has ended: committed, rolled back or timed out.
    #[error("the transaction has ended already")]
    TransactionClosed,
    /// The database did not answer.
    #[error("unavailable: {message}")]
    Unavailable {
        /// Whether the commit may have happened all the same.
        maybe_done: bool,
        /// Why.
        reason: Reason,
        /// For a person.
        message: String,
    },
}

impl SqlError {
    /// The database did not answer, and nothing happened.
    pub(crate) fn unavailable(reason: Reason, message: impl Into<String>) -> Self {
        Self::Unavailable { maybe_done: false, reason, message: message.into() }
    }

    /// The database did not answer, and the commit may have happened.
    pub(crate) fn uncertain(message: impl Into<String>) -> Self {
        Self::Unavailable { maybe_done: true, reason: Reason::Unavailable, message: message.into() }
    }

    /// The same error, of the statement at `index` of its batch.
    #[must_use]
    pub(crate) fn at_statement(mut self, index: usize) -> Self {
        if let Self::Constraint { statement, .. } | Self::UnexpectedRows { statement, .. } = &mut self {
            *statement = u32::try_from(index).unwrap_or(u32::MAX);
        }
        if let Self::Invalid(text) | Self::Denied(text) | Self::TooLarge(text) = &mut self {
            *text = format!("statement {index}: {text}");
        }
        self
    }

    /// Who has to act for the error to go away.
    #[must_use]
    pub fn fault(&self) -> Fault {
        match self {
            Self::KeyReused | Self::Revoked | Self::Constraint { .. } | Self::UnexpectedRows { .. } => Fault::Client,
            Self::Invalid(_)
            | Self::Denied(_)
            | Self::TooLarge(_)
            | Self::TransactionOpen
            | Self::TransactionClosed => Fault::Guest,
            Self::Unavailable { reason: Reason::Overloaded | Reason::ShuttingDown, .. } => Fault::Host,
            Self::Unavailable { .. } => Fault::Backend,
        }
    }

    /// Whether the same call may succeed later.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Unavailable { .. })
    }
}

impl From<SqlError> for Failure {
    fn from(error: SqlError) -> Self {
        let fault = error.fault();
        let (outcome, reason) = match &error {
            SqlError::Unavailable { maybe_done, reason, .. } => {
                (if *maybe_done { Outcome::Unknown } else { Outcome::NotAttempted }, *reason)
            }
            SqlError::TooLarge(_) => (Outcome::NotAttempted, Reason::ResourceLimit),
            _ => (Outcome::NotAttempted, Reason::Denied),
        };
        Self { fault, outcome, reason, retry_after_ms: None, message: error.to_string() }
    }
}
