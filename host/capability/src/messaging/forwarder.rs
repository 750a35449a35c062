//! Carries the events of an outbox into the message log: appended in commit order, flushed, then taken from the outbox.
//! A crash in between repeats events, and the log knows their ids.

use std::sync::Arc;
use std::time::Duration;

use weft_core::{Clock, Failure};

use super::Event;
use super::message_log::MessageLog;
use super::retention::Retention;
use crate::outbox::OutboxSource;

/// Events taken at a time.
const BATCH: usize = 256;
/// The pause after a failure.
const AGAIN_MS: u64 = 1_000;

/// Runs for ever; dropping it is safe at any moment.
pub(super) async fn forward(
    outbox: Arc<dyn OutboxSource>,
    log: Arc<MessageLog>,
    clock: Arc<dyn Clock>,
    retention: Arc<Retention>,
) {
    loop {
        match drain(&*outbox, &log).await {
            Ok(()) => {
                retention.run();
                outbox.changed().await;
            }
            Err(error) => {
                tracing::error!(context = outbox.context(), %error, "events wait in the outbox");
                clock.sleep(Duration::from_millis(AGAIN_MS)).await;
            }
        }
    }
}

async fn drain(outbox: &dyn OutboxSource, log: &MessageLog) -> Result<(), Failure> {
    loop {
        let events = outbox.pending(BATCH).await?;
        let Some(last) = events.last().map(|event| event.position) else { return Ok(()) };
        let mut end = 0;
        for event in events {
            end = log.append(&Event::from(event)).await?.max(end);
        }
        log.flush(end).await?;
        outbox.forwarded(last).await?;
    }
}
