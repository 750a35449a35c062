//! Requests that are repeated under an `Idempotency-Key` (draft-ietf-httpapi-idempotency-key-header-07): what a key is,
//! whose it is, what a repetition has to have in common with the first request, and which are in work. The order of it
//! all is `stack::idempotent`; keeping answers belongs to whoever implements [`Answers`].

mod claims;
mod digest;
mod key;
mod replay;

use std::sync::Arc;

use tokio_util::task::TaskTracker;
use weft_core::answers::Answers;

pub(crate) use claims::{Claim, Claims};
pub(crate) use digest::{BodyDigest, Fingerprint};
pub(crate) use key::{Asked, asked};
pub(crate) use replay::{is_kept, is_whole, kept, replayed};

/// What requests under a key share.
#[derive(Debug)]
pub(crate) struct Idempotency {
    pub answers: Arc<dyn Answers>,
    pub claims: Arc<Claims>,
    /// Requests in work, which may have lost their clients.
    pub in_work: TaskTracker,
}

impl Idempotency {
    pub fn new(answers: Arc<dyn Answers>) -> Self {
        Self { answers, claims: Arc::default(), in_work: TaskTracker::new() }
    }
}
