//! Where projections keep what they make: tables of a context's database with a checkpoint beside them, and a second
//! set of the same tables while a projection is rebuilt. Running the functions is the runner's.

use futures::future::BoxFuture;

use crate::sql::{SqlError, Statement};

/// Which set of a projection's tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Model {
    /// The one that queries see.
    Live,
    /// The one that is being rebuilt beside it.
    Rebuild,
}

/// Who reads, and the tables that it alone writes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Reader {
    /// `<component>/<projection>@<version>`.
    pub id: String,
    /// Tables that the context's migrations have made.
    pub tables: Vec<String>,
}

/// A step forward of a read model.
#[derive(Clone, Debug, PartialEq)]
pub struct Advance {
    /// Who has read.
    pub reader: Reader,
    /// Which set of tables the statements are for. They name the tables as if they were for the live one.
    pub model: Model,
    /// Where the checkpoint stands; `None` if there is none yet.
    pub expected: Option<u64>,
    /// Where it stands with this step.
    pub next: u64,
    /// What brings the tables there.
    pub statements: Vec<Statement>,
}

/// Why a read model did not go forward.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ReadModelError {
    /// Another has moved the checkpoint.
    #[error("the checkpoint is at {actual:?}, not at {expected:?}")]
    Moved {
        /// Where it should have stood.
        expected: Option<u64>,
        /// Where it stands.
        actual: Option<u64>,
    },
    /// A table that the context does not have, or that cannot be rebuilt.
    #[error("{0}")]
    Table(String),
    /// As the database says.
    #[error(transparent)]
    Sql(#[from] SqlError),
}

/// The read models of one context.
///
/// The contract, for every backend:
/// * Statements and checkpoint land together or not at all, flushed when it is answered: every event takes effect once.
/// * A rebuild touches nothing that queries see until [`ReadModels::finish_rebuild`], which puts the rebuilt tables, with
///   their indexes, and the checkpoint in the place of the live ones at once.
pub trait ReadModels: Send + Sync + 'static {
    /// Where the reader's checkpoint of a model stands.
    ///
    /// # Errors
    /// [`ReadModelError`].
    fn checkpoint(&self, reader: Reader, model: Model) -> BoxFuture<'_, Result<Option<u64>, ReadModelError>>;

    /// Goes a step forward.
    ///
    /// # Errors
    /// [`ReadModelError`].
    fn advance(&self, advance: Advance) -> BoxFuture<'_, Result<(), ReadModelError>>;

    /// Makes empty tables for a rebuild, in the place of those of an earlier one, with the checkpoint at `position`.
    ///
    /// # Errors
    /// [`ReadModelError`].
    fn begin_rebuild(&self, reader: Reader, position: u64) -> BoxFuture<'_, Result<(), ReadModelError>>;

    /// Switches over. `expected` is where the rebuild's checkpoint stands; it becomes the live one's.
    ///
    /// # Errors
    /// [`ReadModelError`].
    fn finish_rebuild(&self, reader: Reader, expected: u64) -> BoxFuture<'_, Result<(), ReadModelError>>;

    /// Drops what a rebuild has made so far, if there is one.
    ///
    /// # Errors
    /// [`ReadModelError`].
    fn abandon_rebuild(&self, reader: Reader) -> BoxFuture<'_, Result<(), ReadModelError>>;
}
