//! Durable functions: a chain of steps, each with a compensation, over the journal of the host. Owns the order of
//! steps and compensations and their encoding; retries, timeouts, delays and durability are the journal's.
//!
//! Code between steps is replayed after a crash: it uses this crate's clock and ids alone, iterates nothing unordered
//! (no `HashMap`), and has no effects. Steps that run at the same time have names of their own.

mod answer;
#[cfg(test)]
mod fake_journal;
mod start;
mod step;
#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use serde::Serialize;
use serde::de::DeserializeOwned;

#[cfg(not(test))]
use crate::bindings::weft::durable::journal;
use crate::bindings::weft::durable::types as durable;
use crate::failure::{Failure, Fallible};
use crate::json;
#[cfg(test)]
use fake_journal as journal;

pub use crate::bindings::weft::durable::handles;
pub use crate::bindings::weft::durable::types::{Phase, RetryPolicy, SagaView, Status, StepView};
pub use answer::Answer;
pub use start::{Started, check_idempotency, start, start_and_wait};
pub use step::{Step, StepOutcome};

/// One run of a durable function.
#[derive(Clone)]
pub struct Saga {
    inner: Rc<Inner>,
}

struct Inner {
    key: String,
    lease: durable::Lease,
    /// Set once the journal refuses: from then on nothing runs and nothing is recorded.
    stopped: RefCell<Option<Failure>>,
    /// Compensations in the order of their steps.
    undos: RefCell<Vec<step::Undo>>,
    occurrences: RefCell<BTreeMap<String, u32>>,
}

impl Saga {
    /// The saga's key, which is its id.
    pub fn key(&self) -> &str {
        &self.inner.key
    }

    /// A durable timer.
    pub async fn sleep(&self, name: &str, duration_ms: u64) -> Result<(), Failure> {
        self.go_on()?;
        let slept = journal::sleep(self.inner.lease, name.to_string(), duration_ms).await;
        slept.map_err(|error| self.stop(&error))
    }

    fn go_on(&self) -> Result<(), Failure> {
        self.inner.stopped.borrow().clone().map_or(Ok(()), Err)
    }

    /// Stops this run: the journal no longer takes records, so another run or a later one goes on from there.
    fn stop(&self, error: &durable::Error) -> Failure {
        let failure = failure_of(error);
        self.inner.stopped.replace(Some(failure.clone()));
        failure
    }

    /// Runs the compensations, last in first out. One that fails does not stop the others.
    async fn compensate(&self) -> Result<(), Failure> {
        loop {
            let Some(undo) = self.inner.undos.borrow_mut().pop() else { return Ok(()) };
            undo.run(self).await?;
        }
    }
}

/// Runs a durable function under its key: answers its recorded answer, waits for a run elsewhere, or runs `body`.
/// `function` is `interface#function`.
pub async fn run<I, T, E, F>(function: &str, key: String, input: I, body: F) -> Result<T, E>
where
    I: Serialize + DeserializeOwned,
    T: Serialize + DeserializeOwned,
    E: Serialize + DeserializeOwned + Fallible,
    F: AsyncFnOnce(Saga, I) -> Result<T, E>,
{
    let answer = async {
        let bytes = json::canonical(&input).map_err(|error| Failure::not_attempted(error.to_string()))?;
        execute(function, key, bytes, input, body).await
    };
    answer.await.unwrap_or_else(|failure| Err(E::from_failure(failure)))
}

/// Function and input of a saga that recovery resumes; for `resumable!`.
pub async fn load(key: &str) -> Result<(String, Vec<u8>), String> {
    journal::load(key.to_string()).await.map_err(|error| failure_of(&error).message)
}

/// Goes on with a saga; for `resumable!`. An answer that is a domain error is an answer.
pub async fn resume<I, T, E, F>(function: &str, key: String, input: &[u8], body: F) -> Result<(), String>
where
    I: Serialize + DeserializeOwned,
    T: Serialize + DeserializeOwned,
    E: Serialize + DeserializeOwned + Fallible,
    F: AsyncFnOnce(Saga, I) -> Result<T, E>,
{
    let decoded =
        serde_json::from_slice(input).map_err(|error| format!("the recorded input of {function}: {error}"))?;
    execute(function, key, input.to_vec(), decoded, body).await.map(drop).map_err(|failure| failure.message)
}

/// The outer error says that this run stopped and the saga has no answer from it.
async fn execute<I, T, E, F>(
    function: &str,
    key: String,
    bytes: Vec<u8>,
    input: I,
    body: F,
) -> Result<Result<T, E>, Failure>
where
    T: Serialize + DeserializeOwned,
    E: Serialize + DeserializeOwned + Fallible,
    F: AsyncFnOnce(Saga, I) -> Result<T, E>,
{
    let begun = journal::begin(function.to_string(), key.clone(), bytes).await.map_err(|error| failure_of(&error))?;
    let lease = match begun {
        journal::Begun::Finished(bytes) => return answer::decode(&bytes),
        journal::Begun::Busy => {
            let bytes = journal::wait(key).await.map_err(|error| failure_of(&error))?;
            return answer::decode(&bytes);
        }
        journal::Begun::Run(lease) => lease,
    };
    let (stopped, undos, occurrences) = (RefCell::default(), RefCell::default(), RefCell::default());
    let saga = Saga { inner: Rc::new(Inner { key, lease, stopped, undos, occurrences }) };
    let outcome = body(saga.clone(), input).await;
    saga.go_on()?;
    if outcome.is_err() {
        saga.compensate().await?;
    }
    let failed = outcome.is_err();
    let answer = answer::encode(outcome)?;
    journal::finish(lease, failed, answer.clone()).await.map_err(|error| saga.stop(&error))?;
    // The caller gets what a later caller will get.
    answer::decode(&answer)
}

fn failure_of(error: &durable::Error) -> Failure {
    match error {
        durable::Error::KeyReused => Failure::key_reused(),
        durable::Error::NotFound => Failure::not_attempted("there is no such saga"),
        durable::Error::LeaseLost => Failure::unknown("another run of this saga has taken over"),
        durable::Error::Mismatch(text) => Failure::unknown(format!("the code does not fit its journal: {text}")),
        durable::Error::TooLarge(text) | durable::Error::Denied(text) => Failure::not_attempted(text.clone()),
        durable::Error::Unavailable(text) => Failure::unknown(text.clone()),
    }
}
