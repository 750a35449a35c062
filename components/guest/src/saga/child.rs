//! Child sagas: a saga that is begun by another and runs by itself. The parent waits for it without holding anything.

use std::future::{Future, IntoFuture};
use std::marker::PhantomData;
use std::pin::Pin;

use futures::future::{Either, select};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::step::{Seen, StepOutcome, cancelled};
use super::{Saga, answer, failure_of, handles, journal};
use crate::bindings::weft::durable::types::{EventKind, Outcome};
use crate::failure::{Failure, Fallible};

/// A child saga, which begins when it is awaited.
#[must_use = "a child saga begins when it is awaited"]
pub struct Child<'s, T, E, F> {
    saga: &'s Saga,
    name: String,
    call: F,
    answer: PhantomData<fn() -> Result<T, E>>,
}

impl Saga {
    /// Begins another durable function as a child and answers its answer. `call` gets the child's key, which is its id,
    /// and calls it. If this saga fails while the child runs, the child is cancelled; what a child that has ended did is
    /// taken back by a step of its own, if it is to be.
    pub fn child<T, E, F, Fut>(&self, name: &str, call: F) -> Child<'_, T, E, F>
    where
        F: Fn(String) -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        Child { saga: self, name: name.to_string(), call, answer: PhantomData }
    }
}

impl<'s, T, E, F, Fut> IntoFuture for Child<'s, T, E, F>
where
    T: Serialize + DeserializeOwned + 's,
    E: Serialize + DeserializeOwned + Fallible + 's,
    F: Fn(String) -> Fut + 's,
    Fut: Future<Output = Result<T, E>> + 'static,
{
    type Output = Result<T, E>;
    type IntoFuture = Pin<Box<dyn Future<Output = Result<T, E>> + 's>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let Self { saga, name, call, .. } = self;
            let begin = |key: String| begin(key.clone(), call(key));
            let key = saga.step(&name, begin).undo(cancel).await.map_err(E::from_failure)?;
            let waited = wait(saga, &name, key).await.map_err(E::from_failure)?;
            answer::decode(&waited).unwrap_or_else(|failure| Err(E::from_failure(failure)))
        })
    }
}

/// Begins the child; it goes on by itself once its start is durable. Answers its key.
async fn begin<T, E: Fallible>(key: String, call: impl Future<Output = Result<T, E>>) -> Result<String, Failure> {
    let call = std::pin::pin!(call);
    let started = std::pin::pin!(handles::started(key.clone()));
    match select(call, started).await {
        Either::Right((Ok(()), _)) => Ok(key),
        Either::Right((Err(handles::Error::NotFound), _)) => Err(Failure::unknown(format!(
            "the child {key} is not to be seen: its component belongs into `sagas` of this one's manifest"
        ))),
        Either::Right((Err(error), _)) => Err(failure_of(&error)),
        // It has ended already, or never begun; its answer is read from its journal.
        Either::Left((answered, _)) => match handles::status(key.clone()).await {
            Ok(_) => Ok(key),
            Err(_) => {
                let failure = answered.err().and_then(|error| error.failure().cloned());
                Err(failure.unwrap_or_else(|| Failure::not_attempted("the child did not begin")))
            }
        },
    }
}

/// A child that has ended, or never began, is not to be cancelled.
async fn cancel(key: String, _: StepOutcome<String>) -> Result<(), Failure> {
    match handles::cancel(key, "its parent is taken back".to_string()).await {
        Ok(()) | Err(handles::Error::NotFound | handles::Error::Conflict(_)) => Ok(()),
        Err(error) => Err(failure_of(&error)),
    }
}

async fn wait(saga: &Saga, name: &str, key: String) -> Result<Vec<u8>, Failure> {
    saga.go_on()?;
    let _seen = Seen::new(saga, EventKind::Child, name);
    let told = journal::child(saga.inner.lease, name.to_string(), key).await;
    let recording = told.map_err(|error| saga.stop(&error))?;
    if let Some(failure) = cancelled(&recording) {
        return Err(failure);
    }
    match recording.outcome {
        Outcome::Success => Ok(recording.payload),
        Outcome::Error | Outcome::Unknown => Err(Failure::unknown("the child has ended without an answer")),
    }
}
