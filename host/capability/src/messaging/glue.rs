//! `weft:messaging`: the producer that a component imports, and the values of the handler that it exports. Calling the
//! handler is the engine's.

use std::sync::Arc;

use wasmtime::component::{Accessor, HasData, Linker, Val};

use weft_core::topic::TopicPattern;
use weft_core::{Clock, Failure, Fault, Reason, id};

use super::event::rfc3339;
use super::{Broker, DEFAULT_PRIORITY, Delivery, DeliveryError, Event, Handling, PublishError};
use crate::gate::{Gate, Hold};

mod bindings {
    wasmtime::component::bindgen!({
        path: ["../../wit/weft-messaging"],
        inline: "package weft:messaging-host; world host { import weft:messaging/producer@0.1.0; }",
        world: "weft:messaging-host/host",
        require_store_data_send: true,
    });
}

use bindings::weft::messaging::{producer, types as wit};

/// The interface that a component with a subscription exports.
pub const HANDLER: &str = "weft:messaging/handler@0.1.0";
/// The one function in it.
pub const HANDLE: &str = "handle";
/// The interface that a component with a subscription in batches exports.
pub const BATCH_HANDLER: &str = "weft:messaging/batch-handler@0.1.0";
/// The one function in it.
pub const HANDLE_BATCH: &str = "handle-batch";

/// What one instance has of messaging.
#[derive(Debug)]
pub struct MessagingState {
    broker: Option<Arc<dyn Broker>>,
    topics: Arc<[TopicPattern]>,
    gate: Gate,
    component: Arc<str>,
    clock: Arc<dyn Clock>,
    traceparent: Option<String>,
    correlation_id: Option<String>,
}

impl MessagingState {
    /// The state of an instance of `component`, which may publish to topics that one of `topics` covers.
    #[must_use]
    pub fn new(
        broker: Option<Arc<dyn Broker>>,
        topics: Arc<[TopicPattern]>,
        gate: Gate,
        component: Arc<str>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self { broker, topics, gate, component, clock, traceparent: None, correlation_id: None }
    }

    /// Says which call runs now: its W3C trace context goes with its events, and so does the correlation id where an
    /// event names none.
    pub fn set_call(&mut self, traceparent: Option<String>, correlation_id: Option<String>) {
        self.traceparent = traceparent;
        self.correlation_id = correlation_id;
    }

    /// The broker, if an event may go to `topic` now.
    fn enter(&self, topic: &str) -> Result<Arc<dyn Broker>, wit::Error> {
        self.gate.check().map_err(|closed| wit::Error::Denied(closed.to_string()))?;
        if !self.topics.iter().any(|pattern| pattern.matches(topic)) {
            return Err(wit::Error::Denied(format!(
                "the topic `{topic}` is not granted: add it to `topics` in [component.{}.tool.weft]",
                self.component
            )));
        }
        self.broker.clone().ok_or_else(|| wit::Error::Unavailable("this host has no messaging".to_owned()))
    }

    /// Notes what is under way, until the answer is dropped.
    fn hold(&self, bytes: usize) -> Result<Hold, wit::Error> {
        self.gate.hold(bytes).map_err(|closed| wit::Error::Unavailable(closed.to_string()))
    }

    fn event(&self, event: producer::Outgoing) -> Event {
        Event {
            id: event.id.unwrap_or_else(id::new_id),
            source: format!("/{}", self.component),
            kind: event.type_,
            subject: event.subject,
            time_ms: self.clock.now_ms(),
            topic: event.topic,
            ordering_key: event.ordering_key,
            correlation_id: event.correlation_id.or_else(|| self.correlation_id.clone()),
            traceparent: self.traceparent.clone(),
            dataschema: event.dataschema,
            handling: Handling {
                delay_ms: event.delay_ms,
                ttl_ms: event.ttl_ms,
                priority: event.priority.unwrap_or(DEFAULT_PRIORITY),
            },
            data: event.data.into(),
        }
    }
}

struct Glue;

impl HasData for Glue {
    type Data<'a> = &'a mut MessagingState;
}

/// Links `weft:messaging/producer`.
///
/// # Errors
/// If it is linked already.
pub fn add_to_linker<T: Send + 'static>(
    linker: &mut Linker<T>,
    state: fn(&mut T) -> &mut MessagingState,
) -> wasmtime::Result<()> {
    wit::add_to_linker::<T, Glue>(linker, state)?;
    producer::add_to_linker::<T, Glue>(linker, state)
}

impl wit::Host for &mut MessagingState {}
impl producer::Host for &mut MessagingState {}

impl<T: Send + 'static> producer::HostWithStore<T> for Glue {
    async fn publish(accessor: &Accessor<T, Self>, event: producer::Outgoing) -> Result<String, wit::Error> {
        let (broker, event, _held) = accessor.with(|mut access| {
            let state = access.get();
            let broker = state.enter(&event.topic)?;
            let held = state.hold(event.data.len())?;
            Ok((broker, state.event(event), held))
        })?;
        let id = event.id.clone();
        broker.publish(event).await.map(|()| id).map_err(refused)
    }

    async fn publish_all(
        accessor: &Accessor<T, Self>,
        events: Vec<producer::Outgoing>,
    ) -> Result<Vec<String>, wit::Error> {
        let (broker, events, _held) = accessor.with(|mut access| {
            let state = access.get();
            let held = state.hold(events.iter().map(|event| event.data.len()).sum())?;
            let mut broker = None;
            for event in &events {
                broker = Some(state.enter(&event.topic)?);
            }
            Ok((broker, events.into_iter().map(|event| state.event(event)).collect::<Vec<_>>(), held))
        })?;
        let Some(broker) = broker else { return Ok(Vec::new()) };
        let ids = events.iter().map(|event| event.id.clone()).collect();
        broker.publish_all(events).await.map(|()| ids).map_err(refused)
    }
}

fn refused(error: PublishError) -> wit::Error {
    let message = error.to_string();
    match error {
        PublishError::Invalid(_) => wit::Error::Invalid(message),
        PublishError::Full { .. } => wit::Error::Full(message),
        PublishError::Unavailable(_) => wit::Error::Unavailable(message),
    }
}

/// The arguments of `handle` for a delivery.
#[must_use]
pub fn handle_arguments(delivery: &Delivery) -> Vec<Val> {
    vec![delivery_value(delivery)]
}

/// The arguments of `handle-batch` for some deliveries.
#[must_use]
pub fn handle_batch_arguments(deliveries: &[Delivery]) -> Vec<Val> {
    vec![Val::List(deliveries.iter().map(delivery_value).collect())]
}

fn delivery_value(delivery: &Delivery) -> Val {
    let event = &*delivery.event;
    let text = |text: &str| Val::String(text.to_owned());
    let maybe = |text: Option<&str>| Val::Option(text.map(|text| Box::new(Val::String(text.to_owned()))));
    let field = |name: &str, value: Val| (name.to_owned(), value);
    let record = Val::Record(vec![
        field("id", text(&event.id)),
        field("source", text(&event.source)),
        field("type", text(&event.kind)),
        field("subject", maybe(event.subject.as_deref())),
        field("time", text(&rfc3339(event.time_ms))),
        field("topic", text(&event.topic)),
        field("ordering-key", maybe(event.ordering_key.as_deref())),
        field("correlation-id", maybe(event.correlation_id.as_deref())),
        field("traceparent", Val::Option(Some(Box::new(Val::String(delivery.trace.traceparent()))))),
        field("dataschema", maybe(event.dataschema.as_deref())),
        field("data", Val::List(event.data.iter().map(|byte| Val::U8(*byte)).collect())),
    ]);
    Val::Record(vec![
        field("event", record),
        field("attempt", Val::U32(delivery.attempt)),
        field("subscription", text(&delivery.subscription)),
    ])
}

/// What the results of `handle` say.
///
/// # Errors
/// The handler's refusal; or a failure, if this is not an answer of `handle`.
pub fn handle_answer(results: &[Val]) -> Result<(), DeliveryError> {
    match results {
        [answer] => answer_of(answer),
        _ => Err(unexpected(HANDLER)),
    }
}

/// What the results of `handle-batch` say for each of `count` deliveries.
#[must_use]
pub fn handle_batch_answers(results: &[Val], count: usize) -> Vec<Result<(), DeliveryError>> {
    match results {
        [Val::List(answers)] if answers.len() == count => answers.iter().map(answer_of).collect(),
        _ => (0..count).map(|_| Err(unexpected(BATCH_HANDLER))).collect(),
    }
}

fn answer_of(answer: &Val) -> Result<(), DeliveryError> {
    let refusal = match answer {
        Val::Result(Ok(_)) => return Ok(()),
        Val::Result(Err(Some(refusal))) => refusal,
        _ => return Err(unexpected(HANDLER)),
    };
    let Val::Variant(case, Some(said)) = &**refusal else { return Err(unexpected(HANDLER)) };
    match (case.as_str(), &**said) {
        ("retry", Val::String(message)) => Err(DeliveryError::Retry(message.clone())),
        ("reject", Val::String(message)) => Err(DeliveryError::Reject(message.clone())),
        ("retry-after", Val::Record(fields)) => match fields.as_slice() {
            [(_, Val::String(message)), (_, Val::U64(delay_ms))] => {
                Err(DeliveryError::RetryAfter { message: message.clone(), delay_ms: *delay_ms })
            }
            _ => Err(unexpected(HANDLER)),
        },
        _ => Err(unexpected(HANDLER)),
    }
}

fn unexpected(interface: &str) -> DeliveryError {
    let message = format!("what was answered is not an answer of {interface}");
    DeliveryError::Failed(Failure::unknown(Fault::Host, Reason::Internal, message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_told_apart() {
        let refusal = |case: &str| {
            let message = Some(Box::new(Val::String("why".to_owned())));
            [Val::Result(Err(Some(Box::new(Val::Variant(case.to_owned(), message)))))]
        };
        assert_eq!(handle_answer(&[Val::Result(Ok(None))]), Ok(()));
        let later = Val::Record(vec![
            ("message".to_owned(), Val::String("why".to_owned())),
            ("delay-ms".to_owned(), Val::U64(7)),
        ]);
        let later = Val::Variant("retry-after".to_owned(), Some(Box::new(later)));
        let later = Val::Result(Err(Some(Box::new(later))));
        let said = Err(DeliveryError::RetryAfter { message: "why".to_owned(), delay_ms: 7 });
        assert_eq!(handle_answer(std::slice::from_ref(&later)), said);
        let both = [Val::List(vec![Val::Result(Ok(None)), later])];
        assert_eq!(handle_batch_answers(&both, 2), [Ok(()), said]);
        assert!(handle_batch_answers(&both, 3).iter().all(|one| matches!(one, Err(DeliveryError::Failed(_)))));
        assert_eq!(handle_answer(&refusal("retry")), Err(DeliveryError::Retry("why".to_owned())));
        assert_eq!(handle_answer(&refusal("reject")), Err(DeliveryError::Reject("why".to_owned())));
        assert!(matches!(handle_answer(&refusal("other")), Err(DeliveryError::Failed(_))));
        assert!(matches!(handle_answer(&[]), Err(DeliveryError::Failed(_))));
    }
}
