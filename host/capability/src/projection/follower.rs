//! One pass over a source into one model of a projection: reads, has the function answer, commits, and does the next
//! reading while it commits. When to go on, wait or stop is the runner's.

use std::sync::Arc;

use futures::future::BoxFuture;

use weft_core::{Failure, Outcome};

use super::{Advance, Model, Project, ProjectError, Projection, ReadModelError, ReadModels, Source, SourceEvent};
use crate::sql::{SqlError, Statement};

/// A projection with all that it takes to run it.
#[derive(Clone)]
pub struct ProjectionParts {
    /// The projection.
    pub projection: Projection,
    /// Where it reads.
    pub source: Arc<dyn Source>,
    /// Where it keeps what it makes.
    pub models: Arc<dyn ReadModels>,
    /// What runs its function.
    pub project: Arc<dyn Project>,
}

/// What came of a step.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Stepped {
    /// So many events were applied; the newest is of this time. There may be more.
    Applied { events: u64, time_ms: u64 },
    /// An event among them is refused; fewer are tried at the next step, until it stands alone.
    Fewer,
    /// There was nothing to apply up to the follower's position, the source's end.
    Idle,
}

/// Why a step did not succeed. All before it is committed; trying again may help.
#[derive(Debug, thiserror::Error)]
pub(super) enum StepError {
    #[error("the source cannot be read: {0}")]
    Source(Failure),
    #[error("at event {id} (position {position}, type {kind}): {error}")]
    Event { id: String, position: u64, kind: String, error: String },
    #[error(transparent)]
    Project(Failure),
    #[error(transparent)]
    Model(ReadModelError),
}

/// Events with their statements, ready to be committed.
struct Prepared {
    events: Arc<[SourceEvent]>,
    statements: Vec<Statement>,
    next: u64,
}

pub(super) struct Follower {
    parts: ProjectionParts,
    model: Model,
    /// Where the checkpoint stands; `None` if there is none yet.
    checkpoint: Option<u64>,
    /// Where the source is read next: at the checkpoint, or behind it where there were only events for others. Those
    /// cost no commit of their own.
    position: u64,
    /// Events of one step at most; fewer while one of them makes trouble, until it stands alone.
    limit: u32,
    ahead: Option<Prepared>,
}

impl Follower {
    /// A follower where the model's checkpoint stands, or at `begin` if there is none.
    pub(super) async fn resume(parts: ProjectionParts, model: Model, begin: u64) -> Result<Self, ReadModelError> {
        let checkpoint = parts.models.checkpoint(parts.projection.reader(), model).await?;
        let limit = parts.projection.rules.batch;
        Ok(Self { parts, model, checkpoint, position: checkpoint.unwrap_or(begin), limit, ahead: None })
    }

    pub(super) fn position(&self) -> u64 {
        self.position
    }

    /// Where the checkpoint stands.
    pub(super) fn checkpoint(&self) -> Option<u64> {
        self.checkpoint
    }

    /// Applies some events.
    pub(super) async fn step(&mut self) -> Result<Stepped, StepError> {
        let prepared = match self.ahead.take() {
            Some(prepared) => prepared,
            None => match self.prepare(self.position).await? {
                Ok(prepared) => prepared,
                Err(next) => {
                    self.position = next;
                    return Ok(Stepped::Idle);
                }
            },
        };
        let Prepared { events, statements, next } = prepared;
        let (advanced, ahead) = futures::join!(self.advance(next, statements), self.prepare(next));
        if let Err(error) = advanced {
            return self.blame(&events, error);
        }
        (self.checkpoint, self.position) = (Some(next), next);
        self.limit = (self.limit * 2).min(self.parts.projection.rules.batch);
        // What went wrong ahead goes wrong again, and is told, at the next step.
        self.ahead = ahead.ok().and_then(Result::ok);
        let time_ms = events.last().map_or(0, |event| event.time_ms);
        Ok(Stepped::Applied { events: events.len() as u64, time_ms })
    }

    /// Commits the position, if it is ahead of the checkpoint.
    pub(super) async fn settle(&mut self) -> Result<(), ReadModelError> {
        if self.checkpoint == Some(self.position) {
            return Ok(());
        }
        self.advance(self.position, Vec::new()).await?;
        self.checkpoint = Some(self.position);
        Ok(())
    }

    fn advance(&self, next: u64, statements: Vec<Statement>) -> BoxFuture<'_, Result<(), ReadModelError>> {
        let (reader, model, expected) = (self.parts.projection.reader(), self.model, self.checkpoint);
        self.parts.models.advance(Advance { reader, model, expected, next, statements })
    }

    /// The next events with their statements; or where the source ends, if there are none.
    async fn prepare(&self, from: u64) -> Result<Result<Prepared, u64>, StepError> {
        let mut from = from;
        let slice = loop {
            let slice = self.parts.source.read(from, self.limit).await.map_err(StepError::Source)?;
            if !slice.events.is_empty() {
                break slice;
            }
            if slice.next <= from || slice.next >= self.parts.source.head().await.map_err(StepError::Source)? {
                return Ok(Err(slice.next.max(from)));
            }
            from = slice.next;
        };
        let events: Arc<[SourceEvent]> = slice.events.into();
        let (mut count, mut next) = (events.len(), slice.next);
        loop {
            let some: Arc<[SourceEvent]> =
                if count == events.len() { Arc::clone(&events) } else { events.iter().take(count).cloned().collect() };
            match self.parts.project.project(&self.parts.projection.component, Arc::clone(&some)).await {
                Ok(statements) => return Ok(Ok(Prepared { events: some, statements, next })),
                // It did not run, so no event is to blame.
                Err(ProjectError::Failed(failure)) if failure.outcome == Outcome::NotAttempted => {
                    return Err(StepError::Project(failure));
                }
                // Those before the one that makes trouble are applied all the same.
                Err(_) if count > 1 => {
                    count /= 2;
                    next = some.get(count).map_or(next, |event| event.position);
                }
                Err(ProjectError::Refused(error)) => return Err(at_event(&some, error)),
                Err(ProjectError::Failed(failure)) => return Err(StepError::Project(failure)),
            }
        }
    }

    /// Whose fault it is that a commit was refused: that of one event, if it stands alone; else fewer are tried.
    fn blame(&mut self, events: &[SourceEvent], error: ReadModelError) -> Result<Stepped, StepError> {
        let refused = match &error {
            ReadModelError::Sql(
                error @ (SqlError::Constraint { .. }
                | SqlError::UnexpectedRows { .. }
                | SqlError::Invalid(_)
                | SqlError::Denied(_)
                | SqlError::TooLarge(_)),
            ) => error.to_string(),
            _ => return Err(StepError::Model(error)),
        };
        self.limit = (u32::try_from(events.len()).unwrap_or(u32::MAX) / 2).max(1);
        if events.len() > 1 { Ok(Stepped::Fewer) } else { Err(at_event(events, refused)) }
    }
}

fn at_event(events: &[SourceEvent], error: String) -> StepError {
    let (id, position, kind) =
        events.first().map_or_else(Default::default, |event| (event.id.clone(), event.position, event.kind.clone()));
    StepError::Event { id, position, kind, error }
}
