//! Processor time of one instance: what its thread has worked while it was driven, its own code and what the host does for
//! it alike. What passes while it waits, or while others have the processor, does not count.

use std::cell::Cell;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// How often an instance has had to wait. Whoever drives it notes each time that it does.
#[derive(Debug, Default)]
pub(crate) struct Pauses(AtomicU32);

impl Pauses {
    /// Notes that the instance waits now.
    pub fn note(&self) {
        self.0.fetch_add(1, Relaxed);
    }

    /// Drives an instance, and notes when it waits.
    pub async fn of<F: Future>(&self, driving: F) -> F::Output {
        let mut driving = pin!(driving);
        std::future::poll_fn(|cx| {
            let polled = driving.as_mut().poll(cx);
            if polled.is_pending() {
                self.note();
            }
            polled
        })
        .await
    }
}

/// Measures at the edges of wasm and at epochs.
///
/// A small request has some 90 edges, so the clock is the one that costs least: it moves with the kernel's tick, and only
/// when it has moved is the thread's processor time looked at. What has no tick in it is not seen: code that waits over
/// each tick counts nothing, and has its deadline alone.
#[derive(Debug)]
pub(crate) struct CpuMeter {
    limit: Duration,
    pub epoch: Duration,
    used: Duration,
    /// When it was looked at last, and how many pauses there had been.
    last: (Duration, u32),
    /// What had been used when it was last said that another epoch was computed.
    told: Duration,
    pauses: Arc<Pauses>,
}

impl CpuMeter {
    pub fn new(limit: Duration, epoch: Duration) -> Self {
        let last = (ticks(), 0);
        let pauses = Arc::default();
        Self { limit, epoch, used: Duration::ZERO, last, told: Duration::ZERO, pauses }
    }

    pub fn pauses(&self) -> Arc<Pauses> {
        self.pauses.clone()
    }

    /// Grants all of the time once more.
    pub fn begin(&mut self) {
        (self.used, self.told) = (Duration::ZERO, Duration::ZERO);
    }

    /// At an edge of wasm. Whether another epoch's time has been computed.
    pub fn edge(&mut self) -> bool {
        self.account(ticks(), worked);
        let is_news = self.used >= self.told + self.epoch;
        if is_news {
            self.told = self.used;
        }
        is_news
    }

    /// Whether there is time left, as of the last edge. An epoch has one before it, and one when others have had their turn.
    pub fn is_within(&self) -> bool {
        self.used <= self.limit
    }

    /// `worked` tells what the thread has worked since it was asked last.
    fn account(&mut self, now: Duration, worked: impl FnOnce(Duration) -> Duration) {
        let (since, before) = self.last;
        self.last.1 = self.pauses.0.load(Relaxed);
        if now <= since {
            return;
        }
        self.last.0 = now;
        let worked = worked(now);
        if self.last.1 == before {
            // Some of the thread's work may have been for others.
            self.used += worked.min(now - since);
        }
    }
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
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn meter() -> CpuMeter {
        CpuMeter { last: (Duration::ZERO, 0), ..CpuMeter::new(100 * MS, 10 * MS) }
    }

    /// The thread has worked as long as time has passed.
    fn all(ms: u32) -> impl FnOnce(Duration) -> Duration {
        move |_| ms * MS
    }

    #[test]
    fn what_its_thread_works_counts_and_waiting_does_not() {
        let mut meter = meter();
        meter.account(3 * MS, all(3));
        meter.account(5 * MS, all(2));
        assert_eq!(meter.used, 5 * MS);
        meter.pauses().note();
        meter.account(1_000 * MS, all(500));
        assert_eq!(meter.used, 5 * MS);
        // Others had the processor, for a time without an edge.
        meter.account(1_100 * MS, all(5));
        assert_eq!(meter.used, 10 * MS);
        // The thread has worked for others before.
        meter.account(1_102 * MS, all(50));
        assert_eq!(meter.used, 12 * MS);
        meter.account(1_102 * MS, |_| panic!("the same tick"));
        meter.begin();
        assert_eq!(meter.used, Duration::ZERO);
        assert!(meter.is_within());
        meter.account(1_203 * MS, all(101));
        assert!(!meter.is_within());
    }

    #[test]
    fn each_epoch_of_computing_is_told_once() {
        let told = |used: u64| {
            let mut meter = meter();
            meter.last.0 = Duration::MAX;
            (0..used)
                .filter(|used| {
                    meter.used = Duration::from_millis(used + 1);
                    meter.edge()
                })
                .count()
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

    #[tokio::test]
    async fn each_wait_is_noted() {
        let pauses = Pauses::default();
        pauses.of(async { tokio::task::yield_now().await }).await;
        pauses.of(async {}).await;
        assert_eq!(pauses.0.load(Relaxed), 1);
    }
}
