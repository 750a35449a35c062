//! Waiting from outside: for a saga to have begun, for its answer.

use std::time::Duration;

use futures::FutureExt as _;
use futures::channel::oneshot;
use futures::future::{BoxFuture, Either, select};

use crate::engine::{Inner, Sagas};
use crate::error::SagaError;

/// The longest that [`Sagas::started`] and [`Sagas::wait_for`] wait.
const MAX_WAIT: Duration = Duration::from_secs(60);

impl Sagas {
    /// Resolves to a saga's answer once it has one.
    ///
    /// # Errors
    /// [`SagaError::NotFound`]; [`SagaError::Unavailable`] if it ends without an answer.
    pub async fn wait(&self, key: &str) -> Result<Vec<u8>, SagaError> {
        let saga = self.inner.find(key).ok_or(SagaError::NotFound)?;
        let ended = {
            let mut state = saga.state();
            let (sender, ended) = oneshot::channel();
            if !state.is_ended() {
                state.waiting.retain(|waiting| !waiting.is_canceled());
                state.waiting.push(sender);
            }
            ended
        };
        // The sender goes when the saga has ended, or had.
        let _ = ended.await;
        self.inner.durable_answer(&saga).await
    }

    /// For a saga that goes on without a live run, because it waits: resolves when it has ended.
    #[must_use]
    pub fn ends_later(&self, key: &str) -> Option<BoxFuture<'static, ()>> {
        let saga = self.inner.find(key)?;
        let waits = {
            let state = saga.state();
            !state.is_ended() && state.lease.is_none()
        };
        let (sagas, key) = (self.clone(), key.to_owned());
        // What it answers is for whoever asks then.
        waits.then(|| async move { drop(sagas.wait(&key).await) }.boxed())
    }

    /// As [`Sagas::wait`], for at most `timeout_ms` (and 60 s); `None` when they have passed.
    ///
    /// # Errors
    /// As [`Sagas::wait`].
    pub async fn wait_for(&self, key: &str, timeout_ms: u32) -> Result<Option<Vec<u8>>, SagaError> {
        let timeout = Duration::from_millis(timeout_ms.into()).min(MAX_WAIT);
        let answer = std::pin::pin!(self.wait(key));
        match select(answer, self.inner.clock.sleep(timeout)).await {
            Either::Left((answer, _)) => answer.map(Some),
            Either::Right(_) => Ok(None),
        }
    }

    /// Resolves once the start of the saga is durable; waits for a saga that has not begun, for at most 60 s.
    ///
    /// # Errors
    /// [`SagaError::NotFound`] if none has begun by then.
    pub async fn started(&self, key: &str) -> Result<(), SagaError> {
        let begun = {
            let mut index = self.inner.index();
            let (sender, begun) = oneshot::channel();
            if index.get(key).is_none() {
                let waiting = index.awaited.entry(key.to_owned()).or_default();
                waiting.retain(|waiting| !waiting.is_canceled());
                waiting.push(sender);
            }
            begun
        };
        let _forget = Unawait { inner: &self.inner, key };
        select(begun, self.inner.clock.sleep(MAX_WAIT)).await;
        let saga = self.inner.find(key).ok_or(SagaError::NotFound)?;
        let end = saga.state().end;
        Ok(self.inner.log.flush(end).await?)
    }
}

/// Takes a waiter that is gone out of the index, so that waiting for keys that never come leaves nothing behind.
struct Unawait<'a> {
    inner: &'a Inner,
    key: &'a str,
}

impl Drop for Unawait<'_> {
    fn drop(&mut self) {
        let mut index = self.inner.index();
        if let Some(waiting) = index.awaited.get_mut(self.key) {
            waiting.retain(|waiting| !waiting.is_canceled());
            if waiting.is_empty() {
                index.awaited.remove(self.key);
            }
        }
    }
}
