//! What every broker has to pass. It panics at the first broken rule, as a test does. Time stands still but for what the
//! suite waits for: whenever it waits, it moves the clock on to the next timer.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test suite that other crates run")]

mod deadlines;
mod history;
mod letters;
mod order;
mod outbox;
mod places;
mod queues;
mod random;
mod service;

use std::sync::Arc;

use bytes::Bytes;
use futures::future::BoxFuture;
use tokio::sync::mpsc;

use weft_core::Clock as _;
use weft_core::clock::ManualClock;
use weft_core::manifest;

use super::{
    Broker, DeadLetter, DeadLetterFilter, Deliver, Delivery, DeliveryError, Event, Handling, Subscription,
    SubscriptionStatus,
};

/// A backend with data of its own that can be opened again and again.
pub trait Harness {
    /// Opens the broker on the data. It refuses events of the type `Unfit`, as a schema would.
    fn open(&self) -> Arc<dyn Broker>;
    /// Ends the broker as a crash of the process does: nothing is written down any more.
    fn crash(&self, broker: Arc<dyn Broker>) -> BoxFuture<'_, ()>;
    /// The clock that the broker goes by.
    fn clock(&self) -> &ManualClock;
}

/// Runs the whole suite; `harness` gives a backend without data for each part.
///
/// # Panics
/// If the backend breaks a rule.
pub async fn run<H: Harness>(harness: impl Fn() -> H) {
    service::topics_and_ids(&harness()).await;
    service::bad_events_are_refused(&harness()).await;
    service::together_or_not_at_all(&harness()).await;
    service::concurrency_is_bounded(&harness()).await;
    service::shutdown_waits_for_what_runs(&harness()).await;
    service::a_panic_is_a_failed_delivery(&harness()).await;
    service::a_batch_is_answered_event_by_event(&harness()).await;
    service::a_poison_takes_no_others_of_its_batch_with_it(&harness()).await;
    service::members_of_a_group_share_the_events(&harness()).await;
    outbox::in_order_and_once(&harness()).await;
    order::keys_in_order_while_others_pass(&harness()).await;
    order::without_order_nobody_waits(&harness()).await;
    order::a_higher_priority_goes_first(&harness()).await;
    letters::dead_letters(&harness()).await;
    letters::a_letter_is_edited(&harness()).await;
    letters::a_held_key_waits_for_its_letter(&harness()).await;
    letters::dead_letters_go_to_their_topic(&harness()).await;
    deadlines::a_delayed_event_comes_when_it_is_due(&harness()).await;
    deadlines::an_expired_event_is_a_dead_letter(&harness()).await;
    deadlines::a_handler_chooses_the_pause(&harness()).await;
    places::are_kept(&harness()).await;
    places::pause_outlives_a_restart(&harness()).await;
    places::seek_goes_back_and_forth(&harness()).await;
    history::is_read_both_ways(&harness()).await;
    queues::a_full_queue_refuses(&harness()).await;
    queues::a_full_queue_gives_up_its_oldest(&harness()).await;
    queues::instances_follow_the_backlog(&harness()).await;
    for seed in 0..12 {
        random::nothing_is_lost(&harness(), seed).await;
    }
}

type Answer = Result<(), DeliveryError>;

/// Handles deliveries by a rule and tells of them.
struct Handler<F> {
    answer: F,
    seen: mpsc::UnboundedSender<Delivery>,
}

impl<F, A> Deliver for Handler<F>
where
    F: Fn(Delivery) -> A + Send + Sync + 'static,
    A: Future<Output = Answer> + Send + 'static,
{
    fn deliver(&self, component: &str, delivery: Delivery) -> BoxFuture<'static, Answer> {
        assert_eq!(component, "handler");
        // A test that has seen enough no longer listens.
        let _ = self.seen.send(delivery.clone());
        Box::pin((self.answer)(delivery))
    }

    fn digest(&self, component: &str) -> Option<Arc<str>> {
        Some(format!("digest of {component}").into())
    }
}

type Seen = mpsc::UnboundedReceiver<Delivery>;

fn handler<F, A>(answer: F) -> (Arc<dyn Deliver>, Seen)
where
    F: Fn(Delivery) -> A + Send + Sync + 'static,
    A: Future<Output = Answer> + Send + 'static,
{
    let (seen, receiver) = mpsc::unbounded_channel();
    (Arc::new(Handler { answer, seen }), receiver)
}

fn accept() -> (Arc<dyn Deliver>, Seen) {
    handler(|_| async { Ok(()) })
}

fn retry() -> Answer {
    Err(DeliveryError::Retry("not now".to_owned()))
}

fn subscription(name: &str, topic: &str) -> Subscription {
    let rules =
        manifest::Subscription { concurrency: 4, ..manifest::Subscription::new(name.into(), topic.parse().unwrap()) };
    Subscription { component: "handler".into(), rules }
}

fn event(id: &str, topic: &str, key: Option<&str>) -> Event {
    Event {
        id: id.to_owned(),
        source: "/test".to_owned(),
        kind: "Tested".to_owned(),
        subject: Some("subject".to_owned()),
        time_ms: 1_700_000_000_000,
        topic: topic.to_owned(),
        ordering_key: key.map(str::to_owned),
        correlation_id: Some("c".to_owned()),
        traceparent: Some("00-0123456789abcdef0123456789abcdef-0123456789abcdef-01".to_owned()),
        dataschema: None,
        handling: Handling::default(),
        data: Bytes::from(format!("{{\"id\": \"{id}\"}}")),
    }
}

async fn publish(broker: &dyn Broker, id: &str, topic: &str, key: Option<&str>) {
    broker.publish(event(id, topic, key)).await.unwrap();
}

/// Lets time run until `done`.
async fn until(clock: &ManualClock, done: impl Fn() -> bool) {
    while !done() {
        clock.advance_to_next();
        tokio::task::yield_now().await;
    }
}

/// Lets time run until a delivery comes.
async fn next(clock: &ManualClock, seen: &mut Seen) -> Delivery {
    loop {
        match seen.try_recv() {
            Ok(delivery) => return delivery,
            Err(_) => {
                clock.advance_to_next();
                tokio::task::yield_now().await;
            }
        }
    }
}

async fn next_ids(clock: &ManualClock, seen: &mut Seen, count: usize) -> Vec<String> {
    let mut ids = Vec::new();
    while ids.len() < count {
        ids.push(next(clock, seen).await.event.id.clone());
    }
    ids
}

/// Lets time run until every subscription has settled all there is.
async fn settled(harness: &dyn Harness, broker: &dyn Broker) {
    until(harness.clock(), || {
        let done = |one: &SubscriptionStatus| {
            one.waiting == 0 && one.in_flight == 0 && one.unread_bytes == 0 && one.parked == 0
        };
        broker.status().iter().all(done)
    })
    .await;
}

/// Lets time run until so many dead letters are there.
async fn letters(harness: &dyn Harness, broker: &dyn Broker, count: usize) -> Vec<DeadLetter> {
    loop {
        let letters = broker.dead_letters(DeadLetterFilter::default(), 1_000).await.unwrap();
        if letters.iter().filter(|letter| !letter.replaying).count() == count && letters.len() == count {
            return letters;
        }
        harness.clock().advance_to_next();
        tokio::task::yield_now().await;
    }
}

/// What was delivered so far.
fn drain(seen: &mut Seen) -> Vec<Delivery> {
    std::iter::from_fn(|| seen.try_recv().ok()).collect()
}

fn ids_of(deliveries: &[Delivery]) -> Vec<&str> {
    deliveries.iter().map(|delivery| &*delivery.event.id).collect()
}
