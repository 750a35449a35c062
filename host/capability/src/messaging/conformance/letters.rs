//! What becomes of events that cannot be delivered.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test suite that other crates run")]

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use super::*;
use crate::messaging::PublishError;

/// Ids of events that are refused.
type Poison = Arc<Mutex<BTreeSet<&'static str>>>;

/// A handler that refuses what is in the set.
fn refusing(ids: &[&'static str]) -> (Poison, Arc<dyn Deliver>, Seen) {
    let poison = Arc::new(Mutex::new(ids.iter().copied().collect::<BTreeSet<_>>()));
    let refused = Arc::clone(&poison);
    let (deliver, seen) = handler(move |delivery| {
        let bad = refused.lock().unwrap().contains(&*delivery.event.id);
        async move { if bad { retry() } else { Ok(()) } }
    });
    (poison, deliver, seen)
}

pub(super) async fn dead_letters(harness: &dyn Harness) {
    let broker = harness.open();
    let (poison, deliver, mut seen) = refusing(&["p1", "p2"]);
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
    assert_eq!(first.digest.as_deref(), Some("digest of handler"));

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

pub(super) async fn a_letter_is_edited(harness: &dyn Harness) {
    let broker = harness.open();
    let (deliver, mut seen) = handler(|delivery| async move {
        if delivery.event.data.starts_with(b"[") { Ok(()) } else { Err(DeliveryError::Reject("no list".to_owned())) }
    });
    broker.serve(vec![subscription("s", "t")], deliver).await.unwrap();
    publish(&*broker, "1", "t", None).await;
    let id = letters(harness, &*broker, 1).await[0].id;
    let edit = |id, data: &'static str| broker.edit(id, Bytes::from_static(data.as_bytes()));
    assert!(matches!(edit(id, "[1").await, Err(PublishError::Invalid(_))), "it has to be JSON");
    assert_eq!(edit(id + 1, "[]").await, Ok(false));
    assert_eq!(edit(id, "[1]").await, Ok(true));
    drain(&mut seen);
    assert_eq!(broker.replay(DeadLetterFilter::default()).await.unwrap(), 1);
    assert_eq!(next(harness.clock(), &mut seen).await.event.data, "[1]");
    letters(harness, &*broker, 0).await;
}

pub(super) async fn a_held_key_waits_for_its_letter(harness: &dyn Harness) {
    let broker = harness.open();
    let (poison, deliver, mut seen) = refusing(&["a1"]);
    let mut rules = subscription("s", "t");
    (rules.rules.when_dead, rules.rules.max_attempts) = (manifest::WhenDead::HoldKey, 1);
    broker.serve(vec![rules.clone()], deliver.clone()).await.unwrap();
    for (id, key) in [("a1", "a"), ("a2", "a"), ("b1", "b"), ("a3", "a")] {
        publish(&*broker, id, "t", Some(key)).await;
    }
    let letter = letters(harness, &*broker, 1).await[0].clone();
    let waits = |broker: &dyn Broker, parked| {
        let status = broker.status();
        (status[0].waiting, status[0].unread_bytes, status[0].in_flight, status[0].parked) == (0, 0, 0, parked)
    };
    until(harness.clock(), || waits(&*broker, 2)).await;
    harness.crash(broker).await;

    // Over a crash as well; and later ones line up behind.
    let broker = harness.open();
    broker.serve(vec![rules], deliver).await.unwrap();
    publish(&*broker, "a4", "t", Some("a")).await;
    until(harness.clock(), || waits(&*broker, 3)).await;
    let deliveries = drain(&mut seen);
    assert!(deliveries.iter().all(|delivery| ["a1", "b1"].contains(&&*delivery.event.id)), "{:?}", ids_of(&deliveries));
    poison.lock().unwrap().clear();
    let one = DeadLetterFilter { id: Some(letter.id), ..DeadLetterFilter::default() };
    assert_eq!(broker.replay(one).await.unwrap(), 1);
    assert_eq!(
        next_ids(harness.clock(), &mut seen, 4).await,
        ["a1", "a2", "a3", "a4"],
        "the letter, and then in order"
    );
    settled(harness, &*broker).await;

    // A letter that is purged lets go as well.
    poison.lock().unwrap().insert("a5");
    for id in ["a5", "a6"] {
        publish(&*broker, id, "t", Some("a")).await;
    }
    letters(harness, &*broker, 1).await;
    until(harness.clock(), || waits(&*broker, 1)).await;
    assert_eq!(broker.purge(DeadLetterFilter::default()).await.unwrap(), 1);
    assert_eq!(next_ids(harness.clock(), &mut seen, 2).await, ["a5", "a6"]);
    settled(harness, &*broker).await;
}

pub(super) async fn dead_letters_go_to_their_topic(harness: &dyn Harness) {
    let broker = harness.open();
    let (deliver, mut seen) = handler(|delivery| async move {
        if delivery.event.topic == "t" { Err(DeliveryError::Reject("never".to_owned())) } else { Ok(()) }
    });
    let mut rules = subscription("s", "t");
    rules.rules.dead_letter_topic = Some("t.dead".into());
    broker.serve(vec![rules, subscription("dead", "t.dead")], deliver).await.unwrap();
    publish(&*broker, "1", "t", Some("k")).await;
    letters(harness, &*broker, 1).await;
    settled(harness, &*broker).await;
    let deliveries = drain(&mut seen);
    let told = deliveries.iter().find(|delivery| delivery.event.topic == "t.dead").unwrap();
    let sent = event("1", "t", None);
    assert_eq!((&told.event.data, &told.event.kind), (&sent.data, &sent.kind));
    assert_eq!((&*told.event.source, told.event.ordering_key.as_deref()), ("/dead-letters/handler/s", Some("k")));
}
