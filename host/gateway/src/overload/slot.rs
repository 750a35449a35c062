//! The place of one request among those that run, from when it is let in to the head of its answer. While it waits for its
//! client to send more of its body it does not hold it, and that time is none of its own: else a few slow clients would keep
//! everybody out. What is left of an answer once its head is there goes at the client's pace as well, and needs no place.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::{End, Kind, Overload};

/// The place; it is given back by [`Self::end`].
#[derive(Debug)]
pub(crate) struct Slot {
    overload: Arc<Overload>,
    kind: Kind,
    began: Duration,
    phase: Mutex<Phase>,
}

#[derive(Debug)]
enum Phase {
    Runs {
        /// How long it has waited for its client so far.
        waited: Duration,
    },
    Waits {
        since: Duration,
        waited: Duration,
    },
    Ended,
}

impl Slot {
    /// For a request that was let in just now.
    pub fn new(overload: Arc<Overload>, kind: Kind) -> Self {
        let began = overload.clock.monotonic();
        Self { overload, kind, began, phase: Mutex::new(Phase::Runs { waited: Duration::ZERO }) }
    }

    /// The client has not sent what is asked for.
    pub fn wait(&self) {
        let mut phase = self.phase.lock().unwrap_or_else(PoisonError::into_inner);
        if let Phase::Runs { waited } = *phase {
            let now = self.overload.clock.monotonic();
            *phase = Phase::Waits { since: now, waited };
            self.overload.release(now, self.kind);
        }
    }

    /// It has now.
    pub fn go_on(&self) {
        let mut phase = self.phase.lock().unwrap_or_else(PoisonError::into_inner);
        if let Phase::Waits { since, waited } = *phase {
            let now = self.overload.clock.monotonic();
            *phase = Phase::Runs { waited: waited + now.saturating_sub(since) };
            self.overload.state().take(self.kind);
        }
    }

    /// The head of the answer is there, or there will be none. `how` is given how long the request took, without its
    /// client's pauses.
    pub fn end(&self, how: impl FnOnce(Duration) -> End) {
        let mut phase = self.phase.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.overload.clock.monotonic();
        let (holds, waited) = match std::mem::replace(&mut *phase, Phase::Ended) {
            Phase::Runs { waited } => (true, waited),
            Phase::Waits { since, waited } => (false, waited + now.saturating_sub(since)),
            Phase::Ended => return,
        };
        let took = now.saturating_sub(self.began).saturating_sub(waited);
        let end = if self.kind.holds { how(took) } else { End::Untold };
        let mut state = self.overload.state();
        state.learn(now, self.kind.route, end);
        if holds {
            state.release(now, self.kind, &mut super::tell);
        }
    }
}
