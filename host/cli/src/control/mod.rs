//! How commands talk to a running host: JSON over HTTP on a socket in the data directory, with a token that the
//! directory's owner alone can read. The server is part of `weft up`, the client of the other commands; both speak the
//! types of [`api`].

pub mod api;
pub mod client;
pub mod operations;
pub mod server;
mod socket;
mod token;

/// The most bytes a request or an answer may have, streams apart.
const MAX_BODY_BYTES: usize = 32 * 1024 * 1024;
