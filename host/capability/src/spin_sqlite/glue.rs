//! The WIT interface `spin:sqlite@3.1.0` over [`Databases`]. Which databases a component may open is decided here, at
//! `open`, as Spin does.

mod v2;

use std::collections::BTreeSet;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use wasmtime::StoreContextMut;
use wasmtime::component::{
    Accessor, Destination, FutureReader, HasData, Linker, Resource, ResourceTable, StreamProducer, StreamReader,
    StreamResult, VecBuffer,
};

use super::{Connection, Databases, Error, QueryResult, Row, Value};
use crate::gate::Gate;
use bindings::spin::sqlite::sqlite as wit;

mod bindings {
    wasmtime::component::bindgen!({
        path: ["../../wit/deps/spin-sqlite@3.1.0"],
        inline: "package weft:spin-sqlite-host; world host { import spin:sqlite/sqlite@3.1.0; }",
        world: "weft:spin-sqlite-host/host",
        with: { "spin:sqlite/sqlite.connection": crate::spin_sqlite::Connection },
        imports: { default: async | trappable },
        require_store_data_send: true,
    });
}

/// How many connections one instance may have open.
const MAX_OPEN: usize = 16;
/// How many rows are handed to the component at once.
const ROWS_AT_ONCE: usize = 64;

/// What one instance has of `spin:sqlite`.
pub struct SpinSqliteState {
    databases: Databases,
    granted: Arc<BTreeSet<String>>,
    gate: Gate,
    open: usize,
    table: ResourceTable,
}

impl SpinSqliteState {
    /// The state of an instance that may open the databases `granted`.
    #[must_use]
    pub fn new(databases: Databases, granted: Arc<BTreeSet<String>>, gate: Gate) -> Self {
        Self { databases, granted, gate, open: 0, table: ResourceTable::new() }
    }

    fn check(&self) -> Result<(), Error> {
        self.gate.check().map_err(|closed| Error::Io(closed.to_string()))
    }

    /// The databases, if this instance may open `label` now. Takes a place among the open connections.
    fn admit(&mut self, label: &str) -> Result<Databases, Error> {
        self.check()?;
        if !self.granted.contains(label) {
            return Err(Error::AccessDenied);
        }
        if self.open >= MAX_OPEN {
            return Err(Error::Io(format!("{MAX_OPEN} connections are open; drop one first")));
        }
        self.open += 1;
        Ok(self.databases.clone())
    }

    fn admitted(&mut self, opened: Result<Connection, Error>) -> wasmtime::Result<Result<Resource<Connection>, Error>> {
        match opened {
            Ok(connection) => Ok(Ok(self.table.push(connection)?)),
            Err(error) => {
                self.open -= 1;
                Ok(Err(error))
            }
        }
    }

    async fn open_connection(&mut self, label: &str) -> wasmtime::Result<Result<Resource<Connection>, Error>> {
        match self.admit(label) {
            Ok(databases) => {
                let opened = databases.open(label).await;
                self.admitted(opened)
            }
            Err(error) => Ok(Err(error)),
        }
    }

    async fn run(
        &mut self,
        connection: &Resource<Connection>,
        statement: String,
        parameters: Vec<Value>,
    ) -> wasmtime::Result<Result<QueryResult, Error>> {
        let connection = self.connection(connection)?;
        if let Err(closed) = self.check() {
            return Ok(Err(closed));
        }
        Ok(connection.execute(statement, parameters).await)
    }

    fn close(&mut self, connection: Resource<Connection>) -> wasmtime::Result<()> {
        self.table.delete(connection)?;
        self.open -= 1;
        Ok(())
    }

    fn connection(&self, connection: &Resource<Connection>) -> wasmtime::Result<Connection> {
        Ok(self.table.get(connection)?.clone())
    }
}

/// Links `spin:sqlite` and `fermyon:spin/sqlite@2.0.0` into `linker`; `state` finds an instance's state.
///
/// # Errors
/// If the interface is linked already.
pub fn add_to_linker<T: Send + 'static>(
    linker: &mut Linker<T>,
    state: fn(&mut T) -> &mut SpinSqliteState,
) -> wasmtime::Result<()> {
    wit::add_to_linker::<T, SpinSqlite>(linker, state)?;
    v2::add_to_linker(linker, state)
}

/// Tells wasmtime what the host functions see of a store.
struct SpinSqlite;

impl HasData for SpinSqlite {
    type Data<'a> = &'a mut SpinSqliteState;
}

type Answer<T> = wasmtime::Result<Result<T, wit::Error>>;

impl wit::Host for SpinSqliteState {}

impl wit::HostConnection for SpinSqliteState {
    async fn open(&mut self, database: String) -> Answer<Resource<Connection>> {
        Ok(self.open_connection(&database).await?.map_err(wit::Error::from))
    }

    async fn execute(
        &mut self,
        connection: Resource<Connection>,
        statement: String,
        parameters: Vec<wit::Value>,
    ) -> Answer<wit::QueryResult> {
        let result = self.run(&connection, statement, plain(parameters)).await?;
        Ok(result.map(wit::QueryResult::from).map_err(wit::Error::from))
    }

    async fn last_insert_rowid(&mut self, connection: Resource<Connection>) -> wasmtime::Result<i64> {
        Ok(self.connection(&connection)?.last_insert_rowid().await?)
    }

    async fn changes(&mut self, connection: Resource<Connection>) -> wasmtime::Result<u64> {
        Ok(self.connection(&connection)?.changes().await?)
    }

    async fn drop(&mut self, connection: Resource<Connection>) -> wasmtime::Result<()> {
        self.close(connection)
    }
}

fn connection<T>(store: &Accessor<T, SpinSqlite>, connection: &Resource<Connection>) -> wasmtime::Result<Connection> {
    store.with(|mut access| access.get().connection(connection))
}

impl<T: Send + 'static> wit::HostConnectionWithStore<T> for SpinSqlite {
    async fn open_async(store: &Accessor<T, Self>, database: String) -> Answer<Resource<Connection>> {
        match store.with(|mut access| access.get().admit(&database)) {
            Ok(databases) => {
                let opened = databases.open(&database).await;
                Ok(store.with(|mut access| access.get().admitted(opened))?.map_err(wit::Error::from))
            }
            Err(error) => Ok(Err(error.into())),
        }
    }

    async fn execute_async(
        store: &Accessor<T, Self>,
        resource: Resource<Connection>,
        statement: String,
        parameters: Vec<wit::Value>,
    ) -> Answer<(Vec<String>, StreamReader<wit::RowResult>, FutureReader<Result<(), wit::Error>>)> {
        let connection = connection(store, &resource)?;
        let execute = async {
            store.with(|mut access| access.get().check())?;
            connection.stream(statement, plain(parameters)).await
        };
        let super::Stream { columns, rows, ended } = match execute.await {
            Ok(stream) => stream,
            Err(error) => return Ok(Err(error.into())),
        };
        // The thread always says how the statement ended, unless it is gone.
        let lost = || Err(Error::Io("the connection is closed".to_owned()));
        let ended = async move {
            let ended = ended.await.unwrap_or_else(|_| lost());
            Ok::<_, wasmtime::Error>(ended.map_err(wit::Error::from))
        };
        store.with(|mut access| {
            let rows = StreamReader::new(&mut access, Rows(rows))?;
            Ok(Ok((columns, rows, FutureReader::new(&mut access, ended)?)))
        })
    }

    async fn last_insert_rowid_async(
        store: &Accessor<T, Self>,
        resource: Resource<Connection>,
    ) -> wasmtime::Result<i64> {
        Ok(connection(store, &resource)?.last_insert_rowid().await?)
    }

    async fn changes_async(store: &Accessor<T, Self>, resource: Resource<Connection>) -> wasmtime::Result<u64> {
        Ok(connection(store, &resource)?.changes().await?)
    }
}

/// The rows of a statement, as fast as the component takes them.
struct Rows(tokio::sync::mpsc::Receiver<Row>);

impl<D> StreamProducer<D> for Rows {
    type Item = wit::RowResult;
    type Buffer = VecBuffer<wit::RowResult>;

    fn poll_produce<'a>(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        mut store: StoreContextMut<'a, D>,
        mut destination: Destination<'a, Self::Item, Self::Buffer>,
        finish: bool,
    ) -> Poll<wasmtime::Result<StreamResult>> {
        if destination.remaining(&mut store) == Some(0) {
            return Poll::Ready(Ok(StreamResult::Completed));
        }
        let mut rows = Vec::new();
        let count = match self.0.poll_recv_many(context, &mut rows, ROWS_AT_ONCE) {
            Poll::Pending if finish => return Poll::Ready(Ok(StreamResult::Cancelled)),
            poll => ready!(poll),
        };
        if count == 0 {
            return Poll::Ready(Ok(StreamResult::Dropped));
        }
        destination.set_buffer(rows.into_iter().map(wit::RowResult::from).collect::<Vec<_>>().into());
        Poll::Ready(Ok(StreamResult::Completed))
    }
}

fn plain(values: Vec<wit::Value>) -> Vec<Value> {
    values.into_iter().map(Value::from).collect()
}

impl From<wit::Value> for Value {
    fn from(value: wit::Value) -> Self {
        match value {
            wit::Value::Integer(integer) => Self::Integer(integer),
            wit::Value::Real(real) => Self::Real(real),
            wit::Value::Text(text) => Self::Text(text),
            wit::Value::Blob(blob) => Self::Blob(blob),
            wit::Value::Null => Self::Null,
        }
    }
}

impl From<Value> for wit::Value {
    fn from(value: Value) -> Self {
        match value {
            Value::Integer(integer) => Self::Integer(integer),
            Value::Real(real) => Self::Real(real),
            Value::Text(text) => Self::Text(text),
            Value::Blob(blob) => Self::Blob(blob),
            Value::Null => Self::Null,
        }
    }
}

impl From<Row> for wit::RowResult {
    fn from(row: Row) -> Self {
        Self { values: row.into_iter().map(wit::Value::from).collect() }
    }
}

impl From<QueryResult> for wit::QueryResult {
    fn from(result: QueryResult) -> Self {
        Self { columns: result.columns, rows: result.rows.into_iter().map(wit::RowResult::from).collect() }
    }
}

impl From<Error> for wit::Error {
    fn from(error: Error) -> Self {
        match error {
            Error::NoSuchDatabase => Self::NoSuchDatabase,
            Error::AccessDenied => Self::AccessDenied,
            Error::DatabaseFull => Self::DatabaseFull,
            Error::Io(text) => Self::Io(text),
        }
    }
}
