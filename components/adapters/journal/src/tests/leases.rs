//! Who has a saga: one run at a time, whatever processes there are and wherever they end.

use std::rc::Rc;

use futures::executor::block_on;
use futures::future::{join, select};

use crate::testing::*;
use crate::*;

#[test]
fn a_saga_is_busy_until_its_lease_ends_and_then_the_run_before_is_refused() {
    let (file, first, clock) = fresh();
    let second = file.journal(clock.clone());
    block_on(async {
        let slow = begin(&first, "k");
        execute(&slow, "a", Phase::Do).await;
        assert!(matches!(second.begin("enrolling", "enroll", "k", b"{}"), Ok(Begun::Busy)));
        assert_eq!(second.due_sagas("enrolling", 9), Ok(vec![]));
        clock.advance(LEASE_MS);
        assert_eq!(second.due_components(), Ok(vec!["enrolling".to_owned()]));
        assert_eq!(second.due_sagas("enrolling", 9), Ok(vec!["k".to_owned()]));
        assert_eq!(second.due_sagas("other", 9), Ok(vec![]));
        let fast = begin(&second, "k");
        assert_eq!(slow.leave("a", Phase::Do, success()).await, Err(SagaError::LeaseLost));
        assert!(matches!(slow.enter("b", Phase::Do, options()).await, Err(SagaError::LeaseLost)));
        assert_eq!(slow.finish(false, b"slow").await, Err(SagaError::LeaseLost));
        assert!(matches!(first.run(slow.lease()), Err(SagaError::LeaseLost)));
        // What the first run began may have happened.
        assert_eq!(execute(&fast, "a", Phase::Do).await, 1);
        let recording = settle(&fast, "a", Phase::Do, AttemptResult::Error(b"full".to_vec())).await;
        assert_eq!(recording.outcome, Outcome::Unknown);
        fast.finish(true, b"fast").await.unwrap();
        assert_eq!(first.wait("k").await, Ok(b"fast".to_vec()));
    });
}

#[test]
fn a_run_that_was_late_and_that_nobody_has_taken_over_goes_on() {
    let (_file, journal, clock) = fresh();
    block_on(async {
        let run = begin(&journal, "k");
        execute(&run, "a", Phase::Do).await;
        clock.advance(10 * LEASE_MS);
        settle(&run, "a", Phase::Do, success()).await;
        assert!(matches!(journal.begin("enrolling", "enroll", "k", b"{}"), Ok(Begun::Busy)));
        run.finish(false, b"").await.unwrap();
    });
}

#[test]
fn a_long_attempt_keeps_the_lease_while_its_process_lives_and_for_its_timeout() {
    let (file, journal, clock) = patient();
    let other = file.journal(clock.clone());
    block_on(async {
        let run = begin(&journal, "k");
        execute(&run, "a", Phase::Do).await;
        let beats = run.heartbeat().unwrap();
        assert!(run.heartbeat().is_none(), "one is enough");
        let attempt = async {
            for _ in 0..6 {
                clock.sleep(5000).await;
                assert_eq!(other.due_sagas("enrolling", 9), Ok(vec![]));
            }
            settle(&run, "a", Phase::Do, success()).await;
        };
        clock.patiently(join(beats, attempt)).await;
        assert_eq!(clock.now_ms(), START_MS + 30_000, "it ends with the attempt");
        // The process of this one hangs.
        execute(&run, "b", Phase::Do).await;
        clock.patiently(run.heartbeat().unwrap()).await;
        assert_eq!(clock.now_ms(), START_MS + 30_000 + 40_000, "its timeout and ten seconds");
        clock.advance(LEASE_MS);
        assert_eq!(other.due_sagas("enrolling", 9), Ok(vec!["k".to_owned()]));
    });
}

#[test]
fn runs_that_come_no_further_are_not_repeated_for_ever() {
    let (_file, journal, clock) = fresh();
    block_on(async {
        for _ in 0..10 {
            let run = begin(&journal, "k");
            execute(&run, "a", Phase::Do).await;
            clock.advance(LEASE_MS);
        }
        let Err(SagaError::Unavailable(text)) = journal.begin("enrolling", "enroll", "k", b"{}") else {
            panic!("again")
        };
        assert!(text.contains("10 runs in a row came no further"), "{text}");
        assert_eq!(journal.status("k").unwrap().status, Status::NeedsAttention);
        // One that comes further each time may take as many as it likes.
        for number in 0..30 {
            let run = begin(&journal, "l");
            for known in 0..number {
                recorded(&run, &format!("s{known}"), Phase::Do).await;
            }
            step(&run, &format!("s{number}")).await;
            clock.advance(LEASE_MS);
        }
    });
}

#[test]
fn who_waits_elsewhere_hears_of_the_answer_and_of_a_run_that_is_gone() {
    let (file, journal, clock) = patient();
    let other = file.journal(clock.clone());
    block_on(async {
        assert_eq!(other.wait("k").await, Err(SagaError::NotFound));
        let begins = async {
            clock.sleep(300).await;
            begin(&journal, "k")
        };
        let (run, started) = clock.patiently(join(begins, other.started("k"))).await;
        started.unwrap();
        let finishes = async {
            clock.sleep(2000).await;
            run.finish(false, b"done").await.unwrap();
        };
        let ((), answer) = clock.patiently(join(finishes, other.wait("k"))).await;
        assert_eq!(answer, Ok(b"done".to_vec()));
        assert!(clock.now_ms() <= START_MS + 300 + 150 + 2000 + 1000, "a second at most after it");
        assert_eq!(clock.patiently(other.started("never")).await, Err(SagaError::NotFound));
        begin(&journal, "l");
        assert_eq!(clock.patiently(other.wait_for("l", 100)).await, Ok(None));
        assert_eq!(clock.patiently(other.wait("l")).await, Err(SagaError::LeaseLost), "its process has ended");
    });
}

#[test]
fn who_waits_in_the_same_instance_is_woken() {
    let (_file, journal, clock) = patient();
    block_on(async {
        let run = begin(&journal, "k");
        let waits = std::pin::pin!(journal.wait("k"));
        let finishes = std::pin::pin!(run.finish(false, b"done"));
        let futures::future::Either::Right((Ok(()), waits)) = select(waits, finishes).await else { panic!("answered") };
        assert_eq!(waits.await, Ok(b"done".to_vec()));
        assert_eq!(clock.now_ms(), START_MS);
    });
}

#[test]
fn a_database_that_refuses_is_unavailable_and_nothing_has_happened() {
    let (file, clock) = (File::new(), Rc::new(SkippingClock::default()));
    file.journal(clock.clone());
    let (holds, database) = (file.connect(None), file.connect(None));
    database.run("PRAGMA busy_timeout = 0", &[]).unwrap();
    let journal = Journal::open(database, clock).unwrap();
    holds.run("BEGIN IMMEDIATE", &[]).unwrap();
    assert!(matches!(journal.begin("enrolling", "enroll", "k", b"{}"), Err(SagaError::Unavailable(_))));
    holds.run("COMMIT", &[]).unwrap();
    assert_eq!(journal.status("k"), Err(SagaError::NotFound));
    begin(&journal, "k");
}
