//! The circuit breaker of one callee: a pure state machine, told what time it is.
//!
//! ```text
//! CLOSED --(within the window: failures >= failure_threshold, calls >= volume_threshold,
//!           failures / calls >= error_rate_percent)--> OPEN
//! OPEN --(reset_after has passed, at the next call)--> HALF_OPEN
//! HALF_OPEN --(success_threshold successes in a row)--> CLOSED      HALF_OPEN --(a failure)--> OPEN
//! ```
//!
//! While it is open, calls are refused at once. While it is half open, at most `success_threshold` calls are under way at a
//! time. What a call that was let in before the last change of state tells is no news of the state after it, and is not
//! counted. By hand it is held open or closed until it is reset.

use std::time::Duration;

use crate::policy::BreakerPolicy;
use crate::window::Window;

/// What a breaker does with calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreakerState {
    /// Lets all through and counts.
    Closed,
    /// Refuses all.
    Open,
    /// Lets some through, to see.
    HalfOpen,
}

impl BreakerState {
    /// As it is shown.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half-open",
        }
    }
}

/// Of a breaker, for operators.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BreakerView {
    /// What it does now.
    pub state: BreakerState,
    /// Whether it was put there by hand and stays until it is reset.
    pub forced: bool,
    /// Calls within the window.
    pub calls: u64,
    /// Those of them that failed.
    pub failures: u64,
    /// How long until it lets a call through to see; nothing unless it is open by itself.
    pub retry_after: Option<Duration>,
    /// How often it has opened since the process began.
    pub opened: u64,
    /// Calls that it refused since the process began.
    pub refused: u64,
}

/// What a call that was let in tells of its callee.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Success,
    Failure,
    /// Nothing, such as a call that its caller gave up.
    Nothing,
}

/// The right to make one call, to be handed back with what came of it.
#[derive(Debug, PartialEq, Eq)]
#[must_use]
pub(crate) struct Admission {
    /// The state that it was let in under, by its number.
    generation: u64,
}

/// A change of state, for whoever listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transition {
    /// From here.
    pub from: BreakerState,
    /// To there.
    pub to: BreakerState,
}

#[derive(Debug)]
enum State {
    Closed,
    Open { since: Duration },
    HalfOpen { under_way: u32, successes: u32 },
}

#[derive(Debug)]
pub(crate) struct Breaker {
    policy: BreakerPolicy,
    state: State,
    forced: bool,
    generation: u64,
    window: Window<2>,
    opened: u64,
    refused: u64,
}

const CALLS: usize = 0;
const FAILURES: usize = 1;

impl Breaker {
    pub fn new(policy: BreakerPolicy) -> Self {
        let window = Window::new(policy.window);
        Self { policy, state: State::Closed, forced: false, generation: 0, window, opened: 0, refused: 0 }
    }

    /// Lets a call in, or says how long to wait before another is worth trying.
    pub fn admit(&mut self, now: Duration) -> (Result<Admission, Duration>, Option<Transition>) {
        let mut transition = None;
        if let State::Open { since } = self.state
            && !self.forced
            && now.saturating_sub(since) >= self.policy.reset_after
        {
            transition = self.change(State::HalfOpen { under_way: 0, successes: 0 });
        }
        let most = self.policy.success_threshold;
        let refused_for = match &mut self.state {
            State::Closed => None,
            State::Open { since } => Some(self.policy.reset_after.saturating_sub(now.saturating_sub(*since))),
            State::HalfOpen { under_way, .. } if *under_way < most => {
                *under_way += 1;
                None
            }
            State::HalfOpen { .. } => Some(Duration::ZERO),
        };
        let answer = match refused_for {
            None => Ok(Admission { generation: self.generation }),
            Some(wait) => {
                self.refused = self.refused.saturating_add(1);
                Err(wait)
            }
        };
        (answer, transition)
    }

    /// Takes in what came of a call.
    pub fn record(&mut self, admission: Admission, verdict: Verdict, now: Duration) -> Option<Transition> {
        if admission.generation != self.generation {
            return None;
        }
        match &mut self.state {
            State::Closed => {
                if verdict == Verdict::Nothing {
                    return None;
                }
                self.window.count(now, CALLS);
                if verdict == Verdict::Success {
                    return None;
                }
                self.window.count(now, FAILURES);
                if self.forced || !self.is_too_much(now) {
                    return None;
                }
                self.open(now)
            }
            State::HalfOpen { under_way, successes } => {
                *under_way = under_way.saturating_sub(1);
                match verdict {
                    Verdict::Nothing => None,
                    Verdict::Failure => self.open(now),
                    Verdict::Success => {
                        *successes += 1;
                        if *successes < self.policy.success_threshold { None } else { self.change(State::Closed) }
                    }
                }
            }
            State::Open { .. } => None,
        }
    }

    /// Holds it open until it is reset.
    pub fn force_open(&mut self, now: Duration) -> Option<Transition> {
        self.forced = true;
        self.open(now)
    }

    /// Holds it closed until it is reset.
    pub fn force_closed(&mut self) -> Option<Transition> {
        self.forced = true;
        self.change(State::Closed)
    }

    /// Closes it, and leaves it to itself.
    pub fn reset(&mut self) -> Option<Transition> {
        self.forced = false;
        self.change(State::Closed)
    }

    pub fn view(&mut self, now: Duration) -> BreakerView {
        let [calls, failures] = self.window.sums(now);
        let retry_after = match self.state {
            State::Open { since } if !self.forced => {
                Some(self.policy.reset_after.saturating_sub(now.saturating_sub(since)))
            }
            _ => None,
        };
        let (state, forced) = (self.shown(), self.forced);
        BreakerView { state, forced, calls, failures, retry_after, opened: self.opened, refused: self.refused }
    }

    fn is_too_much(&mut self, now: Duration) -> bool {
        let [calls, failures] = self.window.sums(now);
        let policy = &self.policy;
        failures >= u64::from(policy.failure_threshold)
            && calls >= u64::from(policy.volume_threshold)
            && failures * 100 >= calls * u64::from(policy.error_rate_percent)
    }

    fn open(&mut self, now: Duration) -> Option<Transition> {
        self.opened = self.opened.saturating_add(1);
        self.change(State::Open { since: now })
    }

    /// A new state begins with nothing counted.
    fn change(&mut self, state: State) -> Option<Transition> {
        let from = self.shown();
        self.state = state;
        self.generation += 1;
        self.window.clear();
        let to = self.shown();
        (from != to).then_some(Transition { from, to })
    }

    fn shown(&self) -> BreakerState {
        match self.state {
            State::Closed => BreakerState::Closed,
            State::Open { .. } => BreakerState::Open,
            State::HalfOpen { .. } => BreakerState::HalfOpen,
        }
    }
}

#[cfg(test)]
mod tests;
