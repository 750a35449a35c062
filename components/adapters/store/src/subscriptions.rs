//! Subscriptions: which events are whose, in which order, how often, and who has them now. A subscription reads the log
//! ahead by position and keeps a row for each event that is its own until that is settled. A row is lent to who takes it;
//! after the lease it is anybody's again, so that what a crash cut off comes again.

use std::collections::BTreeSet;

use adapter_settings::Subscription;

use crate::bindings::weft::messaging::deliveries::{Delivery, Refusal};
use crate::bindings::weft::messaging::types::Event;
use crate::bindings::weft::sql::types::{Error, Value};
use crate::connection::{Columns, Connection, Platform, int, text};
use crate::error::describe;
use crate::log::DELAY_MS;
use crate::store::Store;
use crate::time::rfc3339;
use crate::topic::TopicPattern;

/// How long a taken event is its taker's, in milliseconds.
pub const LEASE_MS: u64 = 60_000;
/// How many rows of the log one step reads ahead.
const AHEAD: u64 = 500;
/// How many unsettled events a subscription has before it reads no further.
const WINDOW: u64 = 1_000;

/// An event that is the taker's until its lease ends.
#[derive(Clone, Debug, PartialEq)]
pub struct Taken {
    /// Its place in the log.
    pub position: u64,
    /// What the handler is given.
    pub delivery: Delivery,
}

/// A row that waits.
struct Waiting {
    position: u64,
    due_ms: u64,
    attempts: u64,
    lease_until_ms: u64,
    ordering_key: Option<String>,
    expires_ms: Option<u64>,
    priority: u64,
}

/// How long to wait after the `attempt`th delivery failed, in milliseconds: the base, doubled each time, up to the cap.
#[must_use]
pub fn pause_ms(base_ms: u32, cap_ms: u32, attempt: u32) -> u64 {
    let doubled = u64::from(base_ms).saturating_mul(1_u64.checked_shl(attempt.saturating_sub(1)).unwrap_or(u64::MAX));
    doubled.min(u64::from(cap_ms))
}

impl<C: Connection, P: Platform> Store<C, P> {
    /// The next events of a subscription, at most `limit`. Each is an attempt, also if nobody settles it. With an order,
    /// no two of them have the same key, and none stands behind another of its key that waits for its retry or is taken.
    ///
    /// # Errors
    /// In words, for the log.
    pub fn take(&mut self, component: &str, name: &str, limit: u32) -> Result<Vec<Taken>, String> {
        let subscription = self.subscription(component, name)?;
        self.enter().map_err(|error| describe(&error))?;
        let taken = self.write(|store| {
            store.read_ahead(&subscription)?;
            let now_ms = store.platform.now_ms();
            let mut taken = Vec::new();
            for waiting in ready(store.waiting(&subscription)?, subscription.ordered, now_ms) {
                if taken.len() >= usize::try_from(limit).unwrap_or(usize::MAX) {
                    break;
                }
                if let Some(why) = given_up(&subscription, &waiting, now_ms) {
                    store.bury(&subscription, waiting.position, waiting.attempts, why)?;
                    continue;
                }
                taken.extend(store.lend(&subscription, &waiting, now_ms)?);
            }
            Ok::<_, Error>(taken)
        });
        taken.map_err(|error| describe(&error))
    }

    /// Says what became of a taken event.
    ///
    /// # Errors
    /// In words, for the log.
    pub fn settle(
        &mut self,
        component: &str,
        name: &str,
        position: u64,
        outcome: Result<(), Refusal>,
    ) -> Result<(), String> {
        let subscription = self.subscription(component, name)?;
        self.enter().map_err(|error| describe(&error))?;
        let settled = self.write(|store| {
            let Err(refusal) = outcome else { return store.forget(&subscription, position) };
            let select = "SELECT attempts FROM weft_deliveries \
                          WHERE component = ?1 AND name = ?2 AND position = ?3 AND lease_owner = ?4";
            let place = [text(component), text(name), int(position), text(&*store.taker)];
            // If the lease has ended and somebody else has it now, the outcome is theirs to tell.
            let Some(mut row) = store.first(select, &place)? else { return Ok(()) };
            store.refused(&subscription, position, row.number(), refusal)
        });
        settled.map_err(|error: Error| describe(&error))
    }

    fn refused(
        &self,
        subscription: &Subscription,
        position: u64,
        attempts: u64,
        refusal: Refusal,
    ) -> Result<(), Error> {
        let attempt = u32::try_from(attempts).unwrap_or(u32::MAX);
        let (message, pause_ms) = match refusal {
            Refusal::Reject(message) => return self.bury(subscription, position, attempts, &message),
            Refusal::Retry(message) => (message, pause_ms(subscription.base_ms, subscription.cap_ms, attempt)),
            Refusal::RetryAfter(later) => (later.message, later.delay_ms.min(DELAY_MS)),
        };
        if attempt >= subscription.max_attempts {
            return self.bury(subscription, position, attempts, &message);
        }
        let due_ms = self.platform.now_ms().saturating_add(pause_ms);
        let update = "UPDATE weft_deliveries SET due_ms = ?4, lease_owner = '', lease_until_ms = 0 \
                      WHERE component = ?1 AND name = ?2 AND position = ?3";
        let Subscription { component, name, .. } = subscription;
        self.run(update, &[text(&**component), text(&**name), int(position), int(due_ms)]).map(drop)
    }

    /// Whether there is something to take now. Reads ahead.
    pub(crate) fn has_deliveries(&self, subscription: &Subscription) -> Result<bool, Error> {
        self.read_ahead(subscription)?;
        Ok(!ready(self.waiting(subscription)?, subscription.ordered, self.platform.now_ms()).is_empty())
    }

    fn subscription(&self, component: &str, name: &str) -> Result<Subscription, String> {
        let known = |known: &&Subscription| known.component == component && known.name == name;
        let found = self.settings.subscriptions.iter().find(known).cloned();
        found.ok_or_else(|| format!("the component {component} has no subscription {name}"))
    }

    /// Makes rows of the events in the log that are the subscription's and that it has not read.
    fn read_ahead(&self, subscription: &Subscription) -> Result<(), Error> {
        let Subscription { component, name, topic, .. } = subscription;
        let own = [text(&**component), text(&**name)];
        let open = self.number("SELECT count(*) FROM weft_deliveries WHERE component = ?1 AND name = ?2", &own)?;
        if open >= WINDOW {
            return Ok(());
        }
        let place = "SELECT position FROM weft_subscriptions WHERE component = ?1 AND name = ?2";
        let position = self.number(place, &own)?;
        let select = "SELECT position, topic, time_ms + coalesce(delay_ms, 0) FROM weft_log WHERE position > ?1 \
                      ORDER BY position LIMIT ?2";
        let rows = self.run(select, &[int(position), int(AHEAD)])?.rows;
        let pattern = TopicPattern::new(topic);
        let mut read = position;
        for row in rows {
            let mut row = Columns::of(row);
            read = row.number();
            if pattern.matches(&row.text()) {
                let insert = "INSERT INTO weft_deliveries (component, name, position, due_ms, attempts, lease_owner, \
                              lease_until_ms) VALUES (?1, ?2, ?3, ?4, 0, '', 0)";
                self.run(insert, &[text(&**component), text(&**name), int(read), int(row.number())])?;
            }
        }
        if read > position {
            let update = "UPDATE weft_subscriptions SET position = ?3 WHERE component = ?1 AND name = ?2";
            self.run(update, &[text(&**component), text(&**name), int(read)])?;
        }
        Ok(())
    }

    /// What is not settled, in the order of the log.
    fn waiting(&self, subscription: &Subscription) -> Result<Vec<Waiting>, Error> {
        let select = "SELECT d.position, d.due_ms, d.attempts, d.lease_until_ms, l.ordering_key, l.time_ms, l.ttl_ms, \
                      l.priority FROM weft_deliveries d JOIN weft_log l ON l.position = d.position \
                      WHERE d.component = ?1 AND d.name = ?2 ORDER BY d.position";
        let rows = self.run(select, &[text(&*subscription.component), text(&*subscription.name)])?.rows;
        let read = |row| {
            let mut row = Columns::of(row);
            let (position, due_ms, attempts, lease_until_ms) = (row.number(), row.number(), row.number(), row.number());
            let (ordering_key, time_ms, ttl_ms) = (row.maybe_text(), row.number(), row.maybe_number());
            let ttl_ms = [ttl_ms, subscription.ttl_ms].into_iter().flatten().min();
            let expires_ms = ttl_ms.map(|ttl_ms| time_ms.saturating_add(ttl_ms));
            Waiting { position, due_ms, attempts, lease_until_ms, ordering_key, expires_ms, priority: row.number() }
        };
        Ok(rows.into_iter().map(read).collect())
    }

    /// Makes a row the taker's.
    fn lend(&self, subscription: &Subscription, waiting: &Waiting, now_ms: u64) -> Result<Option<Taken>, Error> {
        let Subscription { component, name, .. } = subscription;
        let update = "UPDATE weft_deliveries SET attempts = attempts + 1, lease_owner = ?4, lease_until_ms = ?5 \
                      WHERE component = ?1 AND name = ?2 AND position = ?3";
        let until = int(now_ms.saturating_add(LEASE_MS));
        let own = [text(&**component), text(&**name), int(waiting.position), text(&*self.taker), until];
        self.run(update, &own)?;
        let select = "SELECT id, source, type, subject, time_ms, topic, ordering_key, correlation_id, dataschema, data \
                      FROM weft_log WHERE position = ?1";
        let found = self.first(select, &[int(waiting.position)])?;
        let attempt = u32::try_from(waiting.attempts + 1).unwrap_or(u32::MAX);
        Ok(found.map(|row| {
            let delivery = Delivery { event: event(row), attempt, subscription: name.clone() };
            Taken { position: waiting.position, delivery }
        }))
    }

    fn forget(&self, subscription: &Subscription, position: u64) -> Result<(), Error> {
        let delete = "DELETE FROM weft_deliveries WHERE component = ?1 AND name = ?2 AND position = ?3";
        self.run(delete, &place(subscription, position)).map(drop)
    }

    /// Makes a dead letter of an event.
    fn bury(&self, subscription: &Subscription, position: u64, attempts: u64, why: &str) -> Result<(), Error> {
        self.forget(subscription, position)?;
        let insert = "INSERT INTO weft_dead_letters (component, name, position, attempts, error, failed_at_ms) \
                      VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
        let mut values = place(subscription, position).to_vec();
        values.extend([int(attempts), text(why), int(self.platform.now_ms())]);
        self.run(insert, &values).map(drop)
    }
}

fn place(subscription: &Subscription, position: u64) -> [Value; 3] {
    [text(&*subscription.component), text(&*subscription.name), int(position)]
}

/// Why an event is not delivered once more.
fn given_up(subscription: &Subscription, waiting: &Waiting, now_ms: u64) -> Option<&'static str> {
    if waiting.expires_ms.is_some_and(|expires_ms| expires_ms <= now_ms) {
        return Some("its time to live has passed");
    }
    let most = u64::from(subscription.max_attempts.max(1));
    (waiting.attempts >= most).then_some("the handler did not answer")
}

/// Those that may go out now: by priority, then by position.
fn ready(waiting: Vec<Waiting>, ordered: bool, now_ms: u64) -> Vec<Waiting> {
    let mut held = BTreeSet::new();
    let mut ready = Vec::new();
    for one in waiting {
        let key = one.ordering_key.clone().filter(|_| ordered);
        if key.as_ref().is_some_and(|key| held.contains(key)) {
            continue;
        }
        let taken = one.lease_until_ms > now_ms;
        if !taken && one.due_ms > now_ms && one.attempts == 0 {
            // It is delayed, and takes its place when it is due.
            continue;
        }
        held.extend(key);
        if !taken && one.due_ms <= now_ms {
            ready.push(one);
        }
    }
    ready.sort_by_key(|one| (std::cmp::Reverse(one.priority), one.position));
    ready
}

fn event(mut row: Columns) -> Event {
    Event {
        id: row.text(),
        source: row.text(),
        type_: row.text(),
        subject: row.maybe_text(),
        time: rfc3339(row.number()),
        topic: row.text(),
        ordering_key: row.maybe_text(),
        correlation_id: row.maybe_text(),
        traceparent: None,
        dataschema: row.maybe_text(),
        data: row.bytes(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        /// Pauses begin with the base, never shrink, and never pass the cap.
        #[test]
        fn pauses_grow_up_to_the_cap(base in 1_u32..100_000, cap in 1_u32..10_000_000, attempt in 1_u32..200) {
            let (now, next) = (pause_ms(base, cap, attempt), pause_ms(base, cap, attempt + 1));
            proptest::prop_assert!(now <= next && next <= u64::from(cap));
            proptest::prop_assert_eq!(pause_ms(base, u32::MAX, 1), u64::from(base));
            proptest::prop_assert!(next == u64::from(cap) || next == now * 2);
        }
    }
}
