//! `fermyon:spin/postgres@2.0.0`, which components of Spin's SDKs before version 3 import, on the same client. Types that
//! came later are unsupported values here.

use wasmtime::component::{Linker, Resource};

use super::super::{Column, Connection, DataType, Error, RowSet, Value};
use super::{Glue, PostgresState};
use bindings::fermyon::spin::{postgres as wit, rdbms_types as types};

mod bindings {
    wasmtime::component::bindgen!({
        path: ["../../wit/deps/fermyon-spin@2.0.0"],
        inline: "package weft:postgres-host; world host { import fermyon:spin/postgres@2.0.0; }",
        world: "weft:postgres-host/host",
        with: { "fermyon:spin/postgres.connection": crate::postgres::Connection },
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
    state: fn(&mut T) -> &mut PostgresState,
) -> wasmtime::Result<()> {
    wit::add_to_linker::<T, Glue>(linker, state)
}

type Answered<T> = wasmtime::Result<Result<T, types::Error>>;

impl wit::Host for PostgresState {}

impl wit::HostConnection for PostgresState {
    async fn open(&mut self, address: String) -> Answered<Resource<Connection>> {
        Ok(self.open_connection(&address, None).await?.map_err(types::Error::from))
    }

    async fn query(
        &mut self,
        connection: Resource<Connection>,
        statement: String,
        parameters: Vec<types::ParameterValue>,
    ) -> Answered<types::RowSet> {
        let connection = self.connection(&connection)?;
        let query = async { connection?.query(&statement, plain(parameters)?).await };
        Ok(query.await.map(types::RowSet::from).map_err(types::Error::from))
    }

    async fn execute(
        &mut self,
        connection: Resource<Connection>,
        statement: String,
        parameters: Vec<types::ParameterValue>,
    ) -> Answered<u64> {
        let connection = self.connection(&connection)?;
        let execute = async { connection?.execute(&statement, plain(parameters)?).await };
        Ok(execute.await.map_err(types::Error::from))
    }

    async fn drop(&mut self, connection: Resource<Connection>) -> wasmtime::Result<()> {
        self.close(connection)
    }
}

fn plain(parameters: Vec<types::ParameterValue>) -> Result<Vec<Value>, Error> {
    parameters.into_iter().map(Value::try_from).collect()
}

impl TryFrom<types::ParameterValue> for Value {
    type Error = Error;

    fn try_from(value: types::ParameterValue) -> Result<Self, Error> {
        Ok(match value {
            types::ParameterValue::Boolean(value) => Self::Boolean(value),
            types::ParameterValue::Int8(value) => Self::Int8(value),
            types::ParameterValue::Int16(value) => Self::Int16(value),
            types::ParameterValue::Int32(value) => Self::Int32(value),
            types::ParameterValue::Int64(value) => Self::Int64(value),
            types::ParameterValue::Floating32(value) => Self::Floating32(value),
            types::ParameterValue::Floating64(value) => Self::Floating64(value),
            types::ParameterValue::Str(value) => Self::Str(value),
            types::ParameterValue::Binary(value) => Self::Binary(value),
            types::ParameterValue::DbNull => Self::Null,
            types::ParameterValue::Uint8(_)
            | types::ParameterValue::Uint16(_)
            | types::ParameterValue::Uint32(_)
            | types::ParameterValue::Uint64(_) => {
                return Err(Error::ValueConversionFailed("PostgreSQL has no unsigned numbers".to_owned()));
            }
        })
    }
}

impl From<Value> for types::DbValue {
    fn from(value: Value) -> Self {
        match value {
            Value::Null => Self::DbNull,
            Value::Boolean(value) => Self::Boolean(value),
            Value::Int8(value) => Self::Int8(value),
            Value::Int16(value) => Self::Int16(value),
            Value::Int32(value) => Self::Int32(value),
            Value::Int64(value) => Self::Int64(value),
            Value::Floating32(value) => Self::Floating32(value),
            Value::Floating64(value) => Self::Floating64(value),
            Value::Str(value) => Self::Str(value),
            Value::Binary(value) => Self::Binary(value),
            // This version has no words for the others.
            _ => Self::Unsupported,
        }
    }
}

impl From<DataType> for types::DbDataType {
    fn from(kind: DataType) -> Self {
        match kind {
            DataType::Boolean => Self::Boolean,
            DataType::Int16 => Self::Int16,
            DataType::Int32 => Self::Int32,
            DataType::Int64 => Self::Int64,
            DataType::Floating32 => Self::Floating32,
            DataType::Floating64 => Self::Floating64,
            DataType::Str => Self::Str,
            DataType::Binary => Self::Binary,
            _ => Self::Other,
        }
    }
}

impl From<RowSet> for types::RowSet {
    fn from(set: RowSet) -> Self {
        let column = |column: Column| types::Column { name: column.name, data_type: column.kind.into() };
        let row = |row: Vec<Value>| row.into_iter().map(types::DbValue::from).collect();
        Self { columns: set.columns.into_iter().map(column).collect(), rows: set.rows.into_iter().map(row).collect() }
    }
}

impl From<Error> for types::Error {
    fn from(error: Error) -> Self {
        match error {
            Error::ConnectionFailed(text) => Self::ConnectionFailed(text),
            Error::BadParameter(text) => Self::BadParameter(text),
            Error::Database(error) => Self::QueryFailed(error.as_text),
            Error::QueryFailed(text) => Self::QueryFailed(text),
            Error::ValueConversionFailed(text) => Self::ValueConversionFailed(text),
            Error::Other(text) => Self::Other(text),
        }
    }
}
