//! One SQLite file of the host's own state: one writer thread with natural group commit, and connections for reading.
//! It knows nothing of what is stored. Databases of contexts, which run the guests' SQL, are not opened here.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, TransactionBehavior};
use tokio::sync::{Semaphore, mpsc, oneshot};

use weft_core::{Failure, Fault, Reason};

/// How many writes may wait for the writer thread; past that, callers wait.
const QUEUE: usize = 1_024;
/// How many writes share one transaction and one flush at most.
const GROUP: usize = 256;
/// How many reads run at the same time.
const READERS: usize = 4;
/// How long another process may hold the file's lock, in milliseconds.
const BUSY_TIMEOUT_MS: u64 = 5_000;
const STATEMENTS_CACHED: usize = 64;

/// The file, opened for one writer and a few readers.
#[derive(Debug)]
pub(crate) struct SqliteFile {
    path: PathBuf,
    queue: Option<mpsc::Sender<Box<dyn Job>>>,
    writer: Option<JoinHandle<()>>,
    readers: Mutex<Vec<Connection>>,
    permits: Semaphore,
}

impl SqliteFile {
    /// Opens or creates the file and runs `schema`, which has to be repeatable.
    pub(crate) fn open(path: &Path, schema: &str) -> Result<Self, Failure> {
        let broken = |error: rusqlite::Error| {
            let message = format!("{}: {error}", path.display());
            Failure::not_attempted(Fault::Host, Reason::Internal, message)
        };
        let connection = Connection::open(path).map_err(broken)?;
        // FULL puts a flush of the write-ahead log between every commit and its acknowledgement.
        connection
            .execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA temp_store = MEMORY;")
            .and_then(|()| connection.busy_timeout(Duration::from_millis(BUSY_TIMEOUT_MS)))
            .and_then(|()| connection.execute_batch(schema))
            .map_err(broken)?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS_CACHED);
        let (queue, jobs) = mpsc::channel(QUEUE);
        let name = path.file_name().map_or_else(|| "sqlite".to_owned(), |name| name.to_string_lossy().into_owned());
        let writer =
            std::thread::Builder::new().name(name).spawn(move || write_groups(connection, jobs)).map_err(|error| {
                Failure::not_attempted(Fault::Host, Reason::Internal, format!("the writer's thread: {error}"))
            })?;
        Ok(Self {
            path: path.to_owned(),
            queue: Some(queue),
            writer: Some(writer),
            readers: Mutex::new(Vec::new()),
            permits: Semaphore::new(READERS),
        })
    }

    /// Runs `work` in the writer's next transaction. When this resolves to `Ok`, its effect is flushed. An error of
    /// `work` undoes `work` alone. `settled` runs on the writer's thread, in commit order, before the answer and
    /// whatever that is, and sees it. Dropping the future takes nothing back.
    pub(crate) async fn write<R: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<R> + Send + 'static,
        settled: impl FnOnce(Result<&R, &Failure>) + Send + 'static,
    ) -> Result<R, Failure> {
        let (reply, answer) = oneshot::channel();
        let job = Write { work: Some(work), settled, result: None, reply };
        let queue = self.queue.as_ref().ok_or_else(closed)?;
        queue.send(Box::new(job)).await.map_err(|_| closed())?;
        answer.await.unwrap_or_else(|_| {
            Err(Failure::unknown(Fault::Host, Reason::ShuttingDown, "the store closed before the write was answered"))
        })
    }

    /// As [`SqliteFile::write`], on this thread, which waits.
    pub(crate) fn write_blocking<R: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<R> + Send + 'static,
    ) -> Result<R, Failure> {
        futures::executor::block_on(self.write(work, |_| {}))
    }

    /// Runs `work` on a reading connection, away from the runtime's own threads.
    pub(crate) async fn read<R: Send + 'static>(
        self: &std::sync::Arc<Self>,
        work: impl FnOnce(&Connection) -> rusqlite::Result<R> + Send + 'static,
    ) -> Result<R, Failure> {
        let file = std::sync::Arc::clone(self);
        let permit = file.permits.acquire().await.map_err(|_| closed())?;
        let reader = std::sync::Arc::clone(self);
        let result = tokio::task::spawn_blocking(move || reader.read_blocking(work)).await;
        drop(permit);
        result.unwrap_or_else(|_| Err(closed()))
    }

    /// Runs `work` on a reading connection, on this thread.
    pub(crate) fn read_blocking<R>(&self, work: impl FnOnce(&Connection) -> rusqlite::Result<R>) -> Result<R, Failure> {
        let idle = self.readers.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let connection = match idle {
            Some(connection) => connection,
            None => self.open_reader().map_err(|error| unreadable(&error))?,
        };
        let result = work(&connection).map_err(|error| unreadable(&error));
        let mut readers = self.readers.lock().unwrap_or_else(PoisonError::into_inner);
        if readers.len() < READERS {
            readers.push(connection);
        }
        result
    }

    fn open_reader(&self) -> rusqlite::Result<Connection> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&self.path, flags)?;
        connection.busy_timeout(Duration::from_millis(BUSY_TIMEOUT_MS))?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS_CACHED);
        Ok(connection)
    }
}

impl Drop for SqliteFile {
    fn drop(&mut self) {
        // Closing the queue ends the writer after what is queued; waiting for it gives the file free for the next.
        self.queue.take();
        if let Some(writer) = self.writer.take()
            && writer.join().is_err()
        {
            tracing::error!(file = %self.path.display(), "the writer's thread panicked");
        }
    }
}

fn closed() -> Failure {
    Failure::not_attempted(Fault::Host, Reason::ShuttingDown, "the store is closed")
}

fn unreadable(error: &rusqlite::Error) -> Failure {
    Failure::not_attempted(Fault::Host, Reason::Unavailable, format!("the store cannot be read: {error}"))
}

/// One write in the queue, its types hidden.
trait Job: Send {
    fn run(&mut self, connection: &Connection) -> rusqlite::Result<()>;
    fn finish(self: Box<Self>, outcome: Result<(), Failure>);
}

struct Write<W, S, R> {
    work: Option<W>,
    settled: S,
    result: Option<R>,
    reply: oneshot::Sender<Result<R, Failure>>,
}

impl<W, S, R> Job for Write<W, S, R>
where
    W: FnOnce(&Connection) -> rusqlite::Result<R> + Send,
    S: FnOnce(Result<&R, &Failure>) + Send,
    R: Send,
{
    fn run(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        if let Some(work) = self.work.take() {
            self.result = Some(work(connection)?);
        }
        Ok(())
    }

    fn finish(self: Box<Self>, outcome: Result<(), Failure>) {
        let Self { work, settled, result, reply } = *self;
        drop(work);
        let answer = outcome.and_then(|()| result.ok_or_else(closed));
        settled(answer.as_ref());
        // Whoever asked may have gone; the effect stands all the same.
        let _ = reply.send(answer);
    }
}

/// The writer's thread: whatever is queued when it comes round shares one transaction and one flush.
fn write_groups(mut connection: Connection, mut jobs: mpsc::Receiver<Box<dyn Job>>) {
    let mut group = Vec::with_capacity(GROUP);
    while jobs.blocking_recv_many(&mut group, GROUP) > 0 {
        write_group(&mut connection, &mut group);
    }
}

fn write_group(connection: &mut Connection, group: &mut Vec<Box<dyn Job>>) {
    let not_begun = |error: &rusqlite::Error| {
        Failure::not_attempted(Fault::Host, Reason::Unavailable, format!("the store cannot be written: {error}"))
    };
    let mut transaction = match connection.transaction_with_behavior(TransactionBehavior::Immediate) {
        Ok(transaction) => transaction,
        Err(error) => {
            group.drain(..).for_each(|job| job.finish(Err(not_begun(&error))));
            return;
        }
    };
    let mut done = Vec::with_capacity(group.len());
    for mut job in group.drain(..) {
        match in_savepoint(&mut transaction, job.as_mut()) {
            Ok(()) => done.push(job),
            Err(error) => job.finish(Err(not_begun(&error))),
        }
    }
    // SQLite ends the whole transaction by itself on a full disk or an I/O error, and the commit then says so.
    let outcome = transaction.commit().map_err(|error| {
        Failure::unknown(Fault::Host, Reason::Unavailable, format!("the store did not commit: {error}"))
    });
    done.into_iter().for_each(|job| job.finish(outcome.clone()));
}

fn in_savepoint(transaction: &mut rusqlite::Transaction<'_>, job: &mut dyn Job) -> rusqlite::Result<()> {
    let savepoint = transaction.savepoint()?;
    job.run(&savepoint)?;
    savepoint.commit()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn open(path: &Path) -> Arc<SqliteFile> {
        Arc::new(SqliteFile::open(path, "CREATE TABLE IF NOT EXISTS t(x INTEGER PRIMARY KEY)").unwrap())
    }

    async fn insert(file: &SqliteFile, x: i64) -> Result<usize, Failure> {
        file.write(move |db| db.execute("INSERT INTO t VALUES (?1)", [x]), |_| {}).await
    }

    #[tokio::test]
    async fn a_failed_write_undoes_itself_alone() {
        let dir = tempfile::tempdir().unwrap();
        let file = open(&dir.path().join("a.db"));
        let results = futures::future::join_all([1, 2, 2, 3].map(|x| insert(&file, x))).await;
        assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 3);
        let count: i64 = file.read(|db| db.query_row("SELECT count(*) FROM t", [], |row| row.get(0))).await.unwrap();
        assert_eq!(count, 3);
    }

    #[tokio::test]
    async fn what_was_acknowledged_is_there_after_reopening_and_commits_are_told_in_order() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.db");
        let order = Arc::new(Mutex::new(Vec::new()));
        {
            let file = open(&path);
            let writes = (0..100).map(|x| {
                let order = Arc::clone(&order);
                file.write(
                    move |db| db.execute("INSERT INTO t VALUES (?1)", [x]),
                    move |_| order.lock().unwrap().push(x),
                )
            });
            assert!(futures::future::join_all(writes).await.iter().all(Result::is_ok));
        }
        assert_eq!(*order.lock().unwrap(), (0..100).collect::<Vec<i64>>());
        let file = open(&path);
        let count: i64 = file.read_blocking(|db| db.query_row("SELECT count(*) FROM t", [], |row| row.get(0))).unwrap();
        assert_eq!(count, 100);
    }
}
