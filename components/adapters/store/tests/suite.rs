//! The store over SQLite as Spin gives it (text for errors, no authorizer, no types of columns): what `weft:sql`,
//! `weft:events` and `weft:messaging` promise, and what the tables of work promise to pumps.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "suite/appending.rs"]
mod appending;
#[path = "suite/harness.rs"]
mod harness;
#[path = "suite/keyed.rs"]
mod keyed;
#[path = "suite/models.rs"]
mod models;
#[path = "suite/opening.rs"]
mod opening;
#[path = "suite/projecting.rs"]
mod projecting;
#[path = "suite/reading.rs"]
mod reading;
#[path = "suite/sandbox.rs"]
mod sandbox;
#[path = "suite/streams.rs"]
mod streams;
#[path = "suite/subscribing.rs"]
mod subscribing;
#[path = "suite/transactions.rs"]
mod transactions;
