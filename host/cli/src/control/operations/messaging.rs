//! Events, subscriptions and dead letters of a running host, asked about and acted on by hand.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use futures::StreamExt as _;
use futures::future::BoxFuture;
use futures::stream::{self, BoxStream};
use hyper::StatusCode;

use weft_capability::messaging::{
    Broker, DEFAULT_PRIORITY, DeadLetterFilter, Event, EventFilter, EventPage, Handling, PublishError, ReadFrom,
};
use weft_core::{Failure, id};
use weft_telemetry::audit::Action;

use super::super::api::{
    DeadLetterEntry, EventEntry, EventList, NewEvent, Problem, Publish, Published, Reached, SubscriptionEntry,
    SubscriptionOrder,
};
use super::super::server::{DeadLetterAct, MessagingOperations, SubscriptionAct, problem};
use super::Running;
use super::audited::{audited, to_its_end};

/// How many events are read at a time for a reader that follows.
const PAGE: usize = 200;
/// CloudEvents `source` of what is published by hand.
const SOURCE: &str = "/weft-cli";

impl MessagingOperations for Running {
    fn history(
        &self,
        before: ReadFrom,
        filter: EventFilter,
        limit: usize,
    ) -> BoxFuture<'_, Result<EventList, Problem>> {
        Box::pin(async move {
            let page = self.broker().read_back(before, filter, limit).await.map_err(|error| failed(&error))?;
            let items = page.events.iter().map(|(position, event)| EventEntry::new(*position, event)).collect();
            Ok(EventList { items, next: page.next, end: page.end })
        })
    }

    fn tail(&self, from: ReadFrom, filter: EventFilter) -> BoxStream<'static, EventEntry> {
        // Where it begins is settled now: what is published from here on is not missed.
        let from = if from == ReadFrom::Latest { ReadFrom::Position(self.broker().head()) } else { from };
        let pages = stream::unfold((self.broker(), from, filter), |(broker, from, filter)| async move {
            let page = match next_page(&broker, from, &filter).await {
                Ok(page) => page,
                Err(error) => {
                    tracing::warn!(%error, "a reader of events is given up");
                    return None;
                }
            };
            let events = page.events.iter().map(|(position, event)| EventEntry::new(*position, event));
            Some((stream::iter(events.collect::<Vec<_>>()), (broker, ReadFrom::Position(page.next), filter)))
        });
        pages.flatten().boxed()
    }

    fn publish(&self, publish: Publish) -> BoxFuture<'_, Result<Published, Problem>> {
        let (broker, audit) = (self.broker(), self.audit.clone());
        let now_ms = self.host.parts().clock.now_ms();
        to_its_end(async move {
            let topics: BTreeSet<&str> = publish.events.iter().map(|event| event.topic.as_str()).collect();
            let topics = topics.into_iter().collect::<Vec<_>>().join(", ");
            let detail = format!("{} to {topics}", count(publish.events.len()));
            let action = Action { actor: publish.actor, action: "publish".to_owned(), detail, ..Action::default() };
            let events: Vec<Event> = publish.events.into_iter().map(|event| outgoing(event, now_ms)).collect();
            let ids = events.iter().map(|event| event.id.clone()).collect();
            let done = broker.publish_all(events).await.map(|()| Published { ids });
            audited(&audit, action, done.map_err(|error| refused(&error))).await
        })
    }

    fn subscriptions(&self) -> Vec<SubscriptionEntry> {
        self.broker().status().iter().map(SubscriptionEntry::from).collect()
    }

    fn subscription(&self, act: SubscriptionAct, order: SubscriptionOrder) -> BoxFuture<'_, Result<Reached, Problem>> {
        let (broker, audit) = (self.broker(), self.audit.clone());
        to_its_end(async move {
            let SubscriptionOrder { actor, reason, subscription, to } = order;
            let name = match act {
                SubscriptionAct::Pause => "pause",
                SubscriptionAct::Resume => "resume",
                SubscriptionAct::Seek(_) => "seek",
            };
            let to = to.map(|to| format!(" to {to}")).unwrap_or_default();
            let (action, detail) = (format!("subscription {name}"), format!("{subscription}{to}"));
            let action = Action { actor, action, detail, reason, ..Action::default() };
            let found = match act {
                SubscriptionAct::Pause => broker.pause(&subscription).await,
                SubscriptionAct::Resume => broker.resume(&subscription).await,
                SubscriptionAct::Seek(to) => broker.seek(&subscription, to).await,
            };
            let done = match found {
                Ok(true) => Ok(Reached { count: 1 }),
                Ok(false) => Err(problem(StatusCode::NOT_FOUND, no_subscription(&*broker, &subscription))),
                Err(error) => Err(failed(&error)),
            };
            audited(&audit, action, done).await
        })
    }

    fn dead_letters(
        &self,
        filter: DeadLetterFilter,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<DeadLetterEntry>, Problem>> {
        Box::pin(async move {
            let letters = self.broker().dead_letters(filter, limit).await.map_err(|error| failed(&error))?;
            Ok(letters.iter().map(|letter| DeadLetterEntry::new(letter, false)).collect())
        })
    }

    fn dead_letter(&self, id: i64) -> BoxFuture<'_, Result<DeadLetterEntry, Problem>> {
        Box::pin(async move {
            let letter = self.broker().dead_letter(id).await.map_err(|error| failed(&error))?;
            letter.map(|letter| DeadLetterEntry::new(&letter, true)).ok_or_else(|| no_letter(id))
        })
    }

    fn dead_letter_act(
        &self,
        act: DeadLetterAct,
        actor: String,
        reason: String,
    ) -> BoxFuture<'_, Result<Reached, Problem>> {
        let (broker, audit) = (self.broker(), self.audit.clone());
        to_its_end(async move {
            let (name, detail) = match &act {
                DeadLetterAct::Edit(id, _) => ("edit", format!("dead letter {id}")),
                DeadLetterAct::Replay(filter) => ("replay", which(filter)),
                DeadLetterAct::Purge(filter) => ("purge", which(filter)),
            };
            let action = Action { actor, action: format!("dlq {name}"), detail, reason, ..Action::default() };
            let done = carry_out(&*broker, act).await;
            audited(&audit, action, done).await
        })
    }
}

impl Running {
    fn broker(&self) -> Arc<dyn Broker> {
        self.host.parts().broker.clone()
    }
}

/// The next page with something on it, waiting for it if need be.
async fn next_page(broker: &Arc<dyn Broker>, from: ReadFrom, filter: &EventFilter) -> Result<EventPage, Failure> {
    let mut from = from;
    loop {
        let page = broker.read(from, filter.clone(), PAGE).await?;
        if !page.events.is_empty() {
            return Ok(page);
        }
        from = ReadFrom::Position(page.next);
        if page.end {
            broker.published_after(page.next).await;
        }
    }
}

async fn carry_out(broker: &dyn Broker, act: DeadLetterAct) -> Result<Reached, Problem> {
    let (filter, reached) = match act {
        DeadLetterAct::Edit(id, data) => {
            let data = Bytes::from(data.to_string());
            return match broker.edit(id, data).await {
                Ok(true) => Ok(Reached { count: 1 }),
                Ok(false) => Err(absent(broker, id).await),
                Err(error) => Err(refused(&error)),
            };
        }
        DeadLetterAct::Replay(filter) => (filter.clone(), broker.replay(filter).await),
        DeadLetterAct::Purge(filter) => (filter.clone(), broker.purge(filter).await),
    };
    let count = reached.map_err(|error| failed(&error))?;
    match filter.id {
        Some(id) if count == 0 => Err(absent(broker, id).await),
        _ => Ok(Reached { count }),
    }
}

/// Why nothing was done to a dead letter.
async fn absent(broker: &dyn Broker, id: i64) -> Problem {
    match broker.dead_letter(id).await {
        Ok(Some(letter)) if letter.replaying => {
            problem(StatusCode::CONFLICT, format!("dead letter {id} is being delivered again"))
        }
        Ok(Some(letter)) => problem(
            StatusCode::CONFLICT,
            format!("dead letter {id} is of another subscription, {}", letter.subscription),
        ),
        Ok(None) => no_letter(id),
        Err(error) => failed(&error),
    }
}

fn outgoing(event: NewEvent, now_ms: u64) -> Event {
    Event {
        id: event.id.unwrap_or_else(id::new_id),
        source: event.source.unwrap_or_else(|| SOURCE.to_owned()),
        kind: event.kind,
        subject: event.subject,
        time_ms: now_ms,
        topic: event.topic,
        ordering_key: event.partitionkey,
        correlation_id: event.correlationid,
        traceparent: None,
        dataschema: event.dataschema,
        handling: Handling {
            delay_ms: event.delay_ms,
            ttl_ms: event.ttl_ms,
            priority: event.priority.unwrap_or(DEFAULT_PRIORITY),
        },
        data: Bytes::from(event.data.to_string()),
    }
}

fn which(filter: &DeadLetterFilter) -> String {
    match (filter.id, &filter.subscription) {
        (Some(id), _) => format!("dead letter {id}"),
        (None, Some(subscription)) => format!("dead letters of {subscription}"),
        (None, None) => "all dead letters".to_owned(),
    }
}

fn count(events: usize) -> String {
    if events == 1 { "1 event".to_owned() } else { format!("{events} events") }
}

fn no_letter(id: i64) -> Problem {
    problem(StatusCode::NOT_FOUND, format!("there is no dead letter {id}"))
}

fn no_subscription(broker: &dyn Broker, wanted: &str) -> String {
    let known: Vec<String> = broker.status().iter().map(|status| status.id.to_string()).collect();
    format!("there is no subscription {wanted:?}; there are: {}", known.join(", "))
}

fn failed(error: &Failure) -> Problem {
    problem(StatusCode::SERVICE_UNAVAILABLE, error.to_string())
}

fn refused(error: &PublishError) -> Problem {
    let status = match error {
        PublishError::Invalid(_) => StatusCode::BAD_REQUEST,
        PublishError::Full { .. } => StatusCode::TOO_MANY_REQUESTS,
        PublishError::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
    };
    problem(status, error.to_string())
}
