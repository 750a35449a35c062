//! Weft's broker with its own API, in this process: what the host's functions reach it through is not in between.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures::future::BoxFuture;
use weft_capability::messaging::embedded::{Embedded, EmbeddedOptions};
use weft_capability::messaging::{
    Broker, DeadLetterFilter, Deliver, Delivery, DeliveryError, Event, Handling, Subscription,
};
use weft_core::clock::SystemClock;
use weft_core::disk::RealDisk;
use weft_core::{Failpoints, manifest};

use super::engine::{Engine, Handle, data, number};
use crate::process::Process;

/// How it was set up.
pub const HOW: &str = "the host's API in the process of the bench, whose processor time and memory are all counted: \
                       publishers and handlers are in them; fdatasync before an event is acknowledged, shared by those \
                       that wait; an event has id, source, type and time, and its id is looked up";

const GRACE: Duration = Duration::from_secs(30);
/// Deliveries at once.
const CONCURRENCY: u32 = 1_000;

/// The broker.
#[derive(Debug)]
pub struct Weft {
    broker: Embedded,
    component: &'static str,
    topic: &'static str,
}

impl Weft {
    /// Opens it on the data in `folder`, with one subscription, `all` of `component`, to `topic`.
    ///
    /// # Errors
    /// If that fails.
    pub fn start(folder: &Path, component: &'static str, topic: &'static str) -> anyhow::Result<Self> {
        let clock = Arc::new(SystemClock::new(|duration| Box::pin(tokio::time::sleep(duration))));
        let broker = Embedded::open(folder, Arc::new(RealDisk), clock, Failpoints::none(), EmbeddedOptions::default())?;
        Ok(Self { broker, component, topic })
    }

    /// The event with this number.
    fn event(&self, number: u64) -> anyhow::Result<Event> {
        let time_ms = u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis())?;
        Ok(Event {
            id: number.to_string(),
            source: "/bench".to_owned(),
            kind: "benched".to_owned(),
            subject: None,
            time_ms,
            topic: self.topic.to_owned(),
            ordering_key: None,
            correlation_id: None,
            traceparent: None,
            dataschema: None,
            handling: Handling::default(),
            data: data(number),
        })
    }

    fn subscription(&self) -> anyhow::Result<Subscription> {
        let rules = manifest::Subscription::new("all".into(), self.topic.parse()?);
        let rules = manifest::Subscription { concurrency: CONCURRENCY, prefetch: CONCURRENCY, ..rules };
        Ok(Subscription { component: self.component.into(), rules })
    }

    /// Publishes an event with a subject, which no other event has.
    ///
    /// # Errors
    /// If it is refused.
    pub async fn publish_named(&self, subject: &str, number: u64) -> anyhow::Result<()> {
        let event = Event { subject: Some(subject.to_owned()), ..self.event(number)? };
        Ok(self.broker.publish(event).await?)
    }

    /// That there are no dead letters.
    ///
    /// # Errors
    /// If there is one.
    pub async fn nothing_refused(&self) -> anyhow::Result<()> {
        let letters = self.broker.dead_letters(DeadLetterFilter::default(), 1).await?;
        anyhow::ensure!(letters.is_empty(), "an event was refused: {letters:?}");
        Ok(())
    }
}

/// Handles in the task of the delivery.
struct Handler(Handle);

impl Deliver for Handler {
    fn deliver(&self, _: &str, delivery: Delivery) -> BoxFuture<'static, Result<(), DeliveryError>> {
        let handled = number(&delivery.event.data).and_then(|number| (self.0)(number));
        Box::pin(std::future::ready(handled.map_err(|error| DeliveryError::Reject(error.to_string()))))
    }
}

impl Engine for Weft {
    fn publish(&self, _: usize, number: u64) -> BoxFuture<'_, anyhow::Result<()>> {
        Box::pin(async move { Ok(self.broker.publish(self.event(number)?).await?) })
    }

    fn consume(self: Arc<Self>, handle: Handle) -> BoxFuture<'static, anyhow::Result<()>> {
        Box::pin(async move {
            self.broker.serve(vec![self.subscription()?], Arc::new(Handler(handle))).await?;
            std::future::pending().await
        })
    }

    fn unsettled(&self) -> BoxFuture<'_, anyhow::Result<u64>> {
        Box::pin(async move {
            let all = self.broker.status();
            // Nothing is settled before it is served.
            let Some(one) = all.first() else { return Ok(u64::MAX) };
            anyhow::ensure!(one.failed == 0, "{} deliveries failed", one.failed);
            Ok(one.waiting + one.in_flight + one.unread_bytes)
        })
    }

    fn processes(&self) -> Vec<Process> {
        vec![Process(std::process::id())]
    }

    fn close(&self) -> BoxFuture<'_, anyhow::Result<()>> {
        Box::pin(async move {
            self.broker.shutdown(GRACE).await;
            Ok(())
        })
    }
}
