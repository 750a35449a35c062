//! Typed calls into instances that serve several.

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use tokio::sync::oneshot;
use wasmtime::component::{Accessor, Func, Instance, Val};
use wasmtime::{AsContextMut as _, Store, StoreContextMut};

use weft_core::{Failure, Fault, Invocation, Reason};

use crate::function::{Export, Function};
use crate::instance::exported;
use crate::state::{self, StoreData};
use crate::worker::{Ticket, Work, stopped};

type Answer = Result<Vec<Val>, Failure>;

/// A call on its way to an instance.
pub(crate) struct Call {
    function: Arc<Function>,
    invocation: Invocation<Val>,
    answer: oneshot::Sender<Answer>,
    failed: Option<oneshot::Sender<Failure>>,
}

/// Runs a call in an instance that has room, or in a new one.
pub(crate) fn run(function: Arc<Function>, invocation: Invocation<Val>) -> BoxFuture<'static, Answer> {
    Box::pin(async move {
        let (answer, answered) = oneshot::channel();
        let (failed, failure) = oneshot::channel();
        let id = function.spec.id.clone();
        let pool = function.instances.clone();
        pool.give(Call { function, invocation, answer, failed: Some(failed) });
        match answered.await {
            Ok(answer) => answer,
            Err(_) => Err(failure.await.unwrap_or_else(|_| stopped(&id))),
        }
    })
}

fn func(instance: &Instance, store: &mut StoreContextMut<'_, StoreData>, export: &Export) -> Result<Func, Failure> {
    instance.get_func(store, export.index).ok_or_else(|| {
        let message = "the component does not export what it did when it was linked";
        Failure::not_attempted(Fault::Host, Reason::Internal, message)
    })
}

impl Work for Call {
    type Instance = Instance;
    const BREAKS_OFF: bool = true;

    fn function(&self) -> &Arc<Function> {
        &self.function
    }

    fn deadline(&self) -> Duration {
        self.invocation.context.deadline
    }

    fn is_given_up(&self) -> bool {
        self.answer.is_closed()
    }

    fn ticket(&mut self) -> Ticket {
        Ticket { failed: self.failed.take(), place: None }
    }

    fn refuse(self, failure: Failure) {
        // As everywhere here: whoever has given up needs no answer.
        let _ = self.answer.send(Err(failure));
    }

    fn store(&self) -> Store<StoreData> {
        self.function.reusable_store(false)
    }

    async fn instantiate(function: &Function, store: &mut Store<StoreData>) -> wasmtime::Result<Instance> {
        function.pre.instantiate_async(store).await
    }

    fn func(&self, instance: &Instance, store: &mut StoreContextMut<'_, StoreData>) -> Result<Func, Failure> {
        func(instance, store, exported(&self.function, &self.invocation.target)?)
    }

    async fn run(self, instance: &Instance, accessor: &Accessor<StoreData>) -> wasmtime::Result<()> {
        let Self { function, invocation, answer, failed: _ } = self;
        let Invocation { target, arguments, keyed: _, context } = invocation;
        let export = match exported(&function, &target) {
            Ok(export) => export,
            Err(failure) => {
                let _ = answer.send(Err(failure));
                return Ok(());
            }
        };
        let mut results = vec![Val::Bool(false); export.results];
        let (func, started) = accessor.with(|mut access| {
            let mut store = access.as_context_mut();
            let func = func(instance, &mut store, export).map_err(|failure| wasmtime::format_err!("{failure}"))?;
            let started = func.start_call_concurrent(&mut store, &arguments, &mut results)?;
            state::begin(&mut store, started.task(), context);
            wasmtime::error::Ok((func, started))
        })?;
        func.finish_call_concurrent(accessor, started).await?;
        let _ = answer.send(Ok(results));
        Ok(())
    }
}
