//! What is refused when there is too much to do, over real connections: by priority, after a while, and not for the fault of
//! clients that are slow. How the limit is found is tested in simulated time, in `src/overload`.
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::common::{Got, Server, Setup, public, read_one};
use ed25519_dalek::SigningKey;
use ed25519_dalek::pkcs8::EncodePrivateKey as _;
use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use weft_core::manifest::{Gateway, Located, Overload, Priority, RateLimits, Route, Tier, Waits};
use weft_gateway::{
    ApiKey, ApiKeys, AuthSettings, Identity, KeySet, Limits, OverloadReport, Policy, Revocations, api_key_hash,
};

/// Four run at a time: of low priority two, of normal four, as long as three run before.
async fn start(patience_ms: u32) -> Server {
    setup(patience_ms).start().await
}

fn setup(patience_ms: u32) -> Setup {
    let limits = Limits { in_flight: 4, ..Limits::default() };
    let overload = Overload { patience_ms, ..Overload::default() };
    let of = |priority, route| Route { priority, ..public(route, "hold") };
    let routes = vec![
        of(Priority::Low, "GET /low"),
        of(Priority::Critical, "GET /critical"),
        Route { waits: Waits::Always, ..public("GET /waits", "hold") },
        Route { waits: Waits::Asked, ..public("GET /asked", "hold") },
        Route { priority: Priority::Low, ..public("* /echo", "echo") },
    ];
    Setup { limits, overload, ..Setup::default() }.with_routes(routes)
}

/// A request that the function holds.
async fn held(server: &Server, path: &str, headers: &str) -> TcpStream {
    let mut socket = asked(server, path, headers).await;
    server.gate.entered.notified().await;
    socket.flush().await.unwrap();
    socket
}

async fn asked(server: &Server, path: &str, headers: &str) -> TcpStream {
    let mut socket = server.connect().await;
    socket.write_all(format!("GET {path} HTTP/1.1\r\nhost: a\r\n{headers}\r\n").as_bytes()).await.unwrap();
    socket
}

async fn until(server: &Server, is_so: impl Fn(&OverloadReport) -> bool) {
    while !is_so(&server.gateway.overload()) {
        tokio::task::yield_now().await;
    }
}

fn assert_shed(got: &Got) {
    let problem = got.assert_problem(503, "overloaded");
    assert_eq!(problem["detail"], "There is more to do than can be done in time. Try again later.");
    let retry: u32 = got.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=4).contains(&retry), "{retry}");
}

#[tokio::test]
async fn what_matters_less_is_refused_first_and_probes_are_answered() {
    let server = start(0).await;
    let mut sockets = vec![held(&server, "/low", "").await, held(&server, "/low", "").await];
    assert_shed(&server.get("/low").await);
    sockets.push(held(&server, "/critical", "").await);
    assert_eq!(server.get("/livez").await.status, 200);
    assert_eq!(server.get("/readyz").await.status, 200);
    let report = server.gateway.overload();
    let of = |priority: &str| report.classes.iter().find(|class| class.priority == priority).unwrap().clone();
    assert_eq!((of("low").running, of("low").admitted, of("low").refused), (2, 2, 1));
    assert_eq!((of("critical").running, of("critical").refused), (1, 0));
    assert_eq!((of("low").most, of("critical").most, report.running), (2, 4, 3));
    for mut socket in sockets {
        server.gate.open.notify_one();
        assert_eq!(read_one(&mut socket).await.body, "held");
    }
    until(&server, |report| report.running == 0).await;
}

#[tokio::test]
async fn a_request_waits_for_its_turn_and_whoever_goes_away_leaves_it_to_others() {
    let server = start(60_000).await;
    let mut first = held(&server, "/low", "").await;
    let _second = held(&server, "/low", "").await;
    let gone = asked(&server, "/low", "").await;
    until(&server, |report| report.waiting == 1).await;
    let mut third = asked(&server, "/low", "").await;
    until(&server, |report| report.waiting == 2).await;
    drop(gone);
    until(&server, |report| report.waiting == 1).await;
    server.gate.open.notify_one();
    assert_eq!(read_one(&mut first).await.body, "held");
    server.gate.entered.notified().await;
    server.gate.open.notify_one();
    server.gate.open.notify_one();
    assert_eq!(read_one(&mut third).await.body, "held");
}

#[tokio::test]
async fn whoever_waits_too_long_is_refused() {
    let server = start(50).await;
    let _held = [held(&server, "/low", "").await, held(&server, "/low", "").await];
    let mut third = asked(&server, "/low", "").await;
    assert_shed(&read_one(&mut third).await);
    until(&server, |report| report.waiting == 0 && report.running == 2).await;
}

#[tokio::test]
async fn a_client_that_is_slow_to_send_keeps_nobody_out() {
    let server = start(0).await;
    let mut slow = Vec::new();
    for _ in 0..3 {
        let mut socket = server.connect().await;
        socket.write_all(b"POST /echo HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\nab").await.unwrap();
        slow.push(socket);
        // Its place is taken, and given back because the function waits for the rest.
        let nth = slow.len() as u64;
        until(&server, |report| report.classes[3].admitted == nth && report.running == 0).await;
    }
    assert_eq!(server.get("/echo").await.status, 200);
    for mut socket in slow {
        socket.write_all(b"cde").await.unwrap();
        let got = read_one(&mut socket).await;
        assert_eq!((got.status, &got.json()["body"]), (200, &serde_json::json!(5)));
    }
    until(&server, |report| report.running == 0).await;
}

#[tokio::test]
async fn what_waits_on_purpose_holds_no_place() {
    let server = start(0).await;
    let prefer = "prefer: wait=20\r\n";
    let mut waiting = vec![held(&server, "/waits", "").await, held(&server, "/asked", prefer).await];
    assert_eq!(server.gateway.overload().running, 0);
    assert_eq!(server.get("/echo").await.status, 200);
    // A client cannot want it where the route does not say so, and need not where it does.
    waiting.push(held(&server, "/low", prefer).await);
    waiting.push(held(&server, "/asked", "").await);
    assert_eq!(server.gateway.overload().running, 2);
    for socket in &mut waiting {
        server.gate.open.notify_one();
        assert_eq!(read_one(socket).await.body, "held");
    }
    // Nothing is learned from how long they took.
    let known: Vec<_> = server.gateway.overload().routes.into_iter().map(|route| route.route).collect();
    assert!(!known.iter().any(|route| route.contains("waits")), "{known:?}");
}

#[tokio::test]
async fn who_goes_away_gives_the_place_back() {
    let server = start(0).await;
    let held = [held(&server, "/low", "").await, held(&server, "/low", "").await];
    assert_shed(&server.get("/low").await);
    drop(held);
    tokio::time::timeout(Duration::from_secs(20), until(&server, |report| report.running == 0)).await.unwrap();
    assert_eq!(server.get("/echo").await.status, 200);
}

/// One API key, of the tier `free`; and who is revoked, if it is so.
struct Known {
    key: Arc<Identity>,
    is_revoked: AtomicBool,
}

impl ApiKeys for Known {
    fn find(&self, hash: &[u8; 32]) -> Option<Arc<Identity>> {
        (*hash == api_key_hash(b"free-key")).then(|| Arc::clone(&self.key))
    }
}

impl Revocations for Known {
    fn not_before(&self, _: &str) -> Option<u64> {
        self.is_revoked.load(Ordering::SeqCst).then_some(u64::MAX)
    }
}

/// A header line with a token of this subject, who is an admin.
fn admin(key: &SigningKey, subject: &str) -> String {
    let claims = serde_json::json!({
        "iss": "i", "aud": "a", "sub": subject, "role": "admin", "type": "access", "iat": 1, "exp": 10_000_000_000_u64,
    });
    let pem = key.to_pkcs8_pem(LineEnding::LF).unwrap();
    let key = EncodingKey::from_ed_pem(pem.as_bytes()).unwrap();
    format!("authorization: Bearer {}\r\n", encode(&Header::new(Algorithm::EdDSA), &claims, &key).unwrap())
}

#[tokio::test]
async fn who_is_known_matters_as_their_role_or_tier_says() {
    let free = ApiKey { id: "k".into(), owner: "u2".into(), tier: Some("free".into()), ..ApiKey::default() };
    let known =
        Arc::new(Known { key: Arc::new(Identity::of_api_key(free).unwrap()), is_revoked: AtomicBool::new(false) });
    let key = SigningKey::from_bytes(&[7; 32]);
    let mut keys = KeySet::default();
    keys.add_pem(&key.to_pkcs8_pem(LineEnding::LF).unwrap()).unwrap();
    let named = |name: &str, priority| vec![(Located::new(name.into(), 1), priority)];
    let overload = Overload {
        patience_ms: 0,
        roles: named("admin", Priority::High),
        tiers: named("free", Priority::Low),
        ..Overload::default()
    };
    let tier = Tier { per_minute: None, per_hour: None, concurrent: Some(100) };
    let rate_limits = RateLimits { tiers: [("free".into(), tier)].into(), ..RateLimits::default() };
    let mut setup = setup(0);
    setup.policy = Policy::from(&Gateway { overload, rate_limits, ..Gateway::default() });
    setup.auth = Some(AuthSettings {
        api_keys: Some(Arc::clone(&known) as _),
        revocations: Some(Arc::clone(&known) as _),
        ..AuthSettings::new("i", "a", keys)
    });
    let server = setup.start().await;
    let (verified, unseen) = (admin(&key, "u1"), admin(&key, "u3"));
    let mut first = asked(&server, "/echo", &verified).await;
    assert_eq!(read_one(&mut first).await.status, 200);
    let mut sockets = vec![held(&server, "/low", "").await, held(&server, "/low", "").await];
    // The same role in a token whose signature nobody has looked at yet says nothing.
    assert_shed(&read_one(&mut asked(&server, "/low", &unseen).await).await);
    assert_shed(&read_one(&mut asked(&server, "/low", &format!("{verified}x-api-key: free-key\r\n")).await).await);
    sockets.push(held(&server, "/low", &verified).await);
    // A tier can make less of a request than its route does.
    assert_shed(&read_one(&mut asked(&server, "/critical", "x-api-key: free-key\r\n").await).await);
    for socket in &mut sockets[..2] {
        server.gate.open.notify_one();
        assert_eq!(read_one(socket).await.body, "held");
    }
    sockets[1] = held(&server, "/low", "").await;
    known.is_revoked.store(true, Ordering::SeqCst);
    assert_shed(&read_one(&mut asked(&server, "/low", &verified).await).await);
}
