//! Rate limits and API keys over real HTTP: what a client is told, what is counted, and what is not.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::common::{self, Got, Server, Setup, protected, public};
use ed25519_dalek::SigningKey;
use ed25519_dalek::pkcs8::EncodePrivateKey as _;
use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;
use futures::future::BoxFuture;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::json;
use tokio::sync::Notify;
use weft_core::Failure;
use weft_core::clock::ManualClock;
use weft_core::manifest::{self, RateLimit, RateLimits, RateScope, RateStrategy, Route, Tier};
use weft_core::shared_limits::{SharedAnswer, SharedAsk, SharedLimits, SharedStanding};
use weft_gateway::{ApiKey, ApiKeys, AuthSettings, Deployment, Identity, KeySet, Policy, api_key_hash};

const NOW_S: u64 = 1_800_000_000;

/// Keys by their text.
struct Keys(BTreeMap<[u8; 32], Arc<Identity>>);

impl ApiKeys for Keys {
    fn find(&self, hash: &[u8; 32]) -> Option<Arc<Identity>> {
        self.0.get(hash).cloned()
    }
}

fn key(id: &str, tier: Option<&str>, expires_at_s: Option<u64>) -> ([u8; 32], Arc<Identity>) {
    let key = ApiKey {
        id: id.into(),
        owner: "robot".into(),
        role: "teacher".into(),
        permissions: vec!["courses:read".into()],
        tier: tier.map(Arc::from),
        expires_at_s,
        ..ApiKey::default()
    };
    (api_key_hash(format!("weft_{id}").as_bytes()), Arc::new(Identity::of_api_key(key).unwrap()))
}

fn pem() -> String {
    SigningKey::from_bytes(&[7; 32]).to_pkcs8_pem(LineEnding::LF).unwrap().to_string()
}

fn token(subject: &str, more: &serde_json::Value) -> String {
    let mut claims = json!({ "iss": "i", "aud": "a", "sub": subject, "type": "access", "exp": NOW_S + 900 });
    claims.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap_or_default());
    encode(&Header::new(Algorithm::EdDSA), &claims, &EncodingKey::from_ed_pem(pem().as_bytes()).unwrap()).unwrap()
}

fn limit(name: &str, scope: RateScope, strategy: RateStrategy) -> RateLimit {
    RateLimit { name: name.into(), strategy, scope, components: None, line: 1 }
}

fn window(limit: u32) -> RateStrategy {
    RateStrategy::SlidingWindow { limit, window_s: 60 }
}

/// A route with these limits, and its caller's tier's.
fn limited(route: Route, limits: &[&str]) -> Route {
    Route { limits: limits.iter().map(|name| Arc::from(*name)).collect(), is_tiered: true, ..route }
}

fn definitions() -> RateLimits {
    let tier = |per_minute, concurrent| Tier { per_minute: Some(per_minute), per_hour: None, concurrent };
    let tiers = [("free", tier(3, None)), ("premium", tier(6, Some(1)))].map(|(name, tier)| (name.into(), tier));
    RateLimits {
        limits: vec![
            limit("address", RateScope::Ip, window(5)),
            limit("user", RateScope::User, window(2)),
            limit("wide", RateScope::User, window(100)),
            limit("work", RateScope::Global, RateStrategy::Concurrency { limit: 1 }),
        ],
        tiers: tiers.into(),
        ..RateLimits::default()
    }
}

fn setup() -> (Setup, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::at_ms(NOW_S * 1000));
    let mut keys = KeySet::default();
    keys.add_pem(&pem()).unwrap();
    let api_keys = [
        key("free", Some("free"), None),
        key("premium", Some("premium"), None),
        key("ended", None, Some(NOW_S)),
        key("ends", None, Some(NOW_S + 1)),
    ];
    let auth = AuthSettings {
        leeway_s: 0,
        api_keys: Some(Arc::new(Keys(api_keys.into()))),
        ..AuthSettings::new("i", "a", keys)
    };
    let routes = vec![
        limited(public("GET /public", "echo"), &["user"]),
        limited(protected("GET /any", "echo", &[], &[]), &["address", "user", "wide"]),
        limited(protected("GET /open", "echo", &["teacher"], &["courses:read"]), &[]),
        limited(protected("GET /admins", "echo", &["admin"], &[]), &["user"]),
        limited(public("GET /hold", "hold"), &["work"]),
        public("GET /unlimited", "echo"),
    ];
    let setup = Setup { auth: Some(auth), clock: clock.clone() as _, rate_limits: definitions(), ..Setup::default() };
    (setup.with_routes(routes), clock)
}

impl Server {
    async fn with_token(&self, path: &str, subject: &str) -> Got {
        self.bearer(path, &token(subject, &json!({}))).await
    }

    async fn with_key(&self, path: &str, key: &str) -> Got {
        self.send("GET", path, &[("x-api-key", key)], "").await
    }
}

#[track_caller]
fn headers<const N: usize>(got: &Got, names: [&str; N]) -> [Option<String>; N] {
    names.map(|name| got.header(name).map(ToOwned::to_owned))
}

const ALL: [&str; 6] =
    ["x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset", "ratelimit", "ratelimit-policy", "retry-after"];

#[tokio::test]
async fn a_limit_that_is_used_up_answers_429_with_all_that_a_client_needs() {
    let (setup, clock) = setup();
    let server = setup.start().await;
    let first = server.get("/public").await;
    assert_eq!(first.status, 200);
    let told = headers(&first, ALL);
    // The clock stands at the beginning of a slot of a second, which ends after a second and counts for a minute more.
    let reset = (NOW_S + 61).to_string();
    let policy = Some("\"user\";q=2;w=60".to_owned());
    let some = |text: &str| Some(text.to_owned());
    assert_eq!(told, [some("2"), some("1"), some(&reset), some("\"user\";r=1;t=61"), policy.clone(), None]);
    assert_eq!(server.get("/public").await.header("x-ratelimit-remaining"), Some("0"));
    let refused = server.get("/public").await;
    let problem = refused.assert_problem(429, "rate-limited");
    assert_eq!(problem["violated-policies"], json!(["user"]));
    assert_eq!(problem["instance"], "/public");
    let told = headers(&refused, ALL);
    assert_eq!(told, [some("2"), some("0"), some(&reset), some("\"user\";r=0;t=61"), policy, some("61")]);
    // Who waits as long as it is told is admitted.
    clock.advance(Duration::from_secs(61));
    assert_eq!(server.get("/public").await.status, 200);
    // What no limit holds for says nothing of limits.
    assert_eq!(headers(&server.get("/unlimited").await, ALL), [const { None }; 6]);
    for _ in 0..20 {
        assert_eq!(server.get("/livez").await.status, 200, "probes are nobody's requests");
        assert_eq!(server.get("/nothing").await.status, 404);
    }
}

#[tokio::test]
async fn a_user_is_a_user_wherever_and_nobody_is_an_address() {
    let server = setup().0.start().await;
    for _ in 0..2 {
        assert_eq!(server.with_token("/public", "ada").await.status, 200);
        assert_eq!(server.get("/public").await.status, 200);
    }
    assert_eq!(server.with_token("/public", "ada").await.status, 429);
    assert_eq!(server.get("/public").await.status, 429);
    assert_eq!(server.with_token("/public", "bob").await.status, 200);
}

#[tokio::test]
async fn guessing_tokens_is_limited_and_what_is_refused_later_is_not_counted() {
    let (setup, clock) = setup();
    let server = setup.start().await;
    for _ in 0..5 {
        server.bearer("/any", "guessed").await.assert_problem(401, "token-invalid");
    }
    let refused = server.bearer("/any", "guessed").await;
    assert_eq!(refused.assert_problem(429, "rate-limited")["violated-policies"], json!(["address"]));
    // As is a genuine one from there.
    assert_eq!(server.with_token("/any", "ada").await.status, 429);
    clock.advance(Duration::from_secs(61));
    for (user, statuses) in [("ada", [200, 200, 429, 429]), ("bob", [200, 200, 429, 429])] {
        for status in statuses {
            let got = server.with_token("/any", user).await;
            assert_eq!(got.status, status, "{got:?}");
        }
    }
    // Four were admitted, so that one of five is left to the address although four more were refused.
    assert_eq!(server.with_token("/any", "eve").await.header("x-ratelimit-remaining"), Some("0"));
    assert_eq!(server.with_token("/any", "eve").await.status, 429);
    // Who may not use a route uses up nothing.
    for _ in 0..5 {
        server.with_token("/admins", "fay").await.assert_problem(403, "forbidden");
    }
    assert_eq!(server.with_token("/public", "fay").await.status, 200);
}

#[tokio::test]
async fn an_api_key_identifies_like_a_token() {
    let (setup, clock) = setup();
    let server = setup.start().await;
    let seen = server.with_key("/open", "weft_free").await.json();
    assert_eq!(seen["headers"]["x-user-id"], "robot");
    assert_eq!(
        (&seen["headers"]["x-user-role"], &seen["headers"]["x-user-permissions"]),
        (&json!("teacher"), &json!("courses:read"))
    );
    assert_eq!(seen["headers"]["x-api-key"], json!(null), "the key itself is not the function's business");
    server.with_key("/admins", "weft_free").await.assert_problem(403, "forbidden");
    for wrong in ["weft_nobody", "", "weft_ended", &"x".repeat(2_000)] {
        let got = server.with_key("/open", wrong).await;
        got.assert_problem(401, "api-key-invalid");
        assert_eq!(got.header("www-authenticate"), Some("ApiKey error=\"invalid_key\""));
    }
    // On a public route as well: a key that is shown is one that is good.
    server.with_key("/unlimited", "weft_nobody").await.assert_problem(401, "api-key-invalid");
    assert_eq!(server.with_key("/open", "weft_ends").await.status, 200);
    clock.advance(Duration::from_secs(1));
    server.with_key("/open", "weft_ends").await.assert_problem(401, "api-key-invalid");
    let twice = [("x-api-key", "weft_free"), ("x-api-key", "weft_premium")];
    server.send("GET", "/open", &twice, "").await.assert_problem(401, "api-key-invalid");
    let bearer = format!("Bearer {}", token("ada", &json!({})));
    let both = [("x-api-key", "weft_free"), ("authorization", bearer.as_str())];
    server.send("GET", "/open", &both, "").await.assert_problem(400, "two-credentials");
    let basic = [("x-api-key", "weft_free"), ("authorization", "Basic YTpi")];
    assert_eq!(server.send("GET", "/open", &basic, "").await.status, 200, "another scheme is no token");
}

#[tokio::test]
async fn tiers_are_those_of_the_key_or_of_the_claim() {
    let server = setup().0.start().await;
    let premium = token("ada", &json!({ "tier": "premium" }));
    for count in 0..6 {
        let free = server.with_key("/open", "weft_free").await;
        assert_eq!(free.status, if count < 3 { 200 } else { 429 }, "{count}");
        assert_eq!(server.with_key("/open", "weft_premium").await.status, 200);
    }
    let refused = server.with_key("/open", "weft_premium").await;
    assert_eq!(refused.assert_problem(429, "rate-limited")["violated-policies"], json!(["premium-per-minute"]));
    // The tier of a token counts by its user, who has not asked yet; one that is none is none.
    assert_eq!(server.bearer("/unlimited", &premium).await.status, 200);
    let unknown = token("bob", &json!({ "tier": "gold", "role": "teacher", "permissions": ["courses:read"] }));
    for _ in 0..10 {
        assert_eq!(server.bearer("/open", &unknown).await.status, 200);
    }
}

#[tokio::test]
async fn requests_at_a_time_are_counted_until_their_answers_end() {
    let server = setup().0.start().await;
    let (address, gate) = (server.address, server.gate.clone());
    let hold = |request: String| async move {
        let mut socket = tokio::net::TcpStream::connect(address).await.unwrap();
        tokio::io::AsyncWriteExt::write_all(&mut socket, request.as_bytes()).await.unwrap();
        socket
    };
    let request = "GET /hold HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n".to_owned();
    let mut first = hold(request.clone()).await;
    gate.entered.notified().await;
    let refused = server.get("/hold").await;
    assert_eq!(refused.assert_problem(429, "rate-limited")["violated-policies"], json!(["work"]));
    assert_eq!((refused.header("retry-after"), refused.header("ratelimit")), (Some("1"), Some("\"work\";r=0")));
    assert_eq!(refused.header("ratelimit-policy"), Some("\"work\";q=1;qu=\"concurrent-requests\""));
    gate.open.notify_one();
    let text = common::read_to_end(&mut first).await;
    assert_eq!(Got::parse(&text).header("x-ratelimit-remaining"), Some("0"));
    // One whose client goes away ends as well.
    let second = hold(request).await;
    gate.entered.notified().await;
    drop(second);
    while server.gateway.in_flight() > 0 {
        tokio::task::yield_now().await;
    }
    gate.open.notify_one();
    assert_eq!(server.get("/hold").await.status, 200);
}

#[tokio::test]
async fn a_reload_keeps_what_is_counted_and_takes_what_is_new() {
    let server = setup().0.start().await;
    for _ in 0..2 {
        assert_eq!(server.get("/public").await.status, 200);
    }
    let routes = || common::table(vec![limited(public("GET /public", "echo"), &["user", "new"])]);
    let mut definitions = definitions();
    definitions.limits.push(limit("new", RateScope::Global, window(50)));
    let deploy = |rate_limits: &RateLimits| {
        let mut deployment = Deployment::new(routes(), None).unwrap();
        deployment.rate_limits = rate_limits.clone();
        server.gateway.deploy(deployment);
    };
    deploy(&definitions);
    assert_eq!(server.get("/public").await.status, 429, "as before");
    definitions.limits[1] = limit("user", RateScope::User, window(3));
    deploy(&definitions);
    assert_eq!(server.get("/public").await.header("x-ratelimit-remaining"), Some("2"), "defined anew, counted anew");
    let report = server.gateway.rate_limits(5);
    let user = report.iter().find(|limit| limit.name == "user").unwrap();
    assert_eq!((user.limit, user.admitted, user.callers[0].used), (3, 1, 1));
    assert_eq!(user.callers[0].key, "ip 127.0.0.1");
    deploy(&RateLimits::default());
    for _ in 0..10 {
        assert_eq!(server.get("/public").await.status, 200, "without definitions nothing is limited");
    }
}

#[tokio::test]
async fn behind_a_trusted_proxy_the_client_is_who_it_names() {
    let (mut setup, _) = setup();
    let trusted_proxies = vec!["127.0.0.1/32".parse().unwrap(), "10.0.0.1/32".parse().unwrap()];
    setup.policy = Policy::from(&manifest::Gateway { trusted_proxies, ..manifest::Gateway::default() });
    let server = setup.start().await;
    let from =
        async |forwarded: &str| server.send("GET", "/public", &[("x-forwarded-for", forwarded)], "").await.status;
    // What a client itself puts in front is not believed, and proxies of ours are no clients.
    let statuses = [
        from("192.0.2.1").await,
        from("198.51.100.9, 192.0.2.1").await,
        from("192.0.2.1, 10.0.0.1").await,
        from("192.0.2.2").await,
        from("nonsense").await,
    ];
    assert_eq!(statuses, [200, 200, 429, 200, 200]);
}

#[tokio::test]
async fn from_anybody_else_what_is_forwarded_means_nothing() {
    let server = setup().0.start().await;
    for (number, status) in [200, 200, 429].into_iter().enumerate() {
        let forwarded = format!("192.0.2.{number}");
        let got = server.send("GET", "/public", &[("x-forwarded-for", &forwarded)], "").await;
        assert_eq!(got.status, status, "{number}");
    }
}

/// Admits what asks for one count, and refuses what asks for two.
#[derive(Debug, Default)]
struct Others {
    asked: Mutex<Vec<Vec<String>>>,
    given_back: Mutex<Vec<String>>,
    gave_back: Notify,
}

impl SharedLimits for Others {
    fn admit(&self, asks: Vec<SharedAsk>) -> BoxFuture<'_, Result<SharedAnswer, Failure>> {
        let is_admitted = asks.len() < 2;
        let standing = SharedStanding { remaining: 0, reset: Duration::from_secs(7), mark: 5 };
        let standings = vec![standing; asks.len()];
        self.asked.lock().unwrap().push(asks.into_iter().map(|ask| ask.key).collect());
        Box::pin(async move { Ok(SharedAnswer { is_admitted, standings }) })
    }

    fn give_back(&self, asks: Vec<(SharedAsk, u64)>) -> BoxFuture<'_, Result<(), Failure>> {
        assert!(asks.iter().all(|(_, mark)| *mark == 5));
        self.given_back.lock().unwrap().extend(asks.into_iter().map(|(ask, _)| ask.key));
        self.gave_back.notify_one();
        Box::pin(async { Ok(()) })
    }
}

#[tokio::test]
async fn what_the_counts_of_several_hosts_refuse_is_given_back_to_all() {
    let (mut setup, _) = setup();
    let others = Arc::new(Others::default());
    setup.shared_limits = Some(others.clone());
    let server = setup.start().await;
    let admitted = server.with_token("/public", "ada").await;
    assert_eq!((admitted.status, headers(&admitted, ["x-ratelimit-remaining"])), (200, [Some("0".to_owned())]));
    let refused = server.with_token("/any", "ada").await;
    assert_eq!((refused.status, headers(&refused, ["retry-after"])), (429, [Some("7".to_owned())]));
    others.gave_back.notified().await;
    let asked = std::mem::take(&mut *others.asked.lock().unwrap());
    assert_eq!(asked.len(), 3, "{asked:?}");
    assert_eq!(*others.given_back.lock().unwrap(), asked[1], "what was admitted before");
    assert!(asked[0][0].starts_with("user:sliding-"), "{asked:?}");
    assert_eq!(server.with_token("/unlimited", "ada").await.status, 200);
}
