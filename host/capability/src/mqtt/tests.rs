//! The client with a real broker and with one that breaks: policy, messages, limits, connecting anew.

use tokio::net::TcpListener;
use weft_core::SystemClock;
use weft_core::id::new_trace_id;
use weft_core::outbound::OutboundHosts;
use weft_tests::servers;

use super::*;
use crate::outbound::SystemResolver;

fn client(allowed: &[&str]) -> Arc<Mqtt> {
    let hosts = OutboundHosts::new(allowed.iter().map(|host| host.parse().unwrap()).collect());
    let clock = Arc::new(SystemClock::new(|duration| Box::pin(tokio::time::sleep(duration))));
    Mqtt::new(Dialer::new(hosts, Arc::new(SystemResolver), clock).unwrap(), std::time::Duration::from_secs(15))
}

fn nobody() -> Login {
    Login { username: String::new(), password: String::new(), keep_alive_s: 5 }
}

#[tokio::test]
async fn what_is_not_allowed_is_not_connected_to() {
    let denied = client(&["mqtt://127.0.0.1:2"]).open("mqtt://127.0.0.1:1", nobody()).unwrap_err();
    assert!(matches!(&denied, Error::ConnectionFailed(text) if text.contains("allowed_outbound_hosts")), "{denied}");
    let publish = async |allowed: &str| {
        let broker = client(&[allowed]).open("mqtt://127.0.0.1:1", nobody()).unwrap();
        broker.publish("t".to_owned(), Vec::new(), QoS::AtMostOnce).await.unwrap_err()
    };
    let private = publish("*://*:*").await;
    assert!(matches!(&private, Error::ConnectionFailed(text) if text.contains("no public address")), "{private}");
    let dead = publish("mqtt://127.0.0.1:1").await;
    assert!(matches!(&dead, Error::ConnectionFailed(_)), "{dead}");
}

#[tokio::test]
async fn messages_arrive_and_what_cannot_be_sent_is_told() {
    let Some(url) = servers::mqtt() else { return };
    let (topic, mut subscriber) = (format!("test/{}", new_trace_id()), subscriber(&url).await);
    subscriber.0.subscribe(&topic, QoS::ExactlyOnce).await.unwrap();
    while !matches!(subscriber.1.poll().await.unwrap(), Event::Incoming(Packet::SubAck(_))) {}
    let broker = client(&[&url]).open(&url, nobody()).unwrap();
    for (text, qos) in [("0", QoS::AtMostOnce), ("1", QoS::AtLeastOnce), ("2", QoS::ExactlyOnce)] {
        broker.publish(topic.clone(), text.into(), qos).await.unwrap();
    }
    let wildcard = broker.publish("test/#".to_owned(), Vec::new(), QoS::AtLeastOnce).await.unwrap_err();
    assert!(matches!(&wildcard, Error::Other(text) if text.contains("topic")), "{wildcard}");
    let large = broker.publish(topic.clone(), vec![0; MAX_PAYLOAD_BYTES + 1], QoS::AtLeastOnce).await.unwrap_err();
    assert!(matches!(&large, Error::Other(text) if text.contains("at most")), "{large}");
    broker.publish(topic, vec![0; MAX_PAYLOAD_BYTES], QoS::AtLeastOnce).await.unwrap();
    let mut arrived = Vec::new();
    while arrived.len() < 4 {
        if let Event::Incoming(Packet::Publish(message)) = subscriber.1.poll().await.unwrap() {
            arrived.push(message.payload);
        }
    }
    assert_eq!(arrived[..3], ["0", "1", "2"]);
    assert_eq!(arrived[3].len(), MAX_PAYLOAD_BYTES);
}

async fn subscriber(url: &str) -> (AsyncClient, EventLoop) {
    let to = Address::parse(url).unwrap().to;
    let mut options = MqttOptions::new(new_trace_id().to_string(), to.host, to.port);
    options.set_max_packet_size(2 * MAX_PAYLOAD_BYTES, 1024);
    AsyncClient::new(options, 10)
}

/// A broker that lets everybody in, closes the first connection after its first message, and keeps the second.
#[tokio::test]
async fn a_connection_that_broke_is_made_anew() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("mqtt://{}", listener.local_addr().unwrap());
    let (closed, was_closed) = tokio::sync::oneshot::channel();
    let broker = tokio::spawn(async move {
        let mut closed = Some(closed);
        for acknowledges in [false, true] {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut buffer = [0; 256];
            assert_ne!(stream.read(&mut buffer).await.unwrap(), 0);
            stream.write_all(&[0x20, 2, 0, 0]).await.unwrap();
            assert_ne!(stream.read(&mut buffer).await.unwrap(), 0);
            if acknowledges {
                stream.write_all(&[0x40, 2, 0, 1]).await.unwrap();
                assert_eq!(buffer[0] >> 4, 3, "a message");
                while stream.read(&mut buffer).await.unwrap() != 0 {}
            }
            drop(stream);
            closed.take().map(|closed| closed.send(()));
        }
    });
    let connection = client(&[&url]).open(&url, nobody()).unwrap();
    let lost = connection.publish("t".to_owned(), b"x".to_vec(), QoS::AtLeastOnce).await.unwrap_err();
    assert!(matches!(lost, Error::ConnectionFailed(_)), "{lost}");
    was_closed.await.unwrap();
    connection.publish("t".to_owned(), b"x".to_vec(), QoS::AtLeastOnce).await.unwrap();
    drop(connection);
    broker.await.unwrap();
}
