//! Delays, times to live, and pauses that a handler asks for.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test suite that other crates run")]

use super::*;

pub(super) async fn a_delayed_event_comes_when_it_is_due(harness: &dyn Harness) {
    let broker = harness.open();
    let now_ms = harness.clock().now_ms();
    let delayed = |id: &str, delay_ms| Event {
        time_ms: now_ms,
        handling: Handling { delay_ms: Some(delay_ms), ..Handling::default() },
        ..event(id, "t", Some("k"))
    };
    broker.publish(delayed("hour", 3_600_000)).await.unwrap();
    broker.publish(delayed("minute", 60_000)).await.unwrap();
    publish(&*broker, "now", "t", Some("k")).await;
    let (deliver, mut seen) = accept();
    broker.serve(vec![subscription("s", "t")], deliver.clone()).await.unwrap();
    assert_eq!(next_ids(harness.clock(), &mut seen, 2).await, ["now", "minute"], "it holds up nobody, its key neither");
    assert!(harness.clock().now_ms() >= now_ms + 60_000);
    let waits = || broker.status().iter().all(|one| one.parked == 1 && one.in_flight == 0);
    while !waits() {
        tokio::task::yield_now().await;
    }
    harness.crash(broker).await;
    let broker = harness.open();
    broker.serve(vec![subscription("s", "t")], deliver).await.unwrap();
    loop {
        let delivery = next(harness.clock(), &mut seen).await;
        if delivery.event.id == "hour" {
            break;
        }
        assert!(["now", "minute"].contains(&&*delivery.event.id), "only what was not noted comes again");
    }
    assert!(harness.clock().now_ms() >= now_ms + 3_600_000, "over a crash as well, and no sooner");
    settled(harness, &*broker).await;
}

pub(super) async fn an_expired_event_is_a_dead_letter(harness: &dyn Harness) {
    let broker = harness.open();
    let time_ms = harness.clock().now_ms();
    let own = Handling { ttl_ms: Some(1_000), ..Handling::default() };
    broker.publish(Event { time_ms, handling: own, ..event("own", "t", None) }).await.unwrap();
    broker.publish(Event { time_ms, ..event("rule", "t", None) }).await.unwrap();
    harness.clock().advance(std::time::Duration::from_secs(2));
    let (deliver, mut seen) = accept();
    let mut rules = subscription("s", "t");
    rules.rules.ttl_ms = Some(3_600_000);
    broker.serve(vec![rules], deliver).await.unwrap();
    let letters = letters(harness, &*broker, 1).await;
    assert_eq!((&*letters[0].event.id, letters[0].attempts), ("own", 0));
    assert!(letters[0].error.contains("time to live"), "{}", letters[0].error);
    settled(harness, &*broker).await;
    assert_eq!(ids_of(&drain(&mut seen)), ["rule"]);
    assert_eq!(broker.replay(DeadLetterFilter::default()).await.unwrap(), 1);
    assert_eq!(next_ids(harness.clock(), &mut seen, 1).await, ["own"], "replayed, its age does not count");
}

pub(super) async fn a_handler_chooses_the_pause(harness: &dyn Harness) {
    let broker = harness.open();
    let (deliver, mut seen) = handler(|delivery| async move {
        let (message, delay_ms) = ("busy".to_owned(), 600_000);
        if delivery.attempt == 1 { Err(DeliveryError::RetryAfter { message, delay_ms }) } else { Ok(()) }
    });
    broker.serve(vec![subscription("s", "t")], deliver).await.unwrap();
    // It is refused no sooner than it is published: time may run on before the refusal is seen.
    let published_at_ms = harness.clock().now_ms();
    publish(&*broker, "1", "t", None).await;
    next(harness.clock(), &mut seen).await;
    let again = next(harness.clock(), &mut seen).await;
    assert_eq!(again.attempt, 2, "it counts");
    assert!(harness.clock().now_ms() >= published_at_ms + 600_000);
    settled(harness, &*broker).await;
}
