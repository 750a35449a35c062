//! Aggregates: what a stream of events comes to, and commands that decide on it. A command is handled once under its
//! key: its events are appended if the stream has not gone on since it was loaded, else it decides again on what has
//! come. Owns no rules: [`Aggregate::apply`] and the decision are the domain's.
//!
//! ```ignore
//! #[derive(Serialize, Deserialize)]
//! #[serde(tag = "type", content = "data")]
//! enum Event {
//!     #[serde(rename = "ledger.deposited")]
//!     Deposited { amount: u64 },
//! }
//!
//! #[derive(Default, Serialize, Deserialize)]
//! struct Account { balance: u64 }
//!
//! impl Aggregate for Account {
//!     type Event = Event;
//!     const CATEGORY: &'static str = "account";
//!     fn apply(&mut self, event: &Event) {
//!         let Event::Deposited { amount } = event;
//!         self.balance += amount;
//!     }
//! }
//!
//! async fn deposit(key: String, account: String, amount: u64) -> Result<u64, Error> {
//!     aggregate::command("ledger:accounts/desk@1.0.0#deposit", &key, &account, &amount, |state: &Account| {
//!         Ok(Decision::answer(state.balance + amount).event(Event::Deposited { amount }))
//!     })
//!     .await
//! }
//! ```

use std::cell::RefCell;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::events::{self, ExpectedVersion, NewEvent, Snapshot};
use crate::failure::{Failure, Fallible};
use crate::messaging::Outgoing;
use crate::operation::{self, Effect};
use crate::sql::{self, Statement};

/// The longest key that is noted as the cause of the events, in bytes.
const CAUSE_BYTES: usize = 255;

/// What a stream comes to. Its serde form is that of its snapshots.
pub trait Aggregate: Default + Serialize + DeserializeOwned {
    /// Its events; an enum as in [`events`].
    type Event: Serialize + DeserializeOwned;

    /// Streams are called `<category>-<id>`.
    const CATEGORY: &'static str;

    /// Of the snapshots; to be raised when the form of the state or the meaning of events changes. Older snapshots are
    /// passed over, and the state is made of the events again.
    const FORM: u32 = 1;

    /// A snapshot is kept when this many events have come since the last one.
    const SNAPSHOT_EVERY: u64 = 100;

    /// Takes in an event that has happened. It cannot refuse.
    fn apply(&mut self, event: &Self::Event);
}

/// What a command wants to happen, all of it or nothing.
#[derive(Debug)]
pub struct Decision<V, T, E> {
    events: Vec<V>,
    effect: Effect<T, E>,
}

impl<V, T, E> Decision<V, T, E> {
    /// A decision that so far only records its answer.
    pub fn answer(answer: T) -> Self {
        Self { events: Vec::new(), effect: Effect::answer(answer) }
    }

    /// Adds an event to the aggregate's stream; it is published too.
    #[must_use]
    pub fn event(mut self, event: V) -> Self {
        self.events.push(event);
        self
    }

    /// Adds a statement that nothing is expected to refuse.
    #[must_use]
    pub fn then(mut self, statement: Statement) -> Self {
        self.effect = self.effect.then(statement);
        self
    }

    /// Adds a statement; `refusal` is the answer if a constraint or an unexpected number of rows stops it.
    #[must_use]
    pub fn then_or(mut self, statement: Statement, refusal: E) -> Self {
        self.effect = self.effect.then_or(statement, refusal);
        self
    }

    /// Adds an event that is published and not part of the stream.
    #[must_use]
    pub fn publish(mut self, event: Outgoing) -> Self {
        self.effect = self.effect.event(event);
        self
    }
}

/// An aggregate as it stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Loaded<A> {
    /// What its events come to.
    pub state: A,
    /// The version of its last event; 0 if it has none.
    pub version: u64,
    /// The version in the snapshot that it was loaded from.
    snapshot: u64,
}

/// Loads an aggregate from its newest snapshot and the events since.
pub async fn load<A: Aggregate>(id: &str) -> Result<Loaded<A>, sql::Error> {
    let stream = stream::<A>(id);
    let loaded = match events::latest_snapshot(stream.clone()).await? {
        Some(snapshot) if snapshot.form == A::FORM => from_snapshot(&snapshot),
        _ => None,
    };
    catch_up(&stream, loaded.unwrap_or_default()).await
}

/// Handles a command under its key: `decide` sees the aggregate and says what happens; it runs again if others append
/// first, and not at all if the key has a record. `owner` is `interface#function`; the pair owns the effect for ever.
pub async fn command<A, I, T, E>(
    owner: &str,
    key: &str,
    id: &str,
    input: &I,
    decide: impl Fn(&A) -> Result<Decision<A::Event, T, E>, E>,
) -> Result<T, E>
where
    A: Aggregate,
    I: Serialize + ?Sized,
    T: Serialize + DeserializeOwned,
    E: Fallible + From<sql::Error>,
{
    let stream = stream::<A>(id);
    // What is known is not read again when others append first.
    let known = RefCell::new(None);
    // The aggregate is part of the input: one key for two of them is a mistake.
    let answer = operation::command(owner, key, &(id, input), async || {
        let before = known.take();
        let loaded = match before {
            Some(before) => catch_up(&stream, before).await?,
            None => load::<A>(id).await?,
        };
        let Decision { events, effect } = decide(&loaded.state)?;
        let events = caused(key, &events)?;
        let expected = ExpectedVersion::after(loaded.version);
        known.replace(Some(loaded));
        Ok(effect.append(&stream, expected, events))
    })
    .await?;
    if let Some(loaded) = known.take() {
        keep_snapshot(&stream, &loaded).await;
    }
    Ok(answer)
}

fn stream<A: Aggregate>(id: &str) -> String {
    format!("{}-{id}", A::CATEGORY)
}

/// A snapshot that does not fit the state is passed over: the events say the same.
fn from_snapshot<A: Aggregate>(snapshot: &Snapshot) -> Option<Loaded<A>> {
    let state = serde_json::from_slice(&snapshot.data).ok()?;
    Some(Loaded { state, version: snapshot.version, snapshot: snapshot.version })
}

/// Takes in what was appended since.
async fn catch_up<A: Aggregate>(stream: &str, loaded: Loaded<A>) -> Result<Loaded<A>, sql::Error> {
    let Loaded { state, version, snapshot } = loaded;
    let (state, version) = events::fold_after(stream, version, state, |mut state: A, event| {
        state.apply(&event.typed()?);
        Ok(state)
    })
    .await?;
    Ok(Loaded { state, version, snapshot })
}

/// Events that name the command as their cause.
fn caused<V: Serialize>(key: &str, events: &[V]) -> Result<Vec<NewEvent>, sql::Error> {
    let cause = (key.len() <= CAUSE_BYTES).then(|| key.to_string());
    let caused = |event: &V| Ok(NewEvent { causation_id: cause.clone(), ..NewEvent::typed(event)? });
    events.iter().map(caused).collect()
}

/// Keeps the state as it was loaded, which is sure to be that of its version. The command has happened by now: a
/// snapshot that cannot be kept costs the next one time, and a line in the log.
async fn keep_snapshot<A: Aggregate>(stream: &str, loaded: &Loaded<A>) {
    if loaded.version - loaded.snapshot < A::SNAPSHOT_EVERY {
        return;
    }
    let kept = match serde_json::to_vec(&loaded.state) {
        Ok(data) => events::save_snapshot(stream.to_string(), loaded.version, A::FORM, data)
            .await
            .map_err(|error| sql::Error::from(error).into()),
        Err(error) => Err(Failure::not_attempted(error.to_string())),
    };
    if let Err(failure) = kept {
        eprintln!("no snapshot of {stream} at version {}: {}", loaded.version, failure.message);
    }
}

#[cfg(test)]
mod tests;
