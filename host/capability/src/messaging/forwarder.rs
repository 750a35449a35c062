//! Carries the events of an outbox into the message log: appended in commit order, flushed, then taken from the outbox.
//! A crash in between repeats events, and the log knows their ids.

use std::sync::Arc;
use std::time::Duration;

use weft_core::{Clock, Failure, Fault, Reason};

use super::message_log::MessageLog;
use super::retention::Retention;
use super::{Event, PublishError};
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
        let events: Vec<Event> = events.into_iter().map(Event::from).collect();
        let encoded = events.iter().map(|event| log.encode(event)).collect::<Result<Vec<_>, _>>()?;
        let end = match log.append(&encoded, false).await {
            Ok(end) => end,
            Err(PublishError::Unavailable(failure)) => return Err(failure),
            // Nothing is asked of events of a commit: they are past refusing.
            Err(error) => return Err(Failure::not_attempted(Fault::Host, Reason::Internal, error.to_string())),
        };
        log.flush(end).await?;
        outbox.forwarded(last).await?;
    }
}
