//! One component's PostgreSQL client: connections to what its policy lets through, kept for another use once the server
//! has forgotten what was done on them.

use std::error::Error as StdError;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::{StreamExt as _, TryStreamExt as _};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{mpsc, oneshot};
use tokio_postgres::{Client, RowStream, Statement};

use super::address::Address;
use super::{CONNECT_TIMEOUT, Column, DatabaseError, Error, MAX_ANSWER_BYTES, Row, RowSet, Stream};
use super::{Value, convert, tls};
use crate::outbound::{Budget, Destination, Dialer, Metered, OutboundError, Permit, Pool};

/// Rows that wait for whoever reads a stream.
const ROWS_WAITING: usize = 16;

/// PostgreSQL for one component. Made once, not for each instance, so that connections are kept.
#[derive(Debug)]
pub struct Postgres {
    dialer: Dialer,
    pool: Pool<Line>,
    statement: Duration,
}

/// A connection to a server.
struct Line {
    client: Client,
    budget: Budget,
}

/// A connection as a component has it. Cheap to clone; the last one that is dropped gives it back to the pool.
#[derive(Clone, Debug)]
pub struct Connection(Arc<Shared>);

struct Shared {
    postgres: Arc<Postgres>,
    key: Arc<str>,
    /// Both are there until they are given back.
    line: Option<(Line, Permit)>,
    /// Whether it is of no use to anybody else.
    spoiled: AtomicBool,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The key holds a password.
        f.debug_struct("Shared").field("spoiled", &self.spoiled).finish_non_exhaustive()
    }
}

impl Postgres {
    /// The client of a component that may reach what `dialer` lets through, whose statements may take as long as `statement`; of one
    /// whose rows are streamed, each row.
    #[must_use]
    pub fn new(dialer: Dialer, statement: Duration) -> Arc<Self> {
        let pool = Pool::new(dialer.clock().clone());
        Arc::new(Self { dialer, pool, statement })
    }

    /// A connection to the server at `address`, a URL or `key=value` words. Certificate authorities in `ca`, in PEM,
    /// are trusted beside those of Mozilla.
    ///
    /// # Errors
    /// [`Error::ConnectionFailed`].
    pub async fn open(self: &Arc<Self>, address: &str, ca: Option<&str>) -> Result<Connection, Error> {
        let parsed = Address::parse(address)?;
        for server in &parsed.servers {
            self.dialer.check(server).map_err(refused)?;
        }
        let key: Arc<str> = format!("{address}\n{}", ca.unwrap_or_default()).into();
        let line = match self.pool.take(&key).filter(|(line, _)| !line.client.is_closed()) {
            Some(waiting) => waiting,
            None => {
                let permit = self.pool.permit().map_err(|error| Error::ConnectionFailed(error.to_string()))?;
                let timeout = self.dialer.sleep(CONNECT_TIMEOUT);
                let line = tokio::select! {
                    line = self.connect(&parsed, ca) => line?,
                    () = timeout => return Err(Error::ConnectionFailed("connecting took too long".to_owned())),
                };
                (line, permit)
            }
        };
        let spoiled = AtomicBool::new(false);
        Ok(Connection(Arc::new(Shared { postgres: self.clone(), key, line: Some(line), spoiled })))
    }

    async fn connect(&self, address: &Address, ca: Option<&str>) -> Result<Line, Error> {
        let mut last = None;
        for server in &address.servers {
            match self.connect_to(server, address, ca).await {
                Ok(line) => return Ok(line),
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or_else(|| Error::ConnectionFailed("the address names no host".to_owned())))
    }

    async fn connect_to(&self, to: &Destination, address: &Address, ca: Option<&str>) -> Result<Line, Error> {
        let dialer = match ca {
            Some(pem) => self.dialer.trusting(&to.host, pem).map_err(refused)?,
            None => self.dialer.clone(),
        };
        let budget = Budget::new(MAX_ANSWER_BYTES);
        let stream = Metered::new(dialer.tcp(to).await.map_err(refused)?, budget.clone());
        let tls = tls::Connect { dialer, host: to.host.clone() };
        let connected = address.config.connect_raw(stream, tls).await;
        let (client, connection) = connected.map_err(|error| Error::ConnectionFailed(in_words(&error)))?;
        drop(tokio::spawn(drive(connection)));
        Ok(Line { client, budget })
    }
}

/// Drives a connection as long as its client lives. How it ended is told to whoever waits for an answer.
async fn drive<S, T>(connection: tokio_postgres::Connection<S, T>)
where
    S: AsyncRead + AsyncWrite + Unpin,
    T: AsyncRead + AsyncWrite + Unpin,
{
    if let Err(error) = connection.await {
        tracing::debug!(%error, "a connection to PostgreSQL ended");
    }
}

impl Connection {
    fn line(&self) -> Result<&Line, Error> {
        let line = self.0.line.as_ref().map(|(line, _)| line);
        line.ok_or_else(|| Error::Other("the connection is closed".to_owned()))
    }

    /// Bounds the time of a part of a statement; one that takes longer spoils the connection.
    async fn in_time<R>(&self, part: impl Future<Output = Result<R, Error>>) -> Result<R, Error> {
        let timeout = self.0.postgres.dialer.sleep(self.0.postgres.statement);
        tokio::select! {
            result = part => result,
            () = timeout => {
                self.0.spoiled.store(true, Ordering::Relaxed);
                Err(Error::QueryFailed("the server took too long to answer".to_owned()))
            }
        }
    }

    fn failed(&self, line: &Line, error: &tokio_postgres::Error) -> Error {
        if line.budget.is_spent() {
            return Error::QueryFailed(format!("the answer has more than {MAX_ANSWER_BYTES} bytes"));
        }
        if let Some(error) = error.as_db_error() {
            return Error::Database(Box::new(of_server(error)));
        }
        // A parameter is refused before anything is sent.
        let is_own = error.source().is_some_and(|cause| !cause.is::<std::io::Error>());
        if !error.is_closed() && is_own {
            Error::BadParameter(in_words(error))
        } else {
            Error::QueryFailed(in_words(error))
        }
    }

    async fn start(
        &self,
        line: &Line,
        statement: &str,
        parameters: Vec<Value>,
    ) -> Result<(Statement, RowStream), Error> {
        line.budget.renew();
        let prepared = line.client.prepare(statement).await.map_err(|error| self.failed(line, &error))?;
        check_count(&prepared, parameters.len())?;
        let rows = line.client.query_raw(&prepared, parameters).await.map_err(|error| self.failed(line, &error))?;
        Ok((prepared, rows))
    }

    /// The answer to a statement as a whole.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn query(&self, statement: &str, parameters: Vec<Value>) -> Result<RowSet, Error> {
        let line = self.line()?;
        let whole = async {
            let (prepared, rows) = self.start(line, statement, parameters).await?;
            let rows = rows.map_err(|error| self.failed(line, &error)).and_then(async |row| convert::row(&row));
            Ok(RowSet { columns: columns(&prepared), rows: rows.try_collect().await? })
        };
        self.in_time(whole).await
    }

    /// The answer to a statement as it comes.
    ///
    /// # Errors
    /// [`Error`], if there is not even a first row to come.
    pub async fn stream(&self, statement: &str, parameters: Vec<Value>) -> Result<Stream, Error> {
        let (prepared, rows) = self.in_time(self.start(self.line()?, statement, parameters)).await?;
        let (row_sender, row_receiver) = mpsc::channel(ROWS_WAITING);
        let (end_sender, ended) = oneshot::channel();
        let connection = self.clone();
        drop(tokio::spawn(async move {
            let end = connection.pass_on(rows, &row_sender).await;
            drop(row_sender);
            // Nobody may wait for it.
            let _ = end_sender.send(end);
        }));
        Ok(Stream { columns: columns(&prepared), rows: row_receiver, ended })
    }

    async fn pass_on(&self, rows: RowStream, to: &mpsc::Sender<Row>) -> Result<(), Error> {
        let line = self.line()?;
        let mut rows = std::pin::pin!(rows);
        loop {
            let next = async { rows.next().await.transpose().map_err(|error| self.failed(line, &error)) };
            let next = tokio::select! {
                next = self.in_time(next) => next?,
                // What is left of the answer keeps the connection busy.
                () = to.closed() => None,
            };
            let Some(row) = next else {
                if to.is_closed() {
                    self.0.spoiled.store(true, Ordering::Relaxed);
                }
                return Ok(());
            };
            line.budget.renew();
            if to.send(convert::row(&row)?).await.is_err() {
                self.0.spoiled.store(true, Ordering::Relaxed);
                return Ok(());
            }
        }
    }

    /// How many rows a statement has changed.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn execute(&self, statement: &str, parameters: Vec<Value>) -> Result<u64, Error> {
        let line = self.line()?;
        let whole = async {
            let (_, rows) = self.start(line, statement, parameters).await?;
            let mut rows = std::pin::pin!(rows);
            while rows.try_next().await.map_err(|error| self.failed(line, &error))?.is_some() {}
            Ok(rows.rows_affected().unwrap_or(0))
        };
        self.in_time(whole).await
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        let Some((line, permit)) = self.line.take() else { return };
        if *self.spoiled.get_mut() || line.client.is_closed() {
            return;
        }
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let (postgres, key) = (self.postgres.clone(), self.key.clone());
        runtime.spawn(async move {
            line.budget.renew();
            let timeout = postgres.dialer.sleep(CONNECT_TIMEOUT);
            // Fails where a transaction is left open; such a connection is closed, which undoes it.
            let forgotten = tokio::select! {
                forgotten = line.client.batch_execute("DISCARD ALL") => forgotten.is_ok(),
                () = timeout => false,
            };
            if forgotten {
                postgres.pool.put(key, line, permit);
            }
        });
    }
}

fn columns(statement: &Statement) -> Vec<Column> {
    statement.columns().iter().map(convert::column).collect()
}

fn check_count(statement: &Statement, given: usize) -> Result<(), Error> {
    let wanted = statement.params().len();
    if wanted == given {
        return Ok(());
    }
    Err(Error::BadParameter(format!("the statement has {wanted} parameters, but {given} are given")))
}

fn refused(error: OutboundError) -> Error {
    Error::ConnectionFailed(error.to_string())
}

/// An error with its cause: the error alone says no more than where it happened.
fn in_words(error: &tokio_postgres::Error) -> String {
    match error.as_db_error() {
        Some(database) => database.to_string(),
        None => error.source().map_or_else(|| error.to_string(), |cause| format!("{error}: {cause}")),
    }
}

fn of_server(error: &tokio_postgres::error::DbError) -> DatabaseError {
    let line = error.line().map(|line| line.to_string());
    let extras = [
        ("column", error.column()),
        ("constraint", error.constraint()),
        ("routine", error.routine()),
        ("hint", error.hint()),
        ("table", error.table()),
        ("datatype", error.datatype()),
        ("schema", error.schema()),
        ("file", error.file()),
        ("line", line.as_deref()),
        ("where_", error.where_()),
    ];
    DatabaseError {
        as_text: format!("{error} ({})", error.code().code()),
        severity: error.severity().to_owned(),
        code: error.code().code().to_owned(),
        message: error.message().to_owned(),
        detail: error.detail().map(str::to_owned),
        extras: extras.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned()))).collect(),
    }
}
