//! Tokens by which services call: JWT of the type `service`, signed with the key that signs the application's own. They are not
//! kept: until they end they are ended by voiding all of a service, in the store that voids users' tokens. Whom a route lets
//! in is up to the gateway.

use std::sync::Arc;

use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde::Serialize;

use weft_capability::kv::{self, Store};
use weft_core::id::new_id;
use weft_core::manifest::{Auth, Variables, is_service_name};
use weft_gateway::service_subject;

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
    scope: String,
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
        check(wanted)?;
        let key = signing_key(&self.auth, variables)?;
        let now_s = now_ms / 1000;
        // One of the second in which others were voided would be void as well.
        let issued_s = self.void_through_s(&wanted.service).await?.map_or(now_s, |void| now_s.max(void + 1));
        let lifetime_s = wanted.expires_in_ms.map_or(DEFAULT_LIFETIME_S, |ms| ms / 1000);
        let expires_s = now_s + lifetime_s;
        let claims = Claims {
            iss: &self.auth.issuer,
            aud: &self.auth.audience,
            sub: &wanted.service,
            permissions: &wanted.permissions,
            scope: wanted.permissions.join(" "),
            kind: "service",
            jti: new_id(),
            iat: issued_s,
            nbf: now_s,
            exp: expires_s,
        };
        let token = encode(&Header::new(Algorithm::EdDSA), &claims, &key);
        Ok((token.map_err(|error| ServiceTokenError::Unavailable(error.to_string()))?, expires_s))
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
        let second = (now_ms / 1000).max(self.void_through_s(service).await?.unwrap_or_default());
        self.store.set(&label.value, &service_subject(service), second.to_string().into(), None).await?;
        Ok(())
    }

    async fn void_through_s(&self, service: &str) -> Result<Option<u64>, ServiceTokenError> {
        let Some(label) = &self.auth.revocations else { return Ok(None) };
        let kept = self.store.get(&label.value, &service_subject(service)).await?;
        Ok(kept.and_then(|kept| std::str::from_utf8(&kept.value).ok()?.trim().parse().ok()))
    }
}

fn named(service: &str) -> Result<(), ServiceTokenError> {
    let what = "is no name of a service: words joined by `-`, such as grading-jobs, and not `users`";
    is_service_name(service).then_some(()).ok_or_else(|| ServiceTokenError::Invalid(format!("{service:?} {what}")))
}

fn check(wanted: &Wanted) -> Result<(), ServiceTokenError> {
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
        None => Ok(()),
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
