//! Reading: a pool of threads with a connection each, and cursors, each of which keeps one such thread while it is
//! open. Threads are started when they are needed.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use futures::future::BoxFuture;
use tokio::sync::{mpsc, oneshot};

use weft_core::Reason;

use super::Shared;
use super::queue::{Queue, Refused};
use super::session::{Role, Session};
use super::statement::{Shape, portable, prepare_read};
use super::writer::{Reply, wait};
use crate::sql::error::SqlError;
use crate::sql::types::{Row, Value};
use crate::sql::{Cursor, limits};

/// Work for a thread with a connection, or with the reason why there is none.
pub(super) type Work = Box<dyn FnOnce(Result<&Session, SqlError>, &Arc<Shared>) + Send>;

pub(super) struct Pool {
    queue: Queue<Work>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    max_threads: usize,
}

impl Pool {
    pub(super) fn new(max_threads: usize, queue: usize) -> Self {
        Self { queue: Queue::new(queue), threads: Mutex::default(), max_threads }
    }

    /// Queues work, and starts a thread if all are busy and there may be another. `which` finds this pool again.
    pub(super) fn push(&self, work: Work, shared: &Arc<Shared>, which: fn(&Shared) -> &Self) -> Result<(), Refused> {
        let short = self.queue.push(work)?;
        let mut threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        if short && threads.len() < self.max_threads {
            let shared = Arc::clone(shared);
            let name = format!("sql-read-{}", shared.context);
            let started = std::thread::Builder::new().name(name).spawn(move || {
                let _runtime = shared.enter_runtime();
                which(&shared).serve(&shared);
            });
            match started {
                Ok(thread) => threads.push(thread),
                // The work waits for the threads there are, or for its time to pass.
                Err(error) => tracing::error!(%error, "a thread for reading could not be started"),
            }
        }
        Ok(())
    }

    fn serve(&self, shared: &Arc<Shared>) {
        let mut session = None;
        while let Some(work) = self.queue.pop() {
            if session.is_none() {
                match Session::open(&shared.path, Role::Reader, Arc::clone(&shared.clock)) {
                    Ok(opened) => session = Some(opened),
                    Err(error) => {
                        work(Err(portable(&error)), shared);
                        continue;
                    }
                }
            }
            if let Some(session) = &session {
                work(Ok(session), shared);
            }
        }
    }

    pub(super) fn close(&self) {
        self.queue.close();
    }

    pub(super) fn join(&self) {
        let threads = std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        for thread in threads {
            if thread.join().is_err() {
                tracing::error!("a thread for reading panicked");
            }
        }
    }
}

struct Next {
    max_rows: usize,
    reply: Reply<Step>,
}

struct Step {
    rows: Vec<Row>,
    ended: bool,
}

/// The caller's half of a cursor.
pub(super) struct Opened {
    columns: Vec<String>,
    steps: mpsc::Sender<Next>,
    ended: bool,
    open_ms: u64,
}

/// Serves one cursor on a reading thread, until its caller is gone, its rows are at an end or its time has passed.
pub(super) fn serve_cursor(
    session: &Session,
    shared: &Arc<Shared>,
    sql: &str,
    parameters: &[Value],
    reply: Reply<Opened>,
) {
    // The first read of the transaction takes the snapshot.
    if let Err(error) = session.host().execute_batch("BEGIN; SELECT number FROM weft_migrations LIMIT 1") {
        // Who no longer waits needs no answer, here and below.
        let _ = reply.send(Err(portable(&error)));
    } else {
        walk(session, shared, sql, parameters, reply);
    }
    super::writer::roll_back(session);
}

fn walk(session: &Session, shared: &Arc<Shared>, sql: &str, parameters: &[Value], reply: Reply<Opened>) {
    let limit = Duration::from_millis(shared.settings.statement_ms);
    let deadline = shared.clock.monotonic() + Duration::from_millis(shared.settings.cursor_ms);
    let sandbox = session.guest(limit);
    let mut statement = match prepare_read(sandbox.connection(), sql, parameters) {
        Ok(statement) => statement,
        Err(error) => {
            let _ = reply.send(Err(error));
            return;
        }
    };
    let shape = Shape::of(&statement);
    let (steps, mut asked) = mpsc::channel(1);
    let columns = shape.names.clone();
    if reply.send(Ok(Opened { columns, steps, ended: false, open_ms: shared.settings.cursor_ms })).is_err() {
        return;
    }
    let mut rows = statement.raw_query();
    loop {
        let left = deadline.saturating_sub(shared.clock.monotonic());
        let Some(Next { max_rows, reply }) = wait(&shared.clock, left, &shared.stop, asked.recv()).flatten() else {
            return;
        };
        let _sandbox = session.guest(limit);
        let step = take(&mut rows, &shape, max_rows);
        let over = step.as_ref().map_or(true, |step| step.ended);
        if reply.send(step).is_err() || over {
            return;
        }
    }
}

fn take(rows: &mut rusqlite::Rows<'_>, shape: &Shape, max_rows: usize) -> Result<Step, SqlError> {
    let mut step = Step { rows: Vec::new(), ended: false };
    let mut bytes = 0;
    while step.rows.len() < max_rows && bytes < limits::RESULT_BYTES {
        let Some(row) = rows.next().map_err(|error| portable(&error))? else {
            step.ended = true;
            break;
        };
        let row = shape.read(row)?;
        bytes += row.iter().map(Value::bytes).sum::<usize>();
        step.rows.push(row);
    }
    Ok(step)
}

impl Opened {
    fn closed(&self) -> SqlError {
        SqlError::unavailable(
            Reason::Deadline,
            format!("the cursor is closed: an error ended it, or it was open for more than {} ms", self.open_ms),
        )
    }
}

impl Cursor for Opened {
    fn columns(&self) -> &[String] {
        &self.columns
    }

    fn next(&mut self, max_rows: u32) -> BoxFuture<'_, Result<Vec<Row>, SqlError>> {
        Box::pin(async move {
            let max_rows = usize::try_from(max_rows).unwrap_or(usize::MAX);
            if max_rows == 0 || max_rows > limits::QUERY_ROWS {
                let most = limits::QUERY_ROWS;
                return Err(SqlError::Invalid(format!("a cursor gives 1 to {most} rows at a time, not {max_rows}")));
            }
            if self.ended {
                return Ok(Vec::new());
            }
            let (reply, answer) = oneshot::channel();
            self.steps.send(Next { max_rows, reply }).await.map_err(|_| self.closed())?;
            let step = answer.await.unwrap_or_else(|_| Err(self.closed()))?;
            self.ended = step.ended;
            Ok(step.rows)
        })
    }
}
