//! What travels with a call that an instance makes: the context of the request that the calling task serves. An
//! instance that serves several requests at once holds several contexts, told apart by wasmtime's task ids.

use std::time::Duration;

use wasmtime::StoreContextMut;
use wasmtime::component::GuestTaskId;

use weft_core::{CallContext, MAX_DEPTH, StepScope};

use crate::state::StoreData;

/// The contexts of the requests that an instance serves.
#[derive(Debug, Default)]
pub(crate) struct Calling {
    /// The one that all tasks belong to, unless they are told apart below.
    current: Option<CallContext>,
    by_task: Vec<(GuestTaskId, CallContext)>,
    /// The task whose context the capabilities have.
    followed: Option<GuestTaskId>,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum CallingError {
    #[error("calls are nested more than {MAX_DEPTH} deep")]
    TooDeep,
    #[error("no request is being served")]
    NoRequest,
}

impl Calling {
    /// For an instance that serves one request.
    pub fn one(context: CallContext) -> Self {
        Self { current: Some(context), by_task: Vec::new(), followed: None }
    }

    /// Notes which task serves a request. An id is given again once its task has ended, and takes the place of the old.
    pub fn begin(&mut self, task: GuestTaskId, context: CallContext) {
        self.current = Some(context.clone());
        self.by_task.retain(|(ended, _)| *ended != task);
        self.by_task.push((task, context));
        self.followed = Some(task);
    }

    /// Gives the capabilities the context of the task that runs in `store` now: in an instance that serves several
    /// requests at once, each of its effects carries the trace of its own request.
    pub fn follow(mut store: StoreContextMut<'_, StoreData>) {
        if store.data().calling.by_task.len() < 2 {
            return;
        }
        let Some(task) = root_task(&mut store) else { return };
        let data = store.data_mut();
        if data.calling.followed != Some(task)
            && let Some(context) = data.calling.of_task(task).cloned()
        {
            data.calling.followed = Some(task);
            data.capabilities.serve(&context);
        }
    }

    /// Forgets contexts whose deadline has passed: their tasks have answered or were given up.
    pub fn forget_before(&mut self, now: Duration) {
        self.by_task.retain(|(_, context)| context.deadline >= now);
    }

    /// The context for a call made by the task that runs in `store` now.
    /// `key` is the call's first argument, which tells steps that run together apart.
    pub fn of(store: &mut StoreContextMut<'_, StoreData>, key: Option<&str>) -> Result<CallContext, CallingError> {
        let context = Self::served(store)?;
        let data = store.data();
        let depth = context.depth + 1;
        if depth > MAX_DEPTH {
            return Err(CallingError::TooDeep);
        }
        let step = data.gate.step(key);
        // A step has its own deadline, whatever waits for the saga.
        let deadline = step.as_ref().map_or(context.deadline, |step| step.deadline);
        Ok(CallContext {
            caller: Some(data.function.id.clone()),
            deadline,
            trace: context.trace,
            depth,
            step: step.map(|step| StepScope { key: step.key }),
            mirrored: context.mirrored,
            origin: context.origin,
            generation: context.generation,
        })
    }

    fn served(store: &mut StoreContextMut<'_, StoreData>) -> Result<CallContext, CallingError> {
        let found = if store.data().calling.by_task.len() > 1 {
            // Never that of another request: a task that has outlived its own deadline makes no calls.
            root_task(store).and_then(|task| store.data().calling.of_task(task).cloned())
        } else {
            store.data().calling.current.clone()
        };
        found.ok_or(CallingError::NoRequest)
    }

    fn of_task(&self, task: GuestTaskId) -> Option<&CallContext> {
        self.by_task.iter().find(|(of, _)| *of == task).map(|(_, context)| context)
    }
}

/// The task that serves the request for which `store` runs now: all that it began lies above it.
fn root_task(store: &mut StoreContextMut<'_, StoreData>) -> Option<GuestTaskId> {
    store.async_call_stack().ok()?.last()
}
