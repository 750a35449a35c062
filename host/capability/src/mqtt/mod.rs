//! Outbound MQTT 3.1.1: a component publishes to the brokers that its manifest allows, by the rule of outbound HTTP.
//! Here is the client; the WIT interfaces are in [`glue`]. A connection is made by its first message, as in Spin, kept
//! alive as long as the component has it, and made anew by the message after one that failed.

mod address;
pub mod glue;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use rumqttc::{AsyncClient, ConnectionError, Event, EventLoop, MqttOptions, Outgoing, Packet, QoS};
use tokio::sync::{Mutex, mpsc};

use crate::outbound::{Dialer, OutboundError, Permit, Pool};
use address::Address;

/// How long one message may take, with the connection if it needs one.
pub const PUBLISH_TIMEOUT: Duration = Duration::from_secs(30);
/// The largest payload, in bytes.
pub const MAX_PAYLOAD_BYTES: usize = 1024 * 1024;
/// What a packet has beside its payload: a topic has at most 64 KiB.
const MAX_HEAD_BYTES: usize = 70 * 1024;
/// The largest packet that a broker may send; what it sends are acknowledgements.
const MAX_INCOMING_BYTES: usize = 16 * 1024;
/// What may wait between the connection's task and a publisher: a message and what is told of it.
const WAITING: usize = 16;

/// Why there is no connection, or a message was not delivered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The address is no `mqtt://` URL.
    #[error("the address is none of an MQTT broker: mqtt://host[:port][?client_id=...]")]
    InvalidAddress,
    /// Too many connections are open.
    #[error("too many connections are open")]
    TooManyConnections,
    /// The manifest does not allow the broker, or it does not answer, or refuses the login.
    #[error("{0}")]
    ConnectionFailed(String),
    /// All else, in words.
    #[error("{0}")]
    Other(String),
}

/// MQTT for one component. Made once, not for each instance, so that connections are counted.
#[derive(Debug)]
pub struct Mqtt {
    dialer: Dialer,
    /// Counts; a connection has a login and an identity of its own and is not given to anybody else.
    pool: Pool<()>,
    publish: Duration,
}

/// Who opens a connection, and how it is kept alive.
#[derive(Clone)]
pub struct Login {
    /// The user; empty for none.
    pub username: String,
    /// The password.
    pub password: String,
    /// Between two signs of life, in seconds; 0 for none.
    pub keep_alive_s: u64,
}

/// A connection as a component has it. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Connection(Arc<Shared>);

struct Shared {
    dialer: Dialer,
    address: Address,
    login: Login,
    /// How long one message may take.
    publish: Duration,
    permit: Arc<Permit>,
    /// One message at a time. Nothing is there before the first one and after one that failed or was given up.
    line: Mutex<Option<Line>>,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("to", &self.address.to).finish_non_exhaustive()
    }
}

/// What is known of the message under way.
enum Told {
    Connected,
    Sent,
    Acknowledged,
    Completed,
    Broken(String),
}

struct Line {
    client: AsyncClient,
    told: mpsc::Receiver<Told>,
}

impl Mqtt {
    /// The client of a component that may reach what `dialer` lets through, whose messages may take as long as `publish`, connecting
    /// included.
    #[must_use]
    pub fn new(dialer: Dialer, publish: Duration) -> Arc<Self> {
        let pool = Pool::new(dialer.clock().clone());
        Arc::new(Self { dialer, pool, publish })
    }

    /// A connection to the broker at `address`, a URL.
    ///
    /// # Errors
    /// [`Error`].
    pub fn open(&self, address: &str, login: Login) -> Result<Connection, Error> {
        let address = Address::parse(address)?;
        self.dialer.check(&address.to).map_err(refused)?;
        let permit = Arc::new(self.pool.permit().map_err(|_| Error::TooManyConnections)?);
        let (dialer, publish, line) = (self.dialer.clone(), self.publish, Mutex::new(None));
        Ok(Connection(Arc::new(Shared { dialer, address, login, publish, permit, line })))
    }
}

impl Connection {
    /// Publishes a message. Answered when it is sent, or acknowledged where `qos` asks for that.
    ///
    /// # Errors
    /// [`Error`]; the message may have been delivered.
    pub async fn publish(&self, topic: String, payload: Vec<u8>, qos: QoS) -> Result<(), Error> {
        if payload.len() > MAX_PAYLOAD_BYTES {
            let bytes = payload.len();
            return Err(Error::Other(format!(
                "the payload has {bytes} bytes; at most {MAX_PAYLOAD_BYTES} are allowed"
            )));
        }
        let timeout = self.0.dialer.sleep(self.0.publish);
        let publish = async {
            let mut place = self.0.line.lock().await;
            // Taken out: whoever gives up half-way leaves nothing behind that an answer could be mistaken on.
            let mut line = match place.take().and_then(Line::still_fine) {
                Some(line) => line,
                None => self.0.connect().await?,
            };
            line.publish(topic, payload, qos).await?;
            *place = Some(line);
            Ok(())
        };
        tokio::select! {
            published = publish => published,
            () = timeout => Err(Error::ConnectionFailed("the broker took too long to answer".to_owned())),
        }
    }
}

impl Shared {
    /// A connection to the first address that lets us in.
    async fn connect(&self) -> Result<Line, Error> {
        let mut last = Error::InvalidAddress;
        for address in self.dialer.addresses(&self.address.to).await.map_err(refused)? {
            let mut line = self.line_to(address);
            match line.told.recv().await {
                Some(Told::Broken(why)) => last = Error::ConnectionFailed(why),
                _ => return Ok(line),
            }
        }
        Err(last)
    }

    fn line_to(&self, address: IpAddr) -> Line {
        let (client, events) = AsyncClient::new(self.options(address), WAITING);
        let (tell, told) = mpsc::channel(WAITING);
        let permit = self.permit.clone();
        drop(tokio::spawn(async move {
            drive(events, tell).await;
            drop(permit);
        }));
        Line { client, told }
    }

    /// The client connects by itself, to the address that was checked.
    fn options(&self, address: IpAddr) -> MqttOptions {
        let host = match address {
            IpAddr::V4(address) => address.to_string(),
            IpAddr::V6(address) => format!("[{address}]"),
        };
        let mut options = MqttOptions::new(&*self.address.client_id, host, self.address.to.port);
        options.set_clean_session(self.address.clean_session);
        options.set_max_packet_size(MAX_INCOMING_BYTES, MAX_PAYLOAD_BYTES + MAX_HEAD_BYTES);
        // The protocol has sixteen bits for it.
        options.set_keep_alive(Duration::from_secs(self.login.keep_alive_s.min(u16::MAX.into())));
        if !(self.login.username.is_empty() && self.login.password.is_empty()) {
            options.set_credentials(&self.login.username, &self.login.password);
        }
        options
    }
}

/// Keeps a connection going and tells what becomes of messages, until it breaks or is ended.
async fn drive(mut events: EventLoop, tell: mpsc::Sender<Told>) {
    loop {
        let told = match events.poll().await {
            Ok(Event::Incoming(Packet::ConnAck(_))) => Told::Connected,
            Ok(Event::Outgoing(Outgoing::Publish(_))) => Told::Sent,
            Ok(Event::Incoming(Packet::PubAck(_))) => Told::Acknowledged,
            Ok(Event::Incoming(Packet::PubComp(_))) => Told::Completed,
            Ok(Event::Outgoing(Outgoing::Disconnect)) => return,
            Ok(_) => continue,
            Err(error) => {
                let _ = tell.try_send(Told::Broken(in_words(&error)));
                return;
            }
        };
        // A broker that tells more than was asked for fills the channel; the rest means nothing.
        let _ = tell.try_send(told);
    }
}

impl Line {
    /// Forgets what was told since the last message; nothing if the connection broke meanwhile.
    fn still_fine(mut self) -> Option<Self> {
        while let Ok(told) = self.told.try_recv() {
            if matches!(told, Told::Broken(_)) {
                return None;
            }
        }
        (!self.told.is_closed()).then_some(self)
    }

    async fn publish(&mut self, topic: String, payload: Vec<u8>, qos: QoS) -> Result<(), Error> {
        let queued = self.client.publish(topic, qos, false, payload).await;
        // The library refuses nothing but topics with wildcards, and has no other error while its task runs.
        queued.map_err(|_| Error::Other("the topic is not one that can be published to".to_owned()))?;
        loop {
            match (self.told.recv().await, qos) {
                (Some(Told::Sent), QoS::AtMostOnce)
                | (Some(Told::Acknowledged), QoS::AtLeastOnce)
                | (Some(Told::Completed), QoS::ExactlyOnce) => return Ok(()),
                (Some(Told::Broken(why)), _) => return Err(Error::ConnectionFailed(why)),
                (Some(_), _) => {}
                (None, _) => return Err(Error::ConnectionFailed("the connection is closed".to_owned())),
            }
        }
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        // Goes out after what was published before; the task ends with it. If there is no room for it, the connection
        // is broken and its task has ended or is about to.
        let _ = self.client.try_disconnect();
    }
}

fn in_words(error: &ConnectionError) -> String {
    match error {
        ConnectionError::ConnectionRefused(code) => format!("the broker refuses the connection: {code:?}"),
        ConnectionError::NetworkTimeout | ConnectionError::FlushTimeout => "the broker takes too long".to_owned(),
        other => other.to_string(),
    }
}

fn refused(error: OutboundError) -> Error {
    Error::ConnectionFailed(error.to_string())
}

#[cfg(test)]
mod tests;
