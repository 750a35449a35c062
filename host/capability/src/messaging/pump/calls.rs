//! Deliveries: which events go out now and to whom, the calls of handlers, and what becomes of the events afterwards.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures::FutureExt;
use futures::stream::StreamExt;

use weft_core::{Failure, Fault, Outcome, Reason, Trace, id};

use super::super::event::MAX_ID_BYTES;
use super::super::message_log::MessageLog;
use super::super::queue::{Doom, Ending, Item, Ready, Settled};
use super::super::unsaved::{Batch, Obituary, Parking};
use super::super::{DeadLetterFilter, Deliver, Delivery, DeliveryError, Event, Handling, PublishError};
use super::members::Member;
use super::{Parts, Pump, ROUNDS, holds_keys, internal, lost};

/// From this pause before its next attempt on, an event that nobody waits behind is set aside until then.
const PARK_MS: u64 = 5_000;

/// A call that has ended, with all its events.
pub(super) struct Call {
    /// Whose; events that were not handed out have none.
    member: Option<Member>,
    ended: Vec<Ended>,
}

/// A delivery that ended.
struct Ended {
    item: Item,
    event: Option<Arc<Event>>,
    trace: Trace,
    ending: Ending,
    /// It was to be given up for want of room.
    overflows: bool,
}

impl Pump {
    /// Hands out what is ready, and takes what ends at once.
    pub(super) fn work(&mut self) {
        for _ in 0..ROUNDS {
            self.take_ahead();
            self.start_ready();
            let mut has_ended = false;
            while let Some(Some(call)) = self.running.next().now_or_never() {
                self.ended(call);
                has_ended = true;
            }
            if !has_ended {
                return;
            }
        }
        // Others have their turn before the next rounds; what is started here wakes this task.
        self.take_ahead();
        self.start_ready();
    }

    /// Calls that may run at once.
    pub(super) fn instances(&self) -> usize {
        self.scale.instances().unwrap_or_else(|| self.members.concurrency())
    }

    fn start_ready(&mut self) {
        if self.paused {
            return;
        }
        let now_ms = self.parts.clock.now_ms();
        self.start_overflow();
        if self.rules.queue.is_some() {
            self.scale.adjust(self.backlog(), self.ticks_ms());
        }
        let batch = usize::try_from(self.rules.batch).unwrap_or(1);
        loop {
            let room = self.members.prefetch().saturating_sub(self.queue.running());
            if room == 0 || self.members.running() >= self.instances() {
                return;
            }
            let mut ready = Vec::with_capacity(room.min(batch));
            while ready.len() < room.min(batch) {
                match self.queue.start(now_ms) {
                    None => break,
                    Some(Ready { doom: Some(doom), item, event, .. }) => self.start_doomed(item, event, doom),
                    Some(one) => ready.push(one),
                }
            }
            if ready.is_empty() {
                return;
            }
            let Some(member) = self.members.begin() else { return };
            let (parts, deliver) = (self.parts.clone(), Arc::clone(&self.deliver));
            self.running.push(Box::pin(call(parts, deliver, member, batch > 1, ready)));
        }
    }

    fn start_overflow(&mut self) {
        let Some(bound) = &self.bound else { return };
        let excess = bound.excess().saturating_sub(self.overflowing);
        for _ in 0..excess {
            let Some(Ready { item, event, .. }) = self.queue.start_overflow() else { return };
            self.overflowing += 1;
            self.start_doomed(item, event, Doom::Overflow);
        }
    }

    /// Gives an event up that is not to be handed out; its data may have to be read first.
    fn start_doomed(&mut self, item: Item, event: Option<Arc<Event>>, doom: Doom) {
        let parts = self.parts.clone();
        self.running.push(Box::pin(async move {
            let event = match event {
                Some(event) => Ok(event),
                None => load(&parts, item).await,
            };
            let trace = trace_of(event.as_deref().ok());
            let ending = match &event {
                Ok(_) => Ending::Doomed(doom),
                Err(failure) => Ending::Answered(Err(DeliveryError::Failed(failure.clone()))),
            };
            let overflows = doom == Doom::Overflow;
            Call { member: None, ended: vec![Ended { item, event: event.ok(), trace, ending, overflows }] }
        }));
    }

    pub(super) fn ended(&mut self, call: Call) {
        if let Some(member) = &call.member {
            self.members.end(member);
        }
        let now_ms = self.parts.clock.now_ms();
        for ended in call.ended {
            if ended.overflows {
                self.overflowing = self.overflowing.saturating_sub(1);
            }
            self.settle(ended, call.member.as_ref(), now_ms);
        }
    }

    fn settle(&mut self, ended: Ended, member: Option<&Member>, now_ms: u64) {
        let Ended { item, event, trace, ending, .. } = ended;
        let key = self.queue.key_of(item);
        let Some(settled) = self.queue.end(item, ending, now_ms) else { return };
        self.shown.count(settled == Settled::Delivered);
        match (settled, event) {
            (Settled::Delivered, _) => {
                self.unsaved.delivered(item);
                self.left(item);
                if let (Item::Letter(_), Some(key)) = (item, key) {
                    self.holding.let_go(&key);
                }
            }
            (Settled::Again(attempts), _) => match item {
                Item::Event(position) if key.is_none() && attempts.due_ms > now_ms + PARK_MS => {
                    self.queue.release(item);
                    self.set_aside(position, Parking { attempts, held: None });
                }
                _ => self.unsaved.again(item, attempts),
            },
            (Settled::Dead { attempts, error }, Some(event)) => {
                tracing::warn!(subscription = %self.id, event = %event.id, attempts, %error, "dead letter");
                let holds = key.filter(|_| holds_keys(&self.rules));
                if let Some(key) = &holds {
                    self.hold(item, key);
                }
                let traceparent = trace.traceparent();
                let digest = member.and_then(|member| self.deliver.digest(&member.component));
                let obituary = Obituary { event, error, attempts, traceparent, failed_at_ms: now_ms, digest, holds };
                self.unsaved.dead(item, obituary);
                self.left(item);
            }
            // An event that could not be read was never handed out, so it is never given up.
            (Settled::Dead { .. }, None) => {}
        }
    }

    /// The events of a key wait for the letter that an event of it became.
    fn hold(&mut self, item: Item, key: &Arc<str>) {
        // A letter that was replayed in vain holds its key already.
        if matches!(item, Item::Event(_)) || !self.holding.sets_aside(key) {
            self.holding.hold(Arc::clone(key));
        }
        for (position, attempts) in self.queue.take_key(key, item) {
            self.set_aside(position, Parking { attempts, held: Some(Arc::clone(key)) });
        }
    }

    /// The item waits in the queue no more.
    fn left(&self, item: Item) {
        if let (Some(bound), Item::Event(_)) = (&self.bound, item) {
            bound.settled();
        }
    }
}

/// One call of a handler.
async fn call(parts: Parts, deliver: Arc<dyn Deliver>, member: Member, batched: bool, ready: Vec<Ready>) -> Call {
    let (mut ended, mut going) = (Vec::with_capacity(ready.len()), Vec::with_capacity(ready.len()));
    for Ready { item, attempt, event, .. } in ready {
        let event = match event {
            Some(event) => Ok(event),
            None => load(&parts, item).await,
        };
        let trace = trace_of(event.as_deref().ok());
        match event {
            Ok(event) => {
                let (subscription, event) = (Arc::clone(&member.name), Arc::clone(&event));
                going.push((item, Delivery { event, attempt, subscription, trace }));
            }
            Err(failure) => {
                let ending = Ending::Answered(Err(DeliveryError::Failed(failure)));
                ended.push(Ended { item, event: None, trace, ending, overflows: false });
            }
        }
    }
    let mut answers = if batched {
        let deliveries: Vec<_> = going.iter().map(|(_, delivery)| delivery.clone()).collect();
        let answers = handle_batch(&*deliver, &member.component, deliveries).await;
        one_by_one_if_lost(&*deliver, &member.component, answers, &going).await.into_iter()
    } else {
        let mut answers = Vec::with_capacity(going.len());
        for (_, delivery) in &going {
            answers.push(handle(&*deliver, &member.component, delivery.clone()).await);
        }
        answers.into_iter()
    };
    for (item, Delivery { event, trace, .. }) in going {
        let missing = || Err(failed("the handler did not answer for every event of the batch"));
        let ending = Ending::Answered(answers.next().unwrap_or_else(missing));
        ended.push(Ended { item, event: Some(event), trace, ending, overflows: false });
    }
    Call { member: Some(member), ended }
}

/// A call that ended without an answer for any event says nothing of who is to blame: each is brought alone then, so that
/// one that makes the handler fail takes no other with it.
async fn one_by_one_if_lost(
    deliver: &dyn Deliver,
    component: &str,
    answers: Vec<Result<(), DeliveryError>>,
    going: &[(Item, Delivery)],
) -> Vec<Result<(), DeliveryError>> {
    let ran = |answer: &Result<(), DeliveryError>| match answer {
        Err(DeliveryError::Failed(failure)) => failure.outcome == Outcome::Unknown,
        _ => false,
    };
    if going.len() < 2 || !answers.iter().all(ran) {
        return answers;
    }
    let mut alone = Vec::with_capacity(going.len());
    for (_, delivery) in going {
        alone.extend(handle_batch(deliver, component, vec![delivery.clone()]).await);
    }
    alone
}

fn failed(message: &str) -> DeliveryError {
    DeliveryError::Failed(Failure::unknown(Fault::Host, Reason::Internal, message))
}

/// Runs the handler; a panic on the way is a failure like another.
async fn handle(deliver: &dyn Deliver, component: &str, delivery: Delivery) -> Result<(), DeliveryError> {
    let run = AssertUnwindSafe(async { deliver.deliver(component, delivery).await });
    run.catch_unwind().await.unwrap_or_else(|_| Err(failed("the delivery panicked in the host")))
}

async fn handle_batch(
    deliver: &dyn Deliver,
    component: &str,
    deliveries: Vec<Delivery>,
) -> Vec<Result<(), DeliveryError>> {
    if deliveries.is_empty() {
        return Vec::new();
    }
    let count = deliveries.len();
    let run = AssertUnwindSafe(async { deliver.deliver_batch(component, deliveries).await });
    let panicked = |_| (0..count).map(|_| Err(failed("the delivery panicked in the host"))).collect();
    run.catch_unwind().await.unwrap_or_else(panicked)
}

/// The event of an item whose data was not kept in memory.
async fn load(parts: &Parts, item: Item) -> Result<Arc<Event>, Failure> {
    let gone = || internal("the event is gone");
    let found = match item {
        Item::Event(position) => {
            let log = Arc::clone(&parts.log);
            let read = move |log: &MessageLog| log.read(position)?.ok_or_else(gone);
            tokio::task::spawn_blocking(move || read(&log)).await.unwrap_or_else(|error| Err(lost(&error)))
        }
        Item::Letter(id) => {
            let filter = DeadLetterFilter { id: Some(id), subscription: None };
            let letters = parts.file.letters(filter, 1).await;
            letters.and_then(|mut letters| letters.pop().map(|letter| letter.event).ok_or_else(gone))
        }
    };
    // Nothing was handed out, so it does not count as an attempt: as when the host has no room.
    found.map(Arc::new).map_err(|failure| Failure {
        outcome: Outcome::NotAttempted,
        reason: Reason::Overloaded,
        ..failure
    })
}

/// A span of its own in the publisher's trace, or in a new trace.
fn trace_of(event: Option<&Event>) -> Trace {
    let traceparent = event.and_then(|event| event.traceparent.as_deref());
    let known = traceparent.and_then(|text| text.split('-').nth(1)).filter(|trace| trace.len() == 32);
    let trace_id = known.map_or_else(id::new_trace_id, Arc::from);
    Trace { trace_id, span_id: id::new_span_id() }
}

/// Publishes what became dead letters to their topic.
pub(super) async fn tell_dead(parts: &Parts, id: &str, topic: &str, batch: &Batch) -> Result<(), Failure> {
    let events: Vec<Event> = batch.dead.iter().map(|(item, last)| dead_event(id, topic, *item, last)).collect();
    if events.is_empty() {
        return Ok(());
    }
    let encoded = events.iter().map(|event| parts.log.encode(event)).collect::<Result<Vec<_>, _>>()?;
    let end = parts.log.append(&encoded, false).await.map_err(|error| match error {
        PublishError::Unavailable(failure) => failure,
        error => internal(&error.to_string()),
    })?;
    parts.log.flush(end).await
}

/// The event as it goes to the topic of dead letters: as it was, under a source and an id of its own.
fn dead_event(id: &str, topic: &str, item: Item, last: &Obituary) -> Event {
    let name = match item {
        Item::Event(position) => format!("{position}:{}", last.event.id),
        Item::Letter(letter) => format!("letter-{letter}-{}:{}", last.failed_at_ms, last.event.id),
    };
    let end = name.floor_char_boundary(MAX_ID_BYTES);
    Event {
        id: name.get(..end).unwrap_or_default().to_owned(),
        source: format!("/dead-letters/{id}"),
        topic: topic.to_owned(),
        time_ms: last.failed_at_ms,
        handling: Handling { priority: last.event.handling.priority, ..Handling::default() },
        ..Event::clone(&last.event)
    }
}
