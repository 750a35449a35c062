//! What the systems are given to do: publish for a while, publish a backlog, publish at a steady rate, consume. Each
//! checks that every event that was acknowledged is handled, once. Bytes written count where nothing is read meanwhile:
//! a page that was read ahead makes the kernel count its whole folio for each byte that is appended to it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use tokio::runtime::Handle as Runtime;
use tokio::task::{JoinHandle, JoinSet};

use super::engine::{Engine, eventually};
use super::seen::Seen;
use crate::process::Usage;
use crate::report::Run;

/// Before what counts.
const WARM_UP: Duration = Duration::from_millis(500);
const MEASURED: Duration = Duration::from_secs(3);
/// More than any of the systems publishes in one run.
const MOST: u64 = 4_000_000;
/// Publishers that make a backlog.
const FILLERS: usize = 1_000;
/// At a steady rate: events at each of these times.
const BURST_EVERY: Duration = Duration::from_millis(1);
const BURST: u64 = 10;
const STEADY_WARM_UP: Duration = Duration::from_secs(1);
const STEADY: Duration = Duration::from_secs(10);

type System = Arc<dyn Engine>;

/// A consumer of a system, until the value is dropped.
struct Consuming(JoinHandle<anyhow::Result<()>>);

impl Drop for Consuming {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Has all events seen.
fn consume(system: &System, seen: &Arc<Seen>) -> Consuming {
    let seen = Arc::clone(seen);
    Consuming(tokio::spawn(Arc::clone(system).consume(Arc::new(move |number| seen.see(number)))))
}

impl Consuming {
    /// Resolves when `seen` has so many.
    async fn until(&mut self, seen: &Seen, count: u64) -> anyhow::Result<()> {
        tokio::select! {
            reached = seen.reached(count) => reached,
            ended = &mut self.0 => ended?.and_then(|()| anyhow::bail!("the consumer has ended")),
        }
    }
}

/// Resolves when the system itself says that all is acknowledged.
async fn settled(system: &System) -> anyhow::Result<()> {
    eventually("all is acknowledged", async || Ok((system.unsettled().await? == 0).then_some(()))).await
}

/// Publishers that each publish one event after the other, by the numbers that `next` gives them, and wait for each.
async fn publish(
    system: &System,
    publishers: usize,
    next: impl Fn() -> Option<u64> + Clone + Send + 'static,
    timed: bool,
) -> anyhow::Result<Vec<Duration>> {
    let mut running = JoinSet::new();
    for publisher in 0..publishers {
        let (system, next) = (Arc::clone(system), next.clone());
        running.spawn(async move {
            let mut latencies = Vec::new();
            while let Some(number) = next() {
                let start = Instant::now();
                system.publish(publisher, number).await?;
                if timed {
                    latencies.push(start.elapsed());
                }
            }
            anyhow::Ok(latencies)
        });
    }
    let mut latencies = Vec::new();
    while let Some(ended) = running.join_next().await {
        latencies.append(&mut ended??);
    }
    Ok(latencies)
}

/// Numbers until a time has passed.
fn for_time(numbers: &Arc<AtomicU64>, duration: Duration) -> impl Fn() -> Option<u64> + Clone + Send + 'static {
    let (numbers, until) = (Arc::clone(numbers), Instant::now() + duration);
    move || (Instant::now() < until).then(|| numbers.fetch_add(1, Ordering::Relaxed))
}

/// How many events so many publishers get acknowledged in a second. What they published is then consumed, and has to
/// be all that was acknowledged.
///
/// # Errors
/// If an event is refused, lost or comes twice.
pub async fn publishing(system: System, publishers: usize) -> anyhow::Result<Run> {
    let numbers = Arc::new(AtomicU64::new(0));
    publish(&system, publishers, for_time(&numbers, WARM_UP), false).await?;
    let before = Usage::of(&system.processes())?;
    let start = Instant::now();
    let mut latencies = publish(&system, publishers, for_time(&numbers, MEASURED), true).await?;
    let elapsed = start.elapsed();
    let after = Usage::of(&system.processes())?;
    latencies.sort_unstable();
    let published = numbers.load(Ordering::Relaxed);
    let seen = Arc::new(Seen::new(published));
    let mut consuming = consume(&system, &seen);
    consuming.until(&seen, published).await?;
    settled(&system).await?;
    seen.each_once(published)?;
    let run = Run { elapsed, count: latencies.len() as u64, latencies, ..Run::default() };
    Ok(run.with_usage(&before, &after, true))
}

/// In and out at once: publishers and a consumer, from the first event published to the last one handled.
///
/// # Errors
/// If an event is refused, lost or comes twice.
pub async fn in_and_out(system: System, publishers: usize) -> anyhow::Result<Run> {
    let seen = Arc::new(Seen::new(MOST));
    let mut consuming = consume(&system, &seen);
    let numbers = Arc::new(AtomicU64::new(0));
    publish(&system, publishers, for_time(&numbers, WARM_UP), false).await?;
    let warm = numbers.load(Ordering::Relaxed);
    consuming.until(&seen, warm).await?;
    let before = Usage::of(&system.processes())?;
    let start = Instant::now();
    publish(&system, publishers, for_time(&numbers, MEASURED), false).await?;
    let published = numbers.load(Ordering::Relaxed);
    consuming.until(&seen, published).await?;
    let elapsed = start.elapsed();
    let after = Usage::of(&system.processes())?;
    settled(&system).await?;
    seen.each_once(published)?;
    let run = Run { elapsed, count: published - warm, ..Run::default() };
    Ok(run.with_usage(&before, &after, false))
}

/// Publishes events with the numbers below `count`.
///
/// # Errors
/// If one is refused.
pub async fn fill(system: &System, count: u64) -> anyhow::Result<()> {
    let numbers = Arc::new(AtomicU64::new(0));
    let next = move || Some(numbers.fetch_add(1, Ordering::Relaxed)).filter(|number| *number < count);
    publish(system, FILLERS, next, false).await.map(drop)
}

/// How many events of a backlog of `count` are handled and acknowledged in a second, and the memory at the start, in
/// the middle and at the end.
///
/// # Errors
/// If an event is lost or comes twice.
pub async fn draining(system: System, count: u64) -> anyhow::Result<Run> {
    let seen = Arc::new(Seen::new(count));
    let before = Usage::of(&system.processes())?;
    let start = Instant::now();
    let mut consuming = consume(&system, &seen);
    consuming.until(&seen, count / 2).await?;
    let middle = Usage::of(&system.processes())?;
    consuming.until(&seen, count).await?;
    settled(&system).await?;
    let elapsed = start.elapsed();
    let after = Usage::of(&system.processes())?;
    seen.each_once(count)?;
    let resident_before = Some([before.resident_bytes, middle.resident_bytes]);
    let run = Run { elapsed, count, resident_before, ..Run::default() };
    Ok(run.with_usage(&before, &after, false))
}

/// From when an event should have been published to when its handler starts, at 10,000 events a second: ten each
/// millisecond, whether those before them were acknowledged or not.
///
/// # Errors
/// If an event is refused, lost or comes twice.
pub async fn steady(system: System) -> anyhow::Result<Run> {
    let bursts = u64::try_from((STEADY_WARM_UP + STEADY).as_millis() / BURST_EVERY.as_millis())?;
    let warm = u64::try_from(STEADY_WARM_UP.as_millis() / BURST_EVERY.as_millis())? * BURST;
    let count = bursts * BURST;
    let seen = Arc::new(Seen::new(count));
    let took: Arc<Vec<AtomicU64>> = Arc::new((0..count).map(|_| AtomicU64::new(0)).collect());
    let begin = Instant::now() + BURST_EVERY;
    let handle = {
        let (seen, took) = (Arc::clone(&seen), Arc::clone(&took));
        move |number: u64| {
            let nanos = u64::try_from((Instant::now() - intended(begin, number)).as_nanos())?;
            seen.see(number)?;
            let took = usize::try_from(number).ok().and_then(|number| took.get(number));
            took.context("its number")?.store(nanos, Ordering::Relaxed);
            Ok(())
        }
    };
    let mut consuming = Consuming(tokio::spawn(Arc::clone(&system).consume(Arc::new(handle))));
    let before = Usage::of(&system.processes())?;
    let (runtime, to) = (Runtime::current(), Arc::clone(&system));
    // A thread of its own wakes in time, whatever the runtime has to do.
    let pacer = tokio::task::spawn_blocking(move || pace(&runtime, &to, begin, count));
    let mut publishing = pacer.await?;
    while let Some(published) = publishing.join_next().await {
        published??;
    }
    consuming.until(&seen, count).await?;
    let elapsed = begin.elapsed().saturating_sub(STEADY_WARM_UP);
    let after = Usage::of(&system.processes())?;
    settled(&system).await?;
    seen.each_once(count)?;
    let measured = took.iter().skip(usize::try_from(warm)?);
    let mut latencies: Vec<Duration> =
        measured.map(|nanos| Duration::from_nanos(nanos.load(Ordering::Relaxed))).collect();
    latencies.sort_unstable();
    let run = Run { elapsed, count: count - warm, latencies, ..Run::default() };
    Ok(run.with_usage(&before, &after, false))
}

/// When the event with this number is to be published.
fn intended(begin: Instant, number: u64) -> Instant {
    begin + Duration::from_nanos(number / BURST * u64::try_from(BURST_EVERY.as_nanos()).unwrap_or(u64::MAX))
}

fn pace(runtime: &Runtime, system: &System, begin: Instant, count: u64) -> JoinSet<anyhow::Result<()>> {
    let mut publishing = JoinSet::new();
    for number in 0..count {
        std::thread::sleep(intended(begin, number).saturating_duration_since(Instant::now()));
        let system = Arc::clone(system);
        let publisher = usize::try_from(number).unwrap_or_default();
        publishing.spawn_on(async move { system.publish(publisher, number).await }, runtime);
    }
    publishing
}
