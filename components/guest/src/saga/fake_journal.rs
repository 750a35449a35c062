//! A journal in memory, with the functions of `weft:durable/journal`: what the saga helper's tests run against. Every
//! retry is due at once. A test may put the journal on SQLite in its place, see `over_sqlite`.

use std::cell::RefCell;
use std::collections::BTreeMap;

use super::over_sqlite;
pub use crate::bindings::weft::durable::journal::{Begun, Running};
use crate::bindings::weft::durable::types::{
    AttemptResult, Entered, Error, EventKind, Execution, Left, Outcome, Phase, Recording, StepOptions,
};

/// When every saga has begun; each step takes a second.
const BEGAN_MS: u64 = 1_790_000_000_000;

#[derive(Default)]
pub struct Fake {
    /// What was asked of the journal, in order: `do a`, `undo a`, `finish ok`.
    pub log: Vec<String>,
    pub finished: Option<Vec<u8>>,
    pub input: Vec<u8>,
    /// Refuses this many calls from now, as a journal does whose lease has passed on.
    pub lease_lost_after: Option<usize>,
    /// The time of what was told last.
    pub now_ms: u64,
    settled: BTreeMap<String, Recording>,
    attempts: BTreeMap<String, (u32, bool)>,
    options: BTreeMap<String, StepOptions>,
}

thread_local! {
    static FAKE: RefCell<Fake> = RefCell::default();
}

pub fn with<T>(look: impl FnOnce(&mut Fake) -> T) -> T {
    FAKE.with_borrow_mut(look)
}

fn named(name: &str, phase: Phase) -> String {
    format!("{} {name}", if matches!(phase, Phase::Do) { "do" } else { "undo" })
}

fn alive(fake: &mut Fake) -> Result<(), Error> {
    match &mut fake.lease_lost_after {
        Some(0) => Err(Error::LeaseLost),
        Some(left) => {
            *left -= 1;
            Ok(())
        }
        None => Ok(()),
    }
}

pub async fn begin(function: String, key: String, input: Vec<u8>) -> Result<Begun, Error> {
    if let Some(real) = over_sqlite::journal() {
        return over_sqlite::begin(&real, &function, &key, &input);
    }
    with(|fake| {
        if let Some(answer) = &fake.finished {
            return Ok(Begun::Finished(answer.clone()));
        }
        if !fake.input.is_empty() && fake.input != input {
            return Err(Error::KeyReused);
        }
        fake.input.clone_from(&input);
        fake.now_ms = BEGAN_MS;
        Ok(Begun::Run(Running { lease: 1, generation: 0, input }))
    })
}

pub async fn load(key: String) -> Result<(String, Vec<u8>), Error> {
    if let Some(real) = over_sqlite::journal() {
        return real.load(&key).map_err(over_sqlite::error);
    }
    Ok(("test".to_string(), with(|fake| fake.input.clone())))
}

pub async fn enter(lease: u64, name: String, phase: Phase, options: StepOptions) -> Result<Entered, Error> {
    if let Some(real) = over_sqlite::journal() {
        return over_sqlite::enter(&real, lease, &name, phase, &options).await;
    }
    with(|fake| {
        alive(fake)?;
        let id = named(&name, phase);
        if let Some(recording) = fake.settled.get(&id).cloned() {
            fake.now_ms = recording.at_ms;
            return Ok(Entered::Recorded(recording));
        }
        fake.log.push(id.clone());
        fake.options.insert(id.clone(), options);
        let attempt = fake.attempts.entry(id).or_default().0 + 1;
        Ok(Entered::Execute(Execution { attempt, key: format!("k/{name}#1") }))
    })
}

pub async fn leave(lease: u64, name: String, phase: Phase, result: AttemptResult) -> Result<Left, Error> {
    if let Some(real) = over_sqlite::journal() {
        return over_sqlite::leave(&real, lease, &name, phase, result).await;
    }
    with(|fake| {
        alive(fake)?;
        let id = named(&name, phase);
        let max_attempts = fake.options.get(&id).map_or(1, |options| options.retry.max_attempts);
        let (attempts, may_have_run) = fake.attempts.entry(id.clone()).or_default();
        *attempts += 1;
        let (outcome, payload) = match result {
            AttemptResult::Success(payload) => (Outcome::Success, payload),
            AttemptResult::Error(payload) if *may_have_run => (Outcome::Unknown, payload),
            AttemptResult::Error(payload) => (Outcome::Error, payload),
            AttemptResult::Failed((ran, _, payload)) => {
                *may_have_run |= ran;
                if *attempts < max_attempts {
                    return Ok(Left::Again);
                }
                (if *may_have_run { Outcome::Unknown } else { Outcome::Error }, payload)
            }
        };
        fake.now_ms += 1000;
        let recording = Recording { outcome, payload, at_ms: fake.now_ms, cancelled: false };
        fake.settled.insert(id, recording.clone());
        Ok(Left::Settled(recording))
    })
}

pub fn now(lease: u64) -> u64 {
    if let Some(real) = over_sqlite::journal() {
        return over_sqlite::now(&real, lease);
    }
    with(|fake| fake.now_ms)
}

pub fn seen(lease: u64, kind: EventKind, name: &str) {
    if let Some(real) = over_sqlite::journal() {
        over_sqlite::seen(&real, lease, kind, name);
    }
}

pub async fn sleep(lease: u64, name: String, duration_ms: u64) -> Result<Recording, Error> {
    if let Some(real) = over_sqlite::journal() {
        return over_sqlite::sleep(&real, lease, &name, duration_ms).await;
    }
    told(Vec::new())
}

/// Every signal is `7`.
pub async fn signal(_lease: u64, _name: String, _timeout_ms: Option<u64>) -> Result<Recording, Error> {
    told(b"7".to_vec())
}

/// Every child answers `7`.
pub async fn child(_lease: u64, _name: String, _key: String) -> Result<Recording, Error> {
    told(br#"{"ok":7}"#.to_vec())
}

fn told(payload: Vec<u8>) -> Result<Recording, Error> {
    with(alive)?;
    Ok(Recording { outcome: Outcome::Success, payload, at_ms: 0, cancelled: false })
}

pub async fn expose(_lease: u64, _name: String, _value: Vec<u8>) -> Result<(), Error> {
    with(alive)
}

pub async fn set_attributes(_lease: u64, _attributes: Vec<(String, String)>) -> Result<(), Error> {
    with(alive)
}

pub async fn set_deadline(_lease: u64, _after_ms: u64) -> Result<(), Error> {
    with(alive)
}

pub async fn continue_as_new(_lease: u64, _input: Vec<u8>) -> Result<(), Error> {
    with(alive)
}

pub async fn finish(lease: u64, failed: bool, answer: Vec<u8>) -> Result<(), Error> {
    if let Some(real) = over_sqlite::journal() {
        return over_sqlite::finish(&real, lease, failed, &answer).await;
    }
    with(|fake| {
        alive(fake)?;
        fake.log.push(format!("finish {}", if failed { "error" } else { "ok" }));
        fake.finished = Some(answer);
        Ok(())
    })
}

pub async fn wait(_key: String) -> Result<Vec<u8>, Error> {
    with(|fake| fake.finished.clone().ok_or(Error::NotFound))
}
