//! `fermyon:spin/mqtt@2.0.0`, which components of Spin's SDKs before version 6 import, on the same client.

use rumqttc::QoS;
use wasmtime::component::{Linker, Resource};

use super::super::{Connection, Error, Login};
use super::{Glue, MqttState};
use bindings::fermyon::spin::mqtt as wit;

mod bindings {
    wasmtime::component::bindgen!({
        path: ["../../wit/deps/fermyon-spin@2.0.0"],
        inline: "package weft:mqtt-host; world host { import fermyon:spin/mqtt@2.0.0; }",
        world: "weft:mqtt-host/host",
        with: { "fermyon:spin/mqtt.connection": crate::mqtt::Connection },
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
    state: fn(&mut T) -> &mut MqttState,
) -> wasmtime::Result<()> {
    wit::add_to_linker::<T, Glue>(linker, state)
}

type Answered<T> = wasmtime::Result<Result<T, wit::Error>>;

impl wit::Host for MqttState {}

impl wit::HostConnection for MqttState {
    async fn open(
        &mut self,
        address: String,
        username: String,
        password: String,
        keep_alive_s: u64,
    ) -> Answered<Resource<Connection>> {
        let login = Login { username, password, keep_alive_s };
        Ok(MqttState::open(self, &address, login)?.map_err(wit::Error::from))
    }

    async fn publish(
        &mut self,
        connection: Resource<Connection>,
        topic: String,
        payload: Vec<u8>,
        qos: wit::Qos,
    ) -> Answered<()> {
        match self.connection(&connection)? {
            Ok(connection) => Ok(connection.publish(topic, payload, qos.into()).await.map_err(wit::Error::from)),
            Err(error) => Ok(Err(error.into())),
        }
    }

    async fn drop(&mut self, connection: Resource<Connection>) -> wasmtime::Result<()> {
        self.close(connection)
    }
}

impl From<wit::Qos> for QoS {
    fn from(qos: wit::Qos) -> Self {
        match qos {
            wit::Qos::AtMostOnce => Self::AtMostOnce,
            wit::Qos::AtLeastOnce => Self::AtLeastOnce,
            wit::Qos::ExactlyOnce => Self::ExactlyOnce,
        }
    }
}

impl From<Error> for wit::Error {
    fn from(error: Error) -> Self {
        match error {
            Error::InvalidAddress => Self::InvalidAddress,
            Error::TooManyConnections => Self::TooManyConnections,
            Error::ConnectionFailed(text) => Self::ConnectionFailed(text),
            Error::Other(text) => Self::Other(text),
        }
    }
}
