//! Who gets what: topics, ids, concurrency, batches, groups, and the end.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test suite that other crates run")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::Notify;

use weft_core::{Failure, Fault, Reason};

use super::*;
use crate::messaging::{MAX_DATA_BYTES, PublishError};

pub(super) async fn topics_and_ids(harness: &dyn Harness) {
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

pub(super) async fn bad_events_are_refused(harness: &dyn Harness) {
    let broker = harness.open();
    let bad = [
        Event { topic: "a..b".to_owned(), ..event("1", "t", None) },
        Event { id: String::new(), ..event("1", "t", None) },
        Event { data: Bytes::from_static(b"not json"), ..event("1", "t", None) },
        Event { kind: "Unfit".to_owned(), ..event("1", "t", None) },
        Event { handling: Handling { priority: 10, ..Handling::default() }, ..event("1", "t", None) },
        Event { data: format!("\"{}\"", "x".repeat(MAX_DATA_BYTES)).into(), ..event("1", "t", None) },
    ];
    for event in bad {
        assert!(matches!(broker.publish(event).await, Err(PublishError::Invalid(_))));
    }
}

pub(super) async fn together_or_not_at_all(harness: &dyn Harness) {
    let broker = harness.open();
    let (deliver, mut seen) = accept();
    broker.serve(vec![subscription("s", "#")], deliver).await.unwrap();
    let bad = vec![event("1", "t", None), Event { topic: "a..b".to_owned(), ..event("2", "t", None) }];
    assert!(matches!(broker.publish_all(bad).await, Err(PublishError::Invalid(_))));
    let many = (0..crate::messaging::MAX_PUBLISHED + 1).map(|n| event(&n.to_string(), "t", None)).collect();
    assert!(matches!(broker.publish_all(many).await, Err(PublishError::Invalid(_))), "too many");
    let good = (0..100).map(|n| event(&n.to_string(), "t", Some("k"))).collect();
    assert_eq!(broker.publish_all(good).await, Ok(()));
    settled(harness, &*broker).await;
    let expected: Vec<String> = (0..100).map(|n| n.to_string()).collect();
    assert_eq!(ids_of(&drain(&mut seen)), expected, "in their order, and nothing of what was refused");
}

pub(super) async fn concurrency_is_bounded(harness: &dyn Harness) {
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

pub(super) async fn shutdown_waits_for_what_runs(harness: &dyn Harness) {
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

pub(super) async fn a_panic_is_a_failed_delivery(harness: &dyn Harness) {
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

/// Handles batches by a rule, and tells of their ids.
struct InBatches(Mutex<Vec<Vec<String>>>, AtomicUsize);

impl Deliver for InBatches {
    fn deliver(&self, _component: &str, _delivery: Delivery) -> BoxFuture<'static, Answer> {
        panic!("a subscription with batches is asked in batches");
    }

    fn deliver_batch(&self, _component: &str, deliveries: Vec<Delivery>) -> BoxFuture<'static, Vec<Answer>> {
        let refused = |one: &Delivery| one.event.id == "3" && one.attempt == 1;
        let answers = deliveries.iter().map(|one| if refused(one) { retry() } else { Ok(()) }).collect();
        self.1.fetch_add(deliveries.len(), Ordering::SeqCst);
        self.0.lock().unwrap().push(deliveries.iter().map(|one| one.event.id.clone()).collect());
        Box::pin(std::future::ready(answers))
    }
}

pub(super) async fn a_batch_is_answered_event_by_event(harness: &dyn Harness) {
    let broker = harness.open();
    broker.publish_all((0..10).map(|n| event(&n.to_string(), "t", None)).collect()).await.unwrap();
    let deliver = Arc::new(InBatches(Mutex::default(), AtomicUsize::new(0)));
    let mut rules = subscription("s", "t");
    (rules.rules.batch, rules.rules.concurrency, rules.rules.prefetch) = (4, 1, 4);
    broker.serve(vec![rules], deliver.clone()).await.unwrap();
    settled(harness, &*broker).await;
    let batches = deliver.0.lock().unwrap().clone();
    assert!(batches.iter().all(|batch| batch.len() <= 4) && batches[0] == ["0", "1", "2", "3"], "{batches:?}");
    assert_eq!(deliver.1.load(Ordering::SeqCst), 11, "one of them twice, the others of its batch once");
    assert_eq!((broker.status()[0].delivered, broker.status()[0].failed), (10, 1));
}

/// Handles batches, unless a poison is among them.
struct Fragile(AtomicUsize);

impl Deliver for Fragile {
    fn deliver(&self, _component: &str, _delivery: Delivery) -> BoxFuture<'static, Answer> {
        panic!("a subscription with batches is asked in batches");
    }

    fn deliver_batch(&self, _component: &str, deliveries: Vec<Delivery>) -> BoxFuture<'static, Vec<Answer>> {
        let is_lost = deliveries.iter().any(|one| one.event.id == "poison");
        let trap = || Failure::unknown(Fault::Guest, Reason::Trapped, "it trapped");
        let answer = || if is_lost { Err(DeliveryError::Failed(trap())) } else { Ok(()) };
        if !is_lost {
            self.0.fetch_add(deliveries.len(), Ordering::SeqCst);
        }
        Box::pin(std::future::ready(deliveries.iter().map(|_| answer()).collect()))
    }
}

pub(super) async fn a_poison_takes_no_others_of_its_batch_with_it(harness: &dyn Harness) {
    let broker = harness.open();
    let ids = ["1", "2", "poison", "4", "5"];
    broker.publish_all(ids.iter().map(|id| event(id, "t", None)).collect()).await.unwrap();
    let deliver = Arc::new(Fragile(AtomicUsize::new(0)));
    let mut rules = subscription("s", "t");
    (rules.rules.batch, rules.rules.concurrency, rules.rules.prefetch) = (5, 1, 5);
    broker.serve(vec![rules], deliver.clone()).await.unwrap();
    settled(harness, &*broker).await;
    assert_eq!(deliver.0.load(Ordering::SeqCst), 4, "each of the others, once");
    let letters: Vec<_> = letters(harness, &*broker, 1).await.into_iter().map(|letter| letter.event.id).collect();
    assert_eq!(letters, ["poison"]);
}

pub(super) async fn members_of_a_group_share_the_events(harness: &dyn Harness) {
    let broker = harness.open();
    let (deliver, mut seen) = handler(|_| async {
        // Both have something to do at the same time.
        tokio::task::yield_now().await;
        Ok(())
    });
    let member = |name: &str| {
        let mut rules = subscription(name, "t");
        (rules.rules.group, rules.rules.concurrency) = (Some("g".into()), 1);
        rules
    };
    broker.serve(vec![member("one"), member("two")], deliver.clone()).await.unwrap();
    for n in 0..20 {
        publish(&*broker, &n.to_string(), "t", None).await;
    }
    settled(harness, &*broker).await;
    let deliveries = drain(&mut seen);
    let ids: BTreeSet<&str> = ids_of(&deliveries).into_iter().collect();
    assert_eq!((ids.len(), deliveries.len()), (20, 20), "each to one of them");
    let names: BTreeSet<&str> = deliveries.iter().map(|delivery| &*delivery.subscription).collect();
    assert_eq!(names, BTreeSet::from(["one", "two"]));
    let status = broker.status();
    assert_eq!((status.len(), &*status[0].id, status[0].members.len()), (1, "@g", 2));
    broker.shutdown(Duration::from_secs(1)).await;
    harness.crash(broker).await;

    // The place is the group's, whoever is in it.
    let broker = harness.open();
    broker.serve(vec![member("three")], deliver.clone()).await.unwrap();
    publish(&*broker, "20", "t", None).await;
    settled(harness, &*broker).await;
    assert_eq!(ids_of(&drain(&mut seen)), ["20"]);
    let mut other = member("four");
    other.rules.topic = "u".parse().unwrap();
    assert!(broker.serve(vec![member("three"), other], deliver).await.is_err(), "one place, two topics");
}
