//! The WIT interface `spin:postgres@4.2.0` on [`Postgres`]; 4.0 and 4.1 are linked by it too, being parts of it.

mod v2;
mod v3;
mod values;

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use wasmtime::StoreContextMut;
use wasmtime::component::{
    Accessor, Destination, FutureReader, HasData, Linker, Resource, ResourceTable, StreamProducer, StreamReader,
    StreamResult, VecBuffer,
};

use super::{Connection, Error, Postgres, Row, Value};
use crate::gate::Gate;
use bindings::spin::postgres::postgres as wit;

mod bindings {
    wasmtime::component::bindgen!({
        path: ["../../wit/deps/spin-postgres@4.2.0"],
        inline: "package weft:postgres-host; world host { import spin:postgres/postgres@4.2.0; }",
        world: "weft:postgres-host/host",
        with: {
            "spin:postgres/postgres.connection": crate::postgres::Connection,
            "spin:postgres/postgres.connection-builder": crate::postgres::glue::Builder,
        },
        imports: { default: async | trappable },
        require_store_data_send: true,
    });
}

/// How many connections and builders one instance may have.
const MAX_OPEN: usize = 16;
/// How many rows are handed to the component at once.
const ROWS_AT_ONCE: usize = 64;
/// The longest certificate of a builder, in bytes of PEM.
const MAX_CERTIFICATE_BYTES: usize = 64 * 1024;

/// What a connection is to be made of.
#[derive(Clone)]
pub struct Builder {
    address: String,
    ca: Option<String>,
}

/// What one instance has of PostgreSQL.
pub struct PostgresState {
    postgres: Arc<Postgres>,
    gate: Gate,
    component: Arc<str>,
    open: usize,
    builders: usize,
    table: ResourceTable,
}

impl PostgresState {
    /// The state of an instance of `component`, whose client is `postgres`.
    #[must_use]
    pub fn new(postgres: Arc<Postgres>, gate: Gate, component: Arc<str>) -> Self {
        Self { postgres, gate, component, open: 0, builders: 0, table: ResourceTable::new() }
    }

    fn check(&self) -> Result<(), Error> {
        self.gate.check().map_err(|closed| Error::Other(closed.to_string()))
    }

    /// The client, if this instance may open another connection now. Takes a place among the open ones.
    fn admit(&mut self) -> Result<Arc<Postgres>, Error> {
        self.check()?;
        if self.open >= MAX_OPEN {
            return Err(Error::ConnectionFailed(format!("{MAX_OPEN} connections are open; drop one first")));
        }
        self.open += 1;
        Ok(self.postgres.clone())
    }

    fn admitted(&mut self, opened: Result<Connection, Error>) -> wasmtime::Result<Result<Resource<Connection>, Error>> {
        match opened {
            Ok(connection) => Ok(Ok(self.table.push(connection)?)),
            Err(error) => {
                self.open -= 1;
                tracing::warn!(component = %self.component, %error, "outbound connection to PostgreSQL refused");
                Ok(Err(error))
            }
        }
    }

    async fn open_connection(
        &mut self,
        address: &str,
        ca: Option<&str>,
    ) -> wasmtime::Result<Result<Resource<Connection>, Error>> {
        match self.admit() {
            Ok(postgres) => {
                let opened = postgres.open(address, ca).await;
                self.admitted(opened)
            }
            Err(error) => Ok(Err(error)),
        }
    }

    /// The connection, if a statement may be sent now.
    fn connection(&self, connection: &Resource<Connection>) -> wasmtime::Result<Result<Connection, Error>> {
        let connection = self.table.get(connection)?.clone();
        Ok(self.check().map(|()| connection))
    }

    fn close(&mut self, connection: Resource<Connection>) -> wasmtime::Result<()> {
        self.table.delete(connection)?;
        self.open -= 1;
        Ok(())
    }
}

/// Links `spin:postgres` of versions 4 and 3, and `fermyon:spin/postgres@2.0.0`, into `linker`; `state` finds an
/// instance's state.
///
/// # Errors
/// If an interface is linked already.
pub fn add_to_linker<T: Send + 'static>(
    linker: &mut Linker<T>,
    state: fn(&mut T) -> &mut PostgresState,
) -> wasmtime::Result<()> {
    wit::add_to_linker::<T, Glue>(linker, state)?;
    v3::add_to_linker(linker, state)?;
    v2::add_to_linker(linker, state)
}

/// Tells wasmtime what the host functions see of a store.
struct Glue;

impl HasData for Glue {
    type Data<'a> = &'a mut PostgresState;
}

type Answered<T> = wasmtime::Result<Result<T, wit::Error>>;

impl wit::Host for PostgresState {}

impl wit::HostConnectionBuilder for PostgresState {
    async fn new(&mut self, address: String) -> wasmtime::Result<Resource<Builder>> {
        if self.builders >= MAX_OPEN {
            wasmtime::bail!("{MAX_OPEN} connection builders are open; drop one first");
        }
        self.builders += 1;
        Ok(self.table.push(Builder { address, ca: None })?)
    }

    async fn set_ca_root(&mut self, builder: Resource<Builder>, certificate: String) -> Answered<()> {
        if certificate.len() > MAX_CERTIFICATE_BYTES {
            let message = format!("the certificate has more than {MAX_CERTIFICATE_BYTES} bytes");
            return Ok(Err(wit::Error::Other(message)));
        }
        self.table.get_mut(&builder)?.ca = Some(certificate);
        Ok(Ok(()))
    }

    async fn build(&mut self, builder: Resource<Builder>) -> Answered<Resource<Connection>> {
        let Builder { address, ca } = self.table.get(&builder)?.clone();
        Ok(self.open_connection(&address, ca.as_deref()).await?.map_err(wit::Error::from))
    }

    async fn drop(&mut self, builder: Resource<Builder>) -> wasmtime::Result<()> {
        self.table.delete(builder)?;
        self.builders -= 1;
        Ok(())
    }
}

impl wit::HostConnection for PostgresState {
    async fn open(&mut self, address: String) -> Answered<Resource<Connection>> {
        Ok(self.open_connection(&address, None).await?.map_err(wit::Error::from))
    }

    async fn query(
        &mut self,
        connection: Resource<Connection>,
        statement: String,
        parameters: Vec<wit::ParameterValue>,
    ) -> Answered<wit::RowSet> {
        let connection = self.connection(&connection)?;
        let query = async { connection?.query(&statement, plain(parameters)).await };
        Ok(query.await.map(wit::RowSet::from).map_err(wit::Error::from))
    }

    async fn execute(
        &mut self,
        connection: Resource<Connection>,
        statement: String,
        parameters: Vec<wit::ParameterValue>,
    ) -> Answered<u64> {
        let connection = self.connection(&connection)?;
        let execute = async { connection?.execute(&statement, plain(parameters)).await };
        Ok(execute.await.map_err(wit::Error::from))
    }

    async fn drop(&mut self, connection: Resource<Connection>) -> wasmtime::Result<()> {
        self.close(connection)
    }
}

async fn open<T: Send>(store: &Accessor<T, Glue>, address: &str, ca: Option<&str>) -> Answered<Resource<Connection>> {
    match store.with(|mut access| access.get().admit()) {
        Ok(postgres) => {
            let opened = postgres.open(address, ca).await;
            Ok(store.with(|mut access| access.get().admitted(opened))?.map_err(wit::Error::from))
        }
        Err(error) => Ok(Err(error.into())),
    }
}

impl<T: Send + 'static> wit::HostConnectionBuilderWithStore<T> for Glue {
    async fn build_async(store: &Accessor<T, Self>, builder: Resource<Builder>) -> Answered<Resource<Connection>> {
        let Builder { address, ca } = store.with(|mut access| access.get().table.get(&builder).cloned())?;
        open(store, &address, ca.as_deref()).await
    }
}

impl<T: Send + 'static> wit::HostConnectionWithStore<T> for Glue {
    async fn open_async(store: &Accessor<T, Self>, address: String) -> Answered<Resource<Connection>> {
        open(store, &address, None).await
    }

    async fn query_async(
        store: &Accessor<T, Self>,
        connection: Resource<Connection>,
        statement: String,
        parameters: Vec<wit::ParameterValue>,
    ) -> Answered<(Vec<wit::Column>, StreamReader<wit::Row>, FutureReader<Result<(), wit::Error>>)> {
        let connection = store.with(|mut access| access.get().connection(&connection))?;
        let query = async { connection?.stream(&statement, plain(parameters)).await };
        let super::Stream { columns, rows, ended } = match query.await {
            Ok(stream) => stream,
            Err(error) => return Ok(Err(error.into())),
        };
        // The task always says how the statement ended, unless the host goes down.
        let ended = async move {
            let lost = || Err(Error::Other("the connection is closed".to_owned()));
            Ok::<_, wasmtime::Error>(ended.await.unwrap_or_else(|_| lost()).map_err(wit::Error::from))
        };
        store.with(|mut access| {
            let columns = columns.into_iter().map(wit::Column::from).collect();
            let rows = StreamReader::new(&mut access, Rows(rows))?;
            Ok(Ok((columns, rows, FutureReader::new(&mut access, ended)?)))
        })
    }

    async fn execute_async(
        store: &Accessor<T, Self>,
        connection: Resource<Connection>,
        statement: String,
        parameters: Vec<wit::ParameterValue>,
    ) -> Answered<u64> {
        let connection = store.with(|mut access| access.get().connection(&connection))?;
        let execute = async { connection?.execute(&statement, plain(parameters)).await };
        Ok(execute.await.map_err(wit::Error::from))
    }
}

/// The rows of a statement, as fast as the component takes them.
struct Rows(tokio::sync::mpsc::Receiver<Row>);

impl<D> StreamProducer<D> for Rows {
    type Item = wit::Row;
    type Buffer = VecBuffer<wit::Row>;

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
        destination.set_buffer(rows.into_iter().map(values::row).collect::<Vec<_>>().into());
        Poll::Ready(Ok(StreamResult::Completed))
    }
}

fn plain(parameters: Vec<wit::ParameterValue>) -> Vec<Value> {
    parameters.into_iter().map(Value::from).collect()
}
