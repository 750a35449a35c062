//! Tokens by which services call: JWT of the type `service`, signed with the key that signs the application's own. They are not
//! kept: until they end they are ended by voiding all of a service, in the store that voids users' tokens. Whom a route lets
//! in is up to the gateway.

use std::sync::Arc;

use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde::Serialize;

use weft_capability::kv::{self, Store};
use weft_core::id::new_id;
use weft_core::manifest::{Auth, Variables, is_service_name};
use weft_gateway::{TOKEN_BYTES, service_subject};

use crate::keys;

/// How long a token is good if it is not said, in seconds.
const DEFAULT_LIFETIME_S: u64 = 60 * 60;
/// The longest that one can be, in seconds.
const MAX_LIFETIME_S: u64 = 24 * 60 * 60;
/// Permissions of one token, and the bytes of each.
const MAX_PERMISSIONS: usize = 100;
const MAX_PERMISSION_BYTES: usize = 128;

/// A token that cannot be made or voided.
#[derive(Debug, thiserror::Error)]
pub enum ServiceTokenError {
    /// What is asked for makes no sense.
    #[error("{0}")]
    Invalid(String),
    /// The application cannot do it.
    #[error("{0}")]
    Unavailable(String),
    /// What is void cannot be read or written.
    #[error("what is void cannot be read or written: {0}")]
    Store(#[from] kv::Error),
}

/// What a token is to say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// The service.
    pub service: String,
    /// What it may do.
    pub permissions: Vec<String>,
    /// How long it is good, in milliseconds: a second to a day, an hour without it.
    pub expires_in_ms: Option<u64>,
}

/// Makes tokens, and voids them.
pub struct ServiceTokens {
    /// Whose tokens they are.
    pub auth: Auth,
    /// Where all of a subject are voided.
    pub store: Arc<dyn Store>,
}

#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    aud: &'a str,
    sub: &'a str,
    permissions: &'a [String],
    #[serde(rename = "type")]
    kind: &'a str,
    jti: String,
    iat: u64,
    nbf: u64,
    exp: u64,
}

impl ServiceTokens {
    /// Makes a token; answers it with the second since the Unix epoch at which it ends.
    ///
    /// # Errors
    /// If it makes no sense, or the application has no key that signs.
    pub async fn make(
        &self,
        wanted: &Wanted,
        variables: &Variables,
        now_ms: u64,
    ) -> Result<(String, u64), ServiceTokenError> {
        let lifetime_s = lifetime_s(wanted)?;
        let key = signing_key(&self.auth, variables)?;
        let now_s = now_ms / 1000;
        let issued_s = self.next_s(&wanted.service, now_s).await?;
        let expires_s = now_s + lifetime_s;
        let claims = Claims {
            iss: &self.auth.issuer,
            aud: &self.auth.audience,
            sub: &wanted.service,
            permissions: &wanted.permissions,
            kind: "service",
            jti: new_id(),
            iat: issued_s,
            nbf: now_s,
            exp: expires_s,
        };
        let token = encode(&Header::new(Algorithm::EdDSA), &claims, &key);
        let token = token.map_err(|error| ServiceTokenError::Unavailable(error.to_string()))?;
        if token.len() > TOKEN_BYTES {
            let what =
                format!("the token would have more than {TOKEN_BYTES} bytes, which no gateway takes: ask for less");
            return Err(ServiceTokenError::Invalid(what));
        }
        Ok((token, expires_s))
    }

    /// Voids all tokens of a service that were issued until now. None of them is taken any more when this answers, whatever
    /// becomes of the machine.
    ///
    /// # Errors
    /// If that is no service's name, or the application keeps nowhere what is void.
    pub async fn void(&self, service: &str, now_ms: u64) -> Result<(), ServiceTokenError> {
        named(service)?;
        let none =
            "the application keeps nowhere which tokens are void: [application.tool.weft.auth] has no `revocations`";
        let label = self.auth.revocations.as_ref().ok_or_else(|| ServiceTokenError::Unavailable(none.to_owned()))?;
        let second = self.next_s(service, now_ms / 1000).await?;
        self.store.set(&label.value, &service_subject(service), second.to_string().into(), None).await?;
        Ok(())
    }

    /// The second of what is made or voided now: after that in which others were voided, or it would be void as well, and
    /// what was made since would not.
    async fn next_s(&self, service: &str, now_s: u64) -> Result<u64, ServiceTokenError> {
        let Some(label) = &self.auth.revocations else { return Ok(now_s) };
        let kept = self.store.get(&label.value, &service_subject(service)).await?;
        let void: Option<u64> = kept.and_then(|kept| std::str::from_utf8(&kept.value).ok()?.trim().parse().ok());
        Ok(void.map_or(now_s, |void| now_s.max(void.saturating_add(1))))
    }
}

fn named(service: &str) -> Result<(), ServiceTokenError> {
    let what = "is no name of a service: words joined by `-`, such as grading-jobs, and not `users`";
    is_service_name(service).then_some(()).ok_or_else(|| ServiceTokenError::Invalid(format!("{service:?} {what}")))
}

/// How long what is asked for is good, in seconds, if it makes sense.
fn lifetime_s(wanted: &Wanted) -> Result<u64, ServiceTokenError> {
    named(&wanted.service)?;
    let invalid = |what: String| Err(ServiceTokenError::Invalid(what));
    let lifetime = wanted.expires_in_ms.map_or(DEFAULT_LIFETIME_S, |ms| ms / 1000);
    if !(1..=MAX_LIFETIME_S).contains(&lifetime) {
        return invalid("a token is good for 1s to 24h".to_owned());
    }
    if wanted.permissions.len() > MAX_PERMISSIONS {
        return invalid(format!("a token has at most {MAX_PERMISSIONS} permissions"));
    }
    let is_permission = |text: &String| {
        (1..=MAX_PERMISSION_BYTES).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b',')
    };
    match wanted.permissions.iter().find(|text| !is_permission(text)) {
        Some(wrong) => invalid(format!("{wrong:?} is no permission: visible characters without a comma")),
        None => Ok(lifetime),
    }
}

/// The key that signs the application's own tokens: that of the first variable.
fn signing_key(auth: &Auth, variables: &Variables) -> Result<EncodingKey, ServiceTokenError> {
    let none = "the application's keys only verify: whoever signs its tokens makes those of services";
    let name = keys::variables(auth).next().ok_or_else(|| ServiceTokenError::Unavailable(none.to_owned()))?;
    let pem = variables.get(name).unwrap_or_default().trim();
    let none =
        |_| ServiceTokenError::Unavailable(format!("the variable {name} holds no Ed25519 private key to sign with"));
    EncodingKey::from_ed_pem(pem.as_bytes()).map_err(none)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use jsonwebtoken::{DecodingKey, Validation, decode};
    use serde_json::Value;
    use weft_capability::kv::embedded::Embedded;
    use weft_core::clock::ManualClock;
    use weft_core::manifest::{KeySource, Located, Manifest};

    use super::*;

    /// The key pair of RFC 8410, section 10.
    const PRIVATE: &str = "-----BEGIN PRIVATE KEY-----\n\
        MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n-----END PRIVATE KEY-----\n";
    const PUBLIC: &str = "-----BEGIN PUBLIC KEY-----\n\
        MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PUBLIC KEY-----\n";
    const NOW_MS: u64 = 1_800_000_000_500;

    fn tokens(folder: &std::path::Path, keys: Vec<KeySource>, revocations: Option<&str>) -> ServiceTokens {
        let keys = keys.into_iter().map(|key| Located::new(key, 1)).collect();
        let revocations = revocations.map(|label| Located::new(label.into(), 1));
        let auth = Auth { revocations, ..Auth::new("i", "a", keys) };
        let clock = Arc::new(ManualClock::at_ms(NOW_MS));
        ServiceTokens { auth, store: Arc::new(Embedded::open(&folder.join("kv.db"), clock).unwrap()) }
    }

    fn variables(key: &str) -> Variables {
        let text = "spin_manifest_version = 2\n[application]\nname = \"x\"\n[variables]\nkey = { default = \"\" }\n";
        let manifest = Manifest::parse(std::path::Path::new("spin.toml"), text).unwrap();
        Variables::resolve(&manifest, &|_| None, &[("key".to_owned(), key.to_owned())].into()).unwrap()
    }

    fn wanted(service: &str) -> Wanted {
        Wanted { service: service.to_owned(), permissions: vec!["a:b".to_owned()], expires_in_ms: None }
    }

    fn claims(token: &str) -> Value {
        let mut validation = Validation::new(Algorithm::EdDSA);
        validation.set_audience(&["a"]);
        validation.set_issuer(&["i"]);
        validation.validate_exp = false;
        decode(token, &DecodingKey::from_ed_pem(PUBLIC.as_bytes()).unwrap(), &validation).unwrap().claims
    }

    #[tokio::test]
    async fn voiding_ends_what_was_made_whatever_the_second() {
        let folder = tempfile::tempdir().unwrap();
        let tokens = tokens(folder.path(), vec![KeySource::Variable("key".into())], Some("void"));
        let variables = variables(PRIVATE);
        let void_through = async || {
            let kept = tokens.store.get("void", "service:grading").await.unwrap().unwrap();
            std::str::from_utf8(&kept.value).unwrap().parse::<u64>().unwrap()
        };
        let mut made = Vec::new();
        for round in 0..3 {
            let (token, expires_s) = tokens.make(&wanted("grading"), &variables, NOW_MS).await.unwrap();
            assert_eq!(expires_s, NOW_MS / 1000 + 3600);
            let claims = claims(&token);
            assert_eq!((&claims["sub"], &claims["type"]), (&"grading".into(), &"service".into()));
            let issued_s = claims["iat"].as_u64().unwrap();
            assert!(round == 0 || issued_s > void_through().await, "{claims}");
            made.push(issued_s);
            tokens.void("grading", NOW_MS).await.unwrap();
            let void_s = void_through().await;
            assert!(made.iter().all(|issued_s| *issued_s <= void_s), "{made:?} of {void_s}");
        }
        let other = tokens.make(&wanted("billing"), &variables, NOW_MS).await.unwrap().0;
        assert_eq!(claims(&other)["iat"], NOW_MS / 1000, "others are left alone");
    }

    #[tokio::test]
    async fn what_makes_no_sense_or_cannot_be_done_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let good = tokens(folder.path(), vec![KeySource::Variable("key".into())], None);
        let long = |count: usize, bytes: usize| vec!["p".repeat(bytes); count];
        let day_ms = Duration::from_hours(24).as_millis() as u64;
        for (wrong, told) in [
            (wanted("users"), "no name of a service"),
            (wanted("service:a"), "no name of a service"),
            (Wanted { expires_in_ms: Some(999), ..wanted("a") }, "1s to 24h"),
            (Wanted { expires_in_ms: Some(day_ms + 1000), ..wanted("a") }, "1s to 24h"),
            (Wanted { permissions: long(101, 1), ..wanted("a") }, "at most 100"),
            (Wanted { permissions: long(1, 129), ..wanted("a") }, "no permission"),
            (Wanted { permissions: long(60, 128), ..wanted("a") }, "more than 8192 bytes"),
        ] {
            let error = good.make(&wrong, &variables(PRIVATE), NOW_MS).await.unwrap_err();
            assert!(matches!(error, ServiceTokenError::Invalid(_)) && error.to_string().contains(told), "{error}");
        }
        assert!(
            good.make(&Wanted { expires_in_ms: Some(day_ms), ..wanted("a") }, &variables(PRIVATE), NOW_MS)
                .await
                .is_ok()
        );
        let none = good.void("a", NOW_MS).await.unwrap_err();
        assert!(none.to_string().contains("no `revocations`"), "{none}");
        for key in [PUBLIC, "", "nonsense"] {
            let error = good.make(&wanted("a"), &variables(key), NOW_MS).await.unwrap_err();
            assert!(error.to_string().contains("no Ed25519 private key"), "{error}");
        }
        let elsewhere = tempfile::tempdir().unwrap();
        let verifying = tokens(elsewhere.path(), vec![KeySource::Pem("key.pem".into())], None);
        let error = verifying.make(&wanted("a"), &variables(PRIVATE), NOW_MS).await.unwrap_err();
        assert!(error.to_string().contains("only verify"), "{error}");
    }
}
