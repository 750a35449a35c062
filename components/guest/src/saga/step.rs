//! One step of a saga and its compensation: enter, run, leave, until it is settled. What an attempt came to is
//! decided here; whether to try again is decided by the journal.

use std::cell::RefCell;
use std::future::{Future, IntoFuture};
use std::marker::PhantomData;
use std::pin::Pin;
use std::rc::Rc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Saga, journal};
use crate::bindings::weft::durable::types::{AttemptResult, Entered, Left, Outcome, Phase, Recording};
use crate::bindings::weft::durable::types::{EventKind, LimitUse, RetryPolicy, StepOptions};
use crate::failure::{Failure, Fallible};

type Attempt = Pin<Box<dyn Future<Output = AttemptResult>>>;
type UndoFn = Box<dyn Fn(String, Option<&Recording>) -> Attempt>;

/// A step's own defaults: 30 s an attempt, three attempts.
const STEP: StepOptions = StepOptions {
    timeout_ms: 30_000,
    retry: RetryPolicy { max_attempts: 3, base_ms: 500, factor_percent: 200, cap_ms: 15_000 },
    limits: Vec::new(),
    occurrence: None,
};
/// A compensation tries for about a quarter of an hour, far longer than its step: an outage must not leave a charge or
/// a seat behind. What it leaves undone needs a person.
const UNDO: StepOptions = StepOptions {
    timeout_ms: 15_000,
    retry: RetryPolicy { max_attempts: 60, base_ms: 500, factor_percent: 200, cap_ms: 15_000 },
    limits: Vec::new(),
    occurrence: None,
};

/// The most bytes that the journal takes of one step.
const MAX_ANSWER_BYTES: usize = 1024 * 1024;

/// What a compensation is told of its step.
#[derive(Debug)]
pub enum StepOutcome<T> {
    /// It answered this.
    Success(T),
    /// It may or may not have happened.
    Unknown,
}

/// What the journal holds of a step, once it is settled; empty as long as it may still be running.
pub(super) type Settled = Rc<RefCell<Option<Recording>>>;

/// A registered compensation.
pub(super) struct Undo {
    name: String,
    key: String,
    settled: Settled,
    attempt: UndoFn,
    options: StepOptions,
}

impl Undo {
    /// Runs the compensation if its step did or may have done something. `Err` only if the journal stops this run.
    pub(super) async fn run(&self, saga: &Saga) -> Result<(), Failure> {
        let recording = self.settled.borrow().clone();
        if recording.as_ref().is_some_and(|recording| matches!(recording.outcome, Outcome::Error)) {
            return Ok(());
        }
        let attempt = |_key| (self.attempt)(self.key.clone(), recording.as_ref());
        settle(saga, &self.name, Phase::Undo, self.options.clone(), attempt).await.map(drop)
    }

    /// Whether this belongs to the step whose outcome is `settled`.
    pub(super) fn is_of(&self, settled: &Settled) -> bool {
        Rc::ptr_eq(&self.settled, settled)
    }
}

/// A step that runs when it is awaited.
#[must_use = "a step runs when it is awaited"]
pub struct Step<'s, T, E, F> {
    saga: &'s Saga,
    name: String,
    work: F,
    options: StepOptions,
    undo: Option<UndoFn>,
    undo_options: StepOptions,
    pub(super) settled: Settled,
    answer: PhantomData<fn() -> Result<T, E>>,
}

impl Saga {
    /// A step. `work` gets the step's idempotency key and may run several times, with the same key each time.
    pub fn step<T, E, F, Fut>(&self, name: &str, work: F) -> Step<'_, T, E, F>
    where
        F: Fn(String) -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        let (name, settled) = (name.to_string(), Settled::default());
        Step { saga: self, name, work, options: STEP, undo: None, undo_options: UNDO, settled, answer: PhantomData }
    }

    /// Counts the steps of a name as they begin.
    fn next_occurrence(&self, name: &str) -> u32 {
        let mut occurrences = self.inner.occurrences.borrow_mut();
        *occurrences.entry(name.to_string()).and_modify(|count| *count += 1).or_insert(1)
    }
}

impl<T, E, F> Step<'_, T, E, F> {
    /// Sets the timeout of each attempt.
    pub fn timeout_ms(mut self, timeout_ms: u32) -> Self {
        self.options.timeout_ms = timeout_ms;
        self
    }

    /// Sets the retry policy.
    pub fn retry(mut self, retry: RetryPolicy) -> Self {
        self.options.retry = retry;
        self
    }

    /// Sets how many attempts there are in all.
    pub fn max_attempts(mut self, max_attempts: u32) -> Self {
        self.options.retry.max_attempts = max_attempts;
        self
    }

    /// Each attempt keeps to a limit of `[application.tool.weft.limits]`, whoever else does: so many a second, so many
    /// at a time. The wait for it is no part of the attempt.
    pub fn limit(mut self, name: &str) -> Self {
        self.options.limits.push(LimitUse { name: name.to_string(), key: None });
        self
    }

    /// As [`Step::limit`], with the limit for each `key` by itself.
    pub fn limit_for(mut self, name: &str, key: &str) -> Self {
        self.options.limits.push(LimitUse { name: name.to_string(), key: Some(key.to_string()) });
        self
    }

    /// The retry policy of the compensation.
    pub fn undo_retry(mut self, retry: RetryPolicy) -> Self {
        self.undo_options.retry = retry;
        self
    }

    /// The compensation. It gets the key of its step and what the step came to, runs only if the step did or may have
    /// done something, and has to tolerate that nothing was done.
    pub fn undo<U, Fut, UT, UE>(mut self, undo: U) -> Self
    where
        T: DeserializeOwned,
        U: Fn(String, StepOutcome<T>) -> Fut + 'static,
        Fut: Future<Output = Result<UT, UE>> + 'static,
        UT: Serialize,
        UE: Serialize + Fallible,
    {
        let attempt = move |key: String, recording: Option<&Recording>| -> Attempt {
            let done = recording.filter(|recording| matches!(recording.outcome, Outcome::Success));
            let value = done.and_then(|recording| serde_json::from_slice(&recording.payload).ok());
            let undoing = undo(key, value.map_or(StepOutcome::Unknown, StepOutcome::Success));
            Box::pin(async move { attempt_result(&undoing.await) })
        };
        self.undo = Some(Box::new(attempt));
        self
    }
}

impl<'s, T, E, F, Fut> IntoFuture for Step<'s, T, E, F>
where
    T: Serialize + DeserializeOwned + 's,
    E: Serialize + DeserializeOwned + Fallible + 's,
    F: Fn(String) -> Fut + 's,
    Fut: Future<Output = Result<T, E>> + 's,
{
    type Output = Result<T, E>;
    type IntoFuture = Pin<Box<dyn Future<Output = Result<T, E>> + 's>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let Self { saga, name, work, options, undo, undo_options, settled, .. } = self;
            let occurrence = saga.next_occurrence(&name);
            let key = saga.step_key(&name, occurrence);
            // Before the step runs: whatever happens to it from here on is compensated.
            let undo = undo.map(|attempt| {
                let (name, settled) = (name.clone(), Rc::clone(&settled));
                let options = StepOptions { occurrence: Some(occurrence), ..undo_options };
                Rc::new(Undo { name, key, settled, attempt, options })
            });
            saga.inner.undos.borrow_mut().extend(undo);
            let attempt = |key| {
                let running = work(key);
                async move { attempt_result(&running.await) }
            };
            let recording = settle(saga, &name, Phase::Do, options, attempt).await.map_err(E::from_failure)?;
            let answer = decode(&name, &recording);
            settled.replace(Some(recording));
            answer
        })
    }
}

/// Runs attempts until the journal says that the step is settled.
async fn settle<Fut>(
    saga: &Saga,
    name: &str,
    phase: Phase,
    options: StepOptions,
    attempt: impl Fn(String) -> Fut,
) -> Result<Recording, Failure>
where
    Fut: Future<Output = AttemptResult>,
{
    let lease = saga.inner.lease;
    let kind = if matches!(phase, Phase::Do) { EventKind::Do } else { EventKind::Undo };
    let _seen = Seen::new(saga, kind, name);
    loop {
        saga.go_on()?;
        let entered = journal::enter(lease, name.to_string(), phase, options.clone()).await;
        let execution = match entered.map_err(|error| saga.stop(&error))? {
            Entered::Recorded(recording) => return Ok(recording),
            Entered::Execute(execution) => execution,
        };
        let result = attempt(execution.key).await;
        let left = journal::leave(lease, name.to_string(), phase, result).await;
        match left.map_err(|error| saga.stop(&error))? {
            Left::Settled(recording) => return Ok(recording),
            Left::Again => {}
        }
    }
}

/// Tells the journal, when it is dropped, that the code has gone on from what it was told under this kind and name; or
/// that it wants to hear no more of it, as of the loser of a race.
pub(super) struct Seen<'s> {
    saga: &'s Saga,
    kind: EventKind,
    name: String,
}

impl<'s> Seen<'s> {
    pub(super) fn new(saga: &'s Saga, kind: EventKind, name: &str) -> Self {
        Self { saga, kind, name: name.to_string() }
    }
}

impl Drop for Seen<'_> {
    fn drop(&mut self) {
        journal::seen(self.saga.inner.lease, self.kind, &self.name);
    }
}

/// What the code is told in place of an answer once the saga is cancelled.
pub(super) fn cancelled(recording: &Recording) -> Option<Failure> {
    let message = format!("the saga is cancelled: {}", String::from_utf8_lossy(&recording.payload));
    recording.cancelled.then(|| match recording.outcome {
        Outcome::Unknown => Failure::unknown(message),
        Outcome::Success | Outcome::Error => Failure::not_attempted(message),
    })
}

fn attempt_result<T: Serialize, E: Serialize + Fallible>(result: &Result<T, E>) -> AttemptResult {
    match result {
        Ok(value) => {
            let answer = encode(value);
            if answer.len() <= MAX_ANSWER_BYTES { AttemptResult::Success(answer) } else { too_large::<E>(answer.len()) }
        }
        Err(error) => match error.failure() {
            None => AttemptResult::Error(encode(error)),
            Some(failure) => AttemptResult::Failed((failure.may_have_run(), failure.retry_after_ms, encode(error))),
        },
    }
}

fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    // What cannot be coded cannot be decoded either, which is where it is told.
    serde_json::to_vec(value).unwrap_or_default()
}

/// Something was done, and its answer is lost: refused by the journal, the step would be done again on every run.
fn too_large<E: Serialize + Fallible>(bytes: usize) -> AttemptResult {
    let text = format!("a step answers at most {MAX_ANSWER_BYTES} bytes as JSON, this one has answered {bytes}");
    AttemptResult::Failed((true, None, encode(&E::from_failure(Failure::unknown(text)))))
}

/// The step's answer out of its record: the same on the first run and on every replay.
fn decode<T: DeserializeOwned, E: DeserializeOwned + Fallible>(name: &str, recording: &Recording) -> Result<T, E> {
    if let Some(failure) = cancelled(recording) {
        return Err(E::from_failure(failure));
    }
    let undecodable =
        |error| E::from_failure(Failure::unknown(format!("the record of step {name} cannot be decoded: {error}")));
    match recording.outcome {
        Outcome::Success => serde_json::from_slice(&recording.payload).map_err(undecodable),
        Outcome::Error | Outcome::Unknown => {
            Err(serde_json::from_slice(&recording.payload).unwrap_or_else(undecodable))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{AttemptResult, Outcome, Recording, attempt_result, decode};
    use crate::Failure;

    #[derive(Debug, PartialEq, serde::Serialize, serde::Deserialize)]
    enum Error {
        Full,
        Unavailable(String),
    }

    impl crate::Fallible for Error {
        fn failure(&self) -> Option<&Failure> {
            None
        }
        fn from_failure(failure: Failure) -> Self {
            Self::Unavailable(failure.message)
        }
    }

    fn recording(outcome: Outcome, payload: &[u8]) -> Recording {
        Recording { outcome, payload: payload.to_vec(), at_ms: 0, cancelled: false }
    }

    #[test]
    fn an_attempt_and_its_record_say_the_same() {
        let AttemptResult::Error(payload) = attempt_result::<(), _>(&Err(Error::Full)) else {
            panic!("a definite error")
        };
        assert_eq!(decode::<(), Error>("s", &recording(Outcome::Error, &payload)), Err(Error::Full));
        assert_eq!(decode::<(), Error>("s", &recording(Outcome::Unknown, &payload)), Err(Error::Full));
        let AttemptResult::Success(payload) = attempt_result::<_, Error>(&Ok(5_u32)) else { panic!("a success") };
        assert_eq!(decode::<u32, Error>("s", &recording(Outcome::Success, &payload)), Ok(5));
    }

    #[test]
    fn failures_say_whether_the_callee_may_have_run() {
        for (failure, may_have_run) in [(Failure::unknown("timeout"), true), (Failure::not_attempted("busy"), false)] {
            let AttemptResult::Failed((seen, ..)) = attempt_result::<(), _>(&Err(failure)) else { panic!("a failure") };
            assert_eq!(seen, may_have_run);
        }
    }

    #[test]
    fn an_answer_that_no_journal_takes_is_a_failure_after_which_something_may_be_done() {
        let fits = "x".repeat(super::MAX_ANSWER_BYTES - 2);
        assert!(matches!(attempt_result::<_, Error>(&Ok(fits.clone())), AttemptResult::Success(_)));
        let AttemptResult::Failed((may_have_run, _, payload)) = attempt_result::<_, Error>(&Ok(fits + "x")) else {
            panic!("a failure")
        };
        assert!(may_have_run);
        let told = decode::<String, Error>("s", &recording(Outcome::Unknown, &payload));
        assert!(matches!(told, Err(Error::Unavailable(text)) if text.contains("1048577")));
    }

    #[test]
    fn a_record_that_cannot_be_read_is_a_failure_not_a_success() {
        assert!(decode::<u32, Error>("s", &recording(Outcome::Success, b"x")).is_err());
        assert!(matches!(decode::<u32, Error>("s", &recording(Outcome::Unknown, b"")), Err(Error::Unavailable(_))));
    }
}
