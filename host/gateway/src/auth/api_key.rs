//! API keys: what a caller shows in `X-API-Key` in place of a token. Making them, keeping them and ending them belongs
//! to whoever implements [`ApiKeys`].
//!
//! A key is 256 random bits, so that it is found by its SHA-256: nobody can guess one whatever the speed of the hash, and
//! a slow hash with salt, as passwords need it, would only cost time with each request. How long the search for a hash
//! takes tells nothing of a key, since nobody can choose the hash of what they send.

use std::sync::Arc;

use http::{HeaderMap, HeaderName};
use sha2::{Digest as _, Sha256};

use super::identity::Identity;
use crate::problem::Problem;

/// Where a key stands in a request.
pub(crate) const API_KEY: HeaderName = HeaderName::from_static("x-api-key");
/// Longest key, in bytes.
const KEY_BYTES: usize = 128;

/// What an API key stands for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ApiKey {
    /// Names the key, and is no secret.
    pub id: Arc<str>,
    /// Who calls by it, as the `sub` claim of a token.
    pub owner: Arc<str>,
    /// As the `role` claim; may be empty.
    pub role: String,
    /// As the `permissions` claim.
    pub permissions: Vec<String>,
    /// Whose rate limits hold.
    pub tier: Option<Arc<str>>,
    /// As the tenant's claim.
    pub tenant: Option<Arc<str>>,
    /// The second since the Unix epoch at which it ends.
    pub expires_at_s: Option<u64>,
}

/// The API keys there are. Asked with every request that shows one, so it must answer from memory.
pub trait ApiKeys: Send + Sync + 'static {
    /// The caller behind the key of this SHA-256; `None` if there is no such key, or none any more.
    fn find(&self, hash: &[u8; 32]) -> Option<Arc<Identity>>;
}

/// The hash by which a key is found.
#[must_use]
pub fn api_key_hash(key: &[u8]) -> [u8; 32] {
    Sha256::digest(key).into()
}

/// The hash of the key that a request shows, if it shows one.
pub(crate) fn shown(headers: &HeaderMap) -> Option<[u8; 32]> {
    headers.get(API_KEY).map(|key| api_key_hash(key.as_bytes()))
}

/// The caller behind the key of a request; `None` if it shows none.
///
/// # Errors
/// 401 for a key that is not valid now. Why it is not is not told.
pub(super) fn identify(keys: &dyn ApiKeys, headers: &HeaderMap, now_s: u64) -> Result<Option<Arc<Identity>>, Problem> {
    let mut values = headers.get_all(API_KEY).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(Problem::api_key_invalid("The X-API-Key header is given more than once."));
    }
    let found = (value.len() <= KEY_BYTES).then(|| keys.find(&api_key_hash(value.as_bytes()))).flatten();
    let found = found.filter(|identity| now_s < identity.expires_at_s());
    found.map(Some).ok_or_else(|| Problem::api_key_invalid("The API key is not valid."))
}
