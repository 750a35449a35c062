//! Overload: a limit on how many requests run at a time that follows from how long they take ([`limit`]), a queue for those
//! that come in a rush ([`queue`]), and routes that matter less refused before others ([`state`]). This file joins that to
//! time and to the tasks that wait; the stage that asks is `stack::shed`.

mod limit;
mod queue;
mod report;
mod routes;
mod rules;
mod slot;
mod state;

#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::channel::oneshot;
use futures::future::{Either, select};
use weft_core::Clock;
use weft_core::manifest::Route;

pub use report::{OverloadClass, OverloadReport, OverloadRoute};
pub(crate) use routes::RouteId;
pub(crate) use rules::Rules;
pub(crate) use slot::Slot;
use state::{Decision, State};
pub(crate) use state::{End, Kind};

type Wake = oneshot::Sender<bool>;

/// The limit of one gateway.
#[derive(Debug)]
pub(crate) struct Overload {
    clock: Arc<dyn Clock>,
    state: Mutex<State<Wake>>,
}

/// What becomes of a request.
#[derive(Debug)]
pub(crate) enum Asked {
    Run,
    Wait(Waiting),
    Refuse,
}

impl Overload {
    pub fn new(clock: Arc<dyn Clock>, rules: Rules) -> Self {
        Self { clock, state: Mutex::new(State::new(rules)) }
    }

    /// Keeps to these rules from now on.
    pub fn set_rules(&self, rules: Rules) {
        self.state().set_rules(rules);
    }

    /// These are the routes. What is known of those that were there before stays.
    pub fn set_routes<'a>(&self, routes: impl Iterator<Item = &'a Route>) -> Vec<RouteId> {
        let names: Vec<_> = routes.map(state::route_name).collect();
        self.state().routes.set(&names)
    }

    /// Whether a request may run.
    pub fn ask(self: &Arc<Self>, kind: Kind) -> Asked {
        let now = self.clock.monotonic();
        let mut told = None;
        let wake = || {
            let (wake, woken) = oneshot::channel();
            told = Some(woken);
            wake
        };
        let decision = self.state().ask(now, kind, wake, &mut tell);
        match (decision, told) {
            (Decision::Run, _) => Asked::Run,
            (Decision::Wait { id, patience }, Some(told)) => {
                Asked::Wait(Waiting { overload: Arc::clone(self), kind, id, patience, told })
            }
            _ => Asked::Refuse,
        }
    }

    /// How it stands.
    pub fn report(&self) -> OverloadReport {
        self.state().report()
    }

    fn release(&self, now: Duration, kind: Kind) {
        self.state().release(now, kind, &mut tell);
    }

    fn state(&self) -> MutexGuard<'_, State<Wake>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Called with the state locked, so that whoever gives up waiting finds out whether it was told.
fn tell(wake: Wake, may_run: bool) {
    // One that has gone away gives its place back itself.
    let _ = wake.send(may_run);
}

/// A request that waits for its turn.
#[derive(Debug)]
pub(crate) struct Waiting {
    overload: Arc<Overload>,
    kind: Kind,
    id: u64,
    patience: Duration,
    told: oneshot::Receiver<bool>,
}

impl Waiting {
    /// Whether it may run at last. It is refused when its patience ends, or `time` before that.
    pub async fn turn(mut self, time: Duration) -> bool {
        let patience = self.overload.clock.sleep(self.patience.min(time));
        let may_run = match select(&mut self.told, patience).await {
            Either::Left((told, _)) => told.unwrap_or(false),
            Either::Right(_) => self.give_up(),
        };
        if !may_run {
            self.overload.state().refused(self.kind.priority);
        }
        // What it was told is taken out of the channel, so nothing is left for the end to give back.
        may_run
    }

    /// Stops waiting; answers whether it was let in just before.
    fn give_up(&mut self) -> bool {
        let now = self.overload.clock.monotonic();
        let mut state = self.overload.state();
        !state.leave(now, self.kind.priority, self.id) && matches!(self.told.try_recv(), Ok(Some(true)))
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if self.give_up() {
            self.overload.release(self.overload.clock.monotonic(), self.kind);
        }
    }
}
