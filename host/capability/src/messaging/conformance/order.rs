//! Who waits for whom.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test suite that other crates run")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;

pub(super) async fn keys_in_order_while_others_pass(harness: &dyn Harness) {
    let broker = harness.open();
    let clock = harness.clock();
    let passed = Arc::new(AtomicUsize::new(0));
    let (deliver, mut seen) = handler({
        let passed = Arc::clone(&passed);
        move |delivery| {
            let passed = Arc::clone(&passed);
            async move {
                match &*delivery.event.id {
                    // Refused until all others have passed, and twice at least.
                    "a1" if passed.load(Ordering::SeqCst) < 3 || delivery.attempt < 3 => retry(),
                    "a1" | "a2" => Ok(()),
                    _ => {
                        passed.fetch_add(1, Ordering::SeqCst);
                        Ok(())
                    }
                }
            }
        }
    });
    for (id, key) in [("a1", Some("a")), ("a2", Some("a")), ("b1", Some("b")), ("n", None), ("b2", Some("b"))] {
        publish(&*broker, id, "t", key).await;
    }
    let mut rules = subscription("s", "t");
    rules.rules.max_attempts = 100;
    broker.serve(vec![rules], deliver).await.unwrap();
    let start_ms = clock.now_ms();
    settled(harness, &*broker).await;
    let deliveries = drain(&mut seen);
    let ids = ids_of(&deliveries);
    let place = |id: &str| ids.iter().position(|other| *other == id).unwrap();
    assert_eq!(place("a2"), ids.len() - 1, "after the last attempt of what is before it: {ids:?}");
    assert!(place("b1") < place("b2"));
    let passed_ms = clock.now_ms() - start_ms;
    assert!(passed_ms >= 1_500, "half of one second and half of two at least: {passed_ms} ms");
}

pub(super) async fn without_order_nobody_waits(harness: &dyn Harness) {
    let broker = harness.open();
    let passed = Arc::new(AtomicUsize::new(0));
    let (deliver, mut seen) = handler({
        let passed = Arc::clone(&passed);
        move |delivery| {
            let is_first = delivery.event.id == "0";
            let wait = is_first && passed.load(Ordering::SeqCst) < 9;
            passed.fetch_add(usize::from(!is_first), Ordering::SeqCst);
            async move { if wait { retry() } else { Ok(()) } }
        }
    });
    let mut rules = subscription("s", "t");
    (rules.rules.order, rules.rules.max_attempts) = (manifest::Order::None, 100);
    broker.serve(vec![rules], deliver).await.unwrap();
    for n in 0..10 {
        publish(&*broker, &n.to_string(), "t", Some("same")).await;
    }
    settled(harness, &*broker).await;
    let deliveries = drain(&mut seen);
    assert_eq!(ids_of(&deliveries).last(), Some(&"0"), "the first came last, and held nobody up");
    assert!(broker.dead_letters(DeadLetterFilter::default(), 10).await.unwrap().is_empty());
}

pub(super) async fn a_higher_priority_goes_first(harness: &dyn Harness) {
    let broker = harness.open();
    for (id, priority) in [("low", 0), ("first", 4), ("high", 9), ("second", 4)] {
        let handling = Handling { priority, ..Handling::default() };
        broker.publish(Event { handling, ..event(id, "t", None) }).await.unwrap();
    }
    let (deliver, mut seen) = accept();
    let mut rules = subscription("s", "t");
    (rules.rules.concurrency, rules.rules.prefetch) = (1, 1);
    broker.serve(vec![rules], deliver).await.unwrap();
    settled(harness, &*broker).await;
    assert_eq!(ids_of(&drain(&mut seen)), ["high", "first", "second", "low"]);
}
