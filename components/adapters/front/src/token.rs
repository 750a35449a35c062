//! Access tokens (JWT, RFC 7519 and the advice of RFC 8725): from an `Authorization` header to an [`Identity`]. A token must
//! be signed by our key with that key's own algorithm (EdDSA or RS256), and carry our issuer and audience, a subject, an
//! expiry, and `type` (or `typ`) `access` or `service`. Whatever its header says about where to find a key is ignored. Times are whole
//! seconds. What voids a genuine token is known to a store that the caller asks.

use adapter_settings::{Access, Auth};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ed25519_dalek::pkcs8::{DecodePrivateKey as _, DecodePublicKey as _};
use ed25519_dalek::{Signature, SigningKey, VerifyingKey};
use rsa::pkcs1::DecodeRsaPublicKey as _;
use rsa::traits::PublicKeyParts as _;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use crate::headers::Header;
use crate::problem::Problem;

/// Longest name of a service, in bytes.
const MAX_NAME_BYTES: usize = 128;
/// Longest token, in bytes.
const TOKEN_BYTES: usize = 8 * 1024;
/// Smallest RSA modulus, in bytes (2048 bits, RFC 7518 section 3.3).
const MIN_RSA_BYTES: usize = 256;

/// The key that verifies tokens. It knows the one algorithm it is for, so that a token can never choose.
#[derive(Debug)]
pub(crate) enum Key {
    EdDsa(VerifyingKey),
    Rs256(Box<rsa::PublicKey>),
}

impl Key {
    /// The key of a PEM text: Ed25519 public, Ed25519 private (its public half is kept), or RSA public.
    pub(crate) fn from_pem(pem: &str) -> Result<Self, &'static str> {
        let pem = pem.trim();
        let ed25519 = SigningKey::from_pkcs8_pem(pem)
            .map(|private| private.verifying_key())
            .or_else(|_| VerifyingKey::from_public_key_pem(pem));
        if let Ok(key) = ed25519 {
            // A point of small order verifies signatures that nobody made.
            return if key.is_weak() { Err("the Ed25519 key is too weak") } else { Ok(Self::EdDsa(key)) };
        }
        let key = rsa::PublicKey::from_public_key_pem(pem).or_else(|_| rsa::PublicKey::from_pkcs1_pem(pem));
        match key {
            Ok(key) if key.size() < MIN_RSA_BYTES => Err("the RSA key is too weak: it needs 2048 bits or more"),
            Ok(key) => Ok(Self::Rs256(Box::new(key))),
            Err(_) => Err("the PEM text is no Ed25519 key and no RSA public key"),
        }
    }

    fn algorithm(&self) -> &'static str {
        match self {
            Self::EdDsa(_) => "EdDSA",
            Self::Rs256(_) => "RS256",
        }
    }

    fn has_signed(&self, message: &[u8], signature: &[u8]) -> bool {
        match self {
            Self::EdDsa(key) => {
                let signature = Signature::from_slice(signature);
                signature.is_ok_and(|signature| key.verify_strict(message, &signature).is_ok())
            }
            Self::Rs256(key) => {
                let scheme = rsa::Pkcs1v15Sign::new::<rsa::sha2::Sha256>();
                key.verify(scheme, &Sha256::digest(message), signature).is_ok()
            }
        }
    }
}

/// The part of a token's header that we read.
#[derive(Deserialize)]
struct TokenHeader {
    alg: String,
    typ: Option<String>,
    crit: Option<serde_json::Value>,
}

/// The claims that we read.
#[derive(Deserialize)]
struct Claims {
    iss: String,
    aud: Audience,
    sub: String,
    exp: u64,
    nbf: Option<u64>,
    iat: Option<u64>,
    email: Option<String>,
    #[serde(default)]
    role: String,
    #[serde(default)]
    permissions: Vec<String>,
    #[serde(alias = "typ")]
    r#type: TokenType,
}

/// Whose a token is. Those of another type identify nobody.
#[derive(Clone, Copy, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum TokenType {
    Access,
    Service,
}

/// Before the name of a service stands this where it could be taken for a user's id.
const SERVICE: &str = "service:";

#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Many(Vec<String>),
}

/// A verified caller.
#[derive(Debug)]
pub(crate) struct Identity {
    /// Of a service, with [`SERVICE`] before its name.
    pub(crate) subject: String,
    role: String,
    permissions: Vec<String>,
    /// 0 if the token does not say, so that any revocation voids it.
    issued_at_s: u64,
    headers: Vec<Header>,
}

impl Identity {
    /// The headers by which a function learns who calls.
    pub(crate) fn headers(&self) -> &[Header] {
        &self.headers
    }

    /// Refuses a token that was issued in this second or before.
    pub(crate) fn not_revoked(&self, void_through_s: Option<u64>) -> Result<(), Problem> {
        if void_through_s.is_some_and(|void_through_s| self.issued_at_s <= void_through_s) {
            return Err(Problem::token_invalid("The access token has been revoked."));
        }
        Ok(())
    }
}

/// The token of `Authorization: Bearer <token>`. Another scheme is no token.
fn bearer(headers: &[Header]) -> Result<Option<&[u8]>, Problem> {
    let mut values = headers.iter().filter(|(name, _)| name == "authorization");
    let Some((_, value)) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(Problem::token_invalid("The Authorization header is given more than once."));
    }
    let scheme = value.get(..7).filter(|scheme| scheme.eq_ignore_ascii_case(b"bearer "));
    Ok(scheme.and_then(|scheme| value.get(scheme.len()..)).map(<[u8]>::trim_ascii))
}

/// The identity behind a request; none if it carries no token. Whether it was revoked is to be asked yet.
pub(crate) fn identify(headers: &[Header], key: &Key, auth: &Auth, now_s: u64) -> Result<Option<Identity>, Problem> {
    let Some(token) = bearer(headers)? else { return Ok(None) };
    if token.len() > TOKEN_BYTES {
        return Err(Problem::token_invalid("The access token is too long."));
    }
    // Why a token is not valid is not told: it would only help to forge one.
    let claims = verified(token, key, auth).ok_or(Problem::token_invalid("The access token is not valid."))?;
    let (expires_at_s, not_before_s) = (claims.exp, claims.nbf.unwrap_or_default());
    let identity = identity(claims).ok_or(Problem::token_invalid("The access token is not valid."))?;
    if now_s >= expires_at_s.saturating_add(auth.leeway_s) {
        return Err(Problem::token_invalid("The access token has expired."));
    }
    if not_before_s > now_s.saturating_add(auth.leeway_s) {
        return Err(Problem::token_invalid("The access token is not valid yet."));
    }
    Ok(Some(identity))
}

fn verified(token: &[u8], key: &Key, auth: &Auth) -> Option<Claims> {
    let token = std::str::from_utf8(token).ok()?;
    let (message, signature) = token.rsplit_once('.')?;
    let (header, payload) = message.split_once('.')?;
    let header: TokenHeader = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(header).ok()?).ok()?;
    let is_jwt = header
        .typ
        .as_deref()
        .is_none_or(|typ| ["JWT", "at+jwt", "application/at+jwt"].iter().any(|known| typ.eq_ignore_ascii_case(known)));
    // We know no critical extension (RFC 7515 section 4.1.11).
    if header.alg != key.algorithm() || !is_jwt || header.crit.is_some() {
        return None;
    }
    let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
    if !key.has_signed(message.as_bytes(), &signature) {
        return None;
    }
    let claims: Claims = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).ok()?).ok()?;
    let audience = match &claims.aud {
        Audience::One(audience) => *audience == auth.audience,
        Audience::Many(audiences) => audiences.contains(&auth.audience),
    };
    (claims.iss == auth.issuer && audience).then_some(claims)
}

/// None for claims that cannot be passed on in headers without becoming ambiguous.
fn identity(claims: Claims) -> Option<Identity> {
    let is_service = claims.r#type == TokenType::Service;
    let commas = claims.permissions.iter().any(|permission| permission.contains(','));
    // Nobody is taken for a service.
    let posing = !is_service && claims.sub.starts_with(SERVICE);
    if claims.sub.is_empty() || commas || posing {
        return None;
    }
    let header = |name: &str, value: &str| {
        let plain = value.bytes().all(|byte| byte == b'\t' || (byte >= b' ' && byte != 0x7f));
        plain.then(|| (name.to_owned(), value.as_bytes().to_vec()))
    };
    let permissions = claims.permissions.join(",");
    if is_service {
        if !is_service_name(&claims.sub) {
            return None;
        }
        let headers = vec![header("x-service-id", &claims.sub)?, header("x-service-permissions", &permissions)?];
        let Claims { sub, permissions, iat, .. } = claims;
        let (subject, issued_at_s) = (format!("{SERVICE}{sub}"), iat.unwrap_or_default());
        return Some(Identity { subject, role: String::new(), permissions, issued_at_s, headers });
    }
    let mut headers = vec![
        header("x-user-id", &claims.sub)?,
        header("x-user-role", &claims.role)?,
        header("x-user-permissions", &permissions)?,
    ];
    if let Some(email) = &claims.email {
        headers.push(header("x-user-email", email)?);
    }
    let Claims { sub: subject, role, permissions, iat, .. } = claims;
    Some(Identity { subject, role, permissions, issued_at_s: iat.unwrap_or_default(), headers })
}

/// Words joined by `-`, but for the one that stands for users: as the gateway has it, so that tokens can be voided by name.
fn is_service_name(name: &str) -> bool {
    let is_word = |word: &str| {
        word.starts_with(|first: char| first.is_ascii_alphabetic())
            && word.bytes().all(|byte| byte.is_ascii_alphanumeric())
    };
    name.len() <= MAX_NAME_BYTES && name.split('-').all(is_word) && name != "users"
}

/// Whether a method of the path lets a caller in.
pub(crate) fn authorise(access: &Access, identity: Option<&Identity>) -> Result<(), Problem> {
    if access.public {
        return Ok(());
    }
    let caller = identity.ok_or_else(Problem::token_missing)?;
    match caller.subject.strip_prefix(SERVICE) {
        Some(name) if !access.has_service(name) => {
            return Err(Problem::forbidden("Your service may not use this route."));
        }
        None if !access.users => return Err(Problem::forbidden("This route is for services.")),
        None if !access.roles.is_empty() && !access.roles.contains(&caller.role) => {
            return Err(Problem::forbidden("Your role may not use this route."));
        }
        Some(_) | None => {}
    }
    if !access.permissions.iter().all(|needed| caller.permissions.contains(needed)) {
        return Err(Problem::forbidden("You lack a permission that this route needs."));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
