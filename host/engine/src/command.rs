//! Commands: components of `wasi:cli` (0.2 and 0.3), which run once and end with a code. They have what their component
//! is granted; what they write is gathered.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures::future::{BoxFuture, Either, select};
use tokio_util::task::AbortOnDropHandle;
use wasmtime::Store;
use wasmtime_wasi::{I32Exit, p2, p3};

use weft_core::{CallContext, Failure, Fault, Reason};

use crate::engine::Engine;
use crate::function::Function;
use crate::output::{LogSink, OutputStream, OutputWriter};
use crate::state::StoreData;
use crate::trap;
use crate::wasi::Terminal;

/// What a command is run with.
#[derive(Clone, Debug, Default)]
pub struct Job {
    /// Its arguments, without its own name.
    pub arguments: Vec<String>,
    /// What it reads from standard input.
    pub stdin: Bytes,
    /// How long it may take.
    pub timeout: Duration,
}

/// How a command ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JobEnd {
    /// 0 if all went well.
    pub code: i32,
    /// What it wrote, up to the component's limit of output (1 MiB); then a line says that the rest is dropped.
    pub stdout: Vec<u8>,
    /// As [`JobEnd::stdout`].
    pub stderr: Vec<u8>,
}

impl Engine {
    /// Runs a command component once, in an instance of its own. Dropping the future ends it.
    ///
    /// # Errors
    /// [`Failure`] if there is no such component, it is no command, traps, passes a limit or takes too long.
    pub fn run_command(&self, component: &str, job: Job) -> BoxFuture<'static, Result<JobEnd, Failure>> {
        let refuse = |message: String| Failure::not_attempted(Fault::Client, Reason::Unavailable, message);
        let function = match self.function(component) {
            Some(function) if Kind::of(&function).is_some() => Ok(function),
            Some(_) => Err(refuse(format!("component {component} is no command: it does not export wasi:cli/run"))),
            None => Err(refuse(format!("there is no component {component}"))),
        };
        Box::pin(async move {
            let function = function?;
            let clock = function.shared.clock.clone();
            let timeout = job.timeout;
            let task = AbortOnDropHandle::new(function.clone().spawn(run(function, job)));
            match select(task, clock.sleep(timeout)).await {
                Either::Left((ended, _)) => ended.unwrap_or_else(|error| {
                    Err(Failure::unknown(Fault::Host, Reason::Internal, format!("the command was lost: {error}")))
                }),
                Either::Right(_) => {
                    let message = format!("the command did not end within {} s", timeout.as_secs());
                    Err(Failure::unknown(Fault::Guest, Reason::Deadline, message))
                }
            }
        })
    }
}

enum Kind {
    P2,
    P3,
}

impl Kind {
    fn of(function: &Function) -> Option<Self> {
        let runs = |version: &str| {
            function
                .exports
                .functions()
                .any(|(interface, name, _)| name == "run" && interface.starts_with(&format!("wasi:cli/run@{version}")))
        };
        if runs("0.3") { Some(Self::P3) } else { runs("0.2").then_some(Self::P2) }
    }
}

async fn run(function: Arc<Function>, job: Job) -> Result<JobEnd, Failure> {
    let written = Arc::new(Written::default());
    let terminal = Terminal { sink: written.clone(), arguments: job.arguments, stdin: job.stdin };
    let deadline = function.shared.clock.monotonic().saturating_add(job.timeout);
    let context = CallContext::of_host(deadline);
    let mut store = function.command_store(context, &terminal);
    let meter = store.data().limits.meter();
    let ran = match Kind::of(&function) {
        Some(Kind::P3) => meter.of(run_p3(&function, &mut store)).await,
        _ => meter.of(run_p2(&function, &mut store)).await,
    };
    let code = match ran {
        Ok(Ok(())) => 0,
        Ok(Err(())) => 1,
        Err(error) => match error.downcast_ref::<I32Exit>() {
            Some(exit) => exit.0,
            None => return Err(trap::classify(&function.spec.id, &error, store.data().limits.exceeded)),
        },
    };
    drop(store);
    Ok(JobEnd { code, stdout: written.take(OutputStream::Stdout), stderr: written.take(OutputStream::Stderr) })
}

type Ran = wasmtime::Result<Result<(), ()>>;

async fn run_p2(function: &Function, store: &mut Store<StoreData>) -> Ran {
    let command = p2::bindings::CommandPre::new(function.pre.clone())?.instantiate_async(&mut *store).await?;
    command.wasi_cli_run().call_run(store).await
}

async fn run_p3(function: &Function, store: &mut Store<StoreData>) -> Ran {
    let command = p3::bindings::CommandPre::new(function.pre.clone())?.instantiate_async(&mut *store).await?;
    store.run_concurrent(async |accessor| command.wasi_cli_run().call_run(accessor).await).await?
}

/// What a command has written so far.
#[derive(Default)]
struct Written {
    stdout: Arc<Mutex<Vec<u8>>>,
    stderr: Arc<Mutex<Vec<u8>>>,
}

impl Written {
    fn of(&self, stream: OutputStream) -> &Arc<Mutex<Vec<u8>>> {
        match stream {
            OutputStream::Stdout => &self.stdout,
            OutputStream::Stderr => &self.stderr,
        }
    }

    fn take(&self, stream: OutputStream) -> Vec<u8> {
        std::mem::take(&mut self.of(stream).lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl LogSink for Written {
    fn writer(&self, _: &Arc<str>, stream: OutputStream, _: Option<Arc<str>>) -> OutputWriter {
        let written = self.of(stream).clone();
        Box::new(move |bytes| written.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes))
    }
}
