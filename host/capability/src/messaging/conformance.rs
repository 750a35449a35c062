//! What every broker has to pass. It panics at the first broken rule, as a test does. Time stands still but for what the
//! suite waits for: whenever it waits, it moves the clock on to the next timer.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test suite that other crates run")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use tokio::sync::{Notify, mpsc};

use weft_core::clock::ManualClock;
use weft_core::manifest::{self, Start};
use weft_core::{Clock as _, Failure};

use super::{
    Broker, DeadLetter, DeadLetterFilter, Deliver, Delivery, DeliveryError, Event, Handling, PublishError, Subscription,
};
use crate::outbox::{OutboxEvent, OutboxSource};

/// A backend with data of its own that can be opened again and again.
pub trait Harness {
    /// Opens the broker on the data.
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
    topics_and_ids(&harness()).await;
    outbox_in_order_and_once(&harness()).await;
    keys_in_order_while_others_pass(&harness()).await;
    dead_letters(&harness()).await;
    bad_events_are_refused(&harness()).await;
    places_are_kept(&harness()).await;
    concurrency_is_bounded(&harness()).await;
    shutdown_waits_for_what_runs(&harness()).await;
    a_panic_is_a_failed_delivery(&harness()).await;
    for seed in 0..12 {
        nothing_is_lost(&harness(), seed).await;
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
        broker.status().iter().all(|one| one.waiting == 0 && one.in_flight == 0 && one.unread_bytes == 0)
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

async fn topics_and_ids(harness: &dyn Harness) {
    let broker = harness.open();
    let (deliver, mut seen) = accept();
    let subscriptions = vec![subscription("all", "#"), subscription("users", "user.*")];
    broker.serve(subscriptions, deliver).await.unwrap();
    for (id, topic) in [("1", "user.created"), ("2", "order.paid"), ("1", "user.created"), ("3", "user.x.y")] {
        publish(&*broker, id, topic, None).await;
    }
    settled(harness, &*broker).await;
    let mut got = BTreeMap::<String, Vec<String>>::new();
    while let Ok(delivery) = seen.try_recv() {
        assert_eq!(delivery.attempt, 1);
        let sent = event(&delivery.event.id, &delivery.event.topic, None);
        assert_eq!(*delivery.event, sent, "an event comes as it was sent");
        assert_eq!(&*delivery.trace.trace_id, "0123456789abcdef0123456789abcdef", "in the publisher's trace");
        got.entry(delivery.subscription.to_string()).or_default().push(delivery.event.id.clone());
    }
    got.values_mut().for_each(|ids| ids.sort());
    assert_eq!(got["all"], ["1", "2", "3"], "an id is taken once");
    assert_eq!(got["users"], ["1"]);
    assert_eq!(broker.unhealthy(), None);
}

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

async fn outbox_in_order_and_once(harness: &dyn Harness) {
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

async fn keys_in_order_while_others_pass(harness: &dyn Harness) {
    let broker = harness.open();
    let clock = harness.clock();
    let (deliver, mut seen) =
        handler(
            |delivery| async move { if delivery.event.id == "a1" && delivery.attempt < 3 { retry() } else { Ok(()) } },
        );
    for (id, key) in [("a1", Some("a")), ("a2", Some("a")), ("b1", Some("b")), ("n", None), ("b2", Some("b"))] {
        publish(&*broker, id, "t", key).await;
    }
    broker.serve(vec![subscription("s", "t")], deliver).await.unwrap();
    let start_ms = clock.now_ms();
    let ids = next_ids(clock, &mut seen, 7).await;
    let place = |id: &str| ids.iter().position(|other| other == id).unwrap();
    let last_a1 = ids.iter().rposition(|id| id == "a1").unwrap();
    assert_eq!(ids.iter().filter(|id| *id == "a1").count(), 3);
    assert_eq!(place("a2"), 6, "after the last attempt of what is before it: {ids:?}");
    assert!(place("b2") < last_a1 && place("n") < last_a1, "nobody else waits: {ids:?}");
    assert!(place("b1") < place("b2"));
    let passed_ms = clock.now_ms() - start_ms;
    assert!(passed_ms >= 1_500, "half of one second and half of two at least: {passed_ms} ms");
}

async fn dead_letters(harness: &dyn Harness) {
    let broker = harness.open();
    let poison = Arc::new(Mutex::new(BTreeSet::from(["p1", "p2"])));
    let (deliver, mut seen) = handler({
        let poison = Arc::clone(&poison);
        move |delivery| {
            let bad = poison.lock().unwrap().contains(&*delivery.event.id);
            async move { if bad { retry() } else { Ok(()) } }
        }
    });
    broker.serve(vec![subscription("s", "t")], deliver.clone()).await.unwrap();
    for id in ["p1", "p2", "good"] {
        publish(&*broker, id, "t", Some("k")).await;
    }
    let ids = next_ids(harness.clock(), &mut seen, 7).await;
    assert_eq!(ids, ["p1", "p1", "p1", "p2", "p2", "p2", "good"], "the next follows what is given up");
    let listed = letters(harness, &*broker, 2).await;
    let first = broker.dead_letter(listed[0].id).await.unwrap().unwrap();
    assert_eq!(first.event, event("p1", "t", Some("k")), "shown whole");
    assert_eq!((&*first.subscription, first.attempts), ("handler/s", 3));
    assert!(first.error.contains("not now") && first.traceparent.starts_with("00-0123456789abcdef0123456789abcdef-"));
    assert!(listed[0].event.data.is_empty(), "a list has no data");

    // Replayed while the cause is still there, it comes back; a crash in the middle does not lose it.
    let one = DeadLetterFilter { id: Some(listed[0].id), ..DeadLetterFilter::default() };
    assert_eq!(broker.replay(one.clone()).await.unwrap(), 1);
    assert_eq!(next_ids(harness.clock(), &mut seen, 1).await, ["p1"]);
    harness.crash(broker).await;
    let broker = harness.open();
    broker.serve(vec![subscription("s", "t")], deliver).await.unwrap();
    letters(harness, &*broker, 2).await;
    settled(harness, &*broker).await;
    while seen.try_recv().is_ok() {}

    poison.lock().unwrap().remove("p1");
    assert_eq!(broker.replay(one).await.unwrap(), 1);
    let again = next(harness.clock(), &mut seen).await;
    assert_eq!((&*again.event, again.attempt), (&event("p1", "t", Some("k")), 1));
    let rest = letters(harness, &*broker, 1).await;
    assert_eq!(rest[0].event.id, "p2");
    let other = DeadLetterFilter { subscription: Some("handler/other".to_owned()), ..DeadLetterFilter::default() };
    assert_eq!(broker.purge(other).await.unwrap(), 0);
    assert_eq!(broker.purge(DeadLetterFilter::default()).await.unwrap(), 1);
    assert!(letters(harness, &*broker, 0).await.is_empty());
}

async fn bad_events_are_refused(harness: &dyn Harness) {
    let broker = harness.open();
    let bad = [
        Event { topic: "a..b".to_owned(), ..event("1", "t", None) },
        Event { id: String::new(), ..event("1", "t", None) },
        Event { data: Bytes::from_static(b"not json"), ..event("1", "t", None) },
        Event { data: format!("\"{}\"", "x".repeat(super::MAX_DATA_BYTES)).into(), ..event("1", "t", None) },
    ];
    for event in bad {
        assert!(matches!(broker.publish(event).await, Err(PublishError::Invalid(_))));
    }
}

async fn places_are_kept(harness: &dyn Harness) {
    let broker = harness.open();
    let (deliver, mut seen) = accept();
    publish(&*broker, "before", "t", None).await;
    let mut latest = subscription("latest", "t");
    latest.rules.start = Start::Latest;
    broker.serve(vec![subscription("earliest", "t"), latest.clone()], deliver.clone()).await.unwrap();
    publish(&*broker, "after", "t", None).await;
    settled(harness, &*broker).await;
    let mut got = BTreeSet::new();
    while let Ok(delivery) = seen.try_recv() {
        got.insert((delivery.subscription.to_string(), delivery.event.id.clone()));
    }
    let pair = |name: &str, id: &str| (name.to_owned(), id.to_owned());
    let expected = [pair("earliest", "after"), pair("earliest", "before"), pair("latest", "after")];
    assert_eq!(got, BTreeSet::from(expected));

    // Out of service for a while; its place waits, also over a restart.
    broker.serve(vec![subscription("earliest", "t")], deliver.clone()).await.unwrap();
    publish(&*broker, "meanwhile", "t", None).await;
    settled(harness, &*broker).await;
    broker.shutdown(Duration::from_secs(30)).await;
    harness.crash(broker).await;
    let broker = harness.open();
    while seen.try_recv().is_ok() {}
    latest.rules.max_attempts = 1;
    broker.serve(vec![latest.clone(), subscription("earliest", "t")], deliver.clone()).await.unwrap();
    // The same set again, with a changed rule, disturbs nothing.
    latest.rules.concurrency = 1;
    broker.serve(vec![latest, subscription("earliest", "t")], deliver).await.unwrap();
    settled(harness, &*broker).await;
    let delivery = seen.try_recv().unwrap();
    assert_eq!((&*delivery.subscription, &*delivery.event.id), ("latest", "meanwhile"));
    assert!(seen.try_recv().is_err(), "what was settled does not come again");
}

async fn concurrency_is_bounded(harness: &dyn Harness) {
    let broker = harness.open();
    let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let release = Arc::new(tokio::sync::Semaphore::new(0));
    let (deliver, mut seen) = handler({
        let (running, most, release) = (Arc::clone(&running), Arc::clone(&most), Arc::clone(&release));
        move |_| {
            let (running, most, release) = (Arc::clone(&running), Arc::clone(&most), Arc::clone(&release));
            async move {
                most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                release.acquire().await.unwrap().forget();
                running.fetch_sub(1, Ordering::SeqCst);
                Ok(())
            }
        }
    });
    broker.serve(vec![subscription("s", "t")], deliver).await.unwrap();
    for n in 0..20 {
        publish(&*broker, &n.to_string(), "t", None).await;
    }
    next_ids(harness.clock(), &mut seen, 4).await;
    until(harness.clock(), || running.load(Ordering::SeqCst) == 4).await;
    release.add_permits(20);
    settled(harness, &*broker).await;
    assert_eq!(most.load(Ordering::SeqCst), 4, "as many as allowed run at the same time, and no more");
    assert_eq!(broker.status()[0].delivered, 20);
}

async fn shutdown_waits_for_what_runs(harness: &dyn Harness) {
    let broker = harness.open();
    let (release, ended) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (deliver, mut seen) = handler({
        let (release, ended) = (Arc::clone(&release), Arc::clone(&ended));
        move |delivery| {
            let (release, ended) = (Arc::clone(&release), Arc::clone(&ended));
            async move {
                if delivery.event.id == "stuck" {
                    std::future::pending::<()>().await;
                }
                release.notified().await;
                ended.notify_one();
                Ok(())
            }
        }
    });
    broker.serve(vec![subscription("s", "t")], deliver).await.unwrap();
    publish(&*broker, "slow", "t", None).await;
    publish(&*broker, "stuck", "t", None).await;
    next_ids(harness.clock(), &mut seen, 2).await;
    let time = async {
        release.notify_one();
        ended.notified().await;
        loop {
            harness.clock().advance_to_next();
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        biased;
        () = broker.shutdown(Duration::from_secs(5)) => {}
        () = time => {}
    }
    assert!(broker.publish(event("late", "t", None)).await.is_err(), "it is closed");
    harness.crash(broker).await;
    let broker = harness.open();
    let (deliver, mut seen) = accept();
    broker.serve(vec![subscription("s", "t")], deliver).await.unwrap();
    settled(harness, &*broker).await;
    assert_eq!(next_ids(harness.clock(), &mut seen, 1).await, ["stuck"], "what was cut off comes again");
    assert!(seen.try_recv().is_err(), "what was settled does not");
}

async fn a_panic_is_a_failed_delivery(harness: &dyn Harness) {
    let broker = harness.open();
    let (deliver, mut seen) = handler(|delivery| async move {
        assert!(delivery.attempt > 1, "a panic on purpose");
        Ok(())
    });
    broker.serve(vec![subscription("s", "t")], deliver).await.unwrap();
    publish(&*broker, "1", "t", None).await;
    assert_eq!(next_ids(harness.clock(), &mut seen, 2).await, ["1", "1"]);
    settled(harness, &*broker).await;
}

/// A small random source; the same seed gives the same run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

/// What came of the events of one run.
#[derive(Default)]
struct Ledger {
    accepted: Vec<String>,
    attempts: BTreeMap<String, u32>,
}

/// Publishes and crashes at random: every event is accepted or a dead letter in the end, and those of a key are
/// accepted in order.
async fn nothing_is_lost(harness: &dyn Harness, seed: u64) {
    let mut dice = Dice(seed);
    let ledger = Arc::new(Mutex::new(Ledger::default()));
    let mut published: Vec<(String, Option<String>)> = Vec::new();
    for round in 0..6 {
        let broker = harness.open();
        let (deliver, _seen) = handler({
            let (ledger, mut luck) = (Arc::clone(&ledger), Dice(seed * 31 + round));
            let rolls: Vec<u64> = (0..64).map(|_| luck.roll(10)).collect();
            move |delivery| {
                let mut ledger = ledger.lock().unwrap();
                let attempts = ledger.attempts.entry(delivery.event.id.clone()).or_default();
                *attempts += 1;
                let place = delivery.event.id.len() * 7 + usize::try_from(*attempts).unwrap() * 13;
                let answer = match rolls[(place + delivery.event.id.bytes().map(usize::from).sum::<usize>()) % 64] {
                    0 => Err(DeliveryError::Reject("never".to_owned())),
                    1..=3 => retry(),
                    _ => {
                        ledger.accepted.push(delivery.event.id.clone());
                        Ok(())
                    }
                };
                async move { answer }
            }
        });
        let mut rules = subscription("s", "t");
        rules.rules.max_attempts = 6;
        broker.serve(vec![rules], deliver).await.unwrap();
        for n in 0..dice.roll(40) {
            let key = Some(dice.roll(4)).filter(|key| *key > 0).map(|key| key.to_string());
            let id = format!("{round}-{n}");
            publish(&*broker, &id, "t", key.as_deref()).await;
            published.push((id, key));
        }
        for _ in 0..dice.roll(300) {
            harness.clock().advance_to_next();
            tokio::task::yield_now().await;
        }
        if round == 5 {
            settled(harness, &*broker).await;
            broker.shutdown(Duration::from_secs(1)).await;
        }
        harness.crash(broker).await;
    }
    let broker = harness.open();
    let dead = broker.dead_letters(DeadLetterFilter::default(), 1_000).await.unwrap();
    let dead: BTreeSet<&str> = dead.iter().map(|letter| &*letter.event.id).collect();
    let ledger = ledger.lock().unwrap();
    let mut first_accepted = Vec::new();
    for id in &ledger.accepted {
        if !first_accepted.contains(&id) {
            first_accepted.push(id);
        }
    }
    for (id, _) in &published {
        assert!(first_accepted.contains(&id) || dead.contains(&**id), "seed {seed}: {id} is lost");
    }
    for key in ["1", "2", "3"] {
        let of_key = |id: &&&String| published.iter().any(|(other, k)| other == **id && k.as_deref() == Some(key));
        let accepted: Vec<&&String> = first_accepted.iter().filter(of_key).collect();
        let sent = published.iter().map(|(id, _)| id).filter(|id| accepted.iter().any(|other| **other == *id));
        assert!(accepted.iter().map(|id| **id).eq(sent), "seed {seed}, key {key}: out of order");
    }
}
