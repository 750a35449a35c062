//! What Weft gives to functions out of a database, as it is under Spin: keyed commits, queries, transactions, the event
//! store, the message log with its subscriptions, projections, and key-value stores, all in one SQLite database over
//! one synchronous [`Connection`]. Owns the tables `weft_*` and the migrations of all contexts. It knows no WIT world, no
//! clock and no random source but those that it is given; who calls it from where is the business of `spin-store`.
//!
//! Every effect is a transaction that takes the write lock first (`BEGIN IMMEDIATE`). Statements are synchronous, so that
//! nothing of the same instance comes between them; other instances wait for the lock.
//!
//! What is known of a caller is what it says: there are no grants here, and events of all contexts share one store. What a
//! context's store holds is told by the topics of the context.

pub mod bindings;
mod check;
mod cleaning;
mod connection;
mod error;
mod events;
mod keyed;
mod kv;
mod log;
mod opening;
mod projections;
mod query;
mod schema;
mod store;
mod subscriptions;
pub mod text;
mod time;
mod topic;
mod work;

pub use connection::{Connection, Platform, Rows};
pub use error::describe;
pub use events::StoreError;
pub use log::Outgoing;
pub use projections::SourceEvent;
pub use query::TRANSACTION_MS;
pub use store::Store;
pub use subscriptions::{LEASE_MS, Taken, pause_ms};
pub use topic::{TopicPattern, check_topic};
