//! One saga from its beginning to its end: records, flushes, outcomes, limits, views.

use futures::executor::block_on;

use weft_core::disk::{Disk as _, SimulatedDisk};

use crate::testing::*;
use crate::*;

#[test]
fn a_saga_of_five_steps_has_seven_records_and_six_flushes() {
    let (sagas, disk, _) = fresh();
    let before = disk.counts();
    block_on(async {
        let run = begin(&sagas, "k").await;
        for name in ["check", "reserve", "charge", "create", "notify"] {
            step(&run, name).await;
        }
        run.finish(false, b"done".to_vec()).await.unwrap();
    });
    assert_eq!(sagas.log_stats().records, 7);
    assert_eq!(disk.counts().syncs - before.syncs, 6);
    disk.crash(0);
    drop(sagas);
    let (sagas, found) = open(&disk, skipping_clock());
    assert_eq!((found.unfinished, found.orphans), (0, 0));
    assert_eq!(block_on(sagas.wait("k")), Ok(b"done".to_vec()));
    let view = sagas.show("k").unwrap();
    assert_eq!((view.status, view.steps.len(), view.steps[0].status), (Status::Completed, 5, "completed"));
    assert_eq!(sagas.counts(), Counts { completed: 1, ..Counts::default() });
}

#[test]
fn a_known_key_answers_what_it_answered_and_belongs_to_its_input() {
    let (sagas, ..) = fresh();
    block_on(async {
        let run = begin(&sagas, "k").await;
        let again = |function: &'static str, input: &'static [u8]| {
            let sagas = sagas.clone();
            async move { sagas.begin(&starter(), function, "k", input).await }
        };
        assert!(matches!(again("enroll", b"{}").await, Ok(Begun::Busy)));
        assert_eq!(again("enroll", b"other").await.unwrap_err(), SagaError::KeyReused);
        assert_eq!(again("cancel", b"{}").await.unwrap_err(), SagaError::KeyReused);
        run.finish(true, b"no".to_vec()).await.unwrap();
        assert!(matches!(again("enroll", b"{}").await, Ok(Begun::Finished(answer)) if answer == b"no"));
        assert_eq!(run.finish(false, Vec::new()).await, Err(SagaError::LeaseLost));
        assert_eq!(run.enter("late", Phase::Do, options()).await, Err(SagaError::LeaseLost));
        assert_eq!(sagas.load("enrolling", "k").unwrap(), ("enroll".to_owned(), b"{}".to_vec()));
        assert_eq!(sagas.load("another", "k"), Err(SagaError::NotFound));
        let other = Starter { component: "another".into(), ..starter() };
        assert_eq!(sagas.begin(&other, "enroll", "k", b"{}").await.unwrap_err(), SagaError::KeyReused);
    });
    assert_eq!(sagas.show("k").unwrap().status, Status::Compensated);
}

/// What a step comes to by what its attempts came to.
#[test]
fn outcomes_follow_from_all_attempts() {
    let error = || AttemptResult::Error(b"full".to_vec());
    let cases = [
        (vec![success()], Outcome::Success),
        (vec![error()], Outcome::Error),
        (vec![failed(false), error()], Outcome::Error),
        (vec![failed(true), error()], Outcome::Unknown),
        (vec![failed(true), success()], Outcome::Success),
        (vec![failed(false), failed(false), failed(false)], Outcome::Error),
        (vec![failed(false), failed(true), failed(false)], Outcome::Unknown),
    ];
    for (number, (attempts, expected)) in cases.into_iter().enumerate() {
        let (sagas, disk, clock) = fresh();
        block_on(async {
            let run = begin(&sagas, "k").await;
            let (last, again) = attempts.split_last().unwrap();
            for (index, result) in again.iter().enumerate() {
                assert_eq!(execute(&run, "s", Phase::Do).await, index as u32 + 1);
                assert_eq!(run.leave("s", Phase::Do, result.clone()).await, Ok(Left::Again));
            }
            execute(&run, "s", Phase::Do).await;
            assert_eq!(settle(&run, "s", Phase::Do, last.clone()).await.outcome, expected, "case {number}");
            // Everything but a lone success is on disk by now.
            disk.crash(0);
            drop(run);
        });
        drop(sagas);
        let (sagas, _) = open(&disk, clock);
        let run = block_on(begin(&sagas, "k"));
        if expected != Outcome::Success {
            assert_eq!(block_on(recorded(&run, "s", Phase::Do)).outcome, expected, "case {number}");
        }
    }
}

#[test]
fn a_definite_error_after_an_attempt_that_was_cut_short_is_unknown() {
    let error = || AttemptResult::Error(b"full".to_vec());
    for crash in [false, true] {
        let (mut sagas, disk, clock) = fresh();
        let run = block_on(begin(&sagas, "k"));
        block_on(execute(&run, "a", Phase::Do));
        block_on(execute(&run, "b", Phase::Do));
        drop(run);
        if crash {
            drop(sagas);
            disk.crash(0);
            sagas = open(&disk, clock).0;
        }
        block_on(async {
            let run = begin(&sagas, "k").await;
            let branch = async |name: &'static str| {
                let first = execute(&run, name, Phase::Do).await;
                assert_eq!(first, 1, "an attempt cut short uses nothing of the budget");
                assert_eq!(run.leave(name, Phase::Do, failed(false)).await, Ok(Left::Again));
                execute(&run, name, Phase::Do).await;
                settle(&run, name, Phase::Do, error()).await.outcome
            };
            // All that was open counts, also what is left after the first new record.
            let outcomes = futures::future::join(branch("a"), branch("b")).await;
            assert_eq!(outcomes, (Outcome::Unknown, Outcome::Unknown));
            execute(&run, "c", Phase::Do).await;
            assert_eq!(settle(&run, "c", Phase::Do, error()).await.outcome, Outcome::Error, "it first ran now");
        });
    }
}

#[test]
fn a_run_that_ends_for_a_long_wait_cuts_nothing_short() {
    let (sagas, ..) = fresh();
    block_on(async {
        let run = begin(&sagas, "k").await;
        execute(&run, "s", Phase::Do).await;
        let later = AttemptResult::Failed { maybe_ran: false, retry_after_ms: Some(10_000), payload: Vec::new() };
        assert_eq!(run.leave("s", Phase::Do, later).await, Ok(Left::Again));
        assert_eq!(run.enter("s", Phase::Do, options()).await, Err(SagaError::LeaseLost));
        drop(run);
        sagas.clock().sleep(std::time::Duration::from_secs(10)).await;
        let run = begin(&sagas, "k").await;
        assert_eq!(execute(&run, "s", Phase::Do).await, 2);
        let settled = settle(&run, "s", Phase::Do, AttemptResult::Error(Vec::new())).await;
        assert_eq!(settled.outcome, Outcome::Error);
    });
}

#[test]
fn an_attempt_after_a_long_wait_that_a_crash_cut_short_may_have_run() {
    let (sagas, disk, clock) = fresh();
    let later = AttemptResult::Failed { maybe_ran: false, retry_after_ms: Some(10_000), payload: Vec::new() };
    block_on(async {
        let run = begin(&sagas, "k").await;
        execute(&run, "s", Phase::Do).await;
        assert_eq!(run.leave("s", Phase::Do, later).await, Ok(Left::Again));
        assert_eq!(run.enter("s", Phase::Do, options()).await, Err(SagaError::LeaseLost));
        drop(run);
        clock.advance(std::time::Duration::from_secs(10));
        let run = begin(&sagas, "k").await;
        assert_eq!(execute(&run, "s", Phase::Do).await, 2);
    });
    disk.crash(usize::MAX);
    drop(sagas);
    let (sagas, _) = open(&disk, clock);
    block_on(async {
        let run = begin(&sagas, "k").await;
        assert_eq!(execute(&run, "s", Phase::Do).await, 2);
        let settled = settle(&run, "s", Phase::Do, AttemptResult::Error(Vec::new())).await;
        assert_eq!(settled.outcome, Outcome::Unknown);
    });
}

#[test]
fn an_effect_starts_only_when_all_before_it_is_on_disk() {
    let (sagas, disk, _) = fresh();
    let segment = std::path::Path::new(DIR).join("0000000000000000.log");
    block_on(async {
        let run = begin(&sagas, "k").await;
        assert_eq!(disk.unflushed_bytes(&segment), 0);
        let before = disk.counts();
        step(&run, "a").await;
        assert_eq!(disk.counts(), before, "a lone success waits for the next flush");
        execute(&run, "b", Phase::Do).await;
        assert_eq!(disk.counts().syncs, before.syncs + 1);
        assert_eq!(disk.unflushed_bytes(&segment), 0);
    });
    disk.crash(0);
    drop(sagas);
    let (sagas, found) = open(&disk, skipping_clock());
    assert_eq!(found.unfinished, 1);
    let run = block_on(begin(&sagas, "k"));
    assert_eq!(block_on(recorded(&run, "a", Phase::Do)).payload, b"1");
    assert_eq!(block_on(execute(&run, "b", Phase::Do)), 1, "an attempt cut short uses nothing of the budget");
}

#[test]
fn compensations_show_in_the_status_and_a_failed_one_needs_attention() {
    let (sagas, ..) = fresh();
    block_on(async {
        let run = begin(&sagas, "k").await;
        step(&run, "reserve").await;
        step(&run, "pay").await;
        assert_eq!(sagas.show("k").unwrap().status, Status::Running);
        execute(&run, "pay", Phase::Undo).await;
        assert_eq!(sagas.show("k").unwrap().status, Status::Compensating);
        settle(&run, "pay", Phase::Undo, AttemptResult::Error(b"gone".to_vec())).await;
        execute(&run, "reserve", Phase::Undo).await;
        settle(&run, "reserve", Phase::Undo, success()).await;
        run.finish(true, b"no".to_vec()).await.unwrap();
    });
    let view = sagas.show("k").unwrap();
    assert_eq!(view.status, Status::NeedsAttention);
    assert_eq!(view.error.as_deref(), Some("the compensation of step pay#1 did not succeed"));
    assert_eq!(view.result.as_deref(), Some(&b"no"[..]));
    let statuses: Vec<_> = view.steps.iter().map(|step| (&*step.name, step.phase, step.status)).collect();
    let (on, off) = (Phase::Do, Phase::Undo);
    let expected = [("reserve", on, "completed"), ("pay", on, "completed"), ("pay", off, "failed")];
    assert_eq!(statuses[..3], expected);
    assert_eq!(statuses[3], ("reserve", off, "compensated"));
    assert_eq!(view.steps[2].error.as_deref(), Some("gone"));
}

#[test]
fn limits_are_told() {
    let (sagas, ..) = fresh();
    let too_large =
        |result: Result<(), SagaError>| assert!(matches!(result, Err(SagaError::TooLarge(_))), "{result:?}");
    block_on(async {
        let big = vec![0; MAX_PAYLOAD_BYTES + 1];
        let long = "k".repeat(MAX_KEY_BYTES + 1);
        too_large(sagas.begin(&starter(), "f", &long, b"").await.map(drop));
        too_large(sagas.begin(&starter(), "f", "", b"").await.map(drop));
        too_large(sagas.begin(&starter(), "f", "k", &big).await.map(drop));
        let run = begin(&sagas, "k").await;
        too_large(run.enter(&"n".repeat(MAX_NAME_BYTES + 1), Phase::Do, options()).await.map(drop));
        too_large(run.enter("", Phase::Do, options()).await.map(drop));
        execute(&run, "s", Phase::Do).await;
        too_large(run.leave("s", Phase::Do, AttemptResult::Success(big.clone())).await.map(drop));
        too_large(run.finish(false, big).await);
        assert!(matches!(run.enter("s", Phase::Do, options()).await, Err(SagaError::Mismatch(_))));
        assert!(matches!(run.leave("t", Phase::Do, success()).await, Err(SagaError::Mismatch(_))));
        settle(&run, "s", Phase::Do, success()).await;
        for _ in 1..MAX_SAGA_RECORDS {
            step(&run, "s").await;
        }
        execute(&run, "s", Phase::Do).await;
        too_large(run.leave("s", Phase::Do, success()).await.map(drop));
        run.finish(false, Vec::new()).await.unwrap();
    });
}

#[test]
fn lists_go_page_by_page_newest_first() {
    let (sagas, ..) = fresh();
    for number in 0..5 {
        let run = block_on(begin(&sagas, &format!("k{number}")));
        if number % 2 == 0 {
            block_on(run.finish(false, Vec::new())).unwrap();
        } else {
            // Stays unfinished.
            drop(run);
        }
    }
    let keys = |page: &SagaPage| page.items.iter().map(|saga| saga.key.to_string()).collect::<Vec<_>>();
    let first = sagas.list(&SagaFilter::default(), 3, None);
    assert_eq!(keys(&first), ["k4", "k3", "k2"]);
    let second = sagas.list(&SagaFilter::default(), 3, first.next_cursor);
    assert_eq!((keys(&second), second.next_cursor), (vec!["k1".to_owned(), "k0".to_owned()], None));
    let completed =
        SagaFilter { status: Some(Status::Completed), name: Some("enrolling".to_owned()), ..SagaFilter::default() };
    let page = sagas.list(&completed, 3, None);
    assert_eq!((keys(&page).len(), page.next_cursor), (3, None));
    let nobody = SagaFilter { name: Some("nobody".to_owned()), ..SagaFilter::default() };
    assert!(sagas.list(&nobody, 3, None).items.is_empty());
    assert_eq!(sagas.needed_digests().len(), 1);
}

#[test]
fn ended_sagas_are_forgotten_after_their_retention() {
    let (sagas, disk, clock) = fresh();
    block_on(async {
        for number in 0..300 {
            let run = begin(&sagas, &format!("old{number}")).await;
            step(&run, "s").await;
            run.finish(false, vec![7; 100]).await.unwrap();
        }
        let run = begin(&sagas, "unfinished").await;
        step(&run, "s").await;
    });
    drop(sagas);
    let segments = |disk: &SimulatedDisk| disk.list(std::path::Path::new(DIR)).unwrap().len();
    let before = segments(&disk);
    clock.advance(std::time::Duration::from_secs(31 * 24 * 3600));
    let (sagas, found) = open(&disk, clock);
    assert_eq!((found.unfinished, found.orphans), (1, 0));
    assert_eq!(block_on(sagas.wait("old0")), Err(SagaError::NotFound));
    assert_eq!(sagas.show("unfinished").unwrap().steps.len(), 1);
    assert!(segments(&disk) < before, "{before}");
}

#[test]
fn a_failed_flush_begins_no_saga_and_says_why() {
    let (sagas, disk, _) = fresh();
    disk.fail_syncs(1);
    let error = block_on(sagas.begin(&starter(), "f", "k", b"")).unwrap_err();
    assert!(matches!(&error, SagaError::Unavailable(text) if text.contains("cannot flush")), "{error}");
    assert!(sagas.stopped().is_some());
    assert!(block_on(sagas.begin(&starter(), "f", "k2", b"")).is_err());
}
