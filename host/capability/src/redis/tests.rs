//! The client with a resolver that tests decide and with a real server: policy, commands, errors, limits, another use.

use std::net::IpAddr;

use futures::future::BoxFuture;
use weft_core::SystemClock;
use weft_core::id::new_trace_id;
use weft_core::outbound::OutboundHosts;
use weft_tests::servers;

use super::*;
use crate::outbound::{Resolve, SystemResolver};

fn client(allowed: &[&str], resolver: impl Resolve) -> Arc<Redis> {
    let hosts = OutboundHosts::new(allowed.iter().map(|host| host.parse().unwrap()).collect());
    let clock = Arc::new(SystemClock::new(|duration| Box::pin(tokio::time::sleep(duration))));
    Redis::new(Dialer::new(hosts, Arc::new(resolver), clock).unwrap(), std::time::Duration::from_secs(15))
}

/// Everything is one address.
#[derive(Debug)]
struct Fixed(IpAddr);

impl Resolve for Fixed {
    fn resolve(&self, _: &str) -> BoxFuture<'static, std::io::Result<Vec<IpAddr>>> {
        Box::pin(std::future::ready(Ok(vec![self.0])))
    }
}

#[tokio::test]
async fn what_is_not_allowed_is_not_connected_to() {
    let open = async |allowed: &[&str], address: &str| client(allowed, SystemResolver).open(address).await.unwrap_err();
    assert_eq!(open(&[], "redis://127.0.0.1:1").await, Error::InvalidAddress);
    assert_eq!(open(&["redis://127.0.0.1:2"], "redis://127.0.0.1:1").await, Error::InvalidAddress);
    assert_eq!(open(&["redis://127.0.0.1:1"], "rediss://127.0.0.1:1").await, Error::InvalidAddress);
    assert_eq!(open(&["http://127.0.0.1:1"], "redis://127.0.0.1:1").await, Error::InvalidAddress);
    for bad in ["", "redis", "unix:///run/redis", "http://127.0.0.1:1", "redis://127.0.0.1:1#insecure"] {
        assert_eq!(open(&["*://127.0.0.1:*"], bad).await, Error::InvalidAddress, "{bad}");
    }
    let private = open(&["*://*:*"], "redis://127.0.0.1:1").await;
    assert!(matches!(&private, Error::Other(text) if text.contains("no public address")), "{private}");
    let dead = open(&["redis://127.0.0.1:1"], "redis://127.0.0.1:1").await;
    assert!(matches!(&dead, Error::Other(text) if text.contains("cannot connect")), "{dead}");
}

#[tokio::test]
async fn a_name_that_leads_inside_is_refused_unless_it_is_named() {
    let inside: IpAddr = "127.0.0.1".parse().unwrap();
    let wild = client(&["redis://*.example:1"], Fixed(inside)).open("redis://db.example:1").await.unwrap_err();
    assert!(matches!(&wild, Error::Other(text) if text.contains("no public address")), "{wild}");
    let named = client(&["redis://db.example:1"], Fixed(inside)).open("redis://db.example:1").await.unwrap_err();
    assert!(matches!(&named, Error::Other(text) if text.contains("cannot connect")), "{named}");
}

#[tokio::test]
async fn commands_work_and_errors_are_told_apart() {
    let Some(url) = servers::redis() else { return };
    let server = client(&[&url], SystemResolver).open(&url).await.unwrap();
    let key = new_trace_id().to_string();
    assert_eq!(server.get(&key).await, Ok(None));
    server.set(&key, b"1").await.unwrap();
    assert_eq!(server.incr(&key).await, Ok(2));
    assert_eq!(server.get(&key).await, Ok(Some(b"2".to_vec())));
    assert_eq!(server.sadd(&key, &["a".to_owned()]).await, Err(Error::TypeError));
    server.set(&key, b"text").await.unwrap();
    assert_eq!(server.incr(&key).await, Err(Error::TypeError));
    assert_eq!(server.del(&[key.clone(), "none".to_owned()]).await, Ok(1));
    assert_eq!(server.del(&[]).await, Ok(0));
    assert_eq!(server.sadd(&key, &["a".to_owned(), "b".to_owned()]).await, Ok(2));
    assert_eq!(server.srem(&key, &["b".to_owned()]).await, Ok(1));
    assert_eq!(server.smembers(&key).await, Ok(vec!["a".to_owned()]));
    server.publish("channel", b"x").await.unwrap();
    server.del(std::slice::from_ref(&key)).await.unwrap();
    let script = "return {1, 'two', {false, redis.status_reply('FINE')}}";
    let answers = server.execute(redis::cmd("EVAL").arg(script).arg(0)).await.unwrap();
    let expected = [Answer::Int64(1), Answer::Binary(b"two".to_vec()), Answer::Nil, Answer::Status("FINE".to_owned())];
    assert_eq!(answers, expected);
    let unknown = server.execute(&redis::cmd("NOSUCH")).await.unwrap_err();
    assert!(matches!(&unknown, Error::Other(text) if text.contains("NOSUCH") || text.contains("unknown")), "{unknown}");
}

#[tokio::test]
async fn a_too_large_answer_ends_the_connection_and_no_other() {
    let Some(url) = servers::redis() else { return };
    let redis = client(&[&url], SystemResolver);
    let (key, server) = (new_trace_id().to_string(), redis.open(&url).await.unwrap());
    let length = MAX_ANSWER_BYTES + 1;
    server.execute(redis::cmd("SETRANGE").arg(&key).arg(length).arg("x")).await.unwrap();
    let answer = server.get(&key).await.unwrap_err();
    assert!(matches!(&answer, Error::Other(text) if text.contains("more than")), "{answer}");
    drop(server);
    let server = redis.open(&url).await.unwrap();
    assert_eq!(server.del(&[key]).await, Ok(1));
}

#[tokio::test]
async fn connections_are_used_again_unless_a_command_may_have_changed_them() {
    let Some(url) = servers::redis() else { return };
    let redis = client(&[&url], SystemResolver);
    let id = async |server: &Connection| -> i64 { server.run(redis::cmd("CLIENT").arg("ID")).await.unwrap() };
    let first = redis.open(&url).await.unwrap();
    let first_id = id(&first).await;
    drop(first);
    let second = redis.open(&url).await.unwrap();
    assert_eq!(id(&second).await, first_id);
    second.execute(redis::cmd("SELECT").arg(1)).await.unwrap();
    drop(second);
    assert_ne!(id(&redis.open(&url).await.unwrap()).await, first_id);
}
