//! Weft's broker with its own API, in this process: what the host's functions reach it through is not in between.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use futures::future::BoxFuture;
use weft_capability::messaging::embedded::Embedded;
use weft_capability::messaging::{Broker, Deliver, Delivery, DeliveryError, Event, Subscription};
use weft_core::clock::SystemClock;
use weft_core::disk::RealDisk;
use weft_core::{Failpoints, manifest};

use super::engine::{Engine, Handle, TOPIC, data, number};
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
}

impl Weft {
    /// Opens it on the data in `folder`.
    ///
    /// # Errors
    /// If that fails.
    pub fn start(folder: &Path) -> anyhow::Result<Self> {
        let clock = Arc::new(SystemClock::new(|duration| Box::pin(tokio::time::sleep(duration))));
        let broker = Embedded::open(folder, Arc::new(RealDisk), clock, Failpoints::none())?;
        Ok(Self { broker })
    }
}

/// The event with this number.
fn event(number: u64) -> anyhow::Result<Event> {
    let time_ms = u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis())?;
    Ok(Event {
        id: number.to_string(),
        source: "/bench".to_owned(),
        kind: "benched".to_owned(),
        subject: None,
        time_ms,
        topic: TOPIC.to_owned(),
        ordering_key: None,
        correlation_id: None,
        traceparent: None,
        data: data(number),
    })
}

fn subscription() -> anyhow::Result<Subscription> {
    let rules = manifest::Subscription {
        name: "all".into(),
        topic: TOPIC.parse()?,
        max_attempts: 3,
        base_ms: 1_000,
        cap_ms: 30_000,
        concurrency: CONCURRENCY,
        start: manifest::Start::Earliest,
        line: 1,
    };
    Ok(Subscription { component: "bench".into(), rules })
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
        Box::pin(async move { Ok(self.broker.publish(event(number)?).await?) })
    }

    fn consume(self: Arc<Self>, handle: Handle) -> BoxFuture<'static, anyhow::Result<()>> {
        Box::pin(async move {
            self.broker.serve(vec![subscription()?], Arc::new(Handler(handle))).await?;
            std::future::pending().await
        })
    }

    fn unsettled(&self) -> BoxFuture<'_, anyhow::Result<u64>> {
        Box::pin(async move {
            let all = self.broker.status();
            let one = all.first().context("the subscription is not served")?;
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
