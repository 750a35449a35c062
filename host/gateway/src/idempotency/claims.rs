//! Which requests under a key are in work: one at a time of each. They are in memory alone, so that after a crash none
//! is in work, and the key can be tried again at once. There are no more than requests in work at all.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use weft_core::answers::Hash;

/// The requests in work.
#[derive(Debug, Default)]
pub(crate) struct Claims(Mutex<HashSet<Hash>>);

/// A request in work, until this is dropped.
#[derive(Debug)]
pub(crate) struct Claim {
    claims: Arc<Claims>,
    request: Hash,
}

impl Claims {
    /// Takes the request into work, unless it is.
    pub fn claim(self: &Arc<Self>, request: Hash) -> Option<Claim> {
        let is_new = self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(request);
        is_new.then(|| Claim { claims: Arc::clone(self), request })
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.claims.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.request);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_at_a_time() {
        let claims = Arc::<Claims>::default();
        let first = claims.claim([1; 32]).unwrap();
        assert!(claims.claim([1; 32]).is_none());
        let second = claims.claim([2; 32]).unwrap();
        drop(first);
        assert!(claims.claim([2; 32]).is_none());
        let again = claims.claim([1; 32]).unwrap();
        drop((second, again));
        assert!(claims.0.lock().unwrap().is_empty());
    }

    #[test]
    fn of_many_threads_one_gets_it() {
        let claims = Arc::<Claims>::default();
        for round in 0..200_u8 {
            let barrier = std::sync::Barrier::new(4);
            let got: Vec<Option<Claim>> = std::thread::scope(|scope| {
                let ask = || {
                    barrier.wait();
                    claims.claim([round; 32])
                };
                let threads: Vec<_> = (0..4).map(|_| scope.spawn(ask)).collect();
                threads.into_iter().map(|thread| thread.join().unwrap()).collect()
            });
            assert_eq!(got.iter().flatten().count(), 1, "{round}");
        }
    }
}
