//! The WIT interface `spin:mqtt@3.0.0` on [`Mqtt`].

mod v2;

use std::sync::Arc;

use rumqttc::QoS;
use wasmtime::component::{Accessor, HasData, Linker, Resource, ResourceTable};

use super::{Connection, Error, Login, Mqtt};
use crate::gate::Gate;
use bindings::spin::mqtt::mqtt as wit;

mod bindings {
    wasmtime::component::bindgen!({
        path: ["../../wit/deps/spin-mqtt@3.0.0"],
        inline: "package weft:mqtt-host; world host { import spin:mqtt/mqtt@3.0.0; }",
        world: "weft:mqtt-host/host",
        with: { "spin:mqtt/mqtt.connection": crate::mqtt::Connection },
        imports: { default: async | trappable },
        require_store_data_send: true,
    });
}

/// How many connections one instance may have open.
const MAX_OPEN: usize = 16;

/// What one instance has of MQTT.
pub struct MqttState {
    mqtt: Arc<Mqtt>,
    gate: Gate,
    component: Arc<str>,
    open: usize,
    table: ResourceTable,
}

impl MqttState {
    /// The state of an instance of `component`, whose client is `mqtt`.
    #[must_use]
    pub fn new(mqtt: Arc<Mqtt>, gate: Gate, component: Arc<str>) -> Self {
        Self { mqtt, gate, component, open: 0, table: ResourceTable::new() }
    }

    fn check(&self) -> Result<(), Error> {
        self.gate.check().map_err(|closed| Error::Other(closed.to_string()))
    }

    fn open(&mut self, address: &str, login: Login) -> wasmtime::Result<Result<Resource<Connection>, Error>> {
        let opened = self.check().and_then(|()| {
            if self.open >= MAX_OPEN { Err(Error::TooManyConnections) } else { self.mqtt.open(address, login) }
        });
        match opened {
            Ok(connection) => {
                self.open += 1;
                Ok(Ok(self.table.push(connection)?))
            }
            Err(error) => {
                if matches!(error, Error::ConnectionFailed(_)) {
                    tracing::warn!(component = %self.component, %error, "outbound connection to MQTT refused");
                }
                Ok(Err(error))
            }
        }
    }

    /// The connection, if a message may be sent now.
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

/// Links `spin:mqtt` and `fermyon:spin/mqtt@2.0.0` into `linker`; `state` finds an instance's state.
///
/// # Errors
/// If the interface is linked already.
pub fn add_to_linker<T: Send + 'static>(
    linker: &mut Linker<T>,
    state: fn(&mut T) -> &mut MqttState,
) -> wasmtime::Result<()> {
    wit::add_to_linker::<T, Glue>(linker, state)?;
    v2::add_to_linker(linker, state)
}

/// Tells wasmtime what the host functions see of a store.
struct Glue;

impl HasData for Glue {
    type Data<'a> = &'a mut MqttState;
}

type Answered<T> = wasmtime::Result<Result<T, wit::Error>>;

impl wit::Host for MqttState {}

impl wit::HostConnection for MqttState {
    async fn drop(&mut self, connection: Resource<Connection>) -> wasmtime::Result<()> {
        self.close(connection)
    }
}

impl<T: Send + 'static> wit::HostConnectionWithStore<T> for Glue {
    async fn open(
        store: &Accessor<T, Self>,
        address: String,
        username: String,
        password: String,
        keep_alive_s: u64,
    ) -> Answered<Resource<Connection>> {
        let login = Login { username, password, keep_alive_s };
        Ok(store.with(|mut access| access.get().open(&address, login))?.map_err(wit::Error::from))
    }

    async fn publish(
        store: &Accessor<T, Self>,
        connection: Resource<Connection>,
        topic: String,
        payload: Vec<u8>,
        qos: wit::Qos,
    ) -> Answered<()> {
        match store.with(|mut access| access.get().connection(&connection))? {
            Ok(connection) => Ok(connection.publish(topic, payload, qos.into()).await.map_err(wit::Error::from)),
            Err(error) => Ok(Err(error.into())),
        }
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
