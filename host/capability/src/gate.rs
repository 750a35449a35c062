//! What stands open in one instance while it runs: a transaction, a saga step. Every capability asks the gate before
//! an effect. The gate knows nothing of what the effect is.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Why an effect is refused right now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Closed {
    /// The function is durable and no step is open: code between steps is replayed and must have no effects.
    #[error("outside-step: a durable function may have effects only inside a step")]
    OutsideStep,
    /// The function runs as a projection.
    #[error("no-effects: a projection answers statements, which depend on nothing but its events")]
    Projection,
    /// A transaction is open in this call.
    #[error("transaction-open: end the transaction first")]
    TransactionOpen,
}

/// Shared by all capabilities of one store. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Gate(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    durable: bool,
    projects: bool,
    transactions: u32,
    steps: Vec<OpenStep>,
}

/// A saga step whose attempt is running.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenStep {
    /// `<saga key>/<name>#<occurrence>`.
    pub key: Arc<str>,
    /// When the attempt times out, on the host clock's monotonic time.
    pub deadline: Duration,
}

impl Gate {
    /// The gate of an instance; `durable` if its component is.
    #[must_use]
    pub fn new(durable: bool) -> Self {
        Self(Arc::new(Mutex::new(State { durable, ..State::default() })))
    }

    /// The gate of an instance that runs as a projection: it never opens.
    #[must_use]
    pub fn of_projection() -> Self {
        Self(Arc::new(Mutex::new(State { projects: true, ..State::default() })))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether an effect is permitted now.
    ///
    /// # Errors
    /// [`Closed`] says why not.
    pub fn check(&self) -> Result<(), Closed> {
        let state = self.state();
        if state.projects {
            return Err(Closed::Projection);
        }
        if state.transactions > 0 {
            return Err(Closed::TransactionOpen);
        }
        if state.durable && state.steps.is_empty() {
            return Err(Closed::OutsideStep);
        }
        Ok(())
    }

    /// Notes that a transaction is open until the guard is dropped.
    ///
    /// # Errors
    /// As [`Gate::check`].
    pub fn open_transaction(&self) -> Result<TransactionGuard, Closed> {
        self.check()?;
        self.state().transactions += 1;
        Ok(TransactionGuard(self.clone()))
    }

    /// Notes that the attempt of a step runs.
    pub fn open_step(&self, step: OpenStep) {
        self.state().steps.push(step);
    }

    /// Notes that the attempt of a step has ended.
    pub fn close_step(&self, key: &str) {
        self.state().steps.retain(|step| &*step.key != key);
    }

    /// The open step that an effect under `key` belongs to: that of the key, or the one whose key it begins with, or
    /// else the step opened last.
    #[must_use]
    pub fn step(&self, key: Option<&str>) -> Option<OpenStep> {
        let state = self.state();
        let own = key.and_then(|key| {
            state.steps.iter().filter(|step| key.starts_with(&*step.key)).max_by_key(|step| step.key.len())
        });
        own.or(state.steps.last()).cloned()
    }
}

/// Keeps the gate closed for other effects while a transaction is open.
#[derive(Debug)]
pub struct TransactionGuard(Gate);

impl Drop for TransactionGuard {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.transactions = state.transactions.saturating_sub(1);
    }
}
