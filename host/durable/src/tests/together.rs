//! Branches of one saga that run together: what is replayed comes in the order of the journal.

use futures::executor::block_on;
use futures::future::{Either, join, select};

use weft_core::clock::ManualClock;
use weft_core::disk::SimulatedDisk;

use crate::testing::*;
use crate::*;

fn on_manual_clock() -> (Sagas, SimulatedDisk, std::sync::Arc<ManualClock>) {
    let (disk, clock) = (SimulatedDisk::new(), std::sync::Arc::new(ManualClock::at_ms(START_MS)));
    (open(&disk, clock.clone()).0, disk, clock)
}

/// Moves the clock on only when nothing else goes on.
async fn patiently<T>(clock: &ManualClock, future: impl Future<Output = T>) -> T {
    let mut future = std::pin::pin!(future);
    loop {
        for _ in 0..100 {
            if let std::task::Poll::Ready(value) = futures::poll!(future.as_mut()) {
                return value;
            }
            std::thread::yield_now();
        }
        clock.advance_to_next();
    }
}

#[test]
fn branches_get_their_records_in_the_order_of_the_journal() {
    let (sagas, _, clock) = on_manual_clock();
    block_on(async {
        let run = begin(&sagas, "k").await;
        execute(&run, "a", Phase::Do).await;
        execute(&run, "b", Phase::Do).await;
        settle(&run, "b", Phase::Do, success()).await;
        settle(&run, "a", Phase::Do, success()).await;
        drop(run);
        let run = begin(&sagas, "k").await;
        let branches = select(Box::pin(recorded(&run, "a", Phase::Do)), Box::pin(recorded(&run, "b", Phase::Do)));
        let Either::Right((b, a)) = patiently(&clock, branches).await else { panic!("a before b") };
        assert!(patiently(&clock, a).await.at_ms >= b.at_ms);
        run.finish(false, Vec::new()).await.unwrap();
    });
}

#[test]
fn a_branch_that_was_cut_short_runs_again_beside_one_that_is_recorded() {
    let (sagas, disk, clock) = on_manual_clock();
    block_on(async {
        let run = begin(&sagas, "k").await;
        execute(&run, "a", Phase::Do).await;
        execute(&run, "b", Phase::Do).await;
        let syncs = disk.counts().syncs;
        settle(&run, "a", Phase::Do, success()).await;
        assert_eq!(disk.counts().syncs, syncs + 1, "beside another branch a success is flushed at once");
        disk.crash(0);
    });
    drop(sagas);
    let (sagas, _) = open(&disk, clock.clone());
    block_on(async {
        let run = begin(&sagas, "k").await;
        // b asks first; it must not run before a is delivered, nor be taken for code that does not fit.
        let both = join(execute(&run, "b", Phase::Do), recorded(&run, "a", Phase::Do));
        let (attempt, a) = patiently(&clock, both).await;
        assert_eq!((attempt, a.outcome), (1, Outcome::Success));
    });
}

#[test]
fn the_loser_of_a_race_is_passed_over() {
    let (sagas, _, clock) = on_manual_clock();
    block_on(async {
        let run = begin(&sagas, "k").await;
        execute(&run, "a", Phase::Do).await;
        execute(&run, "b", Phase::Do).await;
        settle(&run, "a", Phase::Do, success()).await;
        settle(&run, "b", Phase::Do, success()).await;
        drop(run);
        let run = begin(&sagas, "k").await;
        let race = select(Box::pin(recorded(&run, "a", Phase::Do)), Box::pin(recorded(&run, "b", Phase::Do)));
        let Either::Left((_, loser)) = patiently(&clock, race).await else { panic!("b before a") };
        drop(loser);
        step(&run, "c").await;
        run.finish(false, Vec::new()).await.unwrap();
    });
}

#[test]
fn a_wait_beside_a_running_attempt_does_not_end_the_run() {
    let (sagas, _, clock) = fresh();
    block_on(async {
        let run = begin(&sagas, "k").await;
        execute(&run, "a", Phase::Do).await;
        slept(&run, "t", 3_600_000).await;
        settle(&run, "a", Phase::Do, success()).await;
        run.finish(false, Vec::new()).await.unwrap();
    });
    assert_eq!(weft_core::Clock::now_ms(&*clock), START_MS + 3_600_000);
}

#[test]
fn nothing_is_told_before_the_code_has_seen_what_was_told_before() {
    let (sagas, _disk, _clock) = on_manual_clock();
    block_on(async {
        let run = begin(&sagas, "k").await;
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
fn a_branch_that_is_dropped_while_its_record_is_flushed_holds_nobody_up() {
    let (sagas, _disk, _clock) = on_manual_clock();
    block_on(async {
        let run = begin(&sagas, "k").await;
        execute(&run, "a", Phase::Do).await;
        execute(&run, "b", Phase::Do).await;
        sagas.inner.log.shut_gate(true);
        {
            let mut loser = std::pin::pin!(run.leave("b", Phase::Do, AttemptResult::Error(Vec::new())));
            assert!(futures::poll!(loser.as_mut()).is_pending());
        }
        run.seen(EventKind::Do, "b");
        sagas.inner.log.shut_gate(false);
        settle(&run, "a", Phase::Do, success()).await;
    });
}

#[test]
fn branches_that_begin_together_have_all_asked_before_one_ends() {
    let (sagas, ..) = fresh();
    block_on(async {
        let run = begin(&sagas, "k").await;
        let asked = std::cell::Cell::new(false);
        let loser = async {
            asked.set(true);
            run.enter("b", Phase::Do, options()).await
        };
        let Either::Left(_) = select(Box::pin(step(&run, "a")), Box::pin(loser)).await else { panic!("b before a") };
        assert!(asked.get(), "on the first run as on every other");
    });
}
