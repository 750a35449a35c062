//! Telling the code of a saga what has happened, one thing at a time and in the order of the journal, on the first run
//! as on every other, also where branches run together; and noticing when the code asks for something else.

use std::collections::{BTreeMap, HashSet};
use std::task::Poll;
use std::time::Duration;

use futures::channel::oneshot;
use futures::future::{Either, select};

use super::{Run, Waker};
use crate::error::SagaError;
use crate::replay::EventId;
use crate::types::{EventKind, Phase, Recording};

/// How long a record may wait for the code that asks for it, while nothing else is handed out. The code between two
/// records only computes, so it asks at once or never.
const REPLAY_PATIENCE: Duration = Duration::from_secs(5);

/// Whose turn it is. What is recorded has its numbers from the start; what happens in this run gets the next ones.
#[derive(Debug, Default)]
pub(super) struct Turns {
    known: usize,
    /// All before this number have been seen by the code.
    cursor: usize,
    /// Handed out and not yet seen.
    handed: Option<(usize, EventId)>,
    /// Those that nobody wants any more, as the loser of a race.
    passed: HashSet<usize>,
    waiting: BTreeMap<usize, Vec<Waker>>,
}

impl Turns {
    pub fn new(recorded: usize) -> Self {
        Self { known: recorded, ..Self::default() }
    }

    /// The number of something that happens now.
    pub fn next(&mut self) -> usize {
        self.known += 1;
        self.known - 1
    }

    /// Whether the code has still to go on from something.
    pub fn is_handing(&self) -> bool {
        self.handed.is_some()
    }

    fn is_stuck_at(&self, cursor: usize) -> bool {
        self.cursor == cursor && self.handed.is_none()
    }

    fn pass(&mut self, index: usize) {
        self.passed.insert(index);
        self.advance();
    }

    fn advance(&mut self) {
        while self.passed.remove(&self.cursor) {
            self.cursor += 1;
        }
        let later = self.waiting.split_off(&(self.cursor + 1));
        let reached = std::mem::replace(&mut self.waiting, later);
        for waker in reached.into_values().flatten() {
            // Who waited may have gone.
            let _ = waker.send(());
        }
    }
}

impl Run {
    /// The code has gone on from what it was told last under this kind and name, or wants to hear no more of it: the
    /// attempt that runs under it, if one does, is given up.
    pub fn seen(&self, kind: EventKind, name: &str) {
        let mut state = self.state();
        if let Some((index, _)) = state.turns.handed.take_if(|(_, id)| id.kind == kind && id.name == name) {
            state.turns.pass(index);
        }
        drop(state);
        let phase = match kind {
            EventKind::Do => Some(Phase::Do),
            EventKind::Undo => Some(Phase::Undo),
            EventKind::Timer | EventKind::Signal | EventKind::Child => None,
        };
        if let Some(phase) = phase
            && let Ok(open) = self.close(name, phase)
        {
            self.state().places.remove(&EventId::new(phase, name, open.occurrence));
        }
        self.changed.notify_waiters();
    }

    /// The place of something that the code is told. Whoever gives it up before it is told, as the loser of a race does,
    /// wants it no more.
    pub(super) fn turn(&self, index: usize) -> Turn<'_> {
        Turn { run: self, index, handed: false }
    }

    /// Hands out a recording when all before its turn are seen.
    pub(super) async fn tell(
        &self,
        mut turn: Turn<'_>,
        id: &EventId,
        recording: Recording,
    ) -> Result<Recording, SagaError> {
        let index = turn.index;
        if index < self.replay.len() {
            // Branches that began together have all asked before the first is told, or a loser might never ask.
            yield_once().await;
        }
        self.reach(index, &id.describe()).await?;
        self.check_live()?;
        self.state().turns.handed = Some((index, id.clone()));
        turn.handed = true;
        self.clock.advance_to(recording.at_ms);
        Ok(recording)
    }

    /// Waits until everything recorded has been seen; only then may something new run.
    pub(super) async fn replayed(&self, asked_for: &str) -> Result<(), SagaError> {
        self.reach(self.replay.len(), asked_for).await?;
        // Branches that begin together have all asked before one of them comes to something, or ends a race; and before
        // one that was cut short with them records something new.
        yield_once().await;
        Ok(())
    }

    /// Waits until all before `index` are seen. Every one that is seen renews the patience.
    pub(super) async fn reach(&self, index: usize, asked_for: &str) -> Result<(), SagaError> {
        loop {
            let (mut reached, cursor) = {
                let mut state = self.state();
                if state.turns.cursor >= index {
                    return Ok(());
                }
                let (waker, reached) = oneshot::channel();
                state.turns.waiting.entry(index).or_default().push(waker);
                (reached, state.turns.cursor)
            };
            // The next to be told is the first to ask; the others wait for it.
            match select(&mut reached, self.inner().clock.sleep(REPLAY_PATIENCE)).await {
                Either::Left(_) => {}
                Either::Right(_) => {
                    self.check_live()?;
                    if self.state().turns.is_stuck_at(cursor) && cursor < self.replay.len() {
                        return Err(self.mismatch(asked_for).await);
                    }
                }
            }
        }
    }

    async fn mismatch(&self, asked_for: &str) -> SagaError {
        let expected = self.replay.describe(self.state().turns.cursor);
        let text =
            format!("the code does not fit its journal: {expected} is recorded next, the code asks for {asked_for}");
        if self.lease.rehearsal {
            self.verdict(Err(text.clone()));
            return SagaError::Mismatch(text);
        }
        match self.inner().park(&self.lease.saga, Some(self.lease.id), text.clone()).await {
            Ok(()) => SagaError::Mismatch(text),
            Err(error) => error,
        }
    }
}

/// Passes over what was not handed out.
pub(super) struct Turn<'a> {
    run: &'a Run,
    index: usize,
    handed: bool,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        if !self.handed {
            self.run.state().turns.pass(self.index);
        }
    }
}

pub(crate) async fn yield_once() {
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
