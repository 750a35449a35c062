//! `Idempotency-Key` over real HTTP: what a repeated request is answered, what another one is, and how often the function
//! runs.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

use crate::common::{self, Got, Server, Setup, protected, public};
use ed25519_dalek::SigningKey;
use ed25519_dalek::pkcs8::EncodePrivateKey as _;
use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;
use futures::future::BoxFuture;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::json;
use tokio::io::AsyncWriteExt as _;
use tokio::sync::Notify;
use weft_core::answers::{AnswerBounds, AnswerKey, Answers, Hash, KeptAnswer};
use weft_core::clock::ManualClock;
use weft_core::manifest::{self, KeyUse, Route};
use weft_core::{Failure, Fault, Reason};
use weft_gateway::{AuthSettings, KeySet, Policy, Settings};

const NOW_S: u64 = 1_800_000_000;

/// Answers in memory.
#[derive(Debug, Default)]
struct Memory {
    kept: Mutex<BTreeMap<Hash, KeptAnswer>>,
    keeps: Notify,
    broken: AtomicBool,
    bounds: Mutex<Option<AnswerBounds>>,
}

impl Answers for Memory {
    fn find(&self, key: AnswerKey) -> BoxFuture<'_, Result<Option<KeptAnswer>, Failure>> {
        Box::pin(async move {
            if self.broken.load(SeqCst) {
                return Err(Failure::not_attempted(Fault::Host, Reason::Unavailable, "a secret reason"));
            }
            Ok(self.kept.lock().unwrap().get(&key.request).cloned())
        })
    }

    fn keep(&self, key: AnswerKey, answer: KeptAnswer, bounds: AnswerBounds) -> BoxFuture<'_, Result<(), Failure>> {
        Box::pin(async move {
            self.kept.lock().unwrap().insert(key.request, answer);
            *self.bounds.lock().unwrap() = Some(bounds);
            self.keeps.notify_one();
            Ok(())
        })
    }
}

fn pem() -> String {
    SigningKey::from_bytes(&[7; 32]).to_pkcs8_pem(LineEnding::LF).unwrap().to_string()
}

fn bearer(subject: &str, tenant: &str) -> String {
    let claims = json!({
        "iss": "i", "aud": "a", "sub": subject, "type": "access", "exp": NOW_S + 900, "tenant": tenant,
    });
    let key = EncodingKey::from_ed_pem(pem().as_bytes()).unwrap();
    format!("Bearer {}", encode(&Header::new(Algorithm::EdDSA), &claims, &key).unwrap())
}

fn auth() -> AuthSettings {
    let mut keys = KeySet::default();
    keys.add_pem(&pem()).unwrap();
    AuthSettings::new("i", "a", keys)
}

struct Running {
    server: Server,
    answers: Arc<Memory>,
}

async fn start(routes: Vec<Route>, manifest: manifest::Idempotency) -> Running {
    let answers = Arc::new(Memory::default());
    let gateway = manifest::Gateway { idempotency: manifest, ..manifest::Gateway::default() };
    let settings = Settings { answers: Some(answers.clone()), ..Settings::default() };
    let policy = Policy::from(&gateway);
    let clock = Arc::new(ManualClock::at_ms(NOW_S * 1000));
    let server = Setup { settings, policy, routes, auth: Some(auth()), clock, ..Setup::default() }.start().await;
    Running { server, answers }
}

fn keyed(route: Route, idempotency: KeyUse) -> Route {
    Route { idempotency, ..route }
}

/// Routes of callers who are known.
fn of_callers(routes: &[(&str, &str)]) -> Vec<Route> {
    routes.iter().map(|(text, component)| keyed(protected(text, component, &[], &[]), KeyUse::OfCallers)).collect()
}

impl Running {
    async fn post(&self, target: &str, key: &str, body: &str) -> Got {
        self.send("POST", target, &[("authorization", &bearer("ada", "")), ("idempotency-key", key)], body).await
    }

    async fn send(&self, method: &str, target: &str, headers: &[(&str, &str)], body: &str) -> Got {
        self.server.send(method, target, headers, body).await
    }

    /// All that comes back.
    async fn text(&self, target: &str, body: &str) -> String {
        let (ada, length) = (bearer("ada", ""), body.len());
        let head = format!(
            "POST {target} HTTP/1.1\r\nhost: weft.test\r\nconnection: close\r\nauthorization: {ada}\r\n\
             idempotency-key: k\r\ncontent-length: {length}\r\n\r\n{body}"
        );
        self.server.raw(head).await
    }

    fn kept(&self) -> usize {
        self.answers.kept.lock().unwrap().len()
    }
}

fn is_replayed(got: &Got) -> bool {
    got.header("idempotent-replayed") == Some("true")
}

/// Which request the function saw.
fn seen(got: &Got) -> String {
    assert_eq!(got.status, 200, "{got:?}");
    got.json()["request_id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_key_counts_for_one_host_where_the_route_says_hosts() {
    let on = |hosts: &[&str], route: Route| Route {
        hosts: hosts.iter().map(|host| host.parse().unwrap()).collect(),
        ..route
    };
    let [one, all] = [("POST /echo", "echo"), ("POST /all", "echo")].map(|route| of_callers(&[route]).remove(0));
    let running = start(vec![on(&["*.b.example"], one), all], Default::default()).await;
    let post = async |host: &str, path: &str| {
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\nauthorization: {}\r\nidempotency-key: k\r\n\
             content-length: 0\r\n\r\n",
            bearer("ada", "")
        );
        is_replayed(&Got::parse(&running.server.raw(head).await))
    };
    for (host, path, replayed) in [
        ("x.b.example", "/echo", false),
        ("X.B.example:80", "/echo", true),
        ("y.b.example", "/echo", false),
        ("x.b.example", "/all", false),
        ("y.b.example", "/all", true),
    ] {
        assert_eq!(post(host, path).await, replayed, "{host} {path}");
    }
}

#[tokio::test]
async fn a_repeated_request_gets_the_answer_of_the_first() {
    let running = start(of_callers(&[("* /echo", "echo"), ("* /echo/:id/...", "echo")]), Default::default()).await;
    let first = running.post("/echo?a=1", "k", "body").await;
    let again = running.post("/echo?a=1", "k", "body").await;
    assert!(!is_replayed(&first) && is_replayed(&again));
    assert_eq!((again.status, &again.body), (200, &first.body));
    // Of the request at hand are its id, its trace and its time.
    assert_ne!(again.header("x-request-id"), first.header("x-request-id"));
    assert_eq!(first.json()["headers"]["idempotency-key"], "k", "the function gets it as well");
    // With quotes it is the same key.
    assert_eq!(seen(&running.post("/echo?a=1", "\"k\"", "body").await), seen(&first));
    for (target, key, method) in [("/echo?a=1", "other", "POST"), ("/echo/1/2", "k", "POST"), ("/echo?a=1", "k", "PUT")]
    {
        let headers = [("authorization", &*bearer("ada", "")), ("idempotency-key", key)];
        let other = running.send(method, target, &headers, "body").await;
        assert_ne!(seen(&other), seen(&first), "{method} {target} {key}");
    }
    assert_eq!(running.kept(), 4);
    // What a safe method asks is asked anew.
    let headers = [("authorization", &*bearer("ada", "")), ("idempotency-key", "k")];
    let read = running.send("GET", "/echo?a=1", &headers, "").await;
    assert_ne!(seen(&running.send("GET", "/echo?a=1", &headers, "").await), seen(&read));
    assert_eq!(running.kept(), 4);
}

#[tokio::test]
async fn a_key_belongs_to_one_caller() {
    let running = start(of_callers(&[("* /echo", "echo")]), Default::default()).await;
    let mut requests = Vec::new();
    for (subject, tenant) in [("ada", ""), ("bob", ""), ("ada", "x"), ("ada", "y")] {
        let headers = [("authorization", &*bearer(subject, tenant)), ("idempotency-key", "k")];
        let first = running.send("POST", "/echo", &headers, "").await;
        assert!(!is_replayed(&first));
        assert!(is_replayed(&running.send("POST", "/echo", &headers, "").await));
        requests.push(seen(&first));
    }
    requests.sort();
    requests.dedup();
    assert_eq!(requests.len(), 4);
    // Who may not use the route learns nothing of what others were answered.
    let got = running.send("POST", "/echo", &[("idempotency-key", "k")], "").await;
    let _ = got.assert_problem(401, "token-missing");
}

#[tokio::test]
async fn another_request_under_the_key_is_refused() {
    let running = start(of_callers(&[("* /echo", "echo")]), Default::default()).await;
    let ada = bearer("ada", "");
    let headers = [("authorization", &*ada), ("idempotency-key", "k"), ("content-type", "text/plain")];
    let first = running.send("POST", "/echo?a=1", &headers, "body").await;
    for (target, kind, body) in
        [("/echo?a=2", "text/plain", "body"), ("/echo?a=1", "text/html", "body"), ("/echo?a=1", "text/plain", "bodx")]
    {
        let headers = [("authorization", &*ada), ("idempotency-key", "k"), ("content-type", kind)];
        let got = running.send("POST", target, &headers, body).await;
        let _ = got.assert_problem(422, "idempotency-key-reused");
    }
    assert_eq!(seen(&running.send("POST", "/echo?a=1", &headers, "body").await), seen(&first));
}

#[tokio::test]
async fn a_key_that_is_none_is_refused_and_one_may_be_needed() {
    let routes = vec![
        keyed(protected("POST /echo", "echo", &[], &[]), KeyUse::OfCallers),
        keyed(protected("POST /must", "echo", &[], &[]), KeyUse::Required),
        keyed(protected("POST /free", "echo", &[], &[]), KeyUse::Ignored),
    ];
    let running = start(routes, Default::default()).await;
    for bad in ["", "a b", "\"open", &"x".repeat(256)] {
        let _ = running.post("/echo", bad, "").await.assert_problem(400, "idempotency-key-invalid");
    }
    let ada = bearer("ada", "");
    let twice = [("authorization", &*ada), ("idempotency-key", "a"), ("idempotency-key", "b")];
    let _ = running.send("POST", "/echo", &twice, "").await.assert_problem(400, "idempotency-key-invalid");
    let without = [("authorization", &*ada)];
    let _ = running.send("POST", "/must", &without, "").await.assert_problem(400, "idempotency-key-missing");
    assert_ne!(seen(&running.send("POST", "/echo", &without, "").await), seen(&running.post("/must", "k", "").await));
    assert!(is_replayed(&running.post("/must", "k", "").await));
    let free = running.post("/free", "a b", "").await;
    assert_ne!(seen(&running.post("/free", "a b", "").await), seen(&free));
    assert_eq!(running.kept(), 1);
}

#[tokio::test]
async fn nobody_is_known_by_their_address_where_the_route_says_so() {
    let routes =
        vec![keyed(public("POST /a", "echo"), KeyUse::OfCallers), keyed(public("POST /b", "echo"), KeyUse::OfAll)];
    let running = start(routes, Default::default()).await;
    let key = [("idempotency-key", "k")];
    let first = running.send("POST", "/a", &key, "").await;
    assert_ne!(seen(&running.send("POST", "/a", &key, "").await), seen(&first));
    let first = running.send("POST", "/b", &key, "").await;
    assert_eq!(seen(&running.send("POST", "/b", &key, "").await), seen(&first));
    // A caller who is known is somebody else, at the same address.
    assert_ne!(seen(&running.post("/b", "k", "").await), seen(&first));
}

#[tokio::test]
async fn of_many_at_once_one_is_done() {
    let running = Arc::new(start(of_callers(&[("POST /hold", "hold")]), Default::default()).await);
    let (busy, done) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let requests: Vec<_> = (0..50)
        .map(|_| {
            let (running, busy, done) = (running.clone(), busy.clone(), done.clone());
            tokio::spawn(async move {
                let got = running.post("/hold", "k", "").await;
                if got.status == 200 {
                    assert!(!is_replayed(&got));
                    done.fetch_add(1, SeqCst);
                } else {
                    let _ = got.assert_problem(409, "idempotency-in-flight");
                    assert_eq!(got.header("retry-after"), Some("1"));
                    // The last of them lets the one go on that is in work.
                    if busy.fetch_add(1, SeqCst) == 48 {
                        running.server.gate.open.notify_one();
                    }
                }
            })
        })
        .collect();
    for request in requests {
        request.await.unwrap();
    }
    assert_eq!((busy.load(SeqCst), done.load(SeqCst)), (49, 1));
    let again = running.post("/hold", "k", "").await;
    assert_eq!((is_replayed(&again), &*again.body), (true, "held"));
}

#[tokio::test]
async fn many_keys_from_many_clients_are_done_once_each() {
    let running = Arc::new(start(of_callers(&[("POST /echo", "echo")]), Default::default()).await);
    let clients = (0..200).map(|number| {
        let running = running.clone();
        tokio::spawn(async move {
            let key = format!("k{}", number % 20);
            loop {
                let got = running.post("/echo", &key, &key).await;
                if got.status != 409 {
                    return (key, seen(&got));
                }
            }
        })
    });
    let mut runs: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for client in clients.collect::<Vec<_>>() {
        let (key, run) = client.await.unwrap();
        runs.entry(key).or_default().push(run);
    }
    assert_eq!(runs.len(), 20);
    for (key, runs) in runs {
        assert_eq!(runs.len(), 10);
        assert!(runs.iter().all(|run| *run == runs[0]), "{key}: {runs:?}");
    }
}

#[tokio::test]
async fn what_may_be_tried_again_is_not_kept() {
    let routes = [
        ("POST /overloaded", "overloaded"),
        ("POST /trapped", "function-trapped"),
        ("POST /breaks", "breaks"),
        ("POST /short", "short"),
        ("POST /events", "events"),
        ("POST /panic", "panic"),
        ("POST /later", "panic-later"),
        ("POST /ignore", "ignore"),
    ];
    let running = start(of_callers(&routes), Default::default()).await;
    for (route, name) in &routes {
        let target = route.strip_prefix("POST ").unwrap();
        // The one that ignores its body gets one: what was not read to its end cannot be compared.
        let body = if *name == "ignore" { "body" } else { "" };
        for _ in 0..2 {
            // One that breaks off may come to nothing but the end of its connection.
            let got = running.text(target, body).await;
            assert!(!got.contains("idempotent-replayed") && !got.contains(" 409 "), "{name}: {got:?}");
        }
    }
    assert_eq!(running.kept(), 0);
}

#[tokio::test]
async fn a_long_answer_is_passed_on_and_not_kept() {
    let limits = manifest::Idempotency { max_answer_bytes: 1_000, ttl_s: 7, ..Default::default() };
    let routes = [("POST /pieces", "pieces"), ("POST /small", "pieces-small"), ("POST /empty", "empty")];
    let running = start(of_callers(&routes), limits).await;
    for _ in 0..2 {
        let long = running.post("/pieces", "k", "").await;
        assert!(!is_replayed(&long));
        assert!(long.body.len() > common::LONG_JSON.len() * 100, "{}", long.body.len());
    }
    assert_eq!(running.kept(), 0);
    let first = running.post("/small", "k", "").await;
    let again = running.post("/small", "k", "").await;
    assert_eq!((is_replayed(&again), &*again.body, again.header("content-length")), (true, "{\"a\":42}", Some("8")));
    assert_eq!(first.header("content-type"), again.header("content-type"));
    let bounds = running.answers.bounds.lock().unwrap().unwrap();
    assert_eq!((bounds.time.as_secs(), bounds.answers), (7, 100_000));
    assert_eq!(running.post("/empty", "k", "").await.status, 204);
    let again = running.post("/empty", "k", "").await;
    assert_eq!((again.status, is_replayed(&again)), (204, true));
}

#[tokio::test]
async fn the_request_goes_on_when_its_client_goes_away() {
    let running = start(of_callers(&[("POST /hold", "hold")]), Default::default()).await;
    let mut socket = running.server.connect().await;
    let head = format!(
        "POST /hold HTTP/1.1\r\nhost: weft.test\r\nauthorization: {}\r\nidempotency-key: k\r\ncontent-length: 0\r\n\r\n",
        bearer("ada", "")
    );
    socket.write_all(head.as_bytes()).await.unwrap();
    running.server.gate.entered.notified().await;
    drop(socket);
    let _ = running.post("/hold", "k", "").await.assert_problem(409, "idempotency-in-flight");
    running.server.gate.open.notify_one();
    running.answers.keeps.notified().await;
    // The key is given free after its answer is kept.
    let again = running.post("/hold", "k", "").await;
    assert_eq!((is_replayed(&again), &*again.body), (true, "held"));
}

#[tokio::test]
async fn without_its_store_nothing_is_done() {
    let running = start(of_callers(&[("POST /echo", "echo")]), Default::default()).await;
    running.answers.broken.store(true, SeqCst);
    let _ = running.post("/echo", "k", "").await.assert_problem(503, "unavailable");
    let ada = bearer("ada", "");
    let without = running.send("POST", "/echo", &[("authorization", &*ada)], "").await;
    assert_eq!(without.status, 200, "what has no key does not ask");
    running.answers.broken.store(false, SeqCst);
    assert!(!is_replayed(&running.post("/echo", "k", "").await));
}
