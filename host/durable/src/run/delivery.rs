//! Handing out what is recorded, in the order of the journal, also to branches that run together; and noticing when the
//! code asks for something else.

use std::task::Poll;
use std::time::Duration;

use futures::future::{Either, select};

use super::Run;
use crate::error::SagaError;
use crate::replay::EventId;
use crate::types::Recording;

/// How long a record may wait for the code that asks for it. The code between two records only computes, so it asks at
/// once or never.
const REPLAY_PATIENCE: Duration = Duration::from_secs(5);
/// Between two records of branches that run together: the code sees the first before it sees the second.
const REPLAY_PACE: Duration = Duration::from_millis(20);

impl Run {
    /// Hands out the record at `index` when all before it are handed out.
    pub(super) async fn deliver(&self, index: usize, id: &EventId) -> Result<Recording, SagaError> {
        // Whoever gives the wait up, as the loser of a race does, wants the record no more.
        let turn = Turn { run: self, index };
        // Branches that run together have all asked before the first is answered.
        yield_once().await;
        if *self.cursor.borrow() < index {
            self.reach(index, &id.describe()).await?;
            self.inner().clock.sleep(REPLAY_PACE).await;
        }
        self.check_live()?;
        drop(turn);
        let recording = self.replay.recording(index).ok_or(SagaError::LeaseLost)?;
        self.clock.advance_to(recording.at_ms);
        Ok(recording)
    }

    /// Waits until everything recorded has been delivered; only then may something new run.
    pub(super) async fn replayed(&self, asked_for: &str) -> Result<(), SagaError> {
        let all = self.replay.len();
        if *self.cursor.borrow() < all {
            self.reach(all, asked_for).await?;
        }
        if self.lease.saga.state().cut_short {
            // Branches that were cut short together have all asked before one of them records something new.
            yield_once().await;
        }
        Ok(())
    }

    async fn reach(&self, index: usize, asked_for: &str) -> Result<(), SagaError> {
        let mut cursor = self.cursor.subscribe();
        let reached = async {
            // The sender lives as long as this run.
            let _ = cursor.wait_for(|at| *at >= index).await;
        };
        match select(std::pin::pin!(reached), self.inner().clock.sleep(REPLAY_PATIENCE)).await {
            Either::Left(_) => Ok(()),
            Either::Right(_) => Err(self.mismatch(asked_for).await),
        }
    }

    async fn mismatch(&self, asked_for: &str) -> SagaError {
        let expected = self.replay.describe(*self.cursor.borrow());
        let text =
            format!("the code does not fit its journal: {expected} is recorded next, the code asks for {asked_for}");
        match self.inner().park(&self.lease.saga, Some(self.lease.id), text.clone()).await {
            Ok(()) => SagaError::Mismatch(text),
            Err(error) => error,
        }
    }
}

/// Moves the cursor past a record when it is delivered or given up.
struct Turn<'a> {
    run: &'a Run,
    index: usize,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut state = self.run.state();
        state.delivered.insert(self.index);
        self.run.cursor.send_modify(|cursor| {
            while state.delivered.remove(cursor) {
                *cursor += 1;
            }
        });
    }
}

async fn yield_once() {
    let mut yielded = false;
    std::future::poll_fn(|context| {
        if std::mem::replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
