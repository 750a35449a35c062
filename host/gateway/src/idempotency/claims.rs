//! Which requests under a key are in work: one at a time of each. They are in memory alone, so that after a crash none
//! is in work, and the key can be tried again at once.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use weft_core::answers::Hash;

/// The requests in work.
#[derive(Debug)]
pub(crate) struct Claims {
    held: Mutex<HashSet<Hash>>,
    most: usize,
}

/// A request in work, until this is dropped.
#[derive(Debug)]
pub(crate) struct Claim {
    claims: Arc<Claims>,
    request: Hash,
}

/// Why a request may not be worked on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotClaimed {
    /// It is in work.
    InWork,
    /// So many others are.
    Full,
}

impl Claims {
    pub fn new(most: usize) -> Self {
        Self { held: Mutex::default(), most }
    }

    /// Takes the request into work.
    pub fn claim(self: &Arc<Self>, request: Hash) -> Result<Claim, NotClaimed> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if held.contains(&request) {
            return Err(NotClaimed::InWork);
        }
        if held.len() >= self.most {
            return Err(NotClaimed::Full);
        }
        held.insert(request);
        Ok(Claim { claims: Arc::clone(self), request })
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.claims.held.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.request);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_at_a_time_and_so_many_in_all() {
        let claims = Arc::new(Claims::new(2));
        let first = claims.claim([1; 32]).unwrap();
        assert_eq!(claims.claim([1; 32]).unwrap_err(), NotClaimed::InWork);
        let second = claims.claim([2; 32]).unwrap();
        assert_eq!(claims.claim([3; 32]).unwrap_err(), NotClaimed::Full);
        assert_eq!(claims.claim([2; 32]).unwrap_err(), NotClaimed::InWork);
        drop(first);
        let third = claims.claim([3; 32]).unwrap();
        drop((second, third));
        assert!(claims.held.lock().unwrap().is_empty());
    }

    #[test]
    fn of_many_threads_one_gets_it() {
        let claims = Arc::new(Claims::new(100));
        for round in 0..200_u8 {
            let barrier = std::sync::Barrier::new(4);
            let got: Vec<Option<Claim>> = std::thread::scope(|scope| {
                let ask = || {
                    barrier.wait();
                    claims.claim([round; 32]).ok()
                };
                let threads: Vec<_> = (0..4).map(|_| scope.spawn(ask)).collect();
                threads.into_iter().map(|thread| thread.join().unwrap()).collect()
            });
            assert_eq!(got.iter().flatten().count(), 1, "{round}");
        }
    }
}
