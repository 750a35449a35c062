//! The task of one subscription, or of the members of one group: reads the log ahead, runs handlers, and has remembered
//! what became of the events. All decisions about order and retries are the queue's.

mod calls;
mod holding;
mod members;
mod reading;
mod scale;
mod shown;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use futures::future::{BoxFuture, pending};
use futures::stream::{FuturesUnordered, StreamExt};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

use weft_core::manifest::{self, Order, WhenDead};
use weft_core::{Clock, Failure, Fault, Reason};

use super::bound::Bound;
use super::message_log::MessageLog;
use super::progress::{ParkedState, ProgressFile, Resumed};
use super::queue::{Attempts, Policy, Queue};
use super::unsaved::{Batch, Unsaved};
use super::{Deliver, Event, Subscription};
use calls::Call;
use holding::Holding;
use members::Members;
use reading::Brought;
use scale::Scale;
pub(super) use shown::Shown;

/// How many events are in hand at most. A key whose events fill it up holds the others up.
const WINDOW: usize = 10_000;
/// So many that could be handed out at once are enough: the log is not read further ahead for more.
const READY: usize = 1_024;
/// How many bytes of data are kept in memory with them; the rest is read again when its turn comes.
const WINDOW_BYTES: usize = 4 * 1_024 * 1_024;
/// The shortest time between two writes of what was settled. A crash delivers again what was settled within it.
const SAVE_PAUSE_MS: u64 = 100;
/// How many bytes of the log may be passed over, events for others, before that is written down.
const LAZY_BYTES: u64 = 1_024 * 1_024;
/// The pause after a write that failed.
const SAVE_AGAIN_MS: u64 = 1_000;
/// How often deliveries are started and ended in turn before anything else is looked at.
const ROUNDS: usize = 64;

/// What a pump is told.
pub(super) enum Command {
    /// Go on with these members, of the same place and topics.
    Rules(Vec<Subscription>, Arc<dyn Deliver>),
    /// Deliver these dead letters again.
    Replay(Vec<i64>),
    /// A dead letter that held this ordering key was purged.
    Purged(Vec<Arc<str>>),
    /// Start no more deliveries, or go on.
    Pause(bool, oneshot::Sender<Result<(), Failure>>),
    /// Go on at another position.
    Seek(u64, oneshot::Sender<Result<(), Failure>>),
    /// End: nothing new, a while for what runs, then write everything down.
    Stop(Duration, oneshot::Sender<()>),
}

/// A batch, and whether it was written.
type Saved = (Arc<Batch>, Result<ParkedState, Failure>);

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
    rules: manifest::Subscription,
    members: Members,
    deliver: Arc<dyn Deliver>,
    commands: mpsc::Receiver<Command>,
    flushed: watch::Receiver<u64>,
    shown: Arc<Shown>,
    bound: Option<Arc<Bound>>,
    queue: Queue,
    unsaved: Unsaved,
    holding: Holding,
    scale: Scale,
    /// Read but not looked at yet, for want of room.
    ahead: VecDeque<(u64, Event)>,
    /// Where the log is read next.
    read_next: u64,
    letters: VecDeque<i64>,
    reading: Option<JoinHandle<Result<Brought, Failure>>>,
    read_not_before_ms: u64,
    reads_failed: u32,
    /// Events that are set aside.
    parked: u64,
    parked_due_ms: Option<u64>,
    saving: Option<BoxFuture<'static, Saved>>,
    save_not_before_ms: u64,
    running: FuturesUnordered<BoxFuture<'static, Call>>,
    /// Events on their way to the dead letters for want of room.
    overflowing: usize,
    paused: bool,
}

impl Pump {
    /// Takes up a subscription, or a group, where it stood.
    pub(super) async fn resume(
        parts: Parts,
        members: Vec<Subscription>,
        deliver: Arc<dyn Deliver>,
        commands: mpsc::Receiver<Command>,
        shown: Arc<Shown>,
        bound: Option<Arc<Bound>>,
    ) -> Result<Self, Failure> {
        let Some(first) = members.first().cloned() else { return Err(internal("a place without subscriptions")) };
        let id = first.id();
        let mut resumed = parts.file.resume(Arc::clone(&id)).await?;
        let next = start_of(&parts, &first, &mut resumed).await?;
        let unsaved = Unsaved::resume(next, resumed.unsettled.iter().map(|(position, _)| *position));
        let oldest = resumed.unsettled.first().map_or(next, |(position, _)| *position);
        shown.set_needed(oldest.min(resumed.parked_state.oldest.unwrap_or(next)).min(next));
        let mut pump = Self {
            flushed: parts.log.watch(),
            queue: Queue::new(policy(&first.rules), WINDOW_BYTES),
            holding: Holding::new(resumed.held),
            scale: Scale::new(first.rules.queue),
            members: Members::new(&members),
            rules: first.rules,
            parts,
            id,
            deliver,
            commands,
            shown,
            bound,
            unsaved,
            ahead: VecDeque::new(),
            read_next: next,
            letters: resumed.letters.into(),
            reading: None,
            read_not_before_ms: 0,
            reads_failed: 0,
            parked: resumed.parked,
            parked_due_ms: resumed.parked_state.next_due_ms,
            saving: None,
            save_not_before_ms: 0,
            running: FuturesUnordered::new(),
            overflowing: 0,
            paused: resumed.paused,
        };
        pump.take_up(resumed.unsettled).await?;
        pump.show();
        Ok(pump)
    }

    /// Where the log is read next, and how many events before that are not settled.
    pub(super) fn place(&self) -> (u64, u64) {
        (self.read_next, self.queue.len() as u64 + self.parked)
    }

    /// Takes events in hand again that were not settled.
    async fn take_up(&mut self, unsettled: Vec<(u64, Attempts)>) -> Result<(), Failure> {
        let log = Arc::clone(&self.parts.log);
        let read = tokio::task::spawn_blocking(move || reading::events_at(&log, unsettled)).await;
        for (position, attempts, event) in read.map_err(|error| lost(&error))?? {
            self.take_again(position, event, attempts);
        }
        Ok(())
    }

    /// Runs until told to stop. If whoever tells it is gone, it ends at once, as after a crash.
    pub(super) async fn run(mut self) {
        loop {
            self.work();
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
                    Some(command) => self.obey(command).await,
                },
                Some(call) = self.running.next() => self.ended(call),
                brought = reading::finished(&mut self.reading) => self.brought(brought),
                (batch, result) = saved(&mut self.saving) => self.saved(&batch, result),
                // An error says that the log is gone; then nothing grows any more.
                Ok(()) = self.flushed.changed() => {}
                () = timer => {}
            }
        }
    }

    async fn obey(&mut self, command: Command) {
        match command {
            // Told apart by the caller.
            Command::Stop(..) => {}
            Command::Replay(letters) => self.letters.extend(letters),
            Command::Purged(keys) => keys.iter().for_each(|key| self.holding.let_go(key)),
            Command::Rules(members, deliver) => {
                if let Some(first) = members.first() {
                    self.queue.set_policy(policy(&first.rules));
                    self.scale.set_rules(first.rules.queue);
                    self.rules = first.rules.clone();
                }
                self.members.replace(&members);
                self.deliver = deliver;
            }
            Command::Pause(paused, answer) => {
                let noted = self.parts.file.pause(Arc::clone(&self.id), paused).await;
                if noted.is_ok() {
                    self.paused = paused;
                }
                self.show();
                let _ = answer.send(noted);
            }
            Command::Seek(position, answer) => {
                let sought = self.seek(position).await;
                let _ = answer.send(sought);
            }
        }
    }

    /// Forgets what is in hand and goes on at `position`.
    async fn seek(&mut self, position: u64) -> Result<(), Failure> {
        // What is given up has to be written down first: an item that is read again must not be taken for it.
        self.save_rest().await?;
        self.parts.file.begin(Arc::clone(&self.id), position).await?;
        // Handlers that run are given up; letters that were in hand are still noted as being replayed.
        self.running.clear();
        self.members.replace_running();
        let letters = self.queue.letters();
        self.letters.extend(letters);
        self.queue = Queue::new(policy(&self.rules), WINDOW_BYTES);
        self.unsaved = Unsaved::resume(position, []);
        (self.reading, self.read_next, self.read_not_before_ms) = (None, position, 0);
        self.reads_failed = 0;
        self.shown.set_stopped(None);
        (self.parked, self.parked_due_ms, self.overflowing) = (0, None, 0);
        self.ahead.clear();
        self.shown.set_needed(position);
        if let Some(bound) = self.bound.clone() {
            let to = self.parts.log.rebind(&bound);
            self.parts.log.flush(to).await?;
            let log = Arc::clone(&self.parts.log);
            let counted = Arc::clone(&bound);
            let count = tokio::task::spawn_blocking(move || log.count_covered(&counted, position, to)).await;
            bound.appended(count.map_err(|error| lost(&error))??);
        }
        self.show();
        Ok(())
    }

    fn has_room(&self) -> bool {
        self.queue.len() < WINDOW && self.unsaved.len() < WINDOW && self.queue.ready() < READY
    }

    fn start_save(&mut self) {
        let now_ms = self.ticks_ms();
        if self.saving.is_none() && self.unsaved.is_due(LAZY_BYTES) && now_ms >= self.save_not_before_ms {
            self.save_not_before_ms = now_ms + SAVE_PAUSE_MS;
            self.saving = Some(self.save());
        }
    }

    fn save(&mut self) -> BoxFuture<'static, Saved> {
        let (parts, id, batch) = (self.parts.clone(), Arc::clone(&self.id), Arc::new(self.unsaved.take()));
        let topic = self.rules.dead_letter_topic.clone();
        Box::pin(async move {
            // Told before it is noted: a crash in between tells it again, under the same id.
            let told = match topic {
                Some(topic) => calls::tell_dead(&parts, &id, &topic, &batch).await,
                None => Ok(()),
            };
            let result = match told {
                Ok(()) => parts.file.save(id, Arc::clone(&batch)).await,
                Err(error) => Err(error),
            };
            (batch, result)
        })
    }

    fn saved(&mut self, batch: &Batch, result: Result<ParkedState, Failure>) {
        match result {
            Ok(parked) => {
                batch.dead().for_each(|item| self.queue.release(item));
                self.parked_due_ms = parked.next_due_ms;
                self.shown.set_needed(batch.needed.min(parked.oldest.unwrap_or(u64::MAX)));
            }
            Err(error) => {
                tracing::error!(subscription = %self.id, %error, "what was delivered cannot be written down");
                self.unsaved.failed(batch);
                self.save_not_before_ms = self.ticks_ms() + SAVE_AGAIN_MS;
            }
        }
    }

    /// Writes down all that is not yet, after the write that runs.
    async fn save_rest(&mut self) -> Result<(), Failure> {
        if self.saving.is_some() {
            let (batch, result) = saved(&mut self.saving).await;
            self.saved(&batch, result);
        }
        if !self.unsaved.is_any() {
            return Ok(());
        }
        let (batch, result) = self.save().await;
        let written = result.as_ref().map(|_| ()).map_err(Failure::clone);
        self.saved(&batch, result);
        written
    }

    /// Until an item comes due, a write may begin, a read may be tried again, or there may be more or fewer instances.
    fn timer(&self) -> BoxFuture<'static, ()> {
        let save = self.saving.is_none() && self.unsaved.is_due(LAZY_BYTES);
        let waits = self.reading.is_none() && self.has_room();
        let due_ms = [
            self.queue.next_due_ms().filter(|_| !self.paused),
            self.parked_due_ms.filter(|_| waits && !self.unsaved.has_parking()),
        ];
        let pauses_ms = [
            save.then_some(self.save_not_before_ms),
            (waits && self.reads_failed > 0).then_some(self.read_not_before_ms),
            self.scale.next_change_ms(self.backlog()).filter(|_| !self.paused),
        ];
        let left = |until_ms: Option<u64>, now_ms: u64| until_ms.map(|until_ms| until_ms.saturating_sub(now_ms));
        let due = left(due_ms.into_iter().flatten().min(), self.parts.clock.now_ms());
        let pause = left(pauses_ms.into_iter().flatten().min(), self.ticks_ms());
        match due.into_iter().chain(pause).min() {
            None => Box::pin(pending()),
            Some(wait_ms) => self.parts.clock.sleep(Duration::from_millis(wait_ms.max(1))),
        }
    }

    /// What pauses are measured by: whoever sets the wall clock does not stretch them.
    pub(super) fn ticks_ms(&self) -> u64 {
        u64::try_from(self.parts.clock.monotonic().as_millis()).unwrap_or(u64::MAX)
    }

    /// Events that could be delivered now or soon; counted for work queues alone.
    fn backlog(&self) -> u64 {
        if self.rules.queue.is_none() {
            return 0;
        }
        let unread =
            if *self.flushed.borrow() > self.read_next { self.parts.log.count_behind(self.read_next) } else { 0 };
        self.queue.len() as u64 + self.ahead.len() as u64 + unread
    }

    fn show(&self) {
        self.shown.show(&shown::Now {
            waiting: self.queue.len() as u64 + self.ahead.len() as u64,
            parked: self.parked,
            in_flight: self.queue.running() as u64,
            instances: self.instances() as u64,
            paused: self.paused,
            next: self.read_next,
        });
    }

    async fn stop(&mut self, grace: Duration) {
        let mut end = self.parts.clock.sleep(grace);
        while !self.running.is_empty() {
            tokio::select! {
                Some(call) = self.running.next() => self.ended(call),
                () = &mut end => break,
            }
        }
        self.running.clear();
        // What could not be written is logged, and comes again.
        drop(self.save_rest().await);
        self.show();
    }
}

/// Where the subscription reads on; noted if it is new.
async fn start_of(parts: &Parts, subscription: &Subscription, resumed: &mut Resumed) -> Result<u64, Failure> {
    let (start, end) = (parts.log.start(), parts.log.end());
    let known = resumed.next;
    match known {
        Some(next) if next <= end => return Ok(next),
        Some(next) => {
            let id = subscription.id();
            tracing::error!(subscription = %id, next, end, "the log is shorter than what was read of it: reading it anew");
            *resumed = Resumed { letters: std::mem::take(&mut resumed.letters), ..Resumed::default() };
        }
        None => {}
    }
    let next = match subscription.rules.start {
        manifest::Start::Latest if known.is_none() => end,
        _ => start,
    };
    parts.file.begin(subscription.id(), next).await?;
    Ok(next)
}

fn policy(rules: &manifest::Subscription) -> Policy {
    Policy {
        max_attempts: rules.max_attempts,
        base_ms: rules.base_ms,
        cap_ms: rules.cap_ms,
        ttl_ms: rules.ttl_ms,
        keyed: rules.order == Order::Key,
    }
}

fn holds_keys(rules: &manifest::Subscription) -> bool {
    rules.order == Order::Key && rules.when_dead == WhenDead::HoldKey
}

fn internal(message: &str) -> Failure {
    Failure::not_attempted(Fault::Host, Reason::Internal, message)
}

fn lost(error: &tokio::task::JoinError) -> Failure {
    internal(&format!("a task was lost: {error}"))
}

/// Resolves when there is something that is written and it has ended.
async fn saved(saving: &mut Option<BoxFuture<'static, Saved>>) -> Saved {
    let Some(future) = saving else { return pending().await };
    let result = future.await;
    *saving = None;
    result
}
