//! Choreographies as the host sees them: every handled event of a choreography is written down as a step of a saga, by
//! the event's correlation id. The functions react to each other by themselves; nothing here changes what they do.

use std::collections::BTreeSet;
use std::sync::Arc;

use weft_capability::messaging::{Delivery, DeliveryError};
use weft_core::manifest::{Choreography, Manifest};
use weft_core::{Clock, Failure, Outcome};
use weft_durable::{Reaction, SagaError, Sagas};

/// Writes choreographed sagas down.
pub struct Choreographing {
    /// Where to.
    pub sagas: Sagas,
    /// What the manifest declares.
    pub choreographies: Vec<Choreography>,
    /// Topics of failures that no function handles.
    pub unhandled: BTreeSet<Arc<str>>,
    /// The machine's time.
    pub clock: Arc<dyn Clock>,
}

/// What an event means to a choreography.
enum Meaning {
    Start,
    End,
    Failed,
}

impl Choreographing {
    /// For the choreographies of a manifest.
    #[must_use]
    pub fn new(manifest: &Manifest, sagas: Sagas, clock: Arc<dyn Clock>) -> Self {
        let choreographies: Vec<_> = manifest.choreographies.values().cloned().collect();
        let is_handled = |topic: &Arc<str>| {
            let mut subscriptions = manifest.running().flat_map(|component| &component.subscriptions);
            subscriptions.any(|subscription| subscription.topic.matches(topic))
        };
        let failed = choreographies.iter().filter_map(|choreography| choreography.failed.clone());
        let unhandled = failed.filter(|topic| !is_handled(topic)).collect();
        Self { sagas, choreographies, unhandled, clock }
    }

    fn meaning(&self, topic: &str) -> Option<(&Choreography, Meaning)> {
        self.choreographies.iter().find_map(|choreography| {
            let meaning = match topic {
                topic if *choreography.start == *topic => Meaning::Start,
                topic if *choreography.end == *topic => Meaning::End,
                topic if choreography.failed.as_deref() == Some(topic) => Meaning::Failed,
                _ => return None,
            };
            Some((choreography, meaning))
        })
    }

    /// Takes note of an event that begins or ends a choreography; durable when it answers. A saga that is orchestrated
    /// may publish the same events; it is not touched.
    ///
    /// # Errors
    /// Why the journal refuses; the event will come again.
    pub async fn observe(&self, delivery: &Delivery) -> Result<(), DeliveryError> {
        let event = &delivery.event;
        let (Some(id), Some((choreography, meaning))) = (&event.correlation_id, self.meaning(&event.topic)) else {
            return Ok(());
        };
        let at_ms = event.time_ms;
        let observed = match meaning {
            Meaning::Start => self.sagas.choreography_began(&choreography.name, id, at_ms),
            Meaning::End => self.sagas.choreography_ended(id, false, at_ms),
            Meaning::Failed if self.unhandled.contains(&*event.topic) => self.sagas.choreography_ended(id, true, at_ms),
            // Who compensates ends it.
            Meaning::Failed => Ok(()),
        };
        // The event will not come again once it is taken.
        let written = self.sagas.choreographies_written().await;
        match observed.and(written) {
            // An event of another saga, or of one that is forgotten.
            Ok(()) | Err(SagaError::NotFound) => Ok(()),
            Err(error) => Err(DeliveryError::Retry(error.to_string())),
        }
    }

    /// Writes down that a component has handled an event, or tried to.
    pub fn reacted(&self, component: &str, delivery: &Delivery, began_ms: u64, result: &Result<(), DeliveryError>) {
        let event = &delivery.event;
        let Some(id) = &event.correlation_id else { return };
        let meaning = self.meaning(&event.topic);
        if let Some((choreography, Meaning::Start)) = meaning {
            // The function may have handled it before the host has seen it.
            self.log(self.sagas.choreography_began(&choreography.name, id, event.time_ms));
        }
        if !self.sagas.is_choreographed(id) || not_attempted(result) {
            return;
        }
        let reaction = Reaction {
            step: format!("{component}/{}", delivery.subscription),
            compensates: matches!(meaning, Some((_, Meaning::Failed))),
            attempt: delivery.attempt,
            started_at_ms: began_ms,
            ended_at_ms: self.clock.now_ms(),
            error: result.as_ref().err().map(ToString::to_string),
            again: !matches!(result, Err(DeliveryError::Reject(_))),
        };
        self.log(self.sagas.choreography_reacted(id, reaction));
    }

    /// What cannot be written down is missing in the list; the functions are not held up by it.
    fn log(&self, written: Result<(), SagaError>) {
        if let Err(error) = written {
            tracing::warn!(%error, "a step of a choreographed saga cannot be written down");
        }
    }
}

fn not_attempted(result: &Result<(), DeliveryError>) -> bool {
    matches!(result, Err(DeliveryError::Failed(Failure { outcome: Outcome::NotAttempted, .. })))
}
