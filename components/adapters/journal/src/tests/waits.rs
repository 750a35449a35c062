//! Timers, signals, children, cancelling: waits that keep a run and waits that end it.

use std::rc::Rc;

use futures::executor::block_on;
use futures::future::join;

use crate::testing::*;
use crate::*;

const HOUR_MS: u64 = 3_600_000;

fn due(journal: &Journal) -> Vec<String> {
    journal.due_sagas("enrolling", 9).unwrap()
}

#[test]
fn a_short_timer_keeps_the_run_and_fires_on_time() {
    let (_file, journal, clock) = patient();
    block_on(async {
        let run = begin(&journal, "k");
        let recording = clock.patiently(run.sleep("t", 19_000)).await.unwrap();
        assert_eq!((recording.at_ms, clock.now_ms()), (START_MS + 19_000, START_MS + 19_000));
        run.seen(EventKind::Timer, "t");
        assert!(matches!(journal.begin("enrolling", "enroll", "k", b"{}"), Ok(Begun::Busy)), "it has kept its lease");
        run.finish(false, b"").await.unwrap();
    });
}

#[test]
fn a_long_timer_ends_the_run_and_is_due_in_time_whoever_asks_then() {
    let (file, journal, clock) = fresh();
    block_on(async {
        let run = begin(&journal, "k");
        step(&run, "a").await;
        assert_eq!(run.sleep("t", HOUR_MS).await, Err(SagaError::LeaseLost));
        assert_eq!(clock.now_ms(), START_MS);
        assert_eq!(due(&journal), Vec::<String>::new());
        clock.advance(HOUR_MS - 1);
        let other = file.journal(clock.clone());
        assert_eq!(due(&other), Vec::<String>::new());
        clock.advance(1);
        assert_eq!(due(&other), ["k"]);
        let run = begin(&other, "k");
        recorded(&run, "a", Phase::Do).await;
        let recording = run.sleep("t", 7).await.unwrap();
        assert_eq!(recording.at_ms, START_MS + HOUR_MS, "as it was asked for first");
        run.seen(EventKind::Timer, "t");
        run.finish(false, b"").await.unwrap();
    });
}

#[test]
fn one_that_is_called_while_it_waits_waits_again_and_who_waits_for_it_is_told() {
    let (_file, journal, clock) = fresh();
    block_on(async {
        let run = begin(&journal, "k");
        assert_eq!(run.sleep("t", HOUR_MS).await, Err(SagaError::LeaseLost));
        assert_eq!(journal.wait("k").await, Err(SagaError::LeaseLost));
        let run = begin(&journal, "k");
        assert_eq!(run.sleep("t", HOUR_MS).await, Err(SagaError::LeaseLost));
        clock.advance(HOUR_MS);
        let run = begin(&journal, "k");
        assert_eq!(run.sleep("t", HOUR_MS).await.unwrap().at_ms, START_MS + HOUR_MS);
    });
}

#[test]
fn a_signal_is_taken_once_in_order_and_known_by_its_id() {
    let (_file, journal, clock) = fresh();
    block_on(async {
        assert_eq!(journal.signal("k", "s", "", b"0"), Err(SagaError::NotFound));
        let run = begin(&journal, "k");
        for (id, payload) in [("x", b"1"), ("x", b"9"), ("", b"2"), ("", b"3")] {
            journal.signal("k", "s", id, payload).unwrap();
        }
        let next = async |run: &Run| {
            let recording = run.signal("s", None).await.unwrap();
            run.seen(EventKind::Signal, "s");
            recording.payload
        };
        assert_eq!((next(&run).await, next(&run).await), (b"1".to_vec(), b"2".to_vec()));
        clock.advance(LEASE_MS);
        let run = begin(&journal, "k");
        assert_eq!((next(&run).await, next(&run).await), (b"1".to_vec(), b"2".to_vec()));
        assert_eq!(next(&run).await, b"3");
        let late = run.signal("s", Some(60)).await.unwrap();
        assert_eq!((late.outcome, &*late.payload), (Outcome::Error, &b""[..]));
        run.seen(EventKind::Signal, "s");
        for _ in 0..MAX_SIGNALS {
            journal.signal("k", "s", "", b"").unwrap();
        }
        assert!(matches!(journal.signal("k", "s", "", b""), Err(SagaError::TooLarge(_))));
        run.finish(false, b"").await.unwrap();
        assert!(matches!(journal.signal("k", "s", "", b""), Err(SagaError::Conflict(_))));
    });
}

#[test]
fn a_signal_from_elsewhere_reaches_a_live_run_and_wakes_one_that_has_ended_to_wait() {
    let (file, journal, clock) = patient();
    let other = file.journal(clock.clone());
    block_on(async {
        let run = begin(&journal, "k");
        let sends = async {
            clock.sleep(3000).await;
            other.signal("k", "s", "", b"1").unwrap();
        };
        let (told, ()) = clock.patiently(join(run.signal("s", None), sends)).await;
        assert_eq!(told.unwrap().payload, b"1");
        run.seen(EventKind::Signal, "s");
        assert_eq!(clock.patiently(run.signal("s", None)).await, Err(SagaError::LeaseLost));
        clock.advance(HOUR_MS);
        assert_eq!(due(&journal), Vec::<String>::new(), "it waits for no time");
        other.signal("k", "s", "", b"2").unwrap();
        assert_eq!(due(&journal), ["k"]);
        let run = begin(&journal, "k");
        for payload in [b"1", b"2"] {
            assert_eq!(clock.patiently(run.signal("s", None)).await.unwrap().payload, payload);
            run.seen(EventKind::Signal, "s");
        }
    });
}

#[test]
fn a_signal_that_comes_as_a_run_ends_to_wait_is_not_missed() {
    let (file, clock) = (File::new(), Rc::new(SkippingClock::default()));
    let (journal, other) = (file.journal(clock.clone()), file.journal(clock.clone()));
    block_on(async {
        let run = begin(&journal, "k");
        // It has looked, and says that it ends to wait in its next turn.
        let mut sleeps = std::pin::pin!(run.sleep("t", HOUR_MS));
        for _ in 0..2 {
            assert!(futures::poll!(sleeps.as_mut()).is_pending());
        }
        other.signal("k", "s", "", b"1").unwrap();
        let ended = sleeps.await;
        assert_eq!(ended, Err(SagaError::LeaseLost), "in the end, as it waits for a time alone");
        assert!(clock.now_ms() > START_MS, "it has looked again before");
        assert!(due(&journal).is_empty());
    });
}

#[test]
fn a_parent_hears_of_its_child_while_it_lives_and_is_due_when_it_has_ended_to_wait() {
    let (file, journal, clock) = patient();
    let other = file.journal(clock.clone());
    block_on(async {
        let parent = begin(&journal, "p");
        assert_eq!(clock.patiently(parent.child("c", "c")).await, Err(SagaError::NotFound));
        let parent = begin_again(&journal, &clock, "p");
        let child = begin(&other, "c");
        let ends = async {
            clock.sleep(3000).await;
            child.finish(true, b"child").await.unwrap();
        };
        let (told, ()) = clock.patiently(join(parent.child("c", "c"), ends)).await;
        let told = told.unwrap();
        assert_eq!((told.outcome, &*told.payload), (Outcome::Success, &b"child"[..]));
        parent.seen(EventKind::Child, "c");
        let child = begin(&other, "d");
        let is_waiting = clock.patiently(parent.child("d", "d")).await;
        assert_eq!(is_waiting, Err(SagaError::LeaseLost));
        assert_eq!(due(&journal), ["d"], "nobody keeps the child's lease");
        child.finish(false, b"late").await.unwrap();
        assert_eq!(due(&journal), ["p"]);
        let parent = begin(&journal, "p");
        for (name, answer) in [("c", &b"child"[..]), ("d", b"late")] {
            assert_eq!(clock.patiently(parent.child(name, name)).await.unwrap().payload, answer);
            parent.seen(EventKind::Child, name);
        }
        parent.finish(false, b"").await.unwrap();
    });
}

/// After the lease of the run before has ended.
fn begin_again(journal: &Journal, clock: &ManualClock, key: &str) -> Rc<Run> {
    clock.advance(LEASE_MS);
    begin(journal, key)
}

#[test]
fn a_cancelled_saga_begins_nothing_more_and_is_taken_back() {
    let (file, journal, clock) = patient();
    let other = file.journal(clock.clone());
    block_on(async {
        let run = begin(&journal, "k");
        step(&run, "a").await;
        execute(&run, "b", Phase::Do).await;
        assert_eq!(
            run.leave(
                "b",
                Phase::Do,
                AttemptResult::Failed { maybe_ran: true, retry_after_ms: Some(9000), payload: vec![] }
            )
            .await,
            Ok(Left::Again)
        );
        let cancels = async {
            clock.sleep(500).await;
            other.cancel("k", "changed my mind").unwrap();
            other.cancel("k", "again").unwrap();
        };
        let (entered, ()) = clock.patiently(join(run.enter("b", Phase::Do, options()), cancels)).await;
        let Ok(Entered::Recorded(recording)) = entered else { panic!("{entered:?}") };
        assert!(recording.cancelled && clock.now_ms() < START_MS + 9000);
        assert_eq!((recording.outcome, &*recording.payload), (Outcome::Unknown, &b"changed my mind"[..]));
        run.seen(EventKind::Do, "b");
        let slept = run.sleep("t", 10).await.unwrap();
        assert!(slept.cancelled);
        run.seen(EventKind::Timer, "t");
        // The same on a run after a crash.
        clock.advance(LEASE_MS);
        let run = begin(&journal, "k");
        assert_eq!(clock.patiently(recorded(&run, "a", Phase::Do)).await.outcome, Outcome::Success);
        assert_eq!(clock.patiently(recorded(&run, "b", Phase::Do)).await, recording);
        assert_eq!(clock.patiently(run.sleep("t", 10)).await, Ok(slept));
        run.seen(EventKind::Timer, "t");
        execute(&run, "a", Phase::Undo).await;
        assert_eq!(journal.status("k").unwrap().status, Status::Compensating);
        settle(&run, "a", Phase::Undo, success()).await;
        run.finish(true, b"failed").await.unwrap();
        assert!(matches!(other.cancel("k", "late"), Err(SagaError::Conflict(_))));
        let view = other.status("k").unwrap();
        assert_eq!((view.status, view.error.as_deref()), (Status::Compensated, Some("cancelled: changed my mind")));
        let steps: Vec<_> = view.steps.iter().map(|step| (&*step.name, step.phase, step.status)).collect();
        assert_eq!(
            steps,
            [("a", Phase::Do, "completed"), ("b", Phase::Do, "unknown"), ("a", Phase::Undo, "compensated")]
        );
    });
}

#[test]
fn a_cancelled_saga_that_waits_is_due() {
    let (_file, journal, _clock) = fresh();
    block_on(async {
        let run = begin(&journal, "k");
        assert_eq!(run.sleep("t", HOUR_MS).await, Err(SagaError::LeaseLost));
        journal.cancel("k", "no more").unwrap();
        assert_eq!(due(&journal), ["k"]);
        let run = begin(&journal, "k");
        assert!(run.sleep("t", HOUR_MS).await.unwrap().cancelled);
    });
}

#[test]
fn a_deadline_cancels_and_is_set_once() {
    let (_file, journal, clock) = fresh();
    block_on(async {
        let run = begin(&journal, "k");
        run.set_deadline(60_000).unwrap();
        assert_eq!(run.sleep("t", HOUR_MS).await, Err(SagaError::LeaseLost));
        clock.advance(59_999);
        assert_eq!(due(&journal), Vec::<String>::new());
        clock.advance(1);
        assert_eq!(due(&journal), ["k"]);
        let run = begin(&journal, "k");
        run.set_deadline(60_000).unwrap();
        let recording = run.sleep("t", HOUR_MS).await.unwrap();
        assert_eq!((recording.cancelled, &*recording.payload), (true, &b"the saga's deadline has passed"[..]));
        run.seen(EventKind::Timer, "t");
        // Compensations are shielded from it.
        execute(&run, "a", Phase::Undo).await;
    });
}

#[test]
fn a_wait_beside_a_running_attempt_does_not_end_the_run() {
    let (_file, journal, clock) = fresh();
    block_on(async {
        let run = begin(&journal, "k");
        execute(&run, "a", Phase::Do).await;
        run.sleep("t", HOUR_MS).await.unwrap();
        run.seen(EventKind::Timer, "t");
        settle(&run, "a", Phase::Do, success()).await;
        run.finish(false, b"").await.unwrap();
    });
    assert_eq!(clock.now_ms(), START_MS + HOUR_MS);
}
