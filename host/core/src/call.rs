//! The two traits that join engine and mesh: the engine calls *out* through [`Call`]; the mesh applies policy and runs
//! the callee through [`Runner`]. Values are the engine's own type, so nothing here names wasmtime.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;

use crate::failure::Failure;
use crate::generation::Generation;

/// Which function is called: a component of the manifest, an interface that it exports, a function in it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Target {
    /// The component's id in the manifest.
    pub component: Arc<str>,
    /// Such as `education:courses/seats@1.0.0`.
    pub interface: Arc<str>,
    /// Such as `reserve`.
    pub function: Arc<str>,
}

/// What calls name a version of a component by: `<component>@<version>`, which is no component's id.
#[must_use]
pub fn version_name(component: &str, version: &str) -> Arc<str> {
    format!("{component}@{version}").into()
}

/// What such a name is made of; nothing where it names a component as the manifest has it.
#[must_use]
pub fn version_parts(name: &str) -> Option<(&str, &str)> {
    name.split_once('@')
}

/// W3C trace context of one call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace {
    /// 32 hex digits.
    pub trace_id: Arc<str>,
    /// 16 hex digits: the span that makes the call.
    pub span_id: Arc<str>,
}

impl Trace {
    /// The `traceparent` header (W3C Trace Context, version 00, sampled).
    #[must_use]
    pub fn traceparent(&self) -> String {
        ["00-", &self.trace_id, "-", &self.span_id, "-01"].concat()
    }
}

/// The saga step that is open while a call is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepScope {
    /// `<saga key>/<name>#<occurrence>`.
    pub key: Arc<str>,
}

/// Calls and requests that may lie between the first one and another; past it one more is refused, since it is likely a
/// loop.
pub const MAX_DEPTH: u16 = 32;

/// What is known of the request that everything began with, by which versions are chosen on the way.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// Who asked.
    pub user: Option<Arc<str>>,
    /// Those of its headers by which a version can be asked for, name in lower case and value.
    pub headers: Vec<(Arc<str>, Arc<str>)>,
}

/// What travels beside the arguments of a call.
#[derive(Clone, Debug)]
pub struct CallContext {
    /// The component that calls; `None` for the gateway, a subscription, recovery or an operator.
    pub caller: Option<Arc<str>>,
    /// When the answer is no longer wanted, on the host clock's monotonic time.
    pub deadline: Duration,
    /// Trace context; `None` outside a trace.
    pub trace: Option<Trace>,
    /// How many calls lie between the first one and this; bounded against endless recursion.
    pub depth: u16,
    /// The saga step this call is part of. Inside a step the step's policy rules, so the mesh does not retry.
    pub step: Option<StepScope>,
    /// Whether it is a copy of another call, made to see what comes of it: whoever serves it, and all that it calls, may read
    /// and has no effects.
    pub mirrored: bool,
    /// The request that it all began with; nothing where no component has several versions.
    pub origin: Option<Arc<Origin>>,
    /// What was deployed when it all began; nothing for what the host itself begins, which runs on what is deployed now.
    pub generation: Option<Generation>,
}

impl CallContext {
    /// Of what the host itself begins, wanted until `deadline` on the host clock's monotonic time: nobody calls, and it is part of nothing.
    #[must_use]
    pub fn of_host(deadline: Duration) -> Self {
        Self {
            caller: None,
            deadline,
            trace: None,
            depth: 0,
            step: None,
            mirrored: false,
            origin: None,
            generation: None,
        }
    }
}

/// One call of one function, with the engine's values as arguments.
#[derive(Debug)]
pub struct Invocation<V> {
    /// What is called.
    pub target: Target,
    /// The arguments, in order; shared, since the same call may be made more than once.
    pub arguments: Arc<[V]>,
    /// Whether the first argument is an idempotency key: however often the call is made, it has its effect once.
    pub keyed: bool,
    /// What travels beside them.
    pub context: CallContext,
}

impl<V> Clone for Invocation<V> {
    fn clone(&self) -> Self {
        let Self { target, arguments, keyed, context } = self;
        Self { target: target.clone(), arguments: arguments.clone(), keyed: *keyed, context: context.clone() }
    }
}

/// Calls a function, with policy. Dropping the future gives the call up; a durable callee goes on all the same.
pub trait Call<V>: Send + Sync + 'static {
    /// Resolves to the function's result values, or to why there are none.
    fn call(&self, invocation: Invocation<V>) -> BoxFuture<'static, Result<Vec<V>, Failure>>;
}

/// Runs a function in an instance, without policy beyond the instance's own limits.
pub trait Runner<V>: Send + Sync + 'static {
    /// Resolves to the function's result values, or to why there are none. Dropping the future drops the instance.
    fn run(&self, invocation: Invocation<V>) -> BoxFuture<'static, Result<Vec<V>, Failure>>;

    /// If the run of a durable function ended to wait, and so without its answer: resolves when the same call will be
    /// answered at once. Nothing is held meanwhile.
    fn answered_later(
        &self,
        target: &Target,
        arguments: &[V],
        answer: &Result<Vec<V>, Failure>,
    ) -> Option<BoxFuture<'static, ()>> {
        let _ = (target, arguments, answer);
        None
    }
}
