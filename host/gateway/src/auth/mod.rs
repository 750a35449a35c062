//! Access tokens (JWT, RFC 7519 and the advice of RFC 8725): from an `Authorization` header to an [`Identity`]; and API
//! keys in their place. Who may do what with it is the route's business, and issuing tokens the identity functions'.
//!
//! A token must be signed by one of our keys with that key's own algorithm (EdDSA or RS256), and carry our issuer and
//! audience, a subject, an expiry, and `type` (or `typ`) `access`, or `service` for a service. Whatever a token's header says about where to find
//! a key (`jku`, `jwk`, `x5u`, `x5c`) is ignored. Times are whole seconds.

pub(crate) mod api_key;
mod cache;
mod identity;
mod keys;
pub(crate) mod policies;
mod remote;
mod settings;

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use jsonwebtoken::{Algorithm, Validation, decode, decode_header};
use sha2::{Digest as _, Sha256};
use weft_core::Clock;

use crate::problem::Problem;
pub(crate) use api_key::API_KEY;
pub use api_key::{ApiKey, ApiKeys, api_key_hash};
use cache::{TokenCache, TokenHash};
use identity::Claims;
pub use identity::{ClaimNames, Identity, is_service, service_subject};
pub use keys::{KeyError, KeySet};
pub use policies::Policies;
use remote::Remote;
pub use remote::{FetchKeys, RemoteKeys};
pub use settings::{AuthError, AuthSettings};

/// Longest token, in bytes.
pub const TOKEN_BYTES: usize = 8 * 1024;

/// Which tokens are void although they are genuine. Asked with every request, so it must answer from memory.
pub trait Revocations: Send + Sync + 'static {
    /// Tokens of `subject` issued in this second (since the Unix epoch) or before are void. `iat` counts whole seconds,
    /// so a token issued later within that second is void as well, rather than an older one valid.
    fn not_before(&self, subject: &str) -> Option<u64>;
}

/// Why a route stays closed.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// What is shown is not valid, or not enough.
    Invalid(Problem),
    /// It is, but policies do not let its holder in: which, for those who read logs alone.
    Denied(String),
    /// It names a key that nobody knows, but that may have been published since.
    UnknownKey(Problem),
}

impl From<Problem> for Refusal {
    fn from(problem: Problem) -> Self {
        Self::Invalid(problem)
    }
}

/// A caller who was verified, with what it takes to look again later.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    pub identity: Arc<Identity>,
    /// The hash of the API key, if it was one.
    pub api_key: Option<[u8; 32]>,
}

/// Verifies tokens.
#[derive(Debug)]
pub(crate) struct Authenticator {
    settings: AuthSettings,
    keys: ArcSwap<Keys>,
    remote: Option<Arc<Remote>>,
    eddsa: Validation,
    rs256: Validation,
    cache: TokenCache,
}

/// The keys that verify.
#[derive(Debug)]
struct Keys {
    own: KeySet,
    fetched: Option<Arc<KeySet>>,
    /// All of them.
    all: KeySet,
}

impl Keys {
    fn of(own: KeySet, remote: Option<&Arc<Remote>>) -> Self {
        let fetched = remote.map(|remote| remote.fetched());
        Self { all: own.clone().with(fetched.as_deref()), own, fetched }
    }

    fn has_fetched(&self, keys: &Arc<KeySet>) -> bool {
        self.fetched.as_ref().is_some_and(|fetched| Arc::ptr_eq(fetched, keys))
    }
}

impl Authenticator {
    /// Takes over what the one `before` has fetched, if it asked the same places.
    pub fn new(settings: AuthSettings, before: Option<&Self>) -> Self {
        let validation = |algorithm| {
            let mut validation = Validation::new(algorithm);
            validation.set_issuer(&[&settings.issuer]);
            validation.set_audience(&[&settings.audience]);
            validation.set_required_spec_claims(&["iss", "aud", "sub", "exp"]);
            // Times are checked below, on the host's clock.
            (validation.validate_exp, validation.validate_nbf) = (false, false);
            validation
        };
        let (eddsa, rs256) = (validation(Algorithm::EdDSA), validation(Algorithm::RS256));
        let known = before.and_then(|before| before.remote.as_ref());
        let remote = settings.remote.clone().map(|keys| match known.filter(|known| known.asks(&keys)) {
            Some(known) => Arc::clone(known),
            None => Arc::new(Remote::new(keys)),
        });
        let keys = ArcSwap::from_pointee(Keys::of(settings.keys.clone(), remote.as_ref()));
        Self { settings, keys, remote, eddsa, rs256, cache: TokenCache::default() }
    }

    /// Keeps the keys that are fetched fresh; never ends.
    pub async fn keep_keys_fresh(&self, clock: &dyn Clock) {
        if self.remote.is_none() {
            return std::future::pending().await;
        }
        loop {
            self.refresh(clock, remote::REFRESH).await;
            clock.sleep(remote::REFRESH).await;
        }
    }

    /// Fetches the keys, because a token names one that nobody knows.
    pub async fn look_for_keys(&self, clock: &dyn Clock) {
        self.refresh(clock, remote::PATIENCE).await;
    }

    async fn refresh(&self, clock: &dyn Clock, age: Duration) {
        let Some(remote) = &self.remote else { return };
        remote.refresh(clock, age).await;
        if !self.keys.load().has_fetched(&remote.fetched()) {
            self.replace_keys(|keys| keys.own.clone());
        }
    }

    /// Verifies by these keys, and by what is fetched, from now on; says whether they are others than before.
    pub fn set_keys(&self, own: &KeySet) -> bool {
        let is_other = self.keys.load().own != *own;
        if is_other {
            self.replace_keys(|_| own.clone());
        }
        is_other
    }

    fn replace_keys(&self, own: impl Fn(&Keys) -> KeySet) {
        self.keys.rcu(|keys| Keys::of(own(keys), self.remote.as_ref()));
        // A key that was taken away must not live on in tokens that it has signed.
        self.cache.clear();
    }

    /// Whether callers may show API keys, which are then nobody else's business.
    pub fn takes_api_keys(&self) -> bool {
        self.settings.api_keys.is_some()
    }

    /// What is asked of callers where routes say so.
    pub fn policies(&self) -> &Policies {
        &self.settings.policies
    }

    /// Whether it is logged as well who was let in.
    pub fn audits_allowed(&self) -> bool {
        self.settings.audit_allowed
    }

    /// The identity behind a request; `None` if it carries neither a token nor a key.
    ///
    /// # Errors
    /// A token or a key that is not valid now, as far as is known: 401. 400 for both at once, as RFC 6750 section 3.1 has
    /// it for several ways to show a token: which of two callers it is would be a guess.
    pub fn identify(&self, headers: &HeaderMap, now_ms: u64) -> Result<Option<Arc<Identity>>, Refusal> {
        let token = bearer_token(headers)?;
        match &self.settings.api_keys {
            Some(_) if token.is_some() && headers.contains_key(API_KEY) => Err(Problem::two_credentials().into()),
            Some(keys) if token.is_none() => Ok(api_key::identify(&**keys, headers, now_ms / 1000)?),
            _ => token.map(|token| self.identify_token(token, now_ms)).transpose(),
        }
    }

    /// Who calls, as far as that is known without looking at a signature: by a token that was verified before, or by an API key, which
    /// are valid still. What it says decides how much a request matters, and lets nobody in.
    pub fn peek(&self, headers: &HeaderMap, now_ms: u64) -> Option<Arc<Identity>> {
        let token = bearer_token(headers).ok()?;
        match (&self.settings.api_keys, token) {
            (Some(_), Some(_)) if headers.contains_key(API_KEY) => None,
            (_, Some(token)) if token.len() <= TOKEN_BYTES => {
                let known = self.cache.get(&Sha256::digest(token).into())?;
                self.check_time(&known, now_ms / 1000).is_ok().then_some(known)
            }
            (Some(keys), None) => api_key::identify(&**keys, headers, now_ms / 1000).ok().flatten(),
            (_, Some(_)) | (None, None) => None,
        }
    }

    /// Whether a caller who was verified before would be now.
    pub fn is_valid(&self, caller: &Caller, now_ms: u64) -> bool {
        let now_s = now_ms / 1000;
        match (caller.api_key, &self.settings.api_keys) {
            (Some(hash), Some(keys)) => keys.find(&hash).is_some_and(|known| now_s < known.expires_at_s()),
            (Some(_), None) => false,
            (None, _) => self.check_time(&caller.identity, now_s).is_ok(),
        }
    }

    /// The second since the Unix epoch from which on a caller is not valid any more, if that is known.
    pub fn ends_at_s(&self, identity: &Identity) -> Option<u64> {
        let leeway_s = if identity.api_key().is_some() { 0 } else { self.settings.leeway_s };
        Some(identity.expires_at_s().saturating_add(leeway_s)).filter(|end| *end < u64::MAX)
    }

    fn identify_token(&self, token: &[u8], now_ms: u64) -> Result<Arc<Identity>, Refusal> {
        if token.len() > TOKEN_BYTES {
            return Err(Problem::token_invalid("The access token is too long.").into());
        }
        let hash: TokenHash = Sha256::digest(token).into();
        let identity = match self.cache.get(&hash) {
            Some(identity) => identity,
            None => {
                let keys = self.keys.load_full();
                let identity = Arc::new(self.verify(token, &keys.all)?);
                self.cache.insert(hash, Arc::clone(&identity));
                if !Arc::ptr_eq(&keys, &*self.keys.load()) {
                    // The keys have changed meanwhile, and with them what may be remembered.
                    self.cache.clear();
                }
                identity
            }
        };
        // A token verified before may have expired or been revoked since.
        self.check_time(&identity, now_ms / 1000)?;
        Ok(identity)
    }

    /// Why a token is not valid is not told: it would only help to forge one.
    fn verify(&self, token: &[u8], keys: &KeySet) -> Result<Identity, Refusal> {
        let invalid = || Problem::token_invalid("The access token is not valid.");
        let header = decode_header(token).map_err(|_| invalid())?;
        let validation = match header.alg {
            Algorithm::EdDSA => &self.eddsa,
            Algorithm::RS256 => &self.rs256,
            _ => return Err(invalid().into()),
        };
        let is_jwt = header.typ.as_deref().is_none_or(|typ| {
            ["JWT", "at+jwt", "application/at+jwt"].iter().any(|known| typ.eq_ignore_ascii_case(known))
        });
        // We know no critical extension (RFC 7515 section 4.1.11).
        if !is_jwt || header.crit.is_some() {
            return Err(invalid().into());
        }
        let mut candidates = keys.candidates(header.alg, header.kid.as_deref()).peekable();
        if candidates.peek().is_none() && self.remote.is_some() {
            return Err(Refusal::UnknownKey(invalid()));
        }
        let claims = candidates.find_map(|key| decode(token, &key.decoding, validation).ok());
        let claims: Claims = claims.ok_or_else(invalid)?.claims;
        Identity::from_claims(claims, &self.settings.claims).ok_or_else(|| invalid().into())
    }

    fn check_time(&self, identity: &Identity, now_s: u64) -> Result<(), Problem> {
        let leeway_s = self.settings.leeway_s;
        if now_s >= identity.expires_at_s().saturating_add(leeway_s) {
            return Err(Problem::token_invalid("The access token has expired."));
        }
        if identity.not_before_s() > now_s.saturating_add(leeway_s) {
            return Err(Problem::token_invalid("The access token is not valid yet."));
        }
        let revoked = self.settings.revocations.as_ref().and_then(|list| list.not_before(identity.subject()));
        if revoked.is_some_and(|not_before| identity.issued_at_s() <= not_before) {
            return Err(Problem::token_invalid("The access token has been revoked."));
        }
        Ok(())
    }
}

/// The token of `Authorization: Bearer <token>`. Another scheme is no token.
fn bearer_token(headers: &HeaderMap) -> Result<Option<&[u8]>, Problem> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(Problem::token_invalid("The Authorization header is given more than once."));
    }
    let bytes = value.as_bytes();
    let scheme = bytes.get(..7).filter(|scheme| scheme.eq_ignore_ascii_case(b"bearer "));
    Ok(scheme.and_then(|scheme| bytes.get(scheme.len()..)).map(<[u8]>::trim_ascii))
}
