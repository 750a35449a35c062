//! Projections: read models that functions make of events, each event exactly once. A projection's source is a context's
//! event store or topics of the message log; its tables and its checkpoint lie in its own context's database.
//!
//! A checkpoint is where the source is read next. A step reads some events, has the function answer statements for them,
//! and commits those together with the checkpoint: whatever happens in between, each event takes effect once. A rebuild
//! is a second follower on a second set of the tables, which takes the place of the first when it has caught up with it.

pub mod conformance;
mod follower;
pub mod glue;
pub mod limits;
mod pauses;
mod read_model;
mod runner;
mod source;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use bytes::Bytes;
use futures::future::BoxFuture;

use weft_core::Failure;
use weft_core::manifest;

use crate::sql::Statement;

pub use follower::ProjectionParts;
pub use read_model::{Advance, Model, ReadModelError, ReadModels, Reader};
pub use runner::{ProjectionError, Projections};
pub use source::{LogSource, Slice, Source, StoreSource};

/// A projection of one component.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Projection {
    /// The component whose function makes the statements.
    pub component: Arc<str>,
    /// The context whose database has the tables.
    pub context: Arc<str>,
    /// Source, types, tables, batch.
    pub rules: manifest::Projection,
}

impl Projection {
    /// `<component>/<name>@<version>`: what its checkpoint is kept under.
    #[must_use]
    pub fn id(&self) -> String {
        format!("{}/{}@{}", self.component, self.rules.name, self.rules.version)
    }

    /// Who it is for its read model.
    #[must_use]
    pub fn reader(&self) -> Reader {
        Reader { id: self.id(), tables: self.rules.tables.iter().map(ToString::to_string).collect() }
    }
}

/// An event as a projection sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceEvent {
    /// Its place in the source.
    pub position: u64,
    /// CloudEvents `id`.
    pub id: String,
    /// CloudEvents `type`.
    pub kind: String,
    /// The topic that it was published to.
    pub topic: String,
    /// CloudEvents `subject`; the stream, for an event of a store.
    pub subject: Option<String>,
    /// Milliseconds since the Unix epoch.
    pub time_ms: u64,
    /// Carried through the whole of one business operation.
    pub correlation_id: Option<String>,
    /// JSON.
    pub data: Bytes,
}

/// Why there are no statements for some events.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProjectError {
    /// The function says that it cannot.
    #[error("the function refuses: {0}")]
    Refused(String),
    /// The function did not answer.
    #[error(transparent)]
    Failed(#[from] Failure),
}

/// Runs the function of a projection.
pub trait Project: Send + Sync + 'static {
    /// The statements for these events. It has to end by itself (a deadline).
    fn project(
        &self,
        component: &str,
        events: Arc<[SourceEvent]>,
    ) -> BoxFuture<'static, Result<Vec<Statement>, ProjectError>>;
}

/// What a projection does now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// It applies events, or waits for them.
    Running,
    /// It was told to wait.
    Paused,
    /// It cannot go on, tries again by itself, and this is why.
    Failing(String),
}

/// How a projection stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProjectionStatus {
    /// The projection.
    pub projection: Projection,
    /// What it does now.
    pub state: State,
    /// Where the source is read next.
    pub position: u64,
    /// Where the source's next event will stand. What lies between, events for others among it, is the lag: in events
    /// for an event store, in bytes for the message log.
    pub head: u64,
    /// Time of the newest event applied, in milliseconds since the Unix epoch; none since the host started if 0.
    pub applied_time_ms: u64,
    /// Events applied since the host started.
    pub applied: u64,
    /// The rebuild that runs.
    pub rebuild: Option<RebuildStatus>,
}

/// How a rebuild stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RebuildStatus {
    /// What it does now.
    pub state: State,
    /// Where the source is read next.
    pub position: u64,
    /// Events applied since it began, or since the host started.
    pub applied: u64,
}
