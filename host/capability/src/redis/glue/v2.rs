//! `fermyon:spin/redis@2.0.0`, which components of Spin's SDKs before version 6 import, on the same client.

use wasmtime::component::{Linker, Resource};

use super::super::{Answer, Connection, Error};
use super::{Glue, RedisState};
use bindings::fermyon::spin::redis as wit;

mod bindings {
    wasmtime::component::bindgen!({
        path: ["../../wit/deps/fermyon-spin@2.0.0"],
        inline: "package weft:redis-host; world host { import fermyon:spin/redis@2.0.0; }",
        world: "weft:redis-host/host",
        with: { "fermyon:spin/redis.connection": crate::redis::Connection },
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
    state: fn(&mut T) -> &mut RedisState,
) -> wasmtime::Result<()> {
    wit::add_to_linker::<T, Glue>(linker, state)
}

type Answered<T> = wasmtime::Result<Result<T, wit::Error>>;

impl RedisState {
    async fn on<R>(
        &mut self,
        connection: Resource<Connection>,
        command: impl AsyncFnOnce(&Connection) -> Result<R, Error>,
    ) -> Answered<R> {
        match self.connection(&connection)? {
            Ok(connection) => Ok(command(&connection).await.map_err(wit::Error::from)),
            Err(error) => Ok(Err(error.into())),
        }
    }
}

impl wit::Host for RedisState {}

impl wit::HostConnection for RedisState {
    async fn open(&mut self, address: String) -> Answered<Resource<Connection>> {
        match self.admit() {
            Ok(redis) => {
                let opened = redis.open(&address).await;
                Ok(self.admitted(opened)?.map_err(wit::Error::from))
            }
            Err(error) => Ok(Err(error.into())),
        }
    }

    async fn publish(&mut self, connection: Resource<Connection>, channel: String, payload: Vec<u8>) -> Answered<()> {
        self.on(connection, async |line| line.publish(&channel, &payload).await).await
    }

    async fn get(&mut self, connection: Resource<Connection>, key: String) -> Answered<Option<Vec<u8>>> {
        self.on(connection, async |line| line.get(&key).await).await
    }

    async fn set(&mut self, connection: Resource<Connection>, key: String, value: Vec<u8>) -> Answered<()> {
        self.on(connection, async |line| line.set(&key, &value).await).await
    }

    async fn incr(&mut self, connection: Resource<Connection>, key: String) -> Answered<i64> {
        self.on(connection, async |line| line.incr(&key).await).await
    }

    async fn del(&mut self, connection: Resource<Connection>, keys: Vec<String>) -> Answered<u32> {
        self.on(connection, async |line| line.del(&keys).await).await
    }

    async fn sadd(&mut self, connection: Resource<Connection>, key: String, values: Vec<String>) -> Answered<u32> {
        self.on(connection, async |line| line.sadd(&key, &values).await).await
    }

    async fn smembers(&mut self, connection: Resource<Connection>, key: String) -> Answered<Vec<String>> {
        self.on(connection, async |line| line.smembers(&key).await).await
    }

    async fn srem(&mut self, connection: Resource<Connection>, key: String, values: Vec<String>) -> Answered<u32> {
        self.on(connection, async |line| line.srem(&key, &values).await).await
    }

    async fn execute(
        &mut self,
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
        let answers = self.on(connection, async |line| line.execute(&command).await).await?;
        Ok(answers.map(|answers| answers.into_iter().map(wit::RedisResult::from).collect()))
    }

    async fn drop(&mut self, connection: Resource<Connection>) -> wasmtime::Result<()> {
        self.close(connection)
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
