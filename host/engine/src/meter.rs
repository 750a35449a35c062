//! Processor time of one instance: what its thread has worked while it was driven, its own code and what the host does for
//! it alike. What passes while it waits, or while others have the processor, does not count.

use std::cell::Cell;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use wasmtime::CallHook;

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
/// when it has moved is the thread's processor time looked at. A stretch counts nothing or a tick too much, which evens
/// out over many.
#[derive(Debug)]
pub(crate) struct CpuMeter {
    limit: Duration,
    epoch: Duration,
    used: Duration,
    /// When it was looked at last, and how many pauses there had been.
    last: (Duration, u32),
    /// It has given way to others since then, which is a pause in the midst of work.
    gave_way: bool,
    /// It has said that it computes for long.
    has_told: bool,
    pauses: Arc<Pauses>,
}

impl CpuMeter {
    pub fn new(limit: Duration, epoch: Duration) -> Self {
        let last = (ticks(), 0);
        let pauses = Arc::default();
        Self { limit, epoch, used: Duration::ZERO, last, gave_way: false, has_told: false, pauses }
    }

    pub fn pauses(&self) -> Arc<Pauses> {
        self.pauses.clone()
    }

    /// Grants all of the time once more.
    pub fn begin(&mut self) {
        (self.used, self.has_told) = (Duration::ZERO, false);
    }

    /// At an edge of wasm. Whether it has just turned out that it computes for long: for a whole epoch.
    pub fn edge(&mut self, edge: CallHook) -> bool {
        self.account(ticks(), edge.entering_host(), worked);
        self.is_news()
    }

    /// At an epoch, which passes in wasm, and where it gives way to others unless it has used up its time.
    pub fn epoch(&mut self) -> Epoch {
        self.account(ticks(), true, worked);
        self.gave_way = true;
        Epoch { is_within: self.used <= self.limit, computes: self.used >= self.epoch }
    }

    fn is_news(&mut self) -> bool {
        self.used >= self.epoch && !std::mem::replace(&mut self.has_told, true)
    }

    /// `worked` tells what the thread has worked since it was asked last.
    fn account(&mut self, now: Duration, in_wasm: bool, worked: impl FnOnce(Duration) -> Duration) {
        let (since, before) = self.last;
        self.last.1 = self.pauses.0.load(Relaxed);
        let has_waited = self.last.1 != before;
        if now <= since {
            return;
        }
        self.last.0 = now;
        // Giving way is a pause in the midst of work.
        let gave_way = std::mem::take(&mut self.gave_way);
        let worked = worked(now);
        if !has_waited || (in_wasm && gave_way) {
            // Some of the thread's work may have been for others.
            self.used += worked.min(now - since);
        }
    }
}

/// What the meter says at an epoch.
pub(crate) struct Epoch {
    /// Whether there is processor time left.
    pub is_within: bool,
    /// Whether it computes for long.
    pub computes: bool,
}

/// Monotonic time as of the kernel's last tick, which was 1 to 10 ms ago at most.
fn ticks() -> Duration {
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
        meter.account(3 * MS, true, all(3));
        meter.account(5 * MS, false, all(2));
        assert_eq!(meter.used, 5 * MS);
        meter.pauses().note();
        meter.account(1_000 * MS, false, all(500));
        assert_eq!(meter.used, 5 * MS);
        assert!(!meter.is_news());
        // Others had the processor, for a time without an edge.
        meter.account(1_100 * MS, true, all(5));
        assert_eq!(meter.used, 10 * MS);
        assert!(meter.is_news() && !meter.is_news());
        // The thread has worked for others before.
        meter.account(1_102 * MS, false, all(50));
        assert_eq!(meter.used, 12 * MS);
        meter.account(1_102 * MS, false, |_| panic!("the same tick"));
        meter.begin();
        assert_eq!(meter.used, Duration::ZERO);
    }

    #[test]
    fn giving_way_to_others_is_no_way_to_stop_the_clock() {
        let mut meter = meter();
        for round in 1..=9 {
            meter.account(round * 12 * MS, true, all(12));
            meter.gave_way = true;
            meter.pauses().note();
        }
        assert_eq!(meter.used, 108 * MS);
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
