//! The WIT interface `spin:redis@3.0.0` on [`Redis`].

mod v2;

use std::sync::Arc;

use wasmtime::component::{Accessor, HasData, Linker, Resource, ResourceTable};

use super::{Answer, Connection, Error, Redis};
use crate::gate::Gate;
use bindings::spin::redis::redis as wit;

mod bindings {
    wasmtime::component::bindgen!({
        path: ["../../wit/deps/spin-redis@3.0.0"],
        inline: "package weft:redis-host; world host { import spin:redis/redis@3.0.0; }",
        world: "weft:redis-host/host",
        with: { "spin:redis/redis.connection": crate::redis::Connection },
        imports: { default: async | trappable },
        require_store_data_send: true,
    });
}

/// How many connections one instance may have open.
const MAX_OPEN: usize = 16;

/// What one instance has of Redis.
pub struct RedisState {
    redis: Arc<Redis>,
    gate: Gate,
    component: Arc<str>,
    open: usize,
    table: ResourceTable,
}

impl RedisState {
    /// The state of an instance of `component`, whose client is `redis`.
    #[must_use]
    pub fn new(redis: Arc<Redis>, gate: Gate, component: Arc<str>) -> Self {
        Self { redis, gate, component, open: 0, table: ResourceTable::new() }
    }

    fn check(&self) -> Result<(), Error> {
        self.gate.check().map_err(|closed| Error::Other(closed.to_string()))
    }

    /// The client, if this instance may open another connection now. Takes a place among the open ones.
    fn admit(&mut self) -> Result<Arc<Redis>, Error> {
        self.check()?;
        if self.open >= MAX_OPEN {
            return Err(Error::TooManyConnections);
        }
        self.open += 1;
        Ok(self.redis.clone())
    }

    fn admitted(&mut self, opened: Result<Connection, Error>) -> wasmtime::Result<Result<Resource<Connection>, Error>> {
        match opened {
            Ok(connection) => Ok(Ok(self.table.push(connection)?)),
            Err(error) => {
                self.open -= 1;
                if error == Error::InvalidAddress {
                    tracing::warn!(component = %self.component, %error, "outbound connection to Redis refused");
                }
                Ok(Err(error))
            }
        }
    }

    /// The connection, if a command may be sent now.
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

/// Links `spin:redis` and `fermyon:spin/redis@2.0.0` into `linker`; `state` finds an instance's state.
///
/// # Errors
/// If the interface is linked already.
pub fn add_to_linker<T: Send + 'static>(
    linker: &mut Linker<T>,
    state: fn(&mut T) -> &mut RedisState,
) -> wasmtime::Result<()> {
    wit::add_to_linker::<T, Glue>(linker, state)?;
    v2::add_to_linker(linker, state)
}

/// Tells wasmtime what the host functions see of a store.
struct Glue;

impl HasData for Glue {
    type Data<'a> = &'a mut RedisState;
}

type Answered<T> = wasmtime::Result<Result<T, wit::Error>>;

impl wit::Host for RedisState {}

impl wit::HostConnection for RedisState {
    async fn drop(&mut self, connection: Resource<Connection>) -> wasmtime::Result<()> {
        self.close(connection)
    }
}

/// Runs one command on a connection, without holding the store while it is under way.
async fn on<T: Send, R>(
    store: &Accessor<T, Glue>,
    connection: Resource<Connection>,
    command: impl AsyncFnOnce(&Connection) -> Result<R, Error>,
) -> Answered<R> {
    match store.with(|mut access| access.get().connection(&connection))? {
        Ok(connection) => Ok(command(&connection).await.map_err(wit::Error::from)),
        Err(error) => Ok(Err(error.into())),
    }
}

impl<T: Send + 'static> wit::HostConnectionWithStore<T> for Glue {
    async fn open(store: &Accessor<T, Self>, address: String) -> Answered<Resource<Connection>> {
        match store.with(|mut access| access.get().admit()) {
            Ok(redis) => {
                let opened = redis.open(&address).await;
                Ok(store.with(|mut access| access.get().admitted(opened))?.map_err(wit::Error::from))
            }
            Err(error) => Ok(Err(error.into())),
        }
    }

    async fn publish(
        store: &Accessor<T, Self>,
        connection: Resource<Connection>,
        channel: String,
        payload: Vec<u8>,
    ) -> Answered<()> {
        on(store, connection, async |line| line.publish(&channel, &payload).await).await
    }

    async fn get(
        store: &Accessor<T, Self>,
        connection: Resource<Connection>,
        key: String,
    ) -> Answered<Option<Vec<u8>>> {
        on(store, connection, async |line| line.get(&key).await).await
    }

    async fn set(
        store: &Accessor<T, Self>,
        connection: Resource<Connection>,
        key: String,
        value: Vec<u8>,
    ) -> Answered<()> {
        on(store, connection, async |line| line.set(&key, &value).await).await
    }

    async fn incr(store: &Accessor<T, Self>, connection: Resource<Connection>, key: String) -> Answered<i64> {
        on(store, connection, async |line| line.incr(&key).await).await
    }

    async fn del(store: &Accessor<T, Self>, connection: Resource<Connection>, keys: Vec<String>) -> Answered<u32> {
        on(store, connection, async |line| line.del(&keys).await).await
    }

    async fn sadd(
        store: &Accessor<T, Self>,
        connection: Resource<Connection>,
        key: String,
        values: Vec<String>,
    ) -> Answered<u32> {
        on(store, connection, async |line| line.sadd(&key, &values).await).await
    }

    async fn smembers(
        store: &Accessor<T, Self>,
        connection: Resource<Connection>,
        key: String,
    ) -> Answered<Vec<String>> {
        on(store, connection, async |line| line.smembers(&key).await).await
    }

    async fn srem(
        store: &Accessor<T, Self>,
        connection: Resource<Connection>,
        key: String,
        values: Vec<String>,
    ) -> Answered<u32> {
        on(store, connection, async |line| line.srem(&key, &values).await).await
    }

    async fn execute(
        store: &Accessor<T, Self>,
        connection: Resource<Connection>,
        command: String,
        arguments: Vec<wit::RedisParameter>,
    ) -> Answered<Vec<wit::RedisResult>> {
        let mut command = redis::cmd(&command);
        for argument in arguments {
            match argument {
                wit::RedisParameter::Int64(number) => command.arg(number),
                wit::RedisParameter::Binary(bytes) => command.arg(bytes),
            };
        }
        let answers = on(store, connection, async |line| line.execute(&command).await).await?;
        Ok(answers.map(|answers| answers.into_iter().map(wit::RedisResult::from).collect()))
    }
}

impl From<Answer> for wit::RedisResult {
    fn from(answer: Answer) -> Self {
        match answer {
            Answer::Nil => Self::Nil,
            Answer::Status(text) => Self::Status(text),
            Answer::Int64(number) => Self::Int64(number),
            Answer::Binary(bytes) => Self::Binary(bytes),
        }
    }
}

impl From<Error> for wit::Error {
    fn from(error: Error) -> Self {
        match error {
            Error::InvalidAddress => Self::InvalidAddress,
            Error::TooManyConnections => Self::TooManyConnections,
            Error::TypeError => Self::TypeError,
            Error::Other(text) => Self::Other(text),
        }
    }
}
