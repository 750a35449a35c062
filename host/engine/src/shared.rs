//! What all functions of one engine share.

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use std::sync::OnceLock;
use wasmtime::component::Val;

use weft_capability::outbound::glue::Inside;
use weft_core::{Call, Clock, Failure, Fault, Invocation, Reason};

use crate::background::Background;
use crate::capabilities::Services;
use crate::memory::HostMemory;
use crate::output::LogSink;

pub(crate) struct Shared {
    pub clock: Arc<dyn Clock>,
    pub epoch: Duration,
    pub services: Services,
    pub logs: Arc<dyn LogSink>,
    pub calls: CallSlot,
    /// What serves HTTP requests that stay inside the application; filled like [`CallSlot`].
    pub inside: OnceLock<Arc<dyn Inside>>,
    /// What the memories of all instances share.
    pub memory: Arc<HostMemory>,
    /// Where functions run that compute for long.
    pub background: Background,
}

/// Where calls between functions go. The mesh needs the engine and the engine the mesh, so the slot is filled once
/// both stand.
#[derive(Default)]
pub(crate) struct CallSlot(OnceLock<Arc<dyn Call<Val>>>);

impl CallSlot {
    /// Fills the slot; answers whether it was empty.
    pub fn connect(&self, calls: Arc<dyn Call<Val>>) -> bool {
        self.0.set(calls).is_ok()
    }

    pub fn call(&self, invocation: Invocation<Val>) -> BoxFuture<'static, Result<Vec<Val>, Failure>> {
        match self.0.get() {
            Some(calls) => calls.call(invocation),
            None => Box::pin(async {
                Err(Failure::not_attempted(Fault::Host, Reason::Internal, "calls are not connected yet"))
            }),
        }
    }
}
