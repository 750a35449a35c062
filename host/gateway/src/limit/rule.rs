//! How one caller's requests are counted, by strategy. Pure: time is handed in, in nanoseconds on the monotonic clock.
//! Which callers there are, and who is asked first, belongs to [`super::table`] and [`super::admission`].
//!
//! What each strategy promises, whatever the order in which requests come:
//! * fixed window: a window begins with a request that finds none; no window admits more than the limit.
//! * sliding window: no span as long as the window admits more than the limit. Requests are counted in slots of a
//!   sixtieth of the window, and a slot counts until even its last moment is out of the window, so that a request counts
//!   for up to a sixtieth longer than it must, and never shorter.
//! * token bucket: no span of time admits more than the capacity and what flows back in that span. Exact in whole
//!   numbers; nothing is rounded.
//! * concurrency: no more than the limit at a time.

use weft_core::manifest::RateStrategy;

/// Parts of a sliding window.
const SLOTS: u64 = 60;
const NS_PER_S: u64 = 1_000_000_000;

/// A strategy with its numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rule {
    Fixed {
        limit: u32,
        window_ns: u64,
    },
    Sliding {
        limit: u32,
        window_ns: u64,
    },
    /// A token has `unit` parts, and `refill` parts flow back in each nanosecond.
    Bucket {
        capacity: u32,
        refill: u64,
        unit: u64,
    },
    Concurrency {
        limit: u32,
    },
}

/// What is known of one caller. A caller of whom nothing is known is as good as [`Rule::fresh`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum State {
    Fixed {
        start_ns: u64,
        count: u32,
    },
    /// The number of a slot and what was admitted in it, oldest first; no slot is empty.
    Sliding(Vec<(u64, u32)>),
    /// Parts of tokens at that time.
    Bucket {
        level: u64,
        at_ns: u64,
    },
    Concurrency {
        count: u32,
    },
}

/// How a caller stands at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Standing {
    /// Requests that would be admitted at once.
    pub remaining: u32,
    /// Until more are, as far as it is up to this caller; 0 if nothing is counted, or nobody knows.
    pub reset_ns: u64,
}

/// What to give back if the request is refused after all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark(u64);

impl From<RateStrategy> for Rule {
    fn from(strategy: RateStrategy) -> Self {
        let ns = |s: u32| u64::from(s) * NS_PER_S;
        match strategy {
            RateStrategy::FixedWindow { limit, window_s } => Self::Fixed { limit, window_ns: ns(window_s) },
            RateStrategy::SlidingWindow { limit, window_s } => Self::Sliding { limit, window_ns: ns(window_s) },
            RateStrategy::TokenBucket { capacity, refill, interval_s } => {
                Self::Bucket { capacity, refill: refill.into(), unit: ns(interval_s) }
            }
            RateStrategy::Concurrency { limit } => Self::Concurrency { limit },
        }
    }
}

impl Rule {
    pub fn limit(self) -> u32 {
        match self {
            Self::Fixed { limit, .. } | Self::Sliding { limit, .. } | Self::Concurrency { limit } => limit,
            Self::Bucket { capacity, .. } => capacity,
        }
    }

    /// In which time the limit is whole again, in seconds, at least 1; none for concurrency.
    pub fn window_s(self) -> Option<u64> {
        let ns = match self {
            Self::Fixed { window_ns, .. } | Self::Sliding { window_ns, .. } => window_ns,
            Self::Bucket { capacity, refill, unit } => (u64::from(capacity) * unit).div_ceil(refill),
            Self::Concurrency { .. } => return None,
        };
        Some(ns.div_ceil(NS_PER_S).max(1))
    }

    pub fn is_concurrency(self) -> bool {
        matches!(self, Self::Concurrency { .. })
    }

    /// A caller that has not been seen.
    pub fn fresh(self, now_ns: u64) -> State {
        match self {
            Self::Fixed { .. } => State::Fixed { start_ns: now_ns, count: 0 },
            Self::Sliding { .. } => State::Sliding(Vec::new()),
            Self::Bucket { capacity, unit, .. } => State::Bucket { level: u64::from(capacity) * unit, at_ns: now_ns },
            Self::Concurrency { .. } => State::Concurrency { count: 0 },
        }
    }

    /// Lets time pass. It does not go back for one state: the clock is read when its lock is held.
    pub fn settle(self, state: &mut State, now_ns: u64) {
        match (self, state) {
            (Self::Fixed { window_ns, .. }, State::Fixed { start_ns, count })
                if *count == 0 || now_ns >= *start_ns + window_ns =>
            {
                (*start_ns, *count) = ((*start_ns).max(now_ns), 0);
            }
            (Self::Sliding { window_ns, .. }, State::Sliding(slots)) => {
                let over = slots.iter().take_while(|(slot, _)| now_ns >= slot_end(*slot, window_ns)).count();
                slots.drain(..over);
            }
            (Self::Bucket { capacity, refill, unit }, State::Bucket { level, at_ns }) => {
                let full = u64::from(capacity) * unit;
                let passed = now_ns.saturating_sub(*at_ns);
                *level = level.saturating_add(passed.saturating_mul(refill)).min(full);
                *at_ns = (*at_ns).max(now_ns);
            }
            // In-flight requests end by themselves; and a state is always of its own rule.
            _ => {}
        }
    }

    /// How a settled state stands.
    pub fn standing(self, state: &State, now_ns: u64) -> Standing {
        let standing = |used: u32, reset_ns| Standing { remaining: self.limit().saturating_sub(used), reset_ns };
        match (self, state) {
            (Self::Fixed { window_ns, .. }, State::Fixed { start_ns, count }) => {
                let end_ns = *start_ns + window_ns;
                standing(*count, if *count == 0 { 0 } else { end_ns.saturating_sub(now_ns) })
            }
            (Self::Sliding { window_ns, .. }, State::Sliding(slots)) => {
                let used = slots.iter().map(|(_, count)| count).sum();
                let first = slots.first().map_or(now_ns, |(slot, _)| slot_end(*slot, window_ns));
                standing(used, first.saturating_sub(now_ns))
            }
            (Self::Bucket { capacity, refill, unit }, State::Bucket { level, .. }) => {
                let whole = u32::try_from(level / unit).unwrap_or(u32::MAX);
                let missing = if whole >= capacity { 0 } else { unit - level % unit };
                Standing { remaining: whole, reset_ns: missing.div_ceil(refill) }
            }
            (_, State::Concurrency { count }) => standing(*count, 0),
            _ => standing(0, 0),
        }
    }

    /// Admits one request on a settled state that has room.
    pub fn take(self, state: &mut State, now_ns: u64) -> Mark {
        match (self, state) {
            (_, State::Fixed { start_ns, count }) => {
                *count = count.saturating_add(1);
                Mark(*start_ns)
            }
            (Self::Sliding { window_ns, .. }, State::Sliding(slots)) => {
                let last = slots.last().map_or(0, |(slot, _)| *slot);
                let slot = (now_ns / slot_ns(window_ns)).max(last);
                match slots.last_mut().filter(|(last, _)| *last == slot) {
                    Some((_, count)) => *count = count.saturating_add(1),
                    None => slots.push((slot, 1)),
                }
                Mark(slot)
            }
            (Self::Bucket { unit, .. }, State::Bucket { level, .. }) => {
                *level = level.saturating_sub(unit);
                Mark(0)
            }
            (_, State::Concurrency { count }) => {
                *count = count.saturating_add(1);
                Mark(0)
            }
            _ => Mark(0),
        }
    }

    /// Undoes [`Rule::take`], or ends the request of a concurrency limit.
    pub fn give_back(self, state: &mut State, mark: Mark) {
        match (self, state) {
            (_, State::Fixed { start_ns, count }) if *start_ns == mark.0 => *count = count.saturating_sub(1),
            (_, State::Sliding(slots)) => {
                if let Some((_, count)) = slots.iter_mut().find(|(slot, _)| *slot == mark.0) {
                    *count = count.saturating_sub(1);
                }
                slots.retain(|(_, count)| *count > 0);
            }
            (Self::Bucket { capacity, unit, .. }, State::Bucket { level, .. }) => {
                *level = level.saturating_add(unit).min(u64::from(capacity) * unit);
            }
            (_, State::Concurrency { count }) => *count = count.saturating_sub(1),
            _ => {}
        }
    }

    /// Whether a settled state says no more than that nothing is known.
    pub fn is_idle(self, state: &State) -> bool {
        match (self, state) {
            (Self::Bucket { capacity, unit, .. }, State::Bucket { level, .. }) => *level >= u64::from(capacity) * unit,
            (_, State::Sliding(slots)) => slots.is_empty(),
            (_, State::Fixed { count, .. } | State::Concurrency { count }) => *count == 0,
            _ => true,
        }
    }
}

fn slot_ns(window_ns: u64) -> u64 {
    window_ns.div_ceil(SLOTS)
}

/// From when on nothing that was admitted in the slot is in the window any more.
fn slot_end(slot: u64, window_ns: u64) -> u64 {
    (slot + 1) * slot_ns(window_ns) + window_ns
}

#[cfg(test)]
#[path = "rule_tests.rs"]
mod tests;
