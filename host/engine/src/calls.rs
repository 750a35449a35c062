//! Typed calls out of an instance: for every imported domain interface that the manifest maps to a component, a host
//! function that hands the values to [`weft_core::Call`]. Policy is behind that trait; the callee's instance as well.

use std::future::ready;
use std::sync::Arc;

use futures::future::BoxFuture;
use wasmtime::component::types::{ComponentFunc, ComponentItem, Type};
use wasmtime::component::{Accessor, Linker, LinkerInstance, Val};
use wasmtime::{AsContextMut, Engine, StoreContextMut};

use weft_core::{Failure, Fault, Invocation, Reason, Target};

use crate::calling::Calling;
use crate::state::StoreData;
use crate::values;

/// Links all functions of one imported interface to a component.
pub(crate) fn link_interface(
    linker: &mut Linker<StoreData>,
    engine: &Engine,
    interface: &str,
    component: &Arc<str>,
    item: &wasmtime::component::types::ComponentInstance,
) -> wasmtime::Result<()> {
    let mut instance = linker.instance(interface)?;
    let interface: Arc<str> = interface.into();
    for (name, export) in item.exports(engine) {
        if let ComponentItem::ComponentFunc(func) = export.ty {
            let target = Target { component: component.clone(), interface: interface.clone(), function: name.into() };
            let keyed = func.params().next().is_some_and(|(name, ty)| is_key(name, &ty));
            link_function(&mut instance, name, &func, Callee { target, keyed })?;
        }
    }
    Ok(())
}

/// A function that is called.
struct Callee {
    target: Target,
    /// As [`Invocation::keyed`].
    keyed: bool,
}

/// Whether a first parameter is an idempotency key, by the design's convention.
pub(crate) fn is_key(name: &str, ty: &Type) -> bool {
    name == "key" && *ty == Type::String
}

fn link_function(
    instance: &mut LinkerInstance<'_, StoreData>,
    name: &str,
    func: &ComponentFunc,
    callee: Callee,
) -> wasmtime::Result<()> {
    // The WIT type decides: a plain `func` blocks its caller's instance, an `async func` leaves it running.
    if func.async_() {
        instance.func_new_concurrent(name, move |accessor: &Accessor<StoreData>, _, arguments, results| {
            let outgoing = accessor.with(|mut access| prepare(access.as_context_mut(), &callee, arguments));
            Box::pin(async move { deliver(outgoing.await, results) })
        })
    } else {
        instance.func_new_async(name, move |store: StoreContextMut<'_, StoreData>, _, arguments, results| {
            let outgoing = prepare(store, &callee, arguments);
            Box::new(async move { deliver(outgoing.await, results) })
        })
    }
}

type Answer = Result<Vec<Val>, Failure>;

fn prepare(
    mut store: StoreContextMut<'_, StoreData>,
    Callee { target, keyed }: &Callee,
    arguments: &[Val],
) -> BoxFuture<'static, Answer> {
    let refuse = |message: String| -> BoxFuture<'static, Answer> {
        Box::pin(ready(Err(Failure::not_attempted(Fault::Guest, Reason::Denied, message))))
    };
    if let Err(closed) = store.data().gate.check_read() {
        return refuse(closed.to_string());
    }
    let hold = match store.data().gate.hold(values::size(arguments)) {
        Ok(hold) => hold,
        Err(closed) => return refuse(closed.to_string()),
    };
    let key = arguments.first().and_then(|first| if let Val::String(key) = first { Some(key.as_str()) } else { None });
    let context = match Calling::of(&mut store, key) {
        Ok(context) => context,
        Err(error) => return refuse(error.to_string()),
    };
    let invocation = Invocation { target: target.clone(), arguments: arguments.into(), keyed: *keyed, context };
    let call = store.data().shared.calls.call(invocation);
    Box::pin(async move {
        let answer = call.await;
        drop(hold);
        answer
    })
}

fn deliver(answer: Answer, results: &mut [Val]) -> wasmtime::Result<()> {
    let values = answer.unwrap_or_else(|failure| vec![values::unavailable(&failure)]);
    if values.len() != results.len() {
        wasmtime::bail!("the callee answered {} values, {} were expected", values.len(), results.len());
    }
    for (slot, value) in results.iter_mut().zip(values) {
        *slot = value;
    }
    Ok(())
}
