//! What travels with a call that an instance makes: the context of the request that the calling task serves. An
//! instance that serves several requests at once holds several contexts, told apart by wasmtime's task ids.

use std::time::Duration;

use wasmtime::StoreContextMut;
use wasmtime::component::GuestTaskId;

use weft_core::{CallContext, StepScope};

use crate::state::StoreData;

/// Calls that may lie between the first one and this; past it a call is refused, since it is likely a loop.
const MAX_DEPTH: u16 = 32;

/// The contexts of the requests that an instance serves.
#[derive(Debug, Default)]
pub(crate) struct Calling {
    /// The one that all tasks belong to, unless they are told apart below.
    current: Option<CallContext>,
    by_task: Vec<(GuestTaskId, CallContext)>,
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
        Self { current: Some(context), by_task: Vec::new() }
    }

    /// Notes which task serves a request.
    pub fn begin(&mut self, task: GuestTaskId, context: CallContext) {
        self.current = Some(context.clone());
        self.by_task.push((task, context));
    }

    /// Forgets contexts whose deadline has passed: their tasks have answered or were given up.
    pub fn forget_before(&mut self, now: Duration) {
        self.by_task.retain(|(_, context)| context.deadline >= now);
    }

    /// The context for a call made by the task that runs in `store` now.
    pub fn of(store: &mut StoreContextMut<'_, StoreData>) -> Result<CallContext, CallingError> {
        let context = Self::served(store)?;
        let data = store.data();
        let depth = context.depth + 1;
        if depth > MAX_DEPTH {
            return Err(CallingError::TooDeep);
        }
        let step = data.gate.step();
        // A step has its own deadline, whatever waits for the saga.
        let deadline = step.as_ref().map_or(context.deadline, |step| step.deadline);
        Ok(CallContext {
            caller: Some(data.function.id.clone()),
            deadline,
            trace: context.trace,
            depth,
            step: step.map(|step| StepScope { key: step.key }),
        })
    }

    fn served(store: &mut StoreContextMut<'_, StoreData>) -> Result<CallContext, CallingError> {
        if store.data().calling.by_task.len() > 1 {
            let tasks: Vec<GuestTaskId> = match store.async_call_stack() {
                Ok(stack) => stack.collect(),
                Err(_) => Vec::new(),
            };
            let calling = &store.data().calling;
            let found = calling.by_task.iter().find(|(task, _)| tasks.contains(task));
            if let Some((_, context)) = found {
                return Ok(context.clone());
            }
        }
        store.data().calling.current.clone().ok_or(CallingError::NoRequest)
    }
}
