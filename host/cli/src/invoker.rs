//! Where commands call functions: the host that runs on the data directory, else a host of their own, without a
//! listener, under the data directory's lock.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use weft_core::{Failure, Fault};
use weft_engine::{InvokeAnswer, InvokeError, Job};

use crate::assemble::{self, Dialect, Place};
use crate::control::api::{Answer, Ran, Run};
use crate::control::client::Client;
use crate::exit::UsageError;
use crate::host::Host;
use crate::output;

/// A function was called, or was to be, and gave no answer. Trying again may help.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct NoAnswer(pub String);

/// Calls functions of the application.
pub enum Invoker {
    /// In the running host.
    Running(Client),
    /// In this process.
    Here(Arc<Host>),
}

impl Invoker {
    /// The running host, else one assembled here.
    ///
    /// # Errors
    /// If the running host cannot be asked, or none can be assembled.
    pub async fn find(place: &Place) -> anyhow::Result<Self> {
        if let Some(client) = Client::find(&place.data).await? {
            return Ok(Self::Running(client));
        }
        let place = place.clone();
        let host = tokio::task::spawn_blocking(move || assemble::assemble(&place, Dialect::Weft));
        let host = Arc::new(host.await.context("assembling the host was cut short")??);
        // A password that a startup function makes up is told once, so it is told here as well.
        for line in host.start().await? {
            output::note(&line);
        }
        Ok(Self::Here(host))
    }

    /// Whether the functions run in this process.
    #[must_use]
    pub fn is_here(&self) -> bool {
        matches!(self, Self::Here(_))
    }

    /// Calls a function, as [`weft_engine::Engine::invoke`].
    ///
    /// # Errors
    /// [`UsageError`] if there is no such function or the arguments do not fit, [`NoAnswer`] if it gives none; else why
    /// the host cannot be asked.
    pub async fn invoke(
        &self,
        component: &str,
        function: &str,
        arguments: &str,
        timeout: Duration,
    ) -> anyhow::Result<Answer> {
        match self {
            Self::Running(client) => client.invoke(component, function, arguments, timeout).await,
            Self::Here(host) => {
                let answer = invoke_in(host, component, function, arguments, timeout).await;
                answer.map(Answer::from).map_err(explained)
            }
        }
    }

    /// Runs a command, as [`weft_engine::Engine::run_command`].
    ///
    /// # Errors
    /// [`UsageError`] if there is no such command, [`NoAnswer`] if it does not end; else why the host cannot be asked.
    pub async fn run(&self, run: Run) -> anyhow::Result<Ran> {
        match self {
            Self::Running(client) => client.run(&run).await,
            Self::Here(host) => run_in(host, run).await.map_err(|failure| match failure.fault {
                Fault::Client => UsageError(failure.message).into(),
                _ => NoAnswer(failure.message).into(),
            }),
        }
    }

    /// Leaves everything flushed. To be called when the last answer is there.
    ///
    /// # Errors
    /// If a host in this process cannot be closed cleanly.
    pub async fn close(self) -> anyhow::Result<()> {
        match self {
            Self::Running(_) => Ok(()),
            Self::Here(host) => host.shutdown().await,
        }
    }
}

/// Calls a function of `host` as the operator.
///
/// # Errors
/// As [`weft_engine::Engine::invoke`].
pub async fn invoke_in(
    host: &Host,
    component: &str,
    function: &str,
    arguments: &str,
    timeout: Duration,
) -> Result<InvokeAnswer, InvokeError> {
    let parts = host.parts();
    parts.engine.invoke(&parts.mesh, component, function, arguments, timeout).await
}

/// Runs a command of `host`.
///
/// # Errors
/// As [`weft_engine::Engine::run_command`].
pub async fn run_in(host: &Host, run: Run) -> Result<Ran, Failure> {
    let Run { component, arguments, stdin, timeout_ms } = run;
    let job = Job { arguments, stdin: stdin.into(), timeout: Duration::from_millis(timeout_ms) };
    host.parts().engine.run_command(&component, job).await.map(Ran::from)
}

fn explained(error: InvokeError) -> anyhow::Error {
    let message = error.to_string();
    if error.is_usage() { UsageError(message).into() } else { NoAnswer(message).into() }
}
