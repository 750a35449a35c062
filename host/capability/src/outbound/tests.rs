//! Policy, rebinding, timeouts and pooling against a server on this machine, with a resolver that tests decide.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use futures::future::BoxFuture;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use weft_core::clock::ManualClock;

use super::client::{RequestBody, Sent, Timeouts};
use super::*;

/// Answers from a table, and counts.
#[derive(Debug, Default)]
struct Names {
    names: BTreeMap<String, IpAddr>,
    asked: AtomicUsize,
}

impl Names {
    fn of(names: &[(&str, &str)]) -> Arc<Self> {
        let names = names.iter().map(|(name, address)| ((*name).to_owned(), address.parse().unwrap()));
        Arc::new(Self { names: names.collect(), asked: AtomicUsize::new(0) })
    }
}

impl Resolve for Names {
    fn resolve(&self, host: &str) -> BoxFuture<'static, std::io::Result<Vec<IpAddr>>> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let answer = host.parse().ok().or_else(|| self.names.get(host).copied());
        let answer = answer.map(|address| vec![address]).ok_or_else(|| std::io::Error::other("no such name"));
        Box::pin(std::future::ready(answer))
    }
}

fn outbound(allowed: &[&str], names: Arc<Names>, clock: Arc<ManualClock>) -> Outbound {
    let hosts = OutboundHosts::new(allowed.iter().map(|entry| entry.parse().unwrap()).collect());
    Outbound::new(hosts, names, clock).unwrap()
}

fn get(url: &str) -> Request<RequestBody> {
    let body = Full::new(Bytes::new()).map_err(|never| match never {}).boxed_unsync();
    Request::get(url).body(body).unwrap()
}

async fn send(outbound: &Outbound, url: &str) -> Sent {
    outbound.send(get(url), Timeouts::new(None, None, None, outbound.timeout())).await
}

/// A server that answers every request on a connection by `answer`, and counts connections.
async fn server(answer: &'static str) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let connections = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&connections);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            counted.fetch_add(1, Ordering::SeqCst);
            tokio::spawn(serve(stream, answer));
        }
    });
    (address, connections)
}

async fn serve(mut stream: TcpStream, answer: &'static str) {
    let mut seen = Vec::new();
    let mut buffer = [0; 1_024];
    while let Ok(read @ 1..) = stream.read(&mut buffer).await {
        seen.extend_from_slice(&buffer[..read]);
        if seen.ends_with(b"\r\n\r\n") {
            seen.clear();
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    }
}

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

#[tokio::test]
async fn hosts_that_are_not_allowed_are_not_even_resolved() {
    let outbound = outbound(&["https://api.x.com"], Names::of(&[]), Arc::default());
    for url in ["https://other.com/", "http://api.x.com/", "https://api.x.com:8443/", "http://127.0.0.1/"] {
        assert!(matches!(send(&outbound, url).await, Err(OutboundError::Denied(_))), "{url}");
    }
    assert!(matches!(send(&outbound, "https://api.x.com/").await, Err(OutboundError::Dns { .. })));
    assert!(matches!(send(&outbound, "ftp://api.x.com/").await, Err(OutboundError::BadUrl(_))));
}

#[tokio::test]
async fn no_wildcard_reaches_a_private_address_by_name_or_number() {
    let names = Names::of(&[
        ("rebound.com", "127.0.0.1"),
        ("metadata.com", "169.254.169.254"),
        ("mapped.com", "::ffff:10.0.0.1"),
        ("2130706433", "127.0.0.1"),
    ]);
    let outbound = outbound(&["*://*:*"], names, Arc::default());
    let hosts = ["rebound.com", "metadata.com", "mapped.com", "2130706433", "127.0.0.1", "10.1.2.3", "[::1]"];
    for host in hosts.into_iter().chain(["[fd00::1]", "100.64.0.1", "0.0.0.0", "[64:ff9b::7f00:1]", "224.0.0.1"]) {
        let url = format!("http://{host}/");
        assert!(matches!(send(&outbound, &url).await, Err(OutboundError::Private(_))), "{host}");
    }
}

#[test]
fn of_several_addresses_only_those_allowed_are_left() {
    let policy = |entry: &str| Policy(Arc::new(OutboundHosts::new(vec![entry.parse().unwrap()])));
    let (public, private): (IpAddr, IpAddr) = ("93.184.216.34".parse().unwrap(), "10.0.0.1".parse().unwrap());
    let to = Destination::of(&"https://a.x.com/".parse().unwrap()).unwrap();
    let left = |entry| policy(entry).check_addresses(&to, vec![private, public]);
    assert_eq!(left("https://*.x.com"), Ok(vec![public]));
    assert_eq!(left("https://a.x.com"), Ok(vec![private, public]));
}

#[tokio::test]
async fn a_private_host_is_reached_when_it_is_named_and_connections_are_kept() {
    let (address, connections) = server(OK).await;
    let named = format!("http://internal.svc:{}", address.port());
    let names = Names::of(&[("internal.svc", "127.0.0.1")]);
    let outbound = outbound(&[&named], Arc::clone(&names), Arc::default());
    for _ in 0..3 {
        let response = send(&outbound, &format!("{named}/")).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "ok");
    }
    assert_eq!(connections.load(Ordering::SeqCst), 1, "one connection for three requests");
    // A second look-up for the same connection could give an address that nobody checked.
    assert_eq!(names.asked.load(Ordering::SeqCst), 1, "resolved once for it");
}

#[tokio::test]
async fn redirects_are_handed_back() {
    let (address, connections) = server("HTTP/1.1 302 Found\r\nlocation: /other\r\ncontent-length: 0\r\n\r\n").await;
    let named = format!("http://127.0.0.1:{}", address.port());
    let outbound = outbound(&[&named], Names::of(&[]), Arc::default());
    assert_eq!(send(&outbound, &format!("{named}/")).await.unwrap().status(), StatusCode::FOUND);
    assert_eq!(connections.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_silent_server_ends_in_a_timeout_before_and_in_the_body() {
    for (answer, head) in [("", false), ("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nab", true)] {
        let (address, _) = server(answer).await;
        let named = format!("http://127.0.0.1:{}", address.port());
        let clock = Arc::new(ManualClock::at_ms(0));
        let outbound = outbound(&[&named], Names::of(&[]), Arc::clone(&clock));
        let ask = async {
            match send(&outbound, &format!("{named}/")).await {
                Ok(response) => {
                    assert!(head);
                    let mut body = response.into_body();
                    assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "ab");
                    clock.advance(Duration::from_secs(29));
                    body.frame().await.unwrap().map(|_| ())
                }
                Err(error) => Err(error),
            }
        };
        let time = async {
            loop {
                // With a head on its way, time may not pass until it is there.
                if !head || clock_ms(&clock) >= 29_000 {
                    clock.advance_to_next();
                }
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            result = ask => assert!(matches!(result, Err(OutboundError::ReadTimeout | OutboundError::ConnectTimeout))),
            () = time => {}
        }
    }
}

fn clock_ms(clock: &ManualClock) -> u64 {
    weft_core::Clock::now_ms(clock)
}

#[tokio::test]
async fn one_more_request_than_may_be_under_way_waits_for_its_turn() {
    let (address, connections) = server(OK).await;
    let url = format!("http://127.0.0.1:{}/", address.port());
    let outbound = outbound(&[url.trim_end_matches('/')], Names::of(&[]), Arc::default());
    // A request is under way until its answer's body is gone.
    let mut under_way = Vec::new();
    for _ in 0..MAX_CONCURRENT {
        under_way.push(send(&outbound, &url).await.unwrap());
    }
    let asked = connections.load(Ordering::SeqCst);
    let mut one_more = std::pin::pin!(send(&outbound, &url));
    for _ in 0..1_000 {
        assert!(futures::poll!(one_more.as_mut()).is_pending());
        tokio::task::yield_now().await;
    }
    assert_eq!(connections.load(Ordering::SeqCst), asked, "it has not even connected");
    under_way.pop();
    assert_eq!(one_more.await.unwrap().status(), StatusCode::OK);
}

/// A server that answers `head` and then `again` without end; its task ends when nobody takes that any more.
async fn endless(head: &'static str, again: Bytes) -> (SocketAddr, tokio::task::JoinHandle<usize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let serving = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = [0; 1_024];
        assert!(stream.read(&mut request).await.unwrap() > 0);
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut sent = 0;
        while stream.write_all(&again).await.is_ok() {
            sent += again.len();
        }
        sent
    });
    (address, serving)
}

#[tokio::test]
async fn a_head_without_end_is_refused() {
    for line in ["x-many: 1\r\n".to_owned(), format!("x-long: {}\r\n", "x".repeat(60_000)), "x".repeat(60_000)] {
        let (address, serving) = endless("HTTP/1.1 200 OK\r\n", Bytes::from(line.clone())).await;
        let url = format!("http://127.0.0.1:{}/", address.port());
        let outbound = outbound(&[url.trim_end_matches('/')], Names::of(&[]), Arc::default());
        let refused = send(&outbound, &url).await.err().unwrap();
        assert!(matches!(refused, OutboundError::Protocol(_)), "{refused:?}");
        // What the two ends of the connection hold, and no more.
        let sent = serving.await.unwrap();
        assert!(sent < 32 << 20, "{sent} bytes of {:?} were taken", &line[..6]);
    }
}

#[tokio::test]
async fn a_body_without_end_is_taken_in_parts_and_only_as_it_is_asked_for() {
    const TAKEN: usize = 64 << 20;
    let part = format!("10000\r\n{}\r\n", "x".repeat(0x1_0000));
    let start = || endless("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", Bytes::from(part.clone()));
    let (address, serving) = start().await;
    let url = format!("http://127.0.0.1:{}/", address.port());
    let client = outbound(&[url.trim_end_matches('/')], Names::of(&[]), Arc::default());
    let mut body = send(&client, &url).await.unwrap().into_body();
    let (mut taken, mut largest) = (0, 0);
    while taken < TAKEN {
        let size = body.frame().await.unwrap().unwrap().into_data().unwrap().len();
        (taken, largest) = (taken + size, largest.max(size));
    }
    assert!(largest <= 1 << 20, "a part of {largest} bytes");
    drop(body);
    let sent = serving.await.unwrap();
    assert!(sent < TAKEN + (32 << 20), "{sent} bytes were sent for {taken} that were taken");
    // What the host itself asks for is bounded as a whole.
    let (address, serving) = start().await;
    let url = format!("http://127.0.0.1:{}/", address.port());
    let client = outbound(&[url.trim_end_matches('/')], Names::of(&[]), Arc::default());
    let refused = client.get(&url, Duration::from_secs(60), 1 << 20).await.unwrap_err();
    assert!(matches!(refused, OutboundError::Protocol(_)), "{refused:?}");
    assert!(serving.await.unwrap() < 33 << 20);
}
