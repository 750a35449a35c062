//! Time behind a trait, so that tests control it.

use std::fmt::Debug;
use std::sync::Mutex;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use futures::channel::oneshot;
use futures::future::BoxFuture;

/// Wall-clock and monotonic time, and waiting.
pub trait Clock: Debug + Send + Sync + 'static {
    /// Milliseconds since the Unix epoch.
    fn now_ms(&self) -> u64;
    /// Monotonic time since an arbitrary start.
    fn monotonic(&self) -> Duration;
    /// Resolves when `duration` has passed on this clock.
    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()>;
}

/// How the process really waits. The runtime's timer is handed in by the caller, since this crate has no runtime.
pub type Sleeper = fn(Duration) -> BoxFuture<'static, ()>;

/// The machine's clock.
#[derive(Debug)]
pub struct SystemClock {
    start: Instant,
    sleeper: Sleeper,
}

impl SystemClock {
    /// A clock that waits by `sleeper` (for tokio: `|d| Box::pin(tokio::time::sleep(d))`).
    #[must_use]
    pub fn new(sleeper: Sleeper) -> Self {
        Self { start: Instant::now(), sleeper }
    }
}

impl Clock for SystemClock {
    fn now_ms(&self) -> u64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }

    fn monotonic(&self) -> Duration {
        self.start.elapsed()
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        (self.sleeper)(duration)
    }
}

/// A clock that stands still until a test moves it.
#[derive(Debug, Default)]
pub struct ManualClock {
    state: Mutex<ManualState>,
}

#[derive(Debug, Default)]
struct ManualState {
    now: Duration,
    sleepers: Vec<(Duration, oneshot::Sender<()>)>,
}

impl ManualClock {
    /// A clock that shows `now_ms` milliseconds since the Unix epoch.
    #[must_use]
    pub fn at_ms(now_ms: u64) -> Self {
        let state = ManualState { now: Duration::from_millis(now_ms), sleepers: Vec::new() };
        Self { state: Mutex::new(state) }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, ManualState> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Moves time on and wakes whoever waited for it.
    pub fn advance(&self, by: Duration) {
        let mut state = self.state();
        state.now += by;
        let now = state.now;
        let (due, waiting): (Vec<_>, Vec<_>) = state.sleepers.drain(..).partition(|(at, _)| *at <= now);
        state.sleepers = waiting;
        drop(state);
        for (_, wake) in due {
            // A sleeper that was dropped no longer cares.
            let _ = wake.send(());
        }
    }

    /// Moves time to the earliest sleeper and wakes it. Answers how far; `None` if nobody waits.
    pub fn advance_to_next(&self) -> Option<Duration> {
        let by = {
            let mut state = self.state();
            state.sleepers.retain(|(_, wake)| !wake.is_canceled());
            let next = state.sleepers.iter().map(|(at, _)| *at).min()?;
            next.saturating_sub(state.now)
        };
        self.advance(by);
        Some(by)
    }
}

impl Clock for ManualClock {
    fn now_ms(&self) -> u64 {
        u64::try_from(self.state().now.as_millis()).unwrap_or(u64::MAX)
    }

    fn monotonic(&self) -> Duration {
        self.state().now
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        let (wake, woken) = oneshot::channel();
        if duration.is_zero() {
            return Box::pin(async {});
        }
        let mut state = self.state();
        let at = state.now + duration;
        state.sleepers.push((at, wake));
        drop(state);
        Box::pin(async move {
            let _ = woken.await;
        })
    }
}
