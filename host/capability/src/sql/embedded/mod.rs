//! The embedded backend: one SQLite file for each context, `<data>/sql/<context>.db`, with a write-ahead log that is
//! flushed at each commit. This file opens it, hands work to its threads and closes it; what the threads do is in
//! `writer`, `transaction` and `reader`.

mod events;
mod keyed;
mod migrations;
mod open;
mod queue;
mod read_model;
mod reader;
mod schema;
mod session;
mod shadow;
mod statement;
mod transaction;
mod write_error;
mod writer;

#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use tokio::sync::{Notify, oneshot, watch};

use weft_core::failpoint::Failpoints;
use weft_core::id::new_id;
use weft_core::{Clock, Failure, Reason};

pub use migrations::MigrationError;
pub use open::{ContextSettings, KeptSince, OpenError, SqlHost, SqlSettings};

use super::error::SqlError;
use super::types::{Commit, Committed, OperationKey, Revocation, Rows, Value};
use super::{Cursor, Database, Transaction, check};
use crate::outbox::{OutboxEvent, OutboxSource};
use keyed::Record;
use queue::{Queue, Refused, Ticket};
use reader::Pool;
use session::Session;
use write_error::WriteError;
use writer::{Effect, Job, Keyed, Operation, Reply};

/// Resolves when the host stops.
type Stop = futures::future::Shared<BoxFuture<'static, ()>>;

/// What the threads of one context share.
struct Shared {
    context: String,
    path: PathBuf,
    settings: SqlSettings,
    clock: Arc<dyn Clock>,
    failpoints: Failpoints,
    runtime: Option<tokio::runtime::Handle>,
    writes: Queue<Job>,
    queries: Pool,
    cursors: Pool,
    /// The message log has everything in the outbox up to this position.
    forwarded: AtomicI64,
    outbox: Notify,
    /// The position of the newest event of the event store; 0 if there is none.
    head: watch::Sender<u64>,
    stop: Stop,
}

impl Shared {
    /// Threads wait by the clock, whose timers may belong to the runtime.
    fn enter_runtime(&self) -> Option<tokio::runtime::EnterGuard<'_>> {
        self.runtime.as_ref().map(tokio::runtime::Handle::enter)
    }

    fn outbox_changed(&self, changed: bool) {
        if changed {
            self.outbox.notify_one();
        }
    }
}

/// The database of one context.
struct Embedded {
    shared: Arc<Shared>,
    /// Begins the statements of projections; made anew at each start.
    mark: String,
    writer: Mutex<Option<JoinHandle<()>>>,
    stop: Mutex<Option<oneshot::Sender<()>>>,
}

impl Embedded {
    /// Starts the writer on an opened file.
    fn start(
        context: &ContextSettings,
        path: PathBuf,
        session: Session,
        (settings, clock, failpoints): (SqlSettings, Arc<dyn Clock>, Failpoints),
    ) -> std::io::Result<Self> {
        let (stop, stopped) = oneshot::channel();
        let newest = events::newest(session.host()).map_err(std::io::Error::other)?;
        let shared = Arc::new(Shared {
            context: context.name.clone(),
            path,
            clock,
            failpoints,
            runtime: tokio::runtime::Handle::try_current().ok(),
            writes: Queue::new(settings.queue),
            queries: Pool::new(settings.readers, settings.queue),
            cursors: Pool::new(settings.cursors, settings.queue),
            settings,
            forwarded: AtomicI64::new(0),
            outbox: Notify::new(),
            head: watch::Sender::new(newest.position),
            stop: stopped.map(drop).boxed().shared(),
        });
        // Events may have been left by an earlier run.
        shared.outbox_changed(true);
        let its = Arc::clone(&shared);
        let writer = std::thread::Builder::new().name(format!("sql-write-{}", context.name)).spawn(move || {
            let _runtime = its.enter_runtime();
            writer::Writer::new(session, Arc::clone(&its), newest.time_ms).run();
        })?;
        Ok(Self { shared, mark: new_id(), writer: Mutex::new(Some(writer)), stop: Mutex::new(Some(stop)) })
    }

    /// Takes nothing in any more and ends transactions and cursors.
    fn close(&self) {
        self.shared.writes.close();
        self.shared.queries.close();
        self.shared.cursors.close();
        self.stop.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    /// Waits for what was taken in before [`Embedded::close`].
    fn join(&self) {
        self.shared.queries.join();
        self.shared.cursors.join();
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        if writer.is_some_and(|writer| writer.join().is_err()) {
            tracing::error!(context = %self.shared.context, "the writer's thread panicked");
        }
    }

    /// Waits for an answer; gives the job up if no thread begins it in time.
    async fn answer<T, E: From<SqlError>>(
        &self,
        ticket: &Ticket,
        mut answer: oneshot::Receiver<Result<T, E>>,
        lost: SqlError,
    ) -> Result<T, E> {
        let wait_ms = self.shared.settings.acquire_ms;
        let late = self.shared.clock.sleep(Duration::from_millis(wait_ms));
        let answered = tokio::select! {
            biased;
            answered = &mut answer => answered,
            () = late => {
                if ticket.give_up() {
                    let context = &self.shared.context;
                    let message = format!("the database of `{context}` did not come free in {wait_ms} ms");
                    return Err(SqlError::unavailable(Reason::Overloaded, message).into());
                }
                answer.await
            }
        };
        answered.unwrap_or_else(|_| Err(lost.into()))
    }

    fn refused(&self, refused: Refused) -> SqlError {
        let context = &self.shared.context;
        match refused {
            Refused::Full => SqlError::unavailable(
                Reason::Overloaded,
                format!("{} calls wait for the database of `{context}`", self.shared.settings.queue),
            ),
            Refused::Closed => {
                SqlError::unavailable(Reason::ShuttingDown, format!("the database of `{context}` is closed"))
            }
        }
    }

    async fn write(&self, operation: Operation) -> Result<Effect, WriteError> {
        let (reply, answer) = oneshot::channel();
        let ticket = Arc::<Ticket>::default();
        let job = Job::Keyed(Keyed { operation, ticket: Arc::clone(&ticket), reply });
        self.shared.writes.push(job).map_err(|refused| self.refused(refused))?;
        self.answer(&ticket, answer, SqlError::uncertain("the database stopped before it answered")).await
    }

    /// Runs `work` on a thread of `pool`; it answers by the reply it is given.
    async fn read<T: Send + 'static>(
        &self,
        pool: fn(&Shared) -> &Pool,
        work: impl FnOnce(&Session, &Arc<Shared>, Reply<T>) + Send + 'static,
    ) -> Result<T, SqlError> {
        let (reply, answer) = oneshot::channel::<Result<T, SqlError>>();
        let ticket = Arc::<Ticket>::default();
        let its = Arc::clone(&ticket);
        let work = Box::new(move |session: Result<&Session, SqlError>, shared: &Arc<Shared>| {
            if reply.is_closed() || !its.begin() {
                return;
            }
            match session {
                Ok(session) => work(session, shared, reply),
                // Who no longer waits needs no answer.
                Err(error) => drop(reply.send(Err(error))),
            }
        });
        pool(&self.shared).push(work, &self.shared, pool).map_err(|refused| self.refused(refused))?;
        let lost = SqlError::unavailable(Reason::ShuttingDown, "the database stopped before it answered");
        self.answer(&ticket, answer, lost).await
    }
}

impl Drop for Embedded {
    fn drop(&mut self) {
        self.close();
    }
}

impl Database for Embedded {
    fn context(&self) -> &str {
        &self.shared.context
    }

    fn recorded(&self, key: OperationKey) -> BoxFuture<'_, Result<Option<Committed>, SqlError>> {
        Box::pin(async move {
            check::key(&key)?;
            let found = self.read(queries, move |session, _, reply| {
                let _ = reply.send(keyed::record(session.host(), &key));
            });
            match found.await? {
                None => Ok(None),
                Some(Record::Committed(committed)) => Ok(Some(committed)),
                Some(Record::Revoked { .. }) => Err(SqlError::Revoked),
            }
        })
    }

    fn commit(&self, commit: Commit) -> BoxFuture<'_, Result<Committed, SqlError>> {
        Box::pin(async move {
            check::commit(&commit, 0)?;
            match self.write(Operation::Commit(commit, Vec::new())).await.map_err(WriteError::into_sql)? {
                Effect::Committed { record, .. } => Ok(record),
                _ => Err(write_error::mismatched()),
            }
        })
    }

    fn revoke(&self, revocation: Revocation) -> BoxFuture<'_, Result<bool, SqlError>> {
        Box::pin(async move {
            check::revocation(&revocation)?;
            match self.write(Operation::Revoke(revocation)).await.map_err(WriteError::into_sql)? {
                Effect::Revoked { ran } => Ok(ran),
                _ => Err(write_error::mismatched()),
            }
        })
    }

    fn query(&self, sql: String, parameters: Vec<Value>) -> BoxFuture<'_, Result<Rows, SqlError>> {
        Box::pin(async move {
            check::statement(&sql, &parameters)?;
            self.read(queries, move |session, shared, reply| {
                let sandbox = session.guest(Duration::from_millis(shared.settings.statement_ms));
                let _ = reply.send(statement::query_read(sandbox.connection(), &sql, &parameters));
            })
            .await
        })
    }

    fn open(&self, sql: String, parameters: Vec<Value>) -> BoxFuture<'_, Result<Box<dyn Cursor>, SqlError>> {
        Box::pin(async move {
            check::statement(&sql, &parameters)?;
            let opened = self.read(cursors, move |session, shared, reply| {
                reader::serve_cursor(session, shared, &sql, &parameters, reply);
            });
            Ok(Box::new(opened.await?) as Box<dyn Cursor>)
        })
    }

    fn begin(&self, owner: Arc<str>) -> BoxFuture<'_, Result<Box<dyn Transaction>, SqlError>> {
        Box::pin(async move {
            let (reply, answer) = oneshot::channel();
            let ticket = Arc::<Ticket>::default();
            let job = Job::Begin { owner, ticket: Arc::clone(&ticket), reply };
            self.shared.writes.push(job).map_err(|refused| self.refused(refused))?;
            let lost = SqlError::unavailable(Reason::ShuttingDown, "the database stopped before it answered");
            Ok(Box::new(self.answer(&ticket, answer, lost).await?) as Box<dyn Transaction>)
        })
    }
}

fn queries(shared: &Shared) -> &Pool {
    &shared.queries
}

fn cursors(shared: &Shared) -> &Pool {
    &shared.cursors
}

impl OutboxSource for Embedded {
    fn context(&self) -> &str {
        &self.shared.context
    }

    fn changed(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.shared.outbox.notified())
    }

    fn pending(&self, limit: usize) -> BoxFuture<'_, Result<Vec<OutboxEvent>, Failure>> {
        Box::pin(async move {
            let read = self.read(queries, move |session, shared, reply| {
                let after = shared.forwarded.load(Ordering::Acquire);
                let _ = reply
                    .send(keyed::pending(session.host(), after, limit).map_err(|error| statement::portable(&error)));
            });
            Ok(read.await?)
        })
    }

    fn forwarded(&self, position: i64) -> BoxFuture<'_, Result<(), Failure>> {
        // The next commit removes them and shares its flush. Until then they are passed over; after a crash they come
        // again, and the message log knows their ids.
        self.shared.forwarded.fetch_max(position, Ordering::AcqRel);
        Box::pin(std::future::ready(Ok(())))
    }
}
