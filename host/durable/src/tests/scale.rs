//! Many sagas, long ones, and wide ones.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use futures::channel::oneshot;
use futures::executor::block_on;
use futures::future::{BoxFuture, FutureExt};
use weft_core::clock::ManualClock;
use weft_core::disk::SimulatedDisk;
use weft_core::{Clock, Failure};

use super::programs::at_most;
use crate::log::{Log, LogOptions};
use crate::record::{Entry, Started, Suspended, Timer, VERSION};
use crate::testing::*;
use crate::*;

const HOUR_MS: u64 = 3_600_000;

/// A journal with sagas that sleep for an hour, each a little longer than the one before.
fn with_sleeping(count: u64) -> SimulatedDisk {
    let disk = SimulatedDisk::new();
    let options = LogOptions { segment_bytes: 1024 * 1024, ..LogOptions::new("journal") };
    let (log, _) = Log::open(Arc::new(disk.clone()), Path::new(DIR), options, &mut |_| {}).unwrap();
    for number in 0..count {
        let key = format!("0199a1b2-c3d4-7e5f-8a6b-{number:012}");
        let started = Started {
            correlation_id: key.clone(),
            key,
            function: "education:enrollment/enrolling@1.0.0#enroll".to_owned(),
            component: "enrolling".to_owned(),
            digest: "d1".to_owned(),
            at_ms: START_MS,
            input: b"{}".to_vec(),
        };
        let append = |entry: &Entry| log.append(entry.kind(), VERSION, &entry.encode()).unwrap();
        let saga = append(&Entry::Started(started)).position;
        let fires_at_ms = START_MS + HOUR_MS + number;
        append(&Entry::TimerSet(Timer { saga, name: "cool-down".to_owned(), occurrence: 1, fires_at_ms }));
        let last = append(&Entry::Suspended(Suspended { saga, wakes_at_ms: Some(fires_at_ms) }));
        if number % 1000 == 0 {
            block_on(log.flush(last.end)).unwrap();
        }
    }
    log.close().unwrap();
    disk
}

/// Resident memory of this process, in bytes.
fn resident_bytes() -> usize {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
    pages.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

/// Counts, and does nothing.
#[derive(Clone, Default)]
struct Counting(Arc<AtomicUsize>);

impl Resume for Counting {
    fn resume(&self, _: &str, _: &str, _: &str) -> BoxFuture<'static, Result<(), Failure>> {
        self.0.fetch_add(1, Ordering::SeqCst);
        futures::future::pending().boxed()
    }
}

#[test]
fn a_hundred_thousand_sleeping_sagas_cost_little_and_none_is_woken() {
    const COUNT: usize = 100_000;
    let disk = with_sleeping(COUNT as u64);
    let clock = Arc::new(ManualClock::at_ms(START_MS + 1000));
    let before = resident_bytes();
    let shared: Arc<dyn Clock> = Arc::clone(&clock) as _;
    let (sagas, found) = Sagas::open(Arc::new(disk.clone()), Path::new(DIR), shared, &SagaOptions::default()).unwrap();
    let bytes = resident_bytes().saturating_sub(before);
    assert_eq!(found.unfinished, COUNT);
    assert!(bytes < 100_000_000, "{} bytes for each", bytes / COUNT);
    println!("{} bytes for each sleeping saga", bytes / COUNT);
    let counting = Counting::default();
    let mut recovery = std::pin::pin!(sagas.recover(Arc::new(counting.clone())));
    block_on(async {
        for _ in 0..100 {
            assert!(futures::poll!(recovery.as_mut()).is_pending());
        }
        assert_eq!(counting.0.load(Ordering::SeqCst), 0);
        // Those that are due then, and no others.
        clock.advance(std::time::Duration::from_millis(HOUR_MS - 1000 + 4));
        for _ in 0..100 {
            assert!(futures::poll!(recovery.as_mut()).is_pending());
        }
        assert_eq!(counting.0.load(Ordering::SeqCst), 5);
    });
}

#[test]
fn a_saga_of_fifty_thousand_steps_is_replayed_and_ends() {
    const STEPS: usize = 50_000;
    let (sagas, disk, clock) = fresh();
    block_on(async {
        let run = begin(&sagas, "k").await;
        for _ in 0..STEPS {
            step(&run, "s").await;
        }
        execute(&run, "last", Phase::Do).await;
    });
    disk.crash(0);
    drop(sagas);
    let (sagas, _) = open(&disk, clock);
    block_on(async {
        let run = begin(&sagas, "k").await;
        for _ in 0..STEPS {
            recorded(&run, "s", Phase::Do).await;
        }
        step(&run, "last").await;
        run.finish(false, b"done".to_vec()).await.unwrap();
    });
    assert_eq!(sagas.show("k").unwrap().steps.len(), STEPS + 1);
}

#[test]
fn continuing_as_new_bounds_what_is_replayed() {
    const STEPS: u32 = 500;
    const GENERATIONS: u32 = 100;
    let (mut sagas, disk, clock) = fresh();
    for generation in 0..GENERATIONS {
        let run = block_on(begin(&sagas, "k"));
        assert_eq!(run.generation(), generation);
        let input = if generation == 0 { b"{}".to_vec() } else { generation.to_string().into_bytes() };
        assert_eq!(run.input(), input);
        for _ in 0..STEPS {
            block_on(step(&run, "s"));
        }
        // And the one by which this generation began.
        assert!(sagas.inner.find("k").unwrap().state().records.len() <= STEPS as usize + 1);
        if generation + 1 == GENERATIONS {
            block_on(run.finish(false, b"done".to_vec())).unwrap();
        } else {
            block_on(run.continue_as_new((generation + 1).to_string().into_bytes())).unwrap();
        }
        drop(run);
        if generation % 10 == 0 {
            disk.crash(0);
            drop(sagas);
            sagas = open(&disk, clock.clone()).0;
            assert!(sagas.inner.find("k").unwrap().state().records.len() <= 1, "the generations before are not read");
        }
    }
    let view = sagas.show("k").unwrap();
    assert_eq!((view.status, view.generation), (Status::Completed, GENERATIONS - 1));
}

#[test]
fn ten_thousand_steps_run_sixty_four_at_a_time() {
    const STEPS: usize = 10_000;
    const AT_ONCE: usize = 64;
    let (disk, clock) = (SimulatedDisk::new(), Arc::new(ManualClock::at_ms(START_MS)));
    let (sagas, _) = open(&disk, clock.clone());
    let (running, most, ran) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
    // None goes on before so many have begun, or the journal may be done with the first before the last of them comes.
    let (all_run, gate) = oneshot::channel();
    let (all_run, gate) = (Mutex::new(Some(all_run)), gate.shared());
    let one = |run: Arc<Run>, number: usize| {
        let (running, most, ran, all_run, gate) = (&running, &most, &ran, &all_run, gate.clone());
        async move {
            let name = format!("item{number}");
            match run.enter(&name, Phase::Do, options()).await.unwrap() {
                Entered::Recorded(_) => run.seen(EventKind::Do, &name),
                Entered::Execute(_) => {
                    ran.fetch_add(1, Ordering::SeqCst);
                    let at_once = running.fetch_add(1, Ordering::SeqCst) + 1;
                    most.fetch_max(at_once, Ordering::SeqCst);
                    if at_once == AT_ONCE
                        && let Some(all_run) = all_run.lock().unwrap().take()
                    {
                        all_run.send(()).unwrap();
                    }
                    gate.await.unwrap();
                    run.leave(&name, Phase::Do, success()).await.unwrap();
                    running.fetch_sub(1, Ordering::SeqCst);
                    run.seen(EventKind::Do, &name);
                }
            }
        }
        .boxed()
    };
    let all = |run: &Arc<Run>, steps: usize| {
        let steps = (0..steps).map(|number| one(Arc::clone(run), number)).collect();
        block_on(at_most(AT_ONCE, steps)).len()
    };
    let run = block_on(begin(&sagas, "k"));
    assert_eq!(all(&run, STEPS / 2), STEPS / 2);
    assert_eq!(most.load(Ordering::SeqCst), AT_ONCE);
    disk.crash(0);
    drop((run, sagas));
    let (sagas, _) = open(&disk, clock);
    let run = block_on(begin(&sagas, "k"));
    assert_eq!(all(&run, STEPS), STEPS);
    assert_eq!(ran.load(Ordering::SeqCst), STEPS, "each runs once");
    block_on(run.finish(false, Vec::new())).unwrap();
    assert_eq!(sagas.show("k").unwrap().status, Status::Completed);
}
