//! Sagas that begin by a schedule: on time, late, again after a crash, and beside the one of the time before.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::executor::block_on;
use futures::future::{BoxFuture, Either, FutureExt, select};
use weft_core::clock::ManualClock;
use weft_core::disk::SimulatedDisk;
use weft_core::manifest::Overlap;
use weft_core::{Clock, Failure, Fault, Reason};

use crate::testing::{START_MS, open, starter};
use crate::*;

const MINUTE_MS: u64 = 60_000;
/// The first whole minute after the start.
const FIRST_MS: u64 = START_MS.div_ceil(MINUTE_MS) * MINUTE_MS;

/// Begins sagas and holds their runs; `refuse` says how often it refuses first.
struct Beginning {
    sagas: Sagas,
    runs: Mutex<Vec<Arc<Run>>>,
    refuse: Mutex<u32>,
}

impl Beginning {
    fn new(sagas: &Sagas) -> Arc<Self> {
        Arc::new(Self { sagas: sagas.clone(), runs: Mutex::default(), refuse: Mutex::default() })
    }

    fn keys(&self) -> Vec<String> {
        self.runs.lock().unwrap().iter().map(|run| run.key().to_string()).collect()
    }

    fn finish(&self, which: usize) {
        let run = Arc::clone(&self.runs.lock().unwrap()[which]);
        block_on(run.finish(false, Vec::new())).unwrap();
    }
}

struct Begin(Arc<Beginning>);

impl BeginScheduled for Begin {
    fn begin(&self, _: &str, key: &str) -> BoxFuture<'static, Result<(), Failure>> {
        let (beginning, key) = (Arc::clone(&self.0), key.to_owned());
        async move {
            {
                let mut refuse = beginning.refuse.lock().unwrap();
                if *refuse > 0 {
                    *refuse -= 1;
                    return Err(Failure::not_attempted(Fault::Host, Reason::Overloaded, "no room"));
                }
            }
            let begun = beginning.sagas.begin(&starter(), "report", &key, b"{}").await;
            if let Ok(Begun::Run(run)) = begun {
                beginning.runs.lock().unwrap().push(run);
            }
            Ok(())
        }
        .boxed()
    }
}

fn schedule(overlap: Overlap) -> Schedule {
    let catch_up_ms = 10 * MINUTE_MS;
    Schedule { name: "reports/each-minute".into(), cron: "* * * * *".parse().unwrap(), overlap, catch_up_ms }
}

fn key(minute: u64) -> String {
    scheduled_key("reports/each-minute", FIRST_MS + minute * MINUTE_MS)
}

fn machine() -> (Sagas, SimulatedDisk, Arc<ManualClock>) {
    let (disk, clock) = (SimulatedDisk::new(), Arc::new(ManualClock::at_ms(START_MS)));
    (open(&disk, clock.clone()).0, disk, clock)
}

/// Until everyone has gone as far as they get without the clock, and all that is written is flushed.
async fn settled(sagas: &Sagas) {
    let mut calm = 0;
    while calm < 50 {
        crate::run::yield_once().await;
        calm = if sagas.inner.log.is_idle() { calm + 1 } else { 0 };
    }
}

/// Runs the schedule until the clock shows this time, and a little more.
fn run_until(sagas: &Sagas, clock: &ManualClock, begin: &Arc<Beginning>, overlap: Overlap, until_ms: u64) {
    let scheduling = sagas.run_schedules(vec![schedule(overlap)], Arc::new(Begin(Arc::clone(begin))));
    let driver = async {
        settled(sagas).await;
        while clock.now_ms() < until_ms {
            clock.advance(Duration::from_millis((until_ms - clock.now_ms()).min(1000)));
            settled(sagas).await;
        }
    };
    let (scheduling, driver) = (std::pin::pin!(scheduling), std::pin::pin!(driver));
    let ended = block_on(select(scheduling, driver));
    assert!(matches!(ended, Either::Right(_)), "schedules have no end");
}

#[test]
fn a_new_schedule_begins_with_the_next_time_and_then_each_time_once() {
    let (sagas, _disk, clock) = machine();
    let begin = Beginning::new(&sagas);
    run_until(&sagas, &clock, &begin, Overlap::Allow, FIRST_MS - 1);
    assert!(begin.keys().is_empty());
    run_until(&sagas, &clock, &begin, Overlap::Allow, FIRST_MS + 2 * MINUTE_MS);
    assert_eq!(begin.keys(), [key(0), key(1), key(2)]);
    let view = &sagas.schedules(&[schedule(Overlap::Allow)])[0];
    assert_eq!((view.last_ms, view.next_ms), (Some(FIRST_MS + 2 * MINUTE_MS), Some(FIRST_MS + 3 * MINUTE_MS)));
}

#[test]
fn what_a_host_that_was_down_has_missed_begins_late_within_the_window() {
    let (sagas, disk, clock) = machine();
    run_until(&sagas, &clock, &Beginning::new(&sagas), Overlap::Allow, FIRST_MS);
    drop(sagas);
    disk.crash(0);
    // Down for half an hour; ten minutes are made up for.
    clock.advance(Duration::from_millis(30 * MINUTE_MS));
    let (sagas, _) = open(&disk, clock.clone());
    let begin = Beginning::new(&sagas);
    run_until(&sagas, &clock, &begin, Overlap::Allow, clock.now_ms());
    assert_eq!(begin.keys(), (20..=30).map(key).collect::<Vec<_>>());
}

#[test]
fn a_saga_that_began_before_a_crash_is_not_begun_again() {
    let (sagas, disk, clock) = machine();
    run_until(&sagas, &clock, &Beginning::new(&sagas), Overlap::Allow, FIRST_MS - 1);
    // It began, and the host went down before it was written down that the time was decided on.
    clock.advance(Duration::from_millis(1));
    drop(block_on(sagas.begin(&starter(), "report", &key(0), b"{}")).unwrap());
    drop(sagas);
    disk.crash(0);
    let (sagas, found) = open(&disk, clock.clone());
    assert_eq!(found.unfinished, 1);
    run_until(&sagas, &clock, &Beginning::new(&sagas), Overlap::Allow, FIRST_MS);
    assert_eq!(sagas.list(&SagaFilter::default(), 10, None).items.len(), 1);
}

#[test]
fn a_saga_that_cannot_begin_is_tried_again() {
    let (sagas, _disk, clock) = machine();
    let begin = Beginning::new(&sagas);
    *begin.refuse.lock().unwrap() = 3;
    run_until(&sagas, &clock, &begin, Overlap::Allow, FIRST_MS + 30_000);
    assert_eq!(begin.keys(), [key(0)]);
}

#[test]
fn the_policy_says_what_becomes_of_a_time_while_the_saga_before_runs() {
    for (overlap, while_it_runs, after) in [
        (Overlap::Skip, vec![0], vec![0, 3]),
        (Overlap::Queue, vec![0], vec![0, 1, 2, 3]),
        (Overlap::Allow, vec![0, 1, 2], vec![0, 1, 2, 3]),
        (Overlap::Cancel, vec![0, 1, 2], vec![0, 1, 2, 3]),
    ] {
        let (sagas, _disk, clock) = machine();
        let begin = Beginning::new(&sagas);
        let keys = |minutes: &[u64]| minutes.iter().copied().map(key).collect::<Vec<_>>();
        run_until(&sagas, &clock, &begin, overlap, FIRST_MS + 2 * MINUTE_MS + 1000);
        assert_eq!(begin.keys(), keys(&while_it_runs), "{overlap:?}");
        let cancelled = sagas.show(&key(0)).unwrap().orders.iter().filter(|order| order.order == "cancel").count();
        assert_eq!(cancelled, usize::from(overlap == Overlap::Cancel));
        begin.finish(0);
        run_until(&sagas, &clock, &begin, overlap, FIRST_MS + 2 * MINUTE_MS + 2000);
        if overlap == Overlap::Queue {
            // One after the other, as those before them end.
            assert_eq!(begin.keys(), keys(&[0, 1]));
            begin.finish(1);
            run_until(&sagas, &clock, &begin, overlap, FIRST_MS + 2 * MINUTE_MS + 3000);
            begin.finish(2);
        }
        run_until(&sagas, &clock, &begin, overlap, FIRST_MS + 3 * MINUTE_MS + 1000);
        assert_eq!(begin.keys(), keys(&after), "{overlap:?}");
    }
}
