//! Which ordering keys are held by dead letters. While a key is held, its events are set aside; when it is free, those
//! are loaded again, in order, before any later one goes on.

use std::collections::HashMap;
use std::sync::Arc;

#[derive(Debug, Default)]
pub(super) struct Holding {
    /// By key, how many letters hold it. With 0, what was set aside is being loaded.
    letters: HashMap<Arc<str>, usize>,
}

impl Holding {
    pub(super) fn new(held: Vec<(Arc<str>, usize)>) -> Self {
        Self { letters: held.into_iter().collect() }
    }

    /// Whether events of the key are to be set aside.
    pub(super) fn sets_aside(&self, key: &str) -> bool {
        !self.letters.is_empty() && self.letters.contains_key(key)
    }

    /// Whether a letter holds the key.
    pub(super) fn is_held(&self, key: &str) -> bool {
        self.letters.get(key).is_some_and(|letters| *letters > 0)
    }

    /// One more letter holds the key.
    pub(super) fn hold(&mut self, key: Arc<str>) {
        *self.letters.entry(key).or_default() += 1;
    }

    /// One letter less holds the key.
    pub(super) fn let_go(&mut self, key: &str) {
        if let Some(letters) = self.letters.get_mut(key) {
            *letters = letters.saturating_sub(1);
        }
    }

    /// A key that is free and has events set aside.
    pub(super) fn free(&self) -> Option<Arc<str>> {
        self.letters.iter().find(|(_, letters)| **letters == 0).map(|(key, _)| Arc::clone(key))
    }

    /// All that was set aside for the key is in hand.
    pub(super) fn loaded(&mut self, key: &str) {
        if self.letters.get(key) == Some(&0) {
            self.letters.remove(key);
        }
    }
}
