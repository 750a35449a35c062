//! Tokens that were verified before, so that a signature is checked once and not with every request. Bounded: of two
//! generations the older is forgotten when the younger is full.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::Identity;

/// SHA-256 of a token: the token itself is not kept.
pub(super) type TokenHash = [u8; 32];

/// Tokens of one generation; two are kept.
const GENERATION: usize = 8192;

#[derive(Debug, Default)]
pub(super) struct TokenCache {
    generations: Mutex<Generations>,
}

#[derive(Debug, Default)]
struct Generations {
    young: HashMap<TokenHash, Arc<Identity>>,
    old: HashMap<TokenHash, Arc<Identity>>,
}

impl TokenCache {
    pub fn get(&self, hash: &TokenHash) -> Option<Arc<Identity>> {
        let mut generations = self.generations.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(identity) = generations.young.get(hash) {
            return Some(Arc::clone(identity));
        }
        let identity = generations.old.remove(hash)?;
        generations.insert(*hash, Arc::clone(&identity));
        Some(identity)
    }

    /// Forgets all.
    pub fn clear(&self) {
        *self.generations.lock().unwrap_or_else(PoisonError::into_inner) = Generations::default();
    }

    pub fn insert(&self, hash: TokenHash, identity: Arc<Identity>) {
        self.generations.lock().unwrap_or_else(PoisonError::into_inner).insert(hash, identity);
    }
}

impl Generations {
    fn insert(&mut self, hash: TokenHash, identity: Arc<Identity>) {
        if self.young.len() >= GENERATION {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(hash, identity);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(number: usize) -> TokenHash {
        let mut hash = [0; 32];
        hash[..8].copy_from_slice(&number.to_le_bytes());
        hash
    }

    #[test]
    fn stays_bounded_and_keeps_what_is_used() {
        let cache = TokenCache::default();
        let identity = Arc::new(Identity::for_tests("u1"));
        for number in 0..5 * GENERATION {
            cache.insert(hash(number), Arc::clone(&identity));
            assert!(cache.get(&hash(0)).is_some(), "used all the time, forgotten at {number}");
        }
        let generations = cache.generations.lock().unwrap();
        assert!(generations.young.len() <= GENERATION && generations.old.len() <= GENERATION);
        drop(generations);
        assert!(cache.get(&hash(1)).is_none());
    }
}
