//! Processor time of one instance: what passes on the clock while it is driven, its own code and what the host does for
//! it alike. What passes while it waits does not count.

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
/// A small request has some 90 edges, so the clock is the one that costs least. It moves with the kernel's tick: a stretch
/// counts nothing or a tick too much, which evens out over many.
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
        self.account(ticks(), edge.entering_host());
        self.is_news()
    }

    /// At an epoch, which passes in wasm, and where it gives way to others unless it has used up its time.
    pub fn epoch(&mut self) -> Epoch {
        self.account(ticks(), true);
        self.gave_way = true;
        Epoch { is_within: self.used <= self.limit, computes: self.used >= self.epoch }
    }

    fn is_news(&mut self) -> bool {
        self.used >= self.epoch && !std::mem::replace(&mut self.has_told, true)
    }

    fn account(&mut self, now: Duration, in_wasm: bool) {
        let (since, before) = std::mem::replace(&mut self.last, (now, self.pauses.0.load(Relaxed)));
        let stretch = now.saturating_sub(since);
        let has_waited = self.last.1 != before;
        let gave_way = std::mem::take(&mut self.gave_way);
        self.used += if in_wasm && (gave_way || !has_waited) {
            // How long others took meanwhile is not known, but that the next epoch would have been noticed.
            stretch.min(self.epoch * 2)
        } else if has_waited {
            Duration::ZERO
        } else {
            // wasmtime's `ProxyHandler` does not tell of every wait: one that is taken for work must not weigh much.
            stretch.min(self.epoch / 2)
        };
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
    Duration::try_from(clock_gettime(ClockId::MonotonicCoarse)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn meter() -> CpuMeter {
        CpuMeter { last: (Duration::ZERO, 0), ..CpuMeter::new(100 * MS, 10 * MS) }
    }

    #[test]
    fn what_passes_while_it_is_driven_counts_and_waiting_does_not() {
        let mut meter = meter();
        meter.account(3 * MS, true);
        meter.account(5 * MS, false);
        assert_eq!(meter.used, 5 * MS);
        meter.pauses().note();
        meter.account(1_000 * MS, false);
        assert_eq!(meter.used, 5 * MS);
        assert!(!meter.is_news());
        meter.account(1_005 * MS, true);
        assert!(meter.is_news() && !meter.is_news());
        // A wait that nobody noted.
        meter.account(5_000 * MS, false);
        assert_eq!(meter.used, 15 * MS);
        meter.begin();
        assert_eq!(meter.used, Duration::ZERO);
    }

    #[test]
    fn giving_way_to_others_is_no_way_to_stop_the_clock() {
        let mut meter = meter();
        for round in 1..=9 {
            meter.account(round * 12 * MS, true);
            meter.gave_way = true;
            meter.pauses().note();
        }
        assert_eq!(meter.used, 108 * MS);
        // Others took long, but not for longer than it takes to notice.
        meter.account(100_000 * MS, true);
        assert_eq!(meter.used, 128 * MS);
    }

    #[tokio::test]
    async fn each_wait_is_noted() {
        let pauses = Pauses::default();
        pauses.of(async { tokio::task::yield_now().await }).await;
        pauses.of(async {}).await;
        assert_eq!(pauses.0.load(Relaxed), 1);
    }
}
