//! A saga from its beginning to its end, seen from inside and outside.

use futures::executor::block_on;

use crate::testing::*;
use crate::*;

#[test]
fn a_saga_runs_once_and_answers_again_and_again() {
    let (file, journal, clock) = fresh();
    block_on(async {
        let run = begin(&journal, "k");
        assert_eq!((run.generation(), run.input()), (0, &b"{}"[..]));
        assert_eq!(
            run.enter("a", Phase::Do, options()).await.unwrap(),
            Entered::Execute(Execution { attempt: 1, key: "k/a#1".to_owned() })
        );
        settle(&run, "a", Phase::Do, success()).await;
        step(&run, "a").await;
        run.finish(false, b"done").await.unwrap();
        assert_eq!(run.finish(false, b"again").await, Err(SagaError::LeaseLost));
    });
    let other = file.journal(clock);
    for journal in [journal, other] {
        let again = journal.begin("enrolling", "enroll", "k", b"{}").unwrap();
        assert!(matches!(again, Begun::Finished(answer) if answer == b"done"));
        assert_eq!(block_on(journal.wait("k")), Ok(b"done".to_vec()));
        assert_eq!(block_on(journal.wait_for("k", 0)), Ok(Some(b"done".to_vec())));
        assert_eq!(journal.due_components(), Ok(vec![]));
        let view = journal.status("k").unwrap();
        assert_eq!((view.status, view.result, view.error), (Status::Completed, Some(b"done".to_vec()), None));
        assert_eq!(
            view.steps.iter().map(|step| (&*step.name, step.status)).collect::<Vec<_>>(),
            [("a", "completed"); 2]
        );
        assert_eq!(journal.load("k"), Ok(("enroll".to_owned(), b"{}".to_vec())));
    }
}

#[test]
fn a_key_belongs_to_one_function_and_one_input() {
    let (_file, journal, _) = fresh();
    begin(&journal, "k");
    for (function, input) in [("enroll", &b"[]"[..]), ("other", b"{}")] {
        assert!(matches!(journal.begin("enrolling", function, "k", input), Err(SagaError::KeyReused)));
    }
    assert!(matches!(journal.begin("enrolling", "enroll", "", b""), Err(SagaError::TooLarge(_))));
    assert!(matches!(journal.begin("enrolling", "enroll", &"k".repeat(257), b""), Err(SagaError::TooLarge(_))));
    let much = vec![0; MAX_PAYLOAD_BYTES + 1];
    assert!(matches!(journal.begin("enrolling", "enroll", "l", &much), Err(SagaError::TooLarge(_))));
    assert_eq!(journal.load("l"), Err(SagaError::NotFound));
}

#[test]
fn what_is_recorded_does_not_run_again_and_its_time_is_the_codes_time() {
    let (_file, journal, clock) = fresh();
    let first = block_on(async {
        let run = begin(&journal, "k");
        assert_eq!(run.now_ms(), START_MS);
        clock.advance(700);
        execute(&run, "a", Phase::Do).await;
        clock.advance(50);
        assert_eq!(run.now_ms(), START_MS);
        let recording = settle(&run, "a", Phase::Do, success()).await;
        assert_eq!((run.now_ms(), recording.at_ms), (START_MS + 750, START_MS + 750));
        recording
    });
    clock.advance(LEASE_MS);
    block_on(async {
        let run = begin(&journal, "k");
        assert_eq!(run.now_ms(), START_MS);
        assert_eq!(recorded(&run, "a", Phase::Do).await, first);
        assert_eq!(run.now_ms(), START_MS + 750);
        run.finish(false, b"done").await.unwrap();
    });
}

#[test]
fn attempts_are_counted_and_an_error_after_one_that_may_have_run_is_unknown() {
    let (_file, journal, _) = fresh();
    block_on(async {
        let run = begin(&journal, "k");
        assert_eq!(execute(&run, "a", Phase::Do).await, 1);
        assert_eq!(run.leave("a", Phase::Do, failed(true)).await, Ok(Left::Again));
        assert_eq!(journal.status("k").unwrap().steps[0].status, "retrying");
        assert_eq!(execute(&run, "a", Phase::Do).await, 2);
        assert_eq!(journal.status("k").unwrap().steps[0].status, "running");
        let recording = settle(&run, "a", Phase::Do, AttemptResult::Error(b"full".to_vec())).await;
        assert_eq!((recording.outcome, &*recording.payload), (Outcome::Unknown, &b"full"[..]));
        for attempt in 1..=3 {
            assert_eq!(execute(&run, "a", Phase::Undo).await, attempt);
            let left = run.leave("a", Phase::Undo, failed(false)).await.unwrap();
            assert_eq!(matches!(left, Left::Again), attempt < 3);
        }
        run.seen(EventKind::Undo, "a");
        run.finish(true, b"failed").await.unwrap();
    });
    let view = journal.status("k").unwrap();
    assert_eq!(view.status, Status::NeedsAttention);
    assert_eq!(view.error.as_deref(), Some("the compensation of step a#1 did not succeed"));
    assert_eq!(block_on(journal.wait("k")), Ok(b"failed".to_vec()));
}

#[test]
fn code_that_does_not_fit_its_journal_is_stopped_and_a_person_has_to_look_at_it() {
    let (_file, journal, clock) = fresh();
    block_on(async {
        let run = begin(&journal, "k");
        step(&run, "a").await;
        clock.advance(LEASE_MS);
        let run = begin(&journal, "k");
        let Err(SagaError::Mismatch(text)) = run.enter("b", Phase::Do, options()).await else { panic!("it fits") };
        assert!(text.contains("step a#1 is recorded next, the code asks for step b#1"), "{text}");
        assert!(matches!(run.enter("a", Phase::Do, options()).await, Err(SagaError::LeaseLost)));
        let mismatch = SagaError::Unavailable(format!("saga k needs attention: {text}"));
        assert_eq!(journal.wait("k").await, Err(mismatch));
    });
    block_on(async {
        let run = begin(&journal, "l");
        execute(&run, "a", Phase::Do).await;
        assert!(matches!(run.enter("a", Phase::Do, options()).await, Err(SagaError::Mismatch(_))));
        assert!(matches!(run.leave("b", Phase::Do, success()).await, Err(SagaError::Mismatch(_))));
    });
}

#[test]
fn what_the_code_has_set_is_set_once_and_seen_from_outside() {
    let (_file, journal, clock) = fresh();
    let pair = |value: &str| vec![("student".to_owned(), value.to_owned())];
    block_on(async {
        let run = begin(&journal, "k");
        run.expose("state", b"1").unwrap();
        run.expose("state", b"2").unwrap();
        run.set_attributes(pair("s1")).unwrap();
        run.set_attributes(pair("s2")).unwrap();
    });
    assert_eq!(journal.query("k", "state"), Ok(Some(b"2".to_vec())));
    assert_eq!(journal.query("k", "other"), Ok(None));
    assert_eq!(journal.query("l", "state"), Err(SagaError::NotFound));
    clock.advance(LEASE_MS);
    let run = begin(&journal, "k");
    run.expose("state", b"1").unwrap();
    run.set_attributes(pair("s1")).unwrap();
    assert_eq!(journal.query("k", "state"), Ok(Some(b"2".to_vec())));
    assert_eq!(journal.status("k").unwrap().attributes, pair("s2"));
    let many = (0..33).map(|number| (number.to_string(), String::new())).collect();
    assert!(matches!(run.set_attributes(many), Err(SagaError::TooLarge(_))));
    assert!(matches!(run.expose("", b""), Err(SagaError::TooLarge(_))));
}

#[test]
fn a_new_generation_begins_with_an_empty_journal_under_the_same_key() {
    let (_file, journal, _) = fresh();
    block_on(async {
        let run = begin(&journal, "k");
        step(&run, "a").await;
        journal.signal("k", "s", "1", b"one").unwrap();
        journal.signal("k", "s", "2", b"two").unwrap();
        assert_eq!(run.signal("s", None).await.unwrap().payload, b"one");
        run.seen(EventKind::Signal, "s");
        run.continue_as_new(b"next").await.unwrap();
        assert!(matches!(run.enter("a", Phase::Do, options()).await, Err(SagaError::LeaseLost)));
        assert_eq!(journal.due_sagas("enrolling", 9), Ok(vec!["k".to_owned()]));
        let run = begin(&journal, "k");
        assert_eq!((run.generation(), run.input()), (1, &b"next"[..]));
        let entered = run.enter("a", Phase::Do, options()).await.unwrap();
        assert_eq!(entered, Entered::Execute(Execution { attempt: 1, key: "k~1/a#1".to_owned() }));
        settle(&run, "a", Phase::Do, success()).await;
        // The first is known, and the second still waits.
        journal.signal("k", "s", "1", b"one").unwrap();
        assert_eq!(run.signal("s", None).await.unwrap().payload, b"two");
        run.seen(EventKind::Signal, "s");
        assert_eq!(run.signal("s", Some(10)).await.unwrap().outcome, Outcome::Error);
    });
}

#[test]
fn sagas_that_ended_long_ago_are_forgotten_but_for_those_that_need_attention() {
    let (_file, journal, clock) = fresh();
    block_on(async {
        begin(&journal, "done").finish(false, b"1").await.unwrap();
        let run = begin(&journal, "broken");
        step(&run, "a").await;
        clock.advance(LEASE_MS);
        assert!(begin(&journal, "broken").finish(false, b"").await.is_err());
    });
    clock.advance(RETENTION_MS - 60_000);
    assert_eq!(journal.due_sagas("enrolling", 9), Ok(vec![]));
    assert!(journal.status("done").is_ok());
    clock.advance(60_000);
    journal.due_sagas("enrolling", 9).unwrap();
    assert_eq!(journal.status("done"), Err(SagaError::NotFound));
    assert_eq!(journal.status("broken").unwrap().status, Status::NeedsAttention);
}
