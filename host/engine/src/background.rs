//! Where functions run that compute for long: on threads of their own, of low priority, so that those that answer at
//! once are not kept waiting by them. On an idle machine that changes nothing.
//!
//! A function that computes holds its thread for a whole epoch at a time. Whoever answers in a fraction of that would
//! wait for it several times in each request; a thread of low priority is interrupted by the kernel at once instead. What
//! it is owed the kernel lets it have in one piece, of which the timer's tick of up to 4 ms is the least; so it asks who
//! else wants the processor at every beat of an epoch.

use std::cell::Cell;
use std::io;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use tokio::runtime::{Builder, Handle, Runtime};
use tokio::task::JoinHandle;

use weft_core::Clock;

use crate::spec::Grants;

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
/// Against the others' 0: a tenth of what they get when they want all there is, of which giving way costs up to a half.
const NICE: i32 = 10;
/// An epoch has so many beats: of half a millisecond each, where an epoch has 10.
pub(crate) const BEATS: u32 = 20;
/// What such a thread gives away when it gives way is what is left of this: about a beat, so that it keeps more than half
/// of the share that its priority says (Linux 6.12 and later, `sched_setattr(2)`; before that it keeps less).
const SLICE: Duration = Duration::from_micros(500);

/// How often threads at the side have given way, in the whole process: it is for the processor that they do so.
static GIVEN_WAY: AtomicU64 = AtomicU64::new(0);

thread_local! {
    static AT_THE_SIDE: Cell<bool> = const { Cell::new(false) };
}

/// Whether this thread is one of those of low priority.
pub(crate) fn is_at_the_side() -> bool {
    AT_THE_SIDE.get()
}

/// Lets the kernel see who else wants the processor, on a thread at the side.
pub(crate) fn give_way() {
    GIVEN_WAY.fetch_add(1, Relaxed);
    std::thread::yield_now();
}

/// How often any thread has given way.
pub(crate) fn given_way() -> u64 {
    GIVEN_WAY.load(Relaxed)
}

/// The threads, started for the first function that needs them.
pub(crate) struct Background {
    /// Where all others are.
    main: Option<Handle>,
    side: OnceLock<Option<Runtime>>,
}

impl Background {
    /// Beside the runtime that this is called in.
    pub fn new() -> Self {
        Self { main: Handle::try_current().ok(), side: OnceLock::new() }
    }

    /// Where all others are.
    pub fn main(&self) -> Option<&Handle> {
        self.main.as_ref()
    }

    fn handle(&self) -> Option<&Handle> {
        let runtime = self.side.get_or_init(|| {
            let started = Builder::new_multi_thread()
                .enable_all()
                .thread_name("weft-background")
                .on_thread_start(|| {
                    AT_THE_SIDE.set(true);
                    if let Err(error) = step_back() {
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

/// Gives this thread its low priority.
fn step_back() -> io::Result<()> {
    // Before Linux 6.12 `sched_runtime` is ignored.
    let attributes = libc::sched_attr {
        size: u32::try_from(size_of::<libc::sched_attr>()).unwrap_or_default(),
        sched_policy: u32::try_from(libc::SCHED_OTHER).unwrap_or_default(),
        sched_flags: 0,
        sched_nice: NICE,
        sched_priority: 0,
        sched_runtime: u64::try_from(SLICE.as_nanos()).unwrap_or_default(),
        sched_deadline: 0,
        sched_period: 0,
    };
    // SAFETY: the kernel reads as much as `size` says, and nothing after the call has returned; 0 is the calling thread.
    #[allow(unsafe_code)]
    let set = unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const attributes, 0) };
    if set == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

impl Drop for Background {
    fn drop(&mut self) {
        if let Some(Some(runtime)) = self.side.take() {
            runtime.shutdown_background();
        }
    }
}

/// Whether a function computes for long, as far as its last calls tell.
///
/// A function with a context stays where all others are: its transactions hold the one writer of a database that others
/// wait for, and on a busy host it would get on with a tenth of its pace. And a thread has the priority of the one that
/// starts it, for ever: the database's readers are started by whoever asks first. Stores, broker and journal hold nothing
/// between two calls, and start nothing when they are asked.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    stays: bool,
    weight: AtomicU32,
    /// On the clock's monotonic time, in milliseconds.
    until_ms: AtomicU64,
}

impl Pace {
    /// Of a function with these grants.
    pub fn of(grants: &Grants) -> Self {
        Self { stays: grants.context.is_some(), ..Self::default() }
    }

    /// Notes that a call has just computed for an epoch.
    pub fn computes(&self, now: Duration) {
        if self.stays {
            return;
        }
        self.until_ms.store(millis(now.saturating_add(MEMORY)), Relaxed);
        self.weigh(|weight| weight.saturating_add(EPOCH).min(MOST));
    }

    /// Where the next call is to run, if not among all others.
    pub fn place<'a>(&self, clock: &dyn Clock, background: &'a Background) -> Option<&'a Handle> {
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

    /// Whether its calls run at the side.
    pub fn is_long(&self) -> bool {
        self.weight.load(Relaxed) >= LONG
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
        match self.place(clock, background).or(background.main.as_ref()) {
            Some(place) => place.spawn(call),
            None => tokio::spawn(call),
        }
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use weft_core::clock::ManualClock;

    use super::*;

    fn place() -> Option<String> {
        std::thread::current().name().map(str::to_owned)
    }

    #[tokio::test]
    async fn a_function_that_computes_runs_at_the_side_until_it_has_not_for_a_while() {
        let (pace, background, clock) = (Pace::default(), Background::new(), ManualClock::at_ms(1_000));
        let at_the_side = Some("weft-background".to_owned());
        for _ in 0..4 {
            assert_ne!(pace.spawn(&clock, &background, async { place() }).await.unwrap(), at_the_side);
            pace.computes(clock.monotonic());
        }
        assert_eq!(pace.spawn(&clock, &background, async { place() }).await.unwrap(), at_the_side);
        // What it calls does not come along.
        let (other, here) = (Pace::default(), pace.spawn(&clock, &background, async { is_at_the_side() }));
        assert!(here.await.unwrap());
        let calling = Arc::new((other, Background::new(), ManualClock::at_ms(1_000)));
        let call = calling.clone();
        let called =
            pace.spawn(
                &clock,
                &background,
                async move { call.0.spawn(&call.2, &call.1, async { place() }).await.unwrap() },
            );
        assert_ne!(called.await.unwrap(), at_the_side);
        clock.advance(MEMORY);
        assert_ne!(pace.spawn(&clock, &background, async { place() }).await.unwrap(), at_the_side);
    }

    /// The slice of this thread in nanoseconds, if the kernel has slices that can be set and says so.
    fn slice() -> Option<u64> {
        let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").ok()?;
        let mut numbers = release.split(['.', '-']).map_while(|number| number.parse::<u32>().ok());
        let has_slices = (numbers.next()?, numbers.next()?) >= (6, 12);
        let scheduled = std::fs::read_to_string("/proc/thread-self/sched").ok().filter(|_| has_slices)?;
        let slice = scheduled.lines().find_map(|line| line.strip_prefix("se.slice"))?;
        slice.rsplit(':').next()?.trim().parse().ok()
    }

    #[test]
    fn a_thread_steps_back() {
        let stepped_back = std::thread::spawn(|| {
            step_back().unwrap();
            (rustix::process::getpriority_process(None).unwrap(), slice())
        });
        let (priority, slice) = stepped_back.join().unwrap();
        assert_eq!(priority, NICE);
        assert!(slice.is_none_or(|slice| u128::from(slice) == SLICE.as_nanos()), "{slice:?}");
    }

    #[tokio::test]
    async fn a_function_with_a_database_that_all_share_stays() {
        let (background, clock) = (Background::new(), ManualClock::at_ms(1_000));
        let with_a_store = Grants { key_value_stores: vec!["default".into()], ..Grants::default() };
        let with_a_context = Grants { context: Some("orders".into()), ..Grants::default() };
        for (grants, stays) in [(Grants::default(), false), (with_a_store, false), (with_a_context, true)] {
            let pace = Pace::of(&grants);
            (0..10).for_each(|_| pace.computes(clock.monotonic()));
            assert_eq!(pace.place(&clock, &background).is_none(), stays, "{grants:?}");
        }
    }

    #[tokio::test]
    async fn a_long_call_among_many_short_ones_moves_nothing() {
        let (pace, background, clock) = (Pace::default(), Background::new(), ManualClock::at_ms(1_000));
        for number in 0..1_000 {
            if number % 8 == 0 {
                pace.computes(clock.monotonic());
            }
            assert!(pace.place(&clock, &background).is_none(), "{number}");
        }
    }
}
