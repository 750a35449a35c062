//! Why the journal refuses, in the words of `weft:durable`.

use crate::log::LogError;

/// Answers of the saga engine that are not what was asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SagaError {
    /// The key belongs to another function or another input.
    #[error("the key belongs to a saga of another function or with another input")]
    KeyReused,
    /// There is no such saga.
    #[error("there is no saga with this key")]
    NotFound,
    /// This run has ended: the saga waits, or another run has it.
    #[error("the lease of this run has ended; another run goes on with the saga")]
    LeaseLost,
    /// The code does not fit its journal.
    #[error("{0}")]
    Mismatch(String),
    /// A limit was passed.
    #[error("{0}")]
    TooLarge(String),
    /// The saga stands where this cannot be done.
    #[error("{0}")]
    Conflict(String),
    /// The saga cannot be gone on with now, or at all.
    #[error("{0}")]
    Unavailable(String),
}

impl From<LogError> for SagaError {
    fn from(error: LogError) -> Self {
        match error {
            LogError::TooLarge { .. } => Self::TooLarge(error.to_string()),
            _ => Self::Unavailable(error.to_string()),
        }
    }
}
