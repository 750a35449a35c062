//! Durable functions: a chain of steps, each with a compensation, over the journal of the host. Owns the order of
//! steps and compensations and their encoding; retries, timeouts, delays and durability are the journal's.
//!
//! Code between steps is replayed after a crash: it takes the time and ids from its [`Saga`] alone, iterates nothing
//! unordered (no `HashMap`), and has no effects. Steps that run at the same time have names of their own.

mod answer;
mod child;
#[cfg(test)]
mod fake_journal;
#[cfg(test)]
mod over_sqlite;
mod start;
mod step;
#[cfg(test)]
mod tests;
mod together;
mod wait;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use serde::Serialize;
use serde::de::DeserializeOwned;

#[cfg(not(test))]
use crate::bindings::weft::durable::journal;
use crate::bindings::weft::durable::types as durable;
use crate::failure::{Failure, Fallible};
use crate::{ids, json};
#[cfg(test)]
use fake_journal as journal;

pub use crate::bindings::weft::durable::handles;
pub use crate::bindings::weft::durable::types::{Phase, RetryPolicy, SagaView, Status, StepView};
pub use answer::Answer;
pub use child::Child;
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
    generation: u32,
    /// Set once this run has to stop: from then on nothing runs and nothing is recorded.
    stopped: RefCell<Option<Stop>>,
    /// Compensations in the order of their steps.
    undos: RefCell<Vec<Rc<step::Undo>>>,
    occurrences: RefCell<BTreeMap<String, u32>>,
    /// How many ids this generation has made.
    ids: Cell<u32>,
}

/// Why a run stops before its saga has ended.
#[derive(Clone)]
enum Stop {
    /// Another run goes on, now or when a wait is over.
    Elsewhere,
    /// The journal refuses.
    Refused(Failure),
}

impl From<Stop> for Failure {
    fn from(stop: Stop) -> Self {
        match stop {
            Stop::Elsewhere => Self::unknown("this run of the saga has ended; the saga goes on"),
            Stop::Refused(failure) => failure,
        }
    }
}

impl Saga {
    /// The saga's key, which is its id.
    pub fn key(&self) -> &str {
        &self.inner.key
    }

    /// The time for code between steps, in milliseconds since the Unix epoch: that of what the code was told last, so that
    /// it is the same in every run.
    pub fn now_ms(&self) -> u64 {
        journal::now(self.inner.lease)
    }

    /// A new UUIDv7 for code between steps: of [`Saga::now_ms`], and the same in every run. It follows from the saga's key,
    /// so it is no secret.
    pub fn uuid(&self) -> String {
        let number = self.inner.ids.get() + 1;
        self.inner.ids.set(number);
        ids::derived_at(self.now_ms(), &[self.key(), &self.inner.generation.to_string(), &number.to_string()])
    }

    /// Attributes by which operators find the saga; a name that is set again has the new value.
    pub async fn set_attribute(&self, name: &str, value: &str) -> Result<(), Failure> {
        self.go_on()?;
        let pair = vec![(name.to_string(), value.to_string())];
        journal::set_attributes(self.inner.lease, pair).await.map_err(|error| self.stop(&error))
    }

    /// What [`handles::query`] answers under `name` from now on, without disturbing the saga.
    pub async fn expose<T: Serialize>(&self, name: &str, value: &T) -> Result<(), Failure> {
        self.go_on()?;
        let value = json::canonical(value).map_err(|error| Failure::not_attempted(error.to_string()))?;
        journal::expose(self.inner.lease, name.to_string(), value).await.map_err(|error| self.stop(&error))
    }

    /// The saga is cancelled, and its compensations run, when so much time has passed since this was first asked for.
    pub async fn set_deadline_ms(&self, after_ms: u64) -> Result<(), Failure> {
        self.go_on()?;
        journal::set_deadline(self.inner.lease, after_ms).await.map_err(|error| self.stop(&error))
    }

    /// What has been done so far stays: compensations of the steps so far are forgotten.
    pub fn commit(&self) {
        self.inner.undos.borrow_mut().clear();
    }

    /// Begins the saga anew with `input`, under the same key and with an empty journal: for work without an end, whose
    /// journal would grow for ever. What is to be known of it belongs into `input`; compensations are not carried over,
    /// so [`Saga::commit`] comes first. The body returns what this answers: an error ends the saga, as after a
    /// compensation that did not succeed.
    pub async fn continue_as_new<I: Serialize, T, E: Fallible>(&self, input: &I) -> Result<T, E> {
        let go_on = async {
            self.go_on()?;
            if !self.inner.undos.borrow().is_empty() {
                let text = "a saga that continues as new has no compensations: commit what is done";
                return Err(Failure::not_attempted(text));
            }
            let input = json::canonical(input).map_err(|error| Failure::not_attempted(error.to_string()))?;
            let continued = journal::continue_as_new(self.inner.lease, input).await;
            continued.map_err(|error| match error {
                // The saga ends here: a compensation did not succeed.
                durable::Error::Conflict(_) => failure_of(&error),
                error => self.stop(&error),
            })?;
            self.inner.stopped.replace(Some(Stop::Elsewhere));
            Err(Stop::Elsewhere.into())
        };
        go_on.await.map_err(E::from_failure)
    }

    fn go_on(&self) -> Result<(), Failure> {
        self.inner.stopped.borrow().clone().map_or(Ok(()), |stop| Err(stop.into()))
    }

    /// Stops this run: the journal no longer takes records, so another run or a later one goes on from there.
    fn stop(&self, error: &durable::Error) -> Failure {
        let stop = match error {
            durable::Error::LeaseLost => Stop::Elsewhere,
            refused => Stop::Refused(failure_of(refused)),
        };
        self.inner.stopped.replace(Some(stop.clone()));
        stop.into()
    }

    /// The key of a step: the same in every run, and in every generation another.
    fn step_key(&self, name: &str, occurrence: u32) -> String {
        match self.inner.generation {
            0 => format!("{}/{name}#{occurrence}", self.inner.key),
            generation => format!("{}~{generation}/{name}#{occurrence}", self.inner.key),
        }
    }

    /// Runs a compensation. It stays registered until it has come to an end, also if this is dropped on the way.
    async fn undo(&self, undo: &Rc<step::Undo>) -> Result<(), Failure> {
        undo.run(self).await?;
        self.inner.undos.borrow_mut().retain(|other| !Rc::ptr_eq(other, undo));
        Ok(())
    }

    /// Runs the compensations, last in first out. One that fails does not stop the others.
    async fn compensate(&self) -> Result<(), Failure> {
        loop {
            let Some(undo) = self.inner.undos.borrow().last().cloned() else { return Ok(()) };
            self.undo(&undo).await?;
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
        execute(function, key, bytes, input, body).await.map_err(Failure::from)
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
    match execute(function, key, input.to_vec(), decoded, body).await {
        Ok(_) | Err(Stop::Elsewhere) => Ok(()),
        Err(Stop::Refused(failure)) => Err(failure.message),
    }
}

/// The outer error says that this run stopped and the saga has no answer from it.
async fn execute<I, T, E, F>(
    function: &str,
    key: String,
    bytes: Vec<u8>,
    input: I,
    body: F,
) -> Result<Result<T, E>, Stop>
where
    I: DeserializeOwned,
    T: Serialize + DeserializeOwned,
    E: Serialize + DeserializeOwned + Fallible,
    F: AsyncFnOnce(Saga, I) -> Result<T, E>,
{
    let refused = |error: durable::Error| match error {
        durable::Error::LeaseLost => Stop::Elsewhere,
        error => Stop::Refused(failure_of(&error)),
    };
    let begun = journal::begin(function.to_string(), key.clone(), bytes).await.map_err(refused)?;
    let running = match begun {
        journal::Begun::Finished(bytes) => return answer::decode(&bytes).map_err(Stop::Refused),
        journal::Begun::Busy => {
            let bytes = journal::wait(key).await.map_err(refused)?;
            return answer::decode(&bytes).map_err(Stop::Refused);
        }
        journal::Begun::Run(running) => running,
    };
    let journal::Running { lease, generation, input: latest } = running;
    let input = match generation {
        0 => input,
        _ => serde_json::from_slice(&latest).map_err(|error| {
            Stop::Refused(Failure::not_attempted(format!("what {function} continues with: {error}")))
        })?,
    };
    let (stopped, undos, occurrences) = (RefCell::default(), RefCell::default(), RefCell::default());
    let ids = Cell::default();
    let saga = Saga { inner: Rc::new(Inner { key, lease, generation, stopped, undos, occurrences, ids }) };
    let stopped = |saga: &Saga| saga.inner.stopped.borrow().clone().map_or(Ok(()), Err);
    let outcome = body(saga.clone(), input).await;
    stopped(&saga)?;
    if outcome.is_err() {
        let compensated = saga.compensate().await;
        stopped(&saga)?;
        compensated.map_err(Stop::Refused)?;
    }
    let failed = outcome.is_err();
    let answer = answer::encode(outcome).map_err(Stop::Refused)?;
    let finished = journal::finish(lease, failed, answer.clone()).await.map_err(|error| saga.stop(&error));
    stopped(&saga)?;
    finished.map_err(Stop::Refused)?;
    // The caller gets what a later caller will get.
    answer::decode(&answer).map_err(Stop::Refused)
}

fn failure_of(error: &durable::Error) -> Failure {
    match error {
        durable::Error::KeyReused => Failure::key_reused(),
        durable::Error::NotFound => Failure::not_attempted("there is no such saga"),
        durable::Error::LeaseLost => Failure::unknown("another run of this saga has taken over"),
        durable::Error::Mismatch(text) => Failure::unknown(format!("the code does not fit its journal: {text}")),
        durable::Error::TooLarge(text) | durable::Error::Denied(text) | durable::Error::Conflict(text) => {
            Failure::not_attempted(text.clone())
        }
        durable::Error::Unavailable(text) => Failure::unknown(text.clone()),
    }
}
