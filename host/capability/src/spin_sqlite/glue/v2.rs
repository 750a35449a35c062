//! `fermyon:spin/sqlite@2.0.0`, which components of Spin's SDKs before version 6 import, on the same databases.

use wasmtime::component::{Linker, Resource};

use super::super::{Connection, Error, QueryResult, Value};
use super::{SpinSqlite, SpinSqliteState};
use bindings::fermyon::spin::sqlite as wit;

mod bindings {
    wasmtime::component::bindgen!({
        path: ["../../wit/deps/fermyon-spin@2.0.0"],
        inline: "package weft:spin-sqlite-host; world host { import fermyon:spin/sqlite@2.0.0; }",
        world: "weft:spin-sqlite-host/host",
        with: { "fermyon:spin/sqlite.connection": crate::spin_sqlite::Connection },
        imports: { default: async | trappable },
        require_store_data_send: true,
    });
}

/// Links the interface.
///
/// # Errors
/// It is linked already.
pub(super) fn add_to_linker<T: Send + 'static>(
    linker: &mut Linker<T>,
    state: fn(&mut T) -> &mut SpinSqliteState,
) -> wasmtime::Result<()> {
    wit::add_to_linker::<T, SpinSqlite>(linker, state)
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
        let parameters = parameters.into_iter().map(Value::from).collect();
        let result = self.run(&connection, statement, parameters).await?;
        Ok(result.map(wit::QueryResult::from).map_err(wit::Error::from))
    }

    async fn drop(&mut self, connection: Resource<Connection>) -> wasmtime::Result<()> {
        self.close(connection)
    }
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

impl From<QueryResult> for wit::QueryResult {
    fn from(result: QueryResult) -> Self {
        let row = |row: Vec<Value>| wit::RowResult { values: row.into_iter().map(wit::Value::from).collect() };
        Self { columns: result.columns, rows: result.rows.into_iter().map(row).collect() }
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
