//! What is asked of a saga from outside: signals, queries, and the orders of a person. Each is durable when it answers.
//! An order carries who gave it and why, for the journal; who may give one is for the caller to decide.

use std::sync::Arc;

use crate::engine::{Inner, Sagas, check_size};
use crate::error::SagaError;
use crate::index::{Rehearsal, Saga, SagaState};
use crate::record::{Ended, Entry, Note, Order, Ordered, Signalled};
use crate::recovery::Resume;
use crate::replay::{EventId, Replay, is_of_step};
use crate::types::{EventKind, Status};
use crate::{MAX_NAME_BYTES, MAX_PAYLOAD_BYTES, MAX_SIGNALS};

/// Who gives an order, and why.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct By {
    /// Such as the name of an operator or of a function.
    pub actor: String,
    /// For whoever reads the journal.
    pub reason: String,
}

/// How a saga that needs attention is brought to an end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resolution {
    /// What failed is tried again.
    Retry,
    /// The compensation of this step, as `name` or `name#occurrence`, was done by hand.
    Skip(String),
    /// It stays as it is; nobody will look at it again.
    Abandon,
}

impl Sagas {
    /// Sends a signal; it waits until the saga asks for it. One whose id the saga has had under this name does nothing;
    /// an empty id is always new.
    ///
    /// # Errors
    /// [`SagaError::NotFound`]; [`SagaError::Conflict`] if the saga has ended; [`SagaError::TooLarge`], also if 1,000
    /// signals wait already; [`SagaError::Unavailable`].
    pub async fn signal(&self, key: &str, name: &str, id: &str, payload: Vec<u8>) -> Result<(), SagaError> {
        check_size("the name of a signal", name.len(), MAX_NAME_BYTES)?;
        check_size("the id of a signal", id.len(), MAX_NAME_BYTES)?;
        check_size("a signal's payload", payload.len(), MAX_PAYLOAD_BYTES)?;
        if name.is_empty() {
            return Err(SagaError::TooLarge("the name of a signal has at least one byte".to_owned()));
        }
        let saga = self.known(key)?;
        let (at_ms, name, id) = (self.inner.clock.now_ms(), name.to_owned(), id.to_owned());
        let end = {
            let mut state = saga.state();
            check_unended(&saga, &state)?;
            let known = state.extra.as_ref();
            let waiting = known.map_or(0, |extra| extra.signals.iter().filter(|signal| !signal.taken).count());
            if known.is_some_and(|extra| extra.signal_ids.contains(&(name.clone(), id.clone()))) {
                state.end
            } else {
                check_size("the list of signals that wait for a saga", waiting + 1, MAX_SIGNALS)?;
                let entry = Entry::Signalled(Signalled { saga: saga.position, name, id, at_ms, payload });
                self.inner.append_to(&saga, &mut state, &entry)?.end
            }
        };
        // First: who sends it may be gone before it is flushed. Nothing is done about it before it is.
        self.inner.wake(&saga);
        Ok(self.inner.log.flush(end).await?)
    }

    /// What the saga has exposed under this name last, in this generation.
    ///
    /// # Errors
    /// [`SagaError::NotFound`]; [`SagaError::Unavailable`] if its records cannot be read.
    pub fn query(&self, key: &str, name: &str) -> Result<Option<Vec<u8>>, SagaError> {
        let history = self.inner.history(&*self.known(key)?)?;
        let last = history.entries.into_iter().rev().find_map(|(_, entry)| match entry {
            Entry::Noted(_, Note::Exposed { name: exposed, value }) if exposed == name => Some(value),
            _ => None,
        });
        Ok(last)
    }

    /// Cancels a saga: what runs ends, nothing further begins, and the compensations run. Of one that
    /// compensates already nothing changes; without effect on one that is cancelled.
    ///
    /// # Errors
    /// [`SagaError::NotFound`]; [`SagaError::Conflict`] if it has ended; [`SagaError::Unavailable`].
    pub async fn cancel(&self, key: &str, by: &By) -> Result<(), SagaError> {
        self.order(key, by, |saga, state| {
            check_unended(saga, state)?;
            // Also of one that compensates: it may be what a race has lost, and then the saga would go on.
            Ok(state.cancelled.is_none().then_some(Order::Cancel))
        })
        .await
    }

    /// Lets nothing further of a saga begin, until it is resumed. What runs now ends first.
    ///
    /// # Errors
    /// As [`Sagas::cancel`].
    pub async fn pause(&self, key: &str, by: &By) -> Result<(), SagaError> {
        self.order(key, by, |saga, state| {
            check_unended(saga, state)?;
            Ok((!state.paused).then_some(Order::Pause))
        })
        .await
    }

    /// Lets a paused saga go on.
    ///
    /// # Errors
    /// As [`Sagas::cancel`].
    pub async fn resume(&self, key: &str, by: &By) -> Result<(), SagaError> {
        self.order(key, by, |saga, state| {
            check_unended(saga, state)?;
            Ok(state.paused.then_some(Order::Resume))
        })
        .await
    }

    /// Runs a step again that waits for its next attempt, without further delay. With `from`, a step as `name` or
    /// `name#occurrence`: forgets that step and all that came after it, and goes on from there, also if the saga has
    /// ended.
    ///
    /// # Errors
    /// As [`Sagas::cancel`]; [`SagaError::Conflict`] also if the saga has no such step, runs, or has begun to compensate.
    pub async fn retry(&self, key: &str, from: Option<&str>, by: &By) -> Result<(), SagaError> {
        let Some(from) = from else {
            let saga = self.known(key)?;
            {
                let mut state = saga.state();
                check_unended(&saga, &state)?;
                state.hurry = true;
            }
            self.inner.wake(&saga);
            return Ok(());
        };
        let saga = self.known(key)?;
        let (name, occurrence) = step_of(from);
        let entries = self.inner.history(&saga)?.entries;
        let found = entries.iter().any(|(_, entry)| is_of_step(entry, name, occurrence));
        self.order(key, by, |saga, state| {
            let refuse = |why: String| Err(SagaError::Conflict(format!("saga {}: {why}", saga.key)));
            if !found {
                return refuse(format!("no step {name}#{occurrence} is recorded"));
            }
            if state.undone {
                return refuse("its compensations have begun: start a new saga".to_owned());
            }
            if state.lease.is_some() {
                return refuse("it runs now: pause it first".to_owned());
            }
            Ok(Some(Order::Rewind { name: name.to_owned(), occurrence }))
        })
        .await
    }

    /// Brings a saga to an end that needs attention.
    ///
    /// # Errors
    /// [`SagaError::NotFound`]; [`SagaError::Conflict`] if the saga does not need attention or no compensation of that
    /// step has failed; [`SagaError::Unavailable`].
    pub async fn resolve(&self, key: &str, resolution: &Resolution, by: &By) -> Result<(), SagaError> {
        let saga = self.known(key)?;
        let entries = self.inner.history(&saga)?;
        let ended = entries.ended().cloned();
        let failed_undos = Replay::new(entries.entries).failed_undos;
        let mut last_skipped = false;
        self.order(key, by, |saga, state| {
            let refuse = |why: String| Err(SagaError::Conflict(format!("saga {}: {why}", saga.key)));
            if state.status != Status::NeedsAttention {
                return refuse(format!("it is {}, nothing is to be resolved", state.shown_status().as_str()));
            }
            Ok(Some(match resolution {
                Resolution::Retry => Order::Retry,
                Resolution::Abandon => Order::Abandon,
                Resolution::Skip(step) => {
                    let (name, occurrence) = step_of(step);
                    let skipped = EventId::new(EventKind::Undo, name, occurrence);
                    if !failed_undos.contains(&skipped) {
                        return refuse(format!("the compensation of step {name}#{occurrence} has not failed"));
                    }
                    last_skipped = failed_undos.iter().all(|id| *id == skipped);
                    Order::Skip { name: name.to_owned(), occurrence }
                }
            }))
        })
        .await?;
        match ended {
            Some(ended) if last_skipped => self.inner.end_resolved(&saga, ended).await,
            _ => {
                self.inner.tell_parents(&saga);
                Ok(())
            }
        }
    }

    /// Moves a saga to other code of its component, after a run that only tries whether that code fits the journal;
    /// with `dry_run` nothing more is done. The saga is to be paused, or waits.
    ///
    /// # Errors
    /// [`SagaError::Mismatch`] with what does not fit; [`SagaError::Conflict`] if the saga has ended or runs;
    /// [`SagaError::NotFound`]; [`SagaError::Unavailable`] if that code cannot be run.
    pub async fn migrate(
        &self,
        key: &str,
        digest: &str,
        dry_run: bool,
        by: &By,
        resume: &dyn Resume,
    ) -> Result<(), SagaError> {
        let saga = self.known(key)?;
        {
            let mut state = saga.state();
            check_unended(&saga, &state)?;
            if state.lease.is_some() || state.resuming {
                return Err(SagaError::Conflict(format!("saga {key} runs now: pause it first")));
            }
            state.extra().rehearsal = Some(Rehearsal { digest: digest.into(), verdict: None });
            // Recovery leaves it alone meanwhile.
            state.resuming = true;
        }
        let ran = resume.resume(&saga.component, digest, key).await;
        let verdict = {
            let mut state = saga.state();
            state.extra().rehearsal.take().and_then(|rehearsal| rehearsal.verdict)
        };
        let migrated = match (verdict, ran) {
            (Some(Ok(())), _) if dry_run => Ok(()),
            (Some(Ok(())), _) => {
                let migrate = Order::Migrate { digest: digest.to_owned() };
                self.order(key, by, |saga, state| {
                    check_unended(saga, state)?;
                    Ok(Some(migrate.clone()))
                })
                .await
            }
            (Some(Err(mismatch)), _) => Err(SagaError::Mismatch(mismatch)),
            (None, Err(failure)) => Err(SagaError::Unavailable(failure.to_string())),
            (None, Ok(())) => Err(SagaError::Unavailable("that code did not begin the saga".to_owned())),
        };
        let due_at_ms = {
            let mut state = saga.state();
            (state.resuming, state.due_again) = (false, false);
            state.due_at_ms()
        };
        // What came meanwhile was heard by nobody.
        if let Some(at_ms) = due_at_ms {
            self.inner.due.push(at_ms, saga.position);
        }
        migrated
    }

    fn known(&self, key: &str) -> Result<Arc<Saga>, SagaError> {
        let saga = self.inner.find(key).ok_or(SagaError::NotFound)?;
        if saga.is_choreographed() {
            let text = format!("saga {key} is choreographed: its functions go on by themselves");
            return Err(SagaError::Conflict(text));
        }
        Ok(saga)
    }

    /// Records the order that `decide` gives, if any, and lets the saga take note of it.
    async fn order(
        &self,
        key: &str,
        by: &By,
        decide: impl FnOnce(&Saga, &SagaState) -> Result<Option<Order>, SagaError>,
    ) -> Result<(), SagaError> {
        check_size("the name of who gives an order", by.actor.len(), MAX_NAME_BYTES)?;
        check_size("the reason of an order", by.reason.len(), 8 * MAX_NAME_BYTES)?;
        let saga = self.known(key)?;
        let end = {
            let mut state = saga.state();
            // Without one, what makes it needless may still be on its way to the disk.
            if let Some(order) = decide(&saga, &state)? {
                let at_ms = self.inner.clock.now_ms();
                let (actor, reason) = (by.actor.clone(), by.reason.clone());
                let ordered = Ordered { saga: saga.position, order, at_ms, actor, reason };
                let was_ended = state.is_ended();
                self.inner.append_to(&saga, &mut state, &Entry::Ordered(ordered))?;
                if was_ended && !state.is_ended() {
                    self.inner.due.begun();
                }
            }
            state.end
        };
        self.inner.wake(&saga);
        Ok(self.inner.log.flush(end).await?)
    }
}

impl Inner {
    /// Lets the live run of a saga look again, or makes it due.
    pub(crate) fn wake(&self, saga: &Saga) {
        let mut state = saga.state();
        if state.notify() {
            return;
        }
        if let Some(at_ms) = state.due_at_ms() {
            self.due.push(at_ms, saga.position);
        }
    }

    /// The last compensation that had failed was done by hand: the saga has ended as if it had succeeded.
    async fn end_resolved(&self, saga: &Saga, ended: Ended) -> Result<(), SagaError> {
        let status = if ended.failed { Status::Compensated } else { Status::Completed };
        let entry = Entry::Ended(Ended { status, at_ms: self.clock.now_ms(), reason: None, ..ended });
        let appended = self.append_to(saga, &mut saga.state(), &entry)?;
        self.log.flush(appended.end).await?;
        self.tell_parents(saga);
        Ok(())
    }
}

fn check_unended(saga: &Saga, state: &SagaState) -> Result<(), SagaError> {
    if state.is_ended() {
        let text = format!("saga {} has ended: it is {}", saga.key, state.status.as_str());
        return Err(SagaError::Conflict(text));
    }
    Ok(())
}

/// `name#occurrence`, or the first of that name.
fn step_of(text: &str) -> (&str, u32) {
    let numbered = text.rsplit_once('#').and_then(|(name, occurrence)| Some((name, occurrence.parse().ok()?)));
    numbered.unwrap_or((text, 1))
}
