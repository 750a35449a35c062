//! What a pump takes in hand: events of the log, dead letters that are replayed, and events that were set aside. One
//! read at a time; one that fails is tried again after a pause.

use std::sync::Arc;

use futures::future::pending;
use tokio::task::JoinHandle;

use weft_core::Failure;

use super::super::message_log::{MessageLog, Page};
use super::super::progress::Wanted;
use super::super::queue::{Attempts, Item};
use super::super::unsaved::Parking;
use super::super::{DeadLetterFilter, Event};
use super::{Pump, lost};

/// Dead letters brought in at a time for replay.
const LETTERS: usize = 100;
/// Parked events brought in at a time.
const PARKED: usize = 1_000;
/// The pause after a read that failed, doubled for each further one, and the longest.
const AGAIN_MS: u64 = 500;
const LONGEST_PAUSE_MS: u64 = 30_000;

/// What came back from a read.
pub(super) enum Brought {
    Page(Page),
    Letters(Vec<(i64, Event)>),
    Parked(Wanted, Vec<(u64, Attempts, Option<Event>)>),
}

/// Events by their positions; none where the record is damaged.
pub(super) fn events_at(
    log: &MessageLog,
    positions: Vec<(u64, Attempts)>,
) -> Result<Vec<(u64, Attempts, Option<Event>)>, Failure> {
    positions.into_iter().map(|(at, attempts)| Ok((at, attempts, log.read(at)?))).collect()
}

impl Pump {
    /// Takes in hand what was read and is covered by the pattern.
    pub(super) fn take_ahead(&mut self) {
        if self.ahead.is_empty() {
            return;
        }
        let now_ms = self.parts.clock.now_ms();
        while self.has_room()
            && let Some((position, event)) = self.ahead.pop_front()
        {
            if self.rules.topic.matches(&event.topic) {
                self.take_new(position, event, now_ms);
            }
        }
        let next = self.ahead.front().map_or(self.read_next, |(position, _)| *position);
        self.unsaved.read_up_to(next);
    }

    fn take_new(&mut self, position: u64, event: Event, now_ms: u64) {
        let due_ms = event.handling.delay_ms.map_or(0, |delay_ms| event.time_ms.saturating_add(delay_ms));
        if due_ms > now_ms {
            let attempts = Attempts { ended: 0, due_ms };
            return self.set_aside(position, Parking { attempts, held: None });
        }
        let held = event.ordering_key.as_deref().filter(|key| self.holding.sets_aside(key)).map(Arc::from);
        if held.is_some() {
            return self.set_aside(position, Parking { attempts: Attempts::default(), held });
        }
        if self.queue.push(Item::Event(position), event, Attempts::default()) {
            self.unsaved.taken(position);
        }
    }

    pub(super) fn set_aside(&mut self, position: u64, parking: Parking) {
        self.parked += 1;
        self.unsaved.park(position, parking);
    }

    /// Takes an event in hand again that was not settled.
    pub(super) fn take_again(&mut self, position: u64, event: Option<Event>, attempts: Attempts) {
        let item = Item::Event(position);
        match event {
            Some(event) => drop(self.queue.push(item, event, attempts)),
            None => {
                tracing::error!(subscription = %self.id, position, "an event is damaged, and passed over");
                self.unsaved.delivered(item);
            }
        }
    }

    pub(super) fn start_read(&mut self) {
        let now_ms = self.parts.clock.now_ms();
        if self.reading.is_some() || !self.has_room() || self.ticks_ms() < self.read_not_before_ms {
            return;
        }
        // What the file says of parked events is true once nothing about them waits to be written.
        let parked_known = self.parked > 0 && self.saving.is_none() && !self.unsaved.has_parking();
        if !self.letters.is_empty() {
            self.read_letters();
        } else if parked_known && let Some(key) = self.holding.free() {
            self.read_parked(Wanted::OfKey(key));
        } else if parked_known && self.parked_due_ms.is_some_and(|due_ms| due_ms <= now_ms) {
            self.parked_due_ms = None;
            self.read_parked(Wanted::DueAt(now_ms));
        } else if self.ahead.is_empty() && *self.flushed.borrow_and_update() > self.read_next {
            let (log, from) = (Arc::clone(&self.parts.log), self.read_next);
            self.reading = Some(tokio::task::spawn_blocking(move || log.read_from(from).map(Brought::Page)));
        }
        if self.parked == 0
            && !self.unsaved.has_parking()
            && let Some(key) = self.holding.free()
        {
            self.holding.loaded(&key);
        }
    }

    fn read_letters(&mut self) {
        let letters: Vec<i64> = self.letters.iter().take(LETTERS).copied().collect();
        let file = self.parts.file.clone();
        self.reading = Some(tokio::spawn(async move {
            let mut found = Vec::with_capacity(letters.len());
            for id in letters {
                let filter = DeadLetterFilter { id: Some(id), subscription: None };
                found.extend(file.letters(filter, 1).await?.into_iter().map(|letter| (id, letter.event)));
            }
            Ok(Brought::Letters(found))
        }));
    }

    fn read_parked(&mut self, wanted: Wanted) {
        let (parts, id) = (self.parts.clone(), Arc::clone(&self.id));
        self.reading = Some(tokio::spawn(async move {
            let positions = parts.file.parked(id, wanted.clone(), PARKED).await?;
            let read = tokio::task::spawn_blocking(move || events_at(&parts.log, positions)).await;
            Ok(Brought::Parked(wanted, read.map_err(|error| lost(&error))??))
        }));
    }

    pub(super) fn brought(&mut self, brought: Result<Brought, Failure>) {
        match brought {
            Ok(brought) => {
                if std::mem::take(&mut self.reads_failed) > 0 {
                    self.shown.set_stopped(None);
                }
                match brought {
                    Brought::Page(page) => {
                        self.ahead.extend(page.events);
                        self.read_next = page.next;
                    }
                    Brought::Letters(letters) => {
                        let read = self.letters.len().min(LETTERS);
                        self.letters.drain(..read);
                        for (id, event) in letters {
                            self.queue.push(Item::Letter(id), event, Attempts::default());
                        }
                    }
                    Brought::Parked(wanted, events) => self.take_parked(&wanted, events),
                }
            }
            Err(error) => {
                tracing::error!(subscription = %self.id, %error, "the subscription cannot read on, and tries again");
                let pause_ms = AGAIN_MS.saturating_mul(1 << self.reads_failed.min(10)).min(LONGEST_PAUSE_MS);
                self.reads_failed += 1;
                self.read_not_before_ms = self.ticks_ms() + pause_ms;
                if self.parked > 0 && self.parked_due_ms.is_none() {
                    self.parked_due_ms = Some(self.parts.clock.now_ms() + pause_ms);
                }
                self.shown.set_stopped(Some(error.to_string()));
            }
        }
    }

    fn take_parked(&mut self, wanted: &Wanted, events: Vec<(u64, Attempts, Option<Event>)>) {
        let complete = events.len() < PARKED;
        for (position, attempts, event) in events {
            let key = event.as_ref().and_then(|event| event.ordering_key.as_deref());
            // A delayed event that comes due behind a dead letter of its key waits with the others; so do those that were
            // on their way when one before them became a dead letter.
            let held = key.filter(|key| match wanted {
                Wanted::DueAt(_) => self.holding.sets_aside(key),
                Wanted::OfKey(_) => self.holding.is_held(key),
            });
            if let Some(held) = held {
                let parking = Parking { attempts: Attempts { due_ms: 0, ..attempts }, held: Some(held.into()) };
                self.unsaved.park(position, parking);
                continue;
            }
            self.parked = self.parked.saturating_sub(1);
            self.unsaved.unpark(position, attempts.clone());
            self.take_again(position, event, Attempts { due_ms: 0, ..attempts });
        }
        // Events of the key that were set aside meanwhile are in the file after the next write, and are loaded then.
        if let Wanted::OfKey(key) = wanted
            && complete
            && self.saving.is_none()
            && !self.unsaved.holds_parking_of(key)
        {
            self.holding.loaded(key);
        }
    }
}

/// Resolves when there is something that is read and it has ended.
pub(super) async fn finished(reading: &mut Option<JoinHandle<Result<Brought, Failure>>>) -> Result<Brought, Failure> {
    let Some(handle) = reading else { return pending().await };
    let result = handle.await.unwrap_or_else(|error| Err(lost(&error)));
    *reading = None;
    result
}
