//! What a saga waits for without holding anything: a time, a signal.

use serde::de::DeserializeOwned;

use super::step::{Seen, cancelled};
use super::{Saga, journal};
use crate::bindings::weft::durable::types::{EventKind, Outcome, Recording};
use crate::failure::Failure;

impl Saga {
    /// A durable timer, from milliseconds to years. A long one holds no instance. `Err` if the saga is cancelled.
    pub async fn sleep(&self, name: &str, duration_ms: u64) -> Result<(), Failure> {
        self.go_on()?;
        let _seen = Seen::new(self, EventKind::Timer, name);
        let slept = journal::sleep(self.inner.lease, name.to_string(), duration_ms).await;
        let recording = slept.map_err(|error| self.stop(&error))?;
        cancelled(&recording).map_or(Ok(()), Err)
    }

    /// The next signal of this name; one that came before it was asked for is kept. `Err` if the saga is cancelled, or
    /// the signal is of another type.
    pub async fn signal<T: DeserializeOwned>(&self, name: &str) -> Result<T, Failure> {
        let recording = self.next_signal(name, None).await?;
        decode(name, &recording)
    }

    /// As [`Saga::signal`], for at most so long; `None` when the time has passed.
    pub async fn signal_within<T: DeserializeOwned>(&self, name: &str, timeout_ms: u64) -> Result<Option<T>, Failure> {
        let recording = self.next_signal(name, Some(timeout_ms)).await?;
        match recording.outcome {
            Outcome::Success => decode(name, &recording).map(Some),
            Outcome::Error | Outcome::Unknown => Ok(None),
        }
    }

    async fn next_signal(&self, name: &str, timeout_ms: Option<u64>) -> Result<Recording, Failure> {
        self.go_on()?;
        let _seen = Seen::new(self, EventKind::Signal, name);
        let told = journal::signal(self.inner.lease, name.to_string(), timeout_ms).await;
        let recording = told.map_err(|error| self.stop(&error))?;
        cancelled(&recording).map_or(Ok(recording), Err)
    }
}

fn decode<T: DeserializeOwned>(name: &str, recording: &Recording) -> Result<T, Failure> {
    serde_json::from_slice(&recording.payload)
        .map_err(|error| Failure::not_attempted(format!("the signal {name} is of another type: {error}")))
}
