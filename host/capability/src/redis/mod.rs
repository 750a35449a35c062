//! Outbound Redis: a component reaches the servers that its manifest allows, by the rule of outbound HTTP. Here is the
//! client; the WIT interfaces are in [`glue`]. That the host itself may keep key-value stores in Redis is
//! [`crate::kv::redis`]'s business, and that hosts may share counts there [`crate::shared_limits`]'.

pub mod glue;
pub(crate) mod server;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Cmd, ConnectionAddr, ConnectionInfo, ErrorKind, FromRedisValue, RedisError, Value};
use redis::{IntoConnectionInfo as _, RedisConnectionInfo};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::outbound::{Budget, Destination, Dialer, Metered, OutboundError, Permit, Pool};

/// How long connecting may take, the handshake and the login included.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// The largest answer to one command, in bytes.
pub const MAX_ANSWER_BYTES: usize = 16 * 1024 * 1024;

/// Why there is no connection, or no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The address is no `redis://` or `rediss://` URL, or the manifest does not allow it.
    #[error("the address is none of Redis, or is not allowed")]
    InvalidAddress,
    /// Too many connections are open.
    #[error("too many connections are open")]
    TooManyConnections,
    /// The key holds something else than the command is for.
    #[error("the value is of another type")]
    TypeError,
    /// All else, in words.
    #[error("{0}")]
    Other(String),
}

/// One part of the answer to a command of the component's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Nothing.
    Nil,
    /// A word of the server, such as `OK`.
    Status(String),
    /// A number.
    Int64(i64),
    /// Bytes.
    Binary(Vec<u8>),
}

/// Redis for one component. Made once, not for each instance, so that connections are kept.
#[derive(Debug)]
pub struct Redis {
    dialer: Dialer,
    pool: Pool<Line>,
    command: Duration,
}

/// A connection to a server.
#[derive(Clone)]
struct Line {
    connection: MultiplexedConnection,
    budget: Budget,
}

/// A connection as a component has it. Cheap to clone; the last one that is dropped gives it back to the pool.
#[derive(Clone, Debug)]
pub struct Connection(Arc<Shared>);

struct Shared {
    redis: Arc<Redis>,
    address: Arc<str>,
    line: Line,
    /// `None` once it was given back.
    permit: Option<Permit>,
    /// Whether it is of no use to anybody else: it broke, or a command of the component's own may have changed it.
    spoiled: AtomicBool,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The address may hold a password.
        f.debug_struct("Shared").field("spoiled", &self.spoiled).finish_non_exhaustive()
    }
}

impl Redis {
    /// The client of a component that may reach what `dialer` lets through, whose commands may take as long as `command`.
    #[must_use]
    pub fn new(dialer: Dialer, command: Duration) -> Arc<Self> {
        let pool = Pool::new(dialer.clock().clone());
        Arc::new(Self { dialer, pool, command })
    }

    /// A connection to the server at `address`, a URL.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn open(self: &Arc<Self>, address: &str) -> Result<Connection, Error> {
        self.dialer.check(&destination(address)?).map_err(refused)?;
        let key: Arc<str> = address.into();
        let waiting = match self.pool.take(&key) {
            // The server may have closed it meanwhile.
            Some((line, permit)) => line.answers().await.then_some((line, permit)),
            None => None,
        };
        let (line, permit) = match waiting {
            Some(waiting) => waiting,
            None => {
                let permit = self.pool.permit().map_err(|_| Error::TooManyConnections)?;
                let budget = Budget::new(MAX_ANSWER_BYTES);
                let connection = dial(&self.dialer, address, budget.clone(), self.command).await?;
                (Line { connection, budget }, permit)
            }
        };
        let spoiled = AtomicBool::new(false);
        Ok(Connection(Arc::new(Shared { redis: self.clone(), address: key, line, permit: Some(permit), spoiled })))
    }
}

impl Line {
    async fn answers(&self) -> bool {
        self.budget.renew();
        let pong: Result<(), RedisError> = redis::cmd("PING").query_async(&mut self.connection.clone()).await;
        pong.is_ok()
    }
}

/// A connection without a pool, for the host's own use, each of whose commands may take as long as `command`.
///
/// # Errors
/// [`Error`].
pub(crate) async fn dial(
    dialer: &Dialer,
    address: &str,
    budget: Budget,
    command: Duration,
) -> Result<MultiplexedConnection, Error> {
    let (to, info) = parse(address)?;
    let timeout = dialer.sleep(CONNECT_TIMEOUT);
    tokio::select! {
        connection = connect(dialer, &to, info.redis_settings(), budget, command) => connection,
        () = timeout => Err(Error::Other("connecting took too long".to_owned())),
    }
}

/// Where an address leads.
///
/// # Errors
/// [`Error::InvalidAddress`].
pub(crate) fn destination(address: &str) -> Result<Destination, Error> {
    Ok(parse(address)?.0)
}

async fn connect(
    dialer: &Dialer,
    to: &Destination,
    settings: &RedisConnectionInfo,
    budget: Budget,
    command: Duration,
) -> Result<MultiplexedConnection, Error> {
    let stream = Metered::new(dialer.tcp(to).await.map_err(refused)?, budget);
    let connection = if to.scheme == "rediss" {
        log_in(settings, dialer.tls(&to.host, stream).await.map_err(refused)?, command).await
    } else {
        log_in(settings, stream, command).await
    };
    connection.map_err(|error| failed(&error))
}

/// Logs in on a stream; a task drives it as long as the connection lives.
async fn log_in<S>(
    settings: &RedisConnectionInfo,
    stream: S,
    command: Duration,
) -> Result<MultiplexedConnection, RedisError>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let config = AsyncConnectionConfig::new().set_response_timeout(Some(command));
    let (connection, driver) = MultiplexedConnection::new_with_config(settings, stream, config).await?;
    drop(tokio::spawn(driver));
    Ok(connection)
}

/// The destination, and the user, password and database. TLS is not the client library's business, so it gets an
/// address without.
fn parse(address: &str) -> Result<(Destination, ConnectionInfo), Error> {
    let (scheme, rest) = address.split_once("://").ok_or(Error::InvalidAddress)?;
    if !matches!(scheme, "redis" | "rediss") || rest.contains('#') {
        return Err(Error::InvalidAddress);
    }
    let info = format!("redis://{rest}").into_connection_info().map_err(|_| Error::InvalidAddress)?;
    match info.addr() {
        ConnectionAddr::Tcp(host, port) => Ok((Destination::new(scheme, host, *port), info)),
        _ => Err(Error::InvalidAddress),
    }
}

impl Connection {
    async fn run<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, Error> {
        let mut line = self.0.line.clone();
        line.budget.renew();
        let answer: Result<T, RedisError> = command.query_async(&mut line.connection).await;
        answer.map_err(|error| {
            if matches!(error.kind(), ErrorKind::Io | ErrorKind::Parse) || error.is_timeout() {
                self.0.spoiled.store(true, Ordering::Relaxed);
            }
            if line.budget.is_spent() {
                return Error::Other(format!("the answer has more than {MAX_ANSWER_BYTES} bytes"));
            }
            failed(&error)
        })
    }

    /// Publishes a message.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn publish(&self, channel: &str, payload: &[u8]) -> Result<(), Error> {
        self.run(redis::cmd("PUBLISH").arg(channel).arg(payload)).await
    }

    /// The value of a key.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, Error> {
        self.run(redis::cmd("GET").arg(key)).await
    }

    /// Sets a key, whatever it held.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn set(&self, key: &str, value: &[u8]) -> Result<(), Error> {
        self.run(redis::cmd("SET").arg(key).arg(value)).await
    }

    /// Adds one to the number at a key, 0 if there is none, and answers the sum.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn incr(&self, key: &str) -> Result<i64, Error> {
        self.run(redis::cmd("INCR").arg(key)).await
    }

    /// Removes keys and answers how many there were.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn del(&self, keys: &[String]) -> Result<u32, Error> {
        if keys.is_empty() {
            return Ok(0);
        }
        self.run(redis::cmd("DEL").arg(keys)).await
    }

    /// Adds members to a set and answers how many were new.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn sadd(&self, key: &str, values: &[String]) -> Result<u32, Error> {
        self.run(redis::cmd("SADD").arg(key).arg(values)).await
    }

    /// The members of a set.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn smembers(&self, key: &str) -> Result<Vec<String>, Error> {
        self.run(redis::cmd("SMEMBERS").arg(key)).await
    }

    /// Removes members of a set and answers how many there were.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn srem(&self, key: &str, values: &[String]) -> Result<u32, Error> {
        self.run(redis::cmd("SREM").arg(key).arg(values)).await
    }

    /// Any command; what the answer holds in lists is answered in one row. Nobody else gets the connection after it.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn execute(&self, command: &Cmd) -> Result<Vec<Answer>, Error> {
        self.0.spoiled.store(true, Ordering::Relaxed);
        let mut answers = Vec::new();
        flatten(self.run::<Value>(command).await?, &mut answers)?;
        Ok(answers)
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        if !*self.spoiled.get_mut()
            && let Some(permit) = self.permit.take()
        {
            self.redis.pool.put(self.address.clone(), self.line.clone(), permit);
        }
    }
}

fn flatten(value: Value, into: &mut Vec<Answer>) -> Result<(), Error> {
    into.push(match value {
        Value::Nil => Answer::Nil,
        Value::Int(number) => Answer::Int64(number),
        Value::Boolean(truth) => Answer::Int64(truth.into()),
        Value::BulkString(bytes) | Value::BigNumber(bytes) => Answer::Binary(bytes),
        Value::Double(number) => Answer::Binary(number.to_string().into_bytes()),
        Value::SimpleString(text) => Answer::Status(text),
        Value::Okay => Answer::Status("OK".to_owned()),
        Value::Array(values) | Value::Set(values) => {
            return values.into_iter().try_for_each(|value| flatten(value, into));
        }
        Value::ServerError(error) => return Err(failed(&error.into())),
        _ => return Err(Error::Other("the answer has a form that this interface does not have".to_owned())),
    });
    Ok(())
}

fn refused(error: OutboundError) -> Error {
    match error {
        OutboundError::Denied(_) => Error::InvalidAddress,
        other => Error::Other(other.to_string()),
    }
}

fn failed(error: &RedisError) -> Error {
    let is_number_error = || error.detail().is_some_and(|detail| detail.contains("not an integer"));
    let of_type = error.kind() == ErrorKind::UnexpectedReturnType;
    if of_type || error.code() == Some("WRONGTYPE") || is_number_error() {
        return Error::TypeError;
    }
    if error.is_timeout() {
        return Error::Other("the server took too long to answer".to_owned());
    }
    Error::Other(error.to_string())
}

#[cfg(test)]
mod tests;
