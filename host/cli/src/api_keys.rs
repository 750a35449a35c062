//! The API keys of an application: made, kept, ended. They are in the embedded key-value store under a label that no
//! component can be granted, by the SHA-256 of each key, and all of them in memory, where the gateway looks for them.
//! What a key is worth is up to the gateway.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;

use weft_capability::kv::{self, MAX_BATCH, Store};
use weft_core::id::{hex, new_id};
use weft_gateway::{ApiKey, ApiKeys, Identity, api_key_hash, is_service};

use crate::random;

/// Where they are kept. No label of a manifest has an `@`.
const LABEL: &str = "weft@api-keys";
/// By this secret scanners know a key.
const PREFIX: &str = "weft_";
/// A key is as hard to guess as its hash.
const KEY_BYTES: usize = 32;
/// Characters by which people tell keys apart, the prefix included.
const SHOWN: usize = 9;
/// All of them are in memory, about half a KiB each.
const MAX_KEYS: usize = 100_000;
/// The longest text of a key, in bytes.
const MAX_TEXT_BYTES: usize = 256;
/// Permissions of one key.
const MAX_PERMISSIONS: usize = 100;

/// What is known of a key, and is no secret.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
pub struct ApiKeyEntry {
    /// Names it.
    pub id: String,
    /// What it is for, in its maker's words.
    pub name: String,
    /// How the key begins.
    pub start: String,
    /// Who calls by it.
    pub owner: String,
    /// The caller's role; may be empty.
    pub role: String,
    /// The caller's permissions.
    pub permissions: Vec<String>,
    /// Whose rate limits hold; those of the manifest's `default_tier` without it.
    pub tier: Option<String>,
    /// The caller's tenant.
    pub tenant: Option<String>,
    /// In milliseconds since the Unix epoch.
    pub created_ms: u64,
    /// When it ends, in milliseconds since the Unix epoch; never without it.
    pub expires_ms: Option<u64>,
}

/// A key that cannot be made, found or kept.
#[derive(Debug, thiserror::Error)]
pub enum ApiKeyError {
    /// It makes no sense.
    #[error("{0}")]
    Invalid(String),
    /// There are so many already.
    #[error("there are {MAX_KEYS} API keys already; revoke some first")]
    TooMany,
    /// There is no such key.
    #[error("there is no API key {0:?}")]
    Unknown(String),
    /// No random bytes.
    #[error("the system has no random bytes: {0}")]
    Random(#[from] std::io::Error),
    /// They cannot be read or written.
    #[error("the API keys cannot be kept: {0}")]
    Store(#[from] kv::Error),
}

/// The API keys there are.
pub struct Keyring {
    store: Arc<dyn Store>,
    known: RwLock<HashMap<[u8; 32], Known>>,
    /// One change after the other.
    changing: Mutex<()>,
}

#[derive(Clone)]
struct Known {
    identity: Arc<Identity>,
    entry: ApiKeyEntry,
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keyring").finish_non_exhaustive()
    }
}

impl Keyring {
    /// Reads all keys.
    ///
    /// # Errors
    /// If they cannot be read, or are none.
    pub async fn open(store: Arc<dyn Store>) -> anyhow::Result<Self> {
        let mut known = HashMap::new();
        let mut after: Option<String> = None;
        loop {
            let names = store.list_keys(LABEL, "", after.as_deref(), MAX_BATCH).await?;
            after = names.last().cloned();
            let is_last = names.len() < MAX_BATCH;
            let values = store.get_many(LABEL, names.clone()).await?;
            for (name, value) in names.iter().zip(values) {
                let Some(value) = value else { continue };
                let damaged = || anyhow::anyhow!("the API key kept as {name} is damaged");
                let (hash, entry) = read(name, &value.value).ok_or_else(damaged)?;
                // Nobody can have such a key, but could before services had tokens.
                if is_service(&entry.owner) {
                    tracing::warn!(key = entry.id, "an API key is not taken: its owner would be taken for a service");
                    continue;
                }
                let identity = Arc::new(identity(&entry).ok_or_else(damaged)?);
                known.insert(hash, Known { identity, entry });
            }
            if is_last {
                break;
            }
        }
        Ok(Self { store, known: RwLock::new(known), changing: Mutex::default() })
    }

    /// All keys, oldest first.
    #[must_use]
    pub fn list(&self) -> Vec<ApiKeyEntry> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let mut entries: Vec<_> = known.values().map(|one| one.entry.clone()).collect();
        entries.sort_by(|a, b| (a.created_ms, &a.id).cmp(&(b.created_ms, &b.id)));
        entries
    }

    /// Makes a key of what `wanted` says but for its id, start and time; answers it with the key itself, which nobody
    /// can be told again. It is kept, and good, when this answers.
    ///
    /// # Errors
    /// If it makes no sense or cannot be kept.
    pub async fn create(&self, wanted: ApiKeyEntry, now_ms: u64) -> Result<(ApiKeyEntry, String), ApiKeyError> {
        check(&wanted, now_ms)?;
        let secret = random::bytes::<KEY_BYTES>()?;
        let key = format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(secret));
        let start = key.chars().take(SHOWN).collect();
        let entry = ApiKeyEntry { id: new_id(), start, created_ms: now_ms, ..wanted };
        let invalid = || ApiKeyError::Invalid("owner, role or a permission cannot stand in a header".to_owned());
        let identity = Arc::new(identity(&entry).ok_or_else(invalid)?);
        let hash = api_key_hash(key.as_bytes());
        let _one_at_a_time = self.changing.lock().await;
        if self.known.read().unwrap_or_else(PoisonError::into_inner).len() >= MAX_KEYS {
            return Err(ApiKeyError::TooMany);
        }
        // Texts, numbers and lists of texts always serialise.
        let value = serde_json::to_vec(&entry).unwrap_or_default();
        self.store.set(LABEL, &hex(&hash), value.into(), None).await?;
        let one = Known { identity, entry: entry.clone() };
        self.known.write().unwrap_or_else(PoisonError::into_inner).insert(hash, one);
        Ok((entry, key))
    }

    /// Ends a key, by its id. No request that begins after this has answered is taken with it, whatever becomes of the
    /// machine.
    ///
    /// # Errors
    /// If there is no such key, or it cannot be taken out; it is good still then.
    pub async fn revoke(&self, id: &str) -> Result<ApiKeyEntry, ApiKeyError> {
        let _one_at_a_time = self.changing.lock().await;
        let found = {
            let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
            known.iter().find(|(_, one)| one.entry.id == id).map(|(hash, one)| (*hash, one.entry.clone()))
        };
        let (hash, entry) = found.ok_or_else(|| ApiKeyError::Unknown(id.to_owned()))?;
        self.store.delete(LABEL, &hex(&hash)).await?;
        self.known.write().unwrap_or_else(PoisonError::into_inner).remove(&hash);
        Ok(entry)
    }
}

impl ApiKeys for Keyring {
    fn find(&self, hash: &[u8; 32]) -> Option<Arc<Identity>> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known.get(hash).map(|one| Arc::clone(&one.identity))
    }
}

fn read(name: &str, value: &[u8]) -> Option<([u8; 32], ApiKeyEntry)> {
    let entry = serde_json::from_slice(value).ok()?;
    let digits = name.as_bytes().chunks_exact(2).map(|two| u8::from_str_radix(std::str::from_utf8(two).ok()?, 16).ok());
    let hash = digits.collect::<Option<Vec<u8>>>()?.try_into().ok()?;
    Some((hash, entry))
}

fn identity(entry: &ApiKeyEntry) -> Option<Identity> {
    Identity::of_api_key(ApiKey {
        id: entry.id.as_str().into(),
        owner: entry.owner.as_str().into(),
        role: entry.role.clone(),
        permissions: entry.permissions.clone(),
        tier: entry.tier.as_deref().map(Arc::from),
        tenant: entry.tenant.as_deref().map(Arc::from),
        // It ends with the second in which it shall.
        expires_at_s: entry.expires_ms.map(|ms| ms.div_ceil(1000)),
    })
}

fn check(wanted: &ApiKeyEntry, now_ms: u64) -> Result<(), ApiKeyError> {
    let invalid = |text: String| Err(ApiKeyError::Invalid(text));
    if wanted.owner.is_empty() {
        return invalid("the owner is empty: say whose key it is".to_owned());
    }
    if is_service(&wanted.owner) {
        return invalid("the owner is a user: a service calls by tokens of its own (weft service-tokens)".to_owned());
    }
    if wanted.permissions.len() > MAX_PERMISSIONS {
        return invalid(format!("a key has at most {MAX_PERMISSIONS} permissions"));
    }
    let texts = [&wanted.name, &wanted.owner, &wanted.role].into_iter().chain(&wanted.permissions);
    for text in texts.chain(&wanted.tier).chain(&wanted.tenant) {
        if text.len() > MAX_TEXT_BYTES || text.chars().any(char::is_control) {
            return invalid(format!("{text:?} has more than {MAX_TEXT_BYTES} bytes or control characters"));
        }
    }
    if let Some(permission) = wanted.permissions.iter().find(|text| text.is_empty() || text.contains(',')) {
        return invalid(format!("the permission {permission:?} is empty or has a comma"));
    }
    if wanted.expires_ms.is_some_and(|end| end <= now_ms) {
        return invalid("the key would have ended before it began".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use weft_capability::kv::embedded::Embedded;
    use weft_core::clock::ManualClock;

    use super::*;

    fn store(folder: &std::path::Path) -> Arc<dyn Store> {
        Arc::new(Embedded::open(&folder.join("kv.db"), Arc::new(ManualClock::at_ms(1_000))).unwrap())
    }

    fn wanted(owner: &str) -> ApiKeyEntry {
        let permissions = vec!["courses:read".to_owned()];
        ApiKeyEntry { owner: owner.to_owned(), name: "ci".to_owned(), permissions, ..ApiKeyEntry::default() }
    }

    fn found(keyring: &Keyring, key: &str) -> Option<String> {
        keyring.find(&api_key_hash(key.as_bytes())).map(|identity| identity.subject().to_owned())
    }

    #[tokio::test]
    async fn a_key_is_good_until_it_is_revoked_also_after_a_start() {
        let folder = tempfile::tempdir().unwrap();
        let keyring = Keyring::open(store(folder.path())).await.unwrap();
        let (entry, key) = keyring.create(wanted("ada"), 1_000).await.unwrap();
        let (_, other) = keyring.create(wanted("bob"), 2_000).await.unwrap();
        assert!(key.starts_with("weft_") && key.starts_with(&entry.start) && key.len() == 48, "{key}");
        assert_eq!(found(&keyring, &key).as_deref(), Some("ada"));
        assert_eq!(found(&keyring, &other).as_deref(), Some("bob"));
        drop(keyring);
        let keyring = Keyring::open(store(folder.path())).await.unwrap();
        let owners: Vec<_> = keyring.list().into_iter().map(|entry| entry.owner).collect();
        assert_eq!(owners, ["ada", "bob"]);
        assert_eq!(found(&keyring, &key).as_deref(), Some("ada"));
        assert_eq!(keyring.revoke(&entry.id).await.unwrap(), entry);
        assert_eq!(found(&keyring, &key), None);
        assert!(matches!(keyring.revoke(&entry.id).await, Err(ApiKeyError::Unknown(_))));
        drop(keyring);
        let keyring = Keyring::open(store(folder.path())).await.unwrap();
        assert_eq!((found(&keyring, &key), keyring.list().len()), (None, 1));
    }

    #[tokio::test]
    async fn what_is_kept_is_no_key() {
        let folder = tempfile::tempdir().unwrap();
        let keyring = Keyring::open(store(folder.path())).await.unwrap();
        let (_, key) = keyring.create(wanted("ada"), 1_000).await.unwrap();
        let secret = key.get(SHOWN..).unwrap().as_bytes();
        for entry in std::fs::read_dir(folder.path()).unwrap() {
            let bytes = std::fs::read(entry.unwrap().path()).unwrap();
            assert!(!bytes.windows(secret.len()).any(|window| window == secret));
        }
    }

    #[tokio::test]
    async fn a_key_that_makes_no_sense_is_not_made() {
        let folder = tempfile::tempdir().unwrap();
        let keyring = Keyring::open(store(folder.path())).await.unwrap();
        let permission = |text: &str| ApiKeyEntry { permissions: vec![text.to_owned()], ..wanted("ada") };
        for (entry, why) in [
            (wanted(""), "the owner is empty"),
            (permission("a,b"), "comma"),
            (permission(""), "empty"),
            (wanted("a\nb"), "control characters"),
            (wanted(&"x".repeat(MAX_TEXT_BYTES + 1)), "bytes"),
            (ApiKeyEntry { expires_ms: Some(5_000), ..wanted("ada") }, "ended before it began"),
        ] {
            let error = keyring.create(entry, 5_000).await.unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
        assert!(keyring.list().is_empty());
    }
}
