//! Processor time of one instance: what its thread has worked while it was driven, its own code and what the host does for
//! it alike. What passes while it waits, or while others have the processor, does not count.

use std::cell::Cell;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use weft_core::Clock;

use crate::background::Pace;

thread_local! {
    static DRIVING: Cell<bool> = const { Cell::new(false) };
}

/// Whether an instance is driven around this: its event loop takes no other inside it.
pub(crate) fn is_driving() -> bool {
    DRIVING.get()
}

/// Measures where an instance begins and ceases to be driven, and at epochs in between.
///
/// The clock is the one that costs least: it moves with the kernel's tick, and only when it has moved is the thread's
/// processor time looked at. What has no tick in it is not seen: code that waits over each tick counts nothing, and has its
/// deadline alone. One thread at a time drives an instance, so nothing here is contended.
#[derive(Debug)]
pub(crate) struct CpuMeter {
    limit: Duration,
    epoch: Duration,
    pace: Arc<Pace>,
    clock: Arc<dyn Clock>,
    /// In nanoseconds, as the two below.
    used: AtomicU64,
    /// When it was looked at last.
    last: AtomicU64,
    /// What had been used when it was last said that another epoch was computed.
    told: AtomicU64,
}

impl CpuMeter {
    pub fn new(limit: Duration, epoch: Duration, pace: Arc<Pace>, clock: Arc<dyn Clock>) -> Self {
        let [used, last, told] = Default::default();
        Self { limit, epoch, pace, clock, used, last, told }
    }

    /// Drives the instance, and measures that.
    pub fn drive<R>(&self, drive: impl FnOnce() -> R) -> R {
        struct Before(bool);
        impl Drop for Before {
            fn drop(&mut self) {
                DRIVING.set(self.0);
            }
        }
        let _before = Before(DRIVING.replace(true));
        let now = ticks();
        worked(now);
        self.last.store(nanos(now), Relaxed);
        let driven = drive();
        self.look();
        driven
    }

    /// Drives the instance until it is done.
    pub async fn of<F: Future>(&self, driving: F) -> F::Output {
        let mut driving = pin!(driving);
        std::future::poll_fn(|cx| self.drive(|| driving.as_mut().poll(cx))).await
    }

    /// Grants all of the time once more.
    pub fn begin(&self) {
        self.used.store(0, Relaxed);
        self.told.store(0, Relaxed);
    }

    /// While it is driven. Whether there is time left.
    pub fn look(&self) -> bool {
        if self.account(ticks(), worked) {
            self.pace.computes(self.clock.monotonic());
        }
        self.used() <= self.limit
    }

    fn used(&self) -> Duration {
        Duration::from_nanos(self.used.load(Relaxed))
    }

    /// Whether another epoch's time has been computed. `worked` tells what the thread has worked since it was asked last.
    fn account(&self, now: Duration, worked: impl FnOnce(Duration) -> Duration) -> bool {
        let since = Duration::from_nanos(self.last.load(Relaxed));
        if now <= since {
            return false;
        }
        self.last.store(nanos(now), Relaxed);
        // Some of the thread's work may have been for others.
        let used = self.used() + worked(now).min(now - since);
        self.used.store(nanos(used), Relaxed);
        let is_news = used >= Duration::from_nanos(self.told.load(Relaxed)) + self.epoch;
        if is_news {
            self.told.store(nanos(used), Relaxed);
        }
        is_news
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// Monotonic time as of the kernel's last tick, which was 1 to 10 ms ago at most.
pub(crate) fn ticks() -> Duration {
    time_of(ClockId::MonotonicCoarse)
}

/// Processor time of this thread since it was asked last; none if that was at the same tick.
fn worked(now: Duration) -> Duration {
    thread_local! {
        static LAST: Cell<(Duration, Duration)> = const { Cell::new((Duration::ZERO, Duration::ZERO)) };
    }
    let (at, before) = LAST.get();
    if at == now {
        return Duration::ZERO;
    }
    let worked = time_of(ClockId::ThreadCPUTime);
    LAST.set((now, worked));
    worked.saturating_sub(before)
}

fn time_of(clock: ClockId) -> Duration {
    // No time of these clocks is negative.
    Duration::try_from(clock_gettime(clock)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use weft_core::clock::ManualClock;

    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn meter() -> CpuMeter {
        CpuMeter::new(100 * MS, 10 * MS, Arc::default(), Arc::new(ManualClock::default()))
    }

    /// The thread has worked as long as time has passed.
    fn all(ms: u32) -> impl FnOnce(Duration) -> Duration {
        move |_| ms * MS
    }

    #[test]
    fn what_its_thread_works_counts() {
        let meter = meter();
        meter.account(3 * MS, all(3));
        meter.account(5 * MS, all(2));
        assert_eq!(meter.used(), 5 * MS);
        // Others had the processor.
        meter.account(1_100 * MS, all(5));
        assert_eq!(meter.used(), 10 * MS);
        // The thread has worked for others before.
        meter.account(1_102 * MS, all(50));
        assert_eq!(meter.used(), 12 * MS);
        meter.account(1_102 * MS, |_| panic!("the same tick"));
        meter.begin();
        assert_eq!(meter.used(), Duration::ZERO);
    }

    #[test]
    fn time_is_up_when_more_than_the_limit_is_used() {
        let meter = meter();
        // No tick of the machine's clock is as late as this.
        meter.last.store(u64::MAX, Relaxed);
        meter.used.store(nanos(100 * MS), Relaxed);
        assert!(meter.look());
        meter.used.store(nanos(100 * MS) + 1, Relaxed);
        assert!(!meter.look());
        meter.begin();
        assert!(meter.look());
    }

    #[test]
    fn what_passes_while_it_is_not_driven_does_not_count() {
        let meter = meter();
        let tick = || {
            let start = ticks();
            while ticks() == start {
                std::hint::spin_loop();
            }
        };
        meter.drive(tick);
        let used = meter.used();
        assert!(used > Duration::ZERO);
        (0..10).for_each(|_| tick());
        meter.drive(|| assert!(is_driving()));
        assert!(!is_driving());
        // The clock may have moved while nothing was done.
        assert!(meter.used() < 2 * used + MS, "{:?} after {used:?}", meter.used());
    }

    #[test]
    fn each_epoch_of_computing_is_told_once() {
        let told = |used: u32| {
            let meter = meter();
            (1..=used).filter(|ms| meter.account(*ms * MS, all(1))).count()
        };
        assert_eq!([told(9), told(10), told(19), told(35)], [0, 1, 1, 3]);
    }

    #[test]
    fn a_thread_that_works_is_seen_to() {
        let start = ticks();
        worked(start);
        let mut sum = 0_u64;
        while ticks() < start + 40 * MS {
            sum = std::hint::black_box(sum.wrapping_add(1));
        }
        let now = ticks();
        assert!(worked(now) > Duration::ZERO, "{sum}");
        assert_eq!(worked(now), Duration::ZERO);
    }
}
