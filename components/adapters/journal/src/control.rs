//! What is asked of a saga from outside: signals, queries, cancelling. Each is durable when it answers.

use crate::database::transaction;
use crate::engine::Journal;
use crate::table::{self, Saga};
use crate::types::{SagaError, check_name, check_size};
use crate::{MAX_NAME_BYTES, MAX_PAYLOAD_BYTES, MAX_SIGNALS};

impl Journal {
    /// Sends a signal; it waits until the saga asks for it. One whose id the saga has had under this name does nothing;
    /// an empty id is always new.
    ///
    /// # Errors
    /// [`SagaError::NotFound`]; [`SagaError::Conflict`] if the saga has ended; [`SagaError::TooLarge`], also if 1,000
    /// signals wait already; [`SagaError::Unavailable`].
    pub fn signal(&self, key: &str, name: &str, id: &str, payload: &[u8]) -> Result<(), SagaError> {
        check_name(name)?;
        check_size("the id of a signal", id.len(), MAX_NAME_BYTES)?;
        check_size("a signal's payload", payload.len(), MAX_PAYLOAD_BYTES)?;
        self.tell(key, |saga| {
            let database = &*self.inner.database;
            let (is_known, waiting) = table::signals(database, saga.position, name, id)?;
            if is_known {
                return Ok(());
            }
            if waiting >= MAX_SIGNALS {
                let text =
                    format!("{MAX_SIGNALS} signals wait for saga {key}: it takes no more until it asks for them");
                return Err(SagaError::TooLarge(text));
            }
            table::insert_signal(database, saga.position, (name, id), payload)?;
            table::news(database, saga.position, None, self.inner.clock.now_ms())
        })
    }

    /// Cancels the saga: what runs ends, nothing further begins, and the compensations run. Without effect on one that
    /// is cancelled.
    ///
    /// # Errors
    /// [`SagaError::NotFound`]; [`SagaError::Conflict`] if it has ended; [`SagaError::TooLarge`];
    /// [`SagaError::Unavailable`].
    pub fn cancel(&self, key: &str, reason: &str) -> Result<(), SagaError> {
        check_size("the reason of an order", reason.len(), 8 * MAX_NAME_BYTES)?;
        let now_ms = self.inner.clock.now_ms();
        self.tell(key, |saga| table::news(&*self.inner.database, saga.position, Some(reason), now_ms))
    }

    /// What the saga has exposed under this name last, in this generation.
    ///
    /// # Errors
    /// [`SagaError::NotFound`]; [`SagaError::Unavailable`].
    pub fn query(&self, key: &str, name: &str) -> Result<Option<Vec<u8>>, SagaError> {
        table::exposed(&*self.inner.database, key, name)
    }

    fn tell(&self, key: &str, what: impl FnOnce(&Saga) -> Result<(), SagaError>) -> Result<(), SagaError> {
        let database = &*self.inner.database;
        transaction(database, || {
            let saga = table::find(database, key)?.ok_or(SagaError::NotFound)?;
            if saga.ended {
                return Err(SagaError::Conflict(format!("saga {key} has ended")));
            }
            what(&saga)
        })?;
        self.inner.wake_all();
        Ok(())
    }
}
