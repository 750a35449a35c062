//! Requests that wait for their turn, for a bounded time: a short rush is served a little later instead of being refused. Pure.
//!
//! Who matters more goes first. Among equals it is the one that came first, unless the queue has been long for as long
//! as anybody may wait: then more comes than can be served, somebody has to be refused, and it is better that it be
//! those who have waited longest, and soon. So the last one goes first then, and nobody waits longer than a tenth, until
//! the queue has been empty (adaptive LIFO and the CoDel timeout of Facebook's servers: B. Maurer, "Fail at Scale", ACM
//! Queue 13(8), 2015). A queue is long while somebody has waited for a twentieth, as in CoDel (RFC 8289), or has given up
//! after as long: many clients that each wait for an answer before they ask again keep one that is never empty, and are
//! all served.

use std::collections::VecDeque;
use std::time::Duration;

use weft_core::manifest::Priority;

use super::routes::RouteId;

const CLASSES: usize = Priority::ALL.len();
/// Of the patience: what anybody may wait while more comes than can be served,
const SHARE: u32 = 10;
/// and what somebody waits in a queue that is long: CoDel's target is this share of its interval.
const LONG: u32 = 20;

/// One that waits.
#[derive(Debug)]
pub(super) struct Waiter<W> {
    pub id: u64,
    pub route: RouteId,
    /// Whether it will hold a place.
    pub holds: bool,
    /// When it began to wait.
    came: Duration,
    /// Who is to be told.
    pub wake: W,
}

#[derive(Debug)]
pub(super) struct Queue<W> {
    /// The least important first.
    classes: [VecDeque<Waiter<W>>; CLASSES],
    len: usize,
    next_id: u64,
    /// Since when it has not been empty, nor short.
    long_since: Option<Duration>,
    /// When somebody last gave up who had waited for long.
    left: Option<Duration>,
}

impl<W> Default for Queue<W> {
    fn default() -> Self {
        Self { classes: [const { VecDeque::new() }; CLASSES], len: 0, next_id: 0, long_since: None, left: None }
    }
}

impl<W> Queue<W> {
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether any of this priority waits.
    pub fn has(&self, priority: Priority) -> bool {
        self.classes.get(priority as usize).is_some_and(|class| !class.is_empty())
    }

    /// Whether more comes than can be served.
    pub fn is_standing(&self, now: Duration, patience: Duration) -> bool {
        self.long_since.is_some_and(|since| now.saturating_sub(since) >= patience)
    }

    /// Whether nobody waits for so long, and nobody gave up within that time who had waited for long.
    fn is_short(&self, now: Duration, long: Duration) -> bool {
        let first = self.classes.iter().filter_map(VecDeque::front).map(|waiter| waiter.came).min();
        let is_past = |then: Duration| now.saturating_sub(then) >= long;
        !first.is_some_and(is_past) && self.left.is_none_or(is_past)
    }

    /// How long the next to come may wait.
    pub fn patience(&self, now: Duration, patience: Duration) -> Duration {
        if self.is_standing(now, patience) { patience / SHARE } else { patience }
    }

    /// Waits. Answers the number by which it can be taken out again.
    pub fn push(&mut self, now: Duration, priority: Priority, (route, holds): (RouteId, bool), wake: W) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        if let Some(class) = self.classes.get_mut(priority as usize) {
            class.push_back(Waiter { id, route, holds, came: now, wake });
            self.len += 1;
            self.long_since.get_or_insert(now);
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
        if !is_standing && self.is_short(now, patience / LONG) {
            self.long_since = Some(now);
        }
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
    pub fn remove(&mut self, now: Duration, patience: Duration, priority: Priority, id: u64) -> bool {
        let Some(class) = self.classes.get_mut(priority as usize) else { return false };
        // Numbers grow, so they are in order.
        let Ok(place) = class.binary_search_by_key(&id, |waiter| waiter.id) else { return false };
        let removed = class.remove(place);
        if removed.as_ref().is_some_and(|waiter| now.saturating_sub(waiter.came) >= patience / LONG) {
            self.left = Some(now);
        }
        self.shrunk(removed).is_some()
    }

    fn shrunk(&mut self, gone: Option<Waiter<W>>) -> Option<Waiter<W>> {
        if gone.is_some() {
            self.len -= 1;
            if self.len == 0 {
                self.long_since = None;
            }
        }
        gone
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::overload::routes::Routes;

    const PATIENCE: Duration = Duration::from_secs(1);

    /// So many clients that each ask again as soon as they are served, one every so often, for three seconds: the longest
    /// wait of those that were served, and whether it came to be taken for more than can be served.
    fn hammered(clients: u64, each: Duration) -> (Duration, bool) {
        let route = Routes::default().set(&["GET /a".into()])[0];
        let mut queue = Queue::default();
        let mut came: Vec<Duration> = vec![Duration::ZERO; usize::try_from(clients).unwrap()];
        for client in 0..clients {
            queue.push(Duration::ZERO, Priority::Normal, (route, true), client);
        }
        let (mut now, mut longest, mut stood) = (Duration::ZERO, Duration::ZERO, false);
        while now < 3 * PATIENCE {
            now += each;
            let served = queue.pop(now, Priority::Normal, PATIENCE, |_| true).unwrap().wake;
            longest = longest.max(now - came[usize::try_from(served).unwrap()]);
            stood |= queue.is_standing(now, PATIENCE);
            came[usize::try_from(served).unwrap()] = now;
            queue.push(now, Priority::Normal, (route, true), served);
        }
        (longest, stood)
    }

    #[test]
    fn many_clients_that_are_served_in_time_are_not_more_than_can_be_served() {
        let ms = Duration::from_millis;
        let (longest, stood) = hammered(200, Duration::from_micros(100));
        assert!(!stood && longest <= ms(21), "{longest:?}");
        let (_, stood) = hammered(200, ms(1));
        assert!(stood, "each would wait for 200 ms");
    }
}
