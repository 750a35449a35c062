//! Projections over the control socket: how they stand, and what can be done to them.

use serde::{Deserialize, Serialize};

use weft_capability::projection::{ProjectionStatus, RebuildStatus, State};
use weft_core::manifest::ProjectionSource;

/// One entry of `GET /v1/projections`.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct ProjectionEntry {
    /// `<component>/<name>@<version>`.
    pub id: String,
    /// The context whose database has the tables.
    pub context: String,
    /// `store <context>` or `topic <pattern>`.
    pub source: String,
    /// The tables that it writes.
    pub tables: Vec<String>,
    /// `running`, `paused` or `failing`.
    pub state: String,
    /// Why it fails.
    pub error: Option<String>,
    /// Where the source is read next.
    pub position: u64,
    /// How far that is from the source's end, what is there for others among it: in events for a store, in bytes for a
    /// topic.
    pub lag: u64,
    /// Events applied since the host started.
    pub applied: u64,
    /// Time of the newest event applied since then, in milliseconds since the Unix epoch.
    pub applied_time_ms: Option<u64>,
    /// The rebuild that runs.
    pub rebuild: Option<RebuildEntry>,
}

/// A rebuild that runs.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct RebuildEntry {
    /// `running`, `paused` or `failing`.
    pub state: String,
    /// Why it fails.
    pub error: Option<String>,
    /// Where the source is read next.
    pub position: u64,
    /// As [`ProjectionEntry::lag`].
    pub lag: u64,
    /// Events applied so far, or since the host started.
    pub applied: u64,
}

/// `POST /v1/projections/{id}/{order}`: what is done, and by whom. The order is `pause`, `resume`, `rebuild` or
/// `abandon`.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ProjectionOrder {
    /// Who does it, such as `ada@local`.
    pub actor: String,
    /// Why.
    #[serde(default)]
    pub reason: String,
    /// For a rebuild: the position to begin at; 0, the oldest event, if it is not said.
    #[serde(default)]
    pub from: u64,
}

impl From<ProjectionStatus> for ProjectionEntry {
    fn from(status: ProjectionStatus) -> Self {
        let (state, error) = told(status.state);
        let rules = &status.projection.rules;
        let source = match &rules.source {
            ProjectionSource::Store(context) => format!("store {context}"),
            ProjectionSource::Log(topic) => format!("topic {topic}"),
        };
        Self {
            id: status.projection.id(),
            context: status.projection.context.to_string(),
            source,
            tables: rules.tables.iter().map(ToString::to_string).collect(),
            state,
            error,
            position: status.position,
            lag: status.head.saturating_sub(status.position),
            applied: status.applied,
            applied_time_ms: Some(status.applied_time_ms).filter(|time_ms| *time_ms > 0),
            rebuild: status.rebuild.map(|rebuild| rebuild_entry(rebuild, status.head)),
        }
    }
}

fn rebuild_entry(rebuild: RebuildStatus, head: u64) -> RebuildEntry {
    let (state, error) = told(rebuild.state);
    let lag = head.saturating_sub(rebuild.position);
    RebuildEntry { state, error, position: rebuild.position, lag, applied: rebuild.applied }
}

fn told(state: State) -> (String, Option<String>) {
    match state {
        State::Running => ("running".to_owned(), None),
        State::Paused => ("paused".to_owned(), None),
        State::Failing(error) => ("failing".to_owned(), Some(error)),
    }
}
