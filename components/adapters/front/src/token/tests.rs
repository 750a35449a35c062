//! What is accepted, every attack we know of, and what a function learns of its caller: the cases of the gateway.

use ed25519_dalek::Signer as _;
use ed25519_dalek::pkcs8::EncodePublicKey as _;
use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;
use rsa::pkcs8::DecodePrivateKey as _;
use serde_json::{Value, json};

use super::*;

const NOW_S: u64 = 1_800_000_000;
const RSA_PRIVATE: &str = include_str!("../../tests/keys/rsa-private.pem");
const RSA_PUBLIC: &str = include_str!("../../tests/keys/rsa-public.pem");
const RSA_WEAK: &str = include_str!("../../tests/keys/rsa-1024-public.pem");

fn ours() -> SigningKey {
    SigningKey::from_bytes(&[7; 32])
}

fn theirs() -> SigningKey {
    SigningKey::from_bytes(&[8; 32])
}

fn public_pem(key: &SigningKey) -> String {
    key.verifying_key().to_public_key_pem(LineEnding::LF).unwrap()
}

fn auth() -> Auth {
    Auth {
        issuer: "education-platform".to_owned(),
        audience: "microservices".to_owned(),
        leeway_s: 30,
        ..Auth::default()
    }
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

fn part(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

/// A token with any header at all, signed over exactly that.
fn signed(header: &Value, claims: &Value, sign: impl Fn(&[u8]) -> Vec<u8>) -> String {
    let message = format!("{}.{}", part(header), part(claims));
    let signature = URL_SAFE_NO_PAD.encode(sign(message.as_bytes()));
    format!("{message}.{signature}")
}

fn by(key: &SigningKey) -> impl Fn(&[u8]) -> Vec<u8> {
    let key = key.clone();
    move |message| key.sign(message).to_bytes().to_vec()
}

fn by_rsa(message: &[u8]) -> Vec<u8> {
    let key = rsa::PrivateKey::from_pkcs8_pem(RSA_PRIVATE).unwrap();
    key.sign(rsa::Pkcs1v15Sign::new::<rsa::sha2::Sha256>(), &Sha256::digest(message)).unwrap()
}

fn token(claims: &Value) -> String {
    signed(&json!({ "alg": "EdDSA", "typ": "JWT" }), claims, by(&ours()))
}

fn our_key() -> Key {
    Key::from_pem(&public_pem(&ours())).unwrap()
}

fn identified(key: &Key, token: &str) -> Result<Option<Identity>, Problem> {
    let authorization = format!("Bearer {token}").into_bytes();
    identify(&[("authorization".to_owned(), authorization)], key, &auth(), NOW_S)
}

#[test]
fn a_function_learns_who_calls() {
    let identity = identified(&our_key(), &token(&claims())).unwrap().unwrap();
    let line = |name: &str, value: &str| (name.to_owned(), value.as_bytes().to_vec());
    assert_eq!(
        identity.headers(),
        [
            line("x-user-id", "u1"),
            line("x-user-role", "teacher"),
            line("x-user-permissions", "courses:write,courses:read"),
            line("x-user-email", "u1@example.org"),
        ]
    );
}

#[test]
fn another_scheme_is_no_token() {
    for value in ["Basic dTpw", "Bearer", "x"] {
        let headers = [("authorization".to_owned(), value.as_bytes().to_vec())];
        assert!(identify(&headers, &our_key(), &auth(), NOW_S).unwrap().is_none(), "{value}");
    }
    let one = ("authorization".to_owned(), format!("bearer {}", token(&claims())).into_bytes());
    assert!(identify(std::slice::from_ref(&one), &our_key(), &auth(), NOW_S).unwrap().is_some());
    assert!(identify(&[one.clone(), one], &our_key(), &auth(), NOW_S).is_err(), "twice");
}

#[test]
fn roles_and_permissions_are_asked_for() {
    let identity = identified(&our_key(), &token(&claims())).unwrap();
    let access = |public: bool, roles: &[&str], permissions: &[&str]| {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Access { public, users: true, roles: owned(roles), permissions: owned(permissions), ..Access::default() }
    };
    let status = |access: &Access, identity| authorise(access, identity).err().map(|problem| problem.status);
    for (access, expected) in [
        (access(false, &[], &[]), None),
        (access(false, &["teacher", "admin"], &[]), None),
        (access(false, &[], &["courses:read", "courses:write"]), None),
        (access(false, &["admin"], &[]), Some(403)),
        (access(false, &["teacher"], &["courses:write", "courses:delete"]), Some(403)),
        (access(true, &["admin"], &[]), None),
    ] {
        assert_eq!(status(&access, identity.as_ref()), expected, "{access:?}");
    }
    assert_eq!(status(&access(false, &[], &[]), None), Some(401));
    assert_eq!(status(&access(true, &[], &[]), None), None);
}

#[test]
fn services_use_what_names_them() {
    let service = |name: &str| {
        let mut claims = with("type", json!("service"));
        claims["sub"] = json!(name);
        identified(&our_key(), &token(&claims)).unwrap()
    };
    let grading = service("grading").unwrap();
    let line = |name: &str, value: &str| (name.to_owned(), value.as_bytes().to_vec());
    let told = [line("x-service-id", "grading"), line("x-service-permissions", "courses:write,courses:read")];
    assert_eq!((grading.headers(), &*grading.subject), (&told[..], "service:grading"));
    let users = Access { users: true, ..Access::default() };
    let services = |services: &[&str]| Access {
        services: services.iter().map(|name| (*name).to_owned()).collect(),
        permissions: vec!["courses:read".to_owned()],
        ..Access::default()
    };
    let user = identified(&our_key(), &token(&claims())).unwrap();
    let status = |access: &Access, identity: Option<&Identity>| authorise(access, identity).err().map(|it| it.status);
    assert_eq!(status(&users, Some(&grading)), Some(403));
    assert_eq!(status(&services(&["grades", "grad-*"]), Some(&grading)), Some(403));
    assert_eq!(status(&services(&["grading"]), user.as_ref()), Some(403));
    for pattern in ["grading", "grad*", "*"] {
        assert_eq!(status(&services(&[pattern]), Some(&grading)), None, "{pattern}");
    }
    let lacking = Access { permissions: vec!["grades:write".to_owned()], ..services(&["*"]) };
    assert_eq!(status(&lacking, Some(&grading)), Some(403));
}

#[test]
fn claims_that_are_not_ours_or_not_now_are_refused() {
    let refused = [
        ("another issuer", with("iss", json!("evil"))),
        ("no issuer", without("iss")),
        ("another audience", with("aud", json!("elsewhere"))),
        ("other audiences", with("aud", json!(["elsewhere"]))),
        ("no audience", without("aud")),
        ("a refresh token", with("type", json!("refresh"))),
        ("a user who poses as a service", with("sub", json!("service:grading"))),
        ("a service whose tokens could not be voided", {
            let mut service = with("type", json!("service"));
            service["sub"] = json!("a.b");
            service
        }),
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
        assert_eq!(identified(&our_key(), &token(&claims)).err().map(|problem| problem.status), Some(401), "{why}");
    }
    let accepted = [
        ("expired within the leeway", with("exp", json!(NOW_S - 29))),
        ("not valid yet within the leeway", with("nbf", json!(NOW_S + 30))),
        ("ours among the audiences", with("aud", json!(["elsewhere", "microservices"]))),
        ("no start", without("nbf")),
    ];
    for (why, claims) in accepted {
        assert!(identified(&our_key(), &token(&claims)).is_ok(), "{why}");
    }
    let mut typ = without("type");
    typ["typ"] = json!("access");
    assert!(identified(&our_key(), &token(&typ)).is_ok(), "the type under its other name");
}

#[test]
fn forged_tokens_are_refused() {
    let (good, claims) = (token(&claims()), claims());
    let parts: Vec<&str> = good.split('.').collect();
    let (header, payload, signature) = (parts[0], parts[1], parts[2]);
    let none = |alg: &str| format!("{}.{payload}.", part(&json!({ "alg": alg, "typ": "JWT" })));
    let theirs_x = URL_SAFE_NO_PAD.encode(theirs().verifying_key().as_bytes());
    let by_us = |header: Value| signed(&header, &claims, by(&ours()));
    let by_them = |header: Value| signed(&header, &claims, by(&theirs()));
    let keyed = |message: &[u8]| Sha256::digest(message).to_vec();
    let forged = [
        ("alg none", none("none")),
        ("alg None", none("None")),
        ("alg none with a signature", format!("{}{signature}", none("none"))),
        ("no alg", by_us(json!({ "typ": "JWT" }))),
        ("HS256", signed(&json!({ "alg": "HS256" }), &claims, keyed)),
        ("HS256 with our signature", by_us(json!({ "alg": "HS256" }))),
        ("signed by another key", by_them(json!({ "alg": "EdDSA" }))),
        ("a jku header", by_them(json!({ "alg": "EdDSA", "jku": "https://evil.test/jwks" }))),
        (
            "a key in its own header",
            by_them(json!({ "alg": "EdDSA", "jwk": { "kty": "OKP", "crv": "Ed25519", "x": theirs_x } })),
        ),
        ("an RSA signature that says EdDSA", signed(&json!({ "alg": "EdDSA" }), &claims, by_rsa)),
        ("RS256 where the key is Ed25519", signed(&json!({ "alg": "RS256" }), &claims, by_rsa)),
        ("a critical extension", by_us(json!({ "alg": "EdDSA", "crit": ["b64"] }))),
        ("another kind of token", by_us(json!({ "alg": "EdDSA", "typ": "dpop+jwt" }))),
        ("another payload", format!("{header}.{}.{signature}", part(&with("role", json!("admin"))))),
        ("no signature", format!("{header}.{payload}.")),
        ("two parts", format!("{header}.{payload}")),
        ("four parts", format!("{good}.x")),
        ("cut short", good[..good.len() - 4].to_owned()),
        ("padded", format!("{good}=")),
        ("twice", format!("{good} {good}")),
        ("empty parts", "..".to_owned()),
        ("nonsense", "abc".to_owned()),
        ("too long", token(&with("pad", json!("x".repeat(9000))))),
    ];
    for (why, token) in forged {
        assert_eq!(identified(&our_key(), &token).err().map(|problem| problem.status), Some(401), "{why}");
    }
}

#[test]
fn an_rsa_key_verifies_rs256_alone() {
    let key = Key::from_pem(RSA_PUBLIC).unwrap();
    let rs256 = signed(&json!({ "alg": "RS256" }), &claims(), by_rsa);
    assert!(identified(&key, &rs256).unwrap().is_some());
    for (why, token) in [
        (
            "HS256 over the public key",
            signed(&json!({ "alg": "HS256" }), &claims(), |message| {
                Sha256::digest([RSA_PUBLIC.as_bytes(), message].concat()).to_vec()
            }),
        ),
        ("RS384", signed(&json!({ "alg": "RS384" }), &claims(), by_rsa)),
        ("PS256", signed(&json!({ "alg": "PS256" }), &claims(), by_rsa)),
        ("EdDSA", signed(&json!({ "alg": "EdDSA" }), &claims(), by_rsa)),
        ("an Ed25519 signature", signed(&json!({ "alg": "RS256" }), &claims(), by(&ours()))),
        ("no signature", signed(&json!({ "alg": "RS256" }), &claims(), |_| Vec::new())),
    ] {
        assert!(identified(&key, &token).is_err(), "{why}");
    }
}

#[test]
fn keys_that_cannot_be_trusted_are_refused() {
    for bad in [RSA_WEAK, RSA_PRIVATE, "nonsense", ""] {
        assert!(Key::from_pem(bad).is_err(), "{bad}");
    }
    // The neutral element of the curve: with it, anyone can sign.
    let mut neutral = [0; 32];
    neutral[0] = 1;
    let weak = VerifyingKey::from_bytes(&neutral).unwrap().to_public_key_pem(LineEnding::LF).unwrap();
    assert!(Key::from_pem(&weak).unwrap_err().contains("weak"));
}

#[test]
fn a_genuine_token_can_be_void() {
    let identity = identified(&our_key(), &token(&claims())).unwrap().unwrap();
    for (void_through_s, valid) in [(None, true), (Some(NOW_S - 11), true), (Some(NOW_S - 10), false)] {
        assert_eq!(identity.not_revoked(void_through_s).is_ok(), valid, "{void_through_s:?}");
    }
    let undated = identified(&our_key(), &token(&without("iat"))).unwrap().unwrap();
    assert!(undated.not_revoked(Some(0)).is_err(), "any revocation voids a token without a date");
}

proptest::proptest! {
    /// Whatever is changed in a token, it is not ours any more.
    #[test]
    fn no_changed_token_is_accepted(at in 0_usize..400, to in "[A-Za-z0-9_.-]") {
        let mut changed = token(&claims());
        let at = at % changed.len();
        proptest::prop_assume!(changed[at..=at] != to);
        changed.replace_range(at..=at, &to);
        proptest::prop_assert!(identified(&our_key(), &changed).is_err());
    }
}
