//! Publishes, refusals and crashes at random, against what has to come of them.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test suite that other crates run")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::*;

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
pub(super) async fn nothing_is_lost(harness: &dyn Harness, seed: u64) {
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
