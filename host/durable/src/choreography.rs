//! Choreographed sagas: functions that react to each other's events. Nobody runs them as a whole; here they are written
//! down as they are seen, so that they stand in the same list and timeline as others, by the correlation id of their
//! events. What is written is a view: what is seen twice is shown once.

use crate::engine::{Sagas, check_size};
use crate::error::SagaError;
use crate::index::Saga;
use crate::record::{Ended, Entry, Started, StepEnded, VERSION};
use crate::types::{Outcome, Phase, Status};
use crate::{MAX_KEY_BYTES, MAX_NAME_BYTES};

/// A function that has handled an event, or tried to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reaction {
    /// Who: the name of its subscription.
    pub step: String,
    /// Whether it takes something back.
    pub compensates: bool,
    /// From 1.
    pub attempt: u32,
    /// Milliseconds since the Unix epoch.
    pub started_at_ms: u64,
    /// Milliseconds since the Unix epoch.
    pub ended_at_ms: u64,
    /// Why it failed, if it did.
    pub error: Option<String>,
    /// Whether it will be tried again.
    pub again: bool,
}

impl Sagas {
    /// Resolves when all that was noted is on disk.
    ///
    /// # Errors
    /// [`SagaError::Unavailable`] if it may not be.
    pub async fn choreographies_written(&self) -> Result<(), SagaError> {
        Ok(self.inner.log.flush(self.inner.log.end()).await?)
    }

    /// Whether a choreographed saga of this id is known.
    #[must_use]
    pub fn is_choreographed(&self, id: &str) -> bool {
        self.inner.find(id).is_some_and(|saga| saga.is_choreographed())
    }

    /// Notes that a choreographed saga has begun; without effect if its id is known.
    ///
    /// # Errors
    /// [`SagaError::TooLarge`], or why the journal refuses.
    pub fn choreography_began(&self, name: &str, id: &str, at_ms: u64) -> Result<(), SagaError> {
        check_size("a saga's key", id.len(), MAX_KEY_BYTES)?;
        let mut index = self.inner.index();
        if id.is_empty() || index.get(id).is_some() {
            return Ok(());
        }
        let (key, function, correlation_id) = (id.to_owned(), name.to_owned(), id.to_owned());
        let (component, digest, input) = (String::new(), String::new(), Vec::new());
        let started = Started { key, function, component, digest, correlation_id, at_ms, input };
        let entry = Entry::Started(started.clone());
        let appended = self.inner.log.append(entry.kind(), VERSION, &entry.encode())?;
        let saga = index.insert(&started, appended.position, appended.end);
        self.inner.events.recorded(&saga, &entry);
        Ok(())
    }

    /// Notes that a function has reacted to an event of a choreographed saga.
    ///
    /// # Errors
    /// [`SagaError::NotFound`] if none has this id; or why the journal refuses.
    pub fn choreography_reacted(&self, id: &str, reaction: Reaction) -> Result<(), SagaError> {
        check_size("the name of a step", reaction.step.len(), MAX_NAME_BYTES)?;
        let saga = self.inner.find(id).filter(|saga| saga.is_choreographed()).ok_or(SagaError::NotFound)?;
        let failed = reaction.error.is_some();
        let entry = Entry::Step(StepEnded {
            saga: saga.position,
            name: reaction.step,
            occurrence: 1,
            phase: if reaction.compensates { Phase::Undo } else { Phase::Do },
            attempt: reaction.attempt,
            outcome: if failed { Outcome::Error } else { Outcome::Success },
            retry_at_ms: (failed && reaction.again).then_some(reaction.ended_at_ms),
            started_at_ms: reaction.started_at_ms,
            ended_at_ms: reaction.ended_at_ms,
            payload: reaction.error.unwrap_or_default().into_bytes(),
        });
        self.inner.append_to(&saga, &mut saga.state(), &entry)?;
        if reaction.compensates && !failed {
            self.end_choreography(&saga, Status::Compensated, reaction.ended_at_ms)?;
        }
        Ok(())
    }

    /// Notes that a choreographed saga has come to its end: completed, or failed with nobody to take it back.
    ///
    /// # Errors
    /// As [`Sagas::choreography_reacted`].
    pub fn choreography_ended(&self, id: &str, failed: bool, at_ms: u64) -> Result<(), SagaError> {
        let saga = self.inner.find(id).filter(|saga| saga.is_choreographed()).ok_or(SagaError::NotFound)?;
        self.end_choreography(&saga, if failed { Status::Compensated } else { Status::Completed }, at_ms)
    }

    fn end_choreography(&self, saga: &Saga, status: Status, at_ms: u64) -> Result<(), SagaError> {
        let failed = status == Status::Compensated;
        let entry = Entry::Ended(Ended { saga: saga.position, status, failed, at_ms, answer: None, reason: None });
        let waiting = {
            let mut state = saga.state();
            if state.is_ended() {
                return Ok(());
            }
            self.inner.append_to(saga, &mut state, &entry)?;
            std::mem::take(&mut state.waiting)
        };
        drop(waiting);
        self.inner.sweep();
        Ok(())
    }
}
