//! The life of an instance that serves several: it takes work, at the same time where what it has waits, tells those who wait
//! when it fails, and ends after its share of work, when it traps, and when a deadline passes. Where it is driven is `pool`'s business.
//!
//! An instance that computes takes no further work; one whose work all waits does. So there are never more busy instances
//! than work that the mesh has admitted.

use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use tokio::sync::oneshot;
use wasmtime::component::{Accessor, Func};
use wasmtime::{AsContextMut as _, Store, StoreContextMut};

use weft_core::{Failure, Fault, Reason};

use crate::background::{Pace, is_at_the_side};
use crate::function::Function;
use crate::life::Expiration;
use crate::meter::ticks;
use crate::pool::locked;
use crate::seat::Seat;
use crate::spec::{FunctionSpec, ReuseSpec};
use crate::state::StoreData;
use crate::trap;

/// So often an instance that is woken while it is driven goes on before others have their turn.
const MOST_TURNS: u32 = 16;

/// What an instance is to do: a typed call, or a request.
pub(crate) trait Work: Sized + Send + 'static {
    /// An instance, as far as such work needs to know it.
    type Instance: Send + Sync;
    /// Whether it is broken off when nobody waits for it any more.
    const BREAKS_OFF: bool;

    fn function(&self) -> &Arc<Function>;

    /// On the clock's monotonic time.
    fn deadline(&self) -> Duration;

    /// Whether nobody waits for it any more.
    fn is_given_up(&self) -> bool;

    /// What is kept as long as it may fail.
    fn ticket(&mut self) -> Ticket;

    /// It is not begun.
    fn refuse(self, failure: Failure);

    /// A store for an instance.
    fn store(&self) -> Store<StoreData>;

    fn instantiate(
        function: &Function,
        store: &mut Store<StoreData>,
    ) -> impl Future<Output = wasmtime::Result<Self::Instance>> + Send;

    /// What it calls, of an instance.
    fn func(&self, instance: &Self::Instance, store: &mut StoreContextMut<'_, StoreData>) -> Result<Func, Failure>;

    /// Does it. An error ends the instance, and whoever waits is told by the ticket.
    fn run(
        self,
        instance: &Self::Instance,
        accessor: &Accessor<StoreData>,
    ) -> impl Future<Output = wasmtime::Result<()>> + Send;
}

/// How somebody who waits learns that an instance has failed.
#[derive(Default)]
pub(crate) struct Ticket {
    pub failed: Option<oneshot::Sender<Failure>>,
    /// What is occupied as long as the instance lives.
    pub place: Option<Arc<dyn Send + Sync>>,
}

/// Work that an instance has taken.
struct Task {
    number: usize,
    deadline: Duration,
    is_done: bool,
    failed: Option<oneshot::Sender<Failure>>,
    _place: Option<Arc<dyn Send + Sync>>,
}

impl Task {
    /// Whoever would be told.
    fn waiting(self) -> Option<oneshot::Sender<Failure>> {
        self.failed.filter(|failed| !failed.is_closed())
    }
}

/// The life of one instance, which begins with work.
pub(crate) async fn live<W: Work>(seat: Arc<Seat<W>>, first: W) {
    let function = first.function().clone();
    let mut store = first.store();
    let meter = store.data().limits.meter();
    let instance = match meter.of(W::instantiate(&function, &mut store)).await {
        Ok(instance) => instance,
        Err(error) => {
            return first.refuse(trap::not_begun(&function.spec.id, &error, store.data().limits.exceeded));
        }
    };
    let worker = Worker {
        place: Place { seat, is_open: AtomicBool::new(false) },
        spec: function.spec.clone(),
        reuse: function.spec.reuse.unwrap_or(ReuseSpec { max_requests: 1, max_concurrent: 1 }),
        pace: function.pace.clone(),
        instance,
        tasks: Mutex::default(),
        latest: Mutex::default(),
        taken: AtomicUsize::new(0),
        is_closed: AtomicBool::new(false),
        has_expired: AtomicBool::new(false),
        all_wait: AtomicBool::new(true),
        was_reached: AtomicBool::new(false),
    };
    let expiration = Expiration::new(function.shared.clock.clone());
    // It may outlive its deployment, and does not keep it.
    drop(function);
    let ended = drive(&worker, &mut store, expiration, first).await;
    worker.end(ended, &store);
}

/// Does work until the instance ends.
async fn drive<W: Work>(
    worker: &Worker<W>,
    store: &mut Store<StoreData>,
    mut expiration: Expiration,
    first: W,
) -> wasmtime::Result<()> {
    let meter = store.data().limits.meter();
    let mut working = pin!(store.run_concurrent(async |accessor| worker.work(accessor, first).await));
    let seat = &worker.place.seat;
    std::future::poll_fn(|cx| {
        let (mut turns, began) = (0..MOST_TURNS, ticks());
        loop {
            worker.was_reached.store(false, Relaxed);
            seat.attend();
            if let Poll::Ready(ended) = meter.drive(|| working.as_mut().poll(cx)) {
                return Poll::Ready(ended.and_then(|ended| ended));
            }
            // It computes, or blocks in a call to the host: what was laid down for it goes elsewhere.
            if !worker.was_reached.load(Relaxed)
                && let Some(work) = worker.place.withdraw()
            {
                seat.pass_on(work);
            }
            // What it waits for comes mostly from itself, and at once: it goes on here, unless it computes.
            if seat.is_woken() && turns.next().is_some() && ticks() == began {
                continue;
            }
            if seat.is_done() {
                return Poll::Pending;
            }
            // From out here an instance can be ended also while its event loop is stuck.
            if worker.is_abandoned(cx) || worker.has_expired(&mut expiration, cx) {
                return Poll::Ready(Ok(()));
            }
            // Whatever still runs waits for something, so there may be room for more.
            if worker.all_wait.swap(true, Relaxed) {
                return Poll::Pending;
            }
        }
    })
    .await
}

/// An instance's place among those of its function. When it is dropped, what was laid down there goes on to another.
struct Place<W: Work> {
    seat: Arc<Seat<W>>,
    /// Whether it has said that there is room, and not that there is none. Work may have been laid down since.
    is_open: AtomicBool,
}

impl<W: Work> Place<W> {
    fn take(&self) -> Option<W> {
        let work = self.seat.take()?;
        self.is_open.store(false, Relaxed);
        Some(work)
    }

    fn offer(&self) {
        if !self.is_open.swap(true, Relaxed) {
            self.seat.offer();
        }
    }

    fn withdraw(&self) -> Option<W> {
        if self.is_open.swap(false, Relaxed) { self.seat.withdraw() } else { None }
    }
}

impl<W: Work> Drop for Place<W> {
    fn drop(&mut self) {
        if let Some(work) = self.withdraw() {
            self.seat.pass_on(work);
        }
    }
}

/// One instance at work.
struct Worker<W: Work> {
    place: Place<W>,
    spec: Arc<FunctionSpec>,
    reuse: ReuseSpec,
    pace: Arc<Pace>,
    instance: W::Instance,
    /// What it has taken and may still fail.
    tasks: Mutex<Vec<Task>>,
    /// The latest deadline of all that it has taken.
    latest: Mutex<Duration>,
    /// How much it has taken.
    taken: AtomicUsize,
    /// It takes no more.
    is_closed: AtomicBool,
    /// A deadline has passed and it was ended.
    has_expired: AtomicBool,
    /// Whether all that runs waits for something outside the instance.
    all_wait: AtomicBool,
    /// Whether the event loop has come to look for work since it was last polled.
    was_reached: AtomicBool,
}

impl<W: Work> Worker<W> {
    /// Takes work and does it, inside the store's event loop, until the instance may end.
    async fn work(&self, accessor: &Accessor<StoreData>, first: W) -> wasmtime::Result<()> {
        // Asked whether the instance can be called at all.
        let func = match accessor.with(|mut access| first.func(&self.instance, &mut access.as_context_mut())) {
            Ok(func) => func,
            Err(failure) => {
                first.refuse(failure);
                return Ok(());
            }
        };
        let mut running = FuturesUnordered::new();
        running.push(self.task(accessor, first));
        std::future::poll_fn(|cx| {
            loop {
                while let Poll::Ready(Some(ended)) = running.poll_next_unpin(cx) {
                    if let Err(error) = ended {
                        return Poll::Ready(Err(error));
                    }
                }
                self.was_reached.store(true, Relaxed);
                if let Some(work) = self.place.take() {
                    running.push(self.task(accessor, work));
                    continue;
                }
                if running.is_empty() {
                    self.all_wait.store(true, Relaxed);
                }
                let is_open = self.is_open();
                let is_done = running.is_empty() && accessor.poll_no_interesting_tasks(cx).is_ready();
                let can_be_called = is_open && accessor.poll_ready_for_concurrent_call(func, cx).is_ready();
                let has_room = running.len() < self.reuse.max_concurrent && self.all_wait.load(Relaxed);
                if can_be_called && has_room && !is_done {
                    self.place.offer();
                } else if let Some(work) = self.place.withdraw() {
                    running.push(self.task(accessor, work));
                    continue;
                }
                if !is_done {
                    return Poll::Pending;
                }
                // Nothing is left that could fail.
                locked(&self.tasks).clear();
                if !can_be_called {
                    return Poll::Ready(Ok(()));
                }
                self.place.seat.finish();
                return Poll::Pending;
            }
        })
        .await
    }

    /// Whether it takes more, where it runs now.
    fn is_open(&self) -> bool {
        !self.is_closed.load(Relaxed)
            && self.taken.load(Relaxed) < self.reuse.max_requests
            && self.pace.is_long() == is_at_the_side()
    }

    /// Does one piece of work.
    async fn task(&self, accessor: &Accessor<StoreData>, mut work: W) -> wasmtime::Result<()> {
        if work.is_given_up() {
            return Ok(());
        }
        self.all_wait.store(false, Relaxed);
        let number = self.taken.fetch_add(1, Relaxed);
        let (Ticket { failed, place }, deadline) = (work.ticket(), work.deadline());
        {
            let mut latest = locked(&self.latest);
            *latest = deadline.max(*latest);
            let mut tasks = locked(&self.tasks);
            tasks.retain(|task| !task.is_done || task.failed.as_ref().is_some_and(|failed| !failed.is_closed()));
            tasks.push(Task { number, deadline, is_done: false, failed, _place: place });
        }
        work.run(&self.instance, accessor).await?;
        let mut tasks = locked(&self.tasks);
        if W::BREAKS_OFF {
            tasks.retain(|task| task.number != number);
        } else if let Some(task) = tasks.iter_mut().find(|task| task.number == number) {
            // What it has answered with may be on its way still.
            task.is_done = true;
        }
        Ok(())
    }

    /// Whether there was somebody who waited and nobody is left. One who has gone closes the instance.
    fn is_abandoned(&self, cx: &mut Context<'_>) -> bool {
        if !W::BREAKS_OFF {
            return false;
        }
        let mut tasks = locked(&self.tasks);
        let mut gone = |task: &mut Task| task.failed.as_mut().is_none_or(|failed| failed.poll_closed(cx).is_ready());
        let gone = tasks.iter_mut().filter_map(|task| gone(task).then_some(())).count();
        if gone > 0 {
            self.is_closed.store(true, Relaxed);
        }
        gone > 0 && gone == tasks.len()
    }

    /// Whether the latest deadline has passed. One that has passed closes the instance, and the rest goes on.
    fn has_expired(&self, expiration: &mut Expiration, cx: &mut Context<'_>) -> bool {
        let latest = *locked(&self.latest);
        if !self.is_closed.load(Relaxed) {
            let tasks = locked(&self.tasks);
            let next = tasks.iter().filter(|task| !task.is_done).map(|task| task.deadline).min();
            if expiration.poll(cx, next.unwrap_or(latest)).is_pending() {
                return false;
            }
            self.is_closed.store(true, Relaxed);
        }
        let has_expired = expiration.poll(cx, latest).is_ready();
        self.has_expired.store(has_expired, Relaxed);
        has_expired
    }

    /// Tells whoever still waits why there is no answer.
    fn end(self, ended: wasmtime::Result<()>, store: &Store<StoreData>) {
        let tasks = std::mem::take(&mut *locked(&self.tasks));
        let waiting: Vec<_> = tasks.into_iter().filter_map(Task::waiting).collect();
        if waiting.is_empty() {
            return;
        }
        let id = &self.spec.id;
        let failure = match ended {
            Err(error) => trap::classify(id, &error, store.data().limits.exceeded),
            Ok(()) if self.has_expired.load(Relaxed) => late(id),
            // It ends by itself only when nobody waits.
            Ok(()) => stopped(id),
        };
        for failed in waiting {
            // A request that was given up meanwhile needs no reason.
            let _ = failed.send(failure.clone());
        }
    }
}

/// A function that has not answered in time.
pub(crate) fn late(function: &str) -> Failure {
    Failure::unknown(Fault::Guest, Reason::Deadline, format!("function {function} took too long"))
}

/// An instance that is gone without a reason.
pub(crate) fn stopped(function: &str) -> Failure {
    Failure::unknown(Fault::Host, Reason::Internal, format!("function {function} stopped without an answer"))
}
