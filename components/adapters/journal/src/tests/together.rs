//! Branches of one saga that run together: what is replayed comes in the order of the journal.

use futures::executor::block_on;
use futures::future::{Either, join, select};

use crate::testing::*;
use crate::*;

#[test]
fn branches_get_their_records_in_the_order_of_the_journal() {
    let (_file, journal, clock) = patient();
    block_on(async {
        let run = begin(&journal, "k");
        execute(&run, "a", Phase::Do).await;
        execute(&run, "b", Phase::Do).await;
        settle(&run, "b", Phase::Do, success()).await;
        settle(&run, "a", Phase::Do, success()).await;
        clock.advance(LEASE_MS);
        let run = begin(&journal, "k");
        let branches = select(Box::pin(recorded(&run, "a", Phase::Do)), Box::pin(recorded(&run, "b", Phase::Do)));
        let Either::Right((b, a)) = clock.patiently(branches).await else { panic!("a before b") };
        assert!(clock.patiently(a).await.at_ms >= b.at_ms);
        run.finish(false, b"").await.unwrap();
    });
}

#[test]
fn a_branch_that_was_cut_short_runs_again_beside_one_that_is_recorded() {
    let (_file, journal, clock) = patient();
    block_on(async {
        let run = begin(&journal, "k");
        execute(&run, "a", Phase::Do).await;
        execute(&run, "b", Phase::Do).await;
        settle(&run, "a", Phase::Do, success()).await;
        clock.advance(LEASE_MS);
        let run = begin(&journal, "k");
        // b asks first; it must not run before a is delivered, nor be taken for code that does not fit.
        let both = join(execute(&run, "b", Phase::Do), recorded(&run, "a", Phase::Do));
        let (attempt, a) = clock.patiently(both).await;
        assert_eq!((attempt, a.outcome), (1, Outcome::Success));
        let b = settle(&run, "b", Phase::Do, AttemptResult::Error(b"full".to_vec())).await;
        assert_eq!(b.outcome, Outcome::Unknown, "it was cut short");
        // What ran in no run before is as it is.
        execute(&run, "c", Phase::Do).await;
        let c = settle(&run, "c", Phase::Do, AttemptResult::Error(b"full".to_vec())).await;
        assert_eq!(c.outcome, Outcome::Error);
    });
}

#[test]
fn the_loser_of_a_race_is_passed_over() {
    let (_file, journal, clock) = patient();
    block_on(async {
        let run = begin(&journal, "k");
        execute(&run, "a", Phase::Do).await;
        execute(&run, "b", Phase::Do).await;
        settle(&run, "a", Phase::Do, success()).await;
        settle(&run, "b", Phase::Do, success()).await;
        clock.advance(LEASE_MS);
        let run = begin(&journal, "k");
        let race = select(Box::pin(recorded(&run, "a", Phase::Do)), Box::pin(recorded(&run, "b", Phase::Do)));
        let Either::Left((_, loser)) = clock.patiently(race).await else { panic!("b before a") };
        drop(loser);
        clock.patiently(step(&run, "c")).await;
        run.finish(false, b"").await.unwrap();
    });
}

#[test]
fn nothing_is_told_before_the_code_has_seen_what_was_told_before() {
    let (_file, journal, _clock) = patient();
    block_on(async {
        let run = begin(&journal, "k");
        execute(&run, "a", Phase::Do).await;
        execute(&run, "b", Phase::Do).await;
        run.leave("b", Phase::Do, success()).await.unwrap();
        let mut a = std::pin::pin!(run.leave("a", Phase::Do, success()));
        for _ in 0..10 {
            assert!(futures::poll!(a.as_mut()).is_pending());
        }
        run.seen(EventKind::Do, "b");
        a.await.unwrap();
    });
}

#[test]
fn an_attempt_that_was_given_up_leaves_nothing_and_its_name_is_free() {
    let (_file, journal, _clock) = patient();
    block_on(async {
        let run = begin(&journal, "k");
        execute(&run, "a", Phase::Do).await;
        run.seen(EventKind::Do, "a");
        assert!(matches!(run.leave("a", Phase::Do, success()).await, Err(SagaError::Mismatch(_))));
        let entered = run.enter("a", Phase::Do, options()).await.unwrap();
        assert!(matches!(entered, Entered::Execute(execution) if execution.key == "k/a#2"));
    });
}

#[test]
fn branches_that_begin_together_have_all_asked_before_one_ends() {
    let (_file, journal, _) = fresh();
    block_on(async {
        let run = begin(&journal, "k");
        let asked = std::cell::Cell::new(false);
        let loser = async {
            asked.set(true);
            run.enter("b", Phase::Do, options()).await
        };
        let Either::Left(_) = select(Box::pin(step(&run, "a")), Box::pin(loser)).await else { panic!("b before a") };
        assert!(asked.get(), "on the first run as on every other");
    });
}
