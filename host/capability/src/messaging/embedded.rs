//! The embedded broker: the message log and a progress file in the data directory, one task per subscription and one
//! per outbox.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use weft_core::disk::Disk;
use weft_core::{Clock, Failpoints, Failure, Fault, Reason};

use super::bound::Bound;
use super::forwarder::forward;
use super::message_log::{Keeping, MessageLog};
use super::progress::ProgressFile;
use super::pump::{Command, Parts, Pump, Shown};
use super::recent::Window;
use super::retention::Retention;
use super::{
    Broker, DeadLetter, DeadLetterFilter, Deliver, Event, EventError, EventFilter, EventPage, MAX_PUBLISHED,
    PublishError, ReadFrom, Subscription, SubscriptionStatus,
};
use crate::outbox::OutboxSource;
use crate::schema::{AcceptAll, SchemaCheck};

/// Commands that may wait for a subscription's task.
const COMMANDS: usize = 16;
/// How long the deliveries of a subscription that is served no more may take, in seconds.
const LEAVE_GRACE_S: u64 = 30;
/// Most dead letters in one listing.
const MAX_LISTED: usize = 1_000;

/// How the embedded broker is kept.
#[derive(Clone, Debug)]
pub struct EmbeddedOptions {
    /// Size of a segment of the log, in bytes.
    pub segment_bytes: u64,
    /// How long events are kept; what a subscription needs stays.
    pub retention: Duration,
    /// How large the log may grow, in bytes, before older events go; what a subscription needs stays.
    pub retention_bytes: Option<u64>,
    /// How long the id of an event is known.
    pub dedup_window: Duration,
    /// How many ids are known at most.
    pub dedup_ids: usize,
    /// Says which events fit their schemas.
    pub schemas: Arc<dyn SchemaCheck>,
}

impl Default for EmbeddedOptions {
    fn default() -> Self {
        Self {
            segment_bytes: 16 * 1_024 * 1_024,
            retention: Duration::from_hours(7 * 24),
            retention_bytes: None,
            dedup_window: Duration::from_mins(2),
            dedup_ids: 500_000,
            schemas: Arc::new(AcceptAll),
        }
    }
}

/// A broker without a server.
#[derive(Debug)]
pub struct Embedded {
    parts: Parts,
    schemas: Arc<dyn SchemaCheck>,
    served: Mutex<BTreeMap<Arc<str>, Served>>,
    forwarders: Mutex<Vec<JoinHandle<()>>>,
    /// Held while the set of subscriptions changes.
    changing: tokio::sync::Mutex<()>,
    retention: Arc<Retention>,
}

#[derive(Debug)]
struct Served {
    members: Vec<Subscription>,
    commands: mpsc::Sender<Command>,
    shown: Arc<Shown>,
    bound: Option<Arc<Bound>>,
    task: JoinHandle<()>,
}

impl Embedded {
    /// Opens or makes the message log in `<data>/messages` on `disk`, and `<data>/messaging.db`. The caller holds the
    /// data directory's lock. Reads the whole log once.
    ///
    /// # Errors
    /// One of them cannot be opened.
    pub fn open(
        data: &Path,
        disk: Arc<dyn Disk>,
        clock: Arc<dyn Clock>,
        failpoints: Failpoints,
        options: EmbeddedOptions,
    ) -> Result<Self, Failure> {
        let keeping = Keeping {
            segment_bytes: options.segment_bytes,
            failpoints,
            retention_ms: options.retention.as_millis().try_into().unwrap_or(u64::MAX),
            retention_bytes: options.retention_bytes,
            window: Window {
                ids: options.dedup_ids,
                ms: options.dedup_window.as_millis().try_into().unwrap_or(u64::MAX),
            },
        };
        let log = Arc::new(MessageLog::open(disk, &data.join("messages"), keeping)?);
        let file = ProgressFile::open(&data.join("messaging.db"))?;
        let retention = Arc::new(Retention::new(Arc::clone(&log), Arc::clone(&clock)));
        Ok(Self {
            parts: Parts { log, file, clock },
            schemas: options.schemas,
            served: Mutex::default(),
            forwarders: Mutex::default(),
            changing: tokio::sync::Mutex::default(),
            retention,
        })
    }

    /// Refuses what is not to be published.
    fn check(&self, event: &Event) -> Result<(), EventError> {
        event.check()?;
        let schema = self.schemas.check(&event.kind, event.dataschema.as_deref(), &event.data);
        schema.map_err(EventError::Schema)
    }

    async fn take(&self, events: &[Event]) -> Result<(), PublishError> {
        events.iter().try_for_each(|event| self.check(event))?;
        let log = &self.parts.log;
        let encoded = events.iter().map(|event| log.encode(event)).collect::<Result<Vec<_>, _>>()?;
        let end = log.append(&encoded, true).await?;
        log.flush_surely(end).await?;
        self.retention.run();
        Ok(())
    }

    /// Runs what reads the disk beside the runtime.
    async fn reading<T: Send + 'static>(
        &self,
        read: impl FnOnce(&MessageLog) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Failure> {
        let log = Arc::clone(&self.parts.log);
        tokio::task::spawn_blocking(move || read(&log)).await.unwrap_or_else(|error| Err(lost(&error)))
    }

    fn served(&self) -> MutexGuard<'_, BTreeMap<Arc<str>, Served>> {
        self.served.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes up one subscription, or the members of one group, and starts its task.
    async fn start(&self, id: &Arc<str>, members: Vec<Subscription>, deliver: Arc<dyn Deliver>) -> Result<(), Failure> {
        let (commands, receiver) = mpsc::channel(COMMANDS);
        let shown = Arc::new(Shown::default());
        let rules = members.first().map(|first| &first.rules);
        let bound = rules
            .and_then(|rules| Some(Arc::new(Bound::new(Arc::clone(id), rules.topic.clone(), rules.queue.as_ref()?))));
        // From here on the bound counts what is appended; what was before is counted below.
        let bounds = self.served().values().filter_map(|one| one.bound.clone()).chain(bound.clone()).collect();
        let counted_from = self.parts.log.bind(bounds);
        let pump =
            Pump::resume(self.parts.clone(), members.clone(), deliver, receiver, Arc::clone(&shown), bound.clone())
                .await?;
        if let Some(bound) = &bound {
            self.parts.log.flush(counted_from).await?;
            let (next, in_hand) = pump.place();
            let counted = Arc::clone(bound);
            let unread = self.reading(move |log| log.count_covered(&counted, next, counted_from)).await?;
            bound.appended(unread + i64::try_from(in_hand).unwrap_or(i64::MAX));
        }
        self.retention.needs(Arc::clone(id), Arc::clone(&shown));
        let task = tokio::spawn(pump.run());
        self.served().insert(Arc::clone(id), Served { members, commands, shown, bound, task });
        Ok(())
    }

    /// Has the log ask the bounds of what is served, and no others.
    fn bind(&self) {
        let bounds = self.served().values().filter_map(|one| one.bound.clone()).collect();
        self.parts.log.bind(bounds);
    }

    /// Tells a served subscription something. Answers false if it is not served.
    async fn tell(&self, id: &str, command: Command) -> Result<bool, Failure> {
        let commands = self.served().get(id).map(|one| one.commands.clone());
        let Some(commands) = commands else { return Ok(false) };
        commands.send(command).await.map_err(|_| gone(id))?;
        Ok(true)
    }

    /// As [`Embedded::tell`], and waits for the answer.
    async fn ask(
        &self,
        id: &str,
        command: impl FnOnce(oneshot::Sender<Result<(), Failure>>) -> Command,
    ) -> Result<bool, Failure> {
        let (answer, answered) = oneshot::channel();
        if !self.tell(id, command(answer)).await? {
            return Ok(false);
        }
        answered.await.unwrap_or_else(|_| Err(gone(id))).map(|()| true)
    }

    /// Ends tasks, each after the deliveries that run.
    async fn stop(served: Vec<Served>, grace: Duration) {
        let mut ends = Vec::with_capacity(served.len());
        for one in &served {
            let (stopped, end) = oneshot::channel();
            // A task that has ended already hears nothing more; then the answer is cancelled at once.
            let _ = one.commands.send(Command::Stop(grace, stopped)).await;
            ends.push(end);
        }
        let _ = futures::future::join_all(ends).await;
        let _ = futures::future::join_all(served.into_iter().map(|one| one.task)).await;
    }
}

impl Broker for Embedded {
    fn publish(&self, event: Event) -> BoxFuture<'_, Result<(), PublishError>> {
        Box::pin(async move { self.take(std::slice::from_ref(&event)).await })
    }

    fn publish_all(&self, events: Vec<Event>) -> BoxFuture<'_, Result<(), PublishError>> {
        Box::pin(async move {
            let count = events.len();
            if count > MAX_PUBLISHED {
                return Err(EventError::TooMany { count, limit: MAX_PUBLISHED }.into());
            }
            self.take(&events).await
        })
    }

    fn forward(&self, outbox: Arc<dyn OutboxSource>) {
        let retention = Arc::clone(&self.retention);
        let forwarder = forward(outbox, Arc::clone(&self.parts.log), Arc::clone(&self.parts.clock), retention);
        self.forwarders.lock().unwrap_or_else(PoisonError::into_inner).push(tokio::spawn(forwarder));
    }

    fn serve(&self, subscriptions: Vec<Subscription>, deliver: Arc<dyn Deliver>) -> BoxFuture<'_, Result<(), Failure>> {
        Box::pin(async move {
            let _changing = self.changing.lock().await;
            let wanted = by_place(subscriptions)?;
            let leaving: Vec<(Arc<str>, Served)> = {
                let stays = |id: &Arc<str>, one: &Served| wanted.get(id).is_some_and(|wanted| one.goes_on_with(wanted));
                self.served().extract_if(.., |id, one| !stays(id, one)).collect()
            };
            let (again, gone): (Vec<_>, Vec<_>) = leaving.into_iter().partition(|(id, _)| wanted.contains_key(id));
            // Those that begin anew with other rules have to end first: they share a place.
            Self::stop(again.into_iter().map(|(_, one)| one).collect(), Duration::from_secs(LEAVE_GRACE_S)).await;
            for (id, members) in wanted {
                let known = self.served().get_mut(&id).map(|one| one.members.clone_from(&members));
                match known {
                    None => self.start(&id, members, Arc::clone(&deliver)).await?,
                    Some(()) => drop(self.tell(&id, Command::Rules(members, Arc::clone(&deliver))).await?),
                }
            }
            self.bind();
            self.retention.complete();
            let left: Vec<_> = gone.iter().map(|(id, _)| Arc::clone(id)).collect();
            Self::stop(gone.into_iter().map(|(_, one)| one).collect(), Duration::from_secs(LEAVE_GRACE_S)).await;
            left.iter().for_each(|id| self.retention.needs_no_more(id));
            Ok(())
        })
    }

    fn status(&self) -> Vec<SubscriptionStatus> {
        let end = self.parts.log.end();
        let count_behind = |position| self.parts.log.count_behind(position);
        let status = |(id, one): (&Arc<str>, &Served)| {
            let name = |member: &Subscription| format!("{}/{}", member.component, member.rules.name).into();
            one.shown.status(Arc::clone(id), one.members.iter().map(name).collect(), end, count_behind)
        };
        self.served().iter().map(status).collect()
    }

    fn unhealthy(&self) -> Option<String> {
        let log = self.parts.log.stopped();
        log.or_else(|| self.served().iter().find_map(|(id, one)| Some(format!("{id}: {}", one.shown.stopped()?))))
    }

    fn read(&self, from: ReadFrom, filter: EventFilter, limit: usize) -> BoxFuture<'_, Result<EventPage, Failure>> {
        Box::pin(self.reading(move |log| log.history(from, &filter, limit.min(MAX_LISTED))))
    }

    fn read_back(
        &self,
        before: ReadFrom,
        filter: EventFilter,
        limit: usize,
    ) -> BoxFuture<'_, Result<EventPage, Failure>> {
        Box::pin(self.reading(move |log| log.history_back(before, &filter, limit.min(MAX_LISTED))))
    }

    fn kept_from(&self) -> u64 {
        self.parts.log.kept_from()
    }

    fn head(&self) -> u64 {
        self.parts.log.end()
    }

    fn published_after(&self, position: u64) -> BoxFuture<'static, ()> {
        let mut flushed = self.parts.log.watch();
        Box::pin(async move {
            if flushed.wait_for(|end| *end > position).await.is_err() {
                std::future::pending().await
            }
        })
    }

    fn pause(&self, subscription: &str) -> BoxFuture<'_, Result<bool, Failure>> {
        let id = subscription.to_owned();
        Box::pin(async move { self.ask(&id, |answer| Command::Pause(true, answer)).await })
    }

    fn resume(&self, subscription: &str) -> BoxFuture<'_, Result<bool, Failure>> {
        let id = subscription.to_owned();
        Box::pin(async move { self.ask(&id, |answer| Command::Pause(false, answer)).await })
    }

    fn seek(&self, subscription: &str, to: ReadFrom) -> BoxFuture<'_, Result<bool, Failure>> {
        let id = subscription.to_owned();
        Box::pin(async move {
            let position = self.reading(move |log| log.locate(to)).await?;
            self.ask(&id, |answer| Command::Seek(position, answer)).await
        })
    }

    fn edit(&self, id: i64, data: Bytes) -> BoxFuture<'_, Result<bool, PublishError>> {
        Box::pin(async move {
            let Some(letter) = self.dead_letter(id).await? else { return Ok(false) };
            self.check(&Event { data: data.clone(), ..letter.event })?;
            Ok(self.parts.file.edit(id, data).await?)
        })
    }

    fn dead_letters(&self, filter: DeadLetterFilter, limit: usize) -> BoxFuture<'_, Result<Vec<DeadLetter>, Failure>> {
        Box::pin(async move {
            let mut letters = self.parts.file.letters(filter, limit.min(MAX_LISTED)).await?;
            letters.iter_mut().for_each(|letter| letter.event.data.clear());
            Ok(letters)
        })
    }

    fn dead_letter(&self, id: i64) -> BoxFuture<'_, Result<Option<DeadLetter>, Failure>> {
        let filter = DeadLetterFilter { id: Some(id), subscription: None };
        Box::pin(async move { Ok(self.parts.file.letters(filter, 1).await?.pop()) })
    }

    fn replay(&self, filter: DeadLetterFilter) -> BoxFuture<'_, Result<usize, Failure>> {
        Box::pin(async move {
            // One that is being taken up would miss what it is told.
            let _changing = self.changing.lock().await;
            let marked = self.parts.file.replay(filter).await?;
            let count = marked.len();
            let mut by_subscription: BTreeMap<String, Vec<i64>> = BTreeMap::new();
            for (id, subscription) in marked {
                by_subscription.entry(subscription).or_default().push(id);
            }
            for (subscription, ids) in by_subscription {
                // One that is not served is told when it is.
                self.tell(&subscription, Command::Replay(ids)).await?;
            }
            Ok(count)
        })
    }

    fn purge(&self, filter: DeadLetterFilter) -> BoxFuture<'_, Result<usize, Failure>> {
        Box::pin(async move {
            let _changing = self.changing.lock().await;
            let purged = self.parts.file.purge(filter).await?;
            let mut by_subscription: BTreeMap<String, Vec<Arc<str>>> = BTreeMap::new();
            for (subscription, key) in purged.held {
                by_subscription.entry(subscription).or_default().push(key);
            }
            for (subscription, keys) in by_subscription {
                self.tell(&subscription, Command::Purged(keys)).await?;
            }
            Ok(purged.count)
        })
    }

    fn shutdown(&self, grace: Duration) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            let _changing = self.changing.lock().await;
            let forwarders = std::mem::take(&mut *self.forwarders.lock().unwrap_or_else(PoisonError::into_inner));
            forwarders.iter().for_each(JoinHandle::abort);
            let _ = futures::future::join_all(forwarders).await;
            let served = std::mem::take(&mut *self.served());
            Self::stop(served.into_values().collect(), grace).await;
            let log = Arc::clone(&self.parts.log);
            let closed = tokio::task::spawn_blocking(move || log.close()).await;
            if let Ok(Err(error)) = closed {
                tracing::error!(%error, "the message log was not closed cleanly");
            }
        })
    }
}

impl Served {
    /// Whether its task can go on with these rules; what it reads and counts stays as it is.
    fn goes_on_with(&self, wanted: &[Subscription]) -> bool {
        let reads = |members: &[Subscription]| {
            members.first().map(|first| (first.rules.topic.clone(), first.rules.queue, first.rules.order))
        };
        reads(&self.members) == reads(wanted)
    }
}

/// Subscriptions by their place in the log.
fn by_place(subscriptions: Vec<Subscription>) -> Result<BTreeMap<Arc<str>, Vec<Subscription>>, Failure> {
    let mut places: BTreeMap<Arc<str>, Vec<Subscription>> = BTreeMap::new();
    for one in subscriptions {
        let members = places.entry(one.id()).or_default();
        if members.first().is_some_and(|first| !first.rules.shares_a_place_with(&one.rules)) {
            let message = format!("the subscriptions of {} have different rules", one.id());
            return Err(Failure::not_attempted(Fault::Client, Reason::Denied, message));
        }
        members.push(one);
    }
    Ok(places)
}

impl Drop for Embedded {
    fn drop(&mut self) {
        let forwarders = std::mem::take(&mut *self.forwarders.lock().unwrap_or_else(PoisonError::into_inner));
        forwarders.iter().for_each(JoinHandle::abort);
    }
}

fn lost(error: &tokio::task::JoinError) -> Failure {
    Failure::unknown(Fault::Host, Reason::Internal, format!("the task of a flush was lost: {error}"))
}

fn gone(subscription: &str) -> Failure {
    let message = format!("the task of the subscription {subscription} has ended");
    Failure::not_attempted(Fault::Host, Reason::Internal, message)
}

#[cfg(test)]
mod tests {
    use weft_core::clock::ManualClock;
    use weft_core::disk::{RealDisk, SimulatedDisk};

    use super::*;
    use crate::messaging::conformance::{self, Harness};

    /// A data directory whose log lies on a disk that loses what was not flushed, or on the machine's.
    struct OnDisk {
        data: tempfile::TempDir,
        simulated: Option<SimulatedDisk>,
        clock: Arc<ManualClock>,
        opened: Mutex<Option<Arc<Embedded>>>,
    }

    impl OnDisk {
        fn new(simulated: Option<SimulatedDisk>) -> Self {
            let clock = Arc::new(ManualClock::at_ms(1_700_000_000_000));
            Self { data: tempfile::tempdir().unwrap(), simulated, clock, opened: Mutex::default() }
        }
    }

    /// Refuses the type `Unfit`.
    #[derive(Debug)]
    struct NothingUnfit;

    impl SchemaCheck for NothingUnfit {
        fn check(&self, kind: &str, _dataschema: Option<&str>, _data: &[u8]) -> Result<(), String> {
            if kind == "Unfit" { Err("it does not fit".to_owned()) } else { Ok(()) }
        }
    }

    impl Harness for OnDisk {
        fn open(&self) -> Arc<dyn Broker> {
            let disk: Arc<dyn Disk> = match &self.simulated {
                Some(disk) => Arc::new(disk.clone()),
                None => Arc::new(RealDisk),
            };
            let schemas = Arc::new(NothingUnfit);
            let options = EmbeddedOptions { segment_bytes: 1 << 20, schemas, ..EmbeddedOptions::default() };
            let none = Failpoints::none();
            let broker = Embedded::open(self.data.path(), disk, self.clock.clone(), none, options).unwrap();
            let broker = Arc::new(broker);
            *self.opened.lock().unwrap() = Some(Arc::clone(&broker));
            broker
        }

        fn crash(&self, broker: Arc<dyn Broker>) -> BoxFuture<'_, ()> {
            drop(broker);
            let broker = Arc::into_inner(self.opened.lock().unwrap().take().unwrap()).unwrap();
            if let Some(disk) = &self.simulated {
                disk.crash(0);
            }
            let log = Arc::clone(&broker.parts.log);
            for served in broker.served().values() {
                served.task.abort();
            }
            drop(broker);
            Box::pin(async move {
                // Tasks of the crashed broker let go of the log, so that it can be opened again.
                while Arc::strong_count(&log) > 1 {
                    tokio::task::yield_now().await;
                }
            })
        }

        fn clock(&self) -> &ManualClock {
            &self.clock
        }
    }

    #[tokio::test]
    async fn keeps_the_contract_on_a_disk_that_loses_what_is_not_flushed() {
        conformance::run(|| OnDisk::new(Some(SimulatedDisk::new()))).await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn keeps_the_contract_on_the_machines_disk() {
        conformance::run(|| OnDisk::new(None)).await;
    }
}
