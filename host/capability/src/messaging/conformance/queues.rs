//! Work queues: bounds on what waits, and instances by how much waits.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test suite that other crates run")]

use weft_core::manifest::{Overflow, WorkQueue};

use super::*;
use crate::messaging::PublishError;

fn work_queue(queue: WorkQueue) -> Subscription {
    let mut rules = subscription("s", "t");
    rules.rules.queue = Some(queue);
    rules
}

pub(super) async fn a_full_queue_refuses(harness: &dyn Harness) {
    let rules = vec![work_queue(WorkQueue { max_length: 3, ..WorkQueue::default() })];
    let broker = harness.open();
    publish(&*broker, "before", "t", None).await;
    let (deliver, _seen) = handler(|_| std::future::pending());
    broker.serve(rules.clone(), deliver).await.unwrap();
    let many = |from: u32, to: u32| (from..to).map(|n| event(&n.to_string(), "t", None)).collect::<Vec<_>>();
    let full = |answer| matches!(answer, Err(PublishError::Full { max_length: 3, .. }));
    assert!(full(broker.publish_all(many(0, 3)).await), "three beside the one that waits are too many");
    assert_eq!(broker.publish_all(many(0, 2)).await, Ok(()));
    assert!(full(broker.publish(event("4", "t", None)).await));
    assert_eq!(broker.publish(event("1", "t", None)).await, Ok(()), "it is there already");
    publish(&*broker, "other", "elsewhere", None).await;
    harness.crash(broker).await;

    let broker = harness.open();
    let (deliver, _seen) = handler(|_| std::future::pending());
    broker.serve(rules.clone(), deliver).await.unwrap();
    assert!(full(broker.publish(event("4", "t", None)).await), "counted anew after a crash");
    harness.crash(broker).await;
    let broker = harness.open();
    let (deliver, _seen) = accept();
    broker.serve(rules, deliver).await.unwrap();
    settled(harness, &*broker).await;
    publish(&*broker, "4", "t", None).await;
}

pub(super) async fn a_full_queue_gives_up_its_oldest(harness: &dyn Harness) {
    let broker = harness.open();
    let queue =
        WorkQueue { max_length: 5, overflow: Overflow::DeadLetterOldest, min: 1, max: 1, ..WorkQueue::default() };
    let (deliver, mut seen) = accept();
    broker.serve(vec![work_queue(queue)], deliver).await.unwrap();
    broker.pause("handler/s").await.unwrap();
    for n in 0..8 {
        publish(&*broker, &n.to_string(), "t", None).await;
    }
    until(harness.clock(), || broker.status()[0].waiting == 8).await;
    broker.resume("handler/s").await.unwrap();
    let letters = letters(harness, &*broker, 3).await;
    let ids: Vec<&str> = letters.iter().map(|letter| &*letter.event.id).collect();
    assert_eq!(ids, ["0", "1", "2"]);
    assert!(letters[0].error.contains("full"), "{}", letters[0].error);
    settled(harness, &*broker).await;
    assert_eq!(ids_of(&drain(&mut seen)), ["3", "4", "5", "6", "7"]);
}

pub(super) async fn instances_follow_the_backlog(harness: &dyn Harness) {
    let broker = harness.open();
    let release = Arc::new(tokio::sync::Semaphore::new(0));
    let (deliver, _seen) = handler({
        let release = Arc::clone(&release);
        move |_| {
            let release = Arc::clone(&release);
            async move {
                release.acquire().await.unwrap().forget();
                Ok(())
            }
        }
    });
    let queue = WorkQueue { min: 2, max: 5, up_at: 20, down_at: 2, ..WorkQueue::default() };
    broker.serve(vec![work_queue(queue)], deliver).await.unwrap();
    for n in 0..10 {
        publish(&*broker, &n.to_string(), "t", None).await;
    }
    let status = || broker.status()[0].clone();
    until(harness.clock(), || status().in_flight == 2).await;
    assert_eq!(status().instances, 2, "so much is no reason for more");
    for n in 10..40 {
        publish(&*broker, &n.to_string(), "t", None).await;
    }
    until(harness.clock(), || status().instances == 5 && status().in_flight == 5).await;
    release.add_permits(40);
    settled(harness, &*broker).await;
    until(harness.clock(), || status().instances == 2).await;
}
