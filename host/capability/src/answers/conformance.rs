//! What every backend of kept answers has to do.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test suite that other crates run")]

use std::time::Duration;

use weft_core::answers::{AnswerBounds, AnswerKey, Answers, KeptAnswer};

const BOUNDS: AnswerBounds = AnswerBounds {
    time: Duration::from_secs(60),
    answers: 6,
    bytes: 10_000,
    answers_of_owner: 3,
    bytes_of_owner: 2_000,
};

/// Runs the suite. `open` opens the same answers each time, after the ones before were dropped; `advance` lets the
/// backend's time pass.
///
/// # Panics
/// If the backend does not keep the contract.
pub async fn run(open: &(dyn Fn() -> Box<dyn Answers> + Sync), advance: &(dyn Fn(Duration) + Sync)) {
    keeps_what_was_kept(open).await;
    forgets_in_time(open, advance).await;
    an_owner_is_bounded(open, advance).await;
    all_together_are_bounded(open, advance).await;
}

fn key(owner: u8, request: u8) -> AnswerKey {
    AnswerKey { owner: [owner; 32], request: [owner.wrapping_mul(16).wrapping_add(request); 32] }
}

fn answer(body: &str) -> KeptAnswer {
    KeptAnswer {
        fingerprint: [7; 32],
        status: 201,
        headers: vec![
            ("content-type".to_owned(), b"application/json".to_vec()),
            ("set-cookie".to_owned(), b"a: b".to_vec()),
            ("set-cookie".to_owned(), b"".to_vec()),
            ("x-bytes".to_owned(), vec![0xff, b' ', 0xfe]),
        ],
        body: body.as_bytes().to_vec(),
    }
}

async fn keep(answers: &dyn Answers, key: AnswerKey, body: &str) {
    answers.keep(key, answer(body), BOUNDS).await.expect("kept");
}

async fn found(answers: &dyn Answers, key: AnswerKey) -> Option<String> {
    let found = answers.find(key).await.expect("readable");
    found.map(|found| String::from_utf8(found.body).expect("as it was kept"))
}

async fn keeps_what_was_kept(open: &(dyn Fn() -> Box<dyn Answers> + Sync)) {
    let answers = open();
    assert_eq!(found(&*answers, key(1, 1)).await, None);
    keep(&*answers, key(1, 1), "first").await;
    keep(&*answers, key(1, 2), "").await;
    keep(&*answers, key(1, 1), "later").await;
    drop(answers);
    let answers = open();
    assert_eq!(answers.find(key(1, 1)).await.expect("readable"), Some(answer("later")));
    assert_eq!(found(&*answers, key(1, 2)).await.as_deref(), Some(""));
    assert_eq!(found(&*answers, key(2, 1)).await, None);
}

async fn forgets_in_time(open: &(dyn Fn() -> Box<dyn Answers> + Sync), advance: &(dyn Fn(Duration) + Sync)) {
    let answers = open();
    keep(&*answers, key(1, 1), "early").await;
    advance(Duration::from_millis(59_999));
    assert_eq!(found(&*answers, key(1, 1)).await.as_deref(), Some("early"));
    keep(&*answers, key(1, 3), "late").await;
    advance(Duration::from_millis(1));
    assert_eq!(found(&*answers, key(1, 1)).await, None);
    assert_eq!(found(&*answers, key(1, 3)).await.as_deref(), Some("late"));
    advance(BOUNDS.time);
    assert_eq!(found(&*answers, key(1, 3)).await, None);
}

async fn an_owner_is_bounded(open: &(dyn Fn() -> Box<dyn Answers> + Sync), advance: &(dyn Fn(Duration) + Sync)) {
    let answers = open();
    keep(&*answers, key(2, 1), "another's").await;
    for number in 1..=5 {
        keep(&*answers, key(1, number), &number.to_string()).await;
    }
    for (number, wanted) in [(1, None), (2, None), (3, Some("3")), (4, Some("4")), (5, Some("5"))] {
        assert_eq!(found(&*answers, key(1, number)).await.as_deref(), wanted, "{number}");
    }
    // By bytes: one of nearly all leaves no room for the others.
    let large = "x".repeat(1_900);
    keep(&*answers, key(1, 6), &large).await;
    assert_eq!(found(&*answers, key(1, 5)).await, None);
    assert_eq!(found(&*answers, key(1, 6)).await.as_deref(), Some(&*large));
    // One that is too large by itself costs nobody anything.
    keep(&*answers, key(1, 7), &"x".repeat(2_001)).await;
    assert_eq!(found(&*answers, key(1, 7)).await, None);
    assert_eq!(found(&*answers, key(1, 6)).await.as_deref(), Some(&*large));
    assert_eq!(found(&*answers, key(2, 1)).await.as_deref(), Some("another's"));
    advance(BOUNDS.time);
}

async fn all_together_are_bounded(open: &(dyn Fn() -> Box<dyn Answers> + Sync), advance: &(dyn Fn(Duration) + Sync)) {
    let answers = open();
    for owner in 1..=8 {
        keep(&*answers, key(owner, 1), &owner.to_string()).await;
    }
    for owner in 1..=8 {
        assert_eq!(found(&*answers, key(owner, 1)).await.is_some(), owner > 2, "{owner}");
    }
    // Bounds that have become narrower hold from the next answer on.
    let narrow = AnswerBounds { answers: 2, ..BOUNDS };
    answers.keep(key(9, 1), answer("9"), narrow).await.expect("kept");
    for owner in 1..=9 {
        assert_eq!(found(&*answers, key(owner, 1)).await.is_some(), owner > 7, "{owner}");
    }
    advance(BOUNDS.time);
}
