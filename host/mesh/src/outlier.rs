//! When an instance that fails again and again is left out for a while: a pure state machine for each instance, told what time it is.
//! How many may be left out at the same time is up to whoever knows them all.

use std::time::Duration;

use weft_core::manifest::service::Ejection;

use crate::breaker::Verdict;

/// What one instance did of late.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Outlier {
    /// Failures since the last success.
    in_a_row: u32,
    /// How often it was left out; one less for each check that finds it in its place.
    ejections: u32,
    /// It is left out until a check after this.
    until: Option<Duration>,
}

impl Outlier {
    /// Takes in what came of a request. Answers whether it is to be left out by that; [`Self::eject`] does it.
    pub fn record(&mut self, verdict: Verdict, policy: &Ejection) -> bool {
        // What was under way when it was left out, or is sent there since no other is left, is no news.
        if self.until.is_some() {
            return false;
        }
        match verdict {
            Verdict::Success => self.in_a_row = 0,
            Verdict::Failure => self.in_a_row = self.in_a_row.saturating_add(1),
            Verdict::Nothing => return false,
        }
        policy.enabled && self.in_a_row >= policy.consecutive_failures
    }

    /// Leaves it out: the longer the more often that was.
    pub fn eject(&mut self, policy: &Ejection, now: Duration) -> Duration {
        self.ejections = self.ejections.saturating_add(1);
        self.in_a_row = 0;
        let time_ms = policy.base_ms.saturating_mul(self.ejections).min(policy.max_ms);
        let time = Duration::from_millis(time_ms.into());
        self.until = Some(now + time);
        time
    }

    /// Looks whether its time is over, as is done now and then. Answers whether it is back.
    pub fn check(&mut self, now: Duration) -> bool {
        match self.until {
            Some(until) if until <= now => {
                self.until = None;
                true
            }
            Some(_) => false,
            None => {
                self.ejections = self.ejections.saturating_sub(1);
                false
            }
        }
    }

    pub fn is_ejected(&self) -> bool {
        self.until.is_some()
    }

    pub fn ejections(&self) -> u32 {
        self.ejections
    }

    /// How long it is left out at least; nothing if it is not.
    pub fn left(&self, now: Duration) -> Option<Duration> {
        self.until.map(|until| until.saturating_sub(now))
    }
}

/// Whether one more of `all` may be left out.
pub(crate) fn may_eject(ejected: usize, all: usize, policy: &Ejection) -> bool {
    (ejected + 1) * 100 <= all * usize::try_from(policy.max_percent).unwrap_or_default()
}
