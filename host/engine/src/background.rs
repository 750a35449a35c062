//! Where functions run that compute for long: on threads of their own, of low priority, so that those that answer at
//! once are not kept waiting by them. On an idle machine that changes nothing.
//!
//! A function that computes holds its thread for a whole epoch at a time. Whoever answers in a fraction of that would
//! wait for it several times in each request; a thread of low priority is interrupted by the kernel at once instead.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use tokio::runtime::{Builder, Handle, Runtime};
use tokio::task::JoinHandle;

use weft_core::Clock;

/// What an epoch of computing weighs, and what each call takes off again: milliseconds, for an epoch of 10. So it is
/// functions that compute 2 ms and more on average; a rare long call among many short ones, or one that only seemed long
/// on a busy machine, moves nothing.
const EPOCH: u32 = 10;
const CALL: u32 = 2;
/// From here on calls run at the side.
const LONG: u32 = 3 * EPOCH;
const MOST: u32 = 10 * EPOCH;
/// A function that has not computed for so long is expected to do so no more.
const MEMORY: Duration = Duration::from_secs(10);
/// The lowest priority that the kernel still gives time to when others want all of it.
const NICE: i32 = 19;

/// The threads, started for the first function that needs them.
#[derive(Default)]
pub(crate) struct Background(OnceLock<Option<Runtime>>);

impl Background {
    fn handle(&self) -> Option<&Handle> {
        let runtime = self.0.get_or_init(|| {
            let started = Builder::new_multi_thread()
                .enable_all()
                .thread_name("weft-background")
                .on_thread_start(|| {
                    if let Err(error) = rustix::process::setpriority_process(None, NICE) {
                        tracing::warn!(%error, "a thread for functions that compute keeps its usual priority");
                    }
                })
                .build();
            // Without it, they run among all others.
            started.inspect_err(|error| tracing::error!(%error, "no threads for functions that compute")).ok()
        });
        runtime.as_ref().map(Runtime::handle)
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        if let Some(Some(runtime)) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

/// Whether a function computes for long, as far as its last calls tell.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    weight: AtomicU32,
    /// On the clock's monotonic time, in milliseconds.
    until_ms: AtomicU64,
}

impl Pace {
    /// Notes that a call has just computed for an epoch.
    pub fn computes(&self, now: Duration) {
        self.until_ms.store(millis(now.saturating_add(MEMORY)), Relaxed);
        self.weigh(|weight| weight.saturating_add(EPOCH).min(MOST));
    }

    /// Where the next call is to run, if not among all others.
    fn place<'a>(&self, clock: &dyn Clock, background: &'a Background) -> Option<&'a Handle> {
        // Most functions never compute for long, and no clock is read for them.
        if self.weight.load(Relaxed) == 0 {
            return None;
        }
        if self.until_ms.load(Relaxed) <= millis(clock.monotonic()) {
            self.weight.store(0, Relaxed);
            return None;
        }
        if self.weigh(|weight| weight.saturating_sub(CALL)) >= LONG { background.handle() } else { None }
    }

    /// Changes the weight; answers what it was.
    fn weigh(&self, change: impl Fn(u32) -> u32) -> u32 {
        self.weight.fetch_update(Relaxed, Relaxed, |weight| Some(change(weight))).unwrap_or_default()
    }

    /// Runs a call on a task, in its place.
    pub fn spawn<F>(&self, clock: &dyn Clock, background: &Background, call: F) -> JoinHandle<F::Output>
    where
        F: Future<Output: Send + 'static> + Send + 'static,
    {
        match self.place(clock, background) {
            Some(place) => place.spawn(call),
            None => tokio::spawn(call),
        }
    }

    /// Resolves as `starting` does; the tasks that it starts run in the call's place.
    pub async fn placed<F: Future>(&self, clock: &dyn Clock, background: &Background, starting: F) -> F::Output {
        let Some(place) = self.place(clock, background) else { return starting.await };
        let mut starting = pin!(starting);
        poll_fn(|context| {
            let _entered = place.enter();
            starting.as_mut().poll(context)
        })
        .await
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use weft_core::clock::ManualClock;

    use super::*;

    fn place() -> Option<String> {
        std::thread::current().name().map(str::to_owned)
    }

    #[tokio::test]
    async fn a_function_that_computes_runs_at_the_side_until_it_has_not_for_a_while() {
        let (pace, background, clock) = (Pace::default(), Background::default(), ManualClock::at_ms(1_000));
        let at_the_side = Some("weft-background".to_owned());
        for _ in 0..3 {
            assert_ne!(pace.spawn(&clock, &background, async { place() }).await.unwrap(), at_the_side);
            pace.computes(clock.monotonic());
            pace.computes(clock.monotonic());
        }
        assert_eq!(pace.spawn(&clock, &background, async { place() }).await.unwrap(), at_the_side);
        let started = pace.placed(&clock, &background, async { tokio::spawn(async { place() }).await.unwrap() });
        assert_eq!(started.await, at_the_side);
        clock.advance(MEMORY);
        assert_ne!(pace.spawn(&clock, &background, async { place() }).await.unwrap(), at_the_side);
    }

    #[tokio::test]
    async fn a_long_call_among_many_short_ones_moves_nothing() {
        let (pace, background, clock) = (Pace::default(), Background::default(), ManualClock::at_ms(1_000));
        for number in 0..1_000 {
            if number % 8 == 0 {
                pace.computes(clock.monotonic());
            }
            assert!(pace.place(&clock, &background).is_none(), "{number}");
        }
    }
}
