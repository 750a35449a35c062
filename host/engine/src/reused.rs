//! Typed calls into instances that serve several, one after another and at the same time, as `http` does for requests.
//!
//! An instance with room stands in its function's list of free ones, and a call is laid down at one of those or begins a
//! new one. An instance that computes takes no further call; one whose calls all wait does. It ends after its number of
//! calls, when it is idle, when it traps, and when nobody waits for any of its calls any more; one call that was given
//! up closes it to new ones. So there are never more busy instances than calls that the mesh has admitted.

use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Instant;

use futures::StreamExt as _;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use futures::task::AtomicWaker;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use wasmtime::component::{Accessor, Func, Instance, Val};
use wasmtime::{AsContextMut as _, Store, StoreContextMut};
use wasmtime_wasi_http::handler::{WorkerExpiration as _, WorkerStatus};

use weft_core::{Failure, Fault, Invocation, Reason};

use crate::background::is_at_the_side;
use crate::function::{Export, Function};
use crate::instance::exported;
use crate::life::{Expiration, Life};
use crate::limits;
use crate::spec::ReuseSpec;
use crate::state::StoreData;
use crate::trap;

type Answer = Result<Vec<Val>, Failure>;

/// A call on its way to an instance.
struct Call {
    invocation: Invocation<Val>,
    answer: oneshot::Sender<Answer>,
}

/// The instances of one function that have room for a call. The one used last is used first, so that others fall idle.
#[derive(Default)]
pub(crate) struct Instances(Mutex<Vec<Arc<Seat>>>);

/// Where a call is laid down for an instance.
#[derive(Default)]
struct Seat {
    call: Mutex<Option<Call>>,
    worker: AtomicWaker,
}

impl Instances {
    fn free(&self) -> MutexGuard<'_, Vec<Arc<Seat>>> {
        locked(&self.0)
    }

    /// Lays a call down at an instance with room; gives it back if there is none.
    fn lay_down(&self, call: Call) -> Option<Call> {
        let mut free = self.free();
        let Some(seat) = free.pop() else { return Some(call) };
        *locked(&seat.call) = Some(call);
        drop(free);
        seat.worker.wake();
        None
    }

    /// Takes an instance off the list; gives back the call that was laid down there before.
    fn withdraw(&self, seat: &Arc<Seat>) -> Option<Call> {
        let mut free = self.free();
        free.retain(|other| !Arc::ptr_eq(other, seat));
        locked(&seat.call).take()
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs a call in an instance that has room, or in a new one.
pub(crate) fn run(
    function: &Arc<Function>,
    reuse: ReuseSpec,
    invocation: Invocation<Val>,
) -> BoxFuture<'static, Answer> {
    let component = invocation.target.component.clone();
    let (answer, answered) = oneshot::channel();
    if let Some(call) = function.instances.lay_down(Call { invocation, answer }) {
        function.spawn(serve(function.clone(), reuse, call));
    }
    Box::pin(async move {
        answered.await.unwrap_or_else(|_| {
            let message = format!("function {component} stopped without an answer");
            Err(Failure::unknown(Fault::Host, Reason::Internal, message))
        })
    })
}

/// The life of one instance, which begins with a call.
async fn serve(function: Arc<Function>, reuse: ReuseSpec, first: Call) {
    let mut store = function.reusable_store(false);
    let pauses = store.data().limits.pauses();
    let instance = match pauses.of(function.pre.instantiate_async(&mut store)).await {
        Ok(instance) => instance,
        Err(error) => {
            let failure = trap::not_begun(&function.spec.id, &error, store.data().limits.exceeded);
            // Whoever has given up needs no reason.
            let _ = first.answer.send(Err(failure));
            return;
        }
    };
    let worker = Worker {
        place: Place { function, reuse, seat: Arc::default(), is_free: AtomicBool::new(false) },
        instance,
        life: Arc::default(),
        callers: Mutex::default(),
        served: AtomicUsize::new(0),
        is_closed: AtomicBool::new(false),
        at_the_side: is_at_the_side(),
        all_wait: AtomicBool::new(true),
        was_reached: AtomicBool::new(false),
        status: Mutex::new((WorkerStatus::Idle, Instant::now())),
    };
    let ended = drive(&worker, &mut store, first).await;
    worker.end(ended, &store);
}

/// Runs calls until the instance ends.
async fn drive(worker: &Worker, store: &mut Store<StoreData>, first: Call) -> wasmtime::Result<()> {
    let clock = worker.place.function.shared.clock.clone();
    let pauses = store.data().limits.pauses();
    let mut expiration = pin!(Expiration::new(clock, worker.life.clone(), pauses.clone()));
    let mut calls = pin!(store.run_concurrent(async |accessor| worker.calls(accessor, first).await));
    std::future::poll_fn(|cx| {
        loop {
            worker.was_reached.store(false, Relaxed);
            if let Poll::Ready(ended) = calls.as_mut().poll(cx) {
                return Poll::Ready(ended.and_then(|ended| ended));
            }
            pauses.note();
            // It computes, or blocks in a call to the host: who waited for it goes elsewhere.
            if !worker.was_reached.load(Relaxed)
                && let Some(call) = worker.place.withdraw()
            {
                worker.place.pass_on(call);
            }
            // From out here such an instance can be ended as well.
            if worker.is_abandoned(cx) {
                return Poll::Ready(Ok(()));
            }
            let (status, since) = *locked(&worker.status);
            // The deadlines of calls are the mesh's: it gives them up.
            if status != WorkerStatus::Requests && expiration.as_mut().poll(cx, status, since).is_ready() {
                return Poll::Ready(Ok(()));
            }
            // Whatever still runs waits for something, so there may be room for another call.
            if worker.all_wait.swap(true, Relaxed) {
                return Poll::Pending;
            }
        }
    })
    .await
}

/// An instance's place among those of its function. When it is dropped, a call that was laid down there goes on to
/// another instance.
struct Place {
    function: Arc<Function>,
    reuse: ReuseSpec,
    seat: Arc<Seat>,
    /// Whether it is on the list, or was until a call took it off.
    is_free: AtomicBool,
}

impl Place {
    /// The call that was laid down. None can be where the instance was not free.
    fn take(&self, cx: &Context<'_>) -> Option<Call> {
        if !self.is_free.load(Relaxed) {
            return None;
        }
        self.seat.worker.register(cx.waker());
        let call = locked(&self.seat.call).take()?;
        self.is_free.store(false, Relaxed);
        Some(call)
    }

    /// Puts it on the list.
    fn offer(&self, cx: &Context<'_>) {
        if !self.is_free.swap(true, Relaxed) {
            // Before anybody can wake it.
            self.seat.worker.register(cx.waker());
            self.function.instances.free().push(self.seat.clone());
        }
    }

    /// Takes it off the list; gives back a call that came meanwhile.
    fn withdraw(&self) -> Option<Call> {
        if self.is_free.swap(false, Relaxed) { self.function.instances.withdraw(&self.seat) } else { None }
    }

    /// Hands a call on to another instance.
    fn pass_on(&self, call: Call) {
        let Some(call) = self.function.instances.lay_down(call) else { return };
        // Without a runtime the process ends, and so does the call.
        if Handle::try_current().is_ok() {
            self.function.spawn(serve(self.function.clone(), self.reuse, call));
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(call) = self.withdraw() {
            self.pass_on(call);
        }
    }
}

/// One instance at work.
struct Worker {
    place: Place,
    instance: Instance,
    life: Arc<Life>,
    /// Who waits for a call that runs, by its number.
    callers: Mutex<Vec<(usize, oneshot::Sender<Answer>)>>,
    /// Calls that it has taken.
    served: AtomicUsize,
    /// It takes no more calls.
    is_closed: AtomicBool,
    /// Where it was made, and stays.
    at_the_side: bool,
    /// Whether all that runs waits for something outside the instance.
    all_wait: AtomicBool,
    /// Whether the event loop has come to look for calls since it was last polled.
    was_reached: AtomicBool,
    status: Mutex<(WorkerStatus, Instant)>,
}

impl Worker {
    /// Takes calls and runs them, inside the store's event loop, until the instance may end.
    async fn calls(&self, accessor: &Accessor<StoreData>, first: Call) -> wasmtime::Result<()> {
        let export = match exported(&self.place.function, &first.invocation.target) {
            Ok(export) => export,
            Err(failure) => {
                let _ = first.answer.send(Err(failure));
                return Ok(());
            }
        };
        // Asked whether the instance can be called at all.
        let func = accessor.with(|mut access| self.func(&mut access.as_context_mut(), export))?;
        let mut running = FuturesUnordered::new();
        running.push(self.call(accessor, first));
        std::future::poll_fn(|cx| {
            loop {
                while let Poll::Ready(Some(ended)) = running.poll_next_unpin(cx) {
                    if let Err(error) = ended {
                        return Poll::Ready(Err(error));
                    }
                }
                self.was_reached.store(true, Relaxed);
                if let Some(call) = self.place.take(cx) {
                    running.push(self.call(accessor, call));
                    continue;
                }
                if running.is_empty() {
                    self.all_wait.store(true, Relaxed);
                }
                let is_in_place = self.place.function.pace.is_long() == self.at_the_side;
                let is_open = is_in_place
                    && self.served.load(Relaxed) < self.place.reuse.max_requests
                    && !self.is_closed.load(Relaxed);
                let has_room = running.len() < self.place.reuse.max_concurrent && self.all_wait.load(Relaxed);
                if is_open && has_room && accessor.poll_ready_for_concurrent_call(func, cx).is_ready() {
                    self.place.offer(cx);
                } else if let Some(call) = self.place.withdraw() {
                    running.push(self.call(accessor, call));
                    continue;
                }
                if !running.is_empty() {
                    return Poll::Pending;
                }
                if accessor.poll_no_interesting_tasks(cx).is_pending() {
                    self.set_status(WorkerStatus::PostReturn);
                    return Poll::Pending;
                }
                if !is_open {
                    return Poll::Ready(Ok(()));
                }
                self.set_status(WorkerStatus::Idle);
                return Poll::Pending;
            }
        })
        .await
    }

    /// Runs one call. An error ends the instance, and [`Worker::end`] tells whoever waits.
    async fn call(&self, accessor: &Accessor<StoreData>, call: Call) -> wasmtime::Result<()> {
        let Call { invocation: Invocation { target, arguments, keyed: _, context }, answer } = call;
        if answer.is_closed() {
            return Ok(());
        }
        self.all_wait.store(false, Relaxed);
        let number = self.served.fetch_add(1, Relaxed);
        let export = match exported(&self.place.function, &target) {
            Ok(export) => export,
            Err(failure) => {
                // As everywhere here: whoever has given up needs no answer.
                let _ = answer.send(Err(failure));
                return Ok(());
            }
        };
        locked(&self.callers).push((number, answer));
        self.life.serve_until(context.deadline);
        self.set_status(WorkerStatus::Requests);
        let mut results = vec![Val::Bool(false); export.results];
        let (func, started) = accessor.with(|mut access| {
            let mut store = access.as_context_mut();
            let func = self.func(&mut store, export)?;
            let started = func.start_call_concurrent(&mut store, &arguments, &mut results)?;
            limits::begin_request(&mut store);
            store.data_mut().begin(started.task(), context);
            wasmtime::error::Ok((func, started))
        })?;
        func.finish_call_concurrent(accessor, started).await?;
        let caller = {
            let mut callers = locked(&self.callers);
            let at = callers.iter().position(|(of, _)| *of == number);
            at.map(|at| callers.swap_remove(at))
        };
        if let Some((_, answer)) = caller {
            let _ = answer.send(Ok(results));
        }
        Ok(())
    }

    fn func(&self, store: &mut StoreContextMut<'_, StoreData>, export: &Export) -> wasmtime::Result<Func> {
        let func = self.instance.get_func(store, export.index);
        func.ok_or_else(|| wasmtime::format_err!("the component does not export what it did when it was linked"))
    }

    fn set_status(&self, status: WorkerStatus) {
        let mut known = locked(&self.status);
        if known.0 != status {
            // Only idleness is measured from its beginning.
            let since = if status == WorkerStatus::Idle { Instant::now() } else { known.1 };
            *known = (status, since);
        }
    }

    /// Whether there were callers and none is left.
    fn is_abandoned(&self, cx: &mut Context<'_>) -> bool {
        let mut callers = locked(&self.callers);
        let gone = callers.iter_mut().filter_map(|(_, answer)| answer.poll_closed(cx).is_ready().then_some(())).count();
        if gone > 0 {
            self.is_closed.store(true, Relaxed);
        }
        gone > 0 && gone == callers.len()
    }

    /// Tells whoever still waits why there is no answer.
    fn end(self, ended: wasmtime::Result<()>, store: &Store<StoreData>) {
        let callers = std::mem::take(&mut *locked(&self.callers));
        let waiting: Vec<_> = callers.into_iter().filter(|(_, answer)| !answer.is_closed()).collect();
        if waiting.is_empty() {
            return;
        }
        let id = &self.place.function.spec.id;
        let failure = match ended {
            Err(error) => trap::classify(id, &error, store.data().limits.exceeded),
            // It ends by itself only when nobody waits.
            Ok(()) => {
                Failure::unknown(Fault::Host, Reason::Internal, format!("function {id} stopped without an answer"))
            }
        };
        for (_, answer) in waiting {
            let _ = answer.send(Err(failure.clone()));
        }
    }
}
