//! The task of one subscription: reads the log ahead, runs handlers, and has remembered what became of them. All
//! decisions about order and retries are the queue's.

use std::collections::VecDeque;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::FutureExt;
use futures::future::{BoxFuture, pending};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{JoinHandle, JoinSet};

use weft_core::{Clock, Failure, Fault, Reason, Trace, id};

use super::message_log::{MessageLog, Page};
use super::progress::{Batch, Obituary, ProgressFile, Resumed, Unsaved};
use super::queue::{Attempts, Item, Policy, Queue, Ready, Settled};
use super::{DeadLetterFilter, Deliver, Delivery, DeliveryError, Event, Subscription, SubscriptionStatus};

/// How many events are in hand at most. A key whose events fill it up holds the others up.
const WINDOW: usize = 10_000;
/// How many bytes of data are kept in memory with them; the rest is read again when its turn comes.
const WINDOW_BYTES: usize = 4 * 1_024 * 1_024;
/// The shortest time between two writes of what was settled. A crash delivers again what was settled within it.
const SAVE_PAUSE_MS: u64 = 100;
/// How many bytes of the log may be passed over, events for others, before that is written down.
const LAZY_BYTES: u64 = 1_024 * 1_024;
/// The pause after a write that failed.
const SAVE_AGAIN_MS: u64 = 1_000;
/// Dead letters brought in at a time for replay.
const LETTERS: usize = 100;

/// What a pump is told.
pub(super) enum Command {
    /// Go on with these rules.
    Rules(Subscription, Arc<dyn Deliver>),
    /// Deliver these dead letters again.
    Replay(Vec<i64>),
    /// End: nothing new, a while for what runs, then write everything down.
    Stop(Duration, oneshot::Sender<()>),
}

/// What a pump shows of itself.
#[derive(Debug, Default)]
pub(super) struct Shown {
    waiting: AtomicU64,
    next: AtomicU64,
    in_flight: AtomicU64,
    delivered: AtomicU64,
    failed: AtomicU64,
    /// The oldest position of the log that it needs.
    needed: AtomicU64,
    stopped: Mutex<Option<String>>,
}

impl Shown {
    pub(super) fn needed(&self) -> u64 {
        self.needed.load(Ordering::Acquire)
    }

    pub(super) fn stopped(&self) -> Option<String> {
        self.stopped.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn status(&self, id: Arc<str>, log_end: u64) -> SubscriptionStatus {
        let next = self.next.load(Ordering::Acquire);
        SubscriptionStatus {
            members: vec![Arc::clone(&id)],
            id,
            parked: 0,
            lag: 0,
            instances: 0,
            paused: false,
            waiting: self.waiting.load(Ordering::Relaxed),
            unread_bytes: log_end.saturating_sub(next),
            in_flight: self.in_flight.load(Ordering::Relaxed),
            delivered: self.delivered.load(Ordering::Relaxed),
            failed: self.failed.load(Ordering::Relaxed),
            stopped: self.stopped(),
        }
    }
}

/// What came back from a read.
enum Brought {
    Page(Page),
    Letters(Vec<(i64, Event)>),
}

/// A batch, and whether it was written.
type Saved = (Arc<Batch>, Result<(), Failure>);

/// A delivery that ended.
struct Ended {
    item: Item,
    event: Option<Arc<Event>>,
    trace: Trace,
    result: Result<(), DeliveryError>,
}

/// What all pumps share.
#[derive(Clone, Debug)]
pub(super) struct Parts {
    pub(super) log: Arc<MessageLog>,
    pub(super) file: ProgressFile,
    pub(super) clock: Arc<dyn Clock>,
}

/// The task's state.
pub(super) struct Pump {
    parts: Parts,
    id: Arc<str>,
    subscription: Subscription,
    deliver: Arc<dyn Deliver>,
    commands: mpsc::Receiver<Command>,
    flushed: watch::Receiver<u64>,
    shown: Arc<Shown>,
    queue: Queue,
    unsaved: Unsaved,
    /// Read but not looked at yet, for want of room.
    ahead: VecDeque<(u64, Event)>,
    /// Where the log is read next.
    read_next: u64,
    letters: VecDeque<i64>,
    reading: Option<JoinHandle<Result<Brought, Failure>>>,
    saving: Option<BoxFuture<'static, Saved>>,
    save_not_before_ms: u64,
    running: JoinSet<Ended>,
}

impl Pump {
    /// Takes up a subscription where it stood.
    pub(super) async fn resume(
        parts: Parts,
        subscription: Subscription,
        deliver: Arc<dyn Deliver>,
        commands: mpsc::Receiver<Command>,
        shown: Arc<Shown>,
    ) -> Result<Self, Failure> {
        let id = subscription.id();
        let mut resumed = parts.file.resume(Arc::clone(&id)).await?;
        let next = start_of(&parts, &subscription, &mut resumed).await?;
        let flushed = parts.log.watch();
        let queue = Queue::new(policy(&subscription), WINDOW_BYTES);
        let unsaved = Unsaved::resume(next, resumed.unsettled.iter().map(|(position, _)| *position));
        let oldest = resumed.unsettled.first().map_or(next, |(position, _)| *position);
        shown.needed.store(oldest.min(next), Ordering::Release);
        let mut pump = Self {
            parts,
            id,
            subscription,
            deliver,
            commands,
            flushed,
            shown,
            queue,
            unsaved,
            ahead: VecDeque::new(),
            read_next: next,
            letters: resumed.letters.into(),
            reading: None,
            saving: None,
            save_not_before_ms: 0,
            running: JoinSet::new(),
        };
        pump.take_up(resumed.unsettled).await?;
        Ok(pump)
    }

    /// Takes events in hand again that were not settled.
    async fn take_up(&mut self, unsettled: Vec<(u64, Attempts)>) -> Result<(), Failure> {
        let log = Arc::clone(&self.parts.log);
        let read = move || unsettled.into_iter().map(|(at, attempts)| (at, attempts, log.read(at))).collect::<Vec<_>>();
        let found = tokio::task::spawn_blocking(read).await.map_err(|error| internal(&error))?;
        for (position, attempts, event) in found {
            let item = Item::Event(position);
            match event {
                Ok(event) => drop(self.queue.push(item, event, attempts)),
                Err(error) => {
                    tracing::error!(subscription = %self.id, position, %error, "an unsettled event is lost");
                    self.unsaved.delivered(item);
                }
            }
        }
        Ok(())
    }

    /// Runs until told to stop. If whoever tells it is gone, it ends at once, as after a crash.
    pub(super) async fn run(mut self) {
        loop {
            self.take_ahead();
            self.start_ready();
            self.start_read();
            self.start_save();
            self.show();
            let timer = self.timer();
            tokio::select! {
                command = self.commands.recv() => match command {
                    None => return,
                    Some(Command::Stop(grace, stopped)) => {
                        self.stop(grace).await;
                        // Whoever asked may not wait for it.
                        let _ = stopped.send(());
                        return;
                    }
                    Some(Command::Replay(letters)) => self.letters.extend(letters),
                    Some(Command::Rules(subscription, deliver)) => {
                        self.queue.set_policy(policy(&subscription));
                        (self.subscription, self.deliver) = (subscription, deliver);
                    }
                },
                Some(ended) = self.running.join_next() => self.ended(ended),
                brought = finished(&mut self.reading) => self.brought(brought),
                (batch, result) = saved(&mut self.saving) => self.saved(&batch, result),
                // An error says that the log is gone; then nothing grows any more.
                Ok(()) = self.flushed.changed() => {}
                () = timer => {}
            }
        }
    }

    fn has_room(&self) -> bool {
        self.queue.len() < WINDOW && self.unsaved.len() < WINDOW
    }

    /// Takes in hand what was read and is covered by the pattern.
    fn take_ahead(&mut self) {
        while self.has_room()
            && let Some((position, event)) = self.ahead.pop_front()
        {
            if self.subscription.rules.topic.matches(&event.topic)
                && self.queue.push(Item::Event(position), event, Attempts::default())
            {
                self.unsaved.taken(position);
            }
        }
        let next = self.ahead.front().map_or(self.read_next, |(position, _)| *position);
        self.unsaved.read_up_to(next);
    }

    fn start_ready(&mut self) {
        let now_ms = self.parts.clock.now_ms();
        while let Some(Ready { item, attempt, event }) = self.queue.start(now_ms) {
            let (parts, deliver) = (self.parts.clone(), Arc::clone(&self.deliver));
            let component = Arc::clone(&self.subscription.component);
            let subscription = Arc::clone(&self.subscription.rules.name);
            self.running.spawn(async move {
                let event = match event {
                    Some(event) => Ok(event),
                    None => load(&parts, item).await,
                };
                let trace = trace_of(event.as_ref().ok().and_then(|event| event.traceparent.as_deref()));
                let result = match &event {
                    Ok(event) => {
                        let (event, trace) = (Arc::clone(event), trace.clone());
                        handle(&*deliver, &component, Delivery { event, attempt, subscription, trace }).await
                    }
                    Err(failure) => Err(DeliveryError::Failed(failure.clone())),
                };
                Ended { item, event: event.ok(), trace, result }
            });
        }
    }

    fn ended(&mut self, ended: Result<Ended, tokio::task::JoinError>) {
        let Ended { item, event, trace, result } = match ended {
            Ok(ended) => ended,
            Err(error) if error.is_cancelled() => return,
            Err(error) => return tracing::error!(subscription = %self.id, %error, "a delivery's task was lost"),
        };
        let now_ms = self.parts.clock.now_ms();
        let Some(settled) = self.queue.end(item, result, now_ms) else { return };
        let count = if settled == Settled::Delivered { &self.shown.delivered } else { &self.shown.failed };
        count.fetch_add(1, Ordering::Relaxed);
        match (settled, event) {
            (Settled::Delivered, _) => self.unsaved.delivered(item),
            (Settled::Again(attempts), _) => self.unsaved.again(item, attempts),
            (Settled::Dead { attempts, error }, Some(event)) => {
                tracing::warn!(subscription = %self.id, event = %event.id, attempts, %error, "dead letter");
                let traceparent = trace.traceparent();
                self.unsaved.dead(item, Obituary { event, error, attempts, traceparent, failed_at_ms: now_ms });
            }
            // An event that could not be read was never handed out, so it is never given up.
            (Settled::Dead { .. }, None) => {}
        }
    }

    fn start_read(&mut self) {
        if self.reading.is_some() || !self.has_room() || self.shown.stopped().is_some() {
            return;
        }
        if !self.letters.is_empty() {
            let letters: Vec<i64> = self.letters.drain(..self.letters.len().min(LETTERS)).collect();
            let file = self.parts.file.clone();
            self.reading = Some(tokio::spawn(async move {
                let mut found = Vec::with_capacity(letters.len());
                for id in letters {
                    let filter = DeadLetterFilter { id: Some(id), subscription: None };
                    found.extend(file.letters(filter, 1).await?.into_iter().map(|letter| (id, letter.event)));
                }
                Ok(Brought::Letters(found))
            }));
        } else if self.ahead.is_empty() && *self.flushed.borrow_and_update() > self.read_next {
            let (log, from) = (Arc::clone(&self.parts.log), self.read_next);
            self.reading = Some(tokio::task::spawn_blocking(move || log.read_from(from).map(Brought::Page)));
        }
    }

    fn brought(&mut self, brought: Result<Brought, Failure>) {
        match brought {
            Ok(Brought::Page(page)) => {
                self.ahead.extend(page.events);
                self.read_next = page.next;
            }
            Ok(Brought::Letters(letters)) => {
                for (id, event) in letters {
                    self.queue.push(Item::Letter(id), event, Attempts::default());
                }
            }
            Err(error) => {
                tracing::error!(subscription = %self.id, %error, "the subscription reads no further");
                *self.shown.stopped.lock().unwrap_or_else(PoisonError::into_inner) = Some(error.to_string());
            }
        }
    }

    fn start_save(&mut self) {
        let now_ms = self.parts.clock.now_ms();
        if self.saving.is_none() && self.unsaved.is_due(LAZY_BYTES) && now_ms >= self.save_not_before_ms {
            self.save_not_before_ms = now_ms + SAVE_PAUSE_MS;
            let (file, id, batch) = (self.parts.file.clone(), Arc::clone(&self.id), Arc::new(self.unsaved.take()));
            self.saving = Some(Box::pin(async move {
                let result = file.save(id, Arc::clone(&batch)).await;
                (batch, result)
            }));
        }
    }

    fn saved(&mut self, batch: &Batch, result: Result<(), Failure>) {
        match result {
            Ok(()) => {
                batch.dead().for_each(|item| self.queue.release(item));
                self.shown.needed.store(batch.needed, Ordering::Release);
            }
            Err(error) => {
                tracing::error!(subscription = %self.id, %error, "what was delivered cannot be written down");
                self.unsaved.failed(batch);
                self.save_not_before_ms = self.parts.clock.now_ms() + SAVE_AGAIN_MS;
            }
        }
    }

    /// Until an item comes due or a write may begin.
    fn timer(&self) -> BoxFuture<'static, ()> {
        let save = self.saving.is_none() && self.unsaved.is_due(LAZY_BYTES);
        let due_ms = [self.queue.next_due_ms(), save.then_some(self.save_not_before_ms)].into_iter().flatten().min();
        match due_ms {
            None => Box::pin(pending()),
            Some(due_ms) => {
                let wait_ms = due_ms.saturating_sub(self.parts.clock.now_ms());
                self.parts.clock.sleep(Duration::from_millis(wait_ms.max(1)))
            }
        }
    }

    fn show(&self) {
        self.shown.waiting.store(self.queue.len() as u64 + self.ahead.len() as u64, Ordering::Relaxed);
        self.shown.in_flight.store(self.queue.running() as u64, Ordering::Relaxed);
        // Last, and read first: what is no longer unread is seen as waiting.
        self.shown.next.store(self.read_next, Ordering::Release);
    }

    async fn stop(&mut self, grace: Duration) {
        let mut end = self.parts.clock.sleep(grace);
        while !self.running.is_empty() {
            tokio::select! {
                Some(ended) = self.running.join_next() => self.ended(ended),
                () = &mut end => break,
            }
        }
        self.running.abort_all();
        // Those that had ended all the same count.
        while let Some(ended) = self.running.join_next().await {
            self.ended(ended);
        }
        if self.saving.is_some() {
            let (batch, result) = saved(&mut self.saving).await;
            self.saved(&batch, result);
        }
        if self.unsaved.is_any() {
            let batch = Arc::new(self.unsaved.take());
            let result = self.parts.file.save(Arc::clone(&self.id), Arc::clone(&batch)).await;
            self.saved(&batch, result);
        }
        self.show();
    }
}

/// Where the subscription reads on; noted if it is new.
async fn start_of(parts: &Parts, subscription: &Subscription, resumed: &mut Resumed) -> Result<u64, Failure> {
    let (start, end) = (parts.log.start(), parts.log.end());
    match resumed.next {
        Some(next) if next <= end => return Ok(next),
        Some(next) => {
            let id = subscription.id();
            tracing::error!(subscription = %id, next, end, "the log is shorter than what was read of it: reading it anew");
            resumed.unsettled.clear();
        }
        None => {}
    }
    let next = match subscription.rules.start {
        weft_core::manifest::Start::Latest if resumed.next.is_none() => end,
        _ => start,
    };
    parts.file.begin(subscription.id(), next).await?;
    Ok(next)
}

fn policy(subscription: &Subscription) -> Policy {
    let rules = &subscription.rules;
    Policy {
        max_attempts: rules.max_attempts,
        base_ms: rules.base_ms,
        cap_ms: rules.cap_ms,
        concurrency: rules.concurrency.try_into().unwrap_or(usize::MAX),
    }
}

/// Runs the handler; a panic on the way is a failure like another.
async fn handle(deliver: &dyn Deliver, component: &str, delivery: Delivery) -> Result<(), DeliveryError> {
    let run = AssertUnwindSafe(async { deliver.deliver(component, delivery).await });
    run.catch_unwind().await.unwrap_or_else(|_| {
        let message = "the delivery panicked in the host";
        Err(DeliveryError::Failed(Failure::unknown(Fault::Host, Reason::Internal, message)))
    })
}

/// The event of an item whose data was not kept in memory.
async fn load(parts: &Parts, item: Item) -> Result<Arc<Event>, Failure> {
    let found = match item {
        Item::Event(position) => {
            let log = Arc::clone(&parts.log);
            tokio::task::spawn_blocking(move || log.read(position)).await.unwrap_or_else(|error| Err(internal(&error)))
        }
        Item::Letter(id) => {
            let filter = DeadLetterFilter { id: Some(id), subscription: None };
            let gone = || Failure::not_attempted(Fault::Host, Reason::Internal, "the dead letter is gone");
            let letters = parts.file.letters(filter, 1).await;
            letters.and_then(|mut letters| letters.pop().map(|letter| letter.event).ok_or_else(gone))
        }
    };
    // Nothing was handed out, so it does not count as an attempt: as when the host has no room.
    found.map(Arc::new).map_err(|failure| Failure { reason: Reason::Overloaded, ..failure })
}

/// A span of its own in the publisher's trace, or in a new trace.
fn trace_of(traceparent: Option<&str>) -> Trace {
    let known = traceparent.and_then(|text| text.split('-').nth(1)).filter(|trace| trace.len() == 32);
    let trace_id = known.map_or_else(id::new_trace_id, str::to_owned);
    Trace { trace_id: trace_id.into(), span_id: id::new_span_id().into() }
}

fn internal(error: &tokio::task::JoinError) -> Failure {
    Failure::not_attempted(Fault::Host, Reason::Internal, format!("a task was lost: {error}"))
}

/// Resolves when there is something that is read and it has ended.
async fn finished(reading: &mut Option<JoinHandle<Result<Brought, Failure>>>) -> Result<Brought, Failure> {
    let Some(handle) = reading else { return pending().await };
    let result = handle.await.unwrap_or_else(|error| Err(internal(&error)));
    *reading = None;
    result
}

/// Resolves when there is something that is written and it has ended.
async fn saved(saving: &mut Option<BoxFuture<'static, Saved>>) -> Saved {
    let Some(future) = saving else { return pending().await };
    let result = future.await;
    *saving = None;
    result
}
