//! Where projections read: a context's event store, or topics of the message log. Both are read by position, and tell
//! when there is more.

use std::sync::Arc;

use futures::future::BoxFuture;

use weft_core::topic::TopicPattern;
use weft_core::{Failure, Fault, Reason};

use super::SourceEvent;
use crate::events::{Direction, EventStore, EventStoreError, Filter, RecordedEvent};
use crate::messaging::{Broker, EventFilter, ReadFrom};

/// Some events, and where to read on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Slice {
    /// In order.
    pub events: Vec<SourceEvent>,
    /// Read on from here: behind all that was looked at.
    pub next: u64,
}

/// A source of events.
pub trait Source: Send + Sync + 'static {
    /// At most `limit` events from position `from` on, and fewer if they are large. No event is ever found later before
    /// where a slice ends.
    fn read(&self, from: u64, limit: u32) -> BoxFuture<'_, Result<Slice, Failure>>;

    /// Where the next event will stand.
    fn head(&self) -> BoxFuture<'_, Result<u64, Failure>>;

    /// Resolves when there is something at `from` or behind it, perhaps for others.
    fn more_at(&self, from: u64) -> BoxFuture<'static, ()>;
}

/// Events of a context's store, of certain types.
pub struct StoreSource {
    store: Arc<dyn EventStore>,
    filter: Filter,
}

impl StoreSource {
    /// The events of `store` whose type is one of `kinds`; all if there are none.
    #[must_use]
    pub fn new(store: Arc<dyn EventStore>, kinds: Vec<String>) -> Self {
        Self { store, filter: Filter { kinds, ..Filter::default() } }
    }
}

impl Source for StoreSource {
    fn read(&self, from: u64, limit: u32) -> BoxFuture<'_, Result<Slice, Failure>> {
        Box::pin(async move {
            // Asked first: at the end of the store, all up to here was looked at.
            let head = self.store.head().await.map_err(failure)?;
            let page = self.store.read_all(from, Direction::Forward, self.filter.clone(), limit).await;
            let page = page.map_err(failure)?;
            let behind_last = page.events.last().map_or(0, |event| event.position + 1);
            let next = page.next.unwrap_or_else(|| from.max(head + 1).max(behind_last));
            Ok(Slice { events: page.events.into_iter().map(SourceEvent::from).collect(), next })
        })
    }

    fn head(&self) -> BoxFuture<'_, Result<u64, Failure>> {
        Box::pin(async move { Ok(self.store.head().await.map_err(failure)? + 1) })
    }

    fn more_at(&self, from: u64) -> BoxFuture<'static, ()> {
        self.store.appended_after(from.saturating_sub(1))
    }
}

fn failure(error: EventStoreError) -> Failure {
    match error {
        EventStoreError::Sql(error) => error.into(),
        other => Failure::not_attempted(Fault::Host, Reason::Internal, other.to_string()),
    }
}

impl From<RecordedEvent> for SourceEvent {
    fn from(event: RecordedEvent) -> Self {
        Self {
            position: event.position,
            id: event.id,
            kind: event.kind,
            topic: event.topic,
            subject: Some(event.stream),
            time_ms: event.time_ms,
            correlation_id: event.correlation_id,
            data: event.data.into(),
        }
    }
}

/// Events of the message log on certain topics, of certain types. What the log's retention has removed is not there.
pub struct LogSource {
    broker: Arc<dyn Broker>,
    filter: EventFilter,
    kinds: Vec<String>,
}

impl LogSource {
    /// The events of `broker` on topics that `topic` covers, whose type is one of `kinds`; all if there are none.
    #[must_use]
    pub fn new(broker: Arc<dyn Broker>, topic: TopicPattern, kinds: Vec<String>) -> Self {
        Self { broker, filter: EventFilter { topic: Some(topic), ..EventFilter::default() }, kinds }
    }
}

impl Source for LogSource {
    fn read(&self, from: u64, limit: u32) -> BoxFuture<'_, Result<Slice, Failure>> {
        Box::pin(async move {
            let limit = usize::try_from(limit).unwrap_or(usize::MAX);
            let page = self.broker.read(ReadFrom::Position(from), self.filter.clone(), limit).await?;
            // Asked afterwards, so that nothing was removed unnoticed between the two.
            let kept_from = self.broker.kept_from();
            if from > 0 && from < kept_from {
                let message = format!("retention has removed events between {from} and {kept_from}; rebuild it");
                return Err(Failure::not_attempted(Fault::Host, Reason::Unavailable, message));
            }
            let wanted = |kind: &String| self.kinds.is_empty() || self.kinds.contains(kind);
            let events = page.events.into_iter().filter(|(_, event)| wanted(&event.kind));
            let event = |(position, event): (u64, crate::messaging::Event)| SourceEvent {
                position,
                id: event.id,
                kind: event.kind,
                topic: event.topic,
                subject: event.subject,
                time_ms: event.time_ms,
                correlation_id: event.correlation_id,
                data: event.data,
            };
            Ok(Slice { events: events.map(event).collect(), next: page.next })
        })
    }

    fn head(&self) -> BoxFuture<'_, Result<u64, Failure>> {
        Box::pin(std::future::ready(Ok(self.broker.head())))
    }

    fn more_at(&self, from: u64) -> BoxFuture<'static, ()> {
        self.broker.published_after(from)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use weft_core::clock::ManualClock;
    use weft_core::disk::SimulatedDisk;
    use weft_core::failpoint::Failpoints;

    use super::*;
    use crate::messaging::embedded::{Embedded, EmbeddedOptions};
    use crate::messaging::{Deliver, Delivery, DeliveryError, Event};

    fn broker(data: &Path) -> Embedded {
        let options =
            EmbeddedOptions { segment_bytes: 1 << 16, retention_bytes: Some(1 << 18), ..EmbeddedOptions::default() };
        let (disk, clock) = (Arc::new(SimulatedDisk::new()), Arc::new(ManualClock::at_ms(1_700_000_000_000)));
        Embedded::open(data, disk, clock, Failpoints::none(), options).unwrap()
    }

    fn event(number: usize) -> Event {
        let data = vec![b'7'; 4_096].into();
        Event { id: format!("e{number}"), topic: "numbers.counted".to_owned(), data, ..Event::sample() }
    }

    /// Handles nothing, as nothing is subscribed.
    struct Nobody;

    impl Deliver for Nobody {
        fn deliver(&self, component: &str, _delivery: Delivery) -> BoxFuture<'static, Result<(), DeliveryError>> {
            unreachable!("{component} has no subscription")
        }
    }

    async fn read(source: &LogSource, from: u64) -> Result<Slice, Failure> {
        source.read(from, 1_000).await
    }

    #[tokio::test]
    async fn who_reads_on_from_what_retention_has_removed_is_told_and_nobody_else() {
        let data = tempfile::tempdir().unwrap();
        let broker = Arc::new(broker(data.path()));
        broker.serve(Vec::new(), Arc::new(Nobody)).await.unwrap();
        let source = LogSource::new(broker.clone(), "numbers.#".parse().unwrap(), Vec::new());
        let (mut number, mut behind_first) = (0, None);
        while broker.kept_from() == 0 {
            broker.publish(event(number)).await.unwrap();
            number += 1;
            behind_first = behind_first.or(Some(read(&source, 0).await.unwrap().next));
        }
        let gone = read(&source, behind_first.unwrap()).await.unwrap_err();
        assert!(gone.message.contains("rebuild"), "{gone:?}");

        // One who has read all that went stands exactly where the rest begins.
        let first_kept = read(&source, 0).await.unwrap().events.remove(0);
        let rest = read(&source, broker.kept_from()).await.unwrap();
        assert_eq!(rest.events.first(), Some(&first_kept));
        assert!(first_kept.id != "e0", "{}", first_kept.id);
    }
}
