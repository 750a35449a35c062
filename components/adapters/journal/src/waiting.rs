//! Waiting from outside: for a saga to have begun, for its answer. What this instance does wakes who waits at once; for
//! what others do they look again after pauses.

use futures::future::select;

use crate::engine::Journal;
use crate::table::{self, Stands};
use crate::types::SagaError;
use crate::wake::Pauses;

/// The longest that anybody waits, in milliseconds.
const MAX_WAIT_MS: u32 = 60_000;

impl Journal {
    /// Waits for the answer of a saga that runs elsewhere, for at most 60 s.
    ///
    /// # Errors
    /// [`SagaError::NotFound`]; [`SagaError::LeaseLost`] if nobody runs it any more; [`SagaError::Unavailable`] if it
    /// ends without an answer, or has not answered by then.
    pub async fn wait(&self, key: &str) -> Result<Vec<u8>, SagaError> {
        let answer = self.look_for(MAX_WAIT_MS, |now_ms| match table::stands(&*self.inner.database, key, now_ms)? {
            Stands::Nowhere => Err(SagaError::NotFound),
            Stands::Runs => Ok(None),
            Stands::Rests => Err(SagaError::LeaseLost),
            Stands::Ended => self.answer(key).map(Some),
        });
        let unanswered = || SagaError::Unavailable(format!("saga {key} goes on and has not answered yet"));
        answer.await?.ok_or_else(unanswered)
    }

    /// The answer of a saga, or none after `timeout_ms` (and 60 s).
    ///
    /// # Errors
    /// [`SagaError::NotFound`]; [`SagaError::Unavailable`] if it ends without an answer.
    pub async fn wait_for(&self, key: &str, timeout_ms: u32) -> Result<Option<Vec<u8>>, SagaError> {
        self.look_for(timeout_ms, |now_ms| match table::stands(&*self.inner.database, key, now_ms)? {
            Stands::Nowhere => Err(SagaError::NotFound),
            Stands::Runs | Stands::Rests => Ok(None),
            Stands::Ended => self.answer(key).map(Some),
        })
        .await
    }

    /// Answers once the start of the saga is durable; waits for one that has not begun, for at most 60 s.
    ///
    /// # Errors
    /// [`SagaError::NotFound`] if none has begun by then.
    pub async fn started(&self, key: &str) -> Result<(), SagaError> {
        let begun = self.look_for(MAX_WAIT_MS, |now_ms| {
            let begun = !matches!(table::stands(&*self.inner.database, key, now_ms)?, Stands::Nowhere);
            Ok(begun.then_some(()))
        });
        begun.await?.ok_or(SagaError::NotFound)
    }

    fn answer(&self, key: &str) -> Result<Vec<u8>, SagaError> {
        let saga = table::find(&*self.inner.database, key)?;
        saga.and_then(|saga| saga.answer(key)).unwrap_or(Err(SagaError::NotFound))
    }

    /// Looks until there is something to be found, for at most so long.
    async fn look_for<T>(
        &self,
        timeout_ms: u32,
        look: impl Fn(u64) -> Result<Option<T>, SagaError>,
    ) -> Result<Option<T>, SagaError> {
        let clock = &self.inner.clock;
        let until_ms = clock.now_ms() + u64::from(timeout_ms.min(MAX_WAIT_MS));
        let mut pauses = Pauses::default();
        loop {
            let changed = self.inner.changed.next();
            let now_ms = clock.now_ms();
            if let Some(found) = look(now_ms)? {
                return Ok(Some(found));
            }
            if now_ms >= until_ms {
                return Ok(None);
            }
            let pause = clock.sleep(pauses.next_ms().min(until_ms - now_ms));
            select(changed, pause).await;
        }
    }
}
