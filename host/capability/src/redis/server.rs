//! A server of the host's own: one connection, made when it is needed and made anew when it broke, on which scripts run. Who
//! asks what is the caller's business.

use std::sync::Arc;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{ErrorKind, FromRedisValue, ScriptInvocation};
use tokio::runtime::Handle;
use tokio::sync::Mutex;

use weft_core::Clock;
use weft_core::outbound::OutboundHosts;

use super::{destination, dial};
use crate::outbound::{Budget, Dialer, Resolve};

/// One database of a server.
pub(crate) struct Server {
    url: String,
    dialer: Dialer,
    command: Duration,
    max_answer_bytes: usize,
    /// Where the connection lives, if not where it is asked for.
    runtime: Option<Handle>,
    line: Mutex<Option<(MultiplexedConnection, Budget)>>,
}

/// Why a script has no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ServerError {
    /// There is no connection; nothing has happened.
    #[error("{0}")]
    Unreached(String),
    /// The answer is larger than what is taken.
    #[error("the answer has more than {0} bytes")]
    TooLarge(usize),
    /// It broke off, or the server said so.
    #[error("{0}")]
    Failed(String),
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The URL may hold a password.
        f.debug_struct("Server").finish_non_exhaustive()
    }
}

impl Server {
    /// The server at `url` (`redis://` or `rediss://`), and no other, each of whose commands may take as long as `command`. Nothing is
    /// connected yet.
    ///
    /// # Errors
    /// If it is no such URL.
    pub fn new(
        url: &str,
        max_answer_bytes: usize,
        command: Duration,
        resolver: Arc<dyn Resolve>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, String> {
        let to =
            destination(url).map_err(|_| "the URL is none of a Redis server: redis://host[:port][/db]".to_owned())?;
        let host = if to.host.contains(':') { format!("[{}]", to.host) } else { to.host };
        let allowed = format!("{}://{host}:{}", to.scheme, to.port).parse().map_err(|error| format!("{error}"))?;
        let hosts = OutboundHosts::new(vec![allowed]);
        let dialer = Dialer::new(hosts, resolver, clock).map_err(|error| error.to_string())?;
        Ok(Self { url: url.to_owned(), dialer, command, max_answer_bytes, runtime: None, line: Mutex::new(None) })
    }

    /// The same, with its connection on the runtime that this is called in, whoever asks first: all share it, and a
    /// function that computes asks from threads of low priority.
    #[must_use]
    pub fn living_here(self) -> Self {
        Self { runtime: Handle::try_current().ok(), ..self }
    }

    /// The connection, which is made if there is none.
    pub async fn line(&self) -> Result<(MultiplexedConnection, Budget), ServerError> {
        let mut line = self.line.lock().await;
        if let Some(line) = &*line {
            return Ok(line.clone());
        }
        let budget = Budget::new(self.max_answer_bytes);
        let connection = self.connect(budget.clone()).await.map_err(ServerError::Unreached)?;
        Ok(line.insert((connection, budget)).clone())
    }

    async fn connect(&self, budget: Budget) -> Result<MultiplexedConnection, String> {
        let Some(runtime) = &self.runtime else {
            return dial(&self.dialer, &self.url, budget, self.command).await.map_err(|error| error.to_string());
        };
        let (dialer, url, command) = (self.dialer.clone(), self.url.clone(), self.command);
        // Whoever gives up leaves it to its own timeout.
        let dialling = runtime.spawn(async move { dial(&dialer, &url, budget, command).await });
        dialling.await.map_err(|error| error.to_string())?.map_err(|error| error.to_string())
    }

    /// Runs a script.
    ///
    /// # Errors
    /// [`ServerError`].
    pub async fn run<T: FromRedisValue>(&self, script: &ScriptInvocation<'_>) -> Result<T, ServerError> {
        let (mut connection, budget) = self.line().await?;
        budget.renew();
        let answer: Result<T, redis::RedisError> = script.invoke_async(&mut connection).await;
        match answer {
            Ok(answer) => Ok(answer),
            Err(_) if budget.is_spent() => {
                *self.line.lock().await = None;
                Err(ServerError::TooLarge(self.max_answer_bytes))
            }
            Err(error) => {
                if matches!(error.kind(), ErrorKind::Io | ErrorKind::Parse) || error.is_timeout() {
                    *self.line.lock().await = None;
                }
                Err(ServerError::Failed(error.to_string()))
            }
        }
    }
}
