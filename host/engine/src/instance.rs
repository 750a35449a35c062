//! Runs one typed call in a fresh instance (`reused` has those that serve several), on a task of its own: a store's event
//! loop cannot be driven inside another's. Dropping the call drops the task and the instance; that a durable function
//! goes on all the same is the mesh's doing.

use std::sync::Arc;

use futures::future::BoxFuture;
use tokio::task::JoinHandle;
use tokio_util::task::AbortOnDropHandle;
use wasmtime::Store;
use wasmtime::component::{ComponentNamedList, Lift, Lower, Val};

use weft_core::{CallContext, Failure, Fault, Invocation, Outcome, Reason, Runner, Target};

use crate::engine::Engine;
use crate::function::{Export, Function};
use crate::reused;
use crate::state::StoreData;
use crate::trap;
use crate::values;

impl Runner<Val> for Engine {
    fn run(&self, invocation: Invocation<Val>) -> BoxFuture<'static, Result<Vec<Val>, Failure>> {
        let generation = invocation.context.generation.as_ref();
        let Some(function) = self.function_of(generation, &invocation.target.component) else {
            let message = format!("there is no component {}", invocation.target.component);
            return Box::pin(async { Err(Failure::not_attempted(Fault::Host, Reason::Unavailable, message)) });
        };
        match function.spec.reuse {
            // What a mirrored call may not do is a matter of the instance: it gets one of its own.
            Some(_) if !function.spec.durable && !invocation.context.mirrored => reused::run(function, invocation),
            _ => run_in(function, invocation),
        }
    }

    fn answered_later(
        &self,
        target: &Target,
        arguments: &[Val],
        answer: &Result<Vec<Val>, Failure>,
    ) -> Option<BoxFuture<'static, ()>> {
        let is_unknown = match answer {
            Err(failure) => failure.outcome == Outcome::Unknown,
            Ok(values) => values::is_unknown(values),
        };
        if !is_unknown {
            return None;
        }
        let Some(Val::String(key)) = arguments.first() else { return None };
        let sagas = self.shared().services.sagas.as_ref()?;
        let is_own = sagas.component_of(key).is_some_and(|component| component == target.component);
        if is_own { sagas.ends_later(key) } else { None }
    }
}

/// Runs a call in an instance of this very function (recovery chooses an older one than the current).
pub(crate) fn run_in(
    function: Arc<Function>,
    invocation: Invocation<Val>,
) -> BoxFuture<'static, Result<Vec<Val>, Failure>> {
    let component = function.spec.id.clone();
    answered(component, function.clone().spawn(call(function, invocation)))
}

/// What the task of a call answers. Dropping it ends the task.
fn answered<R: Send + 'static>(
    component: Arc<str>,
    task: JoinHandle<Result<R, Failure>>,
) -> BoxFuture<'static, Result<R, Failure>> {
    let task = AbortOnDropHandle::new(task);
    Box::pin(async move {
        task.await.unwrap_or_else(|error| {
            tracing::error!(%component, %error, "the task of a call ended without an answer");
            let message = format!("function {component} stopped without an answer");
            Err(Failure::unknown(Fault::Host, Reason::Internal, message))
        })
    })
}

/// Calls a function whose types the host knows, in a fresh instance of this very function in `store`: their values
/// move as a whole, where [`run_in`] moves them one by one.
pub(crate) fn run_typed<P, R>(
    function: Arc<Function>,
    target: Target,
    store: Store<StoreData>,
    parameters: P,
) -> BoxFuture<'static, Result<R, Failure>>
where
    P: ComponentNamedList + Lower + Send + Sync + 'static,
    R: ComponentNamedList + Lift + Send + Sync + 'static,
{
    let component = function.spec.id.clone();
    answered(component, function.clone().spawn(call_typed(function, target, store, parameters)))
}

async fn call_typed<P, R>(
    function: Arc<Function>,
    target: Target,
    mut store: Store<StoreData>,
    parameters: P,
) -> Result<R, Failure>
where
    P: ComponentNamedList + Lower + Send + Sync + 'static,
    R: ComponentNamedList + Lift + Send + Sync + 'static,
{
    let component = &*target.component;
    let export = exported(&function, &target)?;
    let meter = store.data().limits.meter();
    let instance = match meter.of(function.pre.instantiate_async(&mut store)).await {
        Ok(instance) => instance,
        Err(error) => return Err(trap::not_begun(component, &error, store.data().limits.exceeded)),
    };
    let func = instance.get_typed_func::<P, R>(&mut store, export.index).map_err(|error| {
        let message = format!("{component} exports {} with other types: {error:#}", target.function);
        Failure::not_attempted(Fault::Guest, Reason::Unavailable, message)
    })?;
    let running = store.run_concurrent(async |accessor| func.call_concurrent(accessor, parameters).await);
    let ran = meter.of(running).await.and_then(|inner| inner);
    ran.map_err(|error| trap::classify(component, &error, store.data().limits.exceeded))
}

pub(crate) fn exported<'a>(function: &'a Function, target: &Target) -> Result<&'a Export, Failure> {
    function.export(&target.interface, &target.function).ok_or_else(|| {
        let message = format!("{} does not export {}#{}", target.component, target.interface, target.function);
        Failure::not_attempted(Fault::Guest, Reason::Unavailable, message)
    })
}

async fn call(function: Arc<Function>, invocation: Invocation<Val>) -> Result<Vec<Val>, Failure> {
    let Invocation { target, arguments, keyed: _, context } = invocation;
    let component = &*target.component;
    let export = exported(&function, &target)?;
    let key = function.spec.durable.then(|| durable_key(&arguments)).flatten();
    let mut store = function.store(unbounded_if_durable(&function, context), key);
    let meter = store.data().limits.meter();
    let instance = match meter.of(function.pre.instantiate_async(&mut store)).await {
        Ok(instance) => instance,
        Err(error) => return Err(trap::not_begun(component, &error, store.data().limits.exceeded)),
    };
    let Some(func) = instance.get_func(&mut store, export.index) else {
        let message = format!("{component} does not export {}", target.function);
        return Err(Failure::not_attempted(Fault::Guest, Reason::Unavailable, message));
    };
    let mut results = vec![Val::Bool(false); export.results];
    let running = store.run_concurrent(async |accessor| func.call_concurrent(accessor, &arguments, &mut results).await);
    let ran = meter.of(running).await.and_then(|inner| inner);
    match ran {
        Ok(()) => Ok(results),
        Err(error) => Err(trap::classify(component, &error, store.data().limits.exceeded)),
    }
}

/// The first argument of a durable function is its key, the id of the saga.
fn durable_key(arguments: &[Val]) -> Option<&str> {
    match arguments.first() {
        Some(Val::String(key)) => Some(key),
        _ => None,
    }
}

/// A saga has no deadline of its own caller's making: its steps have theirs. It may outlive many deployments, and calls what there is then.
fn unbounded_if_durable(function: &Function, context: CallContext) -> CallContext {
    if function.spec.durable {
        CallContext { deadline: std::time::Duration::MAX, generation: None, ..context }
    } else {
        context
    }
}
