//! Access tokens: what is accepted, every attack we know of, and what a function learns of its caller.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::common::{self, Got, Server, Setup, protected, public, route};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ed25519_dalek::SigningKey;
use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;
use ed25519_dalek::pkcs8::{EncodePrivateKey as _, spki::EncodePublicKey as _};
use futures::future::BoxFuture;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use weft_core::clock::ManualClock;
use weft_core::manifest::{Access, Callers, Located, Route};
use weft_gateway::{
    AuthSettings, ConfigError, Deployment, FetchKeys, KeyError, KeySet, RemoteKeys, Revocations, RouteTable,
};

const NOW_S: u64 = 1_800_000_000;
const RSA_PRIVATE: &str = include_str!("keys/rsa-private.pem");
const RSA_PUBLIC: &str = include_str!("keys/rsa-public.pem");
const RSA_WEAK: &str = include_str!("keys/rsa-1024-public.pem");

fn ours() -> SigningKey {
    SigningKey::from_bytes(&[7; 32])
}

fn theirs() -> SigningKey {
    SigningKey::from_bytes(&[8; 32])
}

fn private_pem(key: &SigningKey) -> String {
    key.to_pkcs8_pem(LineEnding::LF).unwrap().to_string()
}

fn public_pem(key: &SigningKey) -> String {
    key.verifying_key().to_public_key_pem(LineEnding::LF).unwrap()
}

fn eddsa(key: &SigningKey) -> EncodingKey {
    EncodingKey::from_ed_pem(private_pem(key).as_bytes()).unwrap()
}

fn claims() -> Value {
    json!({
        "iss": "education-platform", "aud": "microservices", "sub": "u1", "email": "u1@example.org", "role": "teacher",
        "permissions": ["courses:write", "courses:read"], "scope": "", "type": "access", "jti": "j1",
        "iat": NOW_S - 10, "nbf": NOW_S - 10, "exp": NOW_S + 900,
    })
}

fn with(key: &str, value: Value) -> Value {
    let mut claims = claims();
    claims[key] = value;
    claims
}

fn without(key: &str) -> Value {
    let mut claims = claims();
    claims.as_object_mut().unwrap().remove(key);
    claims
}

fn sign(claims: &Value) -> String {
    encode(&Header::new(Algorithm::EdDSA), claims, &eddsa(&ours())).unwrap()
}

/// A token with any header at all, signed by `key` over exactly that.
fn sign_as(header: &Value, claims: &Value, algorithm: Algorithm, key: &EncodingKey) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let message = format!("{}.{}", part(header), part(claims));
    let signature = jsonwebtoken::crypto::sign(message.as_bytes(), key, algorithm).unwrap();
    format!("{message}.{signature}")
}

const EDDSA: &str = r#"{"alg":"EdDSA"}"#;

/// A token of exactly these texts, signed by us.
fn sign_text(header: &str, claims: &str) -> String {
    let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
    let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &eddsa(&ours()), Algorithm::EdDSA).unwrap();
    format!("{message}.{signature}")
}

/// Good claims with one of them once more, at the end.
fn twice(name: &str, value: &str) -> String {
    let claims = claims().to_string();
    format!("{},\"{name}\":{value}}}", claims.strip_suffix('}').unwrap())
}

fn settings(keys: KeySet) -> AuthSettings {
    AuthSettings::new("education-platform", "microservices", keys)
}

fn our_key() -> KeySet {
    let mut keys = KeySet::default();
    keys.add_pem(&private_pem(&ours())).unwrap();
    keys
}

fn their_key() -> KeySet {
    let mut keys = KeySet::default();
    keys.add_pem(&private_pem(&theirs())).unwrap();
    keys
}

fn setup(auth: AuthSettings) -> (Setup, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::at_ms(NOW_S * 1000));
    let routes = vec![
        public("GET /public", "echo"),
        protected("GET /any", "echo", &[], &[]),
        protected("GET /teachers", "echo", &["teacher", "admin"], &[]),
        protected("GET /admins", "echo", &["admin"], &[]),
        protected("GET /writers", "echo", &[], &["courses:read", "courses:write"]),
        protected("GET /deleters", "echo", &["teacher"], &["courses:write", "courses:delete"]),
        callers(
            "GET /services",
            Callers { users: false, services: vec!["grading".into(), "report-*".into()], ..permitted() },
        ),
        callers("GET /undecided", Callers { policies: true, ..Callers::default() }),
        callers("GET /both", Callers { roles: vec!["admin".into()], services: vec!["*".into()], ..Callers::default() }),
    ];
    let setup = Setup { auth: Some(auth), clock: Arc::clone(&clock) as _, ..Setup::default() };
    (setup.with_routes(routes), clock)
}

fn callers(text: &str, callers: Callers) -> Route {
    route(text, "echo", Access::Authenticated(callers))
}

fn permitted() -> Callers {
    Callers { permissions: vec!["grades:write".into()], ..Callers::default() }
}

async fn start(keys: KeySet) -> Server {
    setup(settings(keys)).0.start().await
}

#[track_caller]
fn assert_refused(got: &Got, why: &str) {
    assert_eq!(got.status, 401, "{why}: {got:?}");
    got.assert_problem(401, "token-invalid");
    assert_eq!(got.header("www-authenticate"), Some("Bearer error=\"invalid_token\""), "{why}");
}

#[tokio::test]
async fn a_function_learns_who_calls() {
    let server = start(our_key()).await;
    let token = sign(&claims());
    let forged = [("authorization", &*format!("bearer {token}")), ("X-User-ID", "admin"), ("x-user-role", "admin")];
    for path in ["/any", "/public"] {
        let headers = &server.send("GET", path, &forged, "").await.json()["headers"];
        assert_eq!(headers["x-user-id"], "u1");
        assert_eq!(headers["x-user-role"], "teacher");
        assert_eq!(headers["x-user-permissions"], "courses:write,courses:read");
        assert_eq!(headers["x-user-email"], "u1@example.org");
    }
}

#[tokio::test]
async fn a_route_without_a_token_is_open_only_if_it_is_public() {
    let server = start(our_key()).await;
    assert_eq!(server.get("/public").await.status, 200);
    for headers in [&[][..], &[("authorization", "Basic dTpw")], &[("authorization", "Bearer")]] {
        let got = server.send("GET", "/any", headers, "").await;
        got.assert_problem(401, "token-missing");
        assert_eq!(got.header("www-authenticate"), Some("Bearer"));
    }
    server.get(&format!("/any?access_token={}", sign(&claims()))).await.assert_problem(401, "token-missing");
}

#[tokio::test]
async fn roles_and_permissions_are_asked_for() {
    let server = start(our_key()).await;
    let teacher = sign(&claims());
    for path in ["/any", "/teachers", "/writers"] {
        assert_eq!(server.bearer(path, &teacher).await.status, 200, "{path}");
    }
    // Without policies nothing is permitted where they are asked.
    for path in ["/admins", "/deleters", "/undecided"] {
        let got = server.bearer(path, &teacher).await;
        got.assert_problem(403, "forbidden");
        assert_eq!(got.header("www-authenticate"), Some("Bearer error=\"insufficient_scope\""));
    }
    let nobody = sign(&without("role"));
    server.bearer("/teachers", &nobody).await.assert_problem(403, "forbidden");
}

fn service_claims(name: &str, permissions: &[&str]) -> Value {
    let mut claims = with("type", json!("service"));
    (claims["sub"], claims["permissions"]) = (json!(name), json!(permissions));
    claims
}

#[tokio::test]
async fn services_use_the_routes_that_name_them() {
    let server = start(our_key()).await;
    let service = |name: &str, permissions: &[&str]| sign(&service_claims(name, permissions));
    let grading = service("grading", &["grades:write"]);
    let headers = |got: Got| got.json()["headers"].clone();
    for (path, token) in [("/services", &grading), ("/both", &grading), ("/public", &grading)] {
        let seen = headers(server.bearer(path, token).await);
        assert_eq!(
            (&seen["x-service-id"], &seen["x-service-permissions"]),
            (&json!("grading"), &json!("grades:write"))
        );
        // It is no user, whatever its token says of a role and an address.
        assert!(seen.as_object().unwrap().keys().all(|name| !name.starts_with("x-user-")), "{seen}");
    }
    for (path, token) in [
        ("/any", &grading),
        ("/teachers", &grading),
        ("/services", &service("grades", &["grades:write"])),
        ("/services", &service("report", &["grades:write"])),
        ("/services", &service("report-nightly", &["grades:read"])),
        // Users stay outside where they are not named, and their roles count where they are.
        ("/services", &sign(&with("permissions", json!(["grades:write"])))),
        ("/both", &sign(&claims())),
    ] {
        server.bearer(path, token).await.assert_problem(403, "forbidden");
    }
    assert_eq!(server.bearer("/services", &service("report-nightly", &["grades:write"])).await.status, 200);
    assert_eq!(server.bearer("/both", &sign(&with("role", json!("admin")))).await.status, 200);
    server.get("/services").await.assert_problem(401, "token-missing");
    let posing =
        [("authorization", &*format!("Bearer {grading}")), ("X-Service-ID", "payments"), ("x_service_id", "a")];
    assert_eq!(headers(server.send("GET", "/public", &posing, "").await)["x-service-id"], "grading");
    assert!(headers(server.send("GET", "/public", &posing[1..], "").await).get("x-service-id").is_none());
}

#[tokio::test]
async fn claims_that_are_not_ours_or_not_now_are_refused() {
    let server = start(our_key()).await;
    let refused = [
        ("another issuer", with("iss", json!("evil"))),
        ("no issuer", without("iss")),
        ("another audience", with("aud", json!("elsewhere"))),
        ("other audiences", with("aud", json!(["elsewhere"]))),
        ("no audience", without("aud")),
        ("a refresh token", with("type", json!("refresh"))),
        ("a type that nobody has", with("type", json!("Service"))),
        ("a type that is no text", with("type", json!(["access"]))),
        ("a user who poses as a service", with("sub", json!("service:grading"))),
        ("a service whose tokens could not be voided", service_claims("a.b", &[])),
        ("a service that would be all users", service_claims("users", &[])),
        ("no type", without("type")),
        ("expired", with("exp", json!(NOW_S - 30))),
        ("no expiry", without("exp")),
        ("an expiry that is no number", with("exp", json!("9999999999"))),
        ("a negative expiry", with("exp", json!(-1))),
        ("not valid yet", with("nbf", json!(NOW_S + 31))),
        ("no subject", without("sub")),
        ("an empty subject", with("sub", json!(""))),
        ("a subject that breaks a header", with("sub", json!("u1\r\nx-user-role: admin"))),
        ("a permission that is two", with("permissions", json!(["a,admin"]))),
    ];
    for (why, claims) in refused {
        let token = sign(&claims);
        assert_refused(&server.bearer("/any", &token).await, why);
        assert_refused(&server.bearer("/public", &token).await, why);
    }
    let accepted = [
        ("expired within the leeway", with("exp", json!(NOW_S - 29))),
        ("not valid yet within the leeway", with("nbf", json!(NOW_S + 30))),
        ("ours among the audiences", with("aud", json!(["elsewhere", "microservices"]))),
        ("no start", without("nbf")),
    ];
    for (why, claims) in accepted {
        assert_eq!(server.bearer("/any", &sign(&claims)).await.status, 200, "{why}");
    }
    let mut typ = without("type");
    typ["typ"] = json!("access");
    assert_eq!(server.bearer("/any", &sign(&typ)).await.status, 200, "the type under its other name");
}

#[tokio::test]
async fn forged_tokens_are_refused() {
    let mut keys = our_key();
    keys.add_pem(RSA_PUBLIC).unwrap();
    let server = start(keys).await;
    let (good, claims) = (sign(&claims()), claims());
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let [header, payload, signature] = good.split('.').collect::<Vec<_>>()[..] else { panic!("no token") };
    let none = |alg: &str| format!("{}.{payload}.", part(&json!({ "alg": alg, "typ": "JWT" })));
    let hs256 =
        |secret: &[u8]| encode(&Header::new(Algorithm::HS256), &claims, &EncodingKey::from_secret(secret)).unwrap();
    let their_key = URL_SAFE_NO_PAD.encode(theirs().verifying_key().as_bytes());
    let by_them = |header: Value| sign_as(&header, &claims, Algorithm::EdDSA, &eddsa(&theirs()));
    let rsa = EncodingKey::from_rsa_pem(RSA_PRIVATE.as_bytes()).unwrap();
    let eddsa_key = eddsa(&ours());
    let forged = [
        ("alg none", none("none")),
        ("alg None", none("None")),
        ("alg none with a signature", format!("{}{signature}", none("none"))),
        ("HS256 with the RSA public key's PEM", hs256(RSA_PUBLIC.as_bytes())),
        ("HS256 with the Ed25519 public key's PEM", hs256(public_pem(&ours()).as_bytes())),
        ("HS256 with the Ed25519 public key's bytes", hs256(ours().verifying_key().as_bytes())),
        ("signed by another key", by_them(json!({ "alg": "EdDSA" }))),
        ("a jku header", by_them(json!({ "alg": "EdDSA", "jku": "https://evil.test/jwks" }))),
        ("an x5u header", by_them(json!({ "alg": "EdDSA", "x5u": "https://evil.test/cert" }))),
        (
            "a key in its own header",
            by_them(json!({ "alg": "EdDSA", "jwk": { "kty": "OKP", "crv": "Ed25519", "x": their_key } })),
        ),
        ("an RSA signature that says EdDSA", sign_as(&json!({ "alg": "EdDSA" }), &claims, Algorithm::RS256, &rsa)),
        (
            "an Ed25519 signature that says RS256",
            sign_as(&json!({ "alg": "RS256" }), &claims, Algorithm::EdDSA, &eddsa_key),
        ),
        ("RS384 with our RSA key", sign_as(&json!({ "alg": "RS384" }), &claims, Algorithm::RS384, &rsa)),
        ("PS256 with our RSA key", sign_as(&json!({ "alg": "PS256" }), &claims, Algorithm::PS256, &rsa)),
        (
            "a critical extension",
            sign_as(&json!({ "alg": "EdDSA", "crit": ["b64"] }), &claims, Algorithm::EdDSA, &eddsa_key),
        ),
        (
            "another kind of token",
            sign_as(&json!({ "alg": "EdDSA", "typ": "dpop+jwt" }), &claims, Algorithm::EdDSA, &eddsa_key),
        ),
        ("another payload", format!("{header}.{}.{signature}", part(&with("role", json!("admin"))))),
        ("no signature", format!("{header}.{payload}.")),
        ("two parts", format!("{header}.{payload}")),
        ("four parts", format!("{good}.x")),
        ("cut short", good[..good.len() - 4].to_owned()),
        ("padded", format!("{good}=")),
        ("twice", format!("{good} {good}")),
        ("empty parts", "..".to_owned()),
        ("nonsense", "abc".to_owned()),
        ("too long", sign(&with("pad", json!("x".repeat(9000))))),
    ];
    for (why, token) in forged {
        assert_refused(&server.bearer("/any", &token).await, why);
        assert_refused(&server.bearer("/public", &token).await, why);
    }
    let twice = [("authorization", &*format!("Bearer {good}")), ("authorization", "Bearer x")];
    assert_refused(&server.send("GET", "/any", &twice, "").await, "two headers");
    assert_eq!(server.bearer("/any", &good).await.status, 200, "the token all of them were made from");
}

#[tokio::test]
async fn headers_and_claims_that_can_be_read_in_two_ways_are_refused() {
    let server = start(our_key()).await;
    let (claims, eddsa_key) = (claims(), eddsa(&ours()));
    let by_them = |header: Value| sign_as(&header, &claims, Algorithm::EdDSA, &eddsa(&theirs()));
    let forged = [
        ("an x5c header", by_them(json!({ "alg": "EdDSA", "x5c": ["MIIB"] }))),
        ("a kid that is a path", by_them(json!({ "alg": "EdDSA", "kid": "../../../dev/null" }))),
        ("a kid that is SQL", by_them(json!({ "alg": "EdDSA", "kid": "' UNION SELECT 'key' --" }))),
        ("a kid that is a URL", by_them(json!({ "alg": "EdDSA", "kid": "https://evil.test/jwks" }))),
        ("a kid that is no text", by_them(json!({ "alg": "EdDSA", "kid": { "a": 1 } }))),
        (
            "a huge kid",
            sign_as(&json!({ "alg": "EdDSA", "kid": "k".repeat(9000) }), &claims, Algorithm::EdDSA, &eddsa_key),
        ),
        ("several algorithms", sign_as(&json!({ "alg": ["none", "EdDSA"] }), &claims, Algorithm::EdDSA, &eddsa_key)),
        ("no algorithm", sign_as(&json!({ "typ": "JWT" }), &claims, Algorithm::EdDSA, &eddsa_key)),
        (
            "an encrypted token's type",
            sign_as(&json!({ "alg": "EdDSA", "typ": "JWE" }), &claims, Algorithm::EdDSA, &eddsa_key),
        ),
        ("two algorithms in one header", sign_text(r#"{"alg":"none","alg":"EdDSA"}"#, &claims.to_string())),
        ("two subjects", sign_text(EDDSA, &twice("sub", "\"admin\""))),
        ("two roles", sign_text(EDDSA, &twice("role", "\"admin\""))),
        ("two types", sign_text(EDDSA, &twice("typ", "\"access\""))),
        ("two expiries", sign_text(EDDSA, &twice("exp", "9999999999"))),
        ("two issuers", sign_text(EDDSA, &twice("iss", "\"education-platform\""))),
        ("two audiences", sign_text(EDDSA, &twice("aud", "\"microservices\""))),
        ("claims that are a list", sign_text(EDDSA, "[]")),
        ("claims that are no JSON", sign_text(EDDSA, "{")),
    ];
    for (why, token) in forged {
        assert_refused(&server.bearer("/any", &token).await, why);
        assert_refused(&server.bearer("/public", &token).await, why);
    }
    assert_eq!(server.bearer("/any", &sign_text(EDDSA, &claims.to_string())).await.status, 200, "without any of it");
}

#[tokio::test]
async fn headers_that_point_to_keys_are_ignored_on_a_genuine_token() {
    let server = start(our_key()).await;
    let header = json!({ "alg": "EdDSA", "typ": "at+jwt", "jku": "https://evil.test", "x5u": "https://evil.test", "kid": "any" });
    let token = sign_as(&header, &claims(), Algorithm::EdDSA, &eddsa(&ours()));
    assert_eq!(server.bearer("/any", &token).await.status, 200);
}

#[tokio::test]
async fn rs256_and_public_pem_keys_are_taken() {
    let mut keys = KeySet::default();
    keys.add_pem(RSA_PUBLIC).unwrap();
    keys.add_pem(&public_pem(&ours())).unwrap();
    let server = start(keys).await;
    let rsa = EncodingKey::from_rsa_pem(RSA_PRIVATE.as_bytes()).unwrap();
    let token = encode(&Header::new(Algorithm::RS256), &claims(), &rsa).unwrap();
    assert_eq!(server.bearer("/any", &token).await.status, 200);
    assert_eq!(server.bearer("/any", &sign(&claims())).await.status, 200);
}

#[tokio::test]
async fn a_key_set_is_asked_by_key_id() {
    let x = |key: &SigningKey| URL_SAFE_NO_PAD.encode(key.verifying_key().as_bytes());
    let jwks = json!({ "keys": [
        { "kty": "OKP", "crv": "Ed25519", "x": x(&ours()), "kid": "a", "use": "sig", "alg": "EdDSA" },
        { "kty": "OKP", "crv": "Ed25519", "x": x(&theirs()), "kid": "b" },
        { "kty": "oct", "k": "c2VjcmV0", "kid": "c" },
        { "kty": "EC", "crv": "P-256", "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
          "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0", "kid": "d" },
    ] });
    let mut keys = KeySet::default();
    keys.add_jwks(&jwks.to_string()).unwrap();
    let server = start(keys).await;
    let token = |kid: &str, key: &SigningKey| {
        sign_as(&json!({ "alg": "EdDSA", "kid": kid }), &claims(), Algorithm::EdDSA, &eddsa(key))
    };
    assert_eq!(server.bearer("/any", &token("a", &ours())).await.status, 200);
    assert_eq!(server.bearer("/any", &token("b", &theirs())).await.status, 200);
    assert_refused(&server.bearer("/any", &token("b", &ours())).await, "the id of another key");
    assert_refused(&server.bearer("/any", &token("e", &ours())).await, "an unknown id");
    let secret = EncodingKey::from_secret(b"secret");
    let hs256 = sign_as(&json!({ "alg": "HS256", "kid": "c" }), &claims(), Algorithm::HS256, &secret);
    assert_refused(&server.bearer("/any", &hs256).await, "a symmetric key in the set");
}

/// An issuer that publishes its keys, counts who asks, and may be down.
#[derive(Default)]
struct Issuer {
    published: Mutex<Option<Value>>,
    asked: AtomicUsize,
}

impl Issuer {
    fn publish(&self, keys: &[(&str, &SigningKey)]) {
        let jwk = |(kid, key): &(&str, &SigningKey)| {
            let x = URL_SAFE_NO_PAD.encode(key.verifying_key().as_bytes());
            json!({ "kty": "OKP", "crv": "Ed25519", "x": x, "kid": kid })
        };
        *self.published.lock().unwrap() = Some(json!({ "keys": keys.iter().map(jwk).collect::<Vec<_>>() }));
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

impl FetchKeys for Issuer {
    fn fetch<'a>(&'a self, url: &'a str) -> BoxFuture<'a, Result<String, String>> {
        assert_eq!(url, "https://issuer.test/keys");
        self.asked.fetch_add(1, Ordering::SeqCst);
        let published = self.published.lock().unwrap().as_ref().map(Value::to_string);
        Box::pin(async move { published.ok_or_else(|| "the issuer is down".to_owned()) })
    }
}

fn of_kid(kid: &str, key: &SigningKey) -> String {
    sign_as(&json!({ "alg": "EdDSA", "kid": kid }), &claims(), Algorithm::EdDSA, &eddsa(key))
}

#[tokio::test]
async fn what_an_issuer_has_published_outlives_a_deployment() {
    let issuer = Arc::new(Issuer::default());
    issuer.publish(&[("a", &ours())]);
    let from = |url: &str| {
        let urls = vec![Located::new(url.into(), 7)];
        let remote = Some(RemoteKeys { urls, fetch: Arc::clone(&issuer) as _ });
        AuthSettings { remote, ..settings(KeySet::default()) }
    };
    let server = setup(from("https://issuer.test/keys")).0.start().await;
    let token = of_kid("a", &ours());
    assert_eq!(server.bearer("/any", &token).await.status, 200);
    *issuer.published.lock().unwrap() = None;
    let asked = issuer.asked();
    let deploy = |auth| {
        let routes = common::table(vec![protected("GET /any", "echo", &[], &[])]);
        server.gateway.deploy(Deployment::new(routes, Some(auth)).unwrap());
    };
    deploy(from("https://issuer.test/keys"));
    assert_eq!(server.bearer("/any", &token).await.status, 200, "though the issuer is down by now");
    server.gateway.set_keys(&their_key());
    assert_eq!(server.bearer("/any", &token).await.status, 200, "beside others");
    assert_eq!(issuer.asked(), asked, "and nobody has asked it");
    deploy(settings(their_key()));
    deploy(from("https://issuer.test/keys"));
    assert_refused(&server.bearer("/any", &token).await, "what was left is to be fetched again");
}

#[tokio::test]
async fn published_keys_are_looked_for_when_a_token_names_a_new_one() {
    let issuer = Arc::new(Issuer::default());
    let urls = vec![Located::new("https://issuer.test/keys".into(), 7)];
    let remote = Some(RemoteKeys { urls, fetch: Arc::clone(&issuer) as _ });
    let (setup, clock) = setup(AuthSettings { remote, ..settings(KeySet::default()) });
    let server = setup.start().await;
    let (first, second) = (of_kid("a", &ours()), of_kid("b", &theirs()));
    // The issuer is down when the gateway starts, and at the first token.
    assert_refused(&server.bearer("/any", &first).await, "no keys yet");
    issuer.publish(&[("a", &ours())]);
    assert_refused(&server.bearer("/any", &first).await, "it was asked a moment ago");
    let asked = issuer.asked();
    clock.advance(Duration::from_secs(30));
    assert_eq!(server.bearer("/any", &first).await.status, 200, "it is asked again");
    assert_eq!(issuer.asked(), asked + 1);
    // Unknown keys ask at most every 30 seconds, however many tokens name one; known keys never.
    for number in 0..20 {
        assert_refused(&server.bearer("/any", &of_kid(&format!("x{number}"), &theirs())).await, "an unknown key");
        assert_eq!(server.bearer("/any", &first).await.status, 200);
    }
    assert_eq!(issuer.asked(), asked + 1);
    // Rotation: both keys for a time, then the new one alone.
    issuer.publish(&[("a", &ours()), ("b", &theirs())]);
    clock.advance(Duration::from_secs(30));
    assert_eq!(server.bearer("/any", &second).await.status, 200);
    assert_eq!(server.bearer("/any", &first).await.status, 200);
    assert_refused(&server.bearer("/any", &of_kid("a", &theirs())).await, "the id of another key");
    issuer.publish(&[("b", &theirs())]);
    clock.advance(Duration::from_secs(30));
    assert_refused(&server.bearer("/any", &of_kid("c", &ours())).await, "an unknown key, which has it ask");
    assert_refused(&server.bearer("/any", &first).await, "a key that was taken away, though the token was known");
    assert_eq!(server.bearer("/any", &second).await.status, 200);
    // What cannot be fetched, or is nonsense, changes nothing.
    for published in [None, Some(json!({ "keys": [] })), Some(json!("nonsense"))] {
        *issuer.published.lock().unwrap() = published;
        clock.advance(Duration::from_secs(30));
        assert_refused(&server.bearer("/any", &of_kid("d", &theirs())).await, "an unknown key");
        assert_eq!(server.bearer("/any", &second).await.status, 200, "the old keys stay");
    }
}

#[test]
fn keys_that_cannot_be_trusted_are_refused() {
    let mut keys = KeySet::default();
    assert!(matches!(keys.add_pem(RSA_WEAK), Err(KeyError::Weak(_))));
    assert_eq!(keys.add_pem("nonsense"), Err(KeyError::Pem));
    assert_eq!(keys.add_pem(RSA_PRIVATE), Err(KeyError::Pem));
    assert_eq!(keys.add_jwks(r#"{"keys":[{"kty":"oct","k":"c2VjcmV0"}]}"#), Err(KeyError::NoUsableKey));
    assert!(matches!(keys.add_jwks("[]"), Err(KeyError::Jwks(_))));
    // The neutral element of the curve: with it, anyone can sign.
    let weak = json!({ "keys": [{ "kty": "OKP", "crv": "Ed25519", "x": URL_SAFE_NO_PAD.encode([&[1][..], &[0; 31]].concat()) }] });
    assert!(matches!(keys.add_jwks(&weak.to_string()), Err(KeyError::Weak(_))));
    assert!(keys.is_empty());
}

#[derive(Default)]
struct Revoked(Mutex<HashMap<String, u64>>);

impl Revocations for Revoked {
    fn not_before(&self, subject: &str) -> Option<u64> {
        self.0.lock().unwrap().get(subject).copied()
    }
}

#[tokio::test]
async fn a_verified_token_still_expires_and_can_be_revoked() {
    let revoked = Arc::new(Revoked::default());
    let auth = AuthSettings { revocations: Some(Arc::clone(&revoked) as _), ..settings(our_key()) };
    let (setup, clock) = setup(auth);
    let server = setup.start().await;
    let (old, new) = (sign(&claims()), sign(&with("iat", json!(NOW_S + 1))));
    for token in [&old, &new] {
        assert_eq!(server.bearer("/any", token).await.status, 200);
    }
    revoked.0.lock().unwrap().insert("u1".into(), NOW_S);
    assert_refused(&server.bearer("/any", &old).await, "issued before the revocation");
    assert_eq!(server.bearer("/any", &new).await.status, 200, "issued after it");
    revoked.0.lock().unwrap().insert("u1".into(), NOW_S + 1);
    assert_refused(&server.bearer("/any", &new).await, "issued in the second of the revocation");
    revoked.0.lock().unwrap().clear();
    assert_refused(&server.bearer("/any", &sign(&with("exp", json!(NOW_S - 100)))).await, "expired");
    clock.advance(Duration::from_secs(929));
    assert_eq!(server.bearer("/any", &old).await.status, 200);
    clock.advance(Duration::from_secs(1));
    assert_refused(&server.bearer("/any", &old).await, "expired since it was verified");
}

#[test]
fn a_route_that_needs_a_token_needs_a_key() {
    let routes = RouteTable::new(&[protected("GET /any", "echo", &[], &[])]);
    let error = Deployment::new(routes, None).unwrap_err();
    assert!(matches!(&error, ConfigError::NoKeys { pattern, .. } if pattern == "/any"));
    assert!(error.to_string().contains("[application.tool.weft.auth]"));
}

#[tokio::test]
async fn who_may_call_is_changed_while_requests_are_in_work() {
    let (setup, _) = setup(settings(our_key()));
    let routes = || vec![protected("GET /any", "echo", &[], &[]), protected("GET /hold", "hold", &[], &[])];
    let server = setup.with_routes(routes()).start().await;
    let token = sign(&with("plan", "gold".into()));
    let mut in_work = server.connect().await;
    let request = format!("GET /hold HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {token}\r\n\r\n");
    in_work.write_all(request.as_bytes()).await.unwrap();
    server.gate.entered.notified().await;
    let deploy = |auth| {
        let deployment = Deployment::new(common::table(routes()), auth)?;
        server.gateway.deploy(deployment);
        Ok::<_, ConfigError>(())
    };
    // Another audience: tokens that were verified before are looked at anew.
    let elsewhere = AuthSettings { audience: "elsewhere".into(), ..settings(our_key()) };
    deploy(Some(elsewhere)).unwrap();
    assert_refused(&server.bearer("/any", &token).await, "another audience");
    // Without keys the routes could not be served; everything stays as it was.
    assert!(deploy(None).is_err());
    assert_refused(&server.bearer("/any", &token).await, "another audience");
    deploy(Some(settings(our_key()))).unwrap();
    assert_eq!(server.bearer("/any", &token).await.status, 200);
    // The keys alone.
    assert!(!server.gateway.set_keys(&our_key()), "they are the same");
    assert!(server.gateway.set_keys(&their_key()));
    assert_refused(&server.bearer("/any", &token).await, "the token of a key that was taken away");
    assert!(server.gateway.set_keys(&our_key()));
    assert_eq!(server.bearer("/any", &token).await.status, 200);
    server.gate.open.notify_one();
    assert_eq!(common::read_one(&mut in_work).await.body, "held");
}
