//! What a subscription has in hand: which events are ready, run, wait for their key or for their next attempt. Pure
//! state; reading the log, running handlers and remembering are done elsewhere.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use weft_core::{Outcome, Reason};

use super::{DeliveryError, Event};

/// The rank of the lowest priority.
const MAX_RANK: u8 = 9;
/// The longest time after which a handler may ask for the next attempt: 30 days.
const MAX_RETRY_AFTER_MS: u64 = 30 * 24 * 3_600 * 1_000;

/// What is to be delivered: an event of the log, or a dead letter that is replayed. Letters come first: they are older.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Item {
    /// Number of a dead letter.
    Letter(i64),
    /// Position in the log.
    Event(u64),
}

/// Where an item stands among its attempts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Attempts {
    /// Attempts that ended.
    pub ended: u32,
    /// When the next one is due, in milliseconds since the Unix epoch; 0 for at once.
    pub due_ms: u64,
}

/// When to try again, and how often; how long at all; and whether keys matter.
#[derive(Clone, Copy, Debug)]
pub(super) struct Policy {
    pub max_attempts: u32,
    pub base_ms: u32,
    pub cap_ms: u32,
    pub ttl_ms: Option<u64>,
    pub keyed: bool,
}

/// Why an event is given up without being handed out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Doom {
    #[error("its time to live has passed before it could be delivered")]
    Expired,
    #[error("the queue was full, and it was the oldest in it")]
    Overflow,
}

/// How an attempt ended.
#[derive(Debug)]
pub(super) enum Ending {
    Answered(Result<(), DeliveryError>),
    Doomed(Doom),
}

/// What became of an item after an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Settled {
    Delivered,
    /// It will be tried again.
    Again(Attempts),
    /// It is given up, and stays in hand until [`Queue::release`].
    Dead {
        attempts: u32,
        error: String,
    },
}

/// An attempt that is to be run now.
#[derive(Debug)]
pub(super) struct Ready {
    pub item: Item,
    /// From 1.
    pub attempt: u32,
    /// The event, if memory had room for it.
    pub event: Option<Arc<Event>>,
    /// It is not to be handed out.
    pub doom: Option<Doom>,
}

#[derive(Debug)]
struct Held {
    key: Option<Arc<str>>,
    event: Option<Arc<Event>>,
    attempts: Attempts,
    /// 0 goes first.
    rank: u8,
    time_ms: u64,
    /// Of the event itself.
    ttl_ms: Option<u64>,
    /// It is given up, and waits to be written down.
    dead: bool,
}

/// The items in hand. The first item of each ordering key is `active`: ready, waiting for its time, or running; the
/// others of the key wait behind it. An item without a key is always active.
#[derive(Debug)]
pub(super) struct Queue {
    policy: Policy,
    held: BTreeMap<Item, Held>,
    keys: HashMap<Arc<str>, VecDeque<Item>>,
    ready: BTreeSet<(u8, Item)>,
    later: BTreeSet<(u64, Item)>,
    running: BTreeSet<Item>,
    cached_bytes: usize,
    max_cached_bytes: usize,
}

impl Queue {
    pub(super) fn new(policy: Policy, max_cached_bytes: usize) -> Self {
        Self {
            policy,
            held: BTreeMap::new(),
            keys: HashMap::new(),
            ready: BTreeSet::new(),
            later: BTreeSet::new(),
            running: BTreeSet::new(),
            cached_bytes: 0,
            max_cached_bytes,
        }
    }

    pub(super) fn set_policy(&mut self, policy: Policy) {
        self.policy = policy;
    }

    pub(super) fn len(&self) -> usize {
        self.held.len()
    }

    pub(super) fn running(&self) -> usize {
        self.running.len()
    }

    /// How many could be handed out at once.
    pub(super) fn ready(&self) -> usize {
        self.ready.len()
    }

    /// The dead letters in hand.
    pub(super) fn letters(&self) -> Vec<i64> {
        let letter = |item: &Item| if let Item::Letter(id) = item { Some(*id) } else { None };
        self.held.keys().map_while(letter).collect()
    }

    /// The ordering key of an item in hand.
    pub(super) fn key_of(&self, item: Item) -> Option<Arc<str>> {
        self.held.get(&item)?.key.clone()
    }

    /// Takes an item in hand, behind those of its key. Answers false if it is there already.
    pub(super) fn push(&mut self, item: Item, event: Event, attempts: Attempts) -> bool {
        if self.held.contains_key(&item) {
            return false;
        }
        let key: Option<Arc<str>> = event.ordering_key.as_deref().filter(|_| self.policy.keyed).map(Arc::from);
        let first = key.as_ref().is_none_or(|key| {
            let waiting = self.keys.entry(Arc::clone(key)).or_default();
            waiting.push_back(item);
            waiting.len() == 1
        });
        let bytes = event.data.len();
        let cache = self.cached_bytes + bytes <= self.max_cached_bytes;
        if cache {
            self.cached_bytes += bytes;
        }
        let due_ms = attempts.due_ms;
        let rank = MAX_RANK.saturating_sub(event.handling.priority);
        // A replayed letter may be as old as it is.
        let ttl_ms = event.handling.ttl_ms.filter(|_| matches!(item, Item::Event(_)));
        let (time_ms, event) = (event.time_ms, cache.then(|| Arc::new(event)));
        self.held.insert(item, Held { key, event, attempts, rank, time_ms, ttl_ms, dead: false });
        if first {
            self.activate(item, rank, due_ms);
        }
        true
    }

    fn activate(&mut self, item: Item, rank: u8, due_ms: u64) {
        if due_ms == 0 {
            self.ready.insert((rank, item));
        } else {
            self.later.insert((due_ms, item));
        }
    }

    /// The next attempt to run at `now_ms`: the highest priority first, and the oldest item of that.
    pub(super) fn start(&mut self, now_ms: u64) -> Option<Ready> {
        while let Some(&(due_ms, item)) = self.later.first()
            && due_ms <= now_ms
        {
            self.later.pop_first();
            let rank = self.held.get(&item).map_or(0, |held| held.rank);
            self.ready.insert((rank, item));
        }
        let (_, item) = self.ready.pop_first()?;
        self.running.insert(item);
        let held = self.held.get(&item)?;
        let by_rule = self.policy.ttl_ms.filter(|_| matches!(item, Item::Event(_)));
        let ttl_ms = held.ttl_ms.into_iter().chain(by_rule).min();
        let expired = ttl_ms.is_some_and(|ttl_ms| held.time_ms.saturating_add(ttl_ms) <= now_ms);
        let doom = expired.then_some(Doom::Expired);
        Some(Ready { item, attempt: held.attempts.ended + 1, event: held.event.clone(), doom })
    }

    /// The oldest event that does not run, to be given up for want of room.
    pub(super) fn start_overflow(&mut self) -> Option<Ready> {
        let mut waiting = self.held.range(Item::Event(0)..);
        let (item, held) = waiting.find(|(item, held)| !held.dead && !self.running.contains(item))?;
        let item = *item;
        let (attempt, event) = (held.attempts.ended + 1, held.event.clone());
        self.ready.remove(&(held.rank, item));
        self.later.remove(&(held.attempts.due_ms, item));
        self.running.insert(item);
        Some(Ready { item, attempt, event, doom: Some(Doom::Overflow) })
    }

    /// Lets go of the events of a key that do not run, but for one. Answers which, oldest first.
    pub(super) fn take_key(&mut self, key: &str, but: Item) -> Vec<(u64, Attempts)> {
        let waiting = self.keys.get(key).into_iter().flatten();
        let idle: Vec<u64> = waiting
            .filter(|item| **item != but && !self.running.contains(item))
            .filter(|item| self.held.get(item).is_some_and(|held| !held.dead))
            .filter_map(|item| if let Item::Event(position) = item { Some(*position) } else { None })
            .collect();
        let mut taken = Vec::with_capacity(idle.len());
        // From the last on, so that none becomes the first of its key on the way.
        for position in idle.into_iter().rev() {
            if let Some(held) = self.held.get(&Item::Event(position)) {
                taken.push((position, held.attempts.clone()));
            }
            self.release(Item::Event(position));
        }
        taken.reverse();
        taken
    }

    /// When the next item comes due.
    pub(super) fn next_due_ms(&self) -> Option<u64> {
        self.later.first().map(|(due_ms, _)| *due_ms)
    }

    /// Notes how the attempt of a running item ended at `now_ms`.
    pub(super) fn end(&mut self, item: Item, ending: Ending, now_ms: u64) -> Option<Settled> {
        if !self.running.remove(&item) {
            return None;
        }
        let held = self.held.get_mut(&item)?;
        let settled = match ending {
            Ending::Answered(result) => judge(&self.policy, &mut held.attempts, item, result, now_ms),
            Ending::Doomed(doom) => Settled::Dead { attempts: held.attempts.ended, error: doom.to_string() },
        };
        match &settled {
            // One that was to be given up ahead of its turn waits for its turn.
            Settled::Again(_) if !is_front(&self.keys, held, item) => {}
            Settled::Again(attempts) => {
                self.later.insert((attempts.due_ms, item));
            }
            Settled::Delivered => self.release(item),
            // Its key waits until it is written down: after a crash it would come again, behind those of its key.
            Settled::Dead { .. } => held.dead = true,
        }
        Some(settled)
    }

    /// Lets an item go; if it was active, the next of its key follows. For dead ones, when they are written down.
    pub(super) fn release(&mut self, item: Item) {
        let Some(held) = self.held.remove(&item) else { return };
        self.ready.remove(&(held.rank, item));
        self.running.remove(&item);
        self.later.remove(&(held.attempts.due_ms, item));
        self.cached_bytes -= held.event.map_or(0, |event| event.data.len());
        let Some(key) = held.key else { return };
        let Entry::Occupied(mut waiting) = self.keys.entry(key) else { return };
        if waiting.get().front() != Some(&item) {
            return waiting.get_mut().retain(|other| *other != item);
        }
        waiting.get_mut().pop_front();
        match waiting.get().front().copied() {
            None => drop(waiting.remove()),
            Some(next) => {
                let (rank, due_ms) = self.held.get(&next).map_or((0, 0), |held| (held.rank, held.attempts.due_ms));
                self.activate(next, rank, due_ms);
            }
        }
    }
}

/// Whether an item is the one of its key whose turn it is.
fn is_front(keys: &HashMap<Arc<str>, VecDeque<Item>>, held: &Held, item: Item) -> bool {
    held.key.as_ref().is_none_or(|key| keys.get(key).and_then(VecDeque::front) == Some(&item))
}

fn judge(
    policy: &Policy,
    attempts: &mut Attempts,
    item: Item,
    result: Result<(), DeliveryError>,
    now_ms: u64,
) -> Settled {
    let Err(error) = result else { return Settled::Delivered };
    let (counts, last, wait_ms) = match &error {
        DeliveryError::Retry(_) => (true, false, 0),
        DeliveryError::RetryAfter { .. } => (true, false, 0),
        DeliveryError::Reject(_) => (true, true, 0),
        DeliveryError::Failed(failure) => {
            // Nothing that the event could be blamed for: no room, no time left in the queue, an open breaker.
            let no_fault_of_it = matches!(
                failure.reason,
                Reason::Overloaded | Reason::Deadline | Reason::Unavailable | Reason::ShuttingDown
            );
            let never_ran = failure.outcome == Outcome::NotAttempted && no_fault_of_it;
            let wait_ms = failure.retry_after_ms.unwrap_or_default();
            (!never_ran, failure.reason == Reason::Denied, u64::from(wait_ms))
        }
    };
    let tried = attempts.ended + 1;
    if counts {
        attempts.ended = tried;
    }
    if last || attempts.ended >= policy.max_attempts {
        return Settled::Dead { attempts: attempts.ended, error: error.to_string() };
    }
    let wait_ms = match &error {
        DeliveryError::RetryAfter { delay_ms, .. } => (*delay_ms).min(MAX_RETRY_AFTER_MS),
        _ => delay_ms(policy, item, tried).max(wait_ms),
    };
    attempts.due_ms = now_ms + wait_ms.max(1);
    Settled::Again(attempts.clone())
}

/// The pause after the `tried`-th attempt: doubled each time up to the cap, and of that between half and all, so that
/// items that failed together do not come back together. The share depends on the item and the attempt alone.
fn delay_ms(policy: &Policy, item: Item, tried: u32) -> u64 {
    let full = u64::from(policy.base_ms)
        .saturating_mul(1_u64.checked_shl(tried.saturating_sub(1)).unwrap_or(u64::MAX))
        .min(u64::from(policy.cap_ms));
    let mut hasher = DefaultHasher::new();
    (item, tried).hash(&mut hasher);
    let half = full / 2;
    full - hasher.finish() % (half + 1)
}

#[cfg(test)]
#[path = "queue_tests.rs"]
mod tests;
