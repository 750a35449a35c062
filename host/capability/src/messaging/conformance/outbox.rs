//! Events out of the outboxes of commits.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test suite that other crates run")]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tokio::sync::Notify;
use weft_core::Failure;

use super::*;
use crate::outbox::{OutboxEvent, OutboxSource};

/// An outbox in memory whose removals can be lost, as those that are not flushed are.
#[derive(Default)]
struct Outbox {
    events: Mutex<Vec<OutboxEvent>>,
    changed: Notify,
    forgetful: bool,
    forwarded: AtomicUsize,
}

impl Outbox {
    fn with(ids: std::ops::Range<i64>, forgetful: bool) -> Arc<Self> {
        let outbox = Self { forgetful, ..Self::default() };
        ids.for_each(|id| outbox.commit(id));
        Arc::new(outbox)
    }

    fn commit(&self, id: i64) {
        let event = event(&id.to_string(), "outbox", Some("same"));
        self.events.lock().unwrap().push(OutboxEvent {
            position: id,
            id: event.id,
            source: event.source,
            topic: event.topic,
            kind: event.kind,
            subject: event.subject,
            ordering_key: event.ordering_key,
            correlation_id: event.correlation_id,
            traceparent: event.traceparent,
            time_ms: event.time_ms,
            data: event.data.into(),
            ..OutboxEvent::default()
        });
        self.changed.notify_one();
    }
}

impl OutboxSource for Outbox {
    fn context(&self) -> &str {
        "test"
    }

    fn changed(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.changed.notified())
    }

    fn pending(&self, limit: usize) -> BoxFuture<'_, Result<Vec<OutboxEvent>, Failure>> {
        let forwarded = self.forwarded.load(Ordering::SeqCst);
        let waits = |event: &&OutboxEvent| usize::try_from(event.position).unwrap() >= forwarded;
        let pending = self.events.lock().unwrap().iter().filter(waits).take(limit).cloned().collect();
        Box::pin(async { Ok(pending) })
    }

    fn forwarded(&self, position: i64) -> BoxFuture<'_, Result<(), Failure>> {
        self.forwarded.store(usize::try_from(position).unwrap() + 1, Ordering::SeqCst);
        if !self.forgetful {
            self.events.lock().unwrap().retain(|event| event.position > position);
        }
        Box::pin(async { Ok(()) })
    }
}

pub(super) async fn in_order_and_once(harness: &dyn Harness) {
    let broker = harness.open();
    let (deliver, mut seen) = accept();
    broker.serve(vec![subscription("s", "outbox")], deliver).await.unwrap();
    let outbox = Outbox::with(0..600, true);
    broker.forward(outbox.clone());
    outbox.commit(600);
    let expected: Vec<String> = (0..=600).map(|id| id.to_string()).collect();
    assert_eq!(next_ids(harness.clock(), &mut seen, 601).await, expected, "in commit order");
    settled(harness, &*broker).await;
    harness.crash(broker).await;

    // The crash took back what the outbox knew of being forwarded.
    let broker = harness.open();
    let outbox = Outbox::with(0..602, false);
    let (deliver, mut seen) = accept();
    broker.serve(vec![subscription("again", "outbox")], deliver).await.unwrap();
    broker.forward(outbox.clone());
    until(harness.clock(), || outbox.events.lock().unwrap().is_empty()).await;
    settled(harness, &*broker).await;
    let mut ids = Vec::new();
    while let Ok(delivery) = seen.try_recv() {
        ids.push(delivery.event.id.clone());
    }
    assert_eq!(ids, (0..602).map(|id| id.to_string()).collect::<Vec<_>>(), "each once, the new one as well");
}
