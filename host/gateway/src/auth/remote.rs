//! Key sets that are fetched from where their issuer publishes them. They are fetched again from time to time, and when a
//! token names a key that nobody knows, but not at every such token: anybody can write one. What cannot be fetched or read
//! leaves in place what was fetched before.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use futures::future::BoxFuture;
use weft_core::Clock;
use weft_core::manifest::Located;

use super::KeySet;

/// How old a set may become before it is fetched again.
pub(super) const REFRESH: Duration = Duration::from_hours(1);
/// The shortest time between two attempts, whatever tokens name.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// Fetches the text behind a URL, by the host's rules for what it asks for over networks. Bounds time and size.
pub trait FetchKeys: Send + Sync + 'static {
    /// The text, or why there is none.
    fn fetch<'a>(&'a self, url: &'a str) -> BoxFuture<'a, Result<String, String>>;
}

/// Where key sets are published.
#[derive(Clone)]
pub struct RemoteKeys {
    /// The URLs, with their lines in the manifest.
    pub urls: Vec<Located<Arc<str>>>,
    /// What fetches them.
    pub fetch: Arc<dyn FetchKeys>,
}

impl fmt::Debug for RemoteKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteKeys").field("urls", &self.urls).finish_non_exhaustive()
    }
}

/// The sets as they were fetched last. Those who look at tokens one after the other share them, for what was fetched is not to be lost
/// because something else has changed.
#[derive(Debug)]
pub(super) struct Remote {
    keys: RemoteKeys,
    /// All of the sets.
    fetched: ArcSwap<KeySet>,
    /// One attempt at a time; others wait for what comes of it.
    last: tokio::sync::Mutex<Last>,
}

#[derive(Debug, Default)]
struct Last {
    /// On the clock's monotonic time.
    tried: Option<Duration>,
    /// By URL: the text, and the keys in it.
    sets: Vec<Option<(String, KeySet)>>,
}

impl Remote {
    pub fn new(keys: RemoteKeys) -> Self {
        let sets = keys.urls.iter().map(|_| None).collect();
        let last = tokio::sync::Mutex::new(Last { tried: None, sets });
        Self { keys, fetched: ArcSwap::default(), last }
    }

    /// Whether these are the places that it asks.
    pub fn asks(&self, keys: &RemoteKeys) -> bool {
        let urls = |keys: &RemoteKeys| keys.urls.iter().map(|url| Arc::clone(&url.value)).collect::<Vec<_>>();
        urls(&self.keys) == urls(keys)
    }

    /// The keys of all sets; another one once a set has changed.
    pub fn fetched(&self) -> Arc<KeySet> {
        self.fetched.load_full()
    }

    /// Fetches all sets, unless that was tried less than `age` ago.
    pub async fn refresh(&self, clock: &dyn Clock, age: Duration) {
        let mut last = self.last.lock().await;
        if last.tried.is_some_and(|tried| clock.monotonic() < tried + age) {
            return;
        }
        last.tried = Some(clock.monotonic());
        let mut has_changed = false;
        for (url, set) in self.keys.urls.iter().zip(&mut last.sets) {
            match self.fetch(url).await {
                Ok((text, _)) if set.as_ref().is_some_and(|(known, _)| *known == text) => {}
                Ok(fetched) => {
                    tracing::info!(url = &*url.value, "took new keys for tokens");
                    *set = Some(fetched);
                    has_changed = true;
                }
                Err(error) => {
                    tracing::error!(
                        url = &*url.value,
                        line = url.line,
                        error,
                        "keys for tokens cannot be fetched; those of before stay"
                    );
                }
            }
        }
        if has_changed {
            let sets = last.sets.iter().flatten().map(|(_, keys)| keys);
            self.fetched.store(Arc::new(KeySet::default().with(sets)));
        }
    }

    async fn fetch(&self, url: &str) -> Result<(String, KeySet), String> {
        let text = self.keys.fetch.fetch(url).await?;
        let mut keys = KeySet::default();
        keys.add_jwks(&text).map_err(|error| error.to_string())?;
        Ok((text, keys))
    }
}
