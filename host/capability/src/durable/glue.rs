//! The WIT interfaces `weft:durable/journal` and `weft:durable/handles` over the saga engine. It keeps the runs that an
//! instance holds (dropping the instance leaves them to recovery), opens and closes the gate around attempts, and
//! answers `not-found` for sagas that the component may not see. What the calls mean is the engine's business.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use wasmtime::component::{Access, Accessor, HasData, Linker};

use weft_durable::{Begun, By, Phase, Run, SagaClock, Sagas, Starter};

use crate::gate::{Gate, OpenStep};
use bindings::weft::durable::{handles, journal, types as wit};

mod convert;

mod bindings {
    wasmtime::component::bindgen!({
        path: ["../../wit/weft-durable"],
        inline: "
            package weft:durable-host;
            world host {
                import weft:durable/journal@0.1.0;
                import weft:durable/handles@0.1.0;
            }
        ",
        world: "weft:durable-host/host",
        imports: { default: trappable },
        require_store_data_send: true,
    });
}

/// How long a call waits for a run of its saga elsewhere, in milliseconds. Its instance and its place among the calls
/// of the component wait with it, and the saga may take for ever.
const LONGEST_WAIT_MS: u32 = 60_000;

/// What one instance has of the durable capability.
#[derive(Debug)]
pub struct DurableState {
    sagas: Option<Sagas>,
    starter: Starter,
    gate: Gate,
    visible: Arc<BTreeSet<Arc<str>>>,
    runs: HashMap<wit::Lease, Held>,
}

/// A run that the instance holds.
#[derive(Debug)]
struct Held {
    run: Arc<Run>,
    /// Keys of the steps whose attempts are open, by name and phase.
    open: HashMap<(String, Phase), Arc<str>>,
}

impl DurableState {
    /// The state of an instance of `component` with the code `digest`. Without `sagas` every call is unavailable;
    /// `handles` sees the sagas of the components `visible`.
    #[must_use]
    pub fn new(
        sagas: Option<Sagas>,
        component: Arc<str>,
        digest: Arc<str>,
        gate: Gate,
        visible: Arc<BTreeSet<Arc<str>>>,
    ) -> Self {
        let starter = Starter { component, digest, correlation_id: None, clock: SagaClock::default() };
        Self { sagas, starter, gate, visible, runs: HashMap::new() }
    }

    /// Says which business operation the instance serves; a saga that it begins carries this on.
    pub fn set_call(&mut self, correlation_id: Option<Arc<str>>) {
        self.starter.correlation_id = correlation_id;
    }

    /// The clock that the instance's code has to be shown, if its component is durable.
    #[must_use]
    pub fn clock(&self) -> SagaClock {
        self.starter.clock.clone()
    }

    fn sagas(&self) -> Result<Sagas, wit::Error> {
        self.sagas.clone().ok_or_else(|| wit::Error::Unavailable("this host keeps no sagas".to_owned()))
    }

    fn run(&self, lease: wit::Lease) -> Result<Arc<Run>, wit::Error> {
        self.runs.get(&lease).map(|held| Arc::clone(&held.run)).ok_or(wit::Error::LeaseLost)
    }

    fn hold(&mut self, run: Arc<Run>) -> wit::Lease {
        let lease = run.lease();
        self.runs.insert(lease, Held { run, open: HashMap::new() });
        lease
    }

    /// Ends what this instance has of a run: its steps' effects are refused from now on.
    fn release(&mut self, lease: wit::Lease) {
        for key in self.runs.remove(&lease).into_iter().flat_map(|held| held.open.into_values()) {
            self.gate.close_step(&key);
        }
    }

    /// Opens the gate for an attempt, until it is left or times out.
    fn open_step(&mut self, lease: wit::Lease, step: (String, Phase), key: &str, timeout: Duration) {
        let (Some(sagas), Some(held)) = (&self.sagas, self.runs.get_mut(&lease)) else { return };
        let key: Arc<str> = key.into();
        held.open.insert(step, Arc::clone(&key));
        self.gate.open_step(OpenStep { key, deadline: sagas.clock().monotonic() + timeout });
    }

    fn close_step(&mut self, lease: wit::Lease, step: &(String, Phase)) {
        let held = self.runs.get_mut(&lease);
        if let Some(key) = held.and_then(|held| held.open.remove(step)) {
            self.gate.close_step(&key);
        }
    }

    /// The engine, for a component that asks after sagas from outside.
    fn outside(&self) -> Result<Sagas, wit::Error> {
        self.gate.check().map_err(|closed| wit::Error::Denied(closed.to_string()))?;
        self.sagas()
    }

    /// The engine, for a component that asks after the saga `key`, and that component's name.
    fn seen_from_outside(&self, key: &str) -> Result<(Sagas, String), wit::Error> {
        let sagas = self.outside()?;
        self.see(&sagas, key)?;
        Ok((sagas, self.starter.component.to_string()))
    }

    fn see(&self, sagas: &Sagas, key: &str) -> Result<(), wit::Error> {
        let visible = sagas.component_of(key).is_some_and(|component| self.visible.contains(&component));
        if visible { Ok(()) } else { Err(wit::Error::NotFound) }
    }
}

/// Links `weft:durable` into `linker`; `state` finds an instance's state.
///
/// # Errors
/// If an interface is linked already.
pub fn add_to_linker<T: Send + 'static>(
    linker: &mut Linker<T>,
    state: fn(&mut T) -> &mut DurableState,
) -> wasmtime::Result<()> {
    wit::add_to_linker::<T, Durable>(linker, state)?;
    journal::add_to_linker::<T, Durable>(linker, state)?;
    handles::add_to_linker::<T, Durable>(linker, state)
}

/// Tells wasmtime what the host functions see of a store.
struct Durable;

impl HasData for Durable {
    type Data<'a> = &'a mut DurableState;
}

type Answer<T> = wasmtime::Result<Result<T, wit::Error>>;

/// Looks at the state of the instance, between waits.
fn with<T, R>(store: &Accessor<T, Durable>, look: impl FnOnce(&mut DurableState) -> R) -> R {
    store.with(|mut access: Access<'_, T, Durable>| look(access.get()))
}

impl wit::Host for DurableState {}

impl journal::Host for DurableState {
    fn seen(&mut self, lease: wit::Lease, kind: wit::EventKind, name: String) -> wasmtime::Result<()> {
        // A run that has ended tells nothing more.
        let Ok(run) = self.run(lease) else { return Ok(()) };
        run.seen(kind.into(), &name);
        let phase = match kind {
            wit::EventKind::Do => Phase::Do,
            wit::EventKind::Undo => Phase::Undo,
            wit::EventKind::Timer | wit::EventKind::Signal | wit::EventKind::Child => return Ok(()),
        };
        self.close_step(lease, &(name, phase));
        Ok(())
    }

    fn now(&mut self, lease: wit::Lease) -> wasmtime::Result<u64> {
        // Code whose run has ended is shown what it was shown last.
        Ok(self.run(lease).map_or_else(|_| self.starter.clock.now_ms(), |run| run.clock().now_ms()))
    }
}

impl handles::Host for DurableState {}

impl<T: Send> journal::HostWithStore<T> for Durable {
    async fn begin(store: &Accessor<T, Self>, function: String, key: String, input: Vec<u8>) -> Answer<journal::Begun> {
        let begin = async {
            let (sagas, starter) = with(store, |state| Ok::<_, wit::Error>((state.sagas()?, state.starter.clone())))?;
            Ok(match sagas.begin(&starter, &function, &key, &input).await? {
                Begun::Finished(answer) => journal::Begun::Finished(answer),
                Begun::Run(run) => {
                    let (generation, input) = (run.generation(), run.input().to_vec());
                    let lease = with(store, |state| state.hold(run));
                    journal::Begun::Run(journal::Running { lease, generation, input })
                }
                Begun::Busy => journal::Begun::Busy,
            })
        };
        Ok(begin.await)
    }

    async fn load(store: &Accessor<T, Self>, key: String) -> Answer<(String, Vec<u8>)> {
        Ok(with(store, |state| Ok(state.sagas()?.load(&state.starter.component, &key)?)))
    }

    async fn enter(
        store: &Accessor<T, Self>,
        lease: wit::Lease,
        name: String,
        phase: wit::Phase,
        options: wit::StepOptions,
    ) -> Answer<wit::Entered> {
        let enter = async {
            let (run, phase) = (with(store, |state| state.run(lease))?, phase.into());
            let timeout = Duration::from_millis(options.timeout_ms.into());
            Ok(match run.enter(&name, phase, options.into()).await? {
                weft_durable::Entered::Recorded(recording) => wit::Entered::Recorded(recording.into()),
                weft_durable::Entered::Execute(weft_durable::Execution { attempt, key }) => {
                    with(store, |state| state.open_step(lease, (name, phase), &key, timeout));
                    wit::Entered::Execute(wit::Execution { attempt, key })
                }
            })
        };
        Ok(settle(store, lease, enter.await))
    }

    async fn leave(
        store: &Accessor<T, Self>,
        lease: wit::Lease,
        name: String,
        phase: wit::Phase,
        result: wit::AttemptResult,
    ) -> Answer<wit::Left> {
        let leave = async {
            let step = (name, phase.into());
            let run = with(store, |state| {
                state.close_step(lease, &step);
                state.run(lease)
            })?;
            let (name, phase) = step;
            Ok(match run.leave(&name, phase, result.into()).await? {
                weft_durable::Left::Settled(recording) => wit::Left::Settled(recording.into()),
                weft_durable::Left::Again => wit::Left::Again,
            })
        };
        Ok(settle(store, lease, leave.await))
    }

    async fn sleep(
        store: &Accessor<T, Self>,
        lease: wit::Lease,
        name: String,
        duration_ms: u64,
    ) -> Answer<wit::Recording> {
        let sleep = async { Ok(with(store, |state| state.run(lease))?.sleep(&name, duration_ms).await?.into()) };
        Ok(settle(store, lease, sleep.await))
    }

    async fn signal(
        store: &Accessor<T, Self>,
        lease: wit::Lease,
        name: String,
        timeout_ms: Option<u64>,
    ) -> Answer<wit::Recording> {
        let signal = async { Ok(with(store, |state| state.run(lease))?.signal(&name, timeout_ms).await?.into()) };
        Ok(settle(store, lease, signal.await))
    }

    async fn child(store: &Accessor<T, Self>, lease: wit::Lease, name: String, key: String) -> Answer<wit::Recording> {
        let child = async {
            let run = with(store, |state| {
                let sagas = state.sagas()?;
                // One that is not known any more may have ended long ago: what was recorded of it holds.
                if sagas.component_of(&key).is_some() {
                    state.see(&sagas, &key)?;
                }
                state.run(lease)
            })?;
            Ok(run.child(&name, &key).await?.into())
        };
        Ok(settle(store, lease, child.await))
    }

    async fn expose(store: &Accessor<T, Self>, lease: wit::Lease, name: String, value: Vec<u8>) -> Answer<()> {
        let exposed = with(store, |state| Ok(state.run(lease)?.expose(&name, value)?));
        Ok(settle(store, lease, exposed))
    }

    async fn set_attributes(
        store: &Accessor<T, Self>,
        lease: wit::Lease,
        attributes: Vec<(String, String)>,
    ) -> Answer<()> {
        let set = with(store, |state| Ok(state.run(lease)?.set_attributes(attributes)?));
        Ok(settle(store, lease, set))
    }

    async fn set_deadline(store: &Accessor<T, Self>, lease: wit::Lease, after_ms: u64) -> Answer<()> {
        let set = with(store, |state| Ok(state.run(lease)?.set_deadline(after_ms)?));
        Ok(settle(store, lease, set))
    }

    async fn continue_as_new(store: &Accessor<T, Self>, lease: wit::Lease, input: Vec<u8>) -> Answer<()> {
        let go_on = async {
            with(store, |state| state.run(lease))?.continue_as_new(input).await?;
            with(store, |state| state.release(lease));
            Ok(())
        };
        Ok(settle(store, lease, go_on.await))
    }

    async fn finish(store: &Accessor<T, Self>, lease: wit::Lease, failed: bool, answer: Vec<u8>) -> Answer<()> {
        let finish = async {
            with(store, |state| state.run(lease))?.finish(failed, answer).await?;
            with(store, |state| state.release(lease));
            Ok(())
        };
        Ok(settle(store, lease, finish.await))
    }

    async fn wait(store: &Accessor<T, Self>, key: String) -> Answer<Vec<u8>> {
        let wait = async {
            let sagas = with(store, |state| {
                let sagas = state.sagas()?;
                let own = sagas.component_of(&key).is_some_and(|component| component == state.starter.component);
                if own { Ok(sagas) } else { Err(wit::Error::NotFound) }
            })?;
            let answer = sagas.wait_for(&key, LONGEST_WAIT_MS).await?;
            answer.ok_or_else(|| wit::Error::Unavailable(format!("saga {key} goes on and has not answered yet")))
        };
        Ok(wait.await)
    }
}

/// A run that has to stop is let go at once, so that another one can have the saga.
fn settle<T, R>(
    store: &Accessor<T, Durable>,
    lease: wit::Lease,
    result: Result<R, wit::Error>,
) -> Result<R, wit::Error> {
    if matches!(result, Err(wit::Error::LeaseLost)) {
        with(store, |state| state.release(lease));
    }
    result
}

impl<T: Send> handles::HostWithStore<T> for Durable {
    async fn started(store: &Accessor<T, Self>, key: String) -> Answer<()> {
        let started = async {
            let sagas = with(store, |state| state.outside())?;
            sagas.started(&key).await?;
            with(store, |state| state.see(&sagas, &key))
        };
        Ok(started.await)
    }

    async fn status(store: &Accessor<T, Self>, key: String) -> Answer<wit::SagaView> {
        Ok(with(store, |state| {
            let (sagas, _) = state.seen_from_outside(&key)?;
            Ok(sagas.show(&key)?.into())
        }))
    }

    async fn wait(store: &Accessor<T, Self>, key: String, timeout_ms: u32) -> Answer<Option<Vec<u8>>> {
        let wait = async {
            let (sagas, _) = with(store, |state| state.seen_from_outside(&key))?;
            Ok(sagas.wait_for(&key, timeout_ms).await?)
        };
        Ok(wait.await)
    }

    async fn signal(store: &Accessor<T, Self>, key: String, name: String, id: String, payload: Vec<u8>) -> Answer<()> {
        let signal = async {
            let (sagas, _) = with(store, |state| state.seen_from_outside(&key))?;
            Ok(sagas.signal(&key, &name, &id, payload).await?)
        };
        Ok(signal.await)
    }

    async fn query(store: &Accessor<T, Self>, key: String, name: String) -> Answer<Option<Vec<u8>>> {
        let (sagas, _) = match with(store, |state| state.seen_from_outside(&key)) {
            Ok(sagas) => sagas,
            Err(error) => return Ok(Err(error)),
        };
        Ok(sagas.query(&key, &name).map_err(wit::Error::from))
    }

    async fn cancel(store: &Accessor<T, Self>, key: String, reason: String) -> Answer<()> {
        let cancel = async {
            let (sagas, actor) = with(store, |state| state.seen_from_outside(&key))?;
            Ok(sagas.cancel(&key, &By { actor, reason }).await?)
        };
        Ok(cancel.await)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use futures::executor::block_on;

    use weft_core::clock::ManualClock;
    use weft_core::disk::SimulatedDisk;
    use weft_durable::SagaOptions;

    use super::*;

    fn state(durable: bool) -> DurableState {
        let clock = Arc::new(ManualClock::at_ms(1000));
        let disk = Arc::new(SimulatedDisk::new());
        let (sagas, _) = Sagas::open(disk, Path::new("/journal"), clock, &SagaOptions::default()).unwrap();
        let visible = Arc::new(BTreeSet::from([Arc::from("mine")]));
        DurableState::new(Some(sagas), "mine".into(), "d".into(), Gate::new(durable), visible)
    }

    fn held(state: &mut DurableState) -> wit::Lease {
        let begun = block_on(state.sagas.as_ref().unwrap().begin(&state.starter, "f", "k", b""));
        let Ok(Begun::Run(run)) = begun else { panic!("{begun:?}") };
        state.hold(run)
    }

    #[test]
    fn effects_are_let_through_only_while_an_attempt_is_open() {
        let mut state = state(true);
        let lease = held(&mut state);
        let step = ("pay".to_owned(), Phase::Do);
        assert!(state.gate.check().is_err());
        state.open_step(lease, step.clone(), "k/pay#1", Duration::from_secs(30));
        assert!(state.gate.check().is_ok());
        let open = state.gate.step(None).unwrap();
        assert_eq!((&*open.key, open.deadline), ("k/pay#1", Duration::from_secs(31)));
        state.close_step(lease, &step);
        assert!(state.gate.check().is_err());
        // An attempt that was given up, as the loser of a race, ends with its run.
        state.open_step(lease, step, "k/pay#1", Duration::from_secs(30));
        state.release(lease);
        assert!(state.gate.check().is_err());
        assert!(matches!(state.run(lease), Err(wit::Error::LeaseLost)));
    }

    #[test]
    fn sagas_of_other_components_are_not_found() {
        let mut own = state(false);
        held(&mut own);
        let sagas = own.outside().unwrap();
        own.see(&sagas, "k").unwrap();
        assert!(matches!(own.see(&sagas, "unknown"), Err(wit::Error::NotFound)));
        own.visible = Arc::default();
        assert!(matches!(own.see(&sagas, "k"), Err(wit::Error::NotFound)));
    }

    #[test]
    fn sagas_are_not_asked_after_between_steps_and_not_without_an_engine() {
        let durable = state(true);
        assert!(matches!(durable.outside(), Err(wit::Error::Denied(_))));
        let none = DurableState { sagas: None, ..state(false) };
        assert!(matches!(none.outside(), Err(wit::Error::Unavailable(_))));
    }

    #[test]
    fn the_code_sees_the_time_of_its_journal() {
        let mut state = state(true);
        assert_eq!(state.clock().now_ms(), 0);
        let lease = held(&mut state);
        assert_eq!(state.clock().now_ms(), 1000);
        assert_eq!(journal::Host::now(&mut state, lease).unwrap(), 1000);
        state.release(lease);
        assert_eq!(journal::Host::now(&mut state, lease).unwrap(), 1000);
    }
}
