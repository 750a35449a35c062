//! Answers that are kept for requests which are repeated under their key: the trait that joins the gateway, which knows
//! what a repetition is, with the backend that keeps them.

use std::fmt::Debug;
use std::time::Duration;

use futures::future::BoxFuture;

use crate::Failure;

/// SHA-256 of what it stands for.
pub type Hash = [u8; 32];

/// Under what an answer is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AnswerKey {
    /// Whose it is: what one owner keeps is bounded.
    pub owner: Hash,
    /// Which request it is, its owner included.
    pub request: Hash,
}

/// What a request was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptAnswer {
    /// What has to be the same in a repetition.
    pub fingerprint: Hash,
    /// The status.
    pub status: u16,
    /// Header lines, in their order.
    pub headers: Vec<(String, Vec<u8>)>,
    /// The body.
    pub body: Vec<u8>,
}

impl KeptAnswer {
    /// How much it counts, in bytes: names and values of headers, and the body.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        let headers: usize = self.headers.iter().map(|(name, value)| name.len() + value.len()).sum();
        u64::try_from(headers + self.body.len()).unwrap_or(u64::MAX)
    }
}

/// How much is kept, and how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AnswerBounds {
    /// How long an answer is kept.
    pub time: Duration,
    /// Answers of all owners.
    pub answers: u64,
    /// Bytes of all answers.
    pub bytes: u64,
    /// Answers of one owner.
    pub answers_of_owner: u64,
    /// Bytes of one owner's answers.
    pub bytes_of_owner: u64,
}

/// Kept answers.
///
/// The contract, kept by every backend:
/// * An answer that [`Answers::keep`] has acknowledged is durable, and found until its time is over; of two under one key,
///   the later.
/// * It is gone before that if its owner, or all owners together, come to have more than the bounds say: then the oldest
///   go, the owner's own first. One that is larger than the bounds by itself is not kept.
/// * From the millisecond at which it ends it is not found any more; its space is given back with later writes.
pub trait Answers: Debug + Send + Sync + 'static {
    /// The answer under this key, if one is kept.
    ///
    /// # Errors
    /// If that cannot be known.
    fn find(&self, key: AnswerKey) -> BoxFuture<'_, Result<Option<KeptAnswer>, Failure>>;

    /// Keeps an answer within these bounds.
    ///
    /// # Errors
    /// If it is not kept, or nobody knows whether it is.
    fn keep(&self, key: AnswerKey, answer: KeptAnswer, bounds: AnswerBounds) -> BoxFuture<'_, Result<(), Failure>>;
}
