//! The log as a history.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test suite that other crates run")]

use super::*;
use crate::messaging::{EventFilter, ReadFrom};

fn ids(events: &[(u64, Event)]) -> Vec<&str> {
    events.iter().map(|(_, event)| &*event.id).collect()
}

pub(super) async fn is_read_both_ways(harness: &dyn Harness) {
    let broker = harness.open();
    let (all, head) = (EventFilter::default(), broker.head());
    let empty = broker.read(ReadFrom::Earliest, all.clone(), 10).await.unwrap();
    assert!(empty.events.is_empty() && empty.end);
    let woken = tokio::spawn(broker.published_after(head));
    for n in 0..10_u64 {
        let (topic, time_ms) = (if n % 2 == 0 { "even" } else { "odd" }, 1_700_000_000_000 + n);
        broker.publish(Event { time_ms, ..event(&n.to_string(), topic, None) }).await.unwrap();
    }
    woken.await.unwrap();

    let first = broker.read(ReadFrom::Earliest, all.clone(), 3).await.unwrap();
    assert_eq!((ids(&first.events), first.end), (vec!["0", "1", "2"], false));
    let rest = broker.read(ReadFrom::Position(first.next), all.clone(), 100).await.unwrap();
    assert_eq!((ids(&rest.events).len(), rest.end, rest.next), (7, true, broker.head()));
    assert_eq!(rest.events[0].1, Event { time_ms: 1_700_000_000_003, ..event("3", "odd", None) }, "whole");
    let even = EventFilter { topic: Some("even".parse().unwrap()), ..EventFilter::default() };
    let found = broker.read(ReadFrom::Earliest, even.clone(), 100).await.unwrap();
    assert_eq!(ids(&found.events), ["0", "2", "4", "6", "8"]);
    let some = EventFilter { since_ms: Some(1_700_000_000_002), until_ms: Some(1_700_000_000_006), ..even.clone() };
    let found = broker.read(ReadFrom::TimeMs(1_700_000_000_001), some, 100).await.unwrap();
    assert_eq!(ids(&found.events), ["2", "4"]);
    let other = EventFilter { kind: Some("Other".to_owned()), ..EventFilter::default() };
    let found = broker.read(ReadFrom::Earliest, other, 100).await.unwrap();
    assert!(found.events.is_empty() && found.end && found.next == broker.head());

    let newest = broker.read_back(ReadFrom::Latest, all.clone(), 3).await.unwrap();
    assert_eq!((ids(&newest.events), newest.end), (vec!["9", "8", "7"], false));
    let older = broker.read_back(ReadFrom::Position(newest.next), even, 2).await.unwrap();
    assert_eq!(ids(&older.events), ["6", "4"]);
    let oldest = broker.read_back(ReadFrom::Position(older.next), all, 100).await.unwrap();
    assert_eq!((ids(&oldest.events), oldest.end), (vec!["3", "2", "1", "0"], true));
    let unborn = broker.published_after(broker.head());
    assert!(futures::FutureExt::now_or_never(unborn).is_none(), "nothing is behind the end");
}
