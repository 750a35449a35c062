//! Where subscriptions stand in the log, over restarts and by order of an operator.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test suite that other crates run")]

use std::collections::BTreeSet;

use weft_core::manifest::Start;

use super::*;
use crate::messaging::ReadFrom;

pub(super) async fn are_kept(harness: &dyn Harness) {
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
    broker.shutdown(std::time::Duration::from_secs(30)).await;
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

pub(super) async fn pause_outlives_a_restart(harness: &dyn Harness) {
    let broker = harness.open();
    let (deliver, mut seen) = accept();
    let both = vec![subscription("s", "t"), subscription("other", "t")];
    broker.serve(both.clone(), deliver.clone()).await.unwrap();
    assert!(broker.pause("handler/s").await.unwrap());
    assert!(!broker.pause("handler/none").await.unwrap(), "it is not served");
    publish(&*broker, "1", "t", None).await;
    assert_eq!(&*next(harness.clock(), &mut seen).await.subscription, "other");
    until(harness.clock(), || broker.status().iter().any(|one| one.paused && one.waiting == 1)).await;
    harness.crash(broker).await;

    let broker = harness.open();
    broker.serve(both, deliver).await.unwrap();
    publish(&*broker, "2", "t", None).await;
    until(harness.clock(), || broker.status().iter().any(|one| one.paused && one.lag == 2)).await;
    assert!(drain(&mut seen).iter().all(|delivery| &*delivery.subscription == "other"));
    assert!(broker.resume("handler/s").await.unwrap());
    settled(harness, &*broker).await;
    let deliveries = drain(&mut seen);
    let own: Vec<_> = deliveries.into_iter().filter(|delivery| &*delivery.subscription == "s").collect();
    let mut ids = ids_of(&own);
    ids.sort_unstable();
    assert_eq!(ids, ["1", "2"]);
}

pub(super) async fn seek_goes_back_and_forth(harness: &dyn Harness) {
    let broker = harness.open();
    let (deliver, mut seen) = accept();
    broker.serve(vec![subscription("s", "t")], deliver).await.unwrap();
    for n in 0..5_u64 {
        let time_ms = 1_700_000_000_000 + n * 1_000;
        broker.publish(Event { time_ms, ..event(&n.to_string(), "t", Some("k")) }).await.unwrap();
    }
    settled(harness, &*broker).await;
    drain(&mut seen);
    assert!(broker.seek("handler/s", ReadFrom::TimeMs(1_700_000_003_000)).await.unwrap());
    settled(harness, &*broker).await;
    assert_eq!(ids_of(&drain(&mut seen)), ["3", "4"]);
    broker.seek("handler/s", ReadFrom::Earliest).await.unwrap();
    settled(harness, &*broker).await;
    assert_eq!(ids_of(&drain(&mut seen)), ["0", "1", "2", "3", "4"]);
    broker.pause("handler/s").await.unwrap();
    publish(&*broker, "passed over", "t", None).await;
    broker.seek("handler/s", ReadFrom::Latest).await.unwrap();
    broker.resume("handler/s").await.unwrap();
    publish(&*broker, "next", "t", None).await;
    settled(harness, &*broker).await;
    assert_eq!(ids_of(&drain(&mut seen)), ["next"]);
    assert!(!broker.seek("handler/none", ReadFrom::Latest).await.unwrap());
}
