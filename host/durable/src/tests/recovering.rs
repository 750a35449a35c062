//! Runs that end before their saga: traps, long waits, code that does not fit, and the host's end.

use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use futures::executor::block_on;
use futures::future::{Either, FutureExt, join, select};

use weft_core::clock::ManualClock;
use weft_core::disk::SimulatedDisk;
use weft_core::{Clock, Failure, Fault, Reason};

use crate::testing::*;
use crate::*;

/// Recovers while `until` runs.
async fn recovering<T>(sagas: &Sagas, resume: impl Resume, until: impl Future<Output = T>) -> T {
    let until = std::pin::pin!(until);
    match select(std::pin::pin!(sagas.recover(Arc::new(resume))), until).await {
        Either::Left(_) => panic!("recovery ended"),
        Either::Right((value, _)) => value,
    }
}

fn seen() -> Arc<Mutex<Vec<String>>> {
    Arc::default()
}

#[test]
fn a_run_that_ends_early_is_resumed_where_it_was() {
    let (sagas, ..) = fresh();
    block_on(async {
        let run = begin(&sagas, "k").await;
        step(&run, "a").await;
        execute(&run, "b", Phase::Do).await;
        drop(run);
    });
    assert!(matches!(sagas.show("k").unwrap().status, Status::Running));
    let (again, keys) = (sagas.clone(), seen());
    let resume = move |key: String| {
        let sagas = again.clone();
        async move {
            let run = begin(&sagas, &key).await;
            recorded(&run, "a", Phase::Do).await;
            assert_eq!(execute(&run, "b", Phase::Do).await, 1);
            settle(&run, "b", Phase::Do, success()).await;
            run.finish(false, b"done".to_vec()).await.unwrap();
            Ok(())
        }
        .boxed()
    };
    let answer = block_on(recovering(&sagas, Resuming(resume, keys.clone()), sagas.wait("k")));
    assert_eq!(answer, Ok(b"done".to_vec()));
    assert_eq!(*keys.lock().unwrap(), ["k"]);
}

#[test]
fn ten_runs_without_a_record_need_attention() {
    let (sagas, _, clock) = fresh();
    drop(block_on(begin(&sagas, "k")));
    let (again, keys) = (sagas.clone(), seen());
    let resume = move |key: String| {
        let sagas = again.clone();
        async move {
            drop(begin(&sagas, &key).await);
            Err(Failure::unknown(Fault::Guest, Reason::Trapped, "unreachable executed"))
        }
        .boxed()
    };
    let answer = block_on(recovering(&sagas, Resuming(resume, keys.clone()), sagas.wait("k")));
    assert!(matches!(answer, Err(SagaError::Unavailable(_))), "{answer:?}");
    assert_eq!(keys.lock().unwrap().len(), 9, "the first run was not recovery's");
    let view = sagas.show("k").unwrap();
    assert_eq!(view.status, Status::NeedsAttention);
    let reason = view.error.unwrap();
    assert!(reason.contains("10 runs") && reason.contains("unreachable executed"), "{reason}");
    assert!(clock.now_ms() - START_MS > 10_000, "with growing delays between them");
    assert!(matches!(block_on(sagas.begin(&starter(), "enroll", "k", b"{}")), Err(SagaError::Unavailable(_))));
    // Once it is mended, it goes on.
    block_on(sagas.resolve("k", &Resolution::Retry, &By::default())).unwrap();
    let (again, keys) = (sagas.clone(), seen());
    let resume = move |key: String| {
        let sagas = again.clone();
        async move {
            begin(&sagas, &key).await.finish(false, b"mended".to_vec()).await.unwrap();
            Ok(())
        }
        .boxed()
    };
    let answer = block_on(recovering(&sagas, Resuming(resume, keys.clone()), sagas.wait("k")));
    assert_eq!(answer, Ok(b"mended".to_vec()));
}

#[test]
fn runs_that_come_further_are_not_given_up() {
    let (sagas, ..) = fresh();
    drop(block_on(begin(&sagas, "k")));
    let (again, keys) = (sagas.clone(), seen());
    let resume = move |key: String| {
        let sagas = again.clone();
        async move {
            let run = begin(&sagas, &key).await;
            let done = sagas.show(&key).unwrap().steps.len();
            for number in 0..done {
                recorded(&run, &format!("s{number}"), Phase::Do).await;
            }
            if done == 30 {
                run.finish(false, Vec::new()).await.unwrap();
                return Ok(());
            }
            step(&run, &format!("s{done}")).await;
            drop(run);
            // The saga is due before this call has ended.
            for _ in 0..10 {
                let mut polled = false;
                std::future::poll_fn(|context| {
                    context.waker().wake_by_ref();
                    if std::mem::replace(&mut polled, true) { Poll::Ready(()) } else { Poll::Pending }
                })
                .await;
            }
            Err(Failure::unknown(Fault::Guest, Reason::Trapped, "unreachable executed"))
        }
        .boxed()
    };
    let answer = block_on(recovering(&sagas, Resuming(resume, keys.clone()), sagas.wait("k")));
    assert_eq!(answer, Ok(Vec::new()));
    assert_eq!(keys.lock().unwrap().len(), 31);
}

#[test]
fn a_component_that_is_gone_needs_attention_but_an_overloaded_host_does_not_count() {
    let (sagas, ..) = fresh();
    drop(block_on(begin(&sagas, "k")));
    let calls = Arc::new(Mutex::new(0));
    let resume = move |_| {
        let mut calls = calls.lock().unwrap();
        *calls += 1;
        let reason = if *calls <= 50 { Reason::Overloaded } else { Reason::Unavailable };
        async move { Err(Failure::not_attempted(Fault::Host, reason, "no such component")) }.boxed()
    };
    let keys = seen();
    let answer = block_on(recovering(&sagas, Resuming(resume, keys.clone()), sagas.wait("k")));
    assert!(answer.unwrap_err().to_string().contains("no such component"));
    assert_eq!(keys.lock().unwrap().len(), 150);
}

#[test]
fn a_long_wait_holds_no_run_and_goes_on_when_it_is_due() {
    let (sagas, _, clock) = fresh();
    let body = |sagas: Sagas, key: String| async move {
        let run = begin(&sagas, &key).await;
        if run.sleep("cool-down", 3_600_000).await.is_err() {
            return Ok(());
        }
        run.seen(EventKind::Timer, "cool-down");
        assert_eq!(run.clock().now_ms(), START_MS + 3_600_000);
        run.finish(false, b"rested".to_vec()).await.unwrap();
        Ok(())
    };
    block_on(body(sagas.clone(), "k".to_owned())).unwrap();
    assert_eq!(clock.now_ms(), START_MS, "the wait is not waited by the run");
    assert_eq!(sagas.show("k").unwrap().status, Status::Running);
    let (again, keys) = (sagas.clone(), seen());
    let resume = move |key: String| body(again.clone(), key).boxed();
    let answer = block_on(recovering(&sagas, Resuming(resume, keys.clone()), sagas.wait("k")));
    assert_eq!(answer, Ok(b"rested".to_vec()));
    assert_eq!(keys.lock().unwrap().len(), 1);
}

#[test]
fn a_timer_keeps_its_time_over_a_crash() {
    let disk = SimulatedDisk::new();
    let clock = Arc::new(ManualClock::at_ms(START_MS));
    let (sagas, _) = open(&disk, clock.clone());
    let run = block_on(begin(&sagas, "k"));
    block_on(async {
        let mut sleeping = std::pin::pin!(run.sleep("t", 4000));
        // What begins together with it asks first.
        assert!(futures::poll!(sleeping.as_mut()).is_pending());
        assert!(futures::poll!(sleeping.as_mut()).is_pending());
        sagas.inner.log.flush(sagas.inner.log.end()).await.unwrap();
        assert_eq!(sagas.log_stats().records, 2);
    });
    disk.crash(0);
    drop((run, sagas));
    clock.advance(Duration::from_millis(1000));
    let (sagas, _) = open(&disk, clock.clone());
    let run = block_on(begin(&sagas, "k"));
    let before = clock.now_ms();
    block_on(async {
        let mut sleeping = std::pin::pin!(run.sleep("t", 4000));
        while futures::poll!(sleeping.as_mut()).is_pending() {
            clock.advance(Duration::from_millis(1));
        }
    });
    assert!(before <= START_MS + 4000 && clock.now_ms() >= START_MS + 4000);
    assert_eq!(run.clock().now_ms(), START_MS + 4000);
}

#[test]
fn code_that_does_not_fit_its_journal_is_told_and_runs_nothing() {
    for (asked, text) in [("c", "step c#1"), ("b", "step b#1")] {
        let (sagas, ..) = fresh();
        block_on(async {
            let run = begin(&sagas, "k").await;
            step(&run, "a").await;
            step(&run, "b").await;
            drop(run);
            let run = begin(&sagas, "k").await;
            let error = run.enter(asked, Phase::Do, options()).await.unwrap_err();
            let SagaError::Mismatch(message) = &error else { panic!("{error:?}") };
            assert!(message.contains("step a#1 is recorded next") && message.contains(text), "{message}");
        });
        let view = sagas.show("k").unwrap();
        assert_eq!(view.status, Status::NeedsAttention);
        assert!(view.error.unwrap().contains(text));
    }
    let (sagas, ..) = fresh();
    block_on(async {
        step(&*begin(&sagas, "k").await, "a").await;
        let error = begin(&sagas, "k").await.finish(false, Vec::new()).await.unwrap_err();
        assert!(error.to_string().contains("the code asks for the end"), "{error}");
    });
}

#[test]
fn a_saga_ends_once() {
    let clock = Arc::new(ManualClock::at_ms(START_MS));
    let (sagas, _) = open(&SimulatedDisk::new(), clock.clone());
    block_on(async {
        step(&*begin(&sagas, "k").await, "a").await;
        let run = begin(&sagas, "k").await;
        let mut both = std::pin::pin!(join(run.enter("b", Phase::Do, options()), run.enter("c", Phase::Do, options())));
        assert!(futures::poll!(both.as_mut()).is_pending());
        clock.advance(Duration::from_secs(5));
        let both = both.await;
        assert!(matches!(both, (Err(SagaError::Mismatch(_)), Err(SagaError::LeaseLost))), "{both:?}");
    });
    assert_eq!(sagas.log_stats().records, 3);
}

#[test]
fn other_code_does_not_go_on_with_a_saga() {
    let (sagas, ..) = fresh();
    drop(block_on(begin(&sagas, "k")));
    let newer = Starter { digest: "d2".into(), ..starter() };
    assert!(matches!(block_on(sagas.begin(&newer, "enroll", "k", b"{}")), Ok(Begun::Busy)));
    assert_eq!(sagas.needed_digests().into_iter().next().unwrap().1.as_ref(), "d1");
    let (again, keys) = (sagas.clone(), seen());
    let resume = move |key: String| {
        let sagas = again.clone();
        async move {
            begin(&sagas, &key).await.finish(false, Vec::new()).await.unwrap();
            Ok(())
        }
        .boxed()
    };
    block_on(recovering(&sagas, Resuming(resume, keys), sagas.wait("k"))).unwrap();
    assert!(sagas.needed_digests().is_empty());
}

#[test]
fn started_waits_for_the_beginning_and_gives_up() {
    let disk = SimulatedDisk::new();
    let clock = Arc::new(ManualClock::at_ms(START_MS));
    let (sagas, _) = open(&disk, clock.clone());
    block_on(async {
        let mut started = std::pin::pin!(sagas.started("k"));
        assert!(futures::poll!(started.as_mut()).is_pending());
        let run = begin(&sagas, "k").await;
        started.await.unwrap();
        sagas.started("k").await.unwrap();
        let mut answer = std::pin::pin!(sagas.wait_for("k", 1000));
        assert!(futures::poll!(answer.as_mut()).is_pending());
        clock.advance(Duration::from_millis(1000));
        assert_eq!(answer.await, Ok(None));
        run.finish(false, b"x".to_vec()).await.unwrap();
        assert_eq!(sagas.wait_for("k", 0).await, Ok(Some(b"x".to_vec())));
        let mut never = std::pin::pin!(sagas.started("other"));
        assert!(futures::poll!(never.as_mut()).is_pending());
        clock.advance(Duration::from_secs(60));
        assert_eq!(never.await, Err(SagaError::NotFound));
    });
}

#[test]
fn shutdown_flushes_ends_recovery_and_takes_no_more() {
    let (sagas, disk, clock) = fresh();
    let run = block_on(begin(&sagas, "k"));
    block_on(step(&run, "a"));
    let recovery = sagas.recover(Arc::new(Resuming(|_| async { Ok(()) }.boxed(), seen())));
    sagas.shutdown().unwrap();
    block_on(recovery);
    assert!(matches!(block_on(run.enter("b", Phase::Do, options())), Err(SagaError::Unavailable(_))));
    assert!(matches!(block_on(run.finish(false, Vec::new())), Err(SagaError::Unavailable(_))));
    assert!(matches!(block_on(sagas.begin(&starter(), "f", "k2", b"")), Err(SagaError::Unavailable(_))));
    disk.crash(0);
    drop((run, sagas));
    let (sagas, _) = open(&disk, clock);
    let run = block_on(begin(&sagas, "k"));
    block_on(recorded(&run, "a", Phase::Do));
}
