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
    subscription: Subscription,
    commands: mpsc::Sender<Command>,
    shown: Arc<Shown>,
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

    /// Takes up one subscription and starts its task.
    async fn start(&self, subscription: Subscription, deliver: Arc<dyn Deliver>) -> Result<(), Failure> {
        let (commands, receiver) = mpsc::channel(COMMANDS);
        let shown = Arc::new(Shown::default());
        let pump =
            Pump::resume(self.parts.clone(), subscription.clone(), deliver, receiver, Arc::clone(&shown)).await?;
        self.retention.needs(subscription.id(), Arc::clone(&shown));
        let task = tokio::spawn(pump.run());
        self.served().insert(subscription.id(), Served { subscription, commands, shown, task });
        Ok(())
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
            let wanted: BTreeMap<_, _> = subscriptions.into_iter().map(|one| (one.id(), one)).collect();
            let leaving: Vec<Served> = {
                let mut served = self.served();
                served.extract_if(.., |id, _| !wanted.contains_key(id)).map(|(_, one)| one).collect()
            };
            for (id, subscription) in wanted {
                let known = self.served().get(&id).map(|one| one.commands.clone());
                match known {
                    None => self.start(subscription, Arc::clone(&deliver)).await?,
                    Some(commands) => {
                        if let Some(one) = self.served().get_mut(&id) {
                            one.subscription = subscription.clone();
                        }
                        let rules = Command::Rules(subscription, Arc::clone(&deliver));
                        commands.send(rules).await.map_err(|_| gone(&id))?;
                    }
                }
            }
            self.retention.complete();
            let left: Vec<_> = leaving.iter().map(|one| one.subscription.id()).collect();
            Self::stop(leaving, Duration::from_secs(LEAVE_GRACE_S)).await;
            left.iter().for_each(|id| self.retention.needs_no_more(id));
            Ok(())
        })
    }

    fn status(&self) -> Vec<SubscriptionStatus> {
        let end = self.parts.log.end();
        self.served().iter().map(|(id, one)| one.shown.status(Arc::clone(id), end)).collect()
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
        let error = gone(subscription);
        Box::pin(async { Err(error) })
    }

    fn resume(&self, subscription: &str) -> BoxFuture<'_, Result<bool, Failure>> {
        let error = gone(subscription);
        Box::pin(async { Err(error) })
    }

    fn seek(&self, subscription: &str, _to: ReadFrom) -> BoxFuture<'_, Result<bool, Failure>> {
        let error = gone(subscription);
        Box::pin(async { Err(error) })
    }

    fn edit(&self, _id: i64, _data: Bytes) -> BoxFuture<'_, Result<bool, PublishError>> {
        Box::pin(async { Err(gone("").into()) })
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
            let marked = self.parts.file.replay(filter).await?;
            let count = marked.len();
            let mut by_subscription: BTreeMap<String, Vec<i64>> = BTreeMap::new();
            for (id, subscription) in marked {
                by_subscription.entry(subscription).or_default().push(id);
            }
            for (subscription, ids) in by_subscription {
                let commands = self.served().get(&*subscription).map(|one| one.commands.clone());
                if let Some(commands) = commands {
                    commands.send(Command::Replay(ids)).await.map_err(|_| gone(&subscription))?;
                }
            }
            Ok(count)
        })
    }

    fn purge(&self, filter: DeadLetterFilter) -> BoxFuture<'_, Result<usize, Failure>> {
        Box::pin(self.parts.file.purge(filter))
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

    impl Harness for OnDisk {
        fn open(&self) -> Arc<dyn Broker> {
            let disk: Arc<dyn Disk> = match &self.simulated {
                Some(disk) => Arc::new(disk.clone()),
                None => Arc::new(RealDisk),
            };
            let options = EmbeddedOptions { segment_bytes: 1 << 20, ..EmbeddedOptions::default() };
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
