//! What the operations of the identity context share: how accounts and sessions stand in its database and
//! what is appended of them. Rules are the domain's; each operation decides what it commits.

pub mod attempts;
pub mod facts;
pub mod profile;
pub mod sessions;
pub mod voiding;

use identity_domain::Invalid;
use weft_guest::clock;
use weft_guest::http::Problem;

/// 422 for a field that the domain refuses.
pub fn invalid(invalid: Invalid) -> Problem {
    Problem::invalid(invalid.field, invalid.reason)
}

/// Milliseconds since the Unix epoch, as the database holds them.
pub fn now_ms() -> i64 {
    i64::try_from(clock::now_ms()).unwrap_or(i64::MAX)
}
