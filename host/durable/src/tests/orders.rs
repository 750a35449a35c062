//! What is asked of sagas from outside: orders of a person, signals; other code; and what a damaged record does.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex};

use futures::executor::block_on;
use futures::future::{BoxFuture, FutureExt, join_all};
use weft_core::clock::ManualClock;
use weft_core::disk::SimulatedDisk;
use weft_core::{Clock, Failure};

use crate::testing::*;
use crate::*;

fn by() -> By {
    By { actor: "ann".to_owned(), reason: "the bank says so".to_owned() }
}

/// Steps a and b, a definite error, and compensations: that of a fails if it is told to. Answers what ran.
async fn pays(sagas: &Sagas, undo_of_a: AttemptResult) -> Vec<String> {
    let run = begin(sagas, "k").await;
    let mut ran = Vec::new();
    for (name, phase) in [("a", Phase::Do), ("b", Phase::Do), ("b", Phase::Undo), ("a", Phase::Undo)] {
        match run.enter(name, phase, retrying(1)).await.unwrap() {
            Entered::Recorded(_) => run.seen(phase.into(), name),
            Entered::Execute(execution) => {
                ran.push(format!("{name} {phase:?} {}", execution.attempt));
                let is_undo_of_a = (name, phase) == ("a", Phase::Undo);
                let result = if is_undo_of_a { undo_of_a.clone() } else { success() };
                settle(&run, name, phase, result).await;
            }
        }
    }
    run.finish(true, b"no".to_vec()).await.unwrap();
    ran
}

fn status(sagas: &Sagas) -> Status {
    sagas.show("k").unwrap().status
}

#[test]
fn a_failed_compensation_is_tried_again_alone() {
    let (sagas, disk, clock) = fresh();
    block_on(async {
        assert_eq!(pays(&sagas, failed(true)).await.len(), 4);
        assert_eq!(status(&sagas), Status::NeedsAttention);
        sagas.resolve("k", &Resolution::Retry, &by()).await.unwrap();
        assert_eq!(status(&sagas), Status::Compensating);
    });
    drop(sagas);
    disk.crash(0);
    let (sagas, found) = open(&disk, clock);
    assert_eq!(found.unfinished, 1);
    block_on(async {
        assert_eq!(pays(&sagas, success()).await, ["a Undo 1"]);
        assert_eq!(status(&sagas), Status::Compensated);
        let refused = sagas.resolve("k", &Resolution::Retry, &by()).await;
        assert!(matches!(refused, Err(SagaError::Conflict(text)) if text.contains("compensated")));
    });
    let orders = sagas.show("k").unwrap().orders;
    assert_eq!((orders.len(), orders[0].order, &*orders[0].actor), (1, "retry", "ann"));
    assert_eq!(orders[0].reason, "the bank says so");
}

#[test]
fn a_compensation_that_was_done_by_hand_is_skipped() {
    let (sagas, disk, clock) = fresh();
    block_on(async {
        pays(&sagas, failed(true)).await;
        let not_failed = sagas.resolve("k", &Resolution::Skip("b".to_owned()), &by()).await;
        assert!(matches!(not_failed, Err(SagaError::Conflict(text)) if text.contains("b#1 has not failed")));
        sagas.resolve("k", &Resolution::Skip("a#1".to_owned()), &by()).await.unwrap();
    });
    drop(sagas);
    disk.crash(0);
    let (sagas, found) = open(&disk, clock);
    assert_eq!((found.unfinished, status(&sagas)), (0, Status::Compensated));
    assert_eq!(block_on(sagas.wait("k")), Ok(b"no".to_vec()));
}

#[test]
fn an_abandoned_saga_stays_as_it_is_and_its_parent_goes_on() {
    let (sagas, ..) = fresh();
    block_on(async {
        pays(&sagas, failed(true)).await;
        let parent = begin(&sagas, "parent").await;
        assert_eq!(parent.child("c", "k").await, Err(SagaError::LeaseLost));
        drop(parent);
        sagas.resolve("k", &Resolution::Abandon, &by()).await.unwrap();
        assert_eq!(status(&sagas), Status::NeedsAttention);
        let parent = begin(&sagas, "parent").await;
        assert_eq!(parent.child("c", "k").await.unwrap().payload, b"no");
    });
}

#[test]
fn from_a_step_on_everything_runs_again() {
    let (sagas, disk, clock) = fresh();
    let runs = async |sagas: &Sagas, expected: &[&str]| {
        let run = begin(sagas, "k").await;
        let mut ran = Vec::new();
        for name in ["a", "b", "c"] {
            match run.enter(name, Phase::Do, options()).await.unwrap() {
                Entered::Recorded(_) => run.seen(EventKind::Do, name),
                Entered::Execute(_) => {
                    ran.push(name);
                    settle(&run, name, Phase::Do, success()).await;
                }
            }
        }
        run.finish(false, b"done".to_vec()).await.unwrap();
        assert_eq!(ran, expected);
    };
    block_on(async {
        runs(&sagas, &["a", "b", "c"]).await;
        let unknown = sagas.retry("k", Some("d"), &by()).await;
        assert!(matches!(unknown, Err(SagaError::Conflict(text)) if text.contains("no step d#1")));
        sagas.retry("k", Some("b"), &by()).await.unwrap();
        assert_eq!(status(&sagas), Status::Running);
    });
    drop(sagas);
    disk.crash(0);
    let (sagas, found) = open(&disk, clock);
    assert_eq!(found.unfinished, 1);
    block_on(runs(&sagas, &["b", "c"]));
    assert_eq!(status(&sagas), Status::Completed);
    assert_eq!(sagas.show("k").unwrap().orders[0].about.as_deref(), Some("b#1"));
}

/// Code of any digest, which asks for the step `asks`.
struct Code {
    sagas: Sagas,
    asks: &'static str,
}

impl Resume for Code {
    fn resume(&self, _: &str, digest: &str, key: &str) -> BoxFuture<'static, Result<(), Failure>> {
        let (sagas, asks, digest, key) = (self.sagas.clone(), self.asks, Arc::from(digest), key.to_owned());
        async move {
            let starter = Starter { digest, ..starter() };
            let Ok(Begun::Run(run)) = sagas.begin(&starter, "enroll", &key, b"{}").await else { return Ok(()) };
            if run.enter(asks, Phase::Do, options()).await.is_ok() {
                run.seen(EventKind::Do, asks);
                // All that is recorded has been seen: this asks for more, and nothing runs.
                assert!(run.enter("more", Phase::Do, options()).await.is_err());
            }
            Ok(())
        }
        .boxed()
    }
}

#[test]
fn a_saga_moves_to_code_that_fits_and_to_no_other() {
    let (sagas, ..) = fresh();
    block_on(async {
        step(&*begin(&sagas, "k").await, "pay").await;
        let records = sagas.log_stats().records;
        let fits = Code { sagas: sagas.clone(), asks: "pay" };
        let fits_not = Code { sagas: sagas.clone(), asks: "charge" };
        sagas.migrate("k", "d2", true, &by(), &fits).await.unwrap();
        let refused = sagas.migrate("k", "d2", false, &by(), &fits_not).await;
        let Err(SagaError::Mismatch(text)) = refused else { panic!("{refused:?}") };
        assert!(text.contains("step pay#1 is recorded next") && text.contains("asks for step charge#1"), "{text}");
        assert_eq!(sagas.log_stats().records, records, "nothing is recorded by trying");
        let view = sagas.show("k").unwrap();
        assert_eq!((view.status, &*view.digest), (Status::Running, "d1"));
        sagas.migrate("k", "d2", false, &by(), &fits).await.unwrap();
        assert_eq!(sagas.show("k").unwrap().digest, "d2");
        let old = sagas.begin(&starter(), "enroll", "k", b"{}").await;
        assert!(matches!(old, Ok(Begun::Busy)), "the old code does not go on with it");
    });
}

#[test]
fn a_signal_of_the_same_id_is_taken_once() {
    let (sagas, disk, clock) = fresh();
    let send = |sagas: &Sagas, name: &str, id: &str, payload: &[u8]| {
        block_on(sagas.signal("k", name, id, payload.to_vec())).unwrap();
    };
    drop(block_on(begin(&sagas, "k")));
    send(&sagas, "go", "1", b"first");
    send(&sagas, "go", "1", b"again");
    send(&sagas, "stop", "1", b"of another name");
    drop(sagas);
    disk.crash(0);
    let (sagas, _) = open(&disk, clock);
    send(&sagas, "go", "1", b"after a crash");
    send(&sagas, "go", "2", b"second");
    send(&sagas, "go", "", b"third");
    send(&sagas, "go", "", b"third");
    block_on(async {
        let run = begin(&sagas, "k").await;
        for expected in [&b"first"[..], b"second", b"third", b"third"] {
            assert_eq!(run.signal("go", None).await.unwrap().payload, expected);
            run.seen(EventKind::Signal, "go");
        }
        assert_eq!(run.signal("go", Some(0)).await.unwrap().outcome, Outcome::Error);
        run.seen(EventKind::Signal, "go");
        // Also after it was taken.
        sagas.signal("k", "go", "2", Vec::new()).await.unwrap();
        assert_eq!(run.signal("go", Some(0)).await.unwrap().outcome, Outcome::Error);
        run.seen(EventKind::Signal, "go");
        assert_eq!(run.signal("stop", None).await.unwrap().payload, b"of another name");
        run.seen(EventKind::Signal, "stop");
        run.finish(false, Vec::new()).await.unwrap();
        assert!(matches!(sagas.signal("k", "go", "3", Vec::new()).await, Err(SagaError::Conflict(_))));
    });
}

#[test]
fn many_sagas_keep_to_one_rate() {
    let limit = Limit { rate: Some(Rate { count: 20, per_ms: 1000 }), concurrency: None };
    let limits = Limits::new(HashMap::from([("pay".to_owned(), limit)]));
    let log = crate::log::LogOptions { segment_bytes: 64 * 1024, ..crate::log::LogOptions::new("journal") };
    let options = SagaOptions { log, limits, ..SagaOptions::default() };
    let clock = Arc::new(ManualClock::at_ms(START_MS));
    let shared: Arc<dyn Clock> = Arc::clone(&clock) as _;
    let (sagas, _) = Sagas::open(Arc::new(SimulatedDisk::new()), Path::new(DIR), shared, &options).unwrap();
    let begun = Mutex::new(Vec::new());
    let pays = async |number: u32| {
        let key = format!("k{number}");
        let uses = vec![LimitUse { name: "pay".to_owned(), key: None }];
        loop {
            let run = begin(&sagas, &key).await;
            let entered = run.enter("pay", Phase::Do, StepOptions { limits: uses.clone(), ..options_of_one() }).await;
            match entered {
                Ok(_) => {
                    begun.lock().unwrap().push(clock.now_ms());
                    settle(&run, "pay", Phase::Do, success()).await;
                    return run.finish(false, Vec::new()).await.unwrap();
                }
                // Its turn is far away: the run ended, and recovery would begin another.
                Err(error) => assert_eq!(error, SagaError::LeaseLost),
            }
            drop(run);
            clock.sleep(std::time::Duration::from_millis(7)).await;
        }
    };
    let mut all = std::pin::pin!(join_all((0..100).map(pays)));
    block_on(async {
        while futures::poll!(all.as_mut()).is_pending() {
            if sagas.inner.log.is_idle() {
                clock.advance_to_next();
            }
            while !sagas.inner.log.is_idle() {
                std::thread::yield_now();
            }
        }
    });
    let begun = begun.lock().unwrap();
    assert_eq!(begun.len(), 100);
    for (index, first_ms) in begun.iter().enumerate() {
        let within = begun[index..].iter().take_while(|at_ms| **at_ms < first_ms + 1000).count();
        assert!(within <= 20, "{within} in a second");
    }
    let took_ms = begun[99] - begun[0];
    assert!(took_ms < 7000, "no faster than the rate, and not much slower: {took_ms}");
}

fn options_of_one() -> StepOptions {
    retrying(1)
}

#[test]
fn a_damaged_record_stops_its_saga_and_no_other() {
    let (sagas, disk, clock) = fresh();
    block_on(async {
        for key in ["k1", "k2", "k3"] {
            let run = begin(&sagas, key).await;
            step(&run, "a").await;
            step(&run, "b").await;
            execute(&run, "c", Phase::Do).await;
        }
    });
    let damaged = sagas.inner.find("k2").unwrap().state().records[0];
    drop(sagas);
    let segment = Path::new(DIR).join(format!("{:016x}.log", 0));
    // Beyond the frame's header.
    disk.corrupt(&segment, damaged + 24, |byte| byte ^ 0x55).unwrap();
    let (sagas, found) = open(&disk, clock);
    assert_eq!(found.log.quarantined.iter().map(|bad| bad.position).collect::<Vec<_>>(), [damaged]);
    assert_eq!((found.unfinished, found.orphans), (3, 0));
    block_on(async {
        for key in ["k1", "k3"] {
            let run = begin(&sagas, key).await;
            recorded(&run, "a", Phase::Do).await;
            recorded(&run, "b", Phase::Do).await;
            step(&run, "c").await;
            run.finish(false, Vec::new()).await.unwrap();
        }
        let run = begin(&sagas, "k2").await;
        let error = run.enter("a", Phase::Do, options()).await.unwrap_err();
        assert!(matches!(&error, SagaError::Mismatch(text) if text.contains("step b#1 is recorded next")), "{error}");
    });
    assert_eq!(sagas.show("k2").unwrap().status, Status::NeedsAttention);
    assert_eq!(sagas.counts(), Counts { completed: 2, needs_attention: 1, ..Counts::default() });
}

#[test]
fn an_order_that_is_durable_holds_for_the_step_about_to_begin() {
    for cancels in [false, true] {
        let (sagas, ..) = fresh();
        block_on(async {
            let run = begin(&sagas, "k").await;
            run.expose("state", Vec::new()).unwrap();
            sagas.inner.log.shut_gate(true);
            let mut entering = std::pin::pin!(run.enter("a", Phase::Do, options()));
            for _ in 0..5 {
                assert!(futures::poll!(entering.as_mut()).is_pending(), "what the code has set is not flushed");
            }
            let by = by();
            let order = if cancels { sagas.cancel("k", &by).boxed() } else { sagas.pause("k", &by).boxed() };
            let mut order = std::pin::pin!(order);
            assert!(futures::poll!(order.as_mut()).is_pending());
            sagas.inner.log.shut_gate(false);
            order.await.unwrap();
            match entering.await {
                Ok(Entered::Recorded(recording)) => assert!(cancels && recording.cancelled),
                Err(SagaError::LeaseLost) => assert!(!cancels),
                other => panic!("{other:?}"),
            }
        });
    }
}

#[test]
fn a_cancel_holds_also_while_the_loser_of_a_race_is_compensated() {
    let (sagas, ..) = fresh();
    block_on(async {
        let run = begin(&sagas, "k").await;
        step(&run, "winner").await;
        execute(&run, "loser", Phase::Undo).await;
        sagas.cancel("k", &by()).await.unwrap();
        settle(&run, "loser", Phase::Undo, success()).await;
        assert!(recorded(&run, "next", Phase::Do).await.cancelled);
    });
}

#[test]
fn a_signal_that_comes_as_the_run_ends_to_wait_is_not_slept_through() {
    let (sagas, ..) = fresh();
    block_on(async {
        let run = begin(&sagas, "k").await;
        let mut waiting = std::pin::pin!(run.signal("go", None));
        // It has looked, and lets branches that begin with it ask before it ends the run.
        assert!(futures::poll!(waiting.as_mut()).is_pending());
        assert!(futures::poll!(waiting.as_mut()).is_pending());
        sagas.signal("k", "go", "", b"now".to_vec()).await.unwrap();
        assert_eq!(waiting.await.unwrap().payload, b"now");
    });
}
