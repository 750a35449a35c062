//! Telling the code of a saga what has happened, one thing at a time and in the order of the journal, on the first run
//! as on every other, also where branches run together; and noticing when the code asks for something else.

use std::collections::{BTreeMap, BTreeSet};

use futures::channel::oneshot;
use futures::future::{Either, select};

use super::Run;
use crate::replay::EventId;
use crate::types::{EventKind, Phase, Recording, SagaError, Status};
use crate::wake::yield_once;

/// How long a record may wait for the code that asks for it, while nothing else is handed out, in milliseconds. The
/// code between two records only computes, so it asks at once or never.
const REPLAY_PATIENCE_MS: u64 = 5000;

/// Whose turn it is. What is recorded has its numbers from the start; what happens in this run gets the next ones.
#[derive(Debug, Default)]
pub(super) struct Turns {
    known: usize,
    /// All before this number have been seen by the code.
    cursor: usize,
    /// Handed out and not yet seen.
    handed: Option<(usize, EventId)>,
    /// Those that nobody wants any more, as the loser of a race.
    passed: BTreeSet<usize>,
    waiting: BTreeMap<usize, Vec<oneshot::Sender<()>>>,
}

impl Turns {
    pub(super) fn new(recorded: usize) -> Self {
        Self { known: recorded, ..Self::default() }
    }

    /// The number of something that happens now.
    pub(super) fn next(&mut self) -> usize {
        self.known += 1;
        self.known - 1
    }

    /// Whether the code has still to go on from something.
    pub(super) fn is_handing(&self) -> bool {
        self.handed.is_some()
    }

    fn is_stuck_at(&self, cursor: usize) -> bool {
        self.cursor == cursor && self.handed.is_none()
    }

    /// Nobody is told anything more.
    pub(super) fn end(&mut self) -> Vec<oneshot::Sender<()>> {
        std::mem::take(&mut self.waiting).into_values().flatten().collect()
    }

    fn pass(&mut self, index: usize) -> Vec<oneshot::Sender<()>> {
        self.passed.insert(index);
        while self.passed.remove(&self.cursor) {
            self.cursor += 1;
        }
        let later = self.waiting.split_off(&(self.cursor + 1));
        std::mem::replace(&mut self.waiting, later).into_values().flatten().collect()
    }
}

impl Run {
    /// The code has gone on from what it was told last under this kind and name, or wants to hear no more of it: the
    /// attempt that runs under it, if one does, is given up.
    pub fn seen(&self, kind: EventKind, name: &str) {
        let handed = {
            let mut state = self.state.borrow_mut();
            let is_meant = |(_, id): &mut (usize, EventId)| id.kind == kind && id.name == name;
            state.turns.handed.take_if(is_meant).map(|(index, _)| index)
        };
        if let Some(index) = handed {
            self.pass(index);
        }
        let phase = match kind {
            EventKind::Do => Some(Phase::Do),
            EventKind::Undo => Some(Phase::Undo),
            EventKind::Timer | EventKind::Signal | EventKind::Child => None,
        };
        if let Some(phase) = phase {
            self.close(name, phase);
        }
        self.changed.notify();
    }

    fn pass(&self, index: usize) {
        let reached = self.state.borrow_mut().turns.pass(index);
        for waiting in reached {
            // Who waited may have gone.
            let _ = waiting.send(());
        }
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
        if index < self.replay.told() {
            // Branches that began together have all asked before the first is told, or a loser might never ask.
            yield_once().await;
        }
        self.reach(index, &id.describe()).await?;
        self.check_live()?;
        self.state.borrow_mut().turns.handed = Some((index, id.clone()));
        turn.handed = true;
        self.clock_ms.set(self.clock_ms.get().max(recording.at_ms));
        Ok(recording)
    }

    /// Waits until everything recorded has been seen; only then may something new run.
    pub(super) async fn replayed(&self, asked_for: &str) -> Result<(), SagaError> {
        self.reach(self.replay.told(), asked_for).await?;
        // Branches that begin together have all asked before one of them comes to something, or ends a race; and before
        // one that was cut short with them records something new.
        yield_once().await;
        Ok(())
    }

    /// Waits until all before `index` are seen. Every one that is seen renews the patience.
    async fn reach(&self, index: usize, asked_for: &str) -> Result<(), SagaError> {
        loop {
            if self.state.borrow().turns.cursor >= index {
                return Ok(());
            }
            self.check_live()?;
            let (mut reached, cursor) = {
                let mut state = self.state.borrow_mut();
                let (waker, reached) = oneshot::channel();
                state.turns.waiting.entry(index).or_default().push(waker);
                (reached, state.turns.cursor)
            };
            // The next to be told is the first to ask; the others wait for it.
            match select(&mut reached, self.inner.clock.sleep(REPLAY_PATIENCE_MS)).await {
                Either::Left(_) => {}
                Either::Right(_) => {
                    self.look()?;
                    let is_stuck = self.state.borrow().turns.is_stuck_at(cursor);
                    if is_stuck && cursor < self.replay.told() {
                        return Err(self.mismatch(asked_for));
                    }
                }
            }
        }
    }

    fn mismatch(&self, asked_for: &str) -> SagaError {
        let expected = self.replay.describe(self.state.borrow().turns.cursor);
        let text =
            format!("the code does not fit its journal: {expected} is recorded next, the code asks for {asked_for}");
        match self.end(Status::NeedsAttention, None, Some(&text)) {
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
            self.run.pass(self.index);
        }
    }
}
