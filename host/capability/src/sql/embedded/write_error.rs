//! Why the writer did not do an operation: each kind of caller has errors of its own, and one queue takes them all.

use weft_core::Reason;

use crate::events::EventStoreError;
use crate::projection::ReadModelError;
use crate::sql::error::SqlError;

#[derive(Clone, Debug)]
pub(super) enum WriteError {
    Sql(SqlError),
    Events(EventStoreError),
    Model(ReadModelError),
}

/// Refutes what the writer never does: answer one operation with the effect or the error of another.
pub(super) fn mismatched() -> SqlError {
    SqlError::unavailable(Reason::Internal, "the writer answered another question")
}

impl From<SqlError> for WriteError {
    fn from(error: SqlError) -> Self {
        Self::Sql(error)
    }
}

impl From<EventStoreError> for WriteError {
    fn from(error: EventStoreError) -> Self {
        Self::Events(error)
    }
}

impl WriteError {
    /// For callers whose operation has no other errors.
    pub(super) fn into_sql(self) -> SqlError {
        match self {
            Self::Sql(error) => error,
            Self::Events(_) | Self::Model(_) => mismatched(),
        }
    }
}

impl From<WriteError> for EventStoreError {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::Sql(error) => Self::Sql(error),
            WriteError::Events(error) => error,
            WriteError::Model(_) => mismatched().into(),
        }
    }
}

impl From<ReadModelError> for WriteError {
    fn from(error: ReadModelError) -> Self {
        Self::Model(error)
    }
}

impl From<WriteError> for ReadModelError {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::Sql(error) => Self::Sql(error),
            WriteError::Model(error) => error,
            WriteError::Events(_) => mismatched().into(),
        }
    }
}
