//! Requests that wait for their turn, for a bounded time: a short rush is served a little later instead of being refused. Pure.
//!
//! Who matters more goes first. Among equals it is the one that came first, unless the queue has not been empty for as long
//! as anybody may wait: then more comes than can be served, somebody has to be refused, and it is better that it be
//! those who have waited longest, and soon. So the last one goes first then, and nobody waits longer than a tenth
//! (adaptive LIFO and the CoDel timeout of Facebook's servers: B. Maurer, "Fail at Scale", ACM Queue 13(8), 2015).

use std::collections::VecDeque;
use std::time::Duration;

use weft_core::manifest::Priority;

use super::routes::RouteId;

const CLASSES: usize = Priority::ALL.len();

/// One that waits.
#[derive(Debug)]
pub(super) struct Waiter<W> {
    pub id: u64,
    pub route: RouteId,
    /// Whether it will hold a place.
    pub holds: bool,
    /// Who is to be told.
    pub wake: W,
}

#[derive(Debug)]
pub(super) struct Queue<W> {
    /// The least important first.
    classes: [VecDeque<Waiter<W>>; CLASSES],
    len: usize,
    next_id: u64,
    /// Since when it has not been empty.
    busy_since: Option<Duration>,
}

impl<W> Default for Queue<W> {
    fn default() -> Self {
        Self { classes: [const { VecDeque::new() }; CLASSES], len: 0, next_id: 0, busy_since: None }
    }
}

impl<W> Queue<W> {
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether more comes than can be served.
    pub fn is_standing(&self, now: Duration, patience: Duration) -> bool {
        self.busy_since.is_some_and(|since| now.saturating_sub(since) >= patience)
    }

    /// How long the next to come may wait.
    pub fn patience(&self, now: Duration, patience: Duration) -> Duration {
        if self.is_standing(now, patience) { patience / 10 } else { patience }
    }

    /// Waits. Answers the number by which it can be taken out again.
    pub fn push(&mut self, now: Duration, priority: Priority, (route, holds): (RouteId, bool), wake: W) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        if let Some(class) = self.classes.get_mut(priority as usize) {
            class.push_back(Waiter { id, route, holds, wake });
            self.len += 1;
            self.busy_since.get_or_insert(now);
        }
        id
    }

    /// Whose turn it is among those of one priority whose routes `may` run.
    pub fn pop(
        &mut self,
        now: Duration,
        priority: Priority,
        patience: Duration,
        may: impl Fn(RouteId) -> bool,
    ) -> Option<Waiter<W>> {
        let is_standing = self.is_standing(now, patience);
        let class = self.classes.get_mut(priority as usize)?;
        let mut may = |waiter: &Waiter<W>| may(waiter.route);
        let place = if is_standing { class.iter().rposition(&mut may) } else { class.iter().position(&mut may) };
        let next = place.and_then(|place| class.remove(place));
        self.shrunk(next)
    }

    /// Whoever has waited longest among those that matter least, and less than this.
    pub fn evict(&mut self, below: Priority) -> Option<Waiter<W>> {
        let mut classes = self.classes.iter_mut().take(below as usize);
        let evicted = classes.find_map(VecDeque::pop_front);
        self.shrunk(evicted)
    }

    /// Takes one out; answers whether it still waited.
    pub fn remove(&mut self, priority: Priority, id: u64) -> bool {
        let Some(class) = self.classes.get_mut(priority as usize) else { return false };
        // Numbers grow, so they are in order.
        let Ok(place) = class.binary_search_by_key(&id, |waiter| waiter.id) else { return false };
        let removed = class.remove(place);
        self.shrunk(removed).is_some()
    }

    fn shrunk(&mut self, gone: Option<Waiter<W>>) -> Option<Waiter<W>> {
        if gone.is_some() {
            self.len -= 1;
            if self.len == 0 {
                self.busy_since = None;
            }
        }
        gone
    }
}
