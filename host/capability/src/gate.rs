//! What stands open in one instance while it runs: a transaction, a saga step, and how many bytes its effects under way
//! hold. Every capability asks the gate before an effect. The gate knows nothing of what the effect is.

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
    /// The call is a copy of another.
    #[error("read-only: a mirrored call may read and has no effects")]
    Mirrored,
    /// A transaction is open in this call.
    #[error("transaction-open: end the transaction first")]
    TransactionOpen,
    /// What the host holds for effects that are under way would be more than the instance may.
    #[error("too-much-at-once: effects under way would hold more than {0} bytes; wait for some of them to end")]
    TooMuchHeld(usize),
}

/// Shared by all capabilities of one store. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Gate(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    durable: bool,
    projects: bool,
    mirrored: bool,
    transactions: u32,
    steps: Vec<OpenStep>,
    held: usize,
    /// No limit if there is none.
    most_held: Option<usize>,
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

    /// The same gate for an instance that serves copies of calls: what reads passes, what has an effect does not.
    #[must_use]
    pub fn mirrored(self, mirrored: bool) -> Self {
        self.state().mirrored = mirrored;
        self
    }

    /// The same gate, through which no more than so many bytes are under way at once.
    #[must_use]
    pub fn holding_at_most(self, bytes: usize) -> Self {
        self.state().most_held = Some(bytes);
        self
    }

    /// Notes that an effect under way holds so many bytes until the guard is dropped. Without a bound on all together,
    /// an instance could hand over one large value again and again, and the host would keep each copy.
    ///
    /// # Errors
    /// [`Closed::TooMuchHeld`].
    pub fn hold(&self, bytes: usize) -> Result<Hold, Closed> {
        let mut state = self.state();
        let held = state.held.saturating_add(bytes);
        if let Some(most) = state.most_held.filter(|most| held > *most) {
            return Err(Closed::TooMuchHeld(most));
        }
        state.held = held;
        Ok(Hold { gate: self.clone(), bytes })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether an effect is permitted now.
    ///
    /// # Errors
    /// [`Closed`] says why not.
    pub fn check(&self) -> Result<(), Closed> {
        let is_mirrored = self.state().mirrored;
        self.check_read().and(if is_mirrored { Err(Closed::Mirrored) } else { Ok(()) })
    }

    /// Whether something may be read now that others change. What reads alone asks this in the place of [`Gate::check`].
    ///
    /// # Errors
    /// [`Closed`] says why not.
    pub fn check_read(&self) -> Result<(), Closed> {
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

/// What one effect under way holds.
#[derive(Debug)]
pub struct Hold {
    gate: Gate,
    bytes: usize,
}

impl Drop for Hold {
    fn drop(&mut self) {
        let mut state = self.gate.state();
        state.held = state.held.saturating_sub(self.bytes);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_effects_hold_counts_until_they_end() {
        let gate = Gate::new(false).holding_at_most(10);
        let first = gate.hold(6).unwrap();
        assert_eq!(gate.hold(5).unwrap_err(), Closed::TooMuchHeld(10));
        let second = gate.hold(4).unwrap();
        drop(first);
        assert!(gate.hold(7).is_err());
        drop((gate.hold(6).unwrap(), second));
        assert!(gate.hold(11).is_err());
        assert!(gate.hold(10).is_ok());
        assert!(Gate::default().hold(usize::MAX).is_ok());
    }

    #[test]
    fn a_mirrored_call_reads_and_has_no_effects() {
        let gate = Gate::new(false).mirrored(true);
        assert_eq!((gate.check(), gate.check_read()), (Err(Closed::Mirrored), Ok(())));
        assert_eq!(gate.open_transaction().unwrap_err(), Closed::Mirrored);
        let durable = Gate::new(true).mirrored(true);
        assert_eq!(durable.check_read(), Err(Closed::OutsideStep));
    }
}
